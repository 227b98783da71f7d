"""One process of Gatehouse: the real services over a database file, a cloud and a chat that outlive it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from bot.delivery import Deliverer
from bot.domain.findings import Account, Finding, Resource, Severity, Sighting, SourceStatus
from bot.domain.ids import digest
from bot.domain.principals import Platform
from bot.engine import Engine
from bot.evidence import checkpoints
from bot.governance.people import People
from bot.governance.policy import Policy
from bot.intake.service import Intake
from bot.intake.stewardship import Stewardship
from bot.ports import Page
from bot.remediation.approval import Approvals
from bot.remediation.execution import Executor
from bot.remediation.planning import Planner
from bot.reports.board import Board
from bot.settings import Settings
from bot.store.database import Database
from handlers.slack import app as slack
from handlers.slack.desk import Desk
from handlers.slack.directory import SlackDirectory
from handlers.slack.poster import SlackPoster

from .outside import ACCOUNT, BUCKET, DB_ERRORS, FILE_ERRORS, Book, Chat, Clock, Cloud, Gate, Ids, Killed, Life

PEOPLE = {
    "olga": {"name": "Olga Owner", "team": "platform", "slack": "T1/UOLGA"},
    "ann": {"name": "Ann Approver", "slack": "T1/UANN"},
    "abe": {"name": "Abe Approver", "slack": "T1/UABE"},
}


@cache
def settings(folder: Path) -> Settings:
    return Settings(
        people=PEOPLE,
        groups={"cloud-approvers": {"slack": "SAPPROVERS"}},
        governance={"rules": [{"name": "two", "quorum": 2}]},
        slack={"team": "T1"},
        routing={
            "owners": {"platform": {"name": "Platform", "channels": ["slack:C1"]}},
            "rules": [{"name": "all", "owner": "platform"}],
            "fallback": ["slack:COPS"],
        },
        evidence={"checkpoint_file": str(folder / "witness.txt")},
    )


@cache
def policy() -> Policy:
    return Policy.load(settings(Path("/nowhere")).governance)


class Mapper:
    """Reads the one finding there is."""

    source = "toy"

    def sight(self, raw: Mapping[str, Any]) -> Sighting:
        return Sighting(uid=str(raw["uid"]), content=digest(raw)[:32])

    def map(self, raw: Mapping[str, Any]) -> Finding:
        return Finding(
            source=self.source, uid=str(raw["uid"]), title="Bucket is public", rule_uid="public-bucket",
            severity=Severity.HIGH, result=SourceStatus.NEW, result_word="NEW", internet_exposed=True,
            resource=Resource(uid=BUCKET, name="invoices", type="bucket", tags={"env": "dev"}),
            account=Account(uid=ACCOUNT, name="acme", provider="aws"),
        )  # fmt: skip


class FaultyDatabase(Database):
    """Every transaction passes the gate. It runs on the loop's own thread: so the numbering is the same each time."""

    def __init__(self, url: str, gate: Gate, life: Life) -> None:
        super().__init__(url, readers=1)
        self._gate, self._life = gate, life

    async def write(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        def rolled_back() -> None:
            with self.engine.connect().execution_options(gatehouse_write=True) as conn:
                transaction = conn.begin()
                fn(conn, *args, **kwargs)
                transaction.rollback()

        def work() -> Any:
            return self.write_sync(fn, *args, **kwargs)

        return self._gate.through(self._life, "db-write", _name(fn), work, DB_ERRORS, half=rolled_back)

    async def read(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        def work() -> Any:
            return self.read_sync(fn, *args, **kwargs)

        return self._gate.through(self._life, "db-read", _name(fn), work, DB_ERRORS)


def _name(fn: Callable[..., Any]) -> str:
    return getattr(fn, "__qualname__", "") or getattr(getattr(fn, "func", None), "__qualname__", "?")


class FaultyCheckpoints(checkpoints.Checkpoints):
    """Appending to the witness file passes the gate."""

    def __init__(self, *args: Any, gate: Gate, life: Life) -> None:
        super().__init__(*args)
        self._gate, self._life = gate, life

    def _write_file(self) -> None:
        newest = self._newest_in_file()
        rows = self._db.read_sync(checkpoints.ledger.checkpoints, above=newest.size if newest else -1)
        path = self._settings.evidence.checkpoint_file
        assert path is not None
        if not rows:
            return

        def torn() -> None:
            with path.open("ab") as file:
                file.write(f"gatehouse\n{rows[0].size}".encode())

        self._gate.through(self._life, "file", "witness", super()._write_file, FILE_ERRORS, half=torn)


class Process:
    def __init__(
        self, folder: Path, gate: Gate, clock: Clock, ids: Ids, cloud: Cloud, chat: Chat, url: str = ""
    ) -> None:
        self.life, self.clock = Life(), clock
        life, made = self.life, settings(folder)
        self.db = FaultyDatabase(url or f"sqlite:///{folder}/gatehouse.db", gate, life)
        client, session, book, rules = chat.client(life), cloud.of(life), Book(), policy()
        directory = SlackDirectory(client, made, clock, team="T1")
        people = People(self.db, made, {Platform.SLACK: directory}, clock, ids)
        planner = Planner(self.db, book, session, clock, ids, made.governance)
        self.engine = Engine(
            db=self.db,
            settings=made,
            clock=clock,
            ids=ids,
            board=Board(self.db, made, book, clock, policy=rules, people=people),
            intake=Intake(self.db, made, book, clock, ids),
            stewardship=Stewardship(self.db, made, clock, ids, rules),
            people=people,
            policy=rules,
            planner=planner,
            approvals=Approvals(self.db, planner, rules, people, clock, ids),
            executor=Executor(self.db, book, session, rules, people, clock, ids, "worker", sleep=self._sleep),
        )
        self.desk = Desk(self.engine, made, client)
        self.deliverer = Deliverer(
            self.db, self.engine.board, {"slack": SlackPoster(client)}, clock, "worker", ids, pace_seconds=0
        )
        self.checkpoints = FaultyCheckpoints(self.db, made, clock, ids, gate=gate, life=life)

    async def _sleep(self, seconds: float) -> None:
        self.clock.forward(seconds)

    async def ingest(self, raw: Mapping[str, Any]) -> None:
        run = await self.engine.intake.begin("toy")
        await run.page(Mapper(), Page(items=[raw]))
        await run.finish()

    def acked(self) -> None:
        """The platform has its acknowledgement now."""

    async def deliver(self, body: dict[str, Any]) -> bool:
        """Hand the platform's delivery to the handler. Whether it was acknowledged."""
        acked = False

        async def ack(**_said: Any) -> None:
            nonlocal acked
            if self.life.dead:
                raise Killed
            acked = True
            self.acked()

        on = slack._on_submission(self.desk, self.engine.settings) if "view" in body else slack._on_action(self.desk)
        task = asyncio.ensure_future(on(ack, body))  # type: ignore[arg-type]
        while not task.done() and not self.life.dead:
            await asyncio.wait({task}, timeout=0)
        if not task.done():
            task.cancel()  # it waits for something that the dead process never brings
        with contextlib.suppress(Exception, Killed, asyncio.CancelledError):
            await task
        if not self.life.dead:
            await self.desk.drain()
        return acked

    async def turn(self) -> int:
        """What the loops and the housekeeping of a running process do, once."""
        worked = 0
        for work in (
            self.deliverer.work_once,
            self.engine.executor.work_once,
            self._resume,
            self.engine.approvals.expire_due,
            self.engine.stewardship.wake_due,
            self.checkpoints.tick,
        ):
            try:
                worked += int(bool(await work()))
            except Exception:
                continue
            except BaseException:
                if not self.life.dead:
                    raise
            if self.life.dead:
                return 0
        return worked

    async def _resume(self) -> int:
        return await slack.resume(self.desk)

    async def abandon(self) -> None:
        """What the end of a process does: its tasks stop where they are, its connections close."""
        self.life.dead = True
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.db.close_sync()
