"""Withdrawing a vote, and voting in another's stead."""

from __future__ import annotations

import pytest

from bot.domain.decisions import ExecutionState, RequestState
from bot.domain.errors import Conflict, Denied
from bot.governance.controls import Controls
from tests.unit.remediation.conftest import who, world  # noqa: F401

TWO = [{"name": "two", "quorum": 2}]


def controls(world):  # noqa: F811
    return Controls(world.db, world.policy, world.people, world.clock, world.ids)


async def test_a_withdrawn_approval_before_the_first_step_stops_the_execution(world):  # noqa: F811
    execution = await world.approved()
    request = await world.db.read(lambda c: c.exec_driver_sql("select id from approval_requests").scalar())
    view = await world.approvals.withdraw(request, await world.actor("UANN"))
    assert view.state is RequestState.VOIDED
    assert await world.executor.run(execution) is ExecutionState.BLOCKED
    assert world.cloud.effects == []


async def test_after_it_was_carried_out_a_vote_stays(world):  # noqa: F811
    await world.executor.run(await world.approved())
    request = await world.db.read(lambda c: c.exec_driver_sql("select id from approval_requests").scalar())
    with pytest.raises(Conflict):
        await world.approvals.withdraw(request, await world.actor("UANN"))


async def test_a_withdrawn_vote_no_longer_counts(world):  # noqa: F811
    world.govern(rules=TWO)
    request = await world.vote(await world.ask())
    await world.approvals.withdraw(request.id, await world.actor("UANN"))
    assert (await world.vote(request, "UABE")).state is RequestState.PENDING


async def test_a_delegate_counts_once_for_the_delegator(world):  # noqa: F811
    world.govern(rules=TWO)
    request = await world.ask()
    with pytest.raises(Denied):
        await world.vote(request, "UNICK")
    await controls(world).delegate(await world.actor("UANN"), who("UNICK"), "7d env:dev holidays")
    view = await world.vote(request, "UNICK")
    assert (view.missing, view.votes[0].instead_of.id) == (1, "ann")
    assert (await world.vote(request, "UANN")).state is RequestState.PENDING  # the same voice again
    assert (await world.vote(request, "UABE")).state is RequestState.APPROVED


async def test_a_delegation_ends_and_has_a_scope(world):  # noqa: F811
    request = await world.ask()
    for text, hours in (("7d env:prod away", 0), ("1d away", 25)):
        await controls(world).delegate(await world.actor("UANN"), who("UNICK"), text)
        world.clock.pass_(hours=hours)
        request = await world.ask() if hours else request
        with pytest.raises(Denied):
            await world.vote(request, "UNICK")
