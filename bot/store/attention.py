"""When causes had to be told and were, what was escalated, which channel had its daily message."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, and_, exists, func, insert, select

from bot.domain.ids import canonical

from .tables import CauseRow, OutboxRow, PostRow
from .tables_attention import DailyRow, EscalationRow, FirstPostRow
from .upsert import upsert

FIRST = FirstPostRow.__table__  # type: ignore[attr-defined]
ESCALATIONS = EscalationRow.__table__  # type: ignore[attr-defined]
DAILY = DailyRow.__table__  # type: ignore[attr-defined]
POSTS = PostRow.__table__  # type: ignore[attr-defined]
OUTBOX = OutboxRow.__table__  # type: ignore[attr-defined]
CAUSES = CauseRow.__table__  # type: ignore[attr-defined]


@dataclass(frozen=True, slots=True)
class First:
    """A cause has to be told to ``address`` ("" where there is none); ``held``: not as a card, not now."""

    cause_id: str
    address: str
    priority: int
    held: bool


def first(conn: Connection, now: datetime, rows: Sequence[First]) -> None:
    made = [
        {"cause_id": r.cause_id, "address": r.address, "at": now, "priority": r.priority, "held": r.held,
         "posted_at": None}
        for r in rows
    ]  # fmt: skip
    upsert(conn, FIRST, ["cause_id", "address", "at"], made)


_POST = and_(
    POSTS.c.kind == "cause", POSTS.c.subject == FIRST.c.cause_id,
    POSTS.c.platform + ":" + POSTS.c.channel == FIRST.c.address,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Told:
    """One cause for one channel: stored at, posted at (None: not yet)."""

    cause_id: str
    address: str
    at: datetime
    posted_at: datetime | None
    open: bool  # the cause is open still, and has this priority still


def told(conn: Connection, priority: int, since: datetime) -> list[Told]:
    """What of ``priority`` had to be told since, and when it was."""
    rows = conn.execute(
        select(FIRST.c.cause_id, FIRST.c.address, FIRST.c.at, POSTS.c.posted_at, CAUSES.c.state, CAUSES.c.priority)
        .select_from(FIRST.outerjoin(POSTS, _POST).outerjoin(CAUSES, CAUSES.c.id == FIRST.c.cause_id))
        .where(FIRST.c.priority == priority, FIRST.c.at >= since)
        .order_by(FIRST.c.at, FIRST.c.cause_id)
    )
    return [Told(r.cause_id, r.address, r.at, r.posted_at, r.state == "open" and r.priority == priority) for r in rows]


def held_since_digest(conn: Connection, since: datetime) -> list[str]:
    """Channels from which something was held that no digest has told since."""
    rows = conn.execute(
        select(FIRST.c.address, func.max(FIRST.c.at).label("last"))
        .where(FIRST.c.held, FIRST.c.at >= since, FIRST.c.address != "")
        .group_by(FIRST.c.address)
    ).all()
    found = []
    for row in rows:
        platform, _, channel = row.address.partition(":")
        said = conn.execute(
            select(func.max(OUTBOX.c.created_at)).where(
                OUTBOX.c.kind.in_(["digest", "daily"]), OUTBOX.c.platform == platform, OUTBOX.c.channel == channel
            )
        ).scalar()
        if said is None or said < row.last:
            found.append(str(row.address))
    return found


# --- escalation ------------------------------------------------------------------------------------------------------


def unescalated(conn: Connection, priority: int, before: datetime) -> list[Any]:
    """Open causes of ``priority`` whose card stands since ``before`` and that were not escalated yet."""
    posted = (
        select(func.min(POSTS.c.posted_at))
        .where(POSTS.c.kind == "cause", POSTS.c.subject == CAUSES.c.id)
        .scalar_subquery()
    )
    done = exists().where(ESCALATIONS.c.cause_id == CAUSES.c.id, ESCALATIONS.c.priority == priority)
    query = select(CAUSES, posted.label("posted_at")).where(
        CAUSES.c.state == "open", CAUSES.c.priority == priority, posted <= before, ~done
    )
    return list(conn.execute(query.order_by(CAUSES.c.id).limit(200)))


def escalated(conn: Connection, cause_id: str, priority: int, addresses: Collection[str], now: datetime) -> None:
    values = {"cause_id": cause_id, "priority": priority, "at": now, "addresses": canonical(list(addresses)).decode()}
    conn.execute(insert(ESCALATIONS), values)


# --- the daily message -----------------------------------------------------------------------------------------------


def channels_since(conn: Connection) -> dict[str, datetime]:
    """Every channel that has a card, and since when: direct conversations have none."""
    rows = conn.execute(
        select(POSTS.c.platform, POSTS.c.channel, func.min(POSTS.c.posted_at).label("at"))
        .where(POSTS.c.kind.in_(["cause", "digest"]), POSTS.c.posted_at.is_not(None))
        .group_by(POSTS.c.platform, POSTS.c.channel)
    )
    return {f"{row.platform}:{row.channel}": row.at for row in rows}


def last_daily(conn: Connection, address: str) -> tuple[str, datetime] | None:
    """Local day and end of the last daily message of a channel."""
    row = conn.execute(
        select(DAILY.c.day, DAILY.c.at).where(DAILY.c.address == address).order_by(DAILY.c.at.desc()).limit(1)
    ).first()
    return (row.day, row.at) if row else None


def daily(conn: Connection, address: str, day: str, since: datetime, now: datetime) -> None:
    upsert(conn, DAILY, ["address", "day"], [{"address": address, "day": day, "at": now, "since": since}], change=[])
