"""Standing approvals in Slack: the dialog that grants one, the list with its buttons, and /gatehouse standing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bot.domain.errors import BadInput
from bot.domain.standing import StandingDraft, StandingState, StandingView
from bot.domain.views import Notice
from bot.remediation.standing import scope_of
from cards import blockkit, build
from cards.standing import ANY

from .payloads import Origin, text_id

if TYPE_CHECKING:
    from .desk import Desk

PRE_APPROVE = "gh.pre_approve"
_SCOPES = ("environment", "account", "owner", "tag")
_USAGE = "/gatehouse standing, /gatehouse standing all, /gatehouse standing revoke ID [reason]"


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


async def submit(desk: Desk, origin: Origin, ids: Mapping[str, Any], given: Mapping[str, str]) -> Notice:
    chosen = {name: given.get(name, ANY) for name in _SCOPES}
    parts = {name: "" if value == ANY else value for name, value in chosen.items()}
    key, _, value = parts.pop("tag").partition("=")
    view = await desk.engine.standings.grant(
        text_id(ids, "p"),
        text_id(ids, "h"),
        await desk.actor(origin),
        scope=scope_of(**parts, tag_key=key, tag_value=value),
        cap=int(given["cap"]),
        days=int(given["days"]),
        reason=given.get("reason", ""),
    )
    return granted(view)


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


async def revoke(desk: Desk, origin: Origin, ids: Mapping[str, Any]) -> Notice | None:
    return revoked(await desk.engine.standings.revoke(text_id(ids, "s"), await desk.actor(origin)))


async def confirm(desk: Desk, origin: Origin, ids: Mapping[str, Any]) -> Notice | None:
    standings, actor = desk.engine.standings, await desk.actor(origin)
    return granted(await standings.confirm(text_id(ids, "s"), text_id(ids, "h"), actor))


def revoked(view: StandingView) -> Notice:
    return Notice(ok=True, said=f"{view.standing.id} is revoked: nothing more runs under it.",
                  mend="What it did can be undone from the cards.")  # fmt: skip


async def command(desk: Desk, origin: Origin, rest: str) -> Notice | None:
    word, _, more = rest.partition(" ")
    actor = await desk.actor(origin)
    if word == "revoke" and more.strip():
        standing_id, _, reason = more.strip().partition(" ")
        return revoked(await desk.engine.standings.revoke(standing_id, actor, reason))
    if word not in {"", "all"} or more:
        raise BadInput(f"I do not know “{rest[:40]}”.", mend=_USAGE)
    views = await desk.engine.standings.list(actor, over=word == "all")
    await desk.show(origin, build.standings_card(views))
    return None
