"""What one platform has and the other has not: named here with the reason, or it is a fault."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest

from cards import build
from cards.model import Button, Card, Feedback
from cards.notices import COMMANDS as LISTED
from handlers.slack import app as slack
from handlers.teams import commands, desk
from tests.unit.cards.test_adaptive import every_card

# Commands.
ONLY_TEAMS = {"home": "Slack shows it on its Home tab"}
ONLY_SLACK: dict[str, str] = {}
# Buttons.
ACTIONS_ONLY_TEAMS = {
    "card": "back from a form: in Slack forms are dialogs, which are closed",
    "actions": "one's own buttons on a channel's card: Slack shows the same buttons to everybody",
    "home": "Slack's Home tab is opened, not asked for",
    "rule_list": "back to a list whose place a form or a list took; Slack's stays where it is",
    "delegations": "the same",
}
# Forms: Slack's dialog and what sends it on Teams.
FORMS = {
    "gh.review": "send_review",
    "gh.not_mine": "send_not_mine",
    "gh.snooze": "send_snooze",
    "gh.glass": "send_glass",
    "gh.glass_review": "send_glass_review",
    "gh.pre_approve": "send_pre_approve",
    "gh.rule_new": "send_rule",
    "gh.regroup": "send_regroup",
    "gh.ask_comment": "send_comment",
    "gh.delegate": "send_delegate",
}
FORMS_ONLY_SLACK = {"gh.ask_about": "on Teams it is a message extension (composeExtension/…), with its own invokes"}
FORMS_ONLY_TEAMS: dict[str, str] = {}


def test_both_have_the_same_commands_but_for_those_named_here() -> None:
    assert set(slack.COMMANDS) - set(commands.COMMANDS) == set(ONLY_SLACK)
    assert set(commands.COMMANDS) - set(slack.COMMANDS) == set(ONLY_TEAMS)


@pytest.mark.parametrize(
    ("card", "call", "known"),
    [(build.help_card(), "/gatehouse ", slack.COMMANDS), (commands.help_card(), "", commands.COMMANDS)],
    ids=["slack", "teams"],
)
def test_help_names_every_command_of_its_platform_and_no_other(card: Card, call: str, known: dict[str, Any]) -> None:
    (listed,) = [part for part in card.body if hasattr(part, "items")]
    said = [line[0].text.removeprefix(call).split(" ")[0] for line in listed.items]  # type: ignore[union-attr]
    assert sorted(said) == sorted(set(known) - {""})
    for command in said:
        assert command in card.summary


def test_the_menu_of_teams_leaves_out_only_what_it_says() -> None:
    assert len(commands.USAGE) <= 12
    menu = {usage.split(" ")[0] for usage, _ in commands.USAGE}
    assert set(commands.COMMANDS) - menu - {""} == commands.UNLISTED
    assert {usage.split(" ")[0] for usage, _ in LISTED} | set(ONLY_TEAMS) == set(commands.COMMANDS) - {""}


def test_both_take_the_same_buttons_but_for_those_named_here() -> None:
    assert set(slack.ACTIONS) - set(desk.ACTIONS) == set()
    assert set(desk.ACTIONS) - set(slack.ACTIONS) == set(ACTIONS_ONLY_TEAMS)


def test_both_take_the_same_forms_but_for_those_named_here() -> None:
    assert set(slack.SUBMISSIONS) - set(FORMS) == set(FORMS_ONLY_SLACK)
    assert set(desk.SUBMISSIONS) - set(FORMS.values()) == set(FORMS_ONLY_TEAMS)
    assert any(name.startswith("composeExtension/") for name in desk.INVOKES)


def test_a_form_that_is_sent_incomplete_can_be_opened_again() -> None:
    # Whatever was wrong with a comment, there is nothing to fill in again: it may be empty.
    assert set(desk.SUBMISSIONS) - set(desk.AGAIN) == {"send_comment"}


def buttons(thing: Any) -> Iterator[str]:
    """Every action in a card, however deep."""
    if isinstance(thing, Button):
        if not thing.url:
            yield thing.action
    elif isinstance(thing, Feedback):
        yield thing.action
    elif isinstance(thing, tuple):
        for each in thing:
            yield from buttons(each)
    elif is_dataclass(thing):
        for field in fields(thing):
            yield from buttons(getattr(thing, field.name))


def test_every_button_of_every_card_is_taken_on_both_platforms() -> None:
    shown = {action.removeprefix("gh.") for _, card in every_card("x") for action in buttons(card)}
    written = {
        verb
        for file in (Path(__file__).parents[3] / "cards").glob("*.py")
        for verb in re.findall(r"""(?:Button|Feedback)\(\s*"gh\.([a-z_]+)""", file.read_text("utf-8"))
    }
    assert len(written) > 20
    shown |= written - slack.LINKS
    assert shown <= set(desk.ACTIONS)
    assert shown - set(ACTIONS_ONLY_TEAMS) <= set(slack.ACTIONS)
