"""Plays a scenario: all on one platform, or every step on the other one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from .compare import Names, Outcome, outcome, spoken
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


@dataclass
class Played:
    outcome: Outcome
    pressed: dict[str, set[str]] = field(default_factory=dict)


async def play(lab: Lab, scenario: Scenario, way: str) -> Played:
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
            number += not step.stay
            last[step.who] = platform
            lab.slack.answering = lab.tenant.answering = True
            said = await _step(run, drivers[platform], step)
            lab.slack.answering = lab.tenant.answering = False
            heard.append((platform, step.says.split() if step.differs else said))
            run.services.clock.pass_(seconds=30)
            await run.services.settle()
        made = await outcome(run)
        names = Names()
        made.heard = [(platform, spoken(said, names)) for platform, said in heard]
        return Played(made, {name: driver.pressed for name, driver in drivers.items()})


async def _step(run: Run, driver: Driver, step: Step) -> list[str]:
    shown = None
    for position, move in enumerate(step.moves):
        try:
            last = position == len(step.moves) - 1
            shown = await driver.act(step.who, move, twice=step.twice and last, lent=step.lent)
        except AssertionError as error:
            raise AssertionError(f"{driver.platform}: {step.who}, {move}: {error}") from error
    said = shown.words if shown is not None else []
    wanted = step.says.split()
    text = " ".join(said)
    assert " ".join(wanted) in text, f"{driver.platform}: {step.who} was told {text[:1500]!r}, not {step.says!r}"
    return said
