"""Split and merge of causes in Teams: a button in the details, one form."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cards.attention import regroup_card
from cards.model import Button
from cards.words import ids as ids_text
from handlers.common import regroup
from handlers.common.ids import text_id

from .payloads import Origin
from .refusals import Handler, complete
from .replies import Given, Ids, Reply, back_to, told

if TYPE_CHECKING:
    from .desk import TeamsDesk


async def open_(desk: TeamsDesk, origin: Origin, ids: Ids, _: Given) -> Reply:
    cause = text_id(ids, "c")
    view = await regroup.look(desk.engine, await desk.actor(origin), cause)
    send = Button("gh.send_regroup", "Do it", ids_text(c=cause), "primary") if regroup.sends(view) else None
    return Reply(regroup_card(view), send, back_to(ids))


async def send(desk: TeamsDesk, origin: Origin, ids: Ids, given: Given) -> Reply:
    complete(regroup.check(given))
    return told(await regroup.carry_out(desk.engine, await desk.actor(origin), ids, given), ids)


ACTIONS: dict[str, Handler] = {"regroup": open_}
SUBMISSIONS: dict[str, Handler] = {"send_regroup": send}
AGAIN: dict[str, Handler] = {"send_regroup": open_}
