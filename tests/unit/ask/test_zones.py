"""Days are those of who asks: east and west of UTC, around midnight, on days of 23 and 25 hours; and what one person
reads is written as that person writes."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from typer.testing import CliRunner

from bot.ask import times
from bot.ask.phrase import how_read, sentence
from bot.ask.run import Result
from bot.ask.service import Ask, Asker
from bot.ask.tokens import tokens
from bot.cli.main import app
from bot.domain import posture as p
from bot.domain.habits import PLAIN, Habits
from bot.settings import Settings
from bot.store.database import Database

BERLIN, ANGELES, AUCKLAND, KOLKATA = "Europe/Berlin", "America/Los_Angeles", "Pacific/Auckland", "Asia/Kolkata"


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[arg-type, misc]


LATE = utc(2026, 11, 24, 23, 30)  # half past midnight on the 25th in Berlin, afternoon of the 24th in Los Angeles
SPRING = utc(2026, 3, 29, 10)  # Berlin lost an hour at 01:00 UTC; a Sunday
AUTUMN = utc(2026, 10, 25, 12)  # Berlin got one back at 01:00 UTC; a Sunday

TABLE = [
    (LATE, BERLIN, "today", utc(2026, 11, 24, 23), LATE),
    (LATE, BERLIN, "yesterday", utc(2026, 11, 23, 23), utc(2026, 11, 24, 23)),
    (LATE, BERLIN, "this morning", utc(2026, 11, 24, 23), LATE),
    (LATE, ANGELES, "today", utc(2026, 11, 24, 8), LATE),
    (LATE, ANGELES, "yesterday", utc(2026, 11, 23, 8), utc(2026, 11, 24, 8)),
    (LATE, ANGELES, "this morning", utc(2026, 11, 24, 8), utc(2026, 11, 24, 20)),
    (LATE, ANGELES, "this afternoon", utc(2026, 11, 24, 20), LATE),
    (LATE, AUCKLAND, "today", utc(2026, 11, 24, 11), LATE),
    (LATE, KOLKATA, "today", utc(2026, 11, 24, 18, 30), LATE),
    (LATE, BERLIN, "since Monday", utc(2026, 11, 22, 23), LATE),
    (LATE, ANGELES, "since Monday", utc(2026, 11, 23, 8), LATE),
    (LATE, BERLIN, "last week", utc(2026, 11, 15, 23), utc(2026, 11, 22, 23)),
    (LATE, BERLIN, "this month", utc(2026, 10, 31, 23), LATE),
    (LATE, BERLIN, "in October", utc(2026, 9, 30, 22), utc(2026, 10, 31, 23)),
    (LATE, ANGELES, "on 2026-11-24", utc(2026, 11, 24, 8), LATE),
    (LATE, BERLIN, "since 2 days ago", utc(2026, 11, 22, 23), LATE),
    (LATE, BERLIN, "last 7 days", LATE - timedelta(days=7), LATE),
    (LATE, BERLIN, "last night", utc(2026, 11, 24, 17), LATE),
    (SPRING, BERLIN, "today", utc(2026, 3, 28, 23), SPRING),
    (SPRING, BERLIN, "yesterday", utc(2026, 3, 27, 23), utc(2026, 3, 28, 23)),
    (SPRING + timedelta(days=1), BERLIN, "yesterday", utc(2026, 3, 28, 23), utc(2026, 3, 29, 22)),  # 23 hours
    (SPRING, BERLIN, "last 24 hours", SPRING - timedelta(hours=24), SPRING),
    (AUTUMN, BERLIN, "today", utc(2026, 10, 24, 22), AUTUMN),
    (AUTUMN + timedelta(days=1), BERLIN, "yesterday", utc(2026, 10, 24, 22), utc(2026, 10, 25, 23)),  # 25 hours
    (AUTUMN, BERLIN, "this week", utc(2026, 10, 18, 22), AUTUMN),
    (AUTUMN, BERLIN, "this morning", utc(2026, 10, 24, 22), utc(2026, 10, 25, 11)),
]


@pytest.mark.parametrize(("now", "zone", "said", "start", "end"), TABLE, ids=[f"{z} {s}" for _, z, s, _, _ in TABLE])
def test_words_of_time_are_of_the_asker_s_day(
    now: datetime, zone: str, said: str, start: datetime, end: datetime
) -> None:
    words = tokens(said)
    found = times.parse(words, 0, now.astimezone(ZoneInfo(zone)))
    assert found is not None
    window, used = found
    assert used == len(words)
    assert (window.start, min(window.end or now, now)) == (start, min(end, now))


@pytest.mark.parametrize("said", ["this evening", "tonight"])
def test_a_part_of_the_day_that_has_not_begun_is_none(said: str) -> None:
    assert times.parse(tokens(said), 0, SPRING.astimezone(ZoneInfo(BERLIN))) is None


def test_instants_of_a_query_are_utc_whoever_asks() -> None:
    local = LATE.astimezone(ZoneInfo(BERLIN))
    made = p.Within(field="first_seen", start=local)
    assert made.start is not None
    assert (made.start.tzinfo, made.start) == (UTC, LATE)


async def asked(bergland: Database, question: str, zone: str, now: datetime) -> p.PostureQuery:
    service = Ask(bergland, Settings(), _Fixed(now))
    answer = await service.ask(question, Asker(), habits=Habits.of(zone, ""))
    assert answer.query is not None, answer.text
    return answer.query


class _Fixed:
    def __init__(self, now: datetime) -> None:
        self._now = now

    def now(self) -> datetime:
        return self._now


async def test_a_question_is_run_over_the_asker_s_day_and_says_so(bergland: Database) -> None:
    query = await asked(bergland, "How many findings were found yesterday?", ANGELES, LATE)
    (window,) = [one for one in query.where if isinstance(one, p.Within)]
    assert (window.start, window.end) == (utc(2026, 11, 23, 8), utc(2026, 11, 24, 8))
    assert "days as in America/Los_Angeles" in how_read(query, LATE, Habits(ANGELES))
    assert "as of 2026-11-24 15:30 PST" in how_read(query, LATE, Habits(ANGELES))
    assert "days as in" not in how_read(query, LATE)


async def test_a_course_is_counted_by_days_in_utc_and_says_so(bergland: Database) -> None:
    query = await asked(bergland, "Trend of open criticals this week", AUCKLAND, LATE)
    assert (query.start, query.end) == (date(2026, 11, 23), date(2026, 11, 24))
    assert "days in UTC" in how_read(query, LATE, Habits(AUCKLAND))


async def test_due_today_is_the_asker_s_today(bergland: Database) -> None:
    query = await asked(bergland, "How many findings are due today?", BERLIN, LATE)
    (window,) = [one for one in query.where if isinstance(one, p.Within)]
    assert (window.start, window.end) == (LATE, utc(2026, 11, 25, 23))


async def test_a_question_without_days_does_not_speak_of_a_zone(bergland: Database) -> None:
    query = await asked(bergland, "How many criticals are open in prod?", BERLIN, LATE)
    assert "days" not in how_read(query, LATE, Habits(BERLIN))


# --- writing ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("zone", "locale", "day", "moment", "figure"),
    [
        ("UTC", "", "2026-11-24", "2026-11-24 23:30 UTC", "1,234.5"),
        (BERLIN, "de-DE", "25.11.2026", "25.11.2026 00:30 CET", "1.234,5"),
        (ANGELES, "en-US", "Nov 24, 2026", "Nov 24, 2026 3:30 PM PST", "1,234.5"),
        ("Europe/London", "en-GB", "24 Nov 2026", "24 Nov 2026 23:30 GMT", "1,234.5"),
        ("Europe/Paris", "fr-FR", "25 nov. 2026", "25 nov. 2026 00:30 CET", "1 234,5"),
    ],
)
def test_dates_and_numbers_are_the_reader_s(zone: str, locale: str, day: str, moment: str, figure: str) -> None:
    habits = Habits.of(zone, locale)
    assert (habits.day(LATE), habits.moment(LATE), habits.figure(1234.5)) == (day, moment, figure)
    assert habits.day_of("2026-11-24T23:30:00Z") == day
    assert habits.day_of("no date at all") == "no date at"


@pytest.mark.parametrize(
    ("zone", "locale"),
    [
        ("Mars/Olympus", "xx-YY"),
        ("../../etc/passwd", "<b>"),
        (None, 5),
        ("", ""),
        ("UTC\n", "de\n"),
        ("x" * 99, "a" * 99),
    ],
)
def test_what_is_no_zone_and_no_locale_is_left_out(zone: object, locale: object) -> None:
    assert Habits.of(zone, locale) == PLAIN


def test_a_sentence_and_its_reading_are_written_alike() -> None:
    query = p.PostureQuery(kind=p.Kind.COUNT)
    result = Result(p.Kind.COUNT, value=12345)
    assert sentence(query, result, LATE, Habits.of(BERLIN, "de")) == "12.345 findings."
    assert sentence(query, result, LATE) == "12,345 findings."


def test_the_command_line_takes_a_zone_and_refuses_what_is_none(tmp_path: Path) -> None:
    config = tmp_path / "g.yml"
    config.write_text(f"database_url: sqlite:///{tmp_path}/t.db\n")

    def ask(zone: str) -> str:
        asked = ["ask", "--config", str(config), "--tz", zone, "How many findings were found yesterday?"]
        return CliRunner().invoke(app, asked).output

    assert "days as in Asia/Tokyo" in " ".join(ask("Asia/Tokyo").split())
    assert "is no time zone" in ask("Mars/Olympus")
