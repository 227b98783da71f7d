"""The people of the scenarios, each with an account on both platforms, and the channels of their company."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bot.sandbox import slack as company_slack


@dataclass(frozen=True, slots=True)
class Person:
    key: str
    name: str
    slack: str
    teams: str  # Entra object id
    guest: bool = False
    known: bool = True
    client: str = "Windows"  # of Teams; "" is one that does not say, so no dialogs are opened there

    @property
    def member(self) -> str:
        """What Teams calls them to this bot."""
        return f"29:{self.key}"

    @property
    def chat(self) -> str:
        return f"a:{self.key}"


def _person(number: int, key: str, name: str, slack: str, **more: Any) -> Person:
    return Person(key, name, slack, f"{number:08d}-0000-4000-8000-00000000000{number}", **more)


PEOPLE = {
    each.key: each
    for each in (
        _person(1, "olivia", "Olivia Owens", company_slack.OLIVIA.id),
        _person(2, "alice", "Alice Anderson", company_slack.ALICE.id),
        _person(3, "bob", "Bob Brown", company_slack.BOB.id, client=""),
        _person(4, "nora", "Nora Novak", company_slack.NORA.id, known=False),
        _person(5, "oscar", "Oscar Outside", company_slack.OSCAR.id, guest=True),
        _person(6, "carol", "Carol Chen", "U06CAROL"),
    )
}


def channel_of(owner: str) -> str:
    """Its channel in Teams."""
    return f"19:{owner}@thread.tacv2"
