"""Suppression rules in Teams: the command, its buttons, and the form of a new rule."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bot.domain.views import Notice
from cards.model import Button
from cards.rules import new_rule_card
from cards.words import ids as ids_text
from handlers.common import rules

from .payloads import Origin
from .refusals import Handler, complete, headed
from .replies import Given, Ids, Reply, told

if TYPE_CHECKING:
    from .desk import TeamsDesk

_BACK = Button("gh.rule_list", "Back to the rules", ids_text())


async def listed(desk: TeamsDesk, origin: Origin, _: Ids, __: Given) -> Reply:
    return Reply(await rules.listed(desk.engine, await desk.actor(origin)))


async def new(desk: TeamsDesk, origin: Origin, _: Ids, __: Given) -> Reply:
    return Reply(new_rule_card(), Button("gh.send_rule", "Watch", ids_text(), "primary"), _BACK)


async def send(desk: TeamsDesk, origin: Origin, _: Ids, given: Given) -> Reply:
    complete(rules.check(given))
    return await _under(desk, origin, await rules.propose(desk.engine, await desk.actor(origin), given))


async def show(desk: TeamsDesk, origin: Origin, ids: Ids, _: Given) -> Reply:
    return Reply(await rules.show(desk.engine, await desk.actor(origin), ids), back=_BACK)


async def activate(desk: TeamsDesk, origin: Origin, ids: Ids, _: Given) -> Reply:
    return await _under(desk, origin, await rules.activate(desk.engine, await desk.actor(origin), ids))


async def end(desk: TeamsDesk, origin: Origin, ids: Ids, _: Given) -> Reply:
    return await _under(desk, origin, await rules.end(desk.engine, await desk.actor(origin), ids))


async def _under(desk: TeamsDesk, origin: Origin, said: Notice) -> Reply:
    """The rules as they are now, in place of those whose button was pressed."""
    shown = await listed(desk, origin, {}, {})
    return Reply(headed(said, shown.card))


async def command(desk: TeamsDesk, origin: Origin, rest: str) -> Reply:
    made = await rules.command(desk.engine, await desk.actor(origin), rest)
    return told(made, {}) if isinstance(made, Notice) else Reply(made)


ACTIONS: dict[str, Handler] = {
    "rule_new": new,
    "rule_activate": activate,
    "rule_end": end,
    "rule_show": show,
    "rule_list": listed,
}
SUBMISSIONS: dict[str, Handler] = {"send_rule": send}
AGAIN: dict[str, Handler] = {"send_rule": new}
LISTS: dict[str, Handler] = {"rule_activate": listed, "rule_end": listed, "rule_show": listed}
