"""Reads Wiz by its API: what changed since the last time, and once a day everything that is open.

For every kind the cursor keeps ``until`` (changes up to there are stored), ``full`` (when everything open was read) and
the ``window`` being read: its two bounds, which stay fixed until its last page, and the page token. Pages come in the
order of creation, so ``until`` becomes the latest change seen only with the last page. Bounds are in Wiz's clock.

A read of everything open that was not interrupted is complete: what is open with us and not in it has gone.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from bot.domain.errors import ConnectorError, Refused, Relogin
from bot.ports import Page, Poller
from bot.settings import Settings
from connectors.options import parse
from connectors.text import text, when
from connectors.wiz.client import Rejected, WizClient
from connectors.wiz.kinds import scope
from connectors.wiz.options import WizOptions
from connectors.wiz.words import CONFIGURATION, ISSUE, SOURCE, VULNERABILITY

CHANGED = {"issues": "statusChangedAt", "configuration": "updatedAt", "vulnerabilities": "updatedAt",
           "detections": "createdAt"}  # fmt: skip
_OPEN = {
    "issues": {"status": ["OPEN", "IN_PROGRESS"]},
    # A check that cannot tell at the moment has not gone: it opens nothing new and resolves nothing.
    "configuration": {"status": ["OPEN", "IN_PROGRESS"], "result": ["FAIL", "ERROR", "NOT_ASSESSED"]},
    "vulnerabilities": {"status": ["OPEN", "IN_PROGRESS"]},
}
_NOWHERE = "Wiz announced a next page without saying where it is; the reading was ended there"
_LEVELS = ("CRITICAL", "HIGH", "MEDIUM", "LOW", "INFORMATIONAL", "NONE")
_OF = {"issues": ISSUE, "configuration": CONFIGURATION, "vulnerabilities": VULNERABILITY}


def make_poller(settings: Settings, options: dict[str, Any]) -> Poller:
    return WizPoller(WizClient(parse(SOURCE, WizOptions, options)))


class WizPoller:
    source = SOURCE

    def __init__(self, client: WizClient) -> None:
        self._client, self._options = client, client.options

    async def close(self) -> None:
        await self._client.close()

    async def poll(self, cursor: Mapping[str, Any] | None, now: datetime) -> AsyncIterator[Page]:
        state: dict[str, Any] = dict(cursor or {})
        for kind in self._options.kinds:
            mine = dict(state[kind]) if isinstance(state.get(kind), dict) else {}
            window = _window(mine.get("window"))
            end = now + await self._client.skew()
            if window is None or window.get("what") != "open":
                if window := window or self._next(kind, mine, end):
                    async for page in self._changes(kind, state, mine, window):
                        yield page
                window = None
            if kind in _OPEN and (window or self._due(mine, now)):
                async for page in self._open(kind, state, mine, window, now, end):
                    yield page

    # --- changes

    def _next(self, kind: str, mine: Mapping[str, Any], end: datetime) -> dict[str, Any] | None:
        """The window to read now; None where the first read of everything open comes instead."""
        until, overlap = when(mine.get("until")), timedelta(minutes=self._options.overlap_minutes)
        if until is None:
            if not self._options.backfill_days and kind in _OPEN:
                return None
            start = end - timedelta(days=self._options.backfill_days or 7)
        else:
            start = min(until, end) - overlap
        return {"what": "changes", "start": _iso(start), "end": _iso(end), "token": None, "best": None}

    async def _changes(
        self, kind: str, state: dict[str, Any], mine: dict[str, Any], window: dict[str, Any]
    ) -> AsyncIterator[Page]:
        window = dict(window)
        by = text(mine.get("by"), 32) or CHANGED[kind]
        used: set[str] = set()
        restarted = False
        notes: list[str] = []
        while True:
            token = window.get("token")
            wanted = self._filters(kind) | {by: {"after": window["start"], "before": window["end"]}}
            if kind == "configuration":
                wanted["result"] = ["FAIL", "PASS"]
            try:
                page = await self._client.page(kind, wanted, token)
            except Rejected as error:
                if kind == "configuration" and by == "updatedAt" and "updatedAt" in error.message:
                    # a tenant without that filter: by the scan's time, which moves every day
                    by = mine["by"] = "analyzedAt"
                    window |= {"token": None, "best": None}
                    notes.append("Wiz does not filter configuration findings by updatedAt here; analyzedAt is used")
                    continue
                if token is None or restarted:
                    raise
                restarted = True
                window |= {"token": None, "best": None}
                used.clear()
                notes.append("Wiz no longer knew the page token; the same window was read again from its beginning")
                continue
            window["best"] = _latest(window["best"], page.nodes, by)
            token, said = _onward(page.cursor, used)
            notes += [one for one in (page.note, said, _NOWHERE if page.broken else "") if one]
            if token is None:
                break
            window["token"] = token
            state[kind] = {**mine, "window": dict(window)}
            yield Page(items=page.nodes, cursor=_copy(state), notes=tuple(notes))
            notes = []
        mine["until"] = self._reached(window)
        mine.pop("window", None)
        state[kind] = dict(mine)
        yield Page(items=page.nodes, cursor=_copy(state), notes=tuple(notes))

    def _reached(self, window: Mapping[str, Any]) -> str:
        """The latest change seen; but what is older than the overlap has settled, so a quiet tenant is not read again
        and again from its last change."""
        end = when(window["end"]) or datetime.now(UTC)
        best = when(window["best"])
        settled = end - timedelta(minutes=self._options.overlap_minutes)
        return _iso(max(min(best, end), settled) if best else settled)

    # --- everything open

    def _due(self, mine: Mapping[str, Any], now: datetime) -> bool:
        last = when(mine.get("full"))
        return last is None or now - last >= timedelta(hours=self._options.full_hours)

    async def _open(
        self,
        kind: str,
        state: dict[str, Any],
        mine: dict[str, Any],
        window: Mapping[str, Any] | None,
        now: datetime,
        end: datetime,
    ) -> AsyncIterator[Page]:
        """``window`` of a read that a crash broke off is gone on with; but only one in one piece proves absence."""
        first = when(mine.get("full")) is None
        window = dict(window or {"what": "open", "end": _iso(end), "token": None})
        whole = window["token"] is None
        used: set[str] = set()
        restarted = False
        notes: list[str] = []
        while True:
            token = window["token"]
            try:
                page = await self._client.page(kind, self._filters(kind) | _OPEN[kind], token)
            except Rejected:
                if token is None or restarted:
                    raise
                window["token"], restarted, whole = None, True, False
                used.clear()
                notes.append("Wiz no longer knew the page token; everything open was read again from the beginning")
                continue
            token, said = _onward(page.cursor, used)
            said = said or (_NOWHERE if page.broken else "")
            whole = whole and not said
            notes += [one for one in (page.note, said) if one]
            if token is None:
                break
            window["token"] = token
            state[kind] = {**mine, "window": dict(window)}
            yield Page(items=page.nodes, cursor=_copy(state), notes=tuple(notes))
            notes = []
        mine.pop("window", None)
        if whole or first:
            mine["full"] = _iso(now)
        if "until" not in mine:
            mine["until"] = window["end"]
        state[kind] = dict(mine)
        scopes = self._scopes(kind) if whole else ()
        yield Page(items=page.nodes, cursor=_copy(state), complete_scopes=scopes, notes=tuple(notes))

    def _scopes(self, kind: str) -> tuple[str, ...]:
        options = self._options
        if options.project:
            return ()
        exploits = kind == "vulnerabilities" and options.exploitable_only
        more = ("exploit",) if exploits else ("", "exploit") if kind == "vulnerabilities" else ("",)
        return tuple(scope(_OF[kind], level, end) for level in self._levels(kind) or _LEVELS for end in more)

    def _levels(self, kind: str) -> tuple[str, ...]:
        asked = self._options.vulnerability_severities if kind == "vulnerabilities" else self._options.severities
        # the lowest has another name in issues and detections than in findings
        low = ("NONE", "INFORMATIONAL") if kind in ("issues", "detections") else ("INFORMATIONAL", "NONE")
        return tuple(dict.fromkeys(low[1] if level == low[0] else level for level in asked))

    def _filters(self, kind: str) -> dict[str, Any]:
        found: dict[str, Any] = {}
        if levels := self._levels(kind):
            # a list, but of detections an object
            found["severity"] = {"equals": list(levels)} if kind == "detections" else list(levels)
        if kind == "vulnerabilities" and self._options.exploitable_only:
            found["hasExploit"] = True
        if self._options.project:
            found["project"] = [self._options.project]
        return found


def _window(value: Any) -> dict[str, Any] | None:
    """A stored window, if it is whole."""
    if not isinstance(value, dict) or when(value.get("end")) is None or "token" not in value:
        return None
    if value.get("what") == "open":
        return value
    return {"best": None, **value} if value.get("what") == "changes" and when(value.get("start")) else None


def _onward(cursor: str | None, used: set[str]) -> tuple[str | None, str]:
    """The next token; a token seen before ends the reading, for Wiz repeats cursors."""
    if cursor is None:
        return None, ""
    if cursor in used:
        return None, "Wiz gave a page token twice; the reading was ended there"
    used.add(cursor)
    return cursor, ""


def _latest(best: Any, nodes: list[dict[str, Any]], by: str) -> str | None:
    moments = [moment for node in nodes if (moment := when(node.get(by))) is not None]
    if (before := when(best)) is not None:
        moments.append(before)
    return _iso(max(moments)) if moments else None


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _copy(state: Mapping[str, Any]) -> dict[str, Any]:
    return {key: dict(value) if isinstance(value, dict) else value for key, value in state.items()}


async def check(settings: Settings, options: dict[str, Any]) -> str:
    """Reachable, credential valid, rights enough, clock, newest data."""
    found = parse(SOURCE, WizOptions, options)
    client = WizClient(found)
    may, mayn_t, newest = [], [], None
    try:
        for kind in found.kinds:
            try:
                page = await client.page(kind, {}, None, size=1)
            except Relogin:
                raise
            except Refused as error:
                mayn_t.append(f"{kind} ({error.reason})")
                continue
            may.append(kind)
            newest = newest or next((when(node.get("createdAt")) for node in page.nodes), None)
        if may and "issues" in may:
            since = {"statusChangedAt": {"after": _iso(client.http.now() - timedelta(days=7))}}
            recent = await client.page("issues", since, None, size=100)
            newest = max((m for n in recent.nodes if (m := when(n.get("statusChangedAt")))), default=None)
        skew = client.http.traffic.skew or timedelta()
    except ConnectorError:
        raise
    finally:
        await client.close()
    if mayn_t:
        raise Refused(
            f"Wiz answers, but the service account may not read {', '.join(mayn_t)}.",
            mend="Give it the rights listed in docs/sources/wiz.md, or take these out of the option kinds.",
        )
    clock = f"; its clock differs by {skew.total_seconds():+.0f} s" if abs(skew) > timedelta(seconds=60) else ""
    if "issues" not in may:
        return f"Wiz answers, the credential may read {', '.join(may)}{clock}"
    data = f"an issue changed last at {newest:%Y-%m-%d %H:%M}Z" if newest else "no issue changed in the last 7 days"
    return f"Wiz answers, the credential may read {', '.join(may)}; {data}{clock}"
