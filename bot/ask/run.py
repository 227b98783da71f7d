"""Runs a PostureQuery: one or a few statements, numbers as computed by the database, rows as the contract has them."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, case, distinct, func, literal, or_, select

from bot.ask import lists, sql
from bot.ask.lists import CLASS_WORDS, MAX_ROWS, SEVERITY_WORDS
from bot.ask.sql import COLUMNS, DaysBetween, F, Frame
from bot.domain import posture as p
from bot.domain.errors import BadInput
from bot.domain.findings import FindingClass, SourceStatus, Status
from bot.store.findings import CONTROL_SETS, FINDINGS

MAX_BUCKETS = 400
MAPPED = 0x7FFF0000  # bytes of the file, the most that SQLite maps as it is built
_SETTINGS = (
    "SELECT set_config('jit', 'off', true), set_config('random_page_cost', '1.1', true), "
    "set_config('work_mem', '32MB', true)"
)
_NAMED = frozenset({"rule", "cause", "uid", "resource"})
_MANY = frozenset({"framework", "requirement"})  # a finding counts under each of its values
# Where a finding without a value is no group of its own.
_LEFT_OUT = frozenset({"framework", "requirement", "cve", "package"})


@dataclass(slots=True)
class Result:
    """``value`` of a count or stat (None: nothing to compute it from), ``rows`` of the others; ``total`` matches in
    all where ``rows`` is a part; ``ids`` of our findings where the answer is about single ones."""

    kind: p.Kind
    value: float | None = None
    rows: list[dict[str, Any]] = field(default_factory=list)
    total: int = 0
    parts: tuple[float, ...] = ()  # what a rate was computed from


def tune(conn: Connection) -> None:
    """A question reads far more of the database than the caches hold. SQLite, once per connection: mapped pages are
    read without being copied (the kernel takes them back when memory is short). PostgreSQL, for this transaction: an
    index that holds all the columns is read rather than the table, groups are hashed in memory, and no machine code
    is compiled, which takes longer than the questions."""
    if conn.dialect.name == "postgresql":
        conn.exec_driver_sql(_SETTINGS)
    elif "ask" not in conn.info:
        conn.exec_driver_sql(f"PRAGMA mmap_size={MAPPED}")
        conn.info["ask"] = True


def run(conn: Connection, query: p.PostureQuery, f: Frame, rows: int = MAX_ROWS) -> Result:
    """The answer to ``query``; of a list the first ``rows`` rows, all of it in ``total``."""
    tune(conn)
    match query.kind:
        case p.Kind.COUNT:
            return Result(query.kind, value=count(conn, query.of, query.where, f, query.within))
        case p.Kind.LIST:
            shown, total = lists.found(conn, query, f, rows)
            return Result(query.kind, value=total, rows=shown, total=total)
        case p.Kind.DETAIL:
            shown = lists.detail(conn, query, f)
            return Result(query.kind, rows=shown, total=len(shown))
        case p.Kind.BREAKDOWN:
            return _breakdown(conn, query, f)
        case p.Kind.TREND:
            return _trend(conn, query, f)
        case p.Kind.COMPARE:
            return _compare(conn, query, f)
        case p.Kind.STAT:
            return _stat(conn, query, f)


# --- counts ----------------------------------------------------------------------------------------------------------

_PROBLEM = (F.resource_id, F.rule_uid)
_COUNTED: dict[str, ColumnElement[Any]] = {
    "resource": F.resource_id, "cve": F.cve, "account": F.account_uid, "team": F.team, "app": F.app,
    "rule": F.rule_uid, "region": F.region, "product": F.product, "package": F.package, "cause": F.cause_id,
    "provider": F.provider, "resource_type": F.resource_type, "data_class": F.data_class,
    "env": case((F.environment != "unknown", F.environment), else_=""),
    "problem": F.resource_id + literal("\x1f") + F.rule_uid,
}  # fmt: skip


def _counter(of: str) -> ColumnElement[Any]:
    """What is counted: rows, or distinct values that are there."""
    if of == "finding":
        return func.count()
    column = _COUNTED[of]
    return func.count(distinct(case((column != "", column))))


def count(conn: Connection, of: str, where: Sequence[p.Condition], f: Frame, within: str = "") -> int:
    if of in _MANY:
        word, _, source = _group(of)
        found = sql.where(where, f)
        if within:
            found = and_(found, word.in_(select(CONTROL_SETS.c.requirement).where(CONTROL_SETS.c.standard == within)))
        return int(conn.execute(select(func.count(distinct(word))).select_from(source).where(found)).scalar_one())
    query = select(_counter(of)).select_from(FINDINGS).where(sql.where(where, f))
    if of != "finding" and conn.dialect.name == "postgresql":
        # count(DISTINCT) sorts there, by the rules of a language; a group is hashed.
        there = () if of == "problem" else (_COUNTED[of] != "",)
        columns = _PROBLEM if of == "problem" else (_COUNTED[of],)
        each = select(*columns).where(sql.where(where, f), *there).group_by(*columns)
        query = select(func.count()).select_from(each.subquery())
    return int(conn.execute(query).scalar_one())


# --- breakdowns ------------------------------------------------------------------------------------------------------


def _breakdown(conn: Connection, query: p.PostureQuery, f: Frame) -> Result:
    assert query.by is not None
    found = sql.where(query.where, f)
    if query.by in _MANY and query.of == "finding" and query.measure == "count":
        rows = _by_control(conn, query, f)
    elif query.measure in ("median_ttr", "median_age", "percent", "sla_rate"):
        rows = _by_each(conn, query, f)
    else:
        value = _measured(query, f)
        label, name, source = _group(query.by)
        if query.by == "requirement" and query.within:
            own = select(CONTROL_SETS.c.requirement).where(CONTROL_SETS.c.standard == query.within)
            found = and_(found, label.in_(own))
        statement = select(label.label("label"), name.label("name"), value.label("value")).select_from(source)
        rows = [
            (row.label, row.name, row.value)
            for row in conn.execute(statement.where(found).group_by(label))
            if row.value is not None
        ]
    if query.by in _NAMED:
        rows = _names(conn, query.by, rows)
    named: list[dict[str, Any]] = [
        {"label": label_of(query.by, key, name), "value": number(value)}
        for key, name, value in rows
        if value or query.measure != "count"
    ]
    if query.by in _LEFT_OUT:
        named = [row for row in named if row["label"] is not None]
    ranked = query.order in ("most", "least")
    if ranked or query.limit:
        # Nobody's is no answer to "which team has the most".
        named = [row for row in named if row["label"] is not None] if ranked else named
        named.sort(key=lambda r: (r["value"] if query.order == "least" else -r["value"], str(r["label"])))
    elif query.by == "severity":
        named.sort(key=lambda r: -sql.SEVERITIES.get(str(r["label"]), 0))
    else:
        named.sort(key=lambda r: (r["label"] is None, -r["value"], str(r["label"])))
    total = len(named)
    return Result(query.kind, rows=named[: query.limit] if query.limit else named[:MAX_ROWS], total=total)


def _by_control(conn: Connection, query: p.PostureQuery, f: Frame) -> list[tuple[Any, Any, Any]]:
    """Findings counted by their set of requirements, of which there are few, then under each of its members."""
    counted = select(F.control_set, func.count().label("n")).where(sql.where(query.where, f)).group_by(F.control_set)
    sizes = {row.control_set: int(row.n) for row in conn.execute(counted) if row.control_set}
    members = select(CONTROL_SETS.c.id, CONTROL_SETS.c.standard, CONTROL_SETS.c.requirement)
    words: set[tuple[str, str]] = set()
    for row in conn.execute(members):
        if row.id in sizes and (not query.within or row.standard == query.within):
            words.add((row.id, row.standard if query.by == "framework" else row.requirement))
    totals: Counter[str] = Counter()
    for control_set, word in words:
        totals[word] += sizes[control_set]
    return [(word, word, n) for word, n in totals.items() if word]


def _group(by: str) -> tuple[Any, Any, Any]:
    """(key to group by, a name for it, from where)."""
    if by in _MANY:
        column = CONTROL_SETS.c.standard if by == "framework" else CONTROL_SETS.c.requirement
        members = select(CONTROL_SETS.c.id, column.label("word")).where(column != "").distinct().subquery("members")
        return members.c.word, func.min(members.c.word), FINDINGS.join(members, members.c.id == F.control_set)
    if by == "status":
        key = case(
            (F.status == Status.RESOLVED.value, "resolved"),
            (F.status.in_(sql.SET_ASIDE), "suppressed"),
            (F.result == int(SourceStatus.IN_PROGRESS), "in_progress"),
            else_="new",
        )
        return key, func.min(F.status), FINDINGS
    # The name of a rule or a resource is read from one of its findings: the index that groups does not hold it.
    if by == "account" or by in _NAMED:
        return COLUMNS[by], func.min(F.account_name if by == "account" else F.id), FINDINGS
    return COLUMNS[by], COLUMNS[by], FINDINGS


def _names(conn: Connection, by: str, rows: list[tuple[Any, Any, Any]]) -> list[tuple[Any, Any, Any]]:
    """``rows`` with the finding's id replaced by what it calls the thing."""
    column: Any = F.title
    if by == "resource":
        column = case((F.resource_name != "", F.resource_name), else_=F.resource_uid)
    names: dict[str, str] = {}
    ids = [str(row[1]) for row in rows]
    for at in range(0, len(ids), 500):
        found = select(F.id, column.label("name")).where(F.id.in_(ids[at : at + 500]))
        names |= {row.id: row.name for row in conn.execute(found)}
    return [(key, names.get(str(one), ""), value) for key, one, value in rows]


def _measured(query: p.PostureQuery, f: Frame) -> ColumnElement[Any]:
    if query.measure == "mttr":
        return func.avg(DaysBetween(F.first_seen, F.resolved_at))
    if query.measure in ("avg_age", "oldest_age"):
        age = DaysBetween(F.first_seen, literal(f.now, F.first_seen.type))
        return func.avg(age) if query.measure == "avg_age" else func.max(age)
    if query.measure != "count":
        raise BadInput(f"{query.measure} cannot be broken down")
    return _counter(query.of)


def _by_each(conn: Connection, query: p.PostureQuery, f: Frame) -> list[tuple[Any, Any, Any]]:
    """Measures that no aggregate function gives: asked group by group."""
    label, name, source = _group(query.by or "")
    groups = conn.execute(
        select(label.label("label"), name.label("name"))
        .select_from(source)
        .where(sql.where(query.where, f))
        .group_by(label)
    ).all()
    found = []
    for group in groups:
        if group.label in ("", None, "unknown") and query.by in COLUMNS:
            narrowed: p.Condition = p.Missing(field=query.by)
        else:
            narrowed = p.In(field=query.by, values=(str(label_of(query.by or "", group.label, group.label)),))
        stat = query.model_copy(update={"kind": p.Kind.STAT, "where": (*query.where, narrowed), "by": None})
        value = _stat(conn, stat, f).value
        if value is not None:
            found.append((group.label, group.name, value))
    return found


def label_of(by: str, key: Any, name: Any) -> str | None:
    """The word for a group: None where there is no value."""
    if key is None or key == "" or (by == "env" and key == "unknown"):
        return None
    if by == "severity":
        return SEVERITY_WORDS.get(int(key), "other")
    if by == "type":
        return CLASS_WORDS.get(int(key), str(FindingClass(key).name.lower()))
    if by == "priority":
        return f"P{key}"
    if by == "account":
        return str(name or key)
    if by in ("rule", "cause"):
        # A CVE's title names the version found; the CVE itself is the rule.
        return str(key) if str(key).upper().startswith(("CVE-", "GHSA-")) or not name else str(name)
    if by == "resource":
        return str(name or key)
    return str(key)


def number(value: Any) -> float | int:
    as_float = float(value)
    return int(as_float) if as_float.is_integer() else as_float


# --- over time -------------------------------------------------------------------------------------------------------


def buckets(query: p.PostureQuery, now: datetime) -> list[tuple[date, datetime, datetime]]:
    """(its date, start, end) of each bucket; the last ends now."""
    if query.start is None or query.end is None or query.step is None:
        raise BadInput("a trend needs start, end and step")
    found: list[tuple[date, datetime, datetime]] = []
    for first in _dates(query.start, query.step):
        start = datetime(first.year, first.month, first.day, tzinfo=UTC)
        if first > query.end or start > now:
            break
        if len(found) == MAX_BUCKETS:
            raise BadInput(f"more than {MAX_BUCKETS} points", mend="Ask for a shorter time or longer steps.")
        after = next(d for d in _dates(first, query.step) if d > first)
        end = datetime(after.year, after.month, after.day, tzinfo=UTC)
        found.append((first, start, min(end, now)))
    return found


def _dates(start: date, step: str) -> Iterator[date]:
    if step == "week":
        start -= timedelta(days=start.weekday())
    if step == "month":
        start = start.replace(day=1)
    while True:
        yield start
        if step == "month":
            start = (start + timedelta(days=32)).replace(day=1)
        else:
            start += timedelta(days=7 if step == "week" else 1)


def _trend(conn: Connection, query: p.PostureQuery, f: Frame) -> Result:
    spans = buckets(query, f.now)
    if not spans:
        return Result(query.kind)
    column = {"found": F.first_seen, "resolved": F.resolved_at, "suppressed": F.suppressed_at, "open": F.first_seen}
    if query.trend == "open":
        values = _open_over(conn, query, f, spans)
    else:
        at = column[query.trend]
        kept = sql.where(query.where, f)
        if query.trend == "resolved":
            kept = and_(kept, F.status == Status.RESOLVED.value)
        values = _histogram(conn, at, kept, spans, f, query.of)
    rows = [{"date": day.isoformat(), "value": value} for (day, _, _), value in zip(spans, values, strict=True)]
    return Result(query.kind, rows=rows, total=len(rows))


def _histogram(
    conn: Connection, at: Any, kept: ColumnElement[bool], spans: Sequence[tuple[date, datetime, datetime]], f: Frame,
    of: str = "finding",
) -> list[int]:  # fmt: skip
    """How many fall into each span: counted by day in one pass, the days put into their spans here. Distinct things
    cannot be added up, so those are counted span by span."""
    first, last = spans[0][1], spans[-1][2]
    within = and_(kept, at >= first, at <= last)
    if of != "finding":
        counts = []
        for _, start, end in spans:
            before = at < end if end < f.now else at <= end
            one = select(_counter(of)).select_from(FINDINGS).where(kept, at >= start, before)
            counts.append(int(conn.execute(one).scalar_one()))
        return counts
    by = sql.DayOf(at)
    rows = conn.execute(
        select(by.label("day"), func.count().label("n")).select_from(FINDINGS).where(within).group_by(by)
    )
    starts = [begun for begun, _, _ in spans]
    counts = [0] * len(spans)
    for row in rows:
        day = sql.day_of(row.day)
        assert day is not None
        counts[bisect_right(starts, day) - 1] += int(row.n)
    return counts


def _open_over(
    conn: Connection, query: p.PostureQuery, f: Frame, spans: Sequence[tuple[date, datetime, datetime]]
) -> list[int]:
    """Open at the end of each span: open at the beginning, plus what was found, minus what left."""
    kept = sql.where(query.where, f)
    if query.of != "finding":  # distinct things cannot be added up
        then = [p.Is(field="open") if end >= f.now else p.OpenAt(at=end) for _, _, end in spans]
        return [count(conn, query.of, (*query.where, each), f) for each in then]
    if not f.past:
        return _open_back(conn, kept, f, spans)
    start = spans[0][1]
    base = conn.execute(select(func.count()).select_from(FINDINGS).where(kept, sql.open_at(start))).scalar_one()
    came = _histogram(conn, F.first_seen, kept, spans, f)
    # What was set aside before times were kept never counts as open, so it never leaves either.
    left_at = sql.closed_at()
    gone = _histogram(conn, left_at, kept, spans, f)
    undated = and_(kept, left_at.is_(None), F.status.in_(sql.SET_ASIDE))
    never = _histogram(conn, F.first_seen, undated, spans, f)
    values, now_open = [], int(base)
    for plus, minus, out in zip(came, gone, never, strict=True):
        now_open += plus - minus - out
        values.append(now_open)
    return values


def _open_back(
    conn: Connection, kept: ColumnElement[bool], f: Frame, spans: Sequence[tuple[date, datetime, datetime]]
) -> list[int]:
    """The same from what is open now: minus what of it came after the end of a span, plus what had come by then and
    left later. What neither came nor left since the beginning is open all along or not at all. Each half asks for its
    statuses, so that an index is read from where they begin."""
    start = spans[0][1]
    left = sql.closed_at()
    now_open = int(conn.execute(select(func.count()).select_from(FINDINGS).where(kept, sql.is_open(f))).scalar_one())
    came_day, left_day = sql.DayOf(F.first_seen), sql.DayOf(left)
    came = conn.execute(
        select(came_day, func.count()).where(kept, F.status.in_(sql.OPEN), F.first_seen >= start).group_by(came_day)
    )
    since = [(sql.day_of(day), n) for day, n in came]
    early = case((F.first_seen >= start, came_day))  # NULL: before the beginning
    gone = conn.execute(
        select(early, left_day, func.count())
        .where(kept, F.status.in_(sql.CLOSED), or_(F.resolved_at >= start, F.suppressed_at >= start))
        .group_by(early, left_day)
    )
    moved = [(sql.day_of(first), sql.day_of(last), n) for first, last, n in gone]
    values = []
    for number, (first, _, _) in enumerate(spans):
        # The last day of the span: the one before the next begins.
        last = spans[number + 1][0] - timedelta(days=1) if number + 1 < len(spans) else max(first, f.now.date())
        later = sum(n for day, n in since if day is not None and day > last)
        there = sum(
            n for day, left_on, n in moved
            if (day is None or day <= last) and left_on is not None and left_on > last
        )  # fmt: skip
        values.append(now_open - later + there)
    return values


# --- comparisons and figures -----------------------------------------------------------------------------------------


def _compare(conn: Connection, query: p.PostureQuery, f: Frame) -> Result:
    rows = []
    for side in query.sides:
        where = (*query.where, *side.where)
        if query.measure == "count":
            value: float | None = count(conn, query.of, where, f)
        else:
            stat = query.model_copy(update={"kind": p.Kind.STAT, "where": where, "sides": ()})
            value = _stat(conn, stat, f).value
        rows.append({"label": side.label, "value": None if value is None else number(value)})
    return Result(query.kind, rows=rows, total=len(rows))


def _stat(conn: Connection, query: p.PostureQuery, f: Frame) -> Result:
    match query.measure:
        case "mttr" | "avg_age" | "oldest_age":
            value = conn.execute(
                select(_measured(query, f)).select_from(FINDINGS).where(sql.where(query.where, f))
            ).scalar_one()
            return Result(query.kind, value=None if value is None else float(value))
        case "median_ttr":
            return Result(query.kind, value=_median(conn, DaysBetween(F.first_seen, F.resolved_at), query, f))
        case "median_age":
            age = DaysBetween(F.first_seen, literal(f.now, F.first_seen.type))
            return Result(query.kind, value=_median(conn, age, query, f))
        case "percent":
            whole = count(conn, query.of, query.base, f)
            part = count(conn, query.of, (*query.base, *query.where), f)
            return Result(query.kind, value=100 * part / whole if whole else None, parts=(part, whole))
        case "sla_rate":
            in_time = count(conn, query.of, (*query.where, p.Is(field="fixed_in_time")), f)
            late = count(conn, query.of, (*query.where, p.Is(field="fixed_late")), f)
            rated = in_time + late
            return Result(query.kind, value=100 * in_time / rated if rated else None, parts=(in_time, rated))
        case "net" | "change":
            return _over_window(conn, query, f)
        case _:
            raise BadInput(f"{query.measure} is no figure")


def _over_window(conn: Connection, query: p.PostureQuery, f: Frame) -> Result:
    if query.window is None:
        raise BadInput(f"{query.measure} needs a window")
    start, end = query.window.start, query.window.end
    if query.measure == "net":
        found = p.Within(field="first_seen", start=start, end=end)
        gone = p.Within(field="resolved_at", start=start, end=end)
        plus, minus = (count(conn, query.of, (*query.where, each), f) for each in (found, gone))
    else:
        ended = end is not None and end < f.now
        then: p.Condition = p.OpenAt(at=end) if ended and end is not None else p.Is(field="open")
        plus = count(conn, query.of, (*query.where, then), f)
        minus = count(conn, query.of, (*query.where, p.OpenAt(at=start) if start is not None else then), f)
    return Result(query.kind, value=plus - minus, parts=(plus, minus))


def _median(conn: Connection, value: ColumnElement[Any], query: p.PostureQuery, f: Frame) -> float | None:
    kept = sql.where(query.where, f)
    if conn.dialect.name == "postgresql":
        middle = conn.execute(select(func.percentile_cont(0.5).within_group(value)).where(kept)).scalar_one()
        return None if middle is None else float(middle)
    # SQLite has no median; to sort the values here takes half as long as to have them sorted there.
    values = sorted(v for v in conn.execute(select(value).where(kept)).scalars() if v is not None)
    if not values:
        return None
    half = len(values) // 2
    return float(values[half]) if len(values) % 2 else (values[half - 1] + values[half]) / 2
