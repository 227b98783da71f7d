"""A process of the story that is a real one: it asks its parent before each call, and kills itself where told to."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from sqlalchemy import event

from .outside import Chat, Cloud, Effect, Gate, Life, _slack_error
from .process import Process


class Parent:
    """The child's line to its parent: one question, one answer."""

    def __init__(self, line: Connection) -> None:
        self._line = line

    def ask(self, what: str, *given: Any) -> Any:
        self._line.send((what, given))
        return self._line.recv()

    def say(self, what: str, *given: Any) -> None:
        self._line.send((what, given))


class KillingGate(Gate):
    """Asks before each call, and obeys."""

    def __init__(self, parent: Parent) -> None:
        super().__init__()
        self._parent, self.dying = parent, False

    def through(
        self,
        life: Life,
        kind: str,
        name: str,
        effect: Callable[[], Any],
        errors: Mapping[str, Callable[[], Exception]],
        *,
        half: Callable[[], object] | None = None,
    ) -> Any:
        mode = self._parent.ask("pick", kind, name)
        if mode == "kill-before":
            die()
        if mode in {"kill-within", "torn"}:
            assert half is not None
            self.dying = True  # a transaction that is rolled back kills: all was done, nothing committed
            half()
            die()
        made = effect()
        if mode == "kill-after":
            die()
        return made


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(60)  # not reached


class RemoteClock:
    def __init__(self, parent: Parent) -> None:
        self._parent = parent

    def now(self) -> datetime:
        made: datetime = self._parent.ask("now")
        return made

    def forward(self, seconds: float) -> None:
        self._parent.ask("forward", seconds)


class RemoteIds:
    def __init__(self, parent: Parent) -> None:
        self._parent = parent

    def new(self, prefix: str) -> str:
        return str(self._parent.ask("id", prefix))


class RemoteCloud(Cloud):
    def __init__(self, gate: Gate, parent: Parent) -> None:
        self.gate, self._parent = gate, parent
        self.effects: list[Effect] = []  # kept by the parent

    @property
    def bucket(self) -> dict[str, Any]:  # type: ignore[override]
        return dict(self._parent.ask("bucket"))

    def apply(self, call: Any, key: str) -> dict[str, Any]:
        return dict(self._parent.ask("apply", call, key))


class RemoteChat(Chat):
    def __init__(self, gate: Gate, parent: Parent) -> None:
        super().__init__(gate)
        self._parent = parent

    def answer(self, method: str, given: dict[str, Any]) -> dict[str, Any]:
        made = self._parent.ask("answer", method, given)
        if isinstance(made, str):
            raise _slack_error(made, 200)
        return dict(made)


class Child(Process):
    parent: Parent

    def acked(self) -> None:
        self.parent.say("acked")


def child(line: Connection, folder: Path, url: str) -> None:
    """What the child process runs: it does what it is told until it is killed or the line closes."""
    logging.disable(logging.CRITICAL)
    parent = Parent(line)
    gate = KillingGate(parent)

    async def live() -> None:
        what, given = line.recv()  # from here on the parent answers
        made = Child(
            folder, gate, RemoteClock(parent), RemoteIds(parent), RemoteCloud(gate, parent),  # type: ignore[arg-type]
            RemoteChat(gate, parent), url,
        )  # fmt: skip
        made.parent = parent

        @event.listens_for(made.db.engine, "rollback")
        def _within(_conn: Any) -> None:
            if gate.dying:
                die()

        while True:
            said: Any = None
            try:
                said = await getattr(made, what)(*given)
            except Exception as error:
                logging.debug("%s: %s", what, error)
            line.send(("done", (said,)))
            what, given = line.recv()

    with contextlib.suppress(EOFError):
        asyncio.run(live())
