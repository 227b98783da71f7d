"""The whole loop through the real user interface: card, plan, approval, verified fix, undo, and who is refused."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest

from bot.sandbox import slack
from bot.sandbox.world import World
from tests.e2e.desk import Desk

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(180)]

CARD = "EBS snapshot is not public"
PICTURES = Path(__file__).parents[2] / "docs" / "cards"


async def shared_with(world: World) -> list[dict[str, str]]:
    """Who may read the ledger's snapshot, asked from the cloud itself."""
    answer = await asyncio.to_thread(
        world.account().client("ec2").describe_snapshot_attribute,
        SnapshotId=world.company.ids["snapshot/ledger-2026-06"],
        Attribute="createVolumePermission",
    )
    shared: list[dict[str, str]] = answer["CreateVolumePermissions"]
    return shared


async def writes(world: World) -> list[dict[str, object]]:
    calls = await world.aws.calls(writes=True)
    return [call for call in calls if call["action"] == "ModifySnapshotAttribute"]


async def test_an_outsider_is_refused_and_nothing_changes(world: World, desk: Desk) -> None:
    before = await shared_with(world)
    assert before == [{"Group": "all"}]
    await desk.sit_down(slack.OSCAR, slack.PAYMENTS)
    await desk.says(CARD, "Open")
    plan = await desk.open(CARD)
    assert "You cannot decide this, and why" in plan
    assert "guest" in plan.lower()
    assert "cloud-approvers" in plan, "a refusal says who could"
    assert await desk.modal.locator(".modal-btn.primary").count() == 0
    await desk.close()
    await desk.says(CARD, "Open")
    assert await shared_with(world) == before
    assert await writes(world) == []


async def test_a_newcomer_may_look_and_cannot_approve(world: World, desk: Desk) -> None:
    await desk.sit_down(slack.NORA, slack.PAYMENTS)
    plan = await desk.open(CARD)
    assert "not bound to a person" in plan
    assert await desk.modal.locator(".modal-btn.primary").count() == 0
    await desk.close()
    assert await writes(world) == []


async def test_the_loop_from_card_to_verified_fix_and_back(world: World, desk: Desk) -> None:
    before = await shared_with(world)
    assert before == [{"Group": "all"}]

    await desk.sit_down(slack.OLIVIA, slack.PAYMENTS)
    if os.environ.get("UPDATE_PICTURES") == "1":
        await desk.picture(CARD, PICTURES / "slack-card.png")
    plan = await desk.open(CARD)
    assert world.company.ids["snapshot/ledger-2026-06"] in plan
    assert "Approve: " in plan, "the owner is told why she cannot approve"
    await desk.choose("Ask for approval", "nobody outside needs it")
    await desk.says(CARD, "Waiting for approval", "Olivia Owens")
    assert await shared_with(world) == before, "asking changes nothing"

    await desk.sit_down(slack.ALICE, slack.PAYMENTS)
    await desk.open(CARD)
    await desk.choose("Approve")
    await desk.says(CARD, "Fixed and verified", "Alice Anderson")
    assert await shared_with(world) == []

    made = await writes(world)
    assert len(made) == 1
    agent = str(made[0]["user_agent"])
    for carried in ("gatehouse/", "finding/f-", "plan/", "decision/", "principal/alice"):
        assert carried in agent, f"the call says neither who decided it nor why: {agent}"
    assert str(made[0]["key"]).startswith("ASIA"), "a change is made with the keys of the write role, not our own"

    await desk.sit_down(slack.OLIVIA, slack.PAYMENTS)
    await desk.open(CARD, "Undo")
    await desk.choose("Ask for approval", "the auditors need it one more day")
    await desk.says(CARD, "Waiting for approval")
    assert await shared_with(world) == []

    await desk.sit_down(slack.BOB, slack.PAYMENTS)
    await desk.open(CARD, "Review undo")
    await desk.choose("Approve")
    await desk.says(CARD, "Undone")
    assert await shared_with(world) == before

    assert len(await writes(world)) == 2
    assert await desk.card(CARD).count() == 1, "one card for its whole life"


async def test_the_ledger_tells_the_whole_story_and_is_whole(world: World) -> None:
    async def gatehouse(*words: str) -> dict[str, object]:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            "from bot.cli.main import main; main()",
            *words,
            "--json",
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, **world.environment()},
        )
        said, _ = await process.communicate()
        assert process.returncode == 0, said
        told: dict[str, object] = json.loads(said)
        return told

    report = await gatehouse("ledger", "verify")
    assert report["ok"] is True
    assert int(str(report["records"])) > 20


async def test_the_gate_found_nothing_to_complain_about(world: World, desk: Desk) -> None:
    assert world.gate.acks, "no interaction passed through the gate"
    assert [ack for ack in world.gate.acks if not ack["ok"]] == []
    refused = [c for c in world.gate.calls if not c["ok"] and c["error"] != "ratelimited"]
    assert refused == []
