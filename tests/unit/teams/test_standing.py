"""Standing approvals from Teams, over the real engine: granted by a form, listed, confirmed, revoked; and every no."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from bot.domain.standing import StandingState

from .governed import Governed, governing, head, inputs, text, value, verbs

TERMS = {"environment": "dev", "account": "-", "owner": "-", "cap": "2", "days": "30", "reason": "nobody needs them"}


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[Governed]:
    async with governing(tmp_path) as made:
        yield made


async def form(world: Governed, who: str = "ann") -> dict[str, Any]:
    cause = await world.ingest("desk", "hall")
    plan = await world.press(who, "review", {"c": cause})
    return await world.press(who, "pre_approve", value(plan, "pre_approve"))


async def held(world: Governed) -> list[Any]:
    return [each.standing for each in await world.engine.standings.list(await world.actor("ann"), over=True)]


async def test_one_is_granted_by_the_form_listed_and_revoked(world: Governed) -> None:
    asked = await form(world)
    assert {"environment", "cap", "days", "reason"} <= set(inputs(asked))
    done = await world.press("ann", "send_pre_approve", value(asked, "send_pre_approve"), TERMS)
    assert "Pre-approved" in head(done)
    (made,) = await held(world)
    assert (made.scope.environment, made.cap, made.state, made.created_by) == ("dev", 2, StandingState.ACTIVE, "ann")
    shown = await world.say("ann", "standing")
    assert "1 standing approval is in force." in head(shown)
    over = await world.press("ann", "standing_revoke", value(shown, "standing_revoke"))
    assert "is revoked: nothing more runs under it" in head(over)
    assert "There is no standing approval." in head(over)  # the list as it is now, in place of the one before
    assert made.id in text(await world.say("ann", "standing all"))
    assert [each.state for each in await held(world)] == [StandingState.REVOKED]


async def test_one_is_revoked_by_the_command_with_a_reason(world: Governed) -> None:
    asked = await form(world)
    await world.press("ann", "send_pre_approve", value(asked, "send_pre_approve"), TERMS)
    (made,) = await held(world)
    assert "is revoked" in head(await world.say("ann", f"standing revoke {made.id} moved to prod"))
    assert "I do not know" in head(await world.say("ann", "standing frobnicate"))
    assert "no standing approval sa-nothing" in head(await world.say("ann", "standing revoke sa-nothing"))


async def test_what_is_missing_brings_the_form_again_with_what_was_typed(world: Governed) -> None:
    asked = await form(world)
    ids = value(asked, "send_pre_approve")
    again = await world.press("ann", "send_pre_approve", ids, TERMS | {"reason": ""})
    assert "Please say why; it is shown at every run." in head(again)
    assert inputs(again)["cap"]["value"] == "2"
    wide = await world.press("ann", "send_pre_approve", ids, TERMS | {"environment": "-"})
    assert "Please narrow it by at least one of these." in head(wide)
    assert inputs(wide)["reason"]["value"] == "nobody needs them"
    forged = await world.press("ann", "send_pre_approve", ids, TERMS | {"cap": "¹", "days": "9" * 9})
    assert "Please choose one." in head(forged)
    assert await held(world) == []
    done = await world.press("ann", "send_pre_approve", value(again, "send_pre_approve"), TERMS)
    assert "Pre-approved" in head(done)


async def test_who_may_not_has_no_button_and_a_forged_press_says_who_could(world: Governed) -> None:
    cause = await world.ingest("desk")
    ids = value(await world.press("ann", "review", {"c": cause}), "pre_approve")
    seen = await world.press("olga", "review", {"c": cause})
    assert "pre_approve" not in verbs(seen)
    for verb, given in (("pre_approve", {}), ("send_pre_approve", TERMS)):
        refused = await world.press("olga", verb, ids, given)
        assert "members of cloud-approvers" in text(refused)
    assert await held(world) == []
    assert (await world.journal())[-1] == ("submit.send_pre_approve", "refused")
    assert (await world.kinds()).count("refused") == 2


async def test_the_same_delivery_grants_once(world: Governed) -> None:
    asked = await form(world)
    ids = value(asked, "send_pre_approve")
    await world.press("ann", "send_pre_approve", ids, TERMS, id="same")
    again = await world.press("ann", "send_pre_approve", ids, TERMS, id="same")
    assert "received already" in again["value"]
    assert len(await held(world)) == 1
    assert (await world.kinds()).count("standing.granted") == 1


async def test_a_forged_plan_or_hash_grants_nothing(world: Governed) -> None:
    asked = await form(world)
    ids = value(asked, "send_pre_approve")
    for wrong in ({"p": "plan-999999"}, {"h": "0" * 64}, {"p": ["x"]}):
        refused = await world.press("ann", "send_pre_approve", ids | wrong, TERMS)
        assert "⛔" in text(refused)
    assert await held(world) == []


async def test_two_grant_and_who_looked_at_other_terms_sees_them_as_they_are(tmp_path: Path) -> None:
    async with governing(tmp_path, standing={"quorum": 2}) as world:
        asked = await form(world)
        done = await world.press("ann", "send_pre_approve", value(asked, "send_pre_approve"), TERMS)
        assert "1 more must grant it" in head(done)
        shown = await world.say("abe", "standing")
        ids = value(shown, "standing_confirm")
        stale = await world.press("abe", "standing_confirm", ids | {"h": "0" * 64})
        assert "is not what you looked at" in head(stale)
        assert value(stale, "standing_confirm") == ids  # the list of now, to go on from
        refused = await world.press("olga", "standing_confirm", ids)
        assert "members of cloud-approvers" in text(refused)
        assert [each.state for each in await held(world)] == [StandingState.PROPOSED]
        both = await world.press("abe", "standing_confirm", value(stale, "standing_confirm"))
        assert "Pre-approved" in head(both)
        assert [each.state for each in await held(world)] == [StandingState.ACTIVE]


async def test_a_forged_revocation_changes_nothing_and_shows_the_list(world: Governed) -> None:
    asked = await form(world)
    await world.press("ann", "send_pre_approve", value(asked, "send_pre_approve"), TERMS)
    (made,) = await held(world)
    for who, ids in (("olga", {"s": made.id}), ("nick", {"s": made.id}), ("ann", {"s": "sa-0"}), ("ann", {})):
        refused = await world.press(who, "standing_revoke", ids)
        assert "⛔" in text(refused)
        assert "1 standing approval is in force." in head(refused)
    assert [each.state for each in await held(world)] == [StandingState.ACTIVE]


async def test_two_grant_the_same_at_once_and_there_is_one(world: Governed) -> None:
    asked = await form(world)
    ids = value(asked, "send_pre_approve")
    ended = await asyncio.gather(*(world.press(who, "send_pre_approve", ids, TERMS) for who in ("ann", "abe", "ann")))
    assert len(await held(world)) == 1
    assert (await world.kinds()).count("standing.granted") == 1
    assert any("Pre-approved" in head(each) for each in ended)
    refused = [each for each in ended if "already covers exactly this scope" in head(each)]
    assert len(refused) in {1, 2}  # the other person; the same person's second click is no second grant
