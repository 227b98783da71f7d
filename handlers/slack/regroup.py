"""Split and merge of causes in Slack: a button in the details, one dialog."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bot.domain.views import Notice
from cards import attention, blockkit

from .payloads import Origin, text_id

if TYPE_CHECKING:
    from .desk import Desk

REGROUP = "gh.regroup"


async def open_(desk: Desk, origin: Origin, ids: Mapping[str, Any]) -> Notice | None:
    async def make() -> dict[str, Any]:
        cause = text_id(ids, "c")
        view = await desk.engine.regroup.look(cause, await desk.actor(origin))
        metadata = json.dumps({"c": cause, "ch": origin.channel}, separators=(",", ":"))
        submit = "Do it" if view.parts or view.others or view.made else ""
        return blockkit.modal(attention.regroup_card(view), callback_id=REGROUP, private_metadata=metadata,
                              submit=submit, close="Cancel", title="Split or merge")  # fmt: skip

    return await desk.open_dialog(origin, "Split or merge", "One moment", make)


def check(given: Mapping[str, str]) -> dict[str, str]:
    wrong = {} if given.get("do") else {"do": "Please choose one."}
    if not given.get("reason"):
        wrong["reason"] = "Please say why; it is kept."
    return wrong


async def submit(desk: Desk, origin: Origin, ids: Mapping[str, Any], given: Mapping[str, str]) -> Notice:
    cause, actor, reason = text_id(ids, "c"), await desk.actor(origin), given.get("reason", "")
    kind, _, wanted = given["do"].partition(":")
    if kind == "m":
        return await desk.engine.regroup.merge(cause, wanted, actor, reason)
    if kind == "s":
        return await desk.engine.regroup.split(cause, wanted, actor, reason)
    return await desk.engine.regroup.undo(cause, actor)
