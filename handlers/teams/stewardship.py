"""Not mine and Snooze in Teams: the form in place of the message, then the engine's word."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cards.model import Button
from cards.words import ids as ids_text
from handlers.common import acts, forms
from handlers.common.ids import text_id

from .payloads import Origin
from .refusals import Handler, complete
from .replies import Given, Ids, Reply, back_to, told

if TYPE_CHECKING:
    from .desk import TeamsDesk


async def not_mine(desk: TeamsDesk, origin: Origin, ids: Ids, _: Given) -> Reply:
    cause = text_id(ids, "c")
    await desk.engine.stewardship.require(cause, await desk.actor(origin), "pass_on")
    card = forms.not_mine_card(await desk.engine.board.cause(cause), desk.settings)
    return Reply(card, Button("gh.send_not_mine", "Pass on", ids_text(c=cause), "primary"), back_to(ids))


async def snooze(desk: TeamsDesk, origin: Origin, ids: Ids, _: Given) -> Reply:
    cause = text_id(ids, "c")
    await desk.engine.stewardship.require(cause, await desk.actor(origin), "snooze")
    card = forms.snooze_card(await desk.engine.board.cause(cause))
    return Reply(card, Button("gh.send_snooze", "Snooze", ids_text(c=cause), "primary"), back_to(ids))


async def send_not_mine(desk: TeamsDesk, origin: Origin, ids: Ids, given: Given) -> Reply:
    complete(forms.check_not_mine(desk.settings, given))
    return told(await acts.pass_on(desk.engine, await desk.actor(origin), ids, given), ids)


async def send_snooze(desk: TeamsDesk, origin: Origin, ids: Ids, given: Given) -> Reply:
    complete(forms.check_snooze(given))
    return told(await acts.snooze(desk.engine, await desk.actor(origin), ids, given), ids)


ACTIONS: dict[str, Handler] = {"not_mine": not_mine, "snooze": snooze}
SUBMISSIONS: dict[str, Handler] = {"send_not_mine": send_not_mine, "send_snooze": send_snooze}
AGAIN: dict[str, Handler] = {"send_not_mine": not_mine, "send_snooze": snooze}
