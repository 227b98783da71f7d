"""Suppression rules as people see them: the terms, whose names stand under them, what they hide or would hide."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from pydantic import BaseModel, ConfigDict

from .triage import Priority


class _View(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class RuleState(StrEnum):
    MONITOR = "monitor"  # counts what it would hide, hides nothing
    ACTIVE = "active"
    ENDED = "ended"  # by a person, or it left gatehouse.yml
    EXPIRED = "expired"

    @property
    def over(self) -> bool:
        return self in {RuleState.ENDED, RuleState.EXPIRED}


class HiddenLine(_View):
    """A finding that a rule hides, or would."""

    id: str
    title: str
    resource: str
    where: str
    priority: Priority
    source: str


class Preview(_View):
    """What a rule would hide of what is open, and of what came in lately: nothing was changed to find out."""

    matched: int = 0  # open findings it is about
    hides: int = 0  # of these: without the P1 it may not hide
    causes: int = 0  # that would have no open finding left
    of_open: int = 0  # open findings in all
    last_week: int = 0  # of those it is about, first seen in the last seven days
    by_priority: tuple[tuple[Priority, int], ...] = ()
    urgent: tuple[HiddenLine, ...] = ()  # the P1 among them, the first few
    sample: tuple[HiddenLine, ...] = ()
    listed: int = 0  # of those it is about: what the person who looks may see

    @property
    def p1(self) -> int:
        return sum(number for priority, number in self.by_priority if priority is Priority.P1)


class NameLine(_View):
    """Who pressed Activate over exactly these terms."""

    id: str
    name: str
    at: datetime


class RuleView(_View):
    id: str
    name: str
    hash: str
    origin: str  # person | settings
    state: RuleState
    state_why: str = ""
    about: str  # its conditions in words
    when: str = ""  # its hours and days in words; "" is always
    reason: str
    author: str
    until: datetime
    include_p1: bool = False
    quorum: int = 1  # names it needs
    names: tuple[NameLine, ...] = ()
    hidden: int = 0  # findings it hides now
    hidden_p1: int = 0
    preview: Preview = Preview()
    may_activate: bool = False  # the person who looks
    may_end: bool = False

    @property
    def missing(self) -> int:
        return max(0, self.quorum - len(self.names))


class SilencedLine(_View):
    """How much one rule, or the sources themselves, hide now."""

    by: str  # name of the rule, or the source
    reason: str
    count: int
    p1: int = 0
    rule_id: str = ""  # "" where the source hides it


# --- causes split and merged -----------------------------------------------------------------------------------------


class PartLine(_View):
    """A part of a cause that can be split off, or a cause it can be merged into."""

    id: str
    what: str
    count: int


class MoveLine(_View):
    kind: str  # merge | split
    by: str
    reason: str
    at: datetime


class RegroupView(_View):
    cause_id: str
    title: str
    open_count: int
    parts: tuple[PartLine, ...] = ()
    others: tuple[PartLine, ...] = ()
    made: tuple[MoveLine, ...] = ()  # what people did that made it what it is


# --- how the channels are doing --------------------------------------------------------------------------------------


class PromiseView(_View):
    """How late P1 were posted, measured from the transaction that stored the finding to the post."""

    minutes: int  # what is promised
    days: int  # over which it is measured
    posted: int = 0
    late: int = 0  # posted later than promised
    waiting: int = 0  # open, not posted yet
    overdue: int = 0  # of these: longer than promised
    voiceless: int = 0  # open P1 that no channel hears of
    p50: float | None = None  # seconds
    p95: float | None = None
    worst: float | None = None
    histogram: tuple[tuple[str, int], ...] = ()

    @property
    def kept(self) -> bool:
        return not (self.late or self.overdue or self.voiceless)


class AttentionView(_View):
    """What came in, what was silenced and why, what waits on whom."""

    at: datetime
    came: int = 0  # findings first seen by us in the last 24 hours
    fixed: int = 0  # resolved in the last 24 hours
    overdue: int = 0
    cards: int = 0  # first cards posted in the last 24 hours
    held: int = 0  # causes held for a digest in the last 24 hours
    silenced: tuple[SilencedLine, ...] = ()
    rules_watching: int = 0
    waits: tuple[tuple[str, int], ...] = ()  # on whom -> how many requests
    owners: tuple[tuple[str, int], ...] = ()  # owner -> open overdue findings
    promise: PromiseView


class DailyView(_View):
    """The daily message of one channel."""

    channel: str
    day: str
    since: datetime
    until: datetime
    new: tuple[tuple[Priority, int], ...] = ()
    fixed: int = 0
    open: int = 0
    overdue: int = 0
    held: int = 0  # open causes without a card here
    waits: tuple[tuple[str, int], ...] = ()
    silenced: tuple[SilencedLine, ...] = ()
    urgent: tuple[tuple[str, str], ...] = ()  # cause id, title: the most urgent that are open
    days: tuple[tuple[str, int, int], ...] = ()  # local day, new, fixed: the last two weeks
    picture: bool = False

    @property
    def total_new(self) -> int:
        return sum(number for _, number in self.new)
