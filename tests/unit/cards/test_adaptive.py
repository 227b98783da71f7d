"""Adaptive Cards: what the renderer makes of each part. Every card for any text: ``test_validators.py``."""

from __future__ import annotations

import json
import re
import time
from importlib.resources import files
from typing import Any

import pytest
from jsonschema import Draft6Validator

from bot.domain.principals import Platform, PlatformIdentity
from bot.domain.views import PersonRef
from cards import adaptive, blockkit, build, lint
from cards.lint_adaptive import activity_problems, problems
from cards.model import (
    Ask,
    Button,
    Buttons,
    Card,
    Choose,
    Code,
    Fact,
    Facts,
    Grid,
    OptionItem,
    Rule,
    Section,
    Small,
    Strong,
    When,
    Who,
)

from .every import SEND, every
from .test_cards import HOSTILE, NOW, cause, execution, request

__all__ = ["HOSTILE"]  # others take it from here
SCHEMA = json.loads(files("adaptive_cards").joinpath("schemas/schema-1.5.json").read_text("utf-8"))
VALIDATOR = Draft6Validator({**SCHEMA["definitions"]["AdaptiveCard"], "definitions": SCHEMA["definitions"]})


def filled(text: str) -> adaptive.Filled:
    names = ("choice", "reason", "confirm", "to", "days", "word", "comment", "")
    return adaptive.Filled(dict.fromkeys(names, text), dict.fromkeys(names, text))


def every_card(text: str) -> list[tuple[str, Card]]:
    return [(made.name, made.card) for made in every(text)]


def schema_problems(made: dict[str, Any]) -> list[str]:
    bare = {key: value for key, value in made.items() if key != "msteams"}
    return [f"{list(error.absolute_path)}: {error.message[:200]}" for error in VALIDATOR.iter_errors(bare)]


def test_a_million_characters_are_cut_in_no_time() -> None:
    for text in ("&" * 1_000_000, "*" * 1_000_000, ":x" * 500_000):
        before = time.process_time()
        card = build.cause_card(cause(text, request=request(text), execution=execution(text)))
        assert activity_problems(adaptive.message(card)) == []
        assert lint.problems(blockkit.message(card), "message") == []
        assert time.process_time() - before < 2


def texts_of(made: Any) -> str:
    return json.dumps(made, ensure_ascii=False)


def one(*parts: Any, **more: Any) -> dict[str, Any]:
    return adaptive.content(Card(title="t", summary="A sentence.", body=parts, **more))


def test_ids_and_arns_stay_as_they_are() -> None:
    arn = "arn:aws:s3:::acme_invoices*[x](y)"
    made = one(Section(((Code(arn),),)))
    assert {"type": "TextRun", "text": arn, "fontType": "Monospace"} in made["body"][1]["inlines"]


@pytest.mark.parametrize(
    ("hostile", "gone"),
    [
        ("[click](https://evil.example)", "](" ),
        ("<at>everyone</at>", "<at>"),
        ("**bold** _it_ `c` ~~s~~", "**"),
        ("- list\n1. one\n# head", "\n1. "),
        ("&lt;at&gt;", "&lt;"),
        ("\\[x\\]", "\\["),
    ],
)  # fmt: skip
def test_markup_in_facts_is_only_text(hostile: str, gone: str) -> None:
    value = one(Facts((Fact("k", (hostile,)),)))["body"][1]["facts"][0]["value"]
    assert gone not in value
    assert problems(one(Facts((Fact("k", (hostile,)),)))) == []


def test_data_cannot_make_a_date() -> None:
    made = one(Section((("{{DATE(2020-01-01T00:00:00Z,SHORT)}}", Strong("{"), "{TIME(x)}}"),)))
    assert "{{" not in texts_of(made)


def test_an_instant_is_localised_by_the_client_and_a_person_is_named() -> None:
    who = PersonRef(id="a", name="Alice", identities=(PlatformIdentity(platform=Platform.TEAMS, tenant="t", user="u"),))
    runs = one(Section(((Who(who), " at ", When(NOW)),)))["body"][1]["inlines"]
    assert [run if isinstance(run, str) else run["text"] for run in runs] == [
        "Alice", " at ", "{{DATE(2026-11-25T12:00:00Z,SHORT)}} {{TIME(2026-11-25T12:00:00Z)}}",
    ]  # fmt: skip


def test_a_button_carries_its_verb_and_value_and_words() -> None:
    made = one(Buttons((Button("gh.review", "Review fix", '{"c":"c-1"}', "primary", spoken="Review fix: bucket"),)))
    assert made["body"][1]["actions"] == [{"type": "Action.Execute", "title": "Review fix", "verb": "gh.review",
        "data": {"gh": '{"c":"c-1"}'}, "style": "positive", "tooltip": "Review fix: bucket"}]  # fmt: skip


def test_a_link_that_cannot_be_followed_is_no_button() -> None:
    made = one(Buttons((Button("gh.console", "Open", url="javascript:alert(1)"), Button("gh.x", "X"))))
    assert [action["title"] for action in made["body"][1]["actions"]] == ["X"]


def test_inputs_only_with_a_button_that_sends_them_and_with_labels() -> None:
    card = Card(title="t", summary="s", body=(
        Choose("days", "How long?", (OptionItem("1", "one day", "until tomorrow"),), initial="1"),
        Ask("reason", "Why?", hint="Kept.", max_length=500), Ask("more", "More", optional=True, long=True),
    ))  # fmt: skip
    assert "Input" not in texts_of(adaptive.content(card))
    days, reason, more = adaptive.content(card, submit=SEND)["body"][1:]
    assert days["choices"] == [{"title": "one day: until tomorrow", "value": "1"}]
    assert (days["value"], days["isRequired"]) == ("1", True)
    assert (reason["label"], reason["isRequired"]) == ("Why? Kept.", True)
    assert "isRequired" not in more


def test_leaving_sends_no_input() -> None:
    made = adaptive.content(Card("t", "s"), submit=SEND, back=Button("gh.card", "Back", "{}"))
    assert [action.get("associatedInputs") for action in made["actions"]] == [None, "none"]


def test_a_table_has_a_head_and_numbers_on_the_right() -> None:
    made = one(Grid(("team", "open"), (("payments", "3"), ("core", "1")), frozenset({1})))["body"][1]
    assert made["firstRowAsHeader"] is True
    assert made["rows"][1]["cells"][1]["items"][0]["horizontalAlignment"] == "Right"


def test_a_wide_table_becomes_lines() -> None:
    made = one(Grid(tuple("abcdefghij"), (tuple("0123456789"),)))
    assert [element["type"] for element in made["body"]] == ["TextBlock", "RichTextBlock"]


def test_too_long_a_card_keeps_buttons_and_says_what_is_missing() -> None:
    body = (*(Section((("x" * 900,),)) for _ in range(90)), Rule(), Buttons((Button("gh.review", "Review", "{}"),)))
    made = one(*body)
    assert adaptive.size_of(made) <= adaptive.LIMIT
    assert made["body"][-1]["type"] == "ActionSet"
    assert "more parts are not shown here" in texts_of(made["body"][-2])


def test_the_fallback_is_the_sentence() -> None:
    card = build.cause_card(cause("Bucket is public"))
    assert adaptive.content(card)["fallbackText"] == card.summary
    assert adaptive.message(card)["summary"] == card.summary


def test_a_refresh_names_at_most_sixty_people() -> None:
    users = tuple(f"29:{n}" for n in range(99))
    made = adaptive.content(Card("t", "s"), refresh=adaptive.Refresh("gh.card", '{"c":"c-1"}', users))
    assert len(made["refresh"]["userIds"]) == 60
    assert made["refresh"]["action"]["verb"] == "gh.card"


def test_the_lint_finds_what_is_wrong() -> None:
    good = adaptive.content(
        Card(
            "t",
            "s",
            body=(
                Small(
                    ("x",),
                ),
            ),
        ),
        submit=SEND,
    )
    assert problems(good) == []
    bad: list[dict[str, Any]] = [
        {**good, "version": "1.6"},
        {**good, "fallbackText": ""},
        {**good, "body": [{"type": "Input.Text", "id": "a", "maxLength": 5}]},
        {**good, "body": [{"type": "TextBlock", "text": "[a](https://b.example)", "wrap": True}]},
        {**good, "body": [{"type": "TextBlock", "text": "<at>x</at>", "wrap": True}]},
        {**good, "body": [{"type": "RichTextBlock", "inlines": [{"type": "TextRun", "text": "x", "color": "Good"}]}]},
        {**good, "body": [{"type": "RichTextBlock", "inlines": ["{{DATE(evil)}}"]}]},
        {**good, "body": [{"type": "RichTextBlock", "inlines": ["x" * 30_000]}]},
        {**good, "actions": [{"type": "Action.OpenUrl", "title": "x", "url": "javascript:1"}]},
        {**good, "refresh": {"action": {"verb": "gh.x"}, "userIds": ["29:x"] * 61}},
    ]
    assert [len(problems(each)) > 0 for each in bad] == [True] * len(bad)


def test_a_dash_that_is_a_whole_span_makes_no_list_of_the_span_after_it() -> None:
    for text in ("-", "+", "1.", "12)"):
        assert not re.match(r"(?:[-+]|\d+[.)])\s", f"{adaptive.markdown(text, 100)} more")
