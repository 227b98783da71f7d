"""Suppression rules and what they hide. What a rule may do to P1 is decided here, for every way into the store.

The promise: a P1 finding is hidden only by a rule that says so under the names of two people. ``release_urgent`` holds
it in every transaction that recounts a cause, however the finding came to be P1.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, delete, exists, func, select, true, update

from bot.domain.errors import NotFound
from bot.domain.findings import Status
from bot.domain.ids import canonical, digest
from bot.settings import SuppressionRule

from . import ledger
from .tables import FindingRow
from .tables_attention import SilenceRow, SuppressionNameRow, SuppressionRuleRow
from .upsert import chunks, upsert

RULES = SuppressionRuleRow.__table__  # type: ignore[attr-defined]
NAMES = SuppressionNameRow.__table__  # type: ignore[attr-defined]
SILENCES = SilenceRow.__table__  # type: ignore[attr-defined]
FINDINGS = FindingRow.__table__  # type: ignore[attr-defined]
URGENT_NAMES = 2
NO_LONGER = "no longer hidden: "
OPEN = sorted(status.value for status in Status if status.is_open)
_KEPT = 1_000  # ids in one ledger record


@dataclass(frozen=True, slots=True)
class Name:
    principal_id: str
    name: str
    hash: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Rule:
    """A stored rule. ``intact``: the terms are those that the names stand under."""

    id: str
    origin: str
    terms: SuppressionRule
    hash: str
    author: str
    state: str
    state_why: str
    created_at: datetime
    until: datetime
    names: tuple[Name, ...]
    intact: bool

    @property
    def quorum(self) -> int:
        return URGENT_NAMES if self.terms.include_p1 else 1

    @property
    def signed(self) -> bool:
        """As many people as it takes put their names under just these terms."""
        return self.intact and len({n.principal_id for n in self.names if n.hash == self.hash}) >= self.quorum

    def in_force(self, now: datetime) -> bool:
        return self.state == "active" and self.signed and now < self.until

    @property
    def why(self) -> str:
        """What stands on a finding it hides: whose word it is and until when."""
        by = " and ".join(n.name for n in self.names)
        return f"hidden by the rule “{self.terms.name}” of {by} until {self.until:%Y-%m-%d}: {self.terms.reason}"[:500]


def terms_text(terms: SuppressionRule) -> str:
    return canonical(terms.model_dump(mode="json")).decode()


def terms_hash(terms: SuppressionRule) -> str:
    return digest(terms.model_dump(mode="json"))


def rules(conn: Connection, states: Collection[str] = ("monitor", "active")) -> list[Rule]:
    """Oldest first."""
    rows = conn.execute(
        select(RULES).where(RULES.c.state.in_(list(states))).order_by(RULES.c.created_at, RULES.c.id)
    ).all()
    if not rows:
        return []
    names: dict[str, list[Name]] = {}
    query = (
        select(NAMES).where(NAMES.c.rule_id.in_([row.id for row in rows])).order_by(NAMES.c.at, NAMES.c.principal_id)
    )
    for row in conn.execute(query):
        names.setdefault(row.rule_id, []).append(Name(row.principal_id, row.name, row.hash, row.at))
    return [_rule(row, names.get(row.id, [])) for row in rows]


def get(conn: Connection, rule_id: str) -> Rule:
    row = conn.execute(select(RULES).where(RULES.c.id == rule_id)).first()
    if row is None:
        raise NotFound(f"there is no suppression rule {rule_id[:60]}", mend="/gatehouse rules lists them.")
    query = select(NAMES).where(NAMES.c.rule_id == rule_id).order_by(NAMES.c.at, NAMES.c.principal_id)
    return _rule(row, [Name(r.principal_id, r.name, r.hash, r.at) for r in conn.execute(query)])


def _rule(row: Row[Any], names: Sequence[Name]) -> Rule:
    terms = SuppressionRule.model_validate_json(row.terms)
    return Rule(
        id=row.id, origin=row.origin, terms=terms, hash=row.hash, author=row.author, state=row.state,
        state_why=row.state_why, created_at=row.created_at, until=row.until, names=tuple(names),
        intact=terms_hash(terms) == row.hash,
    )  # fmt: skip


def add(
    conn: Connection, *, rule_id: str, origin: str, terms: SuppressionRule, author: str, until: datetime, now: datetime
) -> None:
    values = {
        "id": rule_id, "name": terms.name, "origin": origin, "terms": terms_text(terms), "hash": terms_hash(terms),
        "author": author, "state": "monitor", "state_by": "", "state_why": "", "created_at": now, "changed_at": now,
        "until": until,
    }  # fmt: skip
    upsert(conn, RULES, ["id"], [values])
    conn.execute(delete(NAMES).where(NAMES.c.rule_id == rule_id))


def sign(
    conn: Connection, rule_id: str, *, principal_id: str, name: str, hash: str, identity: str, now: datetime
) -> None:
    row = {
        "rule_id": rule_id,
        "principal_id": principal_id,
        "name": name,
        "hash": hash,
        "identity": identity,
        "at": now,
    }
    upsert(conn, NAMES, ["rule_id", "principal_id"], [row])


def set_state(conn: Connection, rule_id: str, state: str, *, by: str, why: str, now: datetime) -> None:
    values = {"state": state, "state_by": by, "state_why": why[:500], "changed_at": now}
    conn.execute(update(RULES).where(RULES.c.id == rule_id).values(values))


# --- what is hidden --------------------------------------------------------------------------------------------------


def any_hidden(conn: Connection) -> bool:
    return bool(conn.execute(select(exists().select_from(SILENCES))).scalar())


def hidden_by(conn: Connection, rule_id: str = "", seen: ColumnElement[bool] | None = None) -> tuple[int, int]:
    """Findings a rule hides now (or any) of those that are ``seen``, and how many of them are P1."""
    row = conn.execute(
        select(func.count(), func.count().filter(FINDINGS.c.priority == 1))
        .select_from(SILENCES.join(FINDINGS, FINDINGS.c.id == SILENCES.c.finding_id))
        .where(SILENCES.c.rule_id == rule_id if rule_id else true(), true() if seen is None else seen)
    ).one()
    return int(row[0]), int(row[1])


def record(conn: Connection, written: Collection[str], hidden: Sequence[Mapping[str, Any]]) -> None:
    """A page was stored: of what it wrote just ``hidden`` is hidden by rules of ours."""
    if written and any_hidden(conn):
        for some in chunks(written):
            conn.execute(delete(SILENCES).where(SILENCES.c.finding_id.in_(some)))
    upsert(conn, SILENCES, ["finding_id"], hidden)


def hide(conn: Connection, rule: Rule, finding_ids: Collection[str], until: datetime, now: datetime) -> set[str]:
    """Hide open findings; P1 only where the rule may. Returns the causes to refresh."""
    least = 1 if rule.terms.include_p1 and rule.signed else 2
    touched: set[str] = set()
    done: list[str] = []
    for some in chunks(finding_ids):
        rows = conn.execute(
            select(FINDINGS.c.id, FINDINGS.c.status, FINDINGS.c.priority, FINDINGS.c.cause_id).where(
                FINDINGS.c.id.in_(some), FINDINGS.c.status.in_(OPEN), FINDINGS.c.priority >= least
            )
        ).all()
        if not rows:
            continue
        upsert(conn, SILENCES, ["finding_id"], [
            {"finding_id": r.id, "rule_id": rule.id, "priority": r.priority, "was": r.status, "at": now, "until": until}
            for r in rows
        ])  # fmt: skip
        conn.execute(
            update(FINDINGS)
            .where(FINDINGS.c.id.in_([r.id for r in rows]))
            .values(status=Status.SUPPRESSED.value, status_reason=rule.why, suppressed_at=now, changed_at=now)
        )
        touched |= {r.cause_id for r in rows}
        done += [r.id for r in rows]
    told(conn, "finding.hidden", rule.id, done, "", now)
    return touched


def release(conn: Connection, where: Any, why: str, now: datetime) -> set[str]:
    """Bring back what is hidden and fits ``where`` (over silences and findings). Returns the causes to refresh."""
    rows = conn.execute(
        select(SILENCES.c.finding_id, SILENCES.c.rule_id, SILENCES.c.was, FINDINGS.c.cause_id, FINDINGS.c.status)
        .select_from(SILENCES.outerjoin(FINDINGS, FINDINGS.c.id == SILENCES.c.finding_id))
        .where(where)
        .order_by(SILENCES.c.finding_id)
    ).all()
    by_rule: dict[str, list[str]] = {}
    for row in rows:
        if row.status == Status.SUPPRESSED.value:
            by_rule.setdefault(row.rule_id, []).append(row.finding_id)
    back = {row.finding_id: row for row in rows if row.status == Status.SUPPRESSED.value}
    for status in {row.was for row in back.values()}:
        for some in chunks([found for found, row in back.items() if row.was == status]):
            conn.execute(
                update(FINDINGS)
                .where(FINDINGS.c.id.in_(some))
                .values(status=status, status_reason=f"{NO_LONGER}{why}"[:500], suppressed_at=None, changed_at=now)
            )
    for some in chunks([row.finding_id for row in rows]):
        conn.execute(delete(SILENCES).where(SILENCES.c.finding_id.in_(some)))
    for rule_id, found in by_rule.items():
        told(conn, "finding.shown_again", rule_id, found, why, now)
    return {row.cause_id for row in back.values()}


def release_urgent(conn: Connection, cause_ids: Collection[str], now: datetime) -> set[str]:
    """P1 that no two people agreed to hide are open again. Called wherever causes are recounted."""
    if not any_hidden(conn):
        return set()
    allowed = [rule.id for rule in rules(conn, ("active",)) if rule.terms.include_p1 and rule.signed]
    touched: set[str] = set()
    for some in chunks(cause_ids):
        touched |= release(
            conn,
            and_(FINDINGS.c.cause_id.in_(some), FINDINGS.c.priority == 1, SILENCES.c.rule_id.not_in(allowed)),
            "it is P1 now",
            now,
        )
    return touched


def told(conn: Connection, kind: str, rule_id: str, found: Sequence[str], why: str, now: datetime) -> None:
    """Which findings a rule hid or showed again, in the ledger."""
    for start in range(0, len(found), _KEPT):
        some = found[start : start + _KEPT]
        body = {"findings": list(some), "count": len(some)} | ({"why": why} if why else {})
        ledger.append(conn, kind=kind, subject=rule_id, actor="gatehouse", body=body, now=now)
