"""Orca's objects in every envelope: kept, or named, or refused."""

from __future__ import annotations

import copy
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from example_orca import CODE, CVE, CVE_V2, EXAMPLES, LEGACY, SERVING
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot.domain.errors import BadInput
from bot.domain.findings import Finding, FindingClass, Severity, SourceStatus
from connectors.orca import MANIFEST, words
from connectors.orca.content import SAID, SAID_OF_ASSET
from connectors.orca.mapping import OrcaMapper
from connectors.orca.shapes import APP_MARK
from connectors.orca.words import plain_text, severity_of, state_of


def read(body: Any) -> tuple[list[Finding], tuple[str, ...], tuple[tuple[str, str], ...]]:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    pages = list(MANIFEST.read(io.BytesIO(raw), "x"))
    found = [OrcaMapper().map(item) for page in pages for item in page.items]
    return found, tuple(n for p in pages for n in p.notes), tuple(r for p in pages for r in p.rejected)


FLAT = {name: field["value"] for name, field in SERVING["data"].items()}
TEXT = json.dumps(LEGACY)
WRAPPED = {
    "one alert": (LEGACY, ["orca-1001"]),
    "an array": ([LEGACY, SERVING, CODE], ["orca-1001", "orca-1002", "orca-1003"]),
    "lines": (f"{TEXT}\n{json.dumps(SERVING)}\n".encode(), ["orca-1001", "orca-1002"]),
    "query page": (
        {"version": "0.1.0", "status": "success", "next_page_token": ["x", 1], "data": [LEGACY]},
        ["orca-1001"],
    ),
    "serving page": ({"status": "success", "data": [SERVING, CODE], "total_items": 2}, ["orca-1002", "orca-1003"]),
    "one alert in data": ({"status": "success", "data": LEGACY}, ["orca-1001"]),
    "webhook, wrapped fields": ({"version": "1.0", "data": SERVING["data"]}, ["orca-1002"]),
    "webhook, bare fields": ({"version": "1.0", "data": FLAT}, ["orca-1002"]),
    "webhook, older": ({"version": "1.0", "data": LEGACY}, ["orca-1001"]),
    "webhook, a customer's": ({"alertId": "orca-7", "title": "T", "riskLevel": "high"}, ["orca-7"]),
    "webhook, alert beside own fields": (
        {"alert_id": "orca-7", "title": "T", "alert": {"state": {"status": "open"}}},
        ["orca-7"],
    ),
    "alerts": ({"alerts": [LEGACY, SERVING]}, ["orca-1001", "orca-1002"]),
    "Panther": ({**LEGACY, "p_log_type": "Orca.Alert", "p_row_id": "1"}, ["orca-1001"]),
    "XSOAR": ({"name": "orca-1001", "rawJSON": TEXT, "severity": 3}, ["orca-1001"]),
    "XSIAM": ({"vendor": "orca", "product": "security", "event_data": LEGACY}, ["orca-1001"]),
    "Elastic": ({"hits": {"hits": [{"_source": {"message": TEXT}}]}}, ["orca-1001"]),
    "ECS": ({"@timestamp": "x", "event": {"original": TEXT}}, ["orca-1001"]),
    "Splunk": ({"preview": False, "result": {"_raw": TEXT}}, ["orca-1001"]),
    "a log shipper": ({"host": "h", "attributes": {"attributes": LEGACY}}, ["orca-1001"]),
    "an agent's tool": ([{"type": "text", "text": json.dumps({"data": [SERVING]})}], ["orca-1002"]),
    "SNS": ({"Type": "Notification", "Message": TEXT}, ["orca-1001"]),
    "SQS": ({"Records": [{"body": TEXT}]}, ["orca-1001"]),
    "Log Analytics": (
        {"alert_id_s": "orca-77", "alert_type_s": "Malware", "asset_name_s": "h", "score_d": 2.0},
        ["orca-77"],
    ),
    "results of an inventory": (
        {
            "count": 1,
            "next": None,
            "results": [{"alert_id": "orca-9", "type_string": "x", "risk_level": "low", "status": "open"}],
        },
        ["orca-9"],
    ),
    "CVEs by CVE": (
        [{"cve_id": "CVE-2021-44228", "results": [{k: v for k, v in CVE.items() if k != "cve_id"}]}],
        ["CVE-2021-44228|vm_123456789012_i-0a1b2c3d4e5f60718|log4j-core"],
    ),
    "asset with its CVEs": (
        {
            "status": "success",
            "data": [
                {"id": "i", "type": "AwsEc2Instance", "asset_unique_id": "u1", "data": {"Name": {"value": "web"}}}
            ],
            "vulnerabilities": [{k: v for k, v in CVE_V2.items() if k != "Inventory"}],
        },
        ["CVE-2023-38545|u1|curl"],
    ),
}


@pytest.mark.parametrize("envelope", sorted(WRAPPED))
def test_alerts_and_cves_are_found_in_every_envelope(envelope: str) -> None:
    body, uids = WRAPPED[envelope]
    found, _, rejected = read(body)
    assert [one.uid for one in found] == uids
    assert rejected == ()


NAMED = {
    "login answer": {"status": "success", "jwt": {"access": "a", "refresh": "b"}},
    "error answer (invalid limit 1000000)": {"status": "failure", "error": "invalid limit 1000000"},
    "error answer (alert_id orca-2 does not exist)": {"error": "alert_id orca-2 does not exist"},
    "error answer (1012)": {"error_code": "1012"},
    "error answer (Invalid token.)": {"detail": "Invalid token."},
    "empty page": {"status": "success", "total_items": 0, "data": None},
    "page without data": {"status": "success", "has_next_page_token": False, "next_page_token": None},
    "answer to a scan request": {"status": "running", "scan_unique_id": "s", "asset_unique_id": "vm_1"},
    "status reply": {"status": "success"},
    "answer of a download job": {"status": "success", "request_token": "r"},
    "query (a request, not its answer)": {"query": {"models": ["Alert"]}, "limit": 1, "start_at_index": 0},
    "answer without findings (name, users)": {"status": "success", "data": {"name": "T", "users": []}},
    "history entry of an alert (set_status)": {
        "event_log": [{"alert_id": "orca-1", "create_time": "x", "type": "set_status", "details": {"to": "open"}}],
        "total_count": 1,
    },
    "webhook body that only names an alert (it is fetched by the API)": {"alert_id": "orca-1"},
    "text that names an alert (it is fetched by the API)": {"text": "orca-12 was opened"},
    "test message": {"message": "This is a test message from Orca Security"},
    "pull request of a code fix": {"url": "https://github.com/a/b/pull/1"},
    "object of another kind (its members: id, name)": {
        "status": "success",
        "total_items": 1,
        "data": [{"id": 1, "name": "Viewer"}],
    },
    "code origin of an asset": {"status": "success", "data": [{"id": "a", "type": "CodeOrigin"}], "total_items": 1},
}


@pytest.mark.parametrize("name", sorted(NAMED))
def test_what_carries_no_finding_is_named(name: str) -> None:
    found, notes, rejected = read(NAMED[name])
    assert (found, rejected) == ([], ())
    assert notes == (f"{name}: carries no finding",)


@pytest.mark.parametrize(
    "foreign",
    [
        {"foo": 1},
        {"SchemaVersion": "2018-10-08", "Id": "x", "ProductArn": "y"},
        {"data": {"issuesV2": {"nodes": [{"id": "1", "sourceRule": {"id": "r"}}]}}},
        {"data": [{"alertId": 12, "alertName": "x", "severity": "High", "alertInfo": {}}], "paging": {}},
        {"CVE_ID": "CVE-2020-1", "ASSET_ID": "a", "SEVERITY": "high"},
        {"alerts": [{"alert_id": "100", "name": "Hello", "severity": "Critical"}]},
    ],
)
def test_what_is_another_products_is_refused_with_its_members(foreign: dict[str, Any]) -> None:
    found, _, rejected = read(foreign)
    assert found == []
    assert len(rejected) == 1
    assert "not an object that Orca sends" in rejected[0][1]


def test_the_two_generations_tell_the_same_of_an_alert() -> None:
    wrapped = {
        "AlertId": "orca-1001",
        "Title": "Security group lets the internet reach SSH",
        "RuleId": "r00aa11bb22",
        "RuleType": "aws_sg_ssh_open",
        "Category": "Network misconfigurations",
        "RiskLevel": "high",
        "OrcaScore": 7.6,
        "Details": "The group sg-0a1b2c3d4e5f60718 lets everybody in.",
        "Status": "snoozed",
        "Labels": ["CSPM"],
        "CreatedAt": "2026-11-01T08:00:00+00:00",
        "LastUpdated": "2026-11-20T08:00:00+00:00",
        "AssetData": {
            "asset_name": "web-sg",
            "asset_type": "AwsEc2SecurityGroup",
            "cloud_provider": "aws",
            "asset_vendor_id": "sg-0a1b2c3d4e5f60718",
            "cloud_vendor_id": "123456789012",
            "account_name": "acme-prod",
            "asset_regions": ["eu-west-1"],
            "asset_tags_info_list": ["env|prod", "owner|payments"],
        },
    }
    old = OrcaMapper().map(LEGACY)
    for new in (
        OrcaMapper().map({"type": "Alert", "name": "orca-1001", "data": {k: {"value": v} for k, v in wrapped.items()}}),
        OrcaMapper().map({"Type": "Alert", **wrapped}),
    ):
        for name in ("uid", "title", "desc", "rule_uid", "types", "severity", "severity_word", "score", "result",
                     "result_word", "class_uid", "resource", "account", "first_seen", "modified", "url",
                     "environment_hint", "console_url"):  # fmt: skip
            assert getattr(new, name) == getattr(old, name), name


def test_texts_are_plain_and_filled_in() -> None:
    found = OrcaMapper().map(LEGACY)
    assert found.remediation == "Narrow the rule, see the guide.\n1. Open the console."
    assert found.remediation_cli == "aws ec2 revoke-security-group-ingress --group-id <id>"
    assert found.references == ("https://docs.example.com/sg",)
    bare = {**LEGACY, "details": None, "description": None}
    assert OrcaMapper().map(bare).desc == "The group web-sg lets everybody in."
    assert plain_text("Using {AwsElb.SecurityGroups} of **{AwsElb}**", "lb") == "Using SecurityGroups of lb"
    assert plain_text("a **b and `c") == "a b and c"


@pytest.mark.parametrize(
    ("risk", "orca", "score", "word", "expected"),
    [
        ("low", 9.9, 1, "compromised", (Severity.LOW, "low")),
        (None, 3.6, 3, "hazardous", (Severity.LOW, "hazardous")),
        (None, 9.0, None, None, (Severity.CRITICAL, "9")),
        (None, 7.0, None, None, (Severity.HIGH, "7")),
        (None, 5.0, None, None, (Severity.MEDIUM, "5")),
        (None, 2.9, None, None, (Severity.INFORMATIONAL, "2.9")),
        (None, None, 2, "imminent compromise", (Severity.HIGH, "imminent compromise")),
        (None, None, 3, None, (Severity.MEDIUM, "3")),
        ("dire", 1, 1, "x", (Severity.OTHER, "dire")),
        (None, "NaN", "x", "odd", (Severity.OTHER, "odd")),
        (7, None, None, None, (Severity.UNKNOWN, "")),
    ],
)
def test_of_three_severities_risk_level_counts(risk: Any, orca: Any, score: Any, word: Any, expected: Any) -> None:
    assert severity_of(risk, orca, score, word) == expected


@pytest.mark.parametrize(
    ("status", "reason", "expected"),
    [
        ("open", "", SourceStatus.NEW),
        ("in_progress", "", SourceStatus.IN_PROGRESS),
        ("snoozed", "", SourceStatus.SUPPRESSED),
        ("dismissed", "", SourceStatus.SUPPRESSED),
        ("closed", "fixed", SourceStatus.RESOLVED),
        ("closed", "asset was terminated", SourceStatus.DELETED),
        ("pondering", "", SourceStatus.OTHER),
        (None, "", SourceStatus.NEW),
    ],
)
def test_states(status: Any, reason: str, expected: SourceStatus) -> None:
    assert state_of(status, reason)[0] is expected


def test_no_arn_is_made_of_guesses() -> None:
    def uid(**changes: Any) -> str:
        return OrcaMapper().map({**LEGACY, **changes}).resource.uid

    assert uid() == "arn:aws:ec2:eu-west-1:123456789012:security-group/sg-0a1b2c3d4e5f60718"
    assert uid(asset_vendor_id="123456789012_sg-0a1b2c3d4e5f60718") == uid()
    assert uid(asset_regions=[]) == "sg-0a1b2c3d4e5f60718"
    assert uid(cloud_vendor_id="acme", cloud_provider_id="acme") == "sg-0a1b2c3d4e5f60718"
    assert uid(asset_vendor_id="Trent", asset_type="AwsUser") == "Trent"  # its path is not told
    azure = "/subscriptions/0-1/resourceGroups/g/providers/Microsoft.Storage/storageAccounts/a"
    assert uid(asset_vendor_id=azure, cloud_provider="azure") == azure


def test_classes() -> None:
    assert [OrcaMapper().map(one).class_uid for one in EXAMPLES] == [
        FindingClass.COMPLIANCE,
        FindingClass.VULNERABILITY,
        FindingClass.DETECTION,
        FindingClass.VULNERABILITY,
        FindingClass.VULNERABILITY,
    ]
    threat = {**LEGACY, "context": "data", "alert_labels": [], "category": "Malicious activity"}
    assert OrcaMapper().map(threat).class_uid is FindingClass.DETECTION


def test_a_tenant_of_another_region_gets_links_to_its_own_console() -> None:
    assert OrcaMapper().map({**LEGACY, APP_MARK: "https://app.eu.orcasecurity.io"}).url == (
        "https://app.eu.orcasecurity.io/alerts/orca-1001"
    )
    assert OrcaMapper().map({**LEGACY, APP_MARK: "javascript:x"}).url == "https://app.orcasecurity.io/alerts/orca-1001"


def test_the_hash_covers_every_name_the_mapping_asks_for() -> None:
    folder = Path(words.__file__).parent
    code = "".join((folder / f"{name}.py").read_text("utf-8") for name in ("mapping", "resources", "vulnerabilities"))
    records = {"cveid", "cvssseverity", "cvsssourcelink", "firstseen", "sourcelink", "summary", "upstreamdisposition",
               "vendorsourcelink", "installedpackage"}  # fmt: skip
    times = {"createdat", "lastseen", "lastupdated", "statustime"}
    elsewhere = {"findings", "model", "verificationstatus"}  # hashed in part; not said of the finding but in extra
    for call, covered in (("view.get", SAID | records | times | elsewhere), ("view.asset", SAID_OF_ASSET)):
        asked = {
            name
            for args in re.findall(re.escape(call) + r"\(([^()]*)\)", code)
            for name in re.findall(r'"(\w+)"', args)
        }
        assert len(asked) > 20
        assert asked - covered == set()


def test_scans_that_change_nothing_leave_the_hash() -> None:
    later = copy.deepcopy(LEGACY)
    later["state"]["last_seen"] = "2026-11-25T08:00:00+00:00"
    later["priv"] = {"full_scan_time": "2026-11-25T08:00:00+00:00"}
    assert OrcaMapper().sight(later) == OrcaMapper().sight(LEGACY)


JUNK = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=12)
    | st.sampled_from(["\x00", "\ud800", "NaN"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5) | st.just("value"), inner, max_size=3)
    ),
    max_leaves=6,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path] if path else []
    if isinstance(value, dict):
        for key, inner in value.items():
            found += places(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value[:3]):
            found += places(inner, (*path, index))
    return found


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_damaged_objects_are_mapped_or_refused_never_a_crash(data: st.DataObject) -> None:
    raw = copy.deepcopy(data.draw(st.sampled_from(EXAMPLES)))
    for _ in range(data.draw(st.integers(1, 5))):
        path = data.draw(st.sampled_from(places(raw) or [("x",)]))
        holder: Any = raw
        try:
            for step in path[:-1]:
                holder = holder[step]
            if data.draw(st.booleans()):
                del holder[path[-1]]
            else:
                holder[path[-1]] = data.draw(JUNK)
        except (KeyError, IndexError, TypeError):
            continue
    MANIFEST.read(io.BytesIO(json.dumps(raw).encode()), "x")
    try:
        sighting, finding = OrcaMapper().sight(raw), OrcaMapper().map(raw)
    except BadInput:
        return
    assert sighting.uid == finding.uid
    assert "\x00" not in finding.model_dump_json()


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(JUNK)
def test_no_json_at_all_breaks_the_reader(body: Any) -> None:
    list(MANIFEST.read(io.BytesIO(json.dumps(body).encode()), "x"))
