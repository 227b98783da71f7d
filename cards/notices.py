"""What is said to one person: help, a private word, a line under a card -> neutral Card. Pure."""

from __future__ import annotations

from bot.domain.views import Notice

from .model import Bullets, Button, Buttons, Card, Code, Line, Rule, Section, Small, Strong
from .words import either, ids, sentence

WHY = "Why can't I approve?"
COMMANDS: tuple[tuple[str, str], ...] = (
    ("ask QUESTION", "a question about posture, such as: how many criticals are open in prod?"),
    ("findings [filters]", 'open findings; filters such as critical, prod, owner:payments, "any text"'),
    ("finding ID", "one finding in full"),
    ("fix ID", "review the fix of a finding or cause"),
    ("why ID", "why I can or cannot approve: rule, facts and who could"),
    ("approvals", "what waits for my approval, and what I asked for"),
    ("mine", "what is open and mine"),
    ("status", "how Gatehouse itself is doing"),
    ("delegate @user 7d [env:dev] [account:ID] [playbook:ID] reason", "somebody votes in my stead; alone: a form"),
    ("undelegate @user", "no longer"),
    ("delegations", "who votes in whose stead; take one back"),
    ("standing [revoke ID]", "what was approved in advance; end it"),
    ("rules [new …|hidden|end ID]", "suppression rules: what is noise, who said so, what is hidden"),
    ("freeze [env:prod|account:ID] reason", "nothing is approved or changed there; alone: what is frozen"),
    ("unfreeze [env:prod|account:ID] reason", "end that freeze"),
    ("help", "this list"),
)


def help_card(
    *,
    call: str = "/gatehouse ",
    more: tuple[tuple[str, str], ...] = (),
    note: str = "What waits for my approval is on my Home tab.",
) -> Card:
    """``call`` stands before every command; ``more`` are commands of this platform alone."""
    commands = (*COMMANDS[:-1], *more, COMMANDS[-1])
    lines: tuple[Line, ...] = tuple((Code(f"{call}{usage}"), f" {what}") for usage, what in commands)
    names = ", ".join(usage.split(" ")[0] for usage, _ in commands)
    return Card(
        title="Gatehouse",
        summary=(
            "Gatehouse brings cloud security findings to their owners and fixes them after an authorised click. "
            f"Commands: {names}."
        ),
        status=(
            "Findings come as cards to their owners. "
            "Nothing is changed before an authorised person has approved the exact plan.",
        ),
        body=(Bullets(lines, heading="Commands"), Rule(), Small((note,))),
    )


def notice_card(view: Notice) -> Card:
    """A private word: what is so, which rule said so, who could, what to do next."""
    lines: list[Line] = []
    could = () if all(name in view.mend for name in view.could) else view.could  # said once is enough
    if view.rule:
        lines.append(("Rule: ", Code(view.rule)))
    if could:
        lines.append(("Who could: ", either(could)))
    if view.mend:
        lines.append(("What next: ", view.mend))
    spoken = [sentence(view.said)]
    if could:
        spoken.append(f"Who could: {sentence(either(could))}")
    if view.mend:
        spoken.append(sentence(view.mend))
    return Card(
        title="",
        summary=" ".join(spoken),
        status=("✅ " if view.ok else "⛔ ", Strong(view.said)),
        body=(
            *((Section(tuple(lines)),) if lines else ()),
            *((Buttons((Button("gh.why", WHY, ids(s=view.about), spoken=f"{WHY} The facts"),)),) if view.about else ()),
        ),
    )


def thread_line(text: str) -> Card:
    """One line under a card."""
    return Card(title="", summary=sentence(text), status=(text,))
