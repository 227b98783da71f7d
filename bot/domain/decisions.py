"""Asking, answering and deciding. Pure: who may is ``bot.governance``, storing is ``bot.store``.

A request binds plan hash, fingerprint of the resource state, policy version, approver rule and card revision.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Choice(StrEnum):
    APPROVE = "approve"
    REJECT = "reject"


class RequestState(StrEnum):
    PENDING = "pending"
    APPROVED = "approved"
    REJECTED = "rejected"
    EXPIRED = "expired"
    VOIDED = "voided"  # drift, plan replaced, policy change
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        return self is not RequestState.PENDING


class ApprovalRule(_Frozen):
    """How many and how long, from ``governance`` in gatehouse.yml."""

    name: str
    quorum: int = Field(default=1, ge=1)
    groups: tuple[str, ...] = ()  # reviewers must be in one of these (empty: whoever Cedar permits)
    four_eyes: bool = True  # the requester cannot approve
    owner_apart: bool = False  # nor the owner of the change
    expires_minutes: int = Field(default=240, ge=1)
    typed_confirmation: bool = False
    break_glass: bool = False  # one person of ``break_glass_groups`` may act alone in an emergency
    break_glass_groups: tuple[str, ...] = ()
    break_glass_minutes: int = Field(default=15, ge=1)
    break_glass_through_freeze: bool = False


class ApprovalRequest(_Frozen):
    id: str
    plan_id: str
    plan_hash: str
    fingerprint: str
    policy_version: str
    rule: ApprovalRule
    requested_by: str  # principal id
    requested_at: datetime
    expires_at: datetime
    state: RequestState = RequestState.PENDING
    revision: int = 0  # of the card that asks; a click on an older one is stale


class Vote(_Frozen):
    id: str
    request_id: str
    plan_hash: str
    principal_id: str
    platform: str
    choice: Choice
    reason: str = ""
    at: datetime
    withdrawn_at: datetime | None = None
    stands_for: str = ""  # principal id in whose stead it was cast; "" for one's own
    delegation_id: str = ""

    @property
    def counts_for(self) -> str:
        """A vote counts once for the person it stands for."""
        return self.stands_for or self.principal_id


class Decision(_Frozen):
    """The outcome; ``covers`` is the exact plan hash it permits."""

    id: str
    request_id: str
    plan_id: str
    covers: str
    outcome: RequestState
    decided_at: datetime
    decided_by: tuple[str, ...]
    reason: str
    policy_version: str


GLASS_WORD = "BREAK GLASS"  # typed by whoever breaks it


class ExecutionState(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    VERIFYING = "verifying"
    SUCCEEDED = "succeeded"  # applied and verified
    UNVERIFIED = "unverified"  # applied, the independent read does not agree (yet)
    FAILED = "failed"
    ROLLED_BACK = "rolled_back"
    BLOCKED = "blocked"  # refused at the moment of execution: freeze, drift, membership …

    @property
    def is_final(self) -> bool:
        return self in {
            ExecutionState.SUCCEEDED,
            ExecutionState.UNVERIFIED,
            ExecutionState.FAILED,
            ExecutionState.ROLLED_BACK,
            ExecutionState.BLOCKED,
        }


class StepState(StrEnum):
    INTENDED = "intended"  # recorded before the call
    DONE = "done"
    FAILED = "failed"  # the other side said no: nothing happened
    UNKNOWN = "unknown"  # may or may not have happened: read, never repeat blindly
    SKIPPED = "skipped"  # found already so
