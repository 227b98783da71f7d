"""Suppression rules -> neutral Card: what each hides or would, whose names stand under it, the dialog of a new one."""

from __future__ import annotations

from bot.domain.silence import HiddenLine, Preview, RuleState, RuleView, SilencedLine

from .model import (
    Ask,
    Bullets,
    Button,
    Buttons,
    Card,
    Choose,
    Code,
    Line,
    OptionItem,
    Part,
    Section,
    Small,
    Span,
    Strong,
    When,
)
from .words import PRIORITY, count, ids, spoken

LISTED = 12
ANY = "-"  # Slack takes no empty option value
DAYS = ("7", "14", "30", "90")
_STATE = {
    RuleState.MONITOR: "👀 Watching, hides nothing",
    RuleState.ACTIVE: "🔕 Active",
    RuleState.ENDED: "Ended",
    RuleState.EXPIRED: "Ran out",
}
ENVIRONMENTS = ("dev", "test", "sandbox", "staging", "prod", "unknown")


def rules_card(views: tuple[RuleView, ...]) -> Card:
    """All of them, each with the buttons this person may press."""
    active = sum(view.state is RuleState.ACTIVE for view in views)
    hidden = sum(view.hidden for view in views)
    said = (
        f"{count(active, 'suppression rule')} {'is' if active == 1 else 'are'} active and "
        f"{'hides' if active == 1 else 'hide'} {count(hidden, 'finding')}; {len(views) - active:,} more."
        if views
        else "There is no suppression rule."
    )
    body: list[Part] = []
    for view in views[:LISTED]:
        body += rule_parts(view)
    if len(views) > LISTED:
        body.append(Small((f"… and {len(views) - LISTED:,} more: gatehouse suppression list",)))
    body.append(Buttons((Button("gh.rule_new", "New rule", spoken="New rule: write a suppression rule down"),)))
    return Card(
        title="Suppression rules",
        summary=said,
        status=(Strong(said),),
        body=tuple(body),
        footer=(("A rule watches first. It hides only after people activated it; P1 only under two names.",),),
    )


def rule_card(view: RuleView) -> Card:
    said = f"Suppression rule {view.name}: {spoken(_STATE[view.state])}."
    if view.state is RuleState.MONITOR:
        said += f" {would_hide(view.preview)}"
    return Card(title="Suppression rule", summary=said, body=tuple(rule_parts(view)))


def would_hide(preview: Preview) -> str:
    """One sentence: how much of what is open, and what it may not hide."""
    said = (
        f"It would hide {count(preview.hides, 'finding')} of {preview.of_open:,} open, and "
        f"{count(preview.causes, 'card')} with them; {preview.last_week:,} came in the last seven days."
    )
    if preview.p1 and preview.hides < preview.matched:
        said += f" {count(preview.p1, 'P1 stays', 'P1 stay')} visible."
    elif preview.p1:
        said += f" {preview.p1:,} P1 among them!"
    return said


def rule_parts(view: RuleView) -> list[Part]:
    lines: list[Line] = [
        (_STATE[view.state], " · ", Code(view.id), " · until ", When(view.until, "date")),
        ("About ", Strong(view.about), f" · {view.when}" if view.when else ""),
        (f"{view.author}: {view.reason}",),
    ]
    if view.include_p1:
        lines.append(("⚠️ It may hide P1: two people must put their names on it",))
    if view.names:
        by: list[Span] = []
        for position, name in enumerate(view.names):
            by += ["" if position == 0 else ", ", Strong(name.name), " ", When(name.at, "date")]
        lines.append(("Activated by ", *by))
    if view.state is RuleState.MONITOR:
        lines.append((would_hide(view.preview),))
        if view.missing and view.names:
            lines.append((f"{count(view.missing, 'more name')} needed",))
    elif view.state is RuleState.ACTIVE:
        p1 = f", {view.hidden_p1:,} P1 among them" if view.hidden_p1 else ""
        lines.append((f"Hides {count(view.hidden, 'finding')} now{p1}",))
    elif view.state_why:
        lines.append((view.state_why,))
    parts: list[Part] = [Section(tuple(lines), heading=view.name)]
    if view.preview.urgent:
        parts.append(Bullets(tuple(map(hidden_line, view.preview.urgent)), heading="P1 it is about",
                             total=view.preview.p1))  # fmt: skip
    value, made = ids(r=view.id, h=view.hash), list[Button]()
    if view.may_activate:
        made.append(Button("gh.rule_activate", "Activate", value, "danger" if view.include_p1 else "primary",
                           spoken=f"Activate the rule {view.name}"))  # fmt: skip
    if view.may_end:
        made.append(Button("gh.rule_end", "End", value, spoken=f"End the rule {view.name}"))
    if not view.state.over:
        made.append(Button("gh.rule_show", "Show findings", value, spoken=f"Show findings of the rule {view.name}"))
    if made:
        parts.append(Buttons(tuple(made), bound=True))
    return parts


def hidden_line(line: HiddenLine) -> Line:
    return (PRIORITY[line.priority], " ", Strong(line.title), " · ", Code(line.resource), f" · {line.where} · ",
            Code(line.id))  # fmt: skip


def hidden_card(title: str, lines: tuple[HiddenLine, ...], total: int) -> Card:
    """Findings that are hidden, or would be."""
    said = f"{count(total, 'finding')}." if total else "Nothing."
    body: tuple[Part, ...] = (Bullets(tuple(map(hidden_line, lines)), total=total),) if lines else ()
    return Card(title=title, summary=f"{title}: {said}", status=(Strong(said),), body=body,
                footer=(("One of them in full: /gatehouse finding ID",),))  # fmt: skip


def silenced_lines(lines: tuple[SilencedLine, ...]) -> tuple[Line, ...]:
    """Of the status: what is hidden, by whom, and why."""
    return tuple(
        ("🔕 ", Strong(f"{line.count:,}"), f" by {line.by}: {line.reason}",
         f" ({line.p1:,} P1 among them)" if line.p1 else "")
        for line in lines
    )  # fmt: skip


def new_rule_card() -> Card:
    """The dialog. At least one condition; the rest may stay empty."""
    options = (OptionItem(ANY, "Any environment"), *(OptionItem(e, f"Only {e}") for e in ENVIRONMENTS))
    return Card(
        title="New suppression rule",
        summary="Write a rule down; it watches and hides nothing before it is activated.",
        status=("It watches first: you see what it would hide before anybody activates it.",),
        body=(
            Ask("name", "Name", placeholder="Rebuilt test machines", max_length=80),
            Choose("environment", "Environment", options, initial=ANY, many=True),
            Ask("rule", "Rule", hint="Pattern of the source's rule id.", placeholder="s3_bucket_*", optional=True,
                max_length=200),
            Ask("account", "Account", hint="Id or name, patterns allowed.", optional=True, max_length=100),
            Ask("source", "Source", placeholder="wiz", optional=True, max_length=60),
            Ask("tag", "Tag", placeholder="team=web", optional=True, max_length=200),
            Ask("hours", "Hours", hint="Only in this part of the day, UTC.", placeholder="22:00-06:00", optional=True,
                max_length=11),
            Choose("days", "For how long?", tuple(OptionItem(d, f"{d} days") for d in DAYS), initial="14", many=True),
            Choose("p1", "P1", (OptionItem("no", "P1 stays visible"),
                                OptionItem("yes", "It may hide P1: two people must activate it")), initial="no",
                   many=True),
            Ask("reason", "Why is it noise?", hint="Shown wherever it hides something.", max_length=500),
        ),
    )  # fmt: skip
