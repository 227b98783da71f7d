"""Which of the people in gatehouse.yml are members of a conversation of Teams, and by which id it names them.

Rules
- Read from Teams at most once a day and conversation, and anew when Teams says that somebody came or went.
- Of everybody else in a conversation nothing is kept.
- It only says to whom Teams shows a card of their own; what a press may do is decided when it comes.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from bot.domain.errors import GatehouseError
from bot.domain.ids import Clock, short_hash
from bot.settings import Settings
from bot.store import teams as store
from bot.store.database import Database

from .wire import TeamsWire

log = logging.getLogger(__name__)
LAST = timedelta(hours=24)
PAUSE = timedelta(minutes=5)  # after a reading that failed
PATIENCE = 6.0  # seconds: a post waits for it, and posting has a time limit of its own
PAGES = 20  # of 500 people


class Deciders:
    def __init__(self, wire: TeamsWire, db: Database, settings: Settings, clock: Clock) -> None:
        self._wire, self._db, self._settings, self._clock = wire, db, settings, clock
        self._failed: dict[tuple[str, str], datetime] = {}

    async def of(self, place: store.Conversation) -> Mapping[str, str]:
        """Entra object id -> 29:…; what was known before where Teams does not answer, and nothing where nothing was."""
        wanted = self._wanted(place.tenant)
        if not wanted:
            return {}
        asked, now = short_hash(*sorted(wanted)), self._clock.now()
        held = await self._db.read(store.roster, place.tenant, place.id)
        if held is not None and held.asked == asked and now - held.read_at < LAST:
            return held.members
        before = {user: member for user, member in held.members.items() if user in wanted} if held else {}
        key = (place.tenant, place.id)
        if now - self._failed.get(key, datetime.min.replace(tzinfo=now.tzinfo)) < PAUSE:
            return before
        try:
            async with asyncio.timeout(PATIENCE):
                found = await self._read(place, wanted)
        except (GatehouseError, TimeoutError) as error:
            log.warning("the members of a conversation of Teams could not be read (%s)", type(error).__name__)
            self._failed = {each: at for each, at in self._failed.items() if now - at < PAUSE} | {key: now}
            return before
        await self._db.write(store.keep_roster, store.Roster(place.tenant, place.id, asked, now, found))
        return found

    def _wanted(self, tenant: str) -> frozenset[str]:
        """Who could ever be meant: the accounts of this tenant that gatehouse.yml names."""
        named = [(person.teams or "").partition("/") for person in self._settings.people.values() if person.active]
        return frozenset(user.lower() for there, slash, user in named if slash and there.lower() == tenant)

    async def _read(self, place: store.Conversation, wanted: frozenset[str]) -> dict[str, str]:
        found: dict[str, str] = {}
        after = ""
        for _ in range(PAGES):
            page = await self._wire.roster(place.service_url, place.id, after)
            for person in page.get("members") or ():
                user, member = _ids(person)
                if user in wanted and member.startswith("29:"):
                    found[user] = member
            after = str(page.get("continuationToken") or "")
            if not after or len(found) == len(wanted):
                break
        return found


def _ids(person: Any) -> tuple[str, str]:
    fields = person if isinstance(person, Mapping) else {}
    return str(fields.get("aadObjectId") or fields.get("objectId") or "").lower(), str(fields.get("id") or "")[:400]
