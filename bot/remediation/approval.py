"""Asking and answering: who wants which plan carried out, who agreed, and the one execution that follows.

Rules
- A request binds plan hash, resource fingerprint, policy version, rule and revision; what differs is ``Stale``.
- Votes with all their checks are one transaction that holds the request's row, so quorum is reached exactly once.
- A reject decides at once. A refusal is recorded in the ledger, too, and says which rule refused and who could.
"""

from __future__ import annotations

import logging
from datetime import datetime

from sqlalchemy import Connection

from bot.domain.decisions import ApprovalRule, Choice, RequestState, Vote
from bot.domain.errors import BadInput, Conflict, GatehouseError, Stale
from bot.domain.ids import Clock, IdSource, short_hash
from bot.domain.plans import Plan, PlanKind
from bot.domain.principals import Actor
from bot.domain.views import Option, OptionView, PlanView, RequestView
from bot.governance.in_force import InForce
from bot.governance.people import People
from bot.governance.policy import Policy, PolicyVerdict, mend
from bot.intake.cleaning import clean
from bot.store import clicks, ledger, plans
from bot.store.database import Database

from .drifts import Drift, Drifts, unanswered
from .glass import Glass
from .office import AGAIN, REASON_MAX, Lent, Office, settle
from .planning import Planner
from .policy_moves import Moved, PolicyMoves
from .standing_guard import may_pre_approve, standing_of

log = logging.getLogger(__name__)


class Approvals(Office):
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
        super().__init__(db, planner, policy, people, clock, ids, in_force)
        self._moves = PolicyMoves(db, planner, policy, people, clock, ids, self._in_force)
        self._drifts = Drifts(db, planner, policy, people, clock, ids, self._in_force)
        self.glass = Glass(db, planner, policy, people, clock, ids, self._in_force)

    async def begin(self) -> None:
        """This process starts with its policy."""
        await self._db.write(self._in_force.begin, self._clock.now())

    # --- looking -----------------------------------------------------------------------------------------------------

    async def look(self, cause_id: str, actor: Actor) -> PlanView:
        """The plan for a cause as this person may see and press it; the pending request's plan where one waits."""
        self._may_look(actor)
        await self._settle_due(cause_id)
        lent = await self._lent(actor)
        view = await self._db.write(self._pending_view, cause_id, actor, lent)
        if view is not None:
            return view
        plan = await self._planner.plan(cause_id)
        return await self._db.read(self._view, plan, None, actor, lent)

    async def look_undo(self, execution_id: str, actor: Actor) -> PlanView:
        """As ``look``, for taking a fix back."""
        self._may_look(actor)
        await self._settle_due((await self._db.read(plans.execution, execution_id)).cause_id)
        plan = await self._planner.plan_undo(execution_id)
        lent = await self._lent(actor)
        view = await self._db.write(self._pending_view, plan.cause_id, actor, lent)
        if view is not None:
            return view
        return await self._db.read(self._view, plan, None, actor, lent)

    def _may_look(self, actor: Actor) -> None:
        self._policy.may(actor, "review", None).require()

    def _pending_view(self, conn: Connection, cause_id: str, actor: Actor, lent: Lent) -> PlanView | None:
        held = plans.pending_request(conn, cause_id)
        outdated = self._outdated(conn, held) if held else None
        if isinstance(outdated, Moved):
            raise outdated
        if held is None or outdated is not None:
            return None
        try:
            plan = plans.plan(conn, held.facts.plan_id)
        except Stale as error:
            self._close(conn, held, RequestState.VOIDED, error.reason, self._clock.now())
            return None
        return self._view(conn, plan, held, actor, lent)

    def _view(
        self, conn: Connection, plan: Plan, held: plans.Request | None, actor: Actor, lent: Lent = ()
    ) -> PlanView:
        cause = plans.cause(conn, plan.cause_id)
        rule = held.facts.rule if held else self._policy.rule_for(plan)
        requester = held.facts.requested_by if held else ""
        could = self._could(plan, rule, cause, requester)
        expires = held.facts.expires_at if held else self._expiry(plan, rule, self._clock.now())
        request = self._request_view(conn, held) if held else None
        votes = [vote for vote, _ in plans.live_votes(conn, held.facts.id)] if held else []
        options = tuple(
            self._option(conn, option, actor, plan, held, rule, cause, could, lent, votes) for option in Option
        )
        standing, note = standing_of(conn, self._people, plan, cause.owner)
        return PlanView(
            cause_id=cause.id,
            cause_title=cause.title,
            plan=plan,
            plan_hash=plan.hash,
            rule=rule,
            could=could,
            expires_at=expires,
            request=request,
            options=options,
            glass=self.glass.offer(conn, actor, plan, cause),
            standing=standing,
            standing_note=note,
            pre_approve=may_pre_approve(self._planner.catalog, self._policy, actor, plan, cause.owner),
        )

    def _option(
        self,
        conn: Connection,
        option: Option,
        actor: Actor,
        plan: Plan,
        held: plans.Request | None,
        rule: ApprovalRule,
        cause: plans.CauseFacts,
        could: tuple[str, ...],
        lent: Lent,
        votes: list[Vote],
    ) -> OptionView:
        if option is Option.ASK:
            if held:
                who = self._people.person(held.facts.requested_by).name
                return OptionView(option=option, allowed=False, why_not=f"{who} has asked already", rule="one request")
            verdict = self._may_ask(actor, plan, cause)
        elif option is Option.CANCEL:
            if held is None:
                return OptionView(option=option, allowed=False, why_not="nobody has asked yet", rule="one request")
            verdict = self._may(actor, "cancel", plan, cause, rule, held.facts.requested_by)
        elif option is Option.WITHDRAW:
            if not any(vote.principal_id == actor.principal.id for vote in votes):
                return OptionView(option=option, allowed=False, why_not="you have not voted", rule="one vote each")
            return OptionView(option=option, allowed=True)
        else:
            choice = Choice.APPROVE if option is Option.APPROVE else Choice.REJECT
            # Before anybody has asked, approving means asking and answering in one go.
            requester = held.facts.requested_by if held else actor.principal.id
            verdict, _ = self._stand(conn, actor, choice, plan, cause, rule, requester, lent, votes)
        if verdict.allowed:
            return OptionView(option=option, allowed=True)
        who_could = verdict.could if option is Option.ASK else could
        hint = f". {mend(who_could)}" if who_could else ""
        return OptionView(option=option, allowed=False, why_not=f"{verdict.reason}{hint}", rule=verdict.rule)

    # --- asking ------------------------------------------------------------------------------------------------------

    async def ask(
        self, plan_id: str, plan_hash: str, actor: Actor, reason: str = "", *, click: str = ""
    ) -> RequestView:
        """Ask for approval of one plan. Where a request already waits for this cause, that one comes back.

        ``click``: the platform's identity of the click. The same click makes one request, also when it is done again
        after a crash and the fix was carried out meanwhile.
        """
        why, made = clean(reason, REASON_MAX), short_hash("ask", click, prefix="req-") if click else ""
        outcome = await self._db.write(self._ask, plan_id, plan_hash, actor, why, made)
        if isinstance(outcome, Moved):
            await self.settle_moves()
            outcome = await self._db.write(self._ask, plan_id, plan_hash, actor, why, made)
        return settle(outcome)

    def _ask(
        self, conn: Connection, plan_id: str, plan_hash: str, actor: Actor, reason: str, made: str
    ) -> RequestView | GatehouseError:
        now = self._clock.now()
        if made and (before := plans.find_request(conn, made)):
            if before.facts.requested_by != actor.principal.id:
                return Conflict("this click is another person's", mend=AGAIN)
            return self._request_view(conn, before)  # this very click, done again
        plan = plans.plan(conn, plan_id)
        cause = plans.cause(conn, plan.cause_id, lock=True)
        if plan.hash != plan_hash:
            return Stale("the plan you looked at is not this one any more", mend=AGAIN)
        verdict = self._may_ask(actor, plan, cause)
        if not verdict.allowed:
            return self._refuse(conn, plan.id, actor, "ask", verdict, now)
        held = plans.pending_request(conn, cause.id)
        outdated = self._outdated(conn, held) if held else None
        if isinstance(outdated, Moved):
            return outdated
        if held and outdated is None:
            return self._request_view(conn, held)
        if plan.expires_at <= now:
            return Stale("this plan is too old", mend=AGAIN)
        if plans.active_execution(conn, cause.id):
            return Conflict("a fix for this is being carried out right now", mend="The card shows how it goes.")
        rule = self._policy.rule_for(plan)
        request = self._new_request(plan, rule, actor.principal.id, now, made)
        self._open(conn, request, cause.id, reason, now)
        what = "the undo" if plan.kind is PlanKind.UNDO else "the fix"
        self._tell(conn, cause.id, now, f"{actor.principal.name} asked for {what}: {plan.title}", reason)
        return self._request_view(conn, plans.request(conn, request.id))

    # --- alone, in an emergency --------------------------------------------------------------------------------------

    async def look_glass(self, plan_id: str, actor: Actor) -> PlanView:
        """The plan for whoever may break the glass over it; ``Denied`` says which rule forbids it."""
        self._may_look(actor)
        return await self._db.read(self._look_glass, plan_id, actor)

    def _look_glass(self, conn: Connection, plan_id: str, actor: Actor) -> PlanView:
        plan = plans.plan(conn, plan_id)
        self.glass.may(conn, actor, plan, plans.cause(conn, plan.cause_id)).require()
        return self._view(conn, plan, plans.pending_request(conn, plan.cause_id), actor)

    async def break_glass(
        self, plan_id: str, plan_hash: str, revision: int, actor: Actor, reason: str, typed: str, *, click: str = ""
    ) -> RequestView:
        """Have exactly this plan carried out without further approval; see ``glass``.

        ``revision``: of the request that waits, if one does. ``typed``: the words of the offer. ``click``: as for
        ``ask``.
        """
        return await self.glass.break_(plan_id, plan_hash, revision, actor, reason, typed, click=click)

    # --- answering ---------------------------------------------------------------------------------------------------

    async def vote(
        self,
        request_id: str,
        plan_hash: str,
        revision: int,
        actor: Actor,
        choice: Choice,
        reason: str = "",
        typed: str = "",
        *,
        click: str = "",
    ) -> RequestView:
        """One person's answer. ``typed`` is the number of resources, where the rule asks for it.

        ``click``: as for ``ask``. A click that is done again after its vote was withdrawn does not bring it back.
        """
        lent, why = await self._lent(actor), clean(reason, REASON_MAX)
        outcome = await self._db.write(
            self._vote, request_id, plan_hash, revision, actor, choice, why, typed.strip(), lent, click
        )
        if isinstance(outcome, Moved):
            await self.settle_moves()  # what stands after that, this person has not seen: they look again
        return settle(outcome)

    def _vote(
        self,
        conn: Connection,
        request_id: str,
        plan_hash: str,
        revision: int,
        actor: Actor,
        choice: Choice,
        reason: str,
        typed: str,
        lent: Lent,
        click: str,
    ) -> RequestView | GatehouseError:
        now, who = self._clock.now(), actor.principal.id
        held = plans.request(conn, request_id, lock=True)
        request = held.facts
        if clicks.came_to(conn, click, {"vote.cast"}, request_id):
            return self._request_view(conn, held)  # this very click, done again
        mine = next((vote for vote, _ in plans.live_votes(conn, request_id) if vote.principal_id == who), None)
        enough = choice is Choice.APPROVE and self._enough(conn, held)  # the rule asks for fewer than it did
        if mine and mine.choice is choice and plan_hash == request.plan_hash and not enough:
            return self._request_view(conn, held)  # a double click: the same answer, the same result
        if request.state.is_final:
            return Stale(f"this request is already {request.state.value}", mend=AGAIN)
        outdated = self._outdated(conn, held)
        if outdated is not None:
            return outdated
        if plan_hash != request.plan_hash or revision != request.revision:
            return Stale("this card is not the present one", mend=AGAIN)
        plan = plans.plan(conn, request.plan_id)
        if plan.hash != request.plan_hash or plan.fingerprint != request.fingerprint:
            self._close(conn, held, RequestState.VOIDED, "the plan is not the one that was asked for", now)
            return Stale("the plan is not the one that was asked for", mend=AGAIN)
        cause = plans.cause(conn, plan.cause_id)
        votes = [vote for vote, _ in plans.live_votes(conn, request_id)]
        verdict, stead = self._stand(conn, actor, choice, plan, cause, request.rule, request.requested_by, lent, votes)
        if not verdict.allowed:
            could = self._could(plan, request.rule, cause, request.requested_by) or verdict.could
            verdict = PolicyVerdict(False, verdict.rule, verdict.reason, could)
            return self._refuse(conn, request.id, actor, choice.value, verdict, now)
        if choice is Choice.APPROVE and request.rule.typed_confirmation:
            wanted = str(plan.blast_radius.resources)
            if typed != wanted:
                said = f"{request.rule.name} asks you to type the number of resources this changes"
                return BadInput(said, mend=f"Type {wanted} and approve again.")
        vote = Vote(
            id=self._ids.new("vote"),
            request_id=request.id,
            plan_hash=request.plan_hash,
            principal_id=who,
            platform=actor.identity.platform.value,
            choice=choice,
            reason=reason,
            at=now,
            stands_for=stead.from_id if stead else "",
            delegation_id=stead.id if stead else "",
        )
        plans.save_vote(conn, vote, actor.identity)
        body = vote.model_dump(mode="json") | {
            "plan": plan.id,
            "identity": actor.identity.model_dump(mode="json"),
            "groups": sorted(actor.groups),
            "rule": verdict.rule,
            "click": click,
        }
        ledger.append(conn, kind="vote.cast", subject=request.id, actor=who, body=body, now=now)
        self._conclude(conn, held, plan, vote, actor, now)
        return self._request_view(conn, plans.request(conn, request.id))

    def _conclude(
        self, conn: Connection, held: plans.Request, plan: Plan, vote: Vote, actor: Actor, now: datetime
    ) -> None:
        """The outcome, when this vote brought one; the execution is queued in the same transaction."""
        request = held.facts
        name = actor.principal.name
        if vote.stands_for:
            name += f" (for {self._people.person_in(conn, vote.stands_for).name})"
        if vote.choice is Choice.REJECT:
            self._decide(conn, held, plan, RequestState.REJECTED, (vote.principal_id,), vote.reason, now)
            self._tell(conn, held.cause_id, now, f"{name} rejected it", vote.reason)
            return
        votes = [v for v, _ in plans.live_votes(conn, request.id)]
        good = [v for v in votes if v.choice is Choice.APPROVE and v.plan_hash == request.plan_hash]
        approved = tuple(v.principal_id for v in good)
        missing = request.rule.quorum - len({v.counts_for for v in good})
        if missing > 0:
            self._tell(conn, held.cause_id, now, f"{name} approved; {missing} more to go", vote.reason)
            return
        decision = self._decide(conn, held, plan, RequestState.APPROVED, approved, vote.reason, now)
        execution_id = self._ids.new("exec")
        plans.queue_execution(conn, execution_id, decision, plan, now)
        body = {"decision": decision.id, "plan": plan.id, "covers": decision.covers}
        ledger.append(conn, kind="execution.queued", subject=execution_id, actor="gatehouse", body=body, now=now)
        self._tell(conn, held.cause_id, now, f"{name} approved", vote.reason)

    # --- taking a vote back ------------------------------------------------------------------------------------------

    async def withdraw(self, request_id: str, actor: Actor, *, click: str = "") -> RequestView:
        """Take one's vote back. After the decision, but before the first step, that voids the decision."""
        return settle(await self._db.write(self._withdraw, request_id, actor, click))

    def _withdraw(self, conn: Connection, request_id: str, actor: Actor, click: str) -> RequestView | GatehouseError:
        now, who = self._clock.now(), actor.principal.id
        held = plans.request(conn, request_id, lock=True)
        if clicks.came_to(conn, click, {"vote.withdrawn"}, request_id):
            return self._request_view(conn, held)  # this very click, done again
        mine = next((vote for vote, _ in plans.live_votes(conn, request_id) if vote.principal_id == who), None)
        if mine is None:
            return Conflict("you have no vote here to take back", mend="The card shows who voted.")
        state, name = held.facts.state, actor.principal.name
        if state not in {RequestState.PENDING, RequestState.APPROVED}:
            return Stale(f"this request is already {state.value}", mend=AGAIN)
        stopped = plans.stop_execution(conn, request_id, f"{name} withdrew their approval", now)
        if state is RequestState.APPROVED and stopped is None:
            return Conflict("it is being carried out already", mend="Ask for the undo when it is done.")
        plans.withdraw_vote(conn, mine.id, now)
        body = {"vote": mine.id, "choice": mine.choice.value, "execution": stopped, "click": click}
        ledger.append(conn, kind="vote.withdrawn", subject=request_id, actor=who, body=body, now=now)
        if stopped is None:
            self._tell(conn, held.cause_id, now, f"{name} withdrew their vote")
        else:
            body = {"why": f"{name} withdrew their approval", "request": request_id}
            ledger.append(conn, kind="execution.blocked", subject=stopped, actor=who, body=body, now=now)
            self._close(conn, held, RequestState.VOIDED, f"{name} withdrew their approval; nothing was changed", now)
        return self._request_view(conn, plans.request(conn, request_id))

    # --- ending ------------------------------------------------------------------------------------------------------

    async def cancel(self, request_id: str, actor: Actor) -> RequestView:
        """Take a request back: one's own, or as somebody the policy permits."""
        return settle(await self._db.write(self._cancel, request_id, actor))

    def _cancel(self, conn: Connection, request_id: str, actor: Actor) -> RequestView | GatehouseError:
        now = self._clock.now()
        held = plans.request(conn, request_id, lock=True)
        if held.facts.state is RequestState.CANCELLED:
            return self._request_view(conn, held)
        if held.facts.state.is_final:
            return Stale(f"this request is already {held.facts.state.value}", mend=AGAIN)
        plan = plans.plan(conn, held.facts.plan_id)
        cause = plans.cause(conn, held.cause_id)
        verdict = self._may(actor, "cancel", plan, cause, held.facts.rule, held.facts.requested_by)
        if not verdict.allowed:
            return self._refuse(conn, request_id, actor, "cancel", verdict, now)
        self._close(conn, held, RequestState.CANCELLED, f"cancelled by {actor.principal.name}", now, actor.principal.id)
        return self._request_view(conn, plans.request(conn, request_id))

    async def expire_due(self) -> int:
        """Housekeeping: end the requests whose time is over, put what waits under the policy in force, and answer
        drifts. Returns how many ended."""
        due, moved, drifts, late = await self._db.read(self._due, None)
        ended = await self._db.write(self._expire) if due else 0
        await self._reevaluate(moved)
        await self._answer(drifts)
        if late:
            await self.glass.ask_for_reviews()
        return ended

    async def _settle_due(self, cause_id: str) -> None:
        """The same before somebody looks at a cause; drifts of others are not waited for."""
        due, moved, drifts, _ = await self._db.read(self._due, cause_id)
        if due:
            await self._db.write(self._expire)
        await self._reevaluate(moved)
        await self._answer(drifts)

    async def settle_moves(self) -> None:
        """Put what waits under the policy in force."""
        await self._reevaluate(await self._db.read(self._moves.due))

    async def _reevaluate(self, moved: list[str]) -> None:
        for request_id in moved:
            try:
                await self._moves.reevaluate(request_id)
            except Exception:  # it takes no vote meanwhile, and the others do not wait for it
                log.exception("the request %s could not be put under the present policy; it is tried again", request_id)

    def _due(self, conn: Connection, cause_id: str | None) -> tuple[list[str], list[str], list[Drift], bool]:
        now, late = self._clock.now(), bool(self.glass.late(conn))
        return plans.due_requests(conn, now), self._moves.due(conn), unanswered(conn, cause_id), late

    async def _answer(self, drifts: list[Drift]) -> None:
        for found in drifts:
            try:
                await self._drifts.answer(found)
            except Exception:
                log.exception("the drift of %s could not be answered; it is tried again", found.execution)

    def _enough(self, conn: Connection, held: plans.Request) -> bool:
        """Whether what waits has all the approvals its rule asks for: only after a policy that asks for fewer."""
        if held.facts.state.is_final:
            return False
        good = {v.counts_for for v, _ in plans.live_votes(conn, held.facts.id) if v.choice is Choice.APPROVE}
        return len(good) >= held.facts.rule.quorum

    def _expire(self, conn: Connection) -> int:
        now, count = self._clock.now(), 0
        for request_id in plans.due_requests(conn, now):
            held = plans.request(conn, request_id, lock=True)
            if not held.facts.state.is_final:
                self._close(conn, held, RequestState.EXPIRED, "nobody decided in time", now)
                count += 1
        return count

    def _outdated(self, conn: Connection, held: plans.Request) -> Stale | None:
        """Ends a pending request that may no longer be decided, and says why."""
        now = self._clock.now()
        if held.facts.expires_at <= now:
            self._close(conn, held, RequestState.EXPIRED, "nobody decided in time", now)
            return Stale("this request has expired", mend=AGAIN)
        return self._moves.objection(conn, held)
