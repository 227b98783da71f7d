"""Parts of the day and of the week in a time zone: quiet hours of channels, hours of suppression rules. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
FOREVER = datetime.max.replace(tzinfo=UTC)


def open_until(now: datetime, hours: str, days: Sequence[str], tz: str) -> datetime | None:
    """When the window that ``now`` is in ends; None outside of it. Without hours and days it is always open.

    ``hours`` is "22:00-06:00" in ``tz`` ("" the whole day); a window over midnight belongs to the day it begins on.
    """
    if not hours and not days:
        return FOREVER
    zone = _zone(tz)
    today = now.astimezone(zone).date()
    if not hours:
        if DAYS[today.weekday()] not in days:
            return None
        if len(set(days)) == len(DAYS):
            return FOREVER
        day = today
        while DAYS[day.weekday()] in days:
            day += timedelta(days=1)
        return _at(day, time(), zone)
    start, end = _times(hours)
    if start == end and (not days or len(set(days)) == len(DAYS)):
        return FOREVER
    for day in (today, today - timedelta(days=1)):
        if days and DAYS[day.weekday()] not in days:
            continue
        last = day if end > start else day + timedelta(days=1)
        if _at(day, start, zone) <= now < (over := _at(last, end, zone)):
            return over
    return None


def last_at(now: datetime, clock: str, tz: str) -> datetime:
    """The last time it was ``clock`` ("09:00") in ``tz``, at or before ``now``."""
    zone = _zone(tz)
    local, at = now.astimezone(zone), time.fromisoformat(clock)
    found = _at(local.date(), at, zone)
    return found if found <= now else _at(local.date() - timedelta(days=1), at, zone)


def local_day(now: datetime, tz: str) -> date:
    return now.astimezone(_zone(tz)).date()


def _at(day: date, at: time, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, at, zone).astimezone(UTC)


@lru_cache(maxsize=64)
def _times(hours: str) -> tuple[time, time]:
    start, _, end = hours.partition("-")
    return time.fromisoformat(start), time.fromisoformat(end)


@lru_cache(maxsize=64)
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)
