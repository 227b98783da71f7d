"""An answer's rows as a table, as facts or as a chart; and the query of the findings behind a figure. Pure."""

from __future__ import annotations

from typing import Any

from bot.ask.phrase import figure
from bot.ask.service import Answer
from bot.domain import posture as p
from bot.domain.answers import ChartView, Column, TableView
from bot.domain.habits import PLAIN, Habits
from bot.domain.views import FactLine

PAGE = 15  # rows of a page: with seven columns well within the 100 rows and 10,000 characters of a Slack table
ROWS = 500  # of a list that are at hand in a chat: 33 pages; beyond, people narrow the question
CELL = 60
BARS = (4, 20)  # groups of a breakdown that are worth a picture, and how many one holds
POINTS = 3  # the least course worth a picture
_LIST = (
    ("severity", "Severity"), ("title", "Finding"), ("resource_name", "Resource"), ("account", "Account"),
    ("team", "Team"), ("due", "Due"), ("id", "Id"),
)  # fmt: skip
_DETAIL = (
    ("severity", "Severity"), ("status", "Status"), ("priority", "Priority"), ("resource", "Resource"),
    ("account", "Account"), ("region", "Region"), ("env", "Environment"), ("team", "Team"), ("cve", "CVE"),
    ("first_seen", "First seen"), ("due", "Due"), ("id", "Id"),
)  # fmt: skip
_UNITS = {"count": "", "percent": "%", "sla_rate": "%", "net": "", "change": ""}


def table(found: Answer, offset: int = 0, habits: Habits = PLAIN) -> TableView | None:
    """One page of the rows, as the reader writes; None where there is nothing to tabulate."""
    query = found.query
    if query is None or not found.rows or query.kind is p.Kind.DETAIL:
        return None
    rows = found.rows[offset : offset + PAGE]
    match query.kind:
        case p.Kind.LIST:
            columns = tuple(Column(name=name) for _, name in _LIST)
            total = min(found.total, query.limit) if query.limit else found.total
            cells = tuple(tuple(_cell(row, key, habits) for key, _ in _LIST) for row in rows)
            return TableView(columns=columns, rows=cells, offset=offset, total=min(total, len(found.rows)))
        case p.Kind.TREND:
            columns = (Column(name="Date"), Column(name=query.trend.capitalize(), numeric=True))
            cells = tuple((habits.day_of(row["date"]), figure(row["value"], habits)) for row in rows)
        case p.Kind.BREAKDOWN | p.Kind.COMPARE:
            by = (query.by or "").replace("_", " ").capitalize() if query.kind is p.Kind.BREAKDOWN else "Side"
            columns = (Column(name=by), Column(name=_measured(query), numeric=True))
            cells = tuple((label(row), figure(row["value"], habits)) for row in rows)
        case _:
            return None
    return TableView(columns=columns, rows=cells, offset=offset, total=len(found.rows))


def label(row: dict[str, Any]) -> str:
    return "without" if row.get("label") is None else str(row["label"])[:CELL]


def chart(found: Answer) -> ChartView | None:
    """A course as a line; a breakdown of more than a few groups as bars."""
    query = found.query
    rows = [row for row in found.rows if row.get("value") is not None]
    if query is None:
        return None
    if query.kind is p.Kind.TREND and len(rows) >= POINTS:
        title = f"{_plural(query)} {query.trend} per {query.step}"
        return ChartView(kind="line", title=title, labels=tuple(str(r["date"]) for r in rows), unit=_unit(query),
                         values=tuple(float(r["value"]) for r in rows))  # fmt: skip
    if query.kind is p.Kind.BREAKDOWN and BARS[0] <= len(rows):
        shown = rows[: BARS[1]]
        by = (query.by or "").replace("_", " ")
        more = f" (first {len(shown)} of {len(rows)})" if len(rows) > len(shown) else ""
        return ChartView(kind="bars", title=f"{_measured(query)} by {by}{more}", labels=tuple(map(label, shown)),
                         unit=_unit(query), values=tuple(float(r["value"]) for r in shown))  # fmt: skip
    return None


def facts(found: Answer, habits: Habits = PLAIN) -> tuple[FactLine, ...]:
    """Of a single finding."""
    if found.kind is not p.Kind.DETAIL or not found.rows:
        return ()
    row = found.rows[0]
    cells = ((name, _cell(row, key, habits, 200)) for key, name in _DETAIL)
    return tuple(FactLine(label=name, value=value) for name, value in cells if value)


def behind(query: p.PostureQuery, limit: int = 25) -> p.PostureQuery:
    """The findings a figure is about. ``total`` of its answer counts all of them."""
    if query.kind is p.Kind.DETAIL:
        where: tuple[p.Condition, ...] = (p.In(field="uid", values=(query.uid,)),)
    else:
        where = (*query.base, *query.where)
        sides = tuple(side.where for side in query.sides)
        if query.kind is p.Kind.COMPARE and all(sides):
            where = (*where, p.AnyOf(of=sides))
    return p.PostureQuery(kind=p.Kind.LIST, where=where, limit=limit)


def _cell(row: dict[str, Any], key: str, habits: Habits, limit: int = CELL) -> str:
    value = row.get(key)
    if key == "resource_name":
        value = value or row.get("resource")
    if value is None:
        return ""
    text = str(value)
    if key in {"due", "first_seen"}:
        text = habits.day_of(text) + (" overdue" if key == "due" and row.get("overdue") else "")
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _plural(query: p.PostureQuery) -> str:
    nouns = {"cve": "CVEs", "problem": "Problems"}
    return nouns.get(query.of, f"{query.of.capitalize()}s")


def _measured(query: p.PostureQuery) -> str:
    if query.measure == "count":
        return _plural(query)
    unit = _unit(query)
    name = {"mttr": "Mean time to fix", "median_ttr": "Median time to fix", "sla_rate": "Within SLA"}
    words = name.get(query.measure, query.measure.replace("_", " ").capitalize())
    return f"{words} ({unit})" if unit else words


def _unit(query: p.PostureQuery) -> str:
    if query.measure == "count":
        return _plural(query).lower() if query.of != "cve" else "CVEs"
    return _UNITS.get(query.measure, "days")
