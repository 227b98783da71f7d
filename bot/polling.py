"""One poll of one source: read the cursor, feed pages to intake, move the cursor with each stored page.

Rules
- One replica polls a source at a time: a lease on its row, taken in one statement, kept while the poll runs, given
  back at the end. Who lost it stores nothing more.
- A page is asked for only after the one before it is stored.
- A source that goes bad is said once in the operators' channels, and once when it recovers. A refusal (rights,
  credentials) is not retried before the next tick; ``RetryLater`` waits as long as the source asks.
- A credential that is no longer good is said once with what to do. Until it is renewed (the bot starts anew with other
  settings) or works again, the source is asked once an hour: a provider that locks accounts must not be provoked.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import orjson
from sqlalchemy import Connection, insert, or_, select, update

from bot.domain.errors import Conflict, GatehouseError, Relogin, RetryLater
from bot.domain.ids import Clock, IdSource
from bot.intake.service import IngestReport, Intake
from bot.ports import FindingMapper, Page, Poller
from bot.store import ledger, outbox
from bot.store.database import Database
from bot.store.tables import SourceRow

log = logging.getLogger(__name__)
SOURCES = SourceRow.__table__  # type: ignore[attr-defined]
LEASE = timedelta(minutes=5)
KEEP_SECONDS = 60.0  # between two renewals of the lease
RENEWAL_PAUSE = timedelta(hours=1)
_CREDENTIAL = "credential: "  # what such an error begins with in the source's row


@dataclass(slots=True)
class Source:
    """A configured source: its name (key of ``sources``), where it reads and how it understands."""

    name: str
    poller: Poller
    mapper: FindingMapper
    every_minutes: float
    not_before: datetime | None = None  # set by Retry-After and by credentials that are no longer good

    async def close(self) -> None:
        """Close what the poller holds open, if it says how."""
        close = getattr(self.poller, "close", None)
        if close is not None:
            await close()


@dataclass(frozen=True, slots=True)
class PollOutcome:
    polled: bool
    said: str


class Polling:
    def __init__(
        self, db: Database, intake: Intake, operators: tuple[str, ...], clock: Clock, ids: IdSource, worker: str
    ) -> None:
        self._db, self._intake, self._operators = db, intake, operators
        self._clock, self._ids, self._worker = clock, ids, worker

    async def poll(self, source: Source) -> PollOutcome:
        """One turn. Errors are recorded and said, never raised."""
        now = self._clock.now()
        if source.not_before and now < source.not_before:
            return PollOutcome(False, f"{source.name} is not asked before {source.not_before:%H:%M:%S}Z")
        try:
            report, _ = await self.read(source)
        except _Busy as error:
            return PollOutcome(False, error.reason)
        except GatehouseError as error:
            if isinstance(error, RetryLater) and error.after:
                source.not_before = self._clock.now() + timedelta(seconds=error.after)
            elif isinstance(error, Relogin):
                source.not_before = self._clock.now() + RENEWAL_PAUSE
            await self._db.write(self._failed, source.name, str(error), isinstance(error, Relogin))
            return PollOutcome(True, f"{source.name} failed: {error}")
        except Exception as error:
            # A bug in one connector must not silence the others, and must be seen.
            log.exception("poll of %s failed", source.name)
            await self._db.write(self._failed, source.name, f"{type(error).__name__}: {error}", False)
            return PollOutcome(True, f"{source.name} failed: {error}")
        source.not_before = None
        await self._db.write(self._recovered, source.name)
        return PollOutcome(True, f"{source.name}: {report}")

    async def read(
        self,
        source: Source,
        *,
        from_start: bool = False,
        each: Callable[[Page], None] = lambda page: None,
        stop: asyncio.Event | None = None,
    ) -> tuple[IngestReport, bool]:
        """Read on from the stored cursor (or from the start) to the end, or until ``stop`` is set, which is looked at
        after each stored page; ``each`` hears of it. The report, and whether the end was reached. Errors are raised;
        what was stored stays, and the cursor with it. ``Conflict`` where another replica reads the source."""
        now = self._clock.now()
        async with self._lease(source.name, now) as (cursor, lost):
            run = await self._intake.begin(source.name)
            pages = source.poller.poll(None if from_start else cursor, now)
            try:
                async for page in pages:
                    if lost.is_set():
                        raise Conflict(f"another replica took over {source.name} while this one was reading it")
                    await run.page(source.mapper, page)
                    each(page)
                    if stop is not None and stop.is_set():
                        return await run.finish(complete=False), False
            finally:
                if isinstance(pages, AsyncGenerator):
                    await pages.aclose()  # at once: what it holds open must not wait for the garbage collector
            return await run.finish(complete=True), True

    @asynccontextmanager
    async def _lease(self, name: str, now: datetime) -> AsyncIterator[tuple[Any, asyncio.Event]]:
        """The stored cursor, and an event that is set when the lease was lost."""
        claimed, cursor = await self._db.write(_claim, name, self._worker, now)
        if not claimed:
            raise _Busy(f"another replica polls {name}", mend="Wait until it is done.")
        lost = asyncio.Event()
        keeper = asyncio.create_task(self._keep(name, lost), name=f"lease of {name}")
        try:
            yield cursor, lost
        finally:
            keeper.cancel()
            await asyncio.gather(keeper, return_exceptions=True)
            await self._db.write(_release, name, self._worker)

    async def _keep(self, name: str, lost: asyncio.Event) -> None:
        while True:
            await asyncio.sleep(KEEP_SECONDS)
            try:
                if not await self._db.write(_renew, name, self._worker, self._clock.now()):
                    lost.set()
                    return
            except Exception:
                log.exception("the lease of %s could not be renewed; it is tried again", name)

    def _failed(self, conn: Connection, name: str, error: str, renew: bool) -> None:
        now = self._clock.now()
        row = conn.execute(select(SOURCES).where(SOURCES.c.name == name)).one()
        values: dict[str, Any] = {"error": f"{_CREDENTIAL if renew else ''}{error}"[:1000]}
        asked = row.failing_since is not None and row.error.startswith(_CREDENTIAL)
        if row.failing_since is None:
            values["failing_since"] = now
            ledger.append(
                conn, kind="source.failing", subject=name, actor="gatehouse", body={"error": error[:1000]}, now=now
            )
        if renew and not asked:
            self._say(
                conn,
                f"Source {name} needs a new credential: {error[:500]} Set it under sources.{name}.options (or in the "
                f"environment) and start Gatehouse again. Until then it is tried once an hour.",
                now,
            )
        elif row.failing_since is None:
            self._say(conn, f"Source {name} cannot be read: {error[:500]} It is tried again at its next turn.", now)
        conn.execute(update(SOURCES).where(SOURCES.c.name == name).values(values))

    def _recovered(self, conn: Connection, name: str) -> None:
        now = self._clock.now()
        row = conn.execute(select(SOURCES).where(SOURCES.c.name == name)).one()
        if row.failing_since is not None:
            self._say(
                conn, f"Source {name} can be read again; it could not since {row.failing_since:%Y-%m-%d %H:%M}Z.", now
            )
            ledger.append(conn, kind="source.recovered", subject=name, actor="gatehouse", body={}, now=now)
        conn.execute(update(SOURCES).where(SOURCES.c.name == name).values(error="", failing_since=None, last_ok_at=now))

    def _say(self, conn: Connection, line: str, now: datetime) -> None:
        for address in self._operators:
            outbox.tell(conn, self._ids, now, address, line)


class _Busy(Conflict):
    """Another replica holds the lease."""


def _claim(conn: Connection, name: str, worker: str, now: datetime) -> tuple[bool, Any]:
    """Take the lease on a source's row, making the row at first use. (taken, stored cursor)."""
    if conn.execute(select(SOURCES.c.name).where(SOURCES.c.name == name)).first() is None:
        conn.execute(insert(SOURCES), {"name": name, "cursor": "null", "error": "", "run_id": "", "leased_by": ""})
    free = or_(SOURCES.c.leased_until.is_(None), SOURCES.c.leased_until < now, SOURCES.c.leased_by == worker)
    taken = conn.execute(
        update(SOURCES).where(SOURCES.c.name == name, free).values(leased_by=worker, leased_until=now + LEASE)
    )
    if not taken.rowcount:
        return False, None
    cursor = conn.execute(select(SOURCES.c.cursor).where(SOURCES.c.name == name)).scalar_one()
    return True, orjson.loads(cursor)


def _renew(conn: Connection, name: str, worker: str, now: datetime) -> bool:
    """False when another replica holds the lease by now."""
    mine = (SOURCES.c.name == name, SOURCES.c.leased_by == worker)
    return bool(conn.execute(update(SOURCES).where(*mine).values(leased_until=now + LEASE)).rowcount)


def _release(conn: Connection, name: str, worker: str) -> None:
    mine = (SOURCES.c.name == name, SOURCES.c.leased_by == worker)
    conn.execute(update(SOURCES).where(*mine).values(leased_by="", leased_until=None))
