"""Who votes in whose stead, in Teams: by a mention in a channel, by a form where nobody can be mentioned."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bot.domain.errors import BadInput
from bot.domain.principals import Platform
from bot.domain.views import Notice
from cards import build
from cards.model import Button
from cards.words import ids as ids_text
from handlers.common import delegation
from handlers.common.ids import text_id

from .mentions import first_of, identity_of
from .payloads import Origin
from .refusals import Handler, complete, headed
from .replies import Given, Ids, Reply

if TYPE_CHECKING:
    from .desk import TeamsDesk


async def listed(desk: TeamsDesk, origin: Origin, _: Ids, __: Given) -> Reply:
    return Reply(build.delegations_card(await desk.engine.delegations.in_force(await desk.actor(origin))))


async def command_list(desk: TeamsDesk, origin: Origin, rest: str) -> Reply:
    return await listed(desk, origin, {}, {})


async def revoke(desk: TeamsDesk, origin: Origin, ids: Ids, _: Given) -> Reply:
    actor = await desk.actor(origin)
    return await _under(
        desk, origin, await desk.engine.delegations.revoke(text_id(ids, "d"), actor, click=origin.click)
    )


async def delegate(desk: TeamsDesk, origin: Origin, rest: str) -> Reply:
    """``@person 7d [env:dev] [account:ID] [playbook:ID] reason``; without a mention the form, whatever name it says."""
    mention, text = first_of(rest, origin.mentions)
    if mention is None:
        return await form(desk, origin, {}, {})
    actor, other = await desk.actor(origin), await identity_of(desk, origin, mention)
    return await _under(desk, origin, await desk.engine.controls.delegate(actor, other, text, click=origin.click))


async def undelegate(desk: TeamsDesk, origin: Origin, rest: str) -> Reply:
    """``@person``; without a mention the list, where one's own can be taken back."""
    mention, _ = first_of(rest, origin.mentions)
    if mention is None:
        return await listed(desk, origin, {}, {})
    actor, other = await desk.actor(origin), await identity_of(desk, origin, mention)
    return await _under(desk, origin, await desk.engine.controls.undelegate(actor, other, click=origin.click))


async def form(desk: TeamsDesk, origin: Origin, _: Ids, __: Given) -> Reply:
    known = await _known(desk, origin)
    if not known:
        raise BadInput("Nobody else in gatehouse.yml has an account of Teams.", mend="Bind people: people.ID.teams.")
    send = Button("gh.send_delegate", "Delegate", ids_text(), "primary")
    return Reply(delegation.form(known), send, Button("gh.delegations", "Back to the delegations", ids_text()))


async def send(desk: TeamsDesk, origin: Origin, _: Ids, given: Given) -> Reply:
    complete(delegation.check(await _known(desk, origin), given))
    other = delegation.identity(desk.settings, Platform.TEAMS, given["to"])
    actor, wish = await desk.actor(origin), delegation.wish(given)
    return await _under(desk, origin, await desk.engine.controls.delegate(actor, other, wish, click=origin.click))


async def _known(desk: TeamsDesk, origin: Origin) -> dict[str, str]:
    return delegation.people(desk.settings, Platform.TEAMS, (await desk.actor(origin)).principal.id)


async def _under(desk: TeamsDesk, origin: Origin, said: Notice) -> Reply:
    """The delegations as they are now, under what was just done."""
    return Reply(headed(said, (await listed(desk, origin, {}, {})).card))


ACTIONS: dict[str, Handler] = {"revoke": revoke, "delegations": listed}
SUBMISSIONS: dict[str, Handler] = {"send_delegate": send}
AGAIN: dict[str, Handler] = {"send_delegate": form}
LISTS: dict[str, Handler] = {"revoke": listed}
