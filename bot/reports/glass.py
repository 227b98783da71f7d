"""Broken glasses as people see them: who, why, until when, what came of it, and the review."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from sqlalchemy import Connection, select

from bot.domain.decisions import ExecutionState
from bot.domain.errors import NotFound
from bot.domain.views import GlassView
from bot.settings import Settings
from bot.store import controls
from bot.store.plans import CAUSES, DECISIONS, EXECUTIONS, PLANS, REQUESTS

from .names import people

JUSTIFIED, NOT_JUSTIFIED = "justified", "not justified"


def glasses(
    conn: Connection, settings: Settings, found: Iterable[controls.BrokenGlass], now: datetime
) -> list[GlassView]:
    """In the order given; a handful of statements however many there are."""
    held = list(found)
    if not held:
        return []
    known = people(conn, settings, {*(g.by for g in held), *(g.reviewed_by for g in held if g.reviewed_by)})
    causes = conn.execute(select(CAUSES.c.id, CAUSES.c.title).where(CAUSES.c.id.in_({g.cause_id for g in held})))
    titles = {row.id: row.title for row in causes}
    rows = conn.execute(
        select(REQUESTS.c.id, PLANS.c.id.label("plan"), PLANS.c.body, EXECUTIONS.c.state)
        .join(PLANS, PLANS.c.id == REQUESTS.c.plan_id)
        .outerjoin(DECISIONS, DECISIONS.c.request_id == REQUESTS.c.id)
        .outerjoin(EXECUTIONS, EXECUTIONS.c.decision_id == DECISIONS.c.id)
        .where(REQUESTS.c.id.in_([g.request_id for g in held]))
    )
    done = {row.id: row for row in rows}
    plans = {row.plan: _title(row.body) for row in done.values()}
    made = []
    for glass in held:
        row = done.get(glass.request_id)
        verdict, _, comment = glass.review.partition(": ")
        made.append(
            GlassView(
                id=glass.id,
                cause_id=glass.cause_id,
                cause_title=titles.get(glass.cause_id, ""),
                plan_title=plans.get(row.plan, "") if row else "",
                by=known[glass.by],
                reason=glass.reason,
                at=glass.at,
                until=glass.until,
                due=glass.at + timedelta(hours=settings.governance.review_hours),
                overdue=glass.reviewed_at is None
                and now >= glass.at + timedelta(hours=settings.governance.review_hours),
                outcome=ExecutionState(row.state) if row and row.state else None,
                reviewed_by=known[glass.reviewed_by] if glass.reviewed_by else None,
                reviewed_at=glass.reviewed_at,
                justified=verdict == JUSTIFIED if glass.reviewed_by else None,
                comment=comment,
            )
        )
    return made


def read_glass(conn: Connection, settings: Settings, glass_id: str, now: datetime) -> GlassView:
    held = controls.glass(conn, glass_id)
    if held is None:
        raise NotFound(f"there is no broken glass {glass_id[:80]}", mend="/gatehouse status lists the open reviews.")
    return glasses(conn, settings, [held], now)[0]


def _title(body: str) -> str:
    from bot.domain.plans import Plan

    return Plan.model_validate_json(body).title
