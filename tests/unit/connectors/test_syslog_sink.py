"""Syslog: RFC 5424 messages whole and in order over TCP, TLS and UDP; what breaks on the way is seen."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from bot.domain.errors import OutcomeUnknown, Refused, RetryLater
from bot.settings import SyslogSettings
from connectors.syslog import SyslogSink, sender

FORM = re.compile(
    rb"<(\d{1,3})>1 (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z) ([!-~]+) gatehouse - ([!-~]{1,32}) - (\{.*\})"
)


def event(number: int, text: str = "line one\nline two \u00e9") -> dict[str, Any]:
    record = {"seq": number, "hash": f"{number:064x}", "body": {"why": text}}
    return {"time": 1_795_600_000_000 + number, "severity_id": 1 + number % 4,
            "metadata": {"uid": record["hash"], "event_code": "vote.cast"}, "unmapped": {"ledger": record}}  # fmt: skip


def frames(data: bytes) -> list[bytes]:
    """Octet counting: length, blank, message."""
    found = []
    while data:
        length, _, rest = data.partition(b" ")
        assert len(rest) >= int(length)
        found.append(rest[: int(length)])
        data = rest[int(length) :]
    return found


def read(message: bytes) -> dict[str, Any]:
    parts = FORM.fullmatch(message)
    assert parts, message
    assert int(parts[1]) // 8 == 13
    found: dict[str, Any] = json.loads(parts[5])
    return found


@asynccontextmanager
async def receiver(
    handle: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Any] | None = None, tls: ssl.SSLContext | None = None
) -> AsyncIterator[tuple[int, asyncio.Queue[bytes]]]:
    got: asyncio.Queue[bytes] = asyncio.Queue()

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await got.put(await reader.read(-1))
        writer.close()

    server = await asyncio.start_server(handle or take, "127.0.0.1", 0, ssl=tls)
    async with server:
        yield server.sockets[0].getsockname()[1], got


def sink(port: int, protocol: str = "tcp", **more: Any) -> SyslogSink:
    values = {"host": "localhost" if protocol == "tls" else "127.0.0.1", "port": port, "protocol": protocol}
    return SyslogSink(SyslogSettings(**(values | {"timeout_seconds": 2} | more)))  # type: ignore[arg-type]


async def test_over_tcp_every_message_is_whole_whatever_is_in_it() -> None:
    events = [event(number) for number in range(50)] + [event(50, "x" * 300_000)]
    async with receiver() as (port, got):
        await sink(port).send(events)
        assert [read(each) for each in frames(await got.get())] == events


async def test_a_receiver_that_resets_the_connection_is_an_unknown_outcome() -> None:
    async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10)
        writer.transport.abort()

    async with receiver(reset) as (port, _):
        with pytest.raises(OutcomeUnknown, match="broke"):
            await sink(port).send([event(number, "x" * 100_000) for number in range(40)])


async def test_a_receiver_that_keeps_its_side_open_has_taken_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sender, "FAREWELL", 0.05)
    release = asyncio.Event()

    async def keep(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(-1)
        await release.wait()
        writer.close()

    async with receiver(keep) as (port, _):
        await sink(port).send([event(1)])
        release.set()


async def test_no_receiver_is_tried_again_later() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(RetryLater, match="cannot be reached"):
        await sink(port).send([event(1)])


@pytest.mark.skipif(shutil.which("openssl") is None, reason="makes the certificate with openssl")
async def test_over_tls_the_receiver_must_be_who_it_says(tmp_path: Path) -> None:
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
               "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
               "-keyout", str(tmp_path / "key.pem"), "-out", str(tmp_path / "cert.pem")]  # fmt: skip
    await asyncio.to_thread(subprocess.run, command, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    async with receiver(tls=context) as (port, got):
        await sink(port, "tls", ca_file=tmp_path / "cert.pem").send([event(1), event(2)])
        assert [read(each) for each in frames(await got.get())] == [event(1), event(2)]
        with pytest.raises(Refused, match="no TLS"):
            await sink(port, "tls").send([event(1)])
        with pytest.raises(Refused, match="no TLS"):
            await sink(port, "tls", ca_file=tmp_path / "cert.pem", host="127.0.0.1").send([event(1)])


async def test_over_udp_a_record_too_large_goes_without_its_body() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(2)
        large = event(2, "x" * 70_000)
        await sink(server.getsockname()[1], "udp").send([event(1), large])
        assert read(await asyncio.to_thread(server.recv, 70_000)) == event(1)
        told = read(await asyncio.to_thread(server.recv, 70_000))
    assert told["metadata"] == large["metadata"]
    assert told["unmapped"]["ledger"]["body"] == {"left_out": "too large for a datagram"}
