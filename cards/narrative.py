"""The model's part on cards: prose, who wrote it, the call behind it. All of it is foreign text to the renderer."""

from __future__ import annotations

from bot.domain.views import CauseView, ModelCallView, NarrativeView

from .model import Bullets, Button, Buttons, Card, Code, Fact, Facts, Line, Part, Section, Small, When
from .words import ids

SHOWN = 2_500  # characters of a message of the call
DECIDES_NOTHING = "it sets no priority, route or approver"


def short_prose(view: CauseView) -> list[Part]:
    """What the card of a cause holds of it: only what a model wrote, the rest stands on the card anyway."""
    said = view.narrative
    if said is None or not said.model:
        return []
    return [
        Section(((said.risk,),), heading="In plain words"),
        Small(("Written by ", said.model, f" from the facts; {DECIDES_NOTHING}. More under Details.")),
    ]


def long_prose(view: CauseView) -> list[Part]:
    said = view.narrative
    if said is None:
        return []
    if not said.model:
        return [
            Section(((said.root_cause,),), heading="What is behind it"),
            Small(("Put together by a template, not by a model: ", said.why or "none wrote anything", ".")),
        ]
    parts: list[Part] = [
        Section(((said.risk,),), heading="In plain words"),
        Section(((said.root_cause,),), heading="Likely root cause"),
        Section(((said.exploitability,),), heading="How easy it is to use"),
        Section(tuple((f"{at}. ", step) for at, step in enumerate(said.steps, 1)), heading="What to do"),
    ]
    if said.duplicates:
        lines: tuple[Line, ...] = tuple((title, " ", Code(cause)) for cause, title in said.duplicates)
        parts.append(Bullets(lines, heading="Perhaps the same problem as"))
    return [*parts, _by(said), Buttons(_buttons(view, said))]


def _by(said: NarrativeView) -> Small:
    at: Line = (", ", When(said.at)) if said.at else ()
    return Small(("Written by ", said.model, *at, f" from the facts; {DECIDES_NOTHING}."))


def _buttons(view: CauseView, said: NarrativeView) -> tuple[Button, ...]:
    value = ids(c=view.id, n=said.call_id)
    return (
        Button("gh.prose_good", "👍 Helpful", value, spoken="This text is helpful"),
        Button("gh.prose_bad", "👎 Not helpful", value, spoken="This text is not helpful"),
        Button(
            "gh.prose_why",
            "Why do you say so?",
            value,
            spoken="Why do you say so? What the model was told and what it answered",
        ),
    )


def call_card(view: ModelCallView) -> Card:
    """Why do you say so: the very call, what went in and what came out."""
    facts = (
        Fact("Model", (view.model, " at ", Code(view.endpoint))),
        Fact("When", (When(view.at),)),
        Fact("Tokens", (f"{view.input_tokens:,} in, {view.output_tokens:,} out",)),
        Fact("Cost", (view.cost or "no price is set",)),
        Fact("Outcome", (f"{view.state}{': ' + view.why if view.why else ''}",)),
        Fact("Took", (f"{view.milliseconds:,} ms",)),
    )
    body: list[Part] = [Facts(facts)]
    for role, text in view.messages:
        heading = {"system": "What it was told to do", "user": "What it was given", "assistant": "Its first answer"}
        body.append(Section(((_cut(text),),), heading=heading.get(role, role)))
    body.append(Section(((_cut(view.output or "nothing"),),), heading="What it answered"))
    return Card(
        title="Why do you say so?",
        summary=f"{view.model} was called once for this; what it was given and what it answered is below.",
        status=("Names, addresses and secrets were taken out before this was sent.",),
        body=tuple(body),
        footer=((Code(view.id),),),
    )


def _cut(text: str) -> str:
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"
