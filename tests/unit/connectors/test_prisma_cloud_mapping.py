"""What the mapping makes of Prisma Cloud's objects."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from example_prisma_cloud import (
    T0,
    alert,
    asset,
    code,
    cve,
    discovery,
    event,
    external,
    host,
    image,
    incident,
    items,
    policy,
    resource,
    row,
    webhook,
)
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.errors import BadInput
from bot.domain.findings import Finding, FindingClass, Severity, SourceStatus
from connectors.prisma_cloud import words
from connectors.prisma_cloud.mapping import PrismaCloudMapper

MAPPER = PrismaCloudMapper()
START = datetime(2026, 6, 1, 8, tzinfo=UTC)


def made(raw: dict[str, Any]) -> Finding:
    found = MAPPER.map(raw)
    assert MAPPER.sight(raw).uid == found.uid
    return found


def test_an_alert_says_everything_it_holds() -> None:
    found = made(alert())
    assert (found.uid, found.class_uid, found.title) == (
        "P-1",
        FindingClass.COMPLIANCE,
        "AWS S3 bucket is readable by anyone",
    )
    assert found.desc == "The bucket can be read by anyone."  # Markdown is gone
    assert (found.severity, found.severity_word, found.result, found.result_word) == (
        4,
        "high",
        SourceStatus.NEW,
        "open",
    )
    assert found.resource.uid == "arn:aws:s3:::acme-invoices"
    assert (found.resource.region, found.resource.type) == ("eu-west-1", "aws-s3api-get-bucket-acl")
    assert found.resource.tags == {"env": "prod", "owner": "payments"}
    assert (found.account.uid, found.account.name, found.account.provider) == ("123456789012", "acme-prod", "aws")
    assert found.first_seen == START
    assert found.modified == START + timedelta(seconds=2)
    assert found.last_seen is None  # lastSeen is the last change of status, not the last scan
    assert [(c.standard, c.requirement) for c in found.controls] == [
        ("CIS v1.4.0 (AWS)", "2.1.5"), ("PCI DSS v4.0", "1.3.1")
    ]  # fmt: skip
    assert found.remediation_cli == "aws s3api put-public-access-block --bucket acme-invoices --region eu-west-1"
    assert {f"{h.kind}={h.value}" for h in found.owner_hints} == {
        "tag:owner=payments", "account=cloud@acme.example", "created_by=jane@acme.example",
        "changed_by=jane@acme.example",
    }  # fmt: skip
    assert found.references == ("https://docs.example.com/s3",)
    assert found.url.startswith("https://app.prismacloud.io/alerts/overview?viewId=default&filters=%7B%22alert.id%22")
    assert found.console_url == "https://s3.console.aws.amazon.com/s3/buckets/acme-invoices"
    assert found.environment_hint == "prod"
    assert found.business_impact == "Production"
    assert found.extra["scope"] == "prisma_cloud:alerts:123456789012"
    assert made(alert(_console="https://app4.prismacloud.io")).url.startswith("https://app4.prismacloud.io/alerts/")


def test_only_addresses_become_links() -> None:
    for bad in ("javascript:alert(1)", "http://x.example", "https://x.example/ <b>", "/relative"):
        found = made(webhook(callbackUrl=bad))
        assert found.url.startswith("https://app.prismacloud.io/alerts/overview")
        assert made(alert(resource=resource(url=bad))).console_url.startswith("https://console.aws.amazon.com/go/view")


def test_the_link_of_a_webhook_wins_and_its_flat_members_count() -> None:
    found = made(webhook())
    assert found.url.startswith("https://app4.prismacloud.io/")
    assert found.severity is Severity.CRITICAL
    assert found.resource.uid == "arn:aws:ec2:eu-west-1:123456789012:instance/i-0123456789abcdef0"
    assert found.resource.tags == {"team": "web"}
    assert found.internet_exposed is True
    assert found.remediation_cli.startswith("aws ec2 revoke")
    assert [c.requirement for c in found.controls] == ["CC6.6"]
    assert found.account.name == "acme-prod"


@pytest.mark.parametrize(
    ("status", "reason", "result"),
    [
        ("open", "NEW_ALERT", SourceStatus.NEW),
        ("OPEN", "NEW_ALERT", SourceStatus.NEW),
        ("pending_resolution", "REMEDIATED", SourceStatus.IN_PROGRESS),
        ("dismissed", "USER_DISMISSED", SourceStatus.SUPPRESSED),
        ("snoozed", "USER_DISMISSED", SourceStatus.SUPPRESSED),
        ("resolved", "RESOURCE_UPDATED", SourceStatus.RESOLVED),
        ("resolved", "RESOURCE_DELETED", SourceStatus.DELETED),
        ("on fire", "", SourceStatus.OTHER),
    ],
)
def test_every_status_leads_somewhere_and_its_word_is_kept(status: str, reason: str, result: SourceStatus) -> None:
    raw = alert(status=status, reason=reason)
    found = made(raw)
    assert found.result is result
    assert found.result_word.startswith(status)
    closed = result in (SourceStatus.RESOLVED, SourceStatus.DELETED)
    assert MAPPER.sight(raw).closed is closed
    assert (found.resolved is not None) is closed


def test_a_snooze_ends_and_a_dismissal_for_ever_does_not() -> None:
    snoozed = made(alert(status="snoozed", dismissalUntilTs=T0 + 86_400_000, dismissalNote="later", dismissedBy="jane"))
    assert snoozed.suppressed_until == START + timedelta(days=1)
    assert snoozed.status_reason == "NEW_ALERT by jane: later"
    assert made(alert(status="dismissed", dismissalUntilTs=-1)).suppressed_until is None
    assert made(alert(status="open", dismissalUntilTs=T0)).suppressed_until is None


@pytest.mark.parametrize(
    ("kind", "more", "wanted"),
    [
        ("config", {}, FindingClass.COMPLIANCE),
        ("iam", {}, FindingClass.COMPLIANCE),
        ("data", {}, FindingClass.COMPLIANCE),
        ("network", {}, FindingClass.COMPLIANCE),
        ("network", {"connectionDetails": [{"id": 1}]}, FindingClass.DETECTION),
        ("audit_event", {}, FindingClass.DETECTION),
        ("anomaly", {}, FindingClass.DETECTION),
        ("attack_path", {}, FindingClass.DETECTION),
        ("workload_incident", {}, FindingClass.DETECTION),
        ("workload_vulnerability", {}, FindingClass.VULNERABILITY),
        ("something_new", {}, FindingClass.DETECTION),
    ],
)
def test_the_class_follows_the_policys_type(kind: str, more: dict[str, Any], wanted: FindingClass) -> None:
    found = made(alert(policy=policy(policyType=kind), **more))
    assert found.class_uid is wanted
    assert found.types[0] == kind


@pytest.mark.parametrize(
    ("part", "uid"),
    [
        (
            {"id": "i-0123456789abcdef0", "resourceApiName": "aws-ec2-describe-instances"},
            "arn:aws:ec2:eu-west-1:123456789012:instance/i-0123456789abcdef0",
        ),
        (
            {
                "id": "sg-0123456789abcdef0",
                "resourceApiName": "aws-ec2-describe-security-groups",
                "regionId": "us-gov-west-1",
            },
            "arn:aws-us-gov:ec2:us-gov-west-1:123456789012:security-group/sg-0123456789abcdef0",
        ),
        (
            {
                "id": "db-1",
                "name": "db-1",
                "resourceApiName": "aws-rds-describe-db-instances",
                "data": {
                    "dbinstanceArn": "arn:aws:rds:eu-west-1:123456789012:db:db-1",
                    "roleArn": "arn:aws:iam::1:role/x",
                },
            },
            "arn:aws:rds:eu-west-1:123456789012:db:db-1",
        ),
        (
            {"id": "jane", "name": "jane", "resourceApiName": "aws-iam-list-users", "regionId": "global"},
            "arn:aws:iam::123456789012:user/jane",
        ),
        (
            {"id": "arn:aws:sns:eu-west-1:123456789012:t", "resourceApiName": "x"},
            "arn:aws:sns:eu-west-1:123456789012:t",
        ),
        (
            {"id": "", "name": "", "rrn": "rrn:azure:x:eu:1:h:%2Fsubscriptions%2Fa%2Fb", "cloudType": "azure"},
            "/subscriptions/a/b",
        ),
        (
            {
                "id": "77",
                "cloudType": "gcp",
                "accountId": "acme",
                "data": {"selfLink": "https://www.googleapis.com/compute/v1/projects/acme/zones/z/instances/n"},
            },
            "//compute.googleapis.com/projects/acme/zones/z/instances/n",
        ),
        (
            {
                "id": "123456789012",
                "name": "123456789012",
                "resourceApiName": "account-agg-entity",
                "regionId": "global",
            },
            "123456789012",
        ),
        ({"id": "i-0123456789abcdef0", "accountId": "7111xx259376", "resourceApiName": "x"}, "i-0123456789abcdef0"),
    ],
)
def test_the_clouds_own_id_is_told_where_it_can_be(part: dict[str, Any], uid: str) -> None:
    assert made(alert(resource=resource(**part))).resource.uid == uid


def test_a_command_is_filled_only_with_what_is_harmless_in_a_shell() -> None:
    found = made(alert(resource=resource(name="x; rm -rf /")))
    assert "${resourceName}" in found.remediation_cli
    assert "rm -rf" not in found.remediation_cli


def test_an_alert_without_a_policy_is_kept_and_grouped_with_no_other() -> None:
    found = made({"id": "P-7", "status": "open"})
    assert found.title == "Prisma Cloud alert P-7"
    assert found.rule_uid == "alert:P-7"
    assert found.severity is Severity.UNKNOWN
    with pytest.raises(BadInput):
        MAPPER.map({"hello": "world"})


def test_what_moves_by_itself_does_not_change_the_sighting() -> None:
    before = MAPPER.sight(alert()).content
    moved = alert(
        lastUpdated=T0 + 99_000, history=[{"modifiedOn": "1"}], resource=resource(resourceTs=5, data={"n": 1})
    )
    assert MAPPER.sight(moved).content == before
    assert MAPPER.sight(alert(resource=resource(data={"tags": [{"key": "a", "value": "b"}]}))).content != before
    scan = items(image())[0]
    later = items(image(scanTime="2026-07-01T08:00:00Z"))[0]
    assert MAPPER.sight(scan).content == MAPPER.sight(later).content


def test_an_image_is_one_finding_a_cve_and_a_failed_check() -> None:
    found = [made(item) for item in items(image())]
    assert [f.rule_uid for f in found] == ["CVE-2026-0001", "CVE-2026-0002", "41"]
    first, second, third = found
    assert first.title == "CVE-2026-0001 in openssl, libssl3"
    assert [(v.package, v.fixed_version, v.cvss) for v in first.vulnerabilities] == [
        ("openssl", "3.0.7", 9.8), ("libssl3", "3.0.7", 9.8)
    ]  # fmt: skip
    assert (first.vulnerabilities[0].kev, first.vulnerabilities[0].exploit, first.vulnerabilities[0].fix) == (True,) * 3
    assert first.desc == "A buffer is too small."
    assert first.internet_exposed is True
    assert first.resource.name == "registry.acme.example/shop/web:1.4"
    assert first.resource.uid.startswith("sha256:")  # not the host that it was seen on
    assert first.resource.tags == {"team": "web", "env": "prod"}
    assert first.first_seen == datetime(2026, 5, 2, tzinfo=UTC)
    assert (second.vulnerabilities[0].fix, second.vulnerabilities[0].package) == (False, "curl")
    assert third.class_uid is FindingClass.COMPLIANCE
    assert third.title == "Not met: Image should not run as root"
    assert ("CIS_Docker_v1.2.0", "4.1") in [(c.standard, c.requirement) for c in third.controls]


def test_a_host_is_known_by_its_cloud_and_what_it_says_of_images_is_not_its_name() -> None:
    raw = host(tags=[{"registry": "r", "repo": "x", "tag": "1"}], instances=[{"image": "y"}])
    found = made(items(raw)[0])
    assert found.resource.uid == "arn:aws:ec2:eu-west-1:123456789012:instance/i-0123456789abcdef0"
    assert found.resource.name == "web-1.acme.example"
    assert (found.severity, found.severity_word) == (Severity.HIGH, "important")
    assert found.resource.tags == {"owner": "web"}


def test_rows_of_one_cve_and_asset_are_one_finding() -> None:
    found = made({"rows": [row(), row(PACKAGE_NAME="yarl", FIX_VERSION="[N/A]", INTERNET_EXPOSED="N")]})
    assert found.title == "CVE-2026-0004 in aiohttp, yarl"
    first, second = found.vulnerabilities
    assert (first.epss, first.cvss, first.kev, first.exploit, first.fixed_version) == (
        0.00017,
        8.1,
        True,
        True,
        "3.9.0",
    )
    assert second.fixed_version == ""
    assert found.internet_exposed is True
    assert found.first_seen == datetime(2025, 10, 31, tzinfo=UTC)


def test_the_other_lists() -> None:
    wide = made(cve())
    assert wide.title == "CVE-2026-0005 on 12 assets"
    assert (wide.vulnerabilities[0].epss, wide.vulnerabilities[0].kev) == (0.42, True)
    assert made(cve(completeEpssScore=97.5)).vulnerabilities[0].epss == pytest.approx(0.975)
    failed, passed = made(asset()), made(asset(scannedPolicy={"id": "x", "name": "n", "passed": True}))
    assert (failed.result, passed.result) == (SourceStatus.NEW, SourceStatus.RESOLVED)
    assert failed.resource.uid == "arn:aws:ec2:eu-west-1:123456789012:volume/vol-0123456789abcdef0"
    duty = made(external())
    assert duty.class_uid is FindingClass.DETECTION
    assert duty.product == "Prisma Cloud (guardduty)"
    assert (
        made(external(type="host_vulnerability_cve", normalizedNames=["CVE-2026-9"])).vulnerabilities[0].uid
        == "CVE-2026-9"
    )
    assert made(code()).account.uid == "acme/infra"
    assert made(code(status="Suppressed")).result is SourceStatus.SUPPRESSED


def test_events_and_incidents_of_compute() -> None:
    seen = made(event())
    assert (seen.class_uid, seen.severity, seen.rule_uid) == (FindingClass.DETECTION, Severity.HIGH, "malwareFileFeed")
    assert (seen.resource.type, seen.resource.uid, seen.resource.name) == ("container", "c0ffee", "shop")
    case = made(incident())
    assert case.title == "Incident: xmrig was started"
    assert case.severity is Severity.HIGH
    assert case.resource.uid == "arn:aws:ec2:eu-west-1:123456789012:instance/i-0123456789abcdef0"
    assert made(incident(acknowledged=True)).result is SourceStatus.ARCHIVED
    assert MAPPER.sight(incident(acknowledged=True)).closed
    nameless = event(_id=None)
    assert made(nameless).uid == made(dict(reversed(nameless.items()))).uid


def test_what_compute_found_unprotected() -> None:
    open_, closed = (made(item) for item in items(discovery()))
    assert (open_.result, closed.result) == (SourceStatus.NEW, SourceStatus.RESOLVED)
    assert open_.resource.uid == "arn:aws:ecr:eu-west-1:123456789012:repository/shop"
    again = items(discovery(_id="another", time="2026-07-01T08:00:00Z"))
    assert MAPPER.sight(again[0]) == MAPPER.sight(items(discovery())[0])


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        (1_694_003_441_966, "2023-09-06T12:30:41.966000+00:00"),
        ("1694003441966", "2023-09-06T12:30:41.966000+00:00"),
        ("2023-01-25T19:18:22Z", "2023-01-25T19:18:22+00:00"),
        ("2025-08-08T11:15:25+01:00", "2025-08-08T10:15:25+00:00"),
        ("Oct 31 2025", "2025-10-31T00:00:00+00:00"),
        ("January 09, 2019 16:29:00 PM", "2019-01-09T16:29:00+00:00"),
        ("11/18/2022 11:12:14", "2022-11-18T11:12:14+00:00"),
        ("2020-09-04 00:15:00.000", "2020-09-04T00:15:00+00:00"),
    ],
)
def test_times_of_all_its_notations(said: Any, wanted: str) -> None:
    found = words.moment(said)
    assert found is not None
    assert found.isoformat() == wanted


@pytest.mark.parametrize("said", ["0001-01-01T00:00:00Z", -1, "-1", 0, "", None, "N/A", "12:00.0", True, [], {}])
def test_never_is_no_time(said: Any) -> None:
    assert words.moment(said) is None


@given(st.text(max_size=60))
def test_no_text_breaks_the_readers_of_words(said: str) -> None:
    assert words.moment(said) is None or words.moment(said).tzinfo is UTC  # type: ignore[union-attr]
    assert "\x00" not in words.plain(said)
    words.severity_of(said)
    words.provider_id(said, said, cloud="aws", account=said, region=said, api=said, rrn=said)
    assert isinstance(words.filled(said, {"resourcename": said}), str)
