"""What outlives a process: the clock, the cloud, the chat and the gate through which every call to them passes.

The gate numbers the calls and makes one of them fail in one way. A process that was killed at a call makes no
further one: whatever still runs of it is stopped at the gate, too.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, TypeVar

import orjson
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from bot.domain.errors import OutcomeUnknown, Refused, RetryLater
from bot.domain.findings import Finding
from bot.domain.plans import BlastRadius, Call, Change, Reversibility, Risk, Target
from bot.ports import Attribution, PlaybookInfo, State, Verification
from cards.lint import problems

T = TypeVar("T")
START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
TEAM, CHANNEL, OPERATORS = "T1", "C1", "COPS"
ACCOUNT = "111122223333"
BUCKET = "arn:aws:s3:::invoices"
OPEN, SAFE = {"public": True, "logged": False}, {"public": False, "logged": True}

# The ways in which a call of each kind fails. A read has no effect that could be lost, so "after" says nothing new.
BOTH = ("error-before", "error-after", "timeout-before", "timeout-after", "kill-before", "kill-after")
ONLY = ("error-before", "timeout-before", "kill-before")
MODES: dict[str, tuple[str, ...]] = {
    "db-write": (*BOTH, "twice"),  # twice: rolled back by the database after its work, and run again
    "db-read": ONLY,
    "chat-write": BOTH,
    "chat-set": (*BOTH, "twice"),
    "chat-read": ONLY,
    "cloud-write": (*BOTH, "refused", "twice"),
    "cloud-read": ONLY,
    "file": ("error-before", "error-after", "kill-before", "kill-after", "torn"),
    "delivery": ("lost", "at-once", "at-60", "at-300"),  # of a click to us: by the platform, again
}
CHAT = {
    "chat.postMessage": "chat-write", "chat.postEphemeral": "chat-write", "views.open": "chat-write",
    "chat.update": "chat-set", "views.update": "chat-set", "views.publish": "chat-set",
    "conversations.open": "chat-set",
}  # fmt: skip


class Killed(BaseException):
    """The process ended here; nothing catches it."""


@dataclass(frozen=True, slots=True)
class Fault:
    at: int
    mode: str


@dataclass
class Life:
    """One process, as the gate sees it."""

    dead: bool = False


class Gate:
    """Numbers every call; ``calls`` says which it was: (kind, name)."""

    def __init__(self, fault: Fault | None = None) -> None:
        self.fault, self.fired = fault, False
        self.calls: list[tuple[str, str]] = []

    def pick(self, kind: str, name: str) -> str:
        self.calls.append((kind, name))
        if self.fault is not None and len(self.calls) == self.fault.at:
            assert self.fault.mode in MODES[kind], (
                f"call {self.fault.at} is {kind} {name}: not the run it was counted in"
            )
            self.fired = True
            return self.fault.mode
        return ""

    def through(
        self,
        life: Life,
        kind: str,
        name: str,
        effect: Callable[[], T],
        errors: Mapping[str, Callable[[], Exception]],
        *,
        half: Callable[[], object] | None = None,
    ) -> T:
        """Make one call, or fail as chosen. ``half`` is what it leaves when it breaks off in the middle."""
        if life.dead:
            raise Killed
        what, _, when = self.pick(kind, name).partition("-")
        if when == "before" or what == "refused":
            raise self._end(life, what, errors)
        if what in {"twice", "torn"} and half is not None:
            half()
            if what == "torn":
                raise self._end(life, "kill", errors)
        result = effect()
        if when == "after":
            raise self._end(life, what, errors)
        return result

    @staticmethod
    def _end(life: Life, what: str, errors: Mapping[str, Callable[[], Exception]]) -> BaseException:
        if what == "kill":
            life.dead = True
            return Killed()
        return errors[what]()


class Clock:
    def __init__(self) -> None:
        self.at = START

    def now(self) -> datetime:
        return self.at

    def forward(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


class Ids:
    def __init__(self) -> None:
        self._numbers = itertools.count(1)

    def new(self, prefix: str) -> str:
        return f"{prefix}-{next(self._numbers):06d}"


# --- the database's and the disk's errors ----------------------------------------------------------------------------

DB_ERRORS: dict[str, Callable[[], Exception]] = {
    "error": lambda: OperationalError("any statement", None, Exception("server closed the connection unexpectedly")),
    "timeout": lambda: PoolTimeout("no connection within 30 s"),
}
FILE_ERRORS: dict[str, Callable[[], Exception]] = {"error": lambda: OSError(28, "No space left on device")}

# --- the cloud -------------------------------------------------------------------------------------------------------

CLOUD_ERRORS: dict[str, Callable[[], Exception]] = {
    "error": lambda: RetryLater("the cloud is busy", after=1),
    "timeout": lambda: OutcomeUnknown("the cloud did not answer"),
    "refused": lambda: Refused("the cloud says no"),
}
# An error after a write's effect may be anything, and says nothing about the effect.
LOST: dict[str, Callable[[], Exception]] = CLOUD_ERRORS | {"error": lambda: ConnectionResetError("reset by peer")}


@dataclass
class Effect:
    key: str  # the idempotency key: the step's id
    call: dict[str, Any]
    changed: bool
    recorded: bool  # the ledger held "intended" for this step before


class Cloud:
    """One bucket. ``effects`` is every write that arrived, and whether it changed anything."""

    def __init__(self, gate: Gate, recorded: Callable[[str], bool]) -> None:
        self.gate, self._recorded = gate, recorded
        self.bucket: dict[str, Any] = dict(OPEN)
        self.effects: list[Effect] = []

    def of(self, life: Life) -> Session:
        return Session(self, life)

    def apply(self, call: Call, key: str) -> dict[str, Any]:
        name, value = {"SetAccess": "public", "SetLogging": "logged"}[call.operation], call.params["to"]
        changed = self.bucket[name] != value
        self.bucket[name] = value
        self.effects.append(Effect(key, call.model_dump(mode="json"), changed, self._recorded(key)))
        return {}


class Session:
    """Implements ``ports.CloudFactory`` and ``ports.Cloud`` for one process."""

    def __init__(self, cloud: Cloud, life: Life) -> None:
        self._cloud, self._life = cloud, life

    def reader(self, why: Attribution) -> Session:
        return self

    def writer(self, why: Attribution) -> Session:
        assert why.decision_id, "a writer is opened for a decision"
        return self

    async def read(self, call: Call) -> dict[str, Any]:
        through = self._cloud.gate.through
        return through(self._life, "cloud-read", call.operation, lambda: dict(self._cloud.bucket), CLOUD_ERRORS)

    async def write(self, call: Call, *, idempotency_key: str) -> dict[str, Any]:
        def apply() -> dict[str, Any]:
            return self._cloud.apply(call, idempotency_key)

        before = len(self._cloud.effects)
        errors = {k: lambda k=k: (LOST if len(self._cloud.effects) > before else CLOUD_ERRORS)[k]() for k in LOST}
        return self._cloud.gate.through(self._life, "cloud-write", call.operation, apply, errors, half=apply)


class CloseBucket:
    """The playbook: two changes, both exactly reversible."""

    info = PlaybookInfo(
        id="close-bucket", version=1, title="Close and log a bucket", provider="aws", target_kind="bucket",
        rules=frozenset({"public-bucket"}), risk=Risk.LOW, reversibility=Reversibility.EXACT, danger="Readers get 403.",
    )  # fmt: skip

    def target(self, finding: Finding) -> Target | None:
        return Target(provider="aws", account=ACCOUNT, region="eu-west-1", kind="bucket", uid=finding.resource.uid,
                      name=finding.resource.name)  # fmt: skip

    def _call(self, target: Target, operation: str, **params: Any) -> Call:
        return Call(provider="aws", account=ACCOUNT, region="eu-west-1", service="buckets", operation=operation,
                    params={"bucket": target.uid, **params})  # fmt: skip

    async def inspect(self, cloud: Any, target: Target) -> State:
        return dict(await cloud.read(self._call(target, "Get")))

    def _to(self, target: Target, state: State, want: Mapping[str, Any]) -> list[Change]:
        return [
            Change(
                summary=f"{operation} of {target.name} to {want[name]}",
                target=target,
                before={name: state[name]},
                after={name: want[name]},
                call=self._call(target, operation, to=want[name]),
            )
            for name, operation in (("public", "SetAccess"), ("logged", "SetLogging"))
            if state[name] != want[name]
        ]

    def changes(self, target: Target, state: State) -> list[Change]:
        return self._to(target, state, SAFE)

    def undo(self, target: Target, pre: State, now: State) -> list[Change]:
        return self._to(target, now, pre)

    def verify(self, target: Target, state: State) -> Verification:
        return Verification(state == SAFE, "" if state == SAFE else "it is still open")

    def blast_radius(self, targets: Sequence[Target], states: Mapping[str, State]) -> BlastRadius:
        return BlastRadius(resources=len(targets), accounts=1, summary="1 bucket")


class Book:
    """Implements ``ports.PlaybookCatalog``."""

    playbook = CloseBucket()

    def all(self) -> list[CloseBucket]:
        return [self.playbook]

    def get(self, playbook_id: str) -> CloseBucket:
        return self.playbook

    def for_finding(self, finding: Finding) -> CloseBucket:
        return self.playbook

    def for_rule(self, source: str, rule_uid: str) -> CloseBucket:
        return self.playbook


# --- the chat --------------------------------------------------------------------------------------------------------


def _slack_error(name: str, status: int, **headers: str) -> SlackApiError:
    response: Any = SimpleNamespace(status_code=status, headers=headers, data={"ok": False, "error": name})
    return SlackApiError(name, response)


CHAT_ERRORS: dict[str, Callable[[], Exception]] = {
    "error": lambda: _slack_error("ratelimited", 429, **{"Retry-After": "0"}),
    "timeout": TimeoutError,
}
CHAT_LOST = CHAT_ERRORS | {"error": lambda: _slack_error("internal_error", 500)}


@dataclass
class Seen:
    """Something a person can see, in the order it appeared."""

    method: str
    where: str  # channel, or the user who alone sees it
    payload: dict[str, Any]


@dataclass
class Chat:
    """A workspace: messages of channels, dialogs, and who is in it."""

    gate: Gate
    messages: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    views: dict[str, dict[str, Any]] = field(default_factory=dict)
    owners: dict[str, str] = field(default_factory=dict)  # view -> user
    triggers: dict[str, str] = field(default_factory=dict)  # trigger -> user
    seen: list[Seen] = field(default_factory=list)
    number: int = 0

    def client(self, life: Life) -> AsyncWebClient:
        return _Client(self, life)

    def answer(self, method: str, given: dict[str, Any]) -> dict[str, Any]:
        self.number += 1
        match method:
            case "chat.postMessage":
                assert not problems({k: given[k] for k in ("text", "blocks")}, "message")
                ts = f"1795.{self.number:06}"
                message = {**given, "ts": ts, "bot_id": "B0"}
                self.messages.setdefault(given["channel"], []).append(message)
                self.seen.append(Seen(method, given["channel"].removeprefix("D-"), given))
                return {"ok": True, "ts": ts}
            case "chat.update":
                found = next((m for m in self.messages.get(given["channel"], []) if m["ts"] == given["ts"]), None)
                if found is None:
                    raise _slack_error("message_not_found", 200)
                found.update(given)
                self.seen.append(Seen(method, given["channel"], given))
                return {"ok": True, "ts": given["ts"]}
            case "chat.postEphemeral":
                self.seen.append(Seen(method, given["user"], given))
                return {"ok": True, "message_ts": "1"}
            case "views.open":
                view_id = f"V{self.number}"
                self.views[view_id] = {**given["view"], "id": view_id, "hash": f"h{self.number}"}
                self.owners[view_id] = self.triggers[given["trigger_id"]]
                return {"ok": True, "view": {"id": view_id}}
            case "views.update":
                view_id = given["view_id"]
                self.views[view_id] = {**given["view"], "id": view_id, "hash": f"h{self.number}"}
                self.seen.append(Seen(method, self.owners[view_id], given["view"]))
                return {"ok": True, "view": {"id": view_id}}
            case "views.publish":
                return {"ok": True}
            case "conversations.open":
                return {"ok": True, "channel": {"id": f"D-{given['users']}"}}
            case "conversations.history":
                here = self.messages.get(given["channel"], [])
                return {"ok": True, "messages": [m for m in reversed(here) if not m.get("thread_ts")]}
            case "conversations.replies":
                here = self.messages.get(given["channel"], [])
                return {"ok": True, "messages": [m for m in here if given["ts"] in (m["ts"], m.get("thread_ts"))]}
            case "users.info":
                return {"ok": True, "user": {"id": given["user"], "team_id": TEAM}}
            case "usergroups.users.list":
                return {"ok": True, "users": ["UANN", "UABE"]}
        raise AssertionError(f"the fake chat has no {method}")


class _Client(AsyncWebClient):
    """The SDK's client of one process; its requests end at the fake chat."""

    def __init__(self, chat: Chat, life: Life) -> None:
        super().__init__(token="xoxb-test")
        self._chat, self._life = chat, life

    async def api_call(self, api_method: str, **more: Any) -> Any:
        given = more.get("json") or more.get("params") or more.get("data") or {}
        given = {k: v for k, v in given.items() if v is not None}
        for key in ("blocks", "view", "metadata"):
            if isinstance(given.get(key), str):
                given[key] = orjson.loads(given[key])
        given = copy.deepcopy(given)
        kind, before = CHAT.get(api_method, "chat-read"), self._chat.number

        def answer() -> dict[str, Any]:
            return self._chat.answer(api_method, given)

        errors = {k: lambda k=k: (CHAT_LOST if self._chat.number > before else CHAT_ERRORS)[k]() for k in CHAT_ERRORS}
        data = self._chat.gate.through(self._life, kind, api_method, answer, errors, half=answer)
        return SimpleNamespace(data=data)
