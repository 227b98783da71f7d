"""``POST /webhooks/{source}``: a delivery is answered only after it is stored; who is not the source learns nothing."""

from __future__ import annotations

import logging
from typing import Protocol

from aiohttp import web

from bot.domain.errors import BadInput, NotFound, Refused

log = logging.getLogger(__name__)
PATH = "/webhooks/{source}"


class Receives(Protocol):
    async def receive(self, source: str, headers: dict[str, str], body: bytes) -> str: ...


def routes(webhooks: Receives, *, limit: int = 1 << 20) -> list[web.RouteDef]:
    """Answers: 200 stored, 401 not from the source, 404 no such door, 413 too large, 400 unreadable."""

    async def take(request: web.Request) -> web.Response:
        source = request.match_info["source"]
        if request.content_length is not None and request.content_length > limit:
            return web.json_response({"error": "too large"}, status=413)
        try:
            body = await request.content.read(limit + 1)
            while len(body) <= limit and (more := await request.content.read(limit + 1 - len(body))):
                body += more
            if len(body) > limit:
                return web.json_response({"error": "too large"}, status=413)
            said = await webhooks.receive(source, dict(request.headers), body)
        except NotFound:
            return web.json_response({"error": "no such source"}, status=404)
        except Refused as error:
            log.warning("webhook for %s refused: %s", source, error.reason)
            return web.json_response({"error": "not authorised"}, status=401)
        except BadInput as error:
            return web.json_response({"error": error.reason}, status=400)
        return web.json_response({"status": said})

    return [web.post(PATH, take)]
