"""One thin client over aiohttp for every system reached by HTTP.

What an answer means is decided here once: a status that is worth another try is tried again a few times with jitter
(as long as Retry-After asks, within bounds), 401 renews the credential once, everything else becomes an error of
``bot.domain.errors``. A write whose outcome nobody knows is ``OutcomeUnknown``, never repeated here.
Redirects are not followed (a token must not travel), bodies and times are bounded, secrets never reach an error.
"""

from __future__ import annotations

import asyncio
import math
import random
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import orjson
import tenacity
from yarl import URL

from bot.domain.errors import ConnectorError, Gone, OutcomeUnknown, Refused, Relogin, RetryLater, SettingsError
from connectors.http.auth import Auth, NoAuth
from connectors.http.pace import Pace

MAX_BODY = 64 << 20
_ABSOLUTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_PLAIN = re.compile(r"[!-~]+")
_LOCAL = frozenset({"127.0.0.1", "localhost", "::1"})


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Mapping[str, str]  # names in lower case
    body: bytes

    def json(self) -> Any:
        """The body; None for an empty one. A cut or broken body of a success is worth another try."""
        if not self.body.strip():
            return None
        try:
            return orjson.loads(self.body)
        except orjson.JSONDecodeError as error:
            raise RetryLater("the answer is not whole JSON (cut off, or a page of a proxy)") from error

    def snippet(self, limit: int = 300) -> str:
        return " ".join(self.body[: 4 * limit].decode("utf-8", "replace").split())[:limit]


def _no_verdict(answer: Answer) -> ConnectorError | None:
    return None


@dataclass(frozen=True, slots=True)
class Rule:
    """What this system's answers mean.

    ``again``: statuses that may be tried again; ``gone``: statuses that mean "no longer there"; ``verdict`` looks at
    every answer first (200 with an error inside, a 500 that is no outage) and may return the error that it means.
    """

    again: frozenset[int] = frozenset({408, 425, 429, 500, 502, 503, 504})
    gone: frozenset[int] = frozenset({404, 410})
    attempts: int = 4
    first_wait: float = 1.0
    longest_wait: float = 60.0  # a longer Retry-After ends the call with RetryLater(after)
    verdict: Callable[[Answer], ConnectorError | None] = _no_verdict
    wait_header: Callable[[Answer, datetime], float | None] | None = None  # systems with a header of their own


@dataclass(slots=True)
class Traffic:
    """What was asked, for the figures and for ``gatehouse check``."""

    calls: int = 0
    retries: int = 0
    logins: int = 0
    skew: timedelta | None = None  # the system's clock minus ours, from its Date header


@dataclass
class HttpClient:
    """``base`` is an https URL (http only to this machine). Close it when done."""

    base: str
    name: str  # of the system, for errors: "Wiz"
    auth: Auth = field(default_factory=NoAuth)
    rule: Rule = field(default_factory=Rule)
    pace: Pace | None = None
    timeout: float = 30.0  # seconds for one call
    headers: Mapping[str, str] = field(default_factory=dict)
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    jitter: Callable[[], float] = random.random  # 0..1
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    traffic: Traffic = field(default_factory=Traffic)

    def __post_init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None
        self.base = allowed(self.base, self.name)

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def get(self, path: str, **options: Any) -> Answer:
        return await self.send("GET", path, **options)

    async def post(self, path: str, **options: Any) -> Answer:
        return await self.send("POST", path, **options)

    async def send(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        json: Any = None,
        form: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        reads: bool | None = None,
        auth: bool = True,
    ) -> Answer:
        """One call, with its retries. ``reads``: it changes nothing, so repeating it is safe (default: GET and HEAD);
        a POST that only queries says ``reads=True``. ``path`` may be a full URL of the same host (next-page links)."""
        safe = method in {"GET", "HEAD"} if reads is None else reads
        url = self._url(path)
        body = None if json is None else orjson.dumps(json)
        again = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception(lambda e: isinstance(e, RetryLater) and self._worth(e)),
            stop=tenacity.stop_after_attempt(max(1, self.rule.attempts)),
            wait=self._wait,
            sleep=self.sleep,
            reraise=True,
        )
        renewed = False
        async for attempt in again:
            with attempt:
                if attempt.retry_state.attempt_number > 1:
                    self.traffic.retries += 1
                while True:
                    who = await self.auth.headers(self) if auth else {}
                    answer = await self._once(method, url, params, body, form, {**who, **(headers or {})}, safe)
                    if answer.status == 401 and auth and not renewed and await self.auth.rejected(self, who):
                        renewed = True
                        continue
                    if wrong := self._wrong(answer, safe):
                        raise wrong
                    return answer
        raise AssertionError("unreachable: the last attempt raises")

    def _url(self, path: str) -> URL:
        if not _ABSOLUTE.match(path):
            return URL(self.base + path) if path.startswith("/") else URL(f"{self.base}/{path}" if path else self.base)
        # as it was sent, byte for byte: such links may be signed
        url = URL(path, encoded=bool(_PLAIN.fullmatch(path)))
        if url.origin() != URL(self.base).origin():
            raise Refused(f"{self.name} sent a link to another host ({url.host}); it is not followed")
        return url

    async def _once(
        self,
        method: str,
        url: URL,
        params: Mapping[str, Any] | None,
        body: bytes | None,
        form: Mapping[str, str] | None,
        headers: Mapping[str, str],
        safe: bool,
    ) -> Answer:
        said = {"Accept": "application/json", "User-Agent": "gatehouse", **self.headers}
        if body is not None:
            said["Content-Type"] = "application/json"
        said |= headers
        if self.pace is not None:
            await self.pace.turn()
        if self._session is None:
            self._session = aiohttp.ClientSession(
                cookie_jar=aiohttp.DummyCookieJar(), timeout=aiohttp.ClientTimeout(total=self.timeout, connect=10)
            )
        self.traffic.calls += 1
        try:
            async with self._session.request(
                method, url, params=params, data=form if body is None else body, headers=said, allow_redirects=False
            ) as got:
                raw = await got.content.read(MAX_BODY + 1)
                while len(raw) <= MAX_BODY and (more := await got.content.read(MAX_BODY + 1 - len(raw))):
                    raw += more
                status, heads = got.status, {k.lower(): v for k, v in got.headers.items()}
        except (aiohttp.ClientConnectorError, aiohttp.ServerDisconnectedError, TimeoutError, aiohttp.ClientError) as e:
            said_ = self.clean(f"{self.name} could not be reached: {type(e).__name__} {e}")
            if safe or isinstance(e, aiohttp.ClientConnectorError):  # no connection: nothing was sent
                raise RetryLater(said_) from None
            raise OutcomeUnknown(f"{said_}; whether it was done is not known") from None
        if len(raw) > MAX_BODY:
            raise Refused(
                f"{self.name} sent more than {MAX_BODY >> 20} MiB in one answer", mend="Ask for smaller pages."
            )
        self._clock(heads)
        return Answer(status, heads, raw)

    def _clock(self, headers: Mapping[str, str]) -> None:
        try:
            self.traffic.skew = parsedate_to_datetime(headers["date"]) - self.now()
        except (KeyError, ValueError, TypeError):
            return

    def _wrong(self, answer: Answer, safe: bool) -> ConnectorError | None:
        if found := self.rule.verdict(answer):
            return self._cleaned(found)
        status = answer.status
        if 200 <= status < 300:
            return None
        said = self.clean(f"{self.name} answered {status}: {answer.snippet()}".rstrip(": "))
        if 300 <= status < 400:
            return Refused(f"{said} (a redirect)", mend="Check the address in the settings.")
        if status == 401:
            return Relogin(said, mend="The credential is not (or no longer) good: renew it in the settings.")
        if status == 403:
            return Refused(said, mend="The credential lacks rights: see docs/sources.md for what is needed.")
        if status in self.rule.gone:
            return Gone(said)
        if status in self.rule.again:
            # A refusal before the work (429, 425) did nothing; a 5xx on a write may have done it.
            if not safe and status not in {425, 429}:
                return OutcomeUnknown(f"{said}; whether it was done is not known")
            return RetryLater(said, after=self._after(answer))
        if status >= 500 and not safe:
            return OutcomeUnknown(f"{said}; whether it was done is not known")
        return Refused(said)

    def _after(self, answer: Answer) -> float | None:
        now = self.now()
        if self.rule.wait_header is not None and (own := self.rule.wait_header(answer, now)) is not None:
            return max(0.0, own)
        value = answer.headers.get("retry-after", "").strip()
        if not value:
            return None
        try:
            seconds = float(value)
            return max(0.0, seconds) if math.isfinite(seconds) else None
        except ValueError:
            try:
                return max(0.0, (parsedate_to_datetime(value) - now).total_seconds())
            except (ValueError, TypeError):
                return None

    def _worth(self, error: RetryLater) -> bool:
        return error.after is None or error.after <= self.rule.longest_wait

    def _wait(self, state: tenacity.RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        asked = getattr(error, "after", None)
        if asked is not None:
            return float(asked) + self.jitter()  # never before the time that was asked for
        ceiling: float = min(self.rule.longest_wait, self.rule.first_wait * 2 ** (state.attempt_number - 1))
        return ceiling * (0.5 + self.jitter() / 2)

    def _cleaned(self, error: ConnectorError) -> ConnectorError:
        """What a verdict quoted may be an echo of the credential."""
        error.reason, error.mend = self.clean(error.reason), self.clean(error.mend)
        error.args = (f"{error.reason} {error.mend}".strip(),)
        return error

    def clean(self, said: str) -> str:
        """``said`` without any secret in it."""
        for secret in self.auth.secrets():
            if len(secret) >= 4:
                said = said.replace(secret, "[secret]")
        return said


def allowed(base: str, name: str) -> str:
    """``base`` without its last slash; ``SettingsError`` unless https (plain http only to this very machine)."""
    parts = urlsplit(base.strip())
    if (parts.scheme == "https" and parts.hostname) or (parts.scheme == "http" and parts.hostname in _LOCAL):
        return base.strip().rstrip("/")
    raise SettingsError(f"the address of {name} must begin with https://", mend="Copy it from the product's own page.")
