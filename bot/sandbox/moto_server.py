"""The simulated AWS as a process of its own: ``python -m bot.sandbox.moto_server``.

Nothing of moto is edited. Around it stands a WSGI layer that adds what moto lacks: a call log (the test bench's
CloudTrail) and a clock for IAM, so that access keys can be old. The first line on stdout is ``{"port": …}``.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qs

CALLS_PATH = "/_sandbox/calls"
CLOCK_PATH = "/_sandbox/clock"
_READS = re.compile(r"^(Get|List|Describe|Head|BatchGet|Lookup|Search|Simulate|AssumeRole|Query|Scan|Generate)")
_CREDENTIAL = re.compile(r"Credential=([^/]+)/[^/]+/([^/]+)/([^/]+)/")
_MAX_CALLS = 20_000

StartResponse = Callable[..., Any]


class CallLog:
    """What reached the cloud, newest last. Bodies and secrets are not kept."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls: list[dict[str, Any]] = []

    def add(self, call: dict[str, Any]) -> None:
        with self._lock:
            self._calls.append(call)
            del self._calls[:-_MAX_CALLS]

    def all(self) -> list[dict[str, Any]]:
        with self._lock:
            return list(self._calls)

    def clear(self) -> None:
        with self._lock:
            self._calls.clear()


def describe_call(environ: dict[str, Any], body: bytes) -> dict[str, Any]:
    """Service, action and caller of one request, whatever protocol the service speaks."""
    found = _CREDENTIAL.search(environ.get("HTTP_AUTHORIZATION", ""))
    key, region, service = found.groups() if found else ("", "", "")
    method, path = environ["REQUEST_METHOD"], environ.get("PATH_INFO", "/")
    action = ""
    target = environ.get("HTTP_X_AMZ_TARGET", "")
    if target:
        action = target.rsplit(".", 1)[-1]
    elif environ.get("CONTENT_TYPE", "").startswith("application/x-www-form-urlencoded"):
        action = parse_qs(body.decode("utf-8", "replace")).get("Action", [""])[0]
    write = not _READS.match(action) if action else method not in ("GET", "HEAD")
    return {
        "service": service,
        "action": action or f"{method} {path}" + (f"?{query}" if (query := environ.get("QUERY_STRING")) else ""),
        "region": region,
        "key": key,
        "write": write,
        "user_agent": environ.get("HTTP_USER_AGENT", ""),
    }


class Recorder:
    """WSGI layer: answers the sandbox's own paths, logs everything else and hands it to moto."""

    def __init__(self, app: Callable[[dict[str, Any], StartResponse], Iterable[bytes]], log: CallLog) -> None:
        self._app = app
        self._log = log

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "/")
        if path == CALLS_PATH:
            if environ["REQUEST_METHOD"] == "DELETE":
                self._log.clear()
            return _answer(start_response, self._log.all())
        if path == CLOCK_PATH:
            days = float(parse_qs(environ.get("QUERY_STRING", "")).get("days", ["0"])[0])
            shift_iam_clock(timedelta(days=days))
            return _answer(start_response, {"days": days})
        body = b""
        length = environ.get("CONTENT_LENGTH") or ""
        if length.isdigit():
            body = environ["wsgi.input"].read(int(length))
            environ["wsgi.input"] = io.BytesIO(body)
        call = describe_call(environ, body)

        def note(status: str, headers: Any, exc_info: Any = None) -> Any:
            call["status"] = int(status.split(" ", 1)[0])
            return start_response(status, headers, exc_info) if exc_info else start_response(status, headers)

        answer = self._app(environ, note)
        if not path.startswith("/moto-api"):
            self._log.add(call)
        return answer


def _answer(start_response: StartResponse, value: Any) -> Iterable[bytes]:
    data = json.dumps(value).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(data)))])
    return [data]


def shift_iam_clock(shift: timedelta) -> None:
    """Let IAM objects made from now on be as old as ``shift`` says (negative days); zero is the present."""
    from moto.core.utils import utcnow
    from moto.iam import models

    def shifted() -> datetime:
        now: datetime = utcnow()
        return now + shift

    models.utcnow = shifted  # type: ignore[attr-defined]


def main() -> None:
    parser = argparse.ArgumentParser(description="Simulated AWS for the sandbox")
    parser.add_argument("--port", type=int, default=0)
    port = parser.parse_args().port

    import logging

    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
    from werkzeug.serving import make_server

    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # one line a request would be noise
    app = Recorder(DomainDispatcherApplication(create_backend_app), CallLog())
    server = make_server("127.0.0.1", port, app, threaded=True, request_handler=MotoRequestHandler)
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    _die_with_parent()
    sys.stdout.write(json.dumps({"port": server.port}) + "\n")
    sys.stdout.flush()
    server.serve_forever()


def _die_with_parent() -> None:
    """The parent holds our stdin open; when it is gone, killed or not, stdin ends and so do we."""

    def wait() -> None:
        sys.stdin.buffer.read()
        os._exit(0)

    threading.Thread(target=wait, daemon=True).start()


if __name__ == "__main__":
    main()
