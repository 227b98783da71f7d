"""Key fields of every recorded payload of Prisma Cloud: is each the right one? Read off the payloads by hand."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from test_source_samples import items, need_shared

from bot.domain.findings import Finding, FindingClass, Severity, SourceStatus
from connectors.prisma_cloud.mapping import PrismaCloudMapper

pytestmark = pytest.mark.shared


def made(name: str) -> list[Finding]:
    need_shared()
    found, rejected = items("prisma_cloud", name)
    assert rejected == []
    return [PrismaCloudMapper().map(item) for item in found]


def test_a_detailed_alert_of_configuration() -> None:
    (found,) = made("alert-config-detailed.json")
    assert (found.uid, found.class_uid, found.title) == ("P-11111", FindingClass.COMPLIANCE, "Policy name")
    assert (found.severity, found.result, found.result_word) == (Severity.HIGH, SourceStatus.NEW, "open")
    assert found.rule_uid == "a11b2cc3-1111-2222-33aa-a1b23ccc4dd5"
    assert (found.resource.uid, found.resource.name, found.resource.region) == ("ab-11a2b3n4m", "default", "us-east-1")
    assert (found.account.uid, found.account.name, found.account.provider) == ("111111111111", "FakeAccount", "aws")
    assert found.first_seen == datetime(2019, 5, 7, 18, 33, 38, 605000, UTC)
    assert found.modified == datetime(2022, 11, 23, 9, 40, 36, 771000, UTC)
    assert found.last_seen is None
    assert [(c.standard, c.requirement) for c in found.controls] == [
        ("CIS v1.2.0 (AWS)", "4.3"),
        ("Cyber Security Network (CSN)", "CPM-AP1"),
    ]
    assert found.console_url.startswith("https://fake.amazon.com/vpc/")
    assert found.status_reason == "RESOURCE_UPDATED"


def test_a_dismissed_alert_with_a_command() -> None:
    (found,) = made("alert-dismissed-remediable.json")
    assert (found.uid, found.result, found.severity_word) == ("P-465020", SourceStatus.SUPPRESSED, "medium")
    assert found.suppressed_until is None  # -1: for ever
    assert found.status_reason == "USER_DISMISSED by name@company.com: from XSOAR"
    assert found.remediation_cli == (
        "gcloud compute networks subnets update boombox-network --project=panw-prisma-cloud --region europe-west1"
        " --enable-private-ip-google-access"
    )
    assert (found.account.provider, found.account.uid) == ("gcp", "panw-prisma-cloud")
    assert [f"{h.kind}={h.value}" for h in found.owner_hints] == ["account=person2@example.com"]
    assert found.first_seen == datetime(2023, 1, 25, 19, 18, 22, tzinfo=UTC)


def test_an_open_path_with_who_made_it() -> None:
    (found,) = made("alert-network-elastic.json")
    assert (found.uid, found.internet_exposed, found.severity) == ("N-3910", True, Severity.HIGH)
    assert (found.resource.uid, found.resource.name) == ("i-04578e97170000047", "IS-37133")
    assert {h.kind for h in found.owner_hints} == {"created_by", "changed_by"}
    assert found.types == ("network",)


def test_a_page_of_the_second_api() -> None:
    (found,) = made("v2-alert-page.json")
    assert (found.uid, found.resource.uid, found.resource.region) == ("P-4021", "376492444671", "global")
    assert found.account.name == "demoShadowRemediation"
    assert len(found.controls) == 7
    assert found.references[0].startswith("https://docs.aws.amazon.com/")


def test_what_alert_profiles_deliver() -> None:
    runtime, case, *discovered = made("compute-alerts-demisto-1.json")
    assert (runtime.class_uid, runtime.title) == (FindingClass.DETECTION, "Host runtime: unexpected ls was spawned")
    assert (runtime.resource.uid, runtime.resource.type, runtime.rule_uid) == ("devbox", "host", "customRule")
    assert runtime.first_seen == datetime(2020, 1, 9, 10, 49, 24, 675000, UTC)
    assert case.title.startswith("Incident: ")
    assert case.url == "https://test.com"
    assert [f.result for f in discovered].count(SourceStatus.NEW) == 2
    assert discovered[1].resource.uid == "arn:aws:ecr:us-east-1:123456789:repository/test2"


def test_scans_of_images() -> None:
    first, second, check = made("compute-image-scan.json")
    assert (first.rule_uid, first.severity) == ("CVE-2018-20679", Severity.HIGH)
    flaw = second.vulnerabilities[0]
    assert (flaw.cvss, flaw.package, flaw.version, flaw.fixed_version) == (9.8, "busybox", "1.27.2-r8", "1.29.3-r10")
    assert first.resource.name == "demisto/python:1.3-alpine"
    assert (first.account.uid, first.account.provider, first.resource.region) == ("123", "aws", "eu-west-123")
    assert first.first_seen == datetime(2021, 9, 2, 11, 5, 27, tzinfo=UTC)
    assert check.controls[0].standard == "CIS_Docker_v1.2.0"
    many = made("twistcli-many-vulns.json")
    assert [f.rule_uid for f in many[:2]] == ["CVE-2013-7459", "CVE-2018-6485"]
    assert many[1].vulnerabilities[0].package == "glibc"
    assert "<div" not in many[4].desc
    (one,) = made("twistcli-packagename.json")
    assert (one.resource.name, one.vulnerabilities[0].fixed_version) == ("some-docker-image", "4.1.3, 4.0.9, 3.6.8")


def test_impacted_resources_are_one_finding_each() -> None:
    found = made("compute-impacted-resources.json")
    assert {(f.rule_uid, f.resource.name) for f in found} == {
        ("CVE-2021-31535", "image1"), ("CVE-2021-31535", "image2"), ("CVE-2021-31535", "host1"),
        ("CVE-2018-14600", "image3"), ("CVE-2018-14600", "image4"),
    }  # fmt: skip


def test_assets_with_their_policy() -> None:
    failed, passed = made("misconfiguration-assets-elastic.json")
    assert (failed.result, passed.result) == (SourceStatus.NEW, SourceStatus.RESOLVED)
    assert failed.resource.uid.startswith("/subscriptions/")
    assert (failed.account.provider, failed.account.name) == ("azure", "Azure Account")
    assert passed.rule_uid == "32f75d19-c34d-4ec5-aa8c-675959db3aad"


def test_rows_of_the_export() -> None:
    first, second = made("vulnerability-csv-rows-elastic.json")
    assert (first.internet_exposed, first.account.provider) == (True, "azure")
    assert (first.vulnerabilities[0].epss, first.vulnerabilities[0].kev) == (0.00017, False)
    assert first.first_seen == datetime(2025, 10, 31, tzinfo=UTC)
    assert second.vulnerabilities[0].fixed_version == "3.9.0"
    assert (second.vulnerabilities[0].exploit, second.account.uid) == (True, "")
