"""What asking, answering, breaking the glass and asking again share: who may, what is written, what is shown."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from bot.domain.decisions import ApprovalRequest, ApprovalRule, Choice, Decision, RequestState, Vote
from bot.domain.errors import Denied, GatehouseError
from bot.domain.ids import Clock, IdSource
from bot.domain.plans import Plan, PlanKind
from bot.domain.principals import Actor
from bot.domain.views import RequestView, VoteLine
from bot.governance.in_force import InForce
from bot.governance.people import People
from bot.governance.policy import Policy, PolicyVerdict, apart, mend
from bot.governance.stead import in_stead
from bot.reports.glass import glasses
from bot.store import controls, ledger, outbox, plans
from bot.store.database import Database

from .planning import Planner

REASON_MAX = 2_000
AGAIN = "Press Review fix again to see the present state."
_NAMES_SHOWN = 5
Lent = tuple[tuple[controls.Delegation, Actor], ...]  # who lets this person vote in their stead, read now


class Office:
    """The desk's tools; each kind of work over it is a class of its own."""

    def __init__(
        self,
        db: Database,
        planner: Planner,
        policy: Policy,
        people: People,
        clock: Clock,
        ids: IdSource,
        in_force: InForce | None = None,
    ) -> None:
        self._db, self._planner, self._policy, self._people = db, planner, policy, people
        self._clock, self._ids = clock, ids
        self._in_force = in_force or InForce(policy.version)

    async def _lent(self, actor: Actor) -> Lent:
        now = self._clock.now()
        found = await self._db.read(lambda conn: controls.delegations(conn, to_id=actor.principal.id, now=now))
        return tuple([(each, await self._people.fresh(each.from_id, each.from_identity)) for each in found])

    # --- writing it down ----------------------------------------------------------------------------------------------

    def _open(
        self,
        conn: Connection,
        request: ApprovalRequest,
        cause_id: str,
        reason: str,
        now: datetime,
        by: str = "",
        **more: Any,
    ) -> None:
        """Store a request with its record; ``more`` goes into the record beside it."""
        plans.save_request(conn, request, cause_id, reason)
        body = request.model_dump(mode="json") | {"cause": cause_id, "reason": reason} | more
        ledger.append(
            conn, kind="request.made", subject=request.id, actor=by or request.requested_by, body=body, now=now
        )

    def _new_request(
        self, plan: Plan, rule: ApprovalRule, requester: str, now: datetime, request_id: str = ""
    ) -> ApprovalRequest:
        return ApprovalRequest(
            id=request_id or self._ids.new("req"),
            plan_id=plan.id,
            plan_hash=plan.hash,
            fingerprint=plan.fingerprint,
            policy_version=self._policy.version,
            rule=rule,
            requested_by=requester,
            requested_at=now,
            expires_at=self._expiry(plan, rule, now),
        )

    def _expiry(self, plan: Plan, rule: ApprovalRule, now: datetime) -> datetime:
        return min(plan.expires_at, now + timedelta(minutes=rule.expires_minutes))

    def _decide(
        self,
        conn: Connection,
        held: plans.Request,
        plan: Plan,
        outcome: RequestState,
        by: tuple[str, ...],
        reason: str,
        now: datetime,
        **more: Any,
    ) -> Decision:
        decision = Decision(
            id=self._ids.new("dec"),
            request_id=held.facts.id,
            plan_id=plan.id,
            covers=plan.hash,
            outcome=outcome,
            decided_at=now,
            decided_by=by,
            reason=reason,
            policy_version=self._policy.version,
        )
        plans.save_decision(conn, decision)
        plans.close_request(conn, held.facts.id, outcome, now)
        body = decision.model_dump(mode="json") | {"cause": held.cause_id, "findings": list(plan.finding_ids)} | more
        ledger.append(conn, kind="decision.made", subject=decision.id, actor=by[-1], body=body, now=now)
        return decision

    def _close(
        self,
        conn: Connection,
        held: plans.Request,
        state: RequestState,
        why: str,
        now: datetime,
        actor: str = "gatehouse",
    ) -> None:
        plans.close_request(conn, held.facts.id, state, now, reason=why)
        body = {"cause": held.cause_id, "plan": held.facts.plan_id, "why": why}
        ledger.append(conn, kind=f"request.{state.value}", subject=held.facts.id, actor=actor, body=body, now=now)
        self._tell(conn, held.cause_id, now, f"The request is {state.value}", why)

    # --- who may -----------------------------------------------------------------------------------------------------

    def _may(
        self, actor: Actor, action: str, plan: Plan, cause: plans.CauseFacts, rule: ApprovalRule, requester: str
    ) -> PolicyVerdict:
        context = {
            "rule": rule,
            "is_requester": bool(requester) and requester == actor.principal.id,
            "owner": cause.owner,
            "undo_exposes": self._planner.exposes(plan),
        }
        return self._policy.may(actor, action, plan, context)

    def _may_ask(self, actor: Actor, plan: Plan, cause: plans.CauseFacts) -> PolicyVerdict:
        action = "undo_request" if plan.kind is PlanKind.UNDO else "request"
        return self._may(actor, action, plan, cause, self._policy.rule_for(plan), "")

    def _may_vote(
        self, actor: Actor, choice: Choice, plan: Plan, cause: plans.CauseFacts, rule: ApprovalRule, requester: str
    ) -> PolicyVerdict:
        verdict = self._may(actor, choice.value, plan, cause, rule, requester)
        if not verdict.allowed or choice is Choice.REJECT:
            return verdict
        asked, owns = requester == actor.principal.id, self._people.owns(cause.owner, actor)
        return apart(rule, asked=asked, owns=owns, could=verdict.could) or verdict

    def _stand(
        self,
        conn: Connection,
        actor: Actor,
        choice: Choice,
        plan: Plan,
        cause: plans.CauseFacts,
        rule: ApprovalRule,
        requester: str,
        lent: Lent,
        votes: list[Vote],
    ) -> tuple[PolicyVerdict, controls.Delegation | None]:
        """In one's own right, else in the stead of somebody who has not been counted yet."""
        freeze = controls.freeze_of(conn, plan) if choice is Choice.APPROVE else None
        if freeze:
            return PolicyVerdict(False, "freeze", freeze.said), None
        verdict = self._may_vote(actor, choice, plan, cause, rule, requester)
        # Who asked or owns it cannot slip round that by standing in for another.
        if verdict.allowed or (choice is Choice.APPROVE and self._apart(actor, cause, rule, requester)):
            return verdict, None
        taken = {vote.counts_for for vote in votes if vote.principal_id != actor.principal.id}
        context = {"rule": rule, "owner": cause.owner, "undo_exposes": self._planner.exposes(plan)}
        for each, other in lent:
            if not each.covers(plan) or each.from_id in taken:
                continue
            if choice is Choice.APPROVE and self._apart(other, cause, rule, requester):
                continue
            found = in_stead(self._policy, actor, other, choice.value, plan, context, requester)
            if found.allowed:
                return found, each
        return verdict, None

    def _apart(self, actor: Actor, cause: plans.CauseFacts, rule: ApprovalRule, requester: str) -> bool:
        asked = rule.four_eyes and requester == actor.principal.id
        return asked or (rule.owner_apart and self._people.owns(cause.owner, actor))

    def _could(self, plan: Plan, rule: ApprovalRule, cause: plans.CauseFacts, requester: str) -> tuple[str, ...]:
        """Groups, and the people of gatehouse.yml for whom the policy would say yes."""
        names: list[str] = []
        for candidate in self._people.candidates(self._policy.deciding_groups(rule)):
            if self._may_vote(candidate, Choice.APPROVE, plan, cause, rule, requester).allowed:
                names.append(candidate.principal.name)
            if len(names) > _NAMES_SHOWN:
                names[-1] = "others"
                break
        return (*self._policy.could(plan), *names)

    def _refuse(
        self, conn: Connection, subject: str, actor: Actor, wanted: str, verdict: PolicyVerdict, now: datetime
    ) -> Denied:
        body: dict[str, Any] = {
            "wanted": wanted,
            "rule": verdict.rule,
            "reason": verdict.reason,
            "identity": actor.identity.model_dump(mode="json"),
        }
        ledger.append(conn, kind="refused", subject=subject, actor=actor.principal.id, body=body, now=now)
        return Denied(verdict.reason, rule=verdict.rule, could=verdict.could, mend=mend(verdict.could))

    # --- showing -----------------------------------------------------------------------------------------------------

    def _tell(self, conn: Connection, cause_id: str, now: datetime, line: str, reason: str = "") -> None:
        said = f"{line}: {reason}" if reason else line
        outbox.refresh_cause(conn, self._ids, now, cause_id)
        outbox.say_in_thread(conn, self._ids, now, cause_id, said)

    def _request_view(self, conn: Connection, held: plans.Request) -> RequestView:
        request = held.facts
        plan, cause = plans.plan(conn, request.plan_id), plans.cause(conn, held.cause_id)
        votes = tuple(
            VoteLine(
                who=self._people.person_in(conn, vote.principal_id),
                choice=vote.choice,
                reason=vote.reason,
                at=vote.at,
                instead_of=self._people.person_in(conn, vote.stands_for) if vote.stands_for else None,
            )
            for vote, _ in plans.live_votes(conn, request.id)
        )
        broken = controls.glass_of_requests(conn, [request.id])
        return RequestView(
            id=request.id,
            cause_id=held.cause_id,
            cause_title=cause.title,
            plan_id=plan.id,
            plan_hash=request.plan_hash,
            plan_title=plan.title,
            kind=plan.kind,
            state=request.state,
            rule=request.rule,
            revision=request.revision,
            requested_by=self._people.person_in(conn, request.requested_by),
            requested_at=request.requested_at,
            expires_at=request.expires_at,
            votes=votes,
            could=() if request.state.is_final else self._could(plan, request.rule, cause, request.requested_by),
            reason=held.reason,
            decided_at=held.decided_at,
            glass=next(iter(glasses(conn, self._people.settings, broken, self._clock.now())), None),
        )


def settle(outcome: RequestView | GatehouseError) -> RequestView:
    """Raise what the transaction came to, after it was committed: a refusal and an expiry are facts, too."""
    if isinstance(outcome, GatehouseError):
        raise outcome
    return outcome
