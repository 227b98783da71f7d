"""The executor's test world, with its cloud in a file that several processes share and that can hold a call up."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from bot.domain.ids import RandomIds, SystemClock
from bot.domain.plans import Call
from bot.durable.guard import Confirm, GuardedClouds
from bot.durable.service import Durable
from bot.durable.work import Work
from bot.ports import Attribution
from bot.remediation.execution import Executor
from bot.store.database import Database
from tests.unit.remediation.conftest import DarkLamps, FakeDirectory, Lamps, OneBook, World


class FileLamps(Lamps):
    """Lamps in a JSON file. A file ``hold-after`` keeps a call from answering after its effect."""

    def __init__(self, folder: Path, name: str) -> None:
        super().__init__()
        self._file, self._log, self._hold, self._name = (
            folder / "lamps.json", folder / "log", folder / "hold-after", name,
        )  # fmt: skip

    async def read(self, call: Call) -> dict[str, Any]:
        self.lamps = json.loads(self._file.read_text())
        return await super().read(call)

    async def write(self, call: Call, *, idempotency_key: str) -> dict[str, Any]:
        self.lamps = json.loads(self._file.read_text())
        await super().write(call, idempotency_key=idempotency_key)
        self._file.write_text(json.dumps(self.lamps))
        with self._log.open("a") as out:
            out.write(f"effect {call.params['lamp']}.{call.operation} {self._name}\n")
        while self._hold.exists():  # noqa: ASYNC110 - the test, another process, takes it away
            await asyncio.sleep(0.05)
        return {}


class Holding:
    """In front of the guarded door: a call waits here while a file ``hold`` is there."""

    def __init__(self, inner: Any, folder: Path, name: str) -> None:
        self._inner, self._folder, self._name = inner, folder, name

    def reader(self, why: Attribution) -> Any:
        return self._inner.reader(why)

    def writer(self, why: Attribution) -> Any:
        return Holding(self._inner.writer(why), self._folder, self._name)

    async def read(self, call: Call) -> dict[str, Any]:
        found: dict[str, Any] = await self._inner.read(call)
        return found

    async def write(self, call: Call, *, idempotency_key: str) -> dict[str, Any]:
        with (self._folder / "log").open("a") as out:
            out.write(f"calling {idempotency_key} {self._name}\n")
        while (self._folder / "hold").exists():  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.05)
        written: dict[str, Any] = await self._inner.write(call, idempotency_key=idempotency_key)
        return written


class NoMessages:
    async def work_once(self) -> int:
        return 0


def work(durable: Durable, db: Database, folder: Path, name: str, confirm: Confirm, timeout: float = 1.5) -> Work:
    """The real executor behind the real hand-over, as one replica has them."""
    world = World.__new__(World)
    world.db, world.clock, world.ids = db, SystemClock(), RandomIds()  # type: ignore[assignment]
    world.cloud = Holding(GuardedClouds(FileLamps(folder, name), confirm), folder, name)  # type: ignore[assignment]
    world.directory = FakeDirectory(world.clock, members={"SAPPROVERS": {"UANN", "UABE", "USUE"}})
    world.catalog = OneBook(DarkLamps())
    world.govern()
    executor = Executor(
        db, world.catalog, world.cloud, world.policy, world.people, world.clock, world.ids, name,  # type: ignore[arg-type]
        call_timeout=timeout,
    )  # fmt: skip
    return Work(durable, db, executor, None, [], NoMessages(), [], world.clock)  # type: ignore[arg-type]
