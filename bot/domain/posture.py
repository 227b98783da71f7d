"""PostureQuery: the typed language in which every question about posture is put to the store.

Rules
- ``where`` is a conjunction. ``Not`` is the plain complement: what lacks the value stays in. ``AnyOf`` is a choice.
- Nothing here says "open" by itself: the reader of a question adds it where the question means it.
- Instants are aware UTC; windows are half open: ``start <= t < end``.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def _utc(at: datetime) -> datetime:
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


Instant = Annotated[datetime, AfterValidator(_utc)]


class Kind(StrEnum):
    COUNT = "count"
    LIST = "list"
    BREAKDOWN = "breakdown"
    TREND = "trend"
    COMPARE = "compare"
    STAT = "stat"
    DETAIL = "detail"


# What a word can be asked of. Values are the store's own words.
Dimension = Literal[
    "status", "type", "severity", "priority", "provider", "account", "region", "env", "team", "app", "data_class",
    "product", "resource_type", "resource", "rule", "cve", "package", "framework", "requirement", "uid", "cause",
]  # fmt: skip
Flag = Literal["open", "exposed", "kev", "exploitable", "fixable", "overdue", "fixed_late", "fixed_in_time"]
Moment = Literal["first_seen", "resolved_at", "suppressed_at", "last_seen", "due"]
Number = Literal["age_days", "overdue_days", "due_in_days", "cvss", "epss"]
Countable = Literal[
    "finding", "resource", "cve", "account", "team", "app", "rule", "problem", "region", "product", "package", "cause",
    "requirement", "framework", "env", "provider", "resource_type", "data_class",
]  # fmt: skip
Measure = Literal[
    "count", "mttr", "median_ttr", "avg_age", "median_age", "oldest_age", "percent", "sla_rate", "net", "change"
]  # fmt: skip


class In(_Frozen):
    """The value of ``field`` is one of ``values``."""

    op: Literal["in"] = "in"
    field: Dimension
    values: tuple[str, ...] = Field(min_length=1, max_length=500)


class Missing(_Frozen):
    """There is no value ("unowned" is ``team`` missing)."""

    op: Literal["missing"] = "missing"
    field: Dimension


class Is(_Frozen):
    op: Literal["is"] = "is"
    field: Flag
    value: bool = True


class Within(_Frozen):
    """``start <= field < end``; an open side is None. ``said`` is how a person would say it."""

    op: Literal["within"] = "within"
    field: Moment
    start: Instant | None = None
    end: Instant | None = None
    said: str = ""


class Compare(_Frozen):
    op: Literal["gt", "ge", "lt", "le"]
    field: Number
    value: float


class OpenAt(_Frozen):
    """Was open at that instant: seen before it, neither resolved nor suppressed before it."""

    op: Literal["open_at"] = "open_at"
    at: Instant
    said: str = ""


class Not(_Frozen):
    op: Literal["not"] = "not"
    of: tuple[Condition, ...] = Field(min_length=1)


class AnyOf(_Frozen):
    op: Literal["any"] = "any"
    of: tuple[tuple[Condition, ...], ...] = Field(min_length=1)


Condition = Annotated[In | Missing | Is | Within | Compare | OpenAt | Not | AnyOf, Field(discriminator="op")]


class Side(_Frozen):
    """One side of a comparison: ``label`` as the asker named it."""

    label: str
    where: tuple[Condition, ...] = ()


class PostureQuery(_Frozen):
    """One question. ``where`` holds for every side of a comparison too."""

    kind: Kind
    of: Countable = "finding"
    where: tuple[Condition, ...] = ()
    by: Dimension | None = None
    within: str = ""  # of a breakdown by or count of requirements: only those of this framework
    measure: Measure = "count"
    base: tuple[Condition, ...] = ()  # of a percentage: of what
    order: Literal["most", "least", "oldest", "newest", "overdue", "severe"] | None = None
    limit: int | None = Field(None, ge=1, le=1000)
    step: Literal["day", "week", "month"] | None = None
    start: date | None = None
    end: date | None = None
    trend: Literal["open", "found", "resolved", "suppressed"] = "open"
    sides: tuple[Side, ...] = Field((), max_length=12)
    uid: str = ""
    window: Within | None = None  # of a stat over time: net change, change since

    @model_validator(mode="after")
    def _whole(self) -> PostureQuery:
        if self.kind is Kind.BREAKDOWN and self.by is None:
            raise ValueError("a breakdown needs 'by'")
        if self.kind is Kind.TREND and (self.step is None or self.start is None or self.end is None):
            raise ValueError("a trend needs 'step', 'start' and 'end'")
        if self.kind is Kind.COMPARE and len(self.sides) < 2:
            raise ValueError("a comparison needs two sides or more")
        if self.kind is Kind.DETAIL and not self.uid:
            raise ValueError("a detail needs 'uid'")
        if self.kind is Kind.STAT and self.measure == "count":
            raise ValueError("a stat needs a measure")
        return self


for _model in (Not, AnyOf, Side, PostureQuery):
    _model.model_rebuild()
