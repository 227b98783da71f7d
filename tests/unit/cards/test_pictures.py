"""Every main card has its picture on both platforms. Whether a picture is of today's card is told by
``python -m tests.tools.pictures --check``: a word that changes is no reason for a failing test."""

from __future__ import annotations

import struct

from cards import lint, lint_adaptive
from tests.tools.gallery import gallery
from tests.tools.pictures import DARK, FOLDER, KEPT, PHONE, payloads


def test_every_main_card_has_its_pictures_and_the_page_shows_them() -> None:
    page = (FOLDER / "README.md").read_text("utf-8")
    kept = {line.split()[0] for line in KEPT.read_text("utf-8").splitlines()}
    names = [f"{shown.name}-{platform}" for shown in gallery() for platform in ("slack", "teams")]
    names += [f"{shown.name}-teams-own" for shown in gallery() if shown.own]
    for name in [*names, f"{DARK}-teams-dark", f"{PHONE}-teams-phone"]:
        raw = (FOLDER / f"{name}.png").read_bytes()
        width, height = struct.unpack(">II", raw[16:24])
        assert raw[:8] == b"\x89PNG\r\n\x1a\n", name
        assert width > 400, name
        assert height > 200, name
        assert len(raw) < 100_000, name
        assert f"({name}.png)" in page, f"{name} is not on the page"
    assert kept == {shown.name for shown in gallery()}, "please run: python -m tests.tools.pictures"


def test_the_cards_of_the_pictures_are_what_the_platforms_take() -> None:
    for shown in gallery():
        slack_made, teams_made = payloads(shown)
        surface = "home" if shown.home else "modal" if shown.dialog else "message"
        assert lint.problems(slack_made, surface) == [], shown.name  # type: ignore[arg-type]
        assert lint_adaptive.problems(teams_made) == [], shown.name
