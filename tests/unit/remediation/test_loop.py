"""The whole path: plan, ask, vote, execute, verify, undo."""

from __future__ import annotations

from bot.domain.views import Option


async def test_an_approved_plan_is_carried_out_verified_and_told(world):
    execution_id = await world.approved()
    assert (await world.executor.run(execution_id)).value == "succeeded"
    assert world.cloud.lamps == {name: {"on": False, "colour": "grey"} for name in ("desk", "hall")}
    assert len(world.cloud.effects) == 4
    assert [s.state.value for s in await world.steps(execution_id)] == ["done"] * 4
    assert await world.finding_statuses() == {"resolved"}
    assert await world.ledger_ok()
    kinds = await world.kinds()
    for kind in ("plan.made", "request.made", "vote.cast", "decision.made", "execution.queued", "execution.finished"):
        assert kinds.count(kind) == 1, kind
    assert kinds.count("step.intended") == kinds.count("step.done") == 4
    assert kinds.index("step.intended") < kinds.index("step.done")
    assert (await world.lines())[-1].startswith("Done and verified")


async def test_every_cloud_call_carries_finding_plan_decision_and_person(world):
    execution_id = await world.approved()
    await world.executor.run(execution_id)
    held = await world.execution(execution_id)
    writers = [why for kind, why in world.cloud.opened if kind == "writer"]
    assert writers
    assert {(w.plan_id, w.decision_id, w.principal_id) for w in writers} == {(held.plan_id, held.decision_id, "ann")}
    assert all(w.finding_id.startswith("f-") for w in writers)


async def test_undo_restores_what_was_and_opens_the_findings_again(world):
    fixed = await world.approved()
    await world.executor.run(fixed)
    olga = await world.actor("UOLGA")
    view = await world.approvals.look_undo(fixed, olga)
    assert view.plan.kind.value == "undo"
    assert view.option(Option.ASK).allowed
    request = await world.vote(await world.approvals.ask(view.plan.id, view.plan_hash, olga, "broke the hall"))
    assert request.state.value == "approved"
    assert await world.executor.work_once() == 1
    assert world.cloud.lamps == {name: {"on": True, "colour": "red"} for name in ("desk", "hall")}
    assert (await world.execution(fixed)).undone_by
    assert await world.finding_statuses() == {"reopened"}
    assert await world.ledger_ok()
