"""Plays a scenario: all on one platform, or every step on the other one."""

from __future__ import annotations

from collections.abc import Callable

from .compare import Names, Outcome, one_state, outcome, spoken
from .script import Meanwhile, Scenario, Step
from .slack_driver import SlackDriver
from .teams_driver import TeamsDriver
from .world import Lab, Run

Driver = SlackDriver | TeamsDriver
WAYS: dict[str, Callable[[int], str]] = {
    "slack": lambda _: "slack",
    "teams": lambda _: "teams",
    "slack first, then in turn": lambda n: ("slack", "teams")[n % 2],
    "teams first, then in turn": lambda n: ("teams", "slack")[n % 2],
}


def ways_of(scenario: Scenario) -> list[str]:
    return list(WAYS)[: 4 if scenario.turns else 2]


async def played(lab: Lab, scenario: Scenario, way: str) -> Outcome:
    """As ``play``, once a session."""
    key = (scenario.name, way)
    if key not in lab.played:
        lab.played[key] = await play(lab, scenario, way)
    found: Outcome = lab.played[key]
    return found


async def play(lab: Lab, scenario: Scenario, way: str) -> Outcome:
    async with lab.run() as run:
        drivers: dict[str, Driver] = {"slack": SlackDriver(run), "teams": TeamsDriver(run)}
        heard: list[tuple[str, list[str]]] = []
        last: dict[str, str] = {}
        number = 0
        for step in scenario.steps:
            if isinstance(step, Meanwhile):
                await run.meanwhile(step.what, step.number)
                continue
            platform = last[step.who] if step.stay else WAYS[way](number)
            if step.only and platform != step.only:
                if way in drivers:  # all on the other platform
                    run.services.clock.pass_(seconds=30)
                    continue
                platform = step.only
            number += not (step.stay or step.only)
            last[step.who] = platform
            lab.slack.answering = lab.tenant.answering = True
            said = await _step(run, drivers[platform], step)
            lab.slack.answering = lab.tenant.answering = False
            if not step.only:
                heard.append((platform, step.says.split() if step.differs else said))
            run.services.clock.pass_(seconds=30)
            await run.services.settle()
            await one_state(run)
        made = await outcome(run)
        names = Names()
        made.heard = [(platform, spoken(said, names)) for platform, said in heard]
        for name, driver in drivers.items():
            lab.pressed[name] |= driver.pressed
        return made


async def _step(run: Run, driver: Driver, step: Step) -> list[str]:
    shown = None
    for position, move in enumerate(step.on(driver.platform)):
        try:
            last = position == len(step.on(driver.platform)) - 1
            shown = await driver.act(step.who, move, twice=step.twice and last, lent=step.lent)
        except AssertionError as error:
            raise AssertionError(f"{driver.platform}: {step.who}, {move}: {error}") from error
    said = shown.words if shown is not None else []
    wanted = step.says.split()
    text = " ".join(said)
    assert " ".join(wanted) in text, f"{driver.platform}: {step.who} was told {text[:1500]!r}, not {step.says!r}"
    return said
