"""The time zone and locale of Slack's users, as they set them for themselves."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from slack_sdk.web.async_client import AsyncWebClient

from bot.domain.errors import ConnectorError
from bot.domain.habits import PLAIN, Habits
from bot.domain.ids import Clock

from .web import call

log = logging.getLogger(__name__)
BELIEVED, NOT_AGAIN = timedelta(hours=1), timedelta(minutes=5)  # after a good answer, after none
MOST = 5_000


class SlackHabits:
    """Held for an hour: people travel, but not within one."""

    def __init__(self, client: AsyncWebClient, clock: Clock) -> None:
        self._client, self._clock = client, clock
        self._held: dict[str, tuple[Habits, datetime]] = {}

    async def of(self, user: str) -> Habits:
        """UTC and ISO dates where Slack does not say; an answer never fails because of it."""
        now = self._clock.now()
        held = self._held.get(user)
        if held is not None and now < held[1]:
            return held[0]
        try:
            found = (await call(self._client.users_info(user=user, include_locale=True))).get("user")
            found = found if isinstance(found, dict) and found.get("id") == user else {}
            habits, until = Habits.of(found.get("tz"), found.get("locale")), now + BELIEVED
        except ConnectorError as error:
            log.info("the time zone of a user of Slack could not be read: %s", error.reason)
            habits, until = held[0] if held else PLAIN, now + NOT_AGAIN
        if len(self._held) >= MOST:
            self._held.clear()
        self._held[user] = (habits, until)
        return habits
