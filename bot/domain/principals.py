"""Who: a person, whatever platform the click came from.

A platform identity is (platform, tenant, user id): ids the platform never re-uses, never display names or e-mail.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field


class Platform(StrEnum):
    SLACK = "slack"
    TEAMS = "teams"
    CLI = "cli"


class PlatformIdentity(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    platform: Platform
    tenant: str  # Slack team id, Entra tenant id
    user: str  # Slack U…, Entra object id


class Standing(BaseModel):
    """What the platform says of the person right now. Unknown counts against them: fail closed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    active: bool
    guest: bool
    external: bool  # Slack Connect, another tenant
    bot: bool
    checked_at: datetime
    note: str = ""  # why it counts as inactive, where that is not the platform's word

    def objection(self) -> str | None:
        """Why this account may never approve, or None."""
        if not self.active:
            return self.note or "the account is deactivated"
        if self.bot:
            return "a bot cannot decide"
        if self.external:
            return "the account belongs to another organisation"
        if self.guest:
            return "guests cannot decide"
        return None


class Principal(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str  # stable, from gatehouse.yml or made at first sight: "alice", "p-…"
    name: str
    email: str = ""
    team: str | None = None
    role: str = ""
    groups: tuple[str, ...] = ()
    identities: tuple[PlatformIdentity, ...] = ()
    active: bool = True
    locale: str = Field(default="en")
    tz: str = Field(default="UTC")


class Actor(BaseModel):
    """The principal behind one interaction, with the standing and memberships read for it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    principal: Principal
    identity: PlatformIdentity
    standing: Standing
    groups: frozenset[str] = frozenset()
    groups_read_at: datetime | None = None
