"""Polls Security Hub by the time of the last change.

Rules
- Bounds are frozen while paging; token and bounds are stored with every page, so that a restart goes on in the window
  it was in. A token that is no longer good starts the same window again.
- The next window begins 15 minutes before the end of the last: changes take minutes to show.
- ``RecordState`` is not filtered: what is fixed or deleted becomes ARCHIVED, and must be seen to leave.
- ``BatchUpdateFindings`` does not move ``UpdatedAt``. What people suppress or resolve is therefore asked for by
  workflow status in a second query, and once a day everything is read (that shows what was taken back, too).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from bot.domain.errors import CloudRefused, Refused, Relogin, RetryLater
from bot.domain.plans import Call
from bot.ports import Attribution, CloudReader, Page, Poller
from bot.settings import AwsSettings, Settings
from connectors.aws.errors import LOGIN
from connectors.security_hub.mapping import SOURCE, decided
from connectors.security_hub.options import SecurityHubOptions, options_of
from connectors.text import when

_PAUSE = 0.34  # GetFindings allows three calls a second
_WORKFLOW = ("SUPPRESSED", "RESOLVED", "NOTIFIED")


def make_poller(settings: Settings, options: dict[str, Any]) -> Poller:
    from connectors.aws import AwsClouds

    given = options_of(options)
    clouds = AwsClouds(aws_of(settings, given))
    return SecurityHubPoller(
        clouds.reader(Attribution()),
        done=clouds.close,
        region=given.region or settings.aws.region,
        account=given.account,
        backfill=timedelta(days=given.backfill_days),
        overlap=timedelta(minutes=given.overlap_minutes),
        workflow_every=timedelta(minutes=given.workflow_minutes),
        full_every=timedelta(hours=given.full_hours),
    )


async def check(settings: Settings, options: dict[str, Any]) -> str:
    from connectors.aws import AwsClouds

    given = options_of(options)
    region = given.region or settings.aws.region
    clouds = AwsClouds(aws_of(settings, given))
    try:
        answer = await _ask(clouds.reader(Attribution()), region, given.account, {"MaxResults": 1})
    finally:
        clouds.close()
    return f"Security Hub answers in {region}" + ("" if answer.get("Findings") else "; it holds no findings yet")


def aws_of(settings: Settings, given: SecurityHubOptions) -> AwsSettings:
    """AWS as this source reaches it."""
    return settings.aws.model_copy(update={"endpoint_url": given.endpoint_url}) if given.endpoint_url else settings.aws


class SecurityHubPoller:
    source = SOURCE

    def __init__(
        self,
        reader: CloudReader,
        *,
        region: str,
        account: str = "",
        backfill: timedelta = timedelta(days=100),
        overlap: timedelta = timedelta(minutes=15),
        workflow_every: timedelta = timedelta(hours=1),
        full_every: timedelta = timedelta(hours=24),
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        done: Callable[[], None] | None = None,
    ) -> None:
        self._reader, self._region, self._account = reader, region, account
        self._backfill, self._overlap = backfill, overlap
        self._workflow_every, self._full_every = workflow_every, full_every
        self._sleep, self._done = sleep, done

    async def close(self) -> None:
        if self._done is not None:
            self._done()

    async def poll(self, cursor: Mapping[str, Any] | None, now: datetime) -> AsyncIterator[Page]:
        state: dict[str, Any] = dict(cursor or {})
        window = state.get("window")
        if not isinstance(window, dict):
            window = self._window(state, now)
        if window["query"] == "updated":
            async for page in self._pages(state, window):
                yield page
            state |= {"until": window["end"]} | ({"full": window["end"]} if window["full"] else {})
            yield Page(items=(), cursor=dict(state) | {"window": None})
        if window["query"] == "workflow" or self._due(state, "workflow", self._workflow_every, now):
            asked = window if window["query"] == "workflow" else {"query": "workflow", "end": _iso(now), "token": None}
            async for page in self._pages(state, asked):
                yield page
            state["workflow"] = asked["end"]
        state.pop("window", None)
        yield Page(items=(), cursor=dict(state))

    def _window(self, state: Mapping[str, Any], now: datetime) -> dict[str, Any]:
        until = when(state.get("until"))
        full = until is None or self._due(state, "full", self._full_every, now)
        start = now - self._backfill if full or until is None else min(until, now) - self._overlap
        return {"query": "updated", "start": _iso(start), "end": _iso(now), "token": None, "full": full}

    @staticmethod
    def _due(state: Mapping[str, Any], what: str, every: timedelta, now: datetime) -> bool:
        last = when(state.get(what))
        return last is None or now - last >= every

    async def _pages(self, state: Mapping[str, Any], window: dict[str, Any]) -> AsyncIterator[Page]:
        token: str | None = window.get("token")
        used: set[str] = set()
        restarted = False
        while True:
            request = self._request(window) | ({"NextToken": token} if token else {})
            try:
                answer = await _ask(self._reader, self._region, self._account, request)
            except CloudRefused as error:
                if token is None or restarted or error.code not in ("InvalidInputException", "InvalidNextToken"):
                    raise
                token, restarted = None, True
                used.clear()
                continue
            items = [item for item in answer.get("Findings") or [] if isinstance(item, dict)]
            token = answer.get("NextToken") or None
            notes: tuple[str, ...] = ()
            if token and token in used:
                token, notes = None, ("Security Hub gave a page token twice; the window was ended there",)
            if token:
                used.add(token)
            moved = {**state, "window": {**window, "token": token}} if token else None
            yield decided(Page(items=items, cursor=moved, notes=notes))
            if token is None:
                return
            await self._sleep(_PAUSE)

    @staticmethod
    def _request(window: Mapping[str, Any]) -> dict[str, Any]:
        if window["query"] == "updated":
            filters: dict[str, Any] = {"UpdatedAt": [{"Start": window["start"], "End": window["end"]}]}
        else:
            filters = {
                "WorkflowStatus": [{"Value": word, "Comparison": "EQUALS"} for word in _WORKFLOW],
                "RecordState": [{"Value": "ACTIVE", "Comparison": "EQUALS"}],
            }
        return {
            "Filters": filters,
            "SortCriteria": [{"Field": "UpdatedAt", "SortOrder": "asc"}],
            "MaxResults": 100,
        }


async def _ask(reader: CloudReader, region: str, account: str, params: dict[str, Any]) -> dict[str, Any]:
    call = Call(
        provider="aws", account=account, region=region, service="securityhub", operation="get_findings", params=params
    )
    try:
        return whole(await reader.read(call))
    except CloudRefused as error:
        if error.code in ("InvalidAccessException", "ResourceNotFoundException"):
            raise Refused(
                f"Security Hub is not enabled in {region}.",
                mend="Enable it there, or set option region to the aggregation Region.",
            ) from error
        if error.code in LOGIN:
            raise Relogin(error.reason, mend=error.mend) from error
        raise
    except RetryLater as error:
        raise RetryLater(error.reason, after=error.after or 30.0, mend=error.mend) from error


def whole(answer: dict[str, Any]) -> dict[str, Any]:
    """``answer``, unless it is not one: botocore reads a body that is no JSON (cut, a proxy's page) as an empty one."""
    if not isinstance(answer.get("Findings"), list):
        raise RetryLater("Security Hub's answer holds no list of findings (cut off, or a page of a proxy)")
    return answer


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
