"""Telling the sources: a verified fix, an accepted risk, a return. Each once, whatever crashes in between.

Before the call the row says "sent, outcome unknown"; whoever finds it so reads at the source first. Closing at the
source is not fixing: a rescan is asked for where there is one, and the source's next report agrees or contradicts.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, and_, exists, or_, select, update

from bot.domain.errors import ConnectorError, GatehouseError, Gone, OutcomeUnknown, Refused, Relogin, RetryLater
from bot.domain.findings import SourceStatus
from bot.domain.ids import Clock, IdSource
from bot.ports import SourceNote, WriteBack
from bot.store import ledger, outbox, tellings
from bot.store.database import Database
from bot.store.findings import FINDINGS
from bot.store.tellings import TELLINGS

log = logging.getLogger(__name__)
BATCH = 10
ATTEMPTS = 8
FIRST_WAIT = timedelta(minutes=1)
LONGEST_WAIT = timedelta(hours=2)
DOUBT = timedelta(hours=48)  # so long after a telling "open again" means that the fix was not enough
_CLOSED = (int(SourceStatus.RESOLVED), int(SourceStatus.ARCHIVED), int(SourceStatus.DELETED))


class Telling:
    """``ways`` says for each source how it is told; what has no way stays queued and costs nothing."""

    def __init__(
        self, db: Database, ways: Mapping[str, WriteBack], clock: Clock, ids: IdSource, worker: str,
        operators: tuple[str, ...] = (),
    ) -> None:  # fmt: skip
        self._db, self._ways, self._clock, self._ids, self._worker = db, dict(ways), clock, ids, worker
        self._operators = operators

    async def work_once(self) -> int:
        """Tell what is due; how many were taken."""
        if not self._ways:
            return 0
        rows = await self._db.write(tellings.claim, tuple(self._ways), self._worker, self._clock.now(), BATCH)
        for row in rows:
            await self._tell(row, self._ways[row.source])
        # Asked for every second and nearly always nothing: the writer is only taken where something is to be written.
        if await self._db.read(self._unsettled):
            await self._db.write(self._settle)
        return len(rows)

    async def close(self) -> None:
        for way in self._ways.values():
            await way.close()

    async def _tell(self, row: Any, way: WriteBack) -> None:
        raw = await self._db.read(tellings.raw_of, row.finding_id)
        note = SourceNote(key=row.id, uid=row.uid, to=row.to, note=row.note, until=row.until, raw=raw)
        try:
            if row.state == "unknown" and await way.told(note):
                await self._told(row, "it had arrived after all")
            else:
                if not await self._db.write(tellings.sending, row.id, self._worker):
                    return  # another worker has it
                await self._told(row, await way.tell(note))
        except RetryLater as error:
            await self._again(row, error)
        except (Relogin, OutcomeUnknown) as error:
            await self._again(row, error, unknown=isinstance(error, OutcomeUnknown))
        except (Refused, Gone) as error:
            await self._record(row, "refused", error)
        except ConnectorError as error:
            await self._again(row, error, unknown=True)
        except Exception as error:
            log.exception("telling %s of %s", row.source, row.id)
            await self._again(row, GatehouseError(f"{type(error).__name__}: {error}"), unknown=True)
        else:
            if row.to == "fixed":
                await self._rescan(row, way, note)

    async def _told(self, row: Any, said: str) -> None:
        await self._db.write(self._write_told, row, said)

    def _write_told(self, conn: Connection, row: Any, said: str) -> None:
        now = self._clock.now()
        if tellings.record(conn, row.id, self._worker, state="told", told_at=now, said=said):
            ledger.append(conn, kind="source.told", subject=row.finding_id, actor="gatehouse", now=now,
                          body={"source": row.source, "to": row.to, "said": said[:500], "reason": row.reason_id,
                                "telling": row.id})  # fmt: skip

    async def _rescan(self, row: Any, way: WriteBack, note: SourceNote) -> None:
        """Ask for a new look; that it cannot be asked for changes nothing."""
        try:
            said = await way.rescan(note)
        except GatehouseError as error:
            log.info("no rescan of %s asked for at %s: %s", row.uid, row.source, error.reason)
            return
        if said:
            now = self._clock.now()
            await self._db.write(
                lambda conn: conn.execute(update(TELLINGS).where(TELLINGS.c.id == row.id).values(rescan_at=now))
            )

    async def _again(self, row: Any, error: GatehouseError, *, unknown: bool = False) -> None:
        if row.attempts + 1 >= ATTEMPTS:
            await self._record(row, "refused", error)
            return
        asked = getattr(error, "after", None)
        wait = timedelta(seconds=asked) if asked else min(FIRST_WAIT * 2**row.attempts, LONGEST_WAIT)
        state = "unknown" if unknown else "queued"
        values = {"state": state, "not_before": self._clock.now() + wait, "said": error.reason}
        await self._db.write(lambda conn: tellings.record(conn, row.id, self._worker, **values))

    async def _record(self, row: Any, state: str, error: GatehouseError) -> None:
        await self._db.write(self._write_refused, row, state, error)

    def _write_refused(self, conn: Connection, row: Any, state: str, error: GatehouseError) -> None:
        now = self._clock.now()
        if not tellings.record(conn, row.id, self._worker, state=state, said=error.reason):
            return
        body = {"source": row.source, "to": row.to, "why": error.reason[:500], "telling": row.id}
        ledger.append(conn, kind="source.not_told", subject=row.finding_id, actor="gatehouse", now=now, body=body)
        for address in self._operators:
            outbox.tell(
                conn, self._ids, now, address,
                f"{row.source} could not be told that {row.uid} is {row.to}: {error.reason[:300]} {error.mend}".strip(),
            )  # fmt: skip

    # --- does the source agree

    def _unsettled(self, conn: Connection) -> Sequence[Any]:
        """Tellings of which the source's reports since say something: it left, or it is open again."""
        now = self._clock.now()
        later = TELLINGS.alias("later")
        # Some close a finding because we said so, and open it again when their own scan still finds it.
        untold = and_(TELLINGS.c.state == "queued", TELLINGS.c.source.notin_(list(self._ways)))  # it has no way
        still = and_(TELLINGS.c.state == "agreed", FINDINGS.c.status == "reopened", TELLINGS.c.told_at > now - DOUBT,
                     FINDINGS.c.result.notin_(_CLOSED))  # fmt: skip
        return conn.execute(
            select(TELLINGS.c.id, TELLINGS.c.source, TELLINGS.c.uid, FINDINGS.c.result, FINDINGS.c.cause_id)
            .join(FINDINGS, and_(FINDINGS.c.id == TELLINGS.c.finding_id))
            .where(TELLINGS.c.to == "fixed", or_(TELLINGS.c.state == "told", untold, still))
            .where(or_(FINDINGS.c.result.in_(_CLOSED), FINDINGS.c.status == "reopened"))
            # what was told later ("the fix was undone") is the reason why it is open again, no contradiction
            .where(~exists().where(later.c.finding_id == TELLINGS.c.finding_id,
                                   later.c.created_at > TELLINGS.c.created_at))
            .limit(1000)
        ).all()  # fmt: skip

    def _settle(self, conn: Connection) -> None:
        """What the source reported since: it agrees that it is fixed, or it contradicts (the finding is open again)."""
        now = self._clock.now()
        for row in self._unsettled(conn):
            agreed = row.result in _CLOSED
            state = "agreed" if agreed else "contradicted"
            conn.execute(update(TELLINGS).where(TELLINGS.c.id == row.id).values(state=state))
            if not agreed:
                outbox.say_in_thread(
                    conn, self._ids, now, row.cause_id,
                    f"{row.source} looked again and still reports {row.uid}: the fix was not enough, or was undone.",
                )  # fmt: skip
            outbox.refresh_cause(conn, self._ids, now, row.cause_id)


def waited_for(rows: list[Any]) -> list[str]:
    """The sources whose next scan a fix of ours waits for (rows of ``tellings.of_cause``)."""
    return sorted({row.source for row in rows if row.to == "fixed" and row.state in ("queued", "unknown", "told")
                   and row.status == "resolved" and row.result not in _CLOSED})  # fmt: skip


def contradicted_by(rows: list[Any]) -> list[str]:
    """The sources that looked again and still report what we had fixed."""
    return sorted({row.source for row in rows if row.to == "fixed" and row.state == "contradicted"
                   and row.status in ("reopened", "open")})  # fmt: skip
