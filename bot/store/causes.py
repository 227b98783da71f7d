"""Causes: recounted from their findings, set-based; the card of every one that changed is queued."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, func, select, update

from bot.domain.errors import NotFound
from bot.domain.findings import OPEN_STATUSES, Status
from bot.domain.ids import IdSource, canonical
from bot.domain.triage import Ssvc

from . import posts, silences
from .outbox import OUTBOX
from .tables import CauseRow, FindingRow
from .upsert import chunks, sqlite_time, upsert

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
    owner_rule: str = ""


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


def revision(conn: Connection, cause_id: str) -> int | None:
    """Of what its card shows; None where there is no such cause."""
    return conn.execute(select(CAUSES.c.revision).where(CAUSES.c.id == cause_id)).scalar()


def get(conn: Connection, cause_id: str) -> Row[Any]:
    found = conn.execute(select(CAUSES).where(CAUSES.c.id == cause_id)).first()
    if found is None:
        raise NotFound(f"there is no cause {cause_id}", mend="Look at /gatehouse findings for what is open.")
    return found


@dataclass(slots=True)
class Counts:
    """What the findings of a cause add up to."""

    total: int = 0
    open: int = 0
    excepted: int = 0
    hidden: int = 0  # by a rule of ours, or by the source
    severity: int = 0
    priority: int = 4
    due: datetime | None = None
    resources: int = 0
    first_seen: datetime | None = None


def refresh(
    conn: Connection,
    ids: IdSource,
    now: datetime,
    cause_ids: Collection[str],
    seeds: Mapping[str, Seed] | None = None,
    fresh: Mapping[str, Mapping[str, Mapping[str, Any]]] | None = None,
) -> list[Refreshed]:
    """Recount ``cause_ids``; create those that have a seed and no row. Revision moves only where the card changes.

    ``fresh`` holds the finding rows (by cause, by id) that this transaction has just written: a cause that is not
    stored yet has no others, so it is counted from them.
    """
    changed: list[Refreshed] = []
    silences.release_urgent(conn, cause_ids, now)  # however a finding came to be P1, no rule hides it for long
    for some in chunks(sorted(cause_ids)):
        changed += _refresh(conn, ids, now, some, seeds or {}, fresh or {})
    return changed


def _refresh(
    conn: Connection,
    ids: IdSource,
    now: datetime,
    cause_ids: list[str],
    seeds: Mapping[str, Seed],
    fresh: Mapping[str, Mapping[str, Mapping[str, Any]]],
) -> list[Refreshed]:
    old = _stored(conn, cause_ids)
    wall = now if conn.dialect.name == "postgresql" else sqlite_time(now)
    counts = _count(conn, [found for found in cause_ids if found in old or found not in fresh])
    encoded: dict[tuple[str, ...], str] = {}
    rows: list[dict[str, Any]] = []
    news: list[tuple[bool, bool]] = []
    for cause_id in cause_ids:
        was, seed = old.get(cause_id), seeds.get(cause_id)
        if seed is not None and seed.channels not in encoded:
            encoded[seed.channels] = canonical(list(seed.channels)).decode()
        if was is None:
            count = counts.get(cause_id) or _count_rows(fresh.get(cause_id, {}))
            if seed is None or not count.total:
                continue
            row = _first_row(seed, count, encoded[seed.channels], now)
            is_fresh = row["state"] == "open"
        else:
            row = _next_row(was, seed, counts.get(cause_id, Counts()), encoded, wall)
            if row == was:
                continue
            row["revision"] += 1
            row["changed_at"] = now
            urgent = row["priority"] == 1 and was["priority"] > 1
            is_fresh = row["state"] == "open" and (was["state"] in {"resolved", "silenced"} or urgent)
        rows.append(row)
        news.append((was is not None, is_fresh))
    upsert(conn, CAUSES, ["id"], rows)
    where: dict[str, list[str]] = {}
    if old:
        where = posts.cause_addresses(
            conn, [row["id"] for row, (existed, _) in zip(rows, news, strict=True) if existed]
        )
        wishes = [("card", found, address, "{}") for found, addresses in where.items() for address in addresses]
        queue(conn, ids, now, wishes)
    return [
        Refreshed(
            row["id"], row["priority"], row["channels"], row["open_count"], row["state"], fresh, row["id"] in where
        )
        for row, (_, fresh) in zip(rows, news, strict=True)
    ]


def _count_rows(rows: Mapping[str, Mapping[str, Any]]) -> Counts:
    counts = Counts(total=len(rows))
    resources = set()
    for row in rows.values():
        if counts.first_seen is None or row["first_seen"] < counts.first_seen:
            counts.first_seen = row["first_seen"]
        status = row["status"]
        if status in _OPEN_SET:
            counts.open += 1
            severity = row["severity"]
            if severity != 99 and severity > counts.severity:
                counts.severity = severity
            counts.priority = min(counts.priority, row["priority"])
            if counts.due is None or row["due"] < counts.due:
                counts.due = row["due"]
            resources.add(row["resource_uid"])
        elif status == Status.EXCEPTED.value:
            counts.excepted += 1
        elif status == Status.SUPPRESSED.value:
            counts.hidden += 1
    counts.resources = len(resources)
    return counts


def _stored(conn: Connection, cause_ids: list[str]) -> dict[str, dict[str, Any]]:
    """The rows as the driver gives them: on SQLite times stay text, which goes back as it came."""
    # Locked in the order of their ids (PostgreSQL): what a person changes meanwhile waits and is not overwritten.
    if conn.dialect.name == "postgresql":
        query = f"SELECT {_NAMES} FROM causes WHERE id = ANY(%(ids)s) ORDER BY id FOR UPDATE"  # noqa: S608 own columns
        rows = conn.exec_driver_sql(query, {"ids": cause_ids})
    else:
        marks = ",".join("?" * len(cause_ids))
        query = f"SELECT {_NAMES} FROM causes WHERE id IN ({marks})"  # noqa: S608 only question marks
        rows = conn.exec_driver_sql(query, tuple(cause_ids))
    return {row[0]: dict(zip(_COLUMNS, row, strict=True)) for row in rows}


def _count(conn: Connection, cause_ids: list[str]) -> dict[str, Counts]:
    if not cause_ids:
        return {}
    if conn.dialect.name == "postgresql":
        rows = conn.exec_driver_sql(_COUNTS.format(some="= ANY(%(ids)s)"), {"ids": cause_ids})
    else:
        marks = ",".join("?" * len(cause_ids))
        rows = conn.exec_driver_sql(_COUNTS.format(some=f"IN ({marks})"), tuple(cause_ids))
    return {row[0]: Counts(*row[1:]) for row in rows}


_OPEN_SET = frozenset(OPEN)
_IS_OPEN = f"status IN ({', '.join(repr(status) for status in OPEN)})"
_COUNTS = f"""
SELECT cause_id, count(*),
       count(CASE WHEN {_IS_OPEN} THEN 1 END),
       count(CASE WHEN status = '{Status.EXCEPTED.value}' THEN 1 END),
       count(CASE WHEN status = '{Status.SUPPRESSED.value}' THEN 1 END),
       max(CASE WHEN {_IS_OPEN} THEN CASE WHEN severity = 99 THEN 0 ELSE severity END END),
       min(CASE WHEN {_IS_OPEN} THEN priority END),
       min(CASE WHEN {_IS_OPEN} THEN due END),
       count(DISTINCT CASE WHEN {_IS_OPEN} THEN resource_uid END),
       min(first_seen)
FROM findings WHERE cause_id {{some}} GROUP BY cause_id
"""  # noqa: S608 constants of ours

_COLUMNS = tuple(column.name for column in CAUSES.columns)
_NAMES = ", ".join(_COLUMNS)


def _first_row(seed: Seed, count: Counts, channels: str, now: datetime) -> dict[str, Any]:
    is_open = count.open > 0
    return {
        "id": seed.id,
        "key": seed.key,
        "title": seed.title,
        "rule_uid": seed.rule_uid,
        "source": seed.source,
        "playbook": seed.playbook,
        "provider": seed.provider,
        "account_uid": seed.account_uid,
        "account_name": seed.account_name,
        "environment": seed.environment,
        "owner": seed.owner,
        "owner_reason": seed.owner_reason,
        "owner_rule": seed.owner_rule,
        "channels": channels,
        "severity": count.severity or 0,
        "decision": DECISION_OF[count.priority].value if is_open else "",
        "priority": count.priority if is_open else 4,
        "due": count.due,
        "first_seen": count.first_seen or now,
        "open_count": count.open,
        "total_count": count.total,
        "resource_count": count.resources,
        "state": "open" if is_open else "silenced" if count.hidden else "resolved",
        "snoozed_until": None,
        "note": "",
        "revision": 0,
        "changed_at": now,
    }


def _next_row(
    was: dict[str, Any], seed: Seed | None, count: Counts, encoded: Mapping[tuple[str, ...], str], now: Any
) -> dict[str, Any]:
    row = dict(was)
    if seed is not None:
        # Settings and playbooks may have changed since; what makes the key cannot.
        row |= {"playbook": seed.playbook, "account_name": seed.account_name, "owner": seed.owner,
                "owner_reason": seed.owner_reason, "owner_rule": seed.owner_rule,
                "channels": encoded[seed.channels]}  # fmt: skip
    row |= {"open_count": count.open, "total_count": count.total}
    if count.first_seen is not None:
        row["first_seen"] = count.first_seen
    if count.open:
        # A resolved cause keeps its last priority and severity: its card still says what it was.
        row |= {"severity": count.severity, "priority": count.priority, "due": count.due,
                "decision": DECISION_OF[count.priority].value, "resource_count": count.resources}  # fmt: skip
        snoozed = row["state"] == "snoozed" and row["snoozed_until"] is not None and row["snoozed_until"] > now
        row["state"] = "snoozed" if snoozed else "open"
    else:
        row["state"] = "excepted" if count.excepted else "silenced" if count.hidden else "resolved"
    if row["state"] != "snoozed":
        row["snoozed_until"] = None
    return row


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


def set_owner(conn: Connection, cause_id: str, *, owner: str, reason: str, channels: str, rule: str = "") -> None:
    """Whose it is now. The caller raises the revision with ``outbox.refresh_cause``."""
    values = {"owner": owner, "owner_reason": reason, "channels": channels, "owner_rule": rule}
    conn.execute(update(CAUSES).where(CAUSES.c.id == cause_id).values(**values))


def snoozed_until(conn: Connection, now: datetime) -> list[str]:
    """Causes whose time is over."""
    query = select(CAUSES.c.id).where(CAUSES.c.state == "snoozed", CAUSES.c.snoozed_until <= now)
    return [str(found) for found in conn.execute(query).scalars()]
