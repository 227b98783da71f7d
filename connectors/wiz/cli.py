"""The report of Wiz's command line scanner (``wizcli … -f json``): one finding each for a vulnerable package, a secret
and a rule match, on the image, folder or machine that was scanned. Its shape is second hand: see the manifest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from bot.domain.ids import short_hash
from connectors.text import obj, seq, text
from connectors.wiz.words import OTHER, VULNERABILITY

_MARK = "wizcli"
_PACKAGES = ("osPackages", "libraries", "cpes", "applications")


def matches(raw: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Of a whole report; empty for anything else."""
    result = raw.get("result")
    if not isinstance(result, dict) or ("scanOriginResource" not in raw and not any(p in result for p in _PACKAGES)):
        return []
    scan = {
        "id": text(raw.get("id"), 128), "created": raw.get("createdAt"), "url": raw.get("reportUrl"),
        "resource": obj(raw.get("scanOriginResource")), "type": raw.get("scanOriginResourceType"),
    }  # fmt: skip
    return [{_MARK: scan, **found} for found in _found(result)]


def _found(result: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for place in _PACKAGES:
        for package in seq(result.get(place)):
            if not isinstance(package, dict):
                continue
            small = {k: v for k, v in package.items() if k != "vulnerabilities"}
            for one in seq(package.get("vulnerabilities")):
                if isinstance(one, dict):
                    inner = obj(one.get("vulnerability"))  # applications nest it once more
                    yield {"package": {**small, **one} if inner else small, "vulnerability": inner or one}
    for secret in seq(result.get("secrets")):
        if isinstance(secret, dict):
            yield {"secret": secret}
    for match in seq(result.get("ruleMatches")):
        if isinstance(match, dict):
            for at in seq(match.get("matches")) or ({},):
                yield {"match": {k: v for k, v in match.items() if k != "matches"}, "place": obj(at)}


def is_match(raw: Mapping[str, Any]) -> bool:
    return isinstance(raw.get(_MARK), dict) and any(k in raw for k in ("vulnerability", "secret", "match"))


def kind(raw: Mapping[str, Any]) -> str:
    return VULNERABILITY if "vulnerability" in raw else OTHER


def node(raw: Mapping[str, Any]) -> dict[str, Any]:
    """The match in the names of the API's nodes."""
    scan = obj(raw.get(_MARK))
    where = obj(scan.get("resource"))
    name = text(where.get("name"), 1000) or text(where.get("id"), 512) or text(scan.get("id"), 128) or "scanned place"
    asset = {"id": where.get("id") or name, "name": name, "type": scan.get("type")}
    seen = {"firstDetectedAt": scan.get("created"), "lastDetectedAt": scan.get("created"), "portalUrl": scan.get("url")}
    if "vulnerability" in raw:
        found, package = obj(raw.get("vulnerability")), obj(raw.get("package"))
        of: tuple[Any, ...] = (
            name,
            found.get("name"),
            package.get("name"),
            package.get("version"),
            package.get("path"),
        )
        return {**found, **seen, "id": _id(of), "vulnerableAsset": asset, "detailedName": package.get("name"),
                "version": package.get("version"), "locationPath": package.get("path"),
                "link": found.get("source"), "detectionMethod": package.get("detectionMethod")}  # fmt: skip
    if "secret" in raw:
        found = obj(raw.get("secret"))
        spot = (name, found.get("path"), found.get("lineNumber"), found.get("type"), found.get("description"))
        at = f"{text(found.get('path'), 512)}:{text(found.get('lineNumber'), 16)}".strip(":")
        return {**seen, "id": _id(spot), "name": f"Secret in {at or name}", "description": found.get("description"),
                "severity": found.get("severity"), "rule": {"id": f"secret-{text(found.get('type'), 64).lower()}"},
                "resource": asset}  # fmt: skip
    found, place = obj(raw.get("match")), obj(raw.get("place"))
    rule = obj(found.get("rule"))
    at = f"{text(place.get('fileName'), 512)}:{text(place.get('lineNumber'), 16)}".strip(":")
    part = (name, rule.get("id"), place.get("resourceName"), place.get("fileName"))
    said = " ".join(p for p in (text(place.get("resourceName"), 512), at, text(place.get("found"), 500)) if p)
    return {**seen, "id": _id(part), "name": rule.get("name"), "severity": found.get("severity"), "rule": rule,
            "description": said, "resource": asset}  # fmt: skip


def _id(key: tuple[Any, ...]) -> str:
    return short_hash(*(text(one, 1000) for one in key), prefix="cli-")
