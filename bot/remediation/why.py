"""Why this person can or cannot approve: the first thing that stands in the way, by rule, with the facts and who could.

Asks the very functions that decide a vote, over memberships read for the question, and changes nothing.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection

from bot.domain.decisions import ApprovalRule, Choice
from bot.domain.errors import BadInput
from bot.domain.plans import Plan, PlanKind
from bot.domain.principals import Actor
from bot.domain.views import FactLine, WhyView
from bot.governance.policy import mend
from bot.store import controls, findings, plans

from .office import AGAIN, Lent, Office

_MEND = "/gatehouse why ID with the id of a card (c-…), a plan (plan-…) or a request (req-…)."


class Whys(Office):
    async def why(self, subject: str, actor: Actor) -> WhyView:
        """``subject`` is the id of a cause, finding, plan or request. ``NotFound`` where there is none."""
        self._policy.may(actor, "review", None).require()
        fresh = await self._people.fresh(actor.principal.id, actor.identity)
        lent = await self._lent(fresh)
        cause_id, plan, held = await self._db.read(self._find, subject.strip())
        if plan is None and not await self._db.read(plans.active_execution, cause_id):
            plan = await self._planner.plan(cause_id)  # says itself where there is nothing to approve
        return await self._db.read(self._explain, cause_id, plan, held, fresh, lent)

    def _find(self, conn: Connection, subject: str) -> tuple[str, Plan | None, plans.Request | None]:
        if subject.startswith("req-"):
            held = plans.request(conn, subject)
            return held.cause_id, plans.plan(conn, held.facts.plan_id), held
        if subject.startswith("plan-"):
            plan = plans.plan(conn, subject)
            waiting = plans.pending_request(conn, plan.cause_id)
            ours = waiting if waiting and waiting.facts.plan_id == plan.id else None
            return plan.cause_id, plan, ours or plans.latest_request(conn, plan.id)
        if subject.startswith("f-"):
            subject = findings.get(conn, subject).cause_id
        if not subject.startswith("c-"):
            raise BadInput(f"{subject[:60]!r} is no id of something to approve" if subject else "Why what?", mend=_MEND)
        cause = plans.cause(conn, subject)
        waiting = plans.pending_request(conn, cause.id)
        return cause.id, plans.plan(conn, waiting.facts.plan_id) if waiting else None, waiting

    def _explain(
        self, conn: Connection, cause_id: str, plan: Plan | None, held: plans.Request | None, actor: Actor, lent: Lent
    ) -> WhyView:
        now, cause = self._clock.now(), plans.cause(conn, cause_id)
        read_at = actor.groups_read_at or actor.standing.checked_at
        if plan is None:
            return WhyView(
                title=cause.title, cause_id=cause.id, cause_title=cause.title, allowed=False, rule="one at a time",
                reason="a fix for this is being carried out right now", mend="The card shows how it goes.",
                facts=_person(actor), read_at=read_at,
            )  # fmt: skip
        rule = held.facts.rule if held else self._policy.rule_for(plan)
        requester = held.facts.requested_by if held else actor.principal.id
        votes = [vote for vote, _ in plans.live_votes(conn, held.facts.id)] if held else []
        mine = next((vote for vote in votes if vote.principal_id == actor.principal.id), None)
        verdict, stead = self._stand(conn, actor, Choice.APPROVE, plan, cause, rule, requester, lent, votes)
        could = self._could(plan, rule, cause, held.facts.requested_by if held else "")
        ended = self._ended(conn, plan, held, now)
        allowed, reason, by, hint = verdict.allowed, verdict.reason, verdict.rule, mend(could)
        if ended:
            allowed, (reason, by, hint) = False, ended
        elif mine is not None:
            allowed, by = False, "one vote each"
            reason = f"you have voted already: {mine.choice.value}"
            hint = "Withdraw my vote in Review fix takes it back."
        elif allowed:
            reason = "nothing stands in your way"
            hint = "Press Review fix and approve."
            if stead:
                reason += f"; your vote would count for {self._people.person_in(conn, stead.from_id).name}"
        elif held is None and by.endswith(": four eyes"):
            reason = "nobody has asked yet; whoever asks cannot approve it, too"
            hint = "Ask for approval in Review fix. Once somebody else has asked, you could approve."
        return WhyView(
            title=plan.title,
            cause_id=cause.id,
            cause_title=cause.title,
            plan_id=plan.id,
            request=self._request_view(conn, held) if held else None,
            allowed=allowed,
            reason=reason,
            rule=by,
            facts=(*_person(actor), *_plan(plan), *self._moment(conn, plan, cause, rule, held, actor, lent)),
            could=() if ended else could,
            expires_at=held.facts.expires_at if held else plan.expires_at,
            read_at=read_at,
            mend=hint,
        )

    def _ended(
        self, conn: Connection, plan: Plan, held: plans.Request | None, now: datetime
    ) -> tuple[str, str, str] | None:
        """What no vote of anybody can change any more: reason, rule, what next."""
        if held is not None and held.facts.state.is_final:
            why = f": {held.reason}" if held.reason and held.facts.state.value not in {"approved", "rejected"} else ""
            return f"this request is already {held.facts.state.value}{why}", "one decision a request", AGAIN
        if held is not None and held.facts.expires_at <= now:
            return "this request has expired", "expiry", "Press Review fix and ask again."
        if plans.active_execution(conn, plan.cause_id):
            return "a fix for this is being carried out right now", "one at a time", "The card shows how it goes."
        if plan.expires_at <= now:
            return "this plan is too old", "expiry", AGAIN
        return None

    def _moment(
        self,
        conn: Connection,
        plan: Plan,
        cause: plans.CauseFacts,
        rule: ApprovalRule,
        held: plans.Request | None,
        actor: Actor,
        lent: Lent,
    ) -> tuple[FactLine, ...]:
        votes = [vote for vote, _ in plans.live_votes(conn, held.facts.id)] if held else []
        yes = [vote for vote in votes if vote.choice is Choice.APPROVE]
        names = ", ".join(self._people.person_in(conn, vote.principal_id).name for vote in yes)
        freeze = controls.freeze_of(conn, plan)
        frozen = freeze.said if freeze else "changes are frozen in gatehouse.yml" if self._policy.frozen else "none"
        asked = "nobody yet"
        if held:
            asked = self._people.person_in(conn, held.facts.requested_by).name
            asked += " (you)" if held.facts.requested_by == actor.principal.id else ""
        owns = " (you or your team)" if self._people.owns(cause.owner, actor) else ""
        apart = [
            *(["who asks cannot approve"] if rule.four_eyes else []),
            *(["nor the owner"] if rule.owner_apart else []),
            *(["the number of resources is typed"] if rule.typed_confirmation else []),
        ]
        stands_for = [self._people.person_in(conn, each.from_id).name for each, _ in lent if each.covers(plan)]
        facts = [
            ("Approval rule", f"{rule.name}: {rule.quorum} needed{''.join(f', {each}' for each in apart)}"),
            ("Approvers", ", ".join(self._policy.approver_groups(rule)) if rule.groups else "whom the policy permits"),
            ("Asked by", asked),
            ("Owner", f"{cause.owner}{owns}" if cause.owner else "nobody is known"),
            ("Votes so far", f"{len({v.counts_for for v in yes})} of {rule.quorum}{f' ({names})' if names else ''}"),
            ("Freeze", frozen),
        ]
        if stands_for:
            facts.append(("You may stand in for", ", ".join(stands_for)))
        if held and held.facts.policy_version != self._policy.version:
            facts.append(("Policy", "it changed since this was asked; open Review fix to put it under the new one"))
        return tuple(FactLine(label=label, value=value) for label, value in facts)


def _person(actor: Actor) -> tuple[FactLine, ...]:
    return (
        FactLine(label="Your account", value=actor.standing.objection() or "in good standing"),
        FactLine(label="Your groups", value=", ".join(sorted(actor.groups)) or "none"),
    )


def _plan(plan: Plan) -> tuple[FactLine, ...]:
    radius = plan.blast_radius
    size = f"{radius.resources} resource{'s' if radius.resources != 1 else ''} in {', '.join(plan.account_ids)}"
    return (
        FactLine(label="What", value="undo of a fix" if plan.kind is PlanKind.UNDO else "fix"),
        FactLine(label="Environment", value=plan.environment),
        FactLine(label="Blast radius", value=radius.summary or size),
        FactLine(label="Risk", value=plan.risk.value),
    )
