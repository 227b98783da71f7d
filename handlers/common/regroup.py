"""Split and merge of causes on every platform: what the form asks, and which service its answer means."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bot.domain.principals import Actor
from bot.domain.silence import RegroupView
from bot.domain.views import Notice
from bot.engine import Engine
from cards.attention import UNDO

from .ids import text_id


def sends(view: RegroupView) -> bool:
    """Whether there is anything to choose."""
    return bool(view.parts or view.others or view.made)


def check(given: Mapping[str, str]) -> dict[str, str]:
    do = given.get("do", "")
    wrong = {} if do == UNDO or do.startswith(("m:", "s:")) else {"do": "Please choose one."}
    if not given.get("reason"):
        wrong["reason"] = "Please say why; it is kept."
    return wrong


async def carry_out(engine: Engine, actor: Actor, ids: Mapping[str, Any], given: Mapping[str, str]) -> Notice:
    cause, reason = text_id(ids, "c"), given.get("reason", "")
    kind, _, wanted = given["do"].partition(":")
    if kind == "m":
        return await engine.regroup.merge(cause, wanted, actor, reason)
    if kind == "s":
        return await engine.regroup.split(cause, wanted, actor, reason)
    return await engine.regroup.undo(cause, actor)
