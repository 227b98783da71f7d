"""Card -> Block Kit. Pure, and total: whatever the text is, the result keeps every limit of Slack.

Rules
- Too long is cut with "…", too many is cut with a line that says so; nothing raises.
- Text from outside is escaped (& < >), cannot mention, link, format itself, become an emoji or a quote, and loses
  control, bidirectional-override and invisible characters (``foreign.py``). Only ``Who`` and ``When`` make markup.
- Only header, section, fields, actions, context, divider and input: what every client shows. Answers to questions
  also have a table and feedback buttons in messages, which are lines and buttons elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote, urlsplit

from bot.domain.principals import Platform

from .foreign import UNSAFE, clean, no_emoji_codes, plain_emphasis, settled
from .model import (
    Ask,
    Bullets,
    Button,
    Buttons,
    Card,
    Choose,
    Code,
    Facts,
    Feedback,
    Grid,
    Line,
    Part,
    Plot,
    Rule,
    Section,
    Small,
    Strong,
    When,
    Who,
)

Block = dict[str, Any]

MESSAGE_BLOCKS, VIEW_BLOCKS = 50, 100
HEADER, SECTION, FIELD, FIELDS, CONTEXT, LABEL = 150, 3000, 2000, 10, 2000, 75
ACTIONS, VALUE, URL, ID, OPTION_VALUE, OPTIONS, PLACEHOLDER, INPUT_LABEL = 25, 2000, 3000, 255, 150, 100, 150, 2000
MODAL_TITLE, METADATA, MESSAGE_TEXT, RADIOS = 24, 3000, 3900, 10
BULLETS_PER_BLOCK = 10
TABLE_ROWS, TABLE_CELLS, TABLE_TEXT = 100, 20, 10_000  # with the head row; of all cells together
NOTHING = "–"

_MARKUP_START = re.compile(r"<(?=[!@#]|https?:|mailto:|tel:)", re.I)
_USER_ID = re.compile(r"[UW][A-Z0-9]{2,}")


def cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"


def head(text: str, room: int) -> str:
    """As much of a text as can matter where ``room`` characters are shown: what is invisible takes no room."""
    return text[: 4 * room + 16]


def escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def cut_escaped(text: str, limit: int) -> str:
    """Escape and cut so that no entity is cut in half."""
    whole = escape(text[: limit + 1])
    if len(whole) <= limit:
        return whole
    kept = whole[: limit - 1]
    start = kept.rfind("&")  # of an entity; one that is whole has its semicolon
    if start >= 0 and ";" not in kept[start:]:
        kept = kept[:start]
    return kept.rstrip() + "…"


def plain(text: str, limit: int) -> Block:
    """A plain_text object, never empty."""
    safe = no_emoji_codes(_MARKUP_START.sub("‹", clean(head(text, limit), lines=False)))
    return {"type": "plain_text", "text": cut(safe, limit) or NOTHING, "emoji": True}


def mrkdwn(text: str) -> Block:
    # verbatim: a bare URL or #name in foreign text is not turned into a link
    return {"type": "mrkdwn", "text": settled(text) or NOTHING, "verbatim": True}


def _span(span: Any, room: int) -> str:
    """One span in at most ``room`` characters; "" when it does not fit and cannot be cut."""
    if isinstance(span, str):
        return cut_escaped(_keep_edges(head(span, room)), room)
    if isinstance(span, Strong):
        inner = cut_escaped(plain_emphasis(clean(head(span.text, room), lines=False)), max(room - 2, 1))
        return f"*{inner}*" if inner and room > 4 else ""
    if isinstance(span, Code):
        inner = cut_escaped(clean(head(span.text, room), lines=False).replace("`", "'"), max(room - 2, 1))
        return f"`{inner}`" if inner and room > 4 else ""
    if isinstance(span, When):
        made = date(span)
        return made if len(made) <= room else ""
    assert isinstance(span, Who)
    made = mention(span)
    return made if len(made) <= room else cut_escaped(plain_emphasis(clean(span.person.name, lines=False)), room)


def _keep_edges(text: str) -> str:
    """Clean, but keep a blank or line break at either end: spans stand side by side. A source's Markdown is not ours:
    its emphasis goes, so that it neither shows as stars nor formats what follows."""
    inner = plain_emphasis(clean(text))
    before = text[0] if text[:1] in {" ", "\n"} else ""
    return f"{before}{inner}{text[-1] if inner and text[-1] in {' ', chr(10)} else ''}"


def date(when: When) -> str:
    fallback = when.at.strftime("%Y-%m-%d" if when.style == "date" else "%Y-%m-%d %H:%M UTC")
    shape = "{date_short_pretty}" if when.style == "date" else "{date_short_pretty} {time}"
    return f"<!date^{int(when.at.timestamp())}^{shape}|{fallback}>"


def mention(who: Who) -> str:
    """``<@U…>`` only for an identity of this platform; else the name as text."""
    for identity in who.person.identities:
        if identity.platform is Platform.SLACK and _USER_ID.fullmatch(identity.user):
            return f"<@{identity.user}>"
    return cut_escaped(plain_emphasis(clean(who.person.name, lines=False)), 200) or NOTHING


def line_text(line: Line, limit: int) -> str:
    """The spans of a line as mrkdwn within ``limit``; what does not fit is replaced by "…"."""
    out, left = [], limit
    for span in line:
        if left < 8:
            out.append("…")
            break
        made = _span(span, left - 2)
        out.append(made)
        left -= len(made)
    return "".join(out).strip()


def _lines(lines: Iterable[Line], heading: str, limit: int = SECTION) -> str:
    out, left = [], limit
    if heading.strip():
        out.append(_span(Strong(heading), 200))
        left -= len(out[0]) + 1
    for line in lines:
        if left < 40:
            out.append("…")
            break
        made = line_text(line, left - 2)
        if made:
            out.append(made)
            left -= len(made) + 1
    return "\n".join(out)


def _section(text: str) -> list[Block]:
    return [{"type": "section", "text": mrkdwn(text)}] if text.strip() else []


def safe_url(url: str) -> str:
    """An http(s) URL Slack takes, or ""."""
    url = UNSAFE.sub("", url).strip().replace(" ", "%20").replace("\n", "")
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        return ""
    if parts.scheme not in {"https", "http"} or not host or parts.username is not None:
        return ""
    url = quote(url, safe="%:/?#[]@!$&'()*+,;=-._~")
    return url if len(url) <= URL else ""


def _button(button: Button) -> Block | None:
    made: Block = {"type": "button", "action_id": cut(button.action, ID), "text": plain(button.label, LABEL)}
    if button.value and len(button.value) <= VALUE:
        made["value"] = button.value
    if button.url:
        url = safe_url(button.url)
        if not url:
            return None  # a link that cannot be followed is no button
        made["url"] = url
    if button.style:
        made["style"] = button.style
    if button.spoken:
        made["accessibility_label"] = plain(button.spoken, LABEL)["text"]
    return made


def _actions(buttons: Iterable[Button]) -> list[Block]:
    made = [item for item in map(_button, buttons) if item]
    blocks: list[Block] = []
    for start in range(0, len(made), ACTIONS):
        row, seen = made[start : start + ACTIONS], set()
        for position, item in enumerate(row):
            if item["action_id"] in seen:  # Slack wants them unique inside a block; the verb stays the first two parts
                item["action_id"] = f"{cut(item['action_id'], ID - 4)}.{position}"
            seen.add(item["action_id"])
        blocks.append({"type": "actions", "elements": row})
    return blocks


def _facts(facts: Facts) -> list[Block]:
    fields = []
    for fact in facts.items:
        value = line_text(fact.value, FIELD - 210)
        if value:
            fields.append(mrkdwn(f"{_span(Strong(fact.label), 200)}\n{value}"))
    return [{"type": "section", "fields": fields[i : i + FIELDS]} for i in range(0, len(fields), FIELDS)]


def _bullets(part: Bullets) -> list[Block]:
    items = [made for item in part.items if (made := line_text(item, 600))]
    blocks: list[Block] = []
    for start in range(0, len(items), BULLETS_PER_BLOCK):
        text = "\n".join(f"• {item}" for item in items[start : start + BULLETS_PER_BLOCK])
        head = f"{_span(Strong(part.heading), 200)}\n" if start == 0 and part.heading.strip() else ""
        blocks += _section(_whole_lines(head + text, SECTION))
    if part.total > len(items):
        blocks.append(_context(f"… and {part.total - len(items)} more"))
    return blocks


def _whole_lines(text: str, limit: int) -> str:
    """Cut between lines, so that no markup is cut in half."""
    while len(text) > limit:
        text = text[: limit - 2].rpartition("\n")[0] + "\n…"
        limit -= 2
    return text


def _context(text: str) -> Block:
    return {"type": "context", "elements": [mrkdwn(text)]}


def _option(value: str, label: str, detail: str = "") -> Block:
    made: Block = {"text": plain(label, LABEL), "value": cut(value, OPTION_VALUE) or NOTHING}
    if detail:
        made["description"] = plain(detail, LABEL)
    return made


def _input(part: Choose | Ask) -> list[Block]:
    block: Block = {"type": "input", "block_id": cut(part.id, ID) or "input", "label": plain(part.label, INPUT_LABEL)}
    if part.hint:
        block["hint"] = plain(part.hint, INPUT_LABEL)
    if isinstance(part, Ask):
        block["optional"] = part.optional
        element: Block = {
            "type": "plain_text_input",
            "action_id": "v",
            "multiline": part.long,
            "max_length": min(max(part.max_length, 1), 3000),
        }
        if part.placeholder:
            element["placeholder"] = plain(part.placeholder, PLACEHOLDER)
    else:
        limit = OPTIONS if part.many else RADIOS
        options = [_option(o.value, o.label, o.detail) for o in part.options[:limit]]
        if not options:
            return []
        element = {"type": "static_select" if part.many else "radio_buttons", "action_id": "v", "options": options}
        chosen = next((o for o in options if o["value"] == part.initial), None)
        if chosen:
            element["initial_option"] = chosen
    return [{**block, "element": element}]


def _table(grid: Grid) -> Block | None:
    """Cells are raw text, which Slack formats in no way. None where it does not fit into one table."""
    if not grid.columns or not grid.rows or len(grid.columns) > TABLE_CELLS:
        return None
    width = len(grid.columns)
    room = TABLE_TEXT // ((min(len(grid.rows), TABLE_ROWS - 1) + 1) * width)
    rows = [grid.columns, *(row[:width] + ("",) * (width - len(row)) for row in grid.rows[: TABLE_ROWS - 1])]
    cells = [[{"type": "raw_text", "text": plain(cell, max(room, 2))["text"]} for cell in row] for row in rows]
    align = [{"align": "right" if n in grid.right else "left", "is_wrapped": n not in grid.right} for n in range(width)]
    return {"type": "table", "column_settings": align, "rows": cells}


def _grid_lines(grid: Grid) -> Bullets:
    """The same without a table: one line a row."""
    items: list[Line] = []
    for row in grid.rows:
        cells = [f"{name}: {cell}" for name, cell in zip(grid.columns, row, strict=False) if cell]
        items.append((" · ".join(cells),))
    return Bullets(tuple(items))


def _feedback(part: Feedback) -> Block:
    sides = {
        "positive_button": ("Good answer", part.up),
        "negative_button": ("Bad answer", part.down),
    }
    buttons = {
        key: {"text": plain(said, LABEL), "value": value, "accessibility_label": said}
        for key, (said, value) in sides.items()
    }
    element: Block = {"type": "feedback_buttons", "action_id": cut(part.action, ID), **buttons}
    return {"type": "context_actions", "elements": [element]}


def _rich(part: Grid | Feedback, blocks: list[Block], *, message: bool) -> list[Block]:
    """What messages alone can have, and what stands for it elsewhere. One table a message is Slack's limit."""
    if isinstance(part, Feedback):
        up, down = (
            Button(part.action, "👍 Good answer", part.up, spoken="Good answer"),
            Button(part.action, "👎 Bad answer", part.down, spoken="Bad answer"),
        )
        return [_feedback(part)] if message else _actions((up, down))
    table = _table(part) if message and not any(block["type"] == "table" for block in blocks) else None
    return [table] if table else _bullets(_grid_lines(part))


def _part(part: Part) -> list[Block]:
    match part:
        case Facts():
            return _facts(part)
        case Section():
            return _section(_lines(part.lines, part.heading))
        case Bullets():
            return _bullets(part)
        case Buttons():
            return _actions(part.items)
        case Small():
            text = line_text(part.line, CONTEXT)
            return [_context(text)] if text else []
        case Rule():
            return [{"type": "divider"}]
        case Choose() | Ask():
            return _input(part)
        case Plot():  # Slack draws none; its pictures are messages of their own
            return _part(part.grid) if part.grid else []
        case Grid() | Feedback():
            return _rich(part, [], message=False)


def _blocks(card: Card, limit: int, *, header: bool, inputs: bool, rich: bool = False) -> list[Block]:
    top: list[Block] = [{"type": "header", "text": plain(card.title, HEADER)}] if header else []
    top += _section(line_text(card.status, SECTION))
    body: list[Block] = []
    for part in card.body:
        if isinstance(part, Plot) and part.grid:
            part = part.grid
        if rich and isinstance(part, Grid | Feedback):
            body += _rich(part, body, message=True)
        elif inputs or not isinstance(part, Choose | Ask):
            body += _part(part)
    foot = [_context(text) for line in card.footer[:10] if (text := line_text(line, CONTEXT))]
    room = limit - len(top) - len(foot)
    if len(body) > room:
        dropped = len(body) - room + 1
        body = [*body[: room - 1], _context(f"… {dropped} more parts are not shown here")]
    blocks = (
        [*top, *body, *foot] or _section(cut_escaped(plain_emphasis(clean(card.summary)), SECTION)) or _section(NOTHING)
    )
    for position, block in enumerate(blocks):
        block.setdefault("block_id", f"b{position}")
    seen: set[str] = set()
    for position, block in enumerate(blocks):
        if block["block_id"] in seen:
            block["block_id"] = f"{cut(block['block_id'], ID - 5)}-{position}"
        seen.add(block["block_id"])
    return blocks


def message(card: Card, *, rich: bool = True) -> dict[str, Any]:
    """``{"text", "blocks"}`` for chat.postMessage, chat.update and chat.postEphemeral. ``rich``: with a table and
    feedback buttons where the card has them."""
    text = settled(cut_escaped(plain_emphasis(clean(head(card.summary, MESSAGE_TEXT), lines=False)), MESSAGE_TEXT))
    return {
        "text": text or NOTHING,
        "blocks": _blocks(card, MESSAGE_BLOCKS, header=bool(card.title), inputs=False, rich=rich),
    }


def modal(
    card: Card,
    *,
    callback_id: str,
    private_metadata: str = "",
    submit: str = "",
    close: str = "Close",
    title: str = "",
) -> dict[str, Any]:
    """A modal view. ``title`` is the short name of the dialog (24 characters); the card's title then heads the body."""
    blocks = _blocks(card, VIEW_BLOCKS, header=bool(title) and bool(card.title), inputs=bool(submit))
    view: dict[str, Any] = {
        "type": "modal",
        "callback_id": cut(callback_id, ID),
        "title": plain(title or card.title, MODAL_TITLE),
        "close": plain(close, MODAL_TITLE),
        "blocks": blocks,
    }
    if private_metadata and len(private_metadata) <= METADATA:
        view["private_metadata"] = private_metadata
    if submit:
        view["submit"] = plain(submit, MODAL_TITLE)
    return view


def home(card: Card) -> dict[str, Any]:
    """The App Home view."""
    return {"type": "home", "callback_id": "gh.home", "blocks": _blocks(card, VIEW_BLOCKS, header=True, inputs=False)}
