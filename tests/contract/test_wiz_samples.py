"""Every recorded payload of Wiz through the connector: are the fields the right ones?"""

from __future__ import annotations

import copy
import io
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot.domain.errors import BadInput
from bot.domain.findings import Finding, FindingClass, Severity, SourceStatus
from connectors.wiz import WizMapper, read

SAMPLES = Path(__file__).resolve().parents[3] / "shared" / "samples" / "wiz"
MAPPER = WizMapper()
pytestmark = pytest.mark.shared

# name -> (uid, class, rule, title begins with, severity, result, resource uid, account, provider)
ISSUE, CONFIG, VULNERABLE = FindingClass.DETECTION, FindingClass.COMPLIANCE, FindingClass.VULNERABILITY
KMS = "arn:aws:kms:eu-west-3:11111111:key/projectId0"
POLICY = ("projectId0", CONFIG, "00000000-0000-0000-0000-000000000000", "Resource policy should not", Severity.HIGH)
PROBE = ("e3188a71-794c-5ee8-b97c-eb794aa5b752", ISSUE, "cer-awsguardduty-recon-ec2-portprobeunprotectedport",
         "Recon:EC2/PortProbeUnprotectedPort")  # fmt: skip
GDPR = ("eventId1", ISSUE, "sourceRuleId1", "Publicly Exposed Assets", Severity.HIGH, SourceStatus.NEW)
KNOWN: dict[str, list[tuple[Any, ...]]] = {
    "configuration-finding-node-sekoia-event1.json": [(*POLICY, SourceStatus.RESOLVED, KMS, "1111111111", "aws")],
    "configuration-finding-node-sekoia-event1_with_tags.json": [
        (*POLICY, SourceStatus.RESOLVED, KMS, "1111111111", "aws")
    ],
    "configuration-finding-node-sekoia-event2.json": [(*POLICY, SourceStatus.NEW, KMS, "1111111111", "aws")],
    "configuration-findings-elastic.json": [
        ("bdeba988-f41b-55e6-9b99-96b8d3dc67d4", CONFIG, "Pod-32", "Pod should run", Severity.LOW, SourceStatus.NEW,
         "provider-id-0e814bb7-29e8-5c15-be9c-8da42c67ee99", "cfd132be-3bc7-4f86-8efd-ed53ae498fec", "azure"),
        ("1243196d-a365-589a-a8aa-13817c9877b2", CONFIG, "IAM-006", "Root account access keys", Severity.MEDIUM,
         SourceStatus.RESOLVED, "arn:aws:iam::998231069301:root", "998231069301", "aws"),
    ],
    "detection-node-sekoia-test_detection_1.json": [
        ("detection-abc123", ISSUE, "rule-456", "Suspicious Database Access", Severity.HIGH, SourceStatus.NEW,
         "arn:aws:rds:us-east-1:123456789012:db:production-database", "123456789012", "aws"),
    ],
    "detection-node-sekoia-test_detection_2.json": [
        ("88888888-8888-8888-8888-888888888888", ISSUE, "00000000-0000-0000-0000-000000000000", "Critical MongoBleed",
         Severity.MEDIUM, SourceStatus.NEW, "://5.6.7.8:27017/", "44444444-4444-4444-4444-444444444444", "azure"),
    ],
    "detections-elastic.json": [
        ("1456bbb9-19ef-4847-a80c-a2b400ba3db7", ISSUE, "49ed0540-4dff-4193-87cc-c4b5d6d9c305", "Service account token",
         Severity.MEDIUM, SourceStatus.NEW, "arn:aws:ec2:us-east-2:100000000001:instance/i-0000000000000002",
         "100000000001", "aws"),
    ],
    "issue-node-panther-open.json": [
        ("54321", ISSUE, "12345", "Alert Name", Severity.HIGH, SourceStatus.NEW, "someProviderId", "", "")
    ],
    "issue-node-sekoia-event1.json": [(*GDPR, "data##wizt-rec11111111111111##xxxx-eeeee-tttt-qqqq", "", "")],
    "issue-node-sekoia-event2.json": [(*GDPR, "data##wizt-rec11111111111111##xxxx-eeeee-tttt-qqqq", "", "")],
    "issue-node-sekoia-event4.json": [
        ("xxxxxxx-xxxxxxx-xxxxxxx", ISSUE, "idxxxxxxxxxxxx", "Findings with Critical", Severity.MEDIUM,
         SourceStatus.NEW, "81##CloudPlatform/ContainerImage##registry.example.com##test/test@sha256:sha256"
         "##CVE-2022-48174##busybox-binsh##1.35.0-r29", "", ""),
    ],
    "issue-node-sekoia-gen_event2.json": [(*GDPR, "WorkerNode-EKS-Cluster-Example-prod-eks", "", "")],
    "response-issue-by-id.json": [
        ("abc", ISSUE, "abc", "abc", Severity.INFORMATIONAL, SourceStatus.NEW, "abc", "", "kubernetes")
    ],
    "response-issues-page.json": [
        ("fff9cffd-64a7-412c-9535-cf837f4b0b40", ISSUE, "wc-id-1335", "EKS principals assume", Severity.INFORMATIONAL,
         SourceStatus.IN_PROGRESS, "k8s/clusterrole/aaa8e7ca2bf9bc85a75d5bbdd8ffd08d69f8852782a6341c3c3519bac0f24ae9/"
         "system:aggregate-to-edit/12", "998231069301", "aws"),
    ],
    "response-vulnerabilityFindings-page.json": [
        ("5e95ff50-5490-514e-87f7-11e56f3230ff", VULNERABLE, "CVE-2020-3333", "CVE-2020-3333 in libtiff",
         Severity.MEDIUM, SourceStatus.NEW, "arn:aws:ec2:us-east-1:998231069301:instance/i-0a0f7e1451da5f4a3",
         "998231069301", "aws"),
    ],
    "vulnerability-finding-node-sekoia-event1.json": [
        ("ttttttttestUUID", VULNERABLE, "CVE-2025-21502", "CVE-2025-21502 in openjdk-11-jdk",
         Severity.MEDIUM, SourceStatus.NEW, "arn:aws:ec2:us-east-1:11111111111:instance/i-11111111111111",
         "11111111111", "aws"),
    ],
    "vulnerability-findings-by-asset.json": [
        (f"{n}{n}{n}{n}{n}{n}{n}{n}-{n}{n}{n}{n}-{n}{n}{n}{n}-{n}{n}{n}{n}-" + str(n) * 12, VULNERABLE,
         cve, cve, Severity.LOW, SourceStatus.NEW, "00000000-0000-0000-0000-000000000001", "", "")
        for n, cve in enumerate(["CVE-2022-25972", "CVE-2015-3243", "CVE-2021-46242", "CVE-2018-14034",
                                 "CVE-2018-20673"], 1)
    ],
    "webhook-detection.json": [
        ("6a440e9b-c8d8-5482-a0e9-da714359aecf", ISSUE, "46fd0cdc-252e-5e69-be6e-66e4851d7ae4", "Timestomping",
         Severity.MEDIUM, SourceStatus.NEW, "provider-resource-uid-456", "134653897021", "aws"),
    ],
    "webhook-issue-panther-open-low.json": [
        (*PROBE, Severity.LOW, SourceStatus.NEW, "jenkins-aws", "111111111111", "aws")
    ],
    "webhook-issue-panther-open.json": [
        (*PROBE, Severity.HIGH, SourceStatus.NEW, "jenkins-aws", "111111111111", "aws")
    ],
    "response-createIssueNote.json": [],
    "response-error-invalid-issue-id.json": [],
    "response-oauth-token.json": [],
    "response-updateIssue-rejected.json": [],
    "response-updateIssue-reopened.json": [],
}  # fmt: skip
NAMED = {
    "response-createIssueNote.json": "reply to createIssueNote",
    "response-error-invalid-issue-id.json": "BAD_USER_INPUT",
    "response-oauth-token.json": "login answer",
    "response-updateIssue-rejected.json": "reply to updateIssue",
    "response-updateIssue-reopened.json": "reply to updateIssue",
}


def need_shared() -> None:
    if not SAMPLES.is_dir():
        why = "the recorded payloads (../shared/samples) are not beside the repository"
        if os.environ.get("CI"):
            pytest.fail(why)
        pytest.skip(why)


def items(name: str) -> tuple[list[Any], list[str], list[Any]]:
    with (SAMPLES / name).open("rb") as stream:
        pages = list(read(stream, name))
    return (
        [item for page in pages for item in page.items],
        [note for page in pages for note in page.notes],
        [one for page in pages for one in page.rejected],
    )


def test_every_sample_is_in_the_table() -> None:
    need_shared()
    assert {path.name for path in SAMPLES.iterdir()} == set(KNOWN)


@pytest.mark.parametrize("name", sorted(KNOWN))
def test_a_sample_says_what_it_says(name: str) -> None:
    need_shared()
    raws, notes, rejected = items(name)
    assert rejected == []
    found = [MAPPER.map(raw) for raw in raws]
    assert [_short(one) for one in found] == [(*row[:3], *row[4:]) for row in KNOWN[name]]
    for one, row in zip(found, KNOWN[name], strict=True):
        assert one.title.startswith(row[3])
    if name in NAMED:
        assert any(NAMED[name] in note for note in notes)


def _short(one: Finding) -> tuple[Any, ...]:
    return (one.uid, one.class_uid, one.rule_uid, one.severity, one.result, one.resource.uid, one.account.uid,
            one.account.provider)  # fmt: skip


def test_details_of_the_recorded_nodes() -> None:
    need_shared()
    (page,) = (MAPPER.map(raw) for raw in items("response-issues-page.json")[0])
    assert page.tickets[0].startswith("https://ven05658.testing.com/")
    assert page.business_impact == "MBI"
    assert page.resolved is None  # it has a time of resolution, but is in progress
    assert page.controls[0].standard == "CIS EKS 1.2.0"
    assert page.due is not None
    (vulnerable,) = (MAPPER.map(raw) for raw in items("response-vulnerabilityFindings-page.json")[0])
    what = vulnerable.vulnerabilities[0]
    assert (what.cvss, what.epss, what.epss_percentile, what.fix) == (5.5, 0.1, 0.462, True)
    assert vulnerable.internet_exposed is True
    (waiting,) = (MAPPER.map(raw) for raw in items("vulnerability-finding-node-sekoia-event1.json")[0])
    assert waiting.vulnerabilities[0].cvss == 4.8  # not rated by NVD yet
    assert waiting.vulnerabilities[0].fix is False
    (tagged,) = (MAPPER.map(raw) for raw in items("configuration-finding-node-sekoia-event1_with_tags.json")[0])
    assert tagged.environment_hint == "production"
    assert tagged.owner_hints[0].value == "john.doe@example.com"
    (marked,) = (MAPPER.map(raw) for raw in items("detections-elastic.json")[0])
    assert ":runtime-program" not in marked.desc
    assert marked.url == "https://app.wiz.io/issues#~(issue~'e0321809-7913-4693-aa03-7dad19d38d65)"
    (panther,) = (MAPPER.map(raw) for raw in items("issue-node-panther-open.json")[0])
    assert panther.first_seen is not None
    assert panther.first_seen.year == 2024  # "2024-06-04 02:28:06.763277000"


@pytest.mark.parametrize("name", sorted(name for name, rows in KNOWN.items() if rows))
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_damaged_samples_are_mapped_or_refused(name: str, data: st.DataObject) -> None:
    need_shared()
    raw = copy.deepcopy(data.draw(st.sampled_from(items(name)[0])))
    junk = st.sampled_from([None, "", "x", 0, -1, 1.5, True, [], {}, ["x"], {"x": 1}, "\x00", "NaN", [None], [[]]])
    for _ in range(data.draw(st.integers(1, 3))):
        holder: Any = raw
        while True:
            keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
            if not keys:
                break
            key = data.draw(st.sampled_from(keys))
            if isinstance(holder[key], (dict, list)) and holder[key] and data.draw(st.booleans()):
                holder = holder[key]
                continue
            if data.draw(st.booleans()) or isinstance(holder, list):
                holder[key] = copy.deepcopy(data.draw(junk))
            else:
                del holder[key]
            break
    try:
        sighting, found = MAPPER.sight(raw), MAPPER.map(raw)
    except BadInput:
        return
    assert sighting.uid == found.uid
    again = [item for page in read(io.BytesIO(json.dumps(raw).encode()), "x") for item in page.items]
    assert [MAPPER.map(item) for item in again] == [found]
