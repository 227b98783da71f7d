"""The neutral card: what a message, a dialog or a home page says, in no platform's syntax.

Rules
- Every string is raw text; a renderer escapes it, cuts it to its platform's limits and never fails on it.
- ``Card.summary`` is one full sentence that reads well aloud: what a screen reader and a notification say.
- People and instants stay data (``Who``, ``When``), so that each platform mentions and localises in its own way.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from bot.domain.answers import ChartView
from bot.domain.views import PersonRef


@dataclass(frozen=True, slots=True)
class Strong:
    text: str


@dataclass(frozen=True, slots=True)
class Code:
    """Shown literally: ids, ARNs, API calls."""

    text: str


@dataclass(frozen=True, slots=True)
class Who:
    person: PersonRef


@dataclass(frozen=True, slots=True)
class When:
    """An instant, shown in the reader's own zone."""

    at: datetime
    style: Literal["date", "datetime"] = "datetime"


Span = str | Strong | Code | Who | When
Line = tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class Button:
    """``action`` is ``gh.<verb>``; ``value`` is JSON of ids only; ``spoken`` is what a screen reader says."""

    action: str
    label: str
    value: str = ""
    style: Literal["", "primary", "danger"] = ""
    url: str = ""
    spoken: str = ""


@dataclass(frozen=True, slots=True)
class Fact:
    label: str
    value: Line


@dataclass(frozen=True, slots=True)
class Facts:
    items: tuple[Fact, ...]


@dataclass(frozen=True, slots=True)
class Section:
    lines: tuple[Line, ...]
    heading: str = ""


@dataclass(frozen=True, slots=True)
class Bullets:
    items: tuple[Line, ...]
    heading: str = ""
    total: int = 0  # how many there are in all; more than ``items`` is said


@dataclass(frozen=True, slots=True)
class Buttons:
    """``bound``: they are about the Section before them, and are not shown where there is no room for it."""

    items: tuple[Button, ...]
    bound: bool = False


@dataclass(frozen=True, slots=True)
class Small:
    """Secondary text: where from, by whom, how it was read."""

    line: Line


@dataclass(frozen=True, slots=True)
class Rule:
    """A thin line between parts."""


@dataclass(frozen=True, slots=True)
class OptionItem:
    value: str
    label: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Choose:
    """One of a few, all visible (``many=False``) or in a list that opens (``many=True``)."""

    id: str
    label: str
    options: tuple[OptionItem, ...]
    initial: str = ""
    many: bool = False
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Ask:
    """A text the person types."""

    id: str
    label: str
    hint: str = ""
    placeholder: str = ""
    optional: bool = False
    long: bool = False
    max_length: int = 1000


@dataclass(frozen=True, slots=True)
class Grid:
    """A table. ``right`` are the positions of columns of numbers. Where a platform has no table it becomes lines."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    right: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Feedback:
    """Thumb up, thumb down: the two values that come back with ``action``."""

    action: str
    up: str
    down: str


@dataclass(frozen=True, slots=True)
class Plot:
    """A chart where the platform draws charts itself. It says nothing that no text says: ``grid`` holds the same
    figures, folded away where they can be; where it is None they stand in the card anyway."""

    view: ChartView
    grid: Grid | None = None


Part = Facts | Section | Bullets | Buttons | Small | Rule | Choose | Ask | Grid | Feedback | Plot


@dataclass(frozen=True, slots=True)
class Card:
    title: str
    summary: str
    status: Line = ()
    body: tuple[Part, ...] = ()
    footer: tuple[Line, ...] = ()
