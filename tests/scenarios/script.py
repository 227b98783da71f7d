"""What a scenario is: steps of people, in no platform's words.

A step is one visit of one person: buttons pressed on what that person sees, forms sent, words typed. What stands
between two visits is done by nobody (``Meanwhile``): time passes, a scan comes, the bot works off what waits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

MINE, GLASS, DIGEST, ANSWER = "what I was shown last", "the loud message", "the digest", "my answer in the thread"


@dataclass(frozen=True, slots=True)
class Press:
    """A button ``gh.<verb>`` on ``on``: a cause's name (its post), ``MINE``, ``GLASS``, ``DIGEST``. ``label`` where
    several buttons have the verb: the one whose label holds it."""

    verb: str
    on: str = MINE
    label: str = ""


@dataclass(frozen=True, slots=True)
class Send:
    """The form that was shown last, filled in. What is not named keeps the value the form came with; "~words" is the
    choice whose label holds them."""

    answers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Type:
    """A command, without the way it is addressed to the bot. ``{shop}`` is the id of that cause, ``@bob`` a person."""

    text: str


@dataclass(frozen=True, slots=True)
class Say:
    """A question: to the bot alone, or by a mention of it in the thread under a cause's post."""

    text: str
    under: str = ""


@dataclass(frozen=True, slots=True)
class About:
    """A question about one message, by the platform's own way on any message ("Ask about this")."""

    on: str
    question: str


@dataclass(frozen=True, slots=True)
class Home:
    """What waits for me: the page, tab or card that shows it."""


@dataclass(frozen=True, slots=True)
class Thumb:
    """What somebody thinks of the answer shown last, by the platform's way for it."""

    good: bool
    comment: str = ""


@dataclass(frozen=True, slots=True)
class Find:
    """Findings looked for from where one writes to others."""

    text: str


Move = Press | Send | Type | Say | About | Home | Thumb | Find


@dataclass(frozen=True, slots=True)
class Step:
    """``says``: words that the answer to the last move holds on every platform. ``stay``: on the platform where this
    person acted last, since a form lies open there. ``twice``: the platform delivers the last move once more.
    ``differs``: why the platforms word this answer differently; what ``says`` names is still the same. ``lent``: whose
    button is pressed where the platform shows this person none: a press made by hand. ``teams``: the moves there, where
    the same is done otherwise. ``only``: the one platform that has this; it may change nothing."""

    who: str
    moves: tuple[Move, ...]
    says: str = ""
    stay: bool = False
    twice: bool = False
    differs: str = ""
    lent: str = ""
    teams: tuple[Move, ...] = ()
    only: str = ""

    def on(self, platform: str) -> tuple[Move, ...]:
        return self.teams if platform == "teams" and self.teams else self.moves


@dataclass(frozen=True, slots=True)
class Meanwhile:
    """``what``: "minutes", "hours", "standings", "expire", "scan", "daily", "wake", "by hand" (somebody changes the
    cloud), "ask" (for so many fixes)."""

    what: str
    number: float = 0


@dataclass(frozen=True, slots=True)
class Scenario:
    """``ends``: cause -> stage at the end, so that a scenario that does nothing cannot pass. ``turns``: also played
    with every step on the other platform; where little is decided, that shows nothing more."""

    name: str
    about: str
    steps: tuple[Step | Meanwhile, ...]
    ends: Mapping[str, str] = field(default_factory=dict)
    turns: bool = True


def step(who: str, *moves: Move, says: str = "", **more: Any) -> Step:
    return Step(who, moves, says, **more)
