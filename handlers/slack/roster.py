"""Who would read an answer in a channel: the list is read freshly, what each of them is is believed for an hour.

``user_change`` drops what is believed of a person at once. conversations.members gives up to 1,000 ids a call;
users.info may be called 100 times a minute, so people nobody knows yet are looked up some at a time.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import datetime, timedelta
from typing import Any

from slack_sdk.web.async_client import AsyncWebClient

from bot.domain.errors import ConnectorError
from bot.domain.ids import Clock

from .directory import standing_of
from .web import call

log = logging.getLogger(__name__)
BELIEVED = timedelta(hours=1)
MOST = 1_000  # people of a channel
AT_ONCE, NEW = 8, 60  # lookups side by side, and for one answer
_UNREAD = "Slack does not say who reads this channel."


class SlackRoster:
    def __init__(self, client: AsyncWebClient, clock: Clock) -> None:
        self._client, self._clock = client, clock
        self._held: dict[str, tuple[str, datetime]] = {}  # user: why they may read no answer ("": they may), until

    def forget(self, user: str) -> None:
        self._held.pop(user, None)

    async def strangers(self, channel: str, team: str) -> str:
        """Why an answer may not be said in ``channel`` of the workspace ``team``; "" where everybody there is a full
        member of the organisation."""
        try:
            answer = await call(self._client.conversations_members(channel=channel, limit=MOST))
            people = [str(each) for each in answer.get("members") or ()]
            if (answer.get("response_metadata") or {}).get("next_cursor"):
                return "More people are in this channel than Gatehouse looks at."
            if not people:
                return _UNREAD
            now = self._clock.now()
            unknown = [each for each in people if each not in self._held or self._held[each][1] <= now]
            turns = asyncio.Semaphore(AT_ONCE)
            await asyncio.gather(*(self._look(each, team, now, turns) for each in unknown[:NEW]))
        except ConnectorError as error:
            log.info("who is in a channel of Slack could not be read (%s)", error.reason)
            return _UNREAD
        for each in people:
            if each in self._held and (why := self._held[each][0]):
                return why
        return "Gatehouse has yet to learn who reads this channel; ask again in a minute." if unknown[NEW:] else ""

    async def _look(self, user: str, team: str, now: datetime, turns: asyncio.Semaphore) -> None:
        async with turns:
            found = (await call(self._client.users_info(user=user))).get("user")
        why = _why_not(found if isinstance(found, dict) else {}, user, team, now)
        if len(self._held) >= 20 * MOST:
            self._held.clear()
        self._held[user] = why, now + BELIEVED


def _why_not(found: dict[str, Any], user: str, team: str, now: datetime) -> str:
    if found.get("id") != user:
        return _UNREAD
    standing = standing_of(found, team, now)
    if not standing.active or standing.bot:  # nobody reads there
        return ""
    if standing.external:
        return "People of another organisation are in this channel."
    return "Guests are in this channel." if standing.guest else ""
