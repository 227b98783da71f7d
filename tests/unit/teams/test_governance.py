"""Decisions from Teams over the real engine: stale cards, two at once, a P1 decided by who never opened the chat."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from bot.domain.decisions import RequestState
from bot.domain.findings import Severity
from bot.store.outbox import OUTBOX

from .governed import IDS, Governed, governing, head, inputs, text, value, verbs
from .world import CHANNEL

APPROVE = {"choice": "approve", "reason": "checked"}


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[Governed]:
    async with governing(tmp_path, policy="") as made:
        yield made


async def asked(world: Governed, cause: str) -> None:
    plan = await world.press("olga", "review", {"c": cause})
    await world.press("olga", "send_review", value(plan, "send_review"), {"choice": "ask", "reason": "please"})


async def request(world: Governed, cause: str) -> Any:
    found = (await world.engine.board.cause(cause)).request
    assert found is not None
    return found


async def test_asked_by_one_approved_by_another_and_the_resource_changes(world: Governed) -> None:
    cause = await world.ingest("desk", "hall")
    await asked(world, cause)
    shown = await world.press("ann", "review", {"c": cause})
    done = await world.press("ann", "send_review", value(shown, "send_review"), APPROVE)
    assert "Approved. The fix starts now" in head(done)
    assert await world.engine.executor.work_once() == 1
    assert [lamp["on"] for lamp in world.cloud.lamps.values()] == [False, False]
    assert [(vote.who.id, vote.reason) for vote in (await request(world, cause)).votes] == [("ann", "checked")]


async def test_what_waits_for_my_approval_is_listed_to_go_on_from(world: Governed) -> None:
    cause = await world.ingest("desk")
    assert "Nothing waits for your approval." in head(await world.say("ann", "approvals"))
    await asked(world, cause)
    shown = await world.say("ann", "approvals")
    assert "1 request waits for your approval." in head(shown)
    plan = await world.press("ann", "review", value(shown, "review"))
    assert "send_review" in verbs(plan)
    assert "Nothing waits for your approval." in head(await world.say("nick", "approvals"))
    own = await world.say("olga", "approvals")
    assert "Asked by you" in text(own)


async def test_who_asked_cannot_approve_and_is_told_why_and_who_could(world: Governed) -> None:
    cause = await world.ingest("desk")
    plan = await world.press("ann", "review", {"c": cause})
    await world.press("ann", "send_review", value(plan, "send_review"), {"choice": "ask", "reason": "mine"})
    forged = await world.press("ann", "send_review", await ids_of(world, cause), APPROVE)
    assert "Rule: " in text(forged)
    why = await world.press("ann", "why", value(forged, "why"))
    assert "You cannot approve this" in head(why)
    assert value(why, "card") == {"c": cause}
    assert (await request(world, cause)).votes == ()


async def ids_of(world: Governed, cause: str) -> dict[str, Any]:
    """What an approver's button carries; whoever sends it is decided on anew."""
    return value(await world.press("abe", "review", {"c": cause}), "send_review")


async def test_a_stale_press_shows_the_card_of_now_with_the_reason(world: Governed) -> None:
    cause = await world.ingest("desk")
    await asked(world, cause)
    ids = value(await world.press("ann", "review", {"c": cause}), "send_review")
    other = await world.press("abe", "review", {"c": cause})
    await world.press("abe", "send_review", value(other, "send_review"), {"choice": "reject", "reason": "not today"})
    late = await world.press("ann", "send_review", ids, APPROVE)
    assert "⛔" in text(late)
    assert "rejected" in head(late).lower()
    assert "Lamp is on" in text(late)  # and beneath the reason the card as it is now
    assert "review" in verbs(late)
    assert "refresh" not in late["value"]  # which would take the reason away at once
    assert (await world.journal())[-1] == ("submit.send_review", "refused")
    assert world.cloud.effects == []


async def test_a_plan_that_ran_out_is_not_approved(world: Governed) -> None:
    cause = await world.ingest("desk")
    ids = value(await world.press("ann", "review", {"c": cause}), "send_review")
    world.clock.pass_(days=30)
    late = await world.press("ann", "send_review", ids, APPROVE)
    assert "⛔" in text(late)
    assert "review" in verbs(late)
    assert world.cloud.effects == []


async def test_two_press_at_once_and_it_is_decided_once(world: Governed) -> None:
    cause = await world.ingest("desk")
    await asked(world, cause)
    shown = [await world.press(who, "review", {"c": cause}) for who in ("ann", "abe")]
    ended = await asyncio.gather(
        *(
            world.press(who, "send_review", value(card, "send_review"), APPROVE)
            for who, card in zip(("ann", "abe"), shown, strict=True)
        )
    )
    approved = [each for each in ended if "Approved. The fix starts now" in head(each)]
    assert len(approved) == 1
    (other,) = [each for each in ended if each not in approved]
    assert "⛔" in text(other)
    assert "card" in verbs(other) or "review" in verbs(other) or "details" in verbs(other)
    found = await request(world, cause)
    assert (found.state, len(found.votes)) == (RequestState.APPROVED, 1)
    assert await world.engine.executor.work_once() == 1
    assert await world.engine.executor.work_once() == 0
    assert (await world.kinds()).count("decision.made") == 1


async def test_what_is_forged_decides_nothing(world: Governed) -> None:
    cause = await world.ingest("desk")
    await asked(world, cause)
    ids = value(await world.press("ann", "review", {"c": cause}), "send_review")
    for wrong in ({"h": "0" * 64}, {"q": "req-0"}, {"v": 99}, {"q": "", "p": "", "h": ""}):
        refused = await world.press("ann", "send_review", ids | wrong, APPROVE)
        assert "⛔" in text(refused), wrong
    for choice in ("", "APPROVE", "delete"):
        again = await world.press("ann", "send_review", ids, {"choice": choice})
        assert "Please choose one." in head(again)
        assert "choice" in inputs(again)
    for who in ("nick", "outsider"):
        assert "⛔" in text(await world.press(who, "send_review", ids, APPROVE))
    assert (await request(world, cause)).votes == ()
    assert world.cloud.effects == []


# --- a P1, decided from the channel by somebody who never opened the 1:1 chat ----------------------------------------


async def test_a_p1_is_approved_from_the_channel_alone(world: Governed) -> None:
    cause = await world.ingest("desk", severity=Severity.CRITICAL, env="prod", internet_exposed=True)
    assert (await world.cause_row(cause)).priority == 1
    await asked(world, cause)
    before = len(world.tenant.asked)
    shown = await world.press("ann", "review", {"c": cause})
    given = APPROVE | ({"confirm": "1"} if "confirm" in inputs(shown) else {})
    done = await world.press("ann", "send_review", value(shown, "send_review"), given)
    assert "✅" in text(done)
    assert [path for _, path, _, _ in world.tenant.asked[before:]] == []  # in place; no chat was needed
    assert len((await request(world, cause)).votes) == 1


async def test_where_no_chat_can_be_opened_the_thread_says_so_and_nothing_more(world: Governed) -> None:
    cause = await world.ingest("desk", severity=Severity.CRITICAL, env="prod", internet_exposed=True)
    world.desk._patience = 0.05
    look = world.engine.approvals.look

    async def slow(cause_id: str, actor: Any) -> Any:
        await asyncio.sleep(0.2)
        return await look(cause_id, actor)

    world.engine.approvals.look = slow  # type: ignore[method-assign]
    world.tenant.refuses = {"/v3/conversations"}
    answer = await world.press("ann", "review", {"c": cause})
    assert "takes a little longer" in answer["value"]
    await world.desk.drain()
    (method, path, body, _) = world.tenant.asked[-1]
    assert (method, path.startswith(f"/emea/v3/conversations/{CHANNEL};messageid=")) == ("POST", True)
    assert "I cannot write to you" in body["summary"]
    assert body["entities"][0]["mentioned"]["id"] == f"29:{IDS['ann'][:5]}"  # it rings for this person alone
    assert "Lamp" not in text(body)
    assert "send_review" not in text(body)
    rows = await world.db.read(lambda conn: conn.execute(OUTBOX.select().where(OUTBOX.c.channel == IDS["ann"])).all())
    assert rows == []  # it could not be delivered there either, today or later
