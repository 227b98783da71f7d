"""Relative and absolute times in words, as of an instant. Weeks begin on Monday; days are those of the zone of ``now``.

"Last week" is the calendar week before this one; "past week" and "last 7 days" are rolling.
"""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from bot.ask.tokens import Token

Unit = Literal["hour", "day", "week", "month", "quarter", "year"]
_UNITS: dict[str, tuple[Unit, timedelta]] = {
    "hour": ("hour", timedelta(hours=1)), "hours": ("hour", timedelta(hours=1)), "hrs": ("hour", timedelta(hours=1)),
    "day": ("day", timedelta(days=1)), "days": ("day", timedelta(days=1)),
    "week": ("week", timedelta(days=7)), "weeks": ("week", timedelta(days=7)),
    "fortnight": ("week", timedelta(days=14)), "fortnights": ("week", timedelta(days=14)),
    "month": ("month", timedelta(days=30)), "months": ("month", timedelta(days=30)),
    "quarter": ("quarter", timedelta(days=90)), "quarters": ("quarter", timedelta(days=90)),
    "year": ("year", timedelta(days=365)), "years": ("year", timedelta(days=365)),
}  # fmt: skip
_MONTHS = {
    name: number
    for number, names in enumerate(
        ("january jan", "february feb", "march mar", "april apr", "may", "june jun", "july jul", "august aug",
         "september sept sep", "october oct", "november nov", "december dec"), 1)
    for name in names.split()
}  # fmt: skip
_WEEKDAYS = {
    name: number
    for number, names in enumerate(
        ("monday mon mondays", "tuesday tue tues", "wednesday wed", "thursday thu thurs", "friday fri",
         "saturday sat", "sunday sun"))
    for name in names.split()
}  # fmt: skip
UNITS = tuple(_UNITS)
WORDS = frozenset([*_UNITS, *_MONTHS, *_WEEKDAYS, "today", "yesterday", "current", "previous", "past", "last", "week"])
_DAY = timedelta(days=1)
_PARTS = {"morning": (0, 12), "afternoon": (12, 18), "evening": (18, 24), "tonight": (18, 24)}  # hours of the day


@dataclass(frozen=True, slots=True)
class Window:
    """``start <= t < end``; an open side is None. ``unit`` and ``count``: of what length it was said to be."""

    start: datetime | None
    end: datetime | None
    said: str
    unit: Unit | None = None
    count: int = 0
    day: bool = False  # a single day


def parse(words: Sequence[Token], at: int, now: datetime) -> tuple[Window, int] | None:
    """The time expression that begins at ``at`` and how many tokens it takes."""
    return _Reader(words, now).window(at)


def duration(words: Sequence[Token], at: int) -> tuple[timedelta, Unit, float, int] | None:
    """``30 days``, ``a week``, ``half a year``: its length, unit, number and how many tokens it takes."""
    return _Reader(words, datetime(2000, 1, 1, tzinfo=UTC)).duration(at)


class _Reader:
    def __init__(self, words: Sequence[Token], now: datetime) -> None:
        # Lengths are counted in hours that passed, days on the wall calendar of whoever asks.
        self._words, self._now, self._local, self._zone = words, now.astimezone(UTC), now, now.tzinfo or UTC
        self._today = datetime(now.year, now.month, now.day, tzinfo=self._zone)

    def word(self, at: int) -> str:
        return self._words[at].word if 0 <= at < len(self._words) and not self._words[at].quoted else ""

    def number(self, at: int) -> float | None:
        return self._words[at].number if 0 <= at < len(self._words) and not self._words[at].quoted else None

    def has(self, at: int, *said: str) -> bool:
        return all(self.word(at + n) == word for n, word in enumerate(said))

    def duration(self, at: int) -> tuple[timedelta, Unit, float, int] | None:
        if self.has(at, "half", "a", "year") or self.has(at, "half", "year"):
            return timedelta(days=180), "month", 6, 3 if self.word(at + 1) == "a" else 2
        count, used = self.number(at), 1
        if count is None and self.word(at) in {"a", "an"}:
            count = 1.0
            if self.has(at, "a", "couple"):
                return None
        if count is None:
            return None
        if self.word(at + used) == "calendar":
            used += 1
        found = _UNITS.get(self.word(at + used))
        if found is None:
            return None
        return found[1] * count, found[0], count, used + 1

    # --- windows

    def window(self, at: int) -> tuple[Window, int] | None:
        first = self.word(at)
        if first in {"since", "starting"} or self.has(at, "ever", "since"):
            skip = 2 if first in {"ever"} or self.has(at, "starting", "from") else 1
            return self._open_ended(at, skip, "since")
        if first in {"before", "until", "till", "after"}:
            return self._open_ended(at, 1, first)
        if self.has(at, "prior", "to") or self.has(at, "up", "to"):
            return self._open_ended(at, 2, "before" if first == "prior" else "until")
        if first in {"between", "from"}:
            found = self._range(at)
            if found or first == "between":
                return found
            left = self._moment(at + 1)
            if left and left[0].start is not None:
                after = at + 1 + left[1]
                if self.has(after, "on") or self.has(after, "onwards") or self.has(after, "onward"):
                    said = f"since {left[0].said}"
                    return Window(left[0].start, self._now, said), 2 + left[1]
        if first in {"in", "on", "during", "within", "over", "for", "from", "of", "at"}:
            skip = 1 + (self.word(at + 1) in {"the", "all", "just"}) + self.has(at, "over", "the", "course", "of") * 2
            if found := self._range_of_dates(at + skip):
                return found[0], found[1] + skip
            if found := self._moment(at + skip):
                return found[0], found[1] + skip
            return None
        if first == "the" and (found := self._moment(at + 1)):
            return found[0], found[1] + 1
        return self._range_of_dates(at) or self._moment(at)

    def _open_ended(self, at: int, skip: int, way: str) -> tuple[Window, int] | None:
        skip += self.word(at + skip) in {"the", "last"} and self.word(at + skip + 1) in _WEEKDAYS
        found = self._moment(at + skip)
        if found is None:
            if way == "since" and (length := self.duration(at + skip)) and self.has(at + skip + length[3], "ago"):
                start = self._now - length[0]
                said = f"since {start.astimezone(self._zone):%Y-%m-%d %H:%M}"
                return Window(start, self._now, said), skip + length[3] + 1
            return None
        window, used = found
        if way == "since":
            return Window(window.start, self._now, f"since {window.said}"), skip + used
        if way == "before":
            return Window(None, window.start, f"before {window.said}"), skip + used
        if way == "until":
            return Window(None, window.end, f"until {window.said}"), skip + used
        return Window(window.end, self._now, f"after {window.said}"), skip + used

    def _range(self, at: int) -> tuple[Window, int] | None:
        """between D and E, from D to E."""
        if found := self._range_of_dates(at + 1):
            return found[0], found[1] + 1
        left = self._moment(at + 1)
        if left is None:
            return None
        middle = at + 1 + left[1]
        joins = {"and", "to", "until", "till", "through", "-"}
        if self.word(middle) not in joins:
            return None
        right = self._moment(middle + 1)
        if right is None:
            if self.word(middle + 1) in {"now", "today"}:
                return Window(left[0].start, self._now, f"from {left[0].said} to now"), left[1] + 3
            return None
        said = f"from {left[0].said} to {right[0].said}"
        return Window(left[0].start, right[0].end, said), 2 + left[1] + right[1]

    def _range_of_dates(self, at: int) -> tuple[Window, int] | None:
        """2 and 8 November; 2 to 8 Nov; 2-8 November; November 2 to 8."""
        joins = {"and", "to", "-", "until", "through"}
        packed = re.fullmatch(r"(\d{1,2})-(\d{1,2})", self.word(at))
        if packed and (month := _MONTHS.get(self.word(at + 1))):
            return self._between(month, int(packed[1]), int(packed[2]), self.year(at + 2), 2)
        one, two = self.number(at), self.number(at + 2)
        if one and two and self.word(at + 1) in joins and (month := _MONTHS.get(self.word(at + 3))):
            return self._between(month, int(one), int(two), self.year(at + 4), 4)
        if (month := _MONTHS.get(self.word(at))) and self.word(at + 2) in joins:
            one, two = self.number(at + 1), self.number(at + 3)
            if one and two and one <= 31 and two <= 31 and self.word(at + 4) not in _MONTHS:
                return self._between(month, int(one), int(two), self.year(at + 4), 4)
        return None

    def _between(self, month: int, one: int, two: int, year: int | None, used: int) -> tuple[Window, int] | None:
        left, right = self._date(year, month, one), self._date(year, month, two)
        if left is None or right is None or right < left:
            return None
        said = f"from {left:%Y-%m-%d} to {right:%Y-%m-%d}"
        return Window(left, right + _DAY, said), used + (year is not None)

    def year(self, at: int) -> int | None:
        return int(self.word(at)) if re.fullmatch(r"20\d\d", self.word(at)) else None

    def _date(self, year: int | None, month: int, day: int) -> datetime | None:
        """That day; without a year the latest one that is not in the future."""
        try:
            found = datetime(year or self._local.year, month, day, tzinfo=self._zone)
        except ValueError:
            return None
        if year is None and found > self._now:
            found = found.replace(year=found.year - 1)
        return found

    def _one_day(self, day: datetime, said: str, used: int) -> tuple[Window, int]:
        return Window(day, min(day + _DAY, max(self._now, day)), said, "day", 1, day=True), used

    def _moment(self, at: int) -> tuple[Window, int] | None:
        """A named day, week, month, quarter, year, or a rolling time."""
        word = self.word(at)
        if word in {"now", ""}:
            return None
        if word == "the" and (found := self._moment(at + 1)):
            return found[0], found[1] + 1
        if word in {"beginning", "start"} and self.word(at + 1) == "of" and (found := self._moment(at + 2)):
            start = found[0].start
            return Window(start, start, f"the {word} of {found[0].said}"), found[1] + 2
        if word == "end" and self.word(at + 1) == "of" and (found := self._moment(at + 2)) and found[0].end:
            return Window(found[0].end, found[0].end, f"the end of {found[0].said}"), found[1] + 2
        if part := self._part_of_a_day(at):
            return part
        if word == "today":
            return self._one_day(self._today, "today", 1)
        if word == "yesterday":
            return self._one_day(self._today - _DAY, "yesterday", 1)
        if self.has(at, "day", "before", "yesterday"):
            return self._one_day(self._today - 2 * _DAY, "the day before yesterday", 3)
        for phrase, back in ((("week", "before", "last"), 2), (("month", "before", "last"), 2)):
            if self.has(at, *phrase):
                return self._calendar(phrase[0], back, " ".join(("the", *phrase)), 3)
        if word in {"this", "current"}:
            return self._calendar(self.word(at + 1), 0, f"this {self.word(at + 1)}", 2)
        if word in {"last", "past", "previous", "preceding", "prior", "trailing", "rolling"}:
            return self._back(at, word)
        if word in {"mtd", "ytd", "qtd"}:
            unit = {"mtd": "month", "ytd": "year", "qtd": "quarter"}[word]
            return self._calendar(unit, 0, f"this {unit}", 1)
        nth = {"first": 1, "second": 2, "third": 3, "fourth": 4, "last": 0}.get(word, 0)
        if nth and self.word(at + 1) == "quarter":
            of = self.word(at + 2) == "of"
            made, used = self._quarter(nth, self.year(at + 2 + of), at)
            return made, used + 1 + (of and used > 1)
        if quarter := re.fullmatch(r"q([1-4])", word):
            return self._quarter(int(quarter[1]), self.year(at + 1), at)
        if word in _WEEKDAYS:
            back = (self._today.weekday() - _WEEKDAYS[word]) % 7
            return self._one_day(self._today - back * _DAY, word.capitalize(), 1)
        if dated := self._dated(at):
            return self._one_day(dated[0], f"{dated[0]:%Y-%m-%d}", dated[1])
        if word in _MONTHS and (word != "may" or self._words[at].raw != "may"):
            return self._month(at)
        if (length := self.duration(at)) and self.has(at + length[3], "ago"):
            day = self._local - length[0]
            then = datetime(day.year, day.month, day.day, tzinfo=self._zone)
            return self._one_day(then, f"{day:%Y-%m-%d}", length[3] + 1)
        if re.fullmatch(r"20\d\d", word) and int(word) <= self._local.year:
            year = int(word)
            start, end = datetime(year, 1, 1, tzinfo=self._zone), datetime(year + 1, 1, 1, tzinfo=self._zone)
            return Window(start, min(end, self._now), word), 1
        return None

    def _part_of_a_day(self, at: int) -> tuple[Window, int] | None:
        """this morning, this afternoon, this evening, tonight, last night."""
        word, hours = self.word(at), _PARTS.get(self.word(at + 1) if self.word(at) == "this" else self.word(at))
        if word == "last" and self.word(at + 1) == "night":
            start = self._today - _DAY + timedelta(hours=18)
            return Window(start, min(self._today + timedelta(hours=6), self._now), "last night"), 2
        if hours is None or word not in {"this", "tonight"}:
            return None
        said = "tonight" if word == "tonight" else f"this {self.word(at + 1)}"
        start, end = (self._today + timedelta(hours=each) for each in hours)
        if start >= self._now:
            return None  # it has not begun
        return Window(start, min(end, self._now), said), 1 if word == "tonight" else 2

    def _back(self, at: int, word: str) -> tuple[Window, int] | None:
        """last week (calendar), past week (rolling), last 7 days (rolling), last Tuesday, last October."""
        after = self.word(at + 1)
        if (length := self.duration(at + 1)) and self.word(at + 1) not in {"a", "an"}:
            half = self.word(at + 1) == "half"
            said = "the past half a year" if half else f"the past {length[2]:g} {self.word(at + length[3])}"
            return Window(self._now - length[0], self._now, said, length[1], int(length[2])), 1 + length[3]
        if after in _WEEKDAYS:
            back = (self._today.weekday() - _WEEKDAYS[after]) % 7 or 7
            return self._one_day(self._today - back * _DAY, f"last {after.capitalize()}", 2)
        if after in _MONTHS and (found := self._month(at + 1)):
            return found[0], found[1] + 1
        if after == "fortnight" or (word in {"past", "trailing", "rolling"} and after in _UNITS):
            unit, length_ = _UNITS[after]
            return Window(
                self._now - length_, self._now, f"the past {after}", unit, 2 if after == "fortnight" else 1
            ), 2
        if word in {"last", "previous", "preceding", "prior"}:
            if after == "day":
                return Window(self._now - _DAY, self._now, "the past day", "day", 1), 2
            if after == "hour":
                return Window(self._now - timedelta(hours=1), self._now, "the past hour", "hour", 1), 2
            return self._calendar(after, 1, f"last {after}", 2)
        return None

    def _calendar(self, unit: str, back: int, said: str, used: int) -> tuple[Window, int] | None:
        today = self._today
        if unit == "week":
            start = today - timedelta(days=today.weekday()) - timedelta(days=7 * back)
            end = start + timedelta(days=7)
        elif unit == "month":
            start = _months(today.replace(day=1), -back)
            end = _months(start, 1)
        elif unit == "quarter":
            start = _months(today.replace(day=1, month=(today.month - 1) // 3 * 3 + 1), -3 * back)
            end = _months(start, 3)
        elif unit == "year":
            start = today.replace(month=1, day=1, year=today.year - back)
            end = start.replace(year=start.year + 1)
        elif unit == "day":
            return self._one_day(today, "today", used) if back == 0 else None
        else:
            return None
        return Window(start, min(end, self._now), said, unit, 1), used  # type: ignore[arg-type]

    def _quarter(self, quarter: int, year: int | None, at: int) -> tuple[Window, int]:
        start = datetime(year or self._local.year, 3 * quarter - 2, 1, tzinfo=self._zone)
        if year is None and start > self._now:
            start = start.replace(year=start.year - 1)
        return Window(start, min(_months(start, 3), self._now), f"Q{quarter} {start.year}"), 1 + (year is not None)

    def _month(self, at: int) -> tuple[Window, int]:
        year = self.year(at + 1)
        start = datetime(year or self._local.year, _MONTHS[self.word(at)], 1, tzinfo=self._zone)
        if year is None and start > self._now:
            start = start.replace(year=start.year - 1)
        end = start + timedelta(days=monthrange(start.year, start.month)[1])
        return Window(start, min(end, self._now), f"{start:%B %Y}", "month", 1), 1 + (year is not None)

    def _dated(self, at: int) -> tuple[datetime, int] | None:
        """2026-11-02; 2 November (2026); November 2(, 2026); 2 of November; 2.11.2026."""
        word = self.word(at)
        if found := re.fullmatch(r"(20\d\d)-(\d{1,2})-(\d{1,2})", word):
            day = self._date(int(found[1]), int(found[2]), int(found[3]))
            return (day, 1) if day else None
        if found := re.fullmatch(r"(\d{1,2})\.(\d{1,2})\.(20\d\d)", word):
            day = self._date(int(found[3]), int(found[2]), int(found[1]))
            return (day, 1) if day else None
        number = self.number(at)
        if number and number.is_integer() and number <= 31:
            skip = 1 + (self.word(at + 1) == "of")
            if month := _MONTHS.get(self.word(at + skip)):
                year = self.year(at + skip + 1)
                day = self._date(year, month, int(number))
                return (day, skip + 1 + (year is not None)) if day else None
        if (month := _MONTHS.get(word)) and (number := self.number(at + 1)) and number <= 31 and number.is_integer():
            comma = self.word(at + 2) == "," and self.year(at + 3) is not None
            year = self.year(at + 2 + comma)
            day = self._date(year, month, int(number))
            return (day, 2 + (year is not None) + comma) if day else None
        return None


def _months(start: datetime, count: int) -> datetime:
    number = start.year * 12 + start.month - 1 + count
    return start.replace(year=number // 12, month=number % 12 + 1)
