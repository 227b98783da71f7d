"""Delegations listed and taken back by their id."""

from __future__ import annotations

import pytest

from bot.domain.errors import Denied
from bot.governance.controls import Controls
from bot.governance.delegations import RULE, Delegations
from tests.unit.remediation.conftest import World, who, world

__all__ = ["world"]


def delegations(world: World) -> Delegations:
    return Delegations(world.db, world.policy, world.people, world.clock)


async def given(world: World, giver: str = "UANN", to: str = "UNICK", text: str = "7d env:dev holiday") -> str:
    controls = Controls(world.db, world.policy, world.people, world.clock, world.ids)
    await controls.delegate(await world.actor(giver), who(to), text)
    found = await delegations(world).in_force(await world.actor(giver))
    return next(each.id for each in found if each.giver.name.startswith(giver[1:].title()))


async def test_those_in_force_are_listed_ones_own_first(world: World) -> None:
    await given(world)
    await given(world, "UABE", "USUE", "1d standby")
    seen = await delegations(world).in_force(await world.actor("UNICK"))
    assert [(each.giver.name, each.stand_in.name, each.scope, each.can_revoke) for each in seen] == [
        ("Ann Approver", "Nick Newcomer", "env:dev", True),
        ("Abe Approver", "Sue Platform", "everything", False),
    ]
    assert seen[0].reason == "holiday"
    world.clock.pass_(days=1)
    assert len(await delegations(world).in_force(await world.actor("UNICK"))) == 1


@pytest.mark.parametrize("user", ["UANN", "UNICK", "UABE"], ids=["giver", "stand-in", "who may freeze"])
async def test_it_is_taken_back_by_whom_it_concerns_once(world: World, user: str) -> None:
    made = await given(world)
    actor = await world.actor(user)
    for _ in range(2):
        notice = await delegations(world).revoke(made, actor)
        assert notice.ok
        assert "Nick Newcomer no longer votes in the stead of Ann Approver" in notice.said
    assert await delegations(world).in_force(actor) == ()
    assert (await world.kinds()).count("delegation.ended") == 1


async def test_others_cannot_and_are_told_who_could(world: World) -> None:
    made = await given(world)
    with pytest.raises(Denied) as refused:
        await delegations(world).revoke(made, await world.actor("UOLGA"))
    assert refused.value.rule == RULE
    assert refused.value.could == ("Ann Approver", "Nick Newcomer", "members of cloud-approvers")
    assert len(await delegations(world).in_force(await world.actor("UOLGA"))) == 1
    assert "refused" in await world.kinds()


async def test_a_stand_in_who_left_cannot_and_an_unknown_id_is_said(world: World) -> None:
    made = await given(world)
    world.directory.odd["UNICK"] = {"active": False}
    world.clock.pass_(seconds=61)
    with pytest.raises(Denied):
        await delegations(world).revoke(made, await world.actor("UNICK"))
    assert not (await delegations(world).revoke("dlg-none", await world.actor("UANN"))).ok


async def test_a_vote_cast_under_it_no_longer_holds_at_execution(world: World) -> None:
    made = await given(world)
    request = await world.ask()
    await world.vote(request, "UNICK")
    await delegations(world).revoke(made, await world.actor("UANN"))
    await world.executor.work_once()
    assert world.cloud.effects == []
    assert "execution.blocked" in await world.kinds()
