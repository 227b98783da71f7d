"""APScheduler only ticks. What a tick does is claimed in the database first, so replicas cannot do it twice."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta

from bot.domain.ids import Clock
from bot.polling import Polling, Source

log = logging.getLogger(__name__)
HOUSEKEEPING_SECONDS = 30


class Scheduler:
    """Polls each source at its pace and runs the housekeeping; ``start`` and ``stop`` belong to one event loop."""

    def __init__(
        self,
        polling: Polling,
        sources: Sequence[Source],
        housekeeping: Sequence[Callable[[], Awaitable[object]]],
        clock: Clock,
    ) -> None:
        self._polling, self._sources, self._housekeeping, self._clock = polling, sources, housekeeping, clock
        self._scheduler: object | None = None

    def start(self) -> None:
        from apscheduler.schedulers.asyncio import AsyncIOScheduler  # 0.1 s, only where it runs

        scheduler = AsyncIOScheduler(timezone="UTC")
        first = self._clock.now()
        for number, source in enumerate(self._sources):
            self._add(scheduler, self._poll, timedelta(minutes=source.every_minutes),
                      first + timedelta(seconds=number), source)  # fmt: skip
        self._add(scheduler, self._keep_house, timedelta(seconds=HOUSEKEEPING_SECONDS), first)
        scheduler.start()
        self._scheduler = scheduler

    @staticmethod
    def _add(scheduler: object, job: object, every: timedelta, first: datetime, *args: object) -> None:
        scheduler.add_job(  # type: ignore[attr-defined]
            job, "interval", seconds=every.total_seconds(), args=args, next_run_time=first,
            max_instances=1, coalesce=True, misfire_grace_time=None,
        )  # fmt: skip

    async def stop(self) -> None:
        if self._scheduler is not None:
            self._scheduler.shutdown(wait=False)  # type: ignore[attr-defined]
            self._scheduler = None
            await asyncio.sleep(0)

    async def _poll(self, source: Source) -> None:
        outcome = await self._polling.poll(source)
        log.info("poll: %s", outcome.said)

    async def _keep_house(self) -> None:
        for work in self._housekeeping:
            try:
                await work()
            except Exception:
                log.exception("housekeeping %s failed", getattr(work, "__qualname__", work))
