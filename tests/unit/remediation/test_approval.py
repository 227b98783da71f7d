"""Who may ask, who may answer, and what a refusal says."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import func, select

from bot.domain.decisions import Choice, RequestState
from bot.domain.errors import BadInput, Conflict, Denied, GatehouseError, NotFound, Stale
from bot.domain.plans import Risk
from bot.domain.principals import Platform, PlatformIdentity
from bot.domain.views import Option
from bot.store import plans
from bot.store.tables import ExecutionRow, PlanRow

from .conftest import World, who


async def _count(world: World, table) -> int:
    return await world.db.read(lambda c: c.execute(select(func.count()).select_from(table.__table__)).scalar_one())


async def test_a_plan_shows_every_change_and_where_it_ends(world):
    view = await world.approvals.look(world.cause, await world.actor("UOLGA"))
    assert [c.summary for c in view.plan.changes] == [
        "switch desk to False", "paint desk to grey", "switch hall to False", "paint hall to grey",
    ]  # fmt: skip
    assert view.plan.environment == "dev"
    assert len(view.plan.finding_ids) == 2
    assert view.could == ("members of cloud-approvers",)
    assert view.plan.pre_image["desk"] == {"on": True, "colour": "red"}
    assert view.plan_hash == view.plan.hash


async def test_two_findings_of_one_resource_are_one_target(world):
    await world.db.write(world.add_finding, "desk", "second-of-desk")
    plan = await world.planner.plan(world.cause)
    assert len(plan.targets) == 2
    assert len(plan.finding_ids) == 3


async def test_two_people_looking_see_one_plan(world):
    first = await world.approvals.look(world.cause, await world.actor("UOLGA"))
    world.clock.pass_(minutes=5)
    second = await world.approvals.look(world.cause, await world.actor("UANN"))
    assert first.plan_hash == second.plan_hash
    assert await _count(world, PlanRow) == 1
    world.cloud.lamps["desk"]["colour"] = "blue"
    third = await world.approvals.look(world.cause, await world.actor("UANN"))
    assert third.plan_hash != first.plan_hash


async def test_nothing_to_do_is_said(world):
    for lamp in world.cloud.lamps.values():
        lamp.update(on=False, colour="grey")
    with pytest.raises(Conflict, match="already as they should be"):
        await world.planner.plan(world.cause)


async def test_too_many_targets_are_refused(make_world):
    world = make_world(max_targets=1)
    with pytest.raises(GatehouseError, match="would change 2 resources"):
        await world.planner.plan(world.cause)
    await world.db.close()


async def test_a_vanished_resource_and_an_unknown_cause_are_said(world):
    del world.cloud.lamps["hall"]
    with pytest.raises(GatehouseError, match="no lamp hall"):
        await world.planner.plan(world.cause)
    with pytest.raises(NotFound):
        await world.planner.plan("c-none")


async def test_a_second_ask_gives_the_waiting_request_back(world):
    first = await world.ask("UOLGA")
    again = await world.approvals.ask(first.plan_id, first.plan_hash, await world.actor("USUE"))
    assert again.id == first.id
    assert again.requested_by.name == "Olga Owner"
    nick = await world.actor("UNICK")
    both = await asyncio.gather(*(world.approvals.ask(first.plan_id, first.plan_hash, nick) for _ in range(4)))
    assert {view.id for view in both} == {first.id}


async def test_a_double_click_gives_one_vote_and_one_execution(world):
    request = await world.ask()
    views = await asyncio.gather(*(world.vote(request) for _ in range(5)))
    assert {view.state for view in views} == {RequestState.APPROVED}
    assert await _count(world, ExecutionRow) == 1
    assert (await world.kinds()).count("vote.cast") == 1
    assert (await world.vote(request)).state is RequestState.APPROVED  # and later still


async def test_a_late_vote_of_somebody_else_is_told_it_is_decided(world):
    request = await world.ask()
    await world.vote(request)
    with pytest.raises(Stale, match="already approved"):
        await world.vote(request, "UABE")


async def test_a_reject_decides_at_once(world):
    request = await world.ask()
    view = await world.vote(request, choice=Choice.REJECT, reason="not on a Friday")
    assert view.state is RequestState.REJECTED
    assert await _count(world, ExecutionRow) == 0
    assert (await world.lines())[-1] == "Ann Approver rejected it: not on a Friday"
    assert (await world.ask()).id != request.id  # and it can be asked again


async def test_high_risk_needs_two_people(make_world):
    world = make_world(risk=Risk.HIGH)
    request = await world.ask()
    first = await world.vote(request)
    assert (first.state, first.missing) == (RequestState.PENDING, 1)
    assert (await world.vote(request)).missing == 1  # the same person again is still one
    assert (await world.vote(request, "UABE")).state is RequestState.APPROVED
    await world.db.close()


async def test_a_changed_mind_counts_once_and_deny_wins(make_world):
    world = make_world(risk=Risk.HIGH)
    request = await world.ask()
    await world.vote(request)
    view = await world.vote(request, choice=Choice.REJECT)
    assert view.state is RequestState.REJECTED
    assert [v.choice for v in view.votes] == [Choice.REJECT]
    await world.db.close()


@pytest.mark.parametrize(
    ("user", "odd", "rule", "said"),
    [
        ("UOLGA", {}, "default deny", "no policy lets Olga Owner approve"),
        ("UNICK", {}, "default deny", "no policy lets Nick Newcomer approve"),
        ("USTRANGER", {}, "guard-stranger", "not bound to a person"),
        ("UANN", {"guest": True}, "guard-guest", "guests may look"),
        ("UANN", {"bot": True}, "guard-bot", "a bot cannot decide"),
        ("UANN", {"active": False}, "guard-deactivated", "deactivated"),
        ("UANN", {"external": True}, "guard-external", "another organisation"),
    ],
)
async def test_who_may_not_approve_is_told_the_rule_the_reason_and_who_could(world, user, odd, rule, said):
    request = await world.ask()
    world.directory.odd[user] = odd
    world.clock.pass_(minutes=2)
    with pytest.raises(Denied, match=said) as denied:
        await world.vote(request, user)
    assert denied.value.rule == rule
    assert denied.value.could == ("members of cloud-approvers",)
    assert denied.value.mend == "Ask members of cloud-approvers."
    assert (await world.kinds())[-1] == "refused"
    assert await _count(world, ExecutionRow) == 0


async def test_somebody_with_the_same_user_id_in_another_workspace_is_a_stranger(world):
    request = await world.ask()
    other = await world.people.actor(who("UANN", tenant="T2"))
    with pytest.raises(Denied) as denied:
        await world.approvals.vote(request.id, request.plan_hash, request.revision, other, Choice.APPROVE)
    assert denied.value.rule == "guard-stranger"


async def test_who_asked_cannot_approve_even_as_an_approver(world):
    request = await world.ask("UANN")
    with pytest.raises(Denied, match="who asks cannot approve") as denied:
        await world.vote(request, "UANN")
    assert denied.value.rule == "built-in rule: four eyes"
    view = await world.approvals.look(world.cause, await world.actor("UANN"))
    assert not view.option(Option.APPROVE).allowed
    assert "members of cloud-approvers" in view.option(Option.APPROVE).why_not
    assert view.option(Option.CANCEL).allowed


async def test_without_four_eyes_one_person_may_ask_and_approve(make_world):
    world = make_world(rules=[{"name": "dev alone", "match": {"environment": "dev"}, "four_eyes": False}])
    view = await world.approvals.look(world.cause, await world.actor("UANN"))
    assert view.option(Option.APPROVE).allowed
    assert (await world.vote(await world.ask("UANN"), "UANN")).state is RequestState.APPROVED
    await world.db.close()


async def test_the_owners_team_stays_apart_where_the_rule_says_so(make_world):
    world = make_world(rules=[{"name": "apart", "owner_apart": True}])
    request = await world.ask()
    with pytest.raises(Denied, match="owner of the resource") as denied:
        await world.vote(request, "USUE")  # in the approvers' group, and in the owning team
    assert denied.value.rule == "apart: owner apart"
    assert (await world.vote(request, "UANN")).state is RequestState.APPROVED
    await world.db.close()


async def test_typed_confirmation_must_be_the_number_of_resources(make_world):
    world = make_world(rules=[{"name": "typed", "typed_confirmation": True}])
    request = await world.ask()
    for wrong in ("", "1", "two"):
        with pytest.raises(BadInput, match="number of resources"):
            await world.vote(request, typed=wrong)
    assert (await world.vote(request, typed=" 2 ")).state is RequestState.APPROVED
    await world.db.close()


async def test_a_rules_groups_narrow_who_may(make_world):
    world = make_world(rules=[{"name": "leads only", "groups": ["leads"]}])
    request = await world.ask()
    with pytest.raises(Denied) as denied:
        await world.vote(request, "UANN")
    assert denied.value.could == ("members of leads",)
    await world.db.close()


@pytest.mark.parametrize("change", [{"plan_hash": "0" * 64}, {"revision": 7}])
async def test_a_stale_card_never_acts(world, change):
    request = await world.ask()
    with pytest.raises(Stale, match="not the present one"):
        await world.vote(request, **change)
    assert await _count(world, ExecutionRow) == 0


async def test_asking_with_another_hash_is_stale(world):
    view = await world.approvals.look(world.cause, await world.actor("UOLGA"))
    with pytest.raises(Stale):
        await world.approvals.ask(view.plan.id, "0" * 64, await world.actor("UOLGA"))


async def test_a_request_expires(world):
    request = await world.ask()
    world.clock.pass_(minutes=241)
    with pytest.raises(Stale, match="expired"):
        await world.vote(request)
    assert (await world.db.read(plans.request, request.id)).facts.state is RequestState.EXPIRED
    assert await world.approvals.expire_due() == 0


async def test_expire_due_ends_what_nobody_decided(world):
    request = await world.ask()
    assert await world.approvals.expire_due() == 0
    world.clock.pass_(minutes=241)
    assert await world.approvals.expire_due() == 1
    assert (await world.db.read(plans.request, request.id)).facts.state is RequestState.EXPIRED
    assert "request.expired" in await world.kinds()


async def test_a_changed_policy_makes_what_waits_be_looked_at_again(world):
    request = await world.ask()
    world.govern(rules=[{"name": "new", "quorum": 2}])
    with pytest.raises(Stale, match="policy changed"):
        await world.vote(request)
    held = await world.db.read(plans.request, request.id)
    assert (held.facts.state, held.facts.rule.name) == (RequestState.PENDING, "new")
    assert (await world.ask()).id == request.id


async def test_the_requester_cancels_and_a_bystander_cannot(world):
    request = await world.ask()
    with pytest.raises(Denied):
        await world.approvals.cancel(request.id, await world.actor("UNICK"))
    olga = await world.actor("UOLGA")
    assert (await world.approvals.cancel(request.id, olga)).state is RequestState.CANCELLED
    assert (await world.approvals.cancel(request.id, olga)).state is RequestState.CANCELLED
    with pytest.raises(Stale, match="cancelled"):
        await world.vote(request)


async def test_a_stranger_may_look_and_is_told_why_nothing_can_be_pressed(world):
    view = await world.approvals.look(world.cause, await world.actor("UNOBODY"))
    assert not any(option.allowed for option in view.options)
    assert all(option.why_not and option.rule for option in view.options)
    with pytest.raises(Denied):
        await world.approvals.ask(view.plan.id, view.plan_hash, await world.actor("UNOBODY"))


async def test_another_organisation_may_not_even_look(world):
    world.directory.odd["UFAR"] = {"external": True}
    with pytest.raises(Denied, match="another organisation"):
        await world.approvals.look(world.cause, await world.actor("UFAR"))


async def test_a_platform_without_a_directory_is_refused(world):
    request = await world.ask()
    actor = await world.people.actor(PlatformIdentity(platform=Platform.CLI, tenant="host", user="ann"))
    with pytest.raises(Denied, match="nothing can say who is who on cli"):
        await world.approvals.vote(request.id, request.plan_hash, request.revision, actor, Choice.APPROVE)


async def test_no_new_request_while_a_fix_runs(world):
    request = await world.ask()
    await world.vote(request)
    with pytest.raises(Conflict, match="right now"):
        await world.approvals.ask(request.plan_id, request.plan_hash, await world.actor("UOLGA"))


async def test_people_who_could_are_named_where_the_settings_know_them(make_world):
    world = make_world()
    world.settings.groups["cloud-approvers"] = world.settings.groups["cloud-approvers"].model_copy(
        update={"members": ("abe", "olga")}
    )
    request = await world.ask("UOLGA")
    assert request.could == ("members of cloud-approvers", "Abe Approver")  # not Olga: she asked
    await world.db.close()


async def test_a_reason_full_of_rubbish_is_kept_as_text(world):
    request = await world.ask()
    view = await world.vote(request, reason="\x00<!channel> \ud800 " + "x" * 5_000)
    said = view.votes[0].reason
    assert "\x00" not in said
    assert "<!channel>" in said
    assert len(said) <= 2_000
    assert await world.ledger_ok()
