"""The cures of the engine's defaults, one test each, and what work under an id means."""

from __future__ import annotations

import asyncio
import base64
import pickle
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import MetaData, create_engine, inspect, select, text

from bot.domain.errors import SettingsError
from bot.durable import engine as ours
from bot.store.database import Database

from .conftest import running, soon

# What is the same on both: the id decides, not the database.
ON_SQLITE = pytest.mark.parametrize("url", ["sqlite"], indirect=True)


def system_tables(db: Database) -> Any:
    """The engine's own database, opened by its defaults: a stranger's view."""
    return create_engine(ours.beside(db.url))


def prefix(db: Database) -> str:
    return "" if db.is_sqlite else f"{ours.SCHEMA}."


async def finished(workflow_id: str) -> bool:
    found = await ours.status(workflow_id)
    return found is not None and found.status in ours.FINISHED


async def test_a_name_that_a_living_replica_has_is_refused(db: Database) -> None:
    async with running(db, "one"):
        second = ours_membership(db, "one")
        with pytest.raises(SettingsError, match="another living replica is called one"):
            await second.join()
        await ours_membership(db, "two").join()
    again = ours_membership(db, "one")
    await again.join()
    assert again.fence > 2, "numbers only grow"


def ours_membership(db: Database, name: str) -> Any:
    from bot.domain.ids import SystemClock
    from bot.durable.replicas import Membership

    return Membership(db, name, SystemClock())


async def test_workflows_carry_the_replica_and_the_version_we_name(db: Database) -> None:
    async def handler(_key: str) -> str:
        return "ok"

    async with running(db, "one", handlers={"job": handler}) as durable:
        await durable.submit("job", "a")
        await soon(lambda: finished("job:a"))
        found = await ours.status("job:a")
        assert found is not None
        assert (found.executor_id, found.app_version, found.output) == ("one", ours.VERSION, "ok")


async def test_another_version_leaves_the_work_of_the_old_one_to_it_and_says_so(
    db: Database, caplog: pytest.LogCaptureFixture
) -> None:
    begun: list[str] = []

    async def never(key: str) -> str:
        begun.append(key)
        await asyncio.sleep(3600)
        return ""

    async def at_once(key: str) -> str:
        begun.append(f"{key} by another")
        return ""

    async with running(db, "old", version="1", grace=0.1, handlers={"job": never}) as durable:
        await durable.submit("job", "a")
        await soon(lambda: begun == ["a"])
    async with running(db, "new", version="2", handlers={"job": at_once}) as durable:
        assert await durable.other_versions() == {"1": 1}
        assert "1 unfinished workflows belong to durable version 1" in caplog.text
        await asyncio.sleep(1.5)  # the queue is looked at every second
        assert begun == ["a"]
        # What our own rows say is still to be done does not wait for the old version.
        await durable.again("job", "a")
        await soon(lambda: begun == ["a", "a by another"])
    async with running(db, "old2", version="1", handlers={"job": at_once}) as durable:
        await soon(lambda: finished("job:a"))
        assert begun == ["a", "a by another", "a by another"]
        assert await durable.other_versions() == {}


async def test_its_tables_are_beside_ours_and_opened_by_us(db: Database) -> None:
    async with running(db):
        engine = system_tables(db)
        with engine.connect() as conn:
            if db.is_sqlite:
                assert str(ours.beside(db.url).database) == str(db.url.database).replace(".db", "-durable.db")
                assert conn.execute(text("PRAGMA journal_mode")).scalar_one() == "wal"
                with ours.open_engine(ours.beside(db.url)).connect() as opened:
                    assert opened.execute(text("PRAGMA synchronous")).scalar_one() == 1
                    assert opened.execute(text("PRAGMA busy_timeout")).scalar_one() == ours.BUSY_TIMEOUT_MS
                assert not inspect(db.engine).has_table("workflow_status")
            assert conn.execute(text(f"SELECT count(*) FROM {prefix(db)}workflow_status")).scalar_one() == 0
        engine.dispose()


async def test_nothing_is_pickled(db: Database) -> None:
    async def handler(key: str) -> str:
        if key == "bad":
            raise ValueError("on purpose")
        return "fine"

    async with running(db, handlers={"job": handler}) as durable:
        for key in ("good", "bad"):
            await durable.submit("job", key)
            await soon(lambda key=key: finished(f"job:{key}"))
        stored = everything(db)
    assert '"fine"' in stored
    assert '"failed"' in stored
    assert "portable_json" in stored
    assert "py_pickle" not in stored
    assert not [value for value in stored if value.startswith(base64.b64encode(b"\x80\x04")[:3].decode())]


def everything(db: Database) -> list[str]:
    """Every text in every table of the engine's own."""
    engine = system_tables(db)
    metadata = MetaData(schema=None if db.is_sqlite else ours.SCHEMA)
    metadata.reflect(engine)
    with engine.connect() as conn:
        rows = [row for table in metadata.sorted_tables for row in conn.execute(select(table))]
    engine.dispose()
    return [value for row in rows for value in row if isinstance(value, str)]


async def test_a_pickle_planted_in_its_tables_runs_nothing(db: Database, tmp_path: Path) -> None:
    trap = tmp_path / "executed"

    class Trap:
        def __reduce__(self) -> Any:
            return Path.touch, (trap,)

    async def never(_key: str) -> str:
        await asyncio.sleep(3600)
        return ""

    async with running(db, "old", grace=0.1, handlers={"job": never}) as durable:
        await durable.submit("job", "a")
        await asyncio.sleep(0.2)
    engine = system_tables(db)
    planted = base64.b64encode(pickle.dumps(Trap())).decode()
    with engine.begin() as conn:
        for table, column in (("workflow_status", "serialization = 'py_pickle', inputs"), ("workflow_input", "inputs")):
            changed = conn.execute(text(f"UPDATE {prefix(db)}{table} SET {column} = :planted"), {"planted": planted})
            assert changed.rowcount == 1
    engine.dispose()
    ran: list[str] = []

    async def handler(key: str) -> str:
        ran.append(key)
        return ""

    async with running(db, "new", handlers={"job": handler}) as durable:
        await asyncio.sleep(1.5)
        await durable.submit("job", "b")
        await soon(lambda: ran == ["b"])
    assert not trap.exists()


@ON_SQLITE
async def test_work_under_one_id_is_done_once(db: Database) -> None:
    ran: list[str] = []

    async def handler(key: str) -> str:
        ran.append(key)
        return ""

    async with running(db, handlers={"job": handler}) as durable:
        for _ in range(3):
            await asyncio.gather(*(durable.submit("job", str(n)) for n in range(5)))
        await soon(lambda: len(ran) == 5)
        await durable.submit("job", "0")
        await asyncio.sleep(0.3)
    assert sorted(ran) == list("01234")


@ON_SQLITE
async def test_a_failure_is_recorded_and_the_work_can_be_asked_for_again(db: Database) -> None:
    ran: list[str] = []

    async def handler(key: str) -> str:
        ran.append(key)
        if len(ran) == 1:
            raise ValueError("on purpose")
        return ""

    async with running(db, handlers={"job": handler}) as durable:
        await durable.again("job", "a")
        await soon(lambda: finished("job:a"))
        await durable.again("job", "a")
        await soon(lambda: finished("job:a#1"))
    assert ran == ["a", "a"]


@ON_SQLITE
async def test_stopping_lets_work_end_and_keeps_what_does_not(db: Database) -> None:
    ended: list[str] = []

    async def handler(key: str) -> str:
        await asyncio.sleep(0.5 if key == "short" else 3600)
        ended.append(key)
        return ""

    async def quick(key: str) -> str:
        ended.append(f"{key} by the next")
        return ""

    async with running(db, "one", grace=1.5, handlers={"job": handler}) as durable:
        await durable.submit("job", "short")
        await durable.submit("job", "long")
        await soon(lambda: len(durable._doing) == 2)
    assert ended == ["short"]
    async with running(db, "two", handlers={"job": quick}):
        await soon(lambda: ended == ["short", "long by the next"])


@ON_SQLITE
async def test_two_in_one_process_are_refused(db: Database) -> None:
    async with running(db, "one"):
        with pytest.raises(SettingsError, match="runs in this process already"):
            async with running(db, "two"):
                pytest.fail("it must not start")


async def test_finished_work_is_deleted_after_a_while(db: Database) -> None:
    async def handler(_key: str) -> str:
        return ""

    async with running(db, handlers={"job": handler}) as durable:
        for key in "abc":
            await durable.submit("job", key)
            await soon(lambda key=key: finished(f"job:{key}"))
        assert await durable.tidy() == 0
        assert await durable.tidy(timedelta(seconds=-5)) == 3
        assert await ours.status("job:a") is None
