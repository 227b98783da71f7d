"""Splunk's event collector: batches, the codes of its answers, acknowledgement; a strict collector of our own."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web

from bot.domain.errors import ConnectorError, OutcomeUnknown, Refused, Relogin, RetryLater, SettingsError
from bot.settings import SplunkSettings
from connectors.splunk import HecSink, hec

TOKEN = "11111111-2222-3333-4444-555555555555"


@dataclass
class Collector:
    url: str = ""
    events: list[dict[str, Any]] = field(default_factory=list)
    answers: list[tuple[int, dict[str, str], Any]] = field(default_factory=list)
    acks: list[bool] = field(default_factory=list)
    channels: set[str] = field(default_factory=set)
    silent: bool = False
    asked: int = 0

    async def event(self, request: web.Request) -> web.StreamResponse:
        if self.answers:
            status, headers, body = self.answers.pop(0)
            text = body if isinstance(body, str) else json.dumps(body)
            return web.Response(status=status, headers=headers, text=text)
        if request.headers.get("Authorization") != f"Splunk {TOKEN}":
            return web.json_response({"text": "Invalid token", "code": 4}, status=403)
        text, decoder, at = await request.text(), json.JSONDecoder(), 0
        while at < len(text):  # objects one after another, not an array
            envelope, at = decoder.raw_decode(text, at)
            assert set(envelope) <= {"time", "host", "source", "sourcetype", "index", "event", "fields"}
            assert all(isinstance(value, str) for value in envelope["fields"].values())
            self.events.append(envelope)
        if self.silent:
            await asyncio.sleep(30)
        self.channels.add(request.headers.get("X-Splunk-Request-Channel", ""))
        return web.json_response({"text": "Success", "code": 0} | ({"ackId": 7} if self.acks else {}))

    async def ack(self, request: web.Request) -> web.StreamResponse:
        self.asked += 1
        self.channels.add(request.headers["X-Splunk-Request-Channel"])
        assert await request.json() == {"acks": [7]}
        return web.json_response({"acks": {"7": self.acks.pop(0)}})


@pytest.fixture
async def collector() -> AsyncIterator[Collector]:
    made = Collector()
    app = web.Application()
    app.router.add_post("/services/collector/event", made.event)
    app.router.add_post("/services/collector/ack", made.ack)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
    made.url = f"http://127.0.0.1:{port}"
    yield made
    await runner.cleanup()


def event(number: int) -> dict[str, Any]:
    uid = f"{number:064x}"
    return {"time": 1_795_600_000_123 + number, "severity_id": 1, "metadata": {"uid": uid, "event_code": "vote.cast"}}


async def send(collector: Collector, *, url: str = "", token: str = TOKEN, **more: Any) -> None:
    sink = HecSink(SplunkSettings(url=url or collector.url, token=token, timeout_seconds=1, **more))  # type: ignore[arg-type]
    try:
        await sink.send([event(1), event(2)])
    finally:
        await sink.close()


async def test_a_batch_arrives_with_time_index_and_event_id(collector: Collector) -> None:
    await send(collector, index="cloudsec")
    assert [each["event"] for each in collector.events] == [event(1), event(2)]
    first = collector.events[0]
    assert first["time"] == 1_795_600_000.124
    assert (first["index"], first["sourcetype"]) == ("cloudsec", "gatehouse:ocsf")
    assert first["fields"] == {"event_id": event(1)["metadata"]["uid"]}
    collector.events.clear()
    await send(collector)
    assert "index" not in collector.events[0], "the token's own"


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (403, 1, Relogin), (401, 2, Relogin), (401, 3, Relogin), (403, 4, Relogin), (400, 5, Refused),
        (400, 6, Refused), (400, 7, Refused), (500, 8, RetryLater), (503, 9, RetryLater), (400, 10, Refused),
        (400, 11, Refused), (400, 12, Refused), (400, 13, Refused), (400, 14, Refused), (400, 15, Refused),
        (400, 16, Refused), (503, 18, RetryLater), (429, None, RetryLater), (502, None, RetryLater),
        (200, 6, Refused), (200, None, Refused), (302, None, Refused),
    ],
)  # fmt: skip
async def test_the_code_of_an_answer_decides(
    collector: Collector, status: int, code: int | None, expected: type[ConnectorError]
) -> None:
    body: Any = "<html>proxy</html>" if code is None else {"text": "words", "code": code, "invalid-event-number": 1}
    collector.answers = [(status, {"Retry-After": "7"}, body)]
    with pytest.raises(expected) as caught:
        await send(collector)
    assert TOKEN not in str(caught.value)
    if isinstance(caught.value, RetryLater):
        assert caught.value.after == 7
    elif isinstance(caught.value, Refused) and code is not None:
        assert "event 1 of the batch" in str(caught.value)


async def test_a_wrong_token_is_told_without_saying_it(collector: Collector) -> None:
    with pytest.raises(Relogin, match="Invalid token") as caught:
        await send(collector, token="secret-but-wrong")
    assert "secret-but-wrong" not in str(caught.value)


async def test_no_answer_is_an_unknown_outcome_and_no_server_is_not(collector: Collector) -> None:
    collector.silent = True
    with pytest.raises(OutcomeUnknown):
        await send(collector)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        closed = f"http://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(RetryLater, match="cannot be reached"):
        await send(collector, url=closed)


async def test_with_acknowledgement_it_waits_until_the_events_are_indexed(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hec, "ASK_AGAIN", 0.01)
    collector.acks = [False, False, True]
    await send(collector, acknowledge=True)
    assert collector.asked == 3
    assert len(collector.channels) == 1
    assert "" not in collector.channels
    collector.acks = [False] * 1000
    with pytest.raises(OutcomeUnknown, match="indexed"):
        await send(collector, acknowledge=True)
    collector.acks = []
    with pytest.raises(Refused, match="no ackId"):
        await send(collector, acknowledge=True)


def test_a_url_without_a_token_is_refused_at_start() -> None:
    with pytest.raises(SettingsError, match="token is not"):
        HecSink(SplunkSettings(url="https://splunk:8088"))
