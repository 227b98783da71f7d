"""Standing approvals in Slack: the dialog that grants one, the list with its buttons, and /gatehouse standing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bot.domain.standing import StandingDraft
from bot.domain.views import Notice
from cards import blockkit, build
from handlers.common import standing
from handlers.common.standing import check, granted, revoked

from .payloads import Origin, text_id

if TYPE_CHECKING:
    from .desk import Desk

__all__ = ["PRE_APPROVE", "check", "command", "confirm", "dialog", "granted", "pre_approve", "revoke", "revoked",
           "submit"]  # fmt: skip
PRE_APPROVE = "gh.pre_approve"


async def pre_approve(desk: Desk, origin: Origin, ids: Mapping[str, Any]) -> Notice | None:
    """The button in Review fix: whether this person may is asked again before anything is shown."""

    async def make() -> dict[str, Any]:
        actor = await desk.actor(origin)
        return dialog(await desk.engine.standings.draft(text_id(ids, "p"), text_id(ids, "h"), actor), origin.channel)

    return await desk.open_dialog(origin, "Pre-approve", "Reading how the resource is tagged now", make)


def dialog(draft: StandingDraft, channel: str) -> dict[str, Any]:
    """Pure."""
    metadata = {"p": draft.plan_id, "h": draft.plan_hash, "ch": channel}
    return blockkit.modal(
        build.pre_approve_card(draft),
        callback_id=PRE_APPROVE,
        private_metadata=json.dumps(metadata, separators=(",", ":")),
        submit="Pre-approve",
        close="Cancel",
        title="Pre-approve",
    )


async def submit(desk: Desk, origin: Origin, ids: Mapping[str, Any], given: Mapping[str, str]) -> Notice:
    return await standing.grant(desk.engine, await desk.actor(origin), ids, given)


async def revoke(desk: Desk, origin: Origin, ids: Mapping[str, Any]) -> Notice | None:
    return await standing.revoke(desk.engine, await desk.actor(origin), ids)


async def confirm(desk: Desk, origin: Origin, ids: Mapping[str, Any]) -> Notice | None:
    return await standing.confirm(desk.engine, await desk.actor(origin), ids)


async def command(desk: Desk, origin: Origin, rest: str) -> Notice | None:
    return await desk.say(origin, await standing.command(desk.engine, await desk.actor(origin), rest))
