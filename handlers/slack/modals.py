"""The dialogs: built from cards, checked when they come back. Pure."""

from __future__ import annotations

import json
from typing import Any

from bot.domain.decisions import RequestState
from bot.domain.plans import PlanKind
from bot.domain.views import CauseView, GlassOffer, GlassView, Notice, Option, PlanView
from bot.settings import Settings
from cards import blockkit, build
from cards.model import Card
from handlers.common.forms import (
    DAYS,
    FALLBACK,
    check_glass,
    check_glass_review,
    check_not_mine,
    check_review,
    check_snooze,
    decided,
    not_mine_card,
    snooze_card,
)

# What every platform's dialogs share is taken from here, too.
__all__ = ["DAYS", "FALLBACK", "check_glass", "check_glass_review", "check_not_mine", "check_review", "check_snooze",
           "decided"]  # fmt: skip
REVIEW, NOT_MINE, SNOOZE, SHOW = "gh.review", "gh.not_mine", "gh.snooze", "gh.show"
GLASS, GLASS_REVIEW = "gh.glass", "gh.glass_review"


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


def not_mine(view: CauseView, settings: Settings, channel: str) -> dict[str, Any]:
    card = not_mine_card(view, settings)
    return blockkit.modal(card, callback_id=NOT_MINE, private_metadata=_cause(view, channel), submit="Pass on",
                          close="Cancel", title="Not mine")  # fmt: skip


def snooze(view: CauseView, channel: str) -> dict[str, Any]:
    card = snooze_card(view)
    return blockkit.modal(card, callback_id=SNOOZE, private_metadata=_cause(view, channel), submit="Snooze",
                          close="Cancel", title="Snooze")  # fmt: skip


def _cause(view: CauseView, channel: str) -> str:
    return json.dumps({"c": view.id, "v": view.revision, "ch": channel}, separators=(",", ":"))
