"""The gate of Teams: stands between the bot and the Playground, and between the Playground and its page.

Toward the bot it is Microsoft: signs every activity as the channel's connector does (the Playground signs nothing),
gives the bot's managed identity its token and asks for it at every call, refuses what Teams would refuse (size, rate,
cards that are none). The bot itself runs as in production, with its login on.

Toward the page it is what the Playground leaves out. Teams' memory: the Playground sends messages to the pages that are
open and keeps none for later, so a card posted before a person looked, or before they reloaded, would be gone; the gate
keeps them and shows them to every page that opens. A person's own view of a card (``refresh``), asked for as Teams
does. The app's installation happens once, not with every page.

``calls`` is what the bot asked of the connector; ``GET /_gate/calls`` at ``api`` shows it.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
import uuid
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any
from urllib.parse import unquote

import aiohttp
import jwt
from aiohttp import WSMsgType, web
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm
from yarl import URL

from bot.sandbox import programs, teams
from bot.sandbox.teams import Account
from cards.lint_adaptive import problems

ISSUER = "https://api.botframework.com"
SCOPE = "https://api.botframework.com"
KEY_ID = "sandbox"
MESSAGE_LIMIT = 100 * 1024  # bytes of UTF-16
RATES = ((1, 7), (2, 8), (30, 60), (3600, 1800))  # seconds, messages: per bot and conversation
TOKEN_SECONDS = 24 * 3600
# The page would fetch fonts and scripts of Microsoft's, and send telemetry.
OFFLINE = (
    "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; connect-src 'self' ws://localhost:* ws://127.0.0.1:*"
)
SETTLE_SECONDS = 20.0  # a page that says nothing for so long has been there before
_CARD = "application/vnd.microsoft.card.adaptive"
_HOP = {"host", "content-length", "transfer-encoding", "connection", "content-encoding", "accept-encoding", "upgrade"}
_STREAM = "/_ws_conversation/v1/conversations/stream"


@dataclass(slots=True, eq=False)
class _Page:
    """One open page: what it was shown, and whether it is ready to be shown anything."""

    socket: web.WebSocketResponse
    ready: bool = False
    shown: dict[str, int] = field(default_factory=dict)  # message id -> how often it was made or changed


class TeamsGate:
    """``async with TeamsGate(port=3011) as gate``, then ``attach`` the Playground and the bot: ``gate.url``."""

    def __init__(self, *, port: int = 0) -> None:
        self.app_id = str(uuid.uuid4())  # a new one each time: Microsoft's library keeps tokens by it
        self.calls: deque[dict[str, Any]] = deque(maxlen=5000)
        self.bot = ""  # the bot's address
        self._port, self._api_port = port, 0
        self._playground = ""
        self._token, self._secret = uuid.uuid4().hex, uuid.uuid4().hex
        self._sent: dict[str, deque[float]] = {}
        self._memory: dict[str, dict[str, Any]] = {}  # message id -> what made it, as it is now
        self._pages: set[_Page] = set()
        self._installed_in: set[str] = set()
        self._refreshing: set[asyncio.Task[None]] = set()
        self._runners: list[web.AppRunner] = []
        self._tasks: list[asyncio.Task[None]] = []

    # --- addresses ---

    @property
    def url(self) -> str:
        """The page."""
        return f"http://localhost:{self._port}"

    @property
    def api(self) -> str:
        return f"http://127.0.0.1:{self._api_port}"

    @property
    def endpoint(self) -> str:
        """Where the Playground believes the bot to be."""
        return f"{self.api}/bot/api/messages"

    @property
    def service_url(self) -> str:
        return f"{self.api}/teams/"

    @property
    def openid_url(self) -> str:
        return f"{self.api}/openid"

    def environment(self) -> dict[str, str]:
        """Where a managed identity asks for its token, as Azure App Service says it."""
        return {"IDENTITY_ENDPOINT": f"{self.api}/identity", "IDENTITY_HEADER": self._secret}

    # --- life ---

    async def __aenter__(self) -> TeamsGate:
        if self._port:
            programs.require_free(self._port, "--teams-port")
        self._key = await asyncio.to_thread(rsa.generate_private_key, 65537, 2048)
        self._http = aiohttp.ClientSession(auto_decompress=True)
        api = web.Application(client_max_size=1 << 20)
        api.router.add_get("/_gate/calls", self._show_calls)
        api.router.add_post("/bot/api/messages", self._from_playground)
        api.router.add_get("/identity", self._identity)
        api.router.add_get("/openid", self._openid)
        api.router.add_get("/keys", self._keys)
        api.router.add_route("*", "/teams/{path:.*}", self._connector)
        self._api_port = await self._serve(api, 0)
        page = web.Application(client_max_size=1 << 24)
        page.router.add_get(_STREAM, self._stream)
        page.router.add_get("/_ws/{path:.*}", self._logs)
        page.router.add_post("/_conversation/v1/conversations/{conversation}/messages", self._typed)
        page.router.add_post("/_conversation/v1/invoke", self._pressed)
        page.router.add_post("/_debug/conversation/{conversation}/installation", self._installed)
        page.router.add_route("*", "/{path:.*}", self._pass)
        self._port = await self._serve(page, self._port)
        return self

    async def _serve(self, app: web.Application, port: int) -> int:
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        self._runners.append(runner)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        found: int = runner.addresses[0][1]
        return found

    async def attach(self, playground: str) -> None:
        """Listen to what the Playground would tell a page."""
        self._playground = playground
        socket = await self._http.ws_connect(f"{playground}{_STREAM}", max_msg_size=1 << 24)
        self._tasks.append(asyncio.create_task(self._listen(socket), name="the Playground's messages"))

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        ending = [*self._tasks, *self._refreshing]
        for task in ending:
            task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)
        for page in list(self._pages):
            await page.socket.close()
        for runner in self._runners:
            await runner.cleanup()
        await self._http.close()

    async def _show_calls(self, _: web.Request) -> web.Response:
        return web.json_response({"calls": list(self.calls)})

    # --- Microsoft, toward the bot ---

    async def _identity(self, request: web.Request) -> web.Response:
        if request.headers.get("X-IDENTITY-HEADER") != self._secret or request.query.get("client_id") != self.app_id:
            return web.json_response({"statusCode": 400, "message": "no such identity"}, status=400)
        if request.query.get("resource") != SCOPE:
            return web.json_response({"statusCode": 400, "message": "no such resource"}, status=400)
        ends = str(int(time.time()) + TOKEN_SECONDS)
        made = {"access_token": self._token, "expires_on": ends, "resource": SCOPE, "token_type": "Bearer"}
        return web.json_response(made)

    async def _openid(self, _: web.Request) -> web.Response:
        return web.json_response({"issuer": ISSUER, "jwks_uri": f"{self.api}/keys"})

    async def _keys(self, _: web.Request) -> web.Response:
        key = {**json.loads(RSAAlgorithm.to_jwk(self._key.public_key())), "kid": KEY_ID, "endorsements": ["msteams"]}
        return web.json_response({"keys": [key]})

    def signed(self) -> str:
        now = int(time.time())
        claims = {"iss": ISSUER, "aud": self.app_id, "serviceurl": self.service_url, "nbf": now - 5, "exp": now + 300}
        return "Bearer " + jwt.encode(claims, self._key, algorithm="RS256", headers={"kid": KEY_ID})

    async def send(self, activity: Mapping[str, Any]) -> tuple[int, Any]:
        """An activity to the bot, as Teams would send it: the answer's status and body."""
        body, headers = {**activity, "serviceUrl": self.service_url}, {"Authorization": self.signed()}
        async with self._http.post(f"{self.bot}/api/messages", json=body, headers=headers) as answer:
            raw = await answer.read()
            return answer.status, json.loads(raw) if raw else None

    async def _from_playground(self, request: web.Request) -> web.Response:
        try:
            activity = await request.json()
            for entity in activity.get("entities") or ():
                if entity.get("type") == "clientInfo":
                    entity.pop("platform", None)  # it says that it is Teams in the web, which has dialogs: it has none
            status, body = await self.send(activity)
        except aiohttp.ClientError:
            return web.json_response({"error": "the bot does not answer"}, status=502)
        return web.Response(status=status) if body is None else web.json_response(_drawable(body), status=status)

    async def press(
        self, who: Account, conversation: str, message: str, action: Mapping[str, Any], *, automatic: bool = False
    ) -> tuple[int, Any]:
        """A button pressed by somebody, or (``automatic``) their client that asks for their own view of a card.
        ``action``: its ``verb`` and ``data``, with what stands in the inputs."""
        value = {"action": {"type": "Action.Execute", **action}, "trigger": "automatic" if automatic else "manual"}
        invoke = {"type": "invoke", "name": "adaptiveCard/action", "replyToId": message, "value": value}
        return await self.send(self.activity(who, conversation, message) | invoke)

    def activity(self, who: Account, conversation: str, message: str) -> dict[str, Any]:
        tenant = {"tenant": {"id": teams.TENANT}}
        where: dict[str, Any] = {"conversationType": "personal", "id": conversation}
        data: dict[str, Any] = tenant
        if "@thread.tacv2" in conversation:
            where = {"conversationType": "channel", "isGroup": True, "id": f"{conversation};messageid={message}"}
            data = tenant | {"team": {"id": teams.GENERAL.id}, "channel": {"id": conversation}}
        return {
            "id": str(uuid.uuid4()), "channelId": "msteams", "locale": "en-US",
            "from": {"id": who.id, "name": who.real_name, "aadObjectId": who.object_id},
            "recipient": {"id": f"28:{self.app_id}", "name": "Gatehouse"},
            "conversation": where | {"tenantId": teams.TENANT}, "channelData": data,
        }  # fmt: skip

    # --- the connector's REST API ---

    async def _connector(self, request: web.Request) -> web.Response:
        path = request.rel_url.raw_path.removeprefix("/teams")
        if request.headers.get("Authorization") != f"Bearer {self._token}":
            return self._no(request, path, 401, "Unauthorized", "Authorization has been denied for this request.")
        raw = await request.read()
        try:
            body = json.loads(raw) if raw else None
        except ValueError:
            return self._no(request, path, 400, "BadSyntax", "The body is no JSON.")
        activity = body.get("activity", body) if isinstance(body, dict) else {}
        if isinstance(activity, dict) and activity.get("type") == "message":
            if len(json.dumps(body, ensure_ascii=False).encode("utf-16-le")) > MESSAGE_LIMIT:
                return self._no(request, path, 413, "MessageSizeTooBig", "Message size too large.")
            cards = [each for each in activity.get("attachments") or () if each.get("contentType") == _CARD]
            wrong = [problem for each in cards for problem in problems(each["content"])]
            if wrong:
                return self._no(request, path, 400, "BadArgument", "; ".join(wrong[:5]))
        wait = self._wait(request.method, path, body)
        if wait:
            return self._no(request, path, 429, "TooManyRequests", "slow down", {"Retry-After": str(wait)})
        target, sent = (
            URL(f"{self._playground}/_connector{path}", encoded=True),
            None if body is None else _drawable(body),
        )
        async with self._http.request(request.method, target, json=sent) as answer:
            said = await answer.read()
            status = answer.status
        found = _json(said)
        self._record(request.method, path, status, body, found)
        return web.json_response(found, status=status)

    def _no(
        self, request: web.Request, path: str, status: int, code: str, said: str, headers: dict[str, str] | None = None
    ) -> web.Response:
        self._record(request.method, path, status, None, {"error": said})
        return web.json_response({"error": {"code": code, "message": said}}, status=status, headers=headers)

    def _record(self, method: str, path: str, status: int, body: Any, answer: Any) -> None:
        self.calls.append(
            {"method": method, "path": unquote(path), "status": status, "ok": status < 300, "body": body,
             "answer": answer, "at": time.time()}
        )  # fmt: skip

    def _wait(self, method: str, path: str, body: Any) -> int:
        """Seconds to wait before the next message in this conversation; 0 where it may be sent."""
        if method != "POST":
            return 0
        channel = body.get("channelData", {}).get("channel", {}).get("id", "") if isinstance(body, dict) else ""
        conversation = channel or unquote(path).split("/")[3:4] or "new"
        now, sent = time.monotonic(), self._sent.setdefault(str(conversation), deque(maxlen=1800))
        for seconds, most in RATES:
            lately = [at for at in sent if now - at < seconds]
            if len(lately) >= most:
                return max(1, round(seconds - (now - lately[0]) + 0.5))
        sent.append(now)
        return 0

    # --- Teams' memory, toward the page ---

    @property
    def posts(self) -> list[dict[str, Any]]:
        """Every message as the page shows it: ``{"id", "channel", "text", "card"}``, oldest first."""
        made = []
        for id, frame in self._memory.items():
            message = frame["message"]
            cards = [each["content"] for each in message.get("attachments") or () if each.get("contentType") == _CARD]
            where = {"id": id, "channel": frame["actionConversationId"]}
            made.append(where | {"text": message.get("text", ""), "card": cards[0] if cards else None})
        return made

    async def _listen(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                frame = json.loads(message.data)
                self._remember(frame)
                for page in list(self._pages):
                    await self._show(page, frame)

    def _remember(self, frame: dict[str, Any]) -> None:
        id = str(frame.get("message", {}).get("messageId", ""))
        if frame.get("action") == "createMessage":
            self._memory[id] = frame
        elif frame.get("action") == "updateMessage" and id in self._memory:
            self._memory[id] = {**self._memory[id], "message": {**self._memory[id]["message"], **frame["message"]}}

    async def _show(self, page: _Page, frame: dict[str, Any]) -> None:
        """The page breaks at a message it has already, at a change of one it has not, and at typing in a channel."""
        if not page.ready or (frame.get("action") == "typing" and "@thread.tacv2" in frame["actionConversationId"]):
            return
        id = str(frame.get("message", {}).get("messageId", ""))
        if id:
            if (frame.get("action") == "createMessage") == (id in page.shown):
                return
            page.shown[id] = page.shown.get(id, 0) + 1
        if not page.socket.closed:
            await page.socket.send_str(json.dumps(frame))
        if id and teams.HERE.id in _viewers(self._memory[id]):
            refreshing = asyncio.create_task(self._refresh(page, id, page.shown[id]))
            self._refreshing.add(refreshing)
            refreshing.add_done_callback(self._refreshing.discard)

    async def _refresh(self, page: _Page, id: str, version: int) -> None:
        """The card as the person at the page is to see it, unless it has changed again."""
        frame = self._memory[id]
        message, content = frame["message"], frame["message"]["attachments"][0]["content"]
        where, action = str(frame["actionConversationId"]), content["refresh"]["action"]
        try:
            status, said = await self.press(teams.HERE, where, id, action, automatic=True)
        except (aiohttp.ClientError, ValueError):
            return  # the card stays as everybody sees it, as in Teams
        if status != 200 or said.get("type") != _CARD or page.shown[id] != version or page.socket.closed:
            return
        own = {**message, "attachments": [{"contentType": _CARD, "content": said["value"]}]}
        await page.socket.send_str(json.dumps({**frame, "action": "updateMessage", "message": own}))

    async def _stream(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(timeout=1)
        await socket.prepare(request)
        page = _Page(socket)
        self._pages.add(page)

        async def settle() -> None:
            await asyncio.sleep(SETTLE_SECONDS)
            if not page.ready:  # the same page again, which has all of it
                page.ready, page.shown = True, dict.fromkeys(self._memory, 1)

        settling = asyncio.create_task(settle())
        try:
            async for _ in socket:
                pass
        finally:
            settling.cancel()
            self._pages.discard(page)
        return socket

    async def _installed(self, request: web.Request) -> web.Response:
        """What a page does for the conversation it shows first, and then for each it opens. It knows all of them now,
        and can be shown what is in them."""
        answer = web.json_response({})
        if request.path not in self._installed_in:
            self._installed_in.add(request.path)
            answer = await self._pass(request)
        for page in [each for each in self._pages if not each.ready]:
            page.ready = True
            for frame in list(self._memory.values()):
                await self._show(page, frame)
        return answer

    async def _typed(self, request: web.Request) -> web.Response:
        """What the person at the page says: the page shows it by itself, the gate keeps it for the next one."""
        draft, answer = _json(await request.read()), await self._pass(request)
        said = _json(answer.body if isinstance(answer.body, bytes) else b"")
        if isinstance(draft, dict) and isinstance(said, dict) and said.get("messageId"):
            text = re.sub(
                r"</?at[^>]*>", "", str(draft.get("text", ""))
            )  # the page draws mentions only as they are made
            message = {"attachments": [], "textFormat": "plain", **draft, **said, "text": text}
            frame = {
                "action": "createMessage",
                "actionConversationId": request.match_info["conversation"],
                "message": message,
            }
            self._remember(frame)
            for page in self._pages:
                page.shown[str(said["messageId"])] = 1
        return answer

    async def _pressed(self, request: web.Request) -> web.Response:
        """What the person at the page presses: the answer to that is newer than an own view that is still asked for."""
        body = _json(await request.read())
        id = str(body.get("replyToId", "")) if isinstance(body, dict) else ""
        for page in self._pages:
            if id in page.shown:
                page.shown[id] += 1
        return await self._pass(request)

    async def _pass(self, request: web.Request) -> web.Response:
        target = URL(f"{self._playground}{request.rel_url.raw_path_qs}", encoded=True)
        headers = {key: value for key, value in request.headers.items() if key.lower() not in _HOP}
        async with self._http.request(
            request.method, target, data=await request.read(), headers=headers, allow_redirects=False
        ) as answer:
            body = await answer.read()
            back = {key: value for key, value in answer.headers.items() if key.lower() not in _HOP}
            back["Content-Security-Policy"] = OFFLINE
            return web.Response(status=answer.status, body=body, headers=back)

    async def _logs(self, request: web.Request) -> web.WebSocketResponse:
        """The page's log of what passed, as it is."""
        socket = web.WebSocketResponse(timeout=1)
        await socket.prepare(request)
        async with self._http.ws_connect(f"{self._playground}{request.rel_url}", max_msg_size=1 << 24) as upstream:

            async def back() -> None:
                async for message in upstream:
                    if message.type is WSMsgType.TEXT:
                        await socket.send_str(message.data)
                await socket.close()

            returning = asyncio.create_task(back())
            try:
                async for message in socket:
                    if message.type is WSMsgType.TEXT:
                        await upstream.send_str(message.data)
            finally:
                returning.cancel()
        return socket


def _viewers(frame: Mapping[str, Any]) -> list[str]:
    """Who has an own view of the card."""
    found = frame["message"].get("attachments") or [{}]
    content = found[0].get("content") if found[0].get("contentType") == _CARD else {}
    users: list[str] = ((content or {}).get("refresh") or {}).get("userIds") or []
    return users


def _drawable(thing: Any) -> Any:
    """Without the width of cards, which the Playground cannot draw and remarks on under every card."""
    if isinstance(thing, list):
        return [_drawable(each) for each in thing]
    if not isinstance(thing, dict):
        return thing
    kept = {key: _drawable(value) for key, value in thing.items()}
    if kept.get("type") == "AdaptiveCard" and kept.get("msteams") == {"width": "Full"}:
        del kept["msteams"]
    return kept


def _json(raw: bytes) -> Any:
    try:
        return json.loads(raw) if raw else {}
    except ValueError:
        return {}
