"""The verdict: complete, deterministic, never milder for worse facts, and said in words."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise, product

import pytest

from bot.domain.findings import Environment, Finding, FindingClass, Resource, Severity, Vulnerability
from bot.domain.triage import Priority, Ssvc, Verdict
from bot.intake.triage import DUE, EXPLOITATION, EXPOSURE, IMPACT, MISSION, PRIORITY, TABLE, due_date, judge, triage

from .kit import START

ORDER = [Ssvc.TRACK, Ssvc.TRACK_STAR, Ssvc.ATTEND, Ssvc.ACT]


def finding(**more: object) -> Finding:
    values = {"source": "toy", "uid": "u", "title": "t", "resource": Resource(uid="r"), "severity": Severity.HIGH}
    return Finding(**(values | more))  # type: ignore[arg-type]


def test_the_table_answers_every_combination() -> None:
    assert set(TABLE) == set(product(EXPLOITATION, EXPOSURE, IMPACT, MISSION))


@pytest.mark.parametrize("axis", range(4))
def test_worse_facts_never_make_a_milder_decision(axis: int) -> None:
    axes = (EXPLOITATION, EXPOSURE, IMPACT, MISSION)
    for key in product(*axes):
        for milder, worse in pairwise(axes[axis]):
            low, high = [*key], [*key]
            low[axis], high[axis] = milder, worse
            assert ORDER.index(TABLE[tuple(low)]) <= ORDER.index(TABLE[tuple(high)]), (low, high)  # type: ignore[index]


@pytest.mark.parametrize(
    ("more", "environment", "decision"),
    [
        ({"internet_exposed": True, "severity": Severity.CRITICAL}, Environment.PROD, Ssvc.ACT),
        ({"internet_exposed": True, "severity": Severity.CRITICAL}, Environment.DEV, Ssvc.ATTEND),
        ({"internet_exposed": False, "severity": Severity.MEDIUM}, Environment.PROD, Ssvc.TRACK),
        ({"severity": Severity.LOW}, Environment.PROD, Ssvc.TRACK),
        ({"class_uid": FindingClass.DETECTION, "severity": Severity.HIGH}, Environment.PROD, Ssvc.ACT),
        ({"class_uid": FindingClass.VULNERABILITY, "vulnerabilities": (Vulnerability(uid="CVE-1", kev=True),)},
         Environment.PROD, Ssvc.ACT),
        ({"class_uid": FindingClass.VULNERABILITY, "vulnerabilities": (Vulnerability(uid="CVE-1", epss=0.02),)},
         Environment.SANDBOX, Ssvc.TRACK),
    ],
)  # fmt: skip
def test_verdicts(more: dict[str, object], environment: Environment, decision: Ssvc) -> None:
    verdict = triage(finding(**more), environment, START)
    assert verdict.decision is decision
    assert verdict.priority is PRIORITY[decision]
    assert verdict.due == START + DUE[verdict.priority]


def test_what_is_not_known_is_said_and_never_counts_as_harmless() -> None:
    verdict = triage(finding(severity=Severity.OTHER, severity_word="spicy"), Environment.UNKNOWN, START)
    facts = {evidence.input: evidence for evidence in verdict.reasons}
    assert facts["severity"].value == "medium"
    assert "'spicy' is not known" in facts["severity"].fact
    assert facts["exposure"].value == "controlled"
    assert facts["environment"].value == "support"


def test_cvss_raises_the_impact_and_data_raises_it_once_more() -> None:
    low = finding(severity=Severity.LOW, vulnerabilities=(Vulnerability(uid="CVE-1", cvss=7.5),), data_classes=("pii",))
    facts = {evidence.input: evidence for evidence in triage(low, Environment.PROD, START).reasons}
    assert facts["severity"].value == "high"
    assert facts["data"].value == "very_high"
    assert facts["data"].fact == "holds pii"


@pytest.mark.parametrize(("epss", "value"), [(0.0999, "none"), (0.1, "poc"), (0.29, "poc"), (None, "none")])
def test_epss_counts_from_a_tenth(epss: float | None, value: str) -> None:
    one = finding(class_uid=FindingClass.VULNERABILITY, vulnerabilities=(Vulnerability(uid="CVE-1", epss=epss),))
    assert triage(one, Environment.PROD, START).reasons[0].value == value


def test_a_due_date_of_the_source_counts_when_it_is_earlier() -> None:
    soon = START + timedelta(hours=1)
    assert due_date(finding(due=soon), Priority.P3, START) == soon
    assert due_date(finding(due=START + timedelta(days=900)), Priority.P3, START) == START + DUE[Priority.P3]


def test_the_stored_json_is_the_verdict() -> None:
    one = finding(internet_exposed=True, title='"due":null', severity_word='"due":null', severity=Severity.OTHER)
    judgement = judge(one, Environment.PROD, "tag env=prod")
    assert Verdict.model_validate_json(judgement.json(START)) == judgement.verdict(START)
