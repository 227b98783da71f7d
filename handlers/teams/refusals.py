"""What somebody sees after a no: the reason, and under it how the thing stands now, or the form once more.

A person's own view of a card stays as it is until something replaces it, so a stale one must not be the last word.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from bot.domain.errors import BadInput, Conflict, GatehouseError, Stale
from bot.domain.views import Notice
from cards import adaptive
from cards.model import Card, Line, Section, Strong
from cards.words import either, sentence
from handlers.common import forms
from handlers.common.ids import ids_of, text_id

from .payloads import Origin
from .replies import Given, Ids, Reply, told

if TYPE_CHECKING:
    from .desk import TeamsDesk

log = logging.getLogger(__name__)
Handler = Callable[["TeamsDesk", Origin, Ids, Given], Awaitable[Reply]]


class Incomplete(BadInput):
    """Something of a form is missing or was never offered; ``wrong`` says what, by input."""

    def __init__(self, wrong: Mapping[str, str]) -> None:
        super().__init__(" ".join(wrong.values()), mend="Fill it in and send it again.")
        self.wrong = dict(wrong)


def complete(wrong: Mapping[str, str]) -> None:
    if wrong:
        raise Incomplete(wrong)


def headed(said: Notice, card: Card) -> Card:
    """A card under a word about what was just done, or not."""
    lines: list[Line] = []
    if said.rule:
        lines.append((f"Rule: {said.rule}",))
    if said.could:
        lines.append((f"Who could: {either(said.could)}",))
    if said.mend:
        lines.append((f"What next: {said.mend}",))
    if card.status:
        lines.append(card.status)
    summary = " ".join(sentence(part) for part in (said.said, said.mend) if part)
    return replace(
        card,
        summary=f"{summary} {card.summary}",
        status=("✅ " if said.ok else "⛔ ", Strong(said.said)),
        body=(*((Section(tuple(lines)),) if lines else ()), *card.body),
    )


async def after(
    desk: TeamsDesk, error: GatehouseError, origin: Origin, verb: str, ids: Ids, given: Given,
    *, again: Mapping[str, Handler], lists: Mapping[str, Handler],
) -> Reply:  # fmt: skip
    """``again`` opens the form of a submission once more, ``lists`` is the list a button stood in."""
    said = forms.as_notice(error)
    handler: Handler | None = None
    if isinstance(error, Incomplete):
        handler = again.get(verb)
    elif verb in lists:
        handler = lists[verb]
    elif isinstance(error, Stale | Conflict) and text_id(ids, "c"):
        handler = lists.get("card")
    if handler is None:
        return told(said, ids)
    try:
        shown = await handler(desk, origin, ids, {})
    except GatehouseError:  # that cannot be shown either: the reason alone
        return told(said, ids)
    except Exception:
        log.exception("what follows a refusal could not be shown")
        return told(said, ids)
    # Without a refresh of its own: it would take the reason away again.
    shown = replace(shown, card=headed(said, shown.card), done=False, refresh=None)
    if not isinstance(error, Incomplete):
        return shown
    if ids.get("h") != _plan_of(shown):  # another plan than the one that was answered: nothing is answered for it yet
        return shown
    return replace(shown, filled=adaptive.Filled(given, error.wrong))


def _plan_of(shown: Reply) -> Any:
    return ids_of(shown.submit.value).get("h") if shown.submit else None
