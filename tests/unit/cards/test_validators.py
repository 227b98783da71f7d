"""Every card of both renderers against what the platforms themselves say of it: Slack's types as a JSON schema, the
SDK's models, the official Adaptive Card schema, ``validateProperties`` of Microsoft's renderer; and our own two lints.
"""

from __future__ import annotations

import ast
import copy
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from slack_sdk.models.blocks import Block
from slack_sdk.models.views import View

from bot.sandbox import strict
from cards import lint, lint_adaptive, plot

from .conftest import Judge
from .every import Made, every, slack, teams

ROOT = Path(__file__).parents[3]
# Each of these broke some renderer of some chat once: reordering, joiners, stacked marks, halves of pairs, endless
# words, both platforms' markup, and characters outside of the first plane.
MIXED = "\n".join((
    "<!channel> <@U02EVE|a> <https://e.example|x> :lock: *b* _i_ ~s~ `c` ```d``` &lt;!here&gt; <!date^1^{ago}|x>",
    "<at>all</at> [a](https://e.example) ![x](javascript:1) **b** &#60;at&#62; {{DATE(x)}} \\[ <b>&amp;</b>",
    "> q", "# h", "- l", "1. n", "| a | b |", "{{TIME(2020-01-01T00:00:00Z)}} ${title} <script>alert(1)</script>",
    "\u202eevil\u202c \u2066x\u2069 \u200f\u061c مرحبا שלום \u200e\ufeff \u200d\ufe0f 🏳️‍🌈 🇩🇪🇩 \U0001f3fd \U000e0041",
    "\ud800x\udfff\udc00 \x00\x07\x1b[31m\x85\u2028\u2029\t\r",
))  # fmt: skip
# Every limit cuts it somewhere else: inside of an entity, a stack of marks, a pair of surrogates.
ENDLESS = ("W" * 37 + "𝕏𒐫﷽&<" * 5 + "e" + "\u0301\u0323\u0489" * 11) * 50
DANGEROUS = (MIXED, ENDLESS, " \n\u00a0\u3000\t ", "")
ANY_TEXT = st.text(st.characters(codec=None), max_size=300)
MARKUP = st.text("{}<>!@#&|*_~`:[]()\\-+1. \nDATEuabc;/\u202e\u200d\u0301\ud800😀", max_size=800)


def found_in(texts: Iterable[str], judge: Judge, *, brief: bool = True) -> list[str]:
    """What any of the validators says of any card made of any of the texts."""
    said: list[str] = []
    names: list[str] = []
    cases: list[tuple[str, dict[str, Any]]] = []
    for text in texts:
        for made in every(text, brief=brief):
            who = f"{made.name} of {text[:80]!r}"
            for surface, payload in slack(made, brief=brief):
                names.append(f"{who} as a {surface}")
                cases.append((surface, payload))
                ours = lint.problems(payload, surface)  # type: ignore[arg-type]
                said += [f"{names[-1]}: {each}" for each in (*ours, *of_sdk(payload, surface))]
            for card in teams(made):
                names.append(f"{who} for Teams")
                cases.append(("adaptive", plot.without_charts(card)))  # which are no part of Adaptive Cards 1.5
                said += [f"{names[-1]}: {each}" for each in lint_adaptive.problems(card)]
    for name, problems in zip(names, judge(cases), strict=True):
        said += [f"{name}: {each}" for each in problems]
    return said


def of_sdk(payload: dict[str, Any], surface: str) -> list[str]:
    """The gate of the sandbox asks the SDK's models, too."""
    if surface == "message":
        return strict.message_problems(payload["text"], payload["blocks"])
    return strict.view_problems(payload)


def test_every_function_that_makes_a_card_is_judged() -> None:
    makers: set[tuple[str, str]] = set()
    for file in [*ROOT.glob("cards/*.py"), *ROOT.glob("handlers/**/*.py")]:
        for node in ast.parse(file.read_text("utf-8")).body:
            returns = node.returns if isinstance(node, ast.FunctionDef) else None
            if isinstance(node, ast.FunctionDef) and isinstance(returns, ast.Name) and returns.id == "Card":
                makers.add((str(file), node.name))
    makers.discard((str(ROOT / "handlers/common/messages.py"), "card_of"))  # calls them
    called: set[tuple[str, str]] = set()
    before = sys.getprofile()
    sys.setprofile(lambda frame, event, _: called.add((frame.f_code.co_filename, frame.f_code.co_name)))
    try:
        every("x")
    finally:
        sys.setprofile(before)
    assert len(makers) > 30
    assert makers - called == set(), "please add their cards to tests/unit/cards/every.py"


def test_every_card_passes_every_validator(judge: Judge) -> None:
    assert found_in(["Bucket acme-invoices is public"], judge, brief=False) == []


def test_dangerous_text_passes_every_validator(judge: Judge) -> None:
    assert found_in(DANGEROUS, judge) == []


def test_any_unicode_passes_every_validator(judge: Judge) -> None:
    texts: list[str] = []

    @settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(ANY_TEXT.filter(bool) | MARKUP)
    def collect(text: str) -> None:
        texts.append(text)

    collect()
    assert len(texts) >= 5
    assert found_in(texts, judge) == []  # more than a thousand payloads, in one process


def test_the_sdk_takes_every_block_unchanged() -> None:
    for made in every("Bucket acme-invoices is public"):
        for surface, payload in slack(made):
            for block in payload["blocks"]:
                parsed = Block.parse(block)
                assert parsed is not None
                assert parsed.to_dict() == block
            if surface != "message":
                assert View(**payload).to_dict()["blocks"] == payload["blocks"]


# --- the validators themselves ---------------------------------------------------------------------------------------


def one(name: str) -> Made:
    return next(made for made in every("Bucket is public") if made.name == name)


def spoiled(thing: dict[str, Any], path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    """A copy with another value at the path; None takes it away."""
    whole = copy.deepcopy(thing)
    at: Any = whole
    for key in path[:-1]:
        at = at[key]
    if value is None:
        del at[path[-1]]
    else:
        at[path[-1]] = value
    return whole


def place(items: list[dict[str, Any]], kind: str) -> int:
    return next(n for n, item in enumerate(items) if item["type"] == kind)


def test_what_teams_would_not_take_is_found(judge: Judge) -> None:
    card = next(teams(one("plan_card")))
    body = card["body"]
    text, choice = place(body, "Input.Text"), place(body, "Input.ChoiceSet")
    assert judge([("adaptive", card)]) == [[]]
    broken = {
        "unknown property": spoiled(card, ("body", 0, "colour"), "red"),
        "unknown element": spoiled(card, ("body", 0), {"type": "Badge", "text": "x"}),
        "bad enum": spoiled(card, ("body", 0, "weight"), "Heavy"),
        "no text": spoiled(card, ("body", 0, "text"), None),
        "no id": spoiled(card, ("body", text, "id"), None),
        "no label": spoiled(card, ("body", choice, "label"), None),
        "no error message": spoiled(card, ("body", choice, "errorMessage"), None),
        "double id": spoiled(card, ("body", text, "id"), body[choice]["id"]),
        "no url": spoiled(card, ("actions", 0), {"type": "Action.OpenUrl", "title": "x"}),
        "version": spoiled(card, ("version",), "2.5"),
    }
    found = judge([("adaptive", each) for each in broken.values()])
    assert [name for name, problems in zip(broken, found, strict=True) if not problems] == []


def test_what_slack_would_not_take_is_found(judge: Judge) -> None:
    message = dict(slack(one("cause_card waiting")))["message"]
    modal = dict(slack(one("plan_card")))["modal"]
    assert judge([("message", message), ("modal", modal)]) == [[], []]
    buttons = place(message["blocks"], "actions")
    field = place(modal["blocks"], "input")
    broken = {
        "unknown block": ("message", spoiled(message, ("blocks", 0, "type"), "banner")),
        "unknown key": ("message", spoiled(message, ("blocks", 0, "colour"), "red")),
        "unknown key inside": ("message", spoiled(message, ("blocks", buttons, "elements", 0, "colour"), "red")),
        "bad enum": ("message", spoiled(message, ("blocks", buttons, "elements", 0, "style"), "loud")),
        "markup in a head": ("message", spoiled(message, ("blocks", 0, "text", "type"), "mrkdwn")),
        "no text": ("message", spoiled(message, ("blocks", 0, "text"), None)),
        "no label": ("modal", spoiled(modal, ("blocks", field, "label"), None)),
        "no title": ("modal", spoiled(modal, ("title",), None)),
        "unknown key of a view": ("modal", {**modal, "colour": "red"}),
        "an element where none is": ("modal", spoiled(modal, ("blocks", field, "element"), {"type": "toggle"})),
    }
    found = judge(broken.values())
    assert [name for name, problems in zip(broken, found, strict=True) if not problems] == []
