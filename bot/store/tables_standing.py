"""The schema of standing approvals: the terms, who granted them, what was done under them, what was looked at."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Index, Text
from sqlmodel import Field, SQLModel


class StandingRow(SQLModel, table=True):
    """``hash`` is over the terms as they were granted; the ledger has it, too."""

    __tablename__ = "standing_approvals"
    __table_args__ = (Index("ix_standing_state", "state", "ends_at"),)

    id: str = Field(primary_key=True)
    hash: str
    playbook: str
    playbook_version: int
    scope: str = Field(sa_type=Text)  # StandingScope as JSON
    cap: int
    ends_at: datetime
    created_by: str
    created_at: datetime
    reason: str = Field(sa_type=Text)
    quorum: int
    policy_version: str
    state: str  # StandingState
    state_by: str = ""
    state_why: str = Field(default="", sa_type=Text)
    changed_at: datetime


class StandingGrantRow(SQLModel, table=True):
    """One person's word for it; each counts once."""

    __tablename__ = "standing_grants"

    standing_id: str = Field(primary_key=True)
    principal_id: str = Field(primary_key=True)
    hash: str
    identity: str  # PlatformIdentity as JSON, to look the person up at every use
    at: datetime


class StandingUseRow(SQLModel, table=True):
    """One run: the id follows from standing approval, cause and what was open, so two replicas cannot both make it."""

    __tablename__ = "standing_uses"
    __table_args__ = (Index("ix_standing_uses_hour", "standing_id", "at"), Index("ix_standing_uses_cause", "cause_id"))

    id: str = Field(primary_key=True)
    standing_id: str
    standing_hash: str
    cause_id: str
    mark: str
    request_id: str = Field(unique=True)
    execution_id: str = Field(unique=True)
    at: datetime


class StandingLookRow(SQLModel, table=True):
    """What was looked at and left to people, and why: it is not read from the cloud again at every tick."""

    __tablename__ = "standing_looks"

    standing_id: str = Field(primary_key=True)
    cause_id: str = Field(primary_key=True)
    mark: str
    at: datetime
    why: str = Field(sa_type=Text)
