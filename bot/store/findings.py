"""Findings: narrow rows, observations, resources and accounts. Bulk by Core statements, never by objects."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, select, update

from bot.domain.errors import NotFound
from bot.domain.findings import Finding, Status
from bot.domain.ids import IdSource
from bot.domain.triage import Verdict

from . import causes
from .tables import AccountRow, ControlSetRow, FindingRow, ObservationRow, ResourceRow
from .upsert import chunks, upsert

FINDINGS = FindingRow.__table__  # type: ignore[attr-defined]
OBSERVATIONS = ObservationRow.__table__  # type: ignore[attr-defined]
RESOURCES = ResourceRow.__table__  # type: ignore[attr-defined]
ACCOUNTS = AccountRow.__table__  # type: ignore[attr-defined]
CONTROL_SETS = ControlSetRow.__table__  # type: ignore[attr-defined]

FIXED = "fixed and verified"
VANISHED = "no longer reported by a complete scan"
_SMALL = 10_000  # findings below which any plan will do
# What a complete scan can make vanish: everything that is not resolved already.
_LIVE = (*causes.OPEN, Status.SUPPRESSED.value, Status.EXCEPTED.value)


def known(conn: Connection, finding_ids: Sequence[str]) -> dict[str, tuple[str, str]]:
    """id -> (content, status): the hash look-up that makes an unchanged finding cost next to nothing."""
    rows: Any
    if conn.dialect.name == "postgresql":
        rows = conn.exec_driver_sql(
            "SELECT id, content, status FROM findings WHERE id = ANY(%(ids)s)", {"ids": list(finding_ids)}
        )
    else:
        marks = ",".join("?" * len(finding_ids))
        rows = conn.exec_driver_sql(
            f"SELECT id, content, status FROM findings WHERE id IN ({marks})",  # noqa: S608 only question marks
            tuple(finding_ids),
        )
    return {found: (content, status) for found, content, status in rows}


_DETAILS = select(
    FINDINGS.c.id, FINDINGS.c.status, FINDINGS.c.status_reason, FINDINGS.c.result, FINDINGS.c.resolved_at,
    FINDINGS.c.first_seen, FINDINGS.c.reopened, FINDINGS.c.cause_id, FINDINGS.c.priority, FINDINGS.c.due,
    FINDINGS.c.suppressed_at, FINDINGS.c.source_modified,
).where(FINDINGS.c.id.in_(bindparam("ids", expanding=True)))  # fmt: skip


def details(conn: Connection, finding_ids: Collection[str]) -> dict[str, Row[Any]]:
    """What the life cycle asks of findings that changed or came back."""
    found: dict[str, Row[Any]] = {}
    for some in chunks(finding_ids):
        found |= {row.id: row for row in conn.execute(_DETAILS, {"ids": some})}
    return found


def store(
    conn: Connection,
    *,
    findings: Sequence[Mapping[str, Any]],
    observations: Sequence[Mapping[str, Any]],
    resources: Sequence[Mapping[str, Any]],
    accounts: Sequence[Mapping[str, Any]],
    control_sets: Sequence[Mapping[str, Any]] = (),
) -> None:
    """Upsert what a batch changed. Keys must be unique within each list."""
    upsert(conn, CONTROL_SETS, ["id", "standard", "requirement"], control_sets, change=[])
    upsert(conn, FINDINGS, ["id"], findings)
    upsert(conn, OBSERVATIONS, ["finding_id", "content"], observations)
    upsert(conn, RESOURCES, ["id"], resources, differs="content")
    upsert(conn, ACCOUNTS, ["id"], accounts, differs="content")


def settle(conn: Connection) -> bool:
    """Take SQLite's statistics anew where there are none, or half or twice as many findings as when they were taken:
    without them it takes any index for a good one. True where it did. PostgreSQL does so by itself."""
    if conn.dialect.name != "sqlite":
        return False
    rows = int(conn.exec_driver_sql("SELECT coalesce(max(rowid), 0) FROM findings").scalar_one())
    known = 0
    if conn.exec_driver_sql("SELECT 1 FROM sqlite_master WHERE name = 'sqlite_stat1'").first() is not None:
        stat = conn.exec_driver_sql("SELECT stat FROM sqlite_stat1 WHERE idx = 'ix_findings_uid'").scalar()
        known = int(str(stat or "0").split()[0])
    if rows < _SMALL or known / 2 < rows < 2 * known:
        return False
    for table in (FINDINGS, RESOURCES, CONTROL_SETS):
        conn.exec_driver_sql(f"ANALYZE {table.name}")
    return True


def live_in_scope(conn: Connection, source: str, scope: str, before: datetime) -> Iterator[tuple[str, str]]:
    """(id, cause id) of what a complete scan of ``scope`` should have shown again."""
    rows = conn.execute(
        select(FINDINGS.c.id, FINDINGS.c.cause_id).where(
            FINDINGS.c.scope == scope, FINDINGS.c.status.in_(_LIVE), FINDINGS.c.source == source,
            FINDINGS.c.changed_at <= before,
        )
    )  # fmt: skip
    for row in rows:
        yield row.id, row.cause_id


def resolve(conn: Connection, finding_ids: Collection[str], now: datetime, reason: str) -> int:
    """Resolve what is not resolved yet; the caller refreshes the causes."""
    count = 0
    for some in chunks(finding_ids):
        done = conn.execute(
            update(FINDINGS)
            .where(FINDINGS.c.id.in_(some), FINDINGS.c.status != Status.RESOLVED.value)
            .values(status=Status.RESOLVED.value, status_reason=reason[:500], resolved_at=now, changed_at=now)
        )
        count += done.rowcount
    return count


def resolve_by_fix(
    conn: Connection,
    ids: IdSource,
    now: datetime,
    *,
    execution_id: str,
    cause_id: str,
    finding_ids: Collection[str] | None = None,
) -> int:
    """A verified execution fixed these (None: every open finding of the cause). Recounts the cause, queues its card."""
    chosen = list(finding_ids) if finding_ids is not None else of_cause(conn, cause_id, causes.OPEN)
    count = resolve(conn, chosen, now, f"{FIXED} ({execution_id})")
    causes.refresh(conn, ids, now, {cause_id})
    return count


def reopen(
    conn: Connection,
    ids: IdSource,
    now: datetime,
    *,
    cause_id: str,
    reason: str,
    finding_ids: Collection[str] | None = None,
    execution_id: str = "",
) -> int:
    """Bring resolved findings back (an undo, a fix that did not hold): None means those ``execution_id`` resolved."""
    if finding_ids is None:
        query = select(FINDINGS.c.id).where(
            FINDINGS.c.cause_id == cause_id, FINDINGS.c.status_reason == f"{FIXED} ({execution_id})"
        )
        finding_ids = conn.execute(query).scalars().all()
    count = 0
    for some in chunks(finding_ids):
        done = conn.execute(
            update(FINDINGS)
            .where(FINDINGS.c.id.in_(some), FINDINGS.c.status == Status.RESOLVED.value)
            .values(status=Status.REOPENED.value, status_reason=reason[:500], resolved_at=None, changed_at=now,
                    reopened=FINDINGS.c.reopened + 1)
        )  # fmt: skip
        count += done.rowcount
    causes.refresh(conn, ids, now, {cause_id})
    return count


def set_status(conn: Connection, cause_id: str, of: Collection[str], to: Status, reason: str, now: datetime) -> int:
    """Move every finding of a cause that stands in one of ``of``."""
    done = conn.execute(
        update(FINDINGS)
        .where(FINDINGS.c.cause_id == cause_id, FINDINGS.c.status.in_(list(of)))
        .values(status=to.value, status_reason=reason[:500], changed_at=now,
                suppressed_at=now if to is Status.EXCEPTED else None)
    )  # fmt: skip
    return int(done.rowcount)


def set_owner(conn: Connection, cause_id: str, owner: str, now: datetime) -> None:
    conn.execute(update(FINDINGS).where(FINDINGS.c.cause_id == cause_id).values(owner=owner, changed_at=now))


def of_cause(conn: Connection, cause_id: str, statuses: Collection[str]) -> list[str]:
    """Ids of the findings of a cause that stand in one of ``statuses``."""
    query = select(FINDINGS.c.id).where(FINDINGS.c.cause_id == cause_id, FINDINGS.c.status.in_(list(statuses)))
    return [str(found) for found in conn.execute(query).scalars()]


def get(conn: Connection, finding_id: str) -> Row[Any]:
    found = conn.execute(select(FINDINGS).where(FINDINGS.c.id == finding_id)).first()
    if found is None:
        raise NotFound(f"there is no finding {finding_id}", mend="Ids begin with f-, as `findings` lists them.")
    return found


def document(conn: Connection, finding_id: str) -> tuple[Finding, Verdict | None]:
    """The whole finding as last understood, and its verdict."""
    row = get(conn, finding_id)
    found = conn.execute(
        select(OBSERVATIONS.c.doc, OBSERVATIONS.c.verdict).where(
            OBSERVATIONS.c.finding_id == finding_id, OBSERVATIONS.c.content == row.content
        )
    ).one()
    verdict = None if found.verdict == b"{}" else Verdict.model_validate_json(found.verdict)
    return Finding.model_validate_json(found.doc), verdict


def history(conn: Connection, finding_id: str) -> list[tuple[datetime, str, str]]:
    """(when, who, what), oldest first: every content its source told, and where it stands now."""
    row = get(conn, finding_id)
    seen = conn.execute(
        select(OBSERVATIONS.c.at, OBSERVATIONS.c.poll_id)
        .where(OBSERVATIONS.c.finding_id == finding_id)
        .order_by(OBSERVATIONS.c.at)
    ).all()
    lines = [
        (at, row.source, "first seen" if number == 0 else "told differently") for number, (at, _) in enumerate(seen)
    ]
    if row.status != Status.OPEN.value:
        lines.append((row.changed_at, "gatehouse", f"{row.status}: {row.status_reason}".rstrip(": ")))
    return lines


def wake_suppressed(conn: Connection, now: datetime) -> set[str]:
    """Suppressions of the source that ran out: open again. Returns the causes to refresh."""
    due = conn.execute(
        select(FINDINGS.c.id, FINDINGS.c.cause_id).where(
            FINDINGS.c.status == Status.SUPPRESSED.value, FINDINGS.c.suppressed_until <= now
        )
    ).all()
    for some in chunks(row.id for row in due):
        conn.execute(
            update(FINDINGS)
            .where(FINDINGS.c.id.in_(some))
            .values(status=Status.OPEN.value, status_reason="its suppression ran out", suppressed_until=None,
                    suppressed_at=None, changed_at=now)
        )  # fmt: skip
    return {row.cause_id for row in due}
