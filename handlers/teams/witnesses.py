"""Buttons of witnesses in Teams: "Not the same problem" and "Same problem", one click each, remembered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from handlers.common.ids import text_id

from .payloads import Origin
from .refusals import Handler
from .replies import Given, Ids, Reply, told

if TYPE_CHECKING:
    from .desk import TeamsDesk


async def split(desk: TeamsDesk, origin: Origin, ids: Ids, _: Given) -> Reply:
    actor = await desk.actor(origin)
    return told(await desk.engine.issues.split(text_id(ids, "c"), text_id(ids, "f"), actor), ids)


async def merge(desk: TeamsDesk, origin: Origin, ids: Ids, _: Given) -> Reply:
    cause, finding, other = text_id(ids, "c"), text_id(ids, "f"), text_id(ids, "o")
    return told(await desk.engine.issues.merge(cause, finding, other, await desk.actor(origin)), ids)


ACTIONS: dict[str, Handler] = {"split": split, "merge": merge}
