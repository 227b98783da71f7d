"""The asker's zone and locale, as users.info says them: whose days are meant, and how an answer is written."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from bot.domain.findings import Severity

from .fakes import ALICE, NOW, TEAM, World
from .test_asking import blocks, buttons, press, say, seed, streamed

FOUND = "How many findings were found yesterday?"


def living_in(world: World, zone: str, locale: str, user: str = ALICE) -> None:
    world.slack.users[user] = {"id": user, "team_id": TEAM, "tz": zone, "locale": locale}


@pytest.mark.parametrize(
    ("zone", "which"),
    [("UTC", "b10"), ("Pacific/Kiritimati", "b20"), ("Pacific/Pago_Pago", "b20")],  # 14 hours east, 11 hours west
)
async def test_yesterday_is_the_asker_s(world: World, zone: str, which: str) -> None:
    living_in(world, zone, "en-US")
    seed(world, Severity.HIGH, start=10, first_seen=NOW - timedelta(hours=28))  # at 08:00 UTC of the 24th
    seed(world, Severity.HIGH, start=20, first_seen=NOW - timedelta(hours=7))  # at 05:00 UTC of the 25th
    await say(world, "List the findings found yesterday")
    assert streamed(world)[0].startswith("1 finding ")
    assert f" on {which}" in streamed(world)[0]
    shown = json.dumps(blocks(world))
    assert (f"days as in {zone}" in shown) is (zone != "UTC")


async def test_dates_in_a_direct_answer_are_the_reader_s(world: World) -> None:
    living_in(world, "Asia/Tokyo", "de-DE")
    seed(world, Severity.HIGH, first_seen=NOW.replace(hour=20), uid="prowler-s3-b1-001")
    await say(world, "Show finding prowler-s3-b1-001")
    shown = json.dumps(blocks(world))
    assert "26.11.2026" in shown  # it was the 25th in UTC
    await press(world, buttons(blocks(world))["Check"])
    assert "26.11.2026" in json.dumps(blocks(world))


async def test_what_a_channel_reads_is_written_for_all(world: World) -> None:
    living_in(world, "Asia/Tokyo", "de-DE")
    seed(world, Severity.HIGH, first_seen=NOW.replace(hour=20), uid="prowler-s3-b1-001")
    await say(world, "<@U0BOT> show finding prowler-s3-b1-001", channel="C02PAY")
    assert "2026-11-25" in json.dumps(blocks(world))


async def test_a_user_is_asked_about_once_an_hour(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    living_in(world, "Europe/Berlin", "de-DE")
    for _ in range(3):
        await say(world, FOUND)
    asked = [call for call in world.slack.named("users.info") if call.get("include_locale")]
    assert len(asked) == 1


async def test_a_user_slack_does_not_know_is_answered_in_utc(world: World) -> None:
    await say(world, FOUND)
    assert streamed(world)[0].startswith("0 findings")
    assert "days as in" not in json.dumps(blocks(world))
    answers: list[Any] = world.slack.named("chat.stopStream")
    assert len(answers) == 1
