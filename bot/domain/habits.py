"""How one reader writes dates and numbers, and when the reader's day begins. Platforms say it of their users.

Only what is said to one person is written so; what many read has ISO dates and the client's own times.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from babel import Locale, UnknownLocaleError
from babel.dates import format_date, format_time
from babel.numbers import format_decimal

_ZONE = re.compile(r"[A-Za-z][A-Za-z0-9_+\-]{0,31}(?:/[A-Za-z0-9_+\-]{1,31}){0,2}")
_LOCALE = re.compile(r"[A-Za-z]{2,3}(?:[-_][A-Za-z0-9]{2,8}){0,3}")
_ODD_BLANKS = str.maketrans({"\u202f": " ", "\u00a0": " "})  # of the locale data; a cell or a phone shows boxes


@dataclass(frozen=True, slots=True)
class Habits:
    """``zone`` by its IANA name; ``locale`` such as ``de_DE``, "" for ISO dates and 1,234.5."""

    zone: str = "UTC"
    locale: str = ""

    @classmethod
    def of(cls, zone: object, locale: object) -> Habits:
        """From what a platform said: whatever is not known here is left out."""
        zone = zone if isinstance(zone, str) and _ZONE.fullmatch(zone) and _zone(zone) is not None else "UTC"
        locale = locale.replace("-", "_") if isinstance(locale, str) and _LOCALE.fullmatch(locale) else ""
        return cls(zone, locale if locale and _locale(locale) is not None else "")

    @property
    def tz(self) -> tzinfo:
        return _zone(self.zone) or UTC

    def local(self, at: datetime) -> datetime:
        return at.astimezone(self.tz)

    def day(self, at: datetime | date) -> str:
        found = self.local(at).date() if isinstance(at, datetime) else at
        if not self.locale:
            return found.isoformat()
        return str(format_date(found, "medium", locale=_locale(self.locale))).translate(_ODD_BLANKS)

    def moment(self, at: datetime) -> str:
        """With the zone's name."""
        found = self.local(at)
        time = f"{found:%H:%M}"
        if self.locale:
            time = str(format_time(found.time(), "short", locale=_locale(self.locale))).translate(_ODD_BLANKS)
        return f"{self.day(at)} {time} {found.tzname()}"

    def day_of(self, iso: object) -> str:
        """Of an instant or a date as ISO text; whatever is none stays as it is."""
        text = str(iso)
        try:
            return self.day(datetime.fromisoformat(text) if len(text) > 10 else date.fromisoformat(text))
        except ValueError:
            return text[:10]

    def figure(self, value: float) -> str:
        """A whole number without a point, others with one decimal."""
        if not self.locale:
            return f"{value:,}" if isinstance(value, int) else f"{value:,.1f}"
        pattern = "#,##0" if isinstance(value, int) else "#,##0.0"
        return str(format_decimal(value, pattern, locale=_locale(self.locale))).translate(_ODD_BLANKS)


PLAIN = Habits()


@lru_cache(maxsize=256)
def _zone(name: str) -> ZoneInfo | None:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


@lru_cache(maxsize=256)
def _locale(name: str) -> Locale | None:
    try:
        return Locale.parse(name)
    except (UnknownLocaleError, ValueError):
        return None
