"""The card of a cause where it can look otherwise for each reader: what all see, and what one person may do. Pure.

Rules
- The shared card has no button that decides; "Show my actions" leads anybody to their own card.
- A person's card is made from the view and that person's rights alone, so the same rights give the same card.
"""

from __future__ import annotations

from collections.abc import Iterable

from bot.domain.decisions import Choice
from bot.domain.views import CauseRights, CauseView, Option

from .causes import REVIEWABLE, STEWARDABLE, cause_buttons, cause_card
from .governance import why_button
from .model import Button, Buttons, Card, Code, Line, Part, Section, Strong
from .words import either, ids

_DECIDING = frozenset({"gh.review", "gh.not_mine", "gh.snooze", "gh.undo"})
_MAY = {
    Option.ASK: "ask others to approve the fix",
    Option.APPROVE: "approve",
    Option.REJECT: "reject",
    Option.CANCEL: "take the request back",
    Option.WITHDRAW: "withdraw your vote",
}


def shared_card(view: CauseView) -> Card:
    """What everybody sees who has no card of their own."""
    plain = [button for button in cause_buttons(view) if button.action not in _DECIDING]
    if len(plain) < len(cause_buttons(view)):
        spoken = f"Show my actions on: {view.title}"
        plain.insert(0, Button("gh.actions", "Show my actions", ids(c=view.id, v=view.revision), spoken=spoken))
        if _asks(view):
            plain.insert(2, why_button(view.id))
    return cause_card(view, (Buttons(tuple(plain)),))


def personal_card(view: CauseView, rights: CauseRights) -> Card:
    """The card with what this one person may do, and why not where they may not."""
    buttons = tuple(_permitted(cause_buttons(view), view, rights))
    said = _said(view, rights)
    parts: list[Part] = [Section(said, heading="For you")] if said else []
    parts.append(Buttons(buttons))
    return cause_card(view, tuple(parts))


def _asks(view: CauseView) -> bool:
    """Whether there is something to approve."""
    return any(button.action == "gh.review" for button in cause_buttons(view))


def _permitted(buttons: Iterable[Button], view: CauseView, rights: CauseRights) -> Iterable[Button]:
    allowed = {"gh.not_mine": rights.pass_on, "gh.snooze": rights.snooze, "gh.undo": rights.undo}
    for button in buttons:
        if button.action == "gh.review" and not rights.may:
            spoken = f"See the plan of: {view.title}"
            yield Button("gh.review", "See the plan", button.value, spoken=spoken)
        elif allowed.get(button.action, True):
            yield button
        if button.action == "gh.details" and rights.why_not:
            yield why_button(view.id)


def _said(view: CauseView, rights: CauseRights) -> tuple[Line, ...]:
    lines: list[Line] = []
    if rights.voted is not None:
        lines.append((f"You have {'approved' if rights.voted is Choice.APPROVE else 'rejected'} it.",))
    may = [_MAY[option] for option in rights.may]
    may += ["ask for the undo"] if rights.undo else []
    if may:
        lines.append(("You may ", Strong(" or ".join((", ".join(may[:-1]), may[-1]) if len(may) > 1 else may)), "."))
    if rights.why_not:
        rule: Line = (" (rule ", Code(rights.rule), ")") if rights.rule else ()
        lines.append(("You cannot approve it: ", rights.why_not, *rule, "."))
        if rights.could and not may:
            lines.append(("Who could: ", either(rights.could), "."))
    elif not lines and (view.stage in STEWARDABLE or view.stage in REVIEWABLE):
        lines.append(("There is nothing for you to decide here.",))
    return tuple(lines)
