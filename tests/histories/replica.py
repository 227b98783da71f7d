"""One replica: the engine as the composition root builds it, Slack's handlers with their journal, durable executions.

``python -m tests.histories.replica '{"folder":…, "url":…, "name": "a", "life": "a.1", "quorum": 2}'``. Only its edge is
ours: clock, cloud, chat and clicks come from the process that started it, over unix sockets.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import signal
import sys
from functools import partial
from pathlib import Path
from typing import Any

import orjson

from bot.composition import build_engine
from bot.delivery import Deliverer
from bot.domain.ids import RandomIds
from bot.domain.principals import Platform
from bot.durable.replicas import Superseded
from bot.durable.service import Durable
from bot.durable.work import Work
from bot.settings import Settings
from handlers.slack import app as slack
from handlers.slack.desk import Desk
from handlers.slack.directory import SlackDirectory
from handlers.slack.poster import SlackPoster

from .outside import CALL_TIMEOUT, LINE_MAX, BucketBook, ChatClient, Cloud, Line, SharedClock

TTL = 2.0
EXPIRES_MINUTES = 230
SUPERSEDED = 3  # exit code
PEOPLE = {
    "olga": {"name": "Olga Owner", "team": "platform", "slack": "T1/UOLGA"},
    "otto": {"name": "Otto Owner", "team": "platform", "slack": "T1/UOTTO"},
    "ann": {"name": "Ann Approver", "slack": "T1/UANN"},
    "abe": {"name": "Abe Approver", "slack": "T1/UABE"},
    "amy": {"name": "Amy Approver", "slack": "T1/UAMY"},
}


def settings(url: str, quorum: int) -> Settings:
    return Settings(
        database_url=url,  # type: ignore[arg-type]
        people=PEOPLE,  # type: ignore[arg-type]
        groups={"cloud-approvers": {"slack": "SAPPROVERS"}},  # type: ignore[dict-item]
        governance={"rules": [{"name": "some", "quorum": quorum, "expires_minutes": EXPIRES_MINUTES}]},  # type: ignore[arg-type]
        slack={"team": "T1"},  # type: ignore[arg-type]
        routing={  # type: ignore[arg-type]
            "owners": {"platform": {"name": "Platform", "channels": ["slack:C1"]}},
            "rules": [{"name": "all", "owner": "platform"}],
            "fallback": ["slack:COPS"],
        },
    )


async def main(told: dict[str, Any]) -> int:
    folder, name, life = Path(told["folder"]), told["name"], told["life"]
    clock, ids, made = SharedClock(folder / "clock", name), RandomIds(), settings(told["url"], told["quorum"])
    line = await Line.open(folder, life)
    client = ChatClient(line)

    async def confirm() -> None:
        await durable.membership.confirm()

    engine = build_engine(
        made, clock=clock, ids=ids, worker=life, confirm=confirm, catalog=BucketBook(), clouds=Cloud(line),
        directories={Platform.SLACK: SlackDirectory(client, made, clock, team="T1")}, call_timeout=CALL_TIMEOUT,
    )  # fmt: skip
    durable = Durable(engine.db, life, clock, ttl=TTL, grace=5)
    desk = Desk(engine, made, client)
    deliverer = Deliverer(
        engine.db, engine.board, {"slack": SlackPoster(client)}, clock, life, ids, lease_seconds=4, pace_seconds=0
    )
    work = Work(durable, engine.db, engine.executor, None, [], deliverer, [], clock)  # type: ignore[arg-type]
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    on_action, on_command = slack._on_action(desk), slack._on_command(desk)
    on_submission = slack._on_submission(desk, made)

    async def click(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async def ack(**_said: Any) -> None:
            writer.write(b"ack\n")

        with contextlib.suppress(ConnectionError):
            body = orjson.loads(await reader.readline())
            on = on_command if "command" in body else on_submission if "view" in body else on_action
            try:
                await on(ack, body)  # type: ignore[arg-type]
            except Exception:
                logging.exception("a click was not acknowledged")  # Bolt would answer 500: Slack delivers it again
            writer.close()

    async def housekeeping() -> None:
        while not stop.is_set():
            for each in (engine.approvals.expire_due, engine.stewardship.wake_due, partial(slack.resume, desk)):
                try:
                    await each()
                except Exception:
                    logging.exception("housekeeping failed")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), 0.5)

    await engine.approvals.begin()
    await durable.start()
    sock = folder / f"{life}.sock"
    server = await asyncio.start_unix_server(click, sock, limit=LINE_MAX)
    await line.ask("ready", policy=engine.policy.version, quorum=told["quorum"])
    tasks = [
        asyncio.create_task(work.hand_over(stop)),
        asyncio.create_task(deliverer.run(stop, idle=0.2)),
        asyncio.create_task(housekeeping()),
    ]
    try:
        await durable.run(stop)
    except Superseded:
        return SUPERSEDED
    finally:
        stop.set()
        server.close()
        await asyncio.gather(*tasks, return_exceptions=True)
        await desk.drain(5)
        await durable.stop()
        await engine.db.close()
    return 0


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s %(message)s")
    sys.exit(asyncio.run(main(json.loads(sys.argv[1]))))
