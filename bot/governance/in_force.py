"""Which policy decides now, where replicas were started with different ones: the one that was put in force last.

A replica notes at its start, in the ledger, which policy it brings. One that finds another policy noted after its own
start is behind: it decides nothing under its own, and leaves it to the newer replicas.
"""

from __future__ import annotations

import json
from datetime import datetime

from sqlalchemy import Connection, func, select

from bot.store import ledger

KIND = "policy.in_force"


class InForce:
    """One a process, over its policy's version."""

    def __init__(self, version: str) -> None:
        self.version = version
        self._born: int | None = None  # how long the ledger was when this process began

    def begin(self, conn: Connection, now: datetime) -> None:
        """This process starts: its policy is in force from here on."""
        self._born = self.announce(conn, now) or _length(conn)

    def announce(self, conn: Connection, now: datetime) -> int | None:
        """Note it, where another one was noted last. The record's number."""
        ledger.lock(conn)
        last = _last(conn)
        if last is not None and last[1] == self.version:
            return None
        body = {"version": self.version, "before": last[1] if last else ""}
        return ledger.append(conn, kind=KIND, subject=self.version, actor="gatehouse", body=body, now=now)

    def behind(self, conn: Connection) -> bool:
        """Whether a newer policy than ours was put in force since this process began."""
        if self._born is None:
            self._born = _length(conn)
        last = _last(conn)
        return last is not None and last[0] > self._born and last[1] != self.version


def _length(conn: Connection) -> int:
    return int(conn.execute(select(func.coalesce(func.max(ledger.LEDGER.c.seq), 0))).scalar_one())


def _last(conn: Connection) -> tuple[int, str] | None:
    table = ledger.LEDGER
    row = conn.execute(
        select(table.c.seq, table.c.body).where(table.c.kind == KIND).order_by(table.c.seq.desc()).limit(1)
    ).first()
    return (row.seq, str(json.loads(row.body).get("version", ""))) if row else None
