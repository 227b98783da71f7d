"""Sends the engine's messages to Teams: view -> card -> activity -> one call."""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from bot.domain.errors import Refused
from bot.domain.ids import Clock
from bot.domain.views import CauseView
from bot.ports import Message
from bot.settings import Settings
from bot.store import teams as store
from bot.store.database import Database
from cards import adaptive, build
from handlers.common.messages import NO_CARD, card_of

from .refresh import Personal
from .streaming import AI_LABEL
from .wire import Closed, TeamsWire, TooBig

log = logging.getLogger(__name__)
T = TypeVar("T")
LIMITS = (adaptive.LIMIT, adaptive.LIMIT // 2, adaptive.LIMIT // 4)
_GUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.I)


class TeamsPoster:
    """Implements ``ports.ChatPoster``.

    No ``find``: a bot cannot read a conversation of Teams. What was sent with an unclear end is therefore not sent
    again but told to the operators; 412, 429, 502, 503 and 504, which Microsoft asks to repeat, are repeated.
    """

    platform = "teams"

    def __init__(
        self, wire: TeamsWire, db: Database, settings: Settings, clock: Clock, personal: Personal | None = None
    ) -> None:
        """``personal`` says who gets a card of their own; without it everybody presses for it."""
        self._wire, self._db, self._settings, self._clock = wire, db, settings, clock
        self._personal = personal

    async def post(self, message: Message) -> str:
        """The activity's id: of the thread's root in a channel."""
        place = await self._where(message.channel)

        async def send(activity: dict[str, Any]) -> str:
            if place.kind != "channel":
                return await self._wire.send(place.service_url, place.id, activity)
            if message.thread:
                return await self._wire.send(place.service_url, _thread(place.id, message.thread), activity)
            made = await self._wire.create(
                place.service_url,
                {
                    "isGroup": True,
                    "tenantId": place.tenant,
                    "bot": {"id": place.bot},
                    "channelData": {"channel": {"id": place.id}, "tenant": {"id": place.tenant}},
                    "activity": activity,
                },
            )
            return str(made.get("activityId") or str(made.get("id", "")).rpartition(";messageid=")[2])

        return await self._fitting(message, place, send)

    async def update(self, message: Message, message_id: str) -> None:
        place = await self._where(message.channel)
        root = message.thread or message_id
        conversation = _thread(place.id, root) if place.kind == "channel" else place.id

        async def change(activity: dict[str, Any]) -> None:
            await self._wire.update(place.service_url, conversation, message_id, activity)

        await self._fitting(message, place, change)

    async def _fitting(
        self, message: Message, place: store.Conversation, call: Callable[[dict[str, Any]], Awaitable[T]]
    ) -> T:
        """Where Teams finds it too large it is shortened and sent again. A place that takes nothing is not tried again
        before the app is back; the operators are told as of everything that cannot be delivered."""
        *longer, shortest = LIMITS
        try:
            for limit in longer:
                try:
                    return await call(await self._activity(message, place, limit))
                except TooBig:
                    log.warning("a message of %s bytes is too large for Teams; it is shortened", limit)
            return await call(await self._activity(message, place, shortest))
        except Closed:
            await self._db.write(store.removed, place.tenant, place.id)
            raise

    async def _activity(self, message: Message, place: store.Conversation, limit: int) -> dict[str, Any]:
        """Where many read it: without buttons that decide, and with the names of those who get their own. With Teams'
        label where a model wrote some of the words."""
        view = message.view
        if not isinstance(view, CauseView) or message.kind in NO_CARD:
            return adaptive.message(card_of(message, charts=True), limit=limit)
        refresh = None
        if self._personal is None:
            card = build.shared_card(view)
        elif place.kind == "personal":
            card = await self._personal.direct(view, place.tenant, place.user)
        else:
            card, refresh = await self._personal.shared(view, place)
        # Sixty ids are some kilobytes: the first to go.
        made = adaptive.message(card, refresh=refresh if limit == LIMITS[0] else None, limit=limit)
        if view.narrative and view.narrative.model:
            made["entities"] = [AI_LABEL]
        return made

    async def _where(self, channel: str) -> store.Conversation:
        tenant = self._settings.teams.tenant.lower()
        if _GUID.fullmatch(channel):
            return await self._chat(tenant, channel)
        return await self._place(tenant, channel)

    async def _place(self, tenant: str, channel: str) -> store.Conversation:
        """Where it is; for a channel of a team the app was put into before we listened, by the settings."""
        found = await self._db.read(store.conversation, tenant, channel)
        if found is None:
            bot = f"28:{self._settings.teams.app_id}"
            kind = "channel" if "@thread.tacv2" in channel else "groupChat"
            return store.Conversation(tenant, channel, kind, self._settings.teams.service_url, bot)
        if not found.installed:
            raise Refused("Gatehouse was removed from this conversation of Teams.",
                          mend="Install the app there again, or route to another channel.")  # fmt: skip
        return found

    async def _chat(self, tenant: str, user: str) -> store.Conversation:
        found = await self._db.read(store.personal, tenant, user.lower())
        if found is None or not found.installed:
            raise Refused("This person has not installed Gatehouse in Teams, so it cannot write to them.",
                          mend="Install the app for the person, or let an administrator do it for all.")  # fmt: skip
        return found


def _thread(channel: str, root: str) -> str:
    return f"{channel};messageid={root}"
