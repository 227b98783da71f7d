"""Hours, days and zones: what is quiet, and until when."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from bot.intake.channels import plan_of
from bot.intake.windows import FOREVER, last_at, open_until
from bot.settings import AttentionSettings, RoutingSettings


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("now", "hours", "days", "tz", "until"),
    [
        ("2026-03-02T09:00", "", (), "UTC", FOREVER),
        ("2026-03-02T09:00", "08:00-10:00", (), "UTC", at("2026-03-02T10:00")),
        ("2026-03-02T10:00", "08:00-10:00", (), "UTC", None),
        ("2026-03-02T23:30", "22:00-06:00", (), "UTC", at("2026-03-03T06:00")),
        ("2026-03-03T05:59", "22:00-06:00", (), "UTC", at("2026-03-03T06:00")),
        ("2026-03-03T05:59", "22:00-06:00", ("mon",), "UTC", at("2026-03-03T06:00")),  # Monday's night
        ("2026-03-03T23:00", "22:00-06:00", ("mon",), "UTC", None),
        ("2026-03-07T12:00", "", ("sat", "sun"), "UTC", at("2026-03-09T00:00")),
        ("2026-03-06T12:00", "", ("sat", "sun"), "UTC", None),
        ("2026-07-01T20:30", "22:00-06:00", (), "Europe/Berlin", at("2026-07-02T04:00")),
        # The night of the change to summer time (29 March, 02:00 becomes 03:00) ends at six o'clock there.
        ("2026-03-28T23:00", "22:00-06:00", (), "Europe/Berlin", at("2026-03-29T04:00")),
        ("2026-03-02T09:00", "00:00-00:00", (), "UTC", FOREVER),
    ],
)
def test_a_window_is_open_until(now: str, hours: str, days: tuple[str, ...], tz: str, until: datetime | None) -> None:
    assert open_until(at(now), hours, days, tz) == until


def test_the_last_morning_is_the_channels_own() -> None:
    assert last_at(at("2026-03-02T09:00"), "09:00", "UTC") == at("2026-03-02T09:00")
    assert last_at(at("2026-03-02T08:59"), "09:00", "UTC") == at("2026-03-01T09:00")
    assert last_at(at("2026-03-02T09:00"), "09:00", "America/New_York") == at("2026-03-01T14:00")


def test_a_channel_differs_only_in_what_it_sets() -> None:
    attention = AttentionSettings.model_validate(
        {
            "quiet": "20:00-07:00",
            "channels": {"slack:C1": {"tz": "Europe/Berlin", "cards_per_interval": 0, "quiet": ""}},
        }
    )
    own, others = (plan_of(f"slack:{c}", RoutingSettings(), attention) for c in ("C1", "C2"))
    assert (own.cards, own.tz, own.quiet, own.daily_at) == (0, "Europe/Berlin", "", "09:00")
    assert (others.cards, others.tz, others.quiet) == (5, "UTC", "20:00-07:00")
    night = at("2026-03-02T22:00")
    assert own.quiet_until(night) is None
    assert others.quiet_until(night) == at("2026-03-03T07:00")
