"""Packs about what really happened: asked, voted, decided, carried out, step by step."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.evidence import ocsf, pack, verifier
from bot.evidence.checkpoints import parse
from bot.store import ledger, plans
from tests.unit.remediation.conftest import World

from .conftest import rows

LOOP = ["plan.made", "request.made", "vote.cast", "decision.made", "execution.queued", "execution.claimed"]
DOCS = Path(__file__).parents[3] / "docs" / "evidence.md"


@pytest.fixture
async def loop(tmp_path: Path) -> AsyncIterator[World]:
    made = World(tmp_path / "gatehouse.db")
    yield made
    await made.db.close()


def ids(built: dict) -> list[str]:  # type: ignore[type-arg]
    return [record["kind"] for record in built["records"]]


async def build(loop: World, question: pack.Question) -> dict:  # type: ignore[type-arg]
    built = await loop.db.read(pack.build, question, origin="gatehouse", now=loop.clock.now())
    verifier.check(verifier.dump(built))
    return built


async def test_the_pack_of_a_decision_tells_the_loop_from_plan_to_last_step_and_nothing_else(loop: World) -> None:
    execution_id = await loop.approved()
    await loop.executor.run(execution_id)
    held = await loop.db.read(plans.execution, execution_id)
    olga = await loop.actor("UOLGA")
    await loop.approvals.look_undo(execution_id, olga)  # another plan of the same cause
    built = await build(loop, pack.Question(decision=held.decision_id))
    assert ids(built)[:6] == LOOP
    assert ids(built).count("step.intended") == ids(built).count("step.done") == 4
    assert ids(built)[-1] == "execution.finished"
    assert ids(built).count("plan.made") == 1
    of_cause = await build(loop, pack.Question(cause=loop.cause))
    assert ids(of_cause).count("plan.made") == 2
    assert {record["seq"] for record in built["records"]} < {record["seq"] for record in of_cause["records"]}
    finding = held_finding(built)
    of_finding = await build(loop, pack.Question(finding=finding))
    assert {record["seq"] for record in of_cause["records"]} <= {record["seq"] for record in of_finding["records"]}


def held_finding(built: dict) -> str:  # type: ignore[type-arg]
    import json

    decided = next(record for record in built["records"] if record["kind"] == "decision.made")
    return str(json.loads(decided["body"])["findings"][0])


async def test_every_step_was_intended_in_the_ledger_before_it_was_done(loop: World) -> None:
    """The order a reader of the pack relies on: record before effect."""
    execution_id = await loop.approved()
    await loop.executor.run(execution_id)
    records = await loop.db.read(rows)
    for done in (record for record in records if record["kind"] == "step.done"):
        intended = [r["seq"] for r in records if r["kind"] == "step.intended" and r["subject"] == done["subject"]]
        assert intended
        assert intended[0] < done["seq"]
    assert (await loop.db.read(ledger.verify)).ok
    events = [ocsf.event(record) for record in records]
    assert [event["metadata"]["sequence"] for event in events] == list(range(1, len(records) + 1))
    finished = next(event for event in events if event["metadata"]["event_code"] == "execution.finished")
    assert (finished["class_uid"], finished["activity_id"], finished["status_id"]) == (7001, 4, 1)


def test_the_checkpoint_in_the_docs_is_one() -> None:
    assert [each.size for each in parse(DOCS.read_text("utf-8"))] == [1042]


async def test_the_pack_of_a_broken_glass_holds_its_use_and_its_review(loop: World) -> None:
    from tests.unit.remediation.test_glass import _break, _govern, _run

    _govern(loop)
    request = await _break(loop, "UANN")
    await _run(loop, request)
    assert request.glass is not None
    abe = await loop.actor("UABE")
    await loop.approvals.glass.review(request.glass.id, abe, justified=True, comment="it leaked")
    held = await loop.db.read(plans.execution, str(await loop.db.read(plans.execution_of_request, request.id)))
    for question in (pack.Question(decision=held.decision_id), pack.Question(cause=loop.cause)):
        built = await build(loop, question)
        assert {"break_glass.used", "break_glass.reviewed"} <= set(ids(built))
