"""A freeze: who may set it, what it stops, and that a run under way stops before its next step."""

from __future__ import annotations

import threading

import pytest
from sqlalchemy import select

from bot.domain.decisions import ExecutionState
from bot.domain.errors import BadInput, Denied
from bot.governance.controls import Controls
from bot.store import clicks, ledger
from bot.store import controls as store
from bot.store.tables import ClickRow, OutboxRow
from handlers.common.left import close_unanswered
from tests.unit.remediation.conftest import World, world  # noqa: F401


def controls(world: World) -> Controls:  # noqa: F811
    return Controls(world.db, world.policy, world.people, world.clock, world.ids)


async def test_a_freeze_stops_what_was_approved_before_any_change(world):  # noqa: F811
    execution = await world.approved()
    said = await controls(world).freeze(await world.actor("UANN"), "incident 12")
    assert said.ok
    assert await world.executor.run(execution) is ExecutionState.BLOCKED
    assert world.cloud.effects == []
    assert "incident 12" in (await world.execution(execution)).why


@pytest.mark.parametrize("scope", ["", "env:dev ", "account:111122223333 "])
async def test_a_running_execution_stops_before_its_next_step(world, scope):  # noqa: F811
    execution = await world.approved()
    ann = await world.actor("UANN")

    async def freeze(_call):
        if len(world.cloud.effects) == 1:
            await controls(world).freeze(ann, f"{scope}stop now")

    world.cloud.after_write = freeze
    assert await world.executor.run(execution) is ExecutionState.FAILED
    assert len(world.cloud.effects) == 1  # of four
    why = (await world.execution(execution)).why
    assert "stop now" in why
    assert "1 of 4 changes were made" in why


async def test_a_freeze_elsewhere_stops_nothing(world):  # noqa: F811
    execution = await world.approved()
    await controls(world).freeze(await world.actor("UANN"), "env:prod release day")
    await controls(world).freeze(await world.actor("UANN"), "account:999 audit")
    assert await world.executor.run(execution) is ExecutionState.SUCCEEDED


async def test_after_unfreeze_work_goes_on_and_both_are_in_the_ledger(world):  # noqa: F811
    ann = await world.actor("UANN")
    await controls(world).freeze(ann, "incident")
    assert (await controls(world).unfreeze(ann, "over")).ok
    assert await world.executor.run(await world.approved()) is ExecutionState.SUCCEEDED
    assert [k for k in await world.kinds() if k.startswith("freeze.")] == ["freeze.began", "freeze.ended"]


@pytest.mark.parametrize("verb", ["freeze", "unfreeze"])
async def test_who_is_in_no_group_may_neither_freeze_nor_unfreeze(world, verb):  # noqa: F811
    with pytest.raises(Denied) as refused:
        await getattr(controls(world), verb)(await world.actor("UNICK"), "because")
    assert refused.value.could
    assert "refused" in await world.kinds()
    assert await controls(world).freezes() == []


async def test_a_freeze_wants_a_reason_and_a_known_environment(world):  # noqa: F811
    ann = await world.actor("UANN")
    for text in ("", "env:prod", "env:mars because", "account: because"):
        with pytest.raises(BadInput):
            await controls(world).freeze(ann, text)


@pytest.mark.postgres
async def test_a_freeze_that_commits_while_a_step_begins_stops_it(postgres_url):
    """On PostgreSQL the two transactions run side by side; the ledger's order is the order that counts."""
    made = World(postgres_url)
    execution = await made.approved()
    conn = made.db.engine.connect()
    began = conn.begin()

    async def freeze(_call):
        made.cloud.before_read = None
        now = made.clock.now()
        store.add_freeze(conn, store.Freeze("frz-1", "all", "", "Ann", "stop now", now))
        ledger.append(conn, kind="freeze.began", subject="frz-1", actor="ann", body={}, now=now)
        threading.Timer(0.3, began.commit).start()  # the step's transaction begins before that

    made.cloud.before_read = freeze
    assert await made.executor.run(execution) is ExecutionState.BLOCKED
    assert made.cloud.effects == []
    assert "step.intended" not in await made.kinds()
    conn.close()
    made.db.close_sync()


async def test_a_freeze_whose_answer_a_crash_cut_off_is_told_as_done(world):  # noqa: F811
    ann, now = await world.actor("UANN"), world.clock.now()
    for click in ("c-1", "c-2"):
        row = {"click_id": click, "platform": "slack", "kind": "command.freeze", "identity": "{}", "payload": "{}"}
        await world.db.write(clicks.receive, **row, now=now)
    await controls(world).freeze(ann, "incident", click="c-1")
    for click in ("c-1", "c-2"):  # what the next process does with both
        await world.db.write(close_unanswered, world.ids, click, "slack:UANN", now)
    table, out = ClickRow.__table__, OutboxRow.__table__
    states = await world.db.read(lambda conn: dict(conn.execute(select(table.c.id, table.c.state)).tuples().all()))
    assert states == {"c-1": "done", "c-2": "failed"}
    told = await world.db.read(
        lambda conn: (
            conn.execute(select(out.c.payload).where(out.c.channel == "UANN").order_by(out.c.seq)).scalars().all()
        )
    )
    assert "was carried out" in told[0]
    assert "press again" in told[1]
