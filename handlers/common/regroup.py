"""Split and merge of causes on every platform: what the form asks, and which service its answer means."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bot.domain.principals import Actor
from bot.domain.silence import RegroupView
from bot.domain.views import Notice
from bot.engine import Engine
from bot.reports.sight import causes_of, seen_by
from cards.attention import UNDO

from .ids import text_id


def sends(view: RegroupView) -> bool:
    """Whether there is anything to choose."""
    return bool(view.parts or view.others or view.made)


async def look(engine: Engine, actor: Actor, cause: str) -> RegroupView:
    """What the form offers: of the other causes those that this person may see."""
    seen = seen_by(engine.settings, actor)
    return await engine.regroup.look(cause, actor, None if seen is None else causes_of(seen, engine.settings, actor))


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
        await engine.sight.require(wanted, actor)  # a form names only what may be seen; a forged one anything
        return await engine.regroup.merge(cause, wanted, actor, reason)
    if kind == "s":
        return await engine.regroup.split(cause, wanted, actor, reason)
    return await engine.regroup.undo(cause, actor)
