"""Every built-in connector keeps the rules of the scorecard, and the page shows it."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest
import scorecard
from pydantic import Field
from scorecard import DOCS, RULES, Card, card

from connectors.options import Options, described
from connectors.registry import BUILT_IN


@pytest.fixture(scope="module", autouse=True)
def _written() -> None:
    if os.environ.get("UPDATE_DOCS"):
        for name in BUILT_IN:
            (DOCS / f"{name}.md").write_text(scorecard.page(card(name)), "utf-8")


@pytest.mark.parametrize("name", sorted(BUILT_IN))
@pytest.mark.parametrize(("said", "rule"), RULES, ids=[rule.__name__ for _, rule in RULES])
def test_the_connector_keeps_the_rule(name: str, said: str, rule: scorecard.Rule) -> None:
    assert rule(card(name)) in ("", None), f"{name}: {said}"


def test_the_page_is_what_the_rules_say() -> None:
    page = DOCS / "README.md"
    if os.environ.get("UPDATE_DOCS"):
        page.write_text(scorecard.table(), "utf-8")
    assert page.read_text("utf-8") == scorecard.table(), (
        "run: UPDATE_DOCS=1 pytest " + __file__.rpartition("/tests/")[2]
    )


class Loose(Options):
    password: str = Field("", description="Shown")


def test_the_rules_see_what_is_wrong() -> None:
    good = card("wiz")
    worse = replace(good.manifest, capabilities=good.manifest.capabilities | {"telepathy"})
    assert "telepathy" in (scorecard.manifest(Card("wiz", worse, good.modules)) or "")
    mute = replace(good.manifest, capabilities=good.manifest.capabilities - {"webhook"})
    assert "webhook" in (scorecard.manifest(Card("wiz", mute, good.modules)) or "")
    bare = replace(good.manifest, unverified=(), options=(("nobody_knows", "x"),))
    assert scorecard.unverified(Card("wiz", bare, good.modules))
    assert "nobody_knows" in (scorecard.document(Card("wiz", bare, good.modules)) or "")

    class Fake(Card):
        @property
        def models(self) -> list[type[Options]]:
            return [Loose]

    loose = Fake("wiz", replace(good.manifest, options=described(Loose)), good.modules)
    assert "no SecretStr" in (scorecard.options(loose) or "")
