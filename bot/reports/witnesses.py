"""Who else tells of a cause's problems, by what rule they were joined, and which sources have yet to agree to a fix."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, and_, func, select

from bot.domain.findings import OPEN_STATUSES, Finding, Severity
from bot.domain.views import AgreementView, IssueView, WitnessedView, WitnessLine
from bot.intake.identity import issue_of
from bot.intake.telling import contradicted_by, waited_for
from bot.reports.names import person
from bot.settings import Settings
from bot.store import issues, tellings
from bot.store.tables import FindingRow, ObservationRow

FINDINGS = FindingRow.__table__  # type: ignore[attr-defined]
OBSERVATIONS = ObservationRow.__table__  # type: ignore[attr-defined]
OPEN = tuple(sorted(status.value for status in OPEN_STATUSES))
SHOWN = 3  # problems named with all their witnesses
WITNESSES = 8  # of each


def witnessed(conn: Connection, settings: Settings, cause_id: str) -> WitnessedView | None:
    """The problems of a cause that several findings tell of, None when there is none."""
    mine = select(FINDINGS.c.issue_id).where(FINDINGS.c.cause_id == cause_id, FINDINGS.c.issue_id != "").distinct()
    groups = conn.execute(
        select(FINDINGS.c.issue_id)
        .where(FINDINGS.c.issue_id.in_(mine))
        .group_by(FINDINGS.c.issue_id)
        .having(func.count() > 1)
        .order_by(func.count(FINDINGS.c.source.distinct()).desc(), FINDINGS.c.issue_id)
    ).all()
    if not groups:
        return None
    first = [group.issue_id for group in groups[:SHOWN]]
    rows = conn.execute(
        select(FINDINGS).where(FINDINGS.c.issue_id.in_(first)).order_by(FINDINGS.c.source, FINDINGS.c.id)
    ).all()
    several = tuple(_issue(conn, settings, [row for row in rows if row.issue_id == one]) for one in first)
    every = select(FINDINGS.c.source).distinct().where(FINDINGS.c.issue_id.in_([g.issue_id for g in groups[:500]]))
    return WitnessedView(problems=len(groups), sources=tuple(sorted(conn.execute(every).scalars())), issues=several)


def _issue(conn: Connection, settings: Settings, rows: Sequence[Row[Any]]) -> IssueView:
    said = issues.said_of(conn, [row.id for row in rows])
    joined = [said[row.id] for row in rows if row.id in said and said[row.id].kind == "merge"]
    why = _rule(conn, [row for row in rows if row.id not in said] or rows)
    if joined:
        last = max(joined, key=lambda one: one.at)
        who = person(conn, settings, last.by).name
        why = f"{why + '; ' if why else ''}{who} said it is the same problem ({last.at:%Y-%m-%d})"
    return IssueView(
        id=rows[0].issue_id,
        resource=rows[0].resource_name or rows[0].resource_uid,
        why=why or "joined by people",
        witnesses=tuple(map(line, rows[:WITNESSES])),
        count=len(rows),
    )


def _rule(conn: Connection, rows: Sequence[Row[Any]]) -> str:
    """The rule that names the issue of these findings: read off the finding itself, as intake did."""
    observed = and_(OBSERVATIONS.c.finding_id == FINDINGS.c.id, OBSERVATIONS.c.content == FINDINGS.c.content)
    question = select(OBSERVATIONS.c.doc).select_from(FINDINGS.join(OBSERVATIONS, observed))
    for row in rows[:WITNESSES]:
        doc = conn.execute(question.where(FINDINGS.c.id == row.id)).scalar()
        if doc and (found := issue_of(Finding.model_validate_json(doc))).id == row.issue_id:
            return found.why
    return ""


def line(row: Row[Any]) -> WitnessLine:
    return WitnessLine(
        finding_id=row.id,
        source=row.source,
        title=row.title,
        open=row.status in OPEN,
        severity=Severity(row.severity),
    )


def candidates(conn: Connection, cause_id: str) -> tuple[WitnessLine, ...]:
    """Open findings of other sources on the same resource that no rule joins; of causes about one resource only."""
    resources = conn.execute(
        select(FINDINGS.c.resource_uid, func.min(FINDINGS.c.id).label("id"))
        .where(FINDINGS.c.cause_id == cause_id, FINDINGS.c.status.in_(OPEN))
        .group_by(FINDINGS.c.resource_uid)
        .limit(2)
    ).all()
    if len(resources) != 1:
        return ()
    found = issues.candidates(conn, resources[0].id)
    return tuple(line(row) for row in found if row.cause_id != cause_id)[:5]


def anchor(conn: Connection, cause_id: str) -> str:
    """The finding of a cause that others are joined with: the first open one, else the first."""
    rank = FINDINGS.c.status.in_(OPEN)
    found: str | None = conn.execute(
        select(FINDINGS.c.id).where(FINDINGS.c.cause_id == cause_id).order_by(rank.desc(), FINDINGS.c.id).limit(1)
    ).scalar()
    return found or ""


def agreement(conn: Connection, cause_id: str) -> AgreementView | None:
    """What the sources say of a fix of ours."""
    rows = tellings.of_cause(conn, cause_id)
    waiting, against = tuple(waited_for(rows)), tuple(contradicted_by(rows))
    return AgreementView(waiting_for=waiting, contradicted_by=against) if waiting or against else None
