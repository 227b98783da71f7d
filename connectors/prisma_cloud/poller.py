"""Polls Prisma Cloud: alerts by the time of their last change, everything unresolved once a day, and by option the
vulnerability export and Compute.

Rules
- ``ALERT_UPDATED`` is the clock, else resolutions would never be seen. Bounds are frozen while paging (the page token
  holds the whole query); token and bounds are stored with every page, so that a restart goes on where it was.
- The last page has a token too: a reading ends with an empty page. A token that is no longer good starts the same
  window again, once.
- The next window begins 20 minutes before the end of the last.
- A full reading of what is not resolved shows what vanished, but only in accounts of which it returned something: an
  account that the access key no longer sees says nothing. A resumed or narrowed reading says nothing either.
- Compute's and the export's lists are whole readings; their absence counts when the number read is the one announced.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from io import BytesIO
from typing import Any

from bot.domain.errors import Gone, Refused, Relogin
from bot.domain.findings import Severity
from bot.ports import Page
from connectors.prisma_cloud.alerts import CONSOLE, DEFAULT_CONSOLE, SOURCE, scope_of
from connectors.prisma_cloud.client import (
    COMPUTE_PAGE,
    EPOCH_MS,
    ComputeApi,
    PrismaApi,
    absolute,
    milliseconds,
)
from connectors.prisma_cloud.files import read
from connectors.prisma_cloud.options import PrismaOptions
from connectors.prisma_cloud.shapes import understand
from connectors.prisma_cloud.words import first, fold, moment, severity_of
from connectors.text import obj, seq, text

STATUSES = ("open", "pending_resolution", "snoozed", "dismissed", "resolved")
_EXPORT_MOST = 10_000
_POLICIES_GOOD_FOR = timedelta(hours=6)
_ID = re.compile(r"[\w-]{1,128}")


class PrismaPoller:
    source = SOURCE

    def __init__(self, api: PrismaApi, options: PrismaOptions, compute: ComputeApi | None = None) -> None:
        self._api, self._options, self._compute = api, options, compute
        self._policies = Policies(api)

    async def close(self) -> None:
        await self._api.close()
        if self._compute is not None:
            await self._compute.close()

    async def poll(self, cursor: Mapping[str, Any] | None, now: datetime) -> AsyncIterator[Page]:
        state: dict[str, Any] = dict(cursor or {})
        held = state.pop("window", None)
        begun = held if isinstance(held, dict) and held.get("kind") in ("updated", "full") else None
        for kind in ("updated", "full"):
            window = begun if begun and begun["kind"] == kind else self._window(kind, state, now)
            if window is None:
                continue
            async for page in self._alerts(state, dict(window)):
                yield page
            end = window["end"]
            if kind == "updated" or "until" not in state:
                state["until"] = max(end, _number(state.get("until")))
            if kind == "full":
                state["full"] = end
            yield Page(items=(), cursor=dict(state))
        options = self._options
        if options.vulnerability_query and self._due(state, "vulnerabilities", options.vulnerability_hours, now):
            if data := await self._api.vulnerability_export(options.vulnerability_query):
                for page in await asyncio.to_thread(_exported, data):
                    yield page
                state["vulnerabilities"] = milliseconds(now)
                yield Page(items=(), cursor=dict(state))
            else:
                yield Page(
                    items=(), notes=("the vulnerability export is still being made; it is read at the next poll",)
                )
        if self._compute is not None and self._due(state, "compute", self._options.compute_hours, now):
            for name in self._options.compute_lists:
                async for page in self._listed(self._compute, name):
                    yield page
            state["compute"] = milliseconds(now)
            yield Page(items=(), cursor=dict(state))

    # --- alerts

    def _window(self, kind: str, state: Mapping[str, Any], now: datetime) -> dict[str, Any] | None:
        end = milliseconds(now)
        if kind == "updated":
            until = _number(state.get("until"))
            if not until:
                return None  # the first reading is the full one
            start = min(until, end) - round(self._options.overlap_minutes * 60_000)
        elif self._due(state, "full", self._options.full_hours, now):
            days = self._options.backfill_days
            start = end - round(days * 86_400_000) if days else EPOCH_MS
        else:
            return None
        return {"kind": kind, "start": start, "end": end, "token": ""}

    @staticmethod
    def _due(state: Mapping[str, Any], what: str, hours: float, now: datetime) -> bool:
        last = _number(state.get(what))
        return not last or milliseconds(now) - last >= hours * 3_600_000

    async def _alerts(self, state: Mapping[str, Any], window: dict[str, Any]) -> AsyncIterator[Page]:
        whole = window["kind"] == "full" and not window["token"] and not self._options.narrowed
        scopes: set[str] = set()
        seen: set[str] = set()
        total, before, restarted = 0, frozenset[str](), False
        while True:
            token = text(window.get("token"), 64_000)
            body = {"pageToken": token} if token else self._query(window)
            try:
                answer = await self._api.alerts(body, detailed=self._options.detailed)
            except (Relogin, Gone):
                raise
            except Refused as error:
                if not token or restarted or error.reason.startswith("Prisma Cloud sent more than"):
                    raise
                window, restarted = window | {"token": ""}, True  # the token ended: the same window again
                continue
            rows = [one for one in seq_all(answer.get("items")) if isinstance(one, dict)]
            total = max(total, _number(answer.get("totalRows")))
            ids = frozenset(first(fold(row), "id") for row in rows)
            if not rows or (token and ids <= before):
                break  # an empty page is the end; the same page again is a cursor that repeats
            before = ids
            seen |= ids
            items = [self._marked(one) for one in await self._policies.completed(rows)]
            scopes.update(map(scope_of, items))
            window = window | {"token": text(answer.get("nextPageToken"), 64_000)}
            if not window["token"]:
                yield Page(items=items)  # the cursor moves with what the caller says of the end
                break
            yield Page(items=items, cursor={**state, "window": window})
        if whole and len(seen) >= total:
            yield Page(items=(), complete_scopes=tuple(sorted(one for one in scopes if not one.endswith(":"))))

    def _query(self, window: Mapping[str, Any]) -> dict[str, Any]:
        pairs: list[tuple[str, str]] = []
        if window["kind"] == "updated":
            pairs.append(("timeRange.type", "ALERT_UPDATED"))
        # Filters of one name are ORed, those of different names ANDed.
        pairs += [("alert.status", word) for word in (STATUSES if window["kind"] == "updated" else STATUSES[:-1])]
        pairs += [("policy.severity", word) for word in self._options.severities]
        pairs += [("account.group", name) for name in self._options.account_groups]
        return {
            "filters": [{"name": name, "operator": "=", "value": value} for name, value in pairs],
            "timeRange": absolute(window["start"], window["end"]),
            "sortBy": ["alertTime:asc"],  # a second key does not work
            "limit": self._options.page_size,
        }

    def _marked(self, alert: Mapping[str, Any]) -> Mapping[str, Any]:
        console = self._options.console
        return alert if console == DEFAULT_CONSOLE else {**alert, CONSOLE: console}

    # --- Compute

    async def _listed(self, compute: ComputeApi, name: str) -> AsyncIterator[Page]:
        offset, seen, totals = 0, set[str](), set[int | None]()
        while True:
            rows, total = await compute.page(name, offset)
            totals.add(total)
            if not rows:
                break
            items, notes = self._kept(rows, name)
            seen.update(first(fold(row), "_id", "id", "hostname") for row in rows)
            yield Page(items=items, notes=notes)
            offset += len(rows)
            if len(rows) < COMPUTE_PAGE and total is not None and offset >= total:
                break
        # Pages by offset shift when something comes or goes meanwhile: then nothing is concluded from absence.
        if totals == {len(seen)} and seen:
            yield Page(items=(), complete_scopes=(f"prisma_cloud:compute:{name}",))

    def _kept(self, rows: Sequence[Mapping[str, Any]], name: str) -> tuple[list[Mapping[str, Any]], tuple[str, ...]]:
        wanted = set(self._options.compute_severities)
        items: list[Mapping[str, Any]] = []
        unknown = 0
        for row in rows:
            found = understand(row)
            unknown += found is None
            for item in found.items if found else ():
                if not wanted or _word(item) in wanted:
                    asset = obj(item.get("asset"))
                    items.append({**item, "asset": {**asset, "list": name}} if asset else item)
        return items, ((f"{unknown} objects of Compute were not understood",) if unknown else ())


def _exported(data: bytes) -> list[Page]:
    """The pages of a vulnerability export, and what they are complete for."""
    pages = list(read(BytesIO(data), "the vulnerability export"))
    rows = sum(len(item.get("rows", ())) for page in pages for item in page.items)
    if rows >= _EXPORT_MOST:
        said = f"the vulnerability export ends at {_EXPORT_MOST} rows: narrow option vulnerability_query"
        return [*pages, Page(items=(), notes=(said,))]
    if rows and not any(page.rejected for page in pages):
        pages.append(Page(items=(), complete_scopes=("prisma_cloud:vulnerabilities",)))
    return pages


class Policies:
    """Policies by id, for alerts that come without: read once, kept for hours, missing ones asked for singly."""

    def __init__(self, api: PrismaApi, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._api, self._now = api, now
        self._known: dict[str, Mapping[str, Any]] = {}
        self._read: datetime | None = None

    async def completed(self, alerts: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        return [await self._complete(one) for one in alerts]

    async def _complete(self, alert: Mapping[str, Any]) -> Mapping[str, Any]:
        own = obj(alert.get("policy"))
        uid = text(alert.get("policyId"), 200) or text(own.get("policyId"), 200)
        if text(own.get("name"), 10) or not uid:
            return alert
        policy = await self._of(uid)
        return {**alert, "policy": {**policy, **{k: v for k, v in own.items() if v is not None}}} if policy else alert

    async def _of(self, uid: str) -> Mapping[str, Any]:
        if self._read is None or self._now() - self._read > _POLICIES_GOOD_FOR:
            self._known = {text(one.get("policyId"), 200): one for one in await self._api.policies()}
            self._read = self._now()
        if uid not in self._known:
            try:
                self._known[uid] = await self._api.policy(uid) if _ID.fullmatch(uid) else {}
            except (Gone, Refused):
                self._known[uid] = {}  # deleted meanwhile; not asked for again
        return self._known[uid]


def seq_all(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else ()


def _number(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def _word(item: Mapping[str, Any]) -> str:
    """The worst severity of an item of Compute, in our words."""
    entries = [obj(e) for e in seq(item.get("vulnerabilities"))] or [obj(item.get("issue"))]
    return max((severity_of(e.get("severity"))[0] for e in entries), default=Severity.UNKNOWN).name.lower()


async def look(api: PrismaApi, options: PrismaOptions, compute: ComputeApi | None, now: datetime) -> str:
    """For ``gatehouse check``: reachable, credential good, rights enough, clocks, newest data."""
    end = milliseconds(now)
    day = {
        "filters": [{"name": "timeRange.type", "operator": "=", "value": "ALERT_UPDATED"}],
        "timeRange": absolute(end - 86_400_000, end),
        "sortBy": ["alertTime:desc"],
        "limit": 1,
    }
    answer = await api.alerts(day, detailed=options.detailed)
    rows = [fold(row) for row in seq(answer.get("items"))]
    times = [t for row in rows if (t := moment(row.get("lastupdated")) or moment(row.get("alerttime")))]
    newest = max(times, default=None)
    said = ["Prisma Cloud answers, the access key is good"]
    count = _number(answer.get("totalRows"))
    said.append(f"{count} alerts changed in a day" if rows else "no alert changed in a day")
    if newest:
        said.append(f"newest {newest:%Y-%m-%d %H:%M}Z")
    try:
        policies = await api.policies()
        said.append(f"{len(policies)} policies readable")
    except Refused:
        said.append("policies are NOT readable (only needed with detailed: false)")
    try:
        said.append("dismissals need a note" if await api.needs_note() else "dismissals need no note")
    except Refused:
        said.append("dismissing may be refused (its settings are not readable)")
    skew = api.http.traffic.skew
    if skew is not None and abs(skew) > timedelta(minutes=2):
        said.append(f"the clocks differ by {abs(skew).total_seconds():.0f} s: windows may miss alerts")
    if compute is not None:
        _, total = await compute.page(options.compute_lists[0] if options.compute_lists else "images", 0)
        said.append(f"Compute answers ({total if total is not None else 'unknown'} {options.compute_lists[0]})")
    return "; ".join(said)
