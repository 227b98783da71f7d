"""The scenario, told by people who act on what they see: finding, card, ask, two votes, fix, verify, undo.

People do what people do: press again when nothing came of it. So the story comes to its end whatever single call
fails, and what it did on the way is held against the rules in ``check``.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine

from bot.evidence.checkpoints import read_file
from bot.store import ledger
from bot.store.tables import metadata

from .outside import BUCKET, CHANNEL, SAFE, Chat, Clock, Cloud, Fault, Gate, Ids
from .process import Process

RAW = {"uid": "finding-1"}
TRIES = 6
Calls = list[tuple[str, str]]  # kind and name of each call a run made
QUIET_TURNS = 150


@dataclass
class Click:
    id: str
    user: str
    kind: str
    seen_before: int  # how much there was to see when it was made
    seen_after: int = 0  # and when all had settled
    acts: int = 0  # records of the ledger by this person that came of it


def template(folder: Path) -> Path:
    """A database with the schema, made once and copied for each run."""
    path = folder / "template.db"
    if not path.exists():
        engine = create_engine(f"sqlite:///{path}")
        metadata.create_all(engine)
        engine.dispose()
    return path


class Story:
    """One run, with one fault or none."""

    def __init__(self, folder: Path, empty: Path, fault: Fault | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(empty, folder / "gatehouse.db")
        self.folder, self.gate, self.clock, self.ids = folder, self._gate(fault), Clock(), Ids()
        self.cloud = Cloud(self.gate, self._recorded)
        self.chat = Chat(self.gate)
        self.facts = sqlite3.connect(folder / "gatehouse.db", isolation_level=None)
        self.process = self._start()
        self.starts, self.numbers = 1, 0
        self.clicks: list[Click] = []

    def _gate(self, fault: Fault | None) -> Gate:
        return Gate(fault)

    def _start(self) -> Process:
        return Process(self.folder, self.gate, self.clock, self.ids, self.cloud, self.chat)

    async def close(self) -> None:
        await self.process.abandon()
        self.facts.close()

    def rows(self, sql: str, *given: Any) -> list[Any]:
        return self.facts.execute(sql, given).fetchall()

    def one(self, sql: str, *given: Any) -> Any:
        return self.rows(sql, *given)[0][0]

    def _recorded(self, step_id: str) -> bool:
        return bool(self.rows("SELECT 1 FROM ledger WHERE kind = 'step.intended' AND subject = ?", step_id))

    # --- the world goes on -------------------------------------------------------------------------------------------

    async def live(self) -> Process:
        """The running process: a new one where the last was killed."""
        if self.process.life.dead:
            await self.process.abandon()
            self.process = self._start()
            self.starts += 1
            self.clock.forward(5)
        return self.process

    def open_ends(self) -> list[str]:
        """What is not finished, in words."""
        return [
            *(f"outbox {r[0]} {r[1]}: {r[2]}" for r in self.rows(
                "SELECT kind, state, error FROM outbox WHERE state IN ('queued', 'sending')")),
            *(f"execution {r[0]}" for r in self.rows(
                "SELECT state FROM executions WHERE state IN ('queued', 'running', 'verifying')")),
            *(f"click {r[0]}" for r in self.rows("SELECT kind FROM clicks WHERE state = 'received'")),
        ]  # fmt: skip

    async def settle(self) -> None:
        """Let the loops run until nothing is left to do."""
        for _ in range(QUIET_TURNS):
            if not self.open_ends() and not self.process.life.dead:
                return
            worked = await (await self.live()).turn()
            self.clock.forward(2 if worked else 30)
        raise AssertionError(f"stuck: {self.open_ends()}")

    async def housekeeping(self) -> None:
        await (await self.live()).turn()
        await self.settle()

    async def until(self, reached: Callable[[], bool], act: Callable[[], Awaitable[None]], what: str) -> None:
        for _ in range(TRIES):
            if reached():
                return
            await act()
            await self.settle()
        assert reached(), f"tried {TRIES} times, and still not {what}"

    # --- people ------------------------------------------------------------------------------------------------------

    async def click(self, user: str, body: dict[str, Any], click_id: str, kind: str) -> None:
        """The platform delivers a click: after 0, 60 and 300 s again until it is acknowledged, once more at will."""
        click = Click(click_id, user, kind, len(self.chat.seen))
        acts = self._acts(user)
        mode = self.gate.pick("delivery", kind)
        if mode == "lost":
            return
        acked = False
        for wait in (0, 0, 60, 300):
            self.clock.forward(wait)
            acked = await (await self.live()).deliver(body)
            if acked:
                break
        if acked:
            self.clicks.append(click)
        if mode.startswith("at-"):
            self.clock.forward({"at-once": 0, "at-60": 60, "at-300": 300}[mode])
            await (await self.live()).deliver(body)
        await self.settle()
        click.seen_after, click.acts = len(self.chat.seen), self._acts(user) - acts

    def _acts(self, user: str) -> int:
        """How often this person asked or voted, by the ledger."""
        sql = "SELECT count(*) FROM ledger WHERE kind IN ('request.made', 'vote.cast') AND actor = ?"
        return int(self.one(sql, user[1:].lower()))

    async def press(self, user: str, verb: str) -> str:
        """Press a button of the card. The id of the dialog that came, filled, or ""."""
        # While an undo waits for votes, the card's button for it is Review.
        here = self.chat.messages.get(CHANNEL, [])
        found = next((a for name in (verb, "review") for m in here for a in _buttons(m, f"gh.{name}")), None)
        assert found, f"no card has a button {verb}"
        self.numbers += 1
        trigger = f"t{self.numbers}"
        self.chat.triggers[trigger] = user
        known = set(self.chat.views)
        body = {
            "type": "block_actions",
            "team": {"id": "T1"},
            "user": {"id": user, "team_id": "T1"},
            "trigger_id": trigger,
            "channel": {"id": CHANNEL},
            "actions": [{"action_id": found["action_id"], "value": found["value"], "action_ts": trigger}],
        }
        await self.click(user, body, f"slack:trigger:{trigger}", verb)
        fresh = [view for key, view in self.chat.views.items() if key not in known]
        return next((view["id"] for view in fresh if view["callback_id"] == "gh.review" and view.get("submit")), "")

    async def answer(self, user: str, verb: str, choice: str) -> None:
        view_id = await self.press(user, verb)
        if not view_id:
            return
        view = self.chat.views[view_id]
        given = {"choice": {"v": {"selected_option": {"value": choice}}}, "reason": {"v": {"value": "please"}}}
        body = {
            "type": "view_submission",
            "team": {"id": "T1"},
            "user": {"id": user, "team_id": "T1"},
            "view": {**{k: view[k] for k in ("id", "hash", "callback_id", "private_metadata")},
                     "type": "modal", "state": {"values": given}},
        }  # fmt: skip
        await self.click(user, body, f"slack:view:{view_id}:{view['hash']}:{user}", choice)

    # --- the story ---------------------------------------------------------------------------------------------------

    async def tell(self) -> None:
        async def poll() -> None:
            process = await self.live()
            try:
                await process.ingest(RAW)
            except BaseException as error:
                if not isinstance(error, Exception) and not process.life.dead:
                    raise

        await self.until(lambda: self.one("SELECT count(*) FROM findings") == 1, poll, "a finding")
        await self.settle()
        assert len(self.chat.messages.get(CHANNEL, [])) >= 1, "no card"
        await self.housekeeping()
        await self.carry("fix", "review")
        assert self.cloud.bucket == SAFE, "the fix succeeded and the bucket is not safe"
        self.clock.forward(3700)  # the next checkpoint is due
        await self.housekeeping()
        await self.carry("undo", "undo")
        assert self.cloud.bucket == self.before(), "the undo did not bring back what was there before the fix"
        await self.housekeeping()
        self.clock.forward(6 * 3600)  # past every expiry
        await self.housekeeping()

    def before(self) -> dict[str, Any]:
        """The bucket as the fix that was undone had found it."""
        body = self.one(
            "SELECT p.body FROM executions x JOIN plans p ON p.id = x.plan_id"
            " WHERE x.kind = 'fix' AND x.undone_by IS NOT NULL"
        )
        found: dict[str, Any] = json.loads(body)["pre_image"][BUCKET]
        return found

    async def carry(self, kind: str, verb: str) -> None:
        """Ask, two votes, and what follows; once more where the execution ended as failed."""

        def done() -> bool:
            sql = "SELECT count(*) FROM executions WHERE kind = ? AND state = 'succeeded'"
            return bool(self.one(sql, kind))

        def pending() -> list[Any]:
            return self.rows("SELECT id FROM approval_requests WHERE state = 'pending'")

        async def ask() -> None:
            await self.answer("UOLGA", verb, "ask")

        async def one_round() -> None:
            await self.until(lambda: bool(pending()) or done(), ask, f"asked for the {kind}")
            if not pending():
                return
            request = pending()[0][0]
            for user, person in (("UANN", "ann"), ("UABE", "abe")):

                async def vote(user: str = user) -> None:
                    await self.answer(user, verb, "approve")

                def voted(person: str = person) -> bool:
                    sql = "SELECT count(*) FROM votes WHERE request_id = ? AND principal_id = ?"
                    return bool(self.one(sql, request, person)) or request not in {row[0] for row in pending()}

                await self.until(voted, vote, f"a vote of {person}")

        await self.until(done, one_round, f"a {kind} that succeeded")

    # --- the rules ---------------------------------------------------------------------------------------------------

    def check(self) -> list[str]:
        """Every rule that does not hold, in words."""
        return [*self._effects(), *self._ends(), *self._cards(), *self._answers(), *self._evidence()]

    def _effects(self) -> Iterator[str]:
        approved = self.one("SELECT count(*) FROM decisions WHERE outcome = 'approved'")
        executions = {row[0] for row in self.rows("SELECT decision_id FROM executions")}
        if len(executions) > approved:
            yield f"{len(executions)} executions, {approved} decisions"
        for key, times in Counter(e.key for e in self.cloud.effects if e.changed).items():
            if times > 1:
                yield f"step {key} changed the cloud {times} times"
        for effect in self.cloud.effects:
            if not effect.recorded:
                yield f"{effect.call['operation']} was made before its record"
            found = self.rows(
                "SELECT d.outcome, d.covers, p.hash, r.plan_hash, s.call, count(v.id) FROM steps s"
                " JOIN executions x ON x.id = s.execution_id JOIN decisions d ON d.id = x.decision_id"
                " JOIN plans p ON p.id = x.plan_id JOIN approval_requests r ON r.id = d.request_id"
                " LEFT JOIN votes v ON v.request_id = r.id AND v.choice = 'approve' AND v.plan_hash = p.hash"
                " WHERE s.id = ? GROUP BY s.id, d.outcome, d.covers, p.hash, r.plan_hash, s.call", effect.key,
            )  # fmt: skip
            if not found:
                yield f"{effect.call['operation']} belongs to no step"
                continue
            outcome, covers, plan_hash, asked, call, votes = found[0]
            if outcome != "approved" or not covers == plan_hash == asked or votes < 2:
                yield f"{effect.call['operation']}: {outcome}, {votes} votes, covered {covers == plan_hash == asked}"
            if json.loads(call) != effect.call:
                yield f"{effect.call['operation']} is not the call that was recorded"
        changed = Counter(e.call["operation"] for e in self.cloud.effects if e.changed)
        steps = self.rows("SELECT call FROM steps WHERE state = 'done'")
        done = Counter(json.loads(call)["operation"] for (call,) in steps)
        if changed != done:
            yield f"the steps that are done are {dict(done)}, the cloud changed by {dict(changed)}"
        # A fix that failed half-way leaves the rest to the next one, and only what that one changed is undone with it.
        if not self.one("SELECT count(*) FROM executions WHERE state = 'failed'") and set(changed.values()) != {2}:
            yield f"each of two changes is made and undone once, this was {dict(changed)}"

    def _ends(self) -> Iterator[str]:
        yield from (f"not finished: {end}" for end in self.open_ends())
        for kind, state, error in self.rows("SELECT kind, state, error FROM outbox WHERE state != 'sent'"):
            yield f"a {kind} is {state}: {error}"
        for request, state in self.rows("SELECT id, state FROM approval_requests WHERE state = 'pending'"):
            yield f"request {request} is {state} after its expiry"
        for execution, decisions in self.rows(
            "SELECT min(id), decision_id FROM executions GROUP BY decision_id HAVING count(*) > 1"
        ):
            yield f"decision {decisions} has more executions than {execution}"
        statuses = {row[0] for row in self.rows("SELECT status FROM findings")}
        if statuses != {"reopened"}:
            yield f"after the undo the finding is {statuses}"

    def _cards(self) -> Iterator[str]:
        keys = Counter(
            (m.get("metadata") or {}).get("event_payload", {}).get("key")
            for here in self.chat.messages.values()
            for m in here
        )
        keys.pop(None, None)  # private answers
        yield from (f"message {key} was posted {times} times" for key, times in keys.items() if times > 1)
        cards = [m for m in self.chat.messages.get(CHANNEL, []) if not m.get("thread_ts")]
        if len(cards) != 1:
            yield f"{len(cards)} cards of one cause"
        shown, revision = self.rows(
            "SELECT p.shown_revision, c.revision FROM posts p JOIN causes c ON c.id = p.subject WHERE p.kind = 'cause'"
        )[0]
        if shown != revision:
            yield f"the card shows revision {shown}, the cause has {revision}"
        lines = self.one("SELECT count(*) FROM outbox WHERE kind = 'thread' AND state = 'sent'")
        told = sum(1 for m in self.chat.messages.get(CHANNEL, []) if m.get("thread_ts"))
        if lines != told:
            yield f"{lines} lines were to be told, {told} were"

    def _answers(self) -> Iterator[str]:
        for click in self.clicks:
            found = self.rows("SELECT state, outcome FROM clicks WHERE id = ?", click.id)
            if not found:
                yield f"the click {click.kind} of {click.user} was acknowledged and is not in the journal"
                continue
            if found[0][0] == "received":
                yield f"the click {click.kind} of {click.user} never came to an end"
            state, outcome = found[0]
            after = self.chat.seen[click.seen_before : click.seen_after]
            if not any(seen.where in (click.user, CHANNEL) for seen in after):
                yield f"nothing to be seen came of the click {click.kind} of {click.user}: {state}, {outcome}"
            wanted = int(state == "done" and click.kind in ("ask", "approve"))
            if click.acts != wanted:
                yield f"the click {click.kind} of {click.user} is {state} and came to {click.acts} acts: {outcome}"
        for principal, kind, times in self.rows(
            "SELECT v.principal_id, v.request_id, count(*) FROM votes v WHERE withdrawn_at IS NULL"
            " GROUP BY v.request_id, v.principal_id HAVING count(*) > 1"
        ):
            yield f"{principal} has {times} votes on {kind}"

    def _evidence(self) -> Iterator[str]:
        witness = self.folder / "witness.txt"
        seen = [each.witness("the file") for each in read_file(witness)] if witness.exists() else []
        report = self.process.db.read_sync(ledger.verify, seen)
        if not report.ok:
            yield f"the ledger does not verify: {report.why}"
        if len(seen) < 2:
            yield f"{len(seen)} checkpoints reached the witness file"


async def run(folder: Path, empty: Path, fault: Fault | None) -> tuple[Calls, list[str]]:
    """Tell the story with one fault. The calls it made, and every rule that was broken."""
    story = Story(folder, empty, fault)
    try:
        await story.tell()
        broken = story.check()
        if fault is not None and not story.gate.fired:
            broken.append("the fault was never reached")
        return story.gate.calls, broken
    except AssertionError as error:
        return story.gate.calls, [str(error)]
    finally:
        await story.close()
        shutil.rmtree(folder, ignore_errors=True)


async def count(folder: Path, empty: Path) -> Calls:
    """The calls of a run without a fault."""
    calls, broken = await run(folder / "counting", empty, None)
    assert not broken
    return calls


def _buttons(node: Any, action_id: str) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        if str(node.get("action_id", "")).startswith(action_id):
            yield node
        for child in node.values():
            yield from _buttons(child, action_id)
    elif isinstance(node, list):
        for child in node:
            yield from _buttons(child, action_id)
