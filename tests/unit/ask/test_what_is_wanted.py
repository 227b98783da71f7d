"""The noun that heads a sentence is what is counted or broken down by; where it changed nothing it is asked about."""

from __future__ import annotations

import pytest

from bot.ask.reader import Reader
from bot.ask.vocabulary import Rule, Vocabulary, stem, words_of
from bot.domain import posture as p

from .test_reading_a_question import (
    CRITICAL,
    EXPOSED,
    MACHINES,
    OPEN,
    OVERDUE,
    VULNERABLE,
    ask,
    by,
    count,
    has,
    same,
    without,
)

MISCONFIGURED = has("type", "misconfiguration")

MEANT: list[tuple[str, p.PostureQuery]] = [
    ("how many distinct machines have an open critical", count(OPEN, CRITICAL, MACHINES, of="resource")),
    ("distinct users with open findings: how many?", count(OPEN, has("resource_type", "IAM User"), of="resource")),
    ("how many unique vulnerable images in prod", count(
        OPEN, VULNERABLE, has("resource_type", "Container Image"), has("env", "prod"), of="resource")),
    ("how many distinct resource types have criticals", count(OPEN, CRITICAL, of="resource_type")),
    ("how many distinct misconfiguration rules are open in aws", count(
        OPEN, MISCONFIGURED, has("provider", "aws"), of="rule")),
    ("list the distinct apps with criticals", by("app", OPEN, CRITICAL)),
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
        "compare apps orchard and quarry",
        "open criticals in prod vs dev per team",
        "trend of criticals by team",
        "which apps have criticals in both prod and dev",
        "rules Wiz and Orca both report",
        "how many teams have highs in both aws and azure",
        "average age of CVEs in prod",
        "which criticals affect the quarry team's apps",
    ],
)
def test_a_noun_that_changed_nothing_is_asked_about(reader: Reader, question: str) -> None:
    reading = ask(reader, question)
    assert reading.outcome == "clarify", reading.query


def test_how_the_number_of_open_ones_changed_is_their_course(reader: Reader) -> None:
    for question in ("how did the number of open highs change over the last 7 days, daily",
                     "how did open highs change day by day in the last 7 days"):  # fmt: skip
        query = ask(reader, question).query
        assert (query.kind, query.trend, query.step) == (p.Kind.TREND, "open", "day"), question
    assert ask(reader, "how did new highs change over the last 7 days, daily").query.trend == "found"
    assert ask(reader, "trend of new highs that are still open, weekly").outcome == "clarify"
    assert ask(reader, "which team's highs changed most over the last 7 days").outcome == "clarify"


OR_NONE: list[tuple[str, tuple[p.Condition, p.Condition]]] = [
    ("highs with no owner or owned by quarry", (p.Missing(field="team"), has("team", "quarry"))),
    ("highs of the data team or without an owner", (has("team", "data"), p.Missing(field="team"))),
    ("list highs without an app or of the app pear-shop", (p.Missing(field="app"), has("app", "pear-shop"))),
]


@pytest.mark.parametrize(("question", "either"), OR_NONE, ids=[q for q, _ in OR_NONE])
def test_none_or_one_is_a_choice(reader: Reader, question: str, either: tuple[p.Condition, p.Condition]) -> None:
    reading = ask(reader, question)
    assert reading.outcome == "answered", reading.said
    assert p.AnyOf(of=tuple((one,) for one in either)) in reading.query.where


def test_none_and_one_is_still_asked_back(reader: Reader) -> None:
    assert ask(reader, "highs of quarry without an owner").outcome == "clarify"


def _company() -> Reader:
    """Services with several kinds of things, which Bergland has not."""
    kinds = ("EBS Volume", "EBS Snapshot", "RDS Instance", "RDS Snapshot")
    rules = (
        ("r-1", "EBS snapshot is public", "EBS Snapshot"), ("r-2", "RDS snapshot is public", "RDS Snapshot"),
        ("r-3", "RDS instance is publicly accessible", "RDS Instance"), ("r-4", "EBS volume is unencrypted", kinds[0]),
    )  # fmt: skip
    made = Vocabulary(
        values={"resource_type": {kind.lower(): kind for kind in kinds}},
        rules=tuple(
            Rule(uid, title, frozenset({kind}), tuple(s for w in words_of(title) for s in stem(w)), False)
            for uid, title, kind in rules
        ),
    )
    made.stems = frozenset(s for rule in made.rules for s in rule.stems)
    return Reader(made)


@pytest.mark.parametrize(
    "question",
    [
        "list the public snapshots, both EBS and RDS",
        "list the public EBS and RDS snapshots",
        "public RDS or EBS snapshots",
    ],
)
def test_the_noun_is_for_both_services(question: str) -> None:
    reading = ask(_company(), question)
    assert reading.outcome == "answered", reading.said
    assert same(reading.query)["where"] == same(p.PostureQuery(
        kind=p.Kind.LIST, where=(OPEN, has("rule", "r-1", "r-2"))))["where"]  # fmt: skip


def test_things_that_the_rule_is_not_about_are_asked_about() -> None:
    assert ask(_company(), "unencrypted EBS volumes and snapshots").outcome == "clarify"


ALIKE = [
    ("new CVEs since Monday", "which CVEs are new since Monday"),
    ("findings by team in both prod and dev", "findings by team in prod or dev"),
    ("more open highs or more open lows?", "open highs vs open lows"),
    ("which team has more highs, orchard or quarry?", "highs of orchard vs quarry"),
    ("do we have more highs in prod or more highs in dev?", "do we have more highs in prod or dev?"),
    ("the three apps with the most open highs", "top 3 apps by open highs"),
    ("what is Orca reporting as critical?", "which criticals does Orca report?"),
    ("what was found today? list it", "list what was found today"),
    ("CVE-2099-1001: where is it open? list the findings", "list the open findings of CVE-2099-1001"),
    ("last 5 findings of Wiz", "the 5 newest findings of Wiz"),
    ("which team has the worst SLA rate?", "which team has the lowest SLA rate?"),
    ("number of criticals+highs in prod", "number of criticals and highs in prod"),
    ("hwo many highs are open?", "how many highs are open?"),
    ("how many misconfiguration rules are open in prod?", "how many rules of misconfigurations are open in prod?"),
]  # fmt: skip


@pytest.mark.parametrize(("question", "other"), ALIKE, ids=[q for q, _ in ALIKE])
def test_said_otherwise_it_means_the_same(reader: Reader, question: str, other: str) -> None:
    one, two = ask(reader, question), ask(reader, other)
    assert one.outcome == two.outcome == "answered", (one.said, two.said)
    assert same(one.query) == same(two.query)


@pytest.mark.parametrize(
    "question",
    [
        "exposed RDS snapshots that are not public",
        "exposed but not public RDS snapshots",
        "exposed non-public RDS snapshots",
    ],
)
def test_what_is_not_public_stays_what_is_asked_for(question: str) -> None:
    query = ask(_company(), question).query
    things = has("resource_type", "RDS Snapshot")
    assert set(query.where) == {OPEN, EXPOSED, things, without(has("rule", "r-2"))}


def test_public_but_not_exposed_keeps_both(reader: Reader) -> None:
    query = ask(_company(), "how many public RDS snapshots are not exposed?").query
    assert set(query.where) >= {has("rule", "r-2"), without(p.Is(field="exposed"))}


@pytest.mark.parametrize("question", ["list it", "findings on untagged buckets", "show those again, sorted by age"])
def test_what_is_meant_is_asked_where_nothing_says_it(reader: Reader, question: str) -> None:
    assert ask(reader, question).outcome == "clarify"
