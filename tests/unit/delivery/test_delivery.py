"""The outbox against a real SQLite file and a chat that enforces rules."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import insert, select, update

from bot.delivery import Deliverer
from bot.domain.errors import Gone, MessageGone, OutcomeUnknown, Refused, RetryLater
from bot.ports import Message
from bot.reports.board import Board
from bot.settings import Settings
from bot.store import outbox
from bot.store.database import Database
from bot.store.tables import CauseRow, OutboxRow, PostRow, metadata

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


class Clock:
    at = NOW

    def now(self) -> datetime:
        return self.at

    def forward(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


class Ids:
    def __init__(self) -> None:
        self.count = 0

    def new(self, prefix: str) -> str:
        self.count += 1
        return f"{prefix}-{self.count:04d}"


class NoPlaybooks:
    def get(self, playbook_id: str) -> Any:
        raise KeyError(playbook_id)


class Chat:
    """Keeps what was posted; refuses a second post to a channel within a second, and what it is told to."""

    platform = "slack"

    def __init__(self, clock: Clock, pace: float = 1.0) -> None:
        self.clock, self.pace = clock, pace
        self.messages: dict[str, tuple[str, Message]] = {}
        self.posted: list[Message] = []
        self.updated: list[tuple[str, Message]] = []
        self.gone: set[str] = set()
        self.fail: list[Exception] = []  # before anything is done
        self.lose: list[BaseException] = []  # after it was done
        self.last: dict[str, datetime] = {}

    async def post(self, message: Message) -> str:
        if message.channel in self.gone:
            raise Gone("channel_not_found")
        if self.fail:
            raise self.fail.pop(0)
        last = self.last.get(message.channel)
        if last and (self.clock.now() - last).total_seconds() < self.pace:
            raise AssertionError("the deliverer must keep the pace by itself")
        self.last[message.channel] = self.clock.now()
        message_id = f"m{len(self.posted) + 1}"
        self.messages[message.key] = (message_id, message)
        self.posted.append(message)
        if self.lose:
            raise self.lose.pop(0)
        return message_id

    async def update(self, message: Message, message_id: str) -> None:
        if self.fail:
            raise self.fail.pop(0)
        self.updated.append((message_id, message))


class SearchableChat(Chat):
    looked = 0

    async def find(self, message: Message) -> str | None:
        self.looked += 1
        found = self.messages.get(message.key)
        return found[0] if found else None


class World:
    def __init__(self, url: str) -> None:
        self.clock, self.ids = Clock(), Ids()
        self.db = Database(url)
        metadata.create_all(self.db.engine)
        self.settings = Settings(routing={"fallback": ["slack:OPS"]})
        self.board = Board(self.db, self.settings, NoPlaybooks(), self.clock)  # type: ignore[arg-type]
        self.chat: Chat = SearchableChat(self.clock)
        self.deliverer = self.worker("w1")

    def worker(self, name: str) -> Deliverer:
        posters = {"slack": self.chat}
        return Deliverer(
            self.db, self.board, posters, self.clock, name, self.ids, lease_seconds=30, rng=random.Random(1)
        )

    def without_search(self) -> None:
        self.chat = Chat(self.clock)
        self.deliverer = self.worker("w1")

    def cause(self, cause_id: str, channel: str = "C1") -> None:
        row = CauseRow(
            id=cause_id, key=cause_id, title=cause_id, rule_uid="r", source="s", first_seen=NOW, changed_at=NOW,
            channels=f'["slack:{channel}"]', open_count=1,
        )  # fmt: skip
        self.do(lambda conn: conn.execute(insert(CauseRow.__table__), row.model_dump()))

    def do(self, fn: Any) -> Any:
        return self.db.write_sync(fn)

    def queue(self, kind: str, subject: str, channel: str = "C1", **payload: Any) -> None:
        dedupe = "" if kind in {"card", "digest"} else self.ids.new("d")
        self.do(lambda conn: outbox.enqueue(conn, self.ids, self.clock.now(), address=f"slack:{channel}", kind=kind,
                                            subject=subject, payload=payload, dedupe=dedupe))  # fmt: skip

    def refresh(self, cause_id: str) -> None:
        self.do(lambda conn: outbox.refresh_cause(conn, self.ids, self.clock.now(), cause_id))

    def rows(self, table: Any = OutboxRow) -> list[Any]:
        order = table.__table__.c.seq if table is OutboxRow else table.__table__.c.id
        return list(self.db.read_sync(lambda conn: conn.execute(select(table.__table__).order_by(order)).all()))

    def states(self) -> list[str]:
        return [row.state for row in self.rows()]

    async def drain(self, rounds: int = 20) -> None:
        for _ in range(rounds):
            await self.deliverer.work_once()
            self.clock.forward(1)


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    made = World(request.getfixturevalue(f"{request.param}_url"))
    yield made
    made.db.close_sync()


async def test_a_card_is_posted_once_and_then_updated_in_place(world: World) -> None:
    world.cause("c-1")
    world.queue("card", "c-1")
    await world.drain(3)
    world.refresh("c-1")
    await world.drain(3)
    assert [(m.kind, m.subject, m.channel, m.view.revision) for m in world.chat.posted] == [("cause", "c-1", "C1", 0)]
    assert [(mid, m.view.revision) for mid, m in world.chat.updated] == [("m1", 1)]
    (post,) = world.rows(PostRow)
    assert (post.message_id, post.shown_revision, post.posted_at) == ("m1", 1, NOW)


async def test_a_card_that_already_shows_the_present_is_left_alone(world: World) -> None:
    world.cause("c-1")
    world.queue("card", "c-1")
    await world.drain(2)
    world.queue("card", "c-1")
    await world.drain(2)
    assert world.chat.updated == []
    assert world.states() == ["sent", "sent"]


async def test_a_line_stands_under_its_card_and_a_direct_message_alone(world: World) -> None:
    world.cause("c-1")
    world.queue("card", "c-1")
    world.queue("thread", "c-1", line="approved")
    world.queue("direct", "", "U7", line="hello")
    await world.drain(3)
    said = {(m.kind, m.channel, m.text, m.thread) for m in world.chat.posted if m.kind != "cause"}
    card = world.rows(PostRow)[0].message_id
    assert said == {("thread", "C1", "approved", card), ("direct", "U7", "hello", "")}


async def test_a_line_whose_card_was_never_posted_is_kept_as_dead(world: World) -> None:
    world.queue("thread", "c-1", line="approved")
    await world.deliverer.work_once()
    assert world.rows()[0].state == "dead"
    assert "never posted" in world.rows()[0].error


async def test_a_channel_gets_one_post_a_second_and_others_do_not_wait(world: World) -> None:
    for number in range(3):
        world.queue("direct", "", "C1", line=f"a{number}")
        world.queue("direct", "", "C2", line=f"b{number}")
    assert await world.deliverer.work_once() == 2
    assert await world.deliverer.work_once() == 0
    world.clock.forward(1)
    assert await world.deliverer.work_once() == 2
    assert [m.text for m in world.chat.posted] == ["a0", "b0", "a1", "b1"]


async def test_a_rate_limited_message_holds_back_those_behind_it_for_as_long_as_asked(world: World) -> None:
    world.queue("direct", "", line="first")
    world.queue("direct", "", line="second")
    world.queue("direct", "", "C2", line="elsewhere")
    world.chat.fail = [RetryLater("ratelimited", after=30)]
    await world.drain(30)
    assert [m.text for m in world.chat.posted] == ["elsewhere"]
    first = world.rows()[0]
    assert (first.state, first.attempts) == ("queued", 1)
    assert NOW + timedelta(seconds=30) <= first.not_before <= NOW + timedelta(seconds=37.5)
    await world.drain(12)
    assert [m.text for m in world.chat.posted] == ["elsewhere", "first", "second"]


async def test_retries_back_off_to_a_bound_and_end(world: World) -> None:
    world.queue("direct", "", line="x")
    waits = []
    for _ in range(50):
        world.chat.fail = [RetryLater("busy")]
        await world.deliverer.work_once()
        row = world.rows()[0]
        if row.state == "queued":
            waits.append((row.not_before - world.clock.now()).total_seconds())
            world.clock.at = row.not_before
    assert 1 <= waits[0] <= 1.25
    assert 4 <= waits[2] <= 5
    assert max(waits) <= 307.5
    assert (row.state, row.attempts) == ("dead", 50)
    assert "busy" in row.error


async def test_a_gone_channel_is_told_to_operators_once_and_never_about_itself(world: World) -> None:
    world.chat.gone = {"C1"}
    for number in range(3):
        world.queue("direct", "", line=str(number))
    await world.drain()
    assert world.states() == ["dead", "dead", "dead", "sent"]
    (told,) = world.chat.posted
    assert told.channel == "OPS"
    assert "slack:C1" in told.text
    assert "channel_not_found" in told.text
    world.chat.gone = {"C1", "OPS"}
    world.queue("direct", "", "C3", line="x")
    world.chat.gone.add("C3")
    await world.drain()
    assert world.states().count("dead") == 5
    assert "queued" not in world.states()
    assert (await world.board.status()).outbox_dead == 5


async def test_an_unknown_outcome_is_settled_by_asking_the_platform(world: World) -> None:
    world.cause("c-1")
    world.queue("card", "c-1")
    world.chat.lose = [OutcomeUnknown("connection reset")]
    await world.drain(5)
    assert len(world.chat.posted) == 1
    assert world.rows(PostRow)[0].message_id == "m1"
    assert world.states() == ["sent"]


async def test_an_unknown_outcome_of_what_never_went_out_is_posted_again(world: World) -> None:
    world.queue("direct", "", line="x")
    world.chat.fail = [OutcomeUnknown("timeout")]
    await world.drain(5)
    assert [m.text for m in world.chat.posted] == ["x"]


async def test_an_unknown_outcome_stays_unknown_where_nobody_can_be_asked(world: World) -> None:
    world.without_search()
    world.cause("c-1")
    world.queue("card", "c-1")
    world.chat.lose = [OutcomeUnknown("connection reset")]
    await world.drain()
    assert world.states() == ["unknown", "sent"]
    assert [m.channel for m in world.chat.posted] == ["C1", "OPS"]
    assert "may or may not" in world.chat.posted[1].text


async def test_a_person_may_post_again_what_nobody_knows_of(world: World) -> None:
    world.without_search()
    world.cause("c-1")
    world.queue("card", "c-1")
    world.chat.fail = [OutcomeUnknown("connection reset")]
    await world.drain()
    assert world.rows(PostRow)[0].message_id == ""
    assert await world.deliverer.requeue(world.rows()[0].id)
    await world.drain()
    assert world.rows(PostRow)[0].message_id == "m2"
    assert [m.channel for m in world.chat.posted] == ["OPS", "C1"]


async def test_a_card_that_was_refused_is_posted_by_the_next_wish(world: World) -> None:
    world.without_search()
    world.cause("c-1")
    world.chat.gone = {"C1"}
    world.queue("card", "c-1")
    await world.drain()
    world.chat.gone = set()
    world.refresh("c-1")
    await world.drain()
    assert [(m.channel, m.kind) for m in world.chat.posted] == [("OPS", "direct"), ("C1", "cause")]
    assert world.rows(PostRow)[0].shown_revision == 1


async def test_an_update_with_unknown_outcome_is_simply_repeated(world: World) -> None:
    world.without_search()
    world.cause("c-1")
    world.queue("card", "c-1")
    await world.drain(2)
    world.refresh("c-1")
    world.chat.fail = [OutcomeUnknown("timeout")]
    await world.drain(5)
    assert [m.view.revision for _, m in world.chat.updated] == [1]


async def test_a_crash_between_post_and_record_posts_nothing_twice(world: World) -> None:
    world.cause("c-1")
    world.queue("card", "c-1")
    world.queue("thread", "c-1", line="after")

    world.chat.lose = [asyncio.CancelledError()]  # the process ends after the call, before anything is recorded
    with pytest.raises(asyncio.CancelledError):
        await world.worker("w0").work_once()
    assert world.rows(PostRow)[0].message_id == ""
    assert await world.deliverer.work_once() == 0, "the lease still holds, and what is behind waits"
    world.clock.forward(31)
    await world.drain(4)
    assert [m.kind for m in world.chat.posted] == ["cause", "thread"]
    assert world.states() == ["sent", "sent"]
    assert world.chat.posted[1].thread == "m1"


async def test_two_workers_never_take_the_same_message_nor_the_next_of_its_channel(world: World) -> None:
    world.queue("direct", "", line="1")
    world.queue("direct", "", line="2")
    entered, go = asyncio.Event(), asyncio.Event()
    post = world.chat.post

    async def slow(message: Message) -> str:
        entered.set()
        await go.wait()
        return await post(message)

    world.chat.post = slow  # type: ignore[method-assign]
    sending = asyncio.create_task(world.worker("w0").work_once())
    await entered.wait()
    assert await world.deliverer.work_once() == 0
    go.set()
    assert await sending == 1
    assert [m.text for m in world.chat.posted] == ["1"]


async def test_a_wish_that_came_while_its_like_was_being_sent_is_told_by_the_retry(world: World) -> None:
    world.cause("c-1")
    world.queue("card", "c-1")
    await world.drain(2)
    world.refresh("c-1")

    async def limited(_message: Message, _message_id: str) -> None:
        world.refresh("c-1")
        world.chat.update = update_  # type: ignore[method-assign]
        raise RetryLater("ratelimited", after=1)

    update_ = world.chat.update
    world.chat.update = limited  # type: ignore[method-assign]
    await world.drain(6)
    assert [m.view.revision for _, m in world.chat.updated] == [2]
    assert set(world.states()) == {"sent"}


async def test_the_digest_of_an_interval_is_one_message_updated_in_place(world: World) -> None:
    world.cause("c-1")
    world.queue("digest", NOW.isoformat())
    await world.drain(2)
    world.cause("c-2")
    world.queue("digest", NOW.isoformat())
    await world.drain(2)
    world.queue("digest", NOW.isoformat())
    await world.drain(2)
    assert [(m.kind, m.view.total, m.view.since) for m in world.chat.posted] == [("digest", 1, NOW)]
    assert [(mid, m.view.total) for mid, m in world.chat.updated] == [("m1", 2)]


async def test_a_digest_of_nothing_is_not_posted(world: World) -> None:
    world.queue("digest", NOW.isoformat())
    await world.drain(2)
    assert world.chat.posted == []
    assert world.states() == ["sent"]


async def test_a_card_of_an_unknown_cause_is_dead_with_the_reason(world: World) -> None:
    world.queue("card", "c-404")
    await world.deliverer.work_once()
    assert (world.rows()[0].state, "c-404" in world.rows()[0].error) == ("dead", True)


async def test_a_poster_that_breaks_in_an_unforeseen_way_does_not_post_twice(world: World) -> None:
    world.queue("direct", "", line="x")
    world.chat.lose = [ValueError("bug")]
    await world.drain(5)
    assert len(world.chat.posted) == 1
    assert world.states() == ["sent"]


async def test_messages_of_a_platform_without_poster_wait(world: World) -> None:
    world.do(lambda conn: outbox.tell(conn, world.ids, NOW, "teams:X", "hi"))
    assert await world.deliverer.work_once() == 0
    assert (await world.board.status()).outbox_waiting == 1


async def test_a_dead_message_can_be_queued_again(world: World) -> None:
    world.chat.gone = {"C1"}
    world.queue("direct", "", line="x")
    await world.drain(3)
    world.chat.gone = set()
    assert await world.deliverer.requeue(world.rows()[0].id)
    assert not await world.deliverer.requeue(world.rows()[1].id), "what was sent is not sent again"
    await world.drain(2)
    assert [m.text for m in world.chat.posted if m.channel == "C1"] == ["x"]


async def test_the_loop_delivers_and_stops(world: World) -> None:
    world.queue("direct", "", line="x")
    stop, posted = asyncio.Event(), asyncio.Event()
    post = world.chat.post

    async def noted(message: Message) -> str:
        posted.set()
        return await post(message)

    world.chat.post = noted  # type: ignore[method-assign]
    async with asyncio.timeout(5):
        running = asyncio.create_task(world.deliverer.run(stop, idle=0.01))
        await posted.wait()
        stop.set()
        await running
    assert world.states() == ["sent"], "what was being sent is finished before the loop ends"
    assert [m.text for m in world.chat.posted] == ["x"]


async def test_an_expired_lease_cannot_end_a_row_that_another_worker_took(world: World) -> None:
    world.queue("direct", "", line="x")
    post = world.chat.post

    async def overtaken(message: Message) -> str:
        table = OutboxRow.__table__  # type: ignore[attr-defined]
        await world.db.write(lambda conn: conn.execute(update(table).values(attempts=9, leased_by="other")))
        raise RetryLater("late", after=1)

    world.chat.post = overtaken  # type: ignore[method-assign]
    await world.deliverer.work_once()
    world.chat.post = post  # type: ignore[method-assign]
    (row,) = world.rows()
    assert (row.state, row.leased_by, row.attempts) == ("sending", "other", 9)


async def test_a_slow_channel_holds_up_nobody_else(world: World) -> None:
    world.deliverer = Deliverer(
        world.db, world.board, {"slack": world.chat}, world.clock, "w1", world.ids, pace_seconds=0
    )
    world.chat.pace = 0
    world.queue("direct", "", "SLOW", line="s")
    for number in range(3):
        world.queue("direct", "", "C1", line=str(number))
    stop, all_out, go = asyncio.Event(), asyncio.Event(), asyncio.Event()
    post = world.chat.post

    async def one_is_slow(message: Message) -> str:
        if message.channel == "SLOW":
            await go.wait()
        message_id = await post(message)
        if message.text == "2":
            all_out.set()
        return message_id

    world.chat.post = one_is_slow  # type: ignore[method-assign]
    async with asyncio.timeout(5):
        running = asyncio.create_task(world.deliverer.run(stop, idle=0.01))
        await all_out.wait()
        assert [m.text for m in world.chat.posted] == ["0", "1", "2"]
        go.set()
        stop.set()
        await running
    assert set(world.states()) == {"sent"}


async def test_a_call_that_never_answers_ends_before_its_lease(world: World) -> None:
    world.deliverer = Deliverer(
        world.db, world.board, {"slack": world.chat}, world.clock, "w1", world.ids, lease_seconds=0.1
    )
    world.queue("direct", "", line="x")

    async def hang(_message: Message) -> str:
        await asyncio.Event().wait()
        raise AssertionError("unreachable")

    world.chat.post = hang  # type: ignore[method-assign]
    async with asyncio.timeout(5):
        await world.deliverer.work_once()
    (row,) = world.rows()
    assert row.state == "queued"
    assert row.error.startswith("outcome unknown: no answer within")


async def test_where_the_platform_does_not_let_us_look_nothing_is_repeated(world: World) -> None:
    world.cause("c-1")
    world.queue("card", "c-1")
    world.chat.lose = [OutcomeUnknown("connection reset")]

    async def forbidden(_message: Message) -> str:
        raise Refused("missing_scope channels:history")

    world.chat.find = forbidden  # type: ignore[attr-defined]
    await world.drain()
    assert world.states() == ["unknown", "sent"]
    assert [m.channel for m in world.chat.posted] == ["C1", "OPS"]
    assert world.rows(PostRow)[0].shown_revision == -1, "still in doubt"


async def test_being_told_to_wait_while_looking_does_not_end_the_doubt(world: World) -> None:
    world.queue("direct", "", line="x")
    world.chat.lose = [OutcomeUnknown("connection reset")]
    await world.deliverer.work_once()
    find = world.chat.find  # type: ignore[attr-defined]

    async def busy(_message: Message) -> str:
        world.chat.find = find  # type: ignore[attr-defined]
        raise RetryLater("ratelimited", after=2)

    world.chat.find = busy  # type: ignore[attr-defined]
    await world.drain(8)
    assert world.states() == ["sent"]
    assert len(world.chat.posted) == 1


async def test_an_orderly_stop_gives_back_what_it_could_not_record(world: World) -> None:
    world.queue("direct", "", line="x")
    stop = asyncio.Event()
    recorded = world.deliverer._sent, world.deliverer._postpone

    def away(*_args: Any) -> None:
        stop.set()
        raise RuntimeError("the database was away")

    world.deliverer._sent = world.deliverer._postpone = away  # type: ignore[method-assign]
    await world.deliverer.run(stop, idle=0.01)
    (row,) = world.rows()
    assert row.state == "sending"
    world.deliverer._sent, world.deliverer._postpone = recorded  # type: ignore[method-assign]
    other = world.worker("w2")
    assert await other.work_once() == 1  # at once, the lease is not waited for
    assert world.states() == ["sent"]
    assert len(world.chat.posted) == 1  # it was looked for first


async def test_a_card_somebody_deleted_is_posted_anew_with_the_next_change_and_once(world: World) -> None:
    world.cause("c1")
    world.queue("card", "c1")
    await world.drain()
    world.refresh("c1")
    world.chat.fail = [MessageGone("Slack said message_not_found.")]
    await world.drain()
    (post,) = world.rows(PostRow)
    assert (len(world.chat.posted), post.message_id, post.anew) == (2, "m2", 1)
    world.queue("thread", "c1", line="said under the new one")
    await world.drain()
    assert world.chat.posted[-1].thread == "m2"
    world.refresh("c1")
    world.chat.fail = [MessageGone("Slack said message_not_found.")]
    await world.drain()
    assert len([each for each in world.chat.posted if each.kind == "cause"]) == 2  # not a third time
    assert any("Somebody deleted it there twice" in row.error for row in world.rows())


async def test_posting_anew_that_breaks_off_is_looked_for_before_it_is_sent_again(world: World) -> None:
    world.cause("c1")
    world.queue("card", "c1")
    await world.drain()
    world.chat.messages.clear()  # deleted: it is not found any more
    world.refresh("c1")
    world.chat.fail, world.chat.lose = [MessageGone("gone")], [OutcomeUnknown("no answer")]
    await world.drain()
    for _ in range(10):
        world.clock.forward(60)
        await world.drain()
    (post,) = world.rows(PostRow)
    assert (len(world.chat.posted), post.message_id, post.anew) == (2, "m2", 1)


async def test_a_digest_somebody_deleted_stays_away(world: World) -> None:
    world.cause("c1")
    world.queue("digest", "C1/2026-03-02T09:00:00Z", since="2026-01-01T00:00:00Z")
    await world.drain()
    assert len(world.chat.posted) == 1
    world.cause("c2")
    world.queue("digest", "C1/2026-03-02T09:00:00Z", since="2026-01-01T00:00:00Z")
    world.chat.fail = [MessageGone("gone")]
    await world.drain()
    assert (len(world.chat.posted), world.states()) == (1, ["sent", "sent"])
    assert world.chat.fail == [], "the update was tried"
