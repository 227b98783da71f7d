"""The schema of attention: suppression rules and what they hide, causes that people split or merged, first posts."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Index, Text
from sqlmodel import Field, SQLModel


class SuppressionRuleRow(SQLModel, table=True):
    """``hash`` is over ``terms``; people put their names under the hash, so other terms need new names."""

    __tablename__ = "suppression_rules"
    __table_args__ = (Index("ix_suppression_rules_state", "state"),)

    id: str = Field(primary_key=True)
    name: str
    origin: str  # person | settings
    terms: str = Field(sa_type=Text)  # bot.domain.silence.Terms as canonical JSON
    hash: str
    author: str  # principal id of who wrote it; of a rule of gatehouse.yml what stands there
    state: str  # monitor | active | ended | expired
    state_by: str = ""
    state_why: str = Field(default="", sa_type=Text)
    created_at: datetime
    changed_at: datetime
    until: datetime


class SuppressionNameRow(SQLModel, table=True):
    """A person's name under a rule: this person pressed Activate over just these terms."""

    __tablename__ = "suppression_names"

    rule_id: str = Field(primary_key=True)
    principal_id: str = Field(primary_key=True)
    name: str
    hash: str
    identity: str  # PlatformIdentity as JSON
    at: datetime


class SilenceRow(SQLModel, table=True):
    """A finding that a rule hides now. ``priority`` is the one it was hidden at."""

    __tablename__ = "silences"
    __table_args__ = (Index("ix_silences_rule", "rule_id"), Index("ix_silences_until", "until"))

    finding_id: str = Field(primary_key=True)
    rule_id: str
    priority: int
    was: str  # status before
    at: datetime
    until: datetime


class CauseMoveRow(SQLModel, table=True):
    """What a person said about causes: all of one belong to another ("merge"), one finding is apart ("split")."""

    __tablename__ = "cause_moves"

    subject: str = Field(primary_key=True)  # key of a cause (merge) or id of a finding (split)
    kind: str  # merge | split
    from_key: str
    to_key: str
    by: str
    reason: str = Field(default="", sa_type=Text)
    at: datetime


class FirstPostRow(SQLModel, table=True):
    """When a cause had to be told to a channel; ``posts.posted_at`` says when it was. Measures the promise on P1."""

    __tablename__ = "first_posts"
    __table_args__ = (Index("ix_first_posts_at", "priority", "at"),)

    cause_id: str = Field(primary_key=True)
    address: str = Field(primary_key=True)  # "" where no channel is known
    at: datetime = Field(primary_key=True)  # the finding was stored in this transaction
    priority: int
    held: bool = False  # it went into a digest
    posted_at: datetime | None = None  # of a card that stood already: it is updated


class EscalationRow(SQLModel, table=True):
    """An open cause nobody answered was told to the owner's escalation channel: once."""

    __tablename__ = "escalations"

    cause_id: str = Field(primary_key=True)
    priority: int = Field(primary_key=True)
    at: datetime
    addresses: str  # JSON array


class DailyRow(SQLModel, table=True):
    """The daily message of a channel: one a local day."""

    __tablename__ = "daily_digests"

    address: str = Field(primary_key=True)
    day: str = Field(primary_key=True)  # local date, 2026-11-25
    at: datetime
    since: datetime
