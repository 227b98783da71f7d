"""A policy that changes while something waits, or is decided and not yet carried out."""

from __future__ import annotations

import asyncio
import json

import pytest
from sqlalchemy import select, update

from bot.domain.decisions import Choice, ExecutionState, RequestState
from bot.domain.errors import RetryLater, Stale
from bot.domain.plans import Risk
from bot.store import ledger, plans
from bot.store.outbox import OUTBOX
from bot.store.plans import REQUESTS, VOTES

from .conftest import World

ANN_ONLY = """
@id("look") permit (principal, action == Action::"review", resource);
@id("ask") permit (principal, action in [Action::"request", Action::"undo_request"], resource) when { principal.known };
@id("not-abe") permit (principal, action in [Action::"approve", Action::"reject"], resource)
when { principal in context.approver_groups && principal.name != "Abe Approver" };
"""
TWO = [{"name": "two", "quorum": 2}]
THREE = [{"name": "three", "quorum": 3}]


async def _request(world: World, request_id: str) -> plans.Request:
    return await world.db.read(plans.request, request_id)


async def _records(world: World, kind: str) -> list[dict]:
    table = ledger.LEDGER
    rows = await world.db.read(
        lambda conn: list(
            conn.execute(select(table.c.body).where(table.c.kind == kind).order_by(table.c.seq)).scalars()
        )
    )
    return [json.loads(row) for row in rows]


async def _directs(world: World) -> list[tuple[str, str]]:
    rows = await world.db.read(
        lambda conn: conn.execute(select(OUTBOX.c.channel, OUTBOX.c.payload).where(OUTBOX.c.kind == "direct")).all()
    )
    return [(row.channel, json.loads(row.payload)["line"]) for row in rows]


@pytest.fixture
def ann_only(tmp_path):
    path = tmp_path / "policy.cedar"
    path.write_text(ANN_ONLY)
    return path


async def test_votes_still_allowed_stay_and_others_are_void_with_the_reason_told(world, ann_only):
    world.govern(rules=THREE)
    request = await world.ask()
    for user in ("UANN", "UABE"):
        await world.vote(request, user)
    world.govern(rules=THREE, policies=ann_only)
    await world.approvals.expire_due()
    held = await _request(world, request.id)
    assert held.facts.state is RequestState.PENDING
    assert held.facts.policy_version == world.policy.version
    votes = await world.db.read(plans.live_votes, request.id)
    assert [vote.principal_id for vote, _ in votes] == ["ann"]
    [rebound] = await _records(world, "request.rebound")
    assert (len(rebound["kept"]), len(rebound["voided"])) == (1, 1)
    [voided] = await _records(world, "vote.voided")
    assert (voided["principal_id"], voided["policy_version"]) == ("abe", world.policy.version)
    [(channel, line)] = await _directs(world)
    assert channel == "UABE"
    assert "no longer counts" in line
    assert "Abe Approver's approval no longer counts" in (await world.lines())[-1]
    assert "Ann Approver keeps it" in (await world.lines())[-1]
    # Once: nothing more happens to it under this policy.
    before = len(await world.kinds())
    await world.approvals.expire_due()
    assert len(await world.kinds()) == before


async def test_what_was_kept_counts_and_is_carried_out(world):
    world.govern(rules=TWO)
    request = await world.vote(await world.ask())
    world.govern(rules=[{"name": "two more", "quorum": 2, "expires_minutes": 60}])
    await world.approvals.expire_due()
    with pytest.raises(Stale, match="not the present one"):  # the card of before the change
        await world.vote(request, "UABE")
    decided = await world.vote(request, "UABE", revision=(await _request(world, request.id)).facts.revision)
    assert decided.state is RequestState.APPROVED
    execution = await world.db.read(plans.execution_of_request, request.id)
    assert await world.executor.run(execution) is ExecutionState.SUCCEEDED
    assert await world.ledger_ok()


async def test_a_rule_that_now_asks_for_more_keeps_it_waiting(world):
    world.govern(rules=TWO)
    request = await world.vote(await world.ask())
    world.govern(rules=THREE)
    await world.approvals.expire_due()
    held = await _request(world, request.id)
    decided = await world.vote(request, "UABE", revision=held.facts.revision)
    assert (decided.state, decided.missing) == (RequestState.PENDING, 1)


async def test_a_rule_that_now_asks_for_fewer_decides_only_by_a_click(world):
    world.govern(rules=TWO)
    request = await world.vote(await world.ask())
    world.govern()
    await world.approvals.expire_due()
    held = await _request(world, request.id)
    assert held.facts.state is RequestState.PENDING
    assert await world.executor.work_once() == 0
    decided = await world.vote(request, "UANN", revision=held.facts.revision)
    assert decided.state is RequestState.APPROVED
    execution = await world.db.read(plans.execution_of_request, request.id)
    assert await world.executor.run(execution) is ExecutionState.SUCCEEDED


async def test_where_nothing_remains_it_is_asked_again(world):
    world.govern(rules=TWO)
    request = await world.vote(await world.ask())
    world.govern(rules=[{"name": "typed", "quorum": 2, "typed_confirmation": True}])
    await world.approvals.expire_due()
    assert await world.db.read(plans.live_votes, request.id) == []
    line = (await world.lines())[-1]
    assert "type the number of resources" in line
    assert "Asked again: 2 approvals needed" in line


async def test_a_requester_who_may_no_longer_ask_voids_it(world, tmp_path):
    request = await world.ask()
    path = tmp_path / "policy.cedar"
    path.write_text(ANN_ONLY.replace("when { principal.known };", 'when { principal.name == "Ann Approver" };', 1))
    world.govern(policies=path)
    await world.approvals.expire_due()
    held = await _request(world, request.id)
    assert held.facts.state is RequestState.VOIDED
    assert "Olga Owner may not ask" in held.reason


async def test_what_cannot_be_evaluated_is_void(world):
    request = await world.ask()
    world.govern(rules=TWO)
    world.directory.broken = RetryLater("Slack is down")
    await world.approvals.expire_due()
    held = await _request(world, request.id)
    assert held.facts.state is RequestState.VOIDED
    assert "Slack is down" in held.reason


async def test_a_policy_that_fails_voids_it(world, tmp_path):
    world.govern(rules=TWO)
    request = await world.vote(await world.ask())
    path = tmp_path / "policy.cedar"
    fails = "when { resource.resources + 9223372036854775807 > 0 && principal in context.approver_groups"
    path.write_text(ANN_ONLY.replace("when { principal in context.approver_groups", fails))
    world.govern(rules=TWO, policies=path)
    await world.approvals.expire_due()
    held = await _request(world, request.id)
    assert held.facts.state is RequestState.VOIDED
    assert "could not be evaluated" in held.reason


async def test_one_that_cannot_be_moved_now_takes_no_vote_and_holds_up_nothing(world, monkeypatch):
    world.govern(rules=TWO)
    request = await world.ask()
    world.govern()

    async def dies(_request_id: str) -> None:
        raise ConnectionError("the database went away")

    with monkeypatch.context() as patch:
        patch.setattr(world.approvals._moves, "reevaluate", dies)
        assert await world.approvals.expire_due() == 0
        with pytest.raises(Stale, match="policy changed"):
            await world.vote(request)
    await world.approvals.expire_due()
    assert (await _request(world, request.id)).facts.policy_version == world.policy.version


async def test_an_ended_delegation_does_not_survive_the_change(world):
    from bot.governance.controls import Controls

    from .conftest import who

    world.govern(rules=TWO)
    request = await world.ask()
    controls = Controls(world.db, world.policy, world.people, world.clock, world.ids)
    ann = await world.actor("UANN")
    await controls.delegate(ann, who("UNICK"), "7d away")
    await world.vote(request, "UNICK")
    await controls.undelegate(ann, who("UNICK"))
    world.govern(rules=THREE)
    await world.approvals.expire_due()
    assert await world.db.read(plans.live_votes, request.id) == []


async def test_a_voided_vote_put_back_in_the_database_carries_nothing_out(world, ann_only):
    world.govern(rules=TWO)
    request = await world.vote(await world.ask(), "UABE")
    world.govern(rules=[{"name": "one"}], policies=ann_only)
    await world.approvals.expire_due()
    held = await _request(world, request.id)
    await world.db.write(lambda conn: conn.execute(update(VOTES).values(withdrawn_at=None)) and None)
    decided = await world.vote(request, "UANN", revision=held.facts.revision)
    assert decided.state is RequestState.APPROVED
    execution = await world.db.read(plans.execution_of_request, request.id)
    assert await world.executor.run(execution) is ExecutionState.BLOCKED
    assert world.cloud.effects == []


async def test_a_request_moved_to_another_policy_in_the_database_carries_nothing_out(world):
    world.govern(rules=TWO)
    request = await world.ask()
    world.govern()
    version = world.policy.version
    rule = plans.as_text(
        world.policy.rule_for(await world.db.read(plans.plan, request.plan_id)).model_dump(mode="json")
    )
    await world.db.write(lambda conn: conn.execute(update(REQUESTS).values(policy_version=version, rule=rule)) and None)
    assert (await world.vote(request)).state is RequestState.APPROVED
    execution = await world.db.read(plans.execution_of_request, request.id)
    assert await world.executor.run(execution) is ExecutionState.BLOCKED
    assert "not the one in the ledger" in (await world.execution(execution)).why


# --- decided and not carried out --------------------------------------------------------------------------------------


async def test_a_decision_that_the_new_policy_would_allow_is_carried_out(world):
    execution = await world.approved()
    world.govern(rules=[{"name": "the same in other words"}])
    assert await world.executor.run(execution) is ExecutionState.SUCCEEDED


async def test_a_decision_that_the_new_policy_would_not_allow_is_blocked(world, ann_only):
    world.govern(rules=[{"name": "one"}])
    request = await world.vote(await world.ask(), "UABE")
    world.govern(rules=[{"name": "one"}], policies=ann_only)
    execution = await world.db.read(plans.execution_of_request, request.id)
    assert await world.executor.run(execution) is ExecutionState.BLOCKED
    assert "the policy changed since the decision" in (await world.execution(execution)).why
    assert world.cloud.effects == []


@pytest.mark.parametrize(
    "rule", [{"quorum": 2}, {"groups": ["leads"]}, {"typed_confirmation": True}, {"expires_minutes": 1}]
)
async def test_a_decision_the_new_rule_asks_more_of_is_blocked(world, rule):
    execution = await world.approved()
    world.govern(rules=[{"name": "stricter", **rule}])
    world.clock.pass_(minutes=5)
    assert await world.executor.run(execution) is ExecutionState.BLOCKED
    assert world.cloud.effects == []


# --- replicas with different policies ---------------------------------------------------------------------------------


async def test_a_replica_with_the_older_policy_leaves_it_alone(world):
    request = await world.ask()
    await world.approvals.begin()
    old, old_executor = world.approvals, world.executor
    world.govern(rules=TWO)
    await world.approvals.begin()
    await world.approvals.expire_due()
    held = await _request(world, request.id)
    assert held.facts.policy_version == world.policy.version
    before = len(await world.kinds())
    await old.expire_due()
    assert (await _request(world, request.id)).facts == held.facts
    ann = await world.actor("UANN")
    for call in (
        old.vote(request.id, request.plan_hash, held.facts.revision, ann, Choice.APPROVE),
        old.look(world.cause, ann),
    ):
        with pytest.raises(Stale, match="newer policy is in force"):
            await call
    assert len(await world.kinds()) == before
    # What the newer one decided is not carried out by the older one either.
    for user in ("UANN", "UABE"):
        await world.vote(request, user, revision=held.facts.revision)
    execution = await world.db.read(plans.execution_of_request, request.id)
    assert await old_executor.run(execution) is ExecutionState.BLOCKED
    assert world.cloud.effects == []


async def test_going_back_to_the_former_policy_is_a_change_as_well(world):
    request = await world.ask()
    await world.approvals.begin()
    for rules in (TWO, []):
        world.govern(rules=rules)
        await world.approvals.begin()
        await world.approvals.expire_due()
    assert (await _request(world, request.id)).facts.policy_version == world.policy.version
    assert len(await _records(world, "policy.in_force")) == 3
    assert len(await _records(world, "request.rebound")) == 2


# --- races ------------------------------------------------------------------------------------------------------------


async def _race(world: World) -> None:
    world.govern(rules=THREE)
    request = await world.vote(await world.ask())
    world.govern(rules=TWO)
    replicas = [world.approvals]
    for _ in range(3):
        world.govern(rules=TWO)
        replicas.append(world.approvals)
    await asyncio.gather(*(each.expire_due() for each in replicas))
    assert len(await _records(world, "request.rebound")) == 1
    held = await _request(world, request.id)
    decided = await world.vote(request, "UABE", revision=held.facts.revision)
    assert decided.state is RequestState.APPROVED
    execution = await world.db.read(plans.execution_of_request, request.id)
    assert await world.executor.run(execution) is ExecutionState.SUCCEEDED
    assert await world.ledger_ok()


async def test_replicas_at_once_move_it_once(world):
    await _race(world)


@pytest.mark.postgres
async def test_replicas_at_once_move_it_once_on_postgresql(postgres_url):
    world = World(postgres_url, risk=Risk.LOW)
    try:
        await _race(world)
    finally:
        await world.db.close()


async def test_a_serving_replica_puts_its_policy_in_force_and_moves_what_waits(tmp_path):
    from bot.composition import serve
    from bot.settings import Settings
    from bot.store.migrate import upgrade

    url = f"sqlite:///{tmp_path / 'served.db'}"
    upgrade(url)
    world = World(url)
    request = await world.ask()
    settings = Settings(
        database_url=url,
        people=world.settings.people,
        groups=world.settings.groups,
        governance={"rules": TWO},
    )
    stop = asyncio.Event()
    serving = asyncio.create_task(serve(settings, stop=stop, listen=False, clock=world.clock))
    try:
        async with asyncio.timeout(60):
            while (await _request(world, request.id)).facts.state is RequestState.PENDING:
                assert not serving.done(), serving.exception()
                await asyncio.sleep(0.05)
    finally:
        stop.set()
        await serving
    [brought] = await _records(world, "policy.in_force")
    assert brought["version"] != (await _request(world, request.id)).facts.policy_version
    # A served Gatehouse knows no playbook of lamps: what cannot be evaluated is void.
    assert "There is no playbook lamps-off" in (await _request(world, request.id)).reason
    await world.db.close()
