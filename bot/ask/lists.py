"""Lists of findings and single findings: which, in what order, how many in all; whole rows of the first ones only.

The ids come from an index that holds everything questions filter and order by, so a list costs about as much as its
count; the wide rows are fetched by key, and only as many as somebody will look at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

from sqlalchemy import ColumnElement, Connection, bindparam, func, literal, literal_column, select

from bot.ask import sql
from bot.ask.sql import DaysBetween, F, Frame
from bot.domain import posture as p
from bot.domain.findings import Severity, SourceStatus, Status
from bot.store.findings import FINDINGS

MAX_ROWS = 20_000  # of a list; what is beyond is counted
CLASS_WORDS = {int(number): word for word, number in sql.CLASSES.items()}
SEVERITY_WORDS = {int(s): s.name.lower() for s in Severity}
_RESOLVED = Status.RESOLVED.value
_AT_ONCE = 1000  # keys of one statement

_ROW = (
    F.uid, F.id, F.title, F.class_uid, F.severity, F.status, F.result, F.provider, F.account_name, F.account_uid,
    F.region, F.team, F.environment, F.app, F.data_class, F.product, F.source, F.resource_uid, F.resource_name,
    F.resource_type, F.internet_exposed, F.kev, F.exploit, F.fixable, F.cve, F.cvss, F.epss, F.package, F.rule_uid,
    F.priority, F.cause_id, F.first_seen, F.last_seen, F.resolved_at,
)  # fmt: skip
# SQLite's own row number is in every index and saves a second look-up; it stands for the row within a transaction.
_ROWID: ColumnElement[Any] = literal_column("findings.rowid")
_BY_KEY = {
    True: select(_ROWID.label("k"), *_ROW).where(_ROWID.in_(bindparam("keys", expanding=True))),
    False: select(F.id.label("k"), *_ROW).where(F.id.in_(bindparam("keys", expanding=True))),
}


def found(conn: Connection, query: p.PostureQuery, f: Frame, rows: int = MAX_ROWS) -> tuple[list[dict[str, Any]], int]:
    """(the first ``rows`` of what matches, or of the query's own limit; how many match in all)."""
    which = sql.where(query.where, f)
    order: tuple[Any, ...] = (F.severity.desc(), F.first_seen, F.id)
    if query.order == "oldest":
        order = (F.first_seen, F.id)
    elif query.order == "newest":
        order = (F.first_seen.desc(), F.id)
    elif query.order == "overdue":
        order = ((DaysBetween(F.first_seen, literal(f.now, F.first_seen.type)) - sql.due_case(f)).desc(), F.id)
    limit = query.limit or MAX_ROWS
    key = _ROWID if conn.dialect.name == "sqlite" else F.id
    keys: Sequence[Any] = conn.execute(
        select(key).select_from(FINDINGS).where(which).order_by(*order).limit(limit + 1)
    ).scalars().all()  # fmt: skip
    total = len(keys)
    if total > limit:
        total = int(conn.execute(select(func.count()).select_from(FINDINGS).where(which)).scalar_one())
    return _rows(conn, keys[: min(limit, rows)], f), total


def detail(conn: Connection, query: p.PostureQuery, f: Frame) -> list[dict[str, Any]]:
    which = sql.where((p.In(field="uid", values=(query.uid,)),), f)
    return list(_told(conn.execute(select(*_ROW).where(which).order_by(F.id).limit(2)), f))


def _rows(conn: Connection, keys: Sequence[Any], f: Frame) -> list[dict[str, Any]]:
    fetch = _BY_KEY[conn.dialect.name == "sqlite"]
    left, held = iter(keys), dict[Any, Any]()
    while some := list(islice(left, _AT_ONCE)):
        held.update((row[0], row[1:]) for row in conn.execute(fetch, {"keys": some}))
    return list(_told((held[key] for key in keys if key in held), f))


def _told(rows: Any, f: Frame) -> Iterator[dict[str, Any]]:
    """Rows of ``_ROW`` as docs/ask.md has them. Nothing is worked out twice: times repeat, and thousands may come."""
    when = _times()
    dues: dict[tuple[int, datetime], tuple[str, bool]] = {}
    for (
        uid, ident, title, class_uid, severity, status, result, provider, account_name, account_uid, region, team,
        environment, app, data_class, product, source, resource_uid, resource_name, resource_type, exposed, kev,
        exploit, fixable, cve, cvss, epss, package, rule_uid, priority, cause_id, first_seen, last_seen, resolved_at,
    ) in rows:  # fmt: skip
        limit = f.sla.get(severity)
        due, past = _NO_DUE
        if limit is not None:
            known = dues.get((severity, first_seen))
            due, past = known or dues.setdefault((severity, first_seen), _due(first_seen, limit, f.now))
        word = status_word(status, result)
        yield {
            "uid": uid,
            "id": ident,
            "title": title,
            "type": CLASS_WORDS.get(class_uid),
            "severity": SEVERITY_WORDS.get(severity, "other"),
            "status": word,
            "provider": provider or None,
            "account": account_name or account_uid or None,
            "region": region or None,
            "team": team or None,
            "env": None if environment == "unknown" else environment,
            "app": app or None,
            "data_class": data_class or None,
            "product": product or source,
            "resource": resource_uid,
            "resource_name": resource_name or None,
            "resource_type": resource_type or None,
            "exposed": exposed,
            "kev": kev,
            "exploitable": exploit,
            "fixable": fixable,
            "cve": cve or None,
            "cvss": cvss,
            "epss": epss,
            "package": package or None,
            "rule": rule_uid or None,
            "priority": f"P{priority}",
            "cause": cause_id,
            "first_seen": when(first_seen),
            "last_seen": when(last_seen),
            "resolved_at": when(resolved_at),
            "due": due,
            "overdue": past and word in ("new", "in_progress"),
        }


_NO_DUE: tuple[str | None, bool] = (None, False)


def _due(first_seen: datetime, limit: timedelta, now: datetime) -> tuple[str, bool]:
    due = _utc(first_seen) + limit
    return str(iso(due)), now > due


def _times() -> Callable[[datetime | None], str | None]:
    known: dict[datetime | None, str | None] = {}

    def when(moment: datetime | None) -> str | None:
        text = known.get(moment)
        if text is None:
            text = known[moment] = iso(moment)
        return text

    return when


def status_word(status: str, result: int) -> str:
    if status == _RESOLVED:
        return "resolved"
    if status in sql.SET_ASIDE:
        return "suppressed"
    return "in_progress" if result == _IN_PROGRESS else "new"


_IN_PROGRESS = int(SourceStatus.IN_PROGRESS)


def _utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def iso(moment: datetime | None) -> str | None:
    return _utc(moment).isoformat().replace("+00:00", "Z") if moment is not None else None
