"""Attacks on time and number: a vote that comes too late, a decision that is to be carried out twice."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sqlalchemy.exc import IntegrityError

from bot.domain.errors import GatehouseError
from bot.remediation.execution import Executor
from bot.store.database import Database

from .conftest import Edge


def states(edge: Edge, table: str) -> list[str]:
    return edge.db.read_sync(lambda c: [row[0] for row in c.exec_driver_sql(f"SELECT state FROM {table}")])


# --- too late --------------------------------------------------------------------------------------------------------


async def test_vote_after_expiry(edge: Edge) -> None:
    metadata = await edge.asked()
    edge.clock.pass_(minutes=240)
    await edge.submit("UANN", metadata)
    await edge.submit("UABE", metadata)
    await edge.nothing_happened(because="expired")
    assert states(edge, "approval_requests") == ["expired"]
    assert edge.count("votes") == 0


async def test_vote_after_expiry_that_nobody_noticed(edge: Edge) -> None:
    """No housekeeping ran, the row still says pending: the vote itself looks at the clock."""
    metadata = await edge.asked()
    edge.clock.pass_(days=30)
    assert states(edge, "approval_requests") == ["pending"]
    await edge.submit("UANN", metadata)
    await edge.nothing_happened(because="expired")


async def test_a_clock_set_back_does_not_revive_an_expired_request(edge: Edge) -> None:
    metadata = await edge.asked()
    edge.clock.pass_(minutes=240)
    await edge.approvals.expire_due()
    edge.clock.pass_(minutes=-240)
    await edge.submit("UANN", metadata)
    await edge.nothing_happened(because="already expired")


async def test_vote_after_reject(edge: Edge) -> None:
    metadata = await edge.asked()
    await edge.submit("UABE", metadata, "reject")
    for user in ("UANN", "UABE"):
        await edge.submit(user, metadata)
        await edge.submit(user, {**metadata, "v": metadata["v"] + 1})
    await edge.settle()
    assert edge.cloud.effects == []
    assert edge.count("executions") == 0
    assert [made["outcome"] for made in edge.ledger_of("decision.made")] == ["rejected"]
    assert [cast["choice"] for cast in edge.ledger_of("vote.cast")] == ["reject"]
    assert "already rejected" in edge.told


async def test_approve_and_deny_at_once(make_edge: Any) -> None:
    """Whoever comes first decides; after a deny nothing is approved, after an approval there is one execution."""
    for _ in range(5):
        edge: Edge = await make_edge()
        metadata = await edge.asked()
        bodies = [edge.sealed(edge.submit_body(*who)) for who in (("UANN", metadata), ("UABE", metadata, "reject"))]
        await asyncio.gather(*(edge.deliver(body, headers, drain=False) for body, headers in bodies))
        await edge.settle()
        outcomes = [made["outcome"] for made in edge.ledger_of("decision.made")]
        assert len(outcomes) == 1
        assert len(edge.cloud.effects) == (4 if outcomes == ["approved"] else 0)
        assert edge.count("executions") == (1 if outcomes == ["approved"] else 0)
        assert await edge.ledger_ok()


async def test_vote_after_the_decision_starts_nothing_more(edge: Edge) -> None:
    metadata = await edge.asked()
    await edge.submit("UANN", metadata)
    await edge.settle()
    await edge.submit("UABE", metadata)
    await edge.submit("UABE", metadata, "reject")
    await edge.settle()
    assert edge.count("votes") == edge.count("decisions") == edge.count("executions") == 1
    assert len(edge.cloud.effects) == 4


async def test_vote_after_the_requester_took_it_back(edge: Edge) -> None:
    metadata = await edge.asked()
    await edge.submit("UOLGA", metadata, "cancel")
    await edge.submit("UANN", metadata)
    await edge.nothing_happened(because="already cancelled")


# --- the group -------------------------------------------------------------------------------------------------------


async def test_group_removed_after_vote(edge: Edge) -> None:
    await edge.submit("UANN", await edge.asked())
    edge.slack.groups["SAPPROVERS"].remove("UANN")  # within what is believed between clicks
    await edge.settle()
    assert edge.cloud.effects == []
    assert states(edge, "executions") == ["blocked"]
    assert "Ann Approver may no longer approve" in edge.ledger_of("execution.blocked")[0]["why"]


async def test_one_of_a_quorum_removed_from_the_group_after_the_vote(make_edge: Any) -> None:
    edge: Edge = await make_edge(rules=[{"name": "two", "quorum": 2}])
    metadata = await edge.asked()
    await edge.submit("UANN", metadata)
    await edge.submit("UABE", await edge.review("UABE"))
    edge.slack.groups["SAPPROVERS"].remove("UABE")
    await edge.settle()
    assert edge.cloud.effects == []
    assert "Abe Approver may no longer approve" in edge.ledger_of("execution.blocked")[0]["why"]


async def test_group_removed_between_the_dialog_and_the_vote(edge: Edge) -> None:
    metadata = await edge.asked()
    edge.slack.groups["SAPPROVERS"].remove("UANN")
    edge.clock.pass_(seconds=61)
    await edge.submit("UANN", metadata)
    await edge.nothing_happened(refused_by="default deny")


async def test_the_whole_group_is_gone_after_the_vote(edge: Edge) -> None:
    await edge.submit("UANN", await edge.asked())
    del edge.slack.groups["SAPPROVERS"]
    await edge.settle()
    assert edge.cloud.effects == []
    assert states(edge, "executions") == ["blocked"]


async def test_deactivated_user(edge: Edge) -> None:
    """Asked, then left the company: neither their approval nor their look counts any more."""
    metadata = await edge.asked()
    edge.slack.users["UANN"]["deleted"] = True
    edge.clock.pass_(seconds=61)
    await edge.submit("UANN", metadata)
    await edge.nothing_happened(refused_by="guard-deactivated")


# --- twice -----------------------------------------------------------------------------------------------------------


async def approved(edge: Edge) -> str:
    await edge.submit("UANN", await edge.asked())
    return edge.db.read_sync(lambda c: str(c.exec_driver_sql("SELECT id FROM executions").scalar_one()))


def done_once(edge: Edge) -> None:
    assert len(edge.cloud.effects) == len(set(edge.cloud.effects)) == 4
    assert edge.count("executions") == edge.count("decisions") == 1
    assert len(edge.ledger_of("step.intended")) == 4


async def test_two_executors_carry_out_one_decision(edge: Edge) -> None:
    execution = await approved(edge)
    one, two = edge.new_executor("w1"), edge.new_executor("w2")
    await asyncio.gather(
        *(each.run(execution) for each in (one, two, one, two)),
        one.work_once(),
        two.work_once(),
        return_exceptions=True,
    )
    await edge.settle()
    assert states(edge, "executions") == ["succeeded"]
    done_once(edge)
    assert await edge.ledger_ok()


async def test_two_replicas_carry_out_one_decision(edge: Edge) -> None:
    """Each with its own connections to the one database, as two processes have them."""
    execution = await approved(edge)
    others = [Database(str(edge.db.url)) for _ in range(2)]
    replicas = [
        Executor(db, edge.catalog, edge.cloud, edge.policy, edge.people, edge.clock, edge.ids, f"replica-{n}")  # type: ignore[arg-type]
        for n, db in enumerate(others)
    ]
    try:
        for _ in range(3):
            await asyncio.gather(
                *(each.run(execution) for each in replicas),
                *(each.work_once() for each in replicas),
                return_exceptions=True,
            )
    finally:
        for db in others:
            await db.close()
    await edge.settle()
    assert states(edge, "executions") == ["succeeded"]
    done_once(edge)


async def test_a_finished_execution_is_run_again(edge: Edge) -> None:
    execution = await approved(edge)
    await edge.settle()
    edge.cloud.lamps["desk"]["on"] = True  # somebody changed it since: no reason to do it again unasked
    for _ in range(3):
        await edge.executor.run(execution)
        await edge.executor.work_once()
    done_once(edge)


@pytest.mark.parametrize("state", ["queued", "running", "verifying"])
async def test_a_finished_execution_set_back_in_the_database(edge: Edge, state: str) -> None:
    """Who can write to the database asks for a second run of an old decision."""
    execution = await approved(edge)
    await edge.settle()
    edge.cloud.lamps["desk"] = {"on": True, "colour": "red"}
    edge.db.write_sync(
        lambda c: c.exec_driver_sql("UPDATE executions SET state = ?, leased_by = '', leased_until = NULL", (state,))
    )
    await edge.executor.run(execution)
    await edge.settle()
    done_once(edge)


async def test_a_second_execution_of_one_decision_planted_in_the_database(edge: Edge) -> None:
    execution = await approved(edge)
    await edge.settle()
    edge.cloud.lamps["desk"] = {"on": True, "colour": "red"}

    def plant(conn: Any) -> None:
        row = dict(conn.exec_driver_sql("SELECT * FROM executions WHERE id = ?", (execution,)).mappings().one())
        row |= {"id": "exec-planted", "state": "queued", "leased_by": "", "leased_until": None, "fence": 0}
        names = ", ".join(row)
        marks = ", ".join("?" for _ in row)
        conn.exec_driver_sql(f"INSERT INTO executions ({names}) VALUES ({marks})", tuple(row.values()))

    with pytest.raises(IntegrityError):  # the schema itself refuses it
        edge.db.write_sync(plant)
    await edge.settle()
    assert len(edge.cloud.effects) == 4


async def test_an_undo_is_carried_out_twice(edge: Edge) -> None:
    execution = await approved(edge)
    await edge.settle()
    ann = await edge.actor("UANN")
    view = await edge.approvals.look_undo(execution, ann)
    request = await edge.approvals.ask(view.plan.id, view.plan_hash, ann, "needed")
    await edge.vote(request, "UABE")
    await asyncio.gather(*(edge.new_executor(f"w{n}").work_once() for n in range(4)), return_exceptions=True)
    await edge.settle()
    assert len(edge.cloud.effects) == 8
    assert all(lamp == {"on": True, "colour": "red"} for lamp in edge.cloud.lamps.values())
    with pytest.raises(GatehouseError):
        await edge.approvals.look_undo(execution, await edge.actor("UABE"))
    await edge.settle()
    assert len(edge.cloud.effects) == 8
