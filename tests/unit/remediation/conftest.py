"""A world to carry plans out in: an in-memory cloud, one small playbook, five people, a real SQLite file."""

from __future__ import annotations

import json
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, create_engine, insert, select, update

from bot.domain.decisions import Choice
from bot.domain.errors import Gone, NotFound, OutcomeUnknown, Refused
from bot.domain.findings import Account, Finding, Resource
from bot.domain.plans import BlastRadius, Call, Change, Reversibility, Risk, Target
from bot.domain.principals import Actor, Platform, PlatformIdentity, Standing
from bot.domain.views import RequestView
from bot.governance.in_force import InForce
from bot.governance.people import People
from bot.governance.policy import Policy
from bot.ports import Attribution, PlaybookInfo, State, Verification
from bot.remediation.approval import Approvals
from bot.remediation.execution import Executor
from bot.remediation.planning import Planner
from bot.settings import Settings
from bot.store import ledger, plans
from bot.store.database import Database
from bot.store.tables import CauseRow, FindingRow, LedgerRow, ObservationRow, OutboxRow, PostRow, metadata

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
ACCOUNT = "111122223333"


class Crash(BaseException):
    """The process died here."""


class FakeClock:
    def __init__(self) -> None:
        self.at = START

    def now(self) -> datetime:
        return self.at

    def pass_(self, **kwargs: float) -> None:
        self.at += timedelta(**kwargs)


class CountingIds:
    def __init__(self) -> None:
        self.count = 0

    def new(self, prefix: str) -> str:
        self.count += 1
        return f"{prefix}-{self.count:06d}"


class Lamps:
    """The cloud: lamps that can be on or off, and their colour. ``effects`` is every write that really happened."""

    def __init__(self) -> None:
        self.lamps: dict[str, dict[str, Any]] = {}
        self.effects: list[tuple[str, str]] = []
        self.opened: list[tuple[str, Attribution]] = []
        self.before_write: Callable[[Call], Awaitable[None]] | None = None
        self.after_write: Callable[[Call], Awaitable[None]] | None = None
        self.before_read: Callable[[Call], Awaitable[None]] | None = None
        self.keys: list[str] = []

    def reader(self, why: Attribution) -> Lamps:
        self.opened.append(("reader", why))
        return self

    def writer(self, why: Attribution) -> Lamps:
        self.opened.append(("writer", why))
        return self

    async def read(self, call: Call) -> dict[str, Any]:
        if self.before_read:
            await self.before_read(call)
        name = str(call.params["lamp"])
        if name not in self.lamps:
            raise Gone(f"there is no lamp {name}")
        return dict(self.lamps[name])

    async def write(self, call: Call, *, idempotency_key: str) -> dict[str, Any]:
        if self.before_write:
            await self.before_write(call)
        name = str(call.params["lamp"])
        field_name = {"switch": "on", "paint": "colour"}[call.operation]
        self.lamps[name][field_name] = call.params["to"]
        self.effects.append((name, call.operation))
        self.keys.append(idempotency_key)
        if self.after_write:
            await self.after_write(call)
        return {}


class DarkLamps:
    """The playbook: every lamp off and grey. Two changes a lamp."""

    def __init__(self, risk: Risk = Risk.LOW) -> None:
        self.info = PlaybookInfo(
            id="lamps-off", version=1, title="Switch lamps off", provider="fake", target_kind="lamp",
            rules=frozenset({"lamp-on"}), risk=risk, reversibility=Reversibility.EXACT, danger="It gets dark.",
            undo_exposes=True,
        )  # fmt: skip

    def target(self, finding: Finding) -> Target | None:
        if finding.resource.type != "lamp":
            return None
        return Target(provider="fake", account=ACCOUNT, region="here", kind="lamp", uid=finding.resource.uid,
                      name=finding.resource.name)  # fmt: skip

    def call(self, target: Target, operation: str, **params: Any) -> Call:
        return Call(provider="fake", account=ACCOUNT, region="here", service="lamps", operation=operation,
                    params={"lamp": target.uid, **params})  # fmt: skip

    async def inspect(self, cloud: Any, target: Target) -> State:
        return await cloud.read(self.call(target, "get"))

    def _to(self, target: Target, state: State, want: Mapping[str, Any]) -> list[Change]:
        made = []
        for name, operation in (("on", "switch"), ("colour", "paint")):
            if state[name] != want[name]:
                made.append(
                    Change(
                        summary=f"{operation} {target.uid} to {want[name]}",
                        target=target,
                        before={name: state[name]},
                        after={name: want[name]},
                        call=self.call(target, operation, to=want[name]),
                    )
                )
        return made

    def changes(self, target: Target, state: State) -> list[Change]:
        return self._to(target, state, {"on": False, "colour": "grey"})

    def undo(self, target: Target, pre: State, now: State) -> list[Change]:
        return self._to(target, now, pre)

    def verify(self, target: Target, state: State) -> Verification:
        return Verification(not state["on"], "" if not state["on"] else "the lamp is still on")

    def blast_radius(self, targets: Sequence[Target], states: Mapping[str, State]) -> BlastRadius:
        return BlastRadius(resources=len(targets), accounts=1, summary=f"{len(targets)} lamps")


class OneBook:
    def __init__(self, book: DarkLamps) -> None:
        self.book = book

    def all(self) -> Iterable[DarkLamps]:
        return [self.book]

    def get(self, playbook_id: str) -> DarkLamps:
        if playbook_id != "lamps-off":
            raise NotFound(f"There is no playbook {playbook_id}.")  # as the real catalog answers
        return self.book

    def for_finding(self, finding: Finding) -> DarkLamps | None:
        return self.book if finding.rule_uid == "lamp-on" else None

    def for_rule(self, source: str, rule_uid: str) -> DarkLamps | None:
        return self.book if rule_uid == "lamp-on" else None


@dataclass
class FakeDirectory:
    clock: FakeClock
    odd: dict[str, dict[str, bool]] = field(default_factory=dict)
    members: dict[str, set[str]] = field(default_factory=dict)
    broken: Exception | None = None
    reads: int = 0

    async def standing(self, who: PlatformIdentity) -> Standing:
        self.reads += 1
        if self.broken:
            raise self.broken
        said = {"active": True, "guest": False, "external": False, "bot": False} | self.odd.get(who.user, {})
        return Standing(**said, checked_at=self.clock.now())

    async def groups(self, who: PlatformIdentity) -> frozenset[str]:
        return frozenset(group for group, users in self.members.items() if who.user in users)


PEOPLE = {
    "olga": {"name": "Olga Owner", "team": "platform", "slack": "T1/UOLGA"},
    "ann": {"name": "Ann Approver", "slack": "T1/UANN"},
    "abe": {"name": "Abe Approver", "slack": "T1/UABE"},
    "sue": {"name": "Sue Platform", "team": "platform", "slack": "T1/USUE"},
    "nick": {"name": "Nick Newcomer", "slack": "T1/UNICK"},
}
GROUPS = {"cloud-approvers": {"slack": "SAPPROVERS"}}


def who(user: str, tenant: str = "T1") -> PlatformIdentity:
    return PlatformIdentity(platform=Platform.SLACK, tenant=tenant, user=user)


def _empty(folder: Path) -> Path:
    """A database with the schema and nothing else, made once a test and copied for each world."""
    path = folder / "empty.db"
    if not path.exists():
        engine = create_engine(f"sqlite:///{path}")
        metadata.create_all(engine)
        engine.dispose()
    return path


class World:
    def __init__(
        self, path: Path | str, *, risk: Risk = Risk.LOW, lamps: Sequence[str] = ("desk", "hall"), **governance: Any
    ) -> None:
        self.clock, self.ids, self.cloud = FakeClock(), CountingIds(), Lamps()
        if isinstance(path, Path):
            shutil.copyfile(_empty(path.parent), path)
            self.db = Database(f"sqlite:///{path}")
        else:
            self.db = Database(path)
            metadata.create_all(self.db.engine)
        self.directory = FakeDirectory(self.clock, members={"SAPPROVERS": {"UANN", "UABE", "USUE"}})
        self.catalog = OneBook(DarkLamps(risk))
        self.slept: list[float] = []
        self.govern(**governance)
        self.cause = "c-1"
        for name in lamps:
            self.cloud.lamps[name] = {"on": True, "colour": "red"}
        self.db.write_sync(self._seed)

    def govern(self, **governance: Any) -> None:
        """The services as they would be built with these settings (a restart)."""
        self.settings = Settings(people=PEOPLE, groups=GROUPS, governance=governance)  # type: ignore[arg-type]
        self.policy = Policy.load(self.settings.governance)
        self.people = People(self.db, self.settings, {Platform.SLACK: self.directory}, self.clock, self.ids)
        self.planner = Planner(
            self.db,
            self.catalog,
            self.cloud,
            self.clock,
            self.ids,
            self.settings.governance,  # type: ignore[arg-type]
        )
        self.in_force = InForce(self.policy.version)
        self.approvals = Approvals(self.db, self.planner, self.policy, self.people, self.clock, self.ids, self.in_force)
        self.executor = self.new_executor("w1")

    def new_executor(self, worker: str) -> Executor:
        async def sleep(seconds: float) -> None:
            self.slept.append(seconds)
            self.clock.pass_(seconds=seconds)

        return Executor(
            self.db, self.catalog, self.cloud, self.policy, self.people, self.clock, self.ids, worker,  # type: ignore[arg-type]
            sleep=sleep, in_force=getattr(self, "in_force", None),
        )  # fmt: skip

    def _seed(self, conn: Connection) -> None:
        conn.execute(
            insert(CauseRow.__table__),  # type: ignore[attr-defined]
            {"id": self.cause, "key": "lamps", "title": "Lamps are on", "rule_uid": "lamp-on", "source": "test",
             "playbook": "lamps-off", "owner": "platform", "first_seen": START, "open_count": 2, "total_count": 2,
             "resource_count": 2, "revision": 0, "changed_at": START, "provider": "fake", "account_uid": ACCOUNT,
             "account_name": "", "environment": "dev", "owner_reason": "", "channels": '["slack:C1"]', "severity": 4,
             "decision": "Act", "priority": 2, "state": "open", "note": ""},
        )  # fmt: skip
        conn.execute(
            insert(PostRow.__table__),  # type: ignore[attr-defined]
            {"id": "post-1", "kind": "cause", "subject": self.cause, "platform": "slack", "channel": "C1",
             "message_id": "1.1", "shown_revision": 0},
        )  # fmt: skip
        for name in self.cloud.lamps:
            self.add_finding(conn, name)

    def add_finding(self, conn: Connection, lamp: str, uid: str = "") -> str:
        finding = Finding(
            source="test",
            uid=uid or f"on-{lamp}",
            title="Lamp is on",
            rule_uid="lamp-on",
            resource=Resource(uid=lamp, name=lamp, type="lamp"),
            account=Account(uid=ACCOUNT, provider="fake"),
        )
        conn.execute(
            insert(FindingRow.__table__),  # type: ignore[attr-defined]
            {"id": finding.id, "source": "test", "uid": finding.uid, "class_uid": 2003, "title": finding.title,
             "rule_uid": "lamp-on", "severity": 4, "result": 1, "status": "open", "status_reason": "", "content": "x",
             "scope": "", "resource_id": "", "resource_uid": lamp, "resource_name": lamp, "resource_type": "lamp",
             "region": "", "provider": "fake", "account_uid": ACCOUNT, "account_name": "", "environment": "dev",
             "owner": "platform", "cve": "", "decision": "Act", "priority": 2, "cause_id": self.cause,
             "first_seen": START, "changed_at": START, "reopened": 0},
        )  # fmt: skip
        conn.execute(
            insert(ObservationRow.__table__),  # type: ignore[attr-defined]
            {"finding_id": finding.id, "content": "x", "at": START, "poll_id": "p", "raw": b"{}",
             "doc": finding.model_dump_json().encode(), "verdict": b"{}"},
        )  # fmt: skip
        return finding.id

    async def actor(self, user: str) -> Actor:
        return await self.people.actor(who(user))

    async def ask(self, user: str = "UOLGA") -> RequestView:
        actor = await self.actor(user)
        view = await self.approvals.look(self.cause, actor)
        return await self.approvals.ask(view.plan.id, view.plan_hash, actor, "please")

    async def vote(
        self, request: RequestView, user: str = "UANN", choice: Choice = Choice.APPROVE, **kw: Any
    ) -> RequestView:
        actor = await self.actor(user)
        return await self.approvals.vote(
            request.id,
            kw.pop("plan_hash", request.plan_hash),
            kw.pop("revision", request.revision),
            actor,
            choice,
            **kw,
        )

    async def approved(self) -> str:
        """Asked by Olga, approved by Ann: the queued execution."""
        request = await self.vote(await self.ask())
        assert request.state.value == "approved"
        found = await self.db.read(plans.execution_of_request, request.id)
        assert found
        return found

    async def execution(self, execution_id: str) -> plans.Execution:
        return await self.db.read(plans.execution, execution_id)

    async def steps(self, execution_id: str) -> list[plans.Step]:
        return await self.db.read(plans.steps, execution_id)

    async def kinds(self) -> list[str]:
        table = LedgerRow.__table__  # type: ignore[attr-defined]
        return await self.db.read(lambda conn: list(conn.execute(select(table.c.kind).order_by(table.c.seq)).scalars()))

    async def lines(self) -> list[str]:
        table = OutboxRow.__table__  # type: ignore[attr-defined]
        rows = await self.db.read(
            lambda conn: list(
                conn.execute(select(table.c.payload).where(table.c.kind == "thread").order_by(table.c.seq)).scalars()
            )
        )
        return [json.loads(row)["line"] for row in rows]

    async def ledger_ok(self) -> bool:
        return (await self.db.read(ledger.verify)).ok

    async def finding_statuses(self) -> set[str]:
        table = FindingRow.__table__  # type: ignore[attr-defined]
        return await self.db.read(lambda conn: set(conn.execute(select(table.c.status)).scalars()))

    async def alter(self, table: Any, **values: Any) -> None:
        await self.db.write(lambda conn: conn.execute(update(table).values(values)) and None)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    made = World(tmp_path / "gatehouse.db")
    yield made
    await made.db.close()


@pytest.fixture
def make_world(tmp_path: Path) -> Callable[..., World]:
    return lambda name="gatehouse.db", **kwargs: World(tmp_path / name, **kwargs)


__all__ = ["Crash", "OutcomeUnknown", "Refused", "World", "who"]
