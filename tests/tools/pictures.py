"""``python -m tests.tools.pictures [NAME …]``: draws the main cards on both platforms into docs/cards; ``--check``
names those that have changed since.

Slack: in the local workspace of the sandbox, behind its strict gate. Teams: by Microsoft's renderer (adaptivecards)
with the host configuration and styles of Teams from Microsoft's designer, in Chromium, as wide as a channel; once dark,
once as narrow as a telephone. All of it is fetched from npm at run time. Fonts are those of this machine.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import os
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from PIL import Image, ImageChops
from playwright.async_api import Browser, Locator, Page, async_playwright, expect

from bot.domain.errors import SettingsError
from bot.sandbox import slack
from bot.sandbox.gate import Gate, GateConfig
from cards import adaptive, blockkit

from . import judge
from .gallery import BOB, Shown, gallery

FOLDER = Path(__file__).parents[2] / "docs/cards"
KEPT = FOLDER / "cards.txt"  # what each picture shows, hashed
DESIGNER, MARKDOWN = "2.4.4", "14.1.0"
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync",
         "--font-render-hinting=none")  # fmt: skip
WIDE, NARROW = 700, 360  # pixels: a channel, a telephone
SCALE, COLOURS = 1.5, 128
DARK, PHONE = "new", "fixed"  # drawn once more so
SOON = 20_000  # milliseconds
# Teams shows what asks for a decision filled, and what cannot be taken back in red; the designer's styles do neither.
_STYLES = """
body { margin: 0; padding: 16px; font-family: "Liberation Sans", sans-serif; }
.teams-inner-frame { padding: 0; min-width: 0; }
.ac-pushButton.style-positive { background-color: #6264A7; border-color: #6264A7; color: white; }
.ac-pushButton.style-destructive { background-color: #C4314B; border-color: #C4314B; color: white; }
p { margin: 0; } p + p { margin-top: 4px; }
"""
# What reaches over the right edge of the card, and buttons whose label is cut.
MISFITS = """box => {
  const edge = box.getBoundingClientRect().right + 1, short = e => e.textContent.slice(0, 60), found = [];
  for (const e of box.querySelectorAll("*")) {
    if (e.getBoundingClientRect().right > edge) found.push("too wide: " + short(e));
    if (e.tagName === "BUTTON" && [e, ...e.querySelectorAll("*")].some(x => x.scrollWidth > x.clientWidth + 1
        && x.clientWidth)) found.push("cut: " + e.textContent);
  }
  return [...new Set(found)];
}"""
# The lowest contrast of any text with what is behind it, as WCAG 2 counts it: 4.5 is enough for text of this size.
CONTRAST = """box => {
  const rgba = said => { const n = said.match(/[\\d.]+/g).map(Number); return n.length > 3 ? n : [...n, 1]; };
  const over = (top, below) => top.slice(0, 3).map((c, i) => c * top[3] + below[i] * (1 - top[3]));
  const light = c => { const [r, g, b] = c.map(v => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const ground = e => { for (; e; e = e.parentElement) { const c = rgba(getComputedStyle(e).backgroundColor);
    if (c[3] > 0) return over(c, [255, 255, 255]); } return [255, 255, 255]; };
  let lowest = [99, ""];
  for (const e of box.querySelectorAll("*")) {
    const said = [...e.childNodes].filter(n => n.nodeType === 3).map(n => n.textContent.trim()).join("");
    if (!said || said === "*") continue;  // the client's own mark of what is required
    const behind = ground(e), [a, b] = [light(over(rgba(getComputedStyle(e).color), behind)), light(behind)];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < lowest[0]) lowest = [ratio, said.slice(0, 30)];
  }
  return lowest;
}"""


def payloads(shown: Shown) -> tuple[dict[str, Any], dict[str, Any]]:
    """For Slack and for Teams."""
    if shown.home:
        slack_made = blockkit.home(shown.card)
    elif shown.dialog:
        slack_made = blockkit.modal(shown.card, callback_id="gh.show", submit="Send", close="Cancel",
                                    title=shown.dialog)  # fmt: skip
    else:
        slack_made = blockkit.message(shown.card)
    return slack_made, adaptive.content(shown.teams or shown.card, submit=shown.submit)


def hashes() -> dict[str, str]:
    """Of every card of the gallery what both platforms get, in short."""
    made = {}
    for shown in gallery():
        own = adaptive.content(shown.own) if shown.own else {}
        said = json.dumps([*payloads(shown), own], sort_keys=True)
        made[shown.name] = hashlib.sha256(said.encode()).hexdigest()[:16]
    return made


# --- Slack -----------------------------------------------------------------------------------------------------------


class Workspace:
    """The local workspace with a person before it and just as much of a bot as opens a dialog."""

    def __init__(self, page: Page, gate: Gate, http: aiohttp.ClientSession) -> None:
        self.page, self.gate, self.http = page, gate, http
        self.triggers: asyncio.Queue[str] = asyncio.Queue()

    async def call(self, method: str, token: str = slack.BOT_TOKEN, **body: Any) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {token}"}
        async with self.http.post(f"{self.gate.api}{method}", json=body, headers=headers) as answer:
            said: dict[str, Any] = await answer.json()
        if not said.get("ok"):
            raise SettingsError(f"{method}: {said}")
        return said

    async def listen(self) -> None:
        """Socket Mode: acknowledges everything and keeps the ids that open a dialog."""
        url = (await self.call("apps.connections.open", slack.APP_TOKEN))["url"]
        async with self.http.ws_connect(url) as socket:
            async for message in socket:
                said = json.loads(message.data)
                if "envelope_id" in said:
                    await socket.send_json({"envelope_id": said["envelope_id"]})
                if said.get("type") == "interactive":
                    self.triggers.put_nowait(said["payload"]["trigger_id"])

    async def sit_down(self, who: slack.Member, item: str) -> None:
        await self.page.locator("label.actas select").select_option(who.id)
        await self.page.locator(".sidebar-item", has_text=item).first.click()

    async def message(self, payload: dict[str, Any]) -> Locator:
        await self.call("chat.postMessage", channel=slack.SECURITY.id, **payload)
        found = self.page.locator(".messages .msg").last
        words = next(b["text"]["text"] for b in payload["blocks"] if b["type"] in {"header", "section"} and "text" in b)
        await expect(found).to_contain_text(words.strip("*_ 📌").split("*")[0][:20], timeout=SOON)
        return found

    async def dialog(self, view: dict[str, Any]) -> Locator:
        press = {"type": "button", "action_id": "gh.open", "text": {"type": "plain_text", "text": "Open"}}
        await self.call("chat.postMessage", channel=slack.SECURITY.id, text="Open",
                        blocks=[{"type": "actions", "elements": [press]}])  # fmt: skip
        await self.page.locator(".messages .msg").last.get_by_role("button", name="Open").click()
        trigger = await asyncio.wait_for(self.triggers.get(), 20)
        await self.call("views.open", trigger_id=trigger, view=view)
        return self.page.locator(".modal")

    async def home(self, view: dict[str, Any]) -> Locator:
        await self.call("views.publish", user_id=slack.BOB.id, view=view)
        await self.sit_down(slack.BOB, "gatehouse")
        found = self.page.get_by_text(BOB.name).last
        await expect(found).to_be_visible(timeout=SOON)
        return self.page.locator("main, .main, .home, .app-home").last


@asynccontextmanager
async def workspace(browser: Browser) -> AsyncIterator[Workspace]:
    program = await slack.install()
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="gatehouse-pictures-"))
        local = await stack.enter_async_context(slack.LocalSlack(program, Path(folder)))
        config = GateConfig(slack.BOT_TOKEN, slack.APP_TOKEN, (), slack.profiles(), message_burst=1000,
                            trigger_seconds=60)  # fmt: skip
        gate = await stack.enter_async_context(Gate(config, local.url))
        http = await stack.enter_async_context(aiohttp.ClientSession())
        page = await browser.new_page(viewport={"width": 1040, "height": 1400}, device_scale_factor=SCALE)
        await page.goto(local.url)
        await page.add_style_tag(content=".msg-time, .msg time, .ts { visibility: hidden; }")
        made = Workspace(page, gate, http)
        ear = asyncio.create_task(made.listen())
        try:
            yield made
        finally:
            ear.cancel()
            await asyncio.gather(ear, return_exceptions=True)


async def draw_slack(browser: Browser, wanted: list[Shown]) -> None:
    async with workspace(browser) as desk:
        await desk.sit_down(slack.ALICE, slack.SECURITY.name)
        for shown in sorted(wanted, key=lambda each: each.home):  # home last: it leaves the channel
            payload, _ = payloads(shown)
            drawn = await (desk.home if shown.home else desk.dialog if shown.dialog else desk.message)(payload)
            await keep(drawn, f"{shown.name}-slack")
            if shown.dialog:
                await desk.page.locator(".modal-x").click()
                await expect(desk.page.locator(".modal")).to_have_count(0)


# --- Teams -----------------------------------------------------------------------------------------------------------


def _fonts(thing: Any) -> Any:
    """Teams' own fonts are not free; these have the widths of Arial and Courier New."""
    if isinstance(thing, dict):
        return {key: ("Liberation Mono" if "Courier" in str(value) else "Liberation Sans") if key == "fontFamily"
                else _fonts(value) for key, value in thing.items()}  # fmt: skip
    return thing


def teams_page(*, dark: bool = False) -> str:
    """An empty frame; ``show(card)`` draws one into it."""
    theme = "dark" if dark else "light"
    os.environ["NPM_CONFIG_LEGACY_PEER_DEPS"] = "true"  # of the designer two files are wanted, not its editor
    style = judge.package("adaptivecards-designer", DESIGNER, f"dist/containers/teams-container-{theme}.css")
    config = style.parents[2] / f"lib/hostConfigs/microsoft-teams-{theme}.json"
    markdown = judge.package("markdown-it", MARKDOWN, "dist/markdown-it.min.js")
    host = json.dumps(_fonts(json.loads(config.read_text("utf-8"))) | {"actions": {
        "maxActions": 6, "spacing": "default", "buttonSpacing": 8, "actionsOrientation": "horizontal",
        "actionAlignment": "left"}})  # fmt: skip
    ground = "#201E1F" if dark else "#F5F5F5"
    return f"""<!doctype html><html lang="en"><meta charset="utf-8">
<style>{style.read_text("utf-8")}{_STYLES} body {{ background: {ground}; }}</style>
<div class="teams-inner-frame"><div class="teams-card"></div></div>
<script>{judge.adaptivecards().read_text("utf-8")}</script><script>{markdown.read_text("utf-8")}</script>
<script>
  AdaptiveCards.AdaptiveCard.onProcessMarkdown = (text, result) => {{
    result.outputHtml = window.markdownit().render(text); result.didProcess = true; }};
  const config = new AdaptiveCards.HostConfig({host});
  const show = made => {{
    const card = new AdaptiveCards.AdaptiveCard(), place = document.querySelector(".teams-card");
    card.hostConfig = config; card.parse(made); place.replaceChildren(card.render()); }};
</script></html>"""


async def draw_teams(browser: Browser, wanted: list[Shown]) -> None:
    async def draw(card: dict[str, Any], name: str, width: int, *, dark: bool = False) -> None:
        page = await browser.new_page(viewport={"width": width + 32, "height": 1200}, device_scale_factor=SCALE,
                                      locale="en-GB", timezone_id="UTC")  # fmt: skip
        await page.set_content(teams_page(dark=dark))
        await page.evaluate("card => show(card)", card)
        frame = page.locator(".teams-inner-frame")
        for misfit in await frame.evaluate(MISFITS):
            print(f"{name}: {misfit}")
        contrast, where = await frame.evaluate(CONTRAST)
        print(f"{name}: lowest contrast {contrast:.1f} ({where})")
        await keep(page.locator("body"), name)
        await page.close()

    for shown in wanted:
        _, card = payloads(shown)
        await draw(card, f"{shown.name}-teams", WIDE)
        if shown.own:
            await draw(adaptive.content(shown.own), f"{shown.name}-teams-own", WIDE)
        if shown.name == DARK:
            await draw(card, f"{shown.name}-teams-dark", WIDE, dark=True)
        if shown.name == PHONE:
            await draw(card, f"{shown.name}-teams-phone", NARROW)


# --- files -----------------------------------------------------------------------------------------------------------


async def keep(drawn: Locator, name: str) -> None:
    """As a small file: few colours, which text and lines are content with."""
    raw = await drawn.screenshot(animations="disabled")
    whole = trimmed(Image.open(io.BytesIO(raw)).convert("RGB"))
    picture = whole.quantize(COLOURS, method=Image.Quantize.MAXCOVERAGE, kmeans=1, dither=Image.Dither.NONE)
    path = FOLDER / f"{name}.png"
    picture.save(path, optimize=True)
    print(f"{path.name}: {picture.width} x {picture.height}, {path.stat().st_size // 1024} KB")


def trimmed(picture: Image.Image) -> Image.Image:
    """Without the empty ground below what is drawn."""
    ground = Image.new("RGB", picture.size, picture.getpixel((picture.width - 1, picture.height - 1)))
    box = ImageChops.difference(picture, ground).getbbox()
    return picture.crop((0, 0, picture.width, min(picture.height, box[3] + 12))) if box else picture


def chromium() -> str:
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if not found:
        raise SettingsError("Chromium is needed", mend="Debian: apt-get install chromium fonts-noto-color-emoji")
    return found


def stale() -> list[str]:
    """Names of cards that have changed since their picture was taken."""
    kept = dict(line.split() for line in KEPT.read_text("utf-8").splitlines()) if KEPT.exists() else {}
    return [name for name, said in hashes().items() if kept.get(name) != said]


async def draw(names: list[str]) -> None:
    wanted = [shown for shown in gallery() if not names or shown.name in names]
    FOLDER.mkdir(parents=True, exist_ok=True)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium(), args=list(FLAGS))
        await draw_teams(browser, wanted)
        await draw_slack(browser, wanted)
        await browser.close()
    kept = dict(line.split() for line in KEPT.read_text("utf-8").splitlines()) if KEPT.exists() else {}
    made = hashes()
    kept = {name: made[name] if not names or name in names else kept.get(name, "-") for name in made}
    KEPT.write_text("".join(f"{name} {said}\n" for name, said in kept.items()), "utf-8")


if __name__ == "__main__":
    if sys.argv[1:] == ["--check"]:
        print("Changed since their picture was taken:", " ".join(stale()) or "none")
    else:
        asyncio.run(draw(sys.argv[1:]))
