"""Posts over the outbox and a connector that keeps Teams' rules: throttled, too large, deleted, closed."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from bot.store import outbox
from bot.store import teams as store
from bot.store.outbox import OUTBOX, POSTS
from handlers.teams.payloads import origin_of
from tests.unit.remediation.conftest import Crash

from . import strict
from .lamps import SECOND, Channel, World, channel_of, new_file, text, verbs
from .world import CHANNEL, TENANT, activity


@pytest.fixture
def world(lamps_folder: Path) -> World:
    return World(new_file(lamps_folder))


async def rows(world: World, platform: str = "teams") -> list[tuple[str, str, str]]:
    def read(conn: Any) -> list[tuple[str, str, str]]:
        query = OUTBOX.select().where(OUTBOX.c.platform == platform).order_by(OUTBOX.c.seq)
        return [(row.kind, row.state, row.error) for row in conn.execute(query)]

    return await world.db.read(read)


async def told(world: World) -> list[str]:
    """What operators are told."""

    def read(conn: Any) -> list[str]:
        query = OUTBOX.select().where(OUTBOX.c.platform == "slack", OUTBOX.c.kind == "direct")
        return [json.loads(row.payload)["line"] for row in conn.execute(query)]

    return await world.db.read(read)


async def change(channel: Channel) -> None:
    """Something of the cause changes, so its card is to be updated."""
    world = channel.world
    await world.db.write(outbox.refresh_cause, world.ids, world.clock.now(), world.cause)
    await channel.deliver()


def operators(channel: Channel) -> None:
    channel.deliverer._fallback = ("slack:COPS",)


async def test_throttled_posts_wait_as_long_as_teams_says_and_none_is_lost(world: World) -> None:
    async with channel_of(world, "olga") as channel:
        await channel.show()
        for n in range(30):
            await world.db.write(outbox.say_in_thread, world.ids, world.clock.now(), world.cause, f"line {n:02}")
        begun, throttled = world.clock.now(), 0
        for _ in range(400):
            await channel.deliver()
            waiting = [row for row in await rows(world) if row[1] == "queued"]
            throttled += any("429" in error for _, _, error in waiting)
            if not waiting:
                break
            world.clock.pass_(seconds=0.5)
        lines = [text(post.activity) for post in channel.teams.posts.values()][1:]
        assert throttled > 3
        assert [f"line {n:02}" in line for n, line in enumerate(lines)] == [True] * 30  # all of them, in order, once
        assert world.clock.now() - begun < timedelta(seconds=60)
        assert all(state == "sent" for _, state, _ in await rows(world))


@pytest.mark.parametrize("status", [412, 429, 502, 503, 504])
async def test_what_teams_asks_to_repeat_is_repeated(world: World, status: int) -> None:
    async with channel_of(world, "olga") as channel:
        channel.teams.broken = [(412, {}), (status, {"Retry-After": "20"})]
        await channel.show()  # the members are asked for first, and it goes without them
        assert channel.teams.cards() == []
        world.clock.pass_(seconds=19)
        await channel.deliver()
        assert channel.teams.cards() == []
        world.clock.pass_(seconds=10)
        await channel.deliver()
        assert len(channel.teams.cards()) == 1


async def test_what_is_too_large_is_shortened_and_posted(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Our own limit is far below Teams'; should Teams lower its, cards still arrive."""
    async with channel_of(world, "olga", "ann") as channel:
        long = ("long words " * 400).strip()
        await world.db.write(
            lambda conn: conn.exec_driver_sql("UPDATE causes SET title = ?, owner_reason = ?, note = ?", (long,) * 3)
        )
        await channel.show(SECOND)
        whole = len(text(channel.card(SECOND)))
        monkeypatch.setattr(strict, "SIZE", whole * 2)
        await channel.show()
        card = channel.card()
        assert "refresh" not in card
        assert len(text(card)) < whole
        assert verbs(card)[0] == "gh.actions"
        assert [state for _, state, _ in await rows(world)] == ["sent", "sent"]
        monkeypatch.setattr(strict, "SIZE", 500)
        operators(channel)
        await change(channel)
        assert [state for _, state, _ in await rows(world)] == ["sent", "sent", "dead", "dead"]
        assert "MessageSizeTooBig" in (await told(world))[0]


async def test_a_deleted_card_is_posted_anew_once(world: World) -> None:
    async with channel_of(world, "olga", "ann") as channel:
        operators(channel)
        await channel.show(CHANNEL, SECOND)
        ids = {post.place: post.id for post in channel.teams.posts.values()}
        first, other = ids[CHANNEL], ids[SECOND]
        channel.teams.delete(first)
        request = await world.asked("olga")  # a card to update, and a line under it
        await channel.deliver()
        assert "Waiting for approval" in text(channel.card())
        posts = await world.db.read(lambda conn: {row.channel: row for row in conn.execute(POSTS.select())})
        assert posts[CHANNEL].message_id != first
        assert (posts[CHANNEL].anew, posts[SECOND].anew, posts[SECOND].message_id) == (1, 0, other)
        line = [
            p for p in channel.teams.posts.values() if p.place == CHANNEL and "asked for the fix" in text(p.activity)
        ]
        assert [each.root for each in line] == [posts[CHANNEL].message_id]  # under the new one
        channel.teams.delete(posts[CHANNEL].message_id)
        await world.approvals.cancel(request.id, await world.people.actor(world.who("olga")))
        await channel.deliver()
        left = [post for post in channel.teams.posts.values() if post.place == CHANNEL and not post.deleted]
        assert all(post.root != post.id for post in left)  # who deletes it twice does not want it
        assert len(channel.teams.cards(SECOND)) == 3  # the card and two lines
        assert any("Somebody deleted it there twice" in line for line in await told(world))


async def test_a_crash_while_posting_anew_does_not_post_twice(world: World) -> None:
    async with channel_of(world, "olga") as channel:
        operators(channel)
        await channel.show()
        channel.teams.delete(next(iter(channel.teams.posts)))
        post = channel.poster.post

        async def dies(message: Any) -> str:
            await post(message)
            raise Crash  # the process ends: sent, not written down

        channel.poster.post = dies  # type: ignore[method-assign]
        await world.db.write(outbox.refresh_cause, world.ids, world.clock.now(), world.cause)
        with pytest.raises(Crash):
            await channel.deliver()
        channel.poster.post = post  # type: ignore[method-assign]
        world.clock.pass_(minutes=5)
        await channel.deliver()
        assert len(channel.teams.cards()) == 1
        assert [state for _, state, _ in await rows(world)] == ["sent", "unknown"]


@pytest.mark.parametrize("how", ["installed", "blocked", "gone"])
async def test_a_place_that_takes_nothing_is_closed_and_operators_are_told(world: World, how: str) -> None:
    async with channel_of(world, "olga", "ann") as channel:
        operators(channel)
        place = channel.teams.places[CHANNEL]
        if how == "gone":
            del channel.teams.places[CHANNEL]
        else:
            setattr(place, how, how == "blocked")
        await channel.show()
        kept = await world.db.read(store.conversation, TENANT, CHANNEL)
        assert kept is not None
        assert kept.installed is False
        (line,) = await told(world)
        assert "could not be posted" in line
        assert "Install the Gatehouse app there again" in line
        asked = len(channel.teams.asked)
        await channel.show()
        assert len(channel.teams.asked) == asked  # nothing is tried at a closed door
        # The app is put back: Teams says so, and what comes next is posted.
        channel.teams.places[CHANNEL] = place
        place.installed, place.blocked = True, False
        back = activity("installationUpdate", action="add", serviceUrl=channel.url)
        await channel.desk.seen(origin_of(back), back)
        await channel.show()
        assert len(channel.teams.cards()) == 1


async def test_where_the_bot_is_unblocked_by_a_word_it_is_noticed_though_it_was_seen_before(world: World) -> None:
    async with channel_of(world, "olga") as channel:
        said = activity("message", serviceUrl=channel.url, text="x") | {"type": "typing"}
        await channel.desk.seen(origin_of(said), said)
        channel.teams.places[CHANNEL].blocked = True
        await channel.show()
        channel.teams.places[CHANNEL].blocked = False
        world.clock.pass_(minutes=11)
        await channel.desk.seen(origin_of(said), said)
        await channel.show()
        assert len(channel.teams.cards()) == 1


async def test_an_update_in_a_closed_place_ends_the_same_way(world: World) -> None:
    async with channel_of(world, "olga") as channel:
        operators(channel)
        await channel.show()
        channel.teams.places[CHANNEL].installed = False
        await change(channel)
        kept = await world.db.read(store.conversation, TENANT, CHANNEL)
        assert kept is not None
        assert kept.installed is False
        assert len(await told(world)) == 1
