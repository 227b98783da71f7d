"""A cause as its card shows it: everything is derived from the rows at the moment of asking, nothing is kept twice."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, and_, case, func, select

from bot.domain.decisions import ApprovalRule, Choice, ExecutionState, RequestState, StepState
from bot.domain.errors import GatehouseError, NotFound
from bot.domain.findings import OPEN_STATUSES, Finding, Severity
from bot.domain.ids import Clock
from bot.domain.plans import Plan, PlanKind, Reversibility
from bot.domain.triage import Priority, Ssvc, Verdict
from bot.domain.views import (
    CauseView,
    ExecutionView,
    HistoryLine,
    RequestView,
    ResourceLine,
    Stage,
    StandingRef,
    StepLine,
    VoteLine,
)
from bot.intake.causes import one_change
from bot.narrative.service import read_narrative
from bot.ports import PlaybookCatalog, PlaybookInfo
from bot.reports import witnesses
from bot.reports.ages import context_lines, dated
from bot.reports.glass import glasses
from bot.reports.names import owner_names, people, person, who_could
from bot.settings import Settings
from bot.store import controls, standing
from bot.store.tables import (
    CauseRow,
    DecisionRow,
    ExecutionRow,
    FindingRow,
    LedgerRow,
    ObservationRow,
    PlanRow,
    RequestRow,
    StepRow,
    VoteRow,
)

CAUSES = CauseRow.__table__  # type: ignore[attr-defined]
FINDINGS = FindingRow.__table__  # type: ignore[attr-defined]
OBSERVATIONS = ObservationRow.__table__  # type: ignore[attr-defined]
PLANS = PlanRow.__table__  # type: ignore[attr-defined]
REQUESTS = RequestRow.__table__  # type: ignore[attr-defined]
VOTES = VoteRow.__table__  # type: ignore[attr-defined]
DECISIONS = DecisionRow.__table__  # type: ignore[attr-defined]
EXECUTIONS = ExecutionRow.__table__  # type: ignore[attr-defined]
STEPS = StepRow.__table__  # type: ignore[attr-defined]
LEDGER = LedgerRow.__table__  # type: ignore[attr-defined]

OPEN = tuple(sorted(s.value for s in OPEN_STATUSES))
RESOURCES_SHOWN = 5
HISTORY_SHOWN = 20
RUNNING = (ExecutionState.QUEUED, ExecutionState.RUNNING, ExecutionState.VERIFYING)

# OTHER is 99 in OCSF: the source's own word, not above critical.
SEVERITY_RANK = case((FINDINGS.c.severity == int(Severity.OTHER), 0), else_=FINDINGS.c.severity)
URGENCY = (FINDINGS.c.priority, SEVERITY_RANK.desc(), FINDINGS.c.due.is_(None), FINDINGS.c.due, FINDINGS.c.id)

Could = Callable[[Plan], tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Reader:
    """What reading a view needs besides the connection."""

    settings: Settings
    catalog: PlaybookCatalog
    clock: Clock
    could: Could | None = None  # the policy's words, for a rule that names no group


@dataclass(slots=True)
class _Fix:
    """The latest execution of a cause, its plan, and whether findings are open that it does not account for."""

    row: Row[Any] | None = None
    plan: Plan | None = None
    left_open: bool = False
    undo_running: bool = False
    failed_undo: str = ""
    ids: list[str] = field(default_factory=list)  # subjects of the ledger that belong to this cause


def read_cause(conn: Connection, reader: Reader, cause_id: str) -> CauseView:
    row = conn.execute(select(CAUSES).where(CAUSES.c.id == cause_id)).first()
    if row is None:
        raise NotFound(f"There is no cause {cause_id[:80]}.", mend="Ask for findings to see what is open.")
    request_row = conn.execute(
        select(REQUESTS)
        .where(REQUESTS.c.cause_id == cause_id)
        .order_by(REQUESTS.c.requested_at.desc(), REQUESTS.c.id.desc())
        .limit(1)
    ).first()
    request = read_requests(conn, reader, [request_row])[0] if request_row is not None else None
    fix = _latest_fix(conn, cause_id)
    finding, verdict = _most_urgent(conn, cause_id)
    info = _playbook(reader.catalog, row.playbook)
    resources = _resources(conn, cause_id)
    broken = [request.glass.id] if request and request.glass else []
    history, snoozed_by = _history(conn, reader.settings, cause_id, [*fix.ids, *broken])
    stage = derive_stage(row.state, row.open_count, request.state if request else None, fix)
    view = CauseView(
        id=row.id,
        revision=row.revision,
        stage=stage,
        title=row.title,
        what=(finding.desc or finding.title) if finding else row.title,
        risk=finding.risk if finding else "",
        priority=Priority(row.priority),
        decision=Ssvc(row.decision) if row.decision else Ssvc.TRACK,
        severity=Severity(row.severity),
        reasons=verdict.reasons if verdict else (),
        sources=_sources(conn, cause_id) or (row.source,),
        rule_uid=row.rule_uid,
        owner=owner_names(conn, reader.settings, [row.owner])[row.owner],
        owner_reason=row.owner_reason,
        environment=row.environment,
        provider=row.provider,
        account_uid=row.account_uid,
        account_name=row.account_name,
        resources=resources,
        context=context_lines(conn, [resource.uid for resource in resources]),
        resource_count=row.resource_count,
        one_change=one_change(row.key),
        alike_open=_alike(conn, row),
        open_count=row.open_count,
        total_count=row.total_count,
        first_seen=row.first_seen,
        due=row.due,
        playbook=row.playbook,
        playbook_title=info.title if info else "",
        no_fix=_no_fix(reader.catalog, row, finding, info),
        remediation=finding.remediation if finding else "",
        request=request,
        execution=_execution(conn, reader.settings, fix),
        console_url=finding.console_url if finding else "",
        source_url=finding.url if finding else "",
        snoozed_until=row.snoozed_until if row.state == "snoozed" else None,
        snoozed_by=snoozed_by if row.state == "snoozed" else "",
        note=row.note,
        history=history,
        witnessed=witnesses.witnessed(conn, reader.settings, cause_id),
        candidates=(others := witnesses.candidates(conn, cause_id)),
        anchor=witnesses.anchor(conn, cause_id) if others else "",
        agreement=witnesses.agreement(conn, cause_id),
    )
    return view.model_copy(update={"narrative": read_narrative(conn, reader.settings, view)})


def _alike(conn: Connection, row: Row[Any]) -> int:
    """Open findings of the same rule anywhere, for a cause that one change fixes as a whole."""
    if not row.rule_uid or not one_change(row.key):
        return 0
    same = and_(FINDINGS.c.rule_uid == row.rule_uid, FINDINGS.c.source == row.source, FINDINGS.c.status.in_(OPEN))
    return int(conn.execute(select(func.count()).select_from(FINDINGS).where(same)).scalar_one())


def derive_stage(state: str, open_count: int, request: RequestState | None, fix: _Fix) -> Stage:
    """One stage out of cause, latest request and latest execution; what moves or waits comes before what is over."""
    execution = ExecutionState(fix.row.state) if fix.row is not None else None
    if execution in RUNNING:
        return Stage.RUNNING
    if request is RequestState.PENDING:
        return Stage.WAITING
    if state == "excepted":
        return Stage.EXCEPTED
    if state == "snoozed":
        return Stage.SNOOZED
    if state == "silenced":
        return Stage.SILENCED
    if (
        fix.row is not None
        and execution is not None
        and (after := _stage_after(fix.row.kind, execution, fix.left_open))
    ):
        # What a later scan calls resolved is over, however our own attempt ended.
        over = state == "resolved" and after in {Stage.UNVERIFIED, Stage.FAILED, Stage.BLOCKED, Stage.UNDONE}
        return Stage.RESOLVED if over else after
    if state == "resolved" or (open_count == 0 and state != "open"):
        return Stage.RESOLVED
    return Stage.OPEN


def _stage_after(kind: str, execution: ExecutionState, left_open: bool) -> Stage | None:
    if execution in {ExecutionState.FAILED, ExecutionState.ROLLED_BACK}:
        return Stage.FAILED
    if execution is ExecutionState.BLOCKED:
        return Stage.BLOCKED
    if execution is ExecutionState.UNVERIFIED:
        return Stage.UNVERIFIED
    if kind == PlanKind.UNDO:
        return Stage.UNDONE
    return None if left_open else Stage.FIXED


def _latest_fix(conn: Connection, cause_id: str) -> _Fix:
    rows = conn.execute(
        select(EXECUTIONS, PLANS.c.body, PLANS.c.undoes)
        .outerjoin(PLANS, PLANS.c.id == EXECUTIONS.c.plan_id)
        .where(EXECUTIONS.c.cause_id == cause_id)
        .order_by(EXECUTIONS.c.created_at.desc(), EXECUTIONS.c.id.desc())
    ).all()
    fix = _Fix()
    request_ids = conn.execute(select(REQUESTS.c.id).where(REQUESTS.c.cause_id == cause_id)).all()
    decided = select(DECISIONS.c.id).where(DECISIONS.c.request_id.in_([r.id for r in request_ids]))
    fix.ids += [request.id for request in request_ids]
    fix.ids += conn.execute(decided).scalars()
    for row in rows:
        fix.ids += [row.id, row.decision_id]
    if not rows:
        return fix
    latest = rows[0]
    if latest.kind == PlanKind.UNDO and _changed_nothing(conn, latest):
        # The fix still stands, and can still be undone.
        fixed = next((r for r in rows if r.id == latest.undoes), None)
        if fixed is not None:
            what = "was refused" if latest.state == ExecutionState.BLOCKED else "failed"
            fix.failed_undo = f"The undo {what}: {latest.why}".rstrip(": ")
            latest = fixed
    fix.row = latest
    fix.plan = Plan.model_validate_json(latest.body) if latest.body else None
    running = {str(state) for state in RUNNING}
    fix.undo_running = any(r.undoes == latest.id and r.state in running for r in rows)
    if latest.kind == PlanKind.FIX and latest.finished_at is not None:
        covered = set(fix.plan.finding_ids) if fix.plan else set()
        still = select(FINDINGS.c.id, FINDINGS.c.changed_at).where(
            FINDINGS.c.cause_id == cause_id, FINDINGS.c.status.in_(OPEN)
        )
        fix.left_open = any(f.id not in covered or f.changed_at > latest.finished_at for f in conn.execute(still))
    return fix


def _changed_nothing(conn: Connection, execution: Row[Any]) -> bool:
    """Whether it was refused, or failed before any of its changes was made."""
    if execution.state == ExecutionState.BLOCKED:
        return True
    done = select(STEPS.c.id).where(STEPS.c.execution_id == execution.id, STEPS.c.state == StepState.DONE)
    return bool(execution.state == ExecutionState.FAILED and conn.execute(done.limit(1)).first() is None)


def _execution(conn: Connection, settings: Settings, fix: _Fix) -> ExecutionView | None:
    row = fix.row
    if row is None:
        return None
    decided = conn.execute(select(DECISIONS.c.decided_by).where(DECISIONS.c.id == row.decision_id)).scalar()
    voters: list[str] = json.loads(decided) if decided else []
    known = people(conn, settings, voters)
    steps = conn.execute(select(STEPS).where(STEPS.c.execution_id == row.id).order_by(STEPS.c.position)).all()
    # A fix that failed half-way is offered too: what it did change can be taken back.
    changed = row.state == ExecutionState.FAILED and any(s.state == StepState.DONE for s in steps)
    applied = changed or row.state in {ExecutionState.SUCCEEDED, ExecutionState.UNVERIFIED}
    reversible = fix.plan is not None and fix.plan.reversibility is not Reversibility.NONE
    return ExecutionView(
        id=row.id,
        kind=PlanKind(row.kind),
        state=ExecutionState(row.state),
        why=" ".join(part for part in (row.why, fix.failed_undo) if part),
        decided_by=tuple(known[one] for one in voters),
        steps=tuple(
            StepLine(position=s.position, summary=s.summary, state=StepState(s.state), error=s.error) for s in steps
        ),
        started_at=row.started_at,
        finished_at=row.finished_at,
        can_undo=row.kind == PlanKind.FIX and applied and reversible and not row.undone_by and not fix.undo_running,
        undo_note=fix.plan.undo_note if fix.plan else "",
        standing=_standing(conn, settings, row.id),
    )


def _standing(conn: Connection, settings: Settings, execution_id: str) -> StandingRef | None:
    held = standing.of_execution(conn, execution_id)
    if held is None:
        return None
    by = [grant.principal_id for grant in held.grants]
    known = people(conn, settings, by)
    facts = held.facts
    return StandingRef(id=facts.id, by=tuple(known[one] for one in by), scope=facts.scope.words, until=facts.ends_at)


def read_requests(conn: Connection, reader: Reader, rows: Sequence[Row[Any]]) -> list[RequestView]:
    """Requests with their votes, in the order given; a handful of statements however many there are."""
    if not rows:
        return []
    votes: dict[str, list[Row[Any]]] = {}
    live = select(VOTES).where(VOTES.c.request_id.in_([r.id for r in rows]), VOTES.c.withdrawn_at.is_(None))
    for vote in conn.execute(live.order_by(VOTES.c.at, VOTES.c.id)):
        votes.setdefault(vote.request_id, []).append(vote)
    voters = [v.principal_id for several in votes.values() for v in several]
    known = people(conn, reader.settings, [*voters, *(r.requested_by for r in rows)])
    bodies = conn.execute(
        select(PLANS.c.id, PLANS.c.kind, PLANS.c.body).where(PLANS.c.id.in_({r.plan_id for r in rows}))
    )
    plans = {p.id: Plan.model_validate_json(p.body) for p in bodies}
    titles = conn.execute(select(CAUSES.c.id, CAUSES.c.title).where(CAUSES.c.id.in_({r.cause_id for r in rows})))
    causes = {c.id: c.title for c in titles}
    broken = controls.glass_of_requests(conn, [r.id for r in rows])
    shown = glasses(conn, reader.settings, broken, reader.clock.now())
    glass = {held.request_id: view for held, view in zip(broken, shown, strict=True)}
    found = []
    for row in rows:
        rule, plan = ApprovalRule.model_validate_json(row.rule), plans.get(row.plan_id)
        could = who_could(reader.settings, rule, row.requested_by)
        if not rule.groups and reader.could and plan:
            could = reader.could(plan) or could
        found.append(
            RequestView(
                id=row.id,
                cause_id=row.cause_id,
                cause_title=causes.get(row.cause_id, ""),
                plan_id=row.plan_id,
                plan_hash=row.plan_hash,
                plan_title=plan.title if plan else "",
                kind=plan.kind if plan else PlanKind.FIX,
                state=RequestState(row.state),
                rule=rule,
                revision=row.revision,
                requested_by=known[row.requested_by],
                requested_at=row.requested_at,
                expires_at=row.expires_at,
                votes=tuple(
                    VoteLine(who=known[v.principal_id], choice=Choice(v.choice), reason=v.reason, at=v.at)
                    for v in votes.get(row.id, [])
                ),
                could=could,
                reason=row.reason,
                glass=glass.get(row.id),
                decided_at=row.decided_at,
            )
        )
    return found


def _most_urgent(conn: Connection, cause_id: str) -> tuple[Finding | None, Verdict | None]:
    """What the most urgent open finding says (the most urgent of all when none is open)."""
    observed = and_(OBSERVATIONS.c.finding_id == FINDINGS.c.id, OBSERVATIONS.c.content == FINDINGS.c.content)
    question = (
        select(OBSERVATIONS.c.doc, OBSERVATIONS.c.verdict, OBSERVATIONS.c.at)
        .select_from(FINDINGS.join(OBSERVATIONS, observed))
        .where(FINDINGS.c.cause_id == cause_id)
        .order_by(case((FINDINGS.c.status.in_(OPEN), 0), else_=1), *URGENCY)
        .limit(1)
    )
    row = conn.execute(question).first()
    if row is None:
        return None, None
    finding = Finding.model_validate_json(row.doc)
    return finding, dated(read_verdict(row.verdict), finding, row.at)


def read_verdict(raw: bytes) -> Verdict | None:
    return Verdict.model_validate_json(raw) if raw and raw != b"{}" else None


def _sources(conn: Connection, cause_id: str) -> tuple[str, ...]:
    return tuple(conn.execute(
        select(FINDINGS.c.source).distinct().where(FINDINGS.c.cause_id == cause_id).order_by(FINDINGS.c.source)
    ).scalars())  # fmt: skip


def _resources(conn: Connection, cause_id: str) -> tuple[ResourceLine, ...]:
    """The first few resources, those with open findings first."""
    first = (
        select(FINDINGS.c.resource_uid, func.min(FINDINGS.c.id).label("id"))
        .where(FINDINGS.c.cause_id == cause_id)
        .group_by(FINDINGS.c.resource_uid)
        .order_by(func.min(case((FINDINGS.c.status.in_(OPEN), 0), else_=1)), func.min(FINDINGS.c.priority), "id")
        .limit(RESOURCES_SHOWN)
    )
    chosen = [row.id for row in conn.execute(first)]
    observed = and_(OBSERVATIONS.c.finding_id == FINDINGS.c.id, OBSERVATIONS.c.content == FINDINGS.c.content)
    details = select(FINDINGS, OBSERVATIONS.c.doc).select_from(FINDINGS.outerjoin(OBSERVATIONS, observed))
    found = {row.id: row for row in conn.execute(details.where(FINDINGS.c.id.in_(chosen)))}
    return tuple(
        ResourceLine(
            uid=found[one].resource_uid,
            name=found[one].resource_name or found[one].resource_uid,
            type=found[one].resource_type,
            region=found[one].region,
            console_url=Finding.model_validate_json(found[one].doc).console_url if found[one].doc else "",
        )
        for one in chosen
    )


def _playbook(catalog: PlaybookCatalog, playbook: str) -> PlaybookInfo | None:
    if not playbook:
        return None
    try:
        return catalog.get(playbook).info
    except (GatehouseError, KeyError):
        return None  # stored by a version that had it


def _no_fix(catalog: PlaybookCatalog, row: Row[Any], finding: Finding | None, info: PlaybookInfo | None) -> str:
    if not row.playbook:
        return f"Gatehouse has no playbook for {row.rule_uid or 'this rule'}; the source's advice is below."
    if info is None:
        return f"The playbook {row.playbook} is not installed here."
    playbook = catalog.get(row.playbook)
    if finding is None or playbook.target(finding) is not None:
        return ""
    why_not = getattr(playbook, "why_not", None)
    said = str(why_not(finding)) if callable(why_not) else ""
    return said or f"“{info.title}” cannot work on this resource: the finding does not name it well enough."


def _history(
    conn: Connection, settings: Settings, cause_id: str, related: Sequence[str]
) -> tuple[tuple[HistoryLine, ...], str]:
    """The last lines of the ledger about the cause and what belongs to it; and who snoozed it last."""
    lines = history_lines(conn, settings, [cause_id, *related])
    snoozer = conn.execute(
        select(LEDGER.c.actor)
        .where(LEDGER.c.subject == cause_id, LEDGER.c.kind.contains("snooze"))
        .order_by(LEDGER.c.seq.desc())
        .limit(1)
    ).scalar()
    return lines, person(conn, settings, snoozer).name if snoozer else ""


def history_lines(conn: Connection, settings: Settings, subjects: Sequence[str]) -> tuple[HistoryLine, ...]:
    """Oldest first, the latest ``HISTORY_SHOWN``."""
    question = (
        select(LEDGER)
        .where(LEDGER.c.subject.in_(sorted({s for s in subjects if s})))
        .where(*(~LEDGER.c.kind.startswith(prefix) for prefix in _UNTOLD))
        .order_by(LEDGER.c.seq.desc())
        .limit(HISTORY_SHOWN)
    )
    rows = conn.execute(question).all()
    known = people(conn, settings, {row.actor for row in rows})
    return tuple(
        HistoryLine(at=datetime.fromisoformat(r.at), who=known[r.actor].name, what=said_of(r.kind, r.body))
        for r in reversed(rows)
    )


_WORDS = {
    "request.made": "asked for approval",
    "vote.cast": "voted",
    "decision.made": "decided",
    "standing.used": "approved in advance",
    "refused": "was refused",
    "execution.finished": "carried out",
    "execution.blocked": "not carried out",
    "break_glass.used": "broke the glass",
    "break_glass.reviewed": "reviewed the broken glass",
    "request.rebound": "put it under the new policy",
    "cause.passed_on": "passed it on",
    "cause.snoozed": "snoozed it",
    "risk.accepted": "accepted the risk",
    "cause.merged": "merged it into another",
    "cause.split": "split a part off",
    "cause.regrouped_back": "took back what was split or merged",
    "cause.escalated": "escalated it",
}
# Machinery, and what stands under the execution anyway, would push out what people did.
_UNTOLD = ("plan.", "step.", "execution.claimed", "execution.queued")


def said_of(kind: str, body: str) -> str:
    """A ledger record as words: its kind, and the one thing in its body that says why or what."""
    words = _WORDS.get(kind) or kind.replace(".", " ").replace("_", " ").replace("-", " ").strip()
    facts = json.loads(body)
    if not isinstance(facts, dict):
        return words
    choice = next((str(facts[k]) for k in ("choice", "outcome", "state", "status") if facts.get(k)), "")
    why = next((str(facts[k]) for k in ("reason", "why", "summary", "note", "title", "error") if facts.get(k)), "")
    said = words if not choice or choice in words else f"{words}: {choice}"
    return f"{said}: {why}" if why and ":" not in said else f"{said} ({why})" if why else said
