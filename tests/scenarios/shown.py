"""Which builders of cards were shown on which platform: every Card made is noted with the function that made it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any
from unittest.mock import patch

from cards import adaptive, attention, blockkit, build, found, rules, welcome
from cards.model import Card
from handlers.common import delegation, forms
from handlers.teams import commands

HOUSES: tuple[ModuleType, ...] = (build, attention, found, rules, welcome, forms, delegation, commands)


def builders() -> set[str]:
    """Every public function that makes a card, by the module and name it is defined with."""
    found = set()
    for house in HOUSES:
        for _, function in inspect.getmembers(house, inspect.isfunction):
            if function.__name__.startswith("_") or not function.__module__.startswith(("cards.", "handlers.")):
                continue
            if inspect.signature(function).return_annotation in {"Card", Card}:
                found.add(_called(function.__module__, function.__name__))
    return found


def _called(module: str, name: str) -> str:
    return f"{module.rpartition('.')[2]}.{name}"


@dataclass
class Shown:
    by: dict[str, set[str]] = field(default_factory=lambda: {"slack": set(), "teams": set()})
    made: dict[int, tuple[Card, set[str]]] = field(default_factory=dict)  # held, so that its id is its own


@contextmanager
def noted(shown: Shown) -> Iterator[None]:
    made = Card.__init__

    def init(self: Card, *args: Any, **given: Any) -> None:
        made(self, *args, **given)
        frame, found = inspect.currentframe(), set[str]()
        for _ in range(4):  # the builder, and builders that call it
            frame = frame.f_back if frame else None
            if frame is not None:
                found.add(_called(str(frame.f_globals.get("__name__", "")), frame.f_code.co_name))
        if found & known:
            shown.made[id(self)] = (self, found & known)

    def seen(platform: str, render: Callable[..., Any]) -> Callable[..., Any]:
        def rendered(card: Card, *args: Any, **given: Any) -> Any:
            if id(card) in shown.made:
                shown.by[platform] |= shown.made[id(card)][1]
            return render(card, *args, **given)

        return rendered

    known = builders()
    with (
        patch.object(Card, "__init__", init),
        patch.object(blockkit, "message", seen("slack", blockkit.message)),
        patch.object(blockkit, "modal", seen("slack", blockkit.modal)),
        patch.object(blockkit, "home", seen("slack", blockkit.home)),
        patch.object(adaptive, "content", seen("teams", adaptive.content)),
        patch.object(adaptive, "task", seen("teams", adaptive.task)),
    ):
        yield
