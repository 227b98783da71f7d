"""CISA's catalog of known exploited vulnerabilities: the JSON feed, or a file of it (plain or gzip).

Facts: fields as in the catalog's own JSON schema (cisagov/kev-data); the server honours If-None-Match.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from bot.domain.errors import BadInput
from bot.ports import Edition
from connectors.editions import NotModified, unchanged, unpacked
from connectors.http import HttpClient, Rule

_CVE = re.compile(r"CVE-\d{4}-\d{4,}")
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")


def parse(body: bytes, etag: str = "") -> Edition:
    """The feed as an edition; ``BadInput`` unless it is the catalog, whole: its count must be that of its entries."""
    try:
        said = orjson.loads(unpacked(body, "the KEV list"))
    except orjson.JSONDecodeError as error:
        raise BadInput(f"the KEV list is no JSON: {error}", mend="Get the JSON feed of the catalog.") from error
    entries = said.get("vulnerabilities") if isinstance(said, dict) else None
    if not isinstance(entries, list) or not entries:
        raise BadInput("this is no KEV list: it has no vulnerabilities", mend="Get the JSON feed of the catalog.")
    if said.get("count") != len(entries):
        raise BadInput(f"the KEV list says {said.get('count')} entries and holds {len(entries)}: it is not whole")
    rows = {row["cve"]: row for row in map(_entry, entries) if row is not None}
    if len(rows) * 2 < len(entries):
        raise BadInput(f"of {len(entries)} entries of the KEV list only {len(rows)} can be read")
    return Edition(str(said.get("catalogVersion", ""))[:60], _when(said.get("dateReleased")), list(rows.values()), etag)


def _entry(raw: Any) -> dict[str, Any] | None:
    if not isinstance(raw, dict):
        return None
    cve, added = str(raw.get("cveID", "")).strip().upper(), str(raw.get("dateAdded", ""))[:10]
    if not _CVE.fullmatch(cve) or not _DAY.fullmatch(added):
        return None
    due = str(raw.get("dueDate", ""))[:10]
    return {
        "cve": cve,
        "added": added,
        "due": due if _DAY.fullmatch(due) else "",
        "ransomware": raw.get("knownRansomwareCampaignUse") == "Known",
        "name": str(raw.get("vulnerabilityName", ""))[:300],
    }


def _when(word: Any) -> datetime:
    try:
        moment = datetime.fromisoformat(str(word).replace("Z", "+00:00"))
    except ValueError as error:
        raise BadInput(f"the KEV list has no date of release ({str(word)[:40]})") from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


class KevList:
    name = "kev"

    def __init__(self, url: str, **client: Any) -> None:
        self._http = HttpClient(url, "CISA KEV", rule=Rule(verdict=unchanged), timeout=60, **client)

    async def edition(self, etag: str) -> Edition | None:
        try:
            answer = await self._http.get("", headers={"If-None-Match": etag} if etag else {})
        except NotModified:
            return None
        return parse(answer.body, answer.headers.get("etag", ""))

    async def close(self) -> None:
        await self._http.close()


class KevFile:
    name = "kev"

    def __init__(self, path: Path) -> None:
        self._path = path

    async def edition(self, etag: str) -> Edition | None:
        return parse(self._path.read_bytes())

    async def close(self) -> None:
        return None
