"""What findings of Security Hub come wrapped in, and the names of answers and events that carry none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from connectors.reading import Understood
from connectors.security_hub.mapping import looks
from connectors.text import obj, text

_DEEP = 6


def understand(raw: Mapping[str, Any]) -> Understood | None:
    """None when it is nothing that Security Hub or EventBridge sends of it."""
    items: list[Mapping[str, Any]] = []
    named: list[str] = []
    for kind, one in _walk(raw, 0):
        if kind:
            named.append(kind)
        else:
            items.append(one)
    return Understood(tuple(items), tuple(named)) if items or named else None


def _walk(raw: Mapping[str, Any], depth: int) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """("" , finding) or (name, what carries none)."""
    if looks(raw):
        yield "", raw
        return
    if name := _named(raw):
        yield name, raw
        return
    if depth > _DEEP:
        return
    for inner in list(raw.values())[:60]:
        if isinstance(inner, str) and len(inner) > 40 and inner.lstrip()[:1] in ("{", "["):
            try:
                inner = orjson.loads(inner)
            except orjson.JSONDecodeError:
                continue
        for one in inner if isinstance(inner, list) else [inner]:
            if isinstance(one, dict) and one:
                yield from (answer for answer in _walk(one, depth + 1) if not answer[0] or depth == 0)


def _named(raw: Mapping[str, Any]) -> str:
    keys = raw.keys()
    if "ProcessedFindings" in keys or "UnprocessedFindings" in keys:
        return "answer to an update of findings"
    if {"FailedCount", "SuccessCount"} <= keys:
        return "answer to an import of findings"
    if raw.get("Findings") == [] or raw.get("findings") == []:
        return "empty page"
    records = raw.get("Records")
    first = records[0] if isinstance(records, list) and records and isinstance(records[0], dict) else {}
    if "FindingIdentifier" in first:
        return "history of a finding"
    if "HubArn" in keys:
        return "description of the hub"
    if "SecurityControlId" in keys and "Title" in keys and "Id" not in keys:
        return "description of a control"
    if "__type" in keys or (isinstance(raw.get("Error"), dict) and "Code" in raw["Error"]):
        said = text(raw.get("message") or raw.get("Message"), 200) or text(obj(raw.get("Error")).get("Message"), 200)
        return f"error answer ({said or text(raw.get('__type'), 100) or 'no reason'})"
    source, kind = text(raw.get("source"), 64), text(raw.get("detail-type"), 128)
    if source == "aws.securityhub" and not any(name in obj(raw.get("detail")) for name in ("findings", "Findings")):
        return f"event without findings ({kind or 'no detail-type'})"
    if "SubscribeURL" in keys:
        return "subscription of SNS"
    return ""
