"""Types of the verdict. The deterministic rules that fill them stand in ``bot.triage``.

SSVC decisions: CISA's Stakeholder-Specific Vulnerability Categorization (Track, Track*, Attend, Act).
"""

from __future__ import annotations

from datetime import datetime
from enum import IntEnum, StrEnum
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator


class Ssvc(StrEnum):
    TRACK = "Track"
    TRACK_STAR = "Track*"
    ATTEND = "Attend"
    ACT = "Act"


class Priority(IntEnum):
    P1 = 1
    P2 = 2
    P3 = 3
    P4 = 4

    @property
    def label(self) -> str:
        return f"P{int(self)}"


class Evidence(BaseModel):
    """One line of why: ``fact`` in plain words, where it comes from, and as of when."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    input: str  # exploitation | exposure | severity | environment | data | automatable | ...
    value: str
    fact: str
    source: str
    as_of: datetime | None = None


class Verdict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    decision: Ssvc
    priority: Priority
    due: datetime | None
    reasons: tuple[Evidence, ...]
    table: str  # names and versions of the decision tables used, " + " between them


# --- decision tables as data -----------------------------------------------------------------------------------------


class _Spec(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def _text(value: Any) -> Any:
    """YAML reads a bare yes or no as a truth value; in a table they are words."""
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else value


class InputSpec(_Spec):
    values: tuple[str, ...] = Field(description="Every value the input can have, see docs/triage.md")
    unknown: str = Field(description="The value that stands for what is not known")

    @field_validator("values", mode="before")
    @classmethod
    def _words(cls, value: Any) -> Any:
        return tuple(map(_text, value)) if isinstance(value, list | tuple) else value

    @field_validator("unknown", mode="before")
    @classmethod
    def _word(cls, value: Any) -> Any:
        return _text(value)


class OutcomeSpec(_Spec):
    decision: Literal["Track", "Track*", "Attend", "Act"] = Field(description="P4, P3, P2, P1 in this order")
    days: int | None = Field(None, ge=0, description="Days to the deadline; unset: those of the priority")
    words: str = Field("", description="What to do, in words")


class TableSpec(_Spec):
    """A decision table as it is written. ``bot.triage.tables`` checks it and refuses what is not complete."""

    name: str = Field("", description="Its name; in gatehouse.yml the key is the name")
    version: str = Field(description="Stands in every verdict made by it")
    title: str = Field("", description="In words")
    source: str = Field("", description="Where it comes from")
    kinds: tuple[str, ...] = Field(description="vulnerability, misconfiguration, identity, data, secret, detection")
    role: Literal["decision", "deadline"] = Field("decision", description="A deadline table is asked beside the other")
    inputs: dict[str, InputSpec] = Field(description="Input to its values, in the order of the columns")
    outcomes: dict[str, OutcomeSpec] = Field(description="Outcome to what it means")
    rows: tuple[str, ...] = Field(description="One value per input and the outcome, any and a|b stand for several")


class Intel(BaseModel):
    """What others than the source say of a finding; ``as_of`` of what is the date of the list it was read from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kev: str = ""  # date added to CISA's list, ISO; "" is not on it
    kev_read: str = ""  # date of the list that was looked at; "" none was
    epss: float | None = None
    epss_read: str = ""
    cvss: float | None = None
    vector: str = ""
    nvd_read: str = ""
    exposed: bool | None = None
    exposed_why: str = ""
    exposed_read: str = ""
