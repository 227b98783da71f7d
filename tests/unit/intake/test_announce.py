"""Alerts never flood: a budget of new cards per channel and interval, the rest in one digest; P1 is never held."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, select, update

from bot.domain.findings import finding_id
from bot.intake.announce import NEW, interval_start
from bot.intake.service import Intake
from bot.ports import Page
from bot.store import findings, posts
from bot.store.database import Database
from bot.store.outbox import OUTBOX

from .kit import START, Catalog, CountedIds, Mapper, StillClock, raw, settings
from .test_lifecycle import poll


def outbox_rows(db: Database, **where: str) -> list[Any]:
    query = select(OUTBOX).order_by(OUTBOX.c.seq)
    for name, value in where.items():
        query = query.where(OUTBOX.c[name] == value)
    return list(db.read_sync(lambda conn: conn.execute(query).all()))


def sent(conn: Connection) -> None:
    conn.execute(update(OUTBOX).values(state="sent"))


def small(db: Database, clock: StillClock, ids: CountedIds) -> Intake:
    return Intake(db, settings(cards_per_interval=2, interval_minutes=60), Catalog(), clock, ids)


def rules(*numbers: int, **more: Any) -> list[dict[str, Any]]:
    return [raw(f"f{n}", rule=f"rule-{n}", exposed=False, severity="MEDIUM", **more) for n in numbers]


async def test_the_most_urgent_get_cards_the_rest_one_digest(
    db: Database, clock: StillClock, ids: CountedIds, mapper: Mapper
) -> None:
    intake = small(db, clock, ids)
    urgent = raw("u", rule="urgent", exposed=False, severity="CRITICAL")
    report = await poll(intake, mapper, [*rules(1, 2, 3, 4), urgent])
    assert (report.cards, report.held) == (2, 3)
    cards = outbox_rows(db, kind="card")
    cause = db.read_sync(findings.get, finding_id("toy", "u")).cause_id
    assert cards[0].subject == cause
    assert {row.payload for row in cards} == {NEW}
    digests = outbox_rows(db, kind="digest")
    assert [(row.subject, row.channel) for row in digests] == [(START.isoformat(), "C0SEC")]
    # A page later the budget of this interval stays spent, and the waiting digest is the same one.
    assert (await poll(intake, mapper, rules(5))).held == 1
    assert len(outbox_rows(db, kind="digest")) == 1


async def test_a_digest_that_was_sent_is_queued_again_under_the_same_subject(
    db: Database, clock: StillClock, ids: CountedIds, mapper: Mapper
) -> None:
    intake = small(db, clock, ids)
    await poll(intake, mapper, rules(1, 2, 3))
    db.write_sync(sent)
    clock.move(minutes=30)
    await poll(intake, mapper, rules(4))
    digests = outbox_rows(db, kind="digest")
    assert [row.state for row in digests] == ["sent", "queued"]
    assert len({row.subject for row in digests}) == 1


async def test_a_new_interval_is_a_new_budget(db: Database, clock: StillClock, ids: CountedIds, mapper: Mapper) -> None:
    intake = small(db, clock, ids)
    await poll(intake, mapper, rules(1, 2, 3))
    clock.move(minutes=60)
    assert (await poll(intake, mapper, rules(4, 5, 6))).cards == 2


async def test_p1_is_never_held(db: Database, clock: StillClock, ids: CountedIds, mapper: Mapper) -> None:
    intake = small(db, clock, ids)
    await poll(intake, mapper, rules(1, 2))
    worst = [raw(f"w{n}", rule=f"w{n}", severity="CRITICAL", tags={"env": "prod"}) for n in range(4)]
    report = await poll(intake, mapper, worst)
    assert (report.cards, report.held) == (4, 0)


async def test_a_held_cause_that_becomes_p1_gets_its_card(
    db: Database, clock: StillClock, ids: CountedIds, mapper: Mapper
) -> None:
    intake = small(db, clock, ids)
    await poll(intake, mapper, rules(1, 2, 3, tags={"env": "prod"}))
    before = {row.subject for row in outbox_rows(db, kind="card")}
    held = next(n for n in (1, 2, 3) if db.read_sync(findings.get, finding_id("toy", f"f{n}")).cause_id not in before)
    report = await poll(
        intake, mapper, [rules(held, tags={"env": "prod"})[0] | {"exposed": True, "severity": "CRITICAL"}]
    )
    assert report.cards == 1


async def test_each_channel_has_its_own_budget_and_a_change_updates_the_card_in_place(
    db: Database, clock: StillClock, ids: CountedIds, mapper: Mapper
) -> None:
    intake = small(db, clock, ids)
    report = await poll(intake, mapper, [*rules(1, 2, 3), *rules(7, 8, tags={"owner": "payments"})])
    assert (report.cards, report.held) == (4, 1)
    cause = db.read_sync(findings.get, finding_id("toy", "f7")).cause_id
    db.write_sync(sent)
    db.write_sync(
        posts.save, ids, clock.at, kind="cause", subject=cause, address="slack:C0PAY", message_id="1.1", revision=0
    )
    await poll(intake, mapper, [rules(7, tags={"owner": "payments"})[0] | {"result": "RESOLVED"}])
    waiting = outbox_rows(db, state="queued")
    assert [(row.kind, row.subject, row.channel, row.payload) for row in waiting] == [("card", cause, "C0PAY", "{}")]
    db.write_sync(sent)
    await poll(intake, mapper, rules(7, tags={"owner": "payments"}))
    assert [row.kind for row in outbox_rows(db, state="queued")] == ["card", "thread"]


async def test_without_any_channel_it_is_said(db: Database, clock: StillClock, ids: CountedIds, mapper: Mapper) -> None:
    intake = Intake(db, settings(fallback=[]), Catalog(), clock, ids)
    run = await intake.begin("toy")
    await run.page(mapper, Page(rules(1)))
    report = await run.finish()
    assert report.notes == ("1 new causes have no channel: set routing.fallback in gatehouse.yml",)


def test_intervals_are_counted_from_the_epoch() -> None:
    assert interval_start(datetime(2026, 3, 2, 9, 59, 59, tzinfo=UTC), 60) == START
    assert interval_start(START, 60) == START
    assert interval_start(datetime(2026, 3, 2, 9, 29, tzinfo=UTC), 7) <= datetime(2026, 3, 2, 9, 29, tzinfo=UTC)
