"""PostureQuery conditions as SQLAlchemy Core over the findings table. Every value is a bound parameter.

The asker's rights are a condition like the others, added here and nowhere else, so no query can leave them out.
Sources of the meanings: docs/ask.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Float,
    and_,
    case,
    false,
    func,
    literal,
    not_,
    or_,
    select,
    true,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.base import ReadOnlyColumnCollection
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import NullType

from bot.domain import posture as p
from bot.domain.findings import OPEN_STATUSES, FindingClass, Severity, SourceStatus, Status
from bot.settings import AskSettings, SlaSettings
from bot.store.findings import CONTROL_SETS, FINDINGS, RESOURCES

F: ReadOnlyColumnCollection[str, Column[Any]] = FINDINGS.c
CLASSES = {"vulnerability": FindingClass.VULNERABILITY, "misconfiguration": FindingClass.COMPLIANCE,
           "detection": FindingClass.DETECTION}  # fmt: skip
SEVERITIES = {s.name.lower(): int(s) for s in Severity}
OPEN = tuple(status.value for status in OPEN_STATUSES)
CLOSED = tuple(status.value for status in Status if status not in OPEN_STATUSES)
_DEAR = frozenset({"fixed_late", "fixed_in_time"})
SET_ASIDE = (Status.SUPPRESSED.value, Status.EXCEPTED.value)


@dataclass(frozen=True, slots=True)
class Rights:
    """Which rows the asker may see: all of them, or those of some teams and accounts."""

    everything: bool = False
    teams: frozenset[str] = frozenset()
    accounts: frozenset[str] = frozenset()

    def condition(self) -> ColumnElement[bool]:
        if self.everything:
            return true()
        some: list[ColumnElement[bool]] = []
        if self.teams:
            some += [F.team.in_(sorted(self.teams)), F.owner.in_(sorted(self.teams))]
        if self.accounts:
            some.append(F.account_uid.in_(sorted(self.accounts)))
        return or_(*some) if some else false()


EVERYTHING = Rights(everything=True)


def rights_of(ask: AskSettings, team: str | None, role: str) -> Rights:
    """Of a person of this team with this role, wherever rows are shown."""
    if ask.visibility == "company" or role in ask.see_everything:
        return EVERYTHING
    return Rights(teams=frozenset({team} if team else ()))


@dataclass(frozen=True, slots=True)
class Frame:
    """What a query is compiled in: the instant it is asked as of, the time limits, the asker's rights.

    ``past``: the instant was given by the asker, so where a finding stood then is read from its times.
    """

    now: datetime
    sla: Mapping[int, timedelta]
    rights: Rights
    past: bool = False
    extra: Mapping[str, Any] = field(default_factory=dict)


def frame(now: datetime, sla: SlaSettings, rights: Rights, *, past: bool = False) -> Frame:
    limits = {Severity.CRITICAL: sla.critical, Severity.HIGH: sla.high, Severity.MEDIUM: sla.medium,
              Severity.LOW: sla.low, Severity.FATAL: sla.critical}  # fmt: skip
    return Frame(now.astimezone(UTC), {int(s): timedelta(days=d) for s, d in limits.items()}, rights, past)


class DaysBetween(FunctionElement[float]):
    """Days from the first to the second instant, as a fraction."""

    type = Float()
    name = "days_between"
    inherit_cache = True


@compiles(DaysBetween)
def _days_postgresql(element: Any, compiler: Any, **kw: Any) -> str:
    earlier, later = (compiler.process(clause, **kw) for clause in element.clauses)
    # date_part gives a double; extract would give a numeric, which is several times as slow.
    return f"(date_part('epoch', ({later}) - ({earlier})) / 86400.0::float8)"


@compiles(DaysBetween, "sqlite")
def _days_sqlite(element: Any, compiler: Any, **kw: Any) -> str:
    # julianday() is exact to 0.1 ms in this century; rounded to a millisecond, so that equal times give equal days (by
    # a cast: round() goes through text and takes as long as all the rest).
    earlier, later = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"(CAST((julianday({later}) - julianday({earlier})) * 86400000.0 + 0.5 AS INTEGER) / 86400000.0)"


class DayOf(FunctionElement[Any]):
    """The day (UTC) of an instant: what ``day_of`` takes for it."""

    type = NullType()
    name = "day_of"
    inherit_cache = True


@compiles(DayOf)
def _day_postgresql(element: Any, compiler: Any, **kw: Any) -> str:
    (at,) = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"(({at}) AT TIME ZONE 'UTC')::date"


@compiles(DayOf, "sqlite")
def _day_sqlite(element: Any, compiler: Any, **kw: Any) -> str:
    (at,) = (compiler.process(clause, **kw) for clause in element.clauses)  # stored as text, in UTC
    return f"substr({at}, 1, 10)"


def day_of(found: Any) -> date | None:
    """What a ``DayOf`` came back as."""
    return date.fromisoformat(found) if isinstance(found, str) else found


def closed_at() -> ColumnElement[Any]:
    """When it left the open ones; NULL while it is open."""
    return func.coalesce(F.resolved_at, F.suppressed_at)


def where(conditions: Sequence[p.Condition], f: Frame) -> ColumnElement[bool]:
    """``conditions`` and the asker's rights. What is dear to work out comes last: SQLite looks from left to right."""
    ordered = sorted(conditions, key=lambda one: isinstance(one, p.Is) and one.field in _DEAR)
    return and_(f.rights.condition(), *(condition(one, f) for one in ordered))


def condition(one: p.Condition, f: Frame) -> ColumnElement[bool]:
    match one:
        case p.In():
            return _in(one, f)
        case p.Missing():
            return _missing(one.field)
        case p.Is():
            found = _flag(one.field, f)
            return found if one.value else not_(found)
        case p.Within():
            return _within(one, f)
        case p.Compare():
            return _compare(one, f)
        case p.OpenAt():
            return open_at(one.at)
        case p.Not():
            return not_(and_(true(), *(condition(each, f) for each in one.of)))
        case p.AnyOf():
            return or_(false(), *(and_(true(), *(condition(each, f) for each in branch)) for branch in one.of))


def is_open(f: Frame) -> ColumnElement[bool]:
    return open_at(f.now, or_same=True) if f.past else F.status.in_(OPEN)


def open_at(at: datetime, *, or_same: bool = False) -> ColumnElement[bool]:
    """Seen before ``at`` and neither resolved nor set aside before it."""
    seen = F.first_seen <= at if or_same else F.first_seen < at
    left = closed_at() <= at if or_same else closed_at() < at
    # A row set aside before times were kept has none: it counts as set aside all along.
    return and_(seen, not_(func.coalesce(left, F.status.in_(SET_ASIDE))))


_EVERY_STATUS = tuple(status.value for status in Status)


def changed_since(conn: Connection, at: datetime) -> bool:
    """Whether any finding was seen, resolved or set aside after ``at``."""
    for found in (and_(F.status.in_(_EVERY_STATUS), F.first_seen > at), or_(F.resolved_at > at, F.suppressed_at > at)):
        if conn.execute(select(literal(1)).select_from(FINDINGS).where(found).limit(1)).first() is not None:
            return True
    return False


COLUMNS: dict[str, Any] = {
    "provider": F.provider, "region": F.region, "env": F.environment, "team": F.team, "app": F.app,
    "data_class": F.data_class, "product": F.product, "resource_type": F.resource_type, "rule": F.rule_uid,
    "cve": F.cve, "package": F.package, "account": F.account_uid, "resource": F.resource_id, "uid": F.uid,
    "cause": F.cause_id, "severity": F.severity, "priority": F.priority, "type": F.class_uid,
}  # fmt: skip


def _in(one: p.In, f: Frame) -> ColumnElement[bool]:
    values = list(one.values)
    match one.field:
        case "status":
            return or_(false(), *(_status(value, f) for value in values))
        case "severity":
            return F.severity.in_([SEVERITIES[v] for v in values if v in SEVERITIES])
        case "priority":
            return F.priority.in_([int(v.lstrip("Pp")) for v in values if v.lstrip("Pp").isdigit()])
        case "type":
            return F.class_uid.in_([int(CLASSES[v]) for v in values if v in CLASSES])
        case "account":
            return or_(F.account_name.in_(values), F.account_uid.in_(values))
        case "resource":
            # By name through the table of resources, which is smaller and has an index by name; and first of all
            # conditions, as no other leaves so little.
            r = RESOURCES.c
            named = select(r.uid).where(or_(r.id.in_(values), r.name.in_(values)))
            uids = named.union(select(r.uid).where(r.uid.in_(values)))
            there = FINDINGS.alias("there")
            return F.id.in_(select(there.c.id).where(there.c.resource_uid.in_(uids)))
        case "uid":
            return or_(F.uid.in_(values), F.id.in_(values))
        case "framework":
            return F.control_set.in_(select(CONTROL_SETS.c.id).where(CONTROL_SETS.c.standard.in_(values)))
        case "requirement":
            return F.control_set.in_(select(CONTROL_SETS.c.id).where(CONTROL_SETS.c.requirement.in_(values)))
        case _:
            found: ColumnElement[bool] = COLUMNS[one.field].in_(values)
            return found


def _status(value: str, f: Frame) -> ColumnElement[bool]:
    in_progress = F.result == int(SourceStatus.IN_PROGRESS)
    match value:
        case "open":
            return is_open(f)
        case "new":
            return and_(is_open(f), not_(in_progress))
        case "in_progress":
            return and_(is_open(f), in_progress)
        case "suppressed":
            return and_(F.status.in_(SET_ASIDE), func.coalesce(F.suppressed_at <= f.now, true()))
        case "resolved":
            return and_(F.status == Status.RESOLVED.value, F.resolved_at <= f.now)
        case _:
            return false()


def _missing(dimension: str) -> ColumnElement[bool]:
    if dimension in ("framework", "requirement"):
        return F.control_set == ""
    if dimension == "env":
        return F.environment == "unknown"
    found: ColumnElement[bool] = COLUMNS[dimension] == ""
    return found


def _flag(name: str, f: Frame) -> ColumnElement[bool]:
    match name:
        case "open":
            return is_open(f)
        case "exposed":
            return F.internet_exposed.is_(True)
        case "kev":
            return F.kev.is_(True)
        case "exploitable":
            return F.exploit.is_(True)
        case "fixable":
            return F.fixable.is_(True)
        case "overdue":
            return and_(is_open(f), _seen_before(f, timedelta()))
        case "fixed_late":
            return and_(_status("resolved", f), _late(f))
        case "fixed_in_time":
            limited = F.severity.in_(list(f.sla))
            return and_(_status("resolved", f), limited, not_(_late(f)))
        case _:
            return false()


def _seen_before(f: Frame, more: timedelta, *, same: bool = False) -> ColumnElement[bool]:
    """Due more than ``more`` before now: per severity, a bound on first_seen, which an index can serve."""
    parts = []
    for severity, limit in f.sla.items():
        bound = f.now - limit - more
        parts.append(and_(F.severity == severity, F.first_seen <= bound if same else F.first_seen < bound))
    return or_(false(), *parts)


def _late(f: Frame) -> ColumnElement[bool]:
    days = DaysBetween(F.first_seen, F.resolved_at)
    return or_(false(), *(and_(F.severity == s, days > limit.total_seconds() / 86400) for s, limit in f.sla.items()))


def _within(one: p.Within, f: Frame) -> ColumnElement[bool]:
    if one.field == "due":
        parts = []
        for severity, limit in f.sla.items():
            bounds = [F.severity == severity]
            if one.start is not None:
                bounds.append(F.first_seen >= one.start - limit)
            if one.end is not None:
                bounds.append(F.first_seen < one.end - limit)
            parts.append(and_(*bounds))
        return or_(false(), *parts)
    column = {"first_seen": F.first_seen, "resolved_at": F.resolved_at, "suppressed_at": F.suppressed_at,
              "last_seen": F.last_seen}[one.field]  # fmt: skip
    bounds = [column.is_not(None)]
    if one.field == "resolved_at":
        bounds.append(F.status == Status.RESOLVED.value)
    if one.field == "suppressed_at":
        bounds.append(F.status.in_(SET_ASIDE))
    if one.start is not None:
        bounds.append(column >= one.start)
    if one.end is not None:
        # A window that ends now has now in it.
        bounds.append(column <= one.end if one.end >= f.now else column < one.end)
    return and_(*bounds)


def _compare(one: p.Compare, f: Frame) -> ColumnElement[bool]:
    days = timedelta(days=one.value) if one.field.endswith("days") else timedelta()
    if one.field == "age_days":
        bound = f.now - days  # older means seen earlier
        ways = {"gt": F.first_seen < bound, "ge": F.first_seen <= bound, "lt": F.first_seen > bound,
                "le": F.first_seen >= bound}  # fmt: skip
        return ways[one.op]
    if one.field == "overdue_days":
        overdue = and_(is_open(f), _seen_before(f, timedelta()))
        if one.op in ("gt", "ge"):
            return and_(overdue, _seen_before(f, days, same=one.op == "ge"))
        return and_(overdue, not_(_seen_before(f, days, same=one.op == "lt")))
    if one.field == "due_in_days":
        ahead = and_(is_open(f), F.severity.in_(list(f.sla)), not_(_seen_before(f, timedelta())))
        if one.op in ("lt", "le"):
            return and_(ahead, _seen_before(f, -days, same=one.op == "le"))
        return and_(ahead, not_(_seen_before(f, -days, same=one.op == "gt")))
    column = F.cvss if one.field == "cvss" else F.epss
    ways = {"gt": column > one.value, "ge": column >= one.value, "lt": column < one.value, "le": column <= one.value}
    return func.coalesce(ways[one.op], false())


def due_case(f: Frame) -> ColumnElement[Any]:
    """The SLA in days by severity, NULL where there is none."""
    return case({s: limit.total_seconds() / 86400 for s, limit in f.sla.items()}, value=F.severity, else_=None)
