"""The buttons under a narrative: two words on it, and the call behind it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bot.domain.views import Notice
from cards import build

from . import modals
from .desk import Desk
from .payloads import Origin, text_id


async def good(desk: Desk, origin: Origin, ids: Mapping[str, Any]) -> Notice | None:
    actor = await desk.actor(origin)
    return await desk.engine.narratives.feedback(text_id(ids, "c"), text_id(ids, "n"), actor, good=True)


async def bad(desk: Desk, origin: Origin, ids: Mapping[str, Any]) -> Notice | None:
    actor = await desk.actor(origin)
    return await desk.engine.narratives.feedback(text_id(ids, "c"), text_id(ids, "n"), actor, good=False)


async def why(desk: Desk, origin: Origin, ids: Mapping[str, Any]) -> Notice | None:
    await desk.actor(origin)  # only people we know may look
    card = build.call_card(await desk.engine.narratives.why(text_id(ids, "c"), text_id(ids, "n")))
    if origin.channel and not origin.above:
        await desk.show(origin, card)
        return None

    async def make() -> dict[str, Any]:
        return modals.show(card, "Why do you say so?")

    return await desk.open_dialog(origin, "Why do you say so?", "One moment", make)
