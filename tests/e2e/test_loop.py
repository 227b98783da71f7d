"""The whole loop through the real user interface: card, plan, approval, verified fix, undo, and who is refused."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from bot.sandbox import slack
from bot.sandbox.world import World
from tests.e2e.desk import Desk

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(180)]

CARD = "EBS snapshot is not public"
OTHER = "RDS snapshot is not publicly shared"  # who is refused is refused there, so that no test waits for another
PICTURES = Path(__file__).parents[2] / "docs" / "cards"


async def shared_with(world: World) -> list[dict[str, str]]:
    """Who may read the ledger's disk snapshot, asked from the cloud itself."""
    answer = await asyncio.to_thread(
        world.account().client("ec2").describe_snapshot_attribute,
        SnapshotId=world.company.ids["snapshot/ledger-2026-06"],
        Attribute="createVolumePermission",
    )
    shared: list[dict[str, str]] = answer["CreateVolumePermissions"]
    return shared


async def database_shared_with(world: World) -> list[str]:
    """Who may restore the reporting database's snapshot."""
    answer = await asyncio.to_thread(
        world.account().client("rds").describe_db_snapshot_attributes, DBSnapshotIdentifier="reporting-before-upgrade"
    )
    attributes = answer["DBSnapshotAttributesResult"]["DBSnapshotAttributes"]
    return [value for a in attributes if a["AttributeName"] == "restore" for value in a["AttributeValues"]]


async def writes(world: World, action: str) -> list[dict[str, object]]:
    return [call for call in await world.aws.calls(writes=True) if call["action"] == action]


async def gatehouse(world: World, *words: str) -> Any:
    """What the command line says, as JSON."""
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
    return json.loads(said)


async def open_snapshots(world: World) -> list[str]:
    """Public snapshots of production among the open findings, as a pipe would read them."""
    findings = await gatehouse(world, "findings", "prod")
    return [f["resource_uid"] for f in findings if f["rule_uid"] == "ec2_ebs_public_snapshot"]


@pytest.mark.parametrize(
    ("who", "why"), [(slack.OSCAR, "guest"), (slack.NORA, "not bound to a person")], ids=["a guest", "a newcomer"]
)
async def test_an_outsider_is_refused_and_nothing_changes(
    world: World, desk: Desk, who: slack.Member, why: str
) -> None:
    assert await database_shared_with(world) == ["all"]
    await desk.sit_down(who, slack.PAYMENTS)
    await desk.says(OTHER, "Open")
    plan = await desk.open(OTHER)
    assert "You cannot decide this, and why" in plan
    assert why in plan
    assert "cloud-approvers" in plan, "a refusal says who could"
    assert await desk.modal.locator(".modal-btn.primary").count() == 0, "nothing to send"
    await desk.close()
    await desk.says(OTHER, "Open")
    assert await database_shared_with(world) == ["all"]
    assert await writes(world, "ModifyDBSnapshotAttribute") == []


async def test_the_loop_from_card_to_verified_fix_and_back(world: World, desk: Desk) -> None:
    before = await shared_with(world)
    assert before == [{"Group": "all"}]
    assert len(await open_snapshots(world)) == 1

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
    assert await open_snapshots(world) == [], "fixed and verified is no longer open"

    made = await writes(world, "ModifySnapshotAttribute")
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

    assert len(await writes(world, "ModifySnapshotAttribute")) == 2
    assert len(await open_snapshots(world)) == 1, "what was undone is open again"
    assert await desk.card(CARD).count() == 1, "one card for its whole life"

    report = await gatehouse(world, "ledger", "verify")
    assert report["ok"] is True
    assert report["records"] > 10
