"""What this product does durably: executions, polls, housekeeping, draining the outbox, and tidying up after itself.

| work | id | why it is done once |
| --- | --- | --- |
| an approved execution | ``execution:<execution id>`` | the id, then the executor's lease and fence |
| a poll | ``poll:<source>:<interval start>`` | the id, then the lease on the source's row |
| housekeeping, drain, tidy | ``<kind>:<kind>:<interval start>`` | the id; each bears being run again |
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Protocol

from bot.domain.errors import NotFound
from bot.domain.ids import Clock
from bot.scheduler import Tick, ticked
from bot.store import plans
from bot.store.database import Database

from .service import Durable

if TYPE_CHECKING:
    from bot.polling import Polling, Source
    from bot.remediation.execution import Executor

log = logging.getLogger(__name__)

HOUSEKEEPING_SECONDS = 30.0
DRAIN_SECONDS = 10.0
TIDY_SECONDS = 3600.0
HAND_OVER_SECONDS = 0.3
_ASK_AGAIN_SECONDS = 5.0


class Drains(Protocol):
    async def work_once(self) -> int: ...


class Work:
    """Registers the handlers with ``durable``; ``ticks`` for the scheduler, ``hand_over`` as a task beside it."""

    def __init__(
        self,
        durable: Durable,
        db: Database,
        executor: Executor,
        polling: Polling,
        sources: Sequence[Source],
        deliverer: Drains,
        housekeeping: Sequence[Callable[[], Awaitable[object]]],
        clock: Clock,
    ) -> None:
        self._durable, self._db, self._executor, self._polling = durable, db, executor, polling
        self._sources = {source.name: source for source in sources}
        self._deliverer, self._housekeeping, self._clock = deliverer, housekeeping, clock
        self._handed: dict[str, float] = {}
        durable.handle("execution", self._carry_out)
        durable.handle("poll", self._poll)
        durable.handle("housekeeping", self._keep_house)
        durable.handle("drain", self._drain)
        durable.handle("tidy", self._tidy)

    def ticks(self) -> list[Tick]:
        polls: list[Tick] = [("poll", each.name, each.every_minutes * 60) for each in self._sources.values()]
        own = {"housekeeping": HOUSEKEEPING_SECONDS, "drain": DRAIN_SECONDS, "tidy": TIDY_SECONDS}
        return polls + [(kind, kind, seconds) for kind, seconds in own.items()]

    async def hand_over(self, stop: asyncio.Event, idle: float = HAND_OVER_SECONDS) -> None:
        """Give the engine what our rows say is to be carried out. The rows are the truth, so no crash loses one."""
        while not stop.is_set():
            try:
                await self.hand_over_once()
            except Exception:
                log.exception("executions could not be handed over; trying again")
            try:
                await asyncio.wait_for(stop.wait(), idle)
            except TimeoutError:
                continue

    async def hand_over_once(self) -> None:
        now = time.monotonic()
        self._handed = {key: at for key, at in self._handed.items() if at > now}
        for execution_id in await self._db.read(plans.claimable, self._clock.now()):
            if execution_id not in self._handed:
                await self._durable.again("execution", execution_id)
                self._handed[execution_id] = now + _ASK_AGAIN_SECONDS

    # --- what the engine calls ---------------------------------------------------------------------------------------

    async def _carry_out(self, execution_id: str) -> str:
        said = ""

        async def final() -> bool:
            nonlocal said
            try:
                state = await self._executor.run(execution_id)
            except NotFound as error:
                said = error.reason
                return True
            said = state.value
            return state.is_final  # else another worker holds its lease: wait for it to end or to run out

        await self._durable.until(final)
        return said

    async def _poll(self, key: str) -> str:
        source = self._sources.get(ticked(key))
        if source is None:
            return f"{ticked(key)} is no longer a source"
        outcome = await self._polling.poll(source)
        log.info("poll: %s", outcome.said)
        return outcome.said

    async def _keep_house(self, _key: str) -> str:
        failed = 0
        for work in self._housekeeping:
            try:
                await work()
            except Exception:
                failed += 1
                log.exception("housekeeping %s failed", getattr(work, "__qualname__", work))
        return f"{failed} failed" if failed else "done"

    async def _drain(self, _key: str) -> str:
        """The outbox's rows are plain inserts of ours; this sends what is due when the replica that wrote them died."""
        sent = 0
        while taken := await self._deliverer.work_once():
            sent += taken
        return f"{sent} sent"

    async def _tidy(self, _key: str) -> str:
        return f"{await self._durable.tidy()} finished workflows deleted"
