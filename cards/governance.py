"""Why somebody can or cannot approve, and who votes in whose stead -> neutral Card. Pure."""

from __future__ import annotations

from bot.domain.views import DelegationLine, WhyView

from .causes import request_lines
from .model import Button, Buttons, Card, Code, Fact, Facts, Line, Part, Rule, Section, Small, Strong, When, Who
from .notices import WHY
from .words import count, either, ids, sentence

DELEGATIONS = 15


def why_button(subject: str) -> Button:
    """``subject`` is the id of a request, plan or cause."""
    return Button("gh.why", WHY, ids(s=subject), spoken="Why can't I approve? The rule, the facts and who could")


def why_card(view: WhyView) -> Card:
    """The verdict first, then who could and what next, then every fact it was made of."""
    head = "You can approve this" if view.allowed else "You cannot approve this"
    lines: list[Line] = []
    if view.rule:
        lines.append(("Rule: ", Code(view.rule)))
    if view.could:
        lines.append(("Who could: ", either(view.could)))
    if view.mend:
        lines.append(("What next: ", view.mend))
    body: list[Part] = [
        Section(tuple(lines)),
        Rule(),
        Facts(tuple(Fact(each.label, (each.value,)) for each in view.facts)),
    ]
    if view.request:
        body.append(Section(request_lines(view.request), heading="The request"))
    if view.expires_at:
        body.append(Small(("Valid until ", When(view.expires_at))))
    spoken = [f"{head}: {sentence(view.reason)}"]
    if view.could and not view.allowed:
        spoken.append(f"Who could: {sentence(either(view.could))}")
    about: Line = ("Plan ", Code(view.plan_id), " · ") if view.plan_id else ()
    return Card(
        title=view.title,
        summary=" ".join(spoken),
        status=("✅ " if view.allowed else "⛔ ", Strong(head), ": ", sentence(view.reason)),
        body=tuple(body),
        footer=((*about, "account and groups read ", When(view.read_at)),),
    )


def delegations_card(lines: tuple[DelegationLine, ...]) -> Card:
    """Who may vote in whose stead, with a way to take it back where this person may."""
    said = f"{count(len(lines), 'delegation')} in force." if lines else "Nobody votes in another's stead."
    body: list[Part] = []
    for each in lines[:DELEGATIONS]:
        what: Line = (
            Who(each.stand_in),
            " for ",
            Who(each.giver),
            " · ",
            Code(each.scope),
            " · until ",
            When(each.until),
        )
        body.append(Section((what, (each.reason,))))
        if each.can_revoke:
            spoken = f"Take it back: {each.stand_in.name} for {each.giver.name}"
            back = Button("gh.revoke", "Take it back", ids(d=each.id), "danger", spoken=spoken)
            body.append(Buttons((back,), bound=True))
    if len(lines) > DELEGATIONS:
        body.append(Small((f"… and {len(lines) - DELEGATIONS:,} more",)))
    return Card(
        title="Delegations",
        summary=said,
        status=(said,),
        body=tuple(body),
        footer=(("New: ", Code("/gatehouse delegate @user 7d [env:dev] [account:ID] [playbook:ID] reason")),),
    )
