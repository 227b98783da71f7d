"""What Orca's objects come wrapped in: pages of either API, single answers, webhook bodies, SIEM and SOAR events; and
the names of what carries no finding."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson

from connectors.orca.shapes import ALERT_REF, CVE_MARK, View, is_serving, kind_of, words
from connectors.reading import Understood
from connectors.text import text

_DEEP = 8
_IDS = ("alert_id", "alertId", "AlertId")
_PULL = re.compile(r"https://[^/\s]+/\S+/(?:pull|merge_requests)/\d+")
_REFS = re.compile(r"(?<![A-Za-z0-9])orca-\d+\b")
_LISTS = ("data", "alerts", "results", "items", "records", "hits", "events", "vulnerabilities", "event_log", "cves",
          "assets", "value", "logs", "Records", "incidents")  # fmt: skip
_HOLDERS = ("alert", "Alert", "_source", "event", "body", "payload", "detail", "rawJSON", "rawJson", "raw_json",
            "rawAlert", "raw_alert", "raw", "_raw", "RawData", "original", "message", "Message", "event_data", "data",
            "json", "orca", "result", "raw_response", "Contents", "response", "hits")  # fmt: skip
_PAGE = words(
    "version status total_items total_ungrouped_items total_supported_items data_grouped "
    "next_page_token has_next_page_token data total_count event_log took start_at_index limit count "
    "next previous results alerts vulnerabilities total schema_version"
)
_ORCAS = words(
    "total_ungrouped_items total_supported_items data_grouped next_page_token has_next_page_token event_log total_items"
)


_OTHER = "object of another kind"


def understand(raw: Mapping[str, Any]) -> Understood | None:
    """What one object of a file or webhook holds; None when it is nothing that Orca sends."""
    items: list[Mapping[str, Any]] = []
    named: list[str] = []
    kinds: list[str] = []
    for kind, one in _walk(raw, {}, 0):
        if kind in ("alert", "vulnerability"):
            items.append(one)
            kinds.append(kind)
        else:
            named.append(kind)
    # A list of things nobody knows is Orca's only if its envelope is.
    marked = bool(named) and bool(raw.keys() & _ORCAS or text(raw.get("status"), 32) in ("success", "failure"))
    if not items and not marked and all(name.startswith(_OTHER) for name in named):
        return None
    plural = "vulnerabilities" if "vulnerability" in kinds and "alert" not in kinds else "alerts"
    single = len(items) == 1 and items[0] is raw
    return Understood(tuple(items), tuple(named), ("" if single else "page of ") + (kinds[0] if single else plural))


def _walk(raw: Mapping[str, Any], above: Mapping[str, Any], depth: int) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """(kind or name, object) of everything in it."""
    if depth > _DEEP:
        return
    own = any(isinstance(raw.get(name), str) and ALERT_REF.fullmatch(raw[name]) for name in _IDS)
    inner = None if own and kind_of(raw) == "alert" else _content(raw)
    if inner:
        yield from _many(inner[1], raw, inner[0], depth)
        return
    kind = kind_of(raw)
    if kind == "vulnerability" or (kind in ("", "asset") and _cve_of(raw, above)):
        yield "vulnerability", _complete(raw, above)
    elif kind == "alert":
        yield kind, raw
    elif kind == "entry":
        yield f"history entry of an alert ({text(raw.get('type'), 64) or 'change'})", raw
    elif kind == "reference":
        yield "webhook body that only names an alert (it is fetched by the API)", raw
    elif kind == "asset":
        yield "asset", raw
    elif within := _within(raw, depth):
        yield from within
    elif name := _named(raw):
        yield name, raw


def _within(raw: Mapping[str, Any], depth: int) -> list[tuple[str, Mapping[str, Any]]]:
    """Findings in a member of any name: what a log shipper or an agent's tool put around them."""
    for inner in list(raw.values())[:60]:
        if isinstance(inner, str) and len(inner) > 20 and inner.lstrip()[:1] in ("{", "["):
            try:
                inner = orjson.loads(inner)
            except orjson.JSONDecodeError:
                continue
        for one in inner[:20] if isinstance(inner, list) else [inner]:
            if isinstance(one, dict) and one:
                found = [answer for answer in _walk(one, {}, depth + 2) if answer[0] in ("alert", "vulnerability")]
                if found:
                    return found
    return []


def _content(raw: Mapping[str, Any]) -> tuple[str, list[Any]] | None:
    """The member that holds the true objects, when this one is only their envelope."""
    if text(raw.get("type"), 32) == "Alert" or isinstance(raw.get("state"), dict):
        return None
    data = raw.get("data")
    for name in _LISTS:
        inner = raw.get(name)
        if isinstance(inner, list) and (inner or name in ("data", "event_log")) and _is_list_of(raw, name, inner):
            if name == "data" and isinstance(raw.get("vulnerabilities"), list):
                return "data", [*inner, *raw["vulnerabilities"]]
            return name, inner
    if is_serving(data):
        return None
    for name in _HOLDERS:
        inner = raw.get(name)
        if isinstance(inner, str) and inner.lstrip()[:1] in ("{", "["):
            try:
                inner = orjson.loads(inner)
            except orjson.JSONDecodeError:
                continue
            return name, inner if isinstance(inner, list) else [inner]
        if isinstance(inner, dict) and inner and (name == "hits" or _holds(inner)):
            return name, [inner]
    return None


def _is_list_of(raw: Mapping[str, Any], name: str, inner: list[Any]) -> bool:
    """Whether this list is a page, not a member of an alert or asset that happens to be called so."""
    if name == "results" and "cve_id" in raw:
        return True
    if raw.keys() <= _PAGE or raw.keys() & _ORCAS:
        return True
    if any(name in raw for name in ("alert_id", "AlertId", "asset_unique_id", "cve_id", "CveId")):
        return False
    return any(isinstance(one, dict) and _holds(one) for one in inner[:3])


def _holds(inner: Mapping[str, Any]) -> bool:
    return next(iter(_walk(inner, {}, _DEEP - 3)), None) is not None


def _many(
    inner: Sequence[Any], raw: Mapping[str, Any], name: str, depth: int
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    above = raw if raw.get("cve_id") else {}
    asset = next((one for one in inner if isinstance(one, dict) and kind_of(one) == "asset"), None)
    if asset is not None and isinstance(raw.get("vulnerabilities"), list):
        above = {"Inventory": asset}
    count = 0
    for one in inner:
        found = False
        if isinstance(one, dict):
            for answer in _walk(one, above, depth + 1):
                found = True
                yield answer
            if not found:
                members = ", ".join(list(map(str, one))[:6]) or "none"
                yield f"{_OTHER} (its members: {members})", one
        elif one is not None:
            yield f"{_OTHER} (no object)", {}
        count += 1
    if not count:
        yield "empty page" if name == "data" else "empty list", raw


def _cve_of(raw: Mapping[str, Any], above: Mapping[str, Any]) -> str:
    if not above:
        return ""
    view = View(raw)
    said = text(view.get("cveid"), 100) or text(above.get("cve_id"), 100)
    placed = view.assets or view.get("assetuniqueid", "installedpackage", "assetname") or above.get("Inventory")
    return said if said and placed else ""


def _complete(raw: Mapping[str, Any], above: Mapping[str, Any]) -> Mapping[str, Any]:
    """A record with what the list around it says of it."""
    more: dict[str, Any] = {}
    view = View(raw)
    if not view.get("cveid") and above.get("cve_id"):
        more[CVE_MARK] = above["cve_id"]
    if above.get("Inventory") and not view.assets and not view.get("assetuniqueid"):
        more["Inventory"] = above["Inventory"]
    return {**raw, **more} if more else raw


def _named(raw: Mapping[str, Any]) -> str:
    """The name of an answer that carries no finding; "" for what Orca does not send."""
    keys = raw.keys()
    status = text(raw.get("status"), 64).lower()
    if "jwt" in keys or {"access", "refresh"} <= keys:
        return "login answer"
    if (isinstance(raw.get("error"), str) and ("status" in keys or len(keys) <= 3)) or status == "failure":
        return f"error answer ({_short(raw.get('error') or raw.get('message') or raw.get('detail') or 'no reason')})"
    if "error_code" in keys or (keys <= {"detail", "code", "messages", "status_code"} and "detail" in keys):
        return f"error answer ({_short(raw.get('detail') or raw.get('error_code'))})"
    if keys & {"scan_unique_id", "scan_id", "scan_status"} or status in ("scanning", "scan_initiated", "scan_failed"):
        return "answer to a scan request"
    if "request_token" in keys or "file_location" in keys or "download_link" in keys:
        return "answer of a download job"
    if "query" in keys and keys & {"limit", "start_at_index", "models", "get_results_and_count"}:
        return "query (a request, not its answer)"
    if isinstance(raw.get("data"), dict) and (status == "success" or raw.keys() & _ORCAS):
        return f"answer without findings ({', '.join(list(map(str, raw['data']))[:4]) or 'empty'})"
    if "data" in keys and not raw["data"] and keys <= _PAGE:
        return "empty page"
    if keys & _ORCAS and keys <= _PAGE:
        return "page without data"
    if {"framework_id", "display_name"} <= keys or {"frameworks"} <= keys or "rule_query" in keys or "sonar" in keys:
        return "rule or framework"
    if text(raw.get("type"), 64) in ("CodeOrigin", "Dockerfile", "TerraformResource", "TerraformModuleCall"):
        return "code origin of an asset"
    if "cve_id" in keys or "CveId" in keys:
        return "CVE without an asset"
    if "code_fix" in keys or {"pr_title", "fixed_code"} <= keys:
        return "code fix"
    if status == "success" and keys <= {"status", "message", "version", "link", "id", "total_items", "data"}:
        return "status reply"
    if keys == {"url"} and _PULL.fullmatch(text(raw["url"], 2000)):
        return "pull request of a code fix"
    if "link" in keys and status == "success":
        return "download link"
    test = " ".join(text(raw.get(name), 200) for name in ("message", "text", "title", "test", "event", "type"))
    if re.search(r"\btest\b", test, re.I) and re.search(r"\borca\b", test, re.I):
        return "test message"
    if any(isinstance(value, str) and _REFS.search(value[:5000]) for value in raw.values()):
        return "text that names an alert (it is fetched by the API)"
    return ""


def _short(value: Any) -> str:
    said = " ".join(text(value, 200).split()) or orjson.dumps(value, default=str).decode()[:100]
    return said[:120]
