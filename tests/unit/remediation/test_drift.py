"""A resource that changed after the approval: what was approved is void, and the present state is asked for anew."""

from __future__ import annotations

import asyncio
import json

import pytest
from sqlalchemy import select

from bot.domain.decisions import Choice, ExecutionState, RequestState
from bot.domain.errors import Conflict, RetryLater
from bot.domain.plans import Risk
from bot.store import ledger, plans
from bot.store.tables import DecisionRow, PlanRow
from cards import blockkit, build

from .conftest import World


async def _answers(world: World) -> list[dict]:
    table = ledger.LEDGER
    rows = await world.db.read(
        lambda conn: list(conn.execute(select(table.c.body).where(table.c.kind == "drift.answered")).scalars())
    )
    return [json.loads(row) for row in rows]


async def _drifted(world: World) -> str:
    execution_id = await world.approved()
    world.cloud.lamps["hall"]["colour"] = "blue"
    assert await world.executor.run(execution_id) is ExecutionState.BLOCKED
    return execution_id


async def test_it_is_asked_again_in_the_requesters_name_with_what_changed(world):
    execution_id = await _drifted(world)
    old = await world.execution(execution_id)
    await world.approvals.expire_due()
    held = await world.db.read(plans.pending_request, world.cause)
    assert held.facts.requested_by == "olga"
    assert held.facts.plan_id != old.plan_id
    assert await world.db.read(plans.live_votes, held.facts.id) == []  # no vote is carried over
    [answer] = await _answers(world)
    assert answer["request"] == held.facts.id
    assert answer["differences"] == ['hall/colour was "red", is "blue"']
    line = (await world.lines())[-1]
    assert "in the name of Olga Owner" in line
    assert '• hall/colour was "red", is "blue"' in line
    assert world.cloud.effects == []
    # Approved anew, it is carried out.
    ann = await world.actor("UANN")
    await world.approvals.vote(held.facts.id, held.facts.plan_hash, 0, ann, Choice.APPROVE)
    again = await world.db.read(plans.execution_of_request, held.facts.id)
    assert await world.executor.run(again) is ExecutionState.SUCCEEDED
    assert await world.ledger_ok()


async def test_it_is_answered_once_however_often_anybody_looks(world):
    await _drifted(world)
    for _ in range(3):
        await world.approvals.expire_due()
        await world.approvals.look(world.cause, await world.actor("UANN"))
    assert len(await _answers(world)) == 1


async def test_looking_at_it_is_enough(world):
    await _drifted(world)
    view = await world.approvals.look(world.cause, await world.actor("UANN"))
    assert view.request is not None
    assert view.request.requested_by.id == "olga"


async def test_what_is_fixed_already_is_not_asked_again(world):
    execution_id = await world.approved()
    for lamp in world.cloud.lamps.values():
        lamp |= {"on": False, "colour": "grey"}
    await world.executor.run(execution_id)
    await world.approvals.expire_due()
    assert await world.db.read(plans.pending_request, world.cause) is None
    [answer] = await _answers(world)
    assert answer["request"] == ""
    assert "already as they should be" in (await world.lines())[-1]


async def test_an_undo_that_drifted_says_why_it_is_not_asked_again(world):
    fix = await world.approved()
    await world.executor.run(fix)
    olga = await world.actor("UOLGA")
    view = await world.approvals.look_undo(fix, olga)
    request = await world.approvals.ask(view.plan.id, view.plan_hash, olga)
    await world.vote(request)
    world.cloud.lamps["hall"]["colour"] = "blue"
    undo = await world.db.read(plans.execution_of_request, request.id)
    assert await world.executor.run(undo) is ExecutionState.BLOCKED
    await world.approvals.expire_due()
    assert await world.db.read(plans.pending_request, world.cause) is None
    assert "changed since the fix" in (await world.lines())[-1]


async def test_a_cloud_that_cannot_be_read_is_asked_later_and_given_up_after_a_day(world):
    await _drifted(world)

    async def down(_call) -> None:
        raise RetryLater("the cloud is down")

    world.cloud.before_read = down
    await world.approvals.expire_due()
    assert await _answers(world) == []
    world.clock.pass_(hours=25)
    await world.approvals.expire_due()
    [answer] = await _answers(world)
    assert "the cloud is down" in answer["said"]


async def test_a_requester_who_may_no_longer_ask_is_not_asked_for(world):
    await _drifted(world)
    world.directory.odd["UOLGA"] = {"active": False}
    await world.approvals.expire_due()
    assert await world.db.read(plans.pending_request, world.cause) is None
    assert "Olga Owner may not ask for it any more" in (await world.lines())[-1]


async def test_somebody_who_asked_meanwhile_is_not_asked_twice(world):
    await _drifted(world)
    view = await world.planner.plan(world.cause)
    sue = await world.actor("USUE")
    request = await world.approvals.ask(view.id, view.hash, sue)
    await world.approvals.expire_due()
    held = await world.db.read(plans.pending_request, world.cause)
    assert (held.facts.id, held.facts.requested_by) == (request.id, "sue")
    [answer] = await _answers(world)
    assert answer["request"] == request.id


async def test_what_was_tampered_with_is_not_asked_again(world):
    execution_id = await world.approved()
    world.cloud.lamps["hall"]["colour"] = "blue"
    await world.alter(DecisionRow, policy_version="0" * 16)
    assert await world.executor.run(execution_id) is ExecutionState.BLOCKED
    await world.approvals.expire_due()
    assert await _answers(world) == []


async def test_other_reasons_to_stop_are_not_asked_again(world):
    execution_id = await world.approved()
    world.directory.members["SAPPROVERS"].discard("UANN")
    assert await world.executor.run(execution_id) is ExecutionState.BLOCKED
    await world.approvals.expire_due()
    assert await _answers(world) == []
    assert await world.db.read(plans.pending_request, world.cause) is None


async def test_words_of_the_cloud_are_data(world):
    execution_id = await world.approved()
    world.cloud.lamps["hall"]["colour"] = "<!channel> *look* <https://evil.example|here>"
    await world.executor.run(execution_id)
    await world.approvals.expire_due()
    line = (await world.lines())[-1]
    assert "<!channel>" in line
    sent = json.dumps(blockkit.message(build.thread_line(line)))
    assert "<!channel>" not in sent
    assert "<https://evil.example" not in sent


@pytest.mark.parametrize("step", ["plan", "write"])
async def test_a_crash_in_the_middle_of_the_answer_is_made_good(world, monkeypatch, step):
    await _drifted(world)
    drifts = world.approvals._drifts

    async def dies(*_args: object) -> None:
        raise ConnectionError("killed")

    def dies_writing(*_args: object, **_more: object) -> None:
        raise ConnectionError("killed")

    with monkeypatch.context() as patch:
        if step == "plan":
            patch.setattr(world.planner, "plan", dies)
        else:
            patch.setattr(drifts, "_tell", dies_writing)  # the last thing of the transaction
        await world.approvals.expire_due()
    assert await _answers(world) == []
    assert await world.db.read(plans.pending_request, world.cause) is None
    await world.approvals.expire_due()
    assert len(await _answers(world)) == 1
    assert (await world.db.read(plans.pending_request, world.cause)) is not None


async def _race(world: World) -> None:
    await _drifted(world)
    replicas = []
    for _ in range(4):
        world.govern()
        replicas.append(world.approvals)
    await asyncio.gather(*(each.expire_due() for each in replicas))
    assert len(await _answers(world)) == 1
    assert (await world.kinds()).count("request.made") == 2
    held = await world.db.read(plans.pending_request, world.cause)
    assert held.facts.state is RequestState.PENDING
    assert await world.ledger_ok()


async def test_replicas_at_once_ask_once(world):
    await _race(world)


@pytest.mark.postgres
async def test_replicas_at_once_ask_once_on_postgresql(postgres_url):
    world = World(postgres_url, risk=Risk.LOW)
    try:
        await _race(world)
    finally:
        await world.db.close()


async def test_a_click_done_again_after_the_fix_makes_no_second_request(world):
    olga = await world.actor("UOLGA")
    view = await world.approvals.look(world.cause, olga)
    request = await world.approvals.ask(view.plan.id, view.plan_hash, olga, "please", click="slack:view:1")
    await world.vote(request)
    execution_id = await world.db.read(plans.execution_of_request, request.id)
    assert await world.executor.run(execution_id) is ExecutionState.SUCCEEDED
    again = await world.approvals.ask(view.plan.id, view.plan_hash, olga, "please", click="slack:view:1")
    assert (again.id, again.state) == (request.id, RequestState.APPROVED)
    assert (await world.kinds()).count("request.made") == 1
    with pytest.raises(Conflict):
        await world.approvals.ask(view.plan.id, view.plan_hash, await world.actor("USUE"), click="slack:view:1")


async def test_an_approved_plan_that_can_no_longer_be_read_is_answered_once(world):
    await _drifted(world)
    await world.alter(PlanRow, body="{}")
    for _ in range(2):
        await world.approvals.expire_due()
    [answer] = await _answers(world)
    assert "cannot be read" in answer["said"]
    assert await world.db.read(plans.pending_request, world.cause) is None
