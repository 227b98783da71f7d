"""Writes the tables of docs/platforms.md: ``python -m tests.tools.parity``. A test holds them current."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tests.scenarios.acts import SCENARIOS
from tests.scenarios.kinds import KINDS, NOT_PRESSED, NOT_SHOWN, scenarios_of
from tests.scenarios.rows import ALIKE, LEFT_OUT
from tests.scenarios.script import Step

DOC = Path(__file__).parents[2] / "docs" / "platforms.md"
BEGIN, END = "<!-- written by python -m tests.tools.parity -->", "<!-- end of what is written -->"


def tables() -> str:
    return "\n".join([*_interactions(), "", *_scenarios(), "", *_differences()])


def _interactions() -> Iterable[str]:
    yield "| Interaction | Slack | Teams | Pressed on both in |"
    yield "|---|---|---|---|"
    for kind in KINDS:
        yield f"| {kind.title} | {kind.in_slack} | {kind.in_teams} | {', '.join(scenarios_of(kind))} |"


def _scenarios() -> Iterable[str]:
    yield "| Scenario | Steps | What happens |"
    yield "|---|---|---|"
    for each in SCENARIOS:
        yield f"| {each.name} | {sum(isinstance(step, Step) for step in each.steps)} | {each.about} |"


def _differences() -> Iterable[str]:
    yield "| Worded or shown differently | Where | Why |"
    yield "|---|---|---|"
    why: dict[str, list[str]] = {}
    for each in SCENARIOS:
        for step in each.steps:
            if isinstance(step, Step) and step.differs and each.name not in why.setdefault(step.differs, []):
                why[step.differs].append(each.name)
    for reason, names in why.items():
        yield f"| an answer | {', '.join(names)} | {reason} |"
    for platform in ("slack", "teams"):
        for name, reason in sorted(NOT_PRESSED[platform].items()):
            yield f"| `{name}` is not pressed | {platform.title()} | {reason} |"
        for name, reason in sorted(NOT_SHOWN[platform].items()):
            yield f"| `{name}` is not shown | {platform.title()} | {reason} |"
    for name, reason in LEFT_OUT.items():
        yield f"| `{name}` is not compared | | {reason} |"
    for name, reason in ALIKE.items():
        yield f"| {name} | | {reason} |"


def document(text: str) -> str:
    """The page with its tables as they are now."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{DOC.name} has no marks for the tables")
    return f"{before}{BEGIN}\n\n{tables()}\n\n{END}{after}"


if __name__ == "__main__":
    DOC.write_text(document(DOC.read_text("utf-8")), "utf-8")
