"""Buttons of witnesses: "Not the same problem" and "Same problem", one click each, remembered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bot.domain.views import Notice

from .desk import Desk
from .payloads import Origin, text_id


async def split(desk: Desk, origin: Origin, ids: Mapping[str, Any]) -> Notice | None:
    return await desk.engine.issues.split(text_id(ids, "c"), text_id(ids, "f"), await desk.actor(origin))


async def merge(desk: Desk, origin: Origin, ids: Mapping[str, Any]) -> Notice | None:
    cause, finding, other = text_id(ids, "c"), text_id(ids, "f"), text_id(ids, "o")
    return await desk.engine.issues.merge(cause, finding, other, await desk.actor(origin))
