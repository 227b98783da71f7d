"""What a form's answer or a command means, on every platform: one engine service called, and the words for its end.

Everything given here was checked for completeness (``forms``); whether it is permitted is the engine's question.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from bot.domain.decisions import Choice
from bot.domain.errors import BadInput, Denied
from bot.domain.principals import Actor
from bot.domain.views import Notice, Option, PlanView
from bot.engine import Engine
from cards import build
from cards.model import Card

from . import forms
from .ids import number, text_id


async def plan_of(engine: Engine, actor: Actor, wanted: str) -> PlanView:
    """The plan for a cause, or for the cause of a finding."""
    cause = (await engine.board.finding(wanted)).cause_id if wanted.startswith("f-") else wanted
    if not cause:
        raise BadInput("This finding belongs to no cause that could be fixed.")
    return await engine.approvals.look(cause, actor)


async def decide(engine: Engine, actor: Actor, ids: Mapping[str, Any], given: Mapping[str, str], click: str) -> Notice:
    """Ask, approve, reject, take back or withdraw. A refused approval names what "Why can't I approve?" can explain."""
    option = Option(given["choice"])
    try:
        return forms.decided(await _decide(engine, actor, ids, given, click, option), option)
    except Denied as error:
        if option is Option.APPROVE:
            error.about = error.about or text_id(ids, "q") or text_id(ids, "p")
        raise


async def _decide(
    engine: Engine, actor: Actor, ids: Mapping[str, Any], given: Mapping[str, str], click: str, option: Option
) -> Any:
    approvals, reason = engine.approvals, given.get("reason", "")
    plan, plan_hash, request_id = text_id(ids, "p"), text_id(ids, "h"), text_id(ids, "q")
    if option is Option.ASK:
        return await approvals.ask(plan, plan_hash, actor, reason, click=click)
    if option is Option.CANCEL:
        return await approvals.cancel(request_id, actor)
    if option is Option.WITHDRAW:
        return await approvals.withdraw(request_id, actor, click=click)
    revision = number(ids, "v")
    if not request_id:  # nobody asked yet: who may approve without being asked asks and answers in one
        request = await approvals.ask(plan, plan_hash, actor, reason, click=click)
        request_id, revision = request.id, request.revision
    choice = Choice.APPROVE if option is Option.APPROVE else Choice.REJECT
    typed = given.get("confirm", "")
    return await approvals.vote(request_id, plan_hash, revision, actor, choice, reason, typed, click=click)


async def break_glass(
    engine: Engine, actor: Actor, ids: Mapping[str, Any], given: Mapping[str, str], click: str
) -> Notice:
    plan, plan_hash = text_id(ids, "p"), text_id(ids, "h")
    await engine.approvals.break_glass(
        plan, plan_hash, number(ids, "v"), actor, given["reason"], given.get("word", ""), click=click
    )
    return Notice(ok=True, said="The glass is broken: exactly this plan starts now, and everybody is told.",
                  mend="Another person reviews it; the card shows how it goes.")  # fmt: skip


async def review_glass(engine: Engine, actor: Actor, ids: Mapping[str, Any], given: Mapping[str, str]) -> Notice:
    justified = text_id(ids, "j") == "yes"
    await engine.approvals.glass.review(text_id(ids, "g"), actor, justified=justified, comment=given["comment"])
    return Notice(ok=True, said=f"Your review is kept: {'justified' if justified else 'not justified'}.")


async def pass_on(engine: Engine, actor: Actor, ids: Mapping[str, Any], given: Mapping[str, str]) -> Notice:
    to = "" if given["to"] == forms.FALLBACK else given["to"]
    said: Notice = await engine.stewardship.not_mine(text_id(ids, "c"), actor, to, given["reason"])
    return said


async def snooze(engine: Engine, actor: Actor, ids: Mapping[str, Any], given: Mapping[str, str]) -> Notice:
    said: Notice = await engine.stewardship.snooze(text_id(ids, "c"), actor, int(given["days"]), given["reason"])
    return said


def start_of(ids: Mapping[str, Any]) -> int:
    """Where a page begins, as a button says it."""
    offset = text_id(ids, "o")
    return int(offset) if offset.isascii() and offset.isdigit() and len(offset) < 8 else 0


async def findings(engine: Engine, actor: Actor, words: str, offset: int) -> Card:
    """One page; the filters are read anew, as strictly as when they were typed."""
    filters = engine.board.parse_filters(words)
    view = await engine.board.findings(filters, offset=offset, person=actor)
    if offset and not view.lines:  # fewer than when the page before was shown: the last one there is
        offset = max(0, (view.total - 1) // view.limit * view.limit)
        view = await engine.board.findings(filters, offset=offset, person=actor)
    return build.findings_card(view, words)


async def freeze(engine: Engine, actor: Actor, rest: str, click: str) -> Notice:
    """Without words: what is frozen."""
    if rest:
        return await engine.controls.freeze(actor, rest, click=click)
    held = await engine.controls.freezes()
    said = "; ".join(f"{each.scope} by {each.by}: {each.reason}" for each in held)
    mend = "/gatehouse freeze [env:prod|account:ID] reason"
    return Notice(ok=True, said=f"Frozen: {said}." if said else "Nothing is frozen by command.", mend=mend)


_WANTED = {
    "finding": ("Which finding?", "/gatehouse finding ID; the ids stand in /gatehouse findings."),
    "fix": ("Fix what?", "/gatehouse fix ID with the id of a finding or of a card."),
    "why": ("Why what?", "/gatehouse why ID with the id of a card, a plan or a request."),
}


async def named(engine: Engine, actor: Actor, command: str, rest: str) -> str:
    """The full id of what somebody typed, who may see it."""
    return await engine.sight.named(wanted(command, rest), actor)


# What a button may name that leads to a cause: cause, subject of a question, plan, request, execution, the finding of
# another witness (where a page begins is no id, and leads to none). A broken glass (g) is shown to whom the policy lets
# review it.
_LEADS = ("c", "s", "p", "q", "x", "o")


async def in_sight(engine: Engine, ids: Mapping[str, Any], address: str, actor: Callable[[], Awaitable[Actor]]) -> None:
    """What a press in ``platform:channel`` names is on a card there, or is this person's to see. Else ``NotFound``."""
    sight = engine.sight
    if not sight.limited:
        return
    subjects = {text_id(ids, key) for key in _LEADS} - {""}
    for subject in sorted(subjects):
        if not await sight.stands(subject, address):
            await sight.require(subject, await actor())


def wanted(command: str, rest: str) -> str:
    """The one id a command needs."""
    if not rest:
        said, mend = _WANTED[command]
        raise BadInput(said, mend=mend)
    return rest.split()[0]
