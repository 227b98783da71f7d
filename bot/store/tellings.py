"""What sources are to be told, and whether they agreed. Rows are written in the transaction that decided it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import orjson
from sqlalchemy import Connection, Row, and_, insert, or_, select, update

from bot.domain.ids import short_hash

from .findings import FINDINGS, OBSERVATIONS
from .tables_sources import TellingRow
from .upsert import chunks

TELLINGS = TellingRow.__table__  # type: ignore[attr-defined]
LEASE = timedelta(minutes=2)
WAITING = ("queued", "unknown", "told")


def tell(
    conn: Connection, finding_ids: Collection[str], *, to: str, note: str, reason_id: str, now: datetime,
    until: datetime | None = None,
) -> int:  # fmt: skip
    """Queue a telling for each finding; once for each (finding, reason). Earlier ones that still wait are overtaken."""
    made = 0
    for some in chunks(finding_ids):
        found = conn.execute(
            select(FINDINGS.c.id, FINDINGS.c.source, FINDINGS.c.uid).where(FINDINGS.c.id.in_(some))
        ).all()
        rows = {short_hash(row.id, to, reason_id, prefix="tell-"): row for row in found}
        known = set(conn.execute(select(TELLINGS.c.id).where(TELLINGS.c.id.in_(list(rows)))).scalars())
        fresh = {telling_id: row for telling_id, row in rows.items() if telling_id not in known}
        if not fresh:
            continue
        conn.execute(
            update(TELLINGS)
            .where(TELLINGS.c.finding_id.in_([row.id for row in fresh.values()]), TELLINGS.c.state == "queued")
            .values(state="refused", said="overtaken by a later decision")
        )
        conn.execute(insert(TELLINGS), [
            {
                "id": telling_id, "finding_id": row.id, "source": row.source, "uid": row.uid, "to": to,
                "note": f"{note} [{telling_id}]", "until": until, "reason_id": reason_id, "state": "queued",
                "attempts": 0, "not_before": now, "created_at": now, "told_at": None, "rescan_at": None,
                "leased_by": "", "leased_until": None, "said": "",
            }
            for telling_id, row in fresh.items()
        ])  # fmt: skip
        made += len(fresh)
    return made


def claim(conn: Connection, sources: Collection[str], worker: str, now: datetime, limit: int) -> Sequence[Row[Any]]:
    """What is due for ``sources``, leased to ``worker``."""
    due = and_(
        TELLINGS.c.state.in_(["queued", "unknown"]),
        TELLINGS.c.source.in_(list(sources)),
        TELLINGS.c.not_before <= now,
        or_(TELLINGS.c.leased_until.is_(None), TELLINGS.c.leased_until < now),
    )
    wanted = select(TELLINGS.c.id).where(due).order_by(TELLINGS.c.created_at, TELLINGS.c.id).limit(limit)
    if conn.dialect.name == "postgresql":
        wanted = wanted.with_for_update(skip_locked=True)
    ids = list(conn.execute(wanted).scalars())
    if not ids:
        return []
    conn.execute(update(TELLINGS).where(TELLINGS.c.id.in_(ids)).values(leased_by=worker, leased_until=now + LEASE))
    return conn.execute(select(TELLINGS).where(TELLINGS.c.id.in_(ids)).order_by(TELLINGS.c.created_at)).all()


def record(conn: Connection, telling_id: str, worker: str, **values: Any) -> bool:
    """Write what became of it and give the lease back; False when another worker has it by now."""
    values |= {"leased_by": "", "leased_until": None}
    if "said" in values:
        values["said"] = str(values["said"])[:2000]
    done = conn.execute(
        update(TELLINGS).where(TELLINGS.c.id == telling_id, TELLINGS.c.leased_by == worker).values(**values)
    )
    return bool(done.rowcount)


def sending(conn: Connection, telling_id: str, worker: str) -> bool:
    """Mark it as sent before the call: after a crash it is read first, never sent blindly again."""
    marked = conn.execute(
        update(TELLINGS)
        .where(TELLINGS.c.id == telling_id, TELLINGS.c.leased_by == worker)
        .values(state="unknown", attempts=TELLINGS.c.attempts + 1)
    )
    return bool(marked.rowcount)


def raw_of(conn: Connection, finding_id: str) -> Mapping[str, Any]:
    """The payload last seen of a finding."""
    found = conn.execute(
        select(OBSERVATIONS.c.raw)
        .join(FINDINGS, and_(FINDINGS.c.id == OBSERVATIONS.c.finding_id, FINDINGS.c.content == OBSERVATIONS.c.content))
        .where(FINDINGS.c.id == finding_id)
    ).scalar_one_or_none()
    try:
        value = orjson.loads(found) if found else {}
    except orjson.JSONDecodeError:
        value = {}
    return value if isinstance(value, dict) else {}


def of_cause(conn: Connection, cause_id: str) -> list[Row[Any]]:
    """The latest telling of each finding of a cause."""
    rows = conn.execute(
        select(TELLINGS, FINDINGS.c.result, FINDINGS.c.status)
        .join(FINDINGS, FINDINGS.c.id == TELLINGS.c.finding_id)
        .where(FINDINGS.c.cause_id == cause_id)
        .order_by(TELLINGS.c.created_at)
    ).all()
    latest: dict[str, Row[Any]] = {}
    for row in rows:
        latest[row.finding_id] = row
    return list(latest.values())
