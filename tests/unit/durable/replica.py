"""One replica as a process of its own, for the tests that kill and stop it: ``python -m tests.unit.durable.replica``.

It runs the real ``Durable`` and the real scheduler; its work writes lines to a file, so that a test sees what was done
by whom. ``job`` waits while the file ``hold`` is there and then has its effect through the guarded door.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from pathlib import Path
from typing import Any

from bot.domain.ids import SystemClock
from bot.domain.plans import Call
from bot.durable.guard import GuardedClouds
from bot.durable.replicas import Superseded
from bot.durable.service import Durable
from bot.ports import Attribution
from bot.scheduler import Scheduler
from bot.store.database import Database

from .lamps import work


def note(folder: Path, *words: str) -> None:
    with (folder / "log").open("a") as out:
        out.write(" ".join(words) + "\n")


class NotedClouds:
    """A cloud whose every change is a line."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder, self._name = folder, name

    def reader(self, why: Attribution) -> Any:
        return self

    def writer(self, why: Attribution) -> Any:
        return self

    async def read(self, call: Call) -> dict[str, Any]:
        return {}

    async def write(self, call: Call, *, idempotency_key: str) -> dict[str, Any]:
        note(self._folder, "effect", idempotency_key, self._name)
        return {}


async def main() -> None:
    told = json.loads(sys.argv[1])
    folder, name = Path(told["folder"]), told["name"]
    clock = SystemClock()
    db = Database(told["url"])
    durable = Durable(db, name, clock, ttl=told.get("ttl", 2.0), grace=5)
    cloud = GuardedClouds(NotedClouds(folder, name), durable.membership.confirm).writer(Attribution())
    call = Call(provider="aws", account="1", region="", service="s3", operation="put", params={})

    async def job(key: str) -> str:
        note(folder, "begun", key, name)
        while (folder / "hold").exists():  # noqa: ASYNC110 - the test, another process, takes it away
            await asyncio.sleep(0.05)
        if not (folder / f"done-{key}").exists():  # reading before writing, as executions do
            await cloud.write(call, idempotency_key=key)
            (folder / f"done-{key}").touch()
        return "done"

    async def tick(key: str) -> str:
        note(folder, "tick", key, name)
        return "ticked"

    durable.handle("job", job)
    durable.handle("poll", tick)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    executions = None
    if told.get("executions"):
        executions = work(durable, db, folder, name, durable.membership.confirm, told.get("timeout", 1.5))
    await durable.start()
    handing = asyncio.create_task(executions.hand_over(stop)) if executions else None
    scheduler = Scheduler(durable, [("poll", "source", seconds) for seconds in told.get("ticks", [])], clock)
    try:
        scheduler.start()
        for key in told.get("jobs", []):
            await durable.submit("job", key)
        note(folder, "ready", "-", name)
        await durable.run(stop)
    except Superseded:
        note(folder, "superseded", "-", name)
    finally:
        stop.set()
        if handing is not None:
            await handing
        await scheduler.stop()
        await durable.stop()
        await db.close()


if __name__ == "__main__":
    asyncio.run(main())
