"""A small server that speaks chat completions, at the edge of a test; checks what it gets where a document is given."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

Reply = dict[str, Any] | tuple[int, dict[str, Any], dict[str, str]]


def completion(content: str | None, *, tool: str = "", finish: str = "stop", **more: Any) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": content, "refusal": None}
    if tool:
        function = {"name": "narrative", "arguments": tool}
        message["tool_calls"] = [{"id": "t1", "type": "function", "function": function}]
    return {
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1_790_000_000, "model": "stub-2026",
        "choices": [{"index": 0, "message": message, "finish_reason": finish, "logprobs": None}],
        "usage": {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18},
    } | more  # fmt: skip


class ModelServer:
    """``replies`` are given in order, the last one again and again; a reply may be (status, body, headers)."""

    def __init__(self, *replies: Reply, validate: Callable[[Any], None] | None = None) -> None:
        self.replies, self.validate = list(replies), validate
        self.bodies: list[dict[str, Any]] = []
        self.paths: list[str] = []
        self.headers: list[dict[str, str]] = []
        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", self._answer)
        self.server = TestServer(app, host="127.0.0.1")

    async def __aenter__(self) -> ModelServer:
        await self.server.start_server()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.server.close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.port}/v1"

    async def _answer(self, request: web.Request) -> web.Response:
        body = json.loads(await request.text() or "{}")
        self.bodies.append(body)
        self.paths.append(request.path_qs)
        self.headers.append(dict(request.headers))
        if self.validate is not None:
            self.validate(body)
        reply = self.replies[min(len(self.bodies) - 1, len(self.replies) - 1)]
        status, given, headers = reply if isinstance(reply, tuple) else (200, reply, {})
        return web.json_response(given, status=status, headers=headers)
