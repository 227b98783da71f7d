"""Charts that Teams draws: their shape, what is left without them, and that no figure stands in the picture alone."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from bot.domain.answers import AnswerView, ChartView, Column, TableView
from bot.domain.silence import DailyView
from cards import adaptive, attention, blockkit, build, lint, plot
from cards.lint_adaptive import activity_problems, problems
from tests.unit.cards.test_adaptive import HOSTILE, schema_problems

NOW = datetime(2026, 11, 20, 9, tzinfo=UTC)
DAYS = tuple(f"2026-11-{day:02}" for day in range(1, 16))


def answer(kind: Any, label: str = "2026-11-01", many: int = 15) -> AnswerView:
    labels = DAYS[:many] if kind == "line" else tuple(f"{label} {n}" for n in range(many))
    rows = tuple((each, f"{n:,}") for n, each in enumerate(labels))
    columns = (Column(name="Date"), Column(name="Open", numeric=True))
    chart = ChartView(kind=kind, title=f"Findings {label}", labels=labels, unit="findings",
                      values=tuple(float(n) for n in range(len(labels))))  # fmt: skip
    return AnswerView(
        id="ans-1", status="answered", question="Trend?", text="It rose from 0 to 14.", as_of=NOW, checkable=True,
        table=TableView(columns=columns, rows=rows, total=len(rows)), chart=chart,
    )  # fmt: skip


def of(made: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [each for each in made["body"] if each["type"] == kind]


def test_a_course_is_a_line_and_its_figures_are_behind_a_button() -> None:
    made = adaptive.content(build.answer_card(answer("line"), charts=True))
    (chart,), (table,) = of(made, "Chart.Line"), of(made, "Table")
    assert chart["data"][0]["values"][0] == {"x": "2026-11-01", "y": 0}
    assert chart["fallback"] == "drop"
    assert table["isVisible"] is False
    shown = [a for each in of(made, "ActionSet") for a in each["actions"] if a["type"] == "Action.ToggleVisibility"]
    assert shown[0]["targetElements"] == [table["id"]]
    assert len(table["rows"]) == 1 + len(chart["data"][0]["values"])
    assert problems(made) == []


def test_bars_stand_over_their_table() -> None:
    made = adaptive.content(build.answer_card(answer("bars"), charts=True))
    (chart,), (table,) = of(made, "Chart.HorizontalBar"), of(made, "Table")
    assert [point["y"] for point in chart["data"]] == list(range(15))
    assert "isVisible" not in table
    assert problems(made) == []


@pytest.mark.parametrize("kind", ["line", "bars"])
def test_a_client_without_charts_shows_a_card_of_1_5_with_every_figure(kind: str) -> None:
    made = adaptive.content(build.answer_card(answer(kind), charts=True))
    old = plot.without_charts(made)
    assert schema_problems(old) == []
    assert "Chart." not in json.dumps(old)
    assert "It rose from 0 to 14." in json.dumps(old)
    assert len(of(old, "Table")[0]["rows"]) == 16


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_labels_break_no_chart(text: str) -> None:
    made = adaptive.content(build.answer_card(answer("bars", text), charts=True))
    assert problems(made) == []
    assert schema_problems(plot.without_charts(made)) == []


def test_what_cannot_be_drawn_is_a_table() -> None:
    long = answer("line")
    assert long.chart is not None
    none = long.model_copy(update={"chart": long.chart.model_copy(update={"values": (), "labels": ()})})
    made = adaptive.content(build.answer_card(none, charts=True))
    assert not of(made, "Chart.Line")
    assert "isVisible" not in of(made, "Table")[0]


def test_slack_gets_the_table_instead() -> None:
    message = blockkit.message(build.answer_card(answer("line"), charts=True))
    assert lint.problems(message, "message") == []
    assert any(block["type"] in {"table", "data_table"} for block in message["blocks"])
    assert "Chart." not in json.dumps(message)


def test_the_daily_message_has_its_course_as_a_chart_and_in_words() -> None:
    days = tuple((day, n, 1) for n, day in enumerate(DAYS))
    view = DailyView(channel="teams:19:a", day="2026-11-20", since=NOW, until=NOW, days=days, picture=True)
    message = adaptive.message(attention.daily_card(view, charts=True))
    assert activity_problems(message) == []
    made = message["attachments"][0]["content"]
    assert of(made, "Chart.Line")[0]["data"][0]["values"][-1] == {"x": "11-15", "y": 14}
    assert "New in 15 days" in json.dumps(plot.without_charts(made))
    plain = adaptive.message(attention.daily_card(view.model_copy(update={"picture": False}), charts=True))
    assert "Chart." not in json.dumps(plain)


@pytest.mark.parametrize(
    ("change", "said"),
    [({"fallback": None}, "leave it out"), ({"color": "good"}, "not of ours"), ({"data": []}, "nothing to draw"),
     ({"data": [{"x": "a", "y": "1"}]}, "no point")],
)  # fmt: skip
def test_the_lint_sees_a_broken_chart(change: dict[str, Any], said: str) -> None:
    made = adaptive.content(build.answer_card(answer("bars"), charts=True))
    of(made, "Chart.HorizontalBar")[0].update(change)
    assert any(said in each for each in problems(made))
