"""Suppression rules on every platform: the command, the buttons, the form of a new rule. The engine decides."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

from bot.domain.errors import BadInput
from bot.domain.principals import Actor
from bot.domain.silence import RuleState, RuleView
from bot.domain.views import Notice
from bot.engine import Engine
from bot.intake import noise
from bot.reports.sight import require_member, seen_by
from bot.settings import SuppressionRule
from cards import rules
from cards.model import Card

from .ids import text_id

_USAGE = f"/gatehouse rules, /gatehouse rules all, /gatehouse rules hidden [ID], /gatehouse rules end ID, {noise.USAGE}"


async def command(engine: Engine, actor: Actor, rest: str) -> Notice | Card:
    """``[all]`` lists them, ``new …`` writes one down, ``hidden [ID]`` shows findings, ``end ID`` ends one."""
    word, _, more = rest.partition(" ")
    more, service = more.strip(), engine.suppression
    if word == "new" and more:
        terms = noise.read_rule(more, author=actor.principal.id, today=engine.clock.now().date())
        return rules.rule_card(await service.draft(actor, terms, seen_by(engine.settings, actor)))
    if word == "hidden":
        return await _hidden(engine, actor, more)
    if word == "end" and more:
        rule_id, _, reason = more.partition(" ")
        return ended(await service.end(rule_id, actor, reason))
    if word not in {"", "all"} or more:
        raise BadInput(f"I do not know “{rest[:40]}”.", mend=_USAGE)
    return await listed(engine, actor, over=word == "all")


async def listed(engine: Engine, actor: Actor, *, over: bool = False) -> Card:
    return rules.rules_card(await engine.suppression.list(actor, over=over, seen=seen_by(engine.settings, actor)))


async def _hidden(engine: Engine, actor: Actor, rule_id: str) -> Card:
    require_member(actor)
    found, total = await engine.suppression.hidden(rule_id, seen=seen_by(engine.settings, actor))
    return rules.hidden_card("Hidden findings", found, total)


async def show(engine: Engine, actor: Actor, ids: Mapping[str, Any]) -> Card:
    """What an active rule hides; of one that watches, what it would hide. Only what this person may see."""
    require_member(actor)
    wanted, seen = text_id(ids, "r"), seen_by(engine.settings, actor)
    view = next((v for v in await engine.suppression.list(actor, seen=seen) if v.id == wanted), None)
    if view is None:
        raise BadInput("This rule is over.", mend="/gatehouse rules all shows what became of it.")
    if view.state is RuleState.MONITOR:
        found = view.preview
        return rules.hidden_card(f"{view.name} would hide", (*found.urgent, *found.sample), found.listed)
    return rules.hidden_card(f"{view.name} hides", *await engine.suppression.hidden(wanted, seen=seen))


async def activate(engine: Engine, actor: Actor, ids: Mapping[str, Any]) -> Notice:
    return activated(await engine.suppression.activate(text_id(ids, "r"), text_id(ids, "h"), actor))


async def end(engine: Engine, actor: Actor, ids: Mapping[str, Any]) -> Notice:
    return ended(await engine.suppression.end(text_id(ids, "r"), actor))


def activated(view: RuleView) -> Notice:
    if view.state is RuleState.ACTIVE:
        said = f"“{view.name}” is active and hides {view.hidden:,} findings until {view.until:%Y-%m-%d}."
        return Notice(ok=True, said=said, mend=f"/gatehouse rules end {view.id} brings everything back.")
    return Notice(ok=True, said=f"Your name stands under “{view.name}”. It hides nothing yet.",
                  mend=f"{view.missing} more must activate it, because it may hide P1.")  # fmt: skip


def ended(view: RuleView) -> Notice:
    return Notice(ok=True, said=f"“{view.name}” is over; what it hid is open again.")


# --- the form of a new rule ------------------------------------------------------------------------------------------


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


async def propose(engine: Engine, actor: Actor, given: Mapping[str, str]) -> Notice:
    """What came back from the form, after ``check``: the rule watches, and hides nothing."""
    terms = _terms(given, actor.principal.id, int(given["days"]), engine.clock.now().date())
    view = await engine.suppression.draft(actor, terms)
    return Notice(ok=True, said=f"“{view.name}” watches. {rules.would_hide(view.preview)}",
                  mend="/gatehouse rules shows it; who may activate it sees a button there.")  # fmt: skip
