"""``Durable``: work under ids that make it happen once, gone on with by a survivor when its replica dies.

Rules
- Work is ``submit(kind, key)``; its id is ``kind:key``. An id that was ever begun is not begun again, by any replica.
- What must happen with our own rows (an approved execution, a message) is a row of ours first and handed over
  afterwards by ``reconcile``; a crash in between loses nothing.
- The engine makes work start once and go on after a crash: at least once. Effects stay single by the leases, fences
  and readings of ``bot.remediation.execution``, ``bot.polling`` and ``bot.delivery``.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from types import ModuleType
from typing import Any

from bot.domain.errors import SettingsError
from bot.domain.ids import Clock
from bot.store.database import Database

from .replicas import TTL_SECONDS, Membership, Superseded

log = logging.getLogger(__name__)

Handler = Callable[[str], Awaitable[object]]
KEEP_FINISHED = timedelta(days=2)
GRACE_SECONDS = 60.0  # what was begun may end when the process is told to
_DELETE_AT_ONCE = 200
_ATTEMPTS = 50

_running: Durable | None = None


class Durable:
    """``start`` on the event loop, ``submit``, ``stop``. One runs per process at a time; it can be started again."""

    def __init__(
        self,
        db: Database,
        name: str,
        clock: Clock,
        *,
        ttl: float = TTL_SECONDS,
        grace: float = GRACE_SECONDS,
        version: str | None = None,
        membership: Membership | None = None,
    ) -> None:
        self._db, self._clock, self._grace, self._version = db, clock, grace, version
        self.membership = membership or Membership(db, name, clock, ttl=ttl)
        self._handlers: dict[str, Handler] = {}
        self._engine: Any = None  # the SQLAlchemy engine of DBOS's own tables
        self._dbos: Any = None  # bot.durable.engine, once imported
        self._doing: set[asyncio.Task[Any]] = set()
        self._stopping = asyncio.Event()

    def handle(self, kind: str, handler: Handler) -> None:
        """Say what work of this kind does. It is called with the work's key, and must bear being called again."""
        self._handlers[kind] = handler

    # --- life --------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        global _running
        if _running is not None:
            raise SettingsError("a durable engine runs in this process already", mend="Stop it first.")
        _running = self
        try:
            self._stopping.clear()
            await self.membership.join()
            self._dbos = await asyncio.to_thread(_import_engine)
            self._engine = self._dbos.open_engine(self._dbos.beside(self._db.url))
            self._version = self._version or self._dbos.VERSION
            await asyncio.to_thread(self._dbos.build, self._engine, self.membership.name, self._version)
            self._dbos.launch(self._do)
            await self._warn_of_other_versions()
            await self.tend()
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Take nothing new, let what was begun end within the grace, leave the rest for another replica."""
        global _running
        if _running is not self:
            return
        self._stopping.set()
        try:
            if self._doing:
                await asyncio.wait(self._doing, timeout=0 if self.membership.lost else self._grace)
            for task in list(self._doing):
                task.cancel()
            if self._doing:
                await asyncio.wait(self._doing, timeout=10)
            if self._dbos is not None:
                await self._destroy()
            if self._engine is not None:
                self._engine.dispose()
            if self.membership.fence:
                await self.membership.leave()
        finally:
            self._engine = None
            _running = None

    async def _destroy(self) -> None:
        # DBOS makes its thread pool the loop's own and shuts it down; the loop needs one that lives on.
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(thread_name_prefix="asyncio"))
        try:
            await asyncio.to_thread(self._dbos.destroy)
        finally:
            loop.set_default_executor(ThreadPoolExecutor(thread_name_prefix="asyncio"))

    async def run(self, stop: asyncio.Event) -> None:
        """Beat and take over from the dead until ``stop``. Raises ``Superseded`` when this replica was replaced."""
        pause = self.membership.ttl / 5
        while not stop.is_set():
            try:
                await self.membership.beat()
                await self.tend()
            except Superseded:
                raise
            except Exception:
                log.exception("cannot tell the other replicas that this one lives; nothing is changed meanwhile")
            await _pause(stop, pause)

    # --- work --------------------------------------------------------------------------------------------------------

    async def submit(self, kind: str, key: str) -> None:
        """Do ``kind`` for ``key`` once. Returns when that is recorded, not when it is done."""
        if self._stopping.is_set():
            return
        await self._dbos.start(f"{kind}:{key}", kind, key)

    async def again(self, kind: str, key: str) -> None:
        """The same for work that our own rows say is still to be done: a finished id does not count as doing it."""
        if self._stopping.is_set():
            return
        for attempt in range(_ATTEMPTS):
            workflow_id = f"{kind}:{key}" + (f"#{attempt}" if attempt else "")
            found = await self._dbos.status(workflow_id)
            if found is None:
                await self._dbos.start(workflow_id, kind, key)
                return
            if found.status not in self._dbos.FINISHED and found.app_version == self._version:
                return  # somebody is at it, or will go on with it
        log.error("%s:%s was begun %d times and is still to be done", kind, key, _ATTEMPTS)

    async def _do(self, kind: str, key: str) -> str:
        """What DBOS calls, on the loop ``start`` was called on."""
        handler = self._handlers.get(kind)
        if handler is None:
            log.warning("work of kind %s is not known to this replica", kind)
            return "unknown"
        task = asyncio.current_task()
        if self._stopping.is_set() or task is None:
            raise asyncio.CancelledError  # stays begun: another replica goes on with it
        self._doing.add(task)
        task.add_done_callback(self._doing.discard)
        try:
            await self.membership.confirm()
            return str(await handler(key))
        except Superseded as error:
            log.warning("%s:%s left alone: %s", kind, key, error)
            raise asyncio.CancelledError(str(error)) from error
        except Exception:
            log.exception("%s:%s failed", kind, key)
            return "failed"

    async def until(self, done: Callable[[], Awaitable[bool]], *, first: float = 0.2, most: float = 5.0) -> None:
        """Call ``done`` until it says so, at a growing distance; gives up when this replica stops."""
        wait = first
        while True:
            try:
                if await done():
                    return
            except Exception:
                log.exception("trying again in %.1f s", wait)
            if await _pause(self._stopping, wait):
                raise asyncio.CancelledError
            wait = min(wait * 2, most)

    # --- takeover and tidying ----------------------------------------------------------------------------------------

    async def tend(self) -> list[str]:
        """Bury the silent; as the eldest living replica, resume what belongs to nobody alive. The resumed ids."""
        for name in await self.membership.bury():
            log.warning("replica %s is silent; its work is taken over", name)
        begun = await self._dbos.listed(["PENDING"])  # before the living are read: whoever begins work lives already
        living = await self.membership.living()
        if not begun or not living or living[0].name != self.membership.name:
            return []
        alive = {replica.name for replica in living}
        resumed = []
        for workflow in begun:
            if workflow.executor_id not in alive:
                await self.membership.confirm()
                await self._dbos.resume(workflow.workflow_id)
                resumed.append(workflow.workflow_id)
        return resumed

    async def tidy(self, keep: timedelta = KEEP_FINISHED) -> int:
        """Delete workflows that finished longer ago than ``keep``. How many."""
        before, deleted = (self._clock.now() - keep).isoformat(), 0
        while ids := [x.workflow_id for x in await self._finished(before)]:
            await self._dbos.delete(ids)
            deleted += len(ids)
        await self.membership.prune()
        return deleted

    async def _finished(self, before: str) -> Sequence[Any]:
        found: Sequence[Any] = await self._dbos.listed(self._dbos.FINISHED, before=before, limit=_DELETE_AT_ONCE)
        return found

    async def other_versions(self) -> Mapping[str, int]:
        """Unfinished work per version that is not ours: this version does not run it."""
        counts: dict[str, int] = {}
        for workflow in await self._dbos.listed(["PENDING", "ENQUEUED", "DELAYED"]):
            if workflow.app_version != self._version:
                counts[str(workflow.app_version)] = counts.get(str(workflow.app_version), 0) + 1
        return counts

    async def _warn_of_other_versions(self) -> None:
        for version, count in (await self.other_versions()).items():
            log.warning(
                "%d unfinished workflows belong to durable version %s, this is %s: let replicas of that version "
                "finish them (docs/reliability.md, draining)", count, version, self._version,
            )  # fmt: skip


def _import_engine() -> ModuleType:
    return importlib.import_module("bot.durable.engine")


async def _pause(stop: asyncio.Event, seconds: float) -> bool:
    """Wait; True when ``stop`` came."""
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        return False
    return True
