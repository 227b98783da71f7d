"""APScheduler only ticks, in every replica. A tick's id is its interval, so the durable engine runs each tick once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Protocol

from bot.domain.ids import Clock

log = logging.getLogger(__name__)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
Tick = tuple[str, str, float]  # kind, what, seconds between two


class Submits(Protocol):
    async def submit(self, kind: str, key: str) -> None: ...


class Scheduler:
    """Hands in ``kind`` for ``what:interval start`` now and at each interval; belongs to one event loop."""

    def __init__(self, durable: Submits, ticks: Sequence[Tick], clock: Clock) -> None:
        self._durable, self._ticks, self._clock = durable, ticks, clock
        self._scheduler: object | None = None

    def start(self) -> None:
        from apscheduler.schedulers.asyncio import AsyncIOScheduler  # 0.1 s, only where it runs

        scheduler = AsyncIOScheduler(timezone="UTC")
        for kind, what, seconds in self._ticks:
            every = timedelta(seconds=seconds)
            start = interval_start(datetime.now(UTC), every) + every
            scheduler.add_job(
                self._tick, "interval", seconds=seconds, args=(kind, what, every), start_date=start,
                next_run_time=datetime.now(UTC), max_instances=1, coalesce=True, misfire_grace_time=None,
            )  # fmt: skip
        scheduler.start()
        self._scheduler = scheduler

    async def stop(self) -> None:
        if self._scheduler is not None:
            self._scheduler.shutdown(wait=False)  # type: ignore[attr-defined]
            self._scheduler = None
            await asyncio.sleep(0)

    async def _tick(self, kind: str, what: str, every: timedelta) -> None:
        try:
            await self._durable.submit(kind, tick_key(what, self._clock.now(), every))
        except asyncio.CancelledError:
            log.debug("tick %s of %s: stopped; what was begun is found by the next replica", kind, what)
        except Exception:
            log.exception("the tick %s of %s could not be handed in; the next one comes", kind, what)


def interval_start(now: datetime, every: timedelta) -> datetime:
    """Intervals are counted from 1970, so every replica cuts time at the same places."""
    return EPOCH + (now - EPOCH) // every * every


def tick_key(what: str, now: datetime, every: timedelta) -> str:
    start = interval_start(now, every)
    return f"{what}:{start.isoformat(timespec='milliseconds').replace('+00:00', 'Z')}"


def ticked(key: str) -> str:
    """What a tick is of: its key without the interval (names may hold colons, the start of an interval does)."""
    return key[: -len(":2026-01-01T00:00:00.000Z")]
