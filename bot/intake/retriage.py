"""Judge again what is stored, because others say something new of its CVEs: only what that changes is written."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, select, update

from bot.domain.findings import OPEN_STATUSES, Environment, Finding, Status
from bot.domain.ids import IdSource
from bot.domain.triage import Intel, Verdict
from bot.intake import announce
from bot.intake.matching import Facts, environment_of
from bot.settings import Settings
from bot.store import causes, findings, intel, ledger, outbox
from bot.store.upsert import chunks
from bot.triage.rules import Judgement, Rules

FINDINGS, OBSERVATIONS = findings.FINDINGS, findings.OBSERVATIONS
_ROWS = (
    select(
        FINDINGS.c.id, FINDINGS.c.content, FINDINGS.c.status, FINDINGS.c.environment, FINDINGS.c.priority,
        FINDINGS.c.due, FINDINGS.c.cause_id, FINDINGS.c.kev, FINDINGS.c.epss, FINDINGS.c.cvss,
        FINDINGS.c.resource_uid, FINDINGS.c.internet_exposed, OBSERVATIONS.c.doc, OBSERVATIONS.c.verdict,
    )
    .join(OBSERVATIONS, (OBSERVATIONS.c.finding_id == FINDINGS.c.id) & (OBSERVATIONS.c.content == FINDINGS.c.content))
    .where(FINDINGS.c.id.in_(bindparam("ids", expanding=True)))
)  # fmt: skip


@dataclass(slots=True)
class Retriaged:
    """What judging again did. ``raised``: cause -> why it is more urgent now."""

    looked_at: int = 0
    changed: int = 0
    raised: dict[str, str] = field(default_factory=dict)
    causes: set[str] = field(default_factory=set)


def retriage(
    conn: Connection,
    settings: Settings,
    rules: Rules,
    ids: IdSource,
    now: datetime,
    finding_ids: Collection[str],
    *,
    news: Mapping[str, str],
    why: str,
) -> Retriaged:
    """Judge ``finding_ids`` again. ``news``: CVE (or resource uid) -> what is new, in words ("added to KEV on …").

    Due dates only ever move when the priority does; one that was promised stays. Cards are refreshed with the reason.
    """
    done = Retriaged()
    moved: list[tuple[str, int, int]] = []
    for some in chunks(finding_ids):
        _judge_again(conn, settings, rules, now, conn.execute(_ROWS, {"ids": some}).all(), news, done, moved)
    if not done.changed:
        return done
    changed = causes.refresh(conn, ids, now, done.causes)
    for cause_id, said in sorted(done.raised.items()):
        outbox.refresh_cause(conn, ids, now, cause_id, note=said[:500])
        outbox.say_in_thread(conn, ids, now, cause_id, f"More urgent now: {said}.")
    # What stands in a channel has just been told why; the others are new there.
    unposted = [cause for cause in changed if not cause.posted]
    announce.announce(conn, ids, now, settings.routing, unposted, settings.attention)
    ledger.append(
        conn, kind="findings.retriaged", subject=why, actor="gatehouse", now=now,
        body={"why": why, "changed": done.changed, "moved": moved[:1000], "raised": done.raised},
    )  # fmt: skip
    return done


def _judge_again(
    conn: Connection,
    settings: Settings,
    rules: Rules,
    now: datetime,
    rows: Sequence[Any],
    news: Mapping[str, str],
    done: Retriaged,
    moved: list[tuple[str, int, int]],
) -> None:
    docs = {row.id: Finding.model_validate_json(row.doc) for row in rows}
    known = Known(conn, docs.values())
    written: list[dict[str, Any]] = []
    verdicts: list[dict[str, Any]] = []
    for row in rows:
        done.looked_at += 1
        finding = docs[row.id]
        said = known.of(finding)
        judgement = rules.judge(finding, Environment(row.environment), _why(finding, row, settings), said)
        facts = effective(finding, said)
        same = (row.kev, row.epss, row.cvss, row.internet_exposed) == (
            facts["kev"], facts["epss"], facts["cvss"], facts["internet_exposed"]
        )  # fmt: skip
        if same and not _differs(row.verdict, judgement):
            continue
        priority = int(judgement.priority)
        due = row.due if priority == row.priority and row.due is not None else judgement.due(finding, now)
        written.append({"b_id": row.id, "decision": judgement.decision.value, "priority": priority, "due": due,
                        "changed_at": now, **facts})  # fmt: skip
        verdicts.append({"b_id": row.id, "b_content": row.content, "verdict": judgement.json(due)})
        done.changed += 1
        done.causes.add(row.cause_id)
        if priority != row.priority:
            moved.append((row.id, row.priority, priority))
        if priority < row.priority and Status(row.status) in OPEN_STATUSES:
            about = [news[key] for key in (*cves_of(finding), row.resource_uid) if key in news]
            why = about[0] if about else "judged again"
            done.raised.setdefault(row.cause_id, f"{why}, P{row.priority} became P{priority}")
    if written:
        values: dict[str, Any] = {name: bindparam(name) for name in written[0] if name != "b_id"}
        conn.execute(update(FINDINGS).where(FINDINGS.c.id == bindparam("b_id")).values(values), written)
        conn.execute(
            update(OBSERVATIONS)
            .where(OBSERVATIONS.c.finding_id == bindparam("b_id"), OBSERVATIONS.c.content == bindparam("b_content"))
            .values(verdict=bindparam("verdict")),
            verdicts,
        )


def _differs(stored: bytes, judgement: Judgement) -> bool:
    """Whether the verdict says anything else; a list that was merely read later says the same."""
    try:
        was = Verdict.model_validate_json(stored)
    except ValueError:
        return True
    lines = [(e.input, e.value, e.fact, e.source) for e in was.reasons]
    return (was.decision, was.table, lines) != (
        judgement.decision, judgement.table, [(e.input, e.value, e.fact, e.source) for e in judgement.reasons]
    )  # fmt: skip


def _why(finding: Finding, row: Row[Any], settings: Settings) -> str:
    environment, why = environment_of(Facts.of(finding), finding.environment_hint, settings.environments)
    return why if environment.value == row.environment else ""


def cves_of(finding: Finding) -> list[str]:
    """The CVEs a finding names, in capitals."""
    return [uid for v in finding.vulnerabilities if (uid := v.uid.upper()).startswith("CVE-")]


class Known:
    """What others say of a batch of findings: of their CVEs, and of the resources whose exposure no source tells."""

    def __init__(self, conn: Connection, batch: Collection[Finding]) -> None:
        read = intel.read_dates(conn)
        cves = {cve for finding in batch if finding.vulnerabilities for cve in cves_of(finding)} if read else set()
        self._cves = intel.lookup(conn, sorted(cves), read)
        self._context: dict[str, dict[str, Any]] = {}
        if "aws" in read:
            unsaid = {f.resource.uid for f in batch if f.internet_exposed is None and f.resource.uid}
            self._context = intel.context(conn, sorted(unsaid))

    def of(self, finding: Finding) -> Intel:
        said = None
        if self._cves and finding.vulnerabilities:
            said = intel.combined(cves_of(finding), self._cves)
        said = said or NOTHING
        row = self._context.get(finding.resource.uid, {}).get("exposed") if self._context else None
        if row is not None and row.value in {"yes", "no"}:
            said = said.model_copy(
                update={"exposed": row.value == "yes", "exposed_why": row.why, "exposed_read": f"{row.as_of:%Y-%m-%d}"}
            )
        return said


NOTHING = Intel()


def effective(finding: Finding, said: Intel) -> dict[str, Any]:
    """The columns of a finding that others may fill: what the source says, and where it says nothing what they do."""
    found = finding.vulnerabilities
    exposed = finding.internet_exposed if finding.internet_exposed is not None else said.exposed
    if not found:
        return {"kev": None, "epss": None, "cvss": None, "internet_exposed": exposed}
    kev: bool | None = True if any(v.kev for v in found) else False if any(v.kev is False for v in found) else None
    if said.kev:
        kev = True
    elif kev is None and said.kev_read:
        kev = False
    epss = max((v.epss for v in found if v.epss is not None), default=said.epss)
    cvss = max((v.cvss for v in found if v.cvss is not None), default=said.cvss)
    return {"kev": kev, "epss": epss, "cvss": cvss, "internet_exposed": exposed}
