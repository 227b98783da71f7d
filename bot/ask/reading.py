"""What a question was understood as: the parsed question, which a follow-up changes, and the outcome of reading."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any, Literal

from bot.ask.times import Window
from bot.domain import posture as p

Outcome = Literal["answered", "clarify", "refused", "out_of_scope"]


@dataclass(slots=True)
class Mark:
    """``start``/``end`` in tokens. ``dim`` and ``values`` of what filters; ``data`` what its kind needs besides."""

    kind: str
    start: int
    end: int
    dim: str = ""
    values: tuple[str, ...] = ()
    data: Any = None
    said: str = ""
    negated: bool = False

    @property
    def key(self) -> str:
        """What a later value of the same kind replaces."""
        return self.dim or self.kind


@dataclass(slots=True)
class Filter:
    """One condition with the key under which a later one replaces it. ``join`` says how it stands to the one before."""

    key: str
    condition: p.Condition
    values: tuple[str, ...] = ()
    negated: bool = False
    either: bool = False  # "… or …" with the filter before it
    said: str = ""


@dataclass(slots=True)
class Span:
    """A window and what happened in it: found, closed, muted, open, or "" where the question does not say."""

    window: Window
    verb: str = ""


@dataclass(slots=True)
class Parsed:
    """A question in parts. Empty parts were not said."""

    kind: str = ""  # of p.Kind
    filters: list[Filter] = field(default_factory=list)
    status: list[str] = field(default_factory=list)  # open new in_progress suppressed resolved any
    spans: list[Span] = field(default_factory=list)
    verb: str = ""  # found, closed, muted: also without a window
    of: str = ""
    by: str = ""
    within: str = ""
    measure: str = ""
    order: str = ""
    limit: int = 0
    step: str = ""
    trend: str = ""
    sides: list[tuple[str, list[Filter], list[Span], str]] = field(default_factory=list)  # label, filters, spans, verb
    base: list[Filter] = field(default_factory=list)
    part: Parsed | None = None  # of a percentage: what of the rest
    uid: str = ""
    length: tuple[str, float] | None = None  # a bare bound and days: "by more than 30 days"
    was_open: bool = False  # "were open at …"

    def copy(self) -> Parsed:
        return copy.deepcopy(self)


@dataclass(slots=True)
class Turn:
    """What the turn before left: its parts, and the labels of its first rows."""

    parsed: Parsed
    first: str | None = None  # label of the first row of a breakdown
    by: str = ""
    missed: str = ""  # how a question since then ended that had no answer and did not refer to this one


@dataclass(slots=True)
class Reading:
    outcome: Outcome
    query: p.PostureQuery | None = None
    parsed: Parsed | None = None
    said: str = ""  # how the question was read, or why it was not
    nearest: str = ""  # a question that can be answered
    extra: dict[str, Any] = field(default_factory=dict)
