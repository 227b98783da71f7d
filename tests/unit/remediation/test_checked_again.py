"""Everything is checked again at the moment of execution; what does not hold any more changes nothing."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from bot.domain.errors import RetryLater
from bot.store import plans
from bot.store.tables import DecisionRow, PlanRow, RequestRow, VoteRow


async def _blocked(world, execution_id: str, why: str) -> None:
    assert (await world.executor.run(execution_id)).value == "blocked"
    held = await world.execution(execution_id)
    assert why in held.why
    assert world.cloud.effects == []
    assert await world.steps(execution_id) == []
    assert await world.ledger_ok()
    assert (await world.kinds())[-1] == "execution.blocked"
    assert (await world.lines())[-1].endswith("Nothing was changed.")
    request = await world.db.read(plans.request, (await world.db.read(plans.decision, held.decision_id)).request_id)
    assert request.facts.state.value == "voided"
    # A blocked execution stays blocked.
    assert (await world.executor.run(execution_id)).value == "blocked"
    assert await world.executor.work_once() == 0


async def test_drift_since_the_plan(world):
    execution_id = await world.approved()
    world.cloud.lamps["hall"]["colour"] = "blue"
    await _blocked(world, execution_id, 'hall/colour was "red", is "blue"')


async def test_a_resource_that_cannot_be_read(world):
    execution_id = await world.approved()

    async def down(_call) -> None:
        raise RetryLater("the cloud is down")

    world.cloud.before_read = down
    await _blocked(world, execution_id, "the cloud is down")
    assert len(world.slept) == 2  # it was tried again first


async def test_an_approver_who_left_the_group_after_voting(world):
    execution_id = await world.approved()
    world.directory.members["SAPPROVERS"].discard("UANN")
    await _blocked(world, execution_id, "Ann Approver may no longer approve this")


@pytest.mark.parametrize("odd", [{"active": False}, {"guest": True}, {"external": True}, {"bot": True}])
async def test_an_approver_whose_account_changed(world, odd):
    execution_id = await world.approved()
    world.directory.odd["UANN"] = odd
    await _blocked(world, execution_id, "Ann Approver may no longer approve this")


async def test_a_directory_that_fails_counts_against_the_approver(world):
    execution_id = await world.approved()
    world.directory.broken = RetryLater("Slack is down")
    await _blocked(world, execution_id, "Slack is down")


async def test_an_approver_bound_to_somebody_else_now(world):
    execution_id = await world.approved()
    world.people._bound = {k: ("abe" if v == "ann" else v) for k, v in world.people._bound.items()}
    await _blocked(world, execution_id, "no longer bound to ann")


async def test_a_freeze(world):
    execution_id = await world.approved()
    world.govern(freeze=True)
    await _blocked(world, execution_id, "frozen")


async def test_a_policy_that_changed(world):
    execution_id = await world.approved()
    world.govern(rules=[{"name": "stricter", "quorum": 2}])
    await _blocked(world, execution_id, "the policy changed")


async def test_a_decision_that_is_too_old(world):
    execution_id = await world.approved()
    world.clock.pass_(minutes=241)
    await _blocked(world, execution_id, "too old")


async def test_a_plan_altered_in_the_database(world):
    execution_id = await world.approved()
    held = await world.execution(execution_id)
    plan = (await world.db.read(plans.plan, held.plan_id)).model_dump(mode="json")
    plan["changes"][0]["call"]["params"]["to"] = True
    await world.alter(PlanRow, body=json.dumps(plan))
    await _blocked(world, execution_id, "was altered after it was made")


async def test_a_plan_altered_together_with_its_hash(world):
    execution_id = await world.approved()
    held = await world.execution(execution_id)
    plan = await world.db.read(plans.plan, held.plan_id)
    other = plan.model_copy(update={"title": "Something else"})
    await world.alter(PlanRow, body=other.model_dump_json(), hash=other.hash)
    assert (await world.executor.run(execution_id)).value == "blocked"
    assert "does not cover this plan" in (await world.execution(execution_id)).why
    assert world.cloud.effects == []


@pytest.mark.parametrize(
    ("table", "values", "why"),
    [
        (DecisionRow, {"covers": "0" * 64}, "does not cover"),
        (DecisionRow, {"outcome": "rejected"}, "not approved"),
        (RequestRow, {"state": "cancelled"}, "not approved"),
        (RequestRow, {"fingerprint": "0" * 64}, "picture of the resource"),
        (VoteRow, {"choice": "reject"}, "0 of 1 approvals"),
        (VoteRow, {"plan_hash": "0" * 64}, "0 of 1 approvals"),
        (VoteRow, {"principal_id": "abe"}, "0 of 1 approvals"),
    ],
)
async def test_rows_that_no_longer_belong_together(world, table, values, why):
    execution_id = await world.approved()
    await world.alter(table, **values)
    assert (await world.executor.run(execution_id)).value == "blocked"
    assert why in (await world.execution(execution_id)).why
    assert world.cloud.effects == []


async def test_a_playbook_of_another_version(world):
    execution_id = await world.approved()
    world.catalog.book.info = replace(world.catalog.book.info, version=2)
    await _blocked(world, execution_id, "changed since the plan was made")


async def test_a_directory_that_stumbles_once_is_asked_again(world):
    execution_id = await world.approved()
    world.directory.broken = RetryLater("slow down")
    sleep = world.executor._sleep

    async def mend(seconds: float) -> None:
        world.directory.broken = None
        await sleep(seconds)

    world.executor._sleep = mend
    assert (await world.executor.run(execution_id)).value == "succeeded"


async def test_lists_that_the_directory_holds_are_dropped_before_executing(world):
    execution_id = await world.approved()
    dropped = []
    world.directory.forget = lambda: dropped.append(True)
    await world.executor.run(execution_id)
    assert dropped
