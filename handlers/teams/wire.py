"""The connector's REST API: plain dicts out and in, and its failures as the errors the engine branches on."""

from __future__ import annotations

import asyncio
import logging
from email.utils import parsedate_to_datetime
from typing import Any, Protocol
from urllib.parse import quote, urlsplit

import aiohttp
import orjson

from bot.domain.errors import ConnectorError, Gone, MessageGone, OutcomeUnknown, Refused, Relogin, RetryLater
from bot.domain.ids import Clock

log = logging.getLogger(__name__)
LATER = {412, 429, 502, 503, 504}  # Microsoft asks for these to be tried again
# Nothing can be posted there until the app is installed anew or unblocked.
CLOSED = {
    "BotNotInConversationRoster", "ConversationBlockedByUser", "ForbiddenOperationException", "MessageWritesBlocked",
    "BotDisabledByAdmin", "ConversationNotFound", "Forbidden",
}  # fmt: skip
BLOCKED = "Install the Gatehouse app there again, or let the person unblock it."


class Tokens(Protocol):
    async def token(self) -> str: ...

    def drop_token(self) -> None: ...


class StreamRefused(Refused):
    """A stream that Teams does not take (any more); ``stopped`` where the person pressed Stop."""

    stopped = False


class Closed(Refused):
    """The conversation takes nothing from us: the app is not there any more, or it is blocked or gone itself."""


class TooBig(Refused):
    """Larger than Teams takes a message."""


class TeamsWire:
    """A few calls. Each raises ``RetryLater``, ``Relogin``, ``Refused``, ``Gone`` or ``OutcomeUnknown``."""

    def __init__(self, tokens: Tokens, clock: Clock, *, timeout: float = 20) -> None:
        self._tokens, self._clock = tokens, clock
        self._timeout = aiohttp.ClientTimeout(total=timeout)
        self._session: aiohttp.ClientSession | None = None

    async def create(self, service_url: str, body: dict[str, Any]) -> dict[str, Any]:
        """A new thread in a channel, or a 1:1 conversation: ``{"id", "activityId"}``."""
        return await self._call("POST", service_url, "v3/conversations", body, creates=True)

    async def send(self, service_url: str, conversation: str, activity: dict[str, Any]) -> str:
        """The id of the new activity."""
        path = f"v3/conversations/{quote(conversation, safe='')}/activities"
        return str((await self._call("POST", service_url, path, activity, creates=True)).get("id", ""))

    async def update(self, service_url: str, conversation: str, activity_id: str, activity: dict[str, Any]) -> None:
        path = f"v3/conversations/{quote(conversation, safe='')}/activities/{quote(activity_id, safe='')}"
        await self._call("PUT", service_url, path, {**activity, "id": activity_id})

    async def member(self, service_url: str, conversation: str, member: str) -> dict[str, Any]:
        """One person, read now; lists lose the Entra object id and are throttled."""
        path = f"v3/conversations/{quote(conversation, safe='')}/members/{quote(member, safe='')}"
        return await self._call("GET", service_url, path, None)

    async def members(self, service_url: str, conversation: str) -> tuple[list[dict[str, Any]], bool]:
        """Who is in a conversation, read now: one page of 500 people, and whether that is everybody."""
        found = await self.roster(service_url, conversation)
        listed = found.get("members")
        people = [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []
        return people, not found.get("continuationToken")

    async def roster(self, service_url: str, conversation: str, after: str = "") -> dict[str, Any]:
        """A page of at most 500 people: ``{"members", "continuationToken"}``; ``after`` is the token of the last."""
        path = f"v3/conversations/{quote(conversation, safe='')}/pagedmembers?pageSize=500"
        path += f"&continuationToken={quote(after, safe='')}" if after else ""
        return await self._call("GET", service_url, path, None)

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def _call(
        self, method: str, service_url: str, path: str, body: dict[str, Any] | None, *, creates: bool = False
    ) -> dict[str, Any]:
        if urlsplit(service_url).scheme not in {"http", "https"}:
            raise Refused("The Teams service URL is none.", mend="Check teams.service_url.")
        token = await self._tokens.token()
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        if self._session is None or self._session.closed:
            self._session = aiohttp.ClientSession(timeout=self._timeout)
        data = None if body is None else orjson.dumps(body)
        url = f"{service_url.rstrip('/')}/{path}"
        try:
            # No redirect is followed: our token is for this host.
            async with self._session.request(method, url, data=data, headers=headers, allow_redirects=False) as answer:
                raw = await answer.read()
                status, retry_after = answer.status, answer.headers.get("Retry-After")
        except aiohttp.ClientConnectorError as error:  # never left this machine
            raise RetryLater("Teams cannot be reached.") from error
        except (aiohttp.ClientError, TimeoutError, asyncio.IncompleteReadError, OSError) as error:
            said = f"Teams did not answer ({type(error).__name__})."
            raise (OutcomeUnknown(said) if creates else RetryLater(said)) from error
        found = _json(raw)
        if 200 <= status < 300:
            return found
        if status == 401:
            self._tokens.drop_token()
        named = self._named(status, found, retry_after, creates=creates)
        if method == "GET" or not isinstance(named, Closed | MessageGone):
            raise Gone(named.reason, mend=named.mend) if status == 404 else named
        # What is said of a thread may be of its first message alone: whether the channel is there, a new one tells.
        threaded = status == 404 and (method == "PUT" or quote(";messageid=", safe="") in path)
        raise MessageGone(named.reason, mend=named.mend) if threaded else named

    def _named(self, status: int, found: dict[str, Any], retry_after: str | None, *, creates: bool) -> ConnectorError:
        error = found.get("error")
        code = str(error.get("code", "")) if isinstance(error, dict) else ""
        inner = str((error.get("innerHttpError") or {}).get("subCode", "")) if isinstance(error, dict) else ""
        word = str(found.get("subCode") or inner or code)[:60]
        said = f"Teams said HTTP {status}{f' {word}' if word else ''}."
        if status in LATER:
            return RetryLater(said, after=self._seconds(retry_after))
        if status == 401:
            return Relogin(said, mend="Check teams.app_id, teams.tenant and GATEHOUSE_TEAMS_APP_PASSWORD.")
        if status == 404 and word == "ActivityNotFoundInConversation":
            return MessageGone(said, mend="The message was deleted.")
        if status == 404 and word not in CLOSED:
            return Gone(said, mend="The conversation or message is not there any more.")
        if status == 403 and isinstance(error, dict) and code == "ContentStreamNotAllowed":
            broken = StreamRefused(said)
            broken.stopped = "cancel" in str(error.get("message", "")).lower()
            return broken
        if status in {403, 404} and word in CLOSED:
            return Closed(said, mend=BLOCKED)
        if status == 403:
            return Refused(said, mend=BLOCKED)
        if status == 413:
            return TooBig(said, mend="The message is too long for Teams.")
        if status >= 500:
            return OutcomeUnknown(said) if creates else RetryLater(said)
        return Refused(said)

    def _seconds(self, value: str | None) -> float | None:
        """Retry-After is seconds or a date."""
        if not value:
            return None
        try:
            return max(0.0, float(value))
        except ValueError:
            pass
        try:
            return max(0.0, (parsedate_to_datetime(value) - self._clock.now()).total_seconds())
        except (TypeError, ValueError):
            return None


def _json(raw: bytes) -> dict[str, Any]:
    try:
        found = orjson.loads(raw) if raw.strip() else {}
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}
