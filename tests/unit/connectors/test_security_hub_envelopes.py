"""Files of Security Hub: findings in what carries them, and names for what carries none."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from connector_shapes import asff

from connectors.security_hub import MANIFEST

EVENT = {
    "source": "aws.securityhub",
    "detail-type": "Security Hub Findings - Imported",
    "detail": {"findings": [asff()]},
}
CARRYING = {
    "one": asff(),
    "array": [asff(), asff(2)],
    "page": {"Findings": [asff(), asff(2)], "NextToken": "x"},
    "event": EVENT,
    "SQS": {"Records": [{"body": json.dumps(EVENT)}]},
    "SNS to a function": {"Records": [{"Sns": {"Message": json.dumps(EVENT)}}]},
    "Elastic": {"_source": {"event": {"original": json.dumps(asff())}}},
    "Panther": {**asff(), "p_log_type": "AWS.SecurityFindingFormat"},
}
NAMED = {
    "answer to an update of findings": {"ProcessedFindings": [{"Id": "a"}], "UnprocessedFindings": []},
    "answer to an import of findings": {"FailedCount": 0, "SuccessCount": 1, "FailedFindings": []},
    "history of a finding": {"Records": [{"FindingIdentifier": {"Id": "x"}, "FindingCreated": False}]},
    "description of the hub": {"HubArn": "a", "SubscribedAt": "b"},
    "error answer (not subscribed)": {"__type": "InvalidAccessException", "Message": "not subscribed"},
    "event without findings (Security Hub Insight Results)": {
        "source": "aws.securityhub", "detail-type": "Security Hub Insight Results", "detail": {"insightArn": "x"}},
    "subscription of SNS": {"Type": "SubscriptionConfirmation", "SubscribeURL": "https://sns.example"},
}  # fmt: skip


def read(body: Any) -> tuple[list[str], list[str], list[tuple[str, str]]]:
    pages = list(MANIFEST.read(io.BytesIO(json.dumps(body).encode()), "x"))
    items = [MANIFEST.mapper().map(item).uid for page in pages for item in page.items]
    return items, [note for page in pages for note in page.notes], [said for page in pages for said in page.rejected]


@pytest.mark.parametrize("name", sorted(CARRYING))
def test_findings_are_found_in_what_carries_them(name: str) -> None:
    items, _, rejected = read(CARRYING[name])
    assert len(items) == (2 if name in ("array", "page") else 1)
    assert rejected == []


@pytest.mark.parametrize("name", sorted(NAMED))
def test_what_carries_none_is_named(name: str) -> None:
    assert read(NAMED[name]) == ([], [f"{name}: carries no finding"], [])


def test_what_is_not_security_hubs_is_kept_aside() -> None:
    items, _, rejected = read({"foo": 1})
    assert items == []
    assert "not an object that Security Hub sends" in rejected[0][1]
