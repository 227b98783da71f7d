"""Issues of several witnesses: who tells of the same problem, and what people split or merged."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func, select, update

from bot.domain.errors import Conflict, NotFound
from bot.domain.ids import short_hash

from .findings import FINDINGS
from .findings import get as finding
from .tables_sources import IssueOverrideRow
from .upsert import upsert

OVERRIDES = IssueOverrideRow.__table__  # type: ignore[attr-defined]
_WITNESS = (
    FINDINGS.c.id, FINDINGS.c.source, FINDINGS.c.uid, FINDINGS.c.title, FINDINGS.c.status, FINDINGS.c.severity,
    FINDINGS.c.resource_uid, FINDINGS.c.cause_id, FINDINGS.c.issue_id,
)  # fmt: skip


def overrides(conn: Connection) -> dict[str, str]:
    """finding id -> the issue a person put it into."""
    return {row.finding_id: row.issue_id for row in conn.execute(select(OVERRIDES.c.finding_id, OVERRIDES.c.issue_id))}


def said_of(conn: Connection, finding_ids: Sequence[str]) -> dict[str, Any]:
    """finding id -> what a person said of it (kind, by, reason, at)."""
    rows = conn.execute(select(OVERRIDES).where(OVERRIDES.c.finding_id.in_(list(finding_ids)[:500])))
    return {row.finding_id: row for row in rows}


def witnesses(conn: Connection, finding_id: str) -> Sequence[Any]:
    """The other findings of the same issue, by source."""
    issue = finding(conn, finding_id).issue_id
    if not issue:
        return []
    query = select(*_WITNESS).where(FINDINGS.c.issue_id == issue, FINDINGS.c.id != finding_id)
    return conn.execute(query.order_by(FINDINGS.c.source, FINDINGS.c.id).limit(50)).all()


def candidates(conn: Connection, finding_id: str) -> Sequence[Any]:
    """Open findings of other sources on the same resource that no rule joins: a person may know better."""
    row = finding(conn, finding_id)
    if not row.resource_uid:
        return []
    query = select(*_WITNESS).where(
        FINDINGS.c.resource_uid == row.resource_uid, FINDINGS.c.source != row.source,
        FINDINGS.c.status.in_(["new", "open", "reopened"]), FINDINGS.c.issue_id != (row.issue_id or "none"),
    )  # fmt: skip
    return conn.execute(query.order_by(FINDINGS.c.severity.desc(), FINDINGS.c.id).limit(10)).all()


def split(conn: Connection, finding_id: str, *, by: str, reason: str, now: datetime) -> str:
    """Take a finding out of its issue, for good. The id of its own issue."""
    row = finding(conn, finding_id)
    others = conn.execute(
        select(func.count()).where(FINDINGS.c.issue_id == row.issue_id, FINDINGS.c.id != finding_id)
    ).scalar_one()
    if not row.issue_id or not others:
        raise Conflict("it has no other witness: there is nothing to split")
    own = short_hash("split", finding_id, prefix="is-")
    _put(conn, finding_id, own, "split", by, reason, now)
    return own


def merge(conn: Connection, finding_id: str, into: str, *, by: str, reason: str, now: datetime) -> str:
    """Put a finding into the issue of another one, for good. The issue's id."""
    row, other = finding(conn, finding_id), finding(conn, into)
    if row.id == other.id:
        raise Conflict("a finding is its own witness already")
    if row.issue_id and row.issue_id == other.issue_id:
        raise Conflict("the two are one issue already")
    if row.account_uid and other.account_uid and row.account_uid != other.account_uid:
        raise Conflict("the two are about different accounts", mend="One issue is one problem on one resource.")
    issue = other.issue_id or short_hash("merge", other.id, prefix="is-")
    if not other.issue_id:
        _put(conn, other.id, issue, "merge", by, reason, now)
    _put(conn, row.id, issue, "merge", by, reason, now)
    return issue


def undo(conn: Connection, finding_id: str) -> None:
    """Forget what a person said; the rules' word holds again with the next report."""
    gone = conn.execute(OVERRIDES.delete().where(OVERRIDES.c.finding_id == finding_id))
    if not gone.rowcount:
        raise NotFound(f"nobody split or merged {finding_id}")


def _put(conn: Connection, finding_id: str, issue: str, kind: str, by: str, reason: str, now: datetime) -> None:
    values = {"finding_id": finding_id, "issue_id": issue, "kind": kind, "by": by, "reason": reason[:500], "at": now}
    upsert(conn, OVERRIDES, ["finding_id"], [values])
    conn.execute(update(FINDINGS).where(FINDINGS.c.id == finding_id).values(issue_id=issue, changed_at=now))
