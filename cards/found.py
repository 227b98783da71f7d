"""One finding as a person puts it into a conversation, from the search of findings. Pure."""

from __future__ import annotations

from bot.domain.views import FindingLine

from .model import Button, Buttons, Card, Code, Fact, Facts, Part, Strong, When
from .words import PRIORITY, SEVERITY, ids


def found_card(line: FindingLine) -> Card:
    facts = [
        Fact("Severity", (SEVERITY[line.severity],)),
        Fact("Resource", (Code(line.resource),)),
        Fact("Where", (line.where,)),
        Fact("Owner", (line.owner or "nobody is known",)),
        Fact("Status", (line.status.value,)),
        *((Fact("Due", (When(line.due, "date"),)),) if line.due else ()),
        Fact("Id", (Code(line.id),)),
    ]
    body: list[Part] = [Facts(tuple(facts))]
    if line.cause_id:
        spoken = f"Details of: {line.title}"
        body.append(Buttons((Button("gh.details", "Details", ids(c=line.cause_id), spoken=spoken),)))
    return Card(
        title=line.title,
        summary=f"{line.title}: {line.severity.name.lower()}, {line.resource}, {line.where}.",
        status=(PRIORITY[line.priority], " ", Strong(line.priority.label)),
        body=tuple(body),
    )


def found_line(line: FindingLine) -> str:
    """Under its title in the list of what was found."""
    return f"{line.priority.label}, {line.severity.name.lower()} · {line.resource} · {line.where} · {line.id}"
