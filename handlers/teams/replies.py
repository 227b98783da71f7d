"""What one person is answered: a card with the buttons that send it or leave it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bot.domain.answers import AnswerView
from bot.domain.decisions import RequestState
from bot.domain.views import Notice, Option, PlanView
from cards import adaptive, build
from cards.model import Button, Card
from cards.words import ids as ids_text
from handlers.common.ids import text_id

Ids = Mapping[str, Any]
Given = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Reply:
    """A card for one person. ``submit`` sends its inputs; ``back`` leaves it.

    ``answer`` is what it answers, and ``rest`` its card without the sentence, for a stream. ``here``: it may be said
    where it was asked. ``note``: why it is not said there. ``toast``: instead of a card, where the answer to a button
    went out as a message of its own. ``offers``: what may be said next in a 1:1 chat, by ``offered_to``. ``filled``: a
    form that comes back. ``done``: what was sent came to its end. ``open``: it broke off, and is done again from the
    journal. ``refresh`` and ``dialogs`` as ``cards.adaptive`` takes them.
    """

    card: Card
    submit: Button | None = None
    back: Button | None = None
    answer: AnswerView | None = None
    rest: Card | None = None
    here: bool = False
    note: str = ""
    toast: str = ""
    offers: tuple[str, ...] = ()
    offered_to: str = ""
    filled: adaptive.Filled = field(default_factory=adaptive.Filled)
    done: bool = False
    open: bool = False
    refresh: adaptive.Refresh | None = None
    dialogs: frozenset[str] = frozenset()


def told(said: Notice, ids: Ids) -> Reply:
    return Reply(build.notice_card(said), back=back_to(ids), done=said.ok)


def plan_reply(view: PlanView, execution: str = "") -> Reply:
    """The plan; a button that sends only where this person may do something. ``execution``: what it would undo."""
    allowed, back = build.choices(view), back_to({"c": view.cause_id})
    if not allowed:
        return Reply(build.plan_card(view), back=back)
    value: dict[str, Any] = {"p": view.plan.id, "h": view.plan_hash, "c": view.cause_id}
    if view.request and view.request.state is RequestState.PENDING:
        value |= {"q": view.request.id, "v": view.request.revision}
    if execution:
        value["x"] = execution
    if view.rule.typed_confirmation and Option.APPROVE in allowed:
        value["n"] = view.plan.blast_radius.resources
    return Reply(build.plan_card(view), Button("gh.send_review", "Send", ids_text(**value), "primary"), back)


def back_to(ids: Ids) -> Button | None:
    cause = text_id(ids, "c")
    return Button("gh.card", "Back to the card", ids_text(c=cause)) if cause else None
