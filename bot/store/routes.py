"""How often routing was wrong: "not mine" decisions over the causes routed, by the rule that routed them."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, func, insert, select, union

from bot.domain.ids import IdSource

from .tables import CauseRow
from .tables_intel import MisrouteRow

CAUSES = CauseRow.__table__  # type: ignore[attr-defined]
MISROUTES = MisrouteRow.__table__  # type: ignore[attr-defined]


def passed_on(
    conn: Connection, ids: IdSource, now: datetime, *, cause_id: str, rule: str, owner: str, to: str, by: str
) -> None:
    """A person said that the cause came to the wrong owner."""
    row = {"id": ids.new("mis"), "cause_id": cause_id, "rule": rule or "unknown", "owner_from": owner, "owner_to": to,
           "by": by, "at": now}  # fmt: skip
    conn.execute(insert(MISROUTES), row)


def rates(conn: Connection, since: datetime) -> list[tuple[str, int, int]]:
    """(rule, causes it routed, of those passed on), of causes that changed or were passed on since; worst first.

    A cause that was passed on counts for the rule that brought it there, not for the person's word after it.
    """
    wrong = select(MISROUTES.c.rule, MISROUTES.c.cause_id).where(MISROUTES.c.at >= since)
    routed = select(CAUSES.c.owner_rule.label("rule"), CAUSES.c.id.label("cause_id")).where(
        CAUSES.c.changed_at >= since, CAUSES.c.owner_rule.not_in(["", "override"])
    )
    both = union(routed, wrong).subquery()
    total = conn.execute(select(both.c.rule, func.count()).group_by(both.c.rule)).all()
    misses = select(MISROUTES.c.rule, func.count(MISROUTES.c.cause_id.distinct())).where(MISROUTES.c.at >= since)
    bad = {row[0]: row[1] for row in conn.execute(misses.group_by(MISROUTES.c.rule))}
    found = [(str(rule), int(count), int(bad.get(rule, 0))) for rule, count in total]
    return sorted(found, key=lambda line: (-line[2] / line[1], -line[1], line[0]))
