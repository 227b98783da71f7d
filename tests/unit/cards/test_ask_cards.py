"""Cards of answers: within Slack's limits and harmless for any text, and the picture that goes with them."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot.domain.answers import AnswerView, ChartView, CheckView, Column, TableView
from bot.domain.views import FactLine
from cards import blockkit, build, chart
from cards.ask import prompt_parts
from cards.foreign import streamed
from cards.lint import problems
from cards.model import Card

from .test_cards import NOW
from .test_foreign_text import ANY, HOSTILE, live, nodes, texts

NUMBER = st.floats(-1e9, 1e12, allow_nan=False)


def view(text: str = "3 findings.", **more: Any) -> AnswerView:
    base: dict[str, Any] = {
        "id": "ans-1", "status": "answered", "question": text, "text": text, "as_of": NOW, "how_read": text,
        "facts": (FactLine(label=text, value=text),) * 25, "points": (text,) * 30, "table": table(text),
        "nearest": text, "prompts": (text,) * 3, "cause_id": "c-1", "cause_title": text, "fixable": True,
        "checkable": True, "note": text,
    }  # fmt: skip
    return AnswerView(**(base | more))


def table(text: str = "x", rows: int = 15, columns: int = 7, total: int = 900) -> TableView:
    heads = tuple(Column(name=text, numeric=n == 1) for n in range(columns))
    return TableView(columns=heads, rows=((text,) * columns,) * rows, offset=15, total=total)


def check(text: str, same: bool | None = False) -> CheckView:
    return CheckView(
        question=text, query_words=text, query_json=text, ids=("f-0000000000000001",) * 25, total=99, now_at=NOW,
        before_text=text, before_at=NOW, now_text=text, same=same, why=text,
    )  # fmt: skip


def every(text: str) -> Iterator[tuple[str, dict[str, Any]]]:
    answer = view(text)
    for card in (
        build.answer_card(answer), build.answer_card(answer, private=True, asked=True),
        build.answer_card(answer, streamed=True, picture=True), build.answer_card(answer, table_alone=True),
        build.page_card(answer, 15), build.check_card(check(text)), build.check_card(check(text, None)),
        build.thanks_card(), build.answer_card(view(text, status="clarify", id="", table=None)),
    ):  # fmt: skip
        yield "message", blockkit.message(card)
        yield "message", blockkit.message(card, rich=False)
        yield "modal", blockkit.modal(card, callback_id="gh.show", title="x")
    for dialog in (build.comment_card(), build.about_card(text), build.about_card("")):
        yield "modal", blockkit.modal(dialog, callback_id="gh.x", submit="Send", title="x")
    yield "home", blockkit.home(Card(title="x", summary="x", body=tuple(prompt_parts())))


def cells(payload: dict[str, Any]) -> list[str]:
    return [node["text"] for node in nodes(payload.get("blocks")) if node.get("type") == "raw_text"]


def assert_harmless(text: str) -> None:
    for surface, payload in every(text):
        assert problems(payload, surface) == []  # type: ignore[arg-type]
        for kind, shown in texts(payload):
            assert live(kind, shown) == [], shown
        for shown in cells(payload):
            assert live("plain_text", shown) == [], shown


@pytest.mark.parametrize("text", [*HOSTILE, "", "x" * 5000, "<" * 3000, "\u202e", "`" * 3100])
def test_hostile_and_endless_text_is_only_shown(text: str) -> None:
    assert_harmless(text)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(ANY)
def test_no_text_of_any_unicode_breaks_an_answer(text: str) -> None:
    assert_harmless(text)


@settings(max_examples=200, deadline=None)
@given(ANY)
def test_streamed_text_has_no_markup_links_mentions_or_emoji(text: str) -> None:
    shown = streamed(text)
    assert not set(shown) & set("<>[]*~`|\\&#!@\n")
    assert "://" not in shown
    assert live("plain_text", shown) == []


def test_streamed_text_stays_readable() -> None:
    assert streamed("2 findings: Bucket b-1 is public, 12.5 % of 10:30.") == (
        "2 findings: Bucket b-1 is public, 12.5 % of 10:30."
    )
    assert streamed("see https://evil.example/x and www.evil.example") == (
        "see https∶//evil․example/x and www․evil․example"
    )


def test_a_table_is_native_in_a_message_and_lines_elsewhere() -> None:
    card = build.answer_card(view("v"))
    blocks = blockkit.message(card)["blocks"]
    found = next(b for b in blocks if b["type"] == "table")
    assert len(found["rows"]) == 16
    assert found["column_settings"][1]["align"] == "right"
    for payload in (blockkit.modal(card, callback_id="x", title="x"), blockkit.message(card, rich=False)):
        assert not any(b["type"] == "table" for b in payload["blocks"])
        assert "v: v · v: v" in json.dumps(payload, ensure_ascii=False)


def test_a_second_table_of_a_message_becomes_lines() -> None:
    parts = build.answer_card(view("v")).body + build.answer_card(view("v")).body
    payload = blockkit.message(Card(title="", summary="x", body=parts))
    assert sum(b["type"] == "table" for b in payload["blocks"]) == 1


def test_the_largest_table_keeps_to_slack_s_limits() -> None:
    for rows, columns in ((150, 20), (99, 20), (1, 1)):
        payload = blockkit.message(build.answer_card(view("x" * 300, table=table("x" * 300, rows, columns))))
        assert problems(payload, "message") == []


def test_a_course_with_a_picture_has_no_table_and_a_breakdown_has_both() -> None:
    for kind, shown in (("line", False), ("bars", True)):
        drawn = ChartView(kind=kind, title="t", labels=("a", "b", "c"), values=(1, 2, 3))  # type: ignore[arg-type]
        blocks = blockkit.message(build.answer_card(view(chart=drawn), picture=True))["blocks"]
        assert any(b["type"] == "table" for b in blocks) is shown


def test_a_refusal_is_friendly_and_names_the_nearest_question() -> None:
    refused = view("I only answer.", status="refused", table=None, facts=(), points=(), checkable=False,
                   nearest="Open findings by team", prompts=("a", "b", "c"), fixable=False, cause_id="")  # fmt: skip
    payload = blockkit.message(build.answer_card(refused))
    assert payload["text"] == "I only answer. The nearest question I can answer: Open findings by team."
    labels = [e["text"]["text"] for b in payload["blocks"] if b["type"] == "actions" for e in b["elements"]]
    assert labels == ["a", "b", "c"]


@pytest.mark.parametrize("kind", ["line", "bars"])
@settings(max_examples=4, deadline=None)
@given(data=st.lists(st.tuples(ANY, NUMBER), min_size=1, max_size=25), text=ANY)
def test_a_picture_is_drawn_of_any_names_and_numbers(kind: Any, data: list[tuple[str, float]], text: str) -> None:
    made = chart.png(
        ChartView(kind=kind, title=text, labels=tuple(n for n, _ in data), values=tuple(v for _, v in data), unit=text)
    )
    assert made[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", made[16:24])
    assert (width, height >= 540) == (1080, True)


def test_a_picture_says_what_it_shows_to_who_cannot_see_it() -> None:
    course = ChartView(kind="line", title="Open per day", labels=("1", "2", "3"), values=(5, 9, 2), unit="findings")
    assert course.spoken == "Line chart: Open per day. From 1 (5) to 3 (2); lowest 2, highest 9 findings."
    bars = ChartView(kind="bars", title="By team", labels=("a", "b"), values=(2, 1))
    assert bars.spoken == "Bar chart: By team. a 2, b 1."
