"""Plans, requests, votes, decisions, executions and steps: the rows, one plain function each."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError
from sqlalchemy import Connection, Row, Select, and_, insert, or_, select, update

from bot.domain.decisions import (
    ApprovalRequest,
    ApprovalRule,
    Choice,
    Decision,
    ExecutionState,
    RequestState,
    StepState,
    Vote,
)
from bot.domain.errors import NotFound, Stale
from bot.domain.findings import OPEN_STATUSES, Finding
from bot.domain.ids import canonical
from bot.domain.plans import Plan, PlanKind
from bot.domain.principals import PlatformIdentity

from .tables import (
    CauseRow,
    DecisionRow,
    ExecutionRow,
    FindingRow,
    ObservationRow,
    PlanRow,
    RequestRow,
    StepRow,
    VoteRow,
)

PLANS = PlanRow.__table__  # type: ignore[attr-defined]
REQUESTS = RequestRow.__table__  # type: ignore[attr-defined]
VOTES = VoteRow.__table__  # type: ignore[attr-defined]
DECISIONS = DecisionRow.__table__  # type: ignore[attr-defined]
EXECUTIONS = ExecutionRow.__table__  # type: ignore[attr-defined]
STEPS = StepRow.__table__  # type: ignore[attr-defined]
CAUSES = CauseRow.__table__  # type: ignore[attr-defined]
FINDINGS = FindingRow.__table__  # type: ignore[attr-defined]
OBSERVATIONS = ObservationRow.__table__  # type: ignore[attr-defined]

ACTIVE = (ExecutionState.QUEUED.value, ExecutionState.RUNNING.value, ExecutionState.VERIFYING.value)


@dataclass(frozen=True, slots=True)
class CauseFacts:
    """What planning and approval need to know of a cause."""

    id: str
    title: str
    playbook: str
    source: str
    rule_uid: str
    owner: str
    environment: str
    state: str


@dataclass(frozen=True, slots=True)
class Execution:
    id: str
    decision_id: str
    plan_id: str
    cause_id: str
    kind: PlanKind
    state: ExecutionState
    why: str
    fence: int
    leased_by: str
    leased_until: datetime | None
    started_at: datetime | None
    post_image: dict[str, Any]
    undone_by: str | None


@dataclass(frozen=True, slots=True)
class Step:
    id: str
    position: int
    summary: str
    state: StepState
    error: str
    attempts: int
    intended_at: datetime


def as_text(value: Any) -> str:
    """JSON for a column."""
    return canonical(value).decode()


def utc(at: datetime) -> datetime:
    """SQLite gives times back without their zone; every stored time is UTC."""
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


def _lock(conn: Connection, query: Select[Any]) -> Select[Any]:
    # SQLite: the writing transaction already holds the only write lock there is.
    return query.with_for_update() if conn.dialect.name == "postgresql" else query


# --- causes and findings ---------------------------------------------------------------------------------------------


def cause(conn: Connection, cause_id: str, *, lock: bool = False) -> CauseFacts:
    query = select(CAUSES).where(CAUSES.c.id == cause_id)
    row = conn.execute(_lock(conn, query) if lock else query).first()
    if row is None:
        raise NotFound(
            f"there is no finding card {cause_id}", mend="It may have been merged; look at /gatehouse findings."
        )
    return CauseFacts(row.id, row.title, row.playbook, row.source, row.rule_uid, row.owner, row.environment, row.state)


def channels(conn: Connection, cause_id: str) -> list[str]:
    """Where a cause belongs, ``platform:channel``."""
    found = conn.execute(select(CAUSES.c.channels).where(CAUSES.c.id == cause_id)).scalar()
    return [str(address) for address in json.loads(found or "[]")]


def open_findings(conn: Connection, cause_id: str) -> list[tuple[Finding, str]]:
    """The open findings of a cause as they were last understood, with the environment they are in."""
    rows = conn.execute(
        select(OBSERVATIONS.c.doc, FINDINGS.c.environment)
        .join(
            FINDINGS,
            and_(FINDINGS.c.id == OBSERVATIONS.c.finding_id, FINDINGS.c.content == OBSERVATIONS.c.content),
        )
        .where(FINDINGS.c.cause_id == cause_id, FINDINGS.c.status.in_([s.value for s in OPEN_STATUSES]))
        .order_by(FINDINGS.c.id)
    )
    return [(Finding.model_validate_json(row.doc), row.environment) for row in rows]


# --- plans -----------------------------------------------------------------------------------------------------------


def save_plan(conn: Connection, plan: Plan) -> None:
    conn.execute(
        insert(PLANS),
        {
            "id": plan.id,
            "hash": plan.hash,
            "kind": plan.kind.value,
            "playbook": plan.playbook,
            "cause_id": plan.cause_id,
            "undoes": plan.undoes,
            "body": as_text(plan.model_dump(mode="json")),
            "created_at": plan.created_at,
            "expires_at": plan.expires_at,
        },
    )


def plan(conn: Connection, plan_id: str) -> Plan:
    """The plan as stored; ``Stale`` when its body is not what its hash says."""
    row = conn.execute(select(PLANS).where(PLANS.c.id == plan_id)).first()
    if row is None:
        raise NotFound(f"there is no plan {plan_id}", mend="Press Review fix again.")
    try:
        found = Plan.model_validate_json(row.body)
    except ValidationError as error:
        raise Stale(f"the stored plan {plan_id} cannot be read", mend="Press Review fix again.") from error
    if found.hash != row.hash or found.id != plan_id:
        raise Stale(f"the stored plan {plan_id} was altered after it was made", mend="Tell the operators of Gatehouse.")
    return found


def latest_plan(conn: Connection, cause_id: str, kind: PlanKind, undoes: str | None) -> Plan | None:
    """The newest intact plan of this kind."""
    query = select(PLANS.c.id).where(PLANS.c.cause_id == cause_id, PLANS.c.kind == kind.value)
    query = query.where(PLANS.c.undoes == undoes) if undoes else query.where(PLANS.c.undoes.is_(None))
    found = conn.execute(query.order_by(PLANS.c.created_at.desc(), PLANS.c.id.desc()).limit(1)).scalar()
    if found is None:
        return None
    try:
        return plan(conn, found)
    except Stale:
        return None


# --- requests and votes ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Request:
    """An approval request with what its row holds beside it."""

    facts: ApprovalRequest
    cause_id: str
    reason: str
    decided_at: datetime | None


def _request(row: Row[Any]) -> Request:
    facts = ApprovalRequest(
        id=row.id,
        plan_id=row.plan_id,
        plan_hash=row.plan_hash,
        fingerprint=row.fingerprint,
        policy_version=row.policy_version,
        rule=ApprovalRule.model_validate_json(row.rule),
        requested_by=row.requested_by,
        requested_at=utc(row.requested_at),
        expires_at=utc(row.expires_at),
        state=RequestState(row.state),
        revision=row.revision,
    )
    return Request(facts, row.cause_id, row.reason, utc(row.decided_at) if row.decided_at else None)


def save_request(conn: Connection, request: ApprovalRequest, cause_id: str, reason: str) -> None:
    conn.execute(
        insert(REQUESTS),
        request.model_dump(exclude={"rule", "state"})
        | {
            "rule": as_text(request.rule.model_dump(mode="json")),
            "state": request.state.value,
            "cause_id": cause_id,
            "reason": reason,
        },
    )


def request(conn: Connection, request_id: str, *, lock: bool = False) -> Request:
    query = select(REQUESTS).where(REQUESTS.c.id == request_id)
    row = conn.execute(_lock(conn, query) if lock else query).first()
    if row is None:
        raise NotFound(f"there is no request {request_id}", mend="Press Review fix again.")
    return _request(row)


def find_request(conn: Connection, request_id: str) -> Request | None:
    row = conn.execute(select(REQUESTS).where(REQUESTS.c.id == request_id)).first()
    return _request(row) if row else None


def pending_request(conn: Connection, cause_id: str) -> Request | None:
    """The one that waits for this cause, locked: two replicas that find it outdated must not both end it."""
    query = select(REQUESTS).where(REQUESTS.c.cause_id == cause_id, REQUESTS.c.state == RequestState.PENDING.value)
    row = conn.execute(_lock(conn, query)).first()
    return _request(row) if row else None


def latest_request(conn: Connection, plan_id: str) -> Request | None:
    """The newest request for exactly this plan, whatever became of it."""
    query = select(REQUESTS).where(REQUESTS.c.plan_id == plan_id)
    row = conn.execute(query.order_by(REQUESTS.c.requested_at.desc(), REQUESTS.c.id.desc()).limit(1)).first()
    return _request(row) if row else None


def due_requests(conn: Connection, now: datetime) -> list[str]:
    rows = conn.execute(
        select(REQUESTS.c.id).where(REQUESTS.c.state == RequestState.PENDING.value, REQUESTS.c.expires_at <= now)
    )
    return [row.id for row in rows]


def close_request(conn: Connection, request_id: str, state: RequestState, now: datetime, *, reason: str = "") -> None:
    """End a request; what it showed is stale from here on."""
    values: dict[str, Any] = {"state": state.value, "decided_at": now, "revision": REQUESTS.c.revision + 1}
    if reason:
        values["reason"] = reason
    conn.execute(update(REQUESTS).where(REQUESTS.c.id == request_id).values(values))


def live_votes(conn: Connection, request_id: str) -> list[tuple[Vote, PlatformIdentity]]:
    rows = conn.execute(
        select(VOTES)
        .where(VOTES.c.request_id == request_id, VOTES.c.withdrawn_at.is_(None))
        .order_by(VOTES.c.at, VOTES.c.id)
    )
    return [
        (
            Vote(
                id=r.id,
                request_id=r.request_id,
                plan_hash=r.plan_hash,
                principal_id=r.principal_id,
                platform=r.platform,
                choice=Choice(r.choice),
                reason=r.reason,
                at=utc(r.at),
                stands_for=r.stands_for,
                delegation_id=r.delegation_id,
            ),
            PlatformIdentity.model_validate_json(r.identity),
        )
        for r in rows
    ]


def save_vote(conn: Connection, vote: Vote, identity: PlatformIdentity) -> None:
    """The person's answer; an earlier one of theirs is withdrawn."""
    conn.execute(
        update(VOTES)
        .where(VOTES.c.request_id == vote.request_id, VOTES.c.principal_id == vote.principal_id)
        .where(VOTES.c.withdrawn_at.is_(None))
        .values(withdrawn_at=vote.at)
    )
    values = vote.model_dump(exclude={"choice"})
    values |= {"choice": vote.choice.value, "identity": as_text(identity.model_dump(mode="json"))}
    conn.execute(insert(VOTES), values)


def withdraw_vote(conn: Connection, vote_id: str, now: datetime) -> None:
    conn.execute(update(VOTES).where(VOTES.c.id == vote_id).values(withdrawn_at=now))


def rebind_request(
    conn: Connection, request_id: str, rule: ApprovalRule, policy_version: str, expires_at: datetime
) -> None:
    """Put a waiting request under the policy in force; what its card showed is stale from here on."""
    values = {
        "rule": as_text(rule.model_dump(mode="json")),
        "policy_version": policy_version,
        "expires_at": expires_at,
        "revision": REQUESTS.c.revision + 1,
    }
    conn.execute(update(REQUESTS).where(REQUESTS.c.id == request_id).values(values))


# --- decisions and executions ----------------------------------------------------------------------------------------


def save_decision(conn: Connection, decision: Decision) -> None:
    values = decision.model_dump(exclude={"decided_by", "outcome"})
    values |= {"outcome": decision.outcome.value, "decided_by": as_text(list(decision.decided_by))}
    conn.execute(insert(DECISIONS), values)


def decision(conn: Connection, decision_id: str) -> Decision:
    row = conn.execute(select(DECISIONS).where(DECISIONS.c.id == decision_id)).first()
    if row is None:
        raise NotFound(f"there is no decision {decision_id}")
    return Decision(
        id=row.id,
        request_id=row.request_id,
        plan_id=row.plan_id,
        covers=row.covers,
        outcome=RequestState(row.outcome),
        decided_at=utc(row.decided_at),
        decided_by=tuple(json.loads(row.decided_by)),
        reason=row.reason,
        policy_version=row.policy_version,
    )


def queue_execution(conn: Connection, execution_id: str, decision: Decision, plan: Plan, now: datetime) -> None:
    conn.execute(
        insert(EXECUTIONS),
        {
            "id": execution_id,
            "decision_id": decision.id,
            "plan_id": plan.id,
            "cause_id": plan.cause_id,
            "kind": plan.kind.value,
            "state": ExecutionState.QUEUED.value,
            "why": "",
            "fence": 0,
            "leased_by": "",
            "created_at": now,
            "post_image": "{}",
        },
    )


def execution(conn: Connection, execution_id: str, *, lock: bool = False) -> Execution:
    query = select(EXECUTIONS).where(EXECUTIONS.c.id == execution_id)
    row = conn.execute(_lock(conn, query) if lock else query).first()
    if row is None:
        raise NotFound(f"there is no execution {execution_id}")
    return Execution(
        row.id,
        row.decision_id,
        row.plan_id,
        row.cause_id,
        PlanKind(row.kind),
        ExecutionState(row.state),
        row.why,
        row.fence,
        row.leased_by,
        utc(row.leased_until) if row.leased_until else None,
        utc(row.started_at) if row.started_at else None,
        json.loads(row.post_image),
        row.undone_by,
    )


def execution_of_request(conn: Connection, request_id: str) -> str | None:
    found = conn.execute(
        select(EXECUTIONS.c.id)
        .join(DECISIONS, DECISIONS.c.id == EXECUTIONS.c.decision_id)
        .where(DECISIONS.c.request_id == request_id)
    ).scalar()
    return str(found) if found else None


def active_execution(conn: Connection, cause_id: str) -> str | None:
    found = conn.execute(
        select(EXECUTIONS.c.id).where(EXECUTIONS.c.cause_id == cause_id, EXECUTIONS.c.state.in_(ACTIVE)).limit(1)
    ).scalar()
    return str(found) if found else None


def claimable(conn: Connection, now: datetime, limit: int = 10) -> list[str]:
    """Queued executions and those whose worker let the lease run out."""
    rows = conn.execute(
        select(EXECUTIONS.c.id)
        .where(EXECUTIONS.c.state.in_(ACTIVE))
        .where(or_(EXECUTIONS.c.leased_until.is_(None), EXECUTIONS.c.leased_until <= now))
        .order_by(EXECUTIONS.c.created_at, EXECUTIONS.c.id)
        .limit(limit)
    )
    return [row.id for row in rows]


def take_execution(
    conn: Connection,
    execution_id: str,
    fence: int,
    *,
    by: str,
    until: datetime,
    state: ExecutionState,
    started_at: datetime,
) -> None:
    """Put a new fence and lease on it. The row must be locked."""
    conn.execute(
        update(EXECUTIONS)
        .where(EXECUTIONS.c.id == execution_id)
        .values(fence=fence, leased_by=by, leased_until=until, state=state.value, started_at=started_at)
    )


def request_of_decision(conn: Connection, decision_id: str) -> str | None:
    found = conn.execute(select(DECISIONS.c.request_id).where(DECISIONS.c.id == decision_id)).scalar()
    return str(found) if found else None


def set_execution(conn: Connection, execution_id: str, fence: int, *, leased: bool = False, **values: Any) -> bool:
    """Write to the execution as the holder of ``fence``; False when somebody else took over.

    ``leased``: also False when the lease was given up in the holder's name (it was declared dead, and nobody has taken
    over yet).
    """
    its = [EXECUTIONS.c.id == execution_id, EXECUTIONS.c.fence == fence, EXECUTIONS.c.state.in_(ACTIVE)]
    if leased:
        its.append(EXECUTIONS.c.leased_until.is_not(None))
    return bool(conn.execute(update(EXECUTIONS).where(*its).values(values)).rowcount)


def stop_execution(conn: Connection, request_id: str, why: str, now: datetime) -> str | None:
    """Block the request's execution, when it has not begun a step. Its id, or None when there is nothing to stop."""
    found = execution_of_request(conn, request_id)
    if found is None:
        return None
    held = execution(conn, found, lock=True)
    if held.state not in {ExecutionState.QUEUED, ExecutionState.RUNNING} or steps(conn, found):
        return None
    values: dict[str, Any] = {"state": ExecutionState.BLOCKED.value, "why": why}
    values |= {"finished_at": now, "leased_until": None}
    return found if set_execution(conn, found, held.fence, **values) else None


def mark_undone(conn: Connection, execution_id: str, by: str) -> None:
    conn.execute(update(EXECUTIONS).where(EXECUTIONS.c.id == execution_id).values(undone_by=by))


# --- steps -----------------------------------------------------------------------------------------------------------


def steps(conn: Connection, execution_id: str) -> list[Step]:
    rows = conn.execute(select(STEPS).where(STEPS.c.execution_id == execution_id).order_by(STEPS.c.position))
    return [
        Step(r.id, r.position, r.summary, StepState(r.state), r.error, r.attempts, utc(r.intended_at)) for r in rows
    ]


def intend_step(
    conn: Connection,
    *,
    step_id: str,
    execution_id: str,
    position: int,
    summary: str,
    call: Any,
    fence: int,
    now: datetime,
) -> None:
    """Record that the call is about to be made, again if it has to be."""
    held = conn.execute(select(STEPS.c.id).where(STEPS.c.id == step_id)).first()
    if held:
        conn.execute(
            update(STEPS)
            .where(STEPS.c.id == step_id)
            .values(
                state=StepState.INTENDED.value, fence=fence, attempts=STEPS.c.attempts + 1, intended_at=now, error=""
            )
        )
        return
    conn.execute(
        insert(STEPS),
        {
            "id": step_id,
            "execution_id": execution_id,
            "position": position,
            "summary": summary,
            "call": as_text(call),
            "state": StepState.INTENDED.value,
            "error": "",
            "result": "{}",
            "fence": fence,
            "attempts": 1,
            "intended_at": now,
        },
    )


def finish_step(
    conn: Connection, step_id: str, state: StepState, now: datetime, *, error: str = "", result: Any = None
) -> None:
    conn.execute(
        update(STEPS)
        .where(STEPS.c.id == step_id)
        .values(state=state.value, done_at=now, error=error, result=as_text(result if result is not None else {}))
    )
