"""Field by field what becomes of Wiz's words; and what damage may do."""

from __future__ import annotations

import copy
import time
from datetime import UTC, datetime
from typing import Any

import pytest
from example_wiz import BUCKET, EXAMPLES, SERVER, configuration, detection, issue, threat, vulnerability
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sources_table import members

from bot.domain.errors import BadInput
from bot.domain.findings import Control, FindingClass, OwnerHint, Severity, SourceStatus
from connectors.markup import commands, links, plain
from connectors.wiz import WizMapper

MAPPER = WizMapper()


def test_an_issue() -> None:
    found = MAPPER.map(issue())
    assert found.class_uid is FindingClass.DETECTION
    assert found.title == "Publicly readable bucket with customer data"
    assert found.desc == "The bucket can be read by anyone, see it."
    assert found.remediation == "Block it:\n\naws s3api put-public-access-block --bucket <name>"
    assert found.remediation_cli == "aws s3api put-public-access-block --bucket <name>"
    assert found.references == ("https://docs.acme.example/s3",)
    assert (found.severity, found.severity_word) == (Severity.CRITICAL, "CRITICAL")
    assert (found.result, found.result_word) == (SourceStatus.NEW, "OPEN")
    assert found.resource.model_dump() == {
        "uid": BUCKET, "name": "acme-customer-exports", "type": "bucket", "region": "us-east-1",
        "tags": {"env": "prod", "owner": "payments"},
    }  # fmt: skip
    assert found.account.model_dump() == {
        "uid": "123456789012", "name": "Acme production", "provider": "aws", "labels": {"cost": "17"},
    }  # fmt: skip
    assert found.first_seen == datetime(2026, 11, 1, 8, 0, 0, 123456, UTC)
    assert found.last_seen == datetime(2026, 11, 20, 8, 0, 0, 123456, UTC)  # nine digits, six are kept
    assert found.modified == datetime(2026, 11, 19, 8, 0, 0, 500_000, UTC)
    assert found.due == datetime(2026, 12, 1, tzinfo=UTC)
    assert found.internet_exposed is True
    assert found.business_impact == "HBI"
    assert found.environment_hint == "prod"
    assert OwnerHint(kind="project_owner", value="olivia@acme.example") in found.owner_hints
    assert OwnerHint(kind="security_champion", value="sam@acme.example") in found.owner_hints
    assert OwnerHint(kind="business_unit", value="Retail") in found.owner_hints
    assert found.controls == (
        Control(standard="CIS AWS 3.0.0", requirement="2.1.4 Ensure that S3 is configured with Block Public Access"),
    )
    assert found.risk == "EXTERNAL_EXPOSURE, SENSITIVE_DATA"
    assert found.url == f"https://app.wiz.io/issues#~(issue~'{found.uid})"
    assert found.console_url == "https://s3.console.aws.amazon.com/s3/buckets/acme-customer-exports"
    assert found.tickets == ("https://jira.acme.example/SEC-1",)
    assert found.extra["scope"] == "wiz:issue:CRITICAL"


@pytest.mark.parametrize(
    ("status", "reason", "result"),
    [
        ("OPEN", "FALSE_POSITIVE", SourceStatus.NEW),  # the reason stays after a reopen: the status counts
        ("IN_PROGRESS", "", SourceStatus.IN_PROGRESS),
        ("RESOLVED", "ISSUE_FIXED", SourceStatus.RESOLVED),
        ("RESOLVED", "OBJECT_DELETED", SourceStatus.DELETED),
        ("REJECTED", "EXCEPTION", SourceStatus.SUPPRESSED),
        ("resolved", "", SourceStatus.RESOLVED),
        ("ESCALATED", "", SourceStatus.OTHER),
        (None, "", SourceStatus.NEW),
    ],
)
def test_the_status_of_an_issue(status: str | None, reason: str, result: SourceStatus) -> None:
    node = issue(status=status, resolutionReason=reason)
    found = MAPPER.map(node)
    assert found.result is result
    assert found.result_word == (status or "")
    assert MAPPER.sight(node).closed == (result in (SourceStatus.RESOLVED, SourceStatus.DELETED))


def test_a_rejection_ends_when_wiz_says() -> None:
    found = MAPPER.map(threat())
    assert found.suppressed_until == datetime(2026, 12, 24, tzinfo=UTC)
    assert found.status_reason == "EXCEPTION; a test of ours"
    assert MAPPER.map(threat() | {"status": "OPEN"}).suppressed_until is None


@pytest.mark.parametrize(
    ("result", "status", "deleted", "stands"),
    [
        ("FAIL", "OPEN", False, SourceStatus.NEW),
        ("FAIL", "IN_PROGRESS", False, SourceStatus.IN_PROGRESS),
        ("FAIL", "REJECTED", False, SourceStatus.SUPPRESSED),
        ("FAIL", "RESOLVED", False, SourceStatus.NEW),  # what the scan saw last counts
        ("PASS", "OPEN", False, SourceStatus.RESOLVED),
        ("PASS", None, False, SourceStatus.RESOLVED),
        ("FAIL", "OPEN", True, SourceStatus.DELETED),
        ("ERROR", "OPEN", False, SourceStatus.OTHER),
        ("IN_PROGRESS", None, None, SourceStatus.OTHER),
        (None, "RESOLVED", None, SourceStatus.RESOLVED),
        (None, None, None, SourceStatus.NEW),
    ],
)
def test_the_result_of_a_configuration_finding(
    result: str | None, status: str | None, deleted: bool | None, stands: SourceStatus
) -> None:
    assert MAPPER.map(configuration(result=result, status=status, deleted=deleted)).result is stands


def test_a_configuration_finding() -> None:
    found = MAPPER.map(configuration())
    assert found.class_uid is FindingClass.COMPLIANCE
    assert (found.rule_uid, found.title) == ("S3-001", "S3 bucket should not be public")
    assert (found.resource.uid, found.account.uid, found.account.provider) == (BUCKET, "123456789012", "aws")
    assert found.remediation == "Turn on Block Public Access of <bucketName>."
    assert found.last_seen == datetime(2026, 11, 20, 3, tzinfo=UTC)
    assert found.modified == datetime(2026, 11, 2, 3, tzinfo=UTC)
    fallback = MAPPER.map(configuration(remediation=None))
    assert fallback.remediation_cli == "aws s3api put-public-access-block"


def test_the_resource_of_a_configuration_finding_by_what_there_is() -> None:
    node = configuration()
    node["resource"]["providerId"] = None
    assert MAPPER.map(node).resource.uid == BUCKET  # inside targetExternalId
    node["targetExternalId"] = None
    assert MAPPER.map(node).resource.uid == node["resource"]["id"]


def test_a_vulnerability() -> None:
    found = MAPPER.map(vulnerability())
    assert found.class_uid is FindingClass.VULNERABILITY
    assert (found.rule_uid, found.title) == ("CVE-2021-44228", "CVE-2021-44228 in log4j-core")
    (what,) = found.vulnerabilities
    assert (what.cvss, what.epss, what.epss_percentile) == (9.9, 0.94, 0.9990000000000001)
    assert (what.kev, what.exploit, what.fix, what.fixed_version) == (True, True, True, "2.17.1")
    assert found.resource.uid == SERVER
    assert found.internet_exposed is True
    assert found.remediation_cli == "yum update log4j-core"
    assert found.extra["scope"] == "wiz:vulnerability:CRITICAL:exploit"
    assert [one.name for one in found.other_resources] == ["bastion"]
    assert found.suppressed_until is None
    rejected = MAPPER.map(vulnerability(status="REJECTED"))
    assert rejected.suppressed_until == datetime(2026, 12, 24, tzinfo=UTC)
    assert rejected.result is SourceStatus.SUPPRESSED


@pytest.mark.parametrize(
    ("score", "other", "cvss"), [(7.5, None, 7.5), (0, 4.8, 4.8), (0, None, None), ("8.1", None, 8.1), (11, None, None)]
)
def test_a_score_of_zero_is_no_score(score: Any, other: Any, cvss: float | None) -> None:
    assert MAPPER.map(vulnerability(score=score, cnaScore=other)).vulnerabilities[0].cvss == cvss


def test_a_detection_takes_the_provider_id_of_its_primary_resource_from_the_list() -> None:
    found = MAPPER.map(detection())
    assert (found.resource.uid, found.resource.region) == (SERVER, "us-east-1")
    assert [one.name for one in found.other_resources] == ["prod"]
    assert found.desc == "The program /usr/sbin/sshd took a connection."
    assert found.risk == "a login on bastion-1"
    assert found.url.endswith("issue~'0d3c2f9a-6a52-4b9c-8f1d-2f60f1f0a002)")
    assert found.types == ("GENERATED_THREAT", "WIZ_SENSOR")
    assert found.extra["actors"] == ["root"]


@pytest.mark.parametrize(
    ("platform", "uid", "account", "provider"),
    [
        ("AWS", "", "", "aws"), ("Azure", "", "", "azure"), ("GCP", "", "", "gcp"), ("EKS", "", "", "aws"),
        ("Kubernetes", "k8s/pod/x", "123456789012", "aws"), ("Kubernetes", "k8s/pod/x", "", "kubernetes"),
        ("AKS", "", "", "azure"), ("", BUCKET, "", "aws"), (None, "/subscriptions/x", "", "azure"),
        ("Kubernetes", "x", "cfd132be-3bc7-4f86-8efd-ed53ae498fec", "azure"), ("vSphere", "", "", "vsphere"),
        (None, "//storage.googleapis.com/x", "", "gcp"), ("Oracle Moon", "", "", "oraclemoon"), (None, "", "", ""),
    ],
)  # fmt: skip
def test_the_cloud_of_a_platform(platform: str | None, uid: str, account: str, provider: str) -> None:
    node = issue()
    node["entitySnapshot"] |= {"cloudPlatform": platform, "providerId": uid, "externalId": "",
                               "subscriptionExternalId": account}  # fmt: skip
    assert MAPPER.map(node).account.provider == provider


@pytest.mark.parametrize(
    ("word", "severity"),
    [
        ("INFORMATIONAL", Severity.INFORMATIONAL), ("NONE", Severity.INFORMATIONAL), ("LOW", Severity.LOW),
        ("MEDIUM", Severity.MEDIUM), ("HIGH", Severity.HIGH), ("critical", Severity.CRITICAL),
        ("SEVERE", Severity.OTHER), (None, Severity.UNKNOWN),
    ],
)  # fmt: skip
def test_severities_keep_their_word(word: str | None, severity: Severity) -> None:
    found = MAPPER.map(issue(severity=word))
    assert (found.severity, found.severity_word) == (severity, word or "")


def test_ids_inside_wizs_own_ids() -> None:
    node = issue()
    place = node["entitySnapshot"]
    place |= {"providerId": "81##CloudPlatform/ContainerImage##r.example##a/b@sha256:1##CVE-2022-48174##busybox##1.35",
              "externalId": "", "type": "SECURITY_TOOL_FINDING"}  # fmt: skip
    found = MAPPER.map(node)
    assert found.resource.uid == place["providerId"]
    assert found.vulnerabilities[0].model_dump(include={"uid", "package", "version"}) == {
        "uid": "CVE-2022-48174", "package": "busybox", "version": "1.35",
    }  # fmt: skip
    place |= {"providerId": "data##x##y", "externalId": BUCKET, "type": "DATA_FINDING", "name": "GDPR"}
    found = MAPPER.map(node)
    assert (found.resource.uid, found.data_classes) == (BUCKET, ("GDPR",))


def test_what_changes_every_scan_does_not_change_the_sighting() -> None:
    assert MAPPER.sight(issue()) == MAPPER.sight(issue(updatedAt="2027-01-01T00:00:00Z", p_parse_time="x"))
    assert MAPPER.sight(configuration()) == MAPPER.sight(configuration(analyzedAt="2027-01-01T00:00:00Z"))
    assert MAPPER.sight(vulnerability()) == MAPPER.sight(
        vulnerability(lastDetectedAt="2027-01-01T00:00:00Z", relatedIssueAnalytics={"issueCount": 9})
    )


def test_objects_without_an_id_are_known_by_rule_and_resource() -> None:
    nodes = [{k: v for k, v in node.items() if k != "id"} for node in (issue(), configuration(), vulnerability())]
    uids = {MAPPER.map(node).uid for node in nodes}
    assert len(uids) == 3
    assert all(uid.startswith("wiz-") for uid in uids)
    assert uids == {MAPPER.sight(copy.deepcopy(node)).uid for node in nodes}
    with pytest.raises(BadInput, match="cannot be told from others"):
        MAPPER.map({"sourceRule": {}, "severity": "HIGH"})


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12)
    | st.sampled_from(["\x00", "\ud800", "NaN", "{", "[1", "{{x}}", "9" * 400]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)  # fmt: skip
PLACES = [(number, path) for number, example in enumerate(EXAMPLES) for path in members(example)]


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(place=st.sampled_from(PLACES), cut=st.integers(0, 3), junk=JUNK, drop=st.booleans())
def test_damage_anywhere_never_crashes(place: tuple[int, tuple[Any, ...]], cut: int, junk: Any, drop: bool) -> None:
    number, path = place
    path = path[: max(1, len(path) - cut)]
    node = copy.deepcopy(EXAMPLES[number])
    holder: Any = node
    for step in path[:-1]:
        holder = holder[step]
    if drop:
        del holder[path[-1]]
    else:
        holder[path[-1]] = junk
    try:
        sighting, found = MAPPER.sight(node), MAPPER.map(node)
    except BadInput:
        return
    assert sighting.uid == found.uid
    found.model_dump_json().encode("utf-8")


# --- markup ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "read"),
    [
        ("a **bold** and `code`", "a bold and code"),
        ("see [the page](https://a.example/x) now", "see the page now"),
        ("# Head\n\n\n\n> **Note** \nx", "Head\n\nNote\nx"),
        ("set {{ bucketName }} and {{a.b}}", "set <bucketName> and <a.b>"),
        (':cloud-resource[web\\-1 \\(x\\)]{resourceId="1" a="b"} fell', "web-1 (x) fell"),
        ("one<br/>two <b>three</b> &amp; 1 < 2", "one\ntwo three & 1 < 2"),
        ("```bash\naws s3 ls\n```", "aws s3 ls"),
        ("2 * 3 * 4 and snake_case_name __init__", "2 * 3 * 4 and snake_case_name init"),
        ("", ""),
    ],
)
def test_markup_becomes_plain_text(said: str, read: str) -> None:
    assert plain(said) == read


def test_links_and_commands_are_taken_from_markdown() -> None:
    said = (
        "[a](https://a.example) [b](http://b.example) [a](https://a.example)\n```\naws x \\\n  --y {{z}}\necho no\n```"
    )
    assert links(said) == ("https://a.example",)
    assert commands(said) == "aws x --y <z>"
    assert commands("aws x without a block") == ""


@pytest.mark.parametrize("piece", ["**a ", "__a ", "[", "[a](", "[a](https://", ":a[", ":a[x]{", "```\n", "`", "{{",
                                   "<b ", "\\", "# ", "~~~\n", "aws \\\n", " \\", "&"])  # fmt: skip
def test_long_markup_that_never_ends_is_read_in_time(piece: str) -> None:
    said = (piece * 64_000)[:64_000]
    began = time.perf_counter()
    plain(said)
    links(said)
    commands(said)
    commands(f"```\n{said}\n```")
    assert time.perf_counter() - began < 1.5


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet="ab *_`[](){}<>#:\\/\n-&;", max_size=120))
def test_markup_of_any_kind_is_read_in_time(said: str) -> None:
    assert isinstance(plain(said * 20), str)
    commands(said * 20)
    links(said * 20)
