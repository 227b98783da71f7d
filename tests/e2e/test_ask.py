"""Questions in the real user interface: a direct message with a follow-up, a table, a picture, a check, a thumb.

The local workspace knows neither streams nor statuses nor tables nor feedback buttons: the gate checks them as Slack
does and shows a stream as a message that grows, a table as lines and feedback buttons as buttons.
"""

from __future__ import annotations

import asyncio
import json
import os
from typing import Any

import pytest
from playwright.async_api import Locator, expect

from bot.sandbox import slack
from bot.sandbox.world import World
from tests.e2e.desk import SOON, Desk

from .test_loop import PICTURES, gatehouse

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(240)]

CARD = "SQS queue policy does not allow public access"


async def direct(desk: Desk, who: slack.Member) -> None:
    """Sit down at the conversation with the bot; pressing a question on the Home tab opens it."""
    page = desk.page
    await page.locator("label.actas select").select_option(who.id)
    item = page.locator(".sidebar-item", has_text=who.real_name)
    if not await item.count():
        await page.locator(".sidebar-item", has_text="gatehouse").click()
        await page.get_by_role("button", name="How many criticals are open in prod?").click()
        await expect(item).to_have_count(1, timeout=SOON)
    await item.click()
    await expect(page.locator(".composer-input").first).to_be_visible()


async def ask(desk: Desk, question: str) -> Locator:
    """Ask in the open conversation and open the thread of it."""
    page = desk.page
    await page.locator(".composer-input").first.fill(question)
    await page.locator(".composer-input").first.press("Enter")
    # What was asked by a button of the Home tab stands there in the same words, and may come later: it has no thread.
    summaries = page.locator(".messages .msg").filter(has_text=question).locator(".thread-summary")
    await summaries.last.click(timeout=2 * SOON)
    pane: Locator = page.locator(".thread-pane")
    await expect(pane).to_contain_text("How I read your question", timeout=SOON)
    return pane


async def criticals(world: World, environment: str) -> int:
    """Counted by the command line from the same database, over the rows themselves."""
    found: list[dict[str, Any]] = await gatehouse(world, "findings", "critical", environment)
    return len(found)


async def ended(world: World, count: int = 0) -> list[dict[str, Any]]:
    """The ends of all streams: the window shows the text of one a moment before it ends."""
    async with asyncio.timeout(SOON / 1000):
        while True:
            begun, stopped = calls(world, "chat.startStream"), calls(world, "chat.stopStream")
            if len(begun) == len(stopped) >= count:
                return stopped
            await asyncio.sleep(0.05)


def calls(world: World, method: str) -> list[dict[str, Any]]:
    return [c for c in world.gate.calls if c["method"] == method]


async def test_a_question_and_its_follow_up_are_streamed_with_numbers_that_are_right(world: World, desk: Desk) -> None:
    await direct(desk, slack.ALICE)
    pane = await ask(desk, "How many criticals are open in prod?")
    prod, dev = await criticals(world, "prod"), await criticals(world, "dev")
    assert 0 not in (prod, dev)
    assert prod != dev
    await expect(pane).to_contain_text(f"{prod} findings: open, critical, environment prod.")
    await expect(pane).to_contain_text("Read the findings")
    await pane.locator(".composer-input").fill("and in dev?")
    await pane.locator(".composer-input").press("Enter")
    await expect(pane).to_contain_text(f"{dev} findings: open, critical, environment dev.", timeout=SOON)

    assert len(await ended(world, 2)) == 2
    started = calls(world, "chat.startStream")
    assert {c["args"]["thread_ts"] for c in started} == {started[0]["args"]["thread_ts"]}, (
        "one thread, one conversation"
    )
    statuses = calls(world, "assistant.threads.setStatus")
    asked_at = float(statuses[0]["args"]["thread_ts"].split(".")[0])  # the workspace counts whole seconds
    assert statuses[0]["at"] - asked_at < 1 + 1, "the first sign is there within a second"
    assert [c["args"]["status"] for c in statuses] == ["is reading the findings…"] * 2


async def test_check_shows_the_query_and_the_findings_and_says_that_nothing_changed(world: World, desk: Desk) -> None:
    await direct(desk, slack.ALICE)
    pane = await ask(desk, "How many criticals are open in dev?")
    await pane.get_by_role("button", name="Check", exact=True).last.click()
    await expect(pane).to_contain_text("the answer is the same", timeout=SOON)
    await expect(pane).to_contain_text("The query as it ran")
    await expect(pane).to_contain_text("number of findings; open, critical, environment dev")
    open_ones: list[dict[str, Any]] = await gatehouse(world, "findings", "critical", "dev")
    await expect(pane).to_contain_text(f"Findings behind it: {len(open_ones)}")
    for finding in open_ones:
        await expect(pane).to_contain_text(finding["id"])


async def test_a_list_is_a_table_and_a_thumb_is_kept(world: World, desk: Desk) -> None:
    await direct(desk, slack.ALICE)
    pane = await ask(desk, "List the criticals in prod")
    await expect(pane).to_contain_text("Severity | Finding | Resource | Account | Team | Due | Id")
    sent = (await ended(world))[-1]["args"]["blocks"]
    assert [b["type"] for b in sent].count("table") == 1, "Slack itself gets its own table"
    await pane.get_by_role("button", name="👍").last.click()
    await expect(desk.page.locator(".msg").filter(has_text="Thank you, that is kept.").first).to_be_visible(
        timeout=SOON
    )


async def test_a_course_comes_as_a_picture(world: World, desk: Desk) -> None:
    await direct(desk, slack.ALICE)
    pane = await ask(desk, "Trend of open criticals over the last 14 days")
    picture = pane.locator(".file-image img")
    await expect(picture).to_be_visible(timeout=SOON)
    width = await picture.evaluate("image => image.naturalWidth")
    assert width == 1080
    asked = calls(world, "files.getUploadURLExternal")[-1]["args"]
    assert asked["alt_txt"].startswith("Line chart: Findings open per day.")
    if os.environ.get("UPDATE_PICTURES") == "1":
        await desk.page.set_viewport_size({"width": 1000, "height": 800})
        await pane.screenshot(path=PICTURES / "slack-ask.png")


async def under(desk: Desk, card: str, question: str) -> Locator:
    """Ask in the thread of a card; the open thread."""
    await desk.says(card, "Open")
    shown = desk.card(card).first
    await shown.hover()
    await shown.locator(".msg-hover-btn").nth(1).click()
    pane = desk.page.locator(".thread-pane")
    await pane.locator(".composer-input").fill(f"<@U0GATEHOUSE> {question}")
    await pane.locator(".composer-input").press("Enter")
    return pane


async def test_under_a_card_the_card_is_what_is_asked_about_and_nothing_is_done(world: World, desk: Desk) -> None:
    card = "S3 bucket is not publicly listable"
    await desk.sit_down(slack.OLIVIA, slack.WEB)
    pane = await under(desk, card, "fix it")
    await expect(pane).to_contain_text("I change nothing by being asked", timeout=SOON)
    await expect(pane.get_by_role("button", name="Review fix")).to_have_count(2)
    await desk.says(card, "Open")
    assert await world.aws.calls(writes=True) == []


async def test_where_a_guest_reads_along_the_answer_is_for_the_asker_alone(world: World, desk: Desk) -> None:
    await desk.sit_down(slack.OLIVIA, slack.PAYMENTS)  # Oscar is in it
    pane = await under(desk, CARD, "who owns it?")
    await expect(pane).to_contain_text("I answered you directly. Guests are in this channel.", timeout=SOON)
    told = [each["args"] for each in calls(world, "chat.postMessage") if "owns it" in each["args"].get("text", "")]
    assert [each["channel"][0] for each in told] == ["D"]
    assert told[0]["text"].startswith("Payments owns it")


async def test_a_guest_is_refused(world: World, desk: Desk) -> None:
    await desk.sit_down(slack.OSCAR, slack.WEB)
    await desk.page.locator(".composer-input").first.fill("/gatehouse ask how many criticals are open in prod?")
    await desk.page.locator(".composer-input").first.press("Enter")
    answer = desk.page.locator(".messages .msg").filter(has_text="guests may not ask")
    await expect(answer.last).to_be_visible(timeout=SOON)
    said = json.dumps(calls(world, "chat.postEphemeral")[-1]["args"])
    assert slack.OSCAR.id in said
    assert "guard-guest" in said
