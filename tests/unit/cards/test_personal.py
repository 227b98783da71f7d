"""The card everybody sees decides nothing; a person's own has exactly what that person may do."""

from __future__ import annotations

from itertools import chain, combinations
from typing import Any

import pytest

from bot.domain.decisions import Choice
from bot.domain.views import CauseRights, CauseView, Option, Stage
from cards import adaptive, build
from cards.causes import cause_buttons
from cards.lint_adaptive import activity_problems
from cards.model import Buttons, Card

from .test_cards import cause, execution, request

DECIDING = {"gh.review", "gh.not_mine", "gh.snooze", "gh.undo"}
NONE = CauseRights(cause_id="c-1", revision=1)


def at(stage: Stage) -> CauseView:
    undoable = execution("x").model_copy(update={"can_undo": True})
    return cause("Bucket is public", stage, request=request("x"), execution=undoable, playbook="s3", no_fix="")


def verbs(card: Card) -> list[str]:
    return [button.action for part in card.body if isinstance(part, Buttons) for button in part.items]


def said(card: Card) -> str:
    return repr(card.body)


@pytest.mark.parametrize("stage", Stage)
def test_nobody_decides_from_the_shared_card_and_it_leads_on_where_somebody_could(stage: Stage) -> None:
    view = at(stage)
    could = DECIDING & {button.action for button in cause_buttons(view)}
    shared = verbs(build.shared_card(view))
    assert not DECIDING & set(shared)
    assert ("gh.actions" in shared) == bool(could)
    assert "gh.details" in shared
    assert ("gh.why" in shared) == ("gh.review" in could)
    whole = build.cause_card(view)
    shown = build.shared_card(view)
    assert (shown.title, shown.summary, shown.status, shown.footer) == (
        whole.title, whole.summary, whole.status, whole.footer,
    )  # fmt: skip


@pytest.mark.parametrize("stage", Stage)
def test_with_every_right_the_own_card_has_every_button_and_with_none_only_to_look(stage: Stage) -> None:
    view = at(stage)
    every = NONE.model_copy(update={"may": tuple(Option), "undo": True, "pass_on": True, "snooze": True})
    assert set(verbs(build.personal_card(view, every))) == {button.action for button in cause_buttons(view)}
    bare = build.personal_card(view, NONE)
    assert not {"gh.not_mine", "gh.snooze", "gh.undo"} & set(verbs(bare))
    if "gh.review" in verbs(bare):
        (review,) = [b for p in bare.body if isinstance(p, Buttons) for b in p.items if b.action == "gh.review"]
        assert (review.label, review.style) == ("See the plan", "")


FLAGS = ("undo", "pass_on", "snooze")


@pytest.mark.parametrize("given", list(chain.from_iterable(combinations(FLAGS, n) for n in range(4))))
def test_each_right_is_its_button(given: tuple[str, ...]) -> None:
    rights = NONE.model_copy(update=dict.fromkeys(given, True))
    found = set(verbs(build.personal_card(at(Stage.FAILED), rights)))
    for flag, verb in (("undo", "gh.undo"), ("pass_on", "gh.not_mine"), ("snooze", "gh.snooze")):
        assert (verb in found) == (flag in given)


@pytest.mark.parametrize(
    ("rights", "words"),
    [
        ({"may": (Option.ASK, Option.APPROVE)}, ["You may ", "ask others to approve the fix or approve"]),
        ({"may": (Option.WITHDRAW,), "voted": Choice.APPROVE}, ["You have approved it.", "withdraw your vote"]),
        ({"voted": Choice.REJECT}, ["You have rejected it."]),
        ({"why_not": "who asks cannot approve", "rule": "prod: four eyes", "could": ("Bob", "Ann")},
         ["You cannot approve it: ", "who asks cannot approve", "prod: four eyes", "Who could: ", "Bob, or Ann"]),
        ({"undo": True}, ["ask for the undo"]),
        ({}, ["There is nothing for you to decide here."]),
    ],
)  # fmt: skip
def test_what_is_said_to_this_person(rights: dict[str, Any], words: list[str]) -> None:
    card = build.personal_card(at(Stage.FAILED), NONE.model_copy(update=rights))
    assert "For you" in said(card)
    for word in words:
        assert word in said(card)
    assert ("gh.why" in verbs(card)) == ("why_not" in rights)


def test_sixty_long_ids_and_a_long_card_stay_within_a_message() -> None:
    view = cause("long words " * 40, Stage.WAITING, request=request("reason " * 300))
    ids = tuple(f"29:{n:03}{'x' * 147}" for n in range(70))
    made = adaptive.message(build.shared_card(view), refresh=adaptive.Refresh("gh.card", '{"c":"c-1","v":7}', ids))
    assert activity_problems(made) == []
    assert len(made["attachments"][0]["content"]["refresh"]["userIds"]) == 60
    assert "gh.actions" in str(made)  # buttons stay, whatever has to go
