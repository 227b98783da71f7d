"""“Why can't I approve?”: the rule, the facts and who could, for every way in which it can be refused."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import func, select

from bot.domain.decisions import Choice
from bot.domain.errors import BadInput, Denied, GatehouseError, NotFound
from bot.domain.views import WhyView
from bot.governance.controls import Controls
from bot.remediation.why import Whys
from bot.store.tables import LedgerRow

from .conftest import World, who


def whys(world: World) -> Whys:
    return Whys(world.db, world.planner, world.policy, world.people, world.clock, world.ids)


async def why(world: World, user: str, subject: str = "") -> WhyView:
    return await whys(world).why(subject or world.cause, await world.actor(user))


def fact(view: WhyView, label: str) -> str:
    return next(each.value for each in view.facts if each.label == label)


async def test_an_approver_of_a_waiting_request_is_told_that_nothing_stands_in_the_way(world: World) -> None:
    request = await world.ask()
    for subject in (world.cause, request.id, request.plan_id):
        view = await why(world, "UANN", subject)
        assert (view.allowed, view.reason) == (True, "nothing stands in your way")
        assert view.plan_id == request.plan_id
        assert view.request
        assert view.request.id == request.id
        assert view.expires_at == request.expires_at


async def test_who_asked_is_told_of_four_eyes_and_who_could(world: World) -> None:
    request = await world.ask("UABE")
    view = await why(world, "UABE", request.id)
    assert not view.allowed
    assert view.rule == "built-in rule: four eyes"
    assert view.reason == "who asks cannot approve"
    assert view.could == ("members of cloud-approvers",)
    assert "cloud-approvers" in view.mend
    assert fact(view, "Asked by") == "Abe Approver (you)"


async def test_before_anybody_asked_an_approver_is_told_to_ask(world: World) -> None:
    view = await why(world, "UANN")
    assert (view.allowed, view.request) == (False, None)
    assert "nobody has asked yet" in view.reason
    assert view.mend.startswith("Ask for approval")
    assert fact(view, "Asked by") == "nobody yet"


async def test_somebody_in_no_group_reads_their_groups_as_they_are_now(world: World) -> None:
    request = await world.ask()
    view = await why(world, "UNICK", request.id)
    assert (view.allowed, view.rule) == (False, "default deny")
    assert fact(view, "Your groups") == "none"
    world.directory.members["SAPPROVERS"].add("UNICK")  # no minute passes: it is read for the question
    again = await why(world, "UNICK", request.id)
    assert again.allowed
    assert fact(again, "Your groups") == "cloud-approvers"
    assert again.read_at == world.clock.at


@pytest.mark.parametrize(
    ("odd", "rule", "account"),
    [
        ({"guest": True}, "guard-guest", "guests cannot decide"),
        ({"bot": True}, "guard-bot", "a bot cannot decide"),
    ],
)
async def test_an_account_not_in_good_standing(world: World, odd: dict[str, bool], rule: str, account: str) -> None:
    request = await world.ask()
    asker = await world.actor("UANN")
    world.directory.odd["UANN"] = odd
    view = await whys(world).why(request.id, asker)
    assert (view.allowed, view.rule) == (False, rule)
    assert fact(view, "Your account") == account
    assert view.could


async def test_a_stranger_is_told_why(world: World) -> None:
    request = await world.ask()
    view = await whys(world).why(request.id, await world.people.actor(who("UEVE")))
    assert (view.allowed, view.rule) == (False, "guard-stranger")


async def test_an_account_of_another_organisation_learns_nothing(world: World) -> None:
    request = await world.ask()
    world.directory.odd["UEVE"] = {"external": True}
    eve = await world.people.actor(who("UEVE"))
    with pytest.raises(Denied):
        await whys(world).why(request.id, eve)


async def test_the_facts_name_environment_blast_radius_risk_votes_rule_and_expiry(make_world: Any) -> None:
    rule = {"name": "two", "quorum": 2, "owner_apart": True, "typed_confirmation": True, "groups": ["cloud-approvers"]}
    world = make_world(rules=[rule])
    request = await world.ask("UNICK")
    await world.vote(request, "UANN", typed="2")
    view = await why(world, "USUE", request.id)
    assert (view.allowed, view.rule) == (False, "two: owner apart")
    assert fact(view, "Environment") == "dev"
    assert fact(view, "Blast radius") == "2 lamps"
    assert fact(view, "Risk") == "low"
    assert fact(view, "Votes so far") == "1 of 2 (Ann Approver)"
    assert fact(view, "Owner") == "platform (you or your team)"
    assert fact(view, "Freeze") == "none"
    assert fact(view, "Approvers") == "cloud-approvers"
    assert fact(view, "Approval rule").startswith("two: 2 needed")
    assert view.expires_at == request.expires_at


async def test_who_voted_is_told_so(make_world: Any) -> None:
    world = make_world(rules=[{"name": "two", "quorum": 2}])
    request = await world.ask()
    await world.vote(request)
    view = await why(world, "UANN", request.id)
    assert (view.allowed, view.rule, view.reason) == (False, "one vote each", "you have voted already: approve")


async def test_a_freeze_is_named(world: World) -> None:
    request = await world.ask()
    controls = Controls(world.db, world.policy, world.people, world.clock, world.ids)
    await controls.freeze(await world.actor("UABE"), "release week")
    view = await why(world, "UANN", request.id)
    assert (view.allowed, view.rule) == (False, "freeze")
    assert "release week" in view.reason
    assert "release week" in fact(view, "Freeze")


async def test_an_expired_request(world: World) -> None:
    request = await world.ask()
    world.clock.pass_(minutes=240)
    view = await why(world, "UANN", request.id)
    assert (view.allowed, view.rule, view.reason) == (False, "expiry", "this request has expired")
    assert view.could == ()  # nobody could


@pytest.mark.parametrize("choice", list(Choice))
async def test_a_decided_request(world: World, choice: Choice) -> None:
    request = await world.ask()
    decided = await world.vote(request, "UANN", choice)
    view = await why(world, "UABE", request.id)
    assert not view.allowed
    assert view.reason == f"this request is already {decided.state.value}"


async def test_a_fix_that_runs(world: World) -> None:
    await world.approved()
    view = await why(world, "UABE")
    assert (view.allowed, view.rule) == (False, "one at a time")


async def test_a_stand_in_is_told_for_whom_they_would_vote(world: World) -> None:
    request = await world.ask()
    controls = Controls(world.db, world.policy, world.people, world.clock, world.ids)
    await controls.delegate(await world.actor("UANN"), who("UNICK"), "7d holiday")
    view = await why(world, "UNICK", request.id)
    assert view.allowed
    assert "count for Ann Approver" in view.reason
    assert fact(view, "You may stand in for") == "Ann Approver"


async def test_asking_changes_nothing(world: World) -> None:
    request = await world.ask()
    table = LedgerRow.__table__  # type: ignore[attr-defined]

    def records(conn: Any) -> int:
        return int(conn.execute(select(func.count()).select_from(table)).scalar_one())

    before = await world.db.read(records)
    for user in ("UANN", "UOLGA", "UNICK", "UEVE"):
        await why(world, user, request.id)
    assert await world.db.read(records) == before


@pytest.mark.parametrize(
    ("subject", "error"),
    [("req-none", NotFound), ("plan-none", NotFound), ("c-none", NotFound), ("f-none", NotFound), ("x", BadInput),
     ("  ", BadInput), ("'; DROP TABLE plans; --", BadInput)],
)  # fmt: skip
async def test_an_id_that_names_nothing_is_said(world: World, subject: str, error: type[GatehouseError]) -> None:
    with pytest.raises(error) as said:
        await whys(world).why(subject, await world.actor("UANN"))
    assert said.value.mend


RULES: list[dict[str, Any]] = [
    {}, {"four_eyes": False}, {"owner_apart": True}, {"groups": ["cloud-approvers"], "quorum": 2},
]  # fmt: skip


@pytest.mark.parametrize("rule", RULES, ids=["default", "two-eyes", "owner-apart", "groups"])
@pytest.mark.parametrize("asker", ["UOLGA", "UABE"])
@pytest.mark.parametrize("user", ["UOLGA", "UABE", "UANN", "USUE", "UNICK", "UEVE"])
async def test_the_answer_agrees_with_what_a_vote_then_meets(
    make_world: Any, rule: dict[str, Any], asker: str, user: str
) -> None:
    """Allowed exactly where the vote is taken, else the same rule, reason and people."""
    world = make_world(rules=[{"name": "r", **rule}])
    request = await world.ask(asker)
    view = await why(world, user, request.id)
    met: tuple[Any, ...] = (True, "", "nothing stands in your way", view.could)
    try:
        await world.vote(request, user)
    except Denied as refused:
        met = (False, refused.rule, refused.reason, refused.could)
    assert (view.allowed, "" if view.allowed else view.rule, view.reason, view.could) == met
