"""Standing approvals on every platform: what the form asks, what is read from it, what is said. The engine decides."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bot.domain.errors import BadInput
from bot.domain.principals import Actor
from bot.domain.standing import StandingState, StandingView
from bot.domain.views import Notice
from bot.engine import Engine
from bot.remediation.standing import scope_of
from cards import build
from cards.model import Card
from cards.standing import ANY

from .ids import text_id

_SCOPES = ("environment", "account", "owner", "tag")
_USAGE = "/gatehouse standing, /gatehouse standing all, /gatehouse standing revoke ID [reason]"


def check(given: Mapping[str, str]) -> dict[str, str]:
    """What is missing, by input. Whether it is permitted is the engine's question, not ours."""
    wrong: dict[str, str] = {}
    if not any(given.get(name, ANY) not in {"", ANY} for name in _SCOPES):
        wrong[next((name for name in _SCOPES if name in given), "reason")] = (
            "Please narrow it by at least one of these."
        )
    for name in ("cap", "days"):
        if not given.get(name, "").isascii() or not given.get(name, "").isdecimal():
            wrong[name] = "Please choose one."
    if not given.get("reason"):
        wrong["reason"] = "Please say why; it is shown at every run."
    return wrong


async def grant(engine: Engine, actor: Actor, ids: Mapping[str, Any], given: Mapping[str, str]) -> Notice:
    """What came back from the form, after ``check``."""
    chosen = {name: given.get(name, ANY) for name in _SCOPES}
    parts = {name: "" if value == ANY else value for name, value in chosen.items()}
    key, _, value = parts.pop("tag").partition("=")
    view = await engine.standings.grant(
        text_id(ids, "p"),
        text_id(ids, "h"),
        actor,
        scope=scope_of(**parts, tag_key=key, tag_value=value),
        cap=int(given["cap"]),
        days=int(given["days"]),
        reason=given.get("reason", ""),
    )
    return granted(view)


async def revoke(engine: Engine, actor: Actor, ids: Mapping[str, Any]) -> Notice:
    return revoked(await engine.standings.revoke(text_id(ids, "s"), actor))


async def confirm(engine: Engine, actor: Actor, ids: Mapping[str, Any]) -> Notice:
    return granted(await engine.standings.confirm(text_id(ids, "s"), text_id(ids, "h"), actor))


async def command(engine: Engine, actor: Actor, rest: str) -> Notice | Card:
    """``[all]`` lists them, ``revoke ID [reason]`` ends one."""
    word, _, more = rest.partition(" ")
    if word == "revoke" and more.strip():
        standing_id, _, reason = more.strip().partition(" ")
        return revoked(await engine.standings.revoke(standing_id, actor, reason))
    if word not in {"", "all"} or more:
        raise BadInput(f"I do not know “{rest[:40]}”.", mend=_USAGE)
    return build.standings_card(await engine.standings.list(actor, over=word == "all"))


def granted(view: StandingView) -> Notice:
    facts = view.standing
    said = (
        f"{facts.id}: {view.playbook_title} where {facts.scope.words}, at most {facts.cap} an hour, until "
        f"{facts.ends_at:%Y-%m-%d %H:%M} UTC (version {facts.playbook_version}, hash {view.hash[:12]})"
    )
    if facts.state is StandingState.PROPOSED:
        missing = facts.quorum - len(view.by)
        return Notice(ok=True, said=f"Proposed: {said}.", mend=f"{missing} more must grant it: /gatehouse standing.")
    return Notice(ok=True, said=f"Pre-approved: {said}.", mend=f"/gatehouse standing revoke {facts.id} ends it.")


def revoked(view: StandingView) -> Notice:
    return Notice(ok=True, said=f"{view.standing.id} is revoked: nothing more runs under it.",
                  mend="What it did can be undone from the cards.")  # fmt: skip
