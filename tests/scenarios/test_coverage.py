"""Nothing that people can press is left out of the scenarios: what is, stands in a list with its reason."""

from __future__ import annotations

from collections import Counter

import pytest

from .acts import SCENARIOS
from .kinds import KINDS, NOT_PRESSED, NOT_SHOWN, registered
from .runner import played
from .shown import builders
from .world import Lab

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(240)]
PLATFORMS = ("slack", "teams")


@pytest.mark.parametrize("platform", PLATFORMS)
async def test_every_name_that_a_platform_answers_to_is_of_one_kind(platform: str) -> None:
    named = Counter(name for kind in KINDS for name in kind.names(platform))
    assert set(named) == registered(platform)
    assert [name for name, times in named.items() if times > 1] == []


@pytest.mark.parametrize("platform", PLATFORMS)
async def test_everything_is_pressed_and_every_card_shown_on_each_platform(lab: Lab, platform: str) -> None:
    for scenario in SCENARIOS:
        await played(lab, scenario, platform)
    assert registered(platform) - lab.pressed[platform] == set(NOT_PRESSED[platform])
    assert lab.pressed[platform] - registered(platform) == set()
    assert builders() - lab.shown.by[platform] == set(NOT_SHOWN[platform])
    assert all(NOT_PRESSED[platform].values())
    assert all(NOT_SHOWN[platform].values())
