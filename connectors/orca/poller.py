"""Polls Orca by the time of the last change, and once a day reads all open alerts to see what is gone.

Rules
- A window's bounds are frozen; they and the place reached stand in the cursor of every page.
- Offsets over a moving set skip rows: the next page begins at the time of the last row instead (inclusive, so the rows
  of that moment come twice, which costs a look-up each). Offsets serve only among rows of one moment, and where the
  answer is not in order.
- The times are Orca's: where its clock is behind ours, the next window begins earlier by as much.
- A daily read of everything open resolves what it did not find, but only when it was whole: read in one go, and not
  fewer alerts than Orca then counts. Per account: one of which nothing came proves nothing.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from bot.domain.errors import Refused, RetryLater
from bot.ports import Page
from connectors.orca.client import OrcaApi
from connectors.orca.mapping import APP, SOURCE, scope_of
from connectors.orca.options import SEVERITIES, OrcaOptions
from connectors.orca.resources import account_of, full_id
from connectors.orca.shapes import APP_MARK, View
from connectors.text import integer, text, when

_OPEN = ["open", "in_progress", "snoozed", "dismissed"]
_SUPPORTED = 10_000  # rows the older API gives for one query
_CVE_ANSWER = {"additional_models[]": ["InstalledPackage", "Inventory"], "flat_json": True}


class OrcaPoller:
    source = SOURCE

    def __init__(self, api: OrcaApi, options: OrcaOptions) -> None:
        self._api, self._options = api, options

    async def close(self) -> None:
        await self._api.close()

    async def poll(self, cursor: Mapping[str, Any] | None, now: datetime) -> AsyncIterator[Page]:
        state: dict[str, Any] = {k: v for k, v in (cursor or {}).items() if k in ("until", "full", "cve", "window")}
        broken_off = state.pop("window", None)
        if isinstance(broken_off, dict) and broken_off.get("kind") in ("changed", "full", "cve"):
            # What came before the break was of another run: absence from this one proves nothing.
            async for page in self._read(state, {**broken_off, "whole": False}):
                yield page
        until = when(state.get("until"))
        if until is not None:
            start = min(until, now) - timedelta(minutes=self._options.overlap_minutes)
            async for page in self._read(state, _window("changed", start, now)):
                yield page
        if until is None or self._due(state, "full", now):
            bound = self._options.backfill_days
            start = now - timedelta(days=bound) if bound else datetime.fromtimestamp(0, now.tzinfo)
            async for page in self._read(state, _window("full", start, now, whole=not bound)):
                yield page
        if self._options.vulnerabilities and self._due(state, "cve", now):
            async for page in self._read(state, _window("cve", now, now, whole=True)):
                yield page

    def _due(self, state: Mapping[str, Any], what: str, now: datetime) -> bool:
        last = when(state.get(what))
        return last is None or now - last >= timedelta(hours=self._options.full_hours)

    async def _read(self, state: dict[str, Any], window: dict[str, Any]) -> AsyncIterator[Page]:
        older = self._options.api == "query" and window["kind"] != "cve"
        async for page in self._older(state, window) if older else self._serving(state, window):
            yield page

    def _done(self, state: dict[str, Any], window: Mapping[str, Any]) -> dict[str, Any]:
        """The cursor when a window is read to its end."""
        end = window["end"]
        if window["kind"] == "cve":
            state["cve"] = end
        else:
            if window["kind"] == "full":
                state["full"] = end
            known, reached = when(state.get("until")), when(end)
            skew = self._api.http.traffic.skew
            if reached is not None and skew is not None and skew < timedelta(0):
                reached += skew  # Orca's clock is behind ours: what it changes next will seem older than this poll
            if reached is not None and (known is None or known < reached):
                state["until"] = reached.isoformat()
        return dict(state)

    # --- the serving layer

    def _clauses(self, window: Mapping[str, Any], since: str) -> tuple[str, list[dict[str, Any]], str]:
        """(model, clauses, field that orders) of a window."""
        severities = list(self._options.severities)
        risk = [{"key": "RiskLevel", "values": severities, "type": "str", "operator": "in"}] if severities else []
        if window["kind"] == "cve":
            words = [word.upper() for word in self._options.vulnerabilities]
            inside = {"keys": ["Inventory"], "models": ["Inventory"], "type": "object", "operator": "has"}
            wanted = {"key": "CvssSeverity", "values": words, "type": "str", "operator": "in"}
            return "VulnerabilityV2", [inside, wanted], "FirstSeen"
        field = self._options.changed_field if window["kind"] == "changed" else "CreatedAt"
        between = {"key": field, "type": "datetime", "operator": "date_range", "value_type": "days",
                   "values": [_ms(since), _ms(window["end"])]}  # fmt: skip
        state = [{"key": "Status", "values": _OPEN, "type": "str", "operator": "in"}]
        return "Alert", [between, *risk, *(state if window["kind"] == "full" else [])], field

    async def _serving(self, state: dict[str, Any], window: dict[str, Any]) -> AsyncIterator[Page]:
        more = _CVE_ANSWER if window["kind"] == "cve" else None
        previous: list[str] = []
        while True:
            model, clauses, field = self._clauses(window, window["since"])
            first = not window["read"]
            size = window["size"] or self._api.page_size
            try:
                rows, total = await self._api.rows(
                    model, clauses, order=field, skip=window["skip"], limit=size, count=first, more=more
                )
            except Refused as error:
                if window["kind"] != "changed" or field != "LastUpdated" or error.mend:
                    raise
                hint = "Should it be the filter by LastUpdated: set the option changed_field to last_sync."
                raise Refused(error.reason, mend=hint) from error
            names = [_name(row) for row in rows]
            if rows and names == previous and window["skip"]:
                raise RetryLater("Orca gave the same page twice; the window is asked for again at the next poll")
            previous = names
            if first:
                window["total"] = total
                if total is not None and 0 < len(rows) < min(size, total):
                    size = window["size"] = len(rows)  # Orca gives fewer at a time than it was asked for
            self._count(window, rows, names)
            last = len(rows) < size
            moved = self._onwards(window, rows, field)
            scopes, notes = await self._completed(window) if last else ((), ())
            cursor = self._done(state, window) if last else {**state, "window": moved}
            yield Page(items=self._marked(rows), cursor=cursor, complete_scopes=scopes, notes=notes)
            if last:
                return
            window = moved

    def _onwards(self, window: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], field: str) -> dict[str, Any]:
        """Where the page after these rows begins."""
        moved = dict(window)
        times = [when(View(row).get(field.replace("_", "").lower())) for row in rows]
        told = [time for time in times if time is not None]
        ordered = window["kind"] != "cve" and len(told) == len(rows) and told == sorted(told)
        if moved["keyed"] and not ordered:
            # Not in order after all: by offset, from the window's beginning, so that nothing is left out.
            fresh = not moved["moved"]
            again = {"keyed": False, "since": moved["start"], "skip": moved["skip"] + len(rows) if fresh else 0}
            return moved | again | {"whole": moved["whole"] and fresh}
        if moved["keyed"] and told:
            since = when(moved["since"])
            if since is not None and told[-1] > since:
                return moved | {"since": told[-1].isoformat(), "skip": 0, "moved": True}
        return moved | {"skip": moved["skip"] + len(rows)}

    def _count(self, window: dict[str, Any], rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> None:
        window["read"] += len(rows)
        if not window["whole"]:
            return
        repeated = set(window["tail"])
        window["distinct"] += len(set(names) - repeated)
        window["tail"] = list(dict.fromkeys(names))
        if window["kind"] == "full":
            views = [View(row) for row in rows]
            told = dict.fromkeys([*window["accounts"], *(account_of(view, full_id(view)).uid for view in views)])
            window["accounts"] = list(told)

    def _scopes(self, window: Mapping[str, Any]) -> tuple[str, ...]:
        levels = self._options.severities or SEVERITIES
        return tuple(scope_of(account, level) for account in sorted(window["accounts"]) for level in levels)

    async def _completed(self, window: Mapping[str, Any]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The scopes of which everything was read."""
        if not window["whole"]:
            return (), ()
        model, clauses, field = self._clauses(window, window["start"])
        more = _CVE_ANSWER if window["kind"] == "cve" else None
        _, total = await self._api.rows(model, clauses, order=field, limit=1, count=True, more=more)
        if total is not None and window["distinct"] < total:
            said = f"Orca counts {total} open, {window['distinct']} were read: nothing is resolved for being absent"
            return (), (said,)
        if window["kind"] == "cve":
            return tuple(f"orca:cve:{word.upper()}" for word in self._options.vulnerabilities), ()
        return self._scopes(window), ()

    def _marked(self, rows: Sequence[Mapping[str, Any]]) -> tuple[Mapping[str, Any], ...]:
        app = self._options.app_url
        return tuple(rows) if app == APP else tuple({**row, APP_MARK: app} for row in rows)

    # --- the older query API

    async def _older(self, state: dict[str, Any], window: dict[str, Any]) -> AsyncIterator[Page]:
        field = "state.last_updated" if window["kind"] == "changed" else "state.created_at"
        restarted = False
        used: set[str] = set()
        while True:
            bounds = {"gte": _plain_iso(window["since"]), "lte": _plain_iso(window["end"])}
            dsl = {"filter": [{"field": field, "range": bounds}], "sort": [{"field": field, "order": "asc"}]}
            try:
                answer = await self._api.query_alerts(dsl, window["token"])
            except Refused:
                if not window["token"] or restarted:
                    raise
                # The token is no longer good: on from the last row's time, or the same query again, once.
                restarted = not window["reached"] or window["reached"] == window["since"]
                window = {**window, "token": None, "query_read": 0, "since": window["reached"] or window["since"]}
                used.clear()
                continue
            data = answer.get("data")
            rows = [one for one in data if isinstance(one, dict)] if isinstance(data, list) else []
            token = answer.get("next_page_token") if rows and answer.get("has_next_page_token") is not False else None
            if token and repr(token) in used:
                raise RetryLater("Orca gave a page token twice; the window is asked for again at the next poll")
            used.add(repr(token))
            if not window["read"]:
                window["total"] = integer(answer.get("total_ungrouped_items")) or integer(answer.get("total_items"))
            self._count(window, rows, [_name(row) for row in rows])
            reached = _last_time(rows, field) or window["reached"]
            moved = {**window, "token": token, "reached": reached, "query_read": window["query_read"] + len(rows)}
            further = None if token else _further(moved, answer)
            last = not token and further is None
            notes = _grouped(answer)
            if notes:
                window["whole"] = moved["whole"] = False
            whole = last and window["whole"] and window["distinct"] >= (window["total"] or 0)
            cursor = self._done(state, window) if last else {**state, "window": further or moved}
            yield Page(
                items=self._marked(rows),
                cursor=cursor,
                complete_scopes=self._scopes(window) if whole else (),
                notes=notes,
            )
            if last:
                return
            window = further or moved


def _last_time(rows: Sequence[Mapping[str, Any]], field: str) -> str:
    """The time of the last row, "" when the rows are not in order of it."""
    times = [when(View(row).get(field.partition(".")[2].replace("_", ""))) for row in rows]
    told = [time for time in times if time is not None]
    return told[-1].isoformat() if told and len(told) == len(rows) and told == sorted(told) else ""


def _further(moved: Mapping[str, Any], answer: Mapping[str, Any]) -> dict[str, Any] | None:
    """A query that ended at the most rows Orca supports goes on from the time of its last row."""
    most = integer(answer.get("total_supported_items")) or _SUPPORTED
    total = integer(answer.get("total_ungrouped_items")) or integer(answer.get("total_items")) or 0
    if moved["query_read"] < most and total <= most:
        return None
    last, since = when(moved["reached"]), when(moved["since"])
    if last is None or since is None or last <= since:
        return None
    return {**moved, "since": moved["reached"], "query_read": 0, "token": None}


def _grouped(answer: Mapping[str, Any]) -> tuple[str, ...]:
    whole, shown = integer(answer.get("total_ungrouped_items")), integer(answer.get("total_items"))
    if answer.get("data_grouped") is True and whole is not None and shown is not None and whole > shown:
        return (f"Orca answered with groups: {shown} rows stand for {whole} alerts; use api: serving_layer",)
    return ()


def _window(kind: str, start: datetime, end: datetime, *, whole: bool = False) -> dict[str, Any]:
    """A window at its beginning; everything in it is JSON, because it stands in the cursor."""
    return {
        "kind": kind,
        "start": start.isoformat(),
        "end": end.isoformat(),
        "since": start.isoformat(),
        "skip": 0,
        "moved": False,
        "keyed": kind != "cve",
        "size": 0,
        "read": 0,
        "query_read": 0,
        "token": None,
        "reached": "",
        "total": None,
        "whole": whole and kind != "changed",
        "distinct": 0,
        "tail": [],
        "accounts": [],
    }


def _name(row: Mapping[str, Any]) -> str:
    view = View(row)
    said = text(view.get("alertid") or view.get("name") or row.get("id"), 300)
    return f"{said}|{text(view.asset('assetuniqueid'), 300)}" if view.get("cveid") else said


def _ms(moment: str) -> int:
    found = when(moment)
    return int(found.timestamp() * 1000) if found else 0


def _plain_iso(moment: str) -> str:
    found = when(moment)
    return found.strftime("%Y-%m-%dT%H:%M:%S") if found else moment


async def look(api: OrcaApi, options: OrcaOptions) -> str:
    """For ``gatehouse check``: reachable, token good, clocks, the newest alert."""
    if options.api == "query":
        answer = await api.query_alerts(
            {"filter": [], "sort": [{"field": "state.last_updated", "order": "desc"}]}, None, 1
        )
        data = answer.get("data")
        rows = [one for one in data if isinstance(one, dict)] if isinstance(data, list) else []
        total = integer(answer.get("total_ungrouped_items"))
    else:
        field = f"-{options.changed_field}"
        rows, total = await api.rows("Alert", [], order=field, limit=1, count=True)
    said = [f"Orca answers at {api.http.base}; the token is good and may read alerts"]
    newest = max((time for row in rows if (time := when(View(row).get("lastupdated", "createdat")))), default=None)
    said.append(f"newest change {newest:%Y-%m-%d %H:%M}Z" if newest else "it holds no alerts that the token may see")
    if total:
        said.append(f"{total} alerts")
    skew = api.http.traffic.skew
    if skew is not None and abs(skew.total_seconds()) > 60:
        said.append(f"its clock and ours are {skew.total_seconds():+.0f} s apart: set ours by NTP")
    return "; ".join(said)
