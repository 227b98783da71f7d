"""The noun that heads a sentence is what is counted or broken down by; where it changed nothing it is asked about."""

from __future__ import annotations

import pytest

from bot.ask.reader import Reader
from bot.domain import posture as p

from .test_reading_a_question import CRITICAL, MACHINES, OPEN, OVERDUE, VULNERABLE, ask, by, count, has, same, without

MISCONFIGURED = has("type", "misconfiguration")

MEANT: list[tuple[str, p.PostureQuery]] = [
    ("how many distinct machines have an open critical", count(OPEN, CRITICAL, MACHINES, of="resource")),
    ("distinct users with open findings: how many?", count(OPEN, has("resource_type", "IAM User"), of="resource")),
    ("how many unique vulnerable images in prod", count(
        OPEN, VULNERABLE, has("resource_type", "Container Image"), has("env", "prod"), of="resource")),
    ("how many distinct resource types have criticals", count(OPEN, CRITICAL, of="resource_type")),
    ("how many distinct misconfiguration rules are open in aws", count(
        OPEN, MISCONFIGURED, has("provider", "aws"), of="rule")),
    ("frameworks of the open criticals", by("framework", OPEN, CRITICAL)),
    ("all frameworks with criticals outside dev", by("framework", OPEN, CRITICAL, without(has("env", "dev")))),
    ("requirements of SOC 2 with open findings", by("requirement", OPEN, has("framework", "SOC 2"), within="SOC 2")),
    ("PCI DSS requirements, open findings for each", by(
        "requirement", OPEN, has("framework", "PCI DSS"), within="PCI DSS")),
    ("apps of the data team with open criticals", by("app", OPEN, has("team", "data"), CRITICAL)),
    ("which of the data team's apps have criticals", by("app", OPEN, has("team", "data"), CRITICAL)),
    ("CVEs open in prod", by("cve", OPEN, has("env", "prod"), VULNERABLE)),
    ("list all CVEs open in prod", by("cve", OPEN, has("env", "prod"), VULNERABLE)),
    ("regions except us-east-1 with criticals", by("region", OPEN, CRITICAL, without(has("region", "us-east-1")))),
    ("teams other than quarry with overdue findings", by("team", OVERDUE, without(has("team", "quarry")))),
    ("which non-prod accounts have criticals", by("account", OPEN, CRITICAL, without(has("env", "prod")))),
]  # fmt: skip


@pytest.mark.parametrize(("question", "meant"), MEANT, ids=[q for q, _ in MEANT])
def test_the_head_is_what_is_wanted(reader: Reader, question: str, meant: p.PostureQuery) -> None:
    reading = ask(reader, question)
    assert reading.outcome == "answered", reading.said
    assert same(reading.query) == same(meant)


@pytest.mark.parametrize(
    "question",
    [
        "CVE findings in prod",
        "library vulnerabilities in prod",
        "owner of the oldest critical",
        "criticals in prod, teams",
        "criticals and their owners",
        "average age of CVEs in prod",
        "which criticals affect the quarry team's apps",
    ],
)
def test_a_noun_that_changed_nothing_is_asked_about(reader: Reader, question: str) -> None:
    reading = ask(reader, question)
    assert reading.outcome == "clarify", reading.query
