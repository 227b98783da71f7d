"""What Slack would refuse in a message or a view, told with its place. The gate's own eyes: it shares no code with
``cards``, so a mistake there cannot hide here. Numbers: Slack's Block Kit reference; shapes: ``slack_sdk`` models.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

from slack_sdk.errors import SlackObjectFormationError
from slack_sdk.models.blocks import Block
from slack_sdk.models.views import View

MESSAGE, MODAL, HOME = "message", "modal", "home"
_MAX_BLOCKS = {MESSAGE: 50, MODAL: 100, HOME: 100}

_BLOCK_KEYS: dict[str, set[str]] = {
    "section": {"text", "fields", "accessory", "expand"},
    "divider": set(),
    "image": {"image_url", "slack_file", "alt_text", "title"},
    "actions": {"elements"},
    "context": {"elements"},
    "context_actions": {"elements"},
    "input": {"label", "element", "hint", "optional", "dispatch_action"},
    "header": {"text", "level"},
    "markdown": {"text"},
    "rich_text": {"elements"},
    "table": {"rows", "column_settings"},
    "alert": {"text", "level"},
    "video": {"alt_text", "author_name", "description", "provider_icon_url", "provider_name", "thumbnail_url", "title"}
    | {"title_url", "video_url"},
}
_SURFACES: dict[str, set[str]] = {
    "alert": {MODAL},
    "markdown": {MESSAGE},
    "context_actions": {MESSAGE},
    "table": {MESSAGE},
    "video": {MESSAGE, MODAL, HOME},
}
_ELEMENTS: dict[str, set[str]] = {
    "button": {"text", "url", "value", "style", "confirm", "accessibility_label"},
    "static_select": {"placeholder", "options", "option_groups", "initial_option", "confirm", "focus_on_load"},
    "users_select": {"placeholder", "initial_user", "confirm", "focus_on_load"},
    "conversations_select": {"placeholder", "initial_conversation", "default_to_current_conversation", "confirm"}
    | {"response_url_enabled", "filter", "focus_on_load"},
    "overflow": {"options", "confirm"},
    "radio_buttons": {"options", "initial_option", "confirm", "focus_on_load"},
    "checkboxes": {"options", "initial_options", "confirm", "focus_on_load"},
    "plain_text_input": {"placeholder", "initial_value", "multiline", "min_length", "max_length", "focus_on_load"}
    | {"dispatch_action_config"},
    "number_input": {"is_decimal_allowed", "initial_value", "min_value", "max_value", "placeholder", "focus_on_load"}
    | {"dispatch_action_config"},
    "datepicker": {"placeholder", "initial_date", "confirm", "focus_on_load"},
    "image": {"image_url", "slack_file", "alt_text"},
}
_ALLOWED_IN = {
    "actions": {"button", "static_select", "users_select", "conversations_select", "overflow", "radio_buttons"}
    | {"checkboxes", "datepicker"},
    "accessory": {"button", "static_select", "users_select", "conversations_select", "overflow", "radio_buttons"}
    | {"checkboxes", "datepicker", "image"},
    "input": {"static_select", "users_select", "conversations_select", "radio_buttons", "checkboxes", "datepicker"}
    | {"plain_text_input", "number_input"},
}
_VIEW_KEYS = {
    MODAL: {"type", "title", "blocks", "submit", "close", "private_metadata", "callback_id", "external_id"}
    | {"clear_on_close", "notify_on_close", "submit_disabled"},
    HOME: {"type", "blocks", "private_metadata", "callback_id", "external_id"},
}
_OPTIONS = {"overflow": 5, "radio_buttons": 10, "checkboxes": 10}
_ALIVE = ("<!channel", "<!here", "<!everyone")

logging.getLogger(Block.__module__).setLevel(logging.ERROR)


def message_problems(text: Any, blocks: Any) -> list[str]:
    """Problems of a message; ``blocks`` is None for one of text alone."""
    found: list[str] = []
    if not isinstance(text, str) or not text.strip():
        found.append("text: missing; screen readers and notifications read it")
    elif len(text) > 40_000:
        found.append(f"text: {len(text)} characters, Slack cuts at 40000")
    elif any(alive in text for alive in _ALIVE):
        found.append("text: would call the whole channel")
    if blocks is not None:
        found += list(_blocks(blocks, MESSAGE))
    return found


def view_problems(view: Any) -> list[str]:
    """Problems of a modal or a Home tab."""
    if not isinstance(view, dict):
        return ["view: not an object"]
    surface = view.get("type")
    if surface not in _VIEW_KEYS:
        return [f"view.type: {surface!r} is neither modal nor home"]
    found = [f"view.{key}: unknown key" for key in sorted(set(view) - _VIEW_KEYS[surface])]
    if surface == MODAL:
        for key in ("title", "submit", "close"):
            if key in view or key == "title":
                found += list(_text(view.get(key), f"view.{key}", 24, plain=True))
    if len(str(view.get("private_metadata", ""))) > 3000:
        found.append("view.private_metadata: more than 3000 characters")
    if len(str(view.get("callback_id", ""))) > 255:
        found.append("view.callback_id: more than 255 characters")
    found += list(_blocks(view.get("blocks"), surface))
    has_input = any(isinstance(b, dict) and b.get("type") == "input" for b in view.get("blocks") or [])
    if surface == MODAL and has_input and "submit" not in view:
        found.append("view.submit: needed, because the modal has inputs")
    if not found:
        found += list(_sdk(lambda: View(**view).to_dict(), "view"))
    return found


def _sdk(build: Any, place: str) -> Iterator[str]:
    try:
        build()
    except (SlackObjectFormationError, TypeError, ValueError, AttributeError, KeyError) as error:
        yield f"{place}: {error}"


def _blocks(blocks: Any, surface: str) -> Iterator[str]:
    if not isinstance(blocks, list):
        yield "blocks: not a list"
        return
    if not blocks and surface != MESSAGE:
        yield "blocks: empty"
    if len(blocks) > _MAX_BLOCKS[surface]:
        yield f"blocks: {len(blocks)}, at most {_MAX_BLOCKS[surface]} in a {surface}"
    ids: set[str] = set()
    markdown = 0
    for position, block in enumerate(blocks):
        place = f"blocks[{position}]"
        if not isinstance(block, dict):
            yield f"{place}: not an object"
            continue
        kind = block.get("type")
        if kind not in _BLOCK_KEYS:
            yield f"{place}.type: unknown block {kind!r}"
            continue
        if surface not in _SURFACES.get(kind, {surface}):
            yield f"{place}: {kind} is not allowed in a {surface}"
        for key in sorted(set(block) - _BLOCK_KEYS[kind] - {"type", "block_id"}):
            yield f"{place}.{key}: unknown key of {kind}"
        block_id = block.get("block_id")
        if block_id is not None:
            if not isinstance(block_id, str) or not 1 <= len(block_id) <= 255:
                yield f"{place}.block_id: 1 to 255 characters"
            elif block_id in ids:
                yield f"{place}.block_id: {block_id!r} twice"
            else:
                ids.add(block_id)
        said = list(_block(block, kind, place))
        yield from said
        if kind == "markdown":
            markdown += len(str(block.get("text", "")))
        if not said:
            yield from _sdk(lambda b=block: _parsed(b), place)
    if sum(isinstance(b, dict) and b.get("type") == "table" for b in blocks) > 1:
        yield "blocks: more than one table"
    if markdown > 12_000:
        yield f"blocks: {markdown} characters of markdown together, at most 12000"


def _parsed(block: dict[str, Any]) -> None:
    parsed = Block.parse(block)
    if parsed is None:
        raise ValueError("unknown block")
    parsed.to_dict()


def _block(block: dict[str, Any], kind: str, place: str) -> Iterator[str]:
    if kind == "header":
        yield from _text(block.get("text"), f"{place}.text", 150, plain=True)
    elif kind == "section":
        fields = block.get("fields")
        if block.get("text") is None and not fields:
            yield f"{place}: a section needs text or fields"
        if block.get("text") is not None:
            yield from _text(block["text"], f"{place}.text", 3000)
        if fields is not None:
            if not isinstance(fields, list) or not 1 <= len(fields) <= 10:
                yield f"{place}.fields: 1 to 10"
            else:
                for n, field in enumerate(fields):
                    yield from _text(field, f"{place}.fields[{n}]", 2000)
        if "accessory" in block:
            yield from _element(block["accessory"], f"{place}.accessory", "accessory")
    elif kind == "context":
        elements = block.get("elements")
        if not isinstance(elements, list) or not 1 <= len(elements) <= 10:
            yield f"{place}.elements: 1 to 10"
            return
        for n, element in enumerate(elements):
            if isinstance(element, dict) and element.get("type") == "image":
                yield from _element(element, f"{place}.elements[{n}]", "accessory")
            else:
                yield from _text(element, f"{place}.elements[{n}]", 3000)
    elif kind == "actions":
        elements = block.get("elements")
        if not isinstance(elements, list) or not 1 <= len(elements) <= 25:
            yield f"{place}.elements: 1 to 25"
            return
        seen: set[str] = set()
        for n, element in enumerate(elements):
            yield from _element(element, f"{place}.elements[{n}]", "actions")
            action = element.get("action_id") if isinstance(element, dict) else None
            if isinstance(action, str) and action in seen:
                yield f"{place}.elements[{n}].action_id: {action!r} twice in one block"
            seen.add(str(action))
    elif kind == "input":
        yield from _text(block.get("label"), f"{place}.label", 2000, plain=True)
        if "hint" in block:
            yield from _text(block["hint"], f"{place}.hint", 2000, plain=True)
        yield from _element(block.get("element"), f"{place}.element", "input")
    elif kind == "markdown":
        if not isinstance(block.get("text"), str) or not 1 <= len(block["text"]) <= 12_000:
            yield f"{place}.text: 1 to 12000 characters"
    elif kind == "image":
        yield from _image(block, place)
    elif kind == "table":
        yield from _table(block, place)


def _table(block: dict[str, Any], place: str) -> Iterator[str]:
    rows = block.get("rows")
    if not isinstance(rows, list) or not 1 <= len(rows) <= 100:
        yield f"{place}.rows: 1 to 100"
        return
    cells = [cell for row in rows if isinstance(row, list) for cell in row]
    if any(not isinstance(row, list) or not 1 <= len(row) <= 20 for row in rows):
        yield f"{place}.rows: each of 1 to 20 cells"
    if any(not isinstance(cell, dict) or not cell.get("type") for cell in cells):
        yield f"{place}.rows: a cell is an object with a type"
    elif sum(len(str(cell.get("text", ""))) for cell in cells) > 10_000:
        yield f"{place}: more than 10000 characters in all cells"


def _image(value: dict[str, Any], place: str) -> Iterator[str]:
    if not value.get("alt_text") or len(str(value["alt_text"])) > 2000:
        yield f"{place}.alt_text: 1 to 2000 characters"
    url = value.get("image_url")
    if url is not None and (not str(url).startswith("https://") or len(str(url)) > 3000):
        yield f"{place}.image_url: an https address of at most 3000 characters"


def _text(value: Any, place: str, limit: int, *, plain: bool = False) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{place}: not a text object"
        return
    kind = value.get("type")
    if kind not in ("plain_text", "mrkdwn") or (plain and kind != "plain_text"):
        yield f"{place}.type: {kind!r}, must be plain_text{'' if plain else ' or mrkdwn'}"
    for key in sorted(set(value) - {"type", "text", "emoji" if kind == "plain_text" else "verbatim"}):
        yield f"{place}.{key}: unknown key of {kind}"
    text = value.get("text")
    if not isinstance(text, str) or not text:
        yield f"{place}.text: empty"
    elif len(text) > limit:
        yield f"{place}.text: {len(text)} characters, at most {limit}"
    elif kind == "mrkdwn" and any(alive in text for alive in _ALIVE):
        yield f"{place}.text: would call the whole channel"


def _element(value: Any, place: str, where: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{place}: not an element"
        return
    kind = str(value.get("type"))
    if kind not in _ALLOWED_IN[where]:
        yield f"{place}.type: {kind!r} is not allowed here"
        return
    for key in sorted(set(value) - _ELEMENTS[kind] - {"type", "action_id"}):
        yield f"{place}.{key}: unknown key of {kind}"
    if kind == "image":
        yield from _image(value, place)
        return
    action = value.get("action_id")
    if action is not None and (not isinstance(action, str) or not 1 <= len(action) <= 255):
        yield f"{place}.action_id: 1 to 255 characters"
    if kind == "button":
        yield from _text(value.get("text"), f"{place}.text", 75, plain=True)
        if len(str(value.get("value", ""))) > 2000:
            yield f"{place}.value: more than 2000 characters"
        if len(str(value.get("accessibility_label", ""))) > 75:
            yield f"{place}.accessibility_label: more than 75 characters"
        if "url" in value and (not str(value["url"]).startswith(("https://", "http://")) or len(value["url"]) > 3000):
            yield f"{place}.url: an http address of at most 3000 characters"
        if value.get("style", "primary") not in ("primary", "danger"):
            yield f"{place}.style: primary or danger"
    if "confirm" in value:
        yield from _confirm(value["confirm"], f"{place}.confirm")
    if "placeholder" in value:
        yield from _text(value["placeholder"], f"{place}.placeholder", 150, plain=True)
    if kind in ("static_select", "overflow", "radio_buttons", "checkboxes"):
        yield from _options(value, kind, place)
    if kind == "plain_text_input" and not 0 < int(value.get("max_length", 3000)) <= 3000:
        yield f"{place}.max_length: 1 to 3000"


def _options(value: dict[str, Any], kind: str, place: str) -> Iterator[str]:
    options = value.get("options")
    if options is None and kind == "static_select" and value.get("option_groups"):
        options = [option for group in value["option_groups"] for option in group.get("options", [])]
    limit = _OPTIONS.get(kind, 100)
    if not isinstance(options, list) or not 1 <= len(options) <= limit:
        yield f"{place}.options: 1 to {limit}"
        return
    values: set[str] = set()
    for n, option in enumerate(options):
        if not isinstance(option, dict):
            yield f"{place}.options[{n}]: not an option"
            continue
        plain = kind in ("static_select", "overflow")
        yield from _text(option.get("text"), f"{place}.options[{n}].text", 75, plain=plain)
        said = str(option.get("value", ""))
        if not 1 <= len(said) <= 150:
            yield f"{place}.options[{n}].value: 1 to 150 characters"
        if said in values:
            yield f"{place}.options[{n}].value: {said!r} twice"
        values.add(said)
    if "initial_option" in value and value["initial_option"] not in options:
        yield f"{place}.initial_option: is none of the options"


def _confirm(value: Any, place: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{place}: not a confirm dialog"
        return
    for key, limit in (("title", 100), ("confirm", 30), ("deny", 30)):
        if key in value:
            yield from _text(value[key], f"{place}.{key}", limit, plain=True)
    yield from _text(value.get("text"), f"{place}.text", 300)
