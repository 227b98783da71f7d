"""An approved execution whose process dies or sleeps at the worst moment: another replica ends it, each effect once."""

from __future__ import annotations

import asyncio
import json
import signal
from collections import Counter
from datetime import UTC, datetime

import pytest
from sqlalchemy import text

from bot.domain.decisions import ExecutionState
from bot.store import plans
from bot.store.database import Database
from tests.unit.remediation.conftest import World

from .conftest import soon
from .test_takeover import Company, company

__all__ = ["company"]
ALL = {"desk.switch", "desk.paint", "hall.switch", "hall.paint"}


@pytest.fixture
async def execution(company: Company) -> tuple[World, str]:
    """Approved a moment ago, by two people, in a database that the replicas share."""
    world = World(company.url)
    world.clock.at = datetime.now(UTC)
    (company.folder / "lamps.json").write_text(json.dumps(world.cloud.lamps))
    return world, await world.approved()


async def ended(world: World, execution_id: str) -> None:
    async def final() -> bool:
        return (await world.execution(execution_id)).state.is_final

    await soon(final, 40)
    held = await world.execution(execution_id)
    assert held.state is ExecutionState.SUCCEEDED, held.why
    assert await world.ledger_ok()
    await world.db.close()


def effects(company: Company) -> Counter[str]:
    return Counter(line[1] for line in company.lines("effect"))


@pytest.mark.parametrize("moment", ["before the effect", "after the effect"])
async def test_a_replica_killed_in_the_middle_of_a_call(company: Company, execution, moment: str) -> None:
    world, execution_id = execution
    hold = company.folder / ("hold" if moment == "before the effect" else "hold-after")
    hold.touch()
    company.start("a", executions=True)
    await company.wait("calling" if moment == "before the effect" else "effect", by="a")
    company.start("b", executions=True)
    await company.wait("ready", by="b")
    company.signal("a", signal.SIGKILL)
    await asyncio.to_thread(company.processes["a"].wait)
    hold.unlink()
    await ended(world, execution_id)
    assert effects(company) == dict.fromkeys(ALL, 1)
    with Database(company.url).engine.connect() as conn:
        assert conn.execute(text("SELECT state FROM replicas WHERE name = 'a'")).scalar_one() == "dead"
        said = conn.execute(text("SELECT subject FROM ledger WHERE kind = 'replica.dead'")).scalars().all()
    assert said == ["a"]
    by = Counter(line[2] for line in company.lines("effect"))
    # Held up after its effect, a may get one more done before it dies: its call runs into its time-out.
    assert by == {"b": 4} if moment == "before the effect" else by["a"] in {1, 2} and by["b"] == 4 - by["a"]


async def test_a_replica_stopped_right_before_a_call_wakes_and_may_not_make_it(company: Company, execution) -> None:
    world, execution_id = execution
    (company.folder / "hold").touch()
    company.start("a", executions=True, timeout=60)  # so that no time-out stands in for the door
    await company.wait("calling", by="a")
    company.start("b", executions=True)
    await company.wait("ready", by="b")
    company.signal("a", signal.SIGSTOP)
    await company.wait("calling", by="b")  # both stand before the same call now
    (company.folder / "hold").unlink()
    await company.wait("effect", by="b")
    company.signal("a", signal.SIGCONT)  # the first thing it finds due is the call
    await company.wait("superseded", by="a")
    await ended(world, execution_id)
    assert Counter(line[2] for line in company.lines("effect")) == {"b": 4}
    assert effects(company) == dict.fromkeys(ALL, 1)


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
async def test_an_execution_committed_by_a_process_that_died_before_handing_it_over(
    company: Company, execution
) -> None:
    world, execution_id = execution  # this process only committed the row
    assert await world.db.read(plans.claimable, world.clock.now()) == [execution_id]
    company.start("a", executions=True)
    company.start("b", executions=True)
    await ended(world, execution_id)
    assert effects(company) == dict.fromkeys(ALL, 1)
