"""Every card of Teams in Chromium, drawn by Microsoft's renderer with Teams' own sizes and colours: nothing reaches
over its edge, no label of a button is cut, and every text stands out from what is behind it."""

from __future__ import annotations

import os

import pytest
from playwright.async_api import Browser

from bot.domain.errors import SettingsError
from tests.tools import pictures
from tests.unit.cards.every import every, teams

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(240)]

TITLE = "S3 bucket acme-invoices is readable by everyone"
LONGEST = 40  # letters of one label that fit on a telephone


@pytest.mark.parametrize(("width", "dark"), [(pictures.WIDE, False), (pictures.NARROW, True)])
async def test_no_card_is_too_wide_no_label_is_cut_and_every_text_can_be_read(
    browser: Browser, width: int, dark: bool
) -> None:
    try:
        frame = pictures.teams_page(dark=dark)
    except SettingsError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))
    page = await browser.new_page(viewport={"width": width + 32, "height": 1200})
    await page.set_content(frame)
    box, wrong, pale = page.locator(".teams-inner-frame"), [], []
    drawn = [(made.name, card) for made in every(TITLE) for card in teams(made)]
    for name, card in drawn:
        await page.evaluate("card => show(card)", card)
        for misfit in await box.evaluate(pictures.MISFITS):
            label = misfit.removeprefix("cut: ")
            if not (width == pictures.NARROW and label != misfit and len(label) > LONGEST):
                wrong.append(f"{name}: {misfit}")
        contrast, where = await box.evaluate(pictures.CONTRAST)
        if contrast < 4.5:
            pale.append(f"{name}: {contrast:.1f} {where}")
    await page.close()
    assert len(drawn) > 80
    assert wrong == []
    assert pale == []


async def test_the_measures_see_what_is_wrong(browser: Browser) -> None:
    page = await browser.new_page(viewport={"width": 400, "height": 400})
    await page.set_content(
        '<div class="teams-inner-frame" style="width: 300px; background: white"><div style="width: 500px">wide</div>'
        '<button style="width: 40px; overflow: hidden; white-space: nowrap">a long label</button>'
        '<p style="color: #bbb">pale</p></div>'
    )
    box = page.locator(".teams-inner-frame")
    assert await box.evaluate(pictures.MISFITS) == ["too wide: wide", "cut: a long label"]
    contrast, where = await box.evaluate(pictures.CONTRAST)
    assert where == "pale"
    assert contrast < 2
    await page.close()
