"""What the dialogs of every platform ask, and what is said to what comes back. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bot.domain.decisions import GLASS_WORD, RequestState
from bot.domain.errors import Conflict, Denied, GatehouseError, Stale
from bot.domain.plans import PlanKind
from bot.domain.views import CauseView, Notice, Option, RequestView
from bot.settings import Settings
from cards.model import Ask, Card, Choose, OptionItem, Section
from cards.words import sentence

FALLBACK = "-"  # no platform takes an empty choice
DAYS = ("1", "7", "30")


def as_notice(error: GatehouseError) -> Notice:
    """What went wrong, by which rule, who could, and what next."""
    if isinstance(error, Denied):
        said = Notice(ok=False, said=error.reason, mend=error.mend, rule=error.rule, could=error.could)
        return said.model_copy(update={"about": error.about})
    if isinstance(error, Stale):
        mend = error.mend or "Open it again from the card to see how it stands now."
        return Notice(ok=False, said=error.reason, mend=mend)
    if isinstance(error, Conflict):
        return Notice(ok=False, said=error.reason, mend=error.mend or "The card shows how it stands.")
    return Notice(ok=False, said=error.reason, mend=error.mend)


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


def check_glass(given: Mapping[str, str]) -> dict[str, str]:
    wrong = {}
    if not given.get("reason"):
        wrong["reason"] = "Please say why it cannot wait; everybody is told."
    if given.get("word", "") != GLASS_WORD:
        wrong["word"] = f"Please type {GLASS_WORD}, exactly so."
    return wrong


def check_glass_review(given: Mapping[str, str]) -> dict[str, str]:
    return {} if given.get("comment") else {"comment": "Please say why; it is shown to everybody and kept."}


def not_mine_card(view: CauseView, settings: Settings) -> Card:
    owners = [OptionItem(key, owner.name or key) for key, owner in sorted(settings.routing.owners.items())][:99]
    return Card(
        title=view.title,
        summary=f"Pass it on to whom it belongs: {sentence(view.title)}",
        status=(f"Now with: {view.owner or 'nobody'}. Its card moves to the new owner's channel.",),
        body=(
            Choose("to", "Whose is it?", (*owners, OptionItem(FALLBACK, "I do not know: to the fallback")), many=True),
            Ask("reason", "Why?", hint="Shown to the new owner and kept.", max_length=500),
        ),
    )


def check_not_mine(settings: Settings, given: Mapping[str, str]) -> dict[str, str]:
    wrong = {}
    if given.get("to") != FALLBACK and given.get("to") not in settings.routing.owners:
        wrong["to"] = "Please choose an owner."
    if not given.get("reason"):
        wrong["reason"] = "Please say why; the new owner reads it."
    return wrong


def snooze_card(view: CauseView) -> Card:
    options = tuple(OptionItem(days, f"{days} day{'s' if days != '1' else ''}") for days in DAYS)
    return Card(
        title=view.title,
        summary=f"Snooze it for some days: {sentence(view.title)}",
        body=(
            Section((("It stays open and comes back by itself.",),)),
            Choose("days", "For how long?", options),
            Ask("reason", "Why?", hint="Shown on the card and kept.", max_length=500),
        ),
    )


def check_snooze(given: Mapping[str, str]) -> dict[str, str]:
    wrong = {}
    if given.get("days") not in DAYS:
        wrong["days"] = "Please choose how long."
    if not given.get("reason"):
        wrong["reason"] = "Please say why; it is shown on the card."
    return wrong
