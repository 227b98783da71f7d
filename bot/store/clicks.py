"""The journal of clicks and commands: stored before the platform is answered, so that none is lost or run twice."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, select, update
from sqlalchemy.dialects import postgresql, sqlite

from bot.domain.ids import canonical

from .ledger import LEDGER
from .tables import ClickRow

CLICKS = ClickRow.__table__  # type: ignore[attr-defined]


@dataclass(frozen=True, slots=True)
class Click:
    id: str
    platform: str
    kind: str
    identity: str
    payload: str
    received_at: datetime
    state: str
    principal_id: str = ""
    outcome: str = ""


def receive(
    conn: Connection, *, click_id: str, platform: str, kind: str, identity: str, payload: str, now: datetime
) -> bool:
    """Store a click; False when this very click was stored before (the platform sent it again)."""
    row = {
        "id": click_id,
        "platform": platform,
        "kind": kind,
        "principal_id": "",
        "identity": identity,
        "payload": payload,
        "received_at": now,
        "state": "received",
        "outcome": "",
    }
    # One statement: two replicas may be handed the same click at the same time.
    insert = postgresql.insert if conn.dialect.name == "postgresql" else sqlite.insert
    # What came back is the row that was stored. (On PostgreSQL the row count of an INSERT is not reported.)
    made = insert(CLICKS).values(row).on_conflict_do_nothing().returning(CLICKS.c.id)
    return conn.execute(made).first() is not None


def finish(conn: Connection, click_id: str, *, state: str, outcome: str, principal_id: str = "", now: datetime) -> None:
    """``state`` is done, refused or failed."""
    conn.execute(
        update(CLICKS)
        .where(CLICKS.c.id == click_id)
        .values(state=state, outcome=outcome[:2000], principal_id=principal_id, done_at=now)
    )


def came_to(conn: Connection, click_id: str, kinds: Collection[str], subject: str = "") -> str | None:
    """The subject of the ledger's record of what this very click did, or None where it did nothing yet."""
    if not click_id:
        return None
    said = LEDGER.c.body.contains(f'"click":{canonical(click_id).decode()}', autoescape=True)
    query = select(LEDGER.c.subject).where(LEDGER.c.kind.in_(kinds), said)
    if subject:
        query = query.where(LEDGER.c.subject == subject)
    found = conn.execute(query.limit(1)).scalar()
    return str(found) if found else None


def unfinished(conn: Connection, before: datetime, limit: int = 100) -> list[Click]:
    """Clicks that were stored and never came to an end: what a crash left behind."""
    rows = conn.execute(
        select(CLICKS)
        .where(CLICKS.c.state == "received", CLICKS.c.received_at < before)
        .order_by(CLICKS.c.received_at)
        .limit(limit)
    )
    return [
        Click(r.id, r.platform, r.kind, r.identity, r.payload, r.received_at, r.state, r.principal_id, r.outcome)
        for r in rows
    ]
