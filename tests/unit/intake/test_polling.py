"""Polling: the lease, what is said and how often, credentials, and reading on where one stopped."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from bot import polling as module
from bot.domain.errors import Conflict, Refused, Relogin, RetryLater
from bot.domain.ids import RandomIds
from bot.intake.service import Intake
from bot.polling import Polling, Source
from bot.ports import Page
from bot.store import sources
from bot.store.database import Database
from bot.store.tables import OutboxRow
from tests.unit.intake.kit import Catalog, Mapper, StillClock, raw, settings

OUTBOX = OutboxRow.__table__  # type: ignore[attr-defined]
OPERATORS = ("slack:C0OPS",)


@dataclass
class Feed:
    """Three pages; ``errors`` are raised before the first page of the next polls, ``between`` before the second."""

    source: str = "toy"
    pages: int = 3
    errors: list[Exception] = field(default_factory=list)
    between: list[Exception] = field(default_factory=list)
    asked: list[Any] = field(default_factory=list)
    gate: asyncio.Event | None = None
    waiting: asyncio.Event = field(default_factory=asyncio.Event)
    closed: bool = False

    async def poll(self, cursor: Mapping[str, Any] | None, now: datetime) -> AsyncIterator[Page]:
        self.asked.append(cursor)
        if self.errors:
            raise self.errors.pop(0)
        for number in range(int((cursor or {}).get("next", 0)), self.pages):
            if number == 1 and self.gate is not None:
                self.waiting.set()
                await self.gate.wait()
            if number == 1 and self.between:
                raise self.between.pop(0)
            yield Page([raw(f"f{number}")], cursor={"next": (number + 1) % self.pages})

    async def close(self) -> None:
        self.closed = True


@pytest.fixture
def clock() -> StillClock:
    return StillClock()


def polling(db: Database, clock: StillClock, worker: str = "one") -> Polling:
    return Polling(db, Intake(db, settings(), Catalog(), clock, RandomIds()), OPERATORS, clock, RandomIds(), worker)


def source(feed: Feed) -> Source:
    return Source(name="toy", poller=feed, mapper=Mapper(), every_minutes=5)


async def said(db: Database) -> list[str]:
    rows = await db.read(lambda conn: conn.execute(select(OUTBOX).order_by(OUTBOX.c.seq)).all())
    return [json.loads(row.payload)["line"] for row in rows if row.channel == "C0OPS" and "Source" in row.payload]


async def row(db: Database) -> Any:
    return (await db.read(sources.all_sources))[0]


async def test_a_source_that_goes_bad_is_said_once_and_once_when_it_recovers(db: Database, clock: StillClock) -> None:
    feed, poller = Feed(errors=[Refused("no rights"), Refused("no rights"), Refused("no rights")]), polling(db, clock)
    toy = source(feed)
    for _ in range(3):
        assert "failed" in (await poller.poll(toy)).said
        clock.move(minutes=5)
    assert await said(db) == ["Source toy cannot be read: no rights It is tried again at its next turn."]
    since = (await row(db)).failing_since
    for _ in range(2):
        assert "failed" not in (await poller.poll(toy)).said
    assert await said(db) == [
        "Source toy cannot be read: no rights It is tried again at its next turn.",
        f"Source toy can be read again; it could not since {since:%Y-%m-%d %H:%M}Z.",
    ]
    assert ((await row(db)).failing_since, (await row(db)).error) == (None, "")


async def test_a_webhook_or_file_does_not_hide_that_the_source_cannot_be_read(db: Database, clock: StillClock) -> None:
    poller, toy = polling(db, clock), source(Feed(errors=[Refused("no rights")]))
    await poller.poll(toy)
    run = await Intake(db, settings(), Catalog(), clock, RandomIds()).begin("toy")
    await run.page(Mapper(), Page([raw("from a webhook")]))
    await run.finish()
    assert (await row(db)).failing_since is not None
    await poller.poll(toy)
    assert len(await said(db)) == 2


async def test_a_credential_that_ended_asks_for_renewal_once_and_is_tried_rarely(
    db: Database, clock: StillClock
) -> None:
    ended = [Relogin("401 token expired", mend="Renew it.") for _ in range(3)]
    feed, poller = Feed(errors=list(ended)), polling(db, clock)
    toy = source(feed)
    for _ in range(24):  # two hours of turns
        await poller.poll(toy)
        clock.move(minutes=5)
    assert len(feed.asked) == 2
    assert len(await said(db)) == 1
    assert "needs a new credential" in (await said(db))[0]
    assert "sources.toy.options" in (await said(db))[0]
    restarted = source(feed)  # with other settings: asked at once
    feed.errors.clear()
    assert (await polling(db, clock).poll(restarted)).polled
    assert len(await said(db)) == 2


async def test_a_credential_that_ends_while_the_source_is_down_is_said_too(db: Database, clock: StillClock) -> None:
    feed, poller = Feed(errors=[RetryLater("down"), Relogin("401"), Relogin("401")]), polling(db, clock)
    toy = source(feed)
    for _ in range(3):
        await poller.poll(toy)
        clock.move(hours=2)
    assert [line.partition(":")[0] for line in await said(db)] == [
        "Source toy cannot be read", "Source toy needs a new credential",
    ]  # fmt: skip


async def test_retry_after_is_waited_for(db: Database, clock: StillClock) -> None:
    feed, poller = Feed(errors=[RetryLater("slow down", after=600.0)]), polling(db, clock)
    toy = source(feed)
    await poller.poll(toy)
    clock.move(minutes=5)
    assert not (await poller.poll(toy)).polled
    clock.move(minutes=5)
    assert (await poller.poll(toy)).polled


async def test_one_replica_at_a_time_and_the_lease_lasts_as_long_as_the_poll(
    db: Database, clock: StillClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "KEEP_SECONDS", 0.02)
    feed = Feed(gate=asyncio.Event())
    assert feed.gate is not None
    long = asyncio.create_task(polling(db, clock, "one").poll(source(feed)))
    await feed.waiting.wait()
    for _ in range(5):  # longer than any lease, in small steps, as it is while a poll runs
        clock.move(minutes=3)
        await asyncio.sleep(0.1)
        assert not (await polling(db, clock, "two").poll(source(Feed()))).polled
    feed.gate.set()
    assert "failed" not in (await long).said
    assert ((await row(db)).leased_by, (await row(db)).leased_until) == ("", None)


async def test_who_lost_the_lease_stores_no_more(
    db: Database, clock: StillClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "KEEP_SECONDS", 0.02)
    feed = Feed(gate=asyncio.Event())
    assert feed.gate is not None
    frozen = asyncio.create_task(polling(db, clock, "one").read(source(feed)))
    await feed.waiting.wait()
    await asyncio.sleep(0.05)
    await db.write(lambda conn: conn.execute(module.SOURCES.update().values(leased_by="two")))
    await asyncio.sleep(0.1)
    feed.gate.set()
    with pytest.raises(Conflict, match="took over"):
        await frozen
    assert (await row(db)).leased_by == "two"
    assert await sources_cursor(db) == {"next": 1}


async def sources_cursor(db: Database) -> Any:
    return await db.read(sources.cursor, "toy")


async def test_a_poll_that_broke_off_goes_on_with_the_next_page(db: Database, clock: StillClock) -> None:
    feed, poller = Feed(between=[RetryLater("cut off")]), polling(db, clock)
    toy = source(feed)
    await poller.poll(toy)
    assert await sources_cursor(db) == {"next": 1}
    await poller.poll(toy)
    assert feed.asked == [None, {"next": 1}]


async def test_a_back_fill_stops_after_a_stored_page_and_goes_on(db: Database, clock: StillClock) -> None:
    feed, poller, stop = Feed(), polling(db, clock), asyncio.Event()
    seen: list[int] = []

    def each(page: Page) -> None:
        seen.append(len(page.items))
        if len(seen) == 2:
            stop.set()

    report, done = await poller.read(source(feed), each=each, stop=stop)
    assert (report.received, done) == (2, False)
    assert await sources_cursor(db) == {"next": 2}
    report, done = await poller.read(source(feed))
    assert (report.received, done) == (1, True)
    await poller.read(source(feed), from_start=True)
    assert feed.asked == [None, {"next": 2}, None]


async def test_closing_closes_the_poller(clock: StillClock) -> None:
    feed = Feed()
    await source(feed).close()
    assert feed.closed
    assert timedelta(seconds=2 * module.KEEP_SECONDS) < module.LEASE
