"""Everything of Teams in one handle: directory at once, poster with the database, the way in after ``start``."""

from __future__ import annotations

import asyncio
import logging

from aiohttp import web

from bot.domain.ids import Clock, SystemClock
from bot.engine import Engine
from bot.settings import Settings
from bot.store.database import Database

from .contract import Seam
from .deciders import Deciders
from .desk import TeamsDesk
from .directory import TeamsDirectory
from .left import resume
from .poster import TeamsPoster
from .refresh import Personal
from .routes import routes
from .seam import TeamsSeam
from .wire import TeamsWire

log = logging.getLogger(__name__)
RESUME_SECONDS = 60.0
WARM_SECONDS = 240.0  # a token is renewed within its last ten minutes


class TeamsSide:
    def __init__(self, settings: Settings, seam: Seam, clock: Clock) -> None:
        self._settings, self._seam, self._clock = settings, seam, clock
        self.wire = TeamsWire(seam, clock)
        self.directory = TeamsDirectory(self.wire, None, settings, clock)
        self.desk: TeamsDesk | None = None
        self._tasks: list[asyncio.Task[None]] = []

    @classmethod
    async def open(cls, settings: Settings, clock: Clock | None = None) -> TeamsSide:
        """Settings are checked here (``SettingsError``); nothing is sent yet."""
        return cls(settings, TeamsSeam(settings), clock or SystemClock())

    def attach(self, db: Database, engine: Engine | None = None) -> TeamsPoster:
        """``engine`` says who gets a card of their own."""
        self.directory.db = db
        deciders = Deciders(self.wire, db, self._settings, self._clock)
        personal = Personal(engine, deciders) if engine is not None else None
        return TeamsPoster(self.wire, db, self._settings, self._clock, personal)

    async def start(self, engine: Engine, site: web.Application) -> None:
        """Take activities by a route of ``site``; finish what a crash left in the journal, now and every minute."""
        self.desk = TeamsDesk(engine, self._settings, self.wire)
        site.add_routes(routes(self._seam, self.desk, self._settings.teams.tenant))
        self._tasks = [asyncio.create_task(self._warm()), asyncio.create_task(self._resume(self.desk))]

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self.desk is not None:
            await self.desk.drain()
        await self.wire.close()

    async def _warm(self) -> None:
        while True:
            await self._seam.warm()
            await asyncio.sleep(WARM_SECONDS)

    async def _resume(self, desk: TeamsDesk) -> None:
        while True:
            try:
                left = await resume(desk)
            except Exception:
                log.exception("the journal of Teams could not be worked off; it is tried again in a minute")
            else:
                if left:
                    log.info("%s interrupted interactions of Teams are finished", left)
            await asyncio.sleep(RESUME_SECONDS)
