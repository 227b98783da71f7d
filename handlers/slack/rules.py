"""Suppression rules in Slack: /gatehouse rules, its buttons, and the dialog of a new rule."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bot.domain.views import Notice
from cards import blockkit
from cards.rules import new_rule_card
from handlers.common import rules
from handlers.common.rules import check

from .payloads import Origin

if TYPE_CHECKING:
    from .desk import Desk

__all__ = ["NEW_RULE", "activate", "check", "command", "dialog", "end", "new", "show", "submit"]
NEW_RULE = "gh.rule_new"


async def command(desk: Desk, origin: Origin, rest: str) -> Notice | None:
    return await desk.say(origin, await rules.command(desk.engine, await desk.actor(origin), rest))


async def show(desk: Desk, origin: Origin, ids: Mapping[str, Any]) -> Notice | None:
    return await desk.say(origin, await rules.show(desk.engine, await desk.actor(origin), ids))


async def activate(desk: Desk, origin: Origin, ids: Mapping[str, Any]) -> Notice | None:
    return await rules.activate(desk.engine, await desk.actor(origin), ids)


async def end(desk: Desk, origin: Origin, ids: Mapping[str, Any]) -> Notice | None:
    return await rules.end(desk.engine, await desk.actor(origin), ids)


async def new(desk: Desk, origin: Origin, _ids: Mapping[str, Any]) -> Notice | None:
    async def make() -> dict[str, Any]:
        return dialog(origin.channel)

    return await desk.open_dialog(origin, "New rule", "One moment", make)


def dialog(channel: str) -> dict[str, Any]:
    """Pure."""
    metadata = json.dumps({"ch": channel}, separators=(",", ":"))
    return blockkit.modal(new_rule_card(), callback_id=NEW_RULE, private_metadata=metadata, submit="Watch",
                          close="Cancel", title="New rule")  # fmt: skip


async def submit(desk: Desk, origin: Origin, _ids: Mapping[str, Any], given: Mapping[str, str]) -> Notice:
    return await rules.propose(desk.engine, await desk.actor(origin), given)
