"""Questions in words and the typed query each one means, with the words of Bergland."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest

from bot.ask.reader import Reader
from bot.domain import posture as p

from .company import NOW

OPEN = p.Is(field="open")
KEV, EXPOSED = p.Is(field="kev"), p.Is(field="exposed")
OVERDUE = p.Is(field="overdue")
VULNERABLE = p.In(field="type", values=("vulnerability",))
MACHINES = p.In(field="resource_type", values=("EC2 Instance", "Virtual Machine"))


def has(field: Any, *values: str) -> p.In:
    return p.In(field=field, values=values)


def without(one: p.Condition) -> p.Not:
    return p.Not(of=(one,))


def day(month: int, number: int, year: int = 2025) -> datetime:
    return datetime(year, month, number, tzinfo=UTC)


def count(*where: p.Condition, of: Any = "finding") -> p.PostureQuery:
    return p.PostureQuery(kind=p.Kind.COUNT, of=of, where=where)


def listed(*where: p.Condition, **more: Any) -> p.PostureQuery:
    return p.PostureQuery(kind=p.Kind.LIST, where=where, **more)


def by(dimension: Any, *where: p.Condition, **more: Any) -> p.PostureQuery:
    return p.PostureQuery(kind=p.Kind.BREAKDOWN, by=dimension, where=where, **more)


def stat(measure: Any, *where: p.Condition, **more: Any) -> p.PostureQuery:
    return p.PostureQuery(kind=p.Kind.STAT, measure=measure, where=where, **more)


CRITICAL, HIGH = has("severity", "critical"), has("severity", "high")

TABLE: list[tuple[str, p.PostureQuery]] = [
    ("How many criticals are open?", count(OPEN, CRITICAL)),
    ("criticals in berg-dev, how many", count(OPEN, CRITICAL, has("account", "berg-dev"))),
    ("could you pls count the highs of the orchard team", count(OPEN, HIGH, has("team", "orchard"))),
    ("how many opne crticals does quary have?", count(OPEN, CRITICAL, has("team", "quarry"))),
    ("How many findings does data have?", count(OPEN, has("team", "data"))),
    ("highs owned by data: how many?", count(OPEN, HIGH, has("team", "data"))),
    ("number of muted findings", count(has("status", "suppressed"))),
    ("how many findings in total", count()),
    ("how many findings has Wiz reported, whatever the status?", count(has("product", "Wiz"))),
    ("how many findings have no team?", count(OPEN, p.Missing(field="team"))),
    ("how many findings lack a data class?", count(OPEN, p.Missing(field="data_class"))),
    ("how many open findings have no environment", count(OPEN, p.Missing(field="env"))),
    ("how many criticals are not in prod?", count(OPEN, CRITICAL, without(has("env", "prod")))),
    ("highs except those of orchard and quarry, how many", count(
        OPEN, HIGH, without(has("team", "orchard", "quarry")))),
    ("how many findings were reported by tools other than Wiz", count(OPEN, without(has("product", "Wiz")))),
    ("how many exposed machines have a critical?", count(OPEN, EXPOSED, MACHINES, CRITICAL, of="resource")),
    ("number of VMs with findings", count(OPEN, MACHINES, of="resource")),
    ("how many CVEs are open in prod", count(OPEN, has("env", "prod"), VULNERABLE, of="cve")),
    ("how many PCI DSS requirements fail?", p.PostureQuery(
        kind=p.Kind.COUNT, of="requirement", where=(OPEN, has("framework", "PCI DSS")), within="PCI DSS")),
    ("findings under both SOC 2 and PCI DSS, how many", count(
        OPEN, has("framework", "SOC 2"), has("framework", "PCI DSS"))),
    ("findings under SOC 2 or PCI DSS, how many", count(OPEN, has("framework", "SOC 2", "PCI DSS"))),
    ("how many findings fail PCI DSS requirement 8.4.2", count(OPEN, has("requirement", "PCI DSS 8.4.2"))),
    ("high or worse on buckets, how many", count(
        OPEN, has("severity", "critical", "high"), has("resource_type", "S3 Bucket"))),
    ("how many open findings with CVSS over 9", count(OPEN, p.Compare(op="gt", field="cvss", value=9))),
    ("below cvss 5, how many vulns?", count(OPEN, p.Compare(op="lt", field="cvss", value=5), VULNERABLE)),
    ("is log4shell anywhere in prod?", count(OPEN, has("cve", "CVE-2021-44228"), has("env", "prod"))),
    ("how many openssl findings", count(OPEN, has("package", "openssl"))),
    ("findings in Frankfurt, number please", count(OPEN, has("region", "eu-central-1"))),
    ("how many SSH from the internet", count(OPEN, has("rule", "b-ssh"))),
    ("coin miners in berg-prod, how many?", count(OPEN, has("rule", "d-miner"), has("account", "berg-prod"))),
    ("how many criticals are overdue?", count(CRITICAL, OVERDUE)),
    ("highs overdue by more than two weeks, how many",
     count(HIGH, p.Compare(op="gt", field="overdue_days", value=14))),
    ("how many findings are due within the next 3 days", count(p.Compare(op="le", field="due_in_days", value=3))),
    ("how many highs are older than 60 days", count(OPEN, HIGH, p.Compare(op="gt", field="age_days", value=60))),
    ("how many criticals were found this week?",
     count(CRITICAL, p.Within(field="first_seen", start=day(3, 10), end=NOW, said="this week"))),
    ("how many did we close in February?",
     count(p.Within(field="resolved_at", start=day(2, 1), end=day(3, 1), said="February 2025"))),
    ("how many findings were fixed late last month", count(
        p.Is(field="fixed_late"), p.Within(field="resolved_at", start=day(2, 1), end=day(3, 1), said="last month"))),
    ("how many were open at the end of February?", count(p.OpenAt(at=day(3, 1), said="the end of February 2025"))),
    ("list the open highs in azure", listed(OPEN, HIGH, has("provider", "azure"))),
    ("can you list the log4shell findings?", listed(OPEN, has("cve", "CVE-2021-44228"))),
    ("which buckets can be read by anyone?", listed(OPEN, has("rule", "b-bucket-open"))),
    ("the 5 oldest criticals", listed(OPEN, CRITICAL, order="oldest", limit=5)),
    ("the three most overdue highs", listed(OPEN, HIGH, OVERDUE, order="overdue", limit=3)),
    ("which vulnerabilities have no fix?", listed(OPEN, VULNERABLE, p.Is(field="fixable", value=False))),
    ("open findings by team", by("team", OPEN)),
    ("criticals per account", by("account", OPEN, CRITICAL)),
    ("which team has the most open criticals?", by("team", OPEN, CRITICAL, order="most")),
    ("top 3 apps by highs", by("app", OPEN, HIGH, order="most", limit=3)),
    ("findings by status", by("status")),
    ("who has the most overdue findings", by("team", OVERDUE, order="most")),
    ("MTTR by severity", by("severity", has("status", "resolved"), measure="mttr")),
    ("per team, how many machines have a critical?", by("team", OPEN, MACHINES, CRITICAL, of="resource")),
    ("which SOC 2 controls fail?", by("requirement", OPEN, has("framework", "SOC 2"), within="SOC 2")),
    ("most common CVE?", by("cve", OPEN, VULNERABLE, order="most")),
    ("trend of open criticals over the last 7 days", p.PostureQuery(
        kind=p.Kind.TREND, where=(CRITICAL,), step="day", start=date(2025, 3, 8), end=date(2025, 3, 14))),
    ("new findings per week for the last 4 weeks", p.PostureQuery(
        kind=p.Kind.TREND, step="week", start=date(2025, 2, 17), end=date(2025, 3, 14), trend="found")),
    ("what is the MTTR for highs?", stat("mttr", has("status", "resolved"), HIGH)),
    ("average age of open criticals", stat("avg_age", OPEN, CRITICAL)),
    ("what percentage of the open highs is overdue?", stat("percent", OVERDUE, base=(OPEN, HIGH))),
    ("of the open findings in aws, what percent is critical", stat(
        "percent", CRITICAL, base=(OPEN, has("provider", "aws")))),
    ("share of findings fixed within SLA", stat("sla_rate", has("status", "resolved"))),
]  # fmt: skip


def ask(reader: Reader, question: str, **more: Any) -> Any:
    return reader.read(question, now=NOW, lookup=lambda _word: {}, **more)


def same(query: p.PostureQuery) -> dict[str, Any]:
    """Conditions in any order; how the words were said does not matter."""
    made = query.model_dump(mode="json")
    for name in ("where", "base"):
        made[name] = sorted(_plain(one) for one in made[name])
    return made


def _plain(condition: dict[str, Any]) -> str:
    condition = {k: sorted(v) if k == "values" else v for k, v in condition.items() if k != "said"}
    if condition["op"] == "not":
        condition["of"] = sorted(_plain(one) for one in condition["of"])
    return str(sorted(condition.items()))


@pytest.mark.parametrize(("question", "meant"), TABLE, ids=[q for q, _ in TABLE])
def test_a_question_means(reader: Reader, question: str, meant: p.PostureQuery) -> None:
    reading = ask(reader, question)
    assert reading.outcome == "answered", reading.said
    assert same(reading.query) == same(meant)


ASKED_BACK = [
    "how many open findings does team phoenix have?",
    "criticals in the account berg",
    "findings in the pear-shop team",
    "which of those are exposed?",
    "and in dev?",
    "how many findings does my team have?",
    "how many data findings are open?",
    "criticals in prod and highs in dev",
    "which machines have both log4shell and CVE-2099-1001?",
    "which teams have no overdue findings?",
    "how many findings are open and suppressed?",
    "open findings by team and severity",
    "open highs over the last 10 days",
    "how many findings were open in February?",
    "who fixed the log4shell findings?",
    'findings of the host "nobody-01"',
    "which ones were not closed last week?",
    "pci findings, how many?",
]


@pytest.mark.parametrize("question", ASKED_BACK)
def test_what_has_no_single_meaning_is_asked_back(reader: Reader, question: str) -> None:
    reading = ask(reader, question)
    assert reading.outcome == "clarify", (reading.outcome, reading.query)
    assert reading.said


ELSEWHERE = [
    "how many laptops are unencrypted?",
    "what did we spend last month?",
    "which developer introduced log4shell?",
    "how many criticals will we have next month?",
    "how many GDPR findings are open?",
    "what is the weather in Frankfurt?",
    "how many open findings have a purple badge?",
    "why is this critical?",
    "how do I fix log4shell?",
    "wie viele kritische Befunde sind offen?",
]


@pytest.mark.parametrize("question", ELSEWHERE)
def test_what_the_data_do_not_hold_is_out_of_scope(reader: Reader, question: str) -> None:
    assert ask(reader, question).outcome == "out_of_scope"


@pytest.mark.parametrize(
    "word", ["terms", "tames", "servers", "weeks", "higher", "expose", "brake", "trent", "stuff", "rows", "devices"]
)
def test_an_english_word_is_no_slip_of_one_of_ours(reader: Reader, word: str) -> None:
    reading = ask(reader, f"how many {word} are there in prod?")
    assert reading.outcome != "answered", reading.query


@pytest.mark.parametrize(
    ("slip", "meant"),
    [
        ("criticls in berg-dev", "criticals in berg-dev"),
        ("vulnerabilites by team", "vulnerabilities by team"),
        ("findings of the orchrad team", "findings of the orchard team"),
        ("findings in berg-dve", "findings in berg-dev"),
        ("overdeu highs by acount", "overdue highs by account"),
        ("how many exposd buckets", "how many exposed buckets"),
        ("findings of pear shop", "findings of pear-shop"),
    ],
)
def test_a_slip_with_one_near_match_is_understood(reader: Reader, slip: str, meant: str) -> None:
    one, other = ask(reader, slip), ask(reader, meant)
    assert one.outcome == other.outcome == "answered", one.said
    assert same(one.query) == same(other.query)


def test_digits_are_never_slips(reader: Reader) -> None:
    assert ask(reader, "findings in the account 700000000004").outcome != "answered"
