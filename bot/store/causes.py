"""Causes: recounted from their findings, set-based; the card of every one that changed is queued."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, case, distinct, func, select, update

from bot.domain.errors import NotFound
from bot.domain.findings import OPEN_STATUSES, Status
from bot.domain.ids import IdSource, canonical
from bot.domain.triage import Ssvc

from . import posts
from .outbox import OUTBOX
from .tables import CauseRow, FindingRow
from .upsert import chunks, upsert

CAUSES = CauseRow.__table__  # type: ignore[attr-defined]
FINDINGS = FindingRow.__table__  # type: ignore[attr-defined]
OPEN = sorted(status.value for status in OPEN_STATUSES)
DECISION_OF = {1: Ssvc.ACT, 2: Ssvc.ATTEND, 3: Ssvc.TRACK_STAR, 4: Ssvc.TRACK}


@dataclass(frozen=True, slots=True)
class Seed:
    """What a cause is, from the finding that belongs to it; the counts come from the store."""

    id: str
    key: str
    title: str
    rule_uid: str
    source: str
    playbook: str
    provider: str
    account_uid: str
    account_name: str
    environment: str
    owner: str
    owner_reason: str
    channels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Refreshed:
    """A cause whose card changed. ``fresh``: it is open now and was not before, or became P1."""

    id: str
    priority: int
    channels: str
    open_count: int
    state: str
    fresh: bool
    posted: bool


def get(conn: Connection, cause_id: str) -> Row[Any]:
    found = conn.execute(select(CAUSES).where(CAUSES.c.id == cause_id)).first()
    if found is None:
        raise NotFound(f"there is no cause {cause_id}", mend="Look at /gatehouse findings for what is open.")
    return found


def refresh(
    conn: Connection, ids: IdSource, now: datetime, cause_ids: Collection[str], seeds: Mapping[str, Seed] | None = None
) -> list[Refreshed]:
    """Recount ``cause_ids``; create those that have a seed and no row. Revision moves only where the card changes."""
    seeds = seeds or {}
    changed: list[Refreshed] = []
    for some in chunks(sorted(cause_ids)):
        changed += _refresh(conn, ids, now, some, seeds)
    return changed


def _refresh(
    conn: Connection, ids: IdSource, now: datetime, cause_ids: list[str], seeds: Mapping[str, Seed]
) -> list[Refreshed]:
    old = {row.id: row for row in conn.execute(select(CAUSES).where(CAUSES.c.id.in_(cause_ids)))}
    counts = {row.cause_id: row for row in conn.execute(_COUNTS, {"causes": cause_ids})}
    rows: list[dict[str, Any]] = []
    news: list[tuple[str, bool, bool]] = []
    for cause_id in cause_ids:
        was, seed, count = old.get(cause_id), seeds.get(cause_id), counts.get(cause_id)
        if was is None and (seed is None or count is None):
            continue
        row = _row(was, seed, count, now)
        if was is not None and all(getattr(was, name) == row[name] for name in _SHOWN):
            continue
        row |= {"revision": was.revision + 1 if was is not None else 0, "changed_at": now}
        is_open = row["state"] == "open"
        fresh = is_open and (was is None or was.state == "resolved" or (row["priority"] == 1 and was.priority > 1))
        rows.append(row)
        news.append((cause_id, was is not None, fresh))
    upsert(conn, CAUSES, ["id"], rows)
    where = posts.cause_addresses(conn, [cause_id for cause_id, existed, _ in news if existed])
    _queue_cards(conn, ids, now, where)
    return [
        Refreshed(cause_id, row["priority"], row["channels"], row["open_count"], row["state"], fresh, cause_id in where)
        for (cause_id, _, fresh), row in zip(news, rows, strict=True)
    ]


_IS_OPEN = FINDINGS.c.status.in_(OPEN)


def _counts_query() -> Any:
    def of_open(column: Any) -> Any:
        return case((_IS_OPEN, column))

    return (
        select(
            FINDINGS.c.cause_id,
            func.count().label("total"),
            func.count(of_open(1)).label("open"),
            func.sum(case((FINDINGS.c.status == Status.EXCEPTED.value, 1), else_=0)).label("excepted"),
            func.max(of_open(case((FINDINGS.c.severity == 99, 0), else_=FINDINGS.c.severity))).label("severity"),
            func.min(of_open(FINDINGS.c.priority)).label("priority"),
            func.min(of_open(FINDINGS.c.due)).label("due"),
            func.count(distinct(of_open(FINDINGS.c.resource_uid))).label("resources"),
            func.min(FINDINGS.c.first_seen).label("first_seen"),
        )
        .where(FINDINGS.c.cause_id.in_(bindparam("causes", expanding=True)))
        .group_by(FINDINGS.c.cause_id)
    )


_COUNTS = _counts_query()

_COLUMNS = tuple(column.name for column in CAUSES.columns)
_SHOWN = tuple(name for name in _COLUMNS if name not in {"revision", "changed_at"})


def _row(was: Row[Any] | None, seed: Seed | None, count: Row[Any] | None, now: datetime) -> dict[str, Any]:
    row: dict[str, Any] = (
        dict(was._mapping)
        if was is not None
        else {"severity": 0, "decision": "", "priority": 4, "due": None, "first_seen": now, "snoozed_until": None,
              "note": "", "state": "open", "resource_count": 0}
    )  # fmt: skip
    if seed is not None:
        if was is None:
            row |= {"id": seed.id, "key": seed.key, "title": seed.title, "rule_uid": seed.rule_uid,
                    "source": seed.source, "provider": seed.provider, "account_uid": seed.account_uid,
                    "environment": seed.environment}  # fmt: skip
        # Settings and playbooks may have changed since; what makes the key cannot.
        row |= {"playbook": seed.playbook, "account_name": seed.account_name, "owner": seed.owner,
                "owner_reason": seed.owner_reason, "channels": canonical(list(seed.channels)).decode()}  # fmt: skip
    is_open = count.open if count is not None else 0
    row |= {"open_count": is_open, "total_count": count.total if count is not None else 0}
    if count is not None:
        row["first_seen"] = count.first_seen
    if is_open and count is not None:
        # A resolved cause keeps its last priority and severity: its card still says what it was.
        row |= {"severity": count.severity, "priority": count.priority, "due": count.due,
                "decision": DECISION_OF[count.priority].value, "resource_count": count.resources}  # fmt: skip
    if is_open:
        snoozed = row["state"] == "snoozed" and row["snoozed_until"] is not None and row["snoozed_until"] > now
        row["state"] = "snoozed" if snoozed else "open"
    else:
        row["state"] = "excepted" if count is not None and count.excepted else "resolved"
    if row["state"] != "snoozed":
        row["snoozed_until"] = None
    return {name: row[name] for name in _COLUMNS if name not in {"revision", "changed_at"}}


def _queue_cards(conn: Connection, ids: IdSource, now: datetime, where: Mapping[str, list[str]]) -> None:
    wishes = [("card", cause_id, address, "{}") for cause_id, addresses in where.items() for address in addresses]
    queue(conn, ids, now, wishes)


def queue(conn: Connection, ids: IdSource, now: datetime, wishes: Collection[tuple[str, str, str, str]]) -> None:
    """Queue many messages (kind, subject, address, payload) at once; what already waits is left as it is."""
    if not wishes:
        return
    seq = conn.execute(select(func.coalesce(func.max(OUTBOX.c.seq), 0))).scalar_one()
    rows = []
    for number, (kind, subject, address, payload) in enumerate(wishes, seq + 1):
        platform, _, channel = address.partition(":")
        rows.append(
            {"id": ids.new("out"), "seq": number, "platform": platform, "channel": channel, "kind": kind,
             "subject": subject, "payload": payload, "dedupe": f"{kind}:{subject}:{address}", "state": "queued",
             "attempts": 0, "not_before": now, "leased_by": "", "created_at": now, "error": ""}
        )  # fmt: skip
    upsert(conn, OUTBOX, ["id"], rows, change=[])


def set_state(conn: Connection, cause_id: str, *, state: str, note: str, snoozed_until: datetime | None = None) -> None:
    """What a person decided. The caller raises the revision with ``outbox.refresh_cause``."""
    values = {"state": state, "note": note[:500], "snoozed_until": snoozed_until}
    conn.execute(update(CAUSES).where(CAUSES.c.id == cause_id).values(**values))


def set_owner(conn: Connection, cause_id: str, *, owner: str, reason: str, channels: str) -> None:
    """Whose it is now. The caller raises the revision with ``outbox.refresh_cause``."""
    values = {"owner": owner, "owner_reason": reason, "channels": channels}
    conn.execute(update(CAUSES).where(CAUSES.c.id == cause_id).values(**values))


def snoozed_until(conn: Connection, now: datetime) -> list[str]:
    """Causes whose time is over."""
    query = select(CAUSES.c.id).where(CAUSES.c.state == "snoozed", CAUSES.c.snoozed_until <= now)
    return [str(found) for found in conn.execute(query).scalars()]
