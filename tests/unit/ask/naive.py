"""The meanings of docs/ask.md once more, in plain Python over the rows: what the compiled SQL has to agree with."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from bot.domain import posture as p

from .company import SLA, Fact

_SEVERITY = {5: "critical", 4: "high", 3: "medium", 2: "low", 1: "informational"}
_TYPE = {2002: "vulnerability", 2003: "misconfiguration", 2004: "detection"}
DAY = timedelta(days=1)


def value(fact: Fact, field: str) -> Any:
    row = fact.row
    match field:
        case "severity":
            return _SEVERITY[row["severity"]]
        case "type":
            return _TYPE[row["class_uid"]]
        case "env":
            return "" if row["environment"] == "unknown" else row["environment"]
        case "account":
            return row["account_name"]
        case "resource":
            return row["resource_name"]
        case "rule":
            return row["rule_uid"]
        case "status":
            if row["status"] != "open":
                return row["status"]
            return "in_progress" if row["result"] == 2 else "new"
        case _:
            return row[field]


def is_open(fact: Fact) -> bool:
    return bool(fact.row["status"] == "open")


def due(fact: Fact) -> datetime | None:
    days = SLA.get(fact.row["severity"])
    return None if days is None else fact.row["first_seen"] + days * DAY


def holds(one: p.Condition, fact: Fact, now: datetime) -> bool:
    row, limit = fact.row, due(fact)
    match one:
        case p.In():
            if one.field in ("framework", "requirement"):
                return bool({pair[one.field == "requirement"] for pair in fact.controls} & set(one.values))
            if one.field == "status" and "open" in one.values and is_open(fact):
                return True
            return value(fact, one.field) in one.values
        case p.Missing():
            if one.field in ("framework", "requirement"):
                return not fact.controls
            return not value(fact, one.field)
        case p.Is():
            match one.field:
                case "open":
                    found = is_open(fact)
                case "exposed":
                    found = row["internet_exposed"] is True
                case "kev" | "fixable":
                    found = row[one.field] is True
                case "exploitable":
                    found = row["exploit"] is True
                case "overdue":
                    found = is_open(fact) and limit is not None and now > limit
                case "fixed_late":
                    found = row["status"] == "resolved" and limit is not None and row["resolved_at"] > limit
                case "fixed_in_time":
                    found = row["status"] == "resolved" and limit is not None and row["resolved_at"] <= limit
            return found is one.value
        case p.Within():
            at = limit if one.field == "due" else row[one.field]
            if at is None:
                return False
            after = one.start is None or at >= one.start
            return after and (
                one.end is None or at < one.end or (one.end >= now and at <= one.end and one.field != "due")
            )
        case p.Compare():
            measured = {
                "age_days": (now - row["first_seen"]) / DAY,
                "overdue_days": (now - limit) / DAY if limit and is_open(fact) and now > limit else None,
                "due_in_days": (limit - now) / DAY if limit and is_open(fact) and now <= limit else None,
                "cvss": row["cvss"],
                "epss": row["epss"],
            }[one.field]
            if measured is None:
                return False
            return bool({"gt": measured > one.value, "ge": measured >= one.value, "lt": measured < one.value,
                         "le": measured <= one.value}[one.op])  # fmt: skip
        case p.OpenAt():
            left = row["resolved_at"] or row["suppressed_at"]
            return bool(row["first_seen"] < one.at and not (left is not None and left < one.at))
        case p.Not():
            return not all(holds(each, fact, now) for each in one.of)
        case p.AnyOf():
            return any(all(holds(each, fact, now) for each in branch) for branch in one.of)


def matching(where: Iterable[p.Condition], facts: Iterable[Fact], now: datetime) -> list[Fact]:
    conditions = list(where)
    return [fact for fact in facts if all(holds(one, fact, now) for one in conditions)]


def number(of: str, facts: Sequence[Fact], within: str = "") -> int:
    if of == "finding":
        return len(facts)
    if of in ("framework", "requirement"):
        pairs = {pair for fact in facts for pair in fact.controls if not within or pair[0] == within}
        return len({pair[of == "requirement"] for pair in pairs})
    if of == "problem":
        return len({(f.row["resource_uid"], f.row["rule_uid"]) for f in facts})
    return len({value(fact, of) for fact in facts} - {""})


def figure(measure: str, facts: Sequence[Fact], now: datetime) -> float | None:
    fixed = [(f.row["resolved_at"] - f.row["first_seen"]) / DAY for f in facts if f.row["resolved_at"]]
    ages = [(now - f.row["first_seen"]) / DAY for f in facts]
    match measure:
        case "mttr":
            return statistics.fmean(fixed) if fixed else None
        case "median_ttr":
            return statistics.median(fixed) if fixed else None
        case "avg_age":
            return statistics.fmean(ages) if ages else None
        case "median_age":
            return statistics.median(ages) if ages else None
        case "oldest_age":
            return max(ages, default=None)
        case "sla_rate":
            late = sum(holds(p.Is(field="fixed_late"), f, now) for f in facts)
            good = sum(holds(p.Is(field="fixed_in_time"), f, now) for f in facts)
            return 100 * good / (good + late) if good + late else None
    raise AssertionError(measure)


def answer(query: p.PostureQuery, facts: Sequence[Fact], now: datetime) -> Any:
    """A number, a set of uids, or a mapping of label or date to value."""
    found = matching(query.where, facts, now)
    match query.kind:
        case p.Kind.COUNT:
            return number(query.of, found, query.within)
        case p.Kind.LIST:
            return {f.row["uid"] for f in found}
        case p.Kind.BREAKDOWN:
            groups: dict[Any, list[Fact]] = defaultdict(list)
            for fact in found:
                if query.by in ("framework", "requirement"):
                    kept = {pair for pair in fact.controls if not query.within or pair[0] == query.within}
                    for label in {pair[query.by == "requirement"] for pair in kept}:
                        groups[label].append(fact)
                else:
                    groups[value(fact, query.by or "") or None].append(fact)
            if query.by in ("cve", "package"):
                groups.pop(None, None)
            if query.measure == "count":
                made = {label: number(query.of, some) for label, some in groups.items()}
                return {label: count for label, count in made.items() if count}
            figures = {label: figure(query.measure, some, now) for label, some in groups.items()}
            return {label: one for label, one in figures.items() if one is not None}
        case p.Kind.STAT:
            if query.measure == "percent":
                whole = number(query.of, matching(query.base, facts, now))
                part = number(query.of, matching((*query.base, *query.where), facts, now))
                return 100 * part / whole if whole else None
            if query.measure in ("net", "change"):
                assert query.window is not None
                start, end = query.window.start, query.window.end
                if query.measure == "net":
                    came = matching((*query.where, p.Within(field="first_seen", start=start, end=end)), facts, now)
                    gone = matching((*query.where, p.Within(field="resolved_at", start=start, end=end)), facts, now)
                    return len(came) - len(gone)
                assert start is not None
                return sum(is_open(f) for f in found) - len(matching((p.OpenAt(at=start),), found, now))
            return figure(query.measure, found, now)
        case p.Kind.TREND:
            return dict(_trend(query, found, now))
        case p.Kind.COMPARE:
            return [number(query.of, matching((*query.where, *side.where), facts, now)) for side in query.sides]
    raise AssertionError(query.kind)


def _trend(query: p.PostureQuery, found: Sequence[Fact], now: datetime) -> Iterable[tuple[str, int]]:
    assert query.start is not None
    assert query.end is not None
    first = query.start
    if query.step == "week":
        first -= timedelta(days=first.weekday())
    if query.step == "month":
        first = first.replace(day=1)
    while first <= query.end:
        after = (first.replace(day=28) + 4 * DAY).replace(day=1) if query.step == "month" else first + (
            7 * DAY if query.step == "week" else DAY
        )  # fmt: skip
        start = datetime(first.year, first.month, first.day, tzinfo=UTC)
        end = min(datetime(after.year, after.month, after.day, tzinfo=UTC), now + timedelta(microseconds=1))
        if start > now:
            return
        if query.trend == "open":
            yield first.isoformat(), sum(holds(p.OpenAt(at=end), f, now) for f in found)
        else:
            name = {"found": "first_seen", "resolved": "resolved_at", "suppressed": "suppressed_at"}[query.trend]
            yield first.isoformat(), sum(f.row[name] is not None and start <= f.row[name] < end for f in found)
        first = after
