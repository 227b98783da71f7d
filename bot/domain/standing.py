"""Standing approvals: a decision that covers later plans of one playbook in one scope, until it ends.

``StandingApproval.hash`` covers the exact terms (playbook version, scope, cap, end, who granted it): another scope is
another standing approval. What must hold for a use is ``bot.remediation.standing``'s.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field, model_validator

from .ids import digest
from .principals import PlatformIdentity
from .views import PersonRef


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class StandingScope(_Frozen):
    """What it narrows to; "" is any. All that is given must hold, for every resource of the plan."""

    environment: str = Field(default="", max_length=40)
    account: str = Field(default="", max_length=200)  # account uid, exactly
    owner: str = Field(default="", max_length=200)  # owner id
    tag_key: str = Field(default="", max_length=128)
    tag_value: str = Field(default="", max_length=256)

    @model_validator(mode="after")
    def _narrows(self) -> StandingScope:
        if not (self.environment or self.account or self.owner or self.tag_key):
            raise ValueError("a scope names at least an environment, an account, an owner or a tag")
        if self.environment == "unknown":
            raise ValueError("an environment that nobody knows is no scope")
        if self.tag_value and not self.tag_key:
            raise ValueError("a tag is key=value")
        return self

    @property
    def words(self) -> str:
        """ "env=dev account=123 tag auto-remediate=true owner=payments"."""
        parts = [("env", self.environment), ("account", self.account), ("owner", self.owner)]
        said = [f"{name}={value}" for name, value in parts if value]
        return " ".join(said + ([f"tag {self.tag_key}={self.tag_value}"] if self.tag_key else []))


class StandingState(StrEnum):
    PROPOSED = "proposed"  # waits for more grants (governance.standing.quorum)
    ACTIVE = "active"
    SUSPENDED = "suspended"  # a run failed, or who granted it no longer may
    REVOKED = "revoked"
    EXPIRED = "expired"

    @property
    def is_final(self) -> bool:
        return self not in {StandingState.PROPOSED, StandingState.ACTIVE}


class StandingApproval(_Frozen):
    """The terms, and where it stands."""

    id: str
    playbook: str
    playbook_version: int
    scope: StandingScope
    cap: int = Field(ge=1)  # runs in any hour
    ends_at: datetime
    created_by: str  # principal id
    created_at: datetime
    reason: str
    quorum: int = Field(default=1, ge=1)  # people who must have granted it
    policy_version: str  # in force when it was granted
    state: StandingState = StandingState.ACTIVE
    state_by: str = ""  # principal id, or "gatehouse"
    state_why: str = ""

    @property
    def hash(self) -> str:
        """SHA-256 over the terms, not over the state."""
        return digest(self.model_dump(mode="json", exclude={"state", "state_by", "state_why"}))


class Grant(_Frozen):
    """One person's word for the terms of this hash; ``identity`` finds them again at every use."""

    standing_id: str
    hash: str
    principal_id: str
    identity: PlatformIdentity
    at: datetime


class StandingUse(_Frozen):
    """One run under it; one request, one decision, one execution."""

    id: str
    standing_id: str
    standing_hash: str
    cause_id: str
    mark: str  # which findings were open: a cause is taken up again only for new or reopened ones
    request_id: str
    execution_id: str
    at: datetime


class StandingView(_Frozen):
    """A standing approval as it is shown to one person."""

    standing: StandingApproval
    hash: str
    playbook_title: str
    by: tuple[PersonRef, ...]
    uses: int
    uses_last_hour: int
    last_use: datetime | None = None
    may_revoke: bool = False
    may_confirm: bool = False


class StandingDraft(_Frozen):
    """What the dialog offers to somebody who may pre-approve: everything narrowed to what the plan touches."""

    plan_id: str
    plan_hash: str
    cause_id: str
    cause_title: str
    playbook: str
    playbook_version: int
    playbook_title: str
    danger: str
    undo_note: str
    environment: str  # "" when it is not known
    account: str  # "" when the plan touches several
    account_name: str
    owner: str
    owner_name: str
    tags: tuple[tuple[str, str], ...]  # of the resources, as read now; the same on all of them
    max_days: int
    max_per_hour: int
    max_resources: int
    quorum: int
