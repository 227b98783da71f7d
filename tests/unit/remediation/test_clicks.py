"""The journal: a click is stored once, and what a crash left open is found."""

from __future__ import annotations

from datetime import timedelta

from bot.store import clicks


async def test_a_click_is_stored_once_and_found_until_it_is_finished(world):
    now = world.clock.now()

    async def receive(click: str) -> bool:
        return await world.db.write(
            clicks.receive, click_id=click, platform="slack", kind="submit", identity="{}", payload='{"a": 1}', now=now
        )

    assert [await receive("a"), await receive("a"), await receive("b")] == [True, False, True]
    await world.db.write(clicks.finish, "a", state="done", outcome="approved", principal_id="ann", now=now)
    later = now + timedelta(minutes=1)
    left = await world.db.read(clicks.unfinished, later)
    assert [(click.id, click.payload, click.state) for click in left] == [("b", '{"a": 1}', "received")]
    assert await world.db.read(clicks.unfinished, now - timedelta(minutes=1)) == []
    assert await receive("a") is False  # also after it was done
