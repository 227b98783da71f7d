"""The buttons under a narrative in Teams: two words on it, and the call behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cards import build
from handlers.common.ids import text_id

from .payloads import Origin
from .refusals import Handler
from .replies import Given, Ids, Reply, back_to, told

if TYPE_CHECKING:
    from .desk import TeamsDesk


async def good(desk: TeamsDesk, origin: Origin, ids: Ids, _: Given) -> Reply:
    return await _judge(desk, origin, ids, good=True)


async def bad(desk: TeamsDesk, origin: Origin, ids: Ids, _: Given) -> Reply:
    return await _judge(desk, origin, ids, good=False)


async def _judge(desk: TeamsDesk, origin: Origin, ids: Ids, *, good: bool) -> Reply:
    actor, cause, call = await desk.actor(origin), text_id(ids, "c"), text_id(ids, "n")
    return told(await desk.engine.narratives.feedback(cause, call, actor, good=good), ids)


async def why(desk: TeamsDesk, origin: Origin, ids: Ids, _: Given) -> Reply:
    await desk.actor(origin)  # only people we know may look
    view = await desk.engine.narratives.why(text_id(ids, "c"), text_id(ids, "n"))
    return Reply(build.call_card(view), back=back_to(ids))


ACTIONS: dict[str, Handler] = {"prose_good": good, "prose_bad": bad, "prose_why": why}
