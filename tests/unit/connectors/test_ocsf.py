"""OCSF exports: what is a finding, what each member means, and a history kept with its times."""

from __future__ import annotations

import copy
import io
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from example_ocsf import EXAMPLES

from bot.domain.errors import BadInput
from bot.domain.findings import FindingClass, Severity, SourceStatus
from connectors.ocsf import read
from connectors.ocsf.mapping import OcsfMapper

POSTURE, VULNERABILITY = EXAMPLES


def pages(value: Any) -> tuple[list[Any], list[str], list[Any]]:
    found = list(read(io.BytesIO(json.dumps(value).encode()), "x.json"))
    return (
        [i for p in found for i in p.items],
        [n for p in found for n in p.notes],
        [r for p in found for r in p.rejected],
    )


def changed(example: dict[str, Any], **members: Any) -> dict[str, Any]:
    return {**copy.deepcopy(example), **members}


@pytest.mark.parametrize(
    "envelope",
    [
        lambda e: e, lambda e: [e], lambda e: {"events": [e]}, lambda e: {"data": {"findings": [e]}},
        lambda e: {"detail-type": "Findings Imported V2", "detail": {"findings": [e]}},
        lambda e: {"hits": {"hits": [{"_source": e}]}},
    ],
)  # fmt: skip
def test_any_envelope_holds_the_same_finding(envelope: Any) -> None:
    items, _, rejected = pages(envelope(POSTURE))
    assert ([dict(i) for i in items], rejected) == ([POSTURE], [])


def test_other_events_are_named_and_other_objects_kept_aside() -> None:
    items, notes, rejected = pages([POSTURE, {"class_uid": 3002, "class_name": "Authentication"}, {"a": 1}])
    assert len(items) == 1
    assert "OCSF event Authentication: carries no finding" in notes
    assert rejected == [("object 3", "not an object that an OCSF exporter sends (its members: a)")]


def test_a_resolved_finding_keeps_when_it_was_found_and_resolved() -> None:
    found = OcsfMapper().map(VULNERABILITY)
    assert found.result is SourceStatus.RESOLVED
    assert found.first_seen == datetime.fromtimestamp(1763000000, UTC)
    assert found.resolved == datetime.fromtimestamp(1763950000, UTC)
    assert found.vulnerabilities[0].epss == 0.4
    assert found.vulnerabilities[0].kev is True


def test_a_check_that_passed_is_resolved_and_older_words_are_understood() -> None:
    mapper = OcsfMapper()
    passed = changed(POSTURE, compliance={"status": "Pass"})
    assert mapper.map(passed).result is SourceStatus.RESOLVED
    old = changed(POSTURE, status_id=None, status="Failure", class_uid=2001)
    assert mapper.map(old).result is SourceStatus.NEW
    assert mapper.map(changed(POSTURE, status_id=99, status="Parked")).result is SourceStatus.OTHER
    assert mapper.map(changed(POSTURE, status_id=99, status="Parked")).result_word == "Parked"


def test_requirements_stand_under_the_standard_they_begin_with() -> None:
    found = OcsfMapper().map(
        changed(POSTURE, compliance={"standards": ["PCI DSS", "SOC 2"], "requirements": ["SOC 2 CC6.7", "PCI DSS 3.5"]})
    )
    assert [(c.standard, c.requirement) for c in found.controls] == [
        ("PCI DSS", "PCI DSS 3.5"), ("SOC 2", "SOC 2 CC6.7")
    ]  # fmt: skip


def test_unknown_numbers_and_missing_members_never_raise() -> None:
    mapper = OcsfMapper()
    bare = mapper.map({"class_uid": 2004, "finding_info": {"uid": "1"}, "severity_id": 77})
    assert (bare.severity, bare.class_uid, bare.resource.uid) == (Severity.OTHER, FindingClass.DETECTION, "unknown")
    for example in EXAMPLES:
        for member in example:
            for value in (None, [], {}, "x", 7, True, [None], [[]]):
                if member not in {"finding_info"}:
                    mapper.map(changed(example, **{member: value}))


def test_an_event_without_any_uid_is_bad_input() -> None:
    with pytest.raises(BadInput, match="neither"):
        OcsfMapper().sight({"class_uid": 2003})
