"""Every recorded payload of Orca: what is a finding is kept with the right fields, what is none is named."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bot.domain.findings import Finding, FindingClass, Severity, SourceStatus
from connectors.registry import connector

SAMPLES = Path(__file__).resolve().parents[3] / "shared" / "samples" / "orca"
NAMED = {
    "alerts-empty.json": "empty page",
    "assets-list-rapid7.json": "asset",
    "response-comment.json": "history entry of an alert (comment)",
    "response-severity.json": "history entry of an alert (score_override)",
    "response-status-close.json": "history entry of an alert (set_status)",
    "response-status-in-progress.json": "history entry of an alert (set_status)",
    "response-status-open.json": "history entry of an alert (set_status)",
    "response-verify.json": "answer to a scan request",
    "serving-layer-asset.json": "asset",
    "session-response.json": "login answer",
}
COUNTS = {
    "alert-by-id-rapid7.json": 1,
    "alert-panther-aws-sg-outbound.json": 1,
    "alert-panther-k8s-vulnerable-software.json": 1,
    "alert-panther-repo-weak-hash.json": 1,
    "legacy-mock-alerts-response.json": 2,
    "query-alerts-page-demisto.json": 1,
    "query-cves-page-1.json": 40,
    "serving-layer-alert.json": 1,
    "serving-layer-vulnerability.json": 1,
}
pytestmark = pytest.mark.shared


def read(name: str) -> tuple[list[Finding], tuple[str, ...]]:
    if not SAMPLES.is_dir():
        why = "the recorded payloads (../shared/samples) are not beside the repository"
        if os.environ.get("CI"):
            pytest.fail(why)
        pytest.skip(why)
    found, mapper = connector("orca"), connector("orca").mapper()
    with (SAMPLES / name).open("rb") as stream:
        pages = list(found.read(stream, name))
    assert [said for page in pages for said in page.rejected] == []
    items = [item for page in pages for item in page.items]
    assert [mapper.sight(item).uid for item in items] == [mapper.map(item).uid for item in items]
    return [mapper.map(item) for item in items], tuple(note for page in pages for note in page.notes)


def test_every_sample_is_listed_here() -> None:
    read("alerts-empty.json")
    assert {file.name for file in SAMPLES.glob("*.json")} == NAMED.keys() | COUNTS.keys()


@pytest.mark.parametrize("name", sorted(NAMED))
def test_what_carries_no_finding_is_named(name: str) -> None:
    found, notes = read(name)
    assert found == []
    assert notes == (f"{NAMED[name]}: carries no finding",)


@pytest.mark.parametrize("name", sorted(COUNTS))
def test_every_finding_is_kept(name: str) -> None:
    found, notes = read(name)
    assert len({one.uid for one in found}) == COUNTS[name] == len(found)
    assert not any("carries no finding" in note for note in notes)
    for one in found:
        assert Finding.model_validate_json(one.model_dump_json()) == one
        assert one.title
        assert one.rule_uid
        assert "{" not in one.title + one.desc + one.remediation
        assert "**" not in one.remediation + one.remediation_cli


def test_an_alert_by_its_id_without_its_asset_takes_the_name_from_the_text() -> None:
    (one,), _ = read("alert-by-id-rapid7.json")
    assert (one.uid, one.rule_uid, one.class_uid) == ("orca-001", "r27471a255e", FindingClass.COMPLIANCE)
    assert one.resource.uid == "a51a26a188ddb415d87d7f96b3c4a128"
    assert one.resource.type == "AwsEc2Elb"
    assert one.resource.tags["kubernetes.io/cluster/Omikron"] == "owned"
    assert (one.severity, one.severity_word, one.score) == (Severity.LOW, "hazardous", 3.0)
    assert one.first_seen == datetime(2022, 3, 19, 16, 55, 8, tzinfo=UTC)
    assert one.modified == datetime(2022, 8, 10, 16, 28, 51, tzinfo=UTC)
    assert one.url == "https://app.orcasecurity.io/alerts/orca-001"


def test_a_feed_of_a_siem_with_nine_digits_and_space_in_its_times() -> None:
    (one,), _ = read("alert-panther-aws-sg-outbound.json")
    assert one.resource.uid == "arn:aws:ec2:ap-southeast-2:111111111111:network-acl/acl-0123456789abcdef0"
    assert (one.account.uid, one.account.provider, one.resource.region) == ("111111111111", "aws", "ap-southeast-2")
    assert (one.severity, one.severity_word, one.result) == (Severity.LOW, "low", SourceStatus.NEW)
    assert one.first_seen == datetime(2025, 3, 13, 4, 5, 33, tzinfo=UTC)
    assert len(one.controls) == 23
    assert one.extra["mitre"] == "exfiltration"


def test_an_alert_about_software_on_a_kubernetes_node() -> None:
    (one,), _ = read("alert-panther-k8s-vulnerable-software.json")
    assert one.class_uid is FindingClass.VULNERABILITY
    (cve,) = one.vulnerabilities
    assert (cve.uid, cve.package, cve.version, cve.cvss) == ("CVE-2024-45337", "golang.org/x/crypto", "0.28.0", 8.2)
    assert (one.account.provider, one.account.uid) == ("gcp", "kubernetes-test-123456")
    assert (one.resource.uid, one.resource.name, one.resource.region) == (
        "1234567890123456789", "e2e-test", "us-central1")  # fmt: skip
    assert one.resource.tags["goog-k8s-cluster-name"] == "e2e-test"
    assert one.internet_exposed is True


def test_a_flaw_in_code_is_about_the_repository() -> None:
    (one,), _ = read("alert-panther-repo-weak-hash.json")
    assert (one.resource.uid, one.account.provider) == ("org-name/repo-name", "shiftleft")
    assert (one.class_uid, one.severity) == (FindingClass.DETECTION, Severity.MEDIUM)
    assert one.extra["place"].endswith("HashingAssignment.java:55")


def test_the_oldest_alerts_have_only_the_old_scale() -> None:
    (first, second), _ = read("legacy-mock-alerts-response.json")
    assert (first.severity, first.severity_word) == (Severity.CRITICAL, "compromised")
    assert (first.result, second.result) == (SourceStatus.IN_PROGRESS, SourceStatus.NEW)
    assert first.resource.uid == "arn:aws:s3:::scan-me-s3-bucket-s8rrr"
    assert (first.internet_exposed, first.data_classes) == (True, ("pii",))
    assert first.tickets == ("https://www.jira.com/myproject",)
    assert second.resource.uid == "ami-11111c111111d7911"  # its Region is not told: no ARN is made up


def test_risk_level_goes_before_the_old_word() -> None:
    (one,), _ = read("query-alerts-page-demisto.json")
    assert (one.severity, one.severity_word, one.score) == (Severity.LOW, "low", 3.6)
    assert one.extra["old_severity"] == "hazardous"
    assert one.remediation.startswith("Remove Trent user.")
    assert one.resource.region == "eu-central-1"


def test_cves_of_the_older_api_are_one_finding_for_each_asset() -> None:
    found, _ = read("query-cves-page-1.json")
    one = next(f for f in found if f.rule_uid == "CVE-2018-25032")
    assert one.uid == "CVE-2018-25032|vm_570398916848_i-080f6dfdeac0c7ffc"
    assert (one.resource.uid, one.account.uid, one.account.provider) == ("i-080f6dfdeac0c7ffc", "570398916848", "aws")
    assert (one.vulnerabilities[0].cvss, one.vulnerabilities[0].fix) == (7.5, True)
    assert (one.severity, one.severity_word) == (Severity.MEDIUM, "hazardous")


def test_an_alert_of_the_serving_layer() -> None:
    (one,), _ = read("serving-layer-alert.json")
    assert (one.uid, one.extra["alert"], one.rule_uid) == ("263534", "orca-1263534", "r81a3c225f3")
    assert (one.severity, one.score, one.result) == (Severity.LOW, 3.1, SourceStatus.NEW)
    assert one.status_reason == ""  # of its last closing; it is open again
    assert (one.vulnerabilities[0].fixed_version, one.vulnerabilities[0].version) == ("6.2.11", "5.3.22")
    assert one.modified == datetime(2025, 9, 23, 11, 36, 35, tzinfo=UTC)
    assert one.resource.tags == {"retest_tag": "maybe"}


def test_a_vulnerability_of_the_serving_layer() -> None:
    (one,), _ = read("serving-layer-vulnerability.json")
    (cve,) = one.vulnerabilities
    assert (cve.uid, cve.epss, cve.kev, cve.exploit, cve.fix) == ("CVE-2022-3219", 0.012, False, False, False)
    assert (cve.package, cve.version) == ("gnupg", "2.2.27-3ubuntu2.1")
    assert (one.severity, one.severity_word) == (Severity.LOW, "LOW")
    assert one.internet_exposed is False
    assert one.business_impact == "crown jewel score 95"
    assert one.resource.type == "AwsEc2Instance"
