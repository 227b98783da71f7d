"""Wiz's API: the login, GraphQL whose errors come with HTTP 200, pages."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
from pydantic import SecretStr

from bot.domain.errors import ConnectorError, Gone, OutcomeUnknown, Refused, Relogin, RetryLater
from connectors.http import Answer, HttpClient, NoAuth, Pace, Rule, Token, TokenLogin
from connectors.text import fraction, obj, seq, text
from connectors.wiz.options import WizOptions
from connectors.wiz.queries import NEEDED, ORDERS, OWNERS, listing

_PASSING = re.compile(
    r"internal|timed? ?out|timeout|temporar|unavailable|overload|try again|rate.?limit|too many|throttl", re.I
)
_WRONG = frozenset({"BAD_USER_INPUT", "GRAPHQL_VALIDATION_FAILED", "GRAPHQL_PARSE_FAILED", "BAD_REQUEST"})
_FORBIDDEN = frozenset({"FORBIDDEN", "UNAUTHORIZED", "ACCESS_DENIED", "PERMISSION_DENIED"})
_UNKNOWN_ID = re.compile(r"valid service issue id|not found|does not exist", re.I)
_UNKNOWN_FIELD = re.compile(r"Cannot query field ['\"](\w+)['\"]")
_SCOPES = "Give the service account the rights listed in docs/sources/wiz.md."


class Rejected(Refused):
    """GraphQL found our request wrong; ``message`` is its word."""

    def __init__(self, reason: str, *, message: str) -> None:
        super().__init__(reason)
        self.message = message


class Expired(Relogin):
    """GraphQL's own "not logged in", with HTTP 200."""


def error_of(errors: Any) -> ConnectorError:
    """The first of GraphQL's errors that says what to do; a partly filled answer is no answer."""
    found: list[ConnectorError] = []
    for one in seq(errors):
        message = text(obj(one).get("message"), 500) or "no reason given"
        code = text(obj(obj(one).get("extensions")).get("code"), 64).upper()
        said = f"Wiz answered: {message}" + (f" ({code})" if code else "")
        if code == "UNAUTHENTICATED":
            found.append(Expired(said, mend="Renew the service account's secret in the settings."))
        elif code in _FORBIDDEN or "permission" in message.lower() or "not authorized" in message.lower():
            found.append(Refused(said, mend=_SCOPES))
        elif code == "NOT_FOUND" or (code in _WRONG and _UNKNOWN_ID.search(message)):
            found.append(Gone(said))
        elif code in _WRONG:
            found.append(Rejected(said, message=message))
        elif _PASSING.search(code.replace("_", " ")) or _PASSING.search(message):
            found.append(RetryLater(said))
        else:
            found.append(Rejected(said, message=message))
    order: tuple[type[ConnectorError], ...] = (Expired, Rejected, Refused, Gone, RetryLater)
    first = min(found, key=lambda e: next(i for i, c in enumerate(order) if isinstance(e, c)), default=None)
    if isinstance(first, Rejected):
        first.message = "; ".join(one.message for one in found if isinstance(one, Rejected))
    return first or Refused("Wiz answered with errors of an unknown shape")


def reading(answer: Answer) -> ConnectorError | None:
    """What a query's answer means: HTTP 200 may hold errors, or be cut off."""
    if answer.status != 200:
        return None
    try:
        found = orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        return RetryLater("Wiz's answer is not whole JSON (cut off, or a page of a proxy)")
    if not isinstance(found, dict):
        return RetryLater("Wiz's answer is not a GraphQL answer")
    if found.get("errors"):
        return error_of(found["errors"])
    return None if isinstance(found.get("data"), dict) else RetryLater("Wiz's answer holds no data")


def writing(answer: Answer) -> ConnectorError | None:
    """Of a mutation: whatever would be tried again may have been done already."""
    found = reading(answer)
    if isinstance(found, RetryLater):
        return OutcomeUnknown(f"{found.reason}; whether it was done is not known")
    return found


def _login_verdict(answer: Answer) -> ConnectorError | None:
    if answer.status in (400, 401, 403):
        said = answer.snippet(200)
        return Relogin(
            f"Wiz refused the login ({answer.status}): {said}",
            mend="Check client_id, client_secret, auth_url and audience; renew the service account's secret.",
        )
    return None


class _Secret(NoAuth):
    """No header, but the login's secret is kept out of errors."""

    def __init__(self, secret: SecretStr) -> None:
        self._secret = secret

    def secrets(self) -> tuple[str, ...]:
        return (self._secret.get_secret_value(),)


@dataclass(frozen=True, slots=True)
class Nodes:
    """One page; ``cursor`` is None after the last."""

    nodes: list[dict[str, Any]]
    cursor: str | None
    note: str = ""
    broken: bool = False  # a next page was announced without saying where


class WizClient:
    def __init__(
        self,
        options: WizOptions,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        pace: Pace | None = None,
    ) -> None:
        self.options = options
        self._source_rules = options.source_rules
        self._unknown: set[str] = set() if options.project_owners else set(OWNERS)
        secret = options.client_secret
        more: dict[str, Any] = {"sleep": sleep, "jitter": jitter, "now": now}
        self._door = HttpClient(
            options.auth_url,
            "Wiz login",
            auth=_Secret(secret),
            rule=Rule(verdict=_login_verdict),
            **more,
        )
        self.auth = TokenLogin(self._login, early=300, keep=(secret,))
        pace = pace or Pace(options.per_second, burst=3, sleep=sleep)
        common: dict[str, Any] = {"auth": self.auth, "pace": pace, "timeout": 120.0, **more}
        self.http = HttpClient(options.api_url, "Wiz", rule=Rule(verdict=reading), **common)
        self._writer = HttpClient(options.api_url, "Wiz", rule=Rule(verdict=writing), **common)

    async def close(self) -> None:
        for client in (self._door, self.http, self._writer):
            await client.close()

    async def _login(self, client: HttpClient, old: Token | None) -> Token:
        form = {
            "grant_type": "client_credentials",
            "audience": self.options.audience_said,
            "client_id": self.options.client_id,
            "client_secret": self.options.client_secret.get_secret_value(),
        }
        found = obj((await self._door.post("", form=form, reads=True, auth=False)).json())
        token = text(found.get("access_token"), 16_000)
        if not token:
            raise Relogin("Wiz's login gave no token", mend="Check auth_url and audience.")
        return Token(SecretStr(token), fraction(found.get("expires_in"), 1, 1e7) or 3600.0)

    async def skew(self) -> timedelta:
        """Wiz's clock minus ours, by the last answer; before the first one by the login's."""
        if self.http.traffic.skew is None:
            await self.auth.headers(self.http)
        return self.http.traffic.skew or self._door.traffic.skew or timedelta()

    async def query(self, words: str, variables: Mapping[str, Any]) -> dict[str, Any]:
        return await self._ask(self.http, words, variables, reads=True)

    async def mutate(self, words: str, variables: Mapping[str, Any]) -> dict[str, Any]:
        """Sent once. ``OutcomeUnknown`` when nobody can tell whether it was done."""
        return await self._ask(self._writer, words, variables, reads=False)

    async def _ask(self, http: HttpClient, words: str, variables: Mapping[str, Any], *, reads: bool) -> dict[str, Any]:
        asked = {"query": words, "variables": dict(variables)}
        try:
            answer = await http.post("", json=asked, reads=reads)
        except Expired:  # refused before the work: a new token, once
            await self.auth.rejected(http)
            answer = await http.post("", json=asked, reads=reads)
        found: dict[str, Any] = answer.json()["data"]
        return found

    async def page(self, kind: str, filters: Mapping[str, Any], after: str | None, size: int = 0) -> Nodes:
        """One page of a kind. A page that claims to have a next one without saying where is the last."""
        variables: dict[str, Any] = {"filterBy": dict(filters), "first": size or self.options.page_size, "after": after}
        if kind in ORDERS:
            variables["orderBy"] = ORDERS[kind]
        data, note = await self._listed(kind, variables)
        found = obj(data.get("found"))
        info = obj(found.get("pageInfo"))
        nodes = found.get("nodes")
        kept = [one for one in nodes if isinstance(one, dict)] if isinstance(nodes, list) else []
        cursor = text(info.get("endCursor"), 16_000)
        if info.get("hasNextPage") is not True:
            return Nodes(kept, None, note)
        return Nodes(kept, cursor or None, note, broken=not cursor)

    async def _listed(self, kind: str, variables: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
        """The answer, asked again without what this tenant's schema does not know (Wiz publishes none)."""
        notes: list[str] = []
        while True:
            words = listing(kind, source_rules=self._source_rules, without=self._unknown)
            try:
                return await self.query(words, variables), "; ".join(notes)
            except Rejected as error:
                missing = set(_UNKNOWN_FIELD.findall(error.message)) - self._unknown
                if "sourceRule" in missing and not self._source_rules:
                    self._source_rules = True
                elif missing and not missing & NEEDED:
                    self._unknown |= missing
                else:
                    raise
                notes.append(f"Wiz does not know the field {', '.join(sorted(missing))} here; it is left out")
