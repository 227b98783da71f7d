"""Events as RFC 5424 messages: TLS or TCP with octet counting (RFC 5425, 6587), or UDP (RFC 5426).

Syslog has no answer. Over TCP and TLS we close our side after a batch and wait for the receiver to close its own, so
that a connection that broke on the way is seen; a receiver that crashes after it has read is not. Over UDP nothing is
seen at all. Where every event must arrive, use the file or Splunk with acknowledgement.
"""

from __future__ import annotations

import asyncio
import json
import re
import socket
import ssl
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from bot.domain.errors import OutcomeUnknown, Refused, RetryLater
from bot.settings import SyslogSettings

_AUDIT = 13  # facility "log audit"
_LEVEL = {1: 6, 2: 5, 3: 4, 4: 3, 5: 2}  # OCSF severity -> syslog severity
LARGEST_DATAGRAM = 60_000
FAREWELL = 2.0  # seconds we wait for the receiver to close


def message(event: Mapping[str, Any], host: str) -> bytes:
    """One message; its text is the event as ASCII JSON, which needs no byte order mark."""
    priority = _AUDIT * 8 + _LEVEL.get(event["severity_id"], 6)
    at = datetime.fromtimestamp(event["time"] / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    name = re.sub(r"[^!-~]", "-", host)[:255] or "-"
    kind = re.sub(r"[^!-~]", "-", str(event["metadata"]["event_code"]))[:32] or "-"
    return f"<{priority}>1 {at} {name} gatehouse - {kind} - {json.dumps(event, separators=(',', ':'))}".encode("ascii")


class SyslogSink:
    name = "syslog"

    def __init__(self, settings: SyslogSettings) -> None:
        self._settings = settings
        self._host = socket.gethostname()

    async def send(self, events: Sequence[Mapping[str, Any]]) -> None:
        if self._settings.protocol == "udp":
            await self._datagrams(events)
        else:
            await self._stream([message(event, self._host) for event in events])

    async def close(self) -> None:
        """Nothing is held open between batches."""

    async def _stream(self, messages: Sequence[bytes]) -> None:
        settings, context = self._settings, None
        if settings.protocol == "tls":
            context = ssl.create_default_context(cafile=str(settings.ca_file) if settings.ca_file else None)
        try:
            async with asyncio.timeout(settings.timeout_seconds):
                reader, writer = await asyncio.open_connection(settings.host, settings.port, ssl=context)
        except ssl.SSLError as error:
            raise Refused(
                f"no TLS with the syslog receiver: {error.reason}", mend="Set evidence.syslog.ca_file."
            ) from error
        except (OSError, TimeoutError) as error:
            raise RetryLater(f"the syslog receiver cannot be reached: {error or 'no answer in time'}") from error
        try:
            async with asyncio.timeout(settings.timeout_seconds):
                writer.writelines(b"%d %b" % (len(each), each) for each in messages)
                await writer.drain()
                if writer.can_write_eof():
                    writer.write_eof()
                    await _farewell(reader)
                writer.close()
                await writer.wait_closed()
        except (OSError, TimeoutError) as error:
            raise OutcomeUnknown(f"the connection to the syslog receiver broke: {error or 'too slow'}") from error
        finally:
            writer.close()

    async def _datagrams(self, events: Sequence[Mapping[str, Any]]) -> None:
        loop = asyncio.get_running_loop()
        try:
            transport, _ = await loop.create_datagram_endpoint(
                asyncio.DatagramProtocol, remote_addr=(self._settings.host, self._settings.port)
            )
        except OSError as error:
            raise RetryLater(f"the syslog receiver cannot be reached: {error}") from error
        try:
            for event in events:
                data = message(event, self._host)
                transport.sendto(data if len(data) <= LARGEST_DATAGRAM else message(_without_body(event), self._host))
                await asyncio.sleep(0)
        finally:
            transport.close()


async def _farewell(reader: asyncio.StreamReader) -> None:
    """Until the receiver closed, too. One that keeps its side open has taken what we sent as far as we can know."""
    try:
        async with asyncio.timeout(FAREWELL):
            while await reader.read(4096):
                pass
    except TimeoutError:
        return


def _without_body(event: Mapping[str, Any]) -> dict[str, Any]:
    """The event with the record's hash but not its body, which does not fit into a datagram."""
    record = dict(event["unmapped"]["ledger"])
    record["body"] = {"left_out": "too large for a datagram"}
    return {**event, "unmapped": {"ledger": record}}
