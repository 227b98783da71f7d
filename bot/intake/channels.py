"""How much one channel hears and when: the settings of all channels with what differs in this one. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from bot.intake.windows import open_until
from bot.settings import AttentionSettings, ChannelSettings, RoutingSettings, Weekday

_NONE = ChannelSettings()


@dataclass(frozen=True, slots=True)
class Plan:
    cards: int  # per interval
    minutes: int  # length of the interval
    tz: str
    quiet: str
    quiet_days: tuple[Weekday, ...]
    daily_at: str  # "" is never
    pictures: bool

    def quiet_until(self, now: datetime) -> datetime | None:
        """When the quiet that ``now`` is in ends; None while the channel hears everything."""
        found = [
            until
            for hours, days in ((self.quiet, ()), ("", self.quiet_days))
            if (hours or days) and (until := open_until(now, hours, days, self.tz)) is not None
        ]
        return max(found, default=None)

    def interval_start(self, now: datetime) -> datetime:
        return interval_start(now, self.minutes)


def plan_of(address: str, routing: RoutingSettings, attention: AttentionSettings) -> Plan:
    own = attention.channels.get(address, _NONE)
    cards, minutes = own.cards_per_interval, own.interval_minutes
    return Plan(
        cards=routing.cards_per_interval if cards is None else cards,
        minutes=routing.interval_minutes if minutes is None else minutes,
        tz=attention.tz if own.tz is None else own.tz,
        quiet=attention.quiet if own.quiet is None else own.quiet,
        quiet_days=attention.quiet_days if own.quiet_days is None else own.quiet_days,
        daily_at=attention.daily_at if own.daily_at is None else own.daily_at,
        pictures=attention.pictures if own.pictures is None else own.pictures,
    )


def interval_start(now: datetime, minutes: int) -> datetime:
    """Intervals are counted from the epoch, so every replica agrees on them."""
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    return now - (now - epoch) % timedelta(minutes=minutes)
