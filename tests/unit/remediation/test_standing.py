"""Standing approvals: off unless permitted, used within their terms, undone like every fix, ended by one failure."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from sqlalchemy import Connection, update

from bot.domain.decisions import ExecutionState
from bot.domain.errors import BadInput, Conflict, Denied, Refused, RetryLater, Stale
from bot.domain.plans import BlastRadius, Reversibility, Risk
from bot.domain.standing import StandingScope, StandingState
from bot.evidence.pack import Question, build
from bot.ports import Verification
from bot.remediation.standing import scope_of
from bot.settings import OwnerSettings
from bot.store import plans
from bot.store import standing as store
from bot.store.tables import CauseRow, FindingRow
from cards.blockkit import modal
from cards.plans import plan_card

from .conftest import ACCOUNT
from .standing_kit import ANYWHERE, IN_DEV, StandingWorld

FINDINGS = FindingRow.__table__  # type: ignore[attr-defined]
CAUSES = CauseRow.__table__  # type: ignore[attr-defined]


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[StandingWorld]:
    made = StandingWorld(tmp_path / "g.db", tmp_path)
    yield made
    await made.db.close()


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., StandingWorld]:
    return lambda **kwargs: StandingWorld(tmp_path / "g.db", tmp_path, **kwargs)


async def _suspended(world: StandingWorld, standing_id: str, why: str) -> None:
    facts = (await world.held(standing_id)).facts
    assert facts.state is StandingState.SUSPENDED
    assert why in facts.state_why
    (record,) = await world.records("standing.suspended")
    assert why in record["why"]
    told = [address for address, line in await world.told() if "is suspended" in line and standing_id in line]
    assert "slack:UANN" in told  # who granted it
    assert await world.ledger_ok()


# --- granting --------------------------------------------------------------------------------------------------------


async def test_it_is_off_under_the_built_in_policy_and_the_refusal_says_what_would_turn_it_on(make):
    world = make(policy="")
    plan = await world.plan()
    with pytest.raises(Denied) as refused:
        await world.grant()
    assert refused.value.rule == "default deny"
    assert "no policy in force permits anybody" in refused.value.reason
    assert "pre_approve" in refused.value.mend
    with pytest.raises(Denied):
        await world.standings.draft(plan.id, plan.hash, await world.actor("UANN"))
    records = await world.records("refused")
    assert [record["wanted"] for record in records] == ["pre_approve", "pre_approve"]
    assert await world.standings.tick() == 0
    await world.db.close()


async def test_who_may_not_is_told_who_could(world):
    with pytest.raises(Denied) as refused:
        await world.grant("UOLGA")
    assert "members of cloud-approvers" in refused.value.could
    assert await world.records("standing.granted") == []


async def test_a_grant_binds_its_terms_and_is_recorded(world):
    made = await world.grant()
    (record,) = await world.records("standing.granted")
    assert record["hash"] == made.hash == made.standing.hash
    assert record["terms"]["scope"]["environment"] == "dev"
    assert (record["terms"]["playbook"], record["terms"]["playbook_version"]) == ("lamps-off", 1)
    assert record["principal_id"] == record["actor"] == "ann"
    assert made.standing.state is StandingState.ACTIVE
    assert made.may_revoke
    assert any(made.standing.id in line and "env=dev" in line for line in await world.lines())


async def test_a_second_click_on_the_dialog_grants_nothing_more(world):
    first, second = await world.grant(), await world.grant()
    assert first.standing.id == second.standing.id
    with pytest.raises(Conflict, match="already covers exactly this scope"):
        await world.grant("UABE")


async def test_a_scope_has_to_narrow_and_to_hold_for_the_plan_that_was_looked_at(world):
    with pytest.raises(BadInput, match="at least an environment"):
        scope_of(environment="", account="")
    for scope, said in (
        ({"environment": "dev", "account": "999999999999"}, "account is 111122223333"),
        ({"environment": "prod"}, "environment is dev"),
        ({"environment": "dev", "owner": "other"}, "owner is platform"),
        ({"environment": "dev", "tag_key": "auto-remediate", "tag_value": "no"}, "tag auto-remediate is true"),
        ({"environment": "dev", "tag_key": "absent"}, "tag absent is not known"),
    ):
        with pytest.raises(BadInput, match=said):
            await world.grant(scope=scope_of(**scope))


@pytest.mark.parametrize("terms", [{"cap": 0}, {"cap": 21}, {"days": 0}, {"days": 91}, {"reason": "  "}])
async def test_terms_outside_the_settings_are_refused(world, terms):
    with pytest.raises(BadInput):
        await world.grant(**terms)


async def test_the_policy_is_asked_of_the_scope_not_only_of_the_plan(world):
    with pytest.raises(Denied):  # the plan is in development, the scope would reach everywhere in the account
        await world.grant(scope=StandingScope(account=ACCOUNT))


async def test_a_rule_that_narrows_the_approvers_narrows_who_may_pre_approve(make):
    world = make(rules=[{"name": "leads only", "groups": ["leads"]}])
    with pytest.raises(Denied) as refused:
        await world.grant()
    assert refused.value.rule == "leads only"
    await world.db.close()


@pytest.mark.parametrize(
    ("change", "said"),
    [({"risk": Risk.HIGH}, "high risk"), ({"reversibility": Reversibility.PARTIAL}, "undone exactly"),
     ({"scope": "account"}, "a whole account")],
)  # fmt: skip
async def test_what_is_irreversible_or_far_reaching_is_never_pre_approved(world, change, said):
    info = world.book.info
    world.book.info = type(info)(**{f: getattr(info, f) for f in info.__slots__} | change)
    with pytest.raises(Conflict, match=said):
        await world.grant()


async def test_two_people_where_the_settings_ask_for_two(make):
    world = make(standing={"quorum": 2})
    made = await world.grant()
    assert made.standing.state is StandingState.PROPOSED
    assert await world.standings.tick() == 0
    abe, olga = await world.actor("UABE"), await world.actor("UOLGA")
    assert (await world.standings.list(abe))[0].may_confirm
    with pytest.raises(Denied):
        await world.standings.confirm(made.standing.id, made.hash, olga)
    with pytest.raises(Stale):
        await world.standings.confirm(made.standing.id, "0" * 64, abe)
    again = await world.standings.confirm(made.standing.id, made.hash, await world.actor("UANN"))
    assert again.standing.state is StandingState.PROPOSED  # one's own word counts once
    both = await world.standings.confirm(made.standing.id, made.hash, abe)
    assert (both.standing.state, len(both.by)) == (StandingState.ACTIVE, 2)
    execution_id = await world.used()
    assert (await world.executor.run(execution_id)) is ExecutionState.SUCCEEDED
    assert {record["principal_id"] for record in await world.records("standing.granted")} == {"ann", "abe"}
    await world.db.close()


# --- use -------------------------------------------------------------------------------------------------------------


async def test_a_run_names_it_is_announced_verified_and_recorded(world):
    made = await world.grant()
    execution_id = await world.used()
    assert (await world.executor.run(execution_id)) is ExecutionState.SUCCEEDED
    assert len(world.cloud.effects) == 4
    assert await world.finding_statuses() == {"resolved"}
    (use,) = await world.records("standing.used")
    decision = await world.db.read(plans.decision, (await world.execution(execution_id)).decision_id)
    assert (use["standing_id"], use["standing_hash"]) == (made.standing.id, made.hash)
    assert (use["plan_hash"], use["decision"], use["subject"]) == (decision.covers, decision.id, decision.request_id)
    assert decision.decided_by == ("ann",)
    assert made.standing.id in decision.reason
    (decided,) = await world.records("decision.made")
    assert decided["standing"] == made.standing.id
    said = [line for line in await world.lines() if line.startswith("📌 Being fixed under")]
    assert len(said) == 1
    for words in (made.standing.id, "Ann Approver", "env=dev", "until 2026-04-01", "undone"):
        assert words in said[0]
    assert await world.ledger_ok()


async def test_the_announcement_goes_to_the_channel_of_a_cause_that_has_no_card_yet(world):
    await world.more_causes("attic")
    await world.grant()
    assert await world.standings.tick() == 2
    (address,) = [a for a, line in await world.told() if line.startswith("📌 Being fixed") and a == "slack:C1"][1:]
    assert address == "slack:C1"


def _found_again(conn: Connection, lamp: str) -> None:
    values = {"status": "open", "reopened": FINDINGS.c.reopened + 1}
    conn.execute(update(FINDINGS).where(FINDINGS.c.resource_uid == lamp).values(values))
    conn.execute(update(CAUSES).values(state="open", open_count=1))


async def test_a_cause_is_used_once_until_something_new_is_open_there(world):
    await world.grant(cap=9)
    execution_id = await world.used()
    assert await world.standings.tick() == 0  # while it is queued
    await world.executor.run(execution_id)
    assert await world.standings.tick() == 0
    # A scan finds the lamps on again: the findings come back, and that is another occasion.
    world.cloud.lamps["desk"]["on"] = True
    await world.db.write(_found_again, "desk")
    again = await world.used()
    assert again != execution_id
    assert (await world.executor.run(again)) is ExecutionState.SUCCEEDED


async def test_the_cap_holds_within_any_hour(world):
    names = [f"lamp{n}" for n in range(5)]
    await world.grant(cap=2)
    await world.more_causes(*names)
    assert await world.standings.tick() == 2
    assert await world.standings.tick() == 0
    world.clock.pass_(minutes=59)
    assert await world.standings.tick() == 0
    world.clock.pass_(minutes=2)
    assert await world.standings.tick() == 2
    world.clock.pass_(minutes=61)
    assert await world.standings.tick() == 2
    world.clock.pass_(minutes=61)
    assert await world.standings.tick() == 0  # all six causes were used


async def test_nothing_is_decided_after_its_end(world):
    made = await world.grant(days=1)
    world.clock.pass_(days=1)
    assert await world.standings.tick() == 0
    assert (await world.held(made.standing.id)).facts.state is StandingState.EXPIRED
    assert len(await world.records("standing.expired")) == 1
    assert await world.standings.tick() == 0
    assert len(await world.records("standing.expired")) == 1


@pytest.mark.parametrize("odd", [{"environment": "prod"}, {"playbook": "other"}, {"state": "snoozed"}])
async def test_causes_outside_the_scope_are_not_even_looked_at(world, odd):
    await world.more_causes("far", **odd)
    await world.grant()
    assert await world.standings.tick() == 1
    assert [use.cause_id for use in await world.uses()] == [world.cause]


async def test_what_waits_for_people_is_left_to_them(world):
    await world.grant()
    await world.ask()
    assert await world.standings.tick() == 0


async def test_undo_works_and_is_not_done_over(world):
    await world.grant(cap=9)
    execution_id = await world.used()
    await world.executor.run(execution_id)
    assert await world.undo(execution_id) == "succeeded"
    assert world.cloud.lamps["desk"] == {"on": True, "colour": "red"}
    assert await world.finding_statuses() == {"reopened"}
    assert await world.standings.tick() == 0  # who took it back is not overruled
    world.clock.pass_(days=2)
    assert await world.standings.tick() == 0


# --- the resource, as it is now --------------------------------------------------------------------------------------


async def test_the_scanner_alone_does_not_put_a_resource_into_the_scope(world):
    await world.grant()
    world.book.labels["hall"] = {"env": "prod"}  # the finding still says dev
    assert await world.standings.tick() == 0
    why = await world.db.read(lambda conn: conn.execute(store.LOOKS.select()).one().why)
    assert "hall is in prod, not in dev" in why


@pytest.mark.parametrize("labels", [None, {}, {"env": "somewhere"}])
async def test_what_nobody_can_say_is_not_covered(world, labels):
    await world.grant()
    world.book.labels["hall"] = labels
    assert await world.standings.tick() == 0


async def test_a_tag_scope_is_held_against_the_tag_read_now(make):
    world = make(policy=ANYWHERE)
    await world.grant(scope=StandingScope(tag_key="auto-remediate", tag_value="true"))
    world.book.labels["hall"] = {"auto-remediate": "false"}
    assert await world.standings.tick() == 0
    world.clock.pass_(minutes=61)
    world.book.labels["hall"] = {"auto-remediate": "true"}
    assert await world.standings.tick() == 1
    await world.db.close()


async def test_a_resource_retagged_between_decision_and_execution_is_not_touched(world):
    made = await world.grant()
    execution_id = await world.used()
    world.book.labels["desk"] = {"env": "prod"}
    assert (await world.executor.run(execution_id)) is ExecutionState.BLOCKED
    assert world.cloud.effects == []
    assert (await world.held(made.standing.id)).facts.state is StandingState.ACTIVE


async def test_tags_that_cannot_be_read_at_execution_block_and_suspend(world):
    made = await world.grant()
    execution_id = await world.used()
    world.book.error = RetryLater("the cloud is down")
    assert (await world.executor.run(execution_id)) is ExecutionState.BLOCKED
    assert world.cloud.effects == []
    await _suspended(world, made.standing.id, "the cloud is down")


async def test_a_plan_with_a_warning_or_too_many_resources_is_left_to_people(make):
    world = make(lamps=("a", "b", "c", "d"))
    await world.grant()
    assert await world.standings.tick() == 0
    why = await world.db.read(lambda conn: conn.execute(store.LOOKS.select()).one().why)
    assert "4 resources" in why
    await world.db.close()


async def test_a_warning_leaves_it_to_people(world):
    await world.grant()
    world.book.blast_radius = lambda targets, states: BlastRadius(  # type: ignore[method-assign]
        resources=1, accounts=1, summary="", warnings=("a web site will stop",)
    )
    assert await world.standings.tick() == 0


async def test_a_rule_that_asks_for_more_approvals_than_were_given_leaves_it_to_people(make):
    world = make()
    await world.grant()
    world.permit(
        '@id("d") permit (principal in Group::"cloud-approvers", action == Action::"pre_approve", resource);',
        rules=[{"name": "two of us", "quorum": 2}],
    )
    assert await world.standings.tick() == 0
    assert (await world.standings.list(await world.actor("UANN")))[0].standing.state is StandingState.ACTIVE
    await world.db.close()


async def test_the_plan_says_what_is_in_force_and_why_it_was_left_to_people(world):
    made = await world.grant()
    world.book.labels["hall"] = {"env": "prod"}
    assert await world.standings.tick() == 0
    view = await world.approvals.look(world.cause, await world.actor("UABE"))
    assert view.standing is not None
    assert (view.standing.id, [person.id for person in view.standing.by]) == (made.standing.id, ["ann"])
    assert "hall is in prod, not in dev" in view.standing_note
    shown = json.dumps(modal(plan_card(view), callback_id="gh.review", submit="Send"), ensure_ascii=False)
    assert "Fixes like this run under standing approval" in shown
    assert "This one was left to people" in shown
    await world.standings.revoke(made.standing.id, await world.actor("UANN"))
    view = await world.approvals.look(world.cause, await world.actor("UABE"))
    assert (view.standing, view.standing_note) == (None, "")


async def test_an_owner_scope_is_held_against_the_cause_and_the_owner_tag(make):
    world = make(policy=ANYWHERE)
    await world.grant(scope=StandingScope(owner="platform"))
    world.settings.routing.owners["other"] = OwnerSettings(name="Others")
    world.book.labels["desk"] = {"team": "other"}
    assert await world.standings.tick() == 0
    world.clock.pass_(minutes=61)
    world.book.labels["desk"] = {"team": "nobody we know"}
    assert await world.standings.tick() == 0
    world.clock.pass_(minutes=61)
    world.book.labels["desk"] = {"colour": "red"}
    assert await world.standings.tick() == 1
    await world.db.close()


async def test_more_grants_asked_for_later_suspend_what_has_fewer(world):
    made = await world.grant()
    world.permit(IN_DEV, standing={"quorum": 2})
    assert await world.standings.tick() == 0
    await _suspended(world, made.standing.id, "1 grants hold; 2 are needed")


async def test_nobodys_membership_is_read_while_the_cap_is_reached(world):
    await world.grant(cap=1)
    await world.more_causes("attic", "cellar")
    assert await world.standings.tick() == 1
    reads = world.directory.reads
    assert await world.standings.tick() == 0
    assert world.directory.reads == reads


# --- freeze, revoke, suspend -----------------------------------------------------------------------------------------


async def test_nothing_is_decided_during_a_freeze_and_it_goes_on_afterwards(world):
    from bot.governance.controls import Controls

    await world.grant()
    controls = Controls(world.db, world.policy, world.people, world.clock, world.ids)
    await controls.freeze(await world.actor("UABE"), "env:dev look at this first")
    assert await world.standings.tick() == 0
    await controls.unfreeze(await world.actor("UABE"), "env:dev done")
    assert await world.standings.tick() == 1


async def test_a_freeze_after_the_decision_stops_the_run_and_suspends_nothing(world):
    from bot.governance.controls import Controls

    made = await world.grant()
    execution_id = await world.used()
    controls = Controls(world.db, world.policy, world.people, world.clock, world.ids)
    await controls.freeze(await world.actor("UABE"), "look at this first")
    assert (await world.executor.run(execution_id)) is ExecutionState.BLOCKED
    assert world.cloud.effects == []
    assert (await world.held(made.standing.id)).facts.state is StandingState.ACTIVE
    await controls.unfreeze(await world.actor("UABE"), "")
    assert await world.standings.tick() == 0
    world.clock.pass_(minutes=61)
    again = await world.used()  # what was stopped before any change is made up for, once an hour
    assert (await world.executor.run(again)) is ExecutionState.SUCCEEDED


async def test_a_revoke_between_decision_and_execution_stops_it(world):
    made = await world.grant()
    execution_id = await world.used()
    await world.standings.revoke(made.standing.id, await world.actor("UANN"), "changed my mind")
    assert (await world.executor.run(execution_id)) is ExecutionState.BLOCKED
    assert world.cloud.effects == []
    assert "Ann Approver revoked it: changed my mind" in (await world.execution(execution_id)).why
    assert len(await world.records("standing.revoked")) == 1
    assert await world.standings.tick() == 0


async def test_a_revoke_during_the_run_stops_it_before_its_next_step(world):
    made = await world.grant()
    execution_id = await world.used()
    ann = await world.actor("UANN")

    async def revoke(_call) -> None:
        world.cloud.after_write = None
        await world.standings.revoke(made.standing.id, ann)

    world.cloud.after_write = revoke
    assert (await world.executor.run(execution_id)) is ExecutionState.FAILED
    assert len(world.cloud.effects) == 1
    assert (await world.held(made.standing.id)).facts.state is StandingState.REVOKED


async def test_who_may_revoke(world):
    made = await world.grant()
    with pytest.raises(Denied):
        await world.standings.revoke(made.standing.id, await world.actor("UOLGA"))
    assert [v.may_revoke for v in await world.standings.list(await world.actor("UOLGA"))] == [False]
    world.permit("")  # the policy no longer permits anybody; who may freeze may still end it, and so may its granter
    world.directory.members["SAPPROVERS"].discard("UANN")
    assert [v.may_revoke for v in await world.standings.list(await world.actor("UANN"))] == [True]
    done = await world.standings.revoke(made.standing.id, await world.actor("UABE"))
    assert done.standing.state is StandingState.REVOKED
    again = await world.standings.revoke(made.standing.id, await world.actor("UABE"))
    assert again.standing.state is StandingState.REVOKED
    assert len(await world.records("standing.revoked")) == 1


async def test_one_failed_verification_suspends_it_in_the_same_transaction(world):
    made = await world.grant()
    execution_id = await world.used()
    world.book.verify = lambda target, state: Verification(False, "it still glows")  # type: ignore[method-assign]
    assert (await world.executor.run(execution_id)) is ExecutionState.UNVERIFIED
    await _suspended(world, made.standing.id, "it still glows")
    assert any("is suspended" in line for line in await world.lines())  # the cause's channel
    await world.more_causes("attic")
    assert await world.standings.tick() == 0


async def test_a_failed_run_suspends_it_and_the_runs_queued_beside_it_do_not_start(world):
    made = await world.grant()
    await world.more_causes("attic")
    assert await world.standings.tick() == 2
    first, second = [use.execution_id for use in await world.uses()]

    async def refuse(_call) -> None:
        raise Refused("no such switch")

    world.cloud.before_write = refuse
    assert (await world.executor.run(first)) is ExecutionState.FAILED
    world.cloud.before_write = None
    await _suspended(world, made.standing.id, "no such switch")
    assert (await world.executor.run(second)) is ExecutionState.BLOCKED
    assert world.cloud.effects == []


async def test_a_resource_that_cannot_be_read_at_execution_suspends_it(world):
    made = await world.grant()
    execution_id = await world.used()

    async def down(_call) -> None:
        raise RetryLater("nobody answers")

    world.cloud.before_read = down
    assert (await world.executor.run(execution_id)) is ExecutionState.BLOCKED
    await _suspended(world, made.standing.id, "nobody answers")


async def test_a_granter_who_left_the_group_suspends_it_before_the_next_use(world):
    made = await world.grant()
    world.directory.members["SAPPROVERS"].discard("UANN")
    assert await world.standings.tick() == 0
    await _suspended(world, made.standing.id, "Ann Approver may no longer pre-approve this")
    assert world.cloud.effects == []


@pytest.mark.parametrize("odd", [{"active": False}, {"guest": True}, {"external": True}])
async def test_a_granter_whose_account_changed_after_the_decision_stops_it(world, odd):
    made = await world.grant()
    execution_id = await world.used()
    world.directory.odd["UANN"] = odd
    assert (await world.executor.run(execution_id)) is ExecutionState.BLOCKED
    assert world.cloud.effects == []
    await _suspended(world, made.standing.id, "may no longer pre-approve")


async def test_a_directory_that_stumbles_suspends_nothing_and_lets_nothing_run(world):
    made = await world.grant()
    world.directory.broken = RetryLater("Slack is down")
    assert await world.standings.tick() == 0
    assert (await world.held(made.standing.id)).facts.state is StandingState.ACTIVE
    world.directory.broken = None
    assert await world.standings.tick() == 1


async def test_a_policy_that_no_longer_permits_it_suspends_it(world):
    made = await world.grant()
    execution_id = await world.used()
    world.permit("")
    assert (await world.executor.run(execution_id)) is ExecutionState.BLOCKED
    assert world.cloud.effects == []
    await _suspended(world, made.standing.id, "no policy in force permits anybody")


async def test_a_changed_policy_that_still_permits_it_lets_it_go_on(world):
    await world.grant()
    execution_id = await world.used()
    world.permit(ANYWHERE)
    assert (await world.executor.run(execution_id)) is ExecutionState.SUCCEEDED


async def test_another_version_of_the_playbook_is_another_playbook(world):
    made = await world.grant()
    info = world.book.info
    world.book.info = type(info)(**{f: getattr(info, f) for f in info.__slots__} | {"version": 2})
    assert await world.standings.tick() == 0
    await _suspended(world, made.standing.id, "is now version 2")


# --- tampering -------------------------------------------------------------------------------------------------------


async def _swap(world: StandingWorld, table, **values) -> None:
    await world.db.write(lambda conn: conn.execute(update(table).values(**values)) and None)


@pytest.mark.parametrize(
    "values",
    [{"scope": json.dumps(StandingScope(environment="prod").model_dump(mode="json"))}, {"cap": 9}, {"quorum": 3},
     {"playbook_version": 2}, {"created_by": "abe"}, {"reason": "other"}],
)  # fmt: skip
async def test_terms_swapped_after_the_grant_run_nothing(world, values):
    made = await world.grant()
    execution_id = await world.used()
    await _swap(world, store.STANDING, **values)
    await world.more_causes("attic", environment="prod")
    await world.more_causes("cellar")
    assert await world.standings.tick() == 0
    assert (await world.executor.run(execution_id)) is ExecutionState.BLOCKED
    assert world.cloud.effects == []
    assert (await world.held(made.standing.id)).facts.state is StandingState.SUSPENDED


@pytest.mark.parametrize("values", [{"scope": "{}"}, {"scope": "nonsense"}, {"cap": 0}])
async def test_terms_that_cannot_be_read_run_nothing_and_leave_nothing_stuck(world, values):
    made = await world.grant()
    execution_id = await world.used()
    await _swap(world, store.STANDING, **values)
    assert (await world.executor.run(execution_id)) is ExecutionState.BLOCKED
    assert world.cloud.effects == []
    assert await world.executor.work_once() == 0
    assert await world.standings.tick() == 0
    assert await world.standings.list(await world.actor("UANN")) == ()
    (record,) = await world.records("standing.suspended")
    assert record["subject"] == made.standing.id


async def test_terms_that_cannot_be_read_are_suspended_by_the_tick(world):
    made = await world.grant()
    await _swap(world, store.STANDING, scope="[]")
    assert await world.standings.tick() == 0
    (record,) = await world.records("standing.suspended")
    assert record["subject"] == made.standing.id
    assert await world.standings.tick() == 0
    assert len(await world.records("standing.suspended")) == 1


async def test_terms_swapped_together_with_their_hash_run_nothing(world):
    made = await world.grant()
    execution_id = await world.used()
    other = (await world.held(made.standing.id)).facts.model_copy(update={"cap": 9})
    await _swap(world, store.STANDING, cap=9, hash=other.hash)
    await _swap(world, store.GRANTS, hash=other.hash)
    await _swap(world, store.USES, standing_hash=other.hash)
    assert (await world.executor.run(execution_id)) is ExecutionState.BLOCKED
    assert "not the one in the ledger" in (await world.execution(execution_id)).why
    # What is made under the forged terms does not run either: the ledger never saw them granted.
    await world.more_causes("cellar")
    for _ in range(int(await world.standings.tick())):
        state = await world.executor.run((await world.uses())[-1].execution_id)
        assert state is ExecutionState.BLOCKED
    assert world.cloud.effects == []


@pytest.mark.parametrize(
    ("table", "values"),
    [(store.USES, {"mark": "x"}), (store.USES, {"id": "use-x"}), (store.USES, {"cause_id": "c-9"}),
     (store.GRANTS, {"principal_id": "abe"}), (store.GRANTS, {"hash": "0" * 64}),
     (plans.DECISIONS, {"decided_by": '["abe"]'}), (plans.REQUESTS, {"requested_by": "ann"})],
)  # fmt: skip
async def test_rows_altered_after_the_decision_run_nothing(world, table, values):
    await world.grant()
    execution_id = await world.used()
    await _swap(world, table, **values)
    assert (await world.executor.run(execution_id)) is ExecutionState.BLOCKED
    assert world.cloud.effects == []


async def test_a_use_without_its_ledger_record_or_a_record_without_its_use_runs_nothing(world):
    await world.grant()
    execution_id = await world.used()
    await world.db.write(lambda conn: conn.execute(store.USES.delete()) and None)
    assert (await world.executor.run(execution_id)) is ExecutionState.BLOCKED
    assert world.cloud.effects == []


async def test_the_list_tells_how_much_was_used(world):
    made = await world.grant()
    await world.used()
    (shown,) = await world.standings.list(await world.actor("UOLGA"))
    assert (shown.standing.id, shown.uses, shown.uses_last_hour) == (made.standing.id, 1, 1)
    world.clock.pass_(hours=2)
    (shown,) = await world.standings.list(await world.actor("UOLGA"))
    assert (shown.uses, shown.uses_last_hour) == (1, 0)


async def test_an_evidence_pack_of_the_decision_holds_who_granted_it(world):
    made = await world.grant()
    execution_id = await world.used()
    await world.executor.run(execution_id)
    decision = (await world.execution(execution_id)).decision_id
    for question in (Question(decision=decision), Question(cause=world.cause)):
        built = await world.db.read(lambda conn, q=question: build(conn, q, origin="test", now=world.clock.now()))
        kinds = {(record["kind"], record["subject"]) for record in built["records"]}
        assert ("standing.granted", made.standing.id) in kinds
        assert {"standing.used", "decision.made", "execution.finished"} <= {kind for kind, _ in kinds}
