"""The verdict on a finding: facts, inputs, tables, evidence. Pure and deterministic; one judgement per set of facts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache, lru_cache
from typing import TYPE_CHECKING

from bot.domain.findings import Environment, Finding
from bot.domain.triage import Evidence, Intel, Priority, Ssvc, TableSpec, Verdict
from bot.triage import inputs, tables
from bot.triage.inputs import INPUTS, Facts, Part, part
from bot.triage.tables import DEADLINE, DECISION, Table

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

PRIORITY = {Ssvc.ACT: Priority.P1, Ssvc.ATTEND: Priority.P2, Ssvc.TRACK_STAR: Priority.P3, Ssvc.TRACK: Priority.P4}
DAYS = {Priority.P1: 3, Priority.P2: 14, Priority.P3: 30, Priority.P4: 90}
MEMO = 20_000
NOTHING = Intel()


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the tables say, shared by all findings with the same facts; a verdict is this and a due date."""

    decision: Ssvc
    priority: Priority
    days: int  # to the deadline
    reasons: tuple[Evidence, ...]
    table: str
    values: tuple[tuple[str, str], ...]  # every input that was asked, with its value
    outcomes: tuple[tuple[str, str], ...]  # table id -> its outcome
    before_due: bytes  # the verdict as JSON, cut where its due date goes
    after_due: bytes

    def verdict(self, due: datetime) -> Verdict:
        return Verdict(decision=self.decision, priority=self.priority, due=due, reasons=self.reasons, table=self.table)

    def json(self, due: datetime) -> bytes:
        """``verdict(due)`` as JSON, without building it."""
        return b'%b"%b"%b' % (self.before_due, due.isoformat().encode(), self.after_due)

    def due(self, finding: Finding, now: datetime) -> datetime:
        """Counted from ``now``, or earlier where the source says so."""
        due = now + timedelta(days=self.days)
        return finding.due if finding.due is not None and finding.due < due else due


class Rules:
    """The tables in force and what else gatehouse.yml says. ``jewel(finding)`` names the rule that makes it one."""

    def __init__(
        self,
        own: Mapping[str, TableSpec] | None = None,
        *,
        days: Mapping[Priority, int] | None = None,
        likely: float = inputs.EPSS_LIKELY,
        jewel: Callable[[Finding, Environment], str] | None = None,
    ) -> None:
        self._tables = tables.chosen(own or {})
        self._days = {**DAYS, **(days or {})}
        self._likely, self._jewel = likely, jewel
        self._known: dict[Facts, Judgement] = {}
        self._lines: dict[tuple[str, tuple[str, ...]], Part] = {}  # at most one a row of the tables

    def of(self, kind: str) -> tuple[Table, ...]:
        """The decision table of a kind, and its deadline table where there is one."""
        found = [self._tables.get((kind, role)) for role in (DECISION, DEADLINE)]
        return tuple(table for table in found if table is not None)

    def facts(self, finding: Finding, environment: Environment, why: str = "", intel: Intel = NOTHING) -> Facts:
        """What the verdict is made of: the source's word, and where it says nothing that of others."""
        kev = exploit = epss = cvss = automatable = total = None
        epss_read = nvd_read = ""
        data = finding.data_classes
        if finding.vulnerabilities:
            found = finding.vulnerabilities
            kev = _any([v.kev for v in found])
            exploit = _any([v.exploit for v in found])
            epss = max((v.epss for v in found if v.epss is not None), default=None)
            cvss = max((v.cvss for v in found if v.cvss is not None), default=None)
            vectors = [inputs.by_vector(v.cvss_vector) for v in found if v.cvss_vector]
            if epss is None and intel.epss is not None:
                epss, epss_read = intel.epss, intel.epss_read
            if not vectors and intel.vector:
                vectors, nvd_read = [inputs.by_vector(intel.vector)], intel.nvd_read
            if cvss is None and intel.cvss is not None:
                cvss, nvd_read = intel.cvss, intel.nvd_read
            automatable, total = _any([a for a, _ in vectors]), _any([t for _, t in vectors])
            # A hundredth is what a reason shows, and few enough values to share judgements.
            epss = None if epss is None else int(epss * 100 + 1e-9) / 100
        types, resource_type = finding.types, finding.resource.type
        kind = inputs.kind_of(finding.class_uid, finding.rule_uid, types, resource_type)
        exposed, exposed_why, exposed_read = finding.internet_exposed, "", ""
        if exposed is None and intel.exposed is not None:
            exposed, exposed_why, exposed_read = intel.exposed, intel.exposed_why, intel.exposed_read
        return Facts(
            kind, finding.source, kev, exploit, epss, cvss, automatable, total, exposed, finding.severity,
            finding.severity_word[:40], tuple([word[:60] for word in data[:5]]) if data else (),
            inputs.privilege_of(finding.rule_uid, types) if kind in {"identity", "secret"} else "",
            environment, why, self._jewel(finding, environment) if self._jewel is not None else "",
            intel.kev, intel.kev_read, epss_read, nvd_read, exposed_why, exposed_read, self._likely,
        )  # fmt: skip

    def judge(self, finding: Finding, environment: Environment, why: str = "", intel: Intel = NOTHING) -> Judgement:
        """The verdict without its date."""
        facts = self.facts(finding, environment, why, intel)
        known = self._known.get(facts)
        if known is None:
            if len(self._known) >= MEMO:
                self._known.clear()
            known = self._known[facts] = self._judge(facts)
        return known

    def _judge(self, facts: Facts) -> Judgement:
        parts: dict[tuple[str, str], Part] = {}
        lines: list[Part] = []
        worst, days = Ssvc.TRACK, 0
        outcomes: list[tuple[str, str]] = []
        asked = self.of(facts.kind)
        for table in asked:
            values = {}
            for name in table.inputs:
                key = (name, table.unknown[name])
                if key not in parts:
                    parts[key] = INPUTS[name](facts, table.unknown[name])
                values[name] = parts[key].value
            answer = table.answer(values)
            outcome = table.outcomes[answer]
            decision = Ssvc(outcome.decision)
            own = outcome.days if outcome.days is not None else self._days[PRIORITY[decision]]
            days = min(days, own) if outcomes else own
            worst = min(worst, decision, key=PRIORITY.__getitem__)
            outcomes.append((table.id, answer))
            words = outcome.words or decision.value
            place = (table.id, tuple(values.values()))
            line = self._lines.get(place)
            if line is None:
                fact = f"{table.key(values)}: {words}"
                line = self._lines[place] = part(
                    answer, Evidence(input=table.role, value=answer, fact=fact, source=table.id)
                )
            lines.append(line)
        before, after = _around(worst, " + ".join(table.id for table in asked))
        told = [*parts.values(), *lines]
        return Judgement(
            worst,
            PRIORITY[worst],
            days,
            tuple([reason for p in told for reason in p.reasons]),
            " + ".join(table.id for table in asked),
            tuple((name, p.value) for (name, _), p in parts.items()),
            tuple(outcomes),
            before,
            after.replace(b"[]", b"[%b]" % b",".join([p.json for p in told]), 1),
        )


@lru_cache(maxsize=64)
def _around(decision: Ssvc, table: str) -> tuple[bytes, bytes]:
    """The verdict as JSON before and after its due date, without reasons."""
    verdict = Verdict(decision=decision, priority=PRIORITY[decision], due=None, reasons=(), table=table)
    before, _, after = verdict.model_dump_json().encode().partition(b'"due":null')
    return before + b'"due":', after


def _any(values: list[bool | None]) -> bool | None:
    if True in values:
        return True
    return False if False in values else None


@cache
def default() -> Rules:
    """The built-in tables and nothing else."""
    return Rules()
