"""Narratives: which causes want one, what was written, what people said of it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, and_, case, func, or_, select, update

from bot.domain.findings import OPEN_STATUSES, Finding, Severity
from bot.domain.triage import Verdict

from .tables import CauseRow, FindingRow, ObservationRow, PostRow
from .tables_model import ModelCallRow, NarrativeFeedbackRow, NarrativeRow
from .upsert import upsert

NARRATIVES = NarrativeRow.__table__  # type: ignore[attr-defined]
FEEDBACK = NarrativeFeedbackRow.__table__  # type: ignore[attr-defined]
CALLS = ModelCallRow.__table__  # type: ignore[attr-defined]
CAUSES = CauseRow.__table__  # type: ignore[attr-defined]
POSTS = PostRow.__table__  # type: ignore[attr-defined]
FINDINGS = FindingRow.__table__  # type: ignore[attr-defined]
OBSERVATIONS = ObservationRow.__table__  # type: ignore[attr-defined]
OPEN = sorted(status.value for status in OPEN_STATUSES)
LEASE = timedelta(minutes=5)
_RANK = case((FINDINGS.c.severity == int(Severity.OTHER), 0), else_=FINDINGS.c.severity)


def get(conn: Connection, cause_id: str) -> Row[Any] | None:
    return conn.execute(select(NARRATIVES).where(NARRATIVES.c.cause_id == cause_id)).first()


def _due(now: datetime, limit: int) -> Any:
    """Open causes whose card stands, and that changed since their facts were last looked at; the most urgent first."""
    n, c = NARRATIVES.c, CAUSES.c
    posted = select(POSTS.c.subject).where(POSTS.c.kind == "cause", POSTS.c.message_id != "")
    free = or_(n.leased_until.is_(None), n.leased_until <= now)
    due = or_(n.cause_id.is_(None), and_(n.seen_revision < c.revision, n.not_before <= now, free))
    return (
        select(c.id)
        .select_from(CAUSES.outerjoin(NARRATIVES, n.cause_id == c.id))
        .where(c.state == "open", c.id.in_(posted), due)
        .order_by(c.priority, c.id)
        .limit(limit)
    )


def any_due(conn: Connection, now: datetime) -> bool:
    return conn.execute(_due(now, 1)).first() is not None


def claim(conn: Connection, worker: str, now: datetime, limit: int) -> list[str]:
    """Lease some to ``worker``."""
    wanted = list(conn.execute(_due(now, limit)).scalars())
    fresh = [
        {"cause_id": one, "key": "", "call_id": "", "model": "", "body": "", "state": "queued", "why": "",
         "made_at": None, "seen_revision": -1, "attempts": 0, "not_before": now, "leased_by": "", "leased_until": None}
        for one in wanted
    ]  # fmt: skip
    upsert(conn, NARRATIVES, ["cause_id"], fresh, change=[])
    n = NARRATIVES.c
    free = or_(n.leased_until.is_(None), n.leased_until <= now)
    return [
        one
        for one in wanted
        if conn.execute(
            update(NARRATIVES).where(n.cause_id == one, free).values(leased_by=worker, leased_until=now + LEASE)
        ).rowcount
        == 1
    ]


def record(conn: Connection, cause_id: str, worker: str, **values: Any) -> bool:
    """Write what became of it and give the lease back; False when another worker has it by now."""
    done = conn.execute(
        update(NARRATIVES)
        .where(NARRATIVES.c.cause_id == cause_id, NARRATIVES.c.leased_by == worker)
        .values(**values, leased_by="", leased_until=None)
    )
    return bool(done.rowcount)


def seen(conn: Connection, cause_id: str, revision: int) -> None:
    """The facts of this revision were looked at."""
    conn.execute(update(NARRATIVES).where(NARRATIVES.c.cause_id == cause_id).values(seen_revision=revision))


def revision(conn: Connection, cause_id: str) -> int:
    return int(conn.execute(select(CAUSES.c.revision).where(CAUSES.c.id == cause_id)).scalar_one())


def most_urgent(conn: Connection, cause_id: str) -> tuple[Finding, Verdict | None] | None:
    """The finding that speaks for a cause: its most urgent open one."""
    observed = and_(OBSERVATIONS.c.finding_id == FINDINGS.c.id, OBSERVATIONS.c.content == FINDINGS.c.content)
    row = conn.execute(
        select(OBSERVATIONS.c.doc, OBSERVATIONS.c.verdict)
        .select_from(FINDINGS.join(OBSERVATIONS, observed))
        .where(FINDINGS.c.cause_id == cause_id, FINDINGS.c.status.in_(OPEN))
        .order_by(FINDINGS.c.priority, _RANK.desc(), FINDINGS.c.due, FINDINGS.c.id)
        .limit(1)
    ).first()
    if row is None:
        return None
    verdict = Verdict.model_validate_json(row.verdict) if row.verdict not in (b"", b"{}") else None
    return Finding.model_validate_json(row.doc), verdict


def resources(conn: Connection, cause_id: str, limit: int = 50) -> list[tuple[str, str, str]]:
    """uid, name and type of the open findings' resources."""
    f = FINDINGS.c
    rows = conn.execute(
        select(f.resource_uid, func.min(f.resource_name), func.min(f.resource_type))
        .where(f.cause_id == cause_id, f.status.in_(OPEN))
        .group_by(f.resource_uid)
        .order_by(f.resource_uid)
        .limit(limit)
    )
    return [(row[0], row[1] or "", row[2] or "") for row in rows]


def neighbours(conn: Connection, cause_id: str, uids: Sequence[str], limit: int = 5) -> list[tuple[str, str]]:
    """Other open causes on the same resources: id and title."""
    f = FINDINGS.c
    if not uids:
        return []
    there = select(f.cause_id).where(f.resource_uid.in_(list(uids)[:50]), f.status.in_(OPEN), f.cause_id != cause_id)
    rows = conn.execute(
        select(CAUSES.c.id, CAUSES.c.title)
        .where(CAUSES.c.id.in_(there), CAUSES.c.state == "open")
        .order_by(CAUSES.c.priority, CAUSES.c.title, CAUSES.c.id)
        .limit(limit)
    )
    return [(row.id, row.title) for row in rows]


def titles(conn: Connection, cause_ids: Sequence[str]) -> dict[str, str]:
    rows = conn.execute(select(CAUSES.c.id, CAUSES.c.title).where(CAUSES.c.id.in_(list(cause_ids))))
    return {row.id: row.title for row in rows}


def say(conn: Connection, *, call_id: str, cause_id: str, principal_id: str, good: bool, now: datetime) -> None:
    """Keep a person's word; a second one replaces the first."""
    upsert(
        conn, FEEDBACK, ["call_id", "cause_id", "principal_id"],
        [{"call_id": call_id, "cause_id": cause_id, "principal_id": principal_id, "good": good, "at": now}],
        change=["good", "at"],
    )  # fmt: skip


def evaluation_set(conn: Connection) -> list[dict[str, Any]]:
    """Each call people spoke about: what went in, what came out, how many liked it."""
    f = FEEDBACK.c
    liked = func.sum(case((f.good, 1), else_=0))
    rows = conn.execute(
        select(CALLS.c.id, CALLS.c.model, CALLS.c.input, CALLS.c.output, liked.label("good"), func.count().label("all"))
        .join(FEEDBACK, f.call_id == CALLS.c.id)
        .group_by(CALLS.c.id, CALLS.c.model, CALLS.c.input, CALLS.c.output)
        .order_by(CALLS.c.id)
    )
    return [
        {
            "call": r.id,
            "model": r.model,
            "input": r.input,
            "output": r.output,
            "good": int(r.good),
            "bad": r.all - r.good,
        }
        for r in rows
    ]


def counts(conn: Connection) -> dict[str, int]:
    """Narratives by state."""
    rows = conn.execute(select(NARRATIVES.c.state, func.count()).group_by(NARRATIVES.c.state))
    return {row[0]: row[1] for row in rows}
