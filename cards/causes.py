"""Engine views -> neutral Card. Pure: the same view gives the same card."""

from __future__ import annotations

from collections.abc import Iterable

from bot.domain.decisions import Choice, ExecutionState, StepState
from bot.domain.plans import PlanKind
from bot.domain.triage import Evidence
from bot.domain.views import (
    CauseLine,
    CauseView,
    ContextLine,
    DigestView,
    ExecutionView,
    FindingsView,
    FindingView,
    HistoryLine,
    RequestView,
    ResourceLine,
    Stage,
    StatusView,
)

from . import witnesses
from .attention import attention_parts
from .breakglass import glass_lines, open_parts
from .model import (
    Bullets,
    Button,
    Buttons,
    Card,
    Code,
    Fact,
    Facts,
    Line,
    Part,
    Section,
    Small,
    Strong,
    When,
    Who,
)
from .narrative import long_prose, short_prose
from .standing import standing_line
from .words import PRIORITY, SEVERITY, STAGE, count, day, either, ids, sentence, where

REVIEWABLE = {Stage.OPEN, Stage.FAILED, Stage.BLOCKED, Stage.UNVERIFIED, Stage.UNDONE}
STEWARDABLE = {Stage.OPEN, Stage.FAILED, Stage.BLOCKED, Stage.UNDONE, Stage.UNVERIFIED}
LINES = 10
FILTER_WORDS = 1_000  # the longest filter a page button carries


# --- the card of a cause ---------------------------------------------------------------------------------------------


def cause_card(view: CauseView, parts: tuple[Part, ...] | None = None) -> Card:
    """One card a cause, through its whole life: what it says and which buttons it has follow from the stage. ``parts``
    stand in place of the buttons."""
    body: list[Part] = [
        Section(((view.what,),) if view.what else ()),
        Facts(
            (
                Fact("Where", (where(view.account_name, view.account_uid, view.environment, view.provider),)),
                Fact(_resource_label(view), _resources(view)),
                Fact("Owner", _owner(view)),
                Fact("Stands for", (_stands_for(view),)),
                Fact("Since", (When(view.first_seen, "date"),)),
                Fact("Due", (When(view.due, "date"),) if view.due else ("no date set",)),
            )
        ),
        Section(tuple(("• ", reason.fact) for reason in view.reasons[:4]), heading=f"Why {view.priority.label}"),
        *witnesses.short(view),
        *short_prose(view),
        *_happening(view),
    ]
    if view.no_fix and view.stage in REVIEWABLE:
        body.append(Small(("No automatic fix: ", view.no_fix)))
    elif view.playbook_title and view.stage is Stage.OPEN:
        body.append(Small(("Fix offered: ", view.playbook_title)))
    buttons = cause_buttons(view)
    if parts is not None:
        body += parts
    elif buttons:
        body.append(Buttons(buttons))
    return Card(
        title=view.title,
        summary=cause_summary(view),
        status=(
            Strong(f"{PRIORITY[view.priority]} {view.decision.value}"),
            "  ·  ",
            SEVERITY[view.severity],
            "  ·  ",
            Strong(STAGE[view.stage]),
        ),
        body=tuple(body),
        footer=(_origin(view),),
    )


def cause_summary(view: CauseView) -> str:
    """A full sentence: urgency, what, where, whose, and what is asked or what came of it."""
    said = (
        f"{view.priority.label}, {SEVERITY[view.severity].split(' ', 1)[1].lower()}: {sentence(view.title)} "
        f"{count(view.resource_count or len(view.resources), 'resource')} in "
        f"{where(view.account_name, view.account_uid, view.environment)}. "
    )
    said += f"Owner: {sentence(view.owner)} " if view.owner else "Nobody is known to own it. "
    match view.stage:
        case Stage.OPEN:
            said += "Please review the fix." if view.playbook else "It has to be fixed by hand."
            if view.due:
                said += f" It is due on {day(view.due)}."
        case Stage.WAITING if view.request:
            missing = count(view.request.missing, "approval")
            said += f"{view.request.requested_by.name} asked to {_what(view.request)} it; {missing} needed."
        case Stage.SNOOZED if view.snoozed_until:
            said += f"Snoozed until {day(view.snoozed_until)}."
        case _:
            said += sentence(STAGE[view.stage].split(" ", 1)[1])
            if view.execution and view.execution.standing and view.stage in {Stage.RUNNING, Stage.FIXED}:
                by = " and ".join(person.name for person in view.execution.standing.by)
                said += f" Approved in advance by {by}: {view.execution.standing.id}."
    return (said + witnesses.spoken(view)).strip()


def cause_buttons(view: CauseView) -> tuple[Button, ...]:
    """Only what can be done now; what is decided has no button any more."""
    value = ids(c=view.id, v=view.revision)
    made: list[Button] = []
    if view.stage is Stage.WAITING or (view.stage in REVIEWABLE and view.playbook and not view.no_fix):
        waits_for_undo = view.stage is Stage.WAITING and view.request and view.request.kind is PlanKind.UNDO
        label = "Review undo" if waits_for_undo else "Review fix"
        made.append(Button("gh.review", label, value, "primary", spoken=f"{label}: {view.title}"))
    if view.stage in STEWARDABLE:
        made.append(Button("gh.not_mine", "Not mine", value, spoken=f"Not mine, pass it on: {view.title}"))
        made.append(Button("gh.snooze", "Snooze", value, spoken=f"Snooze: {view.title}"))
    if view.execution and view.execution.can_undo and view.stage is not Stage.WAITING:
        undo = ids(x=view.execution.id, c=view.id, v=view.revision)
        made.append(Button("gh.undo", "Undo", undo, "danger", spoken=f"Undo the fix of: {view.title}"))
    made.append(Button("gh.details", "Details", value, spoken=f"Details of: {view.title}"))
    if view.console_url:
        made.append(
            Button("gh.console", "Open in console", url=view.console_url, spoken=f"Open in console: {view.title}")
        )
    return tuple(made)


def _resource_label(view: CauseView) -> str:
    return "Resource" if max(view.resource_count, len(view.resources)) <= 1 else "Resources"


def _resources(view: CauseView) -> Line:
    spans: list[str | Code] = []
    for resource in view.resources[:3]:
        spans += ["\n" if spans else "", Code(resource.name or resource.uid)]
        if resource.region:
            spans.append(f" {resource.region}")
    more = max(view.resource_count, len(view.resources)) - min(len(view.resources), 3)
    if more > 0:
        spans.append(f"\nand {more:,} more" if spans else f"{more:,}")
    return tuple(spans) or ("not named",)


def _owner(view: CauseView) -> Line:
    if view.owner:
        return (view.owner, f"\n({view.owner_reason})") if view.owner_reason else (view.owner,)
    return ("⚠️ Nobody is known: ", view.owner_reason or "no rule and no tag names an owner")


def _stands_for(view: CauseView) -> str:
    said = count(view.total_count, "finding")
    said = f"{said}, {view.open_count:,} still open" if view.open_count != view.total_count else said
    if view.one_change and view.open_count > 1:
        said += f". 1 fix ({view.one_change}) closes {view.open_count:,}"
        said += f" of {max(view.alike_open, view.open_count):,} open of this kind" if view.alike_open else " findings"
    return said


def _happening(view: CauseView) -> list[Part]:
    """Who asked, who voted, what ran, with what result."""
    parts: list[Part] = []
    if view.request and view.stage not in {Stage.OPEN, Stage.RESOLVED, Stage.SNOOZED, Stage.EXCEPTED, Stage.SILENCED}:
        parts.append(Section(request_lines(view.request)))
    undo_waits = view.request is not None and view.request.kind is PlanKind.UNDO
    if view.execution and (view.stage is not Stage.WAITING or undo_waits):
        parts.append(Section(_execution_lines(view.execution)))
    if view.stage is Stage.SNOOZED and view.snoozed_until:
        by: Line = (" by ", view.snoozed_by) if view.snoozed_by else ()
        parts.append(Section((("💤 Snoozed until ", When(view.snoozed_until, "date"), *by),)))
    if view.note:
        parts.append(Small((view.note,)))
    return parts


def _what(request: RequestView) -> str:
    return "undo" if request.kind is PlanKind.UNDO else "fix"


def request_lines(request: RequestView) -> tuple[Line, ...]:
    asked: Line = (f"Asked to {_what(request)} by ", Who(request.requested_by), ", ", When(request.requested_at))
    lines: list[Line] = [(*asked, ": ", request.reason) if request.reason else asked]
    if request.glass:
        lines += glass_lines(request.glass)
    for vote in request.votes:
        mark = "✅ Approved by " if vote.choice is Choice.APPROVE else "❌ Rejected by "
        stead: Line = (" for ", Who(vote.instead_of)) if vote.instead_of else ()
        line: Line = (mark, Who(vote.who), *stead, ", ", When(vote.at))
        lines.append((*line, ": ", vote.reason) if vote.reason else line)
    if not request.state.is_final:
        could: Line = (" from ", either(request.could)) if request.could else ()
        lines.append((f"⏳ {count(request.missing, 'approval')} needed", *could, ", until ", When(request.expires_at)))
    elif request.state.value in {"expired", "voided", "cancelled"}:
        lines.append((f"The request was {request.state.value}",))
    return tuple(lines)


_EXECUTION = {
    ExecutionState.QUEUED: "⚙️ Approved, about to start",
    ExecutionState.RUNNING: "⚙️ Running",
    ExecutionState.VERIFYING: "⚙️ Applied, being verified by an independent read",
    ExecutionState.SUCCEEDED: "✅ Applied and verified by an independent read",
    ExecutionState.UNVERIFIED: "⚠️ Applied, but the independent read does not agree",
    ExecutionState.FAILED: "❌ Failed",
    ExecutionState.ROLLED_BACK: "↩️ Failed and rolled back",
    ExecutionState.BLOCKED: "⛔ Stopped before any change",
}
_STEP = {
    StepState.INTENDED: "…",
    StepState.DONE: "✅",
    StepState.FAILED: "❌",
    StepState.UNKNOWN: "❓ outcome unknown:",
    StepState.SKIPPED: "☑️ already so:",
}


def _execution_lines(execution: ExecutionView) -> tuple[Line, ...]:
    head: list[str | When | Who] = ["Undo: " if execution.kind is PlanKind.UNDO else "", _EXECUTION[execution.state]]
    at = execution.finished_at or execution.started_at
    if at:
        head += [", ", When(at)]
    for position, person in enumerate(execution.decided_by):
        head += [", decided by " if position == 0 else ", ", Who(person)]
    lines: list[Line] = [tuple(head)]
    if execution.standing:
        what = "Fixed under" if execution.state is ExecutionState.SUCCEEDED else "Under"
        lines.append(standing_line(execution.standing, what))
    if execution.why:
        lines.append((execution.why,))
    for step in execution.steps[:LINES]:
        line = (f"{_STEP[step.state]} ", step.summary)
        lines.append((*line, " — ", step.error) if step.error else line)
    if len(execution.steps) > LINES:
        lines.append((f"and {count(len(execution.steps) - LINES, 'more step', 'more steps')}",))
    if execution.can_undo and execution.undo_note:
        lines.append(("Undo: ", execution.undo_note))
    return tuple(lines)


def _origin(view: CauseView) -> Line:
    spans: list[str | Code] = [f"Found by {witnesses.sources(view.sources)}" if view.sources else "Source unknown"]
    if view.rule_uid:
        spans += [" · rule ", Code(view.rule_uid)]
    return (*spans, " · ", Code(view.id))


def details_card(view: CauseView) -> Card:
    """The long form of a cause: reasons, every resource we name, the source's advice, its history."""
    body: list[Part] = [
        Section(((view.what,),) if view.what else ()),
        Section(((view.risk,),) if view.risk else (), heading="Why it matters"),
        Bullets(
            tuple(_reason(e) for e in view.reasons),
            heading=f"Why {view.priority.label}, {view.decision.value}",
        ),
        Bullets(tuple(_resource_line(r) for r in view.resources), heading="Resources", total=view.resource_count),
        Bullets(tuple(_context(line) for line in view.context[:LINES]), heading="What the cloud says"),
        Section(((view.remediation,),) if view.remediation else (), heading="What the source advises"),
        *witnesses.long(view),
        *long_prose(view),
        *_happening(view),
        Section(witnesses.agreement(view)),
        _history(view.history),
    ]
    links = [
        Button("gh.console", label, url=url, spoken=f"{label}: {view.title}")
        for label, url in (("Open in console", view.console_url), ("Open at the source", view.source_url))
        if url
    ]
    if view.stage in STEWARDABLE:
        links.append(Button("gh.regroup", "Split or merge", ids(c=view.id), spoken=f"Split or merge: {view.title}"))
    if links:
        body.append(Buttons(tuple(links)))
    return Card(
        title=view.title,
        summary=f"Details: {cause_summary(view)}",
        status=(
            Strong(f"{PRIORITY[view.priority]} {view.decision.value}"),
            "  ·  ",
            SEVERITY[view.severity],
            "  ·  ",
            STAGE[view.stage],
        ),
        body=tuple(part for part in body if not _is_empty(part)),
        footer=(_origin(view),),
    )


def _resource_line(resource: ResourceLine) -> Line:
    where_ = f" · {resource.type}" if resource.type else ""
    return (Code(resource.uid or resource.name), where_, f" · {resource.region}" if resource.region else "")


_FACTS = {"exposed": "Reachable from the internet", "created_by": "Made by", "changed_by": "Last changed by",
          "last_used": "Last used", "tags": "Tags"}  # fmt: skip


def _context(line: ContextLine) -> Line:
    """One fact about a resource with its source and age."""
    why = f" ({line.why})" if line.why else ""
    said: Line = (Code(line.resource), f" {_FACTS.get(line.fact, line.fact)}: {line.value}{why} ({line.source}")
    return (*said, ", ", When(line.as_of, "date"), ")") if line.as_of else (*said, ")")


def _reason(reason: Evidence) -> Line:
    """One line of evidence with its source and age."""
    if not reason.source:
        return (reason.fact,)
    if reason.as_of is None:
        return (reason.fact, f" ({reason.source})")
    return (reason.fact, f" ({reason.source}, ", When(reason.as_of, "date"), ")")


def _history(history: Iterable[HistoryLine]) -> Bullets:
    lines = tuple(history)
    return Bullets(
        tuple((When(line.at), " ", Strong(line.who), " ", line.what) for line in lines[-LINES:]),
        heading="History",
    )


def _is_empty(part: Part) -> bool:
    return (isinstance(part, Section) and not part.lines) or (
        isinstance(part, Bullets) and not part.items and not part.total
    )


# --- findings --------------------------------------------------------------------------------------------------------


def finding_card(view: FindingView) -> Card:
    """One finding in full."""
    finding, verdict = view.finding, view.verdict
    place = where(finding.account.name, finding.account.uid, finding.environment_hint, finding.account.provider)
    facts = [
        Fact("Resource", (Code(finding.resource.uid or finding.resource.name),)),
        Fact("Where", (f"{place}{', ' + finding.resource.region if finding.resource.region else ''}",)),
        Fact("Owner", (view.owner or "nobody is known",)),
        Fact("Status", (f"{view.status.value}{': ' + view.status_reason if view.status_reason else ''}",)),
        Fact("Since", (When(view.first_seen, "date"),)),
        Fact("Source", (finding.product or finding.source,)),
    ]
    if verdict and verdict.due:
        facts.append(Fact("Due", (When(verdict.due, "date"),)))
    if view.reopened:
        facts.append(Fact("Came back", (count(view.reopened, "time"),)))
    body: list[Part] = [
        Section(((finding.desc,),) if finding.desc else ()),
        Facts(tuple(facts)),
        Section(((finding.risk,),) if finding.risk else (), heading="Why it matters"),
        Bullets(tuple(_reason(e) for e in verdict.reasons) if verdict else (), heading="Verdict"),
        Bullets(
            tuple((Strong(v.uid), f" {v.title}") for v in finding.vulnerabilities[:LINES]),
            heading="Vulnerabilities",
            total=len(finding.vulnerabilities),
        ),
        Section(((finding.remediation,),) if finding.remediation else (), heading="What the source advises"),
        _history(view.history),
    ]
    buttons = []
    if view.cause_id:
        buttons.append(
            Button("gh.review", "Review fix", ids(c=view.cause_id), "primary", spoken=f"Review fix: {finding.title}")
        )
        buttons.append(
            Button(
                "gh.details",
                "Details of the cause",
                ids(c=view.cause_id),
                spoken=f"Details of the cause: {finding.title}",
            )
        )
    for label, url in (("Open in console", finding.console_url), ("Open at the source", finding.url)):
        if url:
            buttons.append(Button("gh.console", label, url=url, spoken=f"{label}: {finding.title}"))
    if buttons:
        body.append(Buttons(tuple(buttons)))
    head = f"{PRIORITY[verdict.priority]} {verdict.decision.value}  ·  " if verdict else ""
    return Card(
        title=finding.title,
        summary=(
            f"{SEVERITY[finding.severity].split(' ', 1)[1]}: {sentence(finding.title)} "
            f"{finding.resource.name or finding.resource.uid} in {place}, {view.status.value}."
        ),
        status=(Strong(f"{head}{SEVERITY[finding.severity]}"),),
        body=tuple(part for part in body if not _is_empty(part)),
        footer=((Code(view.id), " · cause ", Code(view.cause_id)) if view.cause_id else (Code(view.id),),),
    )


def findings_card(view: FindingsView, words: str = "") -> Card:
    """A page of findings, how the filters were read, and the way to the other pages. ``words`` is what was typed."""
    said = f"{count(view.total, 'finding')}{': ' + view.filters if view.filters else ''}."
    paged = view.total > view.limit or view.offset > 0
    if paged and view.lines:
        said += f" {view.offset + 1:,} to {view.offset + len(view.lines):,} are shown."
    lines: tuple[Line, ...] = tuple(
        (
            PRIORITY[line.priority],
            " ",
            Strong(line.title),
            "\n",
            SEVERITY[line.severity],
            " · ",
            Code(line.resource),
            f" · {line.where} · {line.owner or 'no owner'} · ",
            Code(line.id),
        )
        for line in view.lines
    )
    body: list[Part] = [Bullets(lines)] if lines else [Section((("Nothing matches.",),))]
    turns = (
        Button(
            "gh.page", "Previous", ids(f=words, o=str(max(0, view.offset - view.limit))), spoken="Previous findings"
        ),
        Button("gh.page", "Next", ids(f=words, o=str(view.offset + view.limit)), spoken="Next findings"),
    )
    there = (view.offset > 0, view.offset + len(view.lines) < view.total)
    shown = tuple(button for button, is_there in zip(turns, there, strict=True) if is_there)
    if shown and len(words) <= FILTER_WORDS:
        body.append(Buttons(shown))
    elif shown:
        body.append(Small((f"… and {view.total - len(view.lines):,} more; use fewer words to turn pages",)))
    return Card(
        title="Findings",
        summary=said,
        status=(said,),
        body=tuple(body),
        footer=(("One of them in full: /gatehouse finding ID. Fewer: add filters, for example critical prod.",),),
    )


def mine_card(lines: tuple[CauseLine, ...], total: int) -> Card:
    said = f"{count(total, 'open cause')} {'is' if total == 1 else 'are'} yours." if total else "Nothing open is yours."
    return Card(title="Mine", summary=said, status=(said,), body=tuple(cause_lines(lines, total)))


def cause_lines(lines: tuple[CauseLine, ...], total: int, limit: int = LINES) -> list[Part]:
    parts: list[Part] = []
    for line in lines[:limit]:
        due: Line = (" · due ", When(line.due, "date")) if line.due else ()
        about: Line = (
            f"{count(line.open_count, 'finding')} · {line.where} · {line.owner or 'no owner'}",
            *due,
            "" if line.stage is Stage.OPEN else f" · {STAGE[line.stage]}",
        )
        parts.append(Section(((PRIORITY[line.priority], " ", Strong(line.title)), about)))
        value = ids(c=line.id)
        details = Button("gh.details", "Details", value, spoken=f"Details of: {line.title}")
        review = Button("gh.review", "Review fix", value, spoken=f"Review fix: {line.title}")
        parts.append(Buttons((review, details) if line.fixable else (details,)))
    if total > min(len(lines), limit):
        parts.append(Small((f"… and {total - min(len(lines), limit):,} more: /gatehouse findings",)))
    return parts


# --- digest, home, status --------------------------------------------------------------------------------------------


def digest_card(view: DigestView) -> Card:
    """What a channel was spared: one message an interval, updated in place."""
    counts = [f"{number:,} {priority.label}" for priority, number in view.counts if number]
    said = f"{count(view.total, 'more cause')} in this interval{': ' + ', '.join(counts) if counts else ''}."
    return Card(
        title="Digest: more findings, held back",
        summary=f"Digest. {said} The most urgent: {'; '.join(line.title for line in view.lines[:3]) or 'none'}.",
        status=(Strong(said),),
        body=tuple(cause_lines(view.lines, view.total)),
        footer=(("From ", When(view.since), " to ", When(view.until), ". This message is updated in place."),),
    )


def status_card(view: StatusView) -> Card:
    """How Gatehouse itself is doing."""
    bad = [s for s in view.sources if not s.ok]
    said = f"{count(sum(n for _, n in view.open_findings), 'open finding')}; " + (
        f"{count(len(bad), 'source')} failing."
        if bad
        else "all sources are fine."
        if view.sources
        else "no source is set up."
    )
    return Card(
        title="Status",
        summary=f"Status: {said}",
        status=(Strong(said),),
        body=status_parts(view),
        footer=(("As of ", When(view.at)),),
    )


def status_parts(view: StatusView) -> tuple[Part, ...]:
    findings = ", ".join(f"{SEVERITY[s]} {n:,}" for s, n in view.open_findings if n) or "none"
    causes = ", ".join(f"{PRIORITY[p]} {n:,}" for p, n in view.open_causes if n) or "none"
    facts = (
        Fact("Open findings", (findings,)),
        Fact("Open causes", (causes,)),
        Fact("Waiting for approval", (f"{view.waiting_requests:,}",)),
        Fact("Fixes running", (f"{view.running:,}",)),
        Fact("Held in digests", (f"{view.held_in_digests:,}",)),
        Fact("Messages waiting to go out", (f"{view.outbox_waiting:,}",)),
        *((Fact("Model", (view.model,)),) if view.model else ()),
        Fact("Ledger", (f"{count(view.ledger_records, 'record')}, head ", Code(view.ledger_head[:16] or "none"))),
    )
    sources: tuple[Line, ...] = tuple(
        (
            "✅ " if s.ok else "❌ ",
            Strong(s.name),
            f" {s.said}",
        )
        for s in view.sources
    )
    lists: tuple[Line, ...] = tuple(
        ("✅ " if feed.ok else "⚠️ ", Strong(feed.title), f" {feed.said}") for feed in view.feeds
    )
    wrong: tuple[Line, ...] = tuple(
        (Strong(each.rule), f" {each.passed_on:,} of {each.routed:,} passed on ({each.rate:.0%})")
        for each in view.routes
    )
    return (
        Facts(facts),
        *(attention_parts(view.attention) if view.attention else ()),
        *open_parts(view.glasses),
        *((Bullets(sources, heading="Sources"),) if sources else ()),
        *((Bullets(lists, heading="Lists about CVEs"),) if lists else ()),
        *((Bullets(wrong, heading="Routing, the last 30 days"),) if wrong else ()),
    )
