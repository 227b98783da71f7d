"""The strict gate: stands between the bot and the local Slack and is as particular as the real one.

The local workspace takes anything; the gate refuses what Slack would refuse (blocks, tokens, scopes, spent trigger
ids), slows down who talks too fast (429 with Retry-After), answers what the workspace does not know (user groups,
guests, locales, statuses), shows in simpler blocks what it cannot draw (``streams``), injects faults and keeps a record
of calls. Interactions pass through it too, so that it knows how old a trigger id is and how long an acknowledgement
took.

``GET /_gate/calls``, ``DELETE /_gate/calls``, ``POST /_gate/inject`` ``{"method", "times", "status" | "error" |
"retry_after" | "lose": true}``; ``lose`` lets the call happen and loses the answer.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import aiohttp
from aiohttp import WSMsgType, web

from bot.sandbox import streams, strict

TRIGGER_SECONDS = 3.0
ACK_SECONDS = 3.0
MESSAGE_BURST = 5
_TIERS = {2: 20, 3: 50, 4: 100}
_TIER = {
    "chat.update": 3,
    "chat.delete": 3,
    "chat.startStream": 2,
    "chat.appendStream": 4,
    "chat.stopStream": 2,
    "assistant.threads.setSuggestedPrompts": 4,
    "chat.postEphemeral": 4,
    "views.open": 4,
    "views.push": 4,
    "views.update": 4,
    "views.publish": 4,
    "users.info": 4,
    "users.lookupByEmail": 3,
    "users.list": 2,
    "usergroups.list": 2,
    "usergroups.users.list": 2,
    "conversations.members": 4,
    "conversations.info": 3,
    "conversations.open": 3,
    "conversations.history": 3,
    "conversations.replies": 3,
    "conversations.list": 2,
    "reactions.add": 3,
}
_SCOPES: dict[str, tuple[str, ...]] = {  # any one of them is enough
    "chat.postMessage": ("chat:write",),
    "chat.update": ("chat:write",),
    "chat.delete": ("chat:write",),
    "chat.postEphemeral": ("chat:write",),
    "users.info": ("users:read",),
    "users.list": ("users:read",),
    "users.lookupByEmail": ("users:read.email",),
    "usergroups.list": ("usergroups:read",),
    "usergroups.users.list": ("usergroups:read",),
    "conversations.info": ("channels:read", "groups:read", "im:read"),
    "conversations.list": ("channels:read", "groups:read", "im:read"),
    "conversations.members": ("channels:read", "groups:read"),
    "conversations.history": ("channels:history", "groups:history", "im:history"),
    "conversations.replies": ("channels:history", "groups:history", "im:history"),
    "conversations.open": ("im:write",),
    "reactions.add": ("reactions:write",),
    "team.info": ("team:read",),
    "files.getUploadURLExternal": ("files:write",),
    "files.completeUploadExternal": ("files:write",),
    "assistant.threads.setStatus": ("chat:write", "assistant:write"),
    "assistant.threads.setSuggestedPrompts": ("assistant:write",),
    **dict.fromkeys(streams.METHODS, ("chat:write",)),
}
_MESSAGES = ("chat.postMessage", "chat.update", "chat.postEphemeral")
_VIEWS = ("views.open", "views.push", "views.update", "views.publish")
# The real clients write dates in the reader's own way; the local workspace shows the code, so it gets the fallback.
_DATE = re.compile(r"(?:<|\\u003[cC])!date\^\d+\^[^|>]*\|(.*?)(?:>|\\u003[eE])")
_HOP = {"host", "content-length", "transfer-encoding", "connection", "content-encoding", "accept-encoding"}


@dataclass(frozen=True, slots=True)
class UserGroup:
    id: str
    handle: str
    name: str
    users: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class GateConfig:
    bot_token: str
    app_token: str
    groups: Sequence[UserGroup] = ()
    profiles: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # user id -> fields of users.info
    scopes: frozenset[str] | None = None  # None: not checked
    message_burst: int = MESSAGE_BURST
    trigger_seconds: float = TRIGGER_SECONDS


class Bucket:
    """A token bucket: ``take`` answers 0, or the seconds to wait."""

    def __init__(self, capacity: float, per_second: float, now: float) -> None:
        self.capacity, self.rate = capacity, per_second
        self.tokens, self.at = capacity, now

    def take(self, now: float) -> float:
        self.tokens = min(self.capacity, self.tokens + (now - self.at) * self.rate)
        self.at = now
        if self.tokens >= 1:
            self.tokens -= 1
            return 0.0
        return (1 - self.tokens) / self.rate


@dataclass(slots=True)
class _Fault:
    method: str
    times: int
    status: int = 0
    error: str = ""
    retry_after: int = 0
    lose: bool = False


class Gate:
    """``async with Gate(config, "http://localhost:3010") as gate: gate.api``"""

    def __init__(self, config: GateConfig, upstream: str, *, port: int = 0) -> None:
        self.config = config
        self.upstream = upstream.rstrip("/")
        self.calls: deque[dict[str, Any]] = deque(maxlen=5000)
        self.acks: deque[dict[str, Any]] = deque(maxlen=1000)
        self._port = port
        self._buckets: dict[tuple[str, str], Bucket] = {}
        self._triggers: dict[str, float] = {}
        self._faults: list[_Fault] = []
        self._streams = streams.Streams()
        self._sockets: set[web.WebSocketResponse] = set()
        self._runner: web.AppRunner | None = None
        self._http: aiohttp.ClientSession | None = None

    @property
    def url(self) -> str:
        return f"http://localhost:{self._port}"

    @property
    def api(self) -> str:
        return f"{self.url}/api/"

    async def __aenter__(self) -> Gate:
        self._http = aiohttp.ClientSession(auto_decompress=True)
        app = web.Application(client_max_size=8 * 1024 * 1024)
        app.router.add_get("/_gate/calls", self._show_calls)
        app.router.add_delete("/_gate/calls", self._clear_calls)
        app.router.add_post("/_gate/inject", self._inject)
        app.router.add_route("*", "/api/{method}", self._api)
        app.router.add_get("/socket/{path:.*}", self._socket)
        app.router.add_route("*", "/{path:.*}", self._response)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port)
        await site.start()
        if not self._port:
            self._port = self._runner.addresses[0][1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for socket in list(self._sockets):
            await socket.close()
        if self._runner is not None:
            await self._runner.cleanup()
        if self._http is not None:
            await self._http.close()

    def inject(
        self, method: str, *, times: int = 1, status: int = 0, error: str = "", retry_after: int = 0, lose: bool = False
    ) -> None:
        """Let the next ``times`` calls of ``method`` fail."""
        self._faults.append(_Fault(method, times, status, error, retry_after, lose))

    # --- control ---

    async def _show_calls(self, _: web.Request) -> web.Response:
        return web.json_response({"calls": list(self.calls), "acks": list(self.acks)})

    async def _clear_calls(self, _: web.Request) -> web.Response:
        self.calls.clear()
        self.acks.clear()
        return web.json_response({"ok": True})

    async def _inject(self, request: web.Request) -> web.Response:
        try:
            self._faults.append(_Fault(**{"times": 1, **(await request.json())}))
        except (TypeError, ValueError) as error:
            return web.json_response({"ok": False, "error": str(error)}, status=400)
        return web.json_response({"ok": True})

    # --- Web API ---

    async def _api(self, request: web.Request) -> web.StreamResponse:
        method = request.match_info["method"]
        body = await request.read()
        try:
            args = await _arguments(request, body)
        except ValueError:
            return self._no(method, {}, "invalid_json")
        token = str(args.pop("token", "") or request.headers.get("Authorization", "").removeprefix("Bearer "))
        refusal = self._token(method, token)
        if refusal:
            return self._no(method, args, refusal)
        missing = self._missing_scope(method)
        if missing:
            provided = ",".join(sorted(self.config.scopes or ()))
            return self._no(method, args, "missing_scope", needed=missing, provided=provided)
        wait = self._wait(method, args)
        if wait:
            return self._slow(method, args, wait)
        fault = self._fault(method)
        if fault is not None and not fault.lose:
            if fault.retry_after:
                return self._slow(method, args, fault.retry_after)
            if fault.error:
                return self._no(method, args, fault.error)
            self._record(method, args, f"http {fault.status or 500}")
            return web.Response(status=fault.status or 500, text="upstream error")
        problems = self._problems(method, args)
        if problems:
            error = "invalid_blocks" if method in _MESSAGES else "invalid_arguments"
            return self._no(
                method,
                args,
                error,
                errors=problems,
                response_metadata={"messages": [f"[ERROR] {problem}" for problem in problems]},
            )
        if method in ("views.open", "views.push") and (spent := self._spend(str(args.get("trigger_id", "")))):
            return self._no(method, args, spent)
        own = self._own(method, args)
        if own is not None:
            self._record(method, args, "" if own.get("ok") else str(own.get("error")))
            return web.json_response(own)
        if method in streams.METHODS:
            return await self._stream(method, args, request)
        status, answer = await self._forward(request, body)
        if isinstance(answer, dict):
            answer = self._enrich(method, args, answer)
            self._record(method, args, "" if answer.get("ok") else str(answer.get("error")), answer)
        if fault is not None:
            return web.Response(status=fault.status or 502, text="the answer was lost")
        return web.json_response(answer, status=status)

    def _token(self, method: str, token: str) -> str:
        if not token:
            return "not_authed"
        if token not in (self.config.bot_token, self.config.app_token):
            return "invalid_auth"
        wanted = self.config.app_token if method == "apps.connections.open" else self.config.bot_token
        return "" if token == wanted else "not_allowed_token_type"

    def _missing_scope(self, method: str) -> str:
        scopes = _SCOPES.get(method, ())
        if self.config.scopes is None or not scopes or self.config.scopes & set(scopes):
            return ""
        return scopes[0]

    def _wait(self, method: str, args: Mapping[str, Any]) -> float:
        now = time.monotonic()
        if method == "chat.postMessage":
            key = (method, str(args.get("channel")))
            bucket = self._buckets.setdefault(key, Bucket(self.config.message_burst, 1.0, now))
        elif method in _TIER:
            per_minute = _TIERS[_TIER[method]]
            bucket = self._buckets.setdefault((method, ""), Bucket(per_minute, per_minute / 60, now))
        else:
            return 0.0
        return bucket.take(now)

    def _fault(self, method: str) -> _Fault | None:
        for fault in self._faults:
            if fault.method == method and fault.times > 0:
                fault.times -= 1
                return fault
        return None

    def _problems(self, method: str, args: Mapping[str, Any]) -> list[str]:
        if method in _MESSAGES:
            return strict.message_problems(args.get("text"), args.get("blocks"))
        if method in _VIEWS:
            return strict.view_problems(args.get("view"))
        if method in streams.METHODS:
            return self._streams.problems(method, args)
        if method == "assistant.threads.setSuggestedPrompts":
            return streams.prompt_problems(args)
        return []

    def _spend(self, trigger: str) -> str:
        """A trigger id opens one view, within three seconds of the click."""
        at = self._triggers.pop(trigger, None)
        if at is None:
            return "invalid_trigger_id"
        return "expired_trigger_id" if time.monotonic() - at > self.config.trigger_seconds else ""

    def _own(self, method: str, args: Mapping[str, Any]) -> dict[str, Any] | None:
        if method == "usergroups.list":
            with_users = str(args.get("include_users", "")).lower() in ("1", "true")
            groups = [
                {"id": g.id, "handle": g.handle, "name": g.name, "date_delete": 0, "is_external": False}
                | {"user_count": len(g.users)}
                | ({"users": list(g.users)} if with_users else {})
                for g in self.config.groups
            ]
            return {"ok": True, "usergroups": groups}
        if method == "usergroups.users.list":
            group = next((g for g in self.config.groups if g.id == args.get("usergroup")), None)
            return {"ok": True, "users": list(group.users)} if group else {"ok": False, "error": "no_such_subteam"}
        if method in streams.STATUS:
            return {"ok": True}
        return None

    async def _stream(self, method: str, args: Mapping[str, Any], request: web.Request) -> web.Response:
        """A message that grows: the workspace knows no streams."""
        stream = self._streams.begin(args) if method == "chat.startStream" else self._streams.get(args)
        if stream is None:
            return self._no(method, args, "message_not_in_streaming_state")
        said: dict[str, Any] = {"channel": stream.channel}
        if method == "chat.startStream":
            upstream = "chat.postMessage"
            said |= {"thread_ts": args["thread_ts"], "text": stream.shown}
        else:
            upstream = "chat.update"
            stream.take(args)
            said |= {"ts": args["ts"], "text": stream.shown}
            if method == "chat.stopStream":
                rest = streams.simplified(args.get("blocks") or [])
                said["blocks"] = [streams.section(stream.shown), *rest]
        body = json.dumps(said).encode()
        _, answer = await self._forward(request, body, path=f"/api/{upstream}")
        self._record(method, args, "" if answer.get("ok") else str(answer.get("error")), answer)
        if answer.get("ok") and method == "chat.startStream":
            self._streams.keep(stream, str(answer["ts"]))
        elif method == "chat.stopStream":
            self._streams.end(args)
        return web.json_response(answer)

    def _enrich(self, method: str, args: Mapping[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
        if method == "apps.connections.open" and answer.get("ok"):
            answer["url"] = re.sub(r"^ws://[^/]+", self.url.replace("http", "ws", 1), str(answer["url"]))
        if method == "users.info" and answer.get("ok"):
            self._fill(answer["user"], locale=str(args.get("include_locale", "")).lower() in ("1", "true"))
        if method == "users.list" and answer.get("ok"):
            for user in answer["members"]:
                self._fill(user, locale=False)
        return answer

    def _fill(self, user: dict[str, Any], *, locale: bool) -> None:
        common = {"is_restricted": False, "is_ultra_restricted": False, "is_stranger": False, "is_owner": False}
        user.update({**common, "locale": "en-US", **self.config.profiles.get(str(user["id"]), {})})
        if not locale:
            user.pop("locale", None)

    def _no(self, method: str, args: Mapping[str, Any], error: str, **more: Any) -> web.Response:
        self._record(method, args, error, more)
        return web.json_response({"ok": False, "error": error, **more})

    def _slow(self, method: str, args: Mapping[str, Any], wait: float) -> web.Response:
        self._record(method, args, "ratelimited")
        headers = {"Retry-After": str(max(1, int(-(-wait // 1))))}
        return web.json_response({"ok": False, "error": "ratelimited"}, status=429, headers=headers)

    def _record(
        self, method: str, args: Mapping[str, Any], error: str, answer: Mapping[str, Any] | None = None
    ) -> None:
        call: dict[str, Any] = {"at": time.time(), "method": method, "args": dict(args), "ok": not error}
        if error:
            call["error"] = error
            call["errors"] = list((answer or {}).get("errors", ()))
        if answer and answer.get("ts"):
            call["ts"] = answer["ts"]
        self.calls.append(call)

    async def _forward(self, request: web.Request, body: bytes, path: str = "") -> tuple[int, Any]:
        assert self._http is not None
        headers = {k: v for k, v in request.headers.items() if k.lower() not in _HOP}
        if request.content_type == "application/json":
            body = streams.drawable(body)
            body = _DATE.sub(r"\1", body.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")
        url = f"{self.upstream}{path or request.rel_url}"
        async with self._http.request(request.method, url, data=body or None, headers=headers) as answer:
            try:
                return answer.status, await answer.json(content_type=None)
            except ValueError:
                return answer.status, {"ok": False, "error": "fatal_error"}

    # --- interactions ---

    async def _response(self, request: web.Request) -> web.StreamResponse:
        """A response_url: what is posted there is as carefully looked at as any message."""
        body = await request.read()
        try:
            args = json.loads(body or b"{}")
        except ValueError:
            return self._no("response_url", {}, "invalid_json")
        if not args.get("delete_original"):
            problems = strict.message_problems(args.get("text"), args.get("blocks"))
            if problems:
                return self._no("response_url", args, "invalid_blocks", errors=problems)
        status, answer = await self._forward(request, body)
        self._record("response_url", args, "" if status < 400 else f"http {status}")
        return web.json_response(answer, status=status)

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        """Socket Mode, relayed: notes when trigger ids and envelopes pass, and lets response_url come through here."""
        assert self._http is not None
        down = web.WebSocketResponse(heartbeat=None)
        await down.prepare(request)
        self._sockets.add(down)
        sent: dict[str, float] = {}
        try:
            url = self.upstream.replace("http", "ws", 1) + str(request.rel_url)
            async with self._http.ws_connect(url, max_msg_size=0) as up:
                tasks = [
                    asyncio.create_task(self._relay_down(up, down, sent)),
                    asyncio.create_task(self._relay_up(down, up, sent)),
                ]
                _, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                for task in pending:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
        except aiohttp.ClientError:
            pass  # the workspace is gone; closing the socket tells the bot
        finally:
            self._sockets.discard(down)
            await down.close()
        return down

    async def _relay_down(
        self, up: aiohttp.ClientWebSocketResponse, down: web.WebSocketResponse, sent: dict[str, float]
    ) -> None:
        async for message in up:
            if message.type is not WSMsgType.TEXT:
                continue
            text = message.data.replace(f"{self.upstream}/", f"{self.url}/")
            try:
                envelope = json.loads(text)
            except ValueError:
                envelope = {}
            now = time.monotonic()
            payload = envelope.get("payload") or {}
            if isinstance(payload, dict) and payload.get("trigger_id"):
                self._triggers[str(payload["trigger_id"])] = now
            if envelope.get("envelope_id"):
                sent[str(envelope["envelope_id"])] = now
            await down.send_str(text)

    async def _relay_up(
        self, down: web.WebSocketResponse, up: aiohttp.ClientWebSocketResponse, sent: dict[str, float]
    ) -> None:
        async for message in down:
            if message.type is not WSMsgType.TEXT:
                continue
            text = message.data
            try:
                envelope = json.loads(text)
            except ValueError:
                envelope = {}
            at = sent.pop(str(envelope.get("envelope_id")), None) if isinstance(envelope, dict) else None
            if at is not None:
                seconds = time.monotonic() - at
                problems = _answer_problems(envelope.get("payload"))
                self.acks.append(
                    {"seconds": seconds, "ok": seconds <= ACK_SECONDS and not problems, "errors": problems}
                )
                if problems:
                    text = json.dumps({"envelope_id": envelope["envelope_id"]})
            await up.send_str(text)


def _answer_problems(payload: Any) -> list[str]:
    """An acknowledgement may carry a view: that has to be as good as any other."""
    if isinstance(payload, dict) and "view" in payload:
        return strict.view_problems(payload["view"])
    return []


async def _arguments(request: web.Request, body: bytes) -> dict[str, Any]:
    args: dict[str, Any] = dict(request.query)
    kind = request.content_type
    if kind == "application/json" and body:
        loaded = json.loads(body)
        if not isinstance(loaded, dict):
            raise ValueError("not an object")
        args |= loaded
    elif kind in ("application/x-www-form-urlencoded", "multipart/form-data"):
        args |= {k: v for k, v in (await request.post()).items() if isinstance(v, str)}
    for key in ("blocks", "view", "chunks", "prompts"):
        if isinstance(args.get(key), str):
            args[key] = json.loads(args[key])
    return args
