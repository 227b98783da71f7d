"""Plan and home views -> neutral Card: what a person approves, and what waits for them. Pure."""

from __future__ import annotations

from bot.domain.decisions import ApprovalRule
from bot.domain.plans import Change, PlanKind, Reversibility
from bot.domain.views import HomeView, Option, OptionView, PlanView, RequestView, StandingRef

from .ask import prompt_parts
from .breakglass import offer_parts
from .causes import cause_lines, request_lines, status_parts
from .governance import why_button
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
    Rule,
    Section,
    Small,
    Strong,
    When,
)
from .standing import standing_line
from .words import REVERSIBLE, RISK, count, either, ids, sentence, shown

CHANGES = 25
OPTION = {
    Option.ASK: ("Ask for approval", "Others are asked to approve this plan"),
    Option.APPROVE: ("Approve", "I have read the plan and approve it"),
    Option.REJECT: ("Reject", "Nothing is changed; please say why"),
    Option.CANCEL: ("Take the request back", "Nothing is changed"),
    Option.WITHDRAW: ("Withdraw my vote", "It no longer counts"),
}


def plan_card(view: PlanView) -> Card:
    """Each change before -> after, blast radius, reversibility, who may approve, until when, and the options."""
    plan = view.plan
    body: list[Part] = []
    for number, change in enumerate(plan.changes[:CHANGES], start=1):
        body.append(_change(number, change))
    if len(plan.changes) > CHANGES:
        body.append(
            Small((f"… and {count(len(plan.changes) - CHANGES, 'more change', 'more changes')} of the same plan",))
        )
    if not plan.changes:
        body.append(Section((("Nothing is to be changed: the resource already is as it should be.",),)))
    body.append(Rule())
    body.append(
        Facts(
            (
                Fact("Blast radius", (plan.blast_radius.summary or _blast(view),)),
                Fact("Can it be undone?", (_reversible(view),)),
                Fact("Who may approve", (_who(view.rule, view.could),)),
                Fact("Until", (When(view.expires_at),)),
                Fact("Risk", (RISK[plan.risk],)),
                Fact("Environment", (plan.environment,)),
            )
        )
    )  # fmt: skip
    if plan.blast_radius.warnings:
        body.append(Bullets(tuple(("⚠️ ", warning) for warning in plan.blast_radius.warnings), heading="Please note"))
    if view.request:
        body.append(Section(request_lines(view.request), heading="The request"))
    if view.standing:
        body += _standing(view.standing, view.standing_note, undo=plan.kind is PlanKind.UNDO)
    body += _options(view)
    body += offer_parts(view)
    if view.pre_approve:
        value = ids(p=plan.id, h=view.plan_hash, c=view.cause_id)
        spoken = f"Pre-approve the like of this fix: {plan.title}"
        body.append(Buttons((Button("gh.pre_approve", "Pre-approve the like…", value, spoken=spoken),)))
    return Card(
        title=plan.title,
        summary=(
            f"{'Undo' if plan.kind is PlanKind.UNDO else 'Fix'} of {sentence(view.cause_title)} "
            f"{count(len(plan.changes), 'change')} to {count(len(plan.targets), 'resource')}. "
            f"{sentence(plan.blast_radius.summary)}"
        ),
        status=(Strong(view.cause_title),),
        body=tuple(body),
        footer=(
            ("Plan ", Code(plan.id), " · hash ", Code(view.plan_hash[:12]), ". An approval is for exactly this plan."),
        ),
    )


def _standing(ref: StandingRef, note: str, *, undo: bool) -> list[Part]:
    lines: list[Line] = [standing_line(ref, "The fix was made under" if undo else "Fixes like this run under")]
    if note:
        lines.append((f"This one was left to people: {note}",))
    return [Section(tuple(lines))]


def choices(view: PlanView) -> tuple[Option, ...]:
    """What this person may press, in the order shown. Before anybody has asked there is nothing to reject."""
    return tuple(o.option for o in view.options if o.allowed and (view.request or o.option is not Option.REJECT))


def _worth_saying(view: PlanView) -> list[OptionView]:
    """The refusals that tell a person something: not what makes no sense now, and each reason once."""
    pointless = {Option.WITHDRAW, Option.CANCEL} | ({Option.ASK} if view.request else {Option.REJECT})
    said: dict[str, OptionView] = {}
    for option in view.options:
        if not option.allowed and option.why_not and option.option not in pointless:
            said.setdefault(option.why_not, option)
    return list(said.values())


def _change(number: int, change: Change) -> Section:
    lines: list[Line] = [
        (Code(change.target.name or change.target.uid), f" · {change.target.account} {change.target.region}")
    ]
    for key in dict.fromkeys([*change.before, *change.after]):
        was, will = shown(change.before.get(key)), shown(change.after.get(key))
        lines.append((f"{key}: ", Code(was), "  →  ", Code(will)))
    lines.append(("Call: ", Code(f"{change.call.service}.{change.call.operation}")))
    return Section(tuple(lines), heading=f"{number}. {change.summary}")


def _blast(view: PlanView) -> str:
    radius = view.plan.blast_radius
    return f"{count(radius.resources, 'resource')} in {count(radius.accounts, 'account')}"


def _reversible(view: PlanView) -> str:
    said = REVERSIBLE[view.plan.reversibility]
    if view.plan.undo_note and view.plan.reversibility is not Reversibility.EXACT:
        return f"{said}: {view.plan.undo_note}"
    return f"{said}. {view.plan.undo_note}".strip() if view.plan.undo_note else said


def _who(rule: ApprovalRule, could: tuple[str, ...]) -> str:
    said = either(could) or (
        ", ".join(f"members of {g}" for g in rule.groups) if rule.groups else "whom the policy permits"
    )
    said += f"; {count(rule.quorum, 'approval')} needed"
    if rule.four_eyes:
        said += "; not by the person who asks"
    return f"{said} (rule {rule.name})"


def _options(view: PlanView) -> list[Part]:
    allowed = choices(view)
    parts: list[Part] = []
    refused = _worth_saying(view)
    if refused:
        lines: tuple[Line, ...] = tuple(
            (f"{OPTION[o.option][0]}: ", o.why_not, *((" (rule ", Code(o.rule), ")") if o.rule else ()))
            for o in refused
        )
        parts.append(
            Bullets(lines, heading="What you cannot do, and why" if allowed else "You cannot decide this, and why")
        )
    if Option.APPROVE not in allowed:
        subject = view.request.id if view.request else view.plan.id
        parts.append(Buttons((why_button(subject),)))
    if not allowed:
        if view.could:
            parts.append(Section((("Who could: ", either(view.could)),)))
        return parts
    parts.append(
        Choose(
            "choice",
            "Your decision",
            tuple(OptionItem(o.value, *OPTION[o]) for o in allowed),
            initial=allowed[0].value if len(allowed) == 1 else "",
        )
    )
    parts.append(Ask("reason", "Reason", hint="Kept with the decision. Needed to reject.", optional=True, long=True))
    if Option.APPROVE in allowed and view.rule.typed_confirmation:
        number = view.plan.blast_radius.resources
        parts.append(
            Ask(
                "confirm",
                "Number of resources",
                hint=f"To approve, type how many resources change: {number}",
                optional=True,
                max_length=10,
            )
        )
    return parts


HOME_WAITING = 12  # requests on the home page


def home_card(view: HomeView) -> Card:
    """What waits for my approval, what I asked for, what is mine, and how Gatehouse is doing."""
    said = _how_many_wait(view)
    body = _waiting(view, said)
    total = view.mine_total
    mine = f"{count(total, 'open cause')} {'is' if total == 1 else 'are'} yours." if total else "Nothing open is yours."
    body += [Rule(), Section(((mine,),), heading="Yours"), *cause_lines(view.mine, view.mine_total, 8)]
    body += [Rule(), *prompt_parts(), Rule(), *status_parts(view.status)]
    return Card(
        title="Gatehouse",
        summary=f"{said} {mine}",
        status=("Hello ", Strong(view.person.name)),
        body=tuple(body),
        footer=(("As of ", When(view.status.at)),),
    )


def approvals_card(view: HomeView) -> Card:
    """The part of it that is decided on."""
    said = _how_many_wait(view)
    return Card(title="My approvals", summary=said, status=(Strong(said),), body=tuple(_waiting(view, "")),
                footer=(("As of ", When(view.status.at)),))  # fmt: skip


def _how_many_wait(view: HomeView) -> str:
    waiting = count(len(view.waiting), "request")
    if not view.waiting:
        return "Nothing waits for your approval."
    return f"{waiting} {'waits' if len(view.waiting) == 1 else 'wait'} for your approval."


def _waiting(view: HomeView, said: str) -> list[Part]:
    body: list[Part] = [Section(((said,),), heading="Waiting for you")] if said else []
    body += request_parts(view.waiting, HOME_WAITING)
    if view.asked:
        body += [
            Rule(),
            Section((("Still undecided or just decided",),), heading="Asked by you"),
            *request_parts(view.asked, 6),
        ]
    return body


def request_parts(requests: tuple[RequestView, ...], limit: int) -> list[Part]:
    parts: list[Part] = []
    for request in requests[:limit]:
        parts.append(Section((*request_lines(request),), heading=f"{request.plan_title}: {request.cause_title}"))
        parts.append(
            Buttons(
                (
                    Button(
                        "gh.review",
                        "Review",
                        ids(c=request.cause_id),
                        "primary",
                        spoken=f"Review: {request.plan_title}",
                    ),
                    Button(
                        "gh.details", "Details", ids(c=request.cause_id), spoken=f"Details of: {request.cause_title}"
                    ),
                ),
                bound=True,
            )
        )
    if len(requests) > limit:
        parts.append(Small((f"… and {len(requests) - limit:,} more",)))
    return parts
