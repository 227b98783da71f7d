"""Words of time and their instants, at ordinary times and where a year, a leap day or a quarter ends."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from bot.ask import times
from bot.ask.tokens import tokens

FRIDAY = datetime(2025, 3, 14, 15, 30, tzinfo=UTC)
NEW_YEAR = datetime(2026, 1, 1, 0, 30, tzinfo=UTC)  # a Thursday, half an hour into the year
LEAP = datetime(2024, 2, 29, 12, tzinfo=UTC)  # a Thursday


def at(year: int, month: int, day: int, hour: int = 0, minute: int = 0) -> datetime:
    return datetime(year, month, day, hour, minute, tzinfo=UTC)


TABLE = [
    (FRIDAY, "today", at(2025, 3, 14), FRIDAY),
    (FRIDAY, "yesterday", at(2025, 3, 13), at(2025, 3, 14)),
    (FRIDAY, "this week", at(2025, 3, 10), FRIDAY),
    (FRIDAY, "last week", at(2025, 3, 3), at(2025, 3, 10)),
    (FRIDAY, "the week before last", at(2025, 2, 24), at(2025, 3, 3)),
    (FRIDAY, "past week", FRIDAY - timedelta(days=7), FRIDAY),
    (FRIDAY, "last 7 days", FRIDAY - timedelta(days=7), FRIDAY),
    (FRIDAY, "previous 36 hours", FRIDAY - timedelta(hours=36), FRIDAY),
    (FRIDAY, "past fortnight", FRIDAY - timedelta(days=14), FRIDAY),
    (FRIDAY, "past quarter", FRIDAY - timedelta(days=90), FRIDAY),
    (FRIDAY, "past half a year", FRIDAY - timedelta(days=180), FRIDAY),
    (FRIDAY, "past two months", FRIDAY - timedelta(days=60), FRIDAY),
    (FRIDAY, "this month", at(2025, 3, 1), FRIDAY),
    (FRIDAY, "last month", at(2025, 2, 1), at(2025, 3, 1)),
    (FRIDAY, "this quarter", at(2025, 1, 1), FRIDAY),
    (FRIDAY, "last quarter", at(2024, 10, 1), at(2025, 1, 1)),
    (FRIDAY, "this year", at(2025, 1, 1), FRIDAY),
    (FRIDAY, "in April", at(2024, 4, 1), at(2024, 5, 1)),
    (FRIDAY, "in March", at(2025, 3, 1), FRIDAY),
    (FRIDAY, "in February 2024", at(2024, 2, 1), at(2024, 3, 1)),
    (FRIDAY, "on Tuesday", at(2025, 3, 11), at(2025, 3, 12)),
    (FRIDAY, "on Friday", at(2025, 3, 14), FRIDAY),
    (FRIDAY, "since Monday", at(2025, 3, 10), FRIDAY),
    (FRIDAY, "since February", at(2025, 2, 1), FRIDAY),
    (FRIDAY, "since 1 December", at(2024, 12, 1), FRIDAY),
    (FRIDAY, "before March 3", None, at(2025, 3, 3)),
    (FRIDAY, "between 2 and 8 March", at(2025, 3, 2), at(2025, 3, 9)),
    (FRIDAY, "from 28 February to 3 March", at(2025, 2, 28), at(2025, 3, 4)),
    (FRIDAY, "on 2025-03-02", at(2025, 3, 2), at(2025, 3, 3)),
    (FRIDAY, "on the 2nd of March", at(2025, 3, 2), at(2025, 3, 3)),
    (NEW_YEAR, "today", at(2026, 1, 1), NEW_YEAR),
    (NEW_YEAR, "yesterday", at(2025, 12, 31), at(2026, 1, 1)),
    (NEW_YEAR, "this week", at(2025, 12, 29), NEW_YEAR),
    (NEW_YEAR, "last week", at(2025, 12, 22), at(2025, 12, 29)),
    (NEW_YEAR, "last month", at(2025, 12, 1), at(2026, 1, 1)),
    (NEW_YEAR, "last quarter", at(2025, 10, 1), at(2026, 1, 1)),
    (NEW_YEAR, "this quarter", at(2026, 1, 1), NEW_YEAR),
    (NEW_YEAR, "in December", at(2025, 12, 1), at(2026, 1, 1)),
    (NEW_YEAR, "in January", at(2026, 1, 1), NEW_YEAR),
    (NEW_YEAR, "since 30 December", at(2025, 12, 30), NEW_YEAR),
    (NEW_YEAR, "from 30 December to 1 January", at(2025, 12, 30), at(2026, 1, 1, 0, 30)),
    (LEAP, "today", at(2024, 2, 29), LEAP),
    (LEAP, "this month", at(2024, 2, 1), LEAP),
    (LEAP, "last year", at(2023, 1, 1), at(2024, 1, 1)),
    (LEAP, "on 29 February", at(2024, 2, 29), LEAP),
]


@pytest.mark.parametrize(("now", "said", "start", "end"), TABLE, ids=[f"{n:%d.%m.} {s}" for n, s, _, _ in TABLE])
def test_words_of_time(now: datetime, said: str, start: datetime | None, end: datetime) -> None:
    words = tokens(said)
    found = times.parse(words, 0, now)
    assert found is not None
    window, used = found
    assert used == len(words)
    assert (window.start, min(window.end or now, now)) == (start, min(end, now))


@pytest.mark.parametrize("said", ["30 February", "31 April 2025", "tomorrow", "the 45th of March", "in Smarch"])
def test_no_such_time(said: str) -> None:
    found = times.parse(tokens(said), 0, FRIDAY)
    assert found is None or found[1] < len(tokens(said))
