"""``policy explain`` over stored things: the facts of a plan, a cause, a finding, a waiting request, a freeze."""

from __future__ import annotations

from typing import Any

import pytest

from bot.domain.errors import BadInput, NotFound
from bot.governance.asked import about
from bot.governance.cases import Explained, Judge
from bot.governance.controls import Controls
from tests.unit.remediation.conftest import World, make_world, world

__all__ = ["make_world", "world"]


def ask(world: World, who: str, action: str = "approve", **more: Any) -> tuple[Explained, str]:
    judge = Judge(world.settings, world.policy, world.people)
    catalog: Any = world.catalog
    return world.db.read_sync(about, judge, catalog, who=who, action=action, **more)


async def test_before_any_plan_the_facts_are_the_causes(world: World) -> None:
    found, words = ask(world, "ann", cause_id=world.cause, groups=["cloud-approvers"])
    assert "no plan is made yet" in words
    resource = found.facts["resource"]
    assert (resource["environment"], resource["playbook"], resource["risk"]) == ("dev", "lamps-off", "low")
    assert (resource["account"], resource["provider"], resource["resources"]) == ("111122223333", "fake", 2)
    assert found.verdict.allowed


async def test_a_waiting_request_gives_its_plan_rule_and_requester(make_world: Any) -> None:
    world = make_world(rules=[{"name": "dev", "match": {"account": "1111*"}, "quorum": 2}])
    request = await world.ask("UABE")
    named: list[dict[str, str]] = [{"cause_id": world.cause}, {"plan_id": request.plan_id}]
    for what in named:
        found, words = ask(world, "abe", groups=["cloud-approvers"], **what)
        assert words == f"plan {request.plan_id}"
        assert found.verdict.rule == "dev: four eyes"
        assert found.facts["context"]["is_requester"]
        assert found.approval_rule
        assert found.approval_rule.quorum == 2
        assert ask(world, "ann", groups=["cloud-approvers"], **what)[0].verdict.allowed


async def test_a_finding_stands_for_its_cause(world: World) -> None:
    rows = world.db.read_sync(lambda conn: conn.exec_driver_sql("SELECT id FROM findings").scalars().all())
    found, words = ask(world, "nick", finding_id=rows[0])
    assert world.cause in words
    assert (found.verdict.allowed, found.verdict.rule) == (False, "default deny")


async def test_a_freeze_in_force_counts(world: World) -> None:
    await world.ask()
    controls = Controls(world.db, world.policy, world.people, world.clock, world.ids)
    await controls.freeze(await world.actor("UANN"), "account:111122223333 incident")
    found, _ = ask(world, "ann", cause_id=world.cause, groups=["cloud-approvers"])
    assert found.verdict.rule == "guard-frozen"


async def test_stewardship_is_about_the_cause(world: World) -> None:
    found, words = ask(world, "nick", "snooze", cause_id=world.cause)
    assert (found.verdict.allowed, words) == (True, f"cause {world.cause}")
    assert found.facts["resource"]["owner"] == "platform"
    assert not ask(world, "nick", "accept_risk", cause_id=world.cause)[0].verdict.allowed


async def test_the_moment_may_be_supposed_and_the_plan_may_not(world: World) -> None:
    found, _ = ask(world, "ann", cause_id=world.cause, groups=["cloud-approvers"], given={"frozen": "true"})
    assert found.verdict.rule == "guard-frozen"
    with pytest.raises(BadInput) as said:
        ask(world, "ann", cause_id=world.cause, given={"environment": "dev"})
    assert "environment" in said.value.reason


@pytest.mark.parametrize("what", ["plan_id", "cause_id", "finding_id"])
async def test_what_is_not_there_is_said(world: World, what: str) -> None:
    with pytest.raises(NotFound):
        ask(world, "ann", **{what: "none"})


async def test_the_verdict_is_the_one_a_vote_meets(world: World) -> None:
    """The same people and plan: what is explained is what happens."""
    request = await world.ask("UABE")
    for user in ("olga", "ann", "abe", "sue", "nick"):
        actor = await world.actor(f"U{user.upper()}")
        groups = ["cloud-approvers"] if actor.groups else []
        found, _ = ask(world, user, plan_id=request.plan_id, groups=groups)
        view = await world.approvals.look(world.cause, actor)
        assert found.verdict.allowed == next(o.allowed for o in view.options if o.option.value == "approve")
