"""A strict lint of Block Kit payloads: Slack's documented limits and what the SDK's own validation lets through."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Literal

Surface = Literal["message", "modal", "home"]

_TEXT = {"header": 150, "section": 3000, "field": 2000, "context": 2000, "label": 2000, "hint": 2000}
_KEYS = {
    "header": {"type", "block_id", "text"},
    "section": {"type", "block_id", "text", "fields", "accessory", "expand"},
    "actions": {"type", "block_id", "elements"},
    "context": {"type", "block_id", "elements"},
    "divider": {"type", "block_id"},
    "input": {"type", "block_id", "label", "element", "hint", "optional", "dispatch_action"},
    "table": {"type", "block_id", "rows", "column_settings"},
    "context_actions": {"type", "block_id", "elements"},
}
_MESSAGES_ONLY = {"table", "context_actions"}
_ELEMENT_KEYS = {
    "button": {"type", "action_id", "text", "value", "url", "style", "confirm", "accessibility_label"},
    "static_select": {"type", "action_id", "options", "initial_option", "placeholder", "confirm", "focus_on_load"},
    "radio_buttons": {"type", "action_id", "options", "initial_option", "confirm", "focus_on_load"},
    "plain_text_input": {
        "type",
        "action_id",
        "multiline",
        "max_length",
        "min_length",
        "placeholder",
        "initial_value",
        "focus_on_load",
    },
}
_MARKUP = re.compile(r"<([^>]*)>?")
_ALLOWED = re.compile(r"@[UW][A-Z0-9]+|!date\^\d+\^[^|>^]+\|[^|<>]+")
_EMOJI = re.compile(r":[\w+'-]{1,100}:")
_SHOWN_AS_IS = re.compile(r"<[^<>\n]*>|`[^`\n]*`")  # dates, mentions, code
_ENTITY = re.compile(r"&(?!amp;|lt;|gt;)")
_UNSAFE = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff\U000e0000-\U000e0fff]"
)


def problems(payload: dict[str, Any], surface: Surface) -> list[str]:
    """Everything wrong with a message (``{"text", "blocks"}``) or a view; empty when Slack would take it as meant."""
    return list(_payload(payload, surface))


def _payload(payload: dict[str, Any], surface: Surface) -> Iterator[str]:
    blocks = payload.get("blocks")
    if surface == "message":
        text = payload.get("text")
        if not isinstance(text, str) or not text.strip():
            yield "text: missing; screen readers and notifications read it"
        else:
            if len(text) > 4000:
                yield f"text: {len(text)} characters, more than 4000"
            yield from _mrkdwn(text, "text")
        if blocks is None:
            return
    else:
        yield from _view(payload, surface)
    if not isinstance(blocks, list) or not blocks:
        yield "blocks: missing or empty"
        return
    if sum(isinstance(b, dict) and b.get("type") == "table" for b in blocks) > 1:
        yield "blocks: more than one table"
    limit = 50 if surface == "message" else 100
    if len(blocks) > limit:
        yield f"blocks: {len(blocks)}, more than {limit}"
    ids: set[str] = set()
    for position, block in enumerate(blocks):
        place = f"blocks[{position}]"
        if not isinstance(block, dict):
            yield f"{place}: not an object"
            continue
        block_id = block.get("block_id")
        if block_id is not None:
            if not isinstance(block_id, str) or not 0 < len(block_id) <= 255:
                yield f"{place}.block_id: 1 to 255 characters"
            elif block_id in ids:
                yield f"{place}.block_id: {block_id!r} is used twice"
            else:
                ids.add(block_id)
        yield from _block(block, place, surface)
    if (
        surface == "modal"
        and any(b.get("type") == "input" for b in blocks if isinstance(b, dict))
        and "submit" not in payload
    ):
        yield "submit: missing although there are inputs"


def _view(view: dict[str, Any], surface: Surface) -> Iterator[str]:
    if view.get("type") != surface:
        yield f"type: {view.get('type')!r}, expected {surface!r}"
    allowed = {"type", "blocks", "callback_id", "private_metadata", "external_id"}
    allowed |= {"title", "submit", "close", "clear_on_close", "notify_on_close"} if surface == "modal" else set()
    for key in view.keys() - allowed:
        yield f"{key}: unknown key of a {surface} view"
    if surface == "modal":
        if "title" not in view:
            yield "title: missing"
        for key in ("title", "submit", "close"):
            if key in view:
                yield from _text(view[key], key, 24, plain=True)
    if len(view.get("callback_id", "")) > 255:
        yield "callback_id: more than 255 characters"
    if len(view.get("private_metadata", "")) > 3000:
        yield "private_metadata: more than 3000 characters"


def _block(block: dict[str, Any], place: str, surface: Surface) -> Iterator[str]:
    kind = block.get("type")
    if kind not in _KEYS:
        yield f"{place}: block type {kind!r} is not one that every client shows"
        return
    if kind in _MESSAGES_ONLY and surface != "message":
        yield f"{place}: a {kind} outside of a message"
    for key in block.keys() - _KEYS[kind]:
        yield f"{place}.{key}: unknown key of a {kind}"
    if kind == "table":
        yield from _table(block, place)
    elif kind == "context_actions":
        yield from _feedback(block, place)
    elif kind == "header":
        yield from _text(block.get("text"), f"{place}.text", _TEXT["header"], plain=True)
    elif kind == "section":
        yield from _section(block, place)
    elif kind == "actions":
        yield from _elements(block.get("elements"), place, 25)
    elif kind == "context":
        items = block.get("elements")
        if not isinstance(items, list) or not 0 < len(items) <= 10:
            yield f"{place}.elements: 1 to 10"
            return
        for position, item in enumerate(items):
            yield from _text(item, f"{place}.elements[{position}]", _TEXT["context"])
    elif kind == "input":
        if surface == "home":
            yield f"{place}: an input without a submit on a home page"
        yield from _text(block.get("label"), f"{place}.label", _TEXT["label"], plain=True)
        if "hint" in block:
            yield from _text(block["hint"], f"{place}.hint", _TEXT["hint"], plain=True)
        yield from _elements([block.get("element")], place, 1)


def _table(block: dict[str, Any], place: str) -> Iterator[str]:
    rows, total = block.get("rows"), 0
    if not isinstance(rows, list) or not 0 < len(rows) <= 100:
        yield f"{place}.rows: 1 to 100"
        return
    for number, row in enumerate(rows):
        if not isinstance(row, list) or not 0 < len(row) <= 20 or len(row) != len(rows[0]):
            yield f"{place}.rows[{number}]: 1 to 20 cells, in every row the same"
            continue
        for column, cell in enumerate(row):
            where = f"{place}.rows[{number}][{column}]"
            if not isinstance(cell, dict) or cell.keys() != {"type", "text"} or cell["type"] != "raw_text":
                yield f"{where}: not a cell of raw text"
                continue
            text = cell["text"]
            if not isinstance(text, str) or not text.strip():
                yield f"{where}: empty text"
                continue
            total += len(text)
            if _UNSAFE.search(text) or _EMOJI.search(text):
                yield f"{where}: control characters or an emoji code"
    if total > 10_000:
        yield f"{place}: {total} characters in all cells, more than 10000"
    settings = block.get("column_settings", [])
    if len(settings) > 20 or any(s.keys() - {"align", "is_wrapped"} for s in settings):
        yield f"{place}.column_settings: at most 20 of align and is_wrapped"


def _feedback(block: dict[str, Any], place: str) -> Iterator[str]:
    items = block.get("elements")
    if not isinstance(items, list) or not 0 < len(items) <= 5:
        yield f"{place}.elements: 1 to 5"
        return
    for number, item in enumerate(items):
        where = f"{place}.elements[{number}]"
        keys = {"type", "action_id", "positive_button", "negative_button"}
        if not isinstance(item, dict) or item.get("type") != "feedback_buttons" or item.keys() != keys:
            yield f"{where}: not feedback buttons"
            continue
        for side in ("positive_button", "negative_button"):
            yield from _text(item[side].get("text"), f"{where}.{side}.text", 75, plain=True)
            if not 0 < len(item[side].get("value", "")) <= 2000:
                yield f"{where}.{side}.value: 1 to 2000 characters"


def _section(block: dict[str, Any], place: str) -> Iterator[str]:
    if "text" not in block and "fields" not in block:
        yield f"{place}: neither text nor fields"
    if "text" in block:
        yield from _text(block["text"], f"{place}.text", _TEXT["section"])
    if "fields" in block:
        fields = block["fields"]
        if not isinstance(fields, list) or not 0 < len(fields) <= 10:
            yield f"{place}.fields: 1 to 10"
            return
        for position, item in enumerate(fields):
            yield from _text(item, f"{place}.fields[{position}]", _TEXT["field"])
    if "accessory" in block:
        yield from _elements([block["accessory"]], f"{place}.accessory", 1)


def _elements(items: Any, place: str, limit: int) -> Iterator[str]:
    if not isinstance(items, list) or not 0 < len(items) <= limit:
        yield f"{place}.elements: 1 to {limit}"
        return
    seen: set[Any] = set()
    for position, item in enumerate(items):
        where = f"{place}.elements[{position}]"
        if not isinstance(item, dict) or item.get("type") not in _ELEMENT_KEYS:
            yield f"{where}: not an element that every client shows"
            continue
        for key in item.keys() - _ELEMENT_KEYS[item["type"]]:
            yield f"{where}.{key}: unknown key of a {item['type']}"
        action = item.get("action_id")
        if not isinstance(action, str) or not 0 < len(action) <= 255:
            yield f"{where}.action_id: 1 to 255 characters"
        if action in seen:
            yield f"{where}.action_id: {action!r} is used twice in one block"
        seen.add(action)
        yield from _element(item, where)


def _element(item: dict[str, Any], place: str) -> Iterator[str]:
    kind = item["type"]
    if kind == "button":
        yield from _text(item.get("text"), f"{place}.text", 75, plain=True)
        if len(item.get("value", "")) > 2000:
            yield f"{place}.value: more than 2000 characters"
        if item.get("style", "primary") not in {"primary", "danger"}:
            yield f"{place}.style: {item['style']!r}"
        if "url" in item and (
            not re.match(r"https?://[^\s/<>|]+", item["url"])
            or len(item["url"]) > 3000
            or re.search(r"[\s<>|]", item["url"])
        ):
            yield f"{place}.url: not an http(s) URL of at most 3000 characters"
        spoken = item.get("accessibility_label", "x")
        if not 0 < len(spoken) <= 75:
            yield f"{place}.accessibility_label: 1 to 75 characters"
    elif kind in {"static_select", "radio_buttons"}:
        options = item.get("options")
        limit = 100 if kind == "static_select" else 10
        if not isinstance(options, list) or not 0 < len(options) <= limit:
            yield f"{place}.options: 1 to {limit}"
            return
        for position, option in enumerate(options):
            where = f"{place}.options[{position}]"
            yield from _text(option.get("text"), f"{where}.text", 75, plain=True)
            if not 0 < len(option.get("value", "")) <= 150:
                yield f"{where}.value: 1 to 150 characters"
            if "description" in option:
                yield from _text(option["description"], f"{where}.description", 75, plain=True)
        if "initial_option" in item and item["initial_option"] not in options:
            yield f"{place}.initial_option: not one of the options"
    elif not 1 <= item.get("max_length", 3000) <= 3000:
        yield f"{place}.max_length: 1 to 3000"
    if "placeholder" in item:
        yield from _text(item["placeholder"], f"{place}.placeholder", 150, plain=True)


def _text(value: Any, place: str, limit: int, *, plain: bool = False) -> Iterator[str]:
    if not isinstance(value, dict) or value.get("type") not in ({"plain_text"} if plain else {"plain_text", "mrkdwn"}):
        yield f"{place}: not a {'plain_text' if plain else 'text'} object"
        return
    text = value.get("text")
    if not isinstance(text, str) or not text.strip():
        yield f"{place}: empty text"
        return
    if len(text) > limit:
        yield f"{place}: {len(text)} characters, more than {limit}"
    if value["type"] == "mrkdwn":
        if value.get("verbatim") is not True:
            yield f"{place}: verbatim is not set, bare URLs and names would become links"
        yield from _mrkdwn(text, place)
        return
    if _UNSAFE.search(text):
        yield f"{place}: control or bidirectional characters"
    if _EMOJI.search(text):
        yield f"{place}: an emoji code would be shown as an emoji"


def _mrkdwn(text: str, place: str) -> Iterator[str]:
    for match in _MARKUP.finditer(text):
        if not match[0].endswith(">") or not _ALLOWED.fullmatch(match[1]):
            yield f"{place}: markup {match[0][:40]!r} is neither a date nor a mention of a person"
    if ">" in _MARKUP.sub("", text) or _ENTITY.search(text):
        yield f"{place}: unescaped & or >"
    if _UNSAFE.search(text):
        yield f"{place}: control or bidirectional characters"
    if _EMOJI.search(_SHOWN_AS_IS.sub(" ", text)):
        yield f"{place}: an emoji code would be shown as an emoji"
