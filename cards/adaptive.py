"""Card -> Adaptive Card 1.5 for Microsoft Teams. Pure, and total: whatever the text is, the result keeps every limit.

Rules
- Text of a card stands in text runs (``RichTextBlock``), which Teams formats in no way: ids and ARNs stay as they are.
  Where only Markdown can be (title, facts, labels) look-alikes stand for what would be markup, a link or a mention.
- ``{{DATE(…)}}`` is the one function a card has; only ``When`` makes it, braces in data are broken.
- No colour says anything; every input has a label, every button words. ``fallbackText`` is the card's summary.
- A message stays within 28 KB, counted in UTF-8: longer text is cut first, then the longest parts go, and that is said.
- People are named, not mentioned: a mention in a card would ring at every update.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from . import plot
from .adaptive_text import NOTHING as NOTHING
from .adaptive_text import Json as Json
from .adaptive_text import date, edges, runs_of
from .adaptive_text import literal as literal
from .adaptive_text import markdown as markdown
from .blockkit import cut, safe_url
from .model import (
    Ask,
    Bullets,
    Button,
    Buttons,
    Card,
    Choose,
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
from .words import sentence

VERSION = "1.5"
CONTENT_TYPE = "application/vnd.microsoft.card.adaptive"
LIMIT = 28 * 1024  # bytes of an activity
ENVELOPE = 2 * 1024  # of it for conversation, sender, summary and reference
TITLE, LINE, SECTION, FACT, LABEL, BUTTON, SPOKEN, SUMMARY, OPTIONS = 200, 1500, 4000, 1000, 250, 60, 150, 900, 100
VALUE, ACTIONS, USERS, HEADING = 2000, 6, 60, 64  # Teams shows six buttons in a row; a refresh names at most 60 people
TABLE_COLUMNS, TABLE_ROWS, BULLET = 8, 40, 600  # of a bullet: characters, as in Slack
ROW_WIDTH, BESIDE = 48, 5  # letters of the buttons side by side before a telephone cuts them; what a frame takes
ROW = 20  # what an element costs besides its text
SCALES = (1.0, 0.5, 0.25)
KEY = "gh"  # of a button's value in the data; inputs come back beside it by their ids
VERB = "verb"  # the same, of the button's verb where it is sent by Action.Submit


@dataclass(frozen=True, slots=True)
class Refresh:
    """Who gets a card of their own: Teams asks the bot with ``action`` and ``value`` for each of ``user_ids``."""

    action: str
    value: str
    user_ids: tuple[str, ...]  # Teams' own ids, 29:…


@dataclass(frozen=True, slots=True)
class Filled:
    """A form that comes back: what was typed, and what is wrong with it by input ("" for the form as a whole)."""

    given: Mapping[str, str] = field(default_factory=dict)
    wrong: Mapping[str, str] = field(default_factory=dict)


_NEW = Filled()


@dataclass(frozen=True, slots=True)
class _How:
    """How much of each text is shown, and what of a form."""

    scale: float = 1.0
    inputs: bool = True
    filled: Filled = _NEW
    dialogs: frozenset[str] = frozenset()


# --- lines -----------------------------------------------------------------------------------------------------------


def _rich(runs: Sequence[Json | str], *, small: bool = False, tight: bool = False) -> Json:
    inlines: list[Json | str] = []
    for run in runs:
        if small:
            run = {"type": "TextRun", "text": run} if isinstance(run, str) else run
            run = {**run, "size": "Small", "isSubtle": True}
        inlines.append(run)
    return {"type": "RichTextBlock", "inlines": inlines, **({"spacing": "None"} if tight else {})}


def _lines(lines: Iterable[Line], heading: str, limit: int, *, bullet: bool = False) -> list[Json]:
    made: list[Json] = []
    left = limit
    if heading.strip():
        made += [_rich(row) for row in runs_of((heading.replace("\n", " "),), 198, strong=True)]
    for line in lines:
        if left < 40:
            made.append(_rich(["…"], tight=True))
            break
        rows = runs_of(("• ", *line) if bullet else line, min(left, LINE))
        if bullet and rows and all(isinstance(r, str) and r.strip() in {"•", ""} for r in rows[0]) and len(rows) == 1:
            continue
        for row in rows:
            left -= sum(len(r if isinstance(r, str) else r["text"]) for r in row) + ROW
            made.append(_rich(row, tight=bool(made)))
    return made


def _flat(line: Line, limit: int) -> str:
    """A line as Markdown, for a fact."""
    out: list[str] = []
    left = limit
    for span in line:
        if left < 8:
            out.append("…")
            break
        if isinstance(span, When):
            made = date(span)
        elif isinstance(span, str):
            inner = markdown(span, left, lines=True)
            made = f"\n{inner}" if span.startswith("\n") and inner else edges(span, inner)
            made = "\n" if not inner and "\n" in span else made
        else:
            made = markdown(span.person.name if isinstance(span, Who) else span.text, left)
        out.append(made)
        left -= len(made)
    said = re.sub(r"\n+(?=\()", " ", "".join(out).strip())  # what is in brackets belongs to what is before it
    return re.sub(r"\n+", "\n\n", said)


# --- parts -----------------------------------------------------------------------------------------------------------


def _button(button: Button, dialogs: frozenset[str] = frozenset(), *, apart: bool = False) -> Json | None:
    """``dialogs``: the actions that open a dialog, which is asked for by ``task/fetch``. ``apart``: it stands in a form
    and does not send it, so nothing has to be filled in before it can be pressed."""
    made: Json = {"type": "Action.Execute", "title": literal(button.label, BUTTON) or NOTHING}
    if button.url:
        url = safe_url(button.url)
        if not url:
            return None  # a link that cannot be followed is no button
        made |= {"type": "Action.OpenUrl", "url": url}
    else:
        verb, value = cut(button.action, 100), button.value if len(button.value) <= VALUE else ""
        if button.action in dialogs:  # Teams opens one only by a submit, whose verb travels in the data
            made |= {"type": "Action.Submit", "data": {KEY: value, VERB: verb, "msteams": {"type": "task/fetch"}}}
        else:
            made |= {"verb": verb, "data": {KEY: value}}
        if apart:
            made["associatedInputs"] = "none"
    if button.style:
        made["style"] = "positive" if button.style == "primary" else "destructive"
    if button.spoken:
        made["tooltip"] = literal(button.spoken, SPOKEN) or made["title"]
    return made


def _actions(buttons: Iterable[Button], dialogs: frozenset[str] = frozenset(), *, apart: bool = False) -> list[Json]:
    made = [item for item in (_button(button, dialogs, apart=apart) for button in buttons) if item]
    rows: list[list[Json]] = []
    room = 0
    for item in made:
        need = len(item["title"]) + BESIDE
        if not rows or len(rows[-1]) == ACTIONS or need > room:
            rows.append([])
            room = ROW_WIDTH
        rows[-1].append(item)
        room -= need
    return [{"type": "ActionSet", "actions": row, **({"spacing": "Small"} if n else {})} for n, row in enumerate(rows)]


def _facts(facts: Facts, scale: float) -> list[Json]:
    made = []
    for fact in facts.items:
        value = _flat(fact.value, int(FACT * scale))
        if value:
            made.append({"title": markdown(fact.label, 100) or NOTHING, "value": value})
    return [{"type": "FactSet", "facts": made}] if made else []


def _input(part: Choose | Ask, how: _How) -> list[Json]:
    label = f"{sentence(part.label)} {part.hint.strip()}" if part.hint.strip() else part.label
    made: Json = {"id": cut(part.id, 100) or "input", "label": markdown(label, LABEL) or NOTHING}
    typed = how.filled.given.get(part.id, "")
    if isinstance(part, Ask):
        made |= {"type": "Input.Text", "maxLength": min(max(part.max_length, 1), 3000)}
        if shown := literal(typed, made["maxLength"], lines=part.long):
            made["value"] = shown
        if part.long:
            made["isMultiline"] = True
        if part.placeholder:
            made["placeholder"] = literal(part.placeholder, 150) or NOTHING
        required = not part.optional
    else:
        options: list[Json] = []
        for option in part.options[: max(1, int(OPTIONS * how.scale))]:
            if not option.value or len(option.value) > 200:
                continue
            said = f"{option.label}: {option.detail}" if option.detail else option.label
            options.append({"title": markdown(said, max(20, int(120 * how.scale))) or NOTHING, "value": option.value})
        if not options:
            return []
        made |= {"type": "Input.ChoiceSet", "style": "compact" if part.many else "expanded", "choices": options}
        made["wrap"] = True
        wanted = typed or part.initial
        if any(option["value"] == wanted for option in options):
            made["value"] = wanted
        required = True
    if required:
        made |= {"isRequired": True, "errorMessage": f"Please fill in: {markdown(part.label, 100) or 'this'}"}
    return [*_wrong(how.filled.wrong.get(part.id, "")), made]


def _wrong(said: str) -> list[Json]:
    runs = runs_of((Strong(f"⚠️ {said}"),), 400) if said.strip() else []
    return [_rich(row) for row in runs]


def _grid(grid: Grid, scale: float) -> list[Json]:
    width = len(grid.columns)
    if not grid.rows or not 0 < width <= TABLE_COLUMNS:
        items: list[Line] = []
        for row in grid.rows:
            cells = [f"{name}: {cell}" for name, cell in zip(grid.columns, row, strict=False) if cell]
            items.append((" · ".join(cells),))
        return _bullets(Bullets(tuple(items)), scale)
    shown = grid.rows[: max(1, int(TABLE_ROWS * scale))]

    def cell(text: str, position: int, *, head: bool = False) -> Json:
        said = literal(text, max(4, int(120 * scale))) or NOTHING
        run = {"type": "TextRun", "text": said, "weight": "Bolder"} if head else said
        side = {"horizontalAlignment": "Right"} if position in grid.right else {}
        return {"type": "TableCell", "items": [{"type": "RichTextBlock", "inlines": [run], **side}]}

    rows = [{"type": "TableRow", "cells": [cell(name, n, head=True) for n, name in enumerate(grid.columns)]}]
    for row in shown:
        padded = row[:width] + ("",) * (width - len(row))
        rows.append({"type": "TableRow", "cells": [cell(text, n) for n, text in enumerate(padded)]})
    columns = [{"width": 1 if n in grid.right else 2} for n in range(width)]
    table: Json = {"type": "Table", "columns": columns, "firstRowAsHeader": True, "showGridLines": True, "rows": rows}
    return [table, *_more(len(grid.rows) - len(shown), "more rows")]


def _more(number: int, what: str) -> list[Json]:
    return [_rich([f"… and {number:,} {what}"], small=True)] if number > 0 else []


def _bullets(part: Bullets, scale: float) -> list[Json]:
    # A list is as long as its lines; what is too long for a message is cut by the message's own scale.
    room = max(SECTION, BULLET * len(part.items))
    made = _lines(part.items, part.heading, int(room * scale), bullet=True)
    return [*made, *_more(part.total - len(part.items), "more")]


def _part(part: Part, how: _How) -> list[Json]:
    scale = how.scale
    match part:
        case Facts():
            return _facts(part, scale)
        case Section():
            return _lines(part.lines, part.heading, int(SECTION * scale))
        case Bullets():
            return _bullets(part, scale)
        case Buttons():
            return _actions(part.items, how.dialogs, apart=how.inputs)
        case Small():
            return [_rich(row, small=True) for row in runs_of(part.line, int(LINE * scale))]
        case Rule():
            return []
        case Choose() | Ask():
            return _input(part, how)
        case Grid():
            return _grid(part, scale)
        case Plot():
            return plot.elements(part.view, _grid(part.grid, scale) if part.grid else [])
        case Feedback():
            up = Button(part.action, "👍 Good answer", part.up)
            down = Button(part.action, "👎 Bad answer", part.down)
            return _actions((up, down))


# --- the card --------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Group:
    """The elements of one part. The lower ``rank``, the sooner it goes where there is no room."""

    made: list[Json]
    rank: int
    bound: list[_Group] = field(default_factory=list)  # buttons that are about it, and go where it goes

    @property
    def size(self) -> int:
        return size_of(self.made)


def size_of(thing: Any) -> int:
    """Bytes on the wire."""
    return len(json.dumps(thing, ensure_ascii=False, separators=(",", ":")).encode())


def _groups(card: Card, how: _How) -> list[_Group]:
    made: list[_Group] = []
    about: _Group | None = None  # the last section
    scale = how.scale
    title = markdown(card.title, TITLE)
    if title:
        head: Json = {"type": "TextBlock", "text": title, "wrap": True, "style": "heading"}
        made.append(_Group([head | {"size": "Large", "weight": "Bolder"}], 3))
    made.append(_Group([_rich(row) for row in runs_of(card.status, int(LINE * scale))], 3))
    made.append(_Group(_wrong(how.filled.wrong.get("", "")), 3))
    separate = False
    for part in card.body:
        if isinstance(part, Choose | Ask) and not how.inputs:
            continue
        if isinstance(part, Rule):
            separate = True
            continue
        elements = _part(part, how)
        if elements and separate:
            elements[0], separate = {**elements[0], "separator": True}, False
        elif elements and isinstance(part, Facts) and made[-1].made and made[-1].made[-1]["type"] == "FactSet":
            last = made[-1].made.pop()  # one set has one column of labels
            made[-1].made.append(last | {"facts": [*last["facts"], *elements[0]["facts"]]})
            continue
        rank = 2 if isinstance(part, Buttons | Choose | Ask | Feedback) else 1 if isinstance(part, Facts) else 0
        made.append(_Group(elements, rank))
        if isinstance(part, Section):
            about = made[-1]
        elif isinstance(part, Buttons) and part.bound and about is not None:
            about.bound.append(made[-1])
    for line in card.footer[:10]:
        made.append(_Group([_rich(row, small=True) for row in runs_of(line, int(LINE * scale))], 1))
    return [group for group in made if group.made]


def _fitted(card: Card, room: int, how: _How) -> list[Json]:
    groups: list[_Group] = []
    for scale in SCALES:
        groups = _groups(card, replace(how, scale=scale))
        if sum(group.size for group in groups) <= room:
            return [element for group in groups for element in group.made]
    # Even the shortest text does not fit: whole parts go, the longest first, buttons and inputs last. With the first
    # scale that cuts, since what stays should be readable.
    groups, dropped = _groups(card, replace(how, scale=SCALES[1])), 0
    sizes = {id(group): group.size for group in groups}
    left = sum(sizes.values())
    room -= 200  # for saying so
    for group in sorted(groups, key=lambda group: (group.rank, -sizes[id(group)])):
        if left <= room:
            break
        if not group.made:
            continue
        for gone in (group, *group.bound):
            left -= sizes[id(gone)] if gone.made else 0
            gone.made = []
        dropped += 1
    note = _rich([f"… {dropped} more parts are not shown here"], small=True)
    first = next((n for n, group in enumerate(groups) if group.made and group.rank == 2), len(groups))
    groups.insert(first, _Group([note], 3))
    return [element for group in groups for element in group.made]


def content(
    card: Card,
    *,
    submit: Button | None = None,
    back: Button | None = None,
    refresh: Refresh | None = None,
    full: bool = True,
    filled: Filled = _NEW,
    dialogs: frozenset[str] = frozenset(),
    limit: int = LIMIT,
) -> Json:
    """The Adaptive Card. Inputs are shown only with ``submit``, the button that sends them; ``back`` leaves without
    sending. ``full``: as wide as the conversation. ``dialogs``: the actions that open one. ``limit``: bytes of the
    message."""
    summary = literal(card.summary, SUMMARY) or NOTHING
    made: Json = {
        "type": "AdaptiveCard",
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "version": VERSION,
        "fallbackText": summary,
    }
    if full:
        made["msteams"] = {"width": "Full"}
    if refresh is not None and refresh.user_ids:
        action: Json = {"type": "Action.Execute", "title": "Refresh", "verb": refresh.action}
        made["refresh"] = {"action": action | {"data": {KEY: refresh.value}}, "userIds": list(refresh.user_ids[:USERS])}
    last: list[Json] = []
    for button, sends in ((submit, True), (back, False)):
        action_made = _button(button) if button else None
        if action_made:
            last.append(action_made if sends else {**action_made, "associatedInputs": "none"})
    if last:
        made["actions"] = last
    room = limit - ENVELOPE - size_of(made) - size_of(summary)  # which the message says once more
    body = _fitted(card, room, _How(inputs=submit is not None, filled=filled, dialogs=dialogs))
    made["body"] = body or [_rich([summary])]
    return made


def attachment(made: Json) -> Json:
    return {"contentType": CONTENT_TYPE, "content": made}


def message(card: Card, *, refresh: Refresh | None = None, limit: int = LIMIT) -> Json:
    """The activity: ``{"type", "summary", "attachments"}``. The summary is what a notification says."""
    summary = literal(card.summary, SUMMARY) or NOTHING
    made = content(card, refresh=refresh, limit=limit)
    return {"type": "message", "summary": summary, "attachments": [attachment(made)]}


def task(
    card: Card, *, title: str = "", submit: Button | None = None, back: Button | None = None, filled: Filled = _NEW
) -> Json:
    """What answers ``task/fetch`` and ``task/submit``: a dialog with the card in it. Every button of it comes back as
    ``task/submit``: nothing else is sent from a dialog."""
    title = literal(title or card.title, HEADING) or "Gatehouse"
    # The dialog's own heading says it already, unless it had to be cut.
    shown = replace(card, title="") if title == literal(card.title, LINE) else card
    made = _sent_by_submit(content(shown, submit=submit, back=back, full=False, filled=filled))
    value = {"title": title, "height": "large" if submit else "medium", "width": "large", "card": attachment(made)}
    return {"task": {"type": "continue", "value": value}}


def task_message(said: str) -> Json:
    """Closes the dialog and says so."""
    return {"task": {"type": "message", "value": literal(said, 1000) or NOTHING}}


def _sent_by_submit(made: Json) -> Json:
    def turned(action: Json) -> Json:
        if action["type"] != "Action.Execute":
            return action
        kept = {key: value for key, value in action.items() if key != "verb"}
        return kept | {"type": "Action.Submit", "data": action["data"] | {VERB: action["verb"]}}

    body = [
        {**element, "actions": [turned(action) for action in element["actions"]]}
        if element["type"] == "ActionSet"
        else element
        for element in made["body"]
    ]
    last = {"actions": [turned(action) for action in made["actions"]]} if "actions" in made else {}
    return {**made, "body": body, **last}
