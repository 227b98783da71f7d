import io
import json
from typing import Any

import pytest
from connector_shapes import asff, prowler

from bot.domain.errors import BadInput
from bot.domain.findings import FindingClass, Severity, SourceStatus
from connectors.security_hub import MANIFEST
from connectors.security_hub.mapping import SecurityHubMapper

MAPPER = SecurityHubMapper()
CVE = {
    "Id": "CVE-2026-0001",
    "Cvss": [{"BaseScore": 7.5, "BaseVector": "low"}, {"BaseScore": "9.8", "BaseVector": "high"}, {"BaseScore": 99}],
    "EpssScore": 0.42,
    "ExploitAvailable": "YES",
    "FixAvailable": "PARTIAL",
    "VulnerablePackages": [
        {"Name": "kernel", "Version": "5.1", "FixedInVersion": "5.2", "Remediation": "yum update kernel"},
        {"Name": "kernel-tools", "Version": "5.1", "FixedInVersion": "5.2"},
    ],
}


def read(value: Any) -> list[Any]:
    pages = MANIFEST.read(io.BytesIO(json.dumps(value).encode()), "f.json")
    return [item for page in pages for item in page.items]


def test_a_failed_control() -> None:
    found = MAPPER.map(asff())
    assert found.uid == f"{asff()['Id']}|{asff()['ProductArn']}"
    assert (found.rule_uid, found.severity, found.score) == ("S3.2", Severity.HIGH, 70)
    assert (found.class_uid, found.result) == (FindingClass.COMPLIANCE, SourceStatus.NEW)
    assert found.resource.name == "acme-invoices"
    assert [r.uid for r in found.other_resources] == ["AWS::::Account:123456789012"]
    assert [(h.kind, h.value) for h in found.owner_hints] == [("tag:team", "payments")]
    assert [(c.standard, c.requirement) for c in found.controls] == [
        ("PCI DSS v3.2.1", "1.2.1"),
        ("standards/aws-foundational-security-best-practices/v/1.0.0", ""),
    ]
    assert found.first_seen is not None
    assert found.first_seen.isoformat() == "2026-11-01T00:00:00+00:00"
    assert found.url.startswith("https://eu-west-1.console.aws.amazon.com/securityhub/home?region=eu-west-1#/findings?")


@pytest.mark.parametrize(
    ("record", "workflow", "check", "expected"),
    [
        ("ACTIVE", "NEW", "FAILED", SourceStatus.NEW),
        ("ACTIVE", "NEW", None, SourceStatus.NEW),
        ("ACTIVE", "NOTIFIED", "FAILED", SourceStatus.IN_PROGRESS),
        ("ACTIVE", "SUPPRESSED", "FAILED", SourceStatus.SUPPRESSED),
        ("ACTIVE", "RESOLVED", "FAILED", SourceStatus.RESOLVED),
        ("ACTIVE", "NEW", "PASSED", SourceStatus.RESOLVED),
        ("ACTIVE", "SUPPRESSED", "PASSED", SourceStatus.RESOLVED),
        ("ARCHIVED", "NEW", "FAILED", SourceStatus.ARCHIVED),
        ("ACTIVE", "NEW", "WARNING", SourceStatus.OTHER),
        ("ACTIVE", "NEW", "NOT_AVAILABLE", SourceStatus.OTHER),
        ("ACTIVE", "PONDERED", "FAILED", SourceStatus.OTHER),
    ],
)
def test_three_states_make_one_result(record: str, workflow: str, check: str | None, expected: SourceStatus) -> None:
    compliance = {"Compliance": {"Status": check}} if check else {"Compliance": None}
    found = MAPPER.map(asff(RecordState=record, Workflow={"Status": workflow}, **compliance))
    assert found.result is expected
    assert found.result_word == "/".join(w for w in (record, workflow, check) if w)


def test_a_check_that_could_not_tell_is_said_and_neither_opens_nor_resolves() -> None:
    unsure = [asff(n, Compliance={"Status": word}) for n, word in enumerate(("WARNING", "NOT_AVAILABLE"))]
    suppressed = asff(3, Compliance={"Status": "WARNING"}, Workflow={"Status": "SUPPRESSED"})
    (page,) = MANIFEST.read(io.BytesIO(json.dumps([*unsure, suppressed, asff(4)]).encode()), "f.json")
    assert [item["Id"][-1] for item in page.items] == ["3", "4"]
    assert page.notes[0].startswith("2 checks could not tell")


def test_times_and_counters_change_no_content_but_a_persons_word_does() -> None:
    first = MAPPER.sight(asff())
    later = asff(UpdatedAt="2026-11-25T00:00:00Z", LastObservedAt="2026-11-25T00:00:00Z", ProcessedAt="x")
    later["Resources"][0]["Details"] = {"AwsS3Bucket": {"CreatedAt": "x"}}
    later["ProductFields"] = {"aws/guardduty/service/count": "109"}
    assert MAPPER.sight(later) == first
    assert MAPPER.sight(asff(Workflow={"Status": "SUPPRESSED"})).content != first.content


def test_a_cve_has_one_entry_a_package_and_is_its_own_rule() -> None:
    found = MAPPER.map(asff(Compliance=None, GeneratorId="AWSInspector", Vulnerabilities=[CVE]))
    assert found.class_uid is FindingClass.VULNERABILITY
    assert found.rule_uid == "CVE-2026-0001"
    assert [(v.package, v.cvss, v.cvss_vector, v.epss, v.exploit, v.fix) for v in found.vulnerabilities] == [
        ("kernel", 9.8, "high", 0.42, True, True),
        ("kernel-tools", 9.8, "high", 0.42, True, True),
    ]
    assert found.remediation_cli == "yum update kernel"


def test_a_vulnerability_told_only_in_the_title() -> None:
    types = ["Software and Configuration Checks/Vulnerabilities/CVE"]
    found = MAPPER.map(asff(Compliance=None, Types=types, Title="CVE-2026-12345 - openssl"))
    assert [v.uid for v in found.vulnerabilities] == ["CVE-2026-12345"]


def test_guardduty_findings_of_one_detector_are_not_one_rule() -> None:
    guardduty = {"ProductArn": "arn:aws:securityhub:us-east-1::product/aws/guardduty", "Compliance": None}
    found = MAPPER.map(asff(**guardduty, Types=["TTPs/Defense Evasion/DefenseEvasion:EC2-UnusualDNSResolver"]))
    assert found.rule_uid == "DefenseEvasion:EC2-UnusualDNSResolver"
    assert found.class_uid is FindingClass.DETECTION


@pytest.mark.parametrize("normalized", [(0, 1), (1, 2), (39, 2), (40, 3), (70, 4), (90, 5)])
def test_severity_before_there_were_labels(normalized: tuple[int, int]) -> None:
    assert MAPPER.map(asff(Severity={"Normalized": normalized[0]})).severity == normalized[1]


@pytest.mark.parametrize(
    ("region", "host"),
    [("us-gov-west-1", "console.amazonaws-us-gov.com"), ("cn-north-1", "console.amazonaws.cn"), ("<x>", "")],
)
def test_console_link_of_other_partitions(region: str, host: str) -> None:
    assert (host in MAPPER.map(asff(Region=region)).url) if host else MAPPER.map(asff(Region=region)).url == ""


def test_files_and_events_give_the_same_findings() -> None:
    one, two = asff(1), asff(2)
    event = {"version": "0", "detail-type": "Security Hub Findings - Imported", "detail": {"findings": [one, two]}}
    for value in ([one, two], {"Findings": [one, two]}, {"findings": [one, two], "NextToken": "x"}, event, [event]):
        assert read(value) == [one, two]


def test_the_new_security_hub_is_understood() -> None:
    raw = {
        "class_uid": 2003,
        "metadata": {
            "uid": "m",
            "product": {"name": "Security Hub", "uid": "arn:aws:securityhub:us-east-1::product/x"},
        },
        "finding_info": {
            "uid": "arn:f",
            "title": "Buckets should",
            "modified_time": 1795381621000,
            "types": ["Posture"],
        },
        "severity_id": 6,
        "status_id": 3,
        "compliance": {"control": "S3.2", "status": "fail", "standards": ["fsbp"], "requirements": ["PCI/1.1"]},
        "resources": [
            {"uid_alt": "arn:aws:s3:::b", "type": "AWS::S3::Bucket", "tags": [{"name": "env", "value": "prod"}]}
        ],
        "cloud": {"account": {"uid": "123456789012"}, "region": "us-east-1", "provider": "AWS"},
    }
    event = {"detail-type": "Findings Imported V2", "detail": {"findings": [raw]}}
    (item,) = read(event)
    found = MAPPER.map(item)
    assert (found.rule_uid, found.severity, found.result) == ("S3.2", Severity.CRITICAL, SourceStatus.SUPPRESSED)
    assert (found.resource.uid, found.environment_hint) == ("arn:aws:s3:::b", "prod")
    assert "/securityhub/v2/home" in found.url
    assert MAPPER.map(raw | {"status_id": 1, "activity_id": 3}).result is SourceStatus.ARCHIVED


@pytest.mark.parametrize("raw", [{}, {"Id": ""}, {"SchemaVersion": "x"}, prowler(), {"Id": None, "ProductArn": "x"}])
def test_what_is_no_finding_is_refused(raw: dict[str, Any]) -> None:
    for each in (MAPPER.map, MAPPER.sight):
        with pytest.raises(BadInput, match="not a Security Hub finding"):
            each(raw)
