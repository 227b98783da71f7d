"""The two replicas of one round as real processes, the people who click, and the nemesis; what happened as a history.

Everything is chosen from one seed. The processes' interleaving is the machine's, so a seed repeats the attack, not
the instant.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import create_engine, text

from bot.domain.ids import RandomIds, SystemClock
from bot.intake.service import Intake
from bot.ports import Page
from bot.store import ledger
from bot.store.database import Database, normalise_url
from bot.store.migrate import upgrade

from .outside import CHANNEL, REPLICAS, BucketBook, BucketMapper, Outside, SharedClock
from .replica import EXPIRES_MINUTES, SUPERSEDED, TTL, settings

ROOT = Path(__file__).parents[2]
ASKERS, VOTERS = ("UOLGA", "UOTTO"), ("UANN", "UABE", "UAMY")
CHOICES = {"ask": 6.0, "approve": 8.0, "reject": 0.3, "withdraw": 0.8, "cancel": 0.2}  # how often, where offered
OURS = "histories"  # our own connections: the nemesis spares them
ACK_SECONDS = 3.0  # as Slack
OUTCOME_SECONDS = 6.0
START_SECONDS = 120.0
SETTLE_SECONDS = 90.0
REDELIVER = (0, 60, 300, 310)
ATTACKS = {
    "kill": 3, "stop": 2, "long stop": 2, "cut": 2, "jump": 2, "skew": 2, "leave group": 2, "policy": 0.7,
    "expire": 0.7,
}  # fmt: skip


class Company:
    """``await run(seconds)`` and read ``history``."""

    def __init__(self, folder: Path, url: str, seed: int, *, buckets: int = 5) -> None:
        self.folder, self.url, self.seed = folder, url, seed
        self.rng = random.Random(seed)
        self.names = [f"bucket-{n}" for n in range(1, buckets + 1)]
        self.clock = SharedClock(folder / "clock")
        self.outside: Outside
        self.processes: dict[str, tuple[str, subprocess.Popen[bytes]]] = {}
        self.lives: Counter[str] = Counter()
        self.quorum = dict.fromkeys(REPLICAS, 2)
        self.clicks: list[dict[str, Any]] = []
        self.counts: Counter[str] = Counter()
        self.number = 0
        self.over = self.calm = False

    # --- the round ---------------------------------------------------------------------------------------------------

    async def run(self, seconds: float) -> dict[str, Any]:
        upgrade(self.url)
        self.facts = create_engine(
            normalise_url(self.url), isolation_level="AUTOCOMMIT", connect_args={"application_name": OURS}
        )
        self.outside = Outside(self.folder, self._head, random.Random(self.seed + 1))
        await self.outside.open()
        try:
            await self._ingest()
            for name in REPLICAS:
                self._start(name)
            await self._until(lambda: len(self._ready()) == len(REPLICAS), START_SECONDS, "two replicas")
            await self._until(lambda: len(self._cards()) == len(self.names), 20, "a card for each bucket")
            people = [asyncio.create_task(self._person(user)) for user in (*ASKERS, *VOTERS)]
            nemesis = asyncio.create_task(self._nemesis())
            keeper = asyncio.create_task(self._keep_alive())
            await asyncio.sleep(seconds)
            # A busy machine gets more time, and some of it in peace, so that a history is worth judging.
            end = asyncio.get_running_loop().time() + 60
            while not self._enough() and asyncio.get_running_loop().time() < end:
                self.calm = self._attacked()
                await asyncio.sleep(0.2)
            self.over = True
            await asyncio.gather(*people, nemesis)
            await self._heal()
            keeper.cancel()
            stuck = await self._settle()
        finally:
            for _, process in self.processes.values():
                process.kill()
                process.wait()
            await self.outside.close()
        return self._history(stuck)

    def _enough(self) -> bool:
        """Whether something was done, changed, attacked and delivered again."""
        changed = sum(1 for e in self.outside.events if e["what"] == "effect" and e["changed"])
        return changed >= 2 and self._head() >= 40 and self._attacked()

    def _attacked(self) -> bool:
        again = sum(count for name, count in self.counts.items() if name.startswith("redelivered"))
        return again >= 3 and sum(self.counts[name] for name in ATTACKS) >= 5

    async def _ingest(self) -> None:
        made = settings(self.url, 2)
        db = Database(self.url)
        for name in self.names:
            self.outside.bucket(name)
        run = await Intake(db, made, BucketBook(), SystemClock(), RandomIds()).begin("toy")
        await run.page(BucketMapper(), Page(items=[{"uid": name} for name in self.names]))
        await run.finish()
        await db.close()

    # --- processes ---------------------------------------------------------------------------------------------------

    def _start(self, name: str) -> None:
        self.lives[name] += 1
        life = f"{name}.{self.lives[name]}"
        told = {"folder": str(self.folder), "url": self.url, "name": name, "life": life, "quorum": self.quorum[name]}
        with (self.folder / f"{life}.err").open("wb") as err:
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.histories.replica", json.dumps(told)], cwd=ROOT, stderr=err
            )
        self.processes[name] = (life, process)

    def _ready(self) -> list[str]:
        """Lives that took clicks and still run."""
        ready = {e["life"] for e in self.outside.events if e["what"] == "ready"}
        return [life for life, process in self.processes.values() if process.poll() is None and life in ready]

    async def _keep_alive(self) -> None:
        """What a supervisor does: start again what ended."""
        while True:
            for name, (life, process) in list(self.processes.items()):
                code = process.poll()
                if code is not None:
                    self.counts["superseded" if code == SUPERSEDED else "ended"] += 1
                    self.outside.note("ended", life=life, code=code)
                    self._start(name)
            await asyncio.sleep(0.1)

    # --- facts -------------------------------------------------------------------------------------------------------

    def rows(self, sql: str, **given: Any) -> list[Any]:
        with self.facts.connect() as conn:
            return [tuple(row) for row in conn.execute(text(sql), given)]

    def _head(self) -> int:
        return int(self.rows("SELECT coalesce(max(seq), 0) FROM ledger")[0][0])

    def _forward(self, seconds: float) -> None:
        if seconds:
            self.clock.forward(seconds)
            self.outside.note("time", seconds=seconds)

    async def _until(self, true: Any, seconds: float, what: str) -> None:
        end = asyncio.get_running_loop().time() + seconds
        while not true():
            if asyncio.get_running_loop().time() > end:
                errors = "\n".join(path.read_text()[-1500:] for path in sorted(self.folder.glob("*.err"))[-4:])
                raise AssertionError(f"waited {seconds} s and still not {what}\n{errors}")
            await asyncio.sleep(0.05)

    def _cards(self) -> list[dict[str, Any]]:
        return [m for m in self.outside.chat.messages.get(CHANNEL, []) if not m.get("thread_ts")]

    # --- people ------------------------------------------------------------------------------------------------------

    async def _person(self, user: str) -> None:
        """One click after the other; one that does not end in time is left to itself."""
        rng = random.Random(f"{self.seed}-{user}")
        kept: dict[str, Any] | None = None  # a dialog left open, sent later: the card has moved on
        while not self.over:
            await asyncio.sleep(rng.random() * 0.2)
            if user in VOTERS and rng.random() < 0.06:
                verb = rng.choice(("freeze", "unfreeze"))
                scope = rng.choice(("", f"account:{rng.choice(self.names)} ", "env:dev "))
                await self._command(user, verb, scope, rng)
                if verb == "freeze":  # not for long: the others want to get on
                    await asyncio.sleep(rng.random())
                    await self._command(user, "unfreeze", scope, rng)
                continue
            if kept is None or rng.random() < 0.6:
                view = await self._press(user, rng)
                if not view:
                    continue
                if rng.random() < 0.15:
                    kept = view
                    continue
            else:
                view, kept = kept, None
            await self._send(user, view, rng)

    def _button(self, card: dict[str, Any]) -> dict[str, Any] | None:
        for verb in ("undo", "review"):
            found = next(_buttons(card, f"gh.{verb}"), None)
            if found:
                return found
        return None

    async def _press(self, user: str, rng: random.Random) -> dict[str, Any]:
        """Open the dialog of a card: the view, or {} where it did not come or gives nothing to choose."""
        card = rng.choice(self._cards())
        button = self._button(card)
        if button is None:
            return {}
        self.number += 1
        trigger = f"t{self.number}"
        self.outside.chat.triggers[trigger] = user
        known = set(self.outside.chat.views)
        body = {
            "type": "block_actions", "team": {"id": "T1"}, "user": {"id": user, "team_id": "T1"},
            "trigger_id": trigger, "channel": {"id": CHANNEL},
            "actions": [{"action_id": button["action_id"], "value": button["value"], "action_ts": trigger}],
        }  # fmt: skip
        if not await self._click(user, body, f"slack:trigger:{trigger}", "open", rng):
            return {}
        fresh = [
            v for k, v in self.outside.chat.views.items() if k not in known and self.outside.chat.owners[k] == user
        ]
        return next((v for v in fresh if v["callback_id"] == "gh.review" and v.get("submit")), {})

    async def _send(self, user: str, view: dict[str, Any], rng: random.Random) -> None:
        offered = {o["value"] for o in _options(view)}
        wanted = {choice: weight for choice, weight in CHOICES.items() if choice in offered}
        if not wanted:
            return
        choice = rng.choices(list(wanted), list(wanted.values()))[0]
        self.number += 1
        given = {"choice": {"v": {"selected_option": {"value": choice}}},
                 "reason": {"v": {"value": f"click {self.number}"}}}  # fmt: skip
        kept = {k: view[k] for k in ("id", "hash", "callback_id", "private_metadata")}
        body = {
            "type": "view_submission", "team": {"id": "T1"}, "user": {"id": user, "team_id": "T1"},
            "view": {**kept, "type": "modal", "state": {"values": given}},
        }  # fmt: skip
        ids = json.loads(view["private_metadata"])
        more = {"tag": f"click {self.number}", "request": ids.get("q", ""), "plan": ids.get("p", "")}
        await self._click(user, body, f"slack:view:{view['id']}:{view['hash']}:{user}", choice, rng, **more)

    async def _command(self, user: str, verb: str, scope: str, rng: random.Random) -> None:
        self.number += 1
        trigger, tag = f"t{self.number}", f"click {self.number}"
        body = {"command": "/gatehouse", "text": f"{verb} {scope}{tag}", "team_id": "T1", "user_id": user,
                "channel_id": CHANNEL, "trigger_id": trigger}  # fmt: skip
        await self._click(user, body, f"slack:trigger:{trigger}", verb, rng, tag=tag)

    async def _click(
        self, user: str, body: dict[str, Any], click_id: str, kind: str, rng: random.Random, **more: Any
    ) -> bool:
        """Deliver as the platform does, again until acknowledged; wait for its end in the journal."""
        if any(click["id"] == click_id for click in self.clicks):
            return True  # the same dialog sent twice is the same click
        click = {"id": click_id, "user": user, "kind": kind, "acked": False, "ended": False, "deliveries": 0, **more,
                 "from": self._head(), "began": len(self.outside.events)}  # fmt: skip
        self.clicks.append(click)
        for wait in (0, *REDELIVER):
            if self.over and wait:
                break
            self._forward(wait)
            click["deliveries"] += 1
            if await self._deliver(body, rng):
                click["acked"] = True
                break
            await asyncio.sleep(0.2)
        if not click["acked"]:
            return False  # Slack gave up; whether it was stored is the journal's word
        if not self.calm and rng.random() < 0.25:
            wait = rng.choice(REDELIVER)
            self._forward(wait)
            self.counts[f"redelivered at {wait} s"] += 1
            click["deliveries"] += 1
            await self._deliver(body, rng)
        end = asyncio.get_running_loop().time() + OUTCOME_SECONDS
        while asyncio.get_running_loop().time() < end:
            found = await asyncio.to_thread(self.rows, "SELECT state FROM clicks WHERE id = :id", id=click_id)
            if found and found[0][0] != "received":
                await asyncio.sleep(0.05)
                click |= {"ended": True, "until": len(self.outside.events), "to": self._head()}
                return True
            await asyncio.sleep(0.1)
        return False

    async def _deliver(self, body: dict[str, Any], rng: random.Random) -> bool:
        ready = self._ready()
        if not ready:
            await asyncio.sleep(0.3)
            return False
        life = rng.choice(ready)
        try:
            async with asyncio.timeout(ACK_SECONDS):
                reader, writer = await asyncio.open_unix_connection(self.folder / f"{life}.sock")
                try:
                    writer.write(orjson.dumps(body) + b"\n")
                    return await reader.readline() == b"ack\n"
                finally:
                    writer.close()
        except (OSError, TimeoutError):
            return False

    # --- nemesis -----------------------------------------------------------------------------------------------------

    async def _nemesis(self) -> None:
        rng = random.Random(f"{self.seed}-nemesis")
        while not self.over:
            await asyncio.sleep(0.6 + rng.random() * 1.2)
            if self.calm:
                continue
            attack = rng.choices(list(ATTACKS), list(ATTACKS.values()))[0]
            name = rng.choice(REPLICAS)
            if attack in {"kill", "stop", "long stop"} and rng.random() < 0.7:
                name = await self._in_the_middle_of_a_call() or name
            life, process = self.processes[name]
            self.counts[attack] += 1
            self.outside.note("nemesis", attack=attack, life=life)
            match attack:
                case "kill":
                    process.kill()
                case "stop" | "long stop":
                    await self._stop(process, 0.3 + rng.random() if attack == "stop" else TTL * 1.6 + rng.random())
                case "cut":
                    await asyncio.to_thread(self._cut, rng)
                case "jump":
                    self._forward(rng.choice((60, 310)))
                case "skew":
                    self.clock.skew(name, rng.choice((-310, -20, 0, 0, 20, 310)))
                case "expire":
                    self._forward(EXPIRES_MINUTES * 60)
                case "leave group":
                    user = rng.choice(VOTERS)
                    self.outside.member(user, False)
                    await asyncio.sleep(rng.random())
                    self.outside.member(user, True)
                case "policy":
                    await self._change_policy(rng)

    async def _in_the_middle_of_a_call(self) -> str:
        """The replica that has just sent a change to the cloud, if one does so soon."""
        seen, end = len(self.outside.events), asyncio.get_running_loop().time() + 1.5
        while asyncio.get_running_loop().time() < end and not self.over:
            sent = [e["life"] for e in self.outside.events[seen:] if e["what"] == "sent"]
            if sent:
                return str(sent[-1]).partition(".")[0]
            await asyncio.sleep(0.005)
        return ""

    @staticmethod
    async def _stop(process: subprocess.Popen[bytes], seconds: float) -> None:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGSTOP)
            await asyncio.sleep(seconds)
            process.send_signal(signal.SIGCONT)

    def _cut(self, rng: random.Random) -> None:
        """Some of the replicas' connections to the database break."""
        others = self.rows(
            "SELECT pid FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name <> :ours", ours=OURS,
        )  # fmt: skip
        for (pid,) in others:
            if rng.random() < 0.5:
                self.rows("SELECT pg_terminate_backend(:pid)", pid=pid)

    async def _change_policy(self, rng: random.Random) -> None:
        """A new gatehouse.yml: one replica after the other is started with it."""
        quorum = 3 if self.quorum["a"] == 2 else 2
        for name in rng.sample(REPLICAS, 2):
            self.quorum[name] = quorum
            self.processes[name][1].terminate()
            await asyncio.sleep(rng.random())

    # --- the end -----------------------------------------------------------------------------------------------------

    async def _heal(self) -> None:
        for name in REPLICAS:
            self.clock.skew(name, 0)
        for user in VOTERS:
            self.outside.member(user, True)
        for _, process in self.processes.values():
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGCONT)
        self._forward(61)
        await self._until(lambda: len(self._ready()) == len(REPLICAS), START_SECONDS, "two replicas again")

    def _open_ends(self) -> list[str]:
        return [
            *(f"click {r[0]}: {r[1]}" for r in self.rows("SELECT id, kind FROM clicks WHERE state = 'received'")),
            *(f"execution {r[0]}: {r[1]}" for r in self.rows(
                "SELECT id, state FROM executions WHERE state IN ('queued', 'running', 'verifying')")),
            *(f"message {r[0]}: {r[1]} {r[2]}" for r in self.rows(
                "SELECT kind, state, error FROM outbox WHERE state IN ('queued', 'sending')")),
            *(f"request {r[0]}" for r in self.rows("SELECT id FROM approval_requests WHERE state = 'pending'")),
        ]  # fmt: skip

    async def _settle(self) -> list[str]:
        """Time goes on until nothing is left to do. What never ended."""
        end = asyncio.get_running_loop().time() + SETTLE_SECONDS
        while (left := self._open_ends()) and asyncio.get_running_loop().time() < end:
            if all(each.startswith("request") for each in left):
                self._forward(EXPIRES_MINUTES * 60)
            self._forward(30)
            await asyncio.sleep(0.3)
        return left

    def _history(self, stuck: list[str]) -> dict[str, Any]:
        columns = "seq, at, kind, subject, actor, body, prev, hash"
        names = columns.split(", ")
        db = Database(self.url)
        report = db.read_sync(ledger.verify)
        db.close_sync()
        made = {
            "seed": self.seed,
            "events": self.outside.events,
            "clicks": self.clicks,
            "ledger": [dict(zip(names, row, strict=True)) for row in self.rows(
                f"SELECT {columns} FROM ledger ORDER BY seq")],
            "journal": {r[0]: {"state": r[1], "outcome": r[2], "kind": r[3]} for r in self.rows(
                "SELECT id, state, outcome, kind FROM clicks")},
            "requests": dict(self.rows("SELECT id, state FROM approval_requests")),
            "executions": dict(self.rows("SELECT id, state FROM executions")),
            "buckets": self.outside.buckets,
            "stuck": stuck,
            "verified": "" if report.ok else report.why or "it does not verify",
            "counts": dict(self.counts),
        }  # fmt: skip
        self.facts.dispose()
        return made


def _buttons(node: Any, action_id: str) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        if str(node.get("action_id", "")).startswith(action_id):
            yield node
        for child in node.values():
            yield from _buttons(child, action_id)
    elif isinstance(node, list):
        for child in node:
            yield from _buttons(child, action_id)


def _options(view: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for block in view.get("blocks", []):
        if block.get("block_id") == "choice":
            yield from block["element"]["options"]
