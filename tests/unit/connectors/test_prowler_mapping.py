import copy
import io
import json
import random
from typing import Any

import pytest
from connector_shapes import asff, prowler

from bot.domain.errors import BadInput
from bot.domain.findings import Finding, Severity, SourceStatus
from bot.ports import Page
from connectors.prowler import MANIFEST
from connectors.prowler.mapping import ProwlerMapper

MAPPER = ProwlerMapper()


def read(*scans: list[dict[str, Any]], raw: bytes | None = None) -> list[Page]:
    data = "".join(json.dumps(scan) for scan in scans).encode() if raw is None else raw
    return list(MANIFEST.read(io.BytesIO(data), "scan.ocsf.json"))


def findings(*scans: list[dict[str, Any]]) -> list[Finding]:
    return [MAPPER.map(item) for page in read(*scans) for item in page.items]


def notes(pages: list[Page]) -> str:
    return " ".join(note for page in pages for note in page.notes)


def test_a_failure_becomes_a_finding() -> None:
    found = MAPPER.map(prowler())
    assert found.rule_uid == "s3_bucket_public_access"
    assert found.result is SourceStatus.NEW
    assert found.severity is Severity.HIGH
    assert found.resource.tags == {"env": "prod", "owner": "payments", "link": "https://x.example/y"}
    assert found.environment_hint == "prod"
    assert found.internet_exposed is True
    assert [(h.kind, h.value) for h in found.owner_hints] == [("tag:owner", "payments")]
    assert [(c.standard, c.requirement) for c in found.controls] == [
        ("CIS-3.0", "2.1.4"),
        ("CIS-3.0", "2.1.5"),
        ("PCI-4.0", ""),
    ]
    assert found.remediation_cli == "aws s3api put-public-access-block"
    assert found.url == "https://hub.prowler.com/check/x"
    assert found.extra["scope"] == "aws:123456789012:eu-west-1:s3_bucket_public_access"


def test_the_title_of_a_failure_does_not_read_as_if_all_were_well() -> None:
    assert MAPPER.map(prowler()).title == "Not met: S3 bucket has public access blocked"
    assert MAPPER.map(prowler(status="PASS")).title == "S3 bucket has public access blocked"


@pytest.mark.parametrize(
    ("changes", "result"),
    [
        ({"status_code": "PASS"}, SourceStatus.RESOLVED),
        ({"status_code": "MUTED"}, SourceStatus.SUPPRESSED),
        ({"status": "Suppressed", "status_id": 3}, SourceStatus.SUPPRESSED),
        ({"status": "New", "status_id": 3}, SourceStatus.NEW),  # before 4.5 the number meant the result
        ({"status_code": None, "status": "Failure", "status_id": 2}, SourceStatus.NEW),
        ({"status_code": "LATER"}, SourceStatus.OTHER),
    ],
)
def test_result(changes: dict[str, Any], result: SourceStatus) -> None:
    assert MAPPER.map(prowler() | changes).result is result


def test_unknown_severity_is_other_with_its_word() -> None:
    found = MAPPER.map(prowler(severity="Apocalyptic"))
    assert (found.severity, found.severity_word) == (Severity.OTHER, "Apocalyptic")


def test_scan_id_time_version_and_counters_change_no_content() -> None:
    first, second = prowler(), prowler(scan="scan-2", time=1795999999, time_dt="2026-11-30T00:00:00")
    second["metadata"]["product"]["version"] = "5.47.0"
    second["finding_info"]["created_time"] = 1795999999
    assert MAPPER.sight(first) == MAPPER.sight(second)
    assert MAPPER.sight(first).content != MAPPER.sight(prowler(status="PASS")).content
    assert MAPPER.sight(first).uid == MAPPER.sight(prowler(status="PASS")).uid == MAPPER.map(first).uid


def test_identity_is_not_the_scanners_uid() -> None:
    same_uid = prowler(uid="arn:aws:s3:::acme-invoices/other")
    assert MAPPER.sight(same_uid).uid != MAPPER.sight(prowler()).uid
    assert MAPPER.sight(prowler(region="us-east-1")).uid != MAPPER.sight(prowler()).uid


def test_two_keys_of_one_user_are_two_findings() -> None:
    arn = "arn:aws:iam::123456789012:user/alice"
    keys = [prowler("iam_rotate", f"alice-access-key-{n}", uid=arn, detail=f"key {n} is old") for n in (1, 2)]
    assert len({f.uid for f in findings(keys)}) == 2


def test_colliding_failures_are_told_apart_in_any_order_and_when_numbers_move() -> None:
    def scan(days: int) -> list[dict[str, Any]]:
        said = [f"policy {p} attached for ({days} days)" for p in ("admin", "billing", "read")]
        return [prowler(f"check_{i}", "bob") for i in range(3)] + [prowler("iam_policy", "bob", detail=d) for d in said]

    first = scan(200)
    shuffled = scan(201)
    random.Random(1).shuffle(shuffled)
    assert len(first) == len({f.uid for f in findings(first)})
    assert {f.uid for f in findings(first)} == {f.uid for f in findings(shuffled)}


def test_digits_count_where_they_alone_tell_two_apart() -> None:
    scan = [prowler("iam_rotate", "bob", detail=f"access key {n} is old") for n in (1, 2)]
    assert len({f.uid for f in findings(scan)}) == 2


def test_a_failure_counts_over_a_pass_of_the_same_identity() -> None:
    scan = [prowler(status="PASS"), prowler(), prowler(status="PASS")]
    found = findings(scan)
    assert [(f.result, f.uid) for f in found] == [(SourceStatus.NEW, MAPPER.sight(prowler()).uid)]
    assert "2 repeated results" in notes(read(scan))


def test_an_appended_scan_supersedes_the_one_before() -> None:
    old = [prowler(), prowler(name="gone"), prowler("only_old")]
    new = [prowler(status="PASS")]
    found = findings(old, new)
    assert [(f.rule_uid, f.result) for f in found] == [
        ("only_old", SourceStatus.NEW),
        ("s3_bucket_public_access", SourceStatus.RESOLVED),
    ]
    assert "2 results of an older scan" in notes(read(old, new))


def test_manual_checks_are_noted_not_stored_and_leave_their_scope_open() -> None:
    pages = read([prowler(), prowler("look_here", status="MANUAL")])
    assert sum(len(p.items) for p in pages) == 1
    assert "1 manual checks" in notes(pages)
    assert [s for p in pages for s in p.complete_scopes] == ["aws:123456789012:eu-west-1:s3_bucket_public_access"]


def test_scopes_are_complete_only_when_the_whole_file_was_read() -> None:
    data = json.dumps([prowler(name=f"b{n}") for n in range(3)]).encode()
    assert [p.complete_scopes for p in read(raw=data)] == [("aws:123456789012:eu-west-1:s3_bucket_public_access",)]
    cut = read(raw=data[:-200])
    assert sum(len(p.items) for p in cut) == 2
    assert [p.complete_scopes for p in cut] == [()]
    assert cut[-1].rejected


def test_large_files_come_in_pages_and_the_scopes_with_the_last() -> None:
    pages = read([prowler(name=f"b{n}") for n in range(1203)])
    assert [len(p.items) for p in pages] == [500, 500, 203]
    assert [bool(p.complete_scopes) for p in pages] == [False, False, True]


def test_compliance_records_are_named_not_read() -> None:
    record = {
        "class_uid": 2003,
        "compliance": {"standards": ["CIS"]},
        "metadata": {"version": "1.4.0"},
        "finding_info": {},
    }
    pages = read(
        [
            {"class_uid": 2003, "compliance": {"requirements": ["1.1"]}, "metadata": {"version": "1.5.0"}},
        ]
    )
    assert [p.items for p in pages] == [()]
    assert "compliance results" in notes(pages)
    assert record


def test_another_format_is_refused_with_where_to_take_it() -> None:
    with pytest.raises(BadInput, match="security_hub"):
        MAPPER.map(asff())


def test_kubernetes_has_no_cloud() -> None:
    raw = prowler("apiserver_audit")
    del raw["cloud"], raw["resources"][0]["region"]
    raw["resources"][0]["namespace"] = "kube-system"
    raw["unmapped"] |= {"provider": "kubernetes", "provider_uid": "cluster-1"}
    found = MAPPER.map(raw)
    assert (found.account.provider, found.account.uid, found.resource.region) == (
        "kubernetes",
        "cluster-1",
        "kube-system",
    )


def test_hostile_text_is_kept_as_storable_data() -> None:
    raw = prowler(detail="<!channel> \x00 \ud800 " + "x" * 1_000_000)
    found = MAPPER.map(raw)
    assert "\x00" not in found.desc
    assert len(found.desc) <= 64_000
    found.model_dump_json().encode("utf-8")
    MAPPER.sight(copy.deepcopy(raw))
