"""Dialogs of Teams: a form over the channel, whose card stays in view. The same handlers and replies as in place.

Rules
- ``task/fetch`` opens one, ``task/submit`` is whatever is pressed in it: a form's button or any other.
- What is missing or wrong comes back in the dialog with what was typed; what was done closes it with one sentence, and
  the channel's card changes by the outbox, for everybody.
- Opened only from a card of one's own, which offers them where the client has dialogs (``refresh.py``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from cards import adaptive
from handlers.common.ids import ids_of

from .payloads import Origin, pressed_of
from .replies import Reply

if TYPE_CHECKING:
    from .desk import TeamsDesk

AGAIN = "This was received already; the card shows how it is."
LATER = "This takes a little longer. I tell you in our chat how it ends."


async def answer(desk: TeamsDesk, origin: Origin, activity: Mapping[str, Any]) -> dict[str, Any]:
    """The body that answers ``task/fetch`` and ``task/submit``."""
    pressed = pressed_of(activity)
    if not await desk.received(origin, activity, desk.kind_of(pressed.verb)):
        return adaptive.task_message(AGAIN)
    doing = desk.answer(origin, pressed.verb, ids_of(pressed.value), pressed.given, origin.click)
    reply = await desk.in_time(origin, doing)
    return shown(reply) if reply else adaptive.task_message(LATER)


def shown(reply: Reply) -> dict[str, Any]:
    if reply.toast:
        return adaptive.task_message(reply.toast)
    if reply.done:
        return adaptive.task_message(reply.card.summary)
    if reply.back is not None and reply.back.action == "gh.card":
        reply = replace(reply, back=None)  # behind the dialog the card is in view
    return adaptive.task(reply.card, submit=reply.submit, back=reply.back, filled=reply.filled)


INVOKES = {"task/fetch": answer, "task/submit": answer}
