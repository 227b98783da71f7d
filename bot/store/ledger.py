"""The append-only, hash-chained record: hash = SHA-256 over (seq, at, kind, subject, actor, body, prev).

Rules: a record is appended in the transaction of what it tells, before any outside effect; nothing updates or deletes.
``verify`` walks the chain and names the first record that was altered, is missing or out of order.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert, select, text

from bot.domain.ids import canonical

from .tables import LedgerRow

LEDGER = LedgerRow.__table__  # type: ignore[attr-defined]
GENESIS = "0" * 64
# Any fixed number: serialises appenders on PostgreSQL, SQLite has one writer anyway.
_LOCK = 0x6761_7465


@dataclass(frozen=True, slots=True)
class LedgerReport:
    ok: bool
    records: int
    head: str
    first_bad: int | None = None
    why: str = ""


def record_hash(seq: int, at: str, kind: str, subject: str, actor: str, body: str, prev: str) -> str:
    return hashlib.sha256(canonical([seq, at, kind, subject, actor, body, prev])).hexdigest()


def append(conn: Connection, *, kind: str, subject: str, actor: str, body: Mapping[str, Any], now: datetime) -> int:
    """Append one record and return its sequence number. ``actor`` is a principal id or "gatehouse"."""
    if conn.dialect.name == "postgresql":
        conn.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
    last = conn.execute(select(LEDGER.c.seq, LEDGER.c.hash).order_by(LEDGER.c.seq.desc()).limit(1)).first()
    seq, prev = (last.seq + 1, last.hash) if last else (1, GENESIS)
    at, written = now.isoformat(), canonical(body).decode()
    row = {"seq": seq, "at": at, "kind": kind, "subject": subject, "actor": actor, "body": written, "prev": prev}
    conn.execute(insert(LEDGER), row | {"hash": record_hash(seq, at, kind, subject, actor, written, prev)})
    return int(seq)


def verify(conn: Connection) -> LedgerReport:
    """Walk the whole chain. Truncation at the end shows only against a witness: compare ``head`` with one."""
    prev, count = GENESIS, 0
    rows = conn.execution_options(yield_per=1000).execute(select(LEDGER).order_by(LEDGER.c.seq))
    for row in rows:
        count += 1
        if row.seq != count:
            return LedgerReport(False, count, prev, count, f"record {count} is missing (found {row.seq} instead)")
        if row.prev != prev:
            return LedgerReport(False, count, prev, row.seq, f"record {row.seq} does not follow the one before it")
        if row.hash != record_hash(row.seq, row.at, row.kind, row.subject, row.actor, row.body, row.prev):
            return LedgerReport(False, count, prev, row.seq, f"record {row.seq} was altered")
        prev = row.hash
    return LedgerReport(True, count, prev)
