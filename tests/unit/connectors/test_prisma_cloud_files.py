"""What a file with anything of Prisma Cloud's is understood as. The objects are ours; the shapes are the vendor's."""

from __future__ import annotations

import gzip
import io
import json
from typing import Any

import pytest
from example_prisma_cloud import (
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
    policy,
    row,
    webhook,
)

from bot.domain.findings import Finding, SourceStatus
from connectors.prisma_cloud.files import read
from connectors.prisma_cloud.mapping import PrismaCloudMapper

MAPPER = PrismaCloudMapper()


def taken(raw: bytes) -> tuple[list[Finding], list[str], list[tuple[str, str]]]:
    pages = list(read(io.BytesIO(raw), "a file"))
    found = [MAPPER.map(item) for page in pages for item in page.items]
    assert len({f.uid for f in found}) == len(found)
    return found, [n for page in pages for n in page.notes], [r for page in pages for r in page.rejected]


def of(value: Any) -> tuple[list[Finding], list[str], list[tuple[str, str]]]:
    return taken(json.dumps(value).encode())


LINES = "\n".join(json.dumps(alert(n)) for n in (1, 2)).encode()
ELASTIC = {
    "id": "P-1",
    "status": "open",
    "first_seen": "2026-06-01T08:00:00Z",
    "policy_id": "p",
    "time": "2026-06-01T08:00:00Z",
    "last": {"seen": "2026-06-01T08:00:00Z", "updated": "2026-06-02T08:00:00Z"},
    "policy": {
        "id": "p",
        "name": "Open",
        "severity": "high",
        "type": "config",
        "compliance_metadata": [{"standard": {"name": "CIS"}, "section": {"id": "2.1"}}],
    },
    "resource": {
        "id": "acme-invoices",
        "name": "acme-invoices",
        "api_name": "aws-s3api-get-bucket-acl",
        "account": {"id": "123456789012", "value": "acme-prod"},
        "region": {"id": "eu-west-1"},
        "cloud": {"type": "aws", "account": {"groups": ["Production"]}},
    },
}


@pytest.mark.parametrize(
    ("raw", "uids"),
    [
        (json.dumps([alert(1), alert(2)]).encode(), ["P-1", "P-2"]),
        (json.dumps({"totalRows": 9, "items": [alert(1)], "nextPageToken": "t"}).encode(), ["P-1"]),
        (json.dumps({"items": [alert(1)], "totalRows": 9}).encode(), ["P-1"]),
        (json.dumps(alert(1)).encode(), ["P-1"]),
        (LINES, ["P-1", "P-2"]),
        (gzip.compress(LINES), ["P-1", "P-2"]),
        (json.dumps([[alert(1)], [alert(2)]]).encode(), ["P-1", "P-2"]),
        (json.dumps(webhook(2)).encode(), ["N-2"]),
        (json.dumps([webhook(2), webhook(3)]).encode(), ["N-2", "N-3"]),
        (
            json.dumps({"PrismaCloud": {"Alert": [alert(1)], "AlertPageToken": {"nextPageToken": "t"}}}).encode(),
            ["P-1"],
        ),
        (json.dumps({"name": "x", "severity": 3, "rawJSON": json.dumps(alert(1))}).encode(), ["P-1"]),
        (
            json.dumps({"Redlock": {"Alert": [{"ID": "P-1", "Status": "open", "Policy": {"Name": "x"}}]}}).encode(),
            ["P-1"],
        ),
        (
            json.dumps({"event": {"original": json.dumps(alert(1))}, "prisma_cloud": {"alert": ELASTIC}}).encode(),
            ["P-1"],
        ),
        (json.dumps({"prisma_cloud": {"alert": ELASTIC}, "event": {"id": "P-1"}}).encode(), ["P-1"]),
        (json.dumps({"hits": {"hits": [{"_source": {"message": json.dumps(alert(1))}}]}}).encode(), ["P-1"]),
        (json.dumps({**alert(1), "p_log_type": "PrismaCloud.Alert", "p_any_ips": []}).encode(), ["P-1"]),
        (json.dumps({"Records": [{"body": json.dumps(webhook(2))}]}).encode(), ["N-2"]),
        (json.dumps({"Type": "Notification", "Message": json.dumps([webhook(2)])}).encode(), ["N-2"]),
        (b"\xef\xbb\xbf" + json.dumps(alert(1)).encode(), ["P-1"]),
    ],
)
def test_an_alert_is_found_in_every_wrapping(raw: bytes, uids: list[str]) -> None:
    found, _, rejected = taken(raw)
    assert [f.uid for f in found] == uids
    assert rejected == []
    assert all(f.result is SourceStatus.NEW for f in found)


def test_elastics_own_names_are_read_where_the_original_was_not_kept() -> None:
    (found,), _, _ = of({"prisma_cloud": {"alert": ELASTIC}})
    assert found.resource.uid == "arn:aws:s3:::acme-invoices"
    assert (found.account.uid, found.account.name, found.resource.region) == ("123456789012", "acme-prod", "eu-west-1")
    assert [(c.standard, c.requirement) for c in found.controls] == [("CIS", "2.1")]
    assert found.modified is not None
    assert found.modified.day == 2


@pytest.mark.parametrize(
    ("value", "count"),
    [
        ([image(), host()], 4),
        (
            {
                "results": [
                    {"id": "sha256:1", "distro": "", "compliances": [{"title": "(CIS - 4.6) Add", "severity": "low"}]}
                ]
            },
            1,
        ),
        ([{"_id": "a", "entityInfo": image(type="ciImage"), "pass": True, "time": "2026-06-01T08:00:00Z"}], 3),
        (
            [
                {
                    "_id": "c1",
                    "hostname": "h",
                    "scanTime": "2026-06-01T08:00:00Z",
                    "info": {"name": "web", "complianceIssues": [{"id": 5, "title": "t", "severity": "high"}]},
                }
            ],
            1,
        ),
        ([{"_id": "CVE-2026-1", "hosts": ["h1"], "riskTree": {"sha256:a": [{"image": "i"}]}}], 2),
        (
            [
                {
                    "_id": "5e",
                    "kind": "vulnerability",
                    "imageName": "alpine:3",
                    "distroName": "Alpine",
                    "vulnerabilities": [{"cve": "CVE-2026-1", "packages": "b"}, {"cve": "ALAS-1-2", "packages": "c"}],
                }
            ],
            2,
        ),
        (
            [
                {
                    "_id": "5e",
                    "kind": "compliance",
                    "type": "container",
                    "time": "2026-06-01T08:00:00Z",
                    "compliance": [{"id": "528", "description": "(CIS_Docker - 5.28) Use PIDs"}],
                }
            ],
            1,
        ),
        (discovery(), 2),
        ([discovery(entities=None, kind=None), discovery(entities=None, kind=None, serviceType="aws-eks")], 2),
        ([event(), incident()], 2),
        (
            {
                "type": "containerRuntime",
                "time": "t",
                "container": "c",
                "host": "h",
                "rule": "r",
                "message": "m",
                "vulnerabilities": None,
                "complianceIssues": None,
            },
            1,
        ),
        (
            {
                "type": "containerVulnerability",
                "image": "i",
                "imageID": "sha256:1",
                "rule": "r",
                "message": "m",
                "host": "h",
                "vulnerabilities": [{"cve": "CVE-2026-1", "severity": "high"}],
            },
            1,
        ),
        (
            {
                "EventType": "write",
                "Path": "/x",
                "ProcessName": "touch",
                "Description": "wrote",
                "_Id": "6",
                "Hostname": "h",
            },
            1,
        ),
        ([row(), row(PACKAGE_NAME="yarl"), row(ASSET_ID="other")], 2),
        ({"query": "vulnerability", "data": {"totalRows": 1, "items": [cve()]}}, 1),
        ([asset()], 1),
        (
            {
                "resources": [
                    {**asset(scannedPolicy=None), "scannedPolicies": [{"id": "a", "passed": True}, {"id": "b"}]}
                ]
            },
            2,
        ),
        ({"PrismaCloud": {"HostFinding": external()}}, 1),
        ({"data": [code()], "hasNext": False}, 1),
    ],
)
def test_findings_of_every_kind_are_kept(value: Any, count: int) -> None:
    found, _, rejected = of(value)
    assert len(found) == count
    assert rejected == []
    assert all(f.title and f.rule_uid and f.resource.uid for f in found)


@pytest.mark.parametrize(
    ("value", "named"),
    [
        ({"message": "login_successful", "token": "t", "customerNames": []}, "login answer"),
        ({"token": "t"}, "login answer"),
        (
            {"message": "login_needs_customer_name", "customerNames": [{"customerName": "a"}], "token": None},
            "login answer",
        ),
        ({"totalRows": 0, "items": [], "nextPageToken": "t"}, "empty page"),
        ({"items": []}, "empty page"),
        (None, "empty page"),
        ([], "holds no findings"),
        ([{"alertId": "P-0", "alertStatus": "open", "policyName": "Test"}], "test delivery"),
        ({"message": "This is a test message from Prisma Cloud initiated by jane", "sentTs": 1}, "test delivery"),
        ({"error": {"code": "invalid", "message": "m"}}, "error answer (invalid)"),
        ([{"i18nKey": "not_found", "severity": "error", "subject": None}], "error answer (not_found)"),
        ({"timestamp": "t", "status": 401, "error": "Unauthorized", "message": "", "path": "/x"}, "error answer"),
        ({"err": "bad credentials"}, "error answer (bad credentials)"),
        ([policy()], "policy"),
        ([{"alertCount": 3, "policy": policy()}], "count of alerts by policy"),
        ({"id": "a", "status": "IN_PROGRESS", "statusUri": "/x"}, "export job"),
        ({"alertIdVsCliScript": {"P-1": "aws"}, "cliDescription": "d"}, "remediation commands"),
        (
            {"Alert": {"ID": "P-1", "Remediation": {"CLI": "aws", "Description": "d"}}},
            "remediation commands of alert P-1",
        ),
        ({"values": [{"cveId": "CVE-1-1", "remediationAction": [], "unifiedAssetId": "a"}]}, "remediation status"),
        ({"value": [{"id": "a", "name": "n", "atRisk": True, "internetExposed": False}]}, "vulnerable asset"),
        (
            {"data": {"items": [{"rrn": "rrn:aws:x", "accountId": "1", "resourceType": "VM", "data": {"error": "x"}}]}},
            "asset of the inventory",
        ),
        ([{"timestamp": 1, "user": "j", "actionType": "LOGIN", "action": "x", "resourceType": "Login"}], "audit log"),
        ([{"_id": "h", "hash": 9, "apps": [{"name": "s"}], "sshEvents": []}], "profile of a host"),
        ([{"type": "Process spawned", "command": "sh"}], "forensic data"),
        (
            {"_id": "containerRuntime", "rules": [{"name": "r", "effect": "alert", "message": "m", "time": "t"}]},
            "rules",
        ),
        (
            {"results": [{"id": "sha256:1", "distro": "d", "vulnerabilityDistribution": {"total": 0}}]},
            "without findings",
        ),
        ({"openapi": "3.0.0", "paths": {"/alert": {"get": {"example": alert()}}}}, "OpenAPI"),
        ({"text": "Prisma Cloud: alert P-12 is open", "channel": "#x"}, "edited template about alert P-12"),
        ({"status": "resolved", "reason": "RESOLVED", "policy": {"name": "n"}}, "part of an alert"),
        (["host1", "host2"], "value that is no object"),
        ({"count": 5}, "count of alerts"),
        ({"PrismaCloudCompute": {"Console": {"Version": "34"}}}, "context of a SOAR (Console)"),
        ([{"hostname": "h", "connected": True, "features": {}, "version": "34"}], "Defender"),
        ([{"cve": "CVE-2026-1", "riskScore": 90, "severity": "high", "impactedPkgs": []}], "statistics"),
        ({}, "answer without an object"),
    ],
)
def test_what_carries_no_finding_is_named(value: Any, named: str) -> None:
    found, notes, rejected = of(value)
    assert found == []
    assert rejected == []
    assert any(named in note for note in notes), notes


@pytest.mark.parametrize(
    "value",
    [
        {"hello": "world"},
        {
            "data": {
                "issuesV2": {"nodes": [{"id": "a", "status": "OPEN", "severity": "HIGH", "sourceRule": {"id": "x"}}]}
            }
        },
        {
            "data": [
                {
                    "alertId": 8,
                    "alertType": "New",
                    "severity": "High",
                    "status": "Open",
                    "policyId": "L",
                    "alertName": "n",
                }
            ]
        },
        {"data": [{"state": {"alert_id": "orca-1", "status": "open"}, "type": "t", "asset_name": "n"}]},
        {"Findings": [{"SchemaVersion": "2018-10-08", "Id": "a", "ProductArn": "p", "Title": "t", "Resources": []}]},
        {"metadata": {"event_code": "c"}, "status_code": "FAIL", "finding_info": {"title": "t"}},
    ],
)
def test_what_other_vendors_send_is_refused_with_a_reason(value: Any) -> None:
    found, _, rejected = of(value)
    assert found == []
    assert "not an object that Prisma Cloud sends" in rejected[0][1]


def test_a_row_of_log_analytics_is_the_alert_it_was_made_of() -> None:
    columns = {
        "TenantId": "t",
        "id_s": "P-5",
        "status_s": "open",
        "reason_s": "NEW_ALERT",
        "firstSeen_d": 1780300800000,
        "policy_policyId_g": "0f8a0b0c-1111-4222-8333-944445555666",
        "policy_name_s": "S3 is public",
        "policy_severity_s": "high",
        "policy_policyType_s": "config",
        "policy_labels_s": '["CIS"]',
        "policy_remediation_cliScriptTemplate_s": "aws fix ${resourceName}",
        "resource_id_s": "acme-invoices",
        "resource_name_s": "acme-invoices",
        "resource_accountId_s": "123456789012",
        "resource_cloudType_s": "aws",
        "resource_regionId_s": "eu-west-1",
        "resource_resourceApiName_s": "aws-s3api-get-bucket-acl",
    }
    (found,), _, rejected = of([columns])
    assert rejected == []
    assert (found.uid, found.title, found.severity_word) == ("P-5", "S3 is public", "high")
    assert found.resource.uid == "arn:aws:s3:::acme-invoices"
    assert found.remediation_cli == "aws fix acme-invoices"
    assert found.extra["policy_labels"] == ["CIS"]
    assert found.first_seen is not None


def test_an_unknown_object_among_known_ones_is_said() -> None:
    found, notes, rejected = of({"items": [alert(1), {"what": "ever"}]})
    assert [f.uid for f in found] == ["P-1"]
    assert any("kind not known" in note for note in notes)
    found, _, rejected = of([alert(1), {"what": "ever"}])
    assert (len(found), len(rejected)) == (1, 1)


def test_of_two_versions_of_one_alert_in_one_object_the_later_counts() -> None:
    old, new = (
        alert(1, status="open", lastUpdated=1_780_300_800_000),
        alert(1, status="resolved", lastUpdated=1_780_400_800_000),
    )
    for pair in ([old, new], [new, old]):
        (found,), _, _ = of({"items": pair})
        assert found.result is SourceStatus.RESOLVED


COMPUTE = (
    "Registry;Repository;Tag;Id;Distro;Hosts;CVE ID;Compliance ID;Type;Severity;Packages;Package Version;CVSS;"
    "Fix Status;Risk Factors;Description;Cause;Discovered\n"
    'r.io;shop/web;1.4;sha256:1;alpine;76;CVE-2026-1;46;OS;medium;"libxml2,boto3";2.9;6.5;fixed in 2.9.1;'
    '"Has fix; Exploit exists - POC";text;;2026-05-01 00:00:00.000\n'
    "r.io;shop/web;1.4;sha256:1;alpine;76;;41;image;high;;;;;;Not root;User is root;\n"
    "r.io;shop/web;1.4;sha256:1;alpine;76;;;;;;;;;;;;\n"
)
OLDER = (
    "Registry,Repository,Tag,Id,Scan Time,Pass,Type,Distro,Hostname,CVE ID,Compliance ID,Type,Severity,Packages,CVSS\n"
    "r.io,shop/web,1.4,sha256:1,14:24.3,TRUE,cli,Debian,build-1,CVE-2026-2,98,java,critical,io.netty,9.8\n"
)
_SAME = "AWS,123456789012,acme,AWS Ireland,Fix it"
ALERTS = (
    "Alert ID,Policy Name,Policy Type,Policy Severity,Resource Name,Resource ID,Cloud Type,Cloud Account Id,"
    "Cloud Account Name,Region,Recommendation,Alert Time,Dismissed On,Dismissed By,Dismissal Reason,Resolved On,"
    "Resolution Reason\n"
    f'P-77,S3 is public,config,high,acme-invoices,acme-invoices,{_SAME},"Nov 18, 2026 11:12:14 AM",,,,,\n'
    f"P-78,S3 is public,config,high,b,b,{_SAME},2026-11-18 11:12:14 UTC,,,,2026-11-19 11:12:14 UTC,RESOURCE_DELETED\n"
    f"P-79,S3 is public,config,high,c,c,{_SAME},2026-11-18 11:12:14 UTC,2026-11-19 11:12:14 UTC,jane,known,,\n"
)


def test_a_csv_of_compute_is_as_its_scan() -> None:
    for raw in (COMPUTE.encode(), gzip.compress(COMPUTE.encode()), COMPUTE.replace(";", ",", 0).encode("utf-8-sig")):
        found, notes, rejected = taken(raw)
        assert [f.uid for f in found] == ["compute|sha256:1|CVE-2026-1", "compute|sha256:1|41"]
        assert rejected == []
        assert any("row without a CVE" in note for note in notes)
        assert found[0].resource.name == "r.io/shop/web:1.4"
        flaw = found[0].vulnerabilities[0]
        assert (flaw.cvss, flaw.fix, flaw.fixed_version, flaw.exploit) == (6.5, True, "2.9.1", True)
    (found_older,), _, _ = taken(OLDER.encode())
    assert (found_older.severity_word, found_older.rule_uid) == ("critical", "CVE-2026-2")


def test_the_consoles_csv_of_alerts_tells_states_by_dates() -> None:
    found, _, rejected = taken(ALERTS.encode())
    assert rejected == []
    assert [(f.uid, f.result) for f in found] == [
        ("P-77", SourceStatus.NEW), ("P-78", SourceStatus.DELETED), ("P-79", SourceStatus.SUPPRESSED)
    ]  # fmt: skip
    assert found[0].severity_word == "high"
    assert found[0].first_seen is not None
    assert found[0].account.uid == "123456789012"


def test_the_vulnerability_export_gathers_packages_and_says_where_it_was_cut() -> None:
    names = list(row())
    lines = [",".join(names)]
    for number in range(400):
        one = row(
            ASSET_ID=f"a{number // 2}", PACKAGE_NAME=f"p{number % 2}", FIX_VERSION="[1]", INSTALLED_VERSIONS="[0]"
        )
        lines.append(",".join(one.values()))
    raw = gzip.compress("\n".join(lines).encode())
    found, _, rejected = taken(raw)
    assert len(found) == 200
    assert all(len(f.vulnerabilities) == 2 for f in found)
    assert rejected == []
    found, _, rejected = taken(raw[:-30])
    assert len(found) > 100
    assert "cannot be read any further" in rejected[0][1]


def test_a_page_larger_than_one_streamed_object_is_read_whole() -> None:
    big = policy(description="x" * 20_000)
    found, _, rejected = of(
        {"totalRows": 600, "items": [alert(n, policy=big) for n in range(1, 601)], "nextPageToken": "t"}
    )
    assert (len(found), rejected) == (600, [])


def test_damaged_json_gives_what_stood_before() -> None:
    raw = json.dumps([alert(n) for n in range(1, 30)]).encode()
    found, _, rejected = taken(raw[: len(raw) // 2])
    assert len(found) > 10
    assert rejected
