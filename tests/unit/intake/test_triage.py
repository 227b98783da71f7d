"""The verdict: complete, deterministic, equal to the written tables, never milder for worse facts, said in words."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import pytest
import yaml

import bot.triage
from bot.domain.errors import SettingsError
from bot.domain.findings import Environment, Finding, FindingClass, Resource, Severity, Vulnerability
from bot.domain.triage import Intel, Priority, Ssvc, Verdict
from bot.intake.triage import judge, rules_of, triage
from bot.settings import Settings
from bot.triage.inputs import INPUTS, VOCABULARY, by_vector, kind_of, privilege_of
from bot.triage.rules import DAYS, PRIORITY, default
from bot.triage.tables import builtin, read

from .kit import START

ORDER = [Ssvc.TRACK, Ssvc.TRACK_STAR, Ssvc.ATTEND, Ssvc.ACT]
FILES = sorted((Path(bot.triage.__file__).parent / "tables").glob("*.yml"))


def finding(**more: object) -> Finding:
    values = {"source": "toy", "uid": "u", "title": "t", "resource": Resource(uid="r"), "severity": Severity.HIGH}
    return Finding(**(values | more))  # type: ignore[arg-type]


def written(name: str) -> dict[tuple[str, ...], str]:
    """A table read once more, by other means than the loader's."""
    said = yaml.safe_load(next(f for f in FILES if f.stem == name).read_text())
    return {tuple(row.split()[:-1]): row.split()[-1] for row in said["rows"]}


# --- priority equals the written table on all combinations of its inputs ----------------------------------------------

ENVIRONMENT = {"low": Environment.DEV, "medium": Environment.STAGING, "high": Environment.PROD}
SEVERITY = {"low": Severity.LOW, "medium": Severity.MEDIUM, "high": Severity.HIGH, "very_high": Severity.CRITICAL}
EXPOSED = {"small": False, "controlled": None, "open": True}
PRIVILEGE = {"limited": "ReadOnlyAccess", "elevated": "ExcessiveRights", "admin": "AdministratorAccess"}
DATA = {"none": ("public",), "sensitive": ("source code",), "regulated": ("pii",)}
MEANS = {"track": 4, "track*": 3, "attend": 2, "act": 1}
BOD = {"on-upgrade": (4, 90), "60-days": (3, 60), "14-days": (2, 14), "3-days": (1, 3), "3-days-forensic": (1, 3)}
OWN_DAYS = {1: 3, 2: 14, 3: 30, 4: 90}


def vulnerable(exploitation: str, automatable: str, total: str, exposed: str, listed: str) -> Finding:
    vector = f"CVSS:3.1/AV:{'N' if automatable == 'yes' else 'L'}/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:"
    one = Vulnerability(
        uid="CVE-2026-1", cvss_vector=vector + ("H" if total == "total" else "L"), kev=listed == "yes",
        exploit=exploitation == "poc", epss=0.01,
    )  # fmt: skip
    kind = FindingClass.VULNERABILITY
    return finding(class_uid=kind, vulnerabilities=(one,), internet_exposed=exposed == "yes")


def test_a_vulnerability_is_what_the_coordinator_tree_and_bod_26_04_say() -> None:
    coordinator, directive = written("cisa-coordinator"), written("cisa-bod-26-04")
    asked: set[tuple[str, tuple[str, ...]]] = set()
    for exploitation, automatable, total, mission, exposed in product(
        ("none", "poc", "active"), ("no", "yes"), ("partial", "total"), ("low", "medium", "high"), ("no", "yes")
    ):
        listed = "yes" if exploitation == "active" else "no"
        got = judge(vulnerable(exploitation, automatable, total, exposed, listed), ENVIRONMENT[mission])
        first = (exploitation, automatable, total, mission)
        second = (listed, exposed, automatable, total)
        asked |= {("coordinator", first), ("directive", second)}
        decided, (bod, days) = MEANS[coordinator[first]], BOD[directive[second]]
        assert got.priority == min(decided, bod), (first, second)
        assert got.decision is {1: Ssvc.ACT, 2: Ssvc.ATTEND, 3: Ssvc.TRACK_STAR, 4: Ssvc.TRACK}[got.priority]
        assert got.days == min(OWN_DAYS[decided], days), (first, second)
    assert {key for name, key in asked if name == "coordinator"} == set(coordinator)
    assert {key for name, key in asked if name == "directive"} == set(directive)


def misconfigured() -> Iterator[tuple[str, tuple[str, ...], Finding, str]]:
    for severity, exposure, mission in product(SEVERITY, EXPOSED, ENVIRONMENT):
        common: dict[str, Any] = {"severity": SEVERITY[severity], "internet_exposed": EXPOSED[exposure]}
        for exploitation in ("none", "poc", "active"):
            known = Vulnerability(uid="CVE-1", kev=exploitation == "active", exploit=exploitation == "poc")
            if exploitation == "none" and exposure == "open":
                continue  # what is open to the internet as it stands is never without a way in: see below
            yield (
                "gatehouse-misconfiguration", (exploitation, exposure, severity, mission),
                finding(vulnerabilities=(known,), **common), mission,
            )  # fmt: skip
        for privilege, rule in PRIVILEGE.items():
            key = (severity, privilege, exposure, mission)
            yield "gatehouse-identity", key, finding(types=("IAM",), rule_uid=rule, **common), mission
            yield "gatehouse-secret", key, finding(types=("Secrets",), rule_uid=rule, **common), mission
        for data, classes in DATA.items():
            if (data, mission) != ("regulated", "low"):  # regulated data is never of low importance: see below
                yield (
                    "gatehouse-data", (severity, data, exposure, mission),
                    finding(types=("DATA_FINDING",), data_classes=classes, **common), mission,
                )  # fmt: skip
        yield (
            "gatehouse-detection", (exposure, severity, mission),
            finding(class_uid=FindingClass.DETECTION, **common), mission,
        )  # fmt: skip


def test_every_other_kind_is_what_its_table_says() -> None:
    tables = {name: written(name) for name in (f.stem for f in FILES) if name.startswith("gatehouse-")}
    asked: dict[str, set[tuple[str, ...]]] = {name: set() for name in tables}
    for name, key, one, mission in misconfigured():
        got = judge(one, ENVIRONMENT[mission])
        assert got.table.startswith(name), (got.table, key)
        assert got.priority == MEANS[tables[name][key]], (name, key)
        asked[name].add(key)
    left = {name: set(tables[name]) - asked[name] for name in tables}
    assert all(key[0] == "none" and key[1] == "open" for key in left.pop("gatehouse-misconfiguration"))
    assert all(key[1] == "regulated" and key[3] == "low" for key in left.pop("gatehouse-data"))
    assert not any(left.values())


def test_rows_that_no_finding_reaches_are_answered_as_written_too() -> None:
    for table in builtin():
        assert {key: table.answer(dict(zip(table.inputs, key, strict=True))) for key in written(table.name)} == written(
            table.name
        )


@pytest.mark.parametrize("table", builtin(), ids=lambda table: table.id)
def test_worse_facts_never_make_a_milder_decision(table: Any) -> None:
    for axis, name in enumerate(table.inputs):
        for key in table.answers:
            for milder, worse in pairwise(VOCABULARY[name]):
                low, high = [*key], [*key]
                low[axis], high[axis] = milder, worse
                decisions = [
                    ORDER.index(Ssvc(table.outcomes[table.answers[tuple(each)]].decision)) for each in (low, high)
                ]
                assert decisions[0] <= decisions[1], (low, high)


def test_cisas_tables_have_the_marks_of_the_published_ones() -> None:
    """Counts and corner rows, typed from the publications a second time."""
    coordinator, directive = written("cisa-coordinator"), written("cisa-bod-26-04")
    assert [list(coordinator.values()).count(word) for word in MEANS] == [18, 4, 10, 4]
    assert {key for key, said in coordinator.items() if said == "act"} == {
        ("active", "no", "total", "high"), ("active", "yes", "partial", "high"), ("active", "yes", "total", "medium"),
        ("active", "yes", "total", "high"),
    }  # fmt: skip
    assert [list(directive.values()).count(word) for word in BOD] == [2, 3, 6, 2, 3]
    assert {key for key, said in directive.items() if said == "3-days-forensic"} == {
        ("yes", "yes", "no", "total"), ("yes", "no", "yes", "total"), ("yes", "yes", "yes", "total"),
    }  # fmt: skip


# --- tables that are not complete are refused ------------------------------------------------------------------------

SMALL = """
name: small
version: "1"
kinds: [secret]
inputs:
  exposed: {values: [no, yes], unknown: no}
  technical_impact: {values: [partial, total], unknown: total}
outcomes: {later: {decision: Track}, now: {decision: Act, days: 1}}
rows:
"""


def test_a_small_table_with_any_and_or_is_read() -> None:
    table = read(SMALL + "  - no any later\n  - yes partial|total now\n", "small")
    assert table.answers["yes", "total"] == "now"
    assert len(table.answers) == 4


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("  - no any later\n  - yes total now\n", "no row for yes partial"),
        ("  - no any later\n  - any total now\n  - yes partial now\n", "no total more than once"),
        ("  - no any soon\n", "'soon' is no outcome"),
        ("  - no some later\n", "technical_impact cannot be some"),
        ("  - no later\n", "has 2 words"),
    ],
)
def test_what_is_missing_double_or_unknown_is_named(rows: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        read(SMALL + rows, "small")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("exposed:", "exposd:", "'exposd', which is no input Did you mean exposed"),
        ("[secret]", "[secrets]", "no kind"),
        ("[no, yes]", "[no]", "input exposed has the values no"),
        ("unknown: no", "unknown: maybe", "takes 'maybe'"),
        ("version:", "versoin:", "version: Field required"),
    ],
)
def test_a_table_of_unknown_words_is_refused(old: str, new: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        read(SMALL.replace(old, new) + "  - any any now\n", "small")


def own(**more: Any) -> dict[str, Any]:
    spec = yaml.safe_load(SMALL + "  - no any later\n  - yes any now\n") | more
    return {key: value for key, value in spec.items() if key != "name"}


def test_the_owners_table_takes_the_place_of_ours() -> None:
    rules = rules_of(Settings(triage={"tables": {"ours": own()}}))
    secret = finding(types=("Secrets",), internet_exposed=True, severity=Severity.LOW)
    got = rules.judge(secret, Environment.DEV)
    assert (got.table, got.priority, got.days) == ("ours/1", Priority.P1, 1)
    assert rules.judge(finding(), Environment.DEV) == default().judge(finding(), Environment.DEV)


def test_two_own_tables_for_one_kind_are_refused() -> None:
    with pytest.raises(SettingsError, match="a and b both give the decision of kind secret"):
        rules_of(Settings(triage={"tables": {"a": own(), "b": own()}}))


def test_crown_jewels_count_as_of_the_highest_importance_and_say_why() -> None:
    jewel = {"name": "ledger database", "match": {"tags": {"app": "ledger"}}}
    rules = rules_of(Settings(triage={"crown_jewels": [jewel]}))
    one = finding(resource=Resource(uid="r", tags={"app": "ledger"}))
    got = rules.judge(one, Environment.DEV)
    assert dict(got.values)["mission"] == "high"
    assert "a crown jewel: ledger database" in [reason.fact for reason in got.reasons]
    assert dict(rules.judge(finding(), Environment.DEV).values)["mission"] == "low"


# --- inputs ----------------------------------------------------------------------------------------------------------


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
    assert verdict.due == START + timedelta(days=DAYS[verdict.priority])


def test_what_is_not_known_is_said_and_never_counts_as_harmless() -> None:
    verdict = triage(finding(severity=Severity.OTHER, severity_word="spicy"), Environment.UNKNOWN, START)
    facts = {evidence.input: evidence for evidence in verdict.reasons}
    assert facts["severity"].value == "medium"
    assert "'spicy' is not known" in facts["severity"].fact
    assert facts["exposure"].value == "controlled"
    assert facts["environment"].value == "medium"


def test_a_vulnerability_of_which_nothing_is_known_takes_what_the_tables_say_stands_for_it() -> None:
    one = finding(class_uid=FindingClass.VULNERABILITY, vulnerabilities=(Vulnerability(uid="CVE-1"),))
    got = judge(one, Environment.PROD)
    assert dict(got.values) == {
        "exploitation": "none", "automatable": "no", "technical_impact": "total", "mission": "high", "kev": "no",
        "exposed": "no",
    }  # fmt: skip
    said = [reason.fact for reason in got.reasons if reason.input in {"automatable", "technical_impact", "exposed"}]
    assert all("not known" in fact and "taken as" in fact for fact in said)
    assert len(said) == 3


def test_cvss_raises_the_impact_and_data_raises_it_once_more() -> None:
    low = finding(severity=Severity.LOW, vulnerabilities=(Vulnerability(uid="CVE-1", cvss=7.5),), data_classes=("pii",))
    facts = {evidence.input: evidence for evidence in triage(low, Environment.PROD, START).reasons}
    assert facts["severity"].value == "high"
    assert facts["data"].value == "very_high"
    assert facts["data"].fact == "holds pii"


def test_regulated_data_is_never_of_low_importance() -> None:
    assert dict(judge(finding(data_classes=("PII",)), Environment.SANDBOX).values)["mission"] == "medium"
    assert dict(judge(finding(data_classes=("source code",)), Environment.SANDBOX).values)["mission"] == "low"


@pytest.mark.parametrize(("epss", "value"), [(0.0999, "none"), (0.1, "poc"), (0.29, "poc"), (None, "none")])
def test_epss_counts_from_a_tenth(epss: float | None, value: str) -> None:
    one = finding(class_uid=FindingClass.VULNERABILITY, vulnerabilities=(Vulnerability(uid="CVE-1", epss=epss),))
    assert triage(one, Environment.PROD, START).reasons[0].value == value


def test_others_words_count_where_the_source_says_nothing_and_carry_their_date() -> None:
    one = finding(class_uid=FindingClass.VULNERABILITY, vulnerabilities=(Vulnerability(uid="CVE-1"),))
    got = judge(one, Environment.PROD, "", Intel(epss=0.5, epss_read="2026-09-29", kev_read="2026-08-07"))
    first = got.reasons[0]
    assert (first.value, first.source) == ("poc", "FIRST EPSS")
    assert first.as_of is not None
    assert first.as_of.isoformat() == "2026-09-29T00:00:00+00:00"
    told = finding(class_uid=FindingClass.VULNERABILITY, vulnerabilities=(Vulnerability(uid="CVE-1", epss=0.01),))
    assert judge(told, Environment.PROD, "", Intel(epss=0.5, epss_read="2026-09-29")).reasons[0].value == "none"


def test_cisas_list_counts_whatever_the_source_says() -> None:
    told = finding(class_uid=FindingClass.VULNERABILITY, vulnerabilities=(Vulnerability(uid="CVE-1", kev=False),))
    got = judge(told, Environment.PROD, "", Intel(kev="2026-08-01", kev_read="2026-08-07"))
    assert got.reasons[0].value == "active"
    assert got.reasons[0].fact.startswith("added to KEV on 2026-08-01")
    assert got.priority is Priority.P1


@pytest.mark.parametrize(
    ("vector", "said"),
    [
        ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", (True, True)),
        ("CVSS:3.1/AV:N/AC:L/PR:N/UI:R/S:U/C:H/I:H/A:H", (False, True)),
        ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:N/A:N", (True, False)),
        ("CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N", (True, True)),
        ("CVSS:4.0/AV:N/AC:L/AT:P/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N", (False, True)),
        ("AV:N/AC:L/Au:N/C:C/I:C/A:C", (True, True)),
        ("AV:N/AC:M/Au:S/C:P/I:P/A:P", (False, False)),
        ("", (None, None)),
        ("rubbish", (None, None)),
    ],
)
def test_cvss_vectors(vector: str, said: tuple[bool | None, bool | None]) -> None:
    assert by_vector(vector) == said


@pytest.mark.parametrize(
    ("rule", "types", "resource", "kind"),
    [
        ("s3_bucket_public_access", (), "AwsS3Bucket", "misconfiguration"),
        ("iam_user_mfa_enabled_console_access", (), "AwsIamUser", "identity"),
        ("x", ("IAM misconfigurations",), "VM", "identity"),
        ("x", ("EXCESSIVE_ACCESS_FINDING",), "", "identity"),
        ("awslambda_function_no_secrets_in_code", (), "AwsLambdaFunction", "secret"),
        ("secretsmanager_automatic_rotation_enabled", (), "AwsSecretsManagerSecret", "misconfiguration"),
        ("x", ("SECRET_INSTANCE",), "", "secret"),
        ("x", ("DATA_FINDING",), "BUCKET", "data"),
        ("x", ("Data at risk",), "", "data"),
        ("ec2_securitygroup_allow_ingress", (), "AwsEc2SecurityGroup", "misconfiguration"),
    ],
)
def test_kinds(rule: str, types: tuple[str, ...], resource: str, kind: str) -> None:
    assert kind_of(FindingClass.COMPLIANCE, rule, types, resource) == kind


def test_what_a_resource_is_called_or_described_as_changes_nothing() -> None:
    base = finding(rule_uid="x", types=("IAM",))
    loud = finding(rule_uid="x", types=("IAM",), title="admin root secret", desc="DATA_FINDING", risk="KEV",
                   resource=Resource(uid="admin", name="root-secret-pii"))  # fmt: skip
    assert judge(base, Environment.PROD) == judge(loud, Environment.PROD)
    assert privilege_of("AdministratorAccess", ()) == "admin"


def test_a_due_date_of_the_source_counts_when_it_is_earlier() -> None:
    soon = START + timedelta(hours=1)
    assert triage(finding(due=soon), Environment.PROD, START).due == soon
    late = triage(finding(due=START + timedelta(days=900)), Environment.PROD, START)
    assert late.due == START + timedelta(days=DAYS[late.priority])


def test_every_input_has_a_function_and_every_line_of_evidence_a_source() -> None:
    assert set(INPUTS) == set(VOCABULARY)
    for _, _, one, mission in misconfigured():
        assert all(reason.source and reason.fact for reason in judge(one, ENVIRONMENT[mission]).reasons)


def test_the_stored_json_is_the_verdict() -> None:
    one = finding(internet_exposed=True, title='"due":null', severity_word='"due":null', severity=Severity.OTHER)
    judgement = judge(one, Environment.PROD, "tag env=prod []")
    assert Verdict.model_validate_json(judgement.json(START)) == judgement.verdict(START)
