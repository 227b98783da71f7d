"""Answers and readings in words. Every number in a sentence is one of the result."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from functools import partial

from bot.ask.run import Result, number
from bot.domain import posture as p
from bot.domain.habits import PLAIN, Habits

_NOUNS = {
    "finding": ("finding", "findings"), "resource": ("resource", "resources"), "cve": ("CVE", "CVEs"),
    "account": ("account", "accounts"), "team": ("team", "teams"), "app": ("app", "apps"), "rule": ("rule", "rules"),
    "problem": ("distinct problem", "distinct problems"), "region": ("region", "regions"),
    "product": ("product", "products"), "package": ("package", "packages"), "cause": ("cause", "causes"),
    "requirement": ("requirement", "requirements"), "framework": ("framework", "frameworks"),
    "env": ("environment", "environments"), "provider": ("provider", "providers"),
    "resource_type": ("resource type", "resource types"), "data_class": ("data class", "data classes"),
}  # fmt: skip
_DIMENSIONS = {
    "env": "environment", "data_class": "data class", "resource_type": "resource type", "cve": "CVE", "uid": "uid",
    "product": "source",
}  # fmt: skip
_MEASURES = {
    "mttr": "mean time to remediate", "median_ttr": "median time to fix", "avg_age": "average age",
    "median_age": "median age", "oldest_age": "age of the oldest", "percent": "percentage",
    "sla_rate": "share fixed within SLA", "net": "net change", "change": "change in the number open",
}  # fmt: skip
_FLAGS = {
    "open": ("open", "not open"), "exposed": ("exposed to the internet", "not exposed to the internet"),
    "kev": ("known exploited", "not known exploited"),
    "exploitable": ("with a known exploit", "without a known exploit"),
    "fixable": ("with a fix", "without a fix"), "overdue": ("overdue", "not overdue"),
    "fixed_late": ("fixed after the SLA", "not fixed late"),
    "fixed_in_time": ("fixed within the SLA", "not fixed in time"),
}  # fmt: skip
_WHEN = {"first_seen": "found", "resolved_at": "resolved", "suppressed_at": "suppressed", "last_seen": "last seen",
         "due": "due"}  # fmt: skip
_BOUNDS = {"gt": "more than", "ge": "at least", "lt": "less than", "le": "at most"}
SHOWN = 5  # rows named in a sentence


def plain(text: str, limit: int = 200) -> str:
    """Text from data that nothing can come alive in: no mention, link or markup, on one line."""
    text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    text = text.replace("<", "‹").replace(">", "›").replace("&", "＆").replace("|", "¦")
    text = re.sub(r"@(?=\w)", "@\u2060", text)
    text = re.sub(r"\bhttps?://", lambda m: m.group().replace("://", ":⁠//"), text, flags=re.IGNORECASE)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def how_read(query: p.PostureQuery, now: datetime, habits: Habits = PLAIN) -> str:
    """The query in words: "how I read your question". Times are those of ``habits``; so are the days in words, except
    those of a course over time."""
    parts: list[str] = []
    noun = _NOUNS[query.of][1]
    match query.kind:
        case p.Kind.DETAIL:
            return f"the finding {plain(query.uid)}"
        case p.Kind.COUNT:
            parts.append(f"number of {noun}")
        case p.Kind.LIST:
            order = {"oldest": "oldest first", "newest": "newest first", "overdue": "most overdue first"}.get(
                query.order or "", ""
            )
            head = f"the first {query.limit} findings" if query.limit else "all findings"
            parts.append(f"{head}, {order}" if order else head)
        case p.Kind.BREAKDOWN:
            measured = noun if query.measure == "count" else _MEASURES[query.measure]
            parts.append(f"{measured} by {_dimension(query.by or '')}")
            if query.limit or query.order:
                few = "fewest first" if query.order == "least" else "most first"
                parts.append(f"the first {query.limit}, {few}" if query.limit else few)
        case p.Kind.TREND:
            parts.append(
                f"{noun} {query.trend} per {query.step}"
                if query.trend != "open"
                else f"{noun} open at the end of each {query.step}"
            )
            parts.append(f"from {query.start} to {query.end}")
            if habits.zone != "UTC":
                parts.append("days in UTC")
        case p.Kind.COMPARE:
            measured = noun if query.measure == "count" else _MEASURES[query.measure]
            parts.append(f"{measured}: {' against '.join(plain(side.label) for side in query.sides)}")
        case p.Kind.STAT:
            parts.append(_MEASURES[query.measure])
    if query.measure == "percent":
        parts.append(f"of {_and(query.base, habits) or 'all findings'}: {_and(query.where, habits)}")
    elif query.where:
        parts.append(_and(query.where, habits))
    elif query.kind is p.Kind.COMPARE:
        parts.append(f"each {_and(query.sides[0].where, habits)}, and so on" if query.sides[0].where else "")
    if query.window is not None:
        parts.append(query.window.said or "in that time")
    if habits.zone != "UTC" and query.kind is not p.Kind.TREND and (query.window is not None or _timed(query)):
        parts.append(f"days as in {habits.zone}")
    return "; ".join(part for part in parts if part) + f"; as of {habits.local(now):%Y-%m-%d %H:%M %Z}"


def _timed(query: p.PostureQuery) -> bool:
    """Whether some condition is about days."""
    left = [*query.base, *query.where, *(one for side in query.sides for one in side.where)]
    while left:
        match left.pop():
            case p.Within() | p.OpenAt():
                return True
            case p.Not(of=of):
                left += of
            case p.AnyOf(of=branches):
                left += [one for branch in branches for one in branch]
    return False


def _dimension(name: str) -> str:
    return _DIMENSIONS.get(name, name.replace("_", " "))


def _and(conditions: Sequence[p.Condition], habits: Habits = PLAIN) -> str:
    return ", ".join(condition_words(one, habits) for one in conditions)


def condition_words(one: p.Condition, habits: Habits = PLAIN) -> str:
    match one:
        case p.In():
            values = " or ".join(plain(v, 80) for v in one.values[:8]) + (" …" if len(one.values) > 8 else "")
            return values if one.field in ("severity", "type", "priority") else f"{_dimension(one.field)} {values}"
        case p.Missing():
            return f"without {_dimension(one.field)}"
        case p.Is():
            return _FLAGS[one.field][0 if one.value else 1]
        case p.Within():
            if one.said:
                return f"{_WHEN[one.field]} {_on(one.said)}"
            sides = [
                f"from {habits.local(one.start):%Y-%m-%d %H:%M}" if one.start else "",
                f"before {habits.local(one.end):%Y-%m-%d %H:%M}" if one.end else "",
            ]
            return f"{_WHEN[one.field]} {' '.join(s for s in sides if s)}"
        case p.Compare():
            bound = f"{_BOUNDS[one.op]} {one.value:g}"
            return {
                "age_days": f"first seen {bound} days ago", "overdue_days": f"overdue by {bound} days",
                "due_in_days": f"due in {bound} days", "cvss": f"CVSS {bound}", "epss": f"EPSS {bound}",
            }[one.field]  # fmt: skip
        case p.OpenAt():
            return f"open at {one.said or format(habits.local(one.at), '%Y-%m-%d %H:%M')}"
        case p.Not():
            return f"not ({_and(one.of, habits)})"
        case p.AnyOf():
            return "either " + " or ".join(_and(branch, habits) for branch in one.of)


def _on(said: str) -> str:
    if said.startswith(("since", "before", "until", "after", "from", "this", "last", "today", "yesterday")):
        return said
    return f"on {said}" if re.match(r"\d{4}-|[A-Z][a-z]+day$", said) else f"in {said}"


def sentence(query: p.PostureQuery, result: Result, now: datetime, habits: Habits = PLAIN) -> str:
    """The answer in one sentence or two."""
    say = partial(figure, habits=habits)
    one, many = _NOUNS[query.of]
    what = _and(query.where, habits)
    match query.kind:
        case p.Kind.COUNT:
            value = int(result.value or 0)
            noun = one if value == 1 else many
            return f"{say(value)} {noun}: {what}." if what else f"{say(value)} {noun}."
        case p.Kind.LIST:
            if not result.rows:
                return f"No finding matches: {what}."
            named = "; ".join(
                f"{plain(str(r['title']), 80)} on {plain(str(r['resource_name'] or r['resource']), 60)}"
                for r in result.rows[:SHOWN]
            )
            more = f" and {say(result.total - SHOWN)} more" if result.total > SHOWN and not query.limit else ""
            count = min(result.total, query.limit) if query.limit else result.total
            return f"{say(count)} {'finding' if count == 1 else 'findings'} ({what}): {named}{more}."
        case p.Kind.DETAIL:
            return _detail(query, result, habits)
        case p.Kind.BREAKDOWN:
            if not result.rows:
                return f"Nothing matches: {what}."
            unit = "" if query.measure == "count" else " %" if query.measure in ("percent", "sla_rate") else " days"
            named = ", ".join(f"{_label(r['label'])} {say(r['value'])}{unit}" for r in result.rows[:10])
            more = f" and {say(len(result.rows) - 10)} more" if len(result.rows) > 10 else ""
            return f"By {_dimension(query.by or '')}: {named}{more}."
        case p.Kind.TREND:
            if not result.rows:
                return "There is nothing in that time."
            first, last = result.rows[0], result.rows[-1]
            begun, ended = habits.day_of(first["date"]), habits.day_of(last["date"])
            if query.trend == "open":
                return f"{say(last['value'])} open on {ended}; {say(first['value'])} on {begun}."
            total = sum(row["value"] for row in result.rows)
            return f"{say(total)} {many} {query.trend} from {begun} to now, per {query.step}."
        case p.Kind.COMPARE:
            unit = "" if query.measure == "count" else " %" if query.measure == "sla_rate" else " days"
            return (
                ", ".join(
                    f"{plain(str(r['label']))}: {say(r['value'])}{unit if r['value'] is not None else ''}"
                    for r in result.rows
                )
                + "."
            )
        case p.Kind.STAT:
            return _stat(query, result, habits)


def _stat(query: p.PostureQuery, result: Result, habits: Habits) -> str:
    say, name = partial(figure, habits=habits), _MEASURES[query.measure]
    name = name[0].upper() + name[1:]
    if result.value is None:
        return f"{name}: there is nothing to compute it from."
    if query.measure in ("percent", "sla_rate"):
        part, whole = result.parts
        return f"{habits.figure(float(result.value))} % ({say(part)} of {say(whole)})."
    if query.measure in ("net", "change"):
        plus, minus = result.parts
        names = ("found", "resolved") if query.measure == "net" else ("open at the end", "open at the start")
        return f"{name}: {say(result.value)} ({names[0]} {say(plus)}, {names[1]} {say(minus)})."
    return f"{name}: {habits.figure(float(result.value))} days."


def _detail(query: p.PostureQuery, result: Result, habits: Habits) -> str:
    if not result.rows:
        return f"I know no finding {plain(query.uid)}."
    row = result.rows[0]
    where = plain(str(row["resource_name"] or row["resource"]))
    said = [f"{plain(str(row['title']))} on {where}: {row['severity']}, {row['status'].replace('_', ' ')}"]
    if row["team"]:
        said.append(f"team {plain(str(row['team']))}")
    said.append(f"account {plain(str(row['account']))}, first seen {habits.day_of(row['first_seen'])}")
    if row["resolved_at"]:
        said.append(f"resolved {habits.day_of(row['resolved_at'])}")
    elif row["due"]:
        said.append(f"due {habits.day_of(row['due'])}{', overdue' if row['overdue'] else ''}")
    return "; ".join(said) + "."


def _label(label: str | None) -> str:
    return "without" if label is None else plain(str(label), 80)


def figure(value: float | None, habits: Habits = PLAIN) -> str:
    return "none" if value is None else habits.figure(number(value))
