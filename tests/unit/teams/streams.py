"""Teams' connector for answers: keeps the rules of streaming, of who is in a conversation, and of sizes, as Microsoft
describes them, and remembers what everybody in a conversation would see."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from aiohttp import web

from .test_wire import Connector
from .world import ALICE, BOB, TENANT


@dataclass
class Stream:
    sequence: int = 0
    text: str = ""
    last: float = 0.0
    open: bool = True


@dataclass
class Refusal:
    status: int
    code: str = ""
    message: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    after: bool = False  # what was sent arrives all the same


class Teams(Connector):
    """``shown``: (conversation, activity id, activity), in order; ``signs``: typing and informative lines."""

    def __init__(self, pace: float = 0.0) -> None:
        super().__init__()
        self.pace = pace  # seconds between two requests of a stream
        self.shown: list[tuple[str, str, dict[str, Any]]] = []
        self.signs: list[tuple[str, dict[str, Any], float]] = []
        self.streams: dict[tuple[str, str], Stream] = {}
        self.refuse: list[Refusal | None] = []  # for the next requests with an activity
        self.roster: list[dict[str, Any]] = [self.person(ALICE), self.person(BOB)]
        self.more = False
        self._number = 1795383084000

    @staticmethod
    def person(user: str, **more: Any) -> dict[str, Any]:
        base = {"id": f"29:{user[:5]}", "aadObjectId": user, "tenantId": TENANT, "userRole": "user"}
        return base | {"userPrincipalName": f"{user[:5]}@acme.example"} | more

    def texts(self, conversation: str = "") -> list[str]:
        return [json.dumps(a, ensure_ascii=False) for c, _, a in self.shown if not conversation or c == conversation]

    def last(self) -> dict[str, Any]:
        return self.shown[-1][2]

    async def _take(self, request: web.Request) -> web.Response:
        parts = [unquote(part) for part in request.raw_path.partition("?")[0].split("/")][3:]
        body = await request.json() if request.can_read_body else {}
        self.asked.append((request.method, request.path, body, None))
        if parts == ["conversations"]:
            return web.json_response({"id": f"a:{body['members'][0]['id'][3:]}"}, status=201)
        if parts[2] == "pagedmembers":
            token = {"continuationToken": "x"} if self.more else {}
            return web.json_response({"members": self.roster} | token)
        if parts[2] == "members":
            found = [each for each in self.roster if each["id"] == parts[3]]
            return web.json_response(found[0] if found else {}, status=200 if found else 404)
        if len(json.dumps(body, ensure_ascii=False).encode("utf-16-le")) > 100 * 1024:
            return self._no(413, "MessageSizeTooBig", "too big")
        refusal = self.refuse.pop(0) if self.refuse else None
        if refusal is not None and "cancel" in refusal.message:
            for (place, _), stream in self.streams.items():
                stream.open &= place != parts[1]
        if refusal is not None and not refusal.after:
            return self._no(refusal.status, refusal.code, refusal.message, refusal.headers)
        answer = self._put(parts[1], body, parts[3] if len(parts) > 3 else "")
        if refusal is not None:
            return self._no(refusal.status, refusal.code, refusal.message, refusal.headers)
        return answer

    @staticmethod
    def _no(status: int, code: str, message: str, headers: dict[str, str] | None = None) -> web.Response:
        return web.json_response({"error": {"code": code, "message": message}}, status=status, headers=headers)

    def _put(self, where: str, activity: dict[str, Any], old: str) -> web.Response:
        if old:
            for n, (place, name, _) in enumerate(self.shown):
                if (place, name) == (where, old):
                    self.shown[n] = (where, old, activity)
                    return web.json_response({"id": old})
            return self._no(404, "ActivityNotFoundInConversation", "no such message")
        infos = [each for each in activity.get("entities", ()) if each.get("type") == "streaminfo"]
        if infos:
            return self._stream(where, activity, infos[0])
        self._number += 1
        if activity["type"] == "typing":
            self.signs.append((where, activity, time.time()))
        else:
            assert activity.get("attachments") or activity.get("text"), "an empty message"
            self.shown.append((where, str(self._number), activity))
        return web.json_response({"id": str(self._number)}, status=201)

    def _stream(self, where: str, activity: dict[str, Any], info: dict[str, Any]) -> web.Response:
        no = "ContentStreamNotAllowed"
        if where.startswith("19:"):
            return self._no(403, no, "Content stream is not allowed")
        if not activity.get("text"):
            return self._no(400, "BadRequest", "Start streaming activities should include text")
        final, kind, now = activity["type"] == "message", info.get("streamType"), time.monotonic()
        if (kind == "final") != final or (final and "streamSequence" in info):
            return self._no(400, "BadRequest", "the end of a stream is a final message without a sequence")
        if not final and any(key in activity for key in ("attachments", "suggestedActions")):
            return self._no(400, "BadRequest", "attachments only with the final message")
        name = info.get("streamId", "")
        if not name:
            if any(place == where and stream.open for (place, _), stream in self.streams.items()):
                return self._no(403, no, "another stream is open")
            self._number += 1
            name = str(self._number)
            self.streams[where, name] = Stream()
        found = self.streams.get((where, name))
        if found is None or not found.open:
            return self._no(403, no, "Content stream is not allowed on an already completed streamed message")
        if now - found.last < self.pace:
            return self._no(429, "", "API calls quota exceeded", {"Retry-After": "1"})
        if kind == "informative" and len(activity["text"]) > 1000:
            return self._no(400, "BadRequest", "informative text is too long")
        if kind != "informative" and not activity["text"].startswith(found.text):
            return self._no(403, no, "the text must go on from what was streamed")
        if not final and info.get("streamSequence") != found.sequence + 1:
            return self._no(400, "BadRequest", "the sequence goes up by one, from one")
        found.last, found.sequence = now, found.sequence + 1
        if kind == "streaming":
            found.text = activity["text"]
        if not final:
            self.signs.append((where, activity, time.time()))
            return web.json_response({"id": name} if "streamId" not in info else {}, status=201)
        found.open = False
        self.shown.append((where, name, activity))
        return web.json_response({}, status=202)
