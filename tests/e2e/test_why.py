"""“Why can't I approve?” in the real user interface: asked by command (the local Slack passes on no dialog buttons)."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from bot.sandbox import slack
from bot.sandbox.world import World
from tests.e2e.desk import SOON, Desk

from .test_loop import gatehouse

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(180)]

CARD = "RDS snapshot is not publicly shared"


async def test_the_answer_names_rule_facts_and_who_could(world: World, desk: Desk) -> None:
    await desk.sit_down(slack.OLIVIA, slack.PAYMENTS)
    await desk.says(CARD, "Open")
    findings = await gatehouse(world, "findings", "prod")
    cause = next(f["cause_id"] for f in findings if f["title"] == CARD or CARD in f["title"])
    await desk.page.locator(".composer-input").fill(f"/gatehouse why {cause}")
    await desk.page.locator(".composer-input").press("Enter")
    answer = desk.page.locator(".messages .msg").filter(has_text="You cannot approve this")
    for said in ("default deny", "Your groups", "Environment", "prod", "cloud-approvers", "Blast radius"):
        await expect(answer.last).to_contain_text(said, timeout=SOON)
    denied = [c for c in world.gate.calls if c["method"] == "chat.postEphemeral"]
    assert denied[-1]["args"]["user"] == slack.OLIVIA.id
