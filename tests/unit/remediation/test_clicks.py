"""The journal: a click is stored once, and what a crash left open is found."""

from __future__ import annotations

from datetime import timedelta

import pytest

from bot.domain.decisions import Choice
from bot.domain.errors import Conflict
from bot.store import clicks

from .conftest import World


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


async def test_a_vote_done_again_from_the_journal_does_not_bring_back_what_was_withdrawn(tmp_path):
    world = World(tmp_path / "gatehouse.db", rules=[{"name": "two", "quorum": 2}])
    request, ann = await world.ask(), await world.actor("UANN")
    given = (request.id, request.plan_hash, request.revision, ann, Choice.APPROVE)
    await world.approvals.vote(*given, click="click-1")
    await world.approvals.withdraw(request.id, ann, click="click-2")
    again = await world.approvals.vote(*given, click="click-1")  # as after a crash between the vote and its row's end
    assert again.votes == ()
    assert (await world.kinds()).count("vote.cast") == 1
    assert (await world.approvals.vote(*given, click="click-3")).votes  # a new click is a new answer


async def test_a_withdrawal_done_again_from_the_journal_is_no_error(tmp_path):
    world = World(tmp_path / "gatehouse.db", rules=[{"name": "two", "quorum": 2}])
    request, ann = await world.ask(), await world.actor("UANN")
    await world.approvals.vote(request.id, request.plan_hash, request.revision, ann, Choice.APPROVE, click="click-1")
    await world.approvals.withdraw(request.id, ann, click="click-2")
    assert (await world.approvals.withdraw(request.id, ann, click="click-2")).votes == ()
    assert (await world.kinds()).count("vote.withdrawn") == 1
    with pytest.raises(Conflict):
        await world.approvals.withdraw(request.id, ann, click="click-3")
