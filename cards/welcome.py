"""What is said where the app was just installed, and the home card's own buttons. Pure."""

from __future__ import annotations

from dataclasses import replace

from .model import Bullets, Button, Buttons, Card, Code, Line, Part, Section, Small, Strong
from .words import ids


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
        status=("Installed by ", Strong(by or "somebody"), ". Cloud security findings are posted to their owners, and "
                "nothing is changed before an authorised person has approved the exact plan."),
        body=(
            part,
            Section((("Put this address into an owner's channels in gatehouse.yml, and restart:",), (Code(address),)),
                    heading="To route findings here"),
            Small(("Ask me with a mention: how many criticals are open in prod? Who decides installs Gatehouse for "
                   "themselves, too: I write to people in our chat.",)),
        ),
    )  # fmt: skip


def with_buttons(home: Card) -> Card:
    """The home card where nobody refreshes it by itself."""
    buttons = (
        Button("gh.home", "Refresh", "", spoken="Refresh what waits for me"),
        Button("gh.page", "All my findings", ids(f="mine", o="0"), spoken="All my findings, page by page"),
    )
    return replace(home, body=(*home.body, Buttons(buttons)))
