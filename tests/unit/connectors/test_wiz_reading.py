"""Whatever holds Wiz's objects: answers, pages, SOAR results, SIEM events, queue messages, edited templates."""

from __future__ import annotations

import base64
import csv
import io
import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from example_wiz import (
    BUCKET,
    EXAMPLES,
    SERVER,
    configuration,
    detection,
    issue,
    threat,
    vulnerability,
    webhook,
)

from bot.domain.errors import BadInput
from bot.domain.findings import Finding, FindingClass, SourceStatus
from connectors.wiz import WizMapper, read

MAPPER = WizMapper()


def pages(content: Any) -> tuple[list[Finding], list[str], list[tuple[str, str]]]:
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    got = list(read(io.BytesIO(data), "x.json"))
    items = [item for page in got for item in page.items]
    for item in items:
        assert MAPPER.sight(item).uid == MAPPER.map(item).uid
    return (
        [MAPPER.map(item) for item in items],
        [note for page in got for note in page.notes],
        [one for page in got for one in page.rejected],
    )


def paged(root: str, *nodes: Any) -> dict[str, Any]:
    return {"data": {root: {"nodes": list(nodes), "pageInfo": {"hasNextPage": False, "endCursor": "x"}}}}


ONE = issue()
UID = ONE["id"]
WRAPPERS: dict[str, Callable[[Any], Any]] = {
    "bare": lambda n: n,
    "array": lambda n: [n],
    "answer": lambda n: paged("issuesV2", n),
    "aliased answer": lambda n: paged("issues", n),
    "several answers": lambda n: {"first": paged("issues", n), "token": {"access_token": "t", "expires_in": 1}},
    "data only": lambda n: paged("issues", n)["data"],
    "page only": lambda n: paged("issues", n)["data"]["issues"],
    "one by id": lambda n: {"data": {"issue": n}},
    "edges": lambda n: {"data": {"issues": {"edges": [{"node": n, "cursor": "c"}]}}},
    "soar result": lambda n: [{"Entity": "x", "EntityResult": n}],
    "soar context": lambda n: {"Type": 1, "Contents": [n], "EntryContext": {}},
    "soar incident": lambda n: {"name": "x", "rawJSON": json.dumps(n)},
    "elastic hit": lambda n: {"hits": {"hits": [{"_index": "wiz", "_source": n}]}},
    "elastic original": lambda n: {
        "event": {"original": json.dumps(n), "kind": "event"},
        "wiz": {"issue": {"id": "x"}},
    },
    "elastic flat original": lambda n: {"event.original": json.dumps(n), "@timestamp": "2026-01-01"},
    "agent message": lambda n: {"@timestamp": "2026-01-01", "message": json.dumps(n)},
    "splunk": lambda n: {"preview": False, "result": {"_raw": json.dumps(n), "sourcetype": "wiz:issue"}},
    "panther": lambda n: {**n, "p_log_type": "Wiz.Issues", "p_event_time": "2026-01-01 00:00:00"},
    "sns": lambda n: {"Type": "Notification", "TopicArn": "arn:aws:sns:x", "Message": json.dumps(n)},
    "sqs": lambda n: {"Records": [{"messageId": "1", "body": json.dumps({"Message": json.dumps(n)})}]},
    "eventbridge": lambda n: {"source": "aws.partner/wiz.io", "detail-type": "Issue", "detail": n},
    "pub/sub": lambda n: {"message": {"data": base64.b64encode(json.dumps(n).encode()).decode(), "messageId": "1"}},
    "test case of a parser": lambda n: {"input": {"message": json.dumps(n)}},
}


@pytest.mark.parametrize("wrapper", sorted(WRAPPERS))
@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_every_kind_is_found_in_every_wrapper_and_is_the_same_there(wrapper: str, number: int) -> None:
    node = EXAMPLES[number]
    found, notes, rejected = pages(WRAPPERS[wrapper](node))
    assert rejected == []
    assert [one.model_dump() for one in found] == [MAPPER.map(node).model_dump()]
    assert any(note.startswith("understood") for note in notes)


@pytest.mark.parametrize(
    ("root", "kind"),
    [("issues", "issue"), ("issuesV2", "issue"), ("configurationFindings", "configuration"),
     ("vulnerabilityFindings", "vulnerability"), ("detections", "detection")],
)  # fmt: skip
def test_a_node_of_few_members_is_what_its_listing_says(root: str, kind: str) -> None:
    found, _, rejected = pages(paged(root, {"id": "n-1", "severity": "HIGH"}, {"id": "n-2", "status": "RESOLVED"}))
    assert rejected == []
    assert [(one.uid, one.extra["kind"]) for one in found] == [("n-1", kind), ("n-2", kind)]


def test_lines_of_all_kinds() -> None:
    found, _, rejected = pages("\n".join(json.dumps(one) for one in EXAMPLES).encode())
    assert len(found) == len(EXAMPLES)
    assert rejected == []


def snake(value: Any, name: str = "") -> Any:
    if isinstance(value, list):
        return [snake(one) for one in value]
    if isinstance(value, dict) and name not in ("tags", "subscription_tags"):
        made = {}
        for key, inner in value.items():
            said = re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", key).lower() if key != "CVEDescription" else key
            made[said] = snake(inner, said)
        return made
    return value


@pytest.mark.parametrize("number", range(5))
def test_snake_case_says_the_same(number: int) -> None:
    node = EXAMPLES[number]
    found, _, rejected = pages(snake(node))
    assert rejected == []
    mine, theirs = found[0].model_dump(), MAPPER.map(node).model_dump()
    # ids with capitals inside (cloudProviderURL, CVSSSeverity) cannot be told from snake case
    for name in ("console_url", "references", "extra"):
        mine.pop(name), theirs.pop(name)
    assert mine == theirs


def test_elastic_names_nest_one_word_into_two() -> None:
    node = snake(ONE)
    place = node["entity_snapshot"]
    place["cloud"] = {"platform": place.pop("cloud_platform"), "provider_url": place.pop("cloud_provider_url")}
    place["subscription"] = {"external_id": place.pop("subscription_external_id"),
                             "name": place.pop("subscription_name")}  # fmt: skip
    found, _, _ = pages({"wiz": {"issue": node}, "event": {"dataset": "wiz.issue"}})
    assert found[0].account.uid == "123456789012"
    assert (found[0].account.provider, found[0].account.name) == ("aws", "Acme production")


def test_log_analytics_columns() -> None:
    row = {
        "TimeGenerated": "2026-11-20", "id_g": UID, "status_s": "OPEN", "severity_s": "HIGH",
        "createdAt_t": "2026-11-01T08:00:00Z", "sourceRule_s": json.dumps(ONE["sourceRule"]),
        "entitySnapshot_name_s": "acme-customer-exports", "entitySnapshot_providerId_s": BUCKET,
        "entitySnapshot_subscriptionExternalId_s": "123456789012",
    }  # fmt: skip
    found, _, rejected = pages([row])
    assert rejected == []
    assert (found[0].uid, found[0].resource.uid, found[0].rule_uid) == (UID, BUCKET, "wc-id-900")


def test_members_kept_as_json_text_and_dotted_names() -> None:
    packed = {**ONE, "sourceRule": json.dumps(ONE["sourceRule"]), "entitySnapshot": json.dumps(ONE["entitySnapshot"])}
    assert pages(packed)[0][0].model_dump() == MAPPER.map(ONE).model_dump()
    dotted = {"id": UID, "severity": "LOW", "status": "OPEN", "sourceRule.name": "A rule", "sourceRule.id": "r-1",
              "entitySnapshot.providerId": BUCKET, "entitySnapshot.name": "b"}  # fmt: skip
    (found,) = pages(dotted)[0]
    assert (found.title, found.rule_uid, found.resource.uid) == ("A rule", "r-1", BUCKET)


def test_the_older_generation_of_issues() -> None:
    old = {**ONE, "control": {**ONE["sourceRule"], "description": "Old text."}, "entity": ONE["entitySnapshot"]}
    for name in ("sourceRule", "entitySnapshot", "type", "statusChangedAt", "serviceTickets"):
        old.pop(name)
    old["serviceTicket"] = {"externalId": "1", "name": "SEC-1", "url": "https://jira.acme.example/SEC-1"}
    (found,) = pages({"data": {"issues": {"nodes": [old], "totalCount": 1, "criticalSeverityCount": 1}}})[0]
    assert (found.uid, found.rule_uid, found.resource.uid) == (UID, "wc-id-900", BUCKET)
    assert found.tickets == ("https://jira.acme.example/SEC-1",)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"access_token": "x", "expires_in": 3600, "token_type": "Bearer"}, "login answer"),
        ({"error": "access_denied", "error_description": "Unauthorized"}, "error answer"),
        ({"message": "Unauthorized"}, "error answer"),
        ({"errors": [{"message": "no", "extensions": {"code": "BAD_USER_INPUT"}}], "data": None}, "BAD_USER_INPUT"),
        ({"data": {"updateIssue": {"issue": {"id": UID, "status": "REJECTED"}}}}, "reply to updateIssue"),
        ({"data": {"createIssueNote": {"issueNote": {"id": "1", "text": "x"}}}}, "reply to createIssueNote"),
        ({"data": {"deleteIssueNote": {"_stub": None}}}, "reply to deleteIssueNote"),
        ({"_stub": "x"}, "status reply"),
        ({"id": UID, "status": "REJECTED", "dueAt": None, "resolutionReason": "EXCEPTION", "note": ""}, "status reply"),
        ({"id": "n", "text": "a comment", "createdAt": "2026-01-01T00:00:00Z"}, "comment"),
        (paged("issuesV2"), "empty page of issues"),
        (paged("configurationFindings"), "empty page of configuration findings"),
        ({"data": {"issue": None}}, "answer"),
        ({"data": {"vulnerabilityFindings": {"pageInfo": {"hasNextPage": False}}}}, "empty page"),
        (paged("projects", {"id": "p", "name": "Payments", "slug": "payments", "businessUnit": ""}), "project"),
        (paged("projects", {"id": "p", "name": "Payments"}), "page of projects"),
        (
            paged("graphSearch", {"entities": [{"id": "e", "name": "x", "type": "BUCKET", "properties": {}}]}),
            "inventory",
        ),
        (paged("cloudResources", {"id": "e", "name": "x", "graphEntity": {"id": "g", "properties": {}}}), "inventory"),
        ({"id": "e", "name": "x", "type": "BUCKET", "properties": {"a": 1}}, "inventory object"),
        (paged("auditLogEntries", {"id": "a", "action": "Login", "requestId": "r", "userAgent": "u"}), "audit log"),
        ({"id": "a", "action": "Login", "requestId": "r", "userAgent": "u", "status": "SUCCESS"}, "audit log entry"),
        ({"data": {"issue": {"id": UID, "evidenceQuery": {"type": ["BUCKET"], "select": True}}}}, "answer to issue"),
        ({"data": {"__typename": "Query"}}, "answer to __typename"),
        ({"data": {}}, "empty answer"),
        ({"data": {"issuesV2": {"totalCount": 7}}}, "answer to issuesV2"),
        ({"data": {"somethingNew": {"nodes": [{"a": 1}]}}}, "somethingNew"),
    ],
)
def test_what_carries_no_finding_is_named(body: Any, says: str) -> None:
    found, notes, rejected = pages(body)
    assert found == []
    assert rejected == []
    assert any(says in note and "carries no finding" in note for note in notes), notes


@pytest.mark.parametrize(
    "body",
    [
        {"hello": "world"},
        {"Findings": [{"Id": "x", "ProductArn": "y", "SchemaVersion": "2018-10-08", "Resources": []}]},
        {"policy": {"policyId": "p", "severity": "high"}, "resource": {"id": "r"}, "status": "open", "id": "P-1"},
        {"finding_info": {"uid": "x"}, "severity_id": 4, "resources": [{"uid": "r"}]},
        {"data": [{"alertId": 1, "alertName": "x", "severity": "High"}]},
        {"users": [], "limit": 25},
        {"message": "Validation Failed", "errors": [{"message": "x", "resource": "PullRequest"}], "url": "u"},
        {"fields": {"updateAuthor": {"name": "x"}}, "key": "SEC-1"},
        {"id": 7, "app": {"id": 1, "slug": "x", "name": "y"}, "head_sha": "z"},
        {"data": {"id": 1, "threatId": "x", "threatInfo": {}}, "pagination": {}},
        {"name": "x", "etag": "e", "type": "Microsoft.X/y", "id": "/subscriptions/x", "properties": {}},
        {},
    ],
)
def test_other_vendors_are_refused_with_a_reason(body: Any) -> None:
    found, _, rejected = pages(body)
    assert found == []
    assert len(rejected) == 1
    assert "not an object that Wiz sends" in rejected[0][1]
    with pytest.raises(BadInput, match="not a finding of Wiz"):
        MAPPER.map(body)


def test_a_partly_filled_answer_keeps_what_it_has_and_says_the_error() -> None:
    answer = {**paged("issues", ONE), "errors": [{"message": "x", "extensions": {"code": "INTERNAL"}}]}
    found, notes, _ = pages(answer)
    assert [one.uid for one in found] == [UID]
    assert any("error answer (INTERNAL)" in note for note in notes)


# --- webhooks --------------------------------------------------------------------------------------------------------


def test_the_default_template_is_the_issue_of_the_api() -> None:
    (found,), notes, _ = pages(webhook())
    assert notes == ["understood: webhook body"]
    api = MAPPER.map(ONE)
    for name in (
        "uid",
        "title",
        "rule_uid",
        "severity",
        "result",
        "first_seen",
        "internet_exposed",
        "url",
        "class_uid",
    ):
        assert getattr(found, name) == getattr(api, name), name
    assert (found.resource.uid, found.account.uid, found.account.name) == (BUCKET, "123456789012", "Acme production")
    assert [hint.value for hint in found.owner_hints] == ["Payments", "Web"]


@pytest.mark.parametrize(
    ("trigger", "status", "result"),
    [
        ("Created", "OPEN", SourceStatus.NEW),
        ("Resolved", "Resolved", SourceStatus.RESOLVED),
        ("Resolved", None, SourceStatus.RESOLVED),
        ("Reopened", None, SourceStatus.NEW),
        ("Updated", "IN_PROGRESS", SourceStatus.IN_PROGRESS),
        ("Updated", "REJECTED", SourceStatus.SUPPRESSED),
        ("Escalated", None, SourceStatus.OTHER),
    ],
)
def test_the_status_of_a_webhook(trigger: str, status: str | None, result: SourceStatus) -> None:
    body = webhook()
    body["trigger"]["type"], body["issue"]["status"] = trigger, status
    assert MAPPER.map(body).result is result


@pytest.mark.parametrize(
    "body",
    [
        {"issueId": UID, "title": "A rule", "severity": "HIGH", "resourceName": "b", "resourceId": BUCKET},
        {"text": f"See https://app.wiz.io/issues#~(issue~'{UID})", "severity": "HIGH", "title": "A rule"},
        {"issue": {"id": UID, "severity": "HIGH", "title": "A rule"}},
        {"trigger": {"type": "Created"}, "issue": {"id": UID, "severity": "HIGH", "name": "A rule"}},
    ],
)
def test_edited_templates_that_name_the_issue(body: dict[str, Any]) -> None:
    (found,), _, rejected = pages(body)
    assert rejected == []
    assert (found.uid, found.title, found.severity_word) == (UID, "A rule", "HIGH")


def test_templates_of_other_triggers() -> None:
    rule = {"id": "r1", "shortId": "S3-001", "name": "No public buckets"}
    place = {"id": BUCKET, "name": "b", "subscriptionId": "123456789012", "cloudPlatform": "AWS"}
    body = {"trigger": {"source": "CONFIGURATION_FINDING", "type": "Created"}, "rule": rule, "resource": place,
            "finding": {"id": "c-1", "severity": "HIGH", "result": "FAIL", "status": "OPEN"}}  # fmt: skip
    (found,), _, _ = pages(body)
    assert (found.uid, found.rule_uid, found.resource.uid) == ("c-1", "S3-001", BUCKET)
    assert found.class_uid is FindingClass.COMPLIANCE
    assert found.account.uid == "123456789012"


def test_the_flat_body_of_a_detection() -> None:
    body = {
        "trigger": {"source": "DETECTIONS", "type": "Created"}, "id": "d-1", "threatId": UID, "tdrId": "t-1",
        "threatURL": f"https://acme.wiz.io/issues#~(issue~'{UID})", "title": "Odd login", "severity": "HIGH",
        "createdAt": "2026-11-20T02:00:00.123456789Z", "mitreTactics": ["TA0005"], "mitreTechniques": ["T1070.006"],
        "primaryResource": {"id": "x", "providerUniqueId": SERVER, "name": "bastion", "nativeType": "ec2",
                            "cloudAccount": {"cloudPlatform": "AWS", "externalId": "123456789012"}},
    }  # fmt: skip
    (found,), _, _ = pages(body)
    assert (found.uid, found.rule_uid, found.resource.uid) == ("d-1", "t-1", SERVER)
    assert found.url == body["threatURL"]
    assert [c.requirement for c in found.controls] == ["TA0005", "T1070.006"]
    assert found.account.provider == "aws"


# --- the command line scanner ----------------------------------------------------------------------------------------


def test_a_scan_report_gives_one_finding_for_each_match() -> None:
    cve = {"name": "CVE-2022-3602", "severity": "HIGH", "fixedVersion": "3.0.7", "source": "https://a.example/1",
           "score": 7.5, "hasExploit": True}  # fmt: skip
    report = {
        "id": "scan-1", "createdAt": "2026-11-20T00:00:00Z", "reportUrl": "https://app.wiz.io/findings/cicd-scans#x",
        "scanOriginResource": {"id": "", "name": "shop/api:1.2"}, "scanOriginResourceType": "CONTAINER_IMAGE",
        "result": {
            "osPackages": [{"name": "openssl", "version": "3.0.5", "vulnerabilities": [cve, {**cve, "name": "CVE-2"}]},
                           {"name": "curl", "version": "8", "vulnerabilities": None}],
            "libraries": [{"name": "log4j", "version": "2", "path": "/a.jar", "vulnerabilities": [cve]}],
            "applications": [{"name": "nginx", "vulnerabilities": [{"version": "1", "vulnerability": cve}]}],
            "secrets": [{"description": "key", "path": "/b", "lineNumber": 3, "type": "CLOUD_KEY", "severity": "HIGH"}],
            "ruleMatches": [{"rule": {"id": "r", "name": "No root"}, "severity": "LOW",
                             "matches": [{"resourceName": "x", "fileName": "Dockerfile", "lineNumber": 1}]}],
        },
    }  # fmt: skip
    found, notes, rejected = pages(report)
    assert rejected == []
    assert len({one.uid for one in found}) == len(found) == 6
    assert {one.resource.uid for one in found} == {"shop/api:1.2"}
    first = found[0].vulnerabilities[0]
    assert (first.package, first.version, first.fixed_version, first.cvss) == ("openssl", "3.0.5", "3.0.7", 7.5)
    assert found[3].vulnerabilities[0].package == "nginx"
    assert [one.title for one in found[4:]] == ["Secret in /b:3", "No root"]
    assert pages(report)[0] == found
    assert notes == ["understood: command line scan"]


def test_other_kinds_with_a_severity_on_a_resource() -> None:
    place = {"id": "g", "name": "ci", "type": "USER_ACCOUNT", "providerUniqueId": "arn:aws:iam::123456789012:user/ci"}
    node = {"id": "o-1", "name": "Unused admin rights", "severity": "MEDIUM", "status": "OPEN",
            "firstSeenAt": "2026-01-01T00:00:00Z", "rule": {"id": "r"}, "graphEntity": place}  # fmt: skip
    (found,), _, _ = pages(paged("excessiveAccessFindings", node))
    assert (found.uid, found.resource.name, found.account.uid) == ("o-1", "ci", "123456789012")


def test_everything_has_its_own_class() -> None:
    classes = [
        MAPPER.map(node).class_uid for node in (issue(), threat(), configuration(), vulnerability(), detection())
    ]
    assert classes == [2004, 2004, 2003, 2002, 2004]
    assert MAPPER.map(issue(type="CLOUD_CONFIGURATION")).class_uid is FindingClass.COMPLIANCE


# --- CSV reports -----------------------------------------------------------------------------------------------------


def csv_of(*rows: dict[str, Any]) -> bytes:
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().encode("utf-8-sig")


ROW = {
    "Created At": "2026-11-01T08:00:00Z", "Title": "Publicly readable bucket", "Severity": "HIGH", "Status": "OPEN",
    "Description": 'The bucket, "can be read" by anyone.', "Resource Type": "BUCKET", "Resource external ID": BUCKET,
    "Subscription ID": "123456789012", "Project Names": "Payments, Web", "Resolved Time": "", "Resolution": "",
    "Control ID": "wc-id-900", "Resource Name": "acme-customer-exports", "Resource Region": "us-east-1",
    "Resource Platform": "AWS", "Issue ID": UID, "Due At": "", "Remediation Recommendation": "Block it.",
    "Subscription Name": "Acme production", "Wiz URL": f"https://app.wiz.io/issues#~(issue~'{UID})",
    "Resource Tags": '{"env": "prod"}',
}  # fmt: skip


def test_the_report_of_issues() -> None:
    found, notes, rejected = pages(csv_of(ROW, {**ROW, "Issue ID": "i-2", "Status": "RESOLVED"}))
    assert rejected == []
    assert notes == ["understood: 2 × issues"]
    one, two = found
    assert (one.uid, one.title, one.rule_uid) == (UID, "Publicly readable bucket", "wc-id-900")
    assert (one.resource.uid, one.resource.tags, one.account.uid) == (BUCKET, {"env": "prod"}, "123456789012")
    assert one.desc == ROW["Description"]
    assert [hint.value for hint in one.owner_hints] == ["Payments", "Web"]
    assert one.url == ROW["Wiz URL"]
    assert two.result is SourceStatus.RESOLVED
    assert pages([ROW])[0] == [one]  # the same row as JSON


def test_the_report_of_vulnerabilities() -> None:
    row = {"ID": "v-1", "WizURL": "https://app.wiz.io/x", "Name": "CVE-2022-3602", "CVSSSeverity": "HIGH", "HasExploit":
           "true", "HasCisaKevExploit": "False", "FindingStatus": "Open", "VendorSeverity": "High", "DetailedName":
           "openssl", "Version": "3.0.5", "FixedVersion": "3.0.7", "AssetName": "bastion", "ProviderUniqueId": SERVER,
           "CloudPlatform": "AWS", "SubscriptionExternalId": "123456789012",
           "Tags": '{"owner": "payments"}'}  # fmt: skip
    (found,), _, rejected = pages(csv_of(row))
    assert rejected == []
    what = found.vulnerabilities[0]
    assert (found.uid, what.exploit, what.kev, what.fixed_version) == ("v-1", True, False, "3.0.7")
    assert (found.resource.uid, found.severity_word) == (SERVER, "High")
    assert found.owner_hints[0].value == "payments"


def test_a_long_report_is_read_as_a_stream_and_another_csv_is_refused() -> None:
    found, _, rejected = pages(csv_of(*({**ROW, "Issue ID": f"i-{n}"} for n in range(1500))))
    assert rejected == []
    assert len({one.uid for one in found}) == 1500
    found, _, rejected = pages(csv_of({"a": "1", "b": "2"}))
    assert found == []
    assert "not JSON" in rejected[0][1]
