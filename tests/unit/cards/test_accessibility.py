"""Every card for who cannot see it: its fallback is a sentence, inputs have labels, buttons say what they are about,
no colour and no emoji says anything without a word beside it."""

from __future__ import annotations

import functools
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import pytest

from cards import adaptive, blockkit
from cards.model import Card, Section, Strong
from tests.tools.gallery import gallery

from .every import Made, every, slack, teams
from .test_foreign_text import nodes
from .test_validators import MIXED

TITLE = "Bucket acme-invoices is public"
# About nothing in particular: a list, a page, a form that begins from nothing.
WITHOUT_OBJECT = {
    "help_card", "help_card teams", "status_card", "mine_card", "mine_card none", "home_card", "delegations_card",
    "delegations_card none", "standings_card", "standings_card none", "rules_card", "rules_card none", "comment_card",
    "thanks_card", "new_rule_card", "daily_card", "daily_card charts", "team_card", "team_card nobody",
    "delegation form", "waiting_card", "home_card with_buttons", "approvals_card", "approvals",
}  # fmt: skip
_WORD = re.compile(r"[^\W_]")
_MARKUP = re.compile(r"[*_~`<>{}|\[\]]|:\w+:|https?://|\n")
_FILLERS = {"–", "…", "•"}


@functools.cache
def cards(text: str = TITLE) -> list[Made]:
    shown = [Made(f"gallery {s.name}", s.card, form=bool(s.submit), home=s.home) for s in gallery()]
    return [*every(text), *shown]


def emoji(text: str) -> list[str]:
    """Pictures among the letters, their joiners and selectors; not the blocks of a sparkline."""
    return [c for c in text if (unicodedata.category(c) == "So" or c in "\ufe0f\u200d") and not "▀" <= c <= "▟"]


def sentence_problems(said: str) -> Iterator[str]:
    if not re.match(r"[A-Z0-9]", said):
        yield "does not begin like a sentence"
    if said[-1:] not in ".!?…":
        yield "does not end like a sentence"
    if len(said.split()) < 3:
        yield "is no sentence"
    if _MARKUP.search(said):
        yield f"has markup {_MARKUP.search(said)}"
    if emoji(said):
        yield f"has pictures {emoji(said)}"
    if re.search(r"\s\s|[.!?]\.|\s[.,;:!?]", said):
        yield "has gaps or doubled stops"


def test_every_fallback_is_a_sentence_that_names_what_it_is_about() -> None:
    wrong = []
    for made in cards():
        said = made.card.summary
        wrong += [f"{made.name}: {said!r} {each}" for each in sentence_problems(said)]
        if made.name not in WITHOUT_OBJECT and not made.name.startswith("gallery") and TITLE not in said:
            wrong.append(f"{made.name}: {said!r} does not say what it is about")
    assert wrong == []


def test_whatever_the_text_is_a_fallback_ends_like_a_sentence() -> None:
    for text in (MIXED, "x" * 3000, "what is this?", "really!"):
        for made in every(text):
            assert made.card.summary.rstrip()[-1:] in ".!?…", (made.name, made.card.summary[-80:])


def test_both_platforms_say_the_fallback_in_notifications_and_to_screen_readers() -> None:
    for made in cards():
        assert blockkit.message(made.card)["text"] == made.card.summary
        message = adaptive.message(made.card)
        said = made.card.summary.replace("/gatehouse ", "@Gatehouse ")
        assert message["summary"] == message["attachments"][0]["content"]["fallbackText"] == said


# --- buttons and inputs ----------------------------------------------------------------------------------------------


def buttons(payload: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Label, what is read aloud, what it does."""
    for node in nodes(payload.get("blocks", [])):
        if node.get("type") == "button":
            does = f"{node['action_id'].split('.')[:2]} {node.get('value')} {node.get('url')}"
            yield node["text"]["text"], node.get("accessibility_label", ""), does
    for node in nodes({key: payload.get(key) for key in ("body", "actions")}):
        if str(node.get("type", "")).startswith("Action.") and "title" in node:
            yield node["title"], node.get("tooltip", ""), f"{node.get('verb')} {node.get('data')} {node.get('url')}"


def inputs(payload: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for node in nodes(payload.get("blocks", [])):
        if node.get("type") == "input":
            yield node["label"]["text"], node
    for node in nodes(payload.get("body", [])):
        if str(node.get("type", "")).startswith("Input."):
            yield node.get("label", ""), node


@functools.cache
def drawn() -> list[tuple[str, dict[str, Any]]]:
    """Of every card all that is made of it."""
    done: list[tuple[str, dict[str, Any]]] = []
    for made in cards():
        done += [(f"{made.name} as a {surface}", payload) for surface, payload in slack(made)]
        done += [(f"{made.name} for Teams", card) for card in teams(made)]
    return done


def bare(label: str) -> str:
    """A label without its pictures and dots, as it is spoken."""
    return "".join(c for c in label if c not in emoji(label)).strip(" …").lower()


def test_every_button_has_words_and_what_is_read_aloud_holds_its_label() -> None:
    """So that a screen reader tells "Details" of one thing from "Details" of another, and a person who steers by voice
    can say what they see (WCAG 2.5.3)."""
    wrong = set()
    for where, payload in drawn():
        for label, spoken, _ in buttons(payload):
            if not _WORD.search(bare(label)):
                wrong.add(f"{where}: {label!r} has no word")
            if spoken and bare(label) not in spoken.lower():
                wrong.add(f"{where}: {label!r} is read as {spoken!r}")
            if not spoken and len(label.split()) < 2 and label not in {"Send", "Back"}:
                wrong.add(f"{where}: {label!r} does not say of what")
    assert sorted(wrong) == []


def test_no_two_buttons_of_a_card_sound_alike_and_do_different_things() -> None:
    wrong = []
    for where, payload in drawn():
        does = defaultdict(set)
        for label, spoken, what in buttons(payload):
            does[(spoken or label).lower()].add(what)
        wrong += [f"{where}: {name!r}" for name, things in does.items() if len(things) > 1]
    assert wrong == []


def test_every_input_has_a_label_and_says_what_is_missing() -> None:
    seen = 0
    for where, payload in drawn():
        for label, node in inputs(payload):
            seen += 1
            assert _WORD.search(label), (where, node)
            assert bare(label) not in {"for", "to", "by", "from", "at most", "until"}, (where, label)
            assert not emoji(label), (where, label)
            if node.get("isRequired"):
                assert _WORD.search(node.get("errorMessage", "")), (where, node)
    assert seen > 50


# --- colours and pictures --------------------------------------------------------------------------------------------


def lines(payload: dict[str, Any]) -> Iterator[str]:
    """Every line as it is seen."""
    for node in nodes(payload):
        if node.get("type") == "RichTextBlock":
            yield "".join(run if isinstance(run, str) else run["text"] for run in node["inlines"])
        elif node.get("type") in {"mrkdwn", "plain_text", "raw_text", "TextBlock"} and isinstance(node["text"], str):
            yield from node["text"].split("\n")
        for fact in node.get("facts", ()):
            yield fact["title"]
            yield from fact["value"].split("\n")


@pytest.mark.parametrize("word", ["color", "backgroundImage", "bleed"])
def test_no_card_sets_a_colour(word: str) -> None:
    for where, payload in drawn():
        assert not any(word in node for node in nodes(payload)), where


def test_no_picture_stands_without_a_word_beside_it() -> None:
    """A red dot is always "🔴 P1" or "🔴 Critical": who sees no red, or hears "large red circle", misses nothing."""
    wrong = set()
    for where, payload in drawn():
        for line in lines(payload):
            if not emoji(line):
                if line.strip() and line.strip() not in _FILLERS and not _WORD.search(line):
                    wrong.add(f"{where}: {line!r}")
                continue
            for piece in re.split(r"  ·  | · |, |\t", line):
                if emoji(piece) and not _WORD.search("".join(c for c in piece if c not in emoji(piece))):
                    wrong.add(f"{where}: {piece!r} in {line!r}")
    assert sorted(wrong) == []


def test_tables_have_a_head_and_no_picture_is_without_words() -> None:
    for where, payload in drawn():
        for node in nodes(payload):
            if node.get("type") == "Table":
                assert node["firstRowAsHeader"] is True, where
            if node.get("type") in {"Image", "Media"}:
                assert node.get("altText", "").strip(), where
            if node.get("type") == "image":
                assert node.get("alt_text", "").strip(), where


def test_the_measures_themselves_find_what_is_wrong() -> None:
    assert set(sentence_problems("📌 Fixed")) == {
        "does not begin like a sentence", "does not end like a sentence", "is no sentence", "has pictures ['📌']"
    }  # fmt: skip
    assert list(sentence_problems("Bucket *x* is public.")) != []
    assert list(sentence_problems("A bucket is public..")) != []
    assert list(sentence_problems("A bucket is public.")) == []
    red = Card("t", "s", body=(Section((("🔴 ", Strong("P1")), ("🔴",))),))
    seen = list(lines(blockkit.message(red)))
    assert [bool(_WORD.search(line.replace("*", ""))) for line in seen if emoji(line)] == [True, False]
