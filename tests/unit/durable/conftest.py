"""A migrated database on each backend, and engines that live in it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager

import pytest

from bot.domain.ids import SystemClock
from bot.durable.service import Durable
from bot.store.database import Database
from bot.store.migrate import upgrade

Running = Callable[..., "AsyncIterator[Durable]"]


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def url(request: pytest.FixtureRequest) -> str:
    made: str = request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "postgres_url")
    upgrade(made)
    return made


@pytest.fixture
def db(url: str) -> Iterator[Database]:
    made = Database(url)
    yield made
    made.close_sync()


@asynccontextmanager
async def running(db: Database, name: str = "r1", **options: object) -> AsyncIterator[Durable]:
    handlers = options.pop("handlers", {})
    durable = Durable(db, name, SystemClock(), **options)  # type: ignore[arg-type]
    for kind, handler in handlers.items():  # type: ignore[attr-defined]
        durable.handle(kind, handler)
    await durable.start()
    try:
        yield durable
    finally:
        await durable.stop()


async def soon(true: Callable[[], Awaitable[bool] | bool], seconds: float = 15) -> None:
    """Wait until it holds, or fail."""
    import asyncio

    async with asyncio.timeout(seconds):
        while True:
            said = true()
            if said if isinstance(said, bool) else await said:
                return
            await asyncio.sleep(0.05)
