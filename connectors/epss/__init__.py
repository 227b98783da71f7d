"""FIRST's EPSS scores: the daily CSV of all CVEs, a file of it, or the API for the CVEs that we have.

Facts (https://www.first.org/epss/api): first line ``#model_version:…,score_date:…``, then ``cve,epss,percentile``; the
API answers numbers as text, takes up to 2,000 characters of CVEs and gives 100 rows unless ``limit`` says more.
"""

from __future__ import annotations

import asyncio
import csv
import io
import re
from collections.abc import Awaitable, Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bot.domain.errors import BadInput, ConnectorError
from bot.ports import Edition
from connectors.editions import NotModified, unchanged, unpacked
from connectors.http import HttpClient, Pace, Rule

_CVE = re.compile(r"CVE-\d{4}-\d{4,}")
_HEAD = re.compile(r"#model_version:(?P<model>[^,]{1,60}),score_date:(?P<date>\S{10,40})")
ASKED = 100  # CVEs in one question: at most 1,900 of the 2,000 characters
MAX_CALLS = 100


def parse(body: bytes, etag: str = "") -> Edition:
    """The CSV as an edition; ``BadInput`` where it is none, or where rows are broken."""
    text = io.StringIO(unpacked(body, "the EPSS file").decode("utf-8", "replace"))
    head = _HEAD.match(text.readline())
    reader = csv.reader(text)
    if head is None or next(reader, None) != ["cve", "epss", "percentile"]:
        raise BadInput("this is no EPSS file: its first lines are not those of FIRST's", mend="Get the daily CSV.")
    rows, broken = [], 0
    for line in reader:
        row = _row(*line[:3]) if len(line) >= 3 else None
        if row is None:
            broken += 1
        else:
            rows.append(row)
    if not rows or broken * 100 > len(rows):
        raise BadInput(f"{broken} rows of the EPSS file cannot be read, {len(rows)} can: it is not whole")
    return Edition(head["model"], _when(head["date"]), rows, etag)


def _row(cve: str, epss: str, percentile: str) -> dict[str, Any] | None:
    try:
        score, place = float(epss), float(percentile)
    except (TypeError, ValueError):
        return None
    if not _CVE.fullmatch(cve) or not (0 <= score <= 1 and 0 <= place <= 1):
        return None
    return {"cve": cve, "epss": score, "percentile": place, "content": f"{score:g},{place:g}"}


def _when(word: str) -> datetime:
    try:
        moment = datetime.fromisoformat(word.replace("Z", "+00:00"))
    except ValueError as error:
        raise BadInput(f"the EPSS scores have no date ({word[:40]})") from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


class EpssList:
    """The whole list from ``url``; where that fails, or there is none, the API for what ``ours`` names."""

    name = "epss"

    def __init__(self, url: str, api: str, ours: Callable[[], Awaitable[Sequence[str]]], **client: Any) -> None:
        rule = Rule(verdict=unchanged)
        self._csv = HttpClient(url, "FIRST EPSS", rule=rule, timeout=120, **client) if url else None
        self._api = HttpClient(api, "FIRST EPSS", pace=Pace(1, 5), timeout=60, **client) if api else None
        self._ours = ours

    async def edition(self, etag: str) -> Edition | None:
        if self._csv is not None:
            try:
                answer = await self._csv.get("", headers={"If-None-Match": etag} if etag else {})
                return await asyncio.to_thread(parse, answer.body, answer.headers.get("etag", ""))
            except NotModified:
                return None
            except (ConnectorError, BadInput):
                if self._api is None:
                    raise
        return await self._asked() if self._api is not None else None

    async def _asked(self) -> Edition | None:
        assert self._api is not None
        cves = sorted({cve for cve in await self._ours() if _CVE.fullmatch(cve)})[: ASKED * MAX_CALLS]
        rows: list[dict[str, Any]] = []
        dates: set[str] = set()
        for some in _slices(cves, ASKED):
            said = (await self._api.get("", params={"cve": ",".join(some), "limit": str(ASKED)})).json()
            if not isinstance(said, dict) or not isinstance(said.get("data"), list):
                raise BadInput("FIRST's API answered without data")
            for each in said["data"]:
                one = each if isinstance(each, dict) else {}
                row = _row(str(one.get("cve", "")), str(one.get("epss", "")), str(one.get("percentile", "")))
                if row is not None:
                    rows.append(row)
                    dates.add(str(one.get("date", "")))
        return Edition("api", _when(max(dates)), rows) if rows else None

    async def close(self) -> None:
        for client in (self._csv, self._api):
            if client is not None:
                await client.close()


class EpssFile:
    name = "epss"

    def __init__(self, path: Path) -> None:
        self._path = path

    async def edition(self, etag: str) -> Edition | None:
        return await asyncio.to_thread(lambda: parse(self._path.read_bytes()))

    async def close(self) -> None:
        return None


def _slices(items: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    return (items[start : start + size] for start in range(0, len(items), size))
