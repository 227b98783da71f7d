"""A freeze: who may set it, what it stops, and that a run under way stops before its next step."""

from __future__ import annotations

import pytest

from bot.domain.decisions import ExecutionState
from bot.domain.errors import BadInput, Denied
from bot.governance.controls import Controls
from tests.unit.remediation.conftest import World, world  # noqa: F401


def controls(world: World) -> Controls:  # noqa: F811
    return Controls(world.db, world.policy, world.people, world.clock, world.ids)


async def test_a_freeze_stops_what_was_approved_before_any_change(world):  # noqa: F811
    execution = await world.approved()
    said = await controls(world).freeze(await world.actor("UANN"), "incident 12")
    assert said.ok
    assert await world.executor.run(execution) is ExecutionState.BLOCKED
    assert world.cloud.effects == []
    assert "incident 12" in (await world.execution(execution)).why


@pytest.mark.parametrize("scope", ["", "env:dev ", "account:111122223333 "])
async def test_a_running_execution_stops_before_its_next_step(world, scope):  # noqa: F811
    execution = await world.approved()
    ann = await world.actor("UANN")

    async def freeze(_call):
        if len(world.cloud.effects) == 1:
            await controls(world).freeze(ann, f"{scope}stop now")

    world.cloud.after_write = freeze
    assert await world.executor.run(execution) is ExecutionState.FAILED
    assert len(world.cloud.effects) == 1  # of four
    why = (await world.execution(execution)).why
    assert "stop now" in why
    assert "1 of 4 changes were made" in why


async def test_a_freeze_elsewhere_stops_nothing(world):  # noqa: F811
    execution = await world.approved()
    await controls(world).freeze(await world.actor("UANN"), "env:prod release day")
    await controls(world).freeze(await world.actor("UANN"), "account:999 audit")
    assert await world.executor.run(execution) is ExecutionState.SUCCEEDED


async def test_after_unfreeze_work_goes_on_and_both_are_in_the_ledger(world):  # noqa: F811
    ann = await world.actor("UANN")
    await controls(world).freeze(ann, "incident")
    assert (await controls(world).unfreeze(ann, "over")).ok
    assert await world.executor.run(await world.approved()) is ExecutionState.SUCCEEDED
    assert [k for k in await world.kinds() if k.startswith("freeze.")] == ["freeze.began", "freeze.ended"]


@pytest.mark.parametrize("verb", ["freeze", "unfreeze"])
async def test_who_is_in_no_group_may_neither_freeze_nor_unfreeze(world, verb):  # noqa: F811
    with pytest.raises(Denied) as refused:
        await getattr(controls(world), verb)(await world.actor("UNICK"), "because")
    assert refused.value.could
    assert "refused" in await world.kinds()
    assert await controls(world).freezes() == []


async def test_a_freeze_wants_a_reason_and_a_known_environment(world):  # noqa: F811
    ann = await world.actor("UANN")
    for text in ("", "env:prod", "env:mars because", "account: because"):
        with pytest.raises(BadInput):
            await controls(world).freeze(ann, text)
