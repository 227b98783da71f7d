"""Standing approvals in Teams: the form that grants one, the list with its buttons, the command."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bot.domain.views import Notice
from cards import build
from cards.model import Button
from cards.words import ids as ids_text
from handlers.common import standing
from handlers.common.ids import text_id

from .payloads import Origin
from .refusals import Handler, complete, headed
from .replies import Given, Ids, Reply, back_to, told

if TYPE_CHECKING:
    from .desk import TeamsDesk


async def pre_approve(desk: TeamsDesk, origin: Origin, ids: Ids, _: Given) -> Reply:
    """The button in Review fix: whether this person may is asked again before anything is shown."""
    draft = await desk.engine.standings.draft(text_id(ids, "p"), text_id(ids, "h"), await desk.actor(origin))
    value = ids_text(p=draft.plan_id, h=draft.plan_hash, c=draft.cause_id)
    send = Button("gh.send_pre_approve", "Pre-approve", value, "primary")
    return Reply(build.pre_approve_card(draft), send, back_to({"c": draft.cause_id}))


async def send(desk: TeamsDesk, origin: Origin, ids: Ids, given: Given) -> Reply:
    complete(standing.check(given))
    return told(await standing.grant(desk.engine, await desk.actor(origin), ids, given), ids)


async def listed(desk: TeamsDesk, origin: Origin, _: Ids, __: Given) -> Reply:
    return Reply(build.standings_card(await desk.engine.standings.list(await desk.actor(origin))))


async def revoke(desk: TeamsDesk, origin: Origin, ids: Ids, _: Given) -> Reply:
    said = await standing.revoke(desk.engine, await desk.actor(origin), ids)
    return await _under(desk, origin, said)


async def confirm(desk: TeamsDesk, origin: Origin, ids: Ids, _: Given) -> Reply:
    said = await standing.confirm(desk.engine, await desk.actor(origin), ids)
    return await _under(desk, origin, said)


async def _under(desk: TeamsDesk, origin: Origin, said: Notice) -> Reply:
    """The list as it is now, in place of the one whose button was pressed."""
    shown = await listed(desk, origin, {}, {})
    return Reply(headed(said, shown.card))


async def command(desk: TeamsDesk, origin: Origin, rest: str) -> Reply:
    made = await standing.command(desk.engine, await desk.actor(origin), rest)
    return told(made, {}) if isinstance(made, Notice) else Reply(made)


ACTIONS: dict[str, Handler] = {"pre_approve": pre_approve, "standing_revoke": revoke, "standing_confirm": confirm}
SUBMISSIONS: dict[str, Handler] = {"send_pre_approve": send}
AGAIN: dict[str, Handler] = {"send_pre_approve": pre_approve}
LISTS: dict[str, Handler] = {"standing_revoke": listed, "standing_confirm": listed}
