"""Text of a card for Adaptive Cards: runs that are never formatted, Markdown in which nothing is markup, instants.

Pure, and total: whatever the text is, the result keeps its limit and is safe.
"""

from __future__ import annotations

import re
from datetime import UTC
from typing import Any

from .blockkit import cut
from .foreign import clean, plain_emphasis
from .model import Code, Line, When, Who

Json = dict[str, Any]

ROWS = 30  # lines of one paragraph
NOTHING = "–"

_BRACE = re.compile(r"\{(?=\{|$)")
# At the end of a span too: what comes next may begin with a blank.
_LIST = re.compile(r"^(\s*)(?:([-+])(?=\s|$)|(\d+)[.)](?=\s|$))", re.M)
_ENTITY = re.compile(r"&(?=#|[A-Za-z]+;)")
_ESCAPED = re.compile(r"\\(?=[!-/:-@\[-`{-~])")
_MARKDOWN = str.maketrans({"<": "‹", ">": "›", "[": "［", "]": "］"})


def literal(text: str, limit: int, *, lines: bool = False) -> str:
    """For a text run: shown as it is."""
    return _BRACE.sub("｛", cut(_called(clean(text[: 4 * limit + 16], lines=lines)), limit))


def markdown(text: str, limit: int, *, lines: bool = False) -> str:
    """For what Teams reads as Markdown: nothing in it formats, links, lists or mentions."""
    text = _called(plain_emphasis(clean(text[: 4 * limit + 16], lines=lines))).translate(_MARKDOWN)
    text = _ENTITY.sub("＆", _ESCAPED.sub("⧵", text)).replace("://", "∶//")
    text = _LIST.sub(lambda m: f"{m[1]}{'–' if m[2] else m[3] + '․'}", text)
    text = re.sub(r"^(\s*)#", r"\1＃", text, flags=re.M)
    return _BRACE.sub("｛", cut(text, limit))


def _called(text: str) -> str:
    """Here nobody has a slash command; we are called by a mention."""
    return text.replace("/gatehouse ", "@Gatehouse ")


def date(when: When) -> str:
    """Localised by the reader's client."""
    at = when.at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    day = f"{{{{DATE({at},SHORT)}}}}"
    return day if when.style == "date" else f"{day} {{{{TIME({at})}}}}"


def edges(raw: str, made: str) -> str:
    """Spans stand side by side: a blank at either end is kept."""
    if not made:
        return " " if raw and not raw.strip() and "\n" not in raw else ""
    return f"{' ' if raw[:1] == ' ' else ''}{made}{' ' if raw[-1:] == ' ' else ''}"


def runs_of(line: Line, limit: int, *, strong: bool = False) -> list[list[Json | str]]:
    """The spans of a line as text runs, one list for every line break in it, together within ``limit``."""
    rows: list[list[Json | str]] = [[]]
    left = limit
    for span in line:
        if left < 8:
            rows[-1].append("…")
            break
        if isinstance(span, str):
            for position, piece in enumerate(span[: 4 * limit].replace("\r", "\n").split("\n")):
                if left < 8 or len(rows) > ROWS:
                    rows[-1].append("…")
                    return _with_text(rows)
                if position:
                    rows.append([])
                made = edges(piece, literal(piece, max(left, 2)))
                if made:
                    rows[-1].append({"type": "TextRun", "text": made, "weight": "Bolder"} if strong else made)
                    left -= len(made)
            continue
        run: Json = {"type": "TextRun", "text": ""}
        if isinstance(span, When):
            run["text"] = date(span)
        elif isinstance(span, Who):
            run["text"] = literal(span.person.name, min(left, 120)) or NOTHING
        else:
            run["text"] = literal(span.text, max(left, 2))
            run |= {"fontType": "Monospace"} if isinstance(span, Code) else {"weight": "Bolder"}
        if run["text"]:
            rows[-1].append(run)
            left -= len(run["text"])
    return _with_text(rows)


def _with_text(rows: list[list[Json | str]]) -> list[list[Json | str]]:
    return [row for row in rows if any((r if isinstance(r, str) else r["text"]).strip() for r in row)]
