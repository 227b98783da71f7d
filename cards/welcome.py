"""What is said where the app was just installed, and the home card's own buttons. Pure."""

from __future__ import annotations

from dataclasses import replace

from bot.domain.views import HomeView

from .model import Bullets, Button, Buttons, Card, Code, Line, Part, Section, Small, Strong
from .plans import HOME_WAITING as PAGE
from .plans import approvals_card, request_parts
from .words import count, ids


def team_card(by: str, address: str, owners: tuple[str, ...], *, fallback: bool) -> Card:
    """In a channel or chat: who installed it, whose findings are posted there, how to route others there."""
    lines: tuple[Line, ...] = tuple((name,) for name in owners)
    if fallback:
        lines = (*lines, ("Whatever has no owner, or an owner without a channel",))
    part: Part = Bullets(lines, heading="Posted here") if lines else Section(
        (("Nothing yet: no owner's findings are routed to this conversation.",),), heading="Posted here"
    )  # fmt: skip
    return Card(
        title="Gatehouse is here",
        summary=f"Gatehouse was installed here{f' by {by}' if by else ''}. It posts findings to their owners.",
        status=(*(("Installed by ", Strong(by), ". ") if by else ()), "Cloud security findings are posted to their "
                "owners, and nothing is changed before an authorised person has approved the exact plan."),
        body=(
            part,
            Section((("Put this address into an owner's channels in gatehouse.yml, and restart:",), (Code(address),)),
                    heading="To route findings here"),
            Small(("Ask me with a mention: how many criticals are open in prod? Who decides installs Gatehouse for "
                   "themselves, too: I write to people in our chat.",)),
        ),
    )  # fmt: skip


_ALL = Button("gh.waiting", "All that waits", ids(o="0"), spoken="All that waits, page by page")


def approvals(view: HomeView) -> Card:
    """What waits for this person, with a way to the rest of it."""
    card = approvals_card(view)
    return replace(card, body=(*card.body, Buttons((_ALL,)))) if len(view.waiting) > PAGE else card


def with_buttons(home: Card, waiting: int) -> Card:
    """The home card where nobody refreshes it by itself; ``waiting`` requests in all wait for this person."""
    buttons = [Button("gh.home", "Refresh", "", spoken="Refresh what waits for me")]
    if waiting > PAGE:
        buttons.append(_ALL)
    buttons.append(Button("gh.page", "All my findings", ids(f="mine", o="0"), spoken="All my findings, page by page"))
    return replace(home, body=(Buttons(tuple(buttons)), *home.body))


def waiting_card(view: HomeView, start: int, *, home: bool = True) -> Card:
    """A page of what waits for this person's approval. ``home``: with a way back to the home card."""
    total = len(view.waiting)
    start = min(start, max(0, (total - 1) // PAGE * PAGE))
    shown = view.waiting[start : start + PAGE]
    said = (
        f"{start + 1:,} to {start + len(shown):,} of {count(total, 'request')}." if shown else "Nothing waits for you."
    )
    turns = [Button("gh.home", "Back to home", "", spoken="Back to home")] if home else []
    if start:
        turns.append(Button("gh.waiting", "Previous", ids(o=str(start - PAGE)), spoken="Previous requests"))
    if start + len(shown) < total:
        turns.append(Button("gh.waiting", "Next", ids(o=str(start + PAGE)), spoken="Next requests"))
    body = (*request_parts(shown, PAGE), *((Buttons(tuple(turns)),) if turns else ()))
    summary = f"Waiting for your approval: {said}"
    return Card(title="Waiting for your approval", summary=summary, status=(said,), body=body)
