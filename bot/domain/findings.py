"""The normalised finding, named after OCSF 1.5 (https://schema.ocsf.io), and its life.

Rules
- Identity is (source, the source's own uid); ``finding_id`` derives one stable id from the two.
- The vendor's word is always kept beside the mapped value; an unknown word maps to ``OTHER``, it never raises.
- ``result`` is what the source says of its own finding; ``Status`` is where the finding stands with us.
- All times are aware UTC. Text is data: nothing here is safe to post unescaped.
"""

from __future__ import annotations

from datetime import datetime
from enum import IntEnum, StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from .ids import short_hash


class FindingClass(IntEnum):
    """OCSF class_uid."""

    VULNERABILITY = 2002
    COMPLIANCE = 2003
    DETECTION = 2004


class Severity(IntEnum):
    """OCSF severity_id."""

    UNKNOWN = 0
    INFORMATIONAL = 1
    LOW = 2
    MEDIUM = 3
    HIGH = 4
    CRITICAL = 5
    FATAL = 6
    OTHER = 99


class SourceStatus(IntEnum):
    """OCSF status_id: what the source says."""

    UNKNOWN = 0
    NEW = 1
    IN_PROGRESS = 2
    SUPPRESSED = 3
    RESOLVED = 4
    ARCHIVED = 5
    DELETED = 6
    OTHER = 99


class Status(StrEnum):
    """Where a finding stands with us."""

    NEW = "new"  # stored, not yet triaged or posted
    OPEN = "open"
    REOPENED = "reopened"  # was resolved, came back: counts as open
    RESOLVED = "resolved"
    SUPPRESSED = "suppressed"  # by the source, or by one of our suppression rules
    EXCEPTED = "excepted"  # risk accepted by a person until a date

    @property
    def is_open(self) -> bool:
        return self in OPEN_STATUSES


OPEN_STATUSES = frozenset({Status.NEW, Status.OPEN, Status.REOPENED})


class Environment(StrEnum):
    PROD = "prod"
    STAGING = "staging"
    DEV = "dev"
    TEST = "test"
    SANDBOX = "sandbox"
    UNKNOWN = "unknown"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Resource(_Frozen):
    """What is affected. ``uid`` is the provider's own id (ARN, Azure id, GCP name) where the source gives one."""

    uid: str
    name: str = ""
    type: str = ""
    region: str = ""
    tags: dict[str, str] = Field(default_factory=dict)


class Account(_Frozen):
    """AWS account, Azure subscription, GCP project, Kubernetes cluster."""

    uid: str = ""
    name: str = ""
    provider: str = ""  # aws | azure | gcp | oci | alibaba | kubernetes | github | other words kept
    labels: dict[str, str] = Field(default_factory=dict)


class Vulnerability(_Frozen):
    """One CVE or advisory. ``cvss`` 0..10, ``epss`` and ``epss_percentile`` fractions 0..1; None is not known."""

    uid: str
    title: str = ""
    cvss: float | None = None
    cvss_vector: str = ""
    epss: float | None = None
    epss_percentile: float | None = None
    kev: bool | None = None
    exploit: bool | None = None
    fix: bool | None = None
    package: str = ""
    version: str = ""
    fixed_version: str = ""


class Control(_Frozen):
    """A requirement of a framework that the finding counts against. ``standard`` is the source's own spelling."""

    standard: str
    requirement: str = ""


class OwnerHint(_Frozen):
    """Evidence of who owns the resource; ``kind`` such as tag, project, created_by, account."""

    kind: str
    value: str


class Finding(_Frozen):
    """One problem on one resource, as its source tells it."""

    source: str
    uid: str
    product: str = ""
    class_uid: FindingClass = FindingClass.COMPLIANCE
    title: str
    desc: str = ""  # what was found on this very resource
    rule_uid: str = ""
    types: tuple[str, ...] = ()
    severity: Severity = Severity.UNKNOWN
    severity_word: str = ""
    score: float | None = None  # the source's own risk score, its own scale
    result: SourceStatus = SourceStatus.NEW
    result_word: str = ""
    status_reason: str = ""
    suppressed_until: datetime | None = None
    first_seen: datetime | None = None  # None: the source does not say, ours is used
    last_seen: datetime | None = None
    modified: datetime | None = None
    due: datetime | None = None
    resolved: datetime | None = None
    resource: Resource
    other_resources: tuple[Resource, ...] = ()
    account: Account = Field(default_factory=Account)
    environment_hint: str = ""
    internet_exposed: bool | None = None
    data_classes: tuple[str, ...] = ()
    business_impact: str = ""
    vulnerabilities: tuple[Vulnerability, ...] = ()
    controls: tuple[Control, ...] = ()
    owner_hints: tuple[OwnerHint, ...] = ()
    risk: str = ""  # why it matters, the source's words
    remediation: str = ""
    remediation_cli: str = ""
    references: tuple[str, ...] = ()
    url: str = ""  # deep link into the source's console
    console_url: str = ""  # deep link into the cloud's console
    tickets: tuple[str, ...] = ()
    extra: dict[str, Any] = Field(default_factory=dict)

    @property
    def id(self) -> str:
        return finding_id(self.source, self.uid)


def finding_id(source: str, uid: str) -> str:
    """Our stable id of a finding: ``f-`` and 16 characters from (source, uid)."""
    return short_hash(source, uid, prefix="f-")


class Sighting(_Frozen):
    """The cheap half of a mapping: which finding a payload is about and a hash of what it says.

    ``content`` leaves out what changes on every scan without meaning anything (scan ids, scan times), so that an
    unchanged finding costs one hash look-up and no write.
    """

    uid: str
    content: str
    closed: bool = False  # the source itself says passed, resolved or deleted: not mapped while nothing is stored of it
