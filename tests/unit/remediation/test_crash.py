"""Exactly once: whatever ends a worker at whatever await, and however many workers there are."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from bot.domain.errors import OutcomeUnknown, Refused, RetryLater
from bot.domain.views import Option
from bot.durable.replicas import release
from bot.remediation.execution import CALL_TIMEOUT
from bot.store import plans

from .conftest import Crash

ALL = [("desk", "paint"), ("desk", "switch"), ("hall", "paint"), ("hall", "switch")]


class Fuse:
    """Blows at the n-th await of the executor that does anything outside it: store, cloud, directory, sleep."""

    def __init__(self, world, at: int, blow: type[BaseException]) -> None:
        self.count, self.at, self.blow, self.world = 0, at, blow, world
        db = world.db
        self._read, self._write, self._fresh = db.read, db.write, world.people.fresh
        db.read, db.write = self._around(db.read), self._around(db.write)
        world.people.fresh = self._around(world.people.fresh)
        world.cloud.before_write = world.cloud.after_write = world.cloud.before_read = self._cloud

    def _around(self, fn):
        async def wrapped(*args, **kwargs):
            self._tick()
            result = await fn(*args, **kwargs)
            self._tick()
            return result

        return wrapped

    async def _cloud(self, _call) -> None:
        self._tick()

    def _tick(self) -> None:
        self.count += 1
        if self.count == self.at:
            raise self.blow

    def remove(self) -> None:
        self.world.db.read, self.world.db.write, self.world.people.fresh = self._read, self._write, self._fresh
        self.world.cloud.before_write = self.world.cloud.after_write = self.world.cloud.before_read = None


async def _undo_execution(world) -> str:
    fixed = await world.approved()
    await world.executor.run(fixed)
    olga = await world.actor("UOLGA")
    view = await world.approvals.look_undo(fixed, olga)
    await world.vote(await world.approvals.ask(view.plan.id, view.plan_hash, olga))
    world.cloud.effects.clear()
    return (await world.db.read(plans.claimable, world.clock.now()))[0]


@pytest.mark.parametrize(
    ("kind", "blow", "lamps"),
    [("fix", Crash, ("desk", "hall")), ("fix", asyncio.CancelledError, ("hall",)), ("undo", Crash, ("hall",))],
)
async def test_a_crash_at_any_await_never_repeats_a_change_and_never_loses_one(tmp_path, make_world, kind, blow, lamps):
    at = 0
    while True:
        at += 1
        world = make_world(name=f"{at}.db", lamps=lamps)
        try:
            execution_id = await (world.approved() if kind == "fix" else _undo_execution(world))
            fuse = Fuse(world, at, blow)
            with contextlib.suppress(blow, BaseExceptionGroup):  # a task group wraps what its readers raise
                await world.executor.run(execution_id)
            blown = fuse.count >= at
            fuse.remove()
            if not blown:
                break
            if blow is Crash:  # another process finds it when the lease has run out
                world.clock.pass_(minutes=6)
                await world.new_executor("w2").work_once()
            else:  # the same process, at once
                await world.executor.run(execution_id)
            held = await world.execution(execution_id)
            assert (at, held.state.value, held.why) == (at, "succeeded", "")
            assert sorted(world.cloud.effects) == [e for e in ALL if e[0] in lamps], f"crash at await {at}"
            assert await world.ledger_ok()
            kinds = await world.kinds()
            assert kinds.count("execution.finished") == (1 if kind == "fix" else 2), f"crash at await {at}"
            assert await world.finding_statuses() == {"resolved" if kind == "fix" else "reopened"}
        finally:
            await world.db.close()
    assert at > 20  # the fuse really sat at every await


async def test_two_workers_at_once_make_one_execution(world):
    execution_id = await world.approved()
    gate = asyncio.Event()

    async def slow(_call) -> None:
        gate.set()
        await asyncio.sleep(0.02)

    world.cloud.before_write = slow
    other = world.new_executor("w1")  # even with the same configured name
    await asyncio.gather(
        world.executor.work_once(), other.work_once(), world.executor.run(execution_id), other.run(execution_id)
    )
    assert gate.is_set()
    assert sorted(world.cloud.effects) == ALL
    assert (await world.kinds()).count("execution.finished") == 1
    assert (await world.execution(execution_id)).state.value == "succeeded"


async def test_a_worker_that_lost_its_lease_writes_nothing_more(world):
    execution_id = await world.approved()
    other = world.new_executor("w2")

    async def taken_over(_call) -> None:
        world.cloud.before_write = None
        world.clock.pass_(minutes=6)
        await other.run(execution_id)

    world.cloud.before_write = taken_over
    await world.executor.run(execution_id)
    assert (await world.execution(execution_id)).state.value == "succeeded"
    assert (await world.kinds()).count("execution.finished") == 1
    assert await world.ledger_ok()
    steps = await world.steps(execution_id)
    assert [s.state.value for s in steps] == ["done"] * 4


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("error", [OutcomeUnknown("timed out"), RetryLater("slow down", after=7), OSError("reset")])
async def test_an_unknown_outcome_is_settled_by_reading(world, when, error):
    execution_id = await world.approved()

    async def once(_call) -> None:
        setattr(world.cloud, f"{when}_write", None)
        raise error

    setattr(world.cloud, f"{when}_write", once)
    await world.executor.run(execution_id)
    assert (await world.execution(execution_id)).state.value == "succeeded"
    assert sorted(world.cloud.effects) == ALL
    assert "step.unknown" in await world.kinds()
    assert world.slept


async def test_the_repeated_call_has_the_same_idempotency_key(world):
    execution_id = await world.approved()
    seen = []

    async def keep(call) -> None:
        if not seen:
            seen.append(call)
            raise OutcomeUnknown("timed out")

    world.cloud.before_write = keep
    await world.executor.run(execution_id)
    assert world.cloud.keys[0] == (await world.steps(execution_id))[0].id
    assert len(set(world.cloud.keys)) == 4


async def test_a_step_that_never_shows_ends_the_run_after_three_tries(world):
    execution_id = await world.approved()

    async def lost(_call) -> None:
        raise OutcomeUnknown("timed out")

    world.cloud.before_write = lost
    assert (await world.executor.run(execution_id)).value == "failed"
    steps = await world.steps(execution_id)
    assert [(s.state.value, s.attempts) for s in steps] == [("failed", 3)]
    assert "tried 3 times" in (await world.execution(execution_id)).why
    assert world.cloud.effects == []


async def test_a_refused_step_stops_the_rest_and_says_what_was_done(world):
    execution_id = await world.approved()

    async def refuse(call) -> None:
        if call.operation == "paint":
            raise Refused("AccessDenied: no paint for you")

    world.cloud.before_write = refuse
    assert (await world.executor.run(execution_id)).value == "failed"
    held = await world.execution(execution_id)
    assert "AccessDenied" in held.why
    assert "1 of 4 changes were made: switch desk to False" in held.why
    assert world.cloud.effects == [("desk", "switch")]
    assert await world.finding_statuses() == {"open"}
    # What was done can be taken back.
    world.cloud.before_write = None
    view = await world.approvals.look_undo(execution_id, await world.actor("UOLGA"))
    assert [c.summary for c in view.plan.changes] == ["switch desk to True"]


async def test_somebody_elses_edit_during_a_crash_stops_the_run(world):
    execution_id = await world.approved()
    calls = []

    async def die(call) -> None:
        calls.append(call)
        if len(calls) == 2:
            raise Crash

    world.cloud.before_write = die
    with pytest.raises(Crash):
        await world.executor.run(execution_id)
    world.cloud.before_write = None
    world.cloud.lamps["hall"]["on"] = "blinking"
    world.clock.pass_(minutes=6)
    assert (await world.new_executor("w2").run(execution_id)).value == "failed"
    assert "changed since the plan" in (await world.execution(execution_id)).why
    assert ("hall", "switch") not in world.cloud.effects


async def test_what_the_reader_does_not_confirm_is_unverified_and_stays_open(world):
    execution_id = await world.approved()

    async def flicker(call) -> None:
        if call.operation == "paint":
            world.cloud.lamps[call.params["lamp"]]["on"] = True

    world.cloud.after_write = flicker
    assert (await world.executor.run(execution_id)).value == "unverified"
    held = await world.execution(execution_id)
    assert "still on" in held.why
    assert await world.finding_statuses() == {"open"}
    assert len(world.slept) == 3


async def test_verification_waits_for_what_settles_late(world):
    execution_id = await world.approved()
    state = {"reads": 0}

    async def late(call) -> None:
        if world.cloud.effects:
            state["reads"] += 1
            world.cloud.lamps["desk"]["on"] = state["reads"] < 4

    world.cloud.before_read = late
    assert (await world.executor.run(execution_id)).value == "succeeded"
    assert world.slept


async def test_the_undo_button_refuses_when_somebody_changed_the_resource(world):
    execution_id = await world.approved()
    await world.executor.run(execution_id)
    world.cloud.lamps["desk"]["colour"] = "pink"
    with pytest.raises(Exception, match='desk/colour was "grey", is "pink"'):
        await world.approvals.look_undo(execution_id, await world.actor("UOLGA"))


async def test_a_view_before_asking_lets_the_requester_ask_only(world):
    view = await world.approvals.look(world.cause, await world.actor("UANN"))
    assert view.option(Option.ASK).allowed
    assert not view.option(Option.APPROVE).allowed
    assert "cannot approve" in view.option(Option.APPROVE).why_not


async def test_a_clock_that_is_behind_waits_no_longer_than_a_call_can_take(world):
    execution = await world.approved()

    async def dies(_call):
        raise Crash

    world.cloud.before_write = dies
    with contextlib.suppress(Crash):
        await world.executor.run(execution)
    world.cloud.before_write = None
    await world.db.write(release, "w1")  # what a survivor does
    world.clock.pass_(hours=-1)
    await world.new_executor("w2").run(execution)
    assert sorted(world.cloud.effects) == ALL
    assert max(world.slept) <= CALL_TIMEOUT


async def test_who_was_declared_dead_writes_nothing_more_also_before_another_took_over(world):
    execution = await world.approved()

    async def declared_dead(_call):
        world.cloud.before_read = None
        await world.db.write(release, "w1")

    world.cloud.before_read = declared_dead  # after the claim, before the first step
    await world.executor.run(execution)
    assert world.cloud.effects == []
    assert "step.intended" not in await world.kinds()
    await world.new_executor("w2").run(execution)
    assert sorted(world.cloud.effects) == ALL
