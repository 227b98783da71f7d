"""Orca's API: one token, two generations of lists, writes that answer 400 when nothing would change.

What its answers mean beside their status: 200 with ``{"status": "failure"}`` is an error, 500 "does not exist" means
that the alert is gone, 403 "token not valid" that the credential is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from bot.domain.errors import ConnectorError, Gone, Refused, Relogin, RetryLater
from connectors.http import Answer, HttpClient, Pace, Rule, StaticHeader
from connectors.orca.options import OrcaOptions
from connectors.orca.shapes import ALERT_REF, View
from connectors.text import integer, obj, seq, text

QUERY = "/api/serving-layer/query"
_SAME = ("same configuration", "already running", "already in")
_TOKEN_BAD = ("token not valid", "invalid api token", "invalid token", "token is invalid", "token has expired")


class AlreadySo(Refused):
    """What was asked for is so already."""


def verdict(answer: Answer) -> ConnectorError | None:
    if answer.status < 300 and b'"failure"' not in answer.body[:4096]:
        return None
    said = reason(answer)
    lowered = said.lower()
    if answer.status in (400, 401, 403) or answer.status < 300:
        if any(mark in lowered for mark in _TOKEN_BAD):
            return Relogin(f"Orca refuses the token: {said}", mend="Make a new API token and put it into the settings.")
        if any(mark in lowered for mark in _SAME):
            return AlreadySo(f"Orca: {said}")
    if answer.status in (400, 404, 500) and "does not exist" in lowered:
        return Gone(f"Orca: {said}")
    if answer.status == 403:
        return Refused(f"Orca refuses: {said}", mend="The token lacks this right: see docs/sources/orca.md.")
    if answer.status < 300:
        if "try again" in lowered or "rate" in lowered or "timeout" in lowered:
            return RetryLater(f"Orca answered with a failure: {said}")
        return Refused(f"Orca answered with a failure: {said}", mend="See what Orca says; nothing was read or changed.")
    return None  # what is left, the status says


def reason(answer: Answer) -> str:
    try:
        told = orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        return answer.snippet() or f"status {answer.status}"
    if isinstance(told, dict):
        for name in ("error", "detail", "message", "error_code"):
            if said := text(told.get(name), 500):
                return said
    return answer.snippet()


def http_of(options: OrcaOptions, **more: Any) -> HttpClient:
    return HttpClient(
        base=options.url,
        name="Orca",
        auth=StaticHeader("Authorization", options.token, "Token "),
        rule=Rule(longest_wait=120.0, verdict=verdict),
        pace=more.pop("pace", None) or Pace(options.per_second, burst=5),
        timeout=120.0,
        **more,
    )


class OrcaApi:
    def __init__(self, http: HttpClient, page_size: int = 100) -> None:
        self.http = http
        self.page_size = page_size

    async def close(self) -> None:
        await self.http.close()

    # --- lists

    async def rows(
        self,
        model: str,
        clauses: Sequence[Mapping[str, Any]],
        *,
        order: str,
        skip: int = 0,
        limit: int = 0,
        count: bool = False,
        more: Mapping[str, Any] | None = None,
    ) -> tuple[list[dict[str, Any]], int | None]:
        """(objects, how many there are in all when ``count`` is asked for and told)."""
        query: dict[str, Any] = {"models": [model], "type": "object_set"}
        if clauses:
            query["with"] = {"type": "operation", "operator": "and", "values": list(clauses)}
        body = {
            "query": query,
            "limit": limit or self.page_size,
            "start_at_index": skip,
            "order_by[]": [order],
            "get_results_and_count": count,
            "full_graph_fetch": {"enabled": True},
            "max_tier": 2,
            **(more or {}),
        }
        answer = obj((await self.http.post(QUERY, json=body, reads=True)).json())
        data = answer.get("data")
        if data is not None and not isinstance(data, list):
            raise Refused(
                "Orca answered a query with something that is no list", mend="Is the address of the API right?"
            )
        total = integer(answer.get("total_items")) if count else None
        return [one for one in data or () if isinstance(one, dict)], total

    async def query_alerts(self, dsl: Mapping[str, Any], token: Any, limit: int = 0) -> Mapping[str, Any]:
        """A page of the older API, as it comes. ``token``: a text, or a list, which is sent as JSON."""
        params = {
            "limit": str(limit or self.page_size),
            "dsl_filter": orjson.dumps(dsl).decode(),
            "show_all_statuses_alerts": "true",
            "show_informational_alerts": "true",
            "grouping": "false",
        }
        if token:
            params["next_page_token"] = token if isinstance(token, str) else orjson.dumps(token).decode()
        return obj((await self.http.get("/api/query/alerts", params=params)).json())

    async def by_id(self, refs: Sequence[str]) -> list[dict[str, Any]]:
        """The alerts of these ids that there are, by the serving layer."""
        found: list[dict[str, Any]] = []
        for start in range(0, len(refs), self.page_size):
            some = list(refs[start : start + self.page_size])
            clause = {"key": "AlertId", "values": some, "type": "str", "operator": "in"}
            rows, _ = await self.rows("Alert", [clause], order="CreatedAt", limit=len(some))
            found += rows
        return found

    # --- one alert

    async def alert(self, ref: str) -> Mapping[str, Any]:
        """The alert as ``GET /api/alerts/{id}`` has it; ``Gone`` when there is none."""
        answer = obj((await self.http.get(f"/api/alerts/{checked(ref)}")).json())
        inner = answer.get("data")
        return inner if isinstance(inner, dict) and ("state" in inner or "AlertId" in inner) else answer

    async def status(self, ref: str) -> str:
        return text(View(await self.alert(ref)).get("status"), 64).lower()

    async def history(self, ref: str, most: int = 1000) -> list[dict[str, Any]]:
        """What was done to the alert, comments included."""
        found: list[dict[str, Any]] = []
        while len(found) < most:
            params = {"limit": "100", "start_at_index": str(len(found))}
            answer = (await self.http.get(f"/api/alerts/{checked(ref)}/event_log", params=params)).json()
            rows = [
                one for one in seq(obj(answer).get("event_log") or obj(answer).get("data")) if isinstance(one, dict)
            ]
            found += rows
            total = integer(obj(answer).get("total_count"))
            if len(rows) < 100 or (total is not None and len(found) >= total):
                break
        return found

    async def set_status(self, ref: str, path_word: str) -> None:
        await self.http.send("PUT", f"/api/alerts/{checked(ref)}/status/{path_word}")

    async def snooze(self, ref: str, days: int) -> None:
        await self.http.send("PUT", f"/api/alerts/{checked(ref)}/snooze", json={"days": days})

    async def comment(self, ref: str, said: str) -> None:
        await self.http.send("PUT", f"/api/alerts/{checked(ref)}/comment", json={"comment": said})

    async def verify(self, ref: str) -> str:
        return text(obj((await self.http.send("PUT", f"/api/alerts/{checked(ref)}/verify")).json()).get("status"), 64)


def checked(ref: str) -> str:
    """An alert id that may stand in a path."""
    if not ALERT_REF.fullmatch(ref):
        raise Refused(f"{ref[:60]!r} is no id of an Orca alert", mend="Ids look like orca-123.")
    return ref
