"""Every card of every builder says the same words in the same order on both platforms."""

from __future__ import annotations

import pytest

from bot.reports.tables import PAGE
from cards import adaptive
from cards.model import Button, Grid, Plot
from tests.unit.cards.every import Made, every, slack

from . import words

NAMES = {"U01ALICE": "Alice Anderson"}
SEND = Button("gh.send", "Send", "{}")
# Which cards are not compared, and why.
EXCEPT = dict.fromkeys(
    ("home_card", "home_card with_buttons"),
    "twelve long requests are more than the 28 KB of a message; Slack's Home tab has room for them",
)
# Short: where text is cut depends on the platform's limits, which other tests look at.
TEXTS = ("Bucket is public", "`a` *b* <@U1> & {{DATE(x)}} #1", "ведро · バケツ")


def _compared(made: Made) -> bool:
    """A table of more rows than a page has is none of ours."""
    grids = [part.grid if isinstance(part, Plot) else part for part in made.card.body if isinstance(part, Grid | Plot)]
    longest = max((len(grid.rows) for grid in grids if grid), default=0)
    return made.name not in EXCEPT and longest <= PAGE


@pytest.mark.parametrize("text", TEXTS)
def test_both_renderers_say_the_same_words(text: str) -> None:
    cards = every(text)
    assert {made.name for made in cards} >= set(EXCEPT)
    compared = [made for made in cards if _compared(made)]
    assert len(compared) > len(cards) * 0.8
    for made in compared:
        _, payload = next(slack(made))
        card = adaptive.content(made.card, submit=SEND if made.form else None)
        assert words.of_slack(payload, NAMES) == words.of_teams(card), made.name
