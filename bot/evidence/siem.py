"""The ledger as a stream of events to a SIEM, at least once and in order, each sink at its own pace.

Rules
- The cursor of a sink moves only after the sink took the events; a crash between the two sends them again, with the
  same ``metadata.uid``.
- Nothing is skipped: what a sink refuses stays first in its queue, is tried at every tick, and operators are told.
- One replica at a time feeds a sink (a lease). A tick does a bounded amount, so that housekeeping goes on.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, insert, or_, select, update

from bot.domain.errors import ConnectorError, GatehouseError, OutcomeUnknown, RetryLater
from bot.domain.ids import Clock, IdSource
from bot.ports import EventSink
from bot.store import ledger, outbox
from bot.store.database import Database
from bot.store.tables import StreamRow

from . import ocsf

log = logging.getLogger(__name__)
STREAMS = StreamRow.__table__  # type: ignore[attr-defined]

BATCH = 200
BATCHES = 25  # a tick: 5,000 events a sink
TRIES = 3  # of a batch within a tick
LONGEST_WAIT = 5.0
LEASE = timedelta(minutes=5)


class SiemStream:
    def __init__(
        self,
        db: Database,
        sinks: Sequence[EventSink],
        clock: Clock,
        ids: IdSource,
        worker: str,
        *,
        tell: Sequence[str] = (),
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._db, self._sinks, self._clock, self._ids, self._worker = db, sinks, clock, ids, worker
        self._tell, self._sleep = tuple(tell), sleep
        self._told: dict[str, date] = {}

    async def tick(self) -> int:
        """Bring every sink up to date, as far as a tick goes. How many events were taken."""
        return sum(await asyncio.gather(*(self._feed(sink) for sink in self._sinks)))

    async def close(self) -> None:
        for sink in self._sinks:
            await sink.close()

    async def _feed(self, sink: EventSink) -> int:
        if not await self._db.read(self._waiting, sink.name):
            return 0
        if not await self._db.write(self._claim, sink.name):
            return 0  # another replica has it
        sent = 0
        try:
            for _ in range(BATCHES):
                events = await self._db.read(self._next, sink.name)
                if not events:
                    break
                await self._send(sink, events)
                if not await self._db.write(self._advance, sink.name, events[-1]["metadata"]["sequence"]):
                    break  # the lease ran out and another replica took over
                sent += len(events)
        except GatehouseError as error:
            await self._failed(sink.name, str(error))
        except Exception as error:
            log.exception("the event stream to %s failed", sink.name)
            await self._failed(sink.name, f"{type(error).__name__}: {error}")
        finally:
            await self._db.write(self._release, sink.name)
        return sent

    async def _send(self, sink: EventSink, events: Sequence[Mapping[str, Any]]) -> None:
        for attempt in range(1, TRIES + 1):
            try:
                return await sink.send(events)
            except (RetryLater, OutcomeUnknown) as error:
                if attempt == TRIES:
                    raise
                after = error.after if isinstance(error, RetryLater) and error.after is not None else 0.5 * 2**attempt
                if after > LONGEST_WAIT:
                    raise  # the next tick is soon enough
                await self._sleep(after)
        return None

    async def _failed(self, name: str, why: str) -> None:
        log.warning("the event stream to %s waits: %s", name, why)
        today = self._clock.now().date()
        line = "" if self._told.get(name) == today else f"Ledger events do not reach {name}: {why}. None is lost."
        await self._db.write(self._note, name, why, line)
        self._told[name] = today

    # --- rows --------------------------------------------------------------------------------------------------------

    def _waiting(self, conn: Connection, name: str) -> bool:
        return ledger.size(conn) != (conn.execute(select(STREAMS.c.seq).where(STREAMS.c.sink == name)).scalar() or 0)

    def _claim(self, conn: Connection, name: str) -> bool:
        now = self._clock.now()
        ledger.lock(conn)
        if conn.execute(select(STREAMS.c.sink).where(STREAMS.c.sink == name)).first() is None:
            conn.execute(insert(STREAMS), {"sink": name, "seq": 0, "updated_at": now, "error": "", "leased_by": ""})
        free = or_(STREAMS.c.leased_until.is_(None), STREAMS.c.leased_until <= now)
        claim = update(STREAMS).where(STREAMS.c.sink == name, free)
        return bool(conn.execute(claim.values(leased_by=self._worker, leased_until=now + LEASE)).rowcount)

    def _next(self, conn: Connection, name: str) -> list[dict[str, Any]]:
        done, size = conn.execute(select(STREAMS.c.seq).where(STREAMS.c.sink == name)).scalar_one(), ledger.size(conn)
        if size < done:
            raise ConnectorError(
                f"it has the ledger up to record {done}, the database only {size}",
                mend="The ledger was truncated or restored: run `gatehouse ledger verify`.",
            )
        rows = conn.execute(
            select(ledger.LEDGER).where(ledger.LEDGER.c.seq > done).order_by(ledger.LEDGER.c.seq).limit(BATCH)
        )
        return [ocsf.event(dict(row._mapping)) for row in rows]

    def _advance(self, conn: Connection, name: str, seq: int) -> bool:
        now = self._clock.now()
        values = {"seq": seq, "updated_at": now, "failing_since": None, "error": "", "leased_until": now + LEASE}
        ours = update(STREAMS).where(STREAMS.c.sink == name, STREAMS.c.leased_by == self._worker)
        return bool(conn.execute(ours.values(values)).rowcount)

    def _release(self, conn: Connection, name: str) -> None:
        ours = update(STREAMS).where(STREAMS.c.sink == name, STREAMS.c.leased_by == self._worker)
        conn.execute(ours.values(leased_by="", leased_until=None))

    def _note(self, conn: Connection, name: str, why: str, line: str) -> None:
        now = self._clock.now()
        conn.execute(update(STREAMS).where(STREAMS.c.sink == name).values(error=why[:2000]))
        begins = update(STREAMS).where(STREAMS.c.sink == name, STREAMS.c.failing_since.is_(None))
        conn.execute(begins.values(failing_since=now))
        if line:
            for address in self._tell:
                outbox.tell(conn, self._ids, now, address, line, dedupe=f"stream:{name}:{now.date()}:{address}")


class JsonLines:
    """A file with one event a line. Returns only when the disk has them; half a line of a crash is cut off first."""

    name = "file"

    def __init__(self, path: Path) -> None:
        self._path = path

    async def send(self, events: Sequence[Mapping[str, Any]]) -> None:
        try:
            await asyncio.to_thread(self._append, events)
        except OSError as error:
            raise RetryLater(f"cannot write {self._path}: {error.strerror}", mend="Make room or rights.") from error

    async def close(self) -> None:
        """Nothing is held open between batches."""

    def _append(self, events: Sequence[Mapping[str, Any]]) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a+b") as file:
            end = file.seek(0, os.SEEK_END)
            whole = end
            while whole > 0:  # back to the end of the last whole line
                start = max(0, whole - 65536)
                file.seek(start)
                found = file.read(whole - start).rfind(b"\n")
                if found >= 0:
                    whole = start + found + 1
                    break
                whole = start
            if whole < end:
                file.truncate(whole)  # its event was not taken, so it comes again
            file.write(b"".join(json.dumps(event, separators=(",", ":")).encode() + b"\n" for event in events))
            file.flush()
            os.fsync(file.fileno())
