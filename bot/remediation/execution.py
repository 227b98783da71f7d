"""Carrying out an approved plan: exactly once, checked again at the last moment, every call recorded before and after.

Rules
- A worker holds a lease and a fence; a worker that lost either writes nothing more (``_Lost``).
- A step is INTENDED in the store before its call. A step whose outcome is not known is never repeated blindly: the
  resource is read, and only when the change is still needed is the call made again.
- Whatever ends a worker at whatever instant (a crash, a cancellation) leaves a state that ``run`` takes up again.
- What was said to be fixed was read by a reader of its own after the last call.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection

from bot.domain.decisions import ApprovalRule, Decision, ExecutionState, RequestState, StepState
from bot.domain.errors import GatehouseError, NotFound, OutcomeUnknown, RetryLater, Stale
from bot.domain.ids import Clock, IdSource, digest, short_hash
from bot.domain.plans import Call, Change, Plan, PlanKind, Target, fingerprint
from bot.domain.principals import Actor, PlatformIdentity
from bot.governance.in_force import InForce
from bot.governance.people import UNCHECKED, People
from bot.governance.policy import DEFAULT_DENY, Policy
from bot.governance.stead import in_stead
from bot.ports import Attribution, CloudFactory, Playbook, PlaybookCatalog, State
from bot.store import controls, findings, ledger, outbox, plans, tellings
from bot.store import standing as standing_store
from bot.store.database import Database

from .binding import unrecorded, unrecorded_glass
from .standing_guard import Guard, Passing, suspend
from .states import difference, inspect

LEASE = timedelta(minutes=5)
CALL_TIMEOUT = 120.0  # well below the lease: a call of a dead worker is over before another takes its place
ATTEMPTS = 3  # of one step
MAX_CLAIMS = 20  # of one execution: then something is wrong that trying again does not mend
READ_WAITS = (0.0, 1.0, 3.0)
VERIFY_WAITS = (0.0, 2.0, 5.0, 10.0)
_ERROR_MAX = 500
DRIFT_FOUND = "drift.found"  # ledger record about an execution

log = logging.getLogger(__name__)

Sleep = Callable[[float], Awaitable[None]]


class _Lost(Exception):
    """Another worker took over."""


class _Stop(Exception):
    """The run ends here, as FAILED."""


class _Refused(Exception):
    """Refused before the first step: the run ends as BLOCKED, and can be asked for again."""


class _Drift(Passing):
    """The objection that the resource is not as it was: answered with a new request (``reasking``)."""


@dataclass(frozen=True, slots=True)
class _Run:
    """One claim: everything the store says of the execution, and the fence it is written under."""

    id: str
    fence: int
    state: ExecutionState
    plan: Plan
    fixed: Plan | None  # the plan that an UNDO takes back
    decision: Decision
    request: plans.Request
    voters: tuple[tuple[str, PlatformIdentity], ...]  # live approvals of this very plan hash
    steads: Mapping[str, controls.Delegation]  # voter -> the delegation their vote was cast under
    glass: controls.BrokenGlass | None
    covered: standing_store.Covered | None  # the standing approval it runs under, where people were not asked
    altered: str  # why the rows are not what the ledger says was decided, or ""
    undo_exposes: bool
    owner: str
    playbook: Playbook

    @property
    def why(self) -> Attribution:
        found = self.plan.finding_ids[0] if self.plan.finding_ids else ""
        return Attribution(
            finding_id=found,
            plan_id=self.plan.id,
            decision_id=self.decision.id,
            principal_id=self.decision.decided_by[-1] if self.decision.decided_by else "",
        )

    def needed(self, target: Target, state: State) -> list[Change]:
        """What is still to be done to the target in this state, by the playbook's own word."""
        if self.fixed is None:
            return self.playbook.changes(target, state)
        pre = self.fixed.pre_image[target.uid]
        return self.playbook.undo(target, dict(pre) if isinstance(pre, dict) else {}, state)


class Executor:
    """``await .run(execution_id)``; ``.work_once()`` for the scheduler. Safe with any number of workers."""

    def __init__(
        self,
        db: Database,
        catalog: PlaybookCatalog,
        clouds: CloudFactory,
        policy: Policy,
        people: People,
        clock: Clock,
        ids: IdSource,
        worker: str,
        *,
        lease: timedelta = LEASE,
        call_timeout: float = CALL_TIMEOUT,
        sleep: Sleep = asyncio.sleep,
        in_force: InForce | None = None,
    ) -> None:
        self._in_force = in_force or InForce(policy.version)
        self._db, self._catalog, self._clouds, self._policy, self._people = db, catalog, clouds, policy, people
        self._clock, self._ids, self._sleep = clock, ids, sleep
        self._lease, self._call_timeout = lease, call_timeout
        self._guard = Guard(catalog, clouds, policy, people)
        # Two processes given one name must not take each other's lease for their own.
        self._worker = f"{worker}/{ids.new('w')}"
        self._running: set[str] = set()

    async def work_once(self) -> int:
        """Run what is queued and what another worker left behind. Returns how many were taken up."""
        waiting = [x for x in await self._db.read(plans.claimable, self._clock.now()) if x not in self._running]
        outcomes = await asyncio.gather(*(self.run(x) for x in waiting), return_exceptions=True)
        for execution_id, outcome in zip(waiting, outcomes, strict=True):
            if isinstance(outcome, BaseException):
                log.error("execution %s stopped and will be taken up again", execution_id, exc_info=outcome)
        return len(waiting)

    async def run(self, execution_id: str) -> ExecutionState:
        """Carry it out, or go on where a crash left it. Returns the state it is in afterwards."""
        if execution_id not in self._running:
            self._running.add(execution_id)
            try:
                await self._run(execution_id)
            finally:
                self._running.discard(execution_id)
        return (await self._db.read(plans.execution, execution_id)).state

    async def _run(self, execution_id: str) -> None:
        fence = await self._db.write(self._claim, execution_id)
        if fence is None:
            return
        try:
            await self._run_claimed(execution_id, fence)
        except _Lost:
            log.warning("execution %s was taken over by another worker", execution_id)

    async def _run_claimed(self, execution_id: str, fence: int) -> None:
        try:
            run = await self._db.read(self._load, execution_id, fence)
        except (Stale, NotFound) as error:
            await self._db.write(self._end_unread, execution_id, fence, error.reason)
            return
        if fence > MAX_CLAIMS:
            await self._fail(run, f"given up after {MAX_CLAIMS} tries; the log of the worker says why")
            return
        try:
            await self._carry_out(run)
        except _Refused as refused:
            await self._db.write(self._block, run, Passing(refused))
        except _Stop as stop:
            await self._fail(run, str(stop))

    # --- taking it up ------------------------------------------------------------------------------------------------

    def _claim(self, conn: Connection, execution_id: str) -> int | None:
        now = self._clock.now()
        held = plans.execution(conn, execution_id, lock=True)
        leased = held.leased_until is not None and held.leased_until > now and held.leased_by != self._worker
        if held.state.is_final or leased:
            return None
        fence = held.fence + 1
        state = ExecutionState.RUNNING if held.state is ExecutionState.QUEUED else held.state
        plans.take_execution(
            conn, execution_id, fence, by=self._worker, until=now + self._lease, state=state,
            started_at=held.started_at or now,
        )  # fmt: skip
        body = {"worker": self._worker, "fence": fence, "decision": held.decision_id, "plan": held.plan_id}
        ledger.append(conn, kind="execution.claimed", subject=execution_id, actor="gatehouse", body=body, now=now)
        if held.state is ExecutionState.QUEUED:
            outbox.refresh_cause(conn, self._ids, now, held.cause_id)
        return fence

    def _load(self, conn: Connection, execution_id: str, fence: int) -> _Run:
        held = plans.execution(conn, execution_id)
        plan = plans.plan(conn, held.plan_id)
        decision = plans.decision(conn, held.decision_id)
        request = plans.request(conn, decision.request_id)
        votes = plans.live_votes(conn, request.facts.id)
        fixed = plans.plan(conn, plans.execution(conn, plan.undoes).plan_id) if plan.undoes else None
        steads: dict[str, controls.Delegation] = {}
        for vote, _ in votes:
            if vote.stands_for:
                lent = controls.delegation(conn, vote.delegation_id)
                if lent is None or (lent.from_id, lent.to_id) != (vote.stands_for, vote.principal_id):
                    raise Stale(f"the vote of {vote.principal_id} stands for nobody who said so")
                steads[vote.principal_id] = lent
        covered = standing_store.covered(conn, request.facts.id)
        glass = controls.glass_of(conn, request.facts.id)
        altered = unrecorded(conn, decision, request.facts, votes, covered)
        playbook = self._catalog.get(plan.playbook)
        if playbook.info.version != plan.playbook_version:
            raise Stale(f"the playbook {plan.playbook} changed since the plan was made")
        return _Run(
            id=execution_id,
            fence=fence,
            state=held.state,
            plan=plan,
            fixed=fixed,
            decision=decision,
            request=request,
            voters=tuple(
                (vote.principal_id, identity)
                for vote, identity in votes
                if vote.choice.value == "approve" and vote.plan_hash == plan.hash
            ),
            steads=steads,
            glass=glass,
            covered=covered,
            altered=altered or (unrecorded_glass(conn, glass) if glass else ""),
            undo_exposes=playbook.info.undo_exposes,
            owner=plans.cause(conn, held.cause_id).owner,
            playbook=playbook,
        )

    # --- the run -----------------------------------------------------------------------------------------------------

    async def _carry_out(self, run: _Run) -> None:
        if run.state is not ExecutionState.VERIFYING:
            steps = await self._db.read(plans.steps, run.id)
            why = _mismatch(run) or await self._objection(run, begun=bool(steps)) or run.altered
            if isinstance(why, _Drift) and run.altered:
                why = run.altered  # what was tampered with is not asked again by itself
            if why and not steps:
                await self._db.write(self._block, run, why)
                return
            await self._apply_all(run, {step.position: step for step in steps}, why)
            await self._db.write(self._progress, run, ExecutionState.VERIFYING)
        await self._verify(run)

    async def _apply_all(self, run: _Run, steps: Mapping[int, plans.Step], objection: str) -> None:
        for position, change in enumerate(run.plan.changes):
            step = steps.get(position)
            if step and step.state in {StepState.DONE, StepState.SKIPPED}:
                continue
            if step and step.state is StepState.FAILED:
                raise _Stop(f"{change.summary}: {step.error}")
            attempts = step.attempts if step else 0
            if step:
                await self._wait_for_call(step)
            if steps:
                # Taken up again: the resource tells what of this change is still to be done.
                if await self._already(run, position, change, known=step is not None):
                    continue
                if objection:
                    raise _Stop(f"stopped before “{change.summary}”: {objection}")
            await self._apply(run, position, change, attempts)

    async def _apply(self, run: _Run, position: int, change: Change, attempts: int) -> None:
        step_id = _step_id(run, position)
        writer = self._clouds.writer(run.why)
        said = "its outcome stayed unknown"
        while attempts < ATTEMPTS:
            attempts += 1
            await self._db.write(self._intend, run, step_id, position, change)
            wait = float(2**attempts)
            try:
                async with asyncio.timeout(self._call_timeout):
                    await writer.write(change.call, idempotency_key=step_id)
            except RetryLater as error:
                said, wait = error.reason, min(error.after or wait, 60.0)
            except GatehouseError as error:
                if not isinstance(error, OutcomeUnknown):
                    await self._db.write(self._finish_step, run, step_id, change, StepState.FAILED, error.reason)
                    raise _Stop(f"{change.summary}: {error.reason}") from error
                said = error.reason
            except Exception as error:
                said = f"{type(error).__name__}: {error}"[:_ERROR_MAX]
            else:
                await self._db.write(self._finish_step, run, step_id, change, StepState.DONE, "")
                return
            await self._db.write(self._finish_step, run, step_id, change, StepState.UNKNOWN, said)
            await self._sleep(wait)
            if await self._already(run, position, change, known=True):
                return
        said = f"{said}; tried {attempts} times, the resource does not show the change"
        await self._db.write(self._finish_step, run, step_id, change, StepState.FAILED, said)
        raise _Stop(f"{change.summary}: {said}")

    async def _already(self, run: _Run, position: int, change: Change, *, known: bool) -> bool:
        """Read the resource: True when the change is there already. Somebody else's edit in between stops the run."""
        try:
            state = (await self._inspect(run, (change.target,)))[change.target.uid]
        except GatehouseError as error:
            raise _Stop(f"cannot tell whether “{change.summary}” happened: {error.reason}") from error
        needed = {_key(item.call): item for item in run.needed(change.target, state)}
        step_id = _step_id(run, position)
        if _key(change.call) in needed:
            return False
        planned = {_key(item.call) for item in run.plan.changes}
        drifted = [
            item
            for key, item in needed.items()
            if key not in planned
            and (item.call.service, item.call.operation) == (change.call.service, change.call.operation)
        ]
        if drifted:
            said = "the resource was changed by somebody else in between"
            if known:
                await self._db.write(self._finish_step, run, step_id, change, StepState.FAILED, said)
            raise _Stop(f"{change.summary}: {said}")
        if known:
            await self._db.write(self._finish_step, run, step_id, change, StepState.DONE, "")
        else:
            await self._db.write(self._skip, run, step_id, position, change)
        return True

    async def _wait_for_call(self, step: plans.Step) -> None:
        """A call that another task or worker began may still be on its way: let its time run out before reading."""
        left = (step.intended_at - self._clock.now()).total_seconds() + self._call_timeout
        if step.state is StepState.INTENDED and left > 0:
            # It began before now, whatever the other replica's clock said.
            await self._sleep(min(left, self._call_timeout))

    async def _verify(self, run: _Run) -> None:
        why, seen = "", {}
        for wait in VERIFY_WAITS:
            if wait:
                await self._sleep(wait)
                await self._db.write(self._progress, run, ExecutionState.VERIFYING)
            try:
                seen = await inspect(self._clouds.reader(run.why), run.playbook, run.plan.targets)
            except GatehouseError as error:
                why = f"the result could not be read: {error.reason}"
                continue
            why = _unverified(run, seen)
            if not why:
                break
        state = ExecutionState.UNVERIFIED if why else ExecutionState.SUCCEEDED
        await self._db.write(self._finish, run, state, why, seen)

    async def _fail(self, run: _Run, why: str) -> None:
        """Ends as FAILED; what was changed before stays undoable."""
        seen: dict[str, State] = {}
        steps = await self._db.read(plans.steps, run.id)
        done = [step for step in steps if step.state is StepState.DONE]
        if done:
            made = "; ".join(step.summary for step in done)
            why = f"{why} ({len(done)} of {len(run.plan.changes)} changes were made: {made})"
            try:
                seen = await self._inspect(run, run.plan.targets)
            except GatehouseError as error:
                why = f"{why}; the resource could not be read afterwards: {error.reason}"
        await self._db.write(self._finish, run, ExecutionState.FAILED, why, seen)

    async def _inspect(self, run: _Run, targets: Sequence[Target]) -> dict[str, State]:
        last: GatehouseError | None = None
        for wait in READ_WAITS:
            if wait:
                await self._sleep(wait)
            try:
                return await inspect(self._clouds.reader(run.why), run.playbook, targets)
            except GatehouseError as error:
                last = error
        assert last is not None
        raise last

    # --- checked again -----------------------------------------------------------------------------------------------

    async def _objection(self, run: _Run, *, begun: bool) -> str:
        """Why this must not be executed (any more), or "". Everything is read now."""
        why = await self._people_object(run)
        if why:
            return why
        steps = await self._db.read(plans.steps, run.id) if begun else []
        touched = {run.plan.changes[step.position].target.uid for step in steps}
        targets = [target for target in run.plan.targets if target.uid not in touched]
        if not begun and self._clock.now() > self._latest(run):
            return Passing("the decision is too old")
        if not targets:
            return ""
        try:
            states = await self._inspect(run, targets)
        except GatehouseError as error:
            return f"the resource cannot be read: {error.reason}"
        expected = {target.uid: run.plan.pre_image[target.uid] for target in targets}
        if fingerprint(states) != fingerprint(expected):
            return _Drift(f"the resource changed since the plan was made: {difference(expected, states)}")
        return ""

    async def _people_object(self, run: _Run) -> str:
        through = self._through_freeze(run)
        if self._policy.frozen and not through:
            return Passing("changes are frozen (governance.freeze)")
        freeze = await self._db.read(controls.freeze_of, run.plan)
        if freeze and not through:
            return Passing(freeze.said)
        if run.covered:
            return await self._standing_objects(run, run.covered)
        if self._policy.version == run.decision.policy_version:
            return await self._votes_object(run, run.request.facts.rule)
        # Decided under another policy: it still has to be satisfied under the one in force now.
        if await self._db.read(self._in_force.behind):
            return "the policy changed since the decision, and this replica still runs an older one"
        rule = self._policy.rule_for(run.plan)
        if rule.typed_confirmation and not run.request.facts.rule.typed_confirmation:
            why = f"{rule.name} now asks approvers to type the number of resources"
        else:
            why = await self._votes_object(run, rule)
        return f"the policy changed since the decision, and under the new one: {why}" if why else ""

    async def _standing_objects(self, run: _Run, covered: standing_store.Covered) -> str:
        """Asked of the policy in force now, whatever was in force at the grant and at the decision."""
        if self._policy.version != run.decision.policy_version and await self._db.read(self._in_force.behind):
            return Passing("the policy changed since the decision, and this replica still runs an older one")
        open_now = await self._db.read(plans.open_findings, run.plan.cause_id)
        return await self._guard.objection(
            covered, run.plan, run.decision, run.owner, open_now, self._clock.now(), self._fresh
        )

    def _through_freeze(self, run: _Run) -> bool:
        """A glass broken under a rule that lets it through a freeze, then and now."""
        if run.glass is None or not run.request.facts.rule.break_glass_through_freeze:
            return False
        return self._policy.rule_for(run.plan).break_glass_through_freeze

    async def _votes_object(self, run: _Run, rule: ApprovalRule) -> str:
        if run.glass:
            return await self._glass_objects(run, run.glass, rule)
        request = run.request.facts
        permitted, said = set(), ""
        for principal_id, identity in run.voters:
            if principal_id not in run.decision.decided_by:
                continue
            actor = await self._fresh(principal_id, identity)
            context = {
                "rule": rule,
                "is_requester": principal_id == request.requested_by,
                "executing": True,
                "owner": run.owner,
                "undo_exposes": run.undo_exposes,
            }
            verdict = self._policy.may(actor, "approve", run.plan, context)
            final = self._policy.may(actor, "execute", run.plan, context)
            apart = rule.four_eyes and principal_id == request.requested_by
            apart = apart or (rule.owner_apart and self._people.owns(run.owner, actor))
            lent = run.steads.get(principal_id)
            if lent:
                if lent.ended_at:
                    said = f"{lent.from_id} no longer lets {actor.principal.name} vote in their stead"
                    continue
                other = await self._fresh(lent.from_id, lent.from_identity)
                verdict = in_stead(self._policy, actor, other, "approve", run.plan, context, request.requested_by)
                apart = apart or (rule.four_eyes and lent.from_id == request.requested_by)
                apart = apart or (rule.owner_apart and self._people.owns(run.owner, other))
            # Nothing needs to permit "execute" beside "approve"; an explicit forbid of it stops.
            if not verdict.allowed:
                said = f"{actor.principal.name} may no longer approve this: {verdict.reason} ({verdict.rule})"
            elif not final.allowed and final.rule != DEFAULT_DENY:
                said = f"{final.reason} ({final.rule})"
            elif apart:
                said = f"{actor.principal.name} may not approve this ({rule.name})"
            else:
                permitted.add(lent.from_id if lent else principal_id)
        if len(permitted) < rule.quorum:
            return said or f"{len(permitted)} of {rule.quorum} approvals still hold"
        return ""

    async def _glass_objects(self, run: _Run, glass: controls.BrokenGlass, rule: ApprovalRule) -> str:
        if self._clock.now() > glass.until:
            return _late(glass)
        if run.decision.decided_by != (glass.by,):
            return "the decision is not the one the glass was broken for"
        actor = await self._fresh(glass.by, glass.identity)
        context = {"rule": rule, "executing": True, "owner": run.owner, "glass": True,
                   "is_requester": True, "undo_exposes": run.undo_exposes}  # fmt: skip
        for action in ("break_glass", "execute"):
            verdict = self._policy.may(actor, action, run.plan, context)
            if not verdict.allowed and (action == "break_glass" or verdict.rule != DEFAULT_DENY):
                return f"{verdict.reason} ({verdict.rule})"
        return ""

    async def _fresh(self, principal_id: str, identity: PlatformIdentity) -> Actor:
        """The approver as of now; a platform that stumbles is asked again before it counts against them."""
        actor = await self._people.fresh(principal_id, identity)
        for wait in READ_WAITS[1:]:
            if not actor.standing.note.startswith(UNCHECKED):
                break
            await self._sleep(wait)
            actor = await self._people.fresh(principal_id, identity)
        return actor

    def _latest(self, run: _Run) -> datetime:
        minutes = run.request.facts.rule.expires_minutes
        if self._policy.version != run.decision.policy_version:
            minutes = min(minutes, self._policy.rule_for(run.plan).expires_minutes)
        return min(run.plan.expires_at, run.decision.decided_at + timedelta(minutes=minutes))

    # --- writing it down: each in one transaction, under the fence ---------------------------------------------------

    def _hold(self, conn: Connection, run: _Run, now: datetime, **values: object) -> None:
        if not plans.set_execution(conn, run.id, run.fence, leased=True, leased_until=now + self._lease, **values):
            raise _Lost

    def _progress(self, conn: Connection, run: _Run, state: ExecutionState) -> None:
        now = self._clock.now()
        self._hold(conn, run, now, state=state.value)
        outbox.refresh_cause(conn, self._ids, now, run.plan.cause_id)

    def _intend(self, conn: Connection, run: _Run, step_id: str, position: int, change: Change) -> None:
        now = self._clock.now()
        self._hold(conn, run, now)
        # In the transaction that permits the call, and after its turn at the ledger: a freeze that was committed before
        # this step's record stops this very step, also where both began at once.
        ledger.lock(conn)
        freeze = controls.freeze_of(conn, run.plan)
        why = freeze.said if freeze and not self._through_freeze(run) else ""
        if run.glass and now > run.glass.until:
            why = why or _late(run.glass)
        if run.covered:
            why = why or standing_store.withdrawn(conn, run.covered.use.standing_id)
        if why:
            if not plans.steps(conn, run.id):
                raise _Refused(why)
            raise _Stop(f"stopped before “{change.summary}”: {why}")
        plans.intend_step(
            conn, step_id=step_id, execution_id=run.id, position=position, summary=change.summary,
            call=change.call.model_dump(mode="json"), fence=run.fence, now=now,
        )  # fmt: skip
        self._note_step(conn, run, step_id, change, StepState.INTENDED, "", now)

    def _finish_step(
        self, conn: Connection, run: _Run, step_id: str, change: Change, state: StepState, error: str
    ) -> None:
        now = self._clock.now()
        self._hold(conn, run, now)
        plans.finish_step(conn, step_id, state, now, error=error[:_ERROR_MAX])
        self._note_step(conn, run, step_id, change, state, error, now)

    def _skip(self, conn: Connection, run: _Run, step_id: str, position: int, change: Change) -> None:
        self._intend(conn, run, step_id, position, change)
        self._finish_step(conn, run, step_id, change, StepState.SKIPPED, "")

    def _note_step(
        self, conn: Connection, run: _Run, step_id: str, change: Change, state: StepState, error: str, now: datetime
    ) -> None:
        body = {"execution": run.id, "decision": run.decision.id, "findings": list(run.plan.finding_ids),
                "summary": change.summary, "call": digest(change.call.model_dump(mode="json")), "fence": run.fence,
                "target": change.target.uid, "error": error[:_ERROR_MAX]}  # fmt: skip
        ledger.append(conn, kind=f"step.{state.value}", subject=step_id, actor="gatehouse", body=body, now=now)

    def _block(self, conn: Connection, run: _Run, why: str) -> None:
        self._end_unread(conn, run.id, run.fence, why)

    def _end_unread(self, conn: Connection, execution_id: str, fence: int, why: str) -> None:
        """Refused at the last moment: nothing was changed, and what was approved is void."""
        now = self._clock.now()
        held = plans.execution(conn, execution_id)
        begun = bool(plans.steps(conn, execution_id))  # only when the plan was altered after a crash
        state = ExecutionState.FAILED if begun else ExecutionState.BLOCKED
        values = {"state": state.value, "why": why, "finished_at": now, "leased_until": None}
        if not plans.set_execution(conn, execution_id, fence, leased=True, **values):
            raise _Lost
        request_id = plans.request_of_decision(conn, held.decision_id)
        covered = standing_store.covered(conn, request_id) if request_id else None
        if request_id:
            plans.close_request(conn, request_id, RequestState.VOIDED, now, reason=why)
        body = {"why": why, "plan": held.plan_id, "decision": held.decision_id, "request": request_id,
                "cause": held.cause_id}  # fmt: skip
        if isinstance(why, _Drift) and not begun and not covered:
            # What ``reasking`` answers, once.
            ledger.append(conn, kind=DRIFT_FOUND, subject=execution_id, actor="gatehouse", body=body, now=now)
        ledger.append(
            conn, kind=f"execution.{state.value}", subject=execution_id, actor="gatehouse", body=body, now=now
        )
        for glass in controls.glass_of_requests(conn, [request_id] if request_id else []):
            outbox.refresh(conn, self._ids, now, "glass", glass.id)
        self._tell(conn, held.cause_id, now, f"Not carried out: {why}." + ("" if begun else " Nothing was changed."))
        if covered and (begun or not isinstance(why, Passing)):
            self._suspend(conn, covered, execution_id, state, why, now, held.cause_id)

    def _finish(self, conn: Connection, run: _Run, state: ExecutionState, why: str, seen: Mapping[str, State]) -> None:
        now, plan = self._clock.now(), run.plan
        self._hold(conn, run, now, state=state.value, why=why, finished_at=now, post_image=plans.as_text(dict(seen)))
        body = {"state": state.value, "why": why, "plan": plan.id, "decision": run.decision.id, "kind": plan.kind.value,
                "findings": list(plan.finding_ids), "post": fingerprint(dict(seen)), "undoes": plan.undoes}  # fmt: skip
        ledger.append(conn, kind="execution.finished", subject=run.id, actor="gatehouse", body=body, now=now)
        if state is ExecutionState.SUCCEEDED and plan.kind is PlanKind.FIX:
            findings.resolve_by_fix(
                conn, self._ids, now, execution_id=run.id, cause_id=plan.cause_id, finding_ids=plan.finding_ids
            )
            note = f"Fixed and verified by Gatehouse ({run.id}, decision {run.decision.id})"
            tellings.tell(conn, plan.finding_ids, to="fixed", note=note, reason_id=run.id, now=now)
        elif state is ExecutionState.FAILED and plan.undoes and _any_done(plans.steps(conn, run.id)):
            # Taken back by half: the fix no longer stands, so that it can be asked for again.
            findings.reopen(
                conn, self._ids, now, cause_id=plan.cause_id, reason="undo failed half-way",
                finding_ids=plan.finding_ids,
            )  # fmt: skip
        elif state is ExecutionState.SUCCEEDED and plan.undoes:
            plans.mark_undone(conn, plan.undoes, run.id)
            findings.reopen(
                conn, self._ids, now, cause_id=plan.cause_id, reason="fix undone", finding_ids=plan.finding_ids
            )
            note = f"The fix was undone in Gatehouse ({run.id}, decision {run.decision.id})"
            tellings.tell(conn, plan.finding_ids, to="reopened", note=note, reason_id=run.id, now=now)
        self._tell(conn, plan.cause_id, now, _outcome_line(state, plan, why))
        if run.glass:
            outbox.refresh(conn, self._ids, now, "glass", run.glass.id)
        if run.covered and state is not ExecutionState.SUCCEEDED:
            self._suspend(conn, run.covered, run.id, state, why, now, plan.cause_id)

    def _suspend(
        self,
        conn: Connection,
        covered: standing_store.Covered,
        execution_id: str,
        state: ExecutionState,
        why: str,
        now: datetime,
        cause_id: str,
    ) -> None:
        said = f"{execution_id} ended as {state.value}: {why}"
        suspend(conn, self._ids, now, self._people, covered.use.standing_id, said, cause_id=cause_id)

    def _tell(self, conn: Connection, cause_id: str, now: datetime, line: str) -> None:
        outbox.refresh_cause(conn, self._ids, now, cause_id)
        outbox.say_in_thread(conn, self._ids, now, cause_id, line)


def _mismatch(run: _Run) -> str:
    """Why what is stored does not belong together, or ""."""
    decision, request, plan = run.decision, run.request.facts, run.plan
    if decision.outcome is not RequestState.APPROVED or request.state is not RequestState.APPROVED:
        return f"the request is {request.state.value}, not approved"
    if not decision.covers == request.plan_hash == plan.hash or decision.plan_id != plan.id:
        return "the decision does not cover this plan"
    if request.fingerprint != plan.fingerprint or fingerprint(plan.pre_image) != plan.fingerprint:
        return "the plan's picture of the resource is not the one that was approved"
    return ""


def _any_done(steps: Sequence[plans.Step]) -> bool:
    return any(step.state is StepState.DONE for step in steps)


def _unverified(run: _Run, seen: Mapping[str, State]) -> str:
    said = []
    for target in run.plan.targets:
        if run.fixed is not None:
            left = run.needed(target, seen[target.uid])
            if left:
                said.append(f"{target.name or target.uid}: {left[0].summary} is still to be done")
            continue
        result = run.playbook.verify(target, seen[target.uid])
        if not result.ok:
            said.append(f"{target.name or target.uid}: {result.why}")
    return "; ".join(said)


def _late(glass: controls.BrokenGlass) -> str:
    return f"the broken glass was for until {glass.until:%H:%M} UTC"


def _outcome_line(state: ExecutionState, plan: Plan, why: str) -> str:
    if state is ExecutionState.SUCCEEDED:
        return f"Done and verified by reading it back: {plan.title}"
    if state is ExecutionState.UNVERIFIED:
        return f"Carried out, but reading it back does not agree: {why}"
    return f"Failed: {why}"


def _step_id(run: _Run, position: int) -> str:
    return short_hash(run.id, str(position), prefix="step-")


def _key(call: Call) -> str:
    return digest(call.model_dump(mode="json"))
