"""Prisma Cloud's API: a token of ten minutes that can be extended, errors that may stand in a header only.

The platform (``PrismaApi``) and Compute (``ComputeApi``) are two hosts with two logins and one access key.
Sources: the vendor's OpenAPI documents; limits are per user, 429 tells how fast the bucket fills.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

import orjson
from pydantic import SecretStr

from bot.domain.errors import ConnectorError, Gone, Refused, Relogin, RetryLater
from connectors.http import Answer, HttpClient, Pace, Rule, Token, TokenLogin
from connectors.prisma_cloud.options import PrismaOptions
from connectors.prisma_cloud.words import first, fold, said
from connectors.text import fraction, obj, seq, text

LIFE = 600.0  # seconds that a token is good for; the vendor's text (a connector of others says 60 minutes)
COMPUTE_LIFE = 420.0  # 60 minutes of its own, but a platform token of 10 within: renewed every five
COMPUTE_PAGE = 50
EPOCH_MS = 1_262_304_000_000  # 2010: before there was a Prisma Cloud. Stands for "from the beginning".
_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})
_GONE = ("not_found", "invalid_alert_id", "no_results")


class NoLongerSo(Refused):
    """The alert is not in the state that the write expects: somebody was faster. Read it again."""


class NotRemediable(Refused):
    """Prisma Cloud has no command for this alert (405)."""


def verdict(answer: Answer) -> ConnectorError | None:
    """What the keys in ``x-redlock-status`` or the error body mean, beyond the status."""
    if 200 <= answer.status < 300 and _cut(answer.body):
        return RetryLater("the answer of Prisma Cloud was cut off")
    if answer.status < 400 or answer.status in _AGAIN:
        return None
    keys = reasons(answer)
    told = f"Prisma Cloud answered {answer.status}: {', '.join(keys) or answer.snippet() or 'no reason given'}"
    if "alert_no_longer_in_expected_state" in keys:
        return NoLongerSo(told, mend="Read the alert again: somebody may have been faster.")
    if answer.status == 405 and "remediation_unavailable" in keys:
        return NotRemediable(told, mend="Fix it by the recommendation, or with a playbook of ours.")
    if answer.status in (400, 404) and any(key in keys for key in _GONE):
        return Gone(told)
    if answer.status == 401 and keys:
        return Relogin(told, mend="The access key is not (or no longer) good: renew it in the settings.")
    if answer.status == 403:
        return Refused(told, mend="The access key's role lacks this right: see docs/sources/prisma_cloud.md.")
    if answer.status in (400, 405) and keys:
        return Refused(told)
    return None


def _cut(body: bytes) -> bool:
    """A JSON object or array without its end."""
    end = {b"{": b"}", b"[": b"]"}.get(body[:64].lstrip()[:1])
    return end is not None and body[-64:].rstrip()[-1:] != end


def reasons(answer: Answer) -> tuple[str, ...]:
    """The vendor's words for what is wrong: the header's ``i18nKey``, or ``error.code`` of the body."""
    found: list[str] = []
    with suppress(KeyError, orjson.JSONDecodeError):
        found += [said(obj(one).get("i18nKey"), 200) for one in seq(orjson.loads(answer.headers["x-redlock-status"]))]
    try:
        body = fold(orjson.loads(answer.body)) if answer.body.strip()[:1] == b"{" else {}
    except orjson.JSONDecodeError:
        body = {}
    inner = fold(body.get("error"))
    found += [first(inner, "code", "message", limit=200), first(body, "code", "err", "message", "error", limit=200)]
    return tuple(dict.fromkeys(one for one in found if one))


def wait_of(answer: Answer, now: datetime) -> float | None:
    """Seconds until the bucket has enough again, where a 429 tells how it fills; None leaves it to Retry-After."""
    if answer.status != 429 or "retry-after" in answer.headers:
        return None
    rate = fraction(answer.headers.get("x-ratelimit-replenish-rate"), 0.001, 10_000)
    asked = fraction(answer.headers.get("x-ratelimit-requested-tokens"), 0, 10_000)
    left = fraction(answer.headers.get("x-ratelimit-remaining"), 0, 10_000) or 0.0
    return None if rate is None else max(0.0, ((asked or 1.0) - left) / rate)


def _rule() -> Rule:
    return Rule(again=_AGAIN, verdict=verdict, wait_header=wait_of)


class PrismaLogin:
    """Extends the token while it is good, else logs in."""

    def __init__(self, options: PrismaOptions) -> None:
        self._options = options

    async def __call__(self, client: HttpClient, old: Token | None) -> Token:
        client.traffic.logins += 1
        if old is not None:
            try:
                headers = {"x-redlock-auth": old.value.get_secret_value()}
                answer = await client.get("/auth_token/extend", headers=headers, auth=False)
                if token := text(obj(answer.json()).get("token"), 16_000):
                    return Token(SecretStr(token), LIFE)
            except ConnectorError:
                pass  # it ended meanwhile (a night without a poll), or that call has trouble: log in
        return await self._login(client)

    async def _login(self, client: HttpClient) -> Token:
        options = self._options
        body = {"username": options.access_key.get_secret_value(), "password": options.secret_key.get_secret_value()}
        if options.prisma_id:
            body["prismaId"] = options.prisma_id
        elif options.customer:
            body["customerName"] = options.customer
        try:
            answer = await client.post("/login", json=body, reads=True, auth=False)
        except (Relogin, Refused) as error:
            raise Relogin(
                f"Prisma Cloud refuses the access key: {error.reason}",
                mend="It is wrong, expired or revoked: make a new one and put it into the settings.",
            ) from None
        told = obj(answer.json())
        token = text(told.get("token"), 16_000)
        if token and text(told.get("message"), 100) != "login_needs_customer_name":
            return Token(SecretStr(token), LIFE)
        names = [text(obj(one).get("customerName"), 200) for one in seq(told.get("customerNames"))]
        if names:
            raise Refused(
                f"the access key belongs to several tenants: {', '.join(names)}.", mend="Set option customer to one."
            )
        raise Relogin(f"Prisma Cloud gave no token: {text(told.get('message'), 200) or 'no reason'}")


def http_of(options: PrismaOptions, **more: Any) -> HttpClient:
    login = TokenLogin(
        PrismaLogin(options), header="x-redlock-auth", prefix="", keep=(options.access_key, options.secret_key)
    )
    return HttpClient(
        base=options.url,
        name="Prisma Cloud",
        auth=login,
        rule=more.pop("rule", None) or _rule(),
        pace=more.pop("pace", None) or Pace(2.0, burst=5),  # lists: two a second, ten at once
        timeout=120.0,
        **more,
    )


class PrismaApi:
    def __init__(self, http: HttpClient) -> None:
        self.http = http

    async def close(self) -> None:
        await self.http.close()

    async def alerts(self, body: Mapping[str, Any], *, detailed: bool = True) -> Mapping[str, Any]:
        """One page. The token of a page holds its whole query; the last page has a token as well."""
        answer = await self.http.post(
            "/v2/alert", params={"detailed": str(detailed).lower()}, json=dict(body), reads=True
        )
        return obj(answer.json())

    async def alert(self, uid: str) -> Mapping[str, Any]:
        """One alert with its rules; ``Gone`` when Prisma no longer has it."""
        return obj((await self.http.get(f"/alert/{uid}", params={"detailed": "true"})).json())

    async def policies(self) -> list[Mapping[str, Any]]:
        found = (await self.http.get("/v2/policy")).json()
        return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []

    async def policy(self, uid: str) -> Mapping[str, Any]:
        return obj((await self.http.get(f"/policy/{uid}")).json())

    async def needs_note(self) -> bool:
        answer = await self.http.get("/alert/dismiss/require_dismissal_note")
        return obj(answer.json()).get("requireDismissalNote") is True

    async def dismiss(self, uid: str, note: str, now: datetime, hours: int | None = None) -> None:
        """Dismisses, or snoozes for ``hours``."""
        body = _change(uid, now) | {"dismissalNote": note}
        if hours is not None:
            body["dismissalTimeRange"] = {
                "type": "relative",
                "relativeTimeType": "FORWARD",
                "value": {"amount": max(1, hours), "unit": "hour"},
            }
        await self.http.post("/alert/dismiss", json=body)

    async def reopen(self, uid: str, now: datetime) -> None:
        await self.http.post("/alert/reopen", json=_change(uid, now))

    async def commands(self, uid: str, now: datetime) -> Mapping[str, Any]:
        """The commands that would mend the alert (only rendered): ``cli``, ``description``, ``impact``."""
        answer = await self.http.post("/alert/remediation", json=_change(uid, now), reads=True)
        told = obj(answer.json())
        cli = text(obj(told.get("alertIdVsCliScript")).get(uid), 20_000) or text(told.get("cliScript"), 20_000)
        if not cli:
            raise NotRemediable(f"Prisma Cloud has no command for {uid}")
        return {
            "cli": cli,
            "description": text(told.get("cliDescription"), 4000),
            "impact": text(told.get("scriptImpact"), 4000),
        }

    async def remediate(self, uid: str, approved: str, now: datetime) -> str:
        """Lets Prisma run the very command that was ``approved``, in the customer's cloud. Not idempotent, not waited
        for: the alert is ``pending_resolution`` and resolves at a later scan. Needs a role that may write."""
        shown = await self.commands(uid, now)
        if shown["cli"] != approved:
            raise Refused(
                f"Prisma Cloud would now run another command for {uid} than the approved one.",
                mend="Show the new command and ask for approval again.",
            )
        await self.http.send("PATCH", f"/alert/remediation/{uid}")
        return f"Prisma Cloud runs its command for {uid}"

    async def vulnerability_export(self, query: str) -> bytes:
        """The gzip CSV of a vulnerability query: a row is a CVE on an asset, 10,000 at most."""
        answer = await self.http.post("/uve/api/v1/vulnerabilities/search/download", json={"query": query}, reads=True)
        return answer.body  # empty with 202: still being made

    async def vulnerabilities(self, query: str, token: str = "") -> Mapping[str, Any]:
        """A page of CVEs of a vulnerability query, with the counts of assets."""
        params = {"view": "cve"} | ({"page_token": token} if token else {})
        answer = await self.http.post(
            "/uve/api/v1/vulnerabilities/search", params=params, json={"query": query}, reads=True
        )
        return obj(answer.json())

    async def vulnerability_remediation(self, cve: str, prisma_id: str, kind: str, assets: Sequence[str] = ()) -> Any:
        """What can be done, or was, about a CVE on assets (a task, a pull request, suppression)."""
        body: dict[str, Any] = {"cveId": cve, "prismaId": prisma_id, "assetType": kind}
        if assets:
            body["assetId"] = list(assets)
        return (await self.http.post("/uve/api/v1/remediation/vuln-remediation-status", json=body, reads=True)).json()


def _change(uid: str, now: datetime) -> dict[str, Any]:
    """Body of a change of one alert; ``filter.timeRange`` is required even so."""
    return {
        "alerts": [uid],
        "policies": [],
        "filter": {"timeRange": absolute(EPOCH_MS, milliseconds(now)), "filters": []},
    }


def absolute(start: int, end: int) -> dict[str, Any]:
    return {"type": "absolute", "value": {"startTime": start, "endTime": end}}


def milliseconds(moment: datetime) -> int:
    return math.floor(moment.timestamp() * 1000)


# --- Compute ---------------------------------------------------------------------------------------------------------


def compute_http(options: PrismaOptions, **more: Any) -> HttpClient:
    async def login(client: HttpClient, old: Token | None) -> Token:
        client.traffic.logins += 1
        body = {"username": options.access_key.get_secret_value(), "password": options.secret_key.get_secret_value()}
        try:
            path = f"/api/{options.compute_version}/authenticate"
            answer = await client.post(path, json=body, reads=True, auth=False)
        except (Relogin, Refused) as error:
            raise Relogin(
                f"Compute refuses the access key: {error.reason}",
                mend="Its role needs access to Compute; or the key is expired or revoked.",
            ) from None
        token = text(obj(answer.json()).get("token"), 16_000)
        if not token:
            raise Relogin("Compute gave no token")
        return Token(SecretStr(token), COMPUTE_LIFE)

    return HttpClient(
        base=options.compute_url,
        name="Prisma Cloud Compute",
        auth=TokenLogin(login, keep=(options.access_key, options.secret_key)),
        rule=more.pop("rule", None) or _rule(),
        pace=more.pop("pace", None) or Pace(1.0, burst=10),  # thirty calls in thirty seconds
        timeout=120.0,
        **more,
    )


class ComputeApi:
    def __init__(self, http: HttpClient, version: str) -> None:
        self.http, self._version = http, version

    async def close(self) -> None:
        await self.http.close()

    async def page(self, name: str, offset: int) -> tuple[list[Mapping[str, Any]], int | None]:
        """Objects from ``offset`` on, and how many there are (header ``Total-Count``). Empty is ``null`` or ``[]``."""
        answer = await self.http.get(
            f"/api/{self._version}/{name}", params={"limit": str(COMPUTE_PAGE), "offset": str(offset)}
        )
        found = answer.json()
        rows: list[Mapping[str, Any]] = (
            [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []
        )
        total = answer.headers.get("total-count", "")
        return rows, int(total) if total.isascii() and total.isdigit() else None
