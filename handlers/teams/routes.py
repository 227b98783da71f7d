"""``POST /api/messages``: verify, keep where it came from, then answer. Nothing unverified reaches the engine.

Answers: 401 for whatever is wrong with the login, 403 for another tenant, 400 unreadable, 413 too large, 200 with the
card of an invoke, 200 empty for everything else, 503 where it could not be stored (Teams sends it again).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Protocol

import orjson
from aiohttp import web

from bot.domain.errors import Refused

from .contract import NotAuthorised, Seam
from .payloads import Origin, origin_of
from .seam import require_tenant

log = logging.getLogger(__name__)
PATH = "/api/messages"


class Takes(Protocol):
    """The desk behind the door."""

    async def seen(self, origin: Origin, activity: Mapping[str, Any]) -> None: ...

    async def invoked(self, origin: Origin, activity: Mapping[str, Any]) -> dict[str, Any]: ...

    async def said(self, origin: Origin, activity: Mapping[str, Any]) -> None: ...


def routes(seam: Seam, desk: Takes, tenant: str, *, limit: int = 256 * 1024) -> list[web.RouteDef]:
    async def take(request: web.Request) -> web.Response:
        if request.content_length is not None and request.content_length > limit:
            return web.json_response({"error": "too large"}, status=413)
        body = await request.content.read(limit + 1)
        while len(body) <= limit and (more := await request.content.read(limit + 1 - len(body))):
            body += more
        if len(body) > limit:
            return web.json_response({"error": "too large"}, status=413)
        try:
            activity = orjson.loads(body)
        except orjson.JSONDecodeError:
            activity = None
        try:
            await seam.verify(request.headers.get("Authorization"), activity if isinstance(activity, dict) else {})
        except NotAuthorised:
            return web.json_response({"error": "not authorised"}, status=401)
        origin = origin_of(activity)
        try:
            require_tenant(origin.tenant, tenant.lower())
        except Refused:
            log.warning("an activity of another tenant was refused")
            return web.json_response({"error": "another organisation"}, status=403)
        if not origin.conversation or not origin.member:
            return web.json_response({"error": "no conversation or sender"}, status=400)
        try:
            await desk.seen(origin, activity)
            if activity.get("type") == "invoke":
                return web.json_response(await desk.invoked(origin, activity))
            if activity.get("type") == "message":
                await desk.said(origin, activity)
        except Exception:
            log.exception("an activity of Teams could not be taken")
            return web.json_response({"error": "not stored"}, status=503)
        return web.Response(status=200)

    return [web.post(PATH, take)]
