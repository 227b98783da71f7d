"""Rows of the reports that Wiz's console exports as CSV, also when somebody has made JSON of them. The columns are
second hand: see the manifest."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

from connectors.text import text
from connectors.wiz.words import ISSUE, VULNERABILITY

_MOST = 4 << 10  # of the head that is looked at
# column (without case, spaces and underscores) -> member of the node
_ISSUE = {
    "issueid": "id", "createdat": "createdAt", "updatedat": "updatedAt", "statuschangedat": "statusChangedAt",
    "severity": "severity", "status": "status", "resolvedtime": "resolvedAt", "resolvedat": "resolvedAt",
    "resolution": "resolutionReason", "resolutionreason": "resolutionReason", "dueat": "dueAt", "note": "note",
    "projectnames": "projects", "wizurl": "url", "issuetype": "type",
}  # fmt: skip
_RULE = {
    "title": "name", "description": "description", "controlid": "id", "remediationrecommendation":
    "resolutionRecommendation", "risks": "risks",
}  # fmt: skip
_PLACE = {
    "resourcename": "name", "resourcetype": "type", "resourceregion": "region", "resourceexternalid": "externalId",
    "providerid": "providerId", "resourceproviderid": "providerId", "resourcevertexid": "id",
    "resourcenativetype": "nativeType", "resourceplatform": "cloudPlatform", "subscriptionid": "subscriptionExternalId",
    "subscriptionname": "subscriptionName", "cloudproviderurl": "cloudProviderURL", "resourcetags": "tags",
}  # fmt: skip
_FINDING = {
    "id": "id", "wizurl": "portalUrl", "name": "name", "cvssseverity": "CVSSSeverity", "score": "score",
    "hasexploit": "hasExploit", "hascisakevexploit": "hasCisaKevExploit", "findingstatus": "status",
    "vendorseverity": "vendorSeverity", "severity": "severity", "firstdetected": "firstDetectedAt",
    "lastdetected": "lastDetectedAt", "resolvedat": "resolvedAt", "resolutionreason": "resolutionReason",
    "remediation": "remediation", "locationpath": "locationPath", "detailedname": "detailedName", "version": "version",
    "fixedversion": "fixedVersion", "detectionmethod": "detectionMethod", "link": "link", "projects": "projects",
    "description": "description", "cvedescription": "CVEDescription", "epssprobability": "epssProbability",
    "epsspercentile": "epssPercentile",
}  # fmt: skip
_ASSET = {
    "assetid": "id", "assetname": "name", "assetregion": "region", "assettype": "type",
    "provideruniqueid": "providerUniqueId", "cloudproviderurl": "cloudProviderURL", "cloudplatform": "cloudPlatform",
    "subscriptionexternalid": "subscriptionExternalId", "subscriptionname": "subscriptionName", "tags": "tags",
    "operatingsystem": "operatingSystem", "hasinternetexposure": "hasWideInternetExposure",
}  # fmt: skip


def _plain(name: Any) -> str:
    return str(name).lower().replace(" ", "").replace("_", "")


def kind(raw: Mapping[str, Any]) -> str:
    if "Issue ID" in raw and ("Title" in raw or "Severity" in raw):
        return ISSUE
    if "WizURL" in raw and "Name" in raw and ("AssetName" in raw or "AssetID" in raw):
        return VULNERABILITY
    return ""


def node(raw: Mapping[str, Any]) -> dict[str, Any]:
    """The row in the names of the API's nodes; empty cells are not there."""
    cells = {_plain(name): _value(value) for name, value in raw.items() if name is not None}
    kept = {name: value for name, value in cells.items() if value not in ("", None)}

    def part(names: Mapping[str, str]) -> dict[str, Any]:
        return {member: kept[column] for column, member in names.items() if column in kept}

    if kind(raw) == ISSUE:
        return {**part(_ISSUE), "sourceRule": part(_RULE), "entitySnapshot": part(_PLACE)}
    return {**part(_FINDING), "vulnerableAsset": part(_ASSET)}


def _value(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    said = value.strip()
    if said.lower() in ("true", "false"):
        return said.lower() == "true"
    if said[:1] in ("{", "["):
        try:
            return json.loads(said)
        except ValueError:
            return said
    return said


def rows(stream: BinaryIO) -> BinaryIO:
    """``stream`` as JSON Lines when it is such a CSV, else as it was."""
    head = stream.read(_MOST)
    whole = _Joined(head, stream)
    line = head.decode("utf-8-sig", "replace").partition("\n")[0]
    try:
        names = next(csv.reader([line]), [])
    except csv.Error:  # compressed, for one
        names = []
    if line.lstrip()[:1] in ("{", "[") or not kind(dict.fromkeys(name.strip() for name in names)):
        return io.BufferedReader(whole)
    return io.BufferedReader(_Lines(io.BufferedReader(whole)))


class _Joined(io.RawIOBase):
    def __init__(self, head: bytes, rest: BinaryIO) -> None:
        self._head, self._rest = head, rest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._head[: len(buffer)] or self._rest.read(len(buffer))
        self._head = self._head[len(data) :] if self._head else b""
        buffer[: len(data)] = data
        return len(data)


class _Lines(io.RawIOBase):
    """CSV rows as lines of JSON, one at a time."""

    def __init__(self, stream: io.BufferedReader) -> None:
        self._rows = self._read(stream)
        self._left = b""

    def readable(self) -> bool:
        return True

    @staticmethod
    def _read(stream: io.BufferedReader) -> Iterator[bytes]:
        csv.field_size_limit(16 << 20)
        with io.TextIOWrapper(stream, "utf-8-sig", "replace", newline="") as lines:
            for row in csv.DictReader(lines):
                yield json.dumps({text(k, 200): v for k, v in row.items() if isinstance(v, str)}).encode() + b"\n"

    def readinto(self, buffer: Any) -> int:
        while not self._left:
            if (line := next(self._rows, None)) is None:
                return 0
            self._left = line
        data, self._left = self._left[: len(buffer)], self._left[len(buffer) :]
        buffer[: len(data)] = data
        return len(data)
