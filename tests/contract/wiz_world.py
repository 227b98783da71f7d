"""A simulated Wiz, a real intake on SQLite and a clock that tests move."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from aiohttp.test_utils import TestServer
from sqlalchemy import select

from bot.domain.ids import RandomIds
from bot.intake.service import Intake
from bot.remediation.catalog import builtin_catalog
from bot.sandbox.vendors.company import START, World
from bot.sandbox.vendors.wiz import Wiz
from bot.settings import Settings
from bot.store import sources
from bot.store.database import Database
from bot.store.migrate import upgrade
from bot.store.tables import FindingRow
from connectors.http import Pace
from connectors.options import parse
from connectors.wiz import WizMapper
from connectors.wiz.client import WizClient
from connectors.wiz.options import WizOptions
from connectors.wiz.poller import WizPoller

FINDINGS = FindingRow.__table__  # type: ignore[attr-defined]


class Clock:
    def __init__(self, moment: datetime = START + timedelta(days=30)) -> None:
        self.moment = moment

    def now(self) -> datetime:
        return self.moment

    def move(self, **by: float) -> datetime:
        self.moment += timedelta(**by)
        return self.moment


@dataclass
class Stage:
    wiz: Wiz
    clock: Clock
    server: TestServer
    options: dict[str, Any]
    slept: list[float] = field(default_factory=list)
    clients: list[WizClient] = field(default_factory=list)
    ours: Clock | None = None  # our clock, when it is another than Wiz's

    def client(self, **changes: Any) -> WizClient:
        async def sleep(seconds: float) -> None:
            self.slept.append(seconds)
            self.clock.move(seconds=seconds)

        def monotonic() -> float:
            return self.clock.moment.timestamp()

        ours = self.ours or self.clock
        pace = Pace(1000, burst=1000, now=monotonic, sleep=sleep)
        made = WizClient(parse("wiz", WizOptions, {**self.options, **changes}), sleep=sleep, jitter=lambda: 0.0,
                         now=ours.now, pace=pace)  # fmt: skip
        made.auth._now = monotonic
        self.clients.append(made)
        return made

    def poller(self, **changes: Any) -> WizPoller:
        return WizPoller(self.client(**changes))


@asynccontextmanager
async def stage(size: int = 0, *, options: dict[str, Any] | None = None, **wiz: Any) -> AsyncIterator[Stage]:
    clock = Clock()
    world = wiz.pop("world", None) or World(size)
    simulated = Wiz(world, now=clock.now, **wiz)
    server = TestServer(simulated.app(), host="127.0.0.1")
    await server.start_server()
    base = f"http://127.0.0.1:{server.port}"
    given = {"api_url": f"{base}/graphql", "auth_url": f"{base}/oauth/token", "client_id": simulated.client_id,
             "client_secret": simulated.client_secret, "exploitable_only": False, "vulnerability_severities": (),
             **(options or {})}  # fmt: skip
    made = Stage(simulated, clock, server, given)
    try:
        yield made
    finally:
        for client in made.clients:
            await client.close()
        await server.close()


class Store:
    """Intake on SQLite."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        url = f"sqlite:///{folder / 'wiz.db'}"
        upgrade(url)
        self.db = Database(url)
        self.clock = clock
        self.intake = Intake(self.db, Settings(database_url=url), builtin_catalog(), clock, RandomIds())

    async def poll(self, poller: WizPoller, *, pages: int | None = None) -> tuple[int, tuple[str, ...]]:
        """One poll from the stored cursor; ``pages``: killed after so many."""
        cursor = await self.intake.cursor("wiz")
        run = await self.intake.begin("wiz")
        count = 0
        async for page in poller.poll(cursor, self.clock.now()):
            await run.page(WizMapper(), page)
            count += 1
            if pages is not None and count >= pages:
                return count, ()
        report = await run.finish(complete=True)
        return count, report.notes

    async def cursor(self) -> dict[str, Any] | None:
        return await self.db.read(sources.cursor, "wiz")

    async def statuses(self) -> dict[str, str]:
        def read(conn: Any) -> dict[str, str]:
            return {row.uid: row.status for row in conn.execute(select(FINDINGS.c.uid, FINDINGS.c.status))}

        return await self.db.read(read)

    async def state(self) -> list[tuple[Any, ...]]:
        """Everything about findings that must not depend on how they came."""
        columns = [
            FINDINGS.c[name] for name in ("uid", "status", "severity", "title", "resource_uid", "content", "scope")
        ]

        def read(conn: Any) -> list[tuple[Any, ...]]:
            return sorted(tuple(row) for row in conn.execute(select(*columns)))

        return await self.db.read(read)

    def close(self) -> None:
        self.db.close_sync()
