"""ChartView -> a chart that Teams draws itself (Chart.Line, Chart.HorizontalBar). Pure.

They are no part of Adaptive Cards 1.5: a client without them drops the element, which is what ``fallback`` says. So no
chart may say anything that the text beside it does not. No colours are chosen: Teams has its own for light and dark.
"""

from __future__ import annotations

from typing import Any

from bot.domain.answers import ChartView

from .foreign import clean

POINTS, BARS = 200, 20
TITLE, LABEL = 120, 40
FIGURES = "gh.figures"  # the id of the folded table


def _said(text: str, limit: int) -> str:
    text = clean(text, lines=False).replace("{{", "{ {")
    return text if len(text) <= limit else text[: limit - 1] + "…"


def element(view: ChartView) -> dict[str, Any] | None:
    """None for what is no chart: nothing to draw, or too much of it."""
    if not view.values or len(view.values) != len(view.labels):
        return None
    title, unit = _said(view.title, TITLE) or "Chart", _said(view.unit, LABEL)
    pairs = [(_said(label, LABEL) or "–", _number(value)) for label, value in zip(view.labels, view.values)]  # noqa: B905
    made: dict[str, Any] = {"title": title, "fallback": "drop"}
    if view.kind == "line":
        if len(pairs) > POINTS:
            return None
        course = {"legend": unit or title, "values": [{"x": label, "y": value} for label, value in pairs]}
        made |= {"type": "Chart.Line", "data": [course]}
        return made | ({"yAxisTitle": unit} if unit else {})
    made |= {"type": "Chart.HorizontalBar", "data": [{"x": label, "y": value} for label, value in pairs[:BARS]]}
    return made | ({"xAxisTitle": unit} if unit else {})


def elements(view: ChartView, figures: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The chart, and its table behind a button; where there is nothing to draw, the table."""
    drawn = element(view)
    if drawn is None or not figures or figures[0]["type"] != "Table":
        return [*([drawn] if drawn else []), *figures]
    toggle = {
        "type": "Action.ToggleVisibility", "title": "Show the figures", "targetElements": [FIGURES],
        "tooltip": "Show the figures of the chart as a table, or hide them",
    }  # fmt: skip
    folded = {**figures[0], "id": FIGURES, "isVisible": False}
    return [drawn, {"type": "ActionSet", "actions": [toggle]}, folded, *figures[1:]]


def _number(value: float) -> float | int:
    return int(value) if value.is_integer() else round(value, 2)


def problems(made: dict[str, Any], place: str) -> list[str]:
    """What is wrong with a chart of ours; its shape by Microsoft's description of the element."""
    found = []
    if made.get("fallback") != "drop":
        found.append(f"{place}: a client without charts must be able to leave it out")
    if unknown := set(made) - {"type", "title", "data", "fallback", "xAxisTitle", "yAxisTitle", "separator", "spacing"}:
        found.append(f"{place}: {sorted(unknown)} are not of ours")
    data = made.get("data") or []
    points = [point for each in data for point in each.get("values", ())] if made["type"] == "Chart.Line" else data
    if not points or not str(made.get("title", "")).strip():
        found.append(f"{place}: nothing to draw, or no title")
    for point in points:
        number = isinstance(point.get("y"), int | float) and not isinstance(point.get("y"), bool)
        if set(point) != {"x", "y"} or not number or not str(point.get("x", "")).strip():
            found.append(f"{place}: {point} is no point")
    return found


def without_charts(made: dict[str, Any]) -> dict[str, Any]:
    """The card as a client shows it that knows Adaptive Cards 1.5 and no more."""
    body = [each for each in made.get("body", ()) if not str(each.get("type", "")).startswith("Chart.")]
    return {**made, "body": body}
