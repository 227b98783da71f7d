"""Types of the verdict. The deterministic rules that fill them stand in ``bot.intake.triage``.

SSVC decisions: CISA's Stakeholder-Specific Vulnerability Categorization (Track, Track*, Attend, Act).
"""

from __future__ import annotations

from datetime import datetime
from enum import IntEnum, StrEnum

from pydantic import BaseModel, ConfigDict


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
    table: str  # name and version of the decision table used
