"""How often a system may be asked: a token bucket in calls a second."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from bot.domain.errors import RetryLater


class Pace:
    """``per_second`` calls on average, ``burst`` at once. Waits for its turn; a turn further away than ``patience``
    seconds is ``RetryLater``, so that a poll ends and comes back instead of sleeping for an hour."""

    def __init__(
        self,
        per_second: float,
        burst: int = 1,
        *,
        patience: float = 60.0,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        if per_second <= 0 or burst < 1:
            raise ValueError("per_second must be above 0 and burst at least 1")
        self._gap, self._burst, self._patience = 1 / per_second, burst, patience
        self._now, self._sleep = now, sleep
        self._free_at = now() - burst * self._gap  # the time at which the bucket was, or will be, empty

    async def turn(self) -> None:
        now = self._now()
        taken = max(self._free_at, now - self._burst * self._gap) + self._gap
        wait = taken - now
        if wait > self._patience:
            raise RetryLater(f"the rate budget is used up for another {wait:.0f} s", after=wait)
        self._free_at = taken
        if wait > 0:
            await self._sleep(wait)
