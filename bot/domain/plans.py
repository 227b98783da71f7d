"""A plan: an immutable, hashed list of exact changes to exact resources. An approval is for one plan hash.

Rules
- ``Change.call`` is the literal API call that will be made; what is hashed is what is executed.
- ``fingerprint`` is the digest of the resource state the plan was computed from. State that differs at execution
  voids the approval.
- "Absent" is not "off": a getter that answers "there is none" is recorded as ``None``, never as a false value.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from .ids import digest


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Reversibility(StrEnum):
    EXACT = "exact"  # rollback restores the pre-image exactly
    PARTIAL = "partial"  # rollback differs from the pre-image (said in ``undo_note``)
    NONE = "none"


class Risk(StrEnum):
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"  # typed confirmation, two approvers by default


class Target(_Frozen):
    """The resource a playbook works on; ``kind`` such as s3_bucket, security_group, account."""

    provider: str
    account: str
    region: str
    kind: str
    uid: str
    name: str = ""
    environment: str = "unknown"
    tags: dict[str, str] = Field(default_factory=dict)


class Call(_Frozen):
    """One API call: for AWS ``service`` and ``operation`` are botocore's (``s3``, ``put_public_access_block``)."""

    provider: str
    account: str
    region: str
    service: str
    operation: str
    params: dict[str, JsonValue]


class Change(_Frozen):
    """One external change, in the words a person approves and as the call that will be made."""

    summary: str  # "Block all public access on bucket acme-invoices"
    target: Target
    before: dict[str, JsonValue]  # only what changes, readable: {"BlockPublicAcls": False}
    after: dict[str, JsonValue]
    call: Call


class BlastRadius(_Frozen):
    resources: int
    accounts: int
    summary: str  # "1 bucket; applications that serve its objects publicly will get 403 at once"
    warnings: tuple[str, ...] = ()


class PlanKind(StrEnum):
    FIX = "fix"
    UNDO = "undo"


class Plan(_Frozen):
    id: str
    kind: PlanKind
    playbook: str
    playbook_version: int
    title: str
    cause_id: str
    finding_ids: tuple[str, ...]
    targets: tuple[Target, ...]
    changes: tuple[Change, ...]
    fingerprint: str  # digest of ``pre_image``
    pre_image: dict[str, JsonValue]  # target uid -> state read by the playbook's inspect
    blast_radius: BlastRadius
    reversibility: Reversibility
    undo_note: str = ""
    risk: Risk
    environment: str
    created_at: datetime
    expires_at: datetime
    undoes: str | None = None  # the execution that an UNDO plan takes back

    @property
    def hash(self) -> str:
        """SHA-256 over everything above: any change to any part is another plan."""
        return digest(self.model_dump(mode="json"))

    @property
    def account_ids(self) -> tuple[str, ...]:
        return tuple(sorted({t.account for t in self.targets}))


def fingerprint(state: dict[str, Any]) -> str:
    return digest(state)
