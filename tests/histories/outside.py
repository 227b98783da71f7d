"""What the replicas share and cannot kill: cloud, chat, clock and the record of what reached them.

``Outside`` serves over a unix socket, one JSON line a request. Every event is noted with the head of the ledger at
that moment, so that effects and records have one order: what the ledger held at head ``h`` was there before.
"""

from __future__ import annotations

import asyncio
import os
import random
import struct
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import orjson
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from bot.domain.errors import OutcomeUnknown
from bot.domain.findings import Account, Finding, Resource, Severity, SourceStatus
from bot.domain.plans import Call, Target
from bot.ports import Attribution
from tests.faults.outside import CHANNEL, OPEN, Book, Chat, CloseBucket, Gate
from tests.faults.process import Mapper

REPLICAS = ("a", "b")
LINE_MAX = 1 << 20
APPROVERS = {"UANN", "UABE", "UAMY"}
CALL_TIMEOUT = 1.0  # the executor's; the cloud applies what arrived well within it


class SharedClock:
    """Real time plus two shifts that live in a file: everybody's, and this replica's own."""

    def __init__(self, path: Path, name: str = "") -> None:
        if not path.exists():
            path.write_bytes(struct.pack("3d", 0, 0, 0))
        self._file = os.open(path, os.O_RDWR)
        self._own = 8 * (1 + REPLICAS.index(name)) if name else None

    def _get(self, at: int) -> float:
        return float(struct.unpack("d", os.pread(self._file, 8, at))[0])

    def now(self) -> datetime:
        shift = self._get(0) + (self._get(self._own) if self._own else 0.0)
        return datetime.now(UTC) + timedelta(seconds=shift)

    def forward(self, seconds: float) -> None:
        """For everybody."""
        os.pwrite(self._file, struct.pack("d", self._get(0) + seconds), 0)

    def skew(self, name: str, seconds: float) -> None:
        """This replica's clock is wrong by so much."""
        os.pwrite(self._file, struct.pack("d", seconds), 8 * (1 + REPLICAS.index(name)))


class Buckets(CloseBucket):
    """The playbook of the fault matrix, for one bucket an account: each finding is a cause of its own."""

    def target(self, finding: Finding) -> Target | None:
        found = super().target(finding)
        return found.model_copy(update={"account": finding.account.uid}) if found else None

    def _call(self, target: Target, operation: str, **params: Any) -> Call:
        made = super()._call(target, operation, **params)
        return made.model_copy(update={"account": target.account})


class BucketBook(Book):
    playbook = Buckets()


class BucketMapper(Mapper):
    def map(self, raw: Any) -> Finding:
        uid = str(raw["uid"])
        return Finding(
            source=self.source, uid=uid, title="Bucket is public", rule_uid="public-bucket",
            severity=Severity.HIGH, result=SourceStatus.NEW, result_word="NEW", internet_exposed=True,
            resource=Resource(uid=f"arn:aws:s3:::{uid}", name=uid, type="bucket", tags={"env": "dev"}),
            account=Account(uid=uid, name=uid, provider="aws"),
        )  # fmt: skip


class Workspace(Chat):
    """The fake chat of the fault matrix, whose approvers' group changes."""

    members: set[str]

    def answer(self, method: str, given: dict[str, Any]) -> dict[str, Any]:
        if method == "usergroups.users.list":
            return {"ok": True, "users": sorted(self.members)}
        if method == "views.open" and given["trigger_id"] not in self.triggers:
            raise SlackApiError("expired_trigger_id", SimpleNamespace(status_code=200, headers={}, data={}))
        return super().answer(method, given)


class Outside:
    def __init__(self, folder: Path, head: Callable[[], int], rng: random.Random) -> None:
        self.folder, self._head, self._rng = folder, head, rng
        self.events: list[dict[str, Any]] = []
        self.buckets: dict[str, dict[str, Any]] = {}
        self.chat = Workspace(Gate())
        self.chat.members = set(APPROVERS)
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def note(self, what: str, **more: Any) -> dict[str, Any]:
        event = {"what": what, "t": round(time.monotonic(), 4), "h": self._head(), **more}
        self.events.append(event)
        return event

    async def open(self) -> None:
        self._server = await asyncio.start_unix_server(self._serve, self.folder / "outside.sock", limit=LINE_MAX)

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                task = asyncio.create_task(self._answer(orjson.loads(line), writer))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    async def _answer(self, asked: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        made = await getattr(self, "_" + asked["op"])(asked)
        if made is None or writer.is_closing():
            return  # the answer is lost
        writer.write(orjson.dumps({"n": asked["n"], **made}) + b"\n")

    async def _ready(self, asked: dict[str, Any]) -> dict[str, Any] | None:
        self.note("ready", life=asked["who"], policy=asked["policy"], quorum=asked["quorum"])
        return {}

    # --- the cloud ---------------------------------------------------------------------------------------------------

    async def _read(self, asked: dict[str, Any]) -> dict[str, Any] | None:
        await asyncio.sleep(self._rng.random() * 0.02)
        return {"ok": dict(self.buckets[asked["call"]["params"]["bucket"]])}

    async def _write(self, asked: dict[str, Any]) -> dict[str, Any] | None:
        # When it was sent: from here on the sender cannot take it back, whatever happens to it.
        sent = self.note("sent", life=asked["who"], step=asked["key"], call=asked["call"], decision=asked["decision"])
        await asyncio.sleep(self._rng.random() * 0.12)
        call = asked["call"]
        name, value = {"SetAccess": "public", "SetLogging": "logged"}[call["operation"]], call["params"]["to"]
        bucket = self.buckets[call["params"]["bucket"]]
        changed, bucket[name] = bucket[name] != value, value
        self.note("effect", **{k: sent[k] for k in ("life", "step", "call", "decision")}, sent=sent["h"],
                  changed=changed, bucket=call["params"]["bucket"], state=dict(bucket))  # fmt: skip
        if self._rng.random() < 0.08:
            return None
        await asyncio.sleep(self._rng.random() * 0.06)
        return {"ok": {}}

    # --- the chat ----------------------------------------------------------------------------------------------------

    async def _chat(self, asked: dict[str, Any]) -> dict[str, Any] | None:
        before, method = len(self.chat.seen), asked["method"]
        try:
            made = self.chat.answer(method, asked["given"])
        except SlackApiError as error:
            return {"slack": str(error.args[0]).split("\n")[0]}
        if method == "views.open":
            self.note("opened", trigger=asked["given"]["trigger_id"], view=made["view"]["id"])
        for seen in self.chat.seen[before:]:
            view = asked["given"].get("view_id", "")
            self.note("shown", user=seen.where, method=method, view=view, life=asked["who"], text=_text(seen.payload))
        return {"ok": made}

    def member(self, user: str, inside: bool) -> None:
        before = self._head()
        (self.chat.members.add if inside else self.chat.members.discard)(user)
        self.note("member", user=user, inside=inside, before=before)

    def bucket(self, name: str) -> None:
        self.buckets[f"arn:aws:s3:::{name}"] = dict(OPEN)


def _text(payload: dict[str, Any]) -> str:
    found: list[str] = []

    def walk(node: Any) -> None:
        if isinstance(node, dict):
            if isinstance(node.get("text"), str):
                found.append(node["text"])
            for child in node.values():
                walk(child)
        elif isinstance(node, list):
            for child in node:
                walk(child)

    walk(payload)
    return " | ".join(found)[:400]


# --- the replica's end of it -----------------------------------------------------------------------------------------


class Line:
    """One replica's connection to the outside. A request leaves in the moment it is made."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, who: str) -> None:
        self._reader, self._writer, self._who = reader, writer, who
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._number = 0
        self._listening = asyncio.create_task(self._listen())

    @classmethod
    async def open(cls, folder: Path, who: str) -> Line:
        return cls(*await asyncio.open_unix_connection(folder / "outside.sock", limit=LINE_MAX), who)

    async def _listen(self) -> None:
        while line := await self._reader.readline():
            said = orjson.loads(line)
            waiting = self._waiting.pop(said["n"], None)
            if waiting is not None and not waiting.done():
                waiting.set_result(said)

    async def ask(self, op: str, **more: Any) -> dict[str, Any]:
        self._number += 1
        answer = self._waiting[self._number] = asyncio.get_running_loop().create_future()
        self._writer.write(orjson.dumps({"n": self._number, "who": self._who, "op": op, **more}) + b"\n")
        return await answer


class Cloud:
    """Implements ``ports.CloudFactory`` and ``ports.Cloud``."""

    def __init__(self, line: Line, decision: str = "") -> None:
        self._line, self._decision = line, decision

    def reader(self, why: Attribution) -> Cloud:
        return self

    def writer(self, why: Attribution) -> Cloud:
        return Cloud(self._line, why.decision_id)

    async def read(self, call: Call) -> dict[str, Any]:
        try:
            async with asyncio.timeout(CALL_TIMEOUT):
                return dict((await self._line.ask("read", call=call.model_dump(mode="json")))["ok"])
        except TimeoutError as error:
            raise OutcomeUnknown("the cloud did not answer") from error

    async def write(self, call: Call, *, idempotency_key: str) -> dict[str, Any]:
        given = {"call": call.model_dump(mode="json"), "key": idempotency_key, "decision": self._decision}
        return dict((await self._line.ask("write", **given))["ok"])


class ChatClient(AsyncWebClient):
    """The SDK's client; its requests end outside."""

    def __init__(self, line: Line) -> None:
        super().__init__(token="xoxb-test")
        self._line = line

    async def api_call(self, api_method: str, **more: Any) -> Any:
        given = more.get("json") or more.get("params") or more.get("data") or {}
        given = {k: v for k, v in given.items() if v is not None}
        for key in ("blocks", "view", "metadata"):
            if isinstance(given.get(key), str):
                given[key] = orjson.loads(given[key])
        async with asyncio.timeout(3):
            said = await self._line.ask("chat", method=api_method, given=given)
        if "slack" in said:
            response: Any = SimpleNamespace(status_code=200, headers={}, data={"ok": False, "error": said["slack"]})
            raise SlackApiError(said["slack"], response)
        return SimpleNamespace(data=said["ok"])


__all__ = ["CHANNEL", "BucketBook", "BucketMapper", "ChatClient", "Cloud", "Line", "Outside", "SharedClock"]
