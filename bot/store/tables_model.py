"""The model's part: calls as they were made, the budget of a day, narratives, what people said of them."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, Index, Text
from sqlmodel import Field, SQLModel


class ModelCallRow(SQLModel, table=True):
    """One call, written before it is made. State: asked (no answer yet, or the process died), ok, invalid (the answer
    does not fit its shape), failed. ``input`` is exactly what left, redacted."""

    __tablename__ = "model_calls"
    __table_args__ = (Index("ix_model_calls_key", "key", "state"), Index("ix_model_calls_at", "at"))

    id: str = Field(primary_key=True)
    at: datetime
    purpose: str  # narrative | question
    subject: str  # cause id; "" for a question
    key: str  # hash of the content: the same content is not asked twice
    endpoint: str
    model: str
    input: str = Field(sa_type=Text)  # JSON: [[role, text], …]
    output: str = Field(default="", sa_type=Text)
    state: str
    why: str = Field(default="", sa_type=Text)
    input_tokens: int = 0
    output_tokens: int = 0
    cost_micros: int | None = Field(default=None, sa_type=BigInteger)  # millionths of the currency; None: no price set
    milliseconds: int = 0
    repairs: str = ""  # the call whose answer this one was to mend


class ModelDayRow(SQLModel, table=True):
    """Tokens of a UTC day: reserved before a call, corrected after it."""

    __tablename__ = "model_days"

    day: str = Field(primary_key=True)  # 2026-11-25
    tokens: int = Field(default=0, sa_type=BigInteger)


class NarrativeRow(SQLModel, table=True):
    """What a model wrote of a cause. State: queued, done, template (``why`` says why there is no prose)."""

    __tablename__ = "narratives"
    __table_args__ = (Index("ix_narratives_due", "state", "not_before"),)

    cause_id: str = Field(primary_key=True)
    key: str = ""  # of the facts it was made from
    call_id: str = ""
    model: str = ""
    body: str = Field(default="", sa_type=Text)  # Narrative as JSON, names put back
    state: str
    why: str = Field(default="", sa_type=Text)
    made_at: datetime | None = None
    seen_revision: int = -1  # of the cause, when its facts were last looked at
    attempts: int = 0
    not_before: datetime
    leased_by: str = ""
    leased_until: datetime | None = None


class NarrativeFeedbackRow(SQLModel, table=True):
    """One person's word on one narrative; the latest counts."""

    __tablename__ = "narrative_feedback"

    call_id: str = Field(primary_key=True)
    cause_id: str = Field(primary_key=True)
    principal_id: str = Field(primary_key=True)
    good: bool
    at: datetime
