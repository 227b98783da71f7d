"""A day in the life: six simulated vendors, many findings, faults, and at the end our state is theirs, exactly.

    python -m tests.bench.day [-n 100000] [--polls 200] [--every 10] [--postgres URL] [--json]

Wiz, Prisma Cloud, Orca, Lacework and Security Hub answer over HTTP (the last through boto3), Prowler writes files.
Before each round of polls ``--change`` of all problems change (new, solved, reopened, rated otherwise, tagged); in two
rounds of three something goes wrong with each source: 429, 500, 503, a token that ended, a body that was cut, a page
token that is no longer good, a file that was cut. After every so many rounds (``--every``) come a quiet day and two
quiet rounds, and our findings are compared with the simulators' problems: uid, status, severity. Time does not pass but
is moved: an hour a round, and whatever a client would have slept.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer
from sqlalchemy import select

from bot.domain.ids import RandomIds
from bot.intake.service import Intake
from bot.polling import Polling, Source
from bot.ports import Attribution, FindingMapper
from bot.remediation.catalog import builtin_catalog
from bot.sandbox.vendors.company import START, Problem, World
from bot.sandbox.vendors.lacework import LaceworkSimulator
from bot.sandbox.vendors.orca import OrcaSimulator
from bot.sandbox.vendors.prisma_cloud import KEY, SECRET, PrismaCloud
from bot.sandbox.vendors.prowler import Prowler
from bot.sandbox.vendors.security_hub import REGION, SecurityHub
from bot.sandbox.vendors.wiz import Wiz
from bot.sandbox.vendors.wiz_objects import CONFIGURATION, ISSUES, VULNERABILITIES
from bot.settings import AwsSettings, Settings
from bot.store.database import Database
from bot.store.migrate import upgrade
from bot.store.tables import FindingRow, PollRow
from connectors.aws import AwsClouds
from connectors.http import HttpClient, Pace
from connectors.lacework.client import LaceworkApi
from connectors.lacework.mapping import LaceworkMapper
from connectors.lacework.options import LaceworkOptions
from connectors.lacework.poller import LaceworkPoller
from connectors.options import parse
from connectors.orca.client import OrcaApi
from connectors.orca.client import http_of as orca_http
from connectors.orca.mapping import OrcaMapper
from connectors.orca.options import OrcaOptions
from connectors.orca.poller import OrcaPoller
from connectors.prisma_cloud.client import PrismaApi
from connectors.prisma_cloud.client import http_of as prisma_http
from connectors.prisma_cloud.mapping import PrismaCloudMapper
from connectors.prisma_cloud.options import PrismaOptions
from connectors.prisma_cloud.poller import PrismaPoller
from connectors.prowler.folder import ProwlerFolder
from connectors.prowler.mapping import ProwlerMapper
from connectors.security_hub.mapping import SecurityHubMapper
from connectors.security_hub.poller import SecurityHubPoller
from connectors.wiz.client import WizClient
from connectors.wiz.mapping import WizMapper
from connectors.wiz.options import WizOptions
from connectors.wiz.poller import WizPoller

FINDINGS = FindingRow.__table__  # type: ignore[attr-defined]
POLLS = PollRow.__table__  # type: ignore[attr-defined]
TOKEN = "a-token-of-the-simulation"
ROUND = timedelta(hours=1)
LEVELS = {"low": 2, "medium": 3, "high": 4, "critical": 5}
OPEN = {"new", "open", "reopened"}
Truth = dict[str, tuple[str, str]]  # uid -> (open | resolved | suppressed, severity)


class Clock:
    def __init__(self) -> None:
        self.moment = START + timedelta(days=30)

    def now(self) -> datetime:
        return self.moment

    def move(self, by: timedelta) -> None:
        self.moment += by

    async def sleep(self, seconds: float) -> None:
        self.moment += timedelta(seconds=seconds)

    def monotonic(self) -> float:
        return self.moment.timestamp()


@dataclass
class Vendor:
    """One simulator and our side of it. ``prepare`` runs before each poll (a scan writes its files)."""

    name: str
    world: World
    source: Source
    truth: Callable[[], Truth]
    harm: Callable[[Random], None]
    quiet: Callable[[], None]
    prepare: Callable[[], object] = lambda: None
    requests: int = 0
    serving: float = 0.0  # seconds spent inside the simulator
    polls: int = 0
    failed: int = 0
    seconds: float = 0.0


@dataclass
class Day:
    vendors: list[Vendor]
    clock: Clock
    db: Database
    polling: Polling
    random: Random
    wrong: list[str] = field(default_factory=list)
    compared: int = 0

    async def round(self, change: float, *, faults: bool) -> None:
        """Problems change, something breaks, every source is polled once."""
        self.clock.move(ROUND)
        for vendor in self.vendors:
            if change:
                vendor.world.change(self.clock.now(), change, self.random)
            vendor.quiet()
            if faults and self.random.random() < 2 / 3:
                vendor.harm(self.random)
        self.clock.move(timedelta(minutes=1))
        for vendor in self.vendors:
            vendor.prepare()
            await self.poll(vendor)

    async def poll(self, vendor: Vendor) -> str:
        vendor.source.not_before = None  # Retry-After lies before the next hour
        started = time.perf_counter()
        outcome = await self.polling.poll(vendor.source)
        vendor.seconds += time.perf_counter() - started
        vendor.polls += 1
        vendor.failed += " failed: " in outcome.said
        return outcome.said

    async def settle(self) -> None:
        """A day later, so that full readings are due (of some changes a source tells in these only), two quiet rounds:
        one ends what was broken off, one reads what changed since its window was opened."""
        self.clock.move(timedelta(days=1))
        for _ in range(2):
            await self.round(0.0, faults=False)

    async def compare(self) -> list[str]:
        """Where our findings differ from the simulators' problems; [] when nowhere."""
        columns = (FINDINGS.c.source, FINDINGS.c.uid, FINDINGS.c.status, FINDINGS.c.severity)
        rows = await self.db.read(lambda conn: conn.execute(select(*columns)).all())
        ours: dict[str, dict[str, tuple[str, int]]] = {vendor.name: {} for vendor in self.vendors}
        for row in rows:
            ours[row.source][row.uid] = (row.status, row.severity)
        wrong: list[str] = []
        for vendor in self.vendors:
            truth, have = vendor.truth(), ours[vendor.name]
            self.compared += len(truth)
            wrong += [f"{vendor.name} {uid}: not theirs" for uid in have.keys() - truth.keys()]
            for uid, (state, severity) in truth.items():
                status, level = have.get(uid, ("resolved", 0))  # what was solved before we ever saw it is not stored
                said = "open" if status in OPEN else status
                if said != state or (state == "open" and level != LEVELS[severity]):
                    wrong.append(f"{vendor.name} {uid}: {state} {severity}, with us {status} {level}")
        self.wrong += wrong
        return wrong


def _served(vendor: Vendor, app: web.Application) -> TestServer:
    @web.middleware
    async def timed(request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> Any:
        started = time.perf_counter()
        try:
            return await handler(request)
        finally:
            vendor.requests += 1
            vendor.serving += time.perf_counter() - started

    app.middlewares.insert(0, timed)
    return TestServer(app, host="127.0.0.1")


def _truth(problems: Iterable[Problem], uid: Callable[[Problem], str]) -> Truth:
    return {uid(one): (one.status, one.severity) for one in problems}


@asynccontextmanager
async def day(count: int, folder: Path, *, url: str = "", seed: int = 1) -> AsyncIterator[Day]:
    """Six vendors with ``count`` problems together, an empty database, and our pollers."""
    clock, size = Clock(), count // 6
    async with AsyncExitStack() as stack:
        vendors = [
            await _wiz(stack, clock, World(size, seed=seed, demo=False)),
            await _prisma(stack, clock, World(size, seed=seed + 1, demo=False, kinds=("posture", "threat"))),
            await _orca(stack, clock, World(size, seed=seed + 2, demo=False)),
            await _lacework(stack, clock, World(size, seed=seed + 3, demo=False)),
            await _hub(stack, clock, World(size, seed=seed + 4, demo=False)),
            _prowler(clock, World(size, seed=seed + 5, demo=False, kinds=("posture",)), folder / "scans"),
        ]
        url = url or f"sqlite:///{folder / 'day.db'}"
        upgrade(url)
        db = Database(url)
        stack.push_async_callback(db.close)
        settings = Settings(database_url=url)
        intake = Intake(db, settings, builtin_catalog(), clock, RandomIds())
        polling = Polling(db, intake, (), clock, RandomIds(), "day")
        yield Day(vendors, clock, db, polling, Random(seed))


async def _start(stack: AsyncExitStack, vendor: Vendor, app: web.Application) -> str:
    server = _served(vendor, app)
    await server.start_server()
    stack.push_async_callback(server.close)
    return f"http://127.0.0.1:{server.port}"


def _source(name: str, mapper: FindingMapper) -> Source:
    # the poller comes once the server's address is known
    return Source(name=name, poller=None, mapper=mapper, every_minutes=60)  # type: ignore[arg-type]


async def _wiz(stack: AsyncExitStack, clock: Clock, world: World) -> Vendor:
    wiz = Wiz(world, now=clock.now)
    words = ("429", "500", "502", "truncated", "expired", "internal", "partial", "html", "shuffle", "forget-cursor")

    def truth() -> Truth:
        polled = (ISSUES, CONFIGURATION, VULNERABILITIES)
        by_id = {entry.order[1]: entry.problem for root in polled for entry in wiz._all(root)}
        said = wiz.truth(*polled)
        return {
            uid: ("open" if status in ("OPEN", "IN_PROGRESS") else "resolved", by_id[uid].severity)
            for uid, status in said.items()
        }

    vendor = Vendor(
        "wiz", world, _source("wiz", WizMapper()), truth,
        lambda random: wiz.faults.extend(random.choices(words, k=random.randrange(1, 5))), wiz.faults.clear,
    )  # fmt: skip
    base = await _start(stack, vendor, wiz.app())
    options = parse("wiz", WizOptions, {
        "api_url": f"{base}/graphql", "auth_url": f"{base}/oauth/token", "client_id": wiz.client_id,
        "client_secret": wiz.client_secret, "exploitable_only": False, "vulnerability_severities": (),
    })  # fmt: skip
    client = WizClient(options, sleep=clock.sleep, jitter=lambda: 0.0, now=clock.now,
                       pace=Pace(1000, burst=1000, now=clock.monotonic, sleep=clock.sleep))  # fmt: skip
    client.auth._now = clock.monotonic
    stack.push_async_callback(client.close)
    vendor.source.poller = WizPoller(client)
    return vendor


async def _prisma(stack: AsyncExitStack, clock: Clock, world: World) -> Vendor:
    prisma = PrismaCloud(world, now=clock.now)

    def truth() -> Truth:
        prisma.look()
        return _truth(world.problems(), lambda one: prisma.alert_id(one.key))

    def harm(random: Random) -> None:
        faults = prisma.faults
        faults.status = random.choices([429, 500, 502, 503], k=random.randrange(6))
        faults.cut, faults.bad_page_tokens = random.randrange(2), random.randrange(2)
        faults.forget_tokens = random.random() < 0.5

    def quiet() -> None:
        faults = prisma.faults
        faults.status, faults.cut, faults.bad_page_tokens, faults.forget_tokens = [], 0, 0, False

    vendor = Vendor("prisma_cloud", world, _source("prisma_cloud", PrismaCloudMapper()), truth, harm, quiet)
    base = await _start(stack, vendor, prisma.app())
    options = parse("prisma_cloud", PrismaOptions, {"url": base, "access_key": KEY, "secret_key": SECRET})
    http = prisma_http(options, sleep=clock.sleep, jitter=lambda: 0.0, pace=Pace(1e6, burst=1000))
    stack.push_async_callback(http.close)
    vendor.source.poller = PrismaPoller(PrismaApi(http), options, None)
    return vendor


async def _orca(stack: AsyncExitStack, clock: Clock, world: World) -> Vendor:
    orca = OrcaSimulator(world, token=TOKEN, now=clock.now, supported=1_000_000)
    words = ("429", "500", "503", "failure", "truncated", "shuffled", "short")

    def harm(random: Random) -> None:
        orca.faults.next = random.choices(words, k=random.randrange(1, 6))
        orca.faults.revoked = random.random() < 0.1

    def quiet() -> None:
        orca.faults.next, orca.faults.revoked = [], False

    vendor = Vendor("orca", world, _source("orca", OrcaMapper()), lambda: _truth(world.problems(), orca.ref), harm,
                    quiet)  # fmt: skip
    base = await _start(stack, vendor, orca.app())
    options = parse("orca", OrcaOptions, {"url": base, "token": TOKEN, "page_size": 1000})
    http = orca_http(options, sleep=clock.sleep, jitter=lambda: 0.0, pace=Pace(1e6, burst=1000))
    stack.push_async_callback(http.close)
    vendor.source.poller = OrcaPoller(OrcaApi(http, options.page_size), options)
    return vendor


async def _lacework(stack: AsyncExitStack, clock: Clock, world: World) -> Vendor:
    sim = LaceworkSimulator(world, key_id="ACME_KEY", secret=TOKEN, now=clock.now, an_hour=1_000_000)
    words = ("429", "500", "503", "truncated", "expired", "token", "repeated")
    mapper = LaceworkMapper()
    kept: dict[str, str] = {}  # key of a problem -> uid: rows are made once, not for every comparison

    def truth() -> Truth:
        found: Truth = {}
        for key, numbers in sim.alert_numbers().items():
            problem = world.get(key)
            assert problem is not None
            for number in numbers:
                state = "open" if number == numbers[-1] and problem.status != "resolved" else "resolved"
                found[str(number)] = (state, problem.severity)
        for problem in world.problems():
            if problem.kind == "threat":
                continue
            if problem.key not in kept:
                make = sim._evaluation if problem.kind == "posture" else sim._host
                kept[problem.key] = mapper.sight(make(problem, clock.now(), True)).uid
            found[kept[problem.key]] = (problem.status, problem.severity)
        return found

    def harm(random: Random) -> None:
        sim.faults.next = random.choices(words, k=random.randrange(1, 4))

    def quiet() -> None:
        sim.faults.next = []

    vendor = Vendor("lacework", world, _source("lacework", mapper), truth, harm, quiet)
    base = await _start(stack, vendor, sim.app())
    options = parse("lacework", LaceworkOptions, {
        "account": base, "key_id": "ACME_KEY", "secret": TOKEN, "compliance_hours": 1, "vulnerability_hours": 1,
        "sweep_hours": 1, "vulnerability_severities": (), "backfill_days": 92, "details": ("critical",),
    })  # fmt: skip
    http = HttpClient(options.base, "Lacework", sleep=clock.sleep, jitter=lambda: 0.0, now=clock.now)
    stack.push_async_callback(http.close)
    vendor.source.poller = LaceworkPoller(LaceworkApi(options, http))
    return vendor


async def _hub(stack: AsyncExitStack, clock: Clock, world: World) -> Vendor:
    hub = SecurityHub(world, now=clock.now)
    words = ("429", "500", "truncated", "expired", "token")

    def harm(random: Random) -> None:
        hub.faults.next = random.choices(words, k=random.randrange(1, 3))

    def quiet() -> None:
        hub.faults.next = []

    def uid(problem: Problem) -> str:
        return "|".join(hub.identity(problem))

    def truth() -> Truth:
        return {uid(one): (hub.state(one), one.severity) for one in world.problems()}

    vendor = Vendor("security_hub", world, _source("security_hub", SecurityHubMapper()), truth, harm, quiet)
    base = await _start(stack, vendor, hub.app())
    clouds = AwsClouds(AwsSettings(endpoint_url=base, region=REGION))
    stack.callback(clouds.close)
    vendor.source.poller = SecurityHubPoller(clouds.reader(Attribution()), region=REGION, sleep=clock.sleep)
    return vendor


def _prowler(clock: Clock, world: World, folder: Path) -> Vendor:
    prowler, mapper = Prowler(world, folder, now=clock.now), ProwlerMapper()
    kept: dict[str, str] = {}

    def uid(problem: Problem) -> str:
        if problem.key not in kept:
            kept[problem.key] = mapper.sight(prowler.finding(problem)).uid
        return kept[problem.key]

    def harm(random: Random) -> None:
        prowler.torn = {random.choice(prowler.problems()).account}

    vendor = Vendor("prowler", world, _source("prowler", mapper), lambda: _truth(prowler.problems(), uid), harm,
                    lambda: prowler.torn.clear(), prepare=prowler.scan)  # fmt: skip
    vendor.source.poller = ProwlerFolder(folder, settle_seconds=0)
    return vendor


# --- the bench


async def figures(run: Day) -> list[dict[str, Any]]:
    """Per source and for all: polls, requests, findings delivered and changed, and what each cost."""
    columns = ("received", "created", "changed", "unchanged", "resolved", "reopened")
    rows = await run.db.read(lambda conn: conn.execute(select(POLLS)).all())
    table = []
    for vendor in run.vendors:
        mine = [row for row in rows if row.source == vendor.name]
        sums = {name: sum(getattr(row, name) for row in mine) for name in columns}
        moved = sums["created"] + sums["changed"] + sums["resolved"] + sums["reopened"]
        table.append({"source": vendor.name, "findings": len(vendor.truth()), "polls": vendor.polls,
                      "failed": vendor.failed, "requests": vendor.requests, "received": sums["received"],
                      "moved": moved, "seconds": vendor.seconds, "serving": vendor.serving})  # fmt: skip
    whole = {name: sum(row[name] for row in table) for name in table[0] if name != "source"}
    table.append({"source": "all", **whole})
    for row in table:
        own = row["seconds"] - row["serving"]
        row["polls_per_second"] = row["polls"] / own
        row["us_per_finding"] = own / max(1, row["received"]) * 1e6
        row["requests_per_moved"] = row["requests"] / max(1, row["moved"])
    return table


async def bench(
    count: int, polls: int, every: int, change: float, seed: int, url: str, folder: Path
) -> tuple[Day, Any]:
    async with day(count, folder, url=url, seed=seed) as run:
        for number in range(1, polls + 1):
            quiet = number % every == 0
            await run.round(change, faults=not quiet and number > 1)
            if quiet or number == polls:
                await run.settle()
                wrong = await run.compare()
                print(f"poll {number}: {len(wrong)} differences", *wrong[:5], sep="\n  ", file=sys.stderr, flush=True)
        return run, await figures(run)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("-n", "--findings", type=int, default=100_000)
    parser.add_argument("--polls", type=int, default=200, help="rounds in which problems change")
    parser.add_argument("--every", type=int, default=10, help="rounds between two comparisons")
    parser.add_argument("--change", type=float, default=0.05)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--postgres", default="", help="URL of an empty database; without it SQLite")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    os.environ |= {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing",
                   "AWS_EC2_METADATA_DISABLED": "true"}  # fmt: skip
    started = datetime.now(UTC)
    with tempfile.TemporaryDirectory() as made:
        run, table = asyncio.run(
            bench(given.findings, given.polls, given.every, given.change, given.seed, given.postgres, Path(made))
        )
    took = (datetime.now(UTC) - started).total_seconds()
    if given.json:
        print(json.dumps({"table": table, "differences": run.wrong[:50], "compared": run.compared, "took": took}))
    else:
        heads = ("findings", "polls", "failed", "requests", "received", "moved")
        print(f"{'source':13}", *(f"{name:>10}" for name in heads), "  polls/s us/finding requests/moved")
        for row in table:
            print(f"{row['source']:13}", *(f"{row[name]:10,}" for name in heads), f"{row['polls_per_second']:9.2f}",
                  f"{row['us_per_finding']:10.0f}", f"{row['requests_per_moved']:14.4f}")  # fmt: skip
        print(f"{run.compared:,} states compared, {len(run.wrong)} differences; {took:.0f} s in all")
    return 1 if run.wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
