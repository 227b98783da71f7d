"""The gate's eyes: what Slack refuses is refused, what Slack takes is taken."""

from typing import Any

import pytest

from bot.sandbox.strict import message_problems, view_problems

PLAIN = {"type": "plain_text", "text": "Review fix"}


def button(**more: Any) -> dict[str, Any]:
    return {"type": "button", "action_id": "gh.review", "text": PLAIN, **more}


def section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text}}


GOOD = [
    {"type": "header", "text": {"type": "plain_text", "text": "Public bucket"}},
    section("*acme-invoices* is public"),
    {"type": "section", "fields": [{"type": "mrkdwn", "text": "*Owner*\nPayments"}]},
    {"type": "actions", "block_id": "a", "elements": [button(), button(action_id="gh.snooze")]},
    {"type": "context", "elements": [{"type": "mrkdwn", "text": "since yesterday"}]},
    {"type": "divider"},
]
MODAL = {
    "type": "modal",
    "callback_id": "gh.plan",
    "title": {"type": "plain_text", "text": "Review fix"},
    "submit": {"type": "plain_text", "text": "Approve"},
    "blocks": [
        section("plan"),
        {
            "type": "input",
            "block_id": "why",
            "label": {"type": "plain_text", "text": "Reason"},
            "element": {"type": "plain_text_input", "action_id": "v", "max_length": 300},
        },
    ],
}


def test_a_good_card_has_no_problems() -> None:
    assert message_problems("Public bucket acme-invoices", GOOD) == []


def test_a_good_modal_has_no_problems() -> None:
    assert view_problems(MODAL) == []


@pytest.mark.parametrize(
    ("blocks", "said"),
    [
        ([section("x")] * 51, "blocks: 51, at most 50"),
        ([section("x" * 3001)], "blocks[0].text.text: 3001 characters"),
        ([section("")], "blocks[0].text.text: empty"),
        ([{"type": "section", "fields": [{"type": "mrkdwn", "text": "x" * 2001}]}], "at most 2000"),
        ([{"type": "section", "fields": [{"type": "mrkdwn", "text": "x"}] * 11}], "fields: 1 to 10"),
        ([{"type": "header", "text": {"type": "mrkdwn", "text": "x"}}], "must be plain_text"),
        ([{"type": "header", "text": {"type": "plain_text", "text": "x" * 151}}], "at most 150"),
        ([{"type": "heading", "text": PLAIN}], "unknown block 'heading'"),
        ([{**section("x"), "colour": "red"}], "blocks[0].colour: unknown key"),
        ([{"type": "alert", "text": PLAIN}], "alert is not allowed in a message"),
        ([{"type": "actions", "elements": [button(), button()]}], "'gh.review' twice"),
        ([{"type": "actions", "elements": [button(action_id=f"a{n}") for n in range(26)]}], "elements: 1 to 25"),
        ([{"type": "actions", "elements": [button(value="x" * 2001)]}], "value: more than 2000"),
        ([{"type": "actions", "elements": [button(style="green")]}], "style: primary or danger"),
        ([{"type": "actions", "elements": [button(url="javascript:alert(1)")]}], "url: an http address"),
        ([{**section("x"), "block_id": "b"}, {**section("y"), "block_id": "b"}], "'b' twice"),
        ([section("ask <!channel> now")], "would call the whole channel"),
        ([{"type": "markdown", "text": "x" * 7000}] * 2, "14000 characters of markdown"),
        ([{"type": "context", "elements": [{"type": "mrkdwn", "text": "x"}] * 11}], "elements: 1 to 10"),
        ("not a list", "blocks: not a list"),
    ],
)
def test_what_slack_would_refuse_in_a_message_is_named_with_its_place(blocks: Any, said: str) -> None:
    assert said in "\n".join(message_problems("text", blocks))


@pytest.mark.parametrize("text", [None, "", "   ", 3])
def test_a_message_without_text_is_refused_because_screen_readers_read_it(text: Any) -> None:
    assert any("text: missing" in problem for problem in message_problems(text, GOOD))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"title": {"type": "plain_text", "text": "x" * 25}}, "view.title.text: 25 characters, at most 24"),
        ({"private_metadata": "x" * 3001}, "private_metadata: more than 3000"),
        ({"submit": None}, "view.submit: not a text object"),
        ({"blocks": [section("x")] * 101}, "at most 100 in a modal"),
        ({"type": "dialog"}, "neither modal nor home"),
        ({"size": "big"}, "view.size: unknown key"),
        ({"blocks": []}, "blocks: empty"),
    ],
)
def test_what_slack_would_refuse_in_a_view_is_named(change: dict[str, Any], said: str) -> None:
    assert said in "\n".join(view_problems({**MODAL, **change}))


def test_a_modal_with_inputs_needs_a_submit_button() -> None:
    view = {k: v for k, v in MODAL.items() if k != "submit"}
    assert view_problems(view) == ["view.submit: needed, because the modal has inputs"]


def test_options_are_counted_measured_and_unique() -> None:
    option = {"text": {"type": "plain_text", "text": "7 days"}, "value": "7"}
    select = {"type": "static_select", "action_id": "s", "options": [option, option]}
    block = {"type": "actions", "elements": [select]}
    assert "'7' twice" in "\n".join(message_problems("text", [block]))
    select["options"] = [{**option, "value": str(n)} for n in range(101)]
    assert "options: 1 to 100" in "\n".join(message_problems("text", [block]))
