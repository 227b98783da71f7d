"""The schema of what goes between us and the sources besides polls: webhooks received, and what sources are told."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Index, LargeBinary, Text
from sqlmodel import Field, SQLModel


class WebhookRow(SQLModel, table=True):
    """A webhook as it came, stored before it is answered. State: queued, done, failed."""

    __tablename__ = "webhooks"
    __table_args__ = (
        Index("ix_webhooks_due", "state", "not_before"),
        Index("ix_webhooks_key", "source", "key", "state"),
    )

    id: str = Field(primary_key=True)
    source: str  # its name in gatehouse.yml
    key: str  # the same for a delivery that is repeated
    body: bytes = Field(sa_type=LargeBinary)
    received_at: datetime
    state: str
    attempts: int = 0
    not_before: datetime
    leased_by: str = ""
    leased_until: datetime | None = None
    said: str = Field(default="", sa_type=Text)


class TellingRow(SQLModel, table=True):
    """What a source is to be told of a finding of its own. State: queued, unknown (sent, outcome not known), told,
    refused, agreed (its next report says the same), contradicted (its next report does not)."""

    __tablename__ = "tellings"
    __table_args__ = (Index("ix_tellings_due", "state", "not_before"), Index("ix_tellings_finding", "finding_id", "to"))

    id: str = Field(primary_key=True)
    finding_id: str
    source: str  # of the finding
    uid: str
    to: str  # fixed | accepted | reopened
    note: str = Field(sa_type=Text)
    until: datetime | None = None
    reason_id: str = ""  # the execution or exception that is told of
    state: str
    attempts: int = 0
    not_before: datetime
    created_at: datetime
    told_at: datetime | None = None
    rescan_at: datetime | None = None
    leased_by: str = ""
    leased_until: datetime | None = None
    said: str = Field(default="", sa_type=Text)


class IssueOverrideRow(SQLModel, table=True):
    """What a person said of a finding: it belongs to this issue ("merge"), or to none but its own ("split")."""

    __tablename__ = "issue_overrides"

    finding_id: str = Field(primary_key=True)
    issue_id: str
    kind: str  # split | merge
    by: str
    reason: str = Field(default="", sa_type=Text)
    at: datetime
