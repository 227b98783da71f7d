"""One script drives both platforms: the same decisions, ledger, cards and cloud come of it, wherever people act."""

from __future__ import annotations

from dataclasses import replace

import pytest

from .acts import SCENARIOS
from .compare import Outcome
from .runner import play, played, ways_of
from .script import Scenario, Send, Step
from .world import Lab

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(240)]


def _first(one: list[str], other: list[str]) -> str:
    at = next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    return f"… {' '.join(one[max(0, at - 8) : at + 12])} … / … {' '.join(other[max(0, at - 8) : at + 12])} …"


def differences(one: Outcome, other: Outcome) -> list[str]:
    found = []
    for table, rows in one.tables.items():
        if rows != other.tables[table]:
            pairs = zip(rows, other.tables[table], strict=False)
            first = next(({k: (a[k], b[k]) for k in a if a[k] != b[k]} for a, b in pairs if a != b), "more rows")
            found.append(f"{table}: {first}")
    found += [f"card of {name}" for name in one.cards if one.cards[name] != other.cards[name]]
    if one.cloud != other.cloud:
        found.append("the cloud")
    for n, ((_, said), (platform, heard)) in enumerate(zip(one.heard, other.heard, strict=True)):
        if said != heard:
            found.append(f"what was told at step {n} in {platform}: {_first(said, heard)}")
    return found


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda each: each.name)
async def test_the_same_comes_of_it_wherever_people_act(lab: Lab, scenario: Scenario) -> None:
    made = {way: await played(lab, scenario, way) for way in ways_of(scenario)}
    one = made["slack"]
    ends = {cause: one.stages[cause] for cause in scenario.ends}
    assert ends == dict(scenario.ends)
    assert (one.cloud != lab.clouds.begun) is ("fixed" in ends.values())
    for way, other in made.items():
        assert differences(one, other) == [], way
        # one state on all posts, and the two renderers say it in the same words
        slack, teams = other.posts["slack"], other.posts["teams"]
        assert slack.keys() == teams.keys() == one.posts["slack"].keys()
        for place, said in one.posts["slack"].items():
            assert said == slack[place], (way, place, _first(said, slack[place]))
            assert said == teams[place], (way, place, _first(said, teams[place]))


async def test_what_is_not_the_same_is_seen(lab: Lab) -> None:
    """The comparison itself: another reason, another answer and another post are differences."""
    one = await played(lab, SCENARIOS[0], "slack")
    steps = list(SCENARIOS[0].steps)
    first = steps[0]
    assert isinstance(first, Step)
    press, _ = first.moves
    steps[0] = replace(first, moves=(press, Send({"choice": "ask", "reason": "another reason"})))
    other = await play(lab, replace(SCENARIOS[0], steps=tuple(steps)), "teams")
    found = " ".join(differences(one, other))
    assert "approval_requests: {'reason': ('we need it closed', 'another reason')}" in found
    assert "ledger: " in found
    assert "what was told at step 1 in teams" in found
    assert any(one.posts["slack"][place] != other.posts["teams"][place] for place in one.posts["slack"])
