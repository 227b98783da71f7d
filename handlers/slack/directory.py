"""What Slack says of its users and user groups. Unclear answers raise; the engine counts that against the person."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from slack_sdk.web.async_client import AsyncWebClient

from bot.domain.errors import Gone, Refused
from bot.domain.ids import Clock
from bot.domain.principals import PlatformIdentity, Standing
from bot.settings import Settings

from .web import call

log = logging.getLogger(__name__)
SLACKBOT = "USLACKBOT"


@dataclass(frozen=True, slots=True)
class _Members:
    users: frozenset[str]
    at: datetime


class SlackDirectory:
    """Implements ``ports.Directory``.

    Standing is read at every call (100+ a minute are allowed). A user group's members are one call a group and 20 a
    minute, so a list is believed for at most ``governance.membership_seconds``; ``forget()`` drops what is held.
    """

    def __init__(self, client: AsyncWebClient, settings: Settings, clock: Clock, *, team: str = "") -> None:
        self._client, self._settings, self._clock = client, settings, clock
        self._team = team or settings.slack.team
        self._held: dict[str, _Members] = {}
        self._lock = asyncio.Lock()

    async def standing(self, who: PlatformIdentity) -> Standing:
        now = self._clock.now()
        try:
            answer = await call(self._client.users_info(user=who.user))
        except Gone:
            return Standing(active=False, guest=False, external=False, bot=False, checked_at=now)
        user = answer.get("user")
        if not isinstance(user, dict) or user.get("id") != who.user:
            raise Refused(f"Slack's answer about {who.user} is about somebody else.")
        team = await self._our_team()
        standing = standing_of(user, team, now)
        return standing if who.tenant == team else standing.model_copy(update={"external": True})

    async def groups(self, who: PlatformIdentity) -> frozenset[str]:
        """Ids of those Slack user groups named in the settings that hold the user."""
        named = sorted({group.slack for group in self._settings.groups.values() if group.slack})
        async with self._lock:
            held = [(group, await self._members(group)) for group in named]
        return frozenset(group for group, members in held if who.user in members)

    def forget(self, group: str = "") -> None:
        """Drop one group's list, or all: its members changed."""
        if group:
            self._held.pop(group, None)
        else:
            self._held.clear()

    async def _members(self, group: str) -> frozenset[str]:
        now = self._clock.now()
        held = self._held.get(group)
        if held and now - held.at < timedelta(seconds=self._settings.governance.membership_seconds):
            return held.users
        try:
            answer = await call(self._client.usergroups_users_list(usergroup=group))
        except (Refused, Gone) as error:
            # Wrong id or missing scope: nobody is counted as a member; those named in gatehouse.yml still are.
            log.warning("slack user group %s cannot be read: %s", group, error.reason)
            return frozenset()
        users = frozenset(str(user) for user in answer.get("users", ()))
        self._held[group] = _Members(users, now)
        return users

    async def _our_team(self) -> str:
        if not self._team:
            self._team = str((await call(self._client.auth_test()))["team_id"])
        return self._team


def standing_of(user: dict[str, Any], team: str, now: datetime) -> Standing:
    """What users.info says of ``user``, seen from our workspace ``team``."""
    return Standing(
        active=not user.get("deleted", False),
        guest=bool(user.get("is_restricted") or user.get("is_ultra_restricted")),
        external=_is_external(user, team),
        bot=bool(user.get("is_bot") or user.get("is_workflow_bot") or user.get("id") == SLACKBOT),
        checked_at=now,
    )


def _is_external(user: dict[str, Any], team: str) -> bool:
    """Of another workspace (Slack Connect). On Enterprise Grid a user may belong to several workspaces of ours."""
    if user.get("is_stranger"):
        return True
    enterprise = user.get("enterprise_user")
    teams = enterprise.get("teams", ()) if isinstance(enterprise, dict) else ()
    return user.get("team_id", team) != team and team not in teams
