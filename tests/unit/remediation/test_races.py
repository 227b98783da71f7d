"""What lands between the last check and the first step: either it wins and nothing happened, or it is refused."""

from __future__ import annotations

import asyncio

import pytest

from bot.domain.decisions import ExecutionState, RequestState
from bot.domain.errors import Conflict, Stale
from bot.domain.plans import Risk
from bot.governance.controls import Controls
from bot.store import plans

from .conftest import World, who


def _controls(world: World) -> Controls:
    return Controls(world.db, world.policy, world.people, world.clock, world.ids)


async def test_a_freeze_after_the_last_check_blocks_and_can_be_asked_for_again(world):
    execution_id = await world.approved()
    objection = world.executor._objection

    async def checked(*args: object, **more: object) -> str:
        why = await objection(*args, **more)
        await _controls(world).freeze(await world.actor("UANN"), "incident 7")
        return why

    world.executor._objection = checked
    assert await world.executor.run(execution_id) is ExecutionState.BLOCKED
    held = await world.execution(execution_id)
    assert "incident 7" in held.why
    assert await world.steps(execution_id) == []
    assert world.cloud.effects == []
    request = await world.db.read(plans.request, (await world.db.read(plans.decision, held.decision_id)).request_id)
    assert request.facts.state is RequestState.VOIDED
    assert (await world.lines())[-1].endswith("Nothing was changed.")
    await _controls(world).unfreeze(await world.actor("UANN"), "over")
    world.govern()
    assert await world.executor.run(await world.approved()) is ExecutionState.SUCCEEDED


async def test_a_delegation_ended_after_the_vote_no_longer_carries_it(world):
    ann = await world.actor("UANN")
    await _controls(world).delegate(ann, who("UNICK"), "7d away")
    request = await world.vote(await world.ask(), "UNICK")
    assert request.state is RequestState.APPROVED
    await _controls(world).undelegate(ann, who("UNICK"))
    execution_id = await world.db.read(plans.execution_of_request, request.id)
    assert await world.executor.run(execution_id) is ExecutionState.BLOCKED
    assert "no longer lets Nick Newcomer vote in their stead" in (await world.execution(execution_id)).why
    assert world.cloud.effects == []


async def test_a_delegator_who_lost_the_right_no_longer_carries_it(world):
    await _controls(world).delegate(await world.actor("UANN"), who("UNICK"), "7d away")
    request = await world.vote(await world.ask(), "UNICK")
    world.directory.members["SAPPROVERS"].discard("UANN")
    execution_id = await world.db.read(plans.execution_of_request, request.id)
    assert await world.executor.run(execution_id) is ExecutionState.BLOCKED
    assert world.cloud.effects == []


@pytest.mark.postgres
async def test_a_withdrawal_and_the_first_step_never_both_win(postgres_url):
    outcomes = set()
    world = World(postgres_url, risk=Risk.LOW)
    for turn in range(24):
        for lamp in world.cloud.lamps.values():
            lamp |= {"on": True, "colour": "red"}
        await _reopen(world)
        world.cloud.effects.clear()
        request = await world.vote(await world.ask())
        execution_id = await world.db.read(plans.execution_of_request, request.id)
        ann = await world.actor("UANN")

        async def late(turn: int = turn, request_id: str = request.id, ann: object = ann) -> object:
            # Spread over the run: from before the claim to after the first step.
            await asyncio.sleep(turn * 0.0025)
            return await world.approvals.withdraw(request_id, ann)

        state, withdrawn = await asyncio.gather(world.executor.run(execution_id), late(), return_exceptions=True)
        if isinstance(withdrawn, (Conflict, Stale)):
            assert withdrawn.reason
            assert state is ExecutionState.SUCCEEDED
            assert len(world.cloud.effects) == 4
            outcomes.add("executed")
        else:
            assert not isinstance(withdrawn, BaseException), withdrawn
            assert withdrawn.state is RequestState.VOIDED
            assert (await world.execution(execution_id)).state is ExecutionState.BLOCKED
            assert world.cloud.effects == []
            assert await world.steps(execution_id) == []
            outcomes.add("withdrawn")
    assert await world.ledger_ok()
    await world.db.close()
    assert outcomes == {"executed", "withdrawn"}  # the race was a race


async def _reopen(world: World) -> None:
    from sqlalchemy import update

    from bot.store.tables import CauseRow, FindingRow

    def fresh(conn) -> None:
        conn.execute(update(FindingRow.__table__).values(status="open"))
        conn.execute(update(CauseRow.__table__).values(state="open"))

    await world.db.write(fresh)
