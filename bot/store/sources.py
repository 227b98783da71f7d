"""Sources: where each one stands, its runs, and what of it could not be understood."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from bot.domain.ids import canonical, short_hash

from .tables import PollRow, RejectRow, SourceRow
from .upsert import upsert

SOURCES = SourceRow.__table__  # type: ignore[attr-defined]
POLLS = PollRow.__table__  # type: ignore[attr-defined]
REJECTS = RejectRow.__table__  # type: ignore[attr-defined]
EXCERPT_BYTES = 64 * 1024


def cursor(conn: Connection, name: str) -> dict[str, Any] | None:
    """The stored cursor of a source, None before the first one."""
    found = conn.execute(select(SOURCES.c.cursor).where(SOURCES.c.name == name)).scalar_one_or_none()
    value = json.loads(found) if found else None
    return value if isinstance(value, dict) else None


def all_sources(conn: Connection) -> Sequence[Row[Any]]:
    return conn.execute(select(SOURCES).order_by(SOURCES.c.name)).all()


def begin_poll(conn: Connection, *, poll_id: str, source: str, now: datetime) -> None:
    """Record the start of a run and make the source known."""
    conn.execute(
        insert(POLLS),
        {"id": poll_id, "source": source, "started_at": now, "complete": False, "received": 0, "created": 0,
         "changed": 0, "unchanged": 0, "resolved": 0, "reopened": 0, "rejected": 0, "note": ""},
    )  # fmt: skip
    known = conn.execute(select(SOURCES.c.name).where(SOURCES.c.name == source)).first()
    if known is None:
        row = {"name": source, "cursor": "null", "error": "", "run_id": poll_id, "leased_by": ""}
        upsert(conn, SOURCES, ["name"], [row], change=["run_id"])
    else:
        conn.execute(update(SOURCES).where(SOURCES.c.name == source).values(run_id=poll_id))


def save_cursor(conn: Connection, source: str, value: Mapping[str, Any]) -> None:
    """Call it in the transaction that stores the page the cursor stands behind."""
    conn.execute(update(SOURCES).where(SOURCES.c.name == source).values(cursor=canonical(value).decode()))


def end_poll(
    conn: Connection, *, poll_id: str, source: str, now: datetime, counts: Mapping[str, int], complete: bool, note: str,
    newest: datetime | None,
) -> None:  # fmt: skip
    """Record the end of a run that worked. That the source is failing no more is the poll's to say: what came by a
    webhook or from a file does not tell that it can be read."""
    conn.execute(
        update(POLLS)
        .where(POLLS.c.id == poll_id)
        .values(finished_at=now, complete=complete, note=note[:2000], **counts)
    )
    values: dict[str, Any] = {"last_ok_at": now}
    if newest is not None:
        values["newest_data_at"] = newest
    conn.execute(update(SOURCES).where(SOURCES.c.name == source).values(**values))


def fail_poll(
    conn: Connection, *, poll_id: str, source: str, now: datetime, counts: Mapping[str, int], why: str
) -> None:
    """Record the end of a run that broke off; what it stored stays, the cursor stays where it is, and of the source
    only the last error is noted: whether it is failing is the poll's to say."""
    conn.execute(update(POLLS).where(POLLS.c.id == poll_id).values(finished_at=now, note=why[:2000], **counts))
    conn.execute(update(SOURCES).where(SOURCES.c.name == source).values(error=why[:2000]))


def keep_rejects(
    conn: Connection, *, source: str, poll_id: str, now: datetime, rejects: Sequence[tuple[str, str, bytes]]
) -> None:
    """Keep (place, why, bytes) aside. The same reject of a later run is the same row, so a poll never piles them up."""
    rows: dict[str, dict[str, Any]] = {}
    for place, why, raw in rejects:
        excerpt = raw[:EXCERPT_BYTES]
        key = short_hash(source, place if not excerpt else "", why, excerpt.decode("latin-1"), prefix="rej-")
        rows[key] = {"id": key, "source": source, "poll_id": poll_id, "place": place[:500], "why": why[:2000],
                     "excerpt": excerpt, "at": now}  # fmt: skip
    upsert(conn, REJECTS, ["id"], list(rows.values()), change=[])


def rejects_of(conn: Connection, poll_id: str, limit: int = 5) -> list[tuple[str, str]]:
    """(where, why) of the first things that a run could not understand."""
    rows = conn.execute(
        select(REJECTS.c.place, REJECTS.c.why).where(REJECTS.c.poll_id == poll_id).order_by(REJECTS.c.id).limit(limit)
    )
    return [(row.place, row.why) for row in rows]
