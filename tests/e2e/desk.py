"""What people do in the workspace's window."""

from __future__ import annotations

from pathlib import Path

from playwright.async_api import Locator, Page, expect

from bot.sandbox.slack import Channel, Member

SOON = 30_000  # milliseconds


class Desk:
    def __init__(self, page: Page) -> None:
        self.page = page

    async def sit_down(self, who: Member, channel: Channel) -> None:
        await self.page.locator("label.actas select").select_option(who.id)
        await self.page.locator(".sidebar-item", has_text=channel.name).click()
        await expect(self.page.locator(".channel-title")).to_contain_text(channel.name)

    def card(self, title: str) -> Locator:
        """The card with this title; never more than one, because a cause has one card for its whole life."""
        return self.page.locator(".messages .msg").filter(has=self.page.locator(".bk-header", has_text=title))

    @property
    def modal(self) -> Locator:
        return self.page.locator(".modal")

    async def open(self, title: str, button: str = "Review fix") -> str:
        """Press a button of a card and read the plan that comes; its text."""
        await self.card(title).get_by_role("button", name=button, exact=True).click()
        await expect(self.modal).to_contain_text("An approval is for exactly this plan", timeout=SOON)
        return str(await self.modal.inner_text())

    async def choose(self, option: str, reason: str = "") -> None:
        await self.modal.get_by_text(option, exact=False).locator("xpath=ancestor-or-self::label").first.click()
        if reason:
            await self.modal.locator("input.bk-plain-input").first.fill(reason)
        await self.modal.locator(".modal-btn.primary").click()
        await expect(self.modal).to_have_count(0, timeout=SOON)

    async def close(self) -> None:
        await self.modal.locator(".modal-x").click()
        await expect(self.modal).to_have_count(0)

    async def says(self, title: str, *words: str) -> None:
        """The card comes to say this."""
        for word in words:
            await expect(self.card(title)).to_contain_text(word, timeout=SOON)

    async def picture(self, title: str, path: Path) -> None:
        await self.card(title).screenshot(path=path)

    async def close_all(self) -> None:
        """The local workspace keeps open dialogs for whoever comes next."""
        while await self.modal.count():
            await self.close()
