"""The verdict on a finding: SSVC by a written table, priority, due date and the reasons. Pure and deterministic.

Inputs of the table
- exploitation: active (known exploited, or a detection of something that is happening), poc (an exploit exists, EPSS
  says it is likely, or a misconfiguration that anyone on the internet can use as it stands), none
- exposure: open (reachable from the internet), controlled (nobody says), small (the source says it is not)
- impact: low, medium, high, very_high from severity, CVSS and the class of data
- mission: essential (prod), support (staging, or not known), minimal (dev, test, sandbox)
What is not known never counts as harmless: it takes the middle value, and the reason says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from itertools import product

from bot.domain.findings import Environment, Finding, FindingClass, Severity, Vulnerability
from bot.domain.triage import Evidence, Priority, Ssvc, Verdict

TABLE_NAME = "gatehouse-ssvc/1"

EXPLOITATION = ("none", "poc", "active")
EXPOSURE = ("small", "controlled", "open")
IMPACT = ("low", "medium", "high", "very_high")
MISSION = ("minimal", "support", "essential")

# exploitation  exposure  impact  ->  minimal  support  essential
_WRITTEN = """
none   small      low        Track   Track   Track
none   small      medium     Track   Track   Track
none   small      high       Track   Track*  Track*
none   small      very_high  Track*  Track*  Attend
none   controlled low        Track   Track   Track
none   controlled medium     Track   Track   Track*
none   controlled high       Track   Track*  Attend
none   controlled very_high  Track*  Attend  Attend
none   open       low        Track   Track   Track
none   open       medium     Track   Track*  Track*
none   open       high       Track*  Attend  Attend
none   open       very_high  Track*  Attend  Act
poc    small      low        Track   Track   Track
poc    small      medium     Track   Track   Track*
poc    small      high       Track*  Track*  Attend
poc    small      very_high  Track*  Attend  Attend
poc    controlled low        Track   Track   Track
poc    controlled medium     Track   Track*  Track*
poc    controlled high       Track*  Attend  Attend
poc    controlled very_high  Attend  Attend  Act
poc    open       low        Track   Track   Track*
poc    open       medium     Track*  Track*  Attend
poc    open       high       Attend  Attend  Act
poc    open       very_high  Attend  Act     Act
active small      low        Track   Track*  Track*
active small      medium     Track*  Track*  Attend
active small      high       Attend  Attend  Attend
active small      very_high  Attend  Attend  Act
active controlled low        Track   Track*  Attend
active controlled medium     Track*  Attend  Attend
active controlled high       Attend  Attend  Act
active controlled very_high  Attend  Act     Act
active open       low        Track*  Attend  Attend
active open       medium     Attend  Attend  Act
active open       high       Attend  Act     Act
active open       very_high  Act     Act     Act
"""


def _read_table() -> dict[tuple[str, str, str, str], Ssvc]:
    table: dict[tuple[str, str, str, str], Ssvc] = {}
    for line in _WRITTEN.strip().splitlines():
        exploitation, exposure, impact, *decisions = line.split()
        for mission, decision in zip(MISSION, decisions, strict=True):
            table[exploitation, exposure, impact, mission] = Ssvc(decision)
    if set(table) != set(product(EXPLOITATION, EXPOSURE, IMPACT, MISSION)):
        raise ValueError("the triage table does not answer every combination of its inputs")
    return table


TABLE = _read_table()

PRIORITY = {Ssvc.ACT: Priority.P1, Ssvc.ATTEND: Priority.P2, Ssvc.TRACK_STAR: Priority.P3, Ssvc.TRACK: Priority.P4}
DUE = {Priority.P1: timedelta(days=3), Priority.P2: timedelta(days=14), Priority.P3: timedelta(days=30),
       Priority.P4: timedelta(days=90)}  # fmt: skip

_SEVERITY_IMPACT = {
    Severity.INFORMATIONAL: 0, Severity.LOW: 0, Severity.MEDIUM: 1, Severity.HIGH: 2, Severity.CRITICAL: 3,
    Severity.FATAL: 3,
}  # fmt: skip
_MISSION = {Environment.PROD: 2, Environment.STAGING: 1, Environment.UNKNOWN: 1, Environment.DEV: 0,
            Environment.TEST: 0, Environment.SANDBOX: 0}  # fmt: skip
EPSS_LIKELY = 0.1


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the table says, shared by all findings with the same inputs; a verdict is this and a due date."""

    decision: Ssvc
    priority: Priority
    reasons: tuple[Evidence, ...]
    before_due: bytes  # the verdict as JSON, cut where its due date goes
    after_due: bytes

    def verdict(self, due: datetime) -> Verdict:
        return Verdict(decision=self.decision, priority=self.priority, due=due, reasons=self.reasons, table=TABLE_NAME)

    def json(self, due: datetime) -> bytes:
        """``verdict(due)`` as JSON, without building it."""
        return b'%b"%b"%b' % (self.before_due, due.isoformat().encode(), self.after_due)


def triage(finding: Finding, environment: Environment, now: datetime, why_environment: str = "") -> Verdict:
    """The verdict on ``finding`` in ``environment``; due counts from ``now``, or earlier where the source says so."""
    judgement = judge(finding, environment, why_environment)
    return judgement.verdict(due_date(finding, judgement.priority, now))


def due_date(finding: Finding, priority: Priority, now: datetime) -> datetime:
    due = now + DUE[priority]
    return finding.due if finding.due is not None and finding.due < due else due


def judge(finding: Finding, environment: Environment, why_environment: str = "") -> Judgement:
    """The verdict without its date."""
    vulnerabilities = finding.vulnerabilities
    return _judge(
        finding.source,
        finding.class_uid,
        any(v.kev for v in vulnerabilities),
        any(v.exploit for v in vulnerabilities),
        _epss(vulnerabilities) if vulnerabilities else None,
        max((v.cvss for v in vulnerabilities if v.cvss is not None), default=None),
        finding.internet_exposed,
        finding.severity,
        finding.severity_word[:40],
        tuple(word[:60] for word in finding.data_classes[:5]),
        environment,
        why_environment,
    )


def _epss(vulnerabilities: tuple[Vulnerability, ...]) -> float | None:
    """The highest, rounded down to a hundredth: what a reason shows, and few enough values to share judgements."""
    highest = max((v.epss for v in vulnerabilities if v.epss is not None), default=None)
    return None if highest is None else int(highest * 100 + 1e-9) / 100


@lru_cache(maxsize=8192)
def _judge(
    source: str,
    class_uid: FindingClass,
    kev: bool,
    exploit: bool,
    epss: float | None,
    cvss: float | None,
    exposed: bool | None,
    severity: Severity,
    severity_word: str,
    data: tuple[str, ...],
    environment: Environment,
    why_environment: str,
) -> Judgement:
    exploitation = _exploitation(source, class_uid, kev, exploit, epss, exposed)
    exposure = _exposure(source, exposed)
    impact = _impact(source, severity, severity_word, cvss, data)
    mission = _mission(environment, why_environment)
    decision = TABLE[exploitation.value, exposure.value, impact.value, mission.value]
    parts = (exploitation, exposure, impact, mission)
    before, after = _around(decision)
    return Judgement(
        decision,
        PRIORITY[decision],
        tuple([reason for part in parts for reason in part.reasons]),
        before,
        after.replace(b"[]", b"[%b]" % b",".join([part.json for part in parts]), 1),
    )


@lru_cache(maxsize=8)
def _around(decision: Ssvc) -> tuple[bytes, bytes]:
    """The verdict as JSON before and after its due date, without reasons."""
    verdict = Verdict(decision=decision, priority=PRIORITY[decision], due=None, reasons=(), table=TABLE_NAME)
    before, _, after = verdict.model_dump_json().encode().partition(b'"due":null')
    return before + b'"due":', after


@dataclass(frozen=True, slots=True)
class _Part:
    """An input of the table: few are different, many judgements are made of them."""

    value: str
    reasons: tuple[Evidence, ...]
    json: bytes  # the reasons, comma between them


def _part(value: str, *reasons: Evidence) -> _Part:
    return _Part(value, reasons, b",".join([reason.model_dump_json().encode() for reason in reasons]))


@lru_cache(maxsize=1024)
def _mission(environment: Environment, why: str) -> _Part:
    value = MISSION[_MISSION[environment]]
    known = environment is not Environment.UNKNOWN
    where = f"environment {environment.value}" if known else "the environment is not known"
    fact = f"{where} ({why})" if why else where
    return _part(value, Evidence(input="environment", value=value, fact=fact, source="gatehouse"))


@lru_cache(maxsize=2048)
def _exploitation(
    source: str, class_uid: FindingClass, kev: bool, exploit: bool, epss: float | None, exposed: bool | None
) -> _Part:
    value, fact = "none", "no sign that it is exploited"
    if kev:
        value, fact = "active", "on CISA's list of known exploited vulnerabilities"
    elif class_uid is FindingClass.DETECTION:
        value, fact = "active", "something that is happening, not something that could"
    elif exploit:
        value, fact = "poc", "an exploit is known"
    elif epss is not None and epss >= EPSS_LIKELY:
        value, fact = "poc", f"EPSS {epss:.2f}: exploitation within 30 days is likely"
    elif class_uid is FindingClass.COMPLIANCE and exposed:
        value, fact = "poc", "a misconfiguration open to the internet needs no exploit"
    elif epss is not None:
        fact = f"EPSS {epss:.2f}: exploitation within 30 days is unlikely"
    return _part(value, Evidence(input="exploitation", value=value, fact=fact, source=source))


@lru_cache(maxsize=128)
def _exposure(source: str, exposed: bool | None) -> _Part:
    value, fact = "small", "not reachable from the internet"
    if exposed:
        value, fact = "open", "reachable from the internet"
    elif exposed is None:
        value, fact = "controlled", "whether it is reachable is not known"
    return _part(value, Evidence(input="exposure", value=value, fact=fact, source=source))


@lru_cache(maxsize=2048)
def _impact(source: str, severity: Severity, word: str, cvss: float | None, data: tuple[str, ...]) -> _Part:
    level = _SEVERITY_IMPACT.get(severity, 1)
    fact = f"severity {severity.name.lower()}"
    if severity not in _SEVERITY_IMPACT:
        fact = f"severity {word!r} is not known, taken as medium" if word else "no severity given, taken as medium"
    if cvss is not None:
        by_score = 3 if cvss >= 9 else 2 if cvss >= 7 else 1 if cvss >= 4 else 0
        fact += f", CVSS {cvss:g}"
        level = max(level, by_score)
    reasons = [Evidence(input="severity", value=IMPACT[level], fact=fact, source=source)]
    if data:
        level = min(level + 1, len(IMPACT) - 1)
        reasons.append(Evidence(input="data", value=IMPACT[level], fact=f"holds {', '.join(data)}", source=source))
    return _part(IMPACT[level], *reasons)
