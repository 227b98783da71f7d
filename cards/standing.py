"""Standing approvals -> neutral Card: the dialog that grants one, what was granted, and the list of them. Pure."""

from __future__ import annotations

from bot.domain.standing import StandingDraft, StandingState, StandingView
from bot.domain.views import StandingRef

from .model import (
    Ask,
    Bullets,
    Button,
    Buttons,
    Card,
    Choose,
    Code,
    Fact,
    Facts,
    Line,
    OptionItem,
    Part,
    Section,
    Small,
    Span,
    Strong,
    When,
    Who,
)
from .words import count, day, ids, sentence, spoken

ANY = "-"  # Slack takes no empty option value
DAYS = (7, 30, 90, 180, 365)
CAPS = (1, 2, 5, 10, 20, 50)
LISTED = 15
_TAG_MAX = 75  # the longest option value of Slack
_STATE = {
    StandingState.PROPOSED: "⏳ Waits for more grants",
    StandingState.ACTIVE: "📌 In force",
    StandingState.SUSPENDED: "⛔ Suspended",
    StandingState.REVOKED: "Revoked",
    StandingState.EXPIRED: "Over",
}


def standing_line(ref: StandingRef, what: str = "Fixed under") -> Line:
    """ "📌 Fixed under standing approval sa-… by Alice (env=dev) until 1 December 2026"."""
    people: list[Span] = []
    for position, person in enumerate(ref.by):
        people += [" by " if position == 0 else " and ", Who(person)]
    return (f"📌 {what} standing approval ", Code(ref.id), *people, f" ({ref.scope}) until ", When(ref.until, "date"))


def pre_approve_card(draft: StandingDraft) -> Card:
    """The dialog: one playbook, narrowed to where this plan is, with a cap, an end and a reason."""
    most = draft.max_resources
    body: list[Part] = [
        Facts(
            (
                Fact("Playbook", (Code(draft.playbook), f" version {draft.playbook_version}")),
                Fact("What it does", (draft.playbook_title,)),
                Fact("What can break", (draft.danger or "nothing is known",)),
                Fact("Undo", (draft.undo_note or "From the card of each finding",)),
            )
        ),
        Bullets(
            (
                (f"It covers later fixes by this playbook alone, {count(most, 'resource')} at a time at most.",),
                ("Each run is announced, verified by an independent read, and can be undone.",),
                ("Where a resource belongs is read from the resource itself before each run.",),
                ("One failed verification suspends it, and so does losing your own right to approve.",),
            ),
            heading="What you agree to",
        ),
    ]
    body += _scope(draft)
    caps = [cap for cap in CAPS if cap <= draft.max_per_hour] or [draft.max_per_hour]
    days = [each for each in DAYS if each <= draft.max_days] or [draft.max_days]
    body += [
        Choose("cap", "At most how often?", tuple(OptionItem(str(cap), f"{count(cap, 'run')} an hour") for cap in caps),
               initial=str(caps[0]), many=True),
        Choose("days", "For how long?", tuple(OptionItem(str(each), count(each, "day")) for each in days),
               initial=str(days[0]), many=True),
        Ask("reason", "Why?", hint="Shown at every run and kept.", max_length=500),
    ]  # fmt: skip
    if draft.quorum > 1:
        body.append(Small((f"{count(draft.quorum, 'person', 'people')} must grant it before anything runs under it.",)))
    return Card(
        title="Pre-approve",
        summary=f"Approve later fixes by {sentence(draft.playbook_title)} Narrow it and say why.",
        status=(Strong(draft.playbook_title),),
        body=tuple(body),
        footer=(("Offered by the plan ", Code(draft.plan_id), " of ", draft.cause_title),),
    )


def _scope(draft: StandingDraft) -> list[Part]:
    """What can narrow it, each to where the plan is or to nothing; at least one is to be kept."""
    parts: list[Part] = [Section((("Narrow it by at least one of these; what you choose must all hold.",),))]
    for name, label, value, shown in (
        ("environment", "Environment", draft.environment, draft.environment),
        ("account", "Account", draft.account, draft.account_name or draft.account),
        ("owner", "Owner", draft.owner, draft.owner_name),
    ):
        if value and len(value) <= _TAG_MAX:
            options = (OptionItem(value, f"Only {shown}"), OptionItem(ANY, f"Any {label.lower()}"))
            parts.append(Choose(name, label, options, initial=value, many=True))
    tags = [OptionItem(f"{key}={value}", f"Only {key}={value}") for key, value in offered_tags(draft)]
    if tags:
        parts.append(Choose("tag", "Tag", (OptionItem(ANY, "Any tags"), *tags), initial=ANY, many=True,
                            hint="As the resources are tagged now."))  # fmt: skip
    return parts


def offered_tags(draft: StandingDraft) -> list[tuple[str, str]]:
    """Those that fit into an option and can be told apart again; not the cloud's own."""
    return [
        (key, value)
        for key, value in draft.tags
        if "=" not in key and not key.startswith("aws:") and len(key) + len(value) < _TAG_MAX
    ][:90]


def standing_card(view: StandingView) -> Card:
    """The exact terms of one, and the hash they are bound by."""
    facts = view.standing
    return Card(
        title="Standing approval",
        summary=(
            f"Standing approval: {sentence(view.playbook_title)} {spoken(_STATE[facts.state])}, "
            f"where {sentence(facts.scope.words)} {_until(view)}"
        ),
        body=(*_terms(view), *_buttons(view)),
        footer=(("Bound by hash ", Code(view.hash[:16]), ". Other terms are another standing approval."),),
    )


def standings_card(views: tuple[StandingView, ...]) -> Card:
    """All of them, each with the buttons this person may press."""
    live = sum(view.standing.state is StandingState.ACTIVE for view in views)
    said = f"{count(live, 'standing approval')} {'is' if live == 1 else 'are'} in force." if views else ""
    said = said or "There is no standing approval."
    body: list[Part] = []
    for view in views[:LISTED]:
        body += [*_terms(view), *_buttons(view)]
    if len(views) > LISTED:
        body.append(Small((f"… and {len(views) - LISTED:,} more: gatehouse standing list",)))
    return Card(
        title="Standing approvals",
        summary=said,
        status=(Strong(said),),
        body=tuple(body),
        footer=(("A new one begins at Review fix of a finding, where the policy permits it.",),),
    )


def _until(view: StandingView) -> str:
    return f"At most {view.standing.cap} an hour, until {day(view.standing.ends_at)}."


def _terms(view: StandingView) -> list[Part]:
    facts = view.standing
    by: list[Span] = []
    for position, person in enumerate(view.by):
        by += ["" if position == 0 else ", ", Who(person)]
    missing = facts.quorum - len(view.by)
    lines: list[Line] = [
        (_STATE[facts.state], " · ", Code(facts.id), " · ", Code(facts.playbook), f" v{facts.playbook_version}"),
        ("Where ", Strong(facts.scope.words), f", at most {count(facts.cap, 'run')} an hour, until ",
         When(facts.ends_at)),
        ("Granted by ", *by, f": {facts.reason}"),
        (f"Used {count(view.uses, 'time')}, {view.uses_last_hour} in the last hour",
         *((", last ", When(view.last_use)) if view.last_use else ())),
    ]  # fmt: skip
    if facts.state is StandingState.PROPOSED and missing > 0:
        lines.append((f"{count(missing, 'grant')} missing before anything runs",))
    if facts.state_why and facts.state is not StandingState.ACTIVE:
        lines.append((facts.state_why,))
    return [Section(tuple(lines), heading=view.playbook_title)]


def _buttons(view: StandingView) -> list[Part]:
    facts, made = view.standing, list[Button]()
    value = ids(s=facts.id, h=view.hash)
    if view.may_confirm:
        made.append(
            Button("gh.standing_confirm", "Grant it, too", value, "primary", spoken=f"Grant it, too: {facts.id}")
        )
    if view.may_revoke:
        made.append(Button("gh.standing_revoke", "Revoke", value, "danger", spoken=f"Revoke {facts.id}"))
    return [Buttons(tuple(made), bound=True)] if made else []
