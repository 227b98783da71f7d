"""The dialogs: built from cards, checked when they come back. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from bot.domain.decisions import GLASS_WORD, RequestState
from bot.domain.plans import PlanKind
from bot.domain.views import CauseView, GlassOffer, GlassView, Notice, Option, PlanView, RequestView
from bot.settings import Settings
from cards import blockkit, build
from cards.model import Ask, Card, Choose, OptionItem, Section

REVIEW, NOT_MINE, SNOOZE, SHOW = "gh.review", "gh.not_mine", "gh.snooze", "gh.show"
GLASS, GLASS_REVIEW = "gh.glass", "gh.glass_review"
FALLBACK = "-"  # Slack takes no empty option value
DAYS = ("1", "7", "30")


def loading(title: str, what: str) -> dict[str, Any]:
    """Light, because a trigger lives three seconds and a plan takes longer."""
    card = Card(title=title, summary=what, status=("⏳ ", what))
    return blockkit.modal(card, callback_id=SHOW)


def show(card: Card, title: str) -> dict[str, Any]:
    return blockkit.modal(card, callback_id=SHOW, title=title)


def notice(said: Notice, title: str = "Gatehouse") -> dict[str, Any]:
    return blockkit.modal(build.notice_card(said), callback_id=SHOW, title=title)


def review(view: PlanView, channel: str) -> dict[str, Any]:
    """The plan; a submit only where this person may do something."""
    title = "Review undo" if view.plan.kind is PlanKind.UNDO else "Review fix"
    allowed = build.choices(view)
    metadata: dict[str, Any] = {"p": view.plan.id, "h": view.plan_hash, "ch": channel}
    if view.request and view.request.state is RequestState.PENDING:
        metadata |= {"q": view.request.id, "v": view.request.revision}
    if view.rule.typed_confirmation and Option.APPROVE in allowed:
        metadata["n"] = view.plan.blast_radius.resources
    return blockkit.modal(
        build.plan_card(view),
        callback_id=REVIEW,
        private_metadata=json.dumps(metadata, separators=(",", ":")),
        submit="Send" if allowed else "",
        close="Cancel" if allowed else "Close",
        title=title,
    )


def check_review(ids: Mapping[str, Any], given: Mapping[str, str]) -> dict[str, str]:
    """What is missing, by input. Whether it is permitted is the engine's question, not ours."""
    wrong: dict[str, str] = {}
    choice = given.get("choice", "")
    if choice not in {o.value for o in Option}:
        wrong["choice"] = "Please choose one."
    if choice == Option.REJECT.value and not given.get("reason"):
        wrong["reason"] = "Please say why you reject it; the reason is kept with the decision."
    expected = ids.get("n")
    if choice == Option.APPROVE.value and expected is not None and given.get("confirm", "") != str(expected):
        wrong["confirm"] = f"Please type {expected}, the number of resources that change."
    return wrong


def decided(request: RequestView, option: Option) -> Notice:
    """What one's own answer came to."""
    what = "undo" if request.kind is PlanKind.UNDO else "fix"
    if option is Option.ASK:
        return Notice(ok=True, said=f"You asked for approval of this {what}.", could=request.could,
                      mend="The card says when it is decided.")  # fmt: skip
    if option is Option.CANCEL:
        return Notice(ok=True, said="Your request is taken back; nothing is changed.")
    if option is Option.WITHDRAW:
        return Notice(ok=True, said="Your vote is withdrawn; it no longer counts.")
    match request.state:
        case RequestState.APPROVED:
            return Notice(ok=True, said=f"Approved. The {what} starts now; the card shows how it goes.")
        case RequestState.REJECTED:
            return Notice(ok=True, said="Rejected; nothing is changed.")
        case RequestState.PENDING:
            return Notice(
                ok=True, said=f"Your approval is counted; {request.missing} more needed.", could=request.could
            )
        case _:
            return Notice(ok=False, said=f"The request was {request.state.value}; nothing is changed.",
                          mend="Open Review fix again to see where it stands.")  # fmt: skip


def glass(view: PlanView, offer: GlassOffer, channel: str) -> dict[str, Any]:
    """Breaking the glass: the exact plan, the reason, the words."""
    waits = view.request is not None and view.request.state is RequestState.PENDING
    metadata = {"p": view.plan.id, "h": view.plan_hash, "ch": channel}
    revision = {"v": view.request.revision} if view.request and waits else {}
    return blockkit.modal(
        build.glass_form_card(view, offer),
        callback_id=GLASS,
        private_metadata=json.dumps(metadata | revision, separators=(",", ":")),
        submit="Break it",
        close="Cancel",
        title="Break the glass",
    )


def check_glass(given: Mapping[str, str]) -> dict[str, str]:
    wrong = {}
    if not given.get("reason"):
        wrong["reason"] = "Please say why it cannot wait; everybody is told."
    if given.get("word", "") != GLASS_WORD:
        wrong["word"] = f"Please type {GLASS_WORD}, exactly so."
    return wrong


def glass_review(view: GlassView, justified: bool, channel: str) -> dict[str, Any]:
    metadata = {"g": view.id, "j": "yes" if justified else "no", "ch": channel}
    return blockkit.modal(
        build.glass_review_card(view, justified),
        callback_id=GLASS_REVIEW,
        private_metadata=json.dumps(metadata, separators=(",", ":")),
        submit="Justified" if justified else "Not justified",
        close="Cancel",
        title="Review",
    )


def check_glass_review(given: Mapping[str, str]) -> dict[str, str]:
    return {} if given.get("comment") else {"comment": "Please say why; it is shown to everybody and kept."}


def not_mine(view: CauseView, settings: Settings, channel: str) -> dict[str, Any]:
    owners = [OptionItem(key, owner.name or key) for key, owner in sorted(settings.routing.owners.items())][:99]
    card = Card(
        title=view.title,
        summary="Pass it on.",
        status=(f"Now with: {view.owner or 'nobody'}. Its card moves to the new owner's channel.",),
        body=(
            Choose("to", "Whose is it?", (*owners, OptionItem(FALLBACK, "I do not know: to the fallback")), many=True),
            Ask("reason", "Why?", hint="Shown to the new owner and kept.", max_length=500),
        ),
    )
    return blockkit.modal(card, callback_id=NOT_MINE, private_metadata=_cause(view, channel), submit="Pass on",
                          close="Cancel", title="Not mine")  # fmt: skip


def check_not_mine(settings: Settings, given: Mapping[str, str]) -> dict[str, str]:
    wrong = {}
    if given.get("to") != FALLBACK and given.get("to") not in settings.routing.owners:
        wrong["to"] = "Please choose an owner."
    if not given.get("reason"):
        wrong["reason"] = "Please say why; the new owner reads it."
    return wrong


def snooze(view: CauseView, channel: str) -> dict[str, Any]:
    options = tuple(OptionItem(days, f"{days} day{'s' if days != '1' else ''}") for days in DAYS)
    card = Card(
        title=view.title,
        summary="Snooze it.",
        body=(
            Section((("It stays open and comes back by itself.",),)),
            Choose("days", "For how long?", options),
            Ask("reason", "Why?", hint="Shown on the card and kept.", max_length=500),
        ),
    )
    return blockkit.modal(card, callback_id=SNOOZE, private_metadata=_cause(view, channel), submit="Snooze",
                          close="Cancel", title="Snooze")  # fmt: skip


def check_snooze(given: Mapping[str, str]) -> dict[str, str]:
    wrong = {}
    if given.get("days") not in DAYS:
        wrong["days"] = "Please choose how long."
    if not given.get("reason"):
        wrong["reason"] = "Please say why; it is shown on the card."
    return wrong


def _cause(view: CauseView, channel: str) -> str:
    return json.dumps({"c": view.id, "v": view.revision, "ch": channel}, separators=(",", ":"))
