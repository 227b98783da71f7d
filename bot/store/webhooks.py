"""Webhooks: stored before they are answered, worked off once, kept for a while."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection, Row, and_, delete, insert, or_, select, update

from .tables_sources import WebhookRow

WEBHOOKS = WebhookRow.__table__  # type: ignore[attr-defined]
LEASE = timedelta(minutes=2)
KEPT = timedelta(days=7)


def receive(conn: Connection, *, webhook_id: str, source: str, key: str, body: bytes, now: datetime) -> bool:
    """Store a delivery; False when the same one waits already, so that a repeated delivery is one piece of work."""
    same = select(WEBHOOKS.c.id).where(
        WEBHOOKS.c.source == source, WEBHOOKS.c.key == key, WEBHOOKS.c.state == "queued", WEBHOOKS.c.leased_by == ""
    )
    if conn.execute(same.limit(1)).first() is not None:
        return False
    row = {"id": webhook_id, "source": source, "key": key, "body": body, "received_at": now, "state": "queued",
           "attempts": 0, "not_before": now, "leased_by": "", "leased_until": None, "said": ""}  # fmt: skip
    conn.execute(insert(WEBHOOKS), row)
    return True


def claim(conn: Connection, worker: str, now: datetime, limit: int) -> Sequence[Row[tuple[object, ...]]]:
    """The oldest that are due, leased to ``worker``."""
    due = and_(
        WEBHOOKS.c.state == "queued",
        WEBHOOKS.c.not_before <= now,
        or_(WEBHOOKS.c.leased_until.is_(None), WEBHOOKS.c.leased_until < now),
    )
    wanted = select(WEBHOOKS.c.id).where(due).order_by(WEBHOOKS.c.received_at, WEBHOOKS.c.id).limit(limit)
    if conn.dialect.name == "postgresql":
        wanted = wanted.with_for_update(skip_locked=True)
    ids = list(conn.execute(wanted).scalars())
    if not ids:
        return []
    conn.execute(update(WEBHOOKS).where(WEBHOOKS.c.id.in_(ids)).values(leased_by=worker, leased_until=now + LEASE))
    return conn.execute(select(WEBHOOKS).where(WEBHOOKS.c.id.in_(ids)).order_by(WEBHOOKS.c.received_at)).all()


def done(conn: Connection, webhook_id: str, worker: str, said: str, *, state: str = "done") -> None:
    values = {"state": state, "said": said[:2000], "leased_by": "", "leased_until": None}
    conn.execute(update(WEBHOOKS).where(WEBHOOKS.c.id == webhook_id, WEBHOOKS.c.leased_by == worker).values(**values))


def later(conn: Connection, webhook_id: str, worker: str, said: str, not_before: datetime) -> None:
    """Try again at ``not_before``."""
    conn.execute(
        update(WEBHOOKS)
        .where(WEBHOOKS.c.id == webhook_id, WEBHOOKS.c.leased_by == worker)
        .values(attempts=WEBHOOKS.c.attempts + 1, not_before=not_before, said=said[:2000], leased_by="",
                leased_until=None)
    )  # fmt: skip


def forget(conn: Connection, now: datetime) -> int:
    """Delete what was worked off a week ago; what failed stays for a person."""
    gone = conn.execute(delete(WEBHOOKS).where(WEBHOOKS.c.state == "done", WEBHOOKS.c.received_at < now - KEPT))
    return int(gone.rowcount)
