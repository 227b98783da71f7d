"""Who is alive, under which number, and the door that only the living pass."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sqlalchemy import Connection, insert, select, text, update

from bot.domain.ids import SystemClock
from bot.domain.plans import Call
from bot.durable.guard import GuardedClouds
from bot.durable.replicas import EXECUTIONS, REPLICAS, SOURCES, Membership, Superseded, database_ms
from bot.ports import Attribution
from bot.store.database import Database

CALL = Call(provider="aws", account="1", region="", service="s3", operation="put", params={})


class Watch:
    """The local clock of one process, moved by hand."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


class Cloud:
    def __init__(self) -> None:
        self.writes: list[str] = []

    def reader(self, why: Attribution) -> Any:
        return self

    def writer(self, why: Attribution) -> Any:
        return self

    async def read(self, call: Call) -> dict[str, Any]:
        return {"read": True}

    async def write(self, call: Call, *, idempotency_key: str) -> dict[str, Any]:
        self.writes.append(idempotency_key)
        return {}


def member(db: Database, name: str, watch: Watch | None = None) -> Membership:
    return Membership(db, name, SystemClock(), ttl=20, steady=watch or Watch())


def age(conn: Connection, name: str, seconds: float) -> None:
    """Its last beat was that long ago, by the database's time."""
    conn.execute(
        update(REPLICAS).where(REPLICAS.c.name == name).values(beat_ms=REPLICAS.c.beat_ms - int(seconds * 1000))
    )


def state(conn: Connection, name: str) -> Any:
    return conn.execute(select(REPLICAS.c.state).where(REPLICAS.c.name == name)).scalar_one()


async def test_time_is_the_databases(db: Database) -> None:
    def told(conn: Connection) -> tuple[int, int]:
        seconds = "extract(epoch from clock_timestamp())" if not db.is_sqlite else "strftime('%s', 'now')"
        whole = int(float(conn.execute(text(f"SELECT {seconds}")).scalar_one()))
        return whole, conn.execute(select(database_ms(conn))).scalar_one()

    whole, exact = await db.read(told)
    assert 0 <= exact - whole * 1000 < 2000


async def test_a_silent_replica_is_buried_once_and_its_number_is_stale(db: Database) -> None:
    a, b, c = member(db, "a"), member(db, "b"), member(db, "c")
    for each in (a, b, c):
        await each.join()
    assert await b.bury() == []
    await db.write(age, "a", 21)
    assert sorted([*await b.bury(), *await c.bury()]) == ["a"]
    with pytest.raises(Superseded, match="another one took over"):
        await a.beat()
    with pytest.raises(Superseded):
        await a.confirm()
    assert [x.name for x in await b.living()] == ["b", "c"]
    await a.leave()
    assert await db.read(state, "a") == "dead"


async def test_who_is_dead_itself_buries_nobody(db: Database) -> None:
    a, b = member(db, "a"), member(db, "b")
    await a.join()
    await b.join()
    await db.write(age, "a", 21)
    await db.write(age, "b", 21)
    assert await b.bury() == ["a"], "it beats as it looks, so it lives"
    assert await a.bury() == []
    assert await db.read(state, "b") == "alive"


async def test_two_with_one_new_name_at_once_are_one(db: Database) -> None:
    results = await asyncio.gather(*(member(db, "same").join() for _ in range(4)), return_exceptions=True)
    assert results.count(None) == 1
    assert {str(x).split(" Give")[0] for x in results if x} == {"another living replica is called same"}


async def test_the_name_of_a_dead_one_can_be_taken_and_fences_it_off(db: Database) -> None:
    old, new = member(db, "a"), member(db, "a")
    await old.join()
    await db.write(age, "a", 21)
    await new.join()
    assert new.fence > old.fence
    with pytest.raises(Superseded):
        await old.beat()
    await new.beat()


async def test_a_change_is_refused_once_another_took_over_and_costs_nothing_while_fresh(db: Database) -> None:
    watch, cloud = Watch(), Cloud()
    a, b = member(db, "a", watch), member(db, "b")
    await a.join()
    await b.join()
    writer = GuardedClouds(cloud, a.confirm).writer(Attribution())
    watch.seconds += 15
    await writer.write(CALL, idempotency_key="fresh")
    await db.write(age, "a", 21)
    await b.bury()
    await writer.write(CALL, idempotency_key="still within its time by its own clock")
    watch.seconds += 2  # 17 of 20 s: this side gives up before the other side may take over
    with pytest.raises(asyncio.CancelledError):
        await writer.write(CALL, idempotency_key="late")
    assert await writer.read(CALL) == {"read": True}
    assert cloud.writes == ["fresh", "still within its time by its own clock"]


async def test_a_pause_that_nobody_noticed_is_mended_by_a_beat(db: Database) -> None:
    watch, cloud = Watch(), Cloud()
    a = member(db, "a", watch)
    await a.join()
    watch.seconds += 3600
    await GuardedClouds(cloud, a.confirm).writer(Attribution()).write(CALL, idempotency_key="x")
    assert cloud.writes == ["x"]


async def test_the_leases_of_the_dead_are_given_up_and_nobody_elses(db: Database) -> None:
    now = SystemClock().now()

    def lease(conn: Connection) -> None:
        for number, by in enumerate(("a/w-1", "a", "ab/w-1", "a_")):
            conn.execute(insert(EXECUTIONS), {"id": f"e{number}", "decision_id": f"d{number}", "plan_id": "p",
                         "cause_id": "c", "kind": "fix", "state": "running", "fence": 1, "leased_by": by,
                         "leased_until": now, "created_at": now})  # fmt: skip
            conn.execute(insert(SOURCES), {"name": f"s{number}", "cursor": "null", "error": "", "run_id": "",
                         "leased_by": by, "leased_until": now})  # fmt: skip

    def held(conn: Connection) -> list[str]:
        rows = conn.execute(select(EXECUTIONS.c.leased_by).where(EXECUTIONS.c.leased_until.is_not(None))).scalars()
        more = conn.execute(select(SOURCES.c.leased_by).where(SOURCES.c.leased_until.is_not(None))).scalars()
        return sorted([*rows, *more])

    a, b = member(db, "a"), member(db, "b")
    await a.join()
    await b.join()
    await db.write(lease)
    await db.write(age, "a", 21)
    assert await b.bury() == ["a"]
    assert await db.read(held) == ["a_", "a_", "ab/w-1", "ab/w-1"]


async def test_replicas_that_ended_long_ago_are_forgotten_but_numbers_keep_growing(db: Database) -> None:
    for name in ("a", "b", "c"):
        each = member(db, name)
        await each.join()
        await each.leave()
        await db.write(age, name, 8 * 86_400)
    d = member(db, "d")
    assert await d.prune() == 2
    await d.join()
    assert d.fence == 4
