"""What a suppression rule is about: its conditions in words, findings that fit it, how a typed rule is read."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from typing import Any

from pydantic import ValidationError
from sqlalchemy import ColumnElement, Connection, Row, func, select

from bot.domain.errors import BadInput
from bot.domain.findings import Severity
from bot.domain.silence import HiddenLine, Preview
from bot.domain.triage import Priority
from bot.intake.matching import Facts, matches
from bot.intake.windows import open_until
from bot.settings import Match, SuppressionRule
from bot.store import silences
from bot.store.silences import FINDINGS, Rule
from bot.store.tables import AccountRow, ResourceRow

RESOURCES = ResourceRow.__table__  # type: ignore[attr-defined]
ACCOUNTS = AccountRow.__table__  # type: ignore[attr-defined]
LISTED = 5
WEEK = timedelta(days=7)
_SPECIAL = re.compile(r"[*?\[]")
_COLUMNS = {"environment": FINDINGS.c.environment, "source": FINDINGS.c.source, "rule": FINDINGS.c.rule_uid,
            "provider": FINDINGS.c.provider, "resource_type": FINDINGS.c.resource_type}  # fmt: skip
_KEYS = {"env": "environment", "environment": "environment", "rule": "rule", "account": "account", "source": "source",
         "severity": "severity", "provider": "provider", "type": "resource_type"}  # fmt: skip
USAGE = (
    '/gatehouse rules new "NAME" env:dev rule:PATTERN account:ID source:NAME severity:low tag:KEY=VALUE '
    "until:14d|2026-12-31 [hours:22:00-06:00] [days:sat,sun] [tz:Europe/Berlin] [p1] reason"
)


def about(match: Match) -> str:
    """Its conditions: "environment dev; rule s3-*; tag team=web"."""
    said = [f"{name.replace('_', ' ')} {' or '.join(values)}"
            for name, values in match.model_dump().items() if name != "tags" and values]  # fmt: skip
    said += [f"tag {key}={value}" for key, value in match.tags.items()]
    return "; ".join(said)


def when(terms: SuppressionRule) -> str:
    """Its hours, days and first day in words; "" where it is always."""
    said = [", ".join(terms.days), terms.hours]
    if terms.hours or terms.days:
        said.append(terms.tz)
    if terms.starts:
        said.append(f"from {terms.starts:%Y-%m-%d}")
    return " ".join(part for part in said if part)


def window(terms: SuppressionRule, now: datetime) -> datetime | None:
    """Until when it is in its hours; None outside of them or before its first day."""
    if terms.starts is not None and now < datetime.combine(terms.starts, time(), now.tzinfo):
        return None
    return open_until(now, terms.hours, terms.days, terms.tz)


def ends(terms: SuppressionRule, now: datetime) -> datetime:
    """The instant after its last day."""
    return datetime.combine(terms.until, time(), now.tzinfo) + timedelta(days=1)


def fitting(
    conn: Connection, match: Match, statuses: Sequence[str] = tuple(silences.OPEN),
    seen: ColumnElement[bool] | None = None,
) -> Iterator[Row[Any]]:  # fmt: skip
    """Stored findings in one of ``statuses`` that ``match`` is about; of those that are ``seen``, if given."""
    query = select(FINDINGS).where(FINDINGS.c.status.in_(statuses)).order_by(FINDINGS.c.priority, FINDINGS.c.id)
    if seen is not None:
        query = query.where(seen)
    for name, column in _COLUMNS.items():
        wanted = getattr(match, name)
        if wanted and not any(_SPECIAL.search(pattern) for pattern in wanted):
            query = query.where(column.in_(wanted))  # plain words: the database narrows, `matches` decides
    tags: dict[str, dict[str, str]] = {}
    if match.tags:
        tags = {row.id: json.loads(row.labels) for row in conn.execute(select(ACCOUNTS.c.id, ACCOUNTS.c.labels))}
        query = query.outerjoin(RESOURCES, RESOURCES.c.id == FINDINGS.c.resource_id).add_columns(
            RESOURCES.c.tags.label("resource_tags")
        )
    for row in conn.execute(query):
        if matches(match, facts_of(row, tags if match.tags else {})):
            yield row


def facts_of(row: Row[Any], labels: Mapping[str, Mapping[str, str]]) -> Facts:
    """What rules look at, of a finding that is stored."""
    said = getattr(row, "resource_tags", None)
    tags = dict(labels.get(f"{row.provider}:{row.account_uid}", {})) | (json.loads(said) if said else {})
    return Facts(
        source=row.source, rule=row.rule_uid, severity=Severity(row.severity).name.lower(), account=row.account_uid,
        account_name=row.account_name, provider=row.provider, environment=row.environment,
        resource_type=row.resource_type, tags=tags,
    )  # fmt: skip


def preview(
    conn: Connection, terms: SuppressionRule, now: datetime, seen: ColumnElement[bool] | None = None
) -> Preview:
    """What it would hide of what is open now. Reads only. Findings are named only where they are ``seen``; the numbers
    are the whole effect, which is what people put their names under."""
    least = 1 if terms.include_p1 else 2
    by_priority: dict[int, int] = {}
    by_cause: dict[str, int] = {}
    urgent: list[HiddenLine] = []
    sample: list[HiddenLine] = []
    week = listed = 0

    def named(row: Row[Any]) -> None:
        nonlocal listed
        listed += 1
        kept = urgent if row.priority == 1 else sample
        if len(kept) < LISTED:
            kept.append(line_of(row))

    for row in fitting(conn, terms.match):
        by_priority[row.priority] = by_priority.get(row.priority, 0) + 1
        week += row.first_seen >= now - WEEK
        if row.priority >= least:
            by_cause[row.cause_id] = by_cause.get(row.cause_id, 0) + 1
        if seen is None:
            named(row)
    for row in fitting(conn, terms.match, seen=seen) if seen is not None else ():
        named(row)
    opened = select(func.count()).select_from(FINDINGS).where(FINDINGS.c.status.in_(silences.OPEN))
    return Preview(
        matched=sum(by_priority.values()),
        hides=sum(by_cause.values()),
        causes=_emptied(conn, by_cause),
        of_open=int(conn.execute(opened).scalar_one()),
        last_week=week,
        by_priority=tuple((Priority(priority), number) for priority, number in sorted(by_priority.items())),
        urgent=tuple(urgent),
        sample=tuple(sample),
        listed=listed,
    )


def _emptied(conn: Connection, by_cause: Mapping[str, int]) -> int:
    """Causes of which nothing open would be left."""
    query = (
        select(FINDINGS.c.cause_id, func.count().label("open"))
        .where(FINDINGS.c.status.in_(silences.OPEN))
        .group_by(FINDINGS.c.cause_id)
    )
    return sum(by_cause.get(row.cause_id) == row.open for row in conn.execute(query)) if by_cause else 0


def line_of(row: Row[Any]) -> HiddenLine:
    account = row.account_name or row.account_uid
    where = ", ".join(part for part in (account, "" if row.environment == "unknown" else row.environment) if part)
    return HiddenLine(
        id=row.id, title=row.title, resource=row.resource_name or row.resource_uid, where=where or "unknown account",
        priority=Priority(row.priority), source=row.source,
    )  # fmt: skip


class Silencer:
    """The rules in force over one page: hides a finding in the row that is about to be stored."""

    def __init__(self, found: Sequence[Rule], now: datetime) -> None:
        self._now = now
        self._rules = [
            (rule, min(until, rule.until))
            for rule in found
            if rule.in_force(now) and (until := window(rule.terms, now)) is not None
        ]
        self._open = frozenset(silences.OPEN)
        self.hidden: list[dict[str, Any]] = []
        self.by_rule: dict[str, list[str]] = {}

    @property
    def active(self) -> bool:
        return bool(self._rules)

    def consider(self, row: dict[str, Any], facts: Facts) -> None:
        """``row`` becomes suppressed where a rule is about it. P1 only by a rule that two people let hide P1."""
        if row["status"] not in self._open:
            return
        for rule, until in self._rules:
            if row["priority"] == 1 and not rule.terms.include_p1:
                continue
            if matches(rule.terms.match, facts):
                self.hidden.append(
                    {"finding_id": row["id"], "rule_id": rule.id, "priority": row["priority"], "was": row["status"],
                     "at": self._now, "until": until}
                )  # fmt: skip
                self.by_rule.setdefault(rule.id, []).append(row["id"])
                row |= {"status": "suppressed", "status_reason": rule.why, "suppressed_at": self._now,
                        "suppressed_until": None}  # fmt: skip
                return

    def finish(self, conn: Connection, written: Sequence[str]) -> None:
        """Keep what was hidden, count it, tell the ledger. ``written`` is all that the page stored."""
        silences.record(conn, written, self.hidden)
        for rule_id, found in self.by_rule.items():
            silences.told(conn, "finding.hidden", rule_id, found, "", self._now)


def read_rule(text: str, *, author: str, today: date) -> SuppressionRule:
    """A rule as typed (``USAGE``). ``BadInput`` says what is missing or wrong."""
    try:
        words = shlex.split(text.replace("“", '"').replace("”", '"'))
    except ValueError as error:
        raise BadInput("A quote is not closed.", mend=USAGE) from error
    given: dict[str, Any] = {"name": "", "author": author}
    match: dict[str, Any] = {}
    reason: list[str] = []
    for word in words:
        key, found, value = word.partition(":")
        if found and value and not reason and key in _KEYS:
            match[_KEYS[key]] = (*match.get(_KEYS[key], ()), *value.split(","))
        elif found and value and not reason and key == "tag":
            name, _, pattern = value.partition("=")
            match["tags"] = match.get("tags", {}) | {name: pattern or "*"}
        elif found and value and not reason and key in {"until", "starts"}:
            given[key] = _day(value, today)
        elif found and value and not reason and key in {"hours", "tz"}:
            given[key] = value
        elif found and value and not reason and key == "days":
            given["days"] = tuple(value.lower().split(","))
        elif word.lower() == "p1" and not reason:
            given["include_p1"] = True
        elif not given["name"]:
            given["name"] = word
        else:
            reason.append(word)
    if "until" not in given:
        raise BadInput("Until when?", mend=f"A rule ends: until:14d or until:{today + timedelta(days=30)}. {USAGE}")
    return made_rule(given | {"match": match, "reason": " ".join(reason)})


def made_rule(given: Mapping[str, Any]) -> SuppressionRule:
    """Checked; ``BadInput`` names the field that is wrong."""
    try:
        return SuppressionRule.model_validate(given)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "rule"
        raise BadInput(f"{place}: {first['msg'].removeprefix('Value error, ')}.", mend=USAGE) from error


def _day(value: str, today: date) -> date:
    if found := re.fullmatch(r"(\d{1,3})d", value):
        return today + timedelta(days=int(found[1]))
    try:
        return date.fromisoformat(value)
    except ValueError as error:
        raise BadInput(f"{value[:20]} is no date.", mend="Write 14d or 2026-12-31.") from error
