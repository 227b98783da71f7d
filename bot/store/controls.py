"""Freezes, delegations and broken glass: the rows, one plain function each."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from bot.domain.plans import Plan
from bot.domain.principals import PlatformIdentity

from .plans import as_text, utc
from .tables import BreakGlassRow, DelegationRow, FreezeRow

FREEZES = FreezeRow.__table__  # type: ignore[attr-defined]
DELEGATIONS = DelegationRow.__table__  # type: ignore[attr-defined]
BREAK_GLASS = BreakGlassRow.__table__  # type: ignore[attr-defined]


# --- freezes ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Freeze:
    id: str
    kind: str  # all | env | account
    value: str
    by: str
    reason: str
    at: datetime

    @property
    def scope(self) -> str:
        return "everything" if self.kind == "all" else f"{self.kind}:{self.value}"

    @property
    def said(self) -> str:
        return f"changes are frozen ({self.scope}) by {self.by}: {self.reason}"


def freezes(conn: Connection) -> list[Freeze]:
    rows = conn.execute(select(FREEZES).where(FREEZES.c.ended_at.is_(None)).order_by(FREEZES.c.at, FREEZES.c.id))
    return [Freeze(r.id, r.kind, r.value, r.by, r.reason, utc(r.at)) for r in rows]


def freeze_of(conn: Connection, plan: Plan) -> Freeze | None:
    """A freeze in force over any part of the plan. One row read, no cache: it holds from its commit on."""
    environments = {plan.environment, *(target.environment for target in plan.targets)}
    for each in freezes(conn):
        held = {"all": True, "env": each.value in environments, "account": each.value in plan.account_ids}
        if held.get(each.kind, True):  # a kind we do not know freezes, too
            return each
    return None


def add_freeze(conn: Connection, freeze: Freeze) -> None:
    conn.execute(
        insert(FREEZES),
        {"id": freeze.id, "kind": freeze.kind, "value": freeze.value, "by": freeze.by, "reason": freeze.reason,
         "at": freeze.at, "ended_by": ""},
    )  # fmt: skip


def end_freezes(conn: Connection, kind: str, value: str, by: str, now: datetime) -> int:
    changed = conn.execute(
        update(FREEZES)
        .where(FREEZES.c.kind == kind, FREEZES.c.value == value, FREEZES.c.ended_at.is_(None))
        .values(ended_at=now, ended_by=by)
    )
    return int(changed.rowcount)


# --- delegations -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Delegation:
    id: str
    from_id: str
    from_identity: PlatformIdentity
    to_id: str
    playbooks: tuple[str, ...]
    environments: tuple[str, ...]
    accounts: tuple[str, ...]
    reason: str
    at: datetime
    until: datetime
    ended_at: datetime | None = None

    def covers(self, plan: Plan) -> bool:
        """Every account and environment of the plan lies in the scope: nothing is reached through another one."""
        environments = {plan.environment, *(target.environment for target in plan.targets)}
        return (
            _all_in((plan.playbook,), self.playbooks)
            and _all_in(environments, self.environments)
            and _all_in(plan.account_ids, self.accounts)
        )

    @property
    def scope(self) -> str:
        parts = [f"playbook:{p}" for p in self.playbooks] + [f"env:{e}" for e in self.environments]
        return " ".join([*parts, *(f"account:{a}" for a in self.accounts)]) or "everything"


def _all_in(values: set[str] | tuple[str, ...], patterns: tuple[str, ...]) -> bool:
    return not patterns or all(any(fnmatchcase(value, pattern) for pattern in patterns) for value in values)


def delegations(
    conn: Connection, *, to_id: str | None = None, from_id: str | None = None, now: datetime
) -> list[Delegation]:
    """Those in force now, to or from a person."""
    query = select(DELEGATIONS).where(
        DELEGATIONS.c.at <= now, DELEGATIONS.c.until > now, DELEGATIONS.c.ended_at.is_(None)
    )
    if to_id is not None:
        query = query.where(DELEGATIONS.c.to_id == to_id)
    if from_id is not None:
        query = query.where(DELEGATIONS.c.from_id == from_id)
    return [_delegation(row) for row in conn.execute(query.order_by(DELEGATIONS.c.at, DELEGATIONS.c.id))]


def delegation(conn: Connection, delegation_id: str) -> Delegation | None:
    row = conn.execute(select(DELEGATIONS).where(DELEGATIONS.c.id == delegation_id)).first()
    return _delegation(row) if row else None


def _delegation(r: Row[Any]) -> Delegation:
    return Delegation(
        id=r.id, from_id=r.from_id, from_identity=PlatformIdentity.model_validate_json(r.from_identity),
        to_id=r.to_id, playbooks=tuple(json.loads(r.playbooks)), environments=tuple(json.loads(r.environments)),
        accounts=tuple(json.loads(r.accounts)), reason=r.reason, at=utc(r.at), until=utc(r.until),
        ended_at=utc(r.ended_at) if r.ended_at else None,
    )  # fmt: skip


def add_delegation(conn: Connection, made: Delegation) -> None:
    conn.execute(
        insert(DELEGATIONS),
        {"id": made.id, "from_id": made.from_id, "to_id": made.to_id, "reason": made.reason, "at": made.at,
         "from_identity": as_text(made.from_identity.model_dump(mode="json")), "until": made.until,
         "playbooks": as_text(list(made.playbooks)), "environments": as_text(list(made.environments)),
         "accounts": as_text(list(made.accounts))},
    )  # fmt: skip


def end_delegations(conn: Connection, from_id: str, to_id: str, now: datetime) -> int:
    changed = conn.execute(
        update(DELEGATIONS)
        .where(DELEGATIONS.c.from_id == from_id, DELEGATIONS.c.to_id == to_id)
        .where(DELEGATIONS.c.ended_at.is_(None), DELEGATIONS.c.until > now)
        .values(ended_at=now)
    )
    return int(changed.rowcount)


def end_delegation(conn: Connection, delegation_id: str, now: datetime) -> bool:
    """Whether it was in force until now."""
    changed = conn.execute(
        update(DELEGATIONS)
        .where(DELEGATIONS.c.id == delegation_id)
        .where(DELEGATIONS.c.ended_at.is_(None), DELEGATIONS.c.until > now)
        .values(ended_at=now)
    )
    return bool(changed.rowcount)


# --- broken glass ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class BrokenGlass:
    id: str
    request_id: str
    cause_id: str
    by: str
    identity: PlatformIdentity
    reason: str
    at: datetime
    until: datetime
    asked_at: datetime
    reviewed_by: str
    reviewed_at: datetime | None
    review: str = ""  # "justified: …" or "not justified: …"


def add_glass(conn: Connection, made: BrokenGlass) -> None:
    conn.execute(
        insert(BREAK_GLASS),
        {"id": made.id, "request_id": made.request_id, "cause_id": made.cause_id, "by": made.by, "reason": made.reason,
         "identity": as_text(made.identity.model_dump(mode="json")), "at": made.at, "until": made.until,
         "asked_at": made.asked_at, "reviewed_by": "", "review": ""},
    )  # fmt: skip


def glass_of(conn: Connection, request_id: str) -> BrokenGlass | None:
    row = conn.execute(select(BREAK_GLASS).where(BREAK_GLASS.c.request_id == request_id)).first()
    return _glass(row) if row else None


def glass_of_requests(conn: Connection, request_ids: Collection[str]) -> list[BrokenGlass]:
    rows = conn.execute(select(BREAK_GLASS).where(BREAK_GLASS.c.request_id.in_(request_ids)))
    return [_glass(row) for row in rows]


def glass(conn: Connection, glass_id: str, *, lock: bool = False) -> BrokenGlass | None:
    query = select(BREAK_GLASS).where(BREAK_GLASS.c.id == glass_id)
    row = conn.execute(query.with_for_update() if lock and conn.dialect.name == "postgresql" else query).first()
    return _glass(row) if row else None


def open_reviews(conn: Connection) -> list[BrokenGlass]:
    rows = conn.execute(select(BREAK_GLASS).where(BREAK_GLASS.c.reviewed_at.is_(None)).order_by(BREAK_GLASS.c.at))
    return [_glass(row) for row in rows]


def _glass(r: Row[Any]) -> BrokenGlass:
    return BrokenGlass(
        id=r.id, request_id=r.request_id, cause_id=r.cause_id, by=r.by, reason=r.reason, at=utc(r.at),
        identity=PlatformIdentity.model_validate_json(r.identity), until=utc(r.until), asked_at=utc(r.asked_at),
        reviewed_by=r.reviewed_by, reviewed_at=utc(r.reviewed_at) if r.reviewed_at else None, review=r.review,
    )  # fmt: skip


def asked_again(conn: Connection, glass_id: str, before: datetime, now: datetime) -> bool:
    """Note that its review was asked for; False when somebody else noted it since ``before``."""
    changed = conn.execute(
        update(BREAK_GLASS)
        .where(BREAK_GLASS.c.id == glass_id, BREAK_GLASS.c.asked_at == before, BREAK_GLASS.c.reviewed_at.is_(None))
        .values(asked_at=now)
    )
    return bool(changed.rowcount)


def reviewed(conn: Connection, glass_id: str, by: str, words: str, now: datetime) -> bool:
    changed = conn.execute(
        update(BREAK_GLASS)
        .where(BREAK_GLASS.c.id == glass_id, BREAK_GLASS.c.reviewed_at.is_(None))
        .values(reviewed_by=by, reviewed_at=now, review=words)
    )
    return bool(changed.rowcount)
