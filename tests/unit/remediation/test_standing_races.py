"""Replicas that tick at once, clicks that meet a tick: the cap holds and nothing runs twice, on both databases."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from bot.domain.decisions import ExecutionState
from bot.domain.errors import GatehouseError
from bot.domain.standing import StandingState

from .standing_kit import StandingWorld

REPLICAS = 4


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
async def world(request: Any, tmp_path: Path) -> AsyncIterator[StandingWorld]:
    where = tmp_path / "g.db" if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    made = StandingWorld(where, tmp_path)
    yield made
    await made.db.close()


async def test_replicas_that_tick_at_once_do_not_exceed_the_cap(world):
    await world.more_causes(*(f"lamp{n}" for n in range(7)))
    await world.grant(cap=3)
    for hour in range(1, 4):
        made = await asyncio.gather(*(world.new_standings().tick() for _ in range(REPLICAS)))
        assert sum(made) <= 3
        uses = await world.uses()
        assert len(uses) == sum(made) + (hour - 1) * 3 == min(3 * hour, 8)
        assert len({use.cause_id for use in uses}) == len(uses)
        world.clock.pass_(minutes=61)
    workers = [world.new_executor(f"w{n}") for n in range(REPLICAS)]
    # Eight runs wait, more than one claim takes up.
    while any([await worker.work_once() for worker in workers]):
        continue
    assert len({use.execution_id for use in await world.uses()}) == 8
    kinds = await world.kinds()
    assert kinds.count("standing.used") == kinds.count("decision.made") == kinds.count("execution.queued") == 8
    assert await world.ledger_ok()


async def test_replicas_that_tick_and_work_at_once_change_each_resource_once(world):
    await world.more_causes("attic", "cellar")
    await world.grant(cap=9)
    for _ in range(3):
        await asyncio.gather(*(world.new_standings().tick() for _ in range(REPLICAS)))
        await asyncio.gather(*(world.new_executor(f"w{n}").work_once() for n in range(REPLICAS)))
    states = [(await world.execution(use.execution_id)).state for use in await world.uses()]
    assert states == [ExecutionState.SUCCEEDED] * 3
    assert sorted(world.cloud.effects) == sorted(
        (lamp, operation) for lamp in ("desk", "hall", "attic", "cellar") for operation in ("switch", "paint")
    )
    assert await world.ledger_ok()


async def test_a_person_who_asks_while_replicas_tick_leaves_one_request_to_the_cause(world):
    await world.grant(cap=9)
    olga = await world.actor("UOLGA")
    view = await world.approvals.look(world.cause, olga)
    outcomes = await asyncio.gather(
        world.approvals.ask(view.plan.id, view.plan_hash, olga),
        *(world.new_standings().tick() for _ in range(REPLICAS)),
        return_exceptions=True,
    )
    assert all(isinstance(each, GatehouseError) or not isinstance(each, BaseException) for each in outcomes)
    asked = (await world.kinds()).count("request.made")
    assert asked == 1
    assert len(await world.uses()) in {0, 1}


async def test_two_dialogs_sent_at_once_make_one_standing_approval(world):
    made = await asyncio.gather(*(world.grant() for _ in range(REPLICAS)))
    assert len({each.standing.id for each in made}) == 1
    assert (await world.kinds()).count("standing.granted") == 1


async def test_a_revoke_that_meets_the_ticks_is_final(world):
    await world.more_causes(*(f"lamp{n}" for n in range(4)))
    made = await world.grant(cap=9)
    ann = await world.actor("UANN")
    await asyncio.gather(
        *(world.new_standings().tick() for _ in range(REPLICAS)), world.standings.revoke(made.standing.id, ann)
    )
    used = len(await world.uses())
    assert await world.standings.tick() == 0
    assert len(await world.uses()) == used
    for use in await world.uses():
        assert (await world.executor.run(use.execution_id)) is ExecutionState.BLOCKED
    assert world.cloud.effects == []
    assert (await world.held(made.standing.id)).facts.state is StandingState.REVOKED
    assert (await world.kinds()).count("standing.revoked") == 1
