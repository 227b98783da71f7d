"""Teams in Microsoft's own client-side tool: Alice is at its page, others act through the gate, Slack shows the same.

The bot runs as in production, with its login on; the gate signs for the Playground, which cannot.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from playwright.async_api import Browser, Locator, Page, expect

from bot.sandbox import slack, teams
from bot.sandbox.aws import PROD
from bot.sandbox.teams import Account, Channel
from bot.sandbox.teams_gate import TeamsGate
from bot.sandbox.world import World
from tests.e2e.desk import SOON

from .test_loop import gatehouse, writes

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(180)]

ACCOUNT = "Not met: S3 account-level Block Public Access ignores public ACLs and restricts public buckets"
TOPIC = "Not met: SNS topic is not publicly accessible"
CHAT = "Personal Chat"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(browser: Browser) -> AsyncIterator[World]:
    async with World(with_teams=True) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def page(browser: Browser, world: World) -> AsyncIterator[Page]:
    made = await browser.new_page(viewport={"width": 1400, "height": 1400})
    wrong: list[str] = []
    made.on("pageerror", lambda error: wrong.append(str(error)))
    await made.goto(gate_of(world).url)
    yield made
    assert wrong == [], "the page stumbled over what it was sent"
    refused = [call for call in gate_of(world).calls if not call["ok"] and call["status"] != 429]
    assert refused == [], "Teams would have refused this"
    await made.close()


def gate_of(world: World) -> TeamsGate:
    assert world.teams is not None
    return world.teams


async def soon(what: Callable[[], Awaitable[bool]]) -> None:
    """Wait until it is so; ``TimeoutError`` names the test that waited."""
    async with asyncio.timeout(SOON / 1000):
        while not await what():  # noqa: ASYNC110  another process makes it so
            await asyncio.sleep(0.1)


async def go(page: Page, channel: Channel) -> None:
    await page.get_by_label(f"{teams.TEAM} - {channel.name}").click(timeout=SOON)


async def post(page: Page, title: str) -> Locator:
    """The post of a cause; the mark stays on it whatever its card becomes for the person at the page."""
    mark = title.split(": ")[1].split(" ")[0].lower()
    found = page.locator(".fui-Card").filter(has=page.get_by_role("heading", name=title, exact=True))
    await expect(found).to_have_count(1, timeout=SOON)
    await found.evaluate("(element, mark) => element.setAttribute('data-post', mark)", mark)
    return page.locator(f"[data-post='{mark}']")


async def press(where: Locator, name: str) -> None:
    await where.get_by_role("button", name=name, exact=True).click(timeout=SOON)


def buttons(thing: Any) -> list[dict[str, Any]]:
    """Every button of a card, however deep."""
    if isinstance(thing, list):
        return [found for each in thing for found in buttons(each)]
    if not isinstance(thing, dict):
        return []
    own = [thing] if thing.get("type") == "Action.Execute" else []
    return own + [found for each in thing.values() for found in buttons(each)]


class Elsewhere:
    """Somebody who is not at the page: their client asks for their own view of a card, and they press its buttons."""

    def __init__(self, gate: TeamsGate, who: Account, title: str) -> None:
        self.gate, self.who = gate, who
        self.made = next(made for made in gate.posts if made["card"] and title in json.dumps(made["card"]))
        self.card: dict[str, Any] = {}

    async def look(self) -> Elsewhere:
        return await self._do(self.made["card"]["refresh"]["action"], automatic=True)

    async def press(self, verb: str, **given: str) -> Elsewhere:
        found = next(each for each in buttons(self.card) if each["verb"] == verb)
        return await self._do({"verb": verb, "data": {**found["data"], **given}})

    async def _do(self, action: dict[str, Any], *, automatic: bool = False) -> Elsewhere:
        where, message = self.made["channel"], self.made["id"]
        status, said = await self.gate.press(self.who, where, message, action, automatic=automatic)
        assert (status, said["type"]) == (200, "application/vnd.microsoft.card.adaptive"), said
        self.card = said["value"]
        return self


async def asks(world: World, who: Account, title: str, reason: str) -> None:
    there = await Elsewhere(gate_of(world), who, title).look()
    await (await there.press("gh.review")).press("gh.send_review", choice="ask", reason=reason)


async def topic_policy(world: World) -> str:
    client = world.account().client("sns")
    arn = world.company.ids["topic/order-events"]
    answer = await asyncio.to_thread(client.get_topic_attributes, TopicArn=arn)
    return str(answer["Attributes"]["Policy"])


async def account_blocks(world: World) -> bool:
    """Whether all of production's buckets are closed, asked from the cloud itself."""
    client = world.account().client("s3control")
    try:
        answer = await asyncio.to_thread(client.get_public_access_block, AccountId=PROD)
    except client.exceptions.NoSuchPublicAccessBlockConfiguration:
        return False
    return all(answer["PublicAccessBlockConfiguration"].values())


async def in_slack(world: World, channel: slack.Channel, cause: str) -> str:
    """The post of a cause as Slack has it now."""
    said = [json.dumps(each, ensure_ascii=False) for each in await world.slack.messages(channel.id)]
    found = [each for each in said if cause in each and '"header"' in each]
    assert len(found) == 1, "one card for its whole life"
    return found[0]


async def test_two_approvals_from_two_people_change_the_cloud_and_the_posts_of_both_platforms(
    world: World, page: Page
) -> None:
    assert not await account_blocks(world)
    await go(page, teams.GENERAL)
    card = await post(page, ACCOUNT)
    await expect(card).to_contain_text("Open")
    await expect(card).to_contain_text("For you", timeout=SOON)
    await asks(world, teams.OLIVIA, ACCOUNT, "no bucket of ours is meant to be public")
    await expect(card).to_contain_text("Waiting for approval", timeout=SOON)
    await expect(card).to_contain_text("You may approve, reject", timeout=SOON)
    assert await writes(world, "PutPublicAccessBlock") == [], "asking changes nothing"

    await press(card, "Review fix")
    await expect(card).to_contain_text("An approval is for exactly this plan", timeout=SOON)
    await card.get_by_text("Approve: ").click()
    await card.get_by_role("textbox").first.fill("looked at every bucket")
    await press(card, "Send")
    await expect(card).to_contain_text("looked at every bucket", timeout=SOON)
    assert not await account_blocks(world), "one of two is not enough"

    bob = await Elsewhere(gate_of(world), teams.BOB, ACCOUNT).look()
    await (await bob.press("gh.review")).press("gh.send_review", choice="approve", reason="and so did I")
    await expect(card).to_contain_text("Fixed and verified", timeout=SOON)
    await expect(card.get_by_role("heading", name=ACCOUNT, exact=True)).to_be_visible()
    assert await account_blocks(world)

    cause = str(json.loads(bob.made["card"]["refresh"]["action"]["data"]["gh"])["c"])

    async def shown() -> bool:
        return "Fixed and verified" in await in_slack(world, slack.PLATFORM, cause)

    await soon(shown)
    assert (await gatehouse(world, "ledger", "verify"))["ok"] is True

    await page.reload()
    await go(page, teams.GENERAL)
    await expect(await post(page, ACCOUNT)).to_contain_text("Fixed and verified", timeout=SOON)


async def test_a_decision_is_not_sent_without_being_made_nor_a_no_without_a_reason(world: World, page: Page) -> None:
    before = await topic_policy(world)
    await go(page, teams.PAYMENTS)
    card = await post(page, TOPIC)
    await asks(world, teams.OLIVIA, TOPIC, "please")
    await expect(card).to_contain_text("Waiting for approval", timeout=SOON)
    await expect(card).to_contain_text("You may approve, reject", timeout=SOON)
    await press(card, "Details")
    await press(card, "Back to the card")  # the client has no dialogs, and is offered none
    await press(card, "Review fix")
    await expect(card).to_contain_text("An approval is for exactly this plan", timeout=SOON)
    await press(card, "Send")
    await expect(card).to_contain_text("Please fill in: Your decision", timeout=SOON)
    await card.get_by_text("Reject: ").click()
    await press(card, "Send")
    await expect(card).to_contain_text("Please say why you reject it", timeout=SOON)
    assert await card.get_by_label("Reject: ").is_checked(), "what was filled in comes back"
    await card.get_by_role("textbox").first.fill("the shop publishes to it")
    await press(card, "Send")
    # What was answered to the press may already be followed by the card as it is now; the thread keeps the decision.
    await expect(card).to_contain_text("Alice Anderson rejected it: the shop publishes to it", timeout=SOON)
    assert await topic_policy(world) == before
    assert await writes(world, "SetTopicAttributes") == []


async def test_in_the_thread_of_a_card_the_card_is_what_is_asked_about_and_nothing_is_done(
    world: World, page: Page
) -> None:
    before = await topic_policy(world)
    await go(page, teams.PAYMENTS)
    card = await post(page, TOPIC)
    await card.locator("[contenteditable=true]").first.click()
    await page.keyboard.type("@")
    await page.get_by_role("menuitem", name="Gatehouse").first.click(timeout=SOON)
    await page.keyboard.type(" fix it")
    await page.keyboard.press("Enter")
    await expect(card).to_contain_text("I change nothing by being asked", timeout=SOON)
    assert await topic_policy(world) == before


async def test_a_question_in_the_chat_is_answered_with_numbers_that_can_be_checked(world: World, page: Page) -> None:
    found = await gatehouse(world, "findings", "critical", "prod")
    await page.get_by_label(CHAT).first.click(timeout=SOON)
    await page.locator("[contenteditable=true]:visible").first.fill("how many criticals are open in prod?")
    await page.get_by_label("Send Message").first.click()
    said = page.get_by_text(f"{len(found)} findings: open, critical, environment prod.", exact=True)
    await expect(said.first).to_be_visible(timeout=SOON)
    await press(page.locator(".ac-adaptiveCard").filter(has_text="How I read your question"), "Check")
    check = page.locator(".ac-adaptiveCard").filter(has_text="The query as it ran")
    await expect(check).to_contain_text("the answer is the same", timeout=SOON)
    for finding in found:
        await expect(check).to_contain_text(finding["id"])


async def test_a_course_grows_from_a_line_into_a_chart_with_its_figures(world: World, page: Page) -> None:
    gate, question = gate_of(world), "trend of open findings over the last 14 days"
    asked = len(gate.calls)
    await page.get_by_label(CHAT).first.click(timeout=SOON)
    await page.locator("[contenteditable=true]:visible").first.fill(question)
    await page.get_by_label("Send Message").first.click()
    card = page.locator(".ac-adaptiveCard").filter(has_text="findings open at the end of each day")
    await expect(card.locator("svg path").first).to_be_visible(timeout=SOON)
    streamed = [call["body"] for call in list(gate.calls)[asked:] if '"streaminfo"' in json.dumps(call["body"])]
    assert [body["entities"][0]["streamType"] for body in streamed] == ["informative", "final"]
    await expect(card.get_by_role("table")).to_be_hidden()
    await card.get_by_role("button", name="Show the figures").click()
    await expect(card.get_by_role("row")).to_have_count(15)  # its head and fourteen days


async def test_a_stranger_and_what_is_not_signed_get_nowhere(world: World, page: Page) -> None:
    before = await topic_policy(world)
    everybodys = Elsewhere(gate_of(world), teams.NORA, TOPIC)
    everybodys.card = everybodys.made["card"]
    mine = await (await everybodys.press("gh.actions")).press("gh.review")
    assert "gh.send_review" not in [each["verb"] for each in buttons(mine.card)], "nothing to send"
    assert "not bound to a person" in json.dumps(mine.card)
    alice = await (await Elsewhere(gate_of(world), teams.ALICE, TOPIC).look()).press("gh.review")
    stolen = next(each for each in buttons(alice.card) if each["verb"] == "gh.send_review")
    forged = {"verb": "gh.send_review", "data": {**stolen["data"], "choice": "ask", "reason": "mine"}}
    assert "⛔" in json.dumps((await mine._do(forged)).card, ensure_ascii=False)
    assert world.settings is not None
    unsigned = {**gate_of(world).activity(teams.ALICE, teams.PERSONAL, "1"), "type": "message", "text": "home"}
    door = f"http://127.0.0.1:{world.settings.port}/api/messages"
    sent = {**unsigned, "serviceUrl": gate_of(world).service_url}
    async with aiohttp.ClientSession() as http, http.post(door, json=sent) as answer:
        assert answer.status == 401
    assert await topic_policy(world) == before
