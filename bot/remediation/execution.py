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
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection

from bot.domain.decisions import ExecutionState, RequestState, StepState
from bot.domain.errors import GatehouseError, NotFound, OutcomeUnknown, RetryLater, Stale
from bot.domain.ids import Clock, IdSource, digest, short_hash
from bot.domain.plans import Call, Change, Plan, PlanKind, fingerprint
from bot.governance.in_force import InForce
from bot.governance.people import People
from bot.governance.policy import Policy
from bot.ports import CloudFactory, PlaybookCatalog, State
from bot.store import controls, findings, ledger, outbox, plans, tellings
from bot.store import standing as standing_store
from bot.store.database import Database

from .binding import unrecorded, unrecorded_glass
from .checks import Checks, Drift, Run, Sleep, late, mismatch
from .standing_guard import Passing, suspend
from .states import inspect

LEASE = timedelta(minutes=5)
CALL_TIMEOUT = 120.0  # well below the lease: a call of a dead worker is over before another takes its place
ATTEMPTS = 3  # of one step
MAX_CLAIMS = 20  # of one execution: then something is wrong that trying again does not mend
VERIFY_WAITS = (0.0, 2.0, 5.0, 10.0)
_ERROR_MAX = 500
DRIFT_FOUND = "drift.found"  # ledger record about an execution

log = logging.getLogger(__name__)


class _Lost(Exception):
    """Another worker took over."""


class _Stop(Exception):
    """The run ends here, as FAILED."""


class _Refused(Exception):
    """Refused before the first step: the run ends as BLOCKED, and can be asked for again."""


class Executor(Checks):
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
        super().__init__(db, catalog, clouds, policy, people, clock, sleep, in_force)
        self._catalog, self._ids = catalog, ids
        self._lease, self._call_timeout = lease, call_timeout
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

    def _load(self, conn: Connection, execution_id: str, fence: int) -> Run:
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
        return Run(
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

    async def _carry_out(self, run: Run) -> None:
        if run.state is not ExecutionState.VERIFYING:
            steps = await self._db.read(plans.steps, run.id)
            why = mismatch(run) or await self._objection(run, begun=bool(steps)) or run.altered
            if isinstance(why, Drift) and run.altered:
                why = run.altered  # what was tampered with is not asked again by itself
            if why and not steps:
                await self._db.write(self._block, run, why)
                return
            await self._apply_all(run, {step.position: step for step in steps}, why)
            await self._db.write(self._progress, run, ExecutionState.VERIFYING)
        await self._verify(run)

    async def _apply_all(self, run: Run, steps: Mapping[int, plans.Step], objection: str) -> None:
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

    async def _apply(self, run: Run, position: int, change: Change, attempts: int) -> None:
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

    async def _already(self, run: Run, position: int, change: Change, *, known: bool) -> bool:
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

    async def _verify(self, run: Run) -> None:
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

    async def _fail(self, run: Run, why: str) -> None:
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

    # --- writing it down: each in one transaction, under the fence ---------------------------------------------------

    def _hold(self, conn: Connection, run: Run, now: datetime, **values: object) -> None:
        if not plans.set_execution(conn, run.id, run.fence, leased=True, leased_until=now + self._lease, **values):
            raise _Lost

    def _progress(self, conn: Connection, run: Run, state: ExecutionState) -> None:
        now = self._clock.now()
        self._hold(conn, run, now, state=state.value)
        outbox.refresh_cause(conn, self._ids, now, run.plan.cause_id)

    def _intend(self, conn: Connection, run: Run, step_id: str, position: int, change: Change) -> None:
        now = self._clock.now()
        self._hold(conn, run, now)
        # In the transaction that permits the call, and after its turn at the ledger: a freeze that was committed before
        # this step's record stops this very step, also where both began at once.
        ledger.lock(conn)
        freeze = controls.freeze_of(conn, run.plan)
        why = freeze.said if freeze and not self._through_freeze(run) else ""
        if run.glass and now > run.glass.until:
            why = why or late(run.glass)
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
        self, conn: Connection, run: Run, step_id: str, change: Change, state: StepState, error: str
    ) -> None:
        now = self._clock.now()
        self._hold(conn, run, now)
        plans.finish_step(conn, step_id, state, now, error=error[:_ERROR_MAX])
        self._note_step(conn, run, step_id, change, state, error, now)

    def _skip(self, conn: Connection, run: Run, step_id: str, position: int, change: Change) -> None:
        self._intend(conn, run, step_id, position, change)
        self._finish_step(conn, run, step_id, change, StepState.SKIPPED, "")

    def _note_step(
        self, conn: Connection, run: Run, step_id: str, change: Change, state: StepState, error: str, now: datetime
    ) -> None:
        body = {"execution": run.id, "decision": run.decision.id, "findings": list(run.plan.finding_ids),
                "summary": change.summary, "call": digest(change.call.model_dump(mode="json")), "fence": run.fence,
                "target": change.target.uid, "error": error[:_ERROR_MAX]}  # fmt: skip
        ledger.append(conn, kind=f"step.{state.value}", subject=step_id, actor="gatehouse", body=body, now=now)

    def _block(self, conn: Connection, run: Run, why: str) -> None:
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
        standing_id = standing_store.id_of_request(conn, request_id) if request_id else ""
        if request_id:
            plans.close_request(conn, request_id, RequestState.VOIDED, now, reason=why)
        body = {"why": why, "plan": held.plan_id, "decision": held.decision_id, "request": request_id,
                "cause": held.cause_id}  # fmt: skip
        if isinstance(why, Drift) and not begun and not standing_id:
            # What ``drifts`` answers, once.
            ledger.append(conn, kind=DRIFT_FOUND, subject=execution_id, actor="gatehouse", body=body, now=now)
        ledger.append(
            conn, kind=f"execution.{state.value}", subject=execution_id, actor="gatehouse", body=body, now=now
        )
        for glass in controls.glass_of_requests(conn, [request_id] if request_id else []):
            outbox.refresh(conn, self._ids, now, "glass", glass.id)
        self._tell(conn, held.cause_id, now, f"Not carried out: {why}." + ("" if begun else " Nothing was changed."))
        if standing_id and (begun or not isinstance(why, Passing)):
            self._suspend(conn, standing_id, execution_id, state, why, now, held.cause_id)

    def _finish(self, conn: Connection, run: Run, state: ExecutionState, why: str, seen: Mapping[str, State]) -> None:
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
            self._suspend(conn, run.covered.use.standing_id, run.id, state, why, now, plan.cause_id)

    def _suspend(
        self,
        conn: Connection,
        standing_id: str,
        execution_id: str,
        state: ExecutionState,
        why: str,
        now: datetime,
        cause_id: str,
    ) -> None:
        said = f"{execution_id} ended as {state.value}: {why}"
        suspend(conn, self._ids, now, self._people, standing_id, said, cause_id=cause_id)

    def _tell(self, conn: Connection, cause_id: str, now: datetime, line: str) -> None:
        outbox.refresh_cause(conn, self._ids, now, cause_id)
        outbox.say_in_thread(conn, self._ids, now, cause_id, line)


def _any_done(steps: Sequence[plans.Step]) -> bool:
    return any(step.state is StepState.DONE for step in steps)


def _unverified(run: Run, seen: Mapping[str, State]) -> str:
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


def _outcome_line(state: ExecutionState, plan: Plan, why: str) -> str:
    if state is ExecutionState.SUCCEEDED:
        return f"Done and verified by reading it back: {plan.title}"
    if state is ExecutionState.UNVERIFIED:
        return f"Carried out, but reading it back does not agree: {why}"
    return f"Failed: {why}"


def _step_id(run: Run, position: int) -> str:
    return short_hash(run.id, str(position), prefix="step-")


def _key(call: Call) -> str:
    return digest(call.model_dump(mode="json"))
