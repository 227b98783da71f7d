"""Answers to questions as a person is shown them, platform-neutral. ``cards.ask`` turns them into messages."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from .views import FactLine, _View

# Questions to begin with, where nobody has asked anything yet. Four are what Slack's agent view shows.
START = (
    "How many criticals are open in prod?",
    "Which team has the most overdue?",
    "What changed since yesterday?",
    "Trend of open criticals over the last 30 days",
)
Status = Literal["answered", "clarify", "refused", "out_of_scope"]


class Column(_View):
    name: str
    numeric: bool = False


class TableView(_View):
    """``rows`` is one page from ``offset`` of ``total``; every cell is text as it is to be shown, "" for nothing."""

    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]
    offset: int = 0
    total: int = 0

    @property
    def left(self) -> int:
        """Rows after this page."""
        return max(0, self.total - self.offset - len(self.rows))


class ChartView(_View):
    """A course over time or bars. ``unit`` is what the numbers are: "findings", "days", "%"."""

    kind: Literal["line", "bars"]
    title: str
    labels: tuple[str, ...]
    values: tuple[float, ...]
    unit: str = ""

    @property
    def spoken(self) -> str:
        """For a screen reader: what the picture shows."""
        if not self.values:
            return self.title
        if self.kind == "line":
            low, high = min(self.values), max(self.values)
            return (
                f"Line chart: {self.title}. From {self.labels[0]} ({self.values[0]:g}) to {self.labels[-1]} "
                f"({self.values[-1]:g}); lowest {low:g}, highest {high:g} {self.unit}."
            )
        named = ", ".join(f"{label} {value:g}" for label, value in list(zip(self.labels, self.values, strict=True))[:8])
        return f"Bar chart: {self.title}. {named}."


class AnswerView(_View):
    """One answer. ``id`` is what its buttons carry; ``text`` is the sentence."""

    id: str
    status: Status
    question: str
    text: str
    as_of: datetime
    how_read: str = ""
    facts: tuple[FactLine, ...] = ()
    points: tuple[str, ...] = ()
    table: TableView | None = None
    chart: ChartView | None = None
    nearest: str = ""  # the nearest question that can be answered
    prompts: tuple[str, ...] = ()
    cause_id: str = ""  # what the answer is about, where it is one thing
    cause_title: str = ""
    fixable: bool = False  # the Review fix button goes with it
    checkable: bool = False
    note: str = ""  # for whom it was computed, where that is not the asker alone
    model: str = ""  # the model that wrote words in it; "" where all of it is put together by rules


class CheckView(_View):
    """An answer computed again. ``same`` is None where the two cannot be compared."""

    question: str
    query_words: str
    query_json: str
    ids: tuple[str, ...]  # of the findings behind it, the first of them
    total: int
    before_text: str
    before_at: datetime
    now_text: str
    now_at: datetime
    same: bool | None
    why: str = ""
