"""A browser, a person in it, and a running sandbox."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, async_playwright

from bot.sandbox.world import World
from tests.e2e.desk import Desk

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def chromium() -> str:
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if not found:
        said = "the browser tests need Debian's Chromium: apt-get install chromium fonts-noto-color-emoji"
        if os.environ.get("CI"):
            pytest.fail(said)
        pytest.skip(said)
    return found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    executable = chromium()
    async with async_playwright() as playwright:
        started = await playwright.chromium.launch(executable_path=executable, args=list(FLAGS))
        yield started
        await started.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(browser: Browser) -> AsyncIterator[World]:
    async with World() as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def desk(browser: Browser, world: World) -> AsyncIterator[Desk]:
    page = await browser.new_page(viewport={"width": 1000, "height": 1400}, device_scale_factor=2)
    await page.goto(world.slack_url)
    made = Desk(page)
    yield made
    await made.close_all()
    assert world.gate.acks, "no interaction passed through the gate"
    assert [ack for ack in world.gate.acks if not ack["ok"]] == []
    assert [c for c in world.gate.calls if not c["ok"] and c["error"] != "ratelimited"] == []
    await page.close()
