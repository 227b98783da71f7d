"""Standing approvals: terms, grants, uses and looks; the rows, one plain function each."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pydantic import ValidationError
from sqlalchemy import Connection, Row, and_, exists, func, insert, or_, select, update

from bot.domain.errors import NotFound, Stale
from bot.domain.findings import OPEN_STATUSES
from bot.domain.ids import digest
from bot.domain.principals import PlatformIdentity
from bot.domain.standing import Grant, StandingApproval, StandingScope, StandingState, StandingUse

from .plans import ACTIVE, CAUSES, EXECUTIONS, FINDINGS, REQUESTS, as_text, utc
from .tables_standing import StandingGrantRow, StandingLookRow, StandingRow, StandingUseRow

STANDING = StandingRow.__table__  # type: ignore[attr-defined]
GRANTS = StandingGrantRow.__table__  # type: ignore[attr-defined]
USES = StandingUseRow.__table__  # type: ignore[attr-defined]
LOOKS = StandingLookRow.__table__  # type: ignore[attr-defined]

HOUR = timedelta(hours=1)
_OPEN = sorted(status.value for status in OPEN_STATUSES)
_SEEN = 500  # causes of one standing approval considered at a time


@dataclass(frozen=True, slots=True)
class Held:
    """The terms as stored, with the hash they were granted under and who granted them."""

    facts: StandingApproval
    hash: str
    grants: tuple[Grant, ...]

    @property
    def intact(self) -> bool:
        return self.facts.hash == self.hash


@dataclass(frozen=True, slots=True)
class Covered:
    """What lets an execution run: a use, its standing approval, and the use's place in its hour (1 is the first)."""

    held: Held
    use: StandingUse
    rank: int


# --- terms and grants ------------------------------------------------------------------------------------------------


def add(conn: Connection, made: StandingApproval, now: datetime) -> None:
    values = made.model_dump(exclude={"scope", "state"})
    values |= {"hash": made.hash, "state": made.state.value, "changed_at": now}
    conn.execute(insert(STANDING), values | {"scope": as_text(made.scope.model_dump(mode="json"))})


def get(conn: Connection, standing_id: str, *, lock: bool = False) -> Held:
    query = select(STANDING).where(STANDING.c.id == standing_id)
    # SQLite: the writing transaction already holds the only write lock there is.
    row = conn.execute(query.with_for_update() if lock and conn.dialect.name == "postgresql" else query).first()
    if row is None:
        raise NotFound(f"there is no standing approval {standing_id}", mend="/gatehouse standing lists them.")
    return _held(conn, row)


def _held(conn: Connection, row: Row[Any]) -> Held:
    """``Stale`` where the row is none that we would have written."""
    try:
        return Held(_facts(row), row.hash, tuple(grants(conn, row.id)))
    except ValidationError as error:
        raise Stale(f"the stored standing approval {row.id} cannot be read", mend="Grant another one.") from error


def _facts(row: Row[Any]) -> StandingApproval:
    return StandingApproval(
        id=row.id,
        playbook=row.playbook,
        playbook_version=row.playbook_version,
        scope=StandingScope.model_validate_json(row.scope),
        cap=row.cap,
        ends_at=utc(row.ends_at),
        created_by=row.created_by,
        created_at=utc(row.created_at),
        reason=row.reason,
        quorum=row.quorum,
        policy_version=row.policy_version,
        state=StandingState(row.state),
        state_by=row.state_by,
        state_why=row.state_why,
    )


def every(
    conn: Connection, states: Collection[StandingState], *, limit: int = 1_000, unreadable: list[str] | None = None
) -> list[Held]:
    """Those in any of the states, the newest first. The ids of altered ones go into ``unreadable``."""
    rows = conn.execute(
        select(STANDING)
        .where(STANDING.c.state.in_([state.value for state in states]))
        .order_by(STANDING.c.created_at.desc(), STANDING.c.id)
        .limit(limit)
    ).all()
    found = []
    for row in rows:
        try:
            found.append(_held(conn, row))
        except Stale:
            if unreadable is not None:
                unreadable.append(row.id)
    return found


def set_state(
    conn: Connection, standing_id: str, state: StandingState, *, by: str, why: str, now: datetime
) -> bool:  # fmt: skip
    """Move one that is not over. False when it is over already."""
    live = [StandingState.PROPOSED.value, StandingState.ACTIVE.value]
    changed = conn.execute(
        update(STANDING)
        .where(STANDING.c.id == standing_id, STANDING.c.state.in_(live))
        .values(state=state.value, state_by=by, state_why=why, changed_at=now)
    )
    return bool(changed.rowcount)


def withdrawn(conn: Connection, standing_id: str) -> str:
    """Why no further step may be taken under it, or "". One row read, no cache: it holds from its commit on."""
    row = conn.execute(select(STANDING.c.state, STANDING.c.state_why).where(STANDING.c.id == standing_id)).first()
    if row is None:
        return f"the standing approval {standing_id} is gone"
    stopped = {StandingState.SUSPENDED.value, StandingState.REVOKED.value}
    return f"the standing approval {standing_id} is {row.state}: {row.state_why}" if row.state in stopped else ""


def add_grant(conn: Connection, made: Grant) -> None:
    values = made.model_dump(exclude={"identity"}) | {"identity": as_text(made.identity.model_dump(mode="json"))}
    conn.execute(insert(GRANTS), values)


def grants(conn: Connection, standing_id: str) -> list[Grant]:
    rows = conn.execute(
        select(GRANTS).where(GRANTS.c.standing_id == standing_id).order_by(GRANTS.c.at, GRANTS.c.principal_id)
    )
    return [
        Grant(
            standing_id=r.standing_id,
            hash=r.hash,
            principal_id=r.principal_id,
            identity=PlatformIdentity.model_validate_json(r.identity),
            at=utc(r.at),
        )
        for r in rows
    ]


# --- uses ------------------------------------------------------------------------------------------------------------


def add_use(conn: Connection, made: StandingUse) -> None:
    conn.execute(insert(USES), made.model_dump())


def used_since(conn: Connection, standing_id: str, since: datetime) -> int:
    """Uses after ``since``. With the row of the standing approval locked nobody adds one meanwhile."""
    query = select(func.count()).select_from(USES).where(USES.c.standing_id == standing_id, USES.c.at > since)
    return int(conn.execute(query).scalar_one())


def tally(conn: Connection, standing_id: str, now: datetime) -> tuple[int, int, datetime | None]:
    """Uses ever, uses in the last hour, the last one."""
    row = conn.execute(select(func.count(), func.max(USES.c.at)).where(USES.c.standing_id == standing_id)).one()
    return int(row[0]), used_since(conn, standing_id, now - HOUR), utc(row[1]) if row[1] else None


def uses_of_mark(conn: Connection, cause_id: str, mark: str) -> list[tuple[StandingUse, str]]:
    """Runs that were made for just these findings under any standing approval, with the state of the execution."""
    rows = conn.execute(
        select(USES, EXECUTIONS.c.state)
        .outerjoin(EXECUTIONS, EXECUTIONS.c.id == USES.c.execution_id)
        .where(USES.c.cause_id == cause_id, USES.c.mark == mark)
        .order_by(USES.c.at, USES.c.id)
    )
    return [(_use(row), row.state or "") for row in rows]


def covered(conn: Connection, request_id: str) -> Covered | None:
    """The use that made this request, or None where people were asked."""
    row = conn.execute(select(USES).where(USES.c.request_id == request_id)).first()
    if row is None:
        return None
    use = _use(row)
    before = or_(USES.c.at < use.at, and_(USES.c.at == use.at, USES.c.id <= use.id))
    rank = conn.execute(
        select(func.count())
        .select_from(USES)
        .where(USES.c.standing_id == use.standing_id, USES.c.at > use.at - HOUR, before)
    ).scalar_one()
    return Covered(get(conn, use.standing_id), use, int(rank))


def id_of_request(conn: Connection, request_id: str) -> str:
    """The standing approval that made this request, or "": read without believing its terms."""
    return str(conn.execute(select(USES.c.standing_id).where(USES.c.request_id == request_id)).scalar() or "")


def of_execution(conn: Connection, execution_id: str) -> Held | None:
    """The standing approval an execution ran under."""
    found = conn.execute(select(USES.c.standing_id).where(USES.c.execution_id == execution_id)).scalar()
    return get(conn, found) if found else None


def _use(r: Row[Any]) -> StandingUse:
    return StandingUse(
        id=r.id, standing_id=r.standing_id, standing_hash=r.standing_hash, cause_id=r.cause_id, mark=r.mark,
        request_id=r.request_id, execution_id=r.execution_id, at=utc(r.at),
    )  # fmt: skip


# --- causes ----------------------------------------------------------------------------------------------------------


def mark_of(conn: Connection, cause_id: str) -> str:
    """Which findings are open, and how often each came back: another mark is another occasion."""
    rows = conn.execute(
        select(FINDINGS.c.id, FINDINGS.c.reopened)
        .where(FINDINGS.c.cause_id == cause_id, FINDINGS.c.status.in_(_OPEN))
        .order_by(FINDINGS.c.id)
    )
    found = [[row.id, row.reopened] for row in rows]
    return digest(found)[:32] if found else ""


def candidates(conn: Connection, facts: StandingApproval, now: datetime) -> list[str]:
    """Open causes that may be meant, the most urgent first: nothing runs or waits there, and no look of the last hour
    still holds. What the scanner said narrows here; what decides is read from the resource."""
    scope = facts.scope
    running = exists().where(EXECUTIONS.c.cause_id == CAUSES.c.id, EXECUTIONS.c.state.in_(ACTIVE))
    waits = exists().where(REQUESTS.c.cause_id == CAUSES.c.id, REQUESTS.c.state == "pending")
    look = and_(LOOKS.c.standing_id == facts.id, LOOKS.c.cause_id == CAUSES.c.id)
    query = (
        select(CAUSES.c.id)
        .select_from(CAUSES.outerjoin(LOOKS, look))
        .where(CAUSES.c.playbook == facts.playbook, CAUSES.c.state == "open", CAUSES.c.open_count > 0)
        .where(~running, ~waits)
        .where(or_(LOOKS.c.at.is_(None), LOOKS.c.at <= now - HOUR, CAUSES.c.changed_at > LOOKS.c.at))
    )
    for column, wanted in (("environment", scope.environment), ("account_uid", scope.account), ("owner", scope.owner)):
        if wanted:
            query = query.where(CAUSES.c[column] == wanted)
    query = query.order_by(CAUSES.c.priority, CAUSES.c.first_seen, CAUSES.c.id).limit(_SEEN)
    return [row.id for row in conn.execute(query)]


@dataclass(frozen=True, slots=True)
class Look:
    mark: str
    at: datetime
    why: str


def looked(conn: Connection, standing_id: str, cause_id: str) -> Look | None:
    """The last look at a cause that was left to people."""
    row = conn.execute(select(LOOKS).where(LOOKS.c.standing_id == standing_id, LOOKS.c.cause_id == cause_id)).first()
    return Look(row.mark, utc(row.at), row.why) if row else None


def look(conn: Connection, standing_id: str, cause_id: str, mark: str, why: str, now: datetime) -> None:
    values = {"mark": mark, "at": now, "why": why[:500]}
    where = and_(LOOKS.c.standing_id == standing_id, LOOKS.c.cause_id == cause_id)
    if not conn.execute(update(LOOKS).where(where).values(values)).rowcount:
        conn.execute(insert(LOOKS), values | {"standing_id": standing_id, "cause_id": cause_id})


def last_execution(conn: Connection, cause_id: str) -> tuple[str, str] | None:
    """Kind and state of the latest execution of a cause; of two of one instant the undo, which takes back the other."""
    row = conn.execute(
        select(EXECUTIONS.c.kind, EXECUTIONS.c.state)
        .where(EXECUTIONS.c.cause_id == cause_id)
        .order_by(EXECUTIONS.c.created_at.desc(), EXECUTIONS.c.kind.desc(), EXECUTIONS.c.id.desc())
        .limit(1)
    ).first()
    return (row.kind, row.state) if row else None
