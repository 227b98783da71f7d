"""One poll of one source: read the cursor, feed pages to intake, move the cursor with each stored page.

Rules
- One replica polls a source at a time: a lease on its row, taken in one statement, given back at the end.
- A page is asked for only after the one before it is stored.
- A source that goes bad is said once in the operators' channels, and once when it recovers. A refusal (rights,
  credentials) is not retried before the next tick; ``RetryLater`` waits as long as the source asks.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import orjson
from sqlalchemy import Connection, insert, or_, select, update

from bot.domain.errors import GatehouseError, RetryLater
from bot.domain.ids import Clock, IdSource
from bot.intake.service import Intake
from bot.ports import FindingMapper, Poller
from bot.store import ledger, outbox
from bot.store.database import Database
from bot.store.tables import SourceRow

log = logging.getLogger(__name__)
SOURCES = SourceRow.__table__  # type: ignore[attr-defined]
LEASE = timedelta(minutes=30)


@dataclass(slots=True)
class Source:
    """A configured source: its name (key of ``sources``), where it reads and how it understands."""

    name: str
    poller: Poller
    mapper: FindingMapper
    every_minutes: float
    not_before: datetime | None = None  # set by Retry-After


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
        now = self._clock.now()
        if source.not_before and now < source.not_before:
            return PollOutcome(False, f"{source.name} asked to wait until {source.not_before:%H:%M:%S}Z")
        claimed, cursor = await self._db.write(_claim, source.name, self._worker, now)
        if not claimed:
            return PollOutcome(False, f"another replica polls {source.name}")
        try:
            run = await self._intake.begin(source.name)
            async for page in source.poller.poll(cursor, now):
                await run.page(source.mapper, page)
            report = await run.finish(complete=True)
        except GatehouseError as error:
            if isinstance(error, RetryLater) and error.after:
                source.not_before = self._clock.now() + timedelta(seconds=error.after)
            await self._db.write(self._failed, source.name, str(error))
            return PollOutcome(True, f"{source.name} failed: {error}")
        except Exception as error:
            # A bug in one connector must not silence the others, and must be seen.
            log.exception("poll of %s failed", source.name)
            await self._db.write(self._failed, source.name, f"{type(error).__name__}: {error}")
            return PollOutcome(True, f"{source.name} failed: {error}")
        await self._db.write(self._recovered, source.name)
        return PollOutcome(True, f"{source.name}: {report}")

    def _failed(self, conn: Connection, name: str, error: str) -> None:
        now = self._clock.now()
        row = conn.execute(select(SOURCES).where(SOURCES.c.name == name)).one()
        values: dict[str, Any] = {"error": error[:1000], "leased_until": None, "leased_by": ""}
        if row.failing_since is None:
            values["failing_since"] = now
            self._say(conn, f"Source {name} cannot be read: {error[:500]} It is tried again at its next turn.", now)
            ledger.append(
                conn, kind="source.failing", subject=name, actor="gatehouse", body={"error": error[:1000]}, now=now
            )
        conn.execute(update(SOURCES).where(SOURCES.c.name == name).values(values))

    def _recovered(self, conn: Connection, name: str) -> None:
        now = self._clock.now()
        row = conn.execute(select(SOURCES).where(SOURCES.c.name == name)).one()
        if row.failing_since is not None:
            self._say(
                conn, f"Source {name} can be read again; it could not since {row.failing_since:%Y-%m-%d %H:%M}Z.", now
            )
            ledger.append(conn, kind="source.recovered", subject=name, actor="gatehouse", body={}, now=now)
        values = {"error": "", "failing_since": None, "last_ok_at": now, "leased_until": None, "leased_by": ""}
        conn.execute(update(SOURCES).where(SOURCES.c.name == name).values(values))

    def _say(self, conn: Connection, line: str, now: datetime) -> None:
        for address in self._operators:
            outbox.tell(conn, self._ids, now, address, line)


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
