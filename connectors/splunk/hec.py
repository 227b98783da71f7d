"""Events to Splunk's HTTP Event Collector. The answer's ``code`` decides; with acknowledgement on, we wait for it.

The collector itself knows no doubles: a batch that is sent again is indexed again, ``metadata.uid`` tells.
"""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import aiohttp

from bot.domain.errors import ConnectorError, OutcomeUnknown, Refused, Relogin, RetryLater, SettingsError
from bot.settings import SplunkSettings

SOURCETYPE = "gatehouse:ocsf"
ASK_AGAIN = 0.5  # seconds between two questions whether it is indexed
_BUSY = {8, 9, 18}
_TOKEN = {1, 2, 3, 4}


class HecSink:
    name = "splunk"

    def __init__(self, settings: SplunkSettings) -> None:
        if settings.token is None:
            raise SettingsError(
                "evidence.splunk.url is set, its token is not", mend="Set GATEHOUSE_EVIDENCE__SPLUNK__TOKEN."
            )
        if not settings.url.startswith(("https://", "http://")):
            raise SettingsError("evidence.splunk.url is no URL", mend="For example https://splunk.example:8088.")
        self._settings = settings
        self._host = socket.gethostname()
        self._channel = str(uuid.uuid4())
        self._session: aiohttp.ClientSession | None = None

    async def send(self, events: Sequence[Mapping[str, Any]]) -> None:
        body = "".join(json.dumps(self._envelope(event), separators=(",", ":")) for event in events)
        answer = await self._post("/services/collector/event", body)
        if self._settings.acknowledge:
            await self._indexed(answer.get("ackId"))

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _envelope(self, event: Mapping[str, Any]) -> dict[str, Any]:
        made = {
            "time": event["time"] / 1000,
            "host": self._host,
            "source": "gatehouse",
            "sourcetype": SOURCETYPE,
            "event": event,
            "fields": {"event_id": event["metadata"]["uid"]},
        }
        return made | ({"index": self._settings.index} if self._settings.index else {})

    async def _indexed(self, ack: Any) -> None:
        if not isinstance(ack, int):
            raise Refused("Splunk sent no ackId", mend="Turn indexer acknowledgement on for this token.")
        try:
            async with asyncio.timeout(self._settings.timeout_seconds):
                while True:
                    said = await self._post("/services/collector/ack", json.dumps({"acks": [ack]}))
                    acks = said.get("acks")
                    if isinstance(acks, dict) and acks.get(str(ack)) is True:
                        return
                    await asyncio.sleep(ASK_AGAIN)
        except TimeoutError as error:
            raise OutcomeUnknown("Splunk did not say in time that the events are indexed") from error

    async def _post(self, path: str, body: str) -> dict[str, Any]:
        token = self._settings.token.get_secret_value() if self._settings.token else ""
        headers = {"Authorization": f"Splunk {token}", "Content-Type": "application/json"}
        if self._settings.acknowledge:
            headers["X-Splunk-Request-Channel"] = self._channel
        url = self._settings.url.rstrip("/") + path
        try:
            async with self._open().post(url, data=body.encode(), headers=headers, allow_redirects=False) as answer:
                return _judge(answer.status, answer.headers.get("Retry-After", ""), await answer.text())
        except aiohttp.ClientConnectorCertificateError as error:
            raise Refused("Splunk's certificate is not trusted", mend="Set evidence.splunk.ca_file.") from error
        except aiohttp.ClientConnectorError as error:
            raise RetryLater(f"Splunk cannot be reached: {error.os_error}") from error
        except (aiohttp.ClientError, TimeoutError) as error:
            raise OutcomeUnknown(f"no answer of Splunk: {type(error).__name__}") from error

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            cafile = self._settings.ca_file
            context = ssl.create_default_context(cafile=str(cafile) if cafile else None)
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=self._settings.timeout_seconds),
                connector=aiohttp.TCPConnector(ssl=context),
            )
        return self._session


def _judge(status: int, retry_after: str, text: str) -> dict[str, Any]:
    """The answer when everything was taken, else the error that says what to do."""
    try:
        said = json.loads(text)
    except ValueError:
        said = {}
    said = said if isinstance(said, dict) else {}
    code = said.get("code")
    if status == 200 and (code == 0 or "acks" in said):
        return said
    raise _error(status, code, retry_after, said)


def _error(status: int, code: Any, retry_after: str, said: Mapping[str, Any]) -> ConnectorError:
    words = f"Splunk answered {status}, code {code}: {str(said.get('text', ''))[:200]}"
    if status == 429 or status >= 500 or code in _BUSY:
        return RetryLater(words, after=float(retry_after) if retry_after.isdecimal() else None)
    if code in _TOKEN or status in {401, 403}:
        return Relogin(words, mend="Check GATEHOUSE_EVIDENCE__SPLUNK__TOKEN and that the token is enabled.")
    if (number := said.get("invalid-event-number")) is not None:
        words += f" (event {number} of the batch)"
    return Refused(words, mend="Check the collector's URL, index and the token's settings.")
