"""Suppression rules in Slack: /gatehouse rules, its buttons, and the dialog of a new rule."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from bot.domain.errors import BadInput
from bot.domain.silence import RuleState, RuleView
from bot.domain.views import Notice
from bot.intake import noise
from bot.settings import SuppressionRule
from cards import blockkit, rules

from .payloads import Origin, text_id

if TYPE_CHECKING:
    from bot.domain.principals import Actor

    from .desk import Desk

NEW_RULE = "gh.rule_new"
_USAGE = f"/gatehouse rules, /gatehouse rules all, /gatehouse rules hidden [ID], /gatehouse rules end ID, {noise.USAGE}"


async def command(desk: Desk, origin: Origin, rest: str) -> Notice | None:
    word, _, more = rest.partition(" ")
    more, service = more.strip(), desk.engine.suppression
    if word == "new" and more:
        actor = await desk.actor(origin)
        terms = noise.read_rule(more, author=actor.principal.id, today=desk.engine.clock.now().date())
        await desk.show(origin, rules.rule_card(await service.draft(actor, terms)))
        return None
    if word == "hidden":
        return await _hidden(desk, origin, more)
    if word == "end" and more:
        rule_id, _, reason = more.partition(" ")
        return ended(await service.end(rule_id, await desk.actor(origin), reason))
    if word not in {"", "all"} or more:
        raise BadInput(f"I do not know “{rest[:40]}”.", mend=_USAGE)
    views = await service.list(await desk.actor(origin), over=word == "all")
    await desk.show(origin, rules.rules_card(views))
    return None


async def _hidden(desk: Desk, origin: Origin, rule_id: str) -> Notice | None:
    found = await desk.engine.suppression.hidden(rule_id)
    status = await desk.engine.board.attention()
    total = sum(line.count for line in status.silenced if line.rule_id and rule_id in {"", line.rule_id})
    await desk.show(origin, rules.hidden_card("Hidden findings", found, total))
    return None


async def show(desk: Desk, origin: Origin, ids: Mapping[str, Any]) -> Notice | None:
    """What an active rule hides; of one that watches, what it would hide."""
    actor, wanted = await desk.actor(origin), text_id(ids, "r")
    view = next((v for v in await desk.engine.suppression.list(actor) if v.id == wanted), None)
    if view is None:
        raise BadInput("This rule is over.", mend="/gatehouse rules all shows what became of it.")
    if view.state is RuleState.MONITOR:
        found = view.preview
        card = rules.hidden_card(f"{view.name} would hide", (*found.urgent, *found.sample), found.matched)
    else:
        card = rules.hidden_card(f"{view.name} hides", await desk.engine.suppression.hidden(wanted), view.hidden)
    await desk.show(origin, card)
    return None


async def activate(desk: Desk, origin: Origin, ids: Mapping[str, Any]) -> Notice | None:
    actor: Actor = await desk.actor(origin)
    view = await desk.engine.suppression.activate(text_id(ids, "r"), text_id(ids, "h"), actor)
    return activated(view)


async def end(desk: Desk, origin: Origin, ids: Mapping[str, Any]) -> Notice | None:
    return ended(await desk.engine.suppression.end(text_id(ids, "r"), await desk.actor(origin)))


def activated(view: RuleView) -> Notice:
    if view.state is RuleState.ACTIVE:
        said = f"“{view.name}” is active and hides {view.hidden:,} findings until {view.until:%Y-%m-%d}."
        return Notice(ok=True, said=said, mend=f"/gatehouse rules end {view.id} brings everything back.")
    return Notice(ok=True, said=f"Your name stands under “{view.name}”. It hides nothing yet.",
                  mend=f"{view.missing} more must activate it, because it may hide P1.")  # fmt: skip


def ended(view: RuleView) -> Notice:
    return Notice(ok=True, said=f"“{view.name}” is over; what it hid is open again.")


# --- the dialog ------------------------------------------------------------------------------------------------------


async def new(desk: Desk, origin: Origin, _ids: Mapping[str, Any]) -> Notice | None:
    async def make() -> dict[str, Any]:
        return dialog(origin.channel)

    return await desk.open_dialog(origin, "New rule", "One moment", make)


def dialog(channel: str) -> dict[str, Any]:
    """Pure."""
    metadata = json.dumps({"ch": channel}, separators=(",", ":"))
    return blockkit.modal(rules.new_rule_card(), callback_id=NEW_RULE, private_metadata=metadata, submit="Watch",
                          close="Cancel", title="New rule")  # fmt: skip


def check(given: Mapping[str, str]) -> dict[str, str]:
    """What is missing, by input. Whether it is permitted is the engine's question, not ours."""
    wrong = {name: "Please fill this in." for name in ("name", "reason") if not given.get(name)}
    if not _match(given):
        wrong["rule"] = "Please narrow it by at least one of environment, rule, account, source and tag."
    if given.get("tag") and "=" not in given["tag"]:
        wrong["tag"] = "Please write key=value."
    if given.get("days") not in rules.DAYS:
        wrong["days"] = "Please choose one."
    if not wrong:
        try:
            _terms(given, "nobody", 1)
        except BadInput as error:
            place = error.reason.partition(":")[0].partition(".")[0]
            wrong[place if place in given else "name"] = error.reason[:150]
    return wrong


def _match(given: Mapping[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {
        name: tuple(part.strip() for part in given[name].split(",") if part.strip())
        for name in ("environment", "rule", "account", "source")
        if given.get(name, rules.ANY) not in {"", rules.ANY}
    }
    key, _, value = given.get("tag", "").partition("=")
    return found | ({"tags": {key.strip(): value.strip()}} if key and value else {})


def _terms(given: Mapping[str, str], author: str, days: int, today: date | None = None) -> SuppressionRule:

    until = (today or date(2000, 1, 1)) + timedelta(days=days)
    return noise.made_rule(
        {"name": given.get("name", ""), "match": _match(given), "reason": given.get("reason", ""), "author": author,
         "until": until, "hours": given.get("hours", ""), "include_p1": given.get("p1") == "yes"}
    )  # fmt: skip


async def submit(desk: Desk, origin: Origin, _ids: Mapping[str, Any], given: Mapping[str, str]) -> Notice:
    actor = await desk.actor(origin)
    terms = _terms(given, actor.principal.id, int(given["days"]), desk.engine.clock.now().date())
    view = await desk.engine.suppression.draft(actor, terms)
    return Notice(ok=True, said=f"“{view.name}” watches. {rules.would_hide(view.preview)}",
                  mend="/gatehouse rules shows it; who may activate it sees a button there.")  # fmt: skip
