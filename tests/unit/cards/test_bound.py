"""A button of a list is shown only with what it is about: nobody activates, revokes or reviews what was cut away."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.domain.silence import RuleState, RuleView
from cards import adaptive, build, rules
from cards.lint_adaptive import problems
from cards.model import Button, Buttons, Card, Section

from .test_standing_cards import NOW
from .test_standing_cards import view as standing


def rule(number: int, text: str) -> RuleView:
    return RuleView(
        id=f"sr-{number:026d}", name=f"rule {number} {text}"[:80], about=f"environment dev {text}"[:200],
        reason=text[:500] or "why", author="Alice", until=NOW, state=RuleState.MONITOR, hash="a" * 64,
        origin="person", may_activate=True, may_end=True,
    )  # fmt: skip


def shown(card: Card, action: str) -> tuple[list[dict[str, Any]], str]:
    """The ids of the buttons that are left, and all other text."""
    made = adaptive.content(card)
    assert problems(made) == []
    sets = [element for element in made["body"] if element["type"] == "ActionSet"]
    values = [json.loads(a["data"]["gh"] or "{}") for s in sets for a in s["actions"] if a.get("verb") == action]
    rest = [element for element in made["body"] if element["type"] != "ActionSet"]
    return values, json.dumps(rest, ensure_ascii=False)


@pytest.mark.parametrize("text", ["r" * 500, "說" * 500, "🔕" * 500, "short"])
def test_a_rule_that_does_not_fit_has_no_button(text: str) -> None:
    card = rules.rules_card(tuple(rule(number, text) for number in range(12)))
    for action in ("gh.rule_activate", "gh.rule_end", "gh.rule_show"):
        values, words = shown(card, action)
        assert values
        assert all(value["r"] in words for value in values)
        assert len(values) == sum(f"sr-{number:026d}" in words for number in range(12))


def test_all_of_them_are_there_where_they_fit() -> None:
    values, _ = shown(rules.rules_card(tuple(rule(number, "short") for number in range(12))), "gh.rule_activate")
    assert len(values) == 12


@pytest.mark.parametrize("text", ["because " * 60, "說" * 480])
def test_a_standing_approval_that_does_not_fit_has_no_button(text: str) -> None:
    card = build.standings_card(tuple(standing(text, id=f"sa-{number:04d}") for number in range(15)))
    values, words = shown(card, "gh.standing_revoke")
    assert values
    assert all(value["s"] in words for value in values)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 9_000), min_size=2, max_size=14), st.sampled_from(["x", "說", "{{"]))
def test_bound_buttons_go_with_their_section_and_others_stay(lengths: list[int], letter: str) -> None:
    body: list[Any] = []
    for number, length in enumerate(lengths):
        body.append(Section(((f"=={number}== " + letter * length,),), heading=f"item {number}"))
        body.append(Buttons((Button("gh.rule_end", "End", json.dumps({"r": f"r-{number}"})),), bound=True))
    body.append(Buttons((Button("gh.rule_new", "New", "{}"),)))
    card = Card(title="t", summary="s.", body=tuple(body))
    values, words = shown(card, "gh.rule_end")
    assert {value["r"] for value in values} == {f"r-{n}" for n in range(len(lengths)) if f"=={n}==" in words}
    assert shown(card, "gh.rule_new")[0] == [{}]
