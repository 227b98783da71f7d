"""The schema of what others than the sources say: threat lists, CVE records, cloud context; and of mis-routes."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Index, Text
from sqlmodel import Field, SQLModel


class IntelFeedRow(SQLModel, table=True):
    """Where a list stands: which edition is stored, when it was last asked for, and what went wrong."""

    __tablename__ = "intel_feeds"

    name: str = Field(primary_key=True)  # kev | epss | nvd | aws
    version: str = ""
    as_of: datetime | None = None  # date of the edition that is stored
    etag: str = ""
    entries: int = 0
    fetched_at: datetime | None = None  # when the stored edition came
    checked_at: datetime | None = None  # when it was last asked for with success
    tried_at: datetime | None = None
    failing_since: datetime | None = None
    error: str = Field(default="", sa_type=Text)
    spent_day: str = ""  # day of ``spent``
    spent: int = 0  # calls of the budget used on that day


class KevRow(SQLModel, table=True):
    """An entry of CISA's catalog of known exploited vulnerabilities."""

    __tablename__ = "intel_kev"

    cve: str = Field(primary_key=True)
    added: str  # ISO date
    due: str = ""
    ransomware: bool = False
    name: str = Field(default="", sa_type=Text)
    content: str


class EpssRow(SQLModel, table=True):
    """FIRST's score of a CVE, 0..1."""

    __tablename__ = "intel_epss"

    cve: str = Field(primary_key=True)
    epss: float
    percentile: float
    content: str  # both as they were written


class NvdRow(SQLModel, table=True):
    """What NVD says of a CVE; ``found`` false: it has no such record."""

    __tablename__ = "intel_nvd"

    cve: str = Field(primary_key=True)
    found: bool
    cvss: float | None = None
    vector: str = ""
    modified: str = ""
    fetched_at: datetime


class FindingCveRow(SQLModel, table=True):
    """The CVEs of a finding besides its first, which stands in its row."""

    __tablename__ = "finding_cves"
    __table_args__ = (Index("ix_finding_cves_finding", "finding_id"),)

    cve: str = Field(primary_key=True)
    finding_id: str = Field(primary_key=True)


class ResourceContextRow(SQLModel, table=True):
    """One fact about a resource, read in its cloud: created_by, exposed, last_used, tags …"""

    __tablename__ = "resource_context"

    resource_uid: str = Field(primary_key=True)
    fact: str = Field(primary_key=True)
    value: str = Field(sa_type=Text)
    why: str = Field(default="", sa_type=Text)
    source: str
    as_of: datetime


class MisrouteRow(SQLModel, table=True):
    """Somebody said "not mine": by which rule the cause had come there."""

    __tablename__ = "misroutes"
    __table_args__ = (Index("ix_misroutes_at", "at", "rule"),)

    id: str = Field(primary_key=True)
    cause_id: str
    rule: str  # override | tag | rule | cmdb | catalog | codeowners | account | project | fallback
    owner_from: str
    owner_to: str
    by: str
    at: datetime
