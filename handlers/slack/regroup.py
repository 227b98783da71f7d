"""Split and merge of causes in Slack: a button in the details, one dialog."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bot.domain.views import Notice
from cards import attention, blockkit
from handlers.common import regroup
from handlers.common.regroup import check

from .payloads import Origin, text_id

if TYPE_CHECKING:
    from .desk import Desk

__all__ = ["REGROUP", "check", "open_", "submit"]
REGROUP = "gh.regroup"


async def open_(desk: Desk, origin: Origin, ids: Mapping[str, Any]) -> Notice | None:
    async def make() -> dict[str, Any]:
        cause = text_id(ids, "c")
        view = await regroup.look(desk.engine, await desk.actor(origin), cause)
        metadata = json.dumps({"c": cause, "ch": origin.channel}, separators=(",", ":"))
        return blockkit.modal(attention.regroup_card(view), callback_id=REGROUP, private_metadata=metadata,
                              submit="Do it" if regroup.sends(view) else "", close="Cancel",
                              title="Split or merge")  # fmt: skip

    return await desk.open_dialog(origin, "Split or merge", "One moment", make)


async def submit(desk: Desk, origin: Origin, ids: Mapping[str, Any], given: Mapping[str, str]) -> Notice:
    return await regroup.carry_out(desk.engine, await desk.actor(origin), ids, given)
