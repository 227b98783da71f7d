"""The same path on PostgreSQL, where writers really run at once."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import Connection, update

from bot.domain.decisions import RequestState
from bot.domain.errors import Conflict
from bot.domain.plans import Risk
from bot.store import plans
from bot.store.tables import CauseRow, FindingRow

from .conftest import World

pytestmark = pytest.mark.postgres


@pytest.fixture
async def world(postgres_url: str) -> AsyncIterator[World]:
    made = World(postgres_url, risk=Risk.HIGH)
    yield made
    await made.db.close()


async def test_many_clicks_and_workers_at_once_make_one_execution(world):
    olga = await world.actor("UOLGA")
    view = await world.approvals.look(world.cause, olga)
    asked = await asyncio.gather(*(world.approvals.ask(view.plan.id, view.plan_hash, olga) for _ in range(6)))
    assert len({request.id for request in asked}) == 1
    clicks = [world.vote(asked[0], user) for user in ("UANN", "UABE", "USUE") for _ in range(3)]
    results = await asyncio.gather(*clicks, return_exceptions=True)
    # The third approver may come after the decision, and is told so.
    assert {type(r).__name__ for r in results} <= {"RequestView", "Stale"}
    request = await world.db.read(plans.request, asked[0].id)
    assert request.facts.state is RequestState.APPROVED
    workers = [world.new_executor(f"w{n}") for n in range(4)]
    await asyncio.gather(*(worker.work_once() for worker in workers))
    execution_id = await world.db.read(plans.execution_of_request, request.facts.id)
    assert (await world.execution(execution_id)).state.value == "succeeded"
    assert len(world.cloud.effects) == 4
    kinds = await world.kinds()
    assert (kinds.count("decision.made"), kinds.count("execution.finished")) == (1, 1)
    assert await world.ledger_ok()
    with pytest.raises(Conflict, match=r"already as they should be|nothing is open"):
        await world.approvals.look(world.cause, olga)


async def test_two_transactions_that_wait_for_each_other_both_get_done(world):
    first, second = threading.Event(), threading.Event()
    tries = []

    def touch(conn: Connection, tables: list, mine: threading.Event, other: threading.Event) -> None:
        tries.append(1)
        for table in tables:
            conn.execute(update(table.__table__).values(title="x"))
            mine.set()
            other.wait(5)

    await asyncio.gather(
        world.db.write(touch, [CauseRow, FindingRow], first, second),
        world.db.write(touch, [FindingRow, CauseRow], second, first),
    )
    assert len(tries) > 2  # one was ended by the server, and done again
