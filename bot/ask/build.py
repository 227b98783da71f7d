"""Parts of a question to a PostureQuery: defaults ("open" where nothing says otherwise), windows, sides, buckets."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta

from bot.ask.marks import NotUnderstood
from bot.ask.reading import Filter, Parsed, Span
from bot.ask.times import Window
from bot.domain import posture as p

_FIELD = {"found": "first_seen", "closed": "resolved_at", "muted": "suppressed_at", "": "first_seen"}
_CLOSED_MEASURES = frozenset({"mttr", "median_ttr", "sla_rate", "late_rate"})


def build(parsed: Parsed, now: datetime) -> p.PostureQuery:
    _overdue_then(parsed)
    _possible(parsed)
    kind = p.Kind(parsed.kind or "list")
    if kind is p.Kind.DETAIL:
        return p.PostureQuery(kind=kind, uid=parsed.uid)
    if kind is p.Kind.TREND:
        return _trend(parsed, now)
    if kind is p.Kind.COMPARE:
        return _compare(parsed)
    if kind is p.Kind.STAT or parsed.measure:
        return _stat(parsed, kind, now)
    where = conditions(parsed, default_open=not (kind is p.Kind.BREAKDOWN and parsed.by == "status"))
    made: dict[str, object] = {"kind": kind, "of": parsed.of or "finding", "where": where}
    if kind is p.Kind.BREAKDOWN:
        made |= {"by": parsed.by, "order": parsed.order or None, "limit": parsed.limit or None}
        if parsed.by in ("cve", "package") and not any(_says(c, "type") for c in where):
            made["where"] = (*where, p.In(field="type", values=("vulnerability",)))
        if parsed.by == "requirement":
            made["within"] = next(
                (f.values[0] for f in parsed.filters if f.key == "framework" and len(f.values) == 1 and not f.negated),
                "",
            )
        if parsed.order not in ("", "most", "least"):
            raise NotUnderstood("Ranked by what? Say “most” or “fewest”, or ask for the oldest findings themselves.")
    if kind is p.Kind.LIST:
        order = parsed.order if parsed.order in ("oldest", "newest", "overdue") else None
        if order == "overdue" and not any(_says(c, "overdue") for c in where):
            made["where"] = (*where, p.Is(field="overdue"))
        made |= {"of": "finding", "order": order, "limit": parsed.limit or None}
        if parsed.order in ("most", "least"):
            raise NotUnderstood("The most of what? Ask which team, account or rule has the most.")
    if parsed.of == "requirement" and kind is p.Kind.COUNT:
        made["within"] = next(
            (f.values[0] for f in parsed.filters if f.key == "framework" and len(f.values) == 1 and not f.negated), ""
        )
    if parsed.of == "cve" and kind is p.Kind.COUNT and not any(_says(c, "type") for c in where):
        made["where"] = (*where, p.In(field="type", values=("vulnerability",)))
    return p.PostureQuery.model_validate(made)


def _overdue_then(parsed: Parsed) -> None:
    """What was closed and overdue was closed late: overdue itself is of open ones only."""
    closed = "resolved" in parsed.status or any(s.verb == "closed" for s in parsed.spans)
    for one in (*parsed.filters, *(parsed.part.filters if parsed.part else ())):
        if closed and one.key == "overdue" and one.condition == p.Is(field="overdue"):
            one.key, one.condition = "late", p.Is(field="fixed_late")


_NOW = frozenset(["overdue", "overdue_days", "due_in", "due0", "age_days"])  # true of what is open now
_THEN = frozenset(["late", "intime", "fixed_late", "fixed_in_time"])  # true of what is resolved


def _possible(parsed: Parsed) -> None:
    """Parts that no finding can have together, or that a figure cannot use, are asked about."""
    keys = {f.key for f in parsed.filters if not f.negated}
    closed = any(s.verb in ("closed", "muted") for s in parsed.spans) or {"resolved", "suppressed"} & set(parsed.status)
    if (keys & _NOW and (keys & _THEN or closed)) or (keys & _THEN and "open" in parsed.status):
        raise NotUnderstood("Of open findings, or of closed ones? No finding is both.")
    for missing in (f for f in parsed.filters if isinstance(f.condition, p.Missing)):
        field = missing.condition.field if isinstance(missing.condition, p.Missing) else ""
        if any(_valued(f, field) and not _in_one_choice(parsed.filters, missing, f) for f in parsed.filters):
            raise NotUnderstood(f"No finding has a {field} and has none. Which do you mean?")
    if parsed.kind == "trend":
        opened = not any(s.verb in ("found", "closed", "muted") for s in parsed.spans) and not parsed.verb
        if opened and (keys & _NOW or {"in_progress"} & set(parsed.status)):
            raise NotUnderstood("I know what was open on a day, not what was overdue, in progress or of what age then.")
        if parsed.of not in ("", "finding"):
            raise NotUnderstood("I can follow the number of findings over time, not of other things.")
    if parsed.measure in _CLOSED_MEASURES and {"open", "new", "in_progress", "suppressed"} & set(parsed.status):
        raise NotUnderstood("Times to fix and SLA rates are of resolved findings. Which do you mean?")
    if parsed.by and parsed.step:
        raise NotUnderstood("By group, or over time? One at a time, please.")
    if closed and parsed.kind == "list" and parsed.order in ("oldest", "newest"):
        raise NotUnderstood("By when they were found, or closed? I only know the oldest and newest of open ones.")
    if parsed.measure in ("avg_age", "median_age", "oldest_age") and closed:
        raise NotUnderstood("Only open findings have an age. The time to fix, perhaps?")
    if parsed.kind == "count" and parsed.limit:
        raise NotUnderstood("How many of all, or a list of some? Please ask for one of them.")


def _valued(one: Filter, field: str) -> bool:
    return isinstance(one.condition, p.In) and one.condition.field == field


def _in_one_choice(filters: Sequence[Filter], one: Filter, other: Filter) -> bool:
    """``no owner or owned by growth``: all from the first of the two to the second are joined by "or"."""
    low, high = sorted(n for n, each in enumerate(filters) if each is one or each is other)
    return all(each.either for each in filters[low + 1 : high + 1])


def _says(condition: p.Condition, name: str) -> bool:
    return getattr(condition, "field", "") == name


# --- conditions ------------------------------------------------------------------------------------------------------


def conditions(parsed: Parsed, *, default_open: bool = True) -> tuple[p.Condition, ...]:
    """Everything that narrows, "open" added where the question says nothing of status or of when."""
    found: list[p.Condition] = []
    statuses = [s for s in parsed.status if s != "any"]
    if parsed.was_open and statuses and statuses != ["open"]:
        raise NotUnderstood("I know what was open on a day, not what was new, in progress or suppressed then.")
    if parsed.was_open and statuses == ["open"]:
        statuses = []  # open then, not now
    dated = [s for s in parsed.spans if s.verb != "open"]
    if statuses:
        found.append(_statuses(statuses))
    elif default_open and not dated and not parsed.was_open and "any" not in parsed.status and not _settled(parsed):
        found.append(p.Is(field="open"))
    found += combined(parsed.filters)
    found += [_span(span) for span in parsed.spans]
    return tuple(dict.fromkeys(found))


def _settled(parsed: Parsed) -> bool:
    """A filter that already says where the findings stand."""
    return any(
        isinstance(f.condition, p.Is)
        and f.condition.field in ("overdue", "fixed_late", "fixed_in_time")
        and f.condition.value
        for f in parsed.filters
    ) or any(f.key in ("due_in", "due0", "overdue_days") for f in parsed.filters)


def _statuses(statuses: Sequence[str]) -> p.Condition:
    if set(statuses) == {"open"} or set(statuses) == {"open", "new", "in_progress"}:
        return p.Is(field="open")
    kept = [s for s in statuses if not (s == "open" and {"new", "in_progress"} & set(statuses))]
    return p.In(field="status", values=tuple(dict.fromkeys(kept)))


def combined(filters: Sequence[Filter]) -> list[p.Condition]:
    """Filters as conditions; runs joined by "or" as a choice."""
    found: list[p.Condition] = []
    run: list[p.Condition] = []
    for one in filters:
        if one.either and run:
            run.append(one.condition)
            continue
        found += _choice(run)
        run = [one.condition]
    return found + _choice(run)


def _choice(run: Sequence[p.Condition]) -> list[p.Condition]:
    return list(run) if len(run) < 2 else [p.AnyOf(of=tuple((one,) for one in run))]


def _span(span: Span, verb: str | None = None) -> p.Condition:
    verb = span.verb if verb is None else verb
    window = span.window
    if verb == "open":
        at = window.end or window.start
        if at is None:
            raise NotUnderstood("Open when? Name a day.")
        return p.OpenAt(at=at, said=window.said)
    return p.Within(field=_FIELD[verb], start=window.start, end=window.end, said=window.said)


# --- figures ---------------------------------------------------------------------------------------------------------


def _stat(parsed: Parsed, kind: p.Kind, now: datetime) -> p.PostureQuery:
    measure = parsed.measure
    made: dict[str, object] = {"kind": kind, "of": parsed.of if measure == "percent" else "finding"}
    if kind is p.Kind.BREAKDOWN:
        made |= {"by": parsed.by, "order": parsed.order or None, "limit": parsed.limit or None}
    if measure in ("net", "change"):
        if not parsed.spans:
            raise NotUnderstood("Over what time? Say “since Monday” or “last week”.")
        window = p.Within(field="first_seen", start=parsed.spans[0].window.start, end=parsed.spans[0].window.end,
                          said=parsed.spans[0].window.said)  # fmt: skip
        return p.PostureQuery.model_validate(
            made | {"kind": "stat", "measure": measure, "where": combined(parsed.filters), "window": window}
        )
    if measure == "percent":
        return _percent(parsed, made)
    if measure in _CLOSED_MEASURES:
        spans = [_span(s, "closed" if s.verb in ("", "closed") else s.verb) for s in parsed.spans]
        where = [*combined(parsed.filters), *spans]
        if measure == "late_rate":
            closed = any(isinstance(s, p.Within) and s.field == "resolved_at" for s in spans)
            base = (*where, *(() if closed else (p.In(field="status", values=("resolved",)),)))
            return p.PostureQuery.model_validate(
                made | {"measure": "percent", "where": (p.Is(field="fixed_late"),), "base": base}
            )
        if not any(isinstance(s, p.Within) and s.field == "resolved_at" for s in spans):
            where.insert(0, p.In(field="status", values=("resolved",)))
        return p.PostureQuery.model_validate(made | {"measure": measure, "where": where})
    return p.PostureQuery.model_validate(made | {"measure": measure, "where": conditions(parsed)})


def _percent(parsed: Parsed, made: dict[str, object]) -> p.PostureQuery:
    part = parsed.part or Parsed()
    closed = {"resolved", "suppressed"} & set(part.status) or any(s.verb in ("closed", "muted") for s in part.spans)
    settled = any(
        isinstance(f.condition, p.Is) and f.condition.field in ("fixed_late", "fixed_in_time") for f in part.filters
    )
    base = conditions(parsed, default_open=not closed and not settled)
    if "open" in part.status and not parsed.status and not parsed.spans:
        base = conditions(parsed, default_open=False)
    where = conditions(part, default_open=False)
    if not where:
        raise NotUnderstood("The percentage of what? Say “what percentage of … is …”.")
    return p.PostureQuery.model_validate(made | {"measure": "percent", "where": where, "base": base})


# --- comparisons -----------------------------------------------------------------------------------------------------


def _compare(parsed: Parsed) -> p.PostureQuery:
    sides = []
    common = parsed.copy()
    common.sides = []
    verbs = any(side[3] for side in parsed.sides)
    timed = any(side[2] for side in parsed.sides)
    for label, filters, spans, verb in parsed.sides:
        one = Parsed(filters=filters)
        one.status = list(common.status)
        if verb:
            one.spans = [Span(s.window, verb) for s in common.spans]
            if not one.spans:
                one.status = [{"closed": "resolved", "muted": "suppressed", "found": "any"}[verb]]
        elif spans:
            said = common.verb or (common.spans[0].verb if common.spans else "")
            one.spans = [Span(s.window, said) for s in spans]
        else:
            one.spans = list(common.spans)
        sides.append(p.Side(label=label, where=_side_where(one, common, parsed.measure)))
    shared = combined(common.filters)
    made: dict[str, object] = {"kind": "compare", "of": parsed.of or "finding", "sides": sides, "where": shared}
    if parsed.measure and parsed.measure not in ("change", "net", "late_rate", "percent"):
        made["measure"] = parsed.measure
    elif parsed.measure:
        raise NotUnderstood("I can compare counts, ages, times to fix and SLA rates.")
    del verbs, timed
    return p.PostureQuery.model_validate(made)


def _side_where(one: Parsed, common: Parsed, measure: str) -> tuple[p.Condition, ...]:
    if measure in _CLOSED_MEASURES:
        spans = [_span(s, "closed") for s in one.spans]
        status: list[p.Condition] = [] if spans else [p.In(field="status", values=("resolved",))]
        return (*status, *combined(one.filters), *spans)
    return conditions(one, default_open=not _settled(common))


# --- trends ----------------------------------------------------------------------------------------------------------


def _trend(parsed: Parsed, now: datetime) -> p.PostureQuery:
    step = parsed.step or "day"
    verb = next((s.verb for s in parsed.spans if s.verb not in ("", "open")), "") or parsed.verb
    trend = {"found": "found", "closed": "resolved", "muted": "suppressed"}.get(verb, "open")
    if "resolved" in parsed.status:
        trend = "resolved"
    elif "suppressed" in parsed.status:
        trend = "suppressed"
    elif "new" in parsed.status:
        trend = "found"
    if trend != "open" and "open" in parsed.status:
        raise NotUnderstood("How many were open on each day, or how many were found on each? One at a time, please.")
    start, end = _range(parsed.spans[0].window if parsed.spans else None, step, now)
    where = combined([f for f in parsed.filters if f.key != "status"])
    return p.PostureQuery.model_validate(
        {"kind": "trend", "of": "finding", "where": where, "step": step, "start": start, "end": end, "trend": trend}
    )


def _range(window: Window | None, step: str, now: datetime) -> tuple[date, date]:
    """First and last day of a trend. N days are N dates, N weeks this week and the N-1 before it."""
    today = now.date()
    if window is None:
        count = {"day": 30, "week": 12, "month": 6}[step]
        return _steps_back(today, step, count), today
    rolling = (
        window.count
        and window.end is not None
        and window.end >= now
        and window.start is not None
        and not _calendar(window)
    )
    if rolling and window.unit and window.start is not None:
        unit = window.unit
        if unit == step:
            return _steps_back(today, step, window.count), today
        days = (now - window.start).days
        if step == "month" and unit == "year":
            return _steps_back(today, step, 12 * window.count), today
        if step == "month" and unit == "quarter":
            return _steps_back(today, step, 3 * window.count), today
        if step == "week" and unit in ("month", "quarter", "year"):
            return _steps_back(today, step, round(days / 7)), today
        return today - timedelta(days=max(days - 1, 0)), today
    start = (window.start or now - timedelta(days=30)).date()
    last = window.end or now
    end = (last - timedelta(seconds=1)).date() if last < now else today
    return start, end


def _calendar(window: Window) -> bool:
    start = window.start
    return start is not None and (start.hour, start.minute, start.second) == (0, 0, 0)


def _steps_back(today: date, step: str, count: int) -> date:
    if step == "day":
        return today - timedelta(days=count - 1)
    if step == "week":
        return today - timedelta(days=today.weekday() + 7 * (count - 1))
    number = today.year * 12 + today.month - 1 - (count - 1)
    return date(number // 12, number % 12 + 1, 1)
