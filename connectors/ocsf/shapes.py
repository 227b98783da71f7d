"""Which OCSF events are findings. Class ids: https://schema.ocsf.io, category 2 (Findings)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from connectors.reading import Understood
from connectors.text import integer, obj, seq, text

# Security Finding (2001) is the one class of OCSF 1.0; 2005 is an incident, a group of findings with no resource.
CLASSES = {
    2001: "security finding",
    2002: "vulnerability finding",
    2003: "compliance finding",
    2004: "detection finding",
    2006: "data security finding",
    2007: "application security posture finding",
    2008: "IAM analysis finding",
}
_ENVELOPES = ("events", "findings", "Findings", "records", "Records", "items", "results", "hits", "data", "value")
_INNER = ("event", "detail", "_source", "ocsf", "finding")


def class_of(raw: Mapping[str, Any]) -> int | None:
    """``class_uid``, or what ``type_uid`` says of it (class x 100 + activity)."""
    number = integer(raw.get("class_uid"))
    if number is None and (kind := integer(raw.get("type_uid"))) is not None:
        number = kind // 100
    return number


def understand(raw: Mapping[str, Any], depth: int = 0) -> Understood | None:
    number = class_of(raw)
    if number in CLASSES and identity_of(raw):
        return Understood(items=(raw,), kind="OCSF finding")
    if number is not None:
        name = text(raw.get("class_name"), 60) or f"class {number}"
        return Understood(carries_none=(f"OCSF event {name}" + (" without uid" if number in CLASSES else ""),))
    if depth < 3:
        for member in _ENVELOPES:
            held = raw.get(member)
            if isinstance(held, list):
                return _all(held, depth)
            if isinstance(held, dict) and (found := understand(held, depth + 1)):
                return found
        for member in _INNER:
            if isinstance(raw.get(member), dict) and (found := understand(raw[member], depth + 1)):
                return found
    return None


def _all(held: list[Any], depth: int) -> Understood | None:
    items: list[Mapping[str, Any]] = []
    empty: list[str] = []
    for one in held:
        found = understand(one, depth + 1) if isinstance(one, dict) else None
        if found is None:
            return None
        items += found.items
        empty += found.carries_none
    return Understood(tuple(items), tuple(empty) or (() if items else ("empty envelope",)), "OCSF finding")


def identity_of(raw: Mapping[str, Any]) -> str:
    info = obj(raw.get("finding_info")) or obj(raw.get("finding"))
    return text(info.get("uid"), 600) or text(obj(raw.get("metadata")).get("uid"), 600)


def first_resource(raw: Mapping[str, Any]) -> Mapping[str, Any]:
    held = raw.get("resources")
    if isinstance(held, list):
        return obj(next((one for one in seq(held) if isinstance(one, dict)), None))
    return obj(held) or obj(raw.get("resource"))
