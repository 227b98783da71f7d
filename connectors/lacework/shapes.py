"""What one JSON object of Lacework holds, in whatever it is wrapped: findings, or by name what carries none.

Understood: whole answers (``data``, ``paging``, ``ok``), arrays, single objects, reports, the webhook's body,
EventBridge and S3 events, Splunk HEC, exports (capitals, snake case), API v1, the wrappers of SIEM and SOAR products.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from connectors.lacework import compliance
from connectors.lacework.alerts import LINKED, alert_id
from connectors.lacework.mapping import kind_or_none
from connectors.lacework.older import vulnerabilities_of_v1
from connectors.lacework.others import name_of, of_envelope
from connectors.lacework.vulnerabilities import identity_of_vulnerability, state_of_vulnerability
from connectors.lacework.vulnerabilities import kind_of as vulnerability_kind
from connectors.lacework.words import moment, undecided
from connectors.reading import Understood
from connectors.text import obj, text

_DEPTH = 8
_KINDS = {"vulnerability": "vulnerabilities", "compliance": "compliance evaluations", "alert": "alerts"}
# Members under which SIEM, SOAR and transport put the true object, as an object or as JSON in a string.
_WRAPPERS = ("_source", "rawJSON", "_raw", "original", "message", "Message", "body", "event", "detail", "result",
             "rawEvent", "raw_event", "fields", "input", "payload", "json", "log", "details", "Contents", "contents",
             "alert", "alerts", "Records", "records", "results", "hits", "value", "items", "events", "response", "Sns",
             "content", "custom_details", "customDetails",
             "logEvents")  # fmt: skip
_EXPORT = re.compile(r"[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)*")


class _Found:
    def __init__(self) -> None:
        self.items: list[Mapping[str, Any]] = []
        self.none: list[str] = []
        self.kinds: Counter[str] = Counter()

    def __bool__(self) -> bool:
        return bool(self.items or self.none)


def understand(raw: Mapping[str, Any]) -> Understood | None:
    """None: nothing that Lacework sends."""
    found = _Found()
    if not _look(raw, {}, found, 0, False):
        return None
    items, merged = _settle(found.items)
    none = list(found.none)
    if merged:
        none.append(f"{merged} repeated rows for the same vulnerability and package, taken as one")
    return Understood(items=items, carries_none=none, kind=", ".join(k for k in found.kinds if found.kinds[k]))


def _settle(items: Sequence[Mapping[str, Any]]) -> tuple[list[Mapping[str, Any]], int]:
    """Several rows of one answer for one vulnerability, package and machine or image (of two layers, of two hours):
    the newest counts, at one time what is vulnerable counts over what is good or excepted."""
    kept: dict[str, Mapping[str, Any]] = {}
    rest: list[Mapping[str, Any]] = []
    for one in items:
        if not vulnerability_kind(one):
            rest.append(one)
            continue
        key = identity_of_vulnerability(one)
        if key not in kept or newer_first(one) < newer_first(kept[key]):
            kept[key] = one
    return [*rest, *kept.values()], len(items) - len(rest) - len(kept)


def newer_first(row: Mapping[str, Any]) -> tuple[float, int]:
    """Sorts the rows of one identity: the one that counts comes first."""
    seen = moment(row.get("endTime")) or moment(row.get("startTime"))
    return (-seen.timestamp() if seen else 0.0, int(state_of_vulnerability(row)[0]))


def _look(raw: Any, context: Mapping[str, Any], found: _Found, depth: int, trusted: bool) -> bool:
    """Collect what ``raw`` holds; False when nothing of it is Lacework's. ``trusted``: an envelope of Lacework's own
    stands around it, so what is unknown is named instead of refused."""
    if depth > _DEPTH:
        return False
    if isinstance(raw, str):
        inner = _parsed(raw)
        return inner is not None and _look(inner, context, found, depth + 1, trusted)
    if isinstance(raw, list):
        known = [_look(one, context, found, depth + 1, trusted) for one in raw if isinstance(one, (dict, list, str))]
        return any(known)
    if not isinstance(raw, dict):
        return False
    return _object(raw, context, found, depth, trusted)


def _object(raw: dict[str, Any], context: Mapping[str, Any], found: _Found, depth: int, trusted: bool) -> bool:
    one = _canonical(raw)
    if _report(one, context, found):
        return True
    if _finding(one, context, found):
        return True
    if said := _test_event(one):
        found.none.append(said)
        return True
    if said := name_of(one, inside=depth > 0):
        found.none.append(said)
        return True
    if isinstance(raw.get("data"), (list, dict)) or "paging" in raw:
        return _envelope(raw, context, found, depth, trusted)
    if older := list(vulnerabilities_of_v1(raw)):
        for row in older:
            _finding(row, context, found)
        return True
    if _wrapped(raw, context, found, depth, trusted):
        return True
    if said := of_envelope(raw):
        found.none.append(said)
        return True
    if not raw and depth == 0:
        found.none.append("empty answer")  # what a write gives
        return True
    if numbers := _only_named(raw):
        found.none.append(f"notification about alert {', '.join(numbers)}, which the API has to be asked for")
        return True
    if trusted and raw:
        found.none.append(f"record of another kind ({', '.join(list(map(str, raw))[:4])})")
        return True
    return False


def _envelope(raw: Mapping[str, Any], context: Mapping[str, Any], found: _Found, depth: int, trusted: bool) -> bool:
    data, paging = raw.get("data"), raw.get("paging")
    inner = {**context, **_tenant(paging)}
    ours = trusted or _is_paging(paging) or ("ok" in raw and "message" in raw)
    if data is None or data == [] or data == {}:
        if isinstance(data, (list, dict)) and (ours or len(raw) == 1):
            found.none.append("empty page")
        elif _is_paging(paging):
            found.none.append("paging without data")
        else:
            return False
        return True
    if isinstance(data, dict) and (said := of_envelope(raw)):
        found.none.append(said)
        return True
    before = len(found.items), len(found.none)
    if _look(data, inner, found, depth + 1, ours):
        return True
    del found.items[before[0] :], found.none[before[1] :]
    return False


def _is_paging(value: Any) -> bool:
    return isinstance(value, dict) and ("rows" in value or "totalRows" in value or "urls" in value)


def _tenant(paging: Any) -> dict[str, str]:
    """The host that the next page's link names is the tenant's."""
    link = text(obj(obj(paging).get("urls")).get("nextPage"), 4000)
    host = urlsplit(link).hostname if link.startswith("https://") else None
    return {"host": host} if host and host.endswith((".lacework.net", ".lacework.com", ".forticnapp.com")) else {}


def _report(one: Mapping[str, Any], context: Mapping[str, Any], found: _Found) -> bool:
    lines = one.get("recommendations")
    if isinstance(lines, list) and ("reportType" in one or "reportTitle" in one or "summary" in one):
        report = {**one, "_lacework": dict(context)} if context else one
        for line in lines:
            if isinstance(line, dict) and "REC_ID" in line:
                _recommendation(line, report, found)
            else:
                found.none.append("line of a report without a recommendation")
        if not lines:
            found.none.append("report without recommendations")
        return True
    if compliance.is_recommendation(one) and not compliance.is_violation(one):
        _recommendation(one, {"_lacework": dict(context)}, found)
        return True
    return False


def _recommendation(line: Mapping[str, Any], report: Mapping[str, Any], found: _Found) -> None:
    items = list(compliance.violations(line, report))
    if not text(line.get("REC_ID"), 256):
        found.none.append("line of a report without a recommendation")
    elif items:
        found.items += items
        found.kinds["resources in violation"] += len(items)
    else:
        found.none.append(f"recommendation of a report ({text(line.get('STATUS'), 64) or 'no status'})")


def _finding(one: Mapping[str, Any], context: Mapping[str, Any], found: _Found) -> bool:
    kind = kind_or_none(one)
    if kind is None:
        return False
    if kind == "compliance" and not compliance.is_violation(one) and undecided(one.get("status")):
        found.none.append(f"evaluation that could not tell ({text(one.get('status'), 64)})")
        return True
    found.items.append({**one, "_lacework": {**context, **obj(one.get("_lacework"))}} if context else one)
    found.kinds[_KINDS[kind]] += 1
    return True


def _test_event(one: Mapping[str, Any]) -> str:
    kinds = {text(one.get(n), 64).lower() for n in ("event_type", "EVENT_TYPE", "event_title", "EVENT_NAME")}
    if kinds & {"testevent", "test event"} or ("event_title" in one and alert_id(one) == "0"):
        return "test message of an alert channel"
    return ""


def _wrapped(raw: Mapping[str, Any], context: Mapping[str, Any], found: _Found, depth: int, trusted: bool) -> bool:
    encoded = raw.get("data")  # Google Pub/Sub
    if isinstance(encoded, str) and (opened := _decoded(encoded)) is not None:
        return _look(opened, context, found, depth + 1, trusted)
    known = False
    for name in _WRAPPERS:
        inner = raw.get(name)
        if isinstance(inner, (dict, list)) or (isinstance(inner, str) and inner.lstrip()[:1] in ("{", "[")):
            known = _look(inner, context, found, depth + 1, False) or known
            if known:
                return True
    # A SOAR's context: {"Lacework": {"Vulnerability": {"Host": [...]}}}
    for key, inner in list(raw.items())[:50]:
        if str(key).split(".")[0].split("(")[0].lower() in ("lacework", "forticnapp"):
            known = _everything(inner, context, found, depth + 1) or known
    return known


def _everything(raw: Any, context: Mapping[str, Any], found: _Found, depth: int) -> bool:
    if depth > _DEPTH:
        return False
    if _look(raw, context, found, depth, False):
        return True
    if isinstance(raw, dict):
        known = [_everything(one, context, found, depth + 1) for one in raw.values() if isinstance(one, (dict, list))]
        return any(known)  # all of them are looked at, not only the first that is known
    return False


def _parsed(raw: str) -> Any:
    if raw.lstrip()[:1] not in ("{", "["):
        return None
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        return None


def _decoded(raw: str) -> Any:
    try:
        return _parsed(base64.b64decode(raw, validate=True).decode("utf-8"))
    except (binascii.Error, ValueError, UnicodeDecodeError):
        return None


# --- spellings --------------------------------------------------------------------------------------------------------

_CAMEL = {
    name.replace("_", ""): spelled
    for spelled in (
        "vulnId", "evalCtx", "featureKey", "featureProps", "fixInfo", "cveProps", "machineTags", "imageId", "mid",
        "evalGuid", "startTime", "endTime", "severity", "status", "riskScore", "cveRiskScore", "hostRiskScore", "props",
        "osPkgInfo", "cveRiskInfo", "alertId", "alertName", "alertType", "alertInfo", "derivedFields", "policyId",
        "lastUserUpdatedTime", "internetExposure", "entityMap", "tagMetadata", "evalType", "reportTime", "resource",
        "recommendation", "section", "reason", "account", "id", "hostname", "reachability", "alertSource",
    )
    for name in (spelled.lower(),)
}  # fmt: skip
_MARKS: tuple[frozenset[str], ...] = (
    frozenset({"vulnid"}),
    frozenset({"alertid", "alertinfo"}),
    frozenset({"alertid", "derivedfields"}),
    frozenset({"alertid", "alerttype", "starttime"}),
    frozenset({"evaltype", "recommendation"}),
)


def _canonical(raw: dict[str, Any]) -> dict[str, Any]:
    """Exports write VULN_ID or vuln_id for vulnId; the values inside keep their names, as the API has them.
    Members that a SIEM adds (``p_…``, ``@timestamp``) stay out of what is understood as Lacework's."""
    low = {str(key).lower().replace("_", ""): key for key in list(raw)[:300] if isinstance(key, str)}
    if not any(marks <= low.keys() for marks in _MARKS):
        return raw
    if "vulnId" in raw or "alertId" in raw or "evalType" in raw:
        return _without_siem(raw)
    renamed: dict[str, Any] = {}
    for key, value in raw.items():
        spelled = _CAMEL.get(str(key).lower().replace("_", ""), key)
        renamed[spelled] = _opened(value) if spelled in _OBJECTS else value
    return _without_siem(renamed)


_OBJECTS = frozenset({"evalCtx", "featureKey", "featureProps", "fixInfo", "cveProps", "machineTags", "props",
                      "alertInfo", "derivedFields", "entityMap", "account"})  # fmt: skip


def _opened(value: Any) -> Any:
    """Exports write inner objects as JSON in a string."""
    inner = _parsed(value) if isinstance(value, str) else None
    return value if inner is None else inner


def _without_siem(raw: dict[str, Any]) -> dict[str, Any]:
    if not any(str(key).startswith(("p_", "@")) for key in raw):
        return raw
    return {key: value for key, value in raw.items() if not str(key).startswith(("p_", "@"))}


def _only_named(raw: Mapping[str, Any]) -> list[str]:
    """The alerts of an edited template that keeps nothing but a link to the console."""
    if not any(host in str(raw)[:20_000] for host in (".lacework.net", ".lacework.com")):
        return []
    return list(dict.fromkeys(refs(raw)))[:5]


def refs(raw: Any, depth: int = 0) -> Iterator[str]:
    """Every alert number in an edited template, wherever it stands."""
    if depth > _DEPTH:
        return
    if isinstance(raw, str):
        if (inner := _parsed(raw)) is not None:
            yield from refs(inner, depth + 1)
        elif ".lacework." in raw:
            yield from LINKED.findall(raw[:20_000])
    elif isinstance(raw, list):
        for one in raw[:200]:
            yield from refs(one, depth + 1)
    elif isinstance(raw, dict):
        number = alert_id(raw)
        if number.isdigit() and number != "0":
            yield number
        for one in list(raw.values())[:200]:
            if isinstance(one, (dict, list, str)):
                yield from refs(one, depth + 1)
