from __future__ import annotations

import pytest

from bot.domain.errors import BadInput
from bot.domain.findings import OPEN_STATUSES, Severity, Status
from bot.domain.triage import Priority
from bot.reports.filters import FindingsFilter, parse_filters


def test_no_words_ask_for_what_is_open() -> None:
    assert parse_filters("") == FindingsFilter()
    assert set(parse_filters("").statuses) == OPEN_STATUSES


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("critical prod", FindingsFilter(severities=(Severity.CRITICAL,), environments=("prod",))),
        ("severity=high,critical", FindingsFilter(severities=(Severity.HIGH, Severity.CRITICAL))),
        ("HIGH, Production", FindingsFilter(severities=(Severity.HIGH,), environments=("prod",))),
        ("p1", FindingsFilter(priorities=(Priority.P1,))),
        ("resolved", FindingsFilter(statuses=(Status.RESOLVED,))),
        ("all", FindingsFilter(statuses=tuple(Status))),
        ("status:excepted", FindingsFilter(statuses=(Status.EXCEPTED,))),
        ("mine", FindingsFilter(mine=True)),
        (
            "owner:payments account:123 account:acme-prod",
            FindingsFilter(owner="payments", accounts=("123", "acme-prod")),
        ),
        ('owner:"Team Pay"', FindingsFilter(owner="Team Pay")),
        ("owner:nobody", FindingsFilter(owner="none")),
        ("rule:s3_public source:Prowler", FindingsFilter(rule="s3_public", source="prowler")),
        ('"public bucket" high', FindingsFilter(text="public bucket", severities=(Severity.HIGH,))),
        ("text:100%", FindingsFilter(text="100%")),
    ],
)
def test_words_are_read(words: str, expected: FindingsFilter) -> None:
    assert parse_filters(words) == expected


@pytest.mark.parametrize(
    ("words", "close"), [("critcal", "critical"), ("ownr:pay", "owner"), ("severity:hgh", "high"), ("prd", "prod")]
)
def test_an_unknown_word_is_refused_with_the_nearest_known_one(words: str, close: str) -> None:
    with pytest.raises(BadInput, match=f"Did you mean {close}"):
        parse_filters(words)


def test_a_word_near_nothing_is_refused_with_how_to_search_for_it() -> None:
    with pytest.raises(BadInput) as caught:
        parse_filters("zzzzzz")
    assert "text:zzzzzz" in caught.value.mend


def test_one_owner_only() -> None:
    with pytest.raises(BadInput, match="twice"):
        parse_filters("owner:a owner:b")


def test_the_filter_says_how_it_was_read() -> None:
    assert parse_filters("high prod owner:payments").words() == "open, high, prod, owner payments"
    assert parse_filters("all owner:none").words() == "all, without an owner"
