"""Causes that people split or merged: remembered, and applied to every report that comes later."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, select, update

from bot.domain.ids import short_hash

from .causes import CAUSES, FINDINGS, Seed
from .outbox import addresses
from .tables_attention import CauseMoveRow
from .upsert import chunks, upsert

MOVES = CauseMoveRow.__table__  # type: ignore[attr-defined]
APART = "split:"
_MOST = 20  # merges that follow each other; more would be a circle


@dataclass(slots=True)
class Moved:
    """What people said, as a page needs it."""

    merged: dict[str, str] = field(default_factory=dict)  # key of a cause -> key of the one it is part of
    split: dict[str, str] = field(default_factory=dict)  # id of a finding -> key of its own cause
    targets: dict[str, Seed] = field(default_factory=dict)  # key -> the cause that others are part of

    def __bool__(self) -> bool:
        return bool(self.merged or self.split)

    def of(self, finding_id: str, seed: Seed) -> Seed:
        """The cause that a finding belongs to, where the rules say ``seed``."""
        own = self.split.get(finding_id)
        if own is not None:
            seed = replace(seed, id=cause_id(own), key=own)
        return self.targets.get(self.end(seed.key), seed) if seed.key in self.merged else seed

    def end(self, key: str) -> str:
        for _ in range(_MOST):
            if key not in self.merged:
                break
            key = self.merged[key]
        return key


def cause_id(key: str) -> str:
    return short_hash(key, prefix="c-")


def load(conn: Connection) -> Moved:
    found = Moved()
    for row in conn.execute(select(MOVES)):
        (found.merged if row.kind == "merge" else found.split)[row.subject] = row.to_key
    if found.merged:
        for some in chunks({found.end(key) for key in found.merged}):
            for row in conn.execute(select(CAUSES).where(CAUSES.c.key.in_(some))):
                found.targets[row.key] = seed_of(row)
    return found


def seed_of(row: Row[Any]) -> Seed:
    return Seed(
        id=row.id, key=row.key, title=row.title, rule_uid=row.rule_uid, source=row.source, playbook=row.playbook,
        provider=row.provider, account_uid=row.account_uid, account_name=row.account_name,
        environment=row.environment, owner=row.owner, owner_reason=row.owner_reason,
        channels=tuple(addresses(row.channels)), owner_rule=row.owner_rule,
    )  # fmt: skip


def merge(conn: Connection, from_key: str, to_key: str, *, by: str, reason: str, now: datetime) -> None:
    _put(conn, "merge", from_key, from_key, to_key, by, reason, now)


def split(
    conn: Connection, finding_ids: Collection[str], cause_key: str, *, by: str, reason: str, now: datetime
) -> str:
    """The findings become a cause of their own. Its key."""
    own = short_hash(cause_key, *sorted(finding_ids), prefix=APART)
    for found in finding_ids:
        _put(conn, "split", found, cause_key, own, by, reason, now)
    return own


def _put(
    conn: Connection, kind: str, subject: str, from_key: str, to_key: str, by: str, reason: str, now: datetime
) -> None:
    row = {"subject": subject, "kind": kind, "from_key": from_key, "to_key": to_key, "by": by, "reason": reason[:500],
           "at": now}  # fmt: skip
    upsert(conn, MOVES, ["subject"], [row])


def forget(conn: Connection, cause_key: str) -> list[str]:
    """Take back every move that led to or from ``cause_key``. What was forgotten, by subject."""
    where = (MOVES.c.to_key == cause_key) | (MOVES.c.subject == cause_key)
    found = [str(subject) for subject in conn.execute(select(MOVES.c.subject).where(where)).scalars()]
    conn.execute(delete(MOVES).where(where))
    return found


def leading_to(conn: Connection, cause_key: str) -> list[Row[Any]]:
    """The moves that made the cause what it is."""
    return list(conn.execute(select(MOVES).where(MOVES.c.to_key == cause_key).order_by(MOVES.c.at, MOVES.c.subject)))


def move_findings(conn: Connection, finding_ids: Collection[str], to_cause: str, owner: str, now: datetime) -> int:
    count = 0
    for some in chunks(finding_ids):
        done = conn.execute(
            update(FINDINGS).where(FINDINGS.c.id.in_(some)).values(cause_id=to_cause, owner=owner, changed_at=now)
        )
        count += done.rowcount
    return count
