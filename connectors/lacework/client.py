"""Lacework's API v2: tokens, pages, the hourly budget.

Tokens: ``POST /api/v2/access/tokens`` with the secret in ``X-LW-UAKS``, answer ``{token, expiresAt}``. Rows come in
pages with the whole URL of the next; 204 without a body means "none". Paths are case sensitive.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import SecretStr

from bot.domain.errors import Gone, Refused, Relogin, RetryLater
from connectors.http import Answer, HttpClient, Pace, Rule, Token, TokenLogin
from connectors.lacework.options import LaceworkOptions, need_secret
from connectors.lacework.words import moment
from connectors.text import obj, text

NAME = "Lacework"
API = "/api/v2"
_HOUR = 3600.0


class BudgetSpent(RetryLater):
    """Our own limit, not the vendor's: a poll ends here and goes on at its next turn."""


class HourlyBudget(Pace):
    """No more than ``limit`` calls in any hour."""

    def __init__(self, limit: int, now: Callable[[], float] = time.monotonic) -> None:
        super().__init__(limit / _HOUR, limit)
        self._limit, self._clock = limit, now
        self._calls: deque[float] = deque()

    def left(self) -> int:
        now = self._clock()
        while self._calls and self._calls[0] <= now - _HOUR:
            self._calls.popleft()
        return self._limit - len(self._calls)

    async def turn(self) -> None:
        if self.left() <= 0:
            wait = self._calls[0] + _HOUR - self._clock()
            # Never waited for within a call: the client sleeps for waits up to a minute only.
            raise BudgetSpent(f"the budget of {self._limit} requests an hour is used up", after=max(wait, 61.0))
        self._calls.append(self._clock())


_BUDGETS: dict[tuple[str, str, int], HourlyBudget] = {}


def budget_of(options: LaceworkOptions) -> HourlyBudget:
    """One for all that speak with the same key: poller, webhook, write-back."""
    key = (options.base, options.key_id, options.requests_per_hour)
    return _BUDGETS.setdefault(key, HourlyBudget(options.requests_per_hour))


def _wait(answer: Answer, now: datetime) -> float | None:
    """After 429: what the headers say, else until the next hour begins (the limit is counted by the hour)."""
    if answer.status != 429 or answer.headers.get("retry-after"):
        return None
    for name in ("ratelimit-reset", "x-ratelimit-reset"):
        try:
            said = float(answer.headers.get(name, ""))
        except ValueError:
            continue
        return said - now.timestamp() if said > 1e9 else said
    return _HOUR - (now.timestamp() % _HOUR)


RULE = Rule(wait_header=_wait)


@dataclass(frozen=True, slots=True)
class Rows:
    """One page: its rows, the URL of the next one or None, and how many the whole answer has (None: not said)."""

    rows: list[dict[str, Any]]
    next: str | None = None
    total: int | None = None


def page_of(body: Any) -> Rows:
    """``urls`` may be null, empty or missing at the end; ``data`` may be missing too."""
    whole = obj(body)
    data = whole.get("data")
    rows = data if isinstance(data, list) else [data] if isinstance(data, dict) and data else []
    paging = obj(whole.get("paging"))
    link = text(obj(paging.get("urls")).get("nextPage"), 8000)
    total = paging.get("totalRows")
    return Rows([row for row in rows if isinstance(row, dict)], link or None, total if isinstance(total, int) else None)


class LaceworkApi:
    def __init__(self, options: LaceworkOptions, client: HttpClient | None = None) -> None:
        self.options = options
        secret = SecretStr(need_secret(options.secret))
        headers = {}
        if options.subaccount:
            headers["Account-Name"] = options.subaccount
        if options.org:
            headers["Org-Access"] = "true"
        login = TokenLogin(self._login, keep=(secret,))
        self._secret = secret
        self.client = client or HttpClient(
            options.base, NAME, auth=login, rule=RULE, pace=budget_of(options), headers=headers, timeout=60.0
        )
        if client is not None:
            client.auth, client.rule = login, RULE
            client.headers = headers

    async def close(self) -> None:
        await self.client.close()

    async def _login(self, client: HttpClient, old: Token | None) -> Token:
        asked = {"keyId": self.options.key_id, "expiryTime": self.options.token_seconds}
        headers = {"X-LW-UAKS": self._secret.get_secret_value()}
        client.traffic.logins += 1
        try:
            answer = await client.post(f"{API}/access/tokens", json=asked, headers=headers, reads=True, auth=False)
        except (Relogin, Refused) as error:
            raise Relogin(
                f"Lacework does not accept the API key: {error.reason}",
                mend="Make a new API key and set options key_id and secret.",
            ) from None
        body = obj(answer.json())
        token = text(body.get("token"), 8000)
        if not token:
            raise RetryLater("Lacework's answer to the login holds no token")
        until = moment(body.get("expiresAt"))
        theirs = client.now() + (client.traffic.skew or timedelta())
        asked_for = float(self.options.token_seconds)
        left = (until - theirs).total_seconds() if until else asked_for
        # A clock far off must not mean a login at every call: a token that ended early is renewed after its 401.
        return Token(SecretStr(token), min(left, asked_for) if left > 60 else asked_for)

    # --- reading -----------------------------------------------------------------------------------------------------

    async def get(self, path: str, params: Mapping[str, str] | None = None) -> Any:
        return (await self.client.get(f"{API}/{path}", params=params)).json()

    async def alerts(self, start: datetime, end: datetime, link: str | None = None) -> Rows:
        if link:
            return await self.follow(link)
        return page_of(await self.get("Alerts", {"startTime": iso(start), "endTime": iso(end)}))

    async def search(self, path: str, body: Mapping[str, Any], link: str | None = None) -> Rows:
        if link:
            return await self.follow(link)
        return page_of((await self.client.post(f"{API}/{path}/search", json=body, reads=True)).json())

    async def follow(self, link: str) -> Rows:
        """The next page: a GET of the URL that was sent, also after a POST. Another host is refused by the client."""
        where = link if "://" in link or link.startswith("/") else f"{API}/{link}"
        return page_of((await self.client.get(where)).json())

    async def details(self, number: str) -> dict[str, Any] | None:
        """An alert with its entity map; None when there is no such alert any more."""
        try:
            rows = page_of(await self.get(f"Alerts/{number}", {"scope": "Details"})).rows
        except Gone:
            return None
        return rows[0] if rows else None

    async def timeline(self, number: str) -> list[dict[str, Any]]:
        return page_of(await self.get(f"Alerts/{number}", {"scope": "Timeline"})).rows

    async def policies(self) -> dict[str, dict[str, Any]]:
        """Policy id -> what people need of it."""
        found: dict[str, dict[str, Any]] = {}
        async for rows in self._all("Policies"):
            for row in rows:
                if name := text(row.get("policyId"), 256):
                    found[name] = {
                        key: row[key]
                        for key in ("title", "description", "remediation", "references", "infoLink", "tags")
                        if row.get(key)
                    }
        return found

    async def _all(self, path: str) -> AsyncIterator[list[dict[str, Any]]]:
        page, used = page_of(await self.get(path)), set[str]()
        while True:
            yield page.rows
            if page.next is None or page.next in used:
                return
            used.add(page.next)
            page = await self.follow(page.next)

    # --- writing ------------------------------------------------------------------------------------------------------

    async def close_alert(self, number: str, reason: int, comment: str) -> None:
        await self.client.post(f"{API}/Alerts/{number}/close", json={"reason": reason, "comment": comment})

    async def comment(self, number: str, comment: str) -> None:
        await self.client.post(f"{API}/Alerts/{number}/comment", json={"comment": comment})

    async def scan_image(self, registry: str, repository: str, tag: str) -> None:
        """Asking twice only scans twice."""
        asked = {"registry": registry, "repository": repository, "tag": tag}
        await self.client.post(f"{API}/Vulnerabilities/Containers/scan", json=asked, reads=True)


def iso(when: datetime) -> str:
    """To the millisecond, as Lacework's own tools ask."""
    return when.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
