"""A connector of Teams that keeps Teams' rules: who may post where, how large, how often, and what is not there.

Sources of the rules: msteams-docs, "Status codes from agent conversational APIs", "Rate limiting" and "Format your bot
messages" (100 KB in UTF-16); universal actions (at most 60 ``userIds``).
"""

from __future__ import annotations

import json
import time
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from .world import APP, CHANNEL, TENANT, served

SIZE = 100 * 1024  # bytes of UTF-16
WINDOWS = {
    "send": ((1.0, 7), (2.0, 8), (30.0, 60), (3600.0, 1800)),
    "read": ((1.0, 14), (2.0, 16), (30.0, 120), (3600.0, 3600)),
}
ALL = ((1.0, 50),)  # of one app in one tenant
CONTENT = "application/vnd.microsoft.card.adaptive"


@dataclass
class Place:
    """A conversation. ``members``: 29:… -> Entra object id."""

    id: str
    kind: str = "channel"
    members: dict[str, str] = field(default_factory=dict)
    installed: bool = True
    blocked: bool = False


@dataclass
class Posted:
    place: str
    root: str
    id: str
    activity: dict[str, Any]
    edits: int = 0
    deleted: bool = False


class Problem(Exception):
    def __init__(self, status: int, code: str, said: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(said)
        self.status, self.code, self.said, self.headers = status, code, said, headers or {}


class FakeTeams:
    """``places`` is what exists; ``posts`` what was posted; ``asked`` every call as (method, path)."""

    def __init__(self, *places: Place, token: str = "t", clock: Callable[[], float] = time.monotonic,
                 page: int = 500) -> None:  # fmt: skip
        self.places = {place.id: place for place in places}
        self.posts: dict[str, Posted] = {}
        self.asked: list[tuple[str, str]] = []
        self.broken: list[tuple[int, dict[str, str]]] = []  # answered first: status and headers, nothing is done
        self._token, self._clock, self._page = token, clock, page
        self._seen: dict[tuple[str, str], deque[float]] = defaultdict(lambda: deque(maxlen=4_000))
        self._number = 1_795_000_000_000

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        """The service URL."""
        base = "/emea/v3/conversations"
        table = [
            web.post(base, self._wrapped(self._create)),
            web.post(base + "/{place}/activities", self._wrapped(self._send)),
            web.put(base + "/{place}/activities/{id}", self._wrapped(self._update)),
            web.get(base + "/{place}/pagedmembers", self._wrapped(self._members)),
            web.get(base + "/{place}/members/{member}", self._wrapped(self._member)),
        ]
        async with served(table) as url:
            yield f"{url}/emea/"

    def delete(self, message_id: str) -> None:
        """Somebody deletes the message in the client."""
        self.posts[message_id].deleted = True

    def cards(self, place: str = CHANNEL) -> list[dict[str, Any]]:
        """What is to be seen there now, oldest first."""
        seen = [post for post in self.posts.values() if post.place == place and not post.deleted]
        return [post.activity["attachments"][0]["content"] for post in seen if post.activity.get("attachments")]

    # --- calls -------------------------------------------------------------------------------------------------------

    def _wrapped(self, call: Callable[[web.Request, Any], Any]) -> Callable[[web.Request], Any]:
        async def take(request: web.Request) -> web.Response:
            self.asked.append((request.method, request.path))
            try:
                raw = await request.read()
                if self.broken:
                    status, headers = self.broken.pop(0)
                    raise Problem(status, "ServiceError" if status >= 500 else "Throttled", "Try again.", headers)
                if request.headers.get("Authorization") != f"Bearer {self._token}":
                    raise Problem(401, "BotNotRegistered", "No registration found for this bot.")
                self._slow("app", "all", ALL)
                return web.json_response(call(request, self._body(raw)))
            except Problem as problem:
                said = {"error": {"code": problem.code, "message": problem.said}}
                return web.json_response(said, status=problem.status, headers=problem.headers)

        return take

    def _body(self, raw: bytes) -> Any:
        if not raw:
            return None
        text = raw.decode()
        if len(text.encode("utf-16-le")) > SIZE:
            raise Problem(413, "MessageSizeTooBig", "Message size too large.")
        return json.loads(text)

    def _create(self, _: web.Request, body: Any) -> dict[str, Any]:
        data = body.get("channelData") or {}
        if (data.get("tenant") or {}).get("id") != TENANT or body.get("bot", {}).get("id") != f"28:{APP}":
            raise Problem(400, "BadArgument", "Tenant and bot must be ours.")
        if body.get("isGroup"):
            place = self._place((data.get("channel") or {}).get("id", ""))
            self._slow(place.id, "send", WINDOWS["send"])
            post = self._post(place, "", body["activity"])
            return {"id": f"{place.id};messageid={post.id}", "activityId": post.id}
        (member,) = body.get("members") or [{}]
        for place in self.places.values():
            if place.kind == "personal" and member.get("id") in place.members:
                return {"id": place.id}
        raise Problem(403, "ForbiddenOperationException", "The bot is not installed in user's personal scope.")

    def _send(self, request: web.Request, activity: Any) -> dict[str, Any]:
        place, root = self._named(request)
        self._slow(place.id, "send", WINDOWS["send"])
        return {"id": self._post(place, root, activity).id}

    def _update(self, request: web.Request, activity: Any) -> dict[str, Any]:
        place, root = self._named(request)
        self._slow(place.id, "send", WINDOWS["send"])
        post = self.posts.get(request.match_info["id"])
        if post is None or post.deleted or post.place != place.id or (place.kind == "channel" and post.root != root):
            raise Problem(404, "ActivityNotFoundInConversation", "Conversation not found.")
        if activity.get("id") != post.id:
            raise Problem(400, "BadArgument", "The id in the body is another.")
        _check(activity)
        post.activity, post.edits = activity, post.edits + 1
        return {"id": post.id}

    def _members(self, request: web.Request, _: Any) -> dict[str, Any]:
        place, _root = self._named(request)
        self._slow(place.id, "read", WINDOWS["read"])
        start = int(request.query.get("continuationToken") or 0)
        end = start + min(int(request.query.get("pageSize", 200)), self._page, 500)
        people = [_person(*each) for each in list(place.members.items())[start:end]]
        return {"members": people, **({"continuationToken": str(end)} if end < len(place.members) else {})}

    def _member(self, request: web.Request, _: Any) -> dict[str, Any]:
        place, _root = self._named(request)
        self._slow(place.id, "read", WINDOWS["read"])
        member = request.match_info["member"]
        if member not in place.members:
            raise Problem(404, "MemberNotFoundInConversation", "Member not found.")
        return _person(member, place.members[member])

    # --- rules -------------------------------------------------------------------------------------------------------

    def _named(self, request: web.Request) -> tuple[Place, str]:
        name, _, root = request.match_info["place"].partition(";messageid=")
        return self._place(name), root

    def _place(self, name: str) -> Place:
        place = self.places.get(name)
        if place is None:
            raise Problem(404, "ConversationNotFound", "Conversation not found.")
        if not place.installed:
            raise Problem(403, "BotNotInConversationRoster", "The bot is not part of the conversation roster.")
        if place.blocked:
            raise Problem(403, "ConversationBlockedByUser", "User blocked the conversation with the bot.")
        return place

    def _post(self, place: Place, root: str, activity: Any) -> Posted:
        if root and (root not in self.posts or self.posts[root].deleted):
            raise Problem(404, "ActivityNotFoundInConversation", "Conversation not found.")
        _check(activity)
        self._number += 1
        number = str(self._number)
        post = Posted(place.id, root or (number if place.kind == "channel" else ""), number, activity)
        self.posts[number] = post
        return post

    def _slow(self, place: str, kind: str, windows: tuple[tuple[float, int], ...]) -> None:
        now, seen = self._clock(), self._seen[place, kind]
        for seconds, most in windows:
            within = [at for at in seen if now - at < seconds]
            if len(within) >= most:
                wait = max(1, round(seconds - (now - within[0])))
                raise Problem(429, "Throttled", "Too many requests.", {"Retry-After": str(wait)})
        seen.append(now)


def _person(member: str, user: str) -> dict[str, Any]:
    return {"id": member, "aadObjectId": user, "name": "somebody", "userRole": "user", "tenantId": TENANT,
            "userPrincipalName": f"{user[:8]}@acme.example"}  # fmt: skip


def _check(activity: Any) -> None:
    if not isinstance(activity, dict) or activity.get("type") not in {"message", "typing"}:
        raise Problem(400, "BadArgument", "Unknown activity type.")
    if activity["type"] == "message" and not (activity.get("text") or activity.get("attachments")):
        raise Problem(400, "BadArgument", "Message must not be empty.")
    for attachment in activity.get("attachments") or ():
        card = attachment.get("content") or {}
        if attachment.get("contentType") != CONTENT or card.get("type") != "AdaptiveCard" or not card.get("body"):
            raise Problem(400, "BadArgument", "Unknown attachment type.")
        refresh = card.get("refresh")
        if refresh is None:
            continue
        users = refresh.get("userIds")
        if not isinstance(users, list) or len(users) > 60 or len(set(users)) != len(users):
            raise Problem(400, "BadArgument", "refresh.userIds: at most 60 different ones.")
        if not all(isinstance(user, str) and user.startswith("29:") for user in users):
            raise Problem(400, "BadArgument", "refresh.userIds: ids of this conversation's members only.")
        if refresh.get("action", {}).get("type") != "Action.Execute":
            raise Problem(400, "BadArgument", "refresh.action: an Action.Execute.")
