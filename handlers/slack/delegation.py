"""Who votes in whose stead, in Slack: by a mention in the command, or by the dialog that the command alone opens."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bot.domain.errors import BadInput
from bot.domain.principals import Platform
from bot.domain.views import Notice
from bot.settings import Settings
from cards import blockkit
from handlers.common import delegation

from .payloads import Origin, mention_of

if TYPE_CHECKING:
    from .desk import Desk

DELEGATE = "gh.delegate"
_USAGE = "/gatehouse delegate @user 7d [env:dev] [account:ID] [playbook:ID] reason"


async def delegate(desk: Desk, origin: Origin, rest: str) -> Notice | None:
    if not rest:
        return await desk.open_dialog(origin, "Delegate", "One moment", lambda: _dialog(desk, origin))
    other, text = mention_of(rest, origin.team)
    if other is None:
        raise BadInput("To whom?", mend=f"{_USAGE}, or /gatehouse delegate alone.")
    return await desk.engine.controls.delegate(await desk.actor(origin), other, text, click=origin.click)


async def _dialog(desk: Desk, origin: Origin) -> dict[str, Any]:
    known = delegation.people(desk.settings, Platform.SLACK, (await desk.actor(origin)).principal.id)
    if not known:
        raise BadInput("Nobody else in gatehouse.yml has an account of Slack.", mend="Bind people: people.ID.slack.")
    metadata = json.dumps({"ch": origin.channel}, separators=(",", ":"))
    return blockkit.modal(delegation.form(known), callback_id=DELEGATE, private_metadata=metadata, submit="Delegate",
                          close="Cancel", title="Delegate")  # fmt: skip


def check(settings: Settings, given: Mapping[str, str]) -> dict[str, str]:
    return delegation.check(delegation.people(settings, Platform.SLACK, ""), given)


async def submit(desk: Desk, origin: Origin, _ids: Mapping[str, Any], given: Mapping[str, str]) -> Notice:
    other = delegation.identity(desk.settings, Platform.SLACK, given["to"])
    actor, wish = await desk.actor(origin), delegation.wish(given)
    return await desk.engine.controls.delegate(actor, other, wish, click=origin.click)


async def undelegate(desk: Desk, origin: Origin, rest: str) -> Notice | None:
    other, _ = mention_of(rest, origin.team)
    if other is None:
        raise BadInput("From whom?", mend="/gatehouse undelegate @user")
    return await desk.engine.controls.undelegate(await desk.actor(origin), other, click=origin.click)
