"""A strict lint of Adaptive Cards for Teams: what the official schema lets through, and our own rules of reading."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from . import plot

LIMIT = 28 * 1024
_AT = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"
_OURS = re.compile(rf"\{{\{{(?:DATE\({_AT},SHORT\)|TIME\({_AT}\))\}}\}}")
_MARKUP = re.compile(
    r"\]\(|<|\*|`|~|^\s*(?:[-+#]|\d+[.)])\s|&#?\w+;|\b[a-z]+://|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])", re.M
)
_UNSAFE = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff\U000e0000-\U000e0fff]"
)
_ELEMENTS = {"TextBlock", "RichTextBlock", "FactSet", "ActionSet", "Table", "Input.Text", "Input.ChoiceSet"}
_ACTIONS = {"Action.Execute", "Action.OpenUrl", "Action.Submit", "Action.ToggleVisibility"}
_CHARTS = {"Chart.Line", "Chart.HorizontalBar"}


def activity_problems(activity: dict[str, Any]) -> list[str]:
    """Of a whole message."""
    found: list[str] = []
    size = len(json.dumps(activity, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass"))
    if size > LIMIT:
        found.append(f"activity: {size} bytes, more than {LIMIT}")
    if not str(activity.get("summary", "")).strip():
        found.append("summary: missing; a notification says it")
    if len(activity.get("attachments", ())) != 1:
        found.append("attachments: exactly one card")
    for each in activity.get("attachments", ()):
        found += problems(each["content"])
    return found


def problems(card: dict[str, Any]) -> list[str]:
    """Everything wrong with a card; empty when Teams would show it as meant."""
    return list(_card(card))


def _card(card: dict[str, Any]) -> Iterator[str]:
    if card.get("type") != "AdaptiveCard" or card.get("version") != "1.5":
        yield "card: AdaptiveCard of version 1.5"
    size = len(json.dumps(card, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass"))
    if size > LIMIT:
        yield f"card: {size} bytes, more than {LIMIT}"
    yield from _plain(card.get("fallbackText"), "fallbackText")
    body = card.get("body")
    if not isinstance(body, list) or not body:
        yield "body: empty"
        body = []
    ids: set[str] = set()
    for position, element in enumerate(body):
        yield from _element(element, f"body[{position}]", ids)
    yield from _actions(card.get("actions", []), "actions")
    named = {str(element.get("id")) for element in body if isinstance(element, dict)}
    for element in body:
        for action in element.get("actions", ()) if isinstance(element, dict) else ():
            if action.get("type") == "Action.ToggleVisibility" and not set(action.get("targetElements", ())) <= named:
                yield "actions: shows or hides what is not there"
    refresh = card.get("refresh")
    if refresh is not None:
        users = refresh.get("userIds")
        if not isinstance(users, list) or not 0 < len(users) <= 60:
            yield "refresh: between 1 and 60 userIds"
        if not refresh.get("action", {}).get("verb"):
            yield "refresh: without a verb nobody knows what is asked"


def _element(element: dict[str, Any], place: str, ids: set[str]) -> Iterator[str]:
    kind = element.get("type")
    if str(kind) in _CHARTS:
        yield from plot.problems(element, place)
        for text in _strings(element):
            yield from _safe(text, place)
        return
    if kind not in _ELEMENTS:
        yield f"{place}: {kind} is not of ours"
        return
    if "color" in json.dumps(element):
        for key in _keys(element):
            if key in {"color", "backgroundImage"}:
                yield f"{place}: {key}; nothing may be said by colour"
    match kind:
        case "TextBlock":
            yield from _markdown(element.get("text"), f"{place}.text")
            if element.get("wrap") is not True:
                yield f"{place}: does not wrap"
        case "RichTextBlock":
            yield from _inlines(element.get("inlines"), place)
        case "FactSet":
            if not element.get("facts"):
                yield f"{place}: no facts"
            for number, fact in enumerate(element.get("facts", ())):
                yield from _markdown(fact.get("title"), f"{place}.facts[{number}].title")
                yield from _markdown(fact.get("value"), f"{place}.facts[{number}].value")
        case "ActionSet":
            if not element.get("actions"):
                yield f"{place}: no actions"
            yield from _actions(element.get("actions", []), place)
        case "Table":
            yield from _table(element, place)
        case _:
            yield from _input(element, place, ids)


def _strings(thing: Any) -> Iterator[str]:
    if isinstance(thing, str):
        yield thing
    elif isinstance(thing, dict | list):
        for each in thing.values() if isinstance(thing, dict) else thing:
            yield from _strings(each)


def _keys(thing: Any) -> Iterator[str]:
    if isinstance(thing, dict):
        for key, value in thing.items():
            yield key
            yield from _keys(value)
    elif isinstance(thing, list):
        for value in thing:
            yield from _keys(value)


def _inlines(inlines: Any, place: str) -> Iterator[str]:
    if not isinstance(inlines, list) or not inlines:
        yield f"{place}: no text"
        return
    said = [run if isinstance(run, str) else run.get("text") for run in inlines]
    if not "".join(text for text in said if isinstance(text, str)).strip():
        yield f"{place}: nothing but blanks"
    for number, text in enumerate(said):
        if not isinstance(text, str) or not text:
            yield f"{place}.inlines[{number}]: empty"
        else:
            yield from _safe(text, f"{place}.inlines[{number}]")


def _table(table: dict[str, Any], place: str) -> Iterator[str]:
    width, rows = len(table.get("columns", ())), table.get("rows", ())
    if not 0 < width <= 8 or not 1 < len(rows) <= 60:
        yield f"{place}: {width} columns and {len(rows)} rows"
    if table.get("firstRowAsHeader") is not True:
        yield f"{place}: no head row for screen readers"
    for number, row in enumerate(rows):
        if len(row.get("cells", ())) != width:
            yield f"{place}.rows[{number}]: not {width} cells"
        for cell in row.get("cells", ()):
            for item in cell.get("items", ()):
                yield from _element(item, f"{place}.rows[{number}]", set())


def _input(element: dict[str, Any], place: str, ids: set[str]) -> Iterator[str]:
    name = element.get("id")
    if not name or name in ids or name in {"gh", "verb", "msteams"}:
        yield f"{place}: id {name!r} is missing or used twice"
    ids.add(str(name))
    yield from _markdown(element.get("label"), f"{place}.label")
    if element.get("isRequired") and not str(element.get("errorMessage", "")).strip():
        yield f"{place}: required without an error message"
    if element["type"] == "Input.ChoiceSet":
        values = [choice.get("value") for choice in element.get("choices", ())]
        if not values or len(set(values)) != len(values) or not all(values):
            yield f"{place}: choices are missing, empty or double"
        if "value" in element and element["value"] not in values:
            yield f"{place}: begins with a choice it does not have"
        for choice in element.get("choices", ()):
            yield from _markdown(choice.get("title"), f"{place}.choices")
    elif not 0 < element.get("maxLength", 0) <= 4000:
        yield f"{place}: no sensible longest length"


def _actions(actions: list[dict[str, Any]], place: str) -> Iterator[str]:
    if len(actions) > 6:
        yield f"{place}: {len(actions)} buttons, Teams shows 6"
    for number, action in enumerate(actions):
        here = f"{place}.actions[{number}]"
        if action.get("type") not in _ACTIONS:
            yield f"{here}: {action.get('type')} is not of ours"
        yield from _plain(action.get("title"), f"{here}.title")
        if "tooltip" in action:
            yield from _plain(action["tooltip"], f"{here}.tooltip")
        if action.get("type") == "Action.Execute" and not str(action.get("verb", "")).startswith("gh."):
            yield f"{here}: verb {action.get('verb')!r}"
        if action.get("type") == "Action.Submit" and not str(action.get("data", {}).get("verb", "")).startswith("gh."):
            yield f"{here}: sends no verb"
        if action.get("type") == "Action.OpenUrl":
            parts = urlsplit(str(action.get("url", "")))
            if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username is not None:
                yield f"{here}: url {action.get('url')!r}"


def _plain(text: Any, place: str) -> Iterator[str]:
    if not isinstance(text, str) or not text.strip():
        yield f"{place}: empty"
    else:
        yield from _safe(text, place)


def _markdown(text: Any, place: str) -> Iterator[str]:
    yield from _plain(text, place)
    if isinstance(text, str):
        found = _MARKUP.search(_OURS.sub("", text))
        if found:
            yield f"{place}: markup {found[0]!r}"


def _safe(text: str, place: str) -> Iterator[str]:
    if _UNSAFE.search(text):
        yield f"{place}: invisible or reordering characters"
    if "{{" in _OURS.sub("", text):
        yield f"{place}: a function that is not ours"
