"""Quiet hours, the daily message, escalation once, and the promise about P1 as it is measured."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import update

from bot.intake.attention import Attention
from bot.intake.service import Intake
from bot.intake.stewardship import Stewardship
from bot.reports import attention as reports
from bot.settings import Settings
from bot.store import posts
from bot.store.database import Database
from bot.store.outbox import OUTBOX

from .kit import Catalog, CountedIds, Mapper, StillClock, raw, settings
from .test_announce import outbox_rows, rules, sent
from .test_lifecycle import poll, row
from .test_stewardship import actor
from .test_suppression import URGENT

SEC = "slack:C0SEC"


def chosen(**attention: Any) -> Settings:
    base = settings()
    owners = {k: o.model_copy(update={"escalation": ("slack:C0LEAD",)}) for k, o in base.routing.owners.items()}
    routing = base.routing.model_copy(update={"owners": owners})
    made = Settings.model_validate({"attention": attention})
    return base.model_copy(update={"attention": made.attention, "routing": routing})


def posted(db: Database, ids: CountedIds, clock: StillClock, uid: str, address: str = SEC) -> str:
    """The card of the finding's cause stands since now."""
    cause = str(row(db, uid).cause_id)
    db.write_sync(posts.save, ids, clock.at, kind="cause", subject=cause, address=address, message_id="1.1", revision=0)
    db.write_sync(sent)
    return cause


async def test_quiet_hours_hold_everything_but_p1(
    db: Database, clock: StillClock, ids: CountedIds, mapper: Mapper
) -> None:
    quiet = chosen(channels={SEC: {"quiet": "08:00-10:00"}})  # it is 09:00
    report = await poll(Intake(db, quiet, Catalog(), clock, ids), mapper, [*rules(1, 2), raw("u", **URGENT)])
    assert (report.cards, report.held) == (1, 2)
    (card,) = outbox_rows(db, kind="card")
    assert card.subject == row(db, "u").cause_id
    assert not outbox_rows(db, kind="digest")
    service = Attention(db, quiet, clock, ids)
    assert await service.tick() == 0
    clock.move(hours=1)
    assert await service.tick() == 1  # what was held comes in one digest
    assert [r.channel for r in outbox_rows(db, kind="digest")] == ["C0SEC"]
    db.write_sync(sent)
    assert await service.tick() == 0


async def test_a_channel_has_its_own_budget(db: Database, clock: StillClock, ids: CountedIds, mapper: Mapper) -> None:
    own = chosen(channels={SEC: {"cards_per_interval": 1, "interval_minutes": 30}})
    intake = Intake(db, own, Catalog(), clock, ids)
    tagged = rules(5, 6, 7, tags={"owner": "payments"})
    report = await poll(intake, mapper, [*rules(1, 2, 3), *tagged])
    assert (report.cards, report.held) == (4, 2)
    clock.move(minutes=30)
    assert (await poll(intake, mapper, rules(8))).cards == 1  # a new interval of this channel


async def test_one_daily_message_at_the_local_morning(
    db: Database, clock: StillClock, ids: CountedIds, mapper: Mapper
) -> None:
    berlin = chosen(tz="Europe/Berlin", daily_at="09:00", escalate_p1_minutes=0)
    service = Attention(db, berlin, clock, ids)
    await poll(Intake(db, berlin, Catalog(), clock, ids), mapper, [*rules(1, 2), raw("u", **URGENT)])
    posted(db, ids, clock, "u")
    assert await service.tick() == 0  # its first day
    clock.move(hours=22, minutes=59)  # 08:59 in Berlin
    assert await service.tick() == 0
    clock.move(minutes=1)
    assert await service.tick() == 1
    assert await service.tick() == 0
    (message,) = outbox_rows(db, kind="daily")
    assert (message.subject, message.channel) == ("2026-03-03", "C0SEC")
    view = await db.read(reports.daily, berlin, SEC, clock.at - timedelta(days=1), clock.at)
    assert (view.total_new, view.open, view.fixed, view.held) == (3, 3, 0, 2)
    assert view.urgent[0][1].startswith("P1 ")
    assert [n for _, n, _ in view.days][-2:] == [3, 0]
    clock.move(days=1, hours=7)  # the process was down in the morning: it is left to the next day
    assert await service.tick() == 0


@pytest.mark.parametrize("answered", [False, True])
async def test_an_unanswered_p1_is_escalated_once(
    answered: bool, db: Database, clock: StillClock, ids: CountedIds, mapper: Mapper
) -> None:
    strict = chosen(escalate_p1_minutes=60, daily_at="")
    service = Attention(db, strict, clock, ids)
    tags = URGENT["tags"] | {"owner": "payments"}
    await poll(Intake(db, strict, Catalog(), clock, ids), mapper, [raw("u", **(URGENT | {"tags": tags}))])
    cause = posted(db, ids, clock, "u", "slack:C0PAY")
    clock.move(minutes=59)
    assert await service.tick() == 0
    if answered:
        await Stewardship(db, strict, clock, ids).snooze(cause, actor(), 1, "tomorrow")
        await Stewardship(db, strict, clock, ids).not_mine(cause, actor(), "platform", "theirs")
        db.write_sync(lambda conn: conn.execute(update(OUTBOX).values(state="sent")) and None)
    clock.move(minutes=1)
    assert await service.tick() == (0 if answered else 1)
    told = [r for r in outbox_rows(db, kind="direct") if r.channel == "C0LEAD"]
    assert len(told) == (0 if answered else 1)
    if not answered:
        assert "P1 without an answer for 60 minutes" in told[0].payload
        clock.move(days=3)
        assert await service.tick() == 0


async def test_the_promise_is_measured(db: Database, clock: StillClock, ids: CountedIds, mapper: Mapper) -> None:
    base = chosen(promise_minutes=5)
    intake = Intake(db, base, Catalog(), clock, ids)
    await poll(intake, mapper, [raw("u", **URGENT)])
    view = await db.read(reports.promise, base, clock.at)
    assert (view.posted, view.waiting, view.overdue, view.kept) == (0, 1, 0, True)
    clock.move(seconds=40)
    posted(db, ids, clock, "u")
    view = await db.read(reports.promise, base, clock.at)
    assert (view.posted, view.late, view.waiting, view.worst, view.kept) == (1, 0, 0, 40.0, True)
    assert dict(view.histogram)["up to 1 min"] == 1
    await poll(intake, mapper, [raw("v", **(URGENT | {"rule": "other"}))])
    clock.move(minutes=6)
    view = await db.read(reports.promise, base, clock.at)
    assert (view.waiting, view.overdue, view.kept) == (1, 1, False)
    posted(db, ids, clock, "v")
    view = await db.read(reports.promise, base, clock.at)
    assert (view.late, view.worst, view.kept) == (1, 360.0, False)


async def test_a_p1_without_a_channel_breaks_the_promise(
    db: Database, clock: StillClock, ids: CountedIds, mapper: Mapper
) -> None:
    nowhere = settings(fallback=[])
    await poll(Intake(db, nowhere, Catalog(), clock, ids), mapper, [raw("u", **URGENT)])
    view = await db.read(reports.promise, nowhere, clock.at)
    assert (view.voiceless, view.kept) == (1, False)


async def test_what_came_in_and_what_waits_is_seen(
    db: Database, clock: StillClock, ids: CountedIds, mapper: Mapper
) -> None:
    base = settings()
    intake = Intake(db, base, Catalog(), clock, ids)
    await poll(intake, mapper, [*rules(1, 2), raw("s", result="SUPPRESSED")])
    await poll(intake, mapper, [raw("f1", rule="rule-1", result="RESOLVED")])
    view = await db.read(reports.attention, base, clock.at)
    assert (view.came, view.fixed) == (3, 1)
    assert [(line.by, line.count, line.reason) for line in view.silenced] == [("toy", 1, "suppressed at the source")]
