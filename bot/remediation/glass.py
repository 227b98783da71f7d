"""Breaking the glass: in an emergency one permitted person has a plan carried out alone; loud, short, and reviewed.

Rules
- It skips the number of approvals and four eyes, nothing else: the exact plan, drift, account and group, the ledger
  and the undo stay as they are. A freeze stops it, unless the approval rule lets it through.
- It is recorded as what it is: request, vote and decision name the glass; the execution is for a few minutes only.
- It is told at once where the operators and the owners of the cause look, and stays open until another permitted
  person has said whether it was justified. A review that is late is asked for every day.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import Connection

from bot.domain.decisions import GLASS_WORD, Choice, RequestState, Vote
from bot.domain.errors import BadInput, Conflict, GatehouseError, NotFound, Stale
from bot.domain.ids import short_hash
from bot.domain.plans import Plan
from bot.domain.principals import Actor
from bot.domain.views import GlassOffer, GlassView, RequestView
from bot.governance.policy import PolicyVerdict
from bot.intake.cleaning import clean
from bot.reports.glass import JUSTIFIED, NOT_JUSTIFIED, read_glass
from bot.store import controls, ledger, outbox, plans

from .office import AGAIN, REASON_MAX, Office, settle

EVERY = timedelta(hours=24)  # a late review is asked for so often


class Glass(Office):
    # --- breaking it -------------------------------------------------------------------------------------------------

    def offer(self, conn: Connection, actor: Actor, plan: Plan, cause: plans.CauseFacts) -> GlassOffer | None:
        """What it would mean for this person, or None where they may not."""
        if not self._policy.rule_for(plan).break_glass or not self.may(conn, actor, plan, cause).allowed:
            return None
        return GlassOffer(word=GLASS_WORD, minutes=self._policy.rule_for(plan).break_glass_minutes,
                          review_hours=self._hours())  # fmt: skip

    def may(self, conn: Connection, actor: Actor, plan: Plan, cause: plans.CauseFacts) -> PolicyVerdict:
        rule = self._policy.rule_for(plan)
        context = {"rule": rule, "is_requester": True, "owner": cause.owner, "glass": True,
                   "undo_exposes": self._planner.exposes(plan)}  # fmt: skip
        verdict = self._policy.may(actor, "break_glass", plan, context)
        freeze = controls.freeze_of(conn, plan)
        if verdict.allowed and freeze and not rule.break_glass_through_freeze:
            return PolicyVerdict(False, "freeze", freeze.said)
        return verdict

    async def break_(
        self,
        plan_id: str,
        plan_hash: str,
        revision: int,
        actor: Actor,
        reason: str,
        typed: str,
        *,
        click: str = "",
    ) -> RequestView:
        made = short_hash("glass", click, prefix="req-") if click else ""
        why = clean(reason, REASON_MAX).strip()
        return settle(await self._db.write(self._break, plan_id, plan_hash, revision, actor, why, typed.strip(), made))

    def _break(
        self,
        conn: Connection,
        plan_id: str,
        plan_hash: str,
        revision: int,
        actor: Actor,
        reason: str,
        typed: str,
        made: str,
    ) -> RequestView | GatehouseError:
        now, who, name = self._clock.now(), actor.principal.id, actor.principal.name
        plan = plans.plan(conn, plan_id)
        cause = plans.cause(conn, plan.cause_id, lock=True)
        if made and (before := plans.find_request(conn, made)):
            if before.facts.requested_by != who:
                return Conflict("this click is another person's", mend=AGAIN)
            return self._request_view(conn, before)  # this very click, done again
        if plan.hash != plan_hash:
            return Stale("the plan you looked at is not this one any more", mend=AGAIN)
        if self._in_force.behind(conn):
            said = "a newer policy is in force, and this replica of Gatehouse still runs an older one"
            return Stale(said, mend="Try again in a moment.")
        verdict = self.may(conn, actor, plan, cause)
        if not verdict.allowed:
            return self._refuse(conn, plan.id, actor, "break_glass", verdict, now)
        if not reason:
            return BadInput("Breaking the glass needs a reason.", mend="Say what happens if it waits.")
        if typed != GLASS_WORD:
            return BadInput(
                "The glass was not broken: the words are not right.", mend=f"Type {GLASS_WORD}, as it stands."
            )
        if plan.expires_at <= now:
            return Stale("this plan is too old", mend=AGAIN)
        if plans.active_execution(conn, cause.id):
            return Conflict("a fix for this is being carried out right now", mend="The card shows how it goes.")
        held = plans.pending_request(conn, cause.id)
        if held is not None:
            if revision != held.facts.revision:
                return Stale("this card is not the present one", mend=AGAIN)
            self._close(conn, held, RequestState.VOIDED, f"{name} broke the glass", now, who)
        rule, glass_id = self._policy.rule_for(plan), self._ids.new("glass")
        until = min(plan.expires_at, now + timedelta(minutes=rule.break_glass_minutes))
        request = self._new_request(plan, rule, who, now, made).model_copy(update={"expires_at": until})
        glass = controls.BrokenGlass(
            id=glass_id, request_id=request.id, cause_id=cause.id, by=who, identity=actor.identity, reason=reason,
            at=now, until=until, asked_at=now, reviewed_by="", reviewed_at=None,
        )  # fmt: skip
        body = {"request": request.id, "plan": plan.id, "covers": plan.hash, "cause": cause.id, "by": who, "at": now,
                "reason": reason, "until": until, "rule": rule.name, "permitted_by": verdict.rule,
                "identity": actor.identity.model_dump(mode="json"), "groups": sorted(actor.groups),
                "instead_of": held.facts.id if held else "",
                "skipped": [f"quorum {rule.quorum}", *(["four eyes"] if rule.four_eyes else []),
                            *(["owner apart"] if rule.owner_apart else [])]}  # fmt: skip
        ledger.append(conn, kind="break_glass.used", subject=glass_id, actor=who, body=body, now=now)
        controls.add_glass(conn, glass)
        self._open(conn, request, cause.id, reason, now, break_glass=glass_id)
        vote = Vote(
            id=self._ids.new("vote"), request_id=request.id, plan_hash=plan.hash, principal_id=who,
            platform=actor.identity.platform.value, choice=Choice.APPROVE, reason=reason, at=now,
        )  # fmt: skip
        plans.save_vote(conn, vote, actor.identity)
        cast = vote.model_dump(mode="json") | {
            "plan": plan.id,
            "identity": actor.identity.model_dump(mode="json"),
            "groups": sorted(actor.groups),
            "rule": verdict.rule,
            "break_glass": glass_id,
        }
        ledger.append(conn, kind="vote.cast", subject=request.id, actor=who, body=cast, now=now)
        opened = plans.request(conn, request.id)
        decision = self._decide(conn, opened, plan, RequestState.APPROVED, (who,), reason, now, break_glass=glass_id)
        execution_id = self._ids.new("exec")
        plans.queue_execution(conn, execution_id, decision, plan, now)
        queued = {"decision": decision.id, "plan": plan.id, "covers": decision.covers, "break_glass": glass_id}
        ledger.append(conn, kind="execution.queued", subject=execution_id, actor="gatehouse", body=queued, now=now)
        line = (
            f"🚨 {name} BROKE THE GLASS: “{plan.title}” ({cause.title}, {cause.environment}) is carried out without "
            f"further approval, until {until:%H:%M} UTC at the latest: {reason}"
        )
        self._loud(conn, cause.id, line, now)
        for address in self._addresses(conn, cause.id):
            outbox.enqueue(conn, self._ids, now, address=address, kind="glass", subject=glass_id)
        return self._request_view(conn, plans.request(conn, request.id))

    # --- the review --------------------------------------------------------------------------------------------------

    async def require(self, glass_id: str, actor: Actor) -> GlassView:
        """The open glass for whoever may review it; ``Denied`` says which rule forbids it."""
        return await self._db.read(self._require, glass_id, actor)

    def _require(self, conn: Connection, glass_id: str, actor: Actor) -> GlassView:
        view = read_glass(conn, self._people.settings, glass_id, self._clock.now())
        held = controls.glass(conn, glass_id)
        if held is not None:
            self._may_review(conn, held, actor).require()
        if view.reviewed_by is not None:
            raise Conflict(f"{view.reviewed_by.name} has reviewed it already", mend="The card shows what they said.")
        return view

    async def review(self, glass_id: str, actor: Actor, *, justified: bool, comment: str) -> GlassView:
        """Another permitted person says whether it was justified. Once."""
        outcome = await self._db.write(self._review, glass_id, actor, justified, clean(comment, REASON_MAX).strip())
        if isinstance(outcome, GatehouseError):
            raise outcome
        return outcome

    def _review(
        self, conn: Connection, glass_id: str, actor: Actor, justified: bool, comment: str
    ) -> GlassView | GatehouseError:
        now, who = self._clock.now(), actor.principal.id
        held = controls.glass(conn, glass_id, lock=True)
        if held is None:
            return NotFound(f"there is no broken glass {glass_id[:80]}", mend="/gatehouse status lists what is open.")
        verdict = self._may_review(conn, held, actor)
        if not verdict.allowed:
            return self._refuse(conn, glass_id, actor, "review_glass", verdict, now)
        if not comment:
            return BadInput("A review needs a comment.", mend="Say why it was, or was not, justified.")
        said = JUSTIFIED if justified else NOT_JUSTIFIED
        if not controls.reviewed(conn, glass_id, who, f"{said}: {comment}", now):
            seen = read_glass(conn, self._people.settings, glass_id, now)
            if held.reviewed_by == who and seen.justified is justified:
                return seen  # a double click
            by = seen.reviewed_by.name if seen.reviewed_by else "somebody"
            return Conflict(f"{by} has reviewed it already", mend="The card shows what they said.")
        body = {"verdict": said, "comment": comment, "by": held.by, "request": held.request_id,
                "cause": held.cause_id, "late": now >= held.at + timedelta(hours=self._hours()),
                "identity": actor.identity.model_dump(mode="json"), "rule": verdict.rule}  # fmt: skip
        ledger.append(conn, kind="break_glass.reviewed", subject=glass_id, actor=who, body=body, now=now)
        by = self._people.person_in(conn, held.by).name
        line = f"{actor.principal.name} reviewed the glass that {by} broke: {said}. {comment}"
        self._loud(conn, held.cause_id, line if justified else f"⚠️ {line}", now)
        outbox.refresh(conn, self._ids, now, "glass", glass_id)
        return read_glass(conn, self._people.settings, glass_id, now)

    def _may_review(self, conn: Connection, held: controls.BrokenGlass, actor: Actor) -> PolicyVerdict:
        request = plans.request(conn, held.request_id)
        try:
            plan: Plan | None = plans.plan(conn, request.facts.plan_id)
        except Stale:  # altered since: no reason to leave the glass without a review
            plan = None
        cause = plans.cause(conn, held.cause_id)
        context = {"rule": request.facts.rule, "owner": cause.owner, "environment": cause.environment}
        verdict = self._policy.may(actor, "review_glass", plan, context)
        if verdict.allowed and actor.principal.id == held.by:
            return PolicyVerdict(False, "four eyes", "who broke the glass cannot review it", self._policy.could(plan))
        return verdict

    # --- late reviews ------------------------------------------------------------------------------------------------

    def late(self, conn: Connection) -> list[controls.BrokenGlass]:
        """The reviews that are to be asked for (again) now."""
        now = self._clock.now()
        return [each for each in controls.open_reviews(conn) if self._is_late(each, now)]

    def _is_late(self, each: controls.BrokenGlass, now: datetime) -> bool:
        due = each.at + timedelta(hours=self._hours())
        return now >= due and (each.asked_at < due or now - each.asked_at >= EVERY)

    async def ask_for_reviews(self) -> int:
        return await self._db.write(self._ask_for_reviews)

    def _ask_for_reviews(self, conn: Connection) -> int:
        now, asked = self._clock.now(), 0
        for each in self.late(conn):
            if not controls.asked_again(conn, each.id, each.asked_at, now):
                continue  # another replica was faster
            asked += 1
            again = each.asked_at > each.at
            by, cause = self._people.person_in(conn, each.by).name, plans.cause(conn, each.cause_id)
            hours = int((now - each.at).total_seconds() // 3600)
            line = (
                f"⏰ Nobody has reviewed the glass that {by} broke {hours} hours ago ({cause.title}: {each.reason}). "
                "Another person has to say whether it was justified: press a button on its message, or "
                "/gatehouse status."
            )
            told = self._reviewers(conn, each) if again else []  # the second time its reviewers hear it themselves
            body = {"cause": each.cause_id, "by": each.by, "hours": hours, "told": told}
            ledger.append(conn, kind="break_glass.overdue", subject=each.id, actor="gatehouse", body=body, now=now)
            self._loud(conn, each.cause_id, line, now)
            for address in told:
                outbox.tell(conn, self._ids, now, address, line)
            outbox.refresh(conn, self._ids, now, "glass", each.id)
        return asked

    def _reviewers(self, conn: Connection, held: controls.BrokenGlass) -> list[str]:
        """People of gatehouse.yml for whom the policy would say yes, as addresses."""
        rule = plans.request(conn, held.request_id).facts.rule
        return [
            f"{each.identity.platform.value}:{each.identity.user}"
            for each in self._people.candidates(self._policy.deciding_groups(rule))
            if self._may_review(conn, held, each).allowed
        ]

    # --- shared ------------------------------------------------------------------------------------------------------

    def _hours(self) -> int:
        return self._people.settings.governance.review_hours

    def _addresses(self, conn: Connection, cause_id: str) -> list[str]:
        """The operators' channels and the cause's."""
        return list(dict.fromkeys([*self._people.settings.routing.fallback, *plans.channels(conn, cause_id)]))

    def _loud(self, conn: Connection, cause_id: str, line: str, now: datetime) -> None:
        for address in self._addresses(conn, cause_id):
            outbox.tell(conn, self._ids, now, address, line)
        self._tell(conn, cause_id, now, line)
