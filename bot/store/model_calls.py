"""Calls of a model as they were made, and the budget of a day. Strict: a call that does not fit is not made."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, func, insert, select, update

from .tables_model import ModelCallRow, ModelDayRow
from .upsert import upsert

CALLS = ModelCallRow.__table__  # type: ignore[attr-defined]
DAYS = ModelDayRow.__table__  # type: ignore[attr-defined]


def day_of(now: datetime) -> str:
    return f"{now.astimezone(UTC):%Y-%m-%d}"


def next_day(now: datetime) -> datetime:
    return (now.astimezone(UTC) + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)


def spent(conn: Connection, now: datetime) -> int:
    """Tokens of the UTC day, what is reserved for calls under way included."""
    return int(conn.execute(select(DAYS.c.tokens).where(DAYS.c.day == day_of(now))).scalar() or 0)


def begin(conn: Connection, /, row: dict[str, Any], *, reserve: int, limit: int) -> bool:
    """Write the call down and take ``reserve`` tokens of its day. False, and nothing written, when they are not left.

    One statement compares and takes, so several replicas cannot both take the last ones.
    """
    day = day_of(row["at"])
    upsert(conn, DAYS, ["day"], [{"day": day, "tokens": 0}], change=[])
    taken = conn.execute(
        update(DAYS).where(DAYS.c.day == day, DAYS.c.tokens + reserve <= limit).values(tokens=DAYS.c.tokens + reserve)
    )
    if taken.rowcount != 1:
        return False
    conn.execute(insert(CALLS), row | {"state": "asked", "input_tokens": reserve, "output_tokens": 0})
    return True


def end(conn: Connection, /, call_id: str, at: datetime, *, reserved: int, **values: Any) -> None:
    """Write down what came of it and give back what was not used."""
    used = values.get("input_tokens", 0) + values.get("output_tokens", 0)
    conn.execute(update(CALLS).where(CALLS.c.id == call_id).values(**values))
    conn.execute(update(DAYS).where(DAYS.c.day == day_of(at)).values(tokens=DAYS.c.tokens + used - reserved))


def judged(conn: Connection, call_id: str, state: str, why: str) -> None:
    conn.execute(update(CALLS).where(CALLS.c.id == call_id).values(state=state, why=why[:1000]))


def answered(conn: Connection, key: str, since: datetime) -> Row[Any] | None:
    """The latest usable answer to this very content; else the latest refusal of it since ``since``."""
    good = select(CALLS).where(CALLS.c.key == key, CALLS.c.state == "ok")
    found = conn.execute(good.order_by(CALLS.c.at.desc(), CALLS.c.id).limit(1)).first()
    if found is not None:
        return found
    bad = select(CALLS).where(CALLS.c.key == key, CALLS.c.state == "refused", CALLS.c.at >= since)
    return conn.execute(bad.order_by(CALLS.c.at.desc(), CALLS.c.id).limit(1)).first()


def get(conn: Connection, call_id: str) -> Row[Any] | None:
    return conn.execute(select(CALLS).where(CALLS.c.id == call_id)).first()


def latest(conn: Connection, limit: int, subject: str = "") -> Sequence[Row[Any]]:
    query = select(CALLS).order_by(CALLS.c.at.desc(), CALLS.c.id).limit(limit)
    return conn.execute(query.where(CALLS.c.subject == subject) if subject else query).all()


def totals(conn: Connection) -> dict[str, tuple[int, int, int, int]]:
    """By purpose: calls, input tokens, output tokens, cost in millionths."""
    c = CALLS.c
    rows = conn.execute(
        select(c.purpose, func.count(), func.sum(c.input_tokens), func.sum(c.output_tokens),
               func.sum(func.coalesce(c.cost_micros, 0))).group_by(c.purpose)
    )  # fmt: skip
    return {row[0]: (row[1], int(row[2] or 0), int(row[3] or 0), int(row[4] or 0)) for row in rows}
