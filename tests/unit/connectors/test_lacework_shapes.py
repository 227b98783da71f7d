"""Whatever wraps Lacework's objects, the finding comes out; what carries none is named; foreign objects are refused."""

from __future__ import annotations

import base64
import io
import json
from typing import Any

import pytest
from example_lacework import alert, container, evaluation, event, host, webhook

from connectors.lacework import MANIFEST
from connectors.lacework.mapping import LaceworkMapper


def read(raw: Any) -> tuple[list[dict[str, Any]], list[str], list[tuple[str, str]]]:
    data = raw if isinstance(raw, bytes) else json.dumps(raw).encode()
    pages = list(MANIFEST.read(io.BytesIO(data), "file"))
    return (
        [dict(item) for page in pages for item in page.items],
        [note for page in pages for note in page.notes],
        [one for page in pages for one in page.rejected],
    )


def uids(raw: Any) -> list[str]:
    items, _, rejected = read(raw)
    assert rejected == []
    return [LaceworkMapper().map(item).uid for item in items]


def bare(raw: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in raw.items() if key != "_lacework"}


PAGING = {"rows": 1, "totalRows": 1, "urls": {"nextPage": "https://acme.lacework.net/api/v2/Alerts/abc"}}
BRIDGE = {"version": "0", "id": "x", "detail-type": "LaceworkEvents", "account": "434813966438", "detail": event()}


@pytest.mark.parametrize(
    "wrapped",
    [
        {"paging": PAGING, "data": [alert()]},
        {"data": alert()},
        [alert()],
        {"_index": "i", "_source": {"event": {"original": json.dumps(alert())}}},
        {"@timestamp": "2026-06-01T00:00:00Z", "message": json.dumps(alert())},
        {"took": 1, "hits": {"hits": [{"_source": alert()}]}},
        {"name": "an incident", "rawJSON": json.dumps(alert())},
        {**alert(), "p_log_type": "Lacework.Alerts", "p_event_time": "2026-06-01"},
        {"Lacework": {"Alert": [alert()]}},
    ],
)
def test_an_alert_in_any_wrapper(wrapped: Any) -> None:
    assert uids(wrapped) == ["4711"]


@pytest.mark.parametrize(
    "wrapped",
    [
        event(),
        BRIDGE,
        [BRIDGE],
        {"Records": [{"EventSource": "aws:sns", "Sns": {"Message": json.dumps(event())}}]},
        {"Records": [{"messageId": "1", "body": json.dumps(BRIDGE)}]},
        {"message": {"data": base64.b64encode(json.dumps(event()).encode()).decode(), "messageId": "1"}},
        {"time": 1, "sourcetype": "_json", "event": event()},
        {"preview": False, "result": {"_raw": json.dumps(event())}},
        {**event(), "p_log_type": "Lacework.Events", "p_row_id": "1"},
        {"data": [event()["EVENT_DETAILS"]["data"][0]]},
        {"logEvents": [{"id": "1", "message": json.dumps(event())}]},
        {**event(), "EVENT_DETAILS": json.dumps(event()["EVENT_DETAILS"])},
    ],
)
def test_an_event_of_a_channel_in_any_wrapper(wrapped: Any) -> None:
    assert uids(wrapped) == ["4713"]


def test_inner_objects_written_as_text_keep_their_resource() -> None:
    items, _, _ = read({**event(), "EVENT_DETAILS": json.dumps(event()["EVENT_DETAILS"])})
    assert LaceworkMapper().map(items[0]).resource.uid.startswith("arn:aws:ec2:eu-west-1:")


def test_the_webhooks_body_and_what_a_gateway_makes_of_it() -> None:
    assert uids(webhook()) == uids({"body": json.dumps(webhook()), "requestContext": {}}) == ["4714"]


def test_an_alert_of_a_page_links_to_the_console_that_the_next_page_names() -> None:
    items, _, _ = read({"paging": PAGING, "data": [bare(alert())]})
    assert LaceworkMapper().map(items[0]).url.startswith("https://acme.lacework.net/ui/investigation/")
    items, _, _ = read({"paging": {"urls": {"nextPage": "https://evil.example/x"}, "rows": 1}, "data": [bare(alert())]})
    assert LaceworkMapper().map(items[0]).url == ""


@pytest.mark.parametrize("texts", [False, True])
def test_exports_in_capitals_and_snake_case(texts: bool) -> None:
    capitals = {
        "".join(f"_{c}" if c.isupper() else c.upper() for c in key): value for key, value in bare(host()).items()
    }
    capitals = {key: json.dumps(v) if texts and isinstance(v, dict) else v for key, v in capitals.items()}
    snake = {key.lower(): value for key, value in capitals.items()}
    assert uids(capitals) == uids(snake) == uids(host())


def test_lines_of_several_kinds() -> None:
    lines = b"\n".join(json.dumps(one).encode() for one in (alert(), host(), container(), evaluation()))
    items, notes, rejected = read(lines)
    assert (len(items), rejected) == (4, [])
    assert {"understood: alerts", "understood: 2 × vulnerabilities"} & set(notes)


def test_a_page_larger_than_other_files_objects_is_read() -> None:
    rows = [{**bare(host(mid=number)), "pad": "x" * 2000} for number in range(5000)]
    items, _, rejected = read({"paging": {"rows": 5000, "totalRows": 5000}, "data": rows})
    assert (len(items), rejected) == (5000, [])


def test_of_several_rows_for_one_pair_the_newest_counts_in_any_order() -> None:
    old = host(endTime="2026-06-01T01:00:00.000Z", status="Active")
    new = host(endTime="2026-06-01T02:00:00.000Z", status="Fixed")
    for rows in ([old, new], [new, old]):
        items, notes, _ = read({"data": rows, "paging": PAGING})
        assert [item["status"] for item in items] == ["Fixed"]
        assert any("taken as one" in note for note in notes)
    same = container(severity="Low"), container(severity="Low", status="VULNERABLE")
    assert [i["status"] for i in read({"data": list(same), "paging": PAGING})[0]] == ["VULNERABLE"]


REPORT = {
    "reportType": "AWS_CIS",
    "reportTitle": "AWS CIS Benchmark",
    "reportTime": "2026-06-01T06:00:00Z",
    "accountId": "111122223333",
    "summary": [{"NUM_RECOMMENDATIONS": 4}],
    "recommendations": [
        {"REC_ID": "R1", "STATUS": "NonCompliant", "TITLE": "t1", "SEVERITY": 1, "SUPPRESSIONS": ["arn:aws:s3:::c"],
         "VIOLATIONS": [{"resource": "arn:aws:s3:::a", "region": "eu-west-1"}, {"resource": "arn:aws:s3:::b"}]},
        {"REC_ID": "R2", "STATUS": "Compliant", "TITLE": "t2", "SEVERITY": 2, "VIOLATIONS": []},
        {"REC_ID": "R3", "STATUS": "NonCompliant", "TITLE": "t3", "SEVERITY": 2, "VIOLATIONS": []},
        {"REC_ID": "R4", "STATUS": "RequiresManualAssessment", "TITLE": "t4", "SEVERITY": 5},
    ],
}  # fmt: skip


def test_every_resource_in_violation_of_a_report_is_a_finding() -> None:
    items, notes, rejected = read({"data": [REPORT], "ok": True, "message": "SUCCESS"})
    assert rejected == []
    found = [LaceworkMapper().map(item) for item in items]
    assert [(f.rule_uid, f.resource.uid, f.result.name) for f in found] == [
        ("R1", "arn:aws:s3:::a", "NEW"),
        ("R1", "arn:aws:s3:::b", "NEW"),
        ("R1", "arn:aws:s3:::c", "SUPPRESSED"),
        ("R3", "AWS::::Account:111122223333", "NEW"),
    ]
    assert "recommendation of a report (Compliant): carries no finding" in notes
    assert "recommendation of a report (RequiresManualAssessment): carries no finding" in notes


def test_evaluations_that_could_not_tell_are_named() -> None:
    items, notes, _ = read({"data": [evaluation(status="CouldNotAssess")], "paging": PAGING})
    assert items == []
    assert notes == ["evaluation that could not tell (CouldNotAssess): carries no finding"]


def test_assessments_of_the_first_api() -> None:
    package = {
        "name": "n",
        "namespace": "u",
        "severity": "High",
        "status": "Active",
        "version": "1",
        "fixed_version": "2",
    }
    machine = {"hostname": "h", "machine_id": "77", "tags": {"VmProvider": "AWS"}}
    assessed = {"host": machine, "vulnerabilities": [{"cve_id": "CVE-2020-1", "packages": [package]}]}
    assert uids({"ok": True, "message": "SUCCESS", "data": assessed}) == ["host|77|CVE-2020-1|u|n"]
    layer = {"packages": [{"name": "n", "namespace": "d", "version": "1", "vulnerabilities": [{"name": "CVE-2020-2"}]}]}
    image = {"image": {"image_info": {"image_id": "sha256:2", "repository": "a/b"}, "image_layers": [layer]}}
    assert uids({"data": image, "ok": True, "message": "SUCCESS"}) == ["container|sha256:2|CVE-2020-2|d|n|1"]


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        ({"token": "t", "expiresAt": "2026-06-01T00:00:00Z"}, "login answer"),
        ({"data": [], "paging": {"rows": 0, "totalRows": 0, "urls": None}}, "empty page"),
        ({"paging": {"rows": 1, "totalRows": 2, "urls": {"nextPage": "x"}}}, "paging without data"),
        ({"data": [{"question": "q", "answer": "No"}]}, "investigation answer of an alert"),
        (
            {"data": {"id": 1, "alertId": 2, "entryType": "Comment", "message": {"value": "x"}}},
            "entry of an alert's timeline",
        ),
        ({"data": [{"awsRegion": "eu-west-1", "eventName": "x", "eventTime": "2026"}]}, "audit event of an alert"),
        ({"data": [{"alertChannel": {}, "alertId": 1, "alertIntegrationId": "x"}]}, "integration of an alert"),
        ({"data": [{"policyId": "lacework-global-1", "title": "t", "severity": "high"}]}, "policy"),
        ({"data": [{"exceptionId": "e", "constraints": []}]}, "policy exception"),
        ({"data": [{"resourceConfig": {}, "urn": "arn:x", "csp": "AWS"}], "paging": {"rows": 1}}, "inventory record"),
        ({"VmProvider": "AWS", "InstanceId": "i-1"}, "machine tags"),
        ({"data": {"status": "scanning", "details": "Scan has been requested"}}, "status reply"),
        ({"message": "Invalid request"}, "error answer: Invalid request"),
        ({"data": {"ErrorMsg": "no"}, "ok": False, "message": "x"}, "error answer: no"),
        ({"data": [{"LW_S3_1": {"enabled": False}}], "ok": True, "message": "SUCCESS"}, "list of recommendations"),
        ({"data": [{"neverSeen": 1}], "paging": {"rows": 1, "totalRows": 1}}, "record of another kind (neverSeen)"),
        ({"event_title": "Test Event", "event_type": "TestEvent", "event_id": "0"}, "test message of an alert channel"),
        ({}, "empty answer"),
    ],
)
def test_what_carries_no_finding_is_recognised_and_named(raw: dict[str, Any], name: str) -> None:
    items, notes, rejected = read(raw)
    assert (items, rejected) == ([], [])
    assert notes == [f"{name}: carries no finding"]


@pytest.mark.parametrize(
    "raw",
    [
        {"data": {"issuesV2": {"nodes": [{"id": "1", "severity": "HIGH"}]}}},
        {"SchemaVersion": "2018-10-08", "Id": "x", "ProductArn": "arn:aws:securityhub:::x"},
        {"metadata": {"event_code": "x"}, "finding_info": {"uid": "1"}},
        {"state": {"alert_id": "orca-1", "status": "open"}, "type_string": "x"},
        {"id": "P-1", "status": "open", "policy": {"policyId": "x"}, "resource": {}},
        {"hello": "world"},
        {"data": [{"id": "MOCK", "value": "x"}]},
    ],
)
def test_what_another_product_sends_is_refused_with_a_reason(raw: dict[str, Any]) -> None:
    items, _, rejected = read(raw)
    assert items == []
    assert "not an object that Lacework sends" in rejected[0][1]


def test_nesting_without_end_is_no_crash() -> None:
    deep: Any = alert()
    for _ in range(60):
        deep = {"event": deep}
    assert read(deep)[0] == []
