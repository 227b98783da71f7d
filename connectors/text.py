"""Careful reading of other people's objects: a wrong type is "not there", never an exception."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson

from bot.domain.errors import BadInput

MAX_TEXT = 64_000  # of one field; the rest is cut off with a mark
MAX_LIST = 500


def text(value: Any, limit: int = MAX_TEXT) -> str:
    """A storable string: no NUL (PostgreSQL refuses it), no lone surrogate, not without bounds."""
    if type(value) is str and len(value) <= limit and value.isascii() and "\x00" not in value:
        return value.strip()  # nearly always
    if isinstance(value, bool) or value is None or isinstance(value, (dict, list)):
        return ""
    said = value if isinstance(value, str) else str(value)
    if len(said) > limit:
        said = said[: limit - 1] + "…"
    if "\x00" in said:
        said = said.replace("\x00", "")
    if not said.isascii():
        said = said.encode("utf-8", "replace").decode("utf-8")
    return said.strip()


def obj(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def seq(value: Any) -> Sequence[Any]:
    return value[:MAX_LIST] if isinstance(value, list) else ()


def texts(value: Any) -> tuple[str, ...]:
    """A list of strings; one string counts as a list of one (older scanners wrote it so)."""
    if isinstance(value, str):
        value = value.split(",")
    return tuple(dict.fromkeys(said for one in seq(value) if (said := text(one))))


def integer(value: Any) -> int | None:
    try:
        return None if isinstance(value, bool) else int(value)
    except (TypeError, ValueError, OverflowError):
        return None


def fraction(value: Any, low: float, high: float) -> float | None:
    """A number within bounds, also when it comes as a string; None otherwise (NaN too)."""
    try:
        number = None if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if number is not None and low <= number <= high else None


def when(value: Any) -> datetime | None:
    """ISO (without zone: taken as UTC), epoch seconds or milliseconds; None for "never" and nonsense."""
    try:
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            seconds = value / 1000 if abs(value) > 1e11 else value
            return datetime.fromtimestamp(seconds, UTC) if value else None
        if isinstance(value, datetime):
            found = value
        elif isinstance(value, str) and len(value) >= 10:
            found = datetime.fromisoformat(value)
        else:
            return None
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        return None


def content_hash(value: Any) -> str:
    """16 bytes of BLAKE2b over the canonical JSON; also of what strict JSON cannot carry."""
    try:
        raw = orjson.dumps(value, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS)
    except (TypeError, orjson.JSONEncodeError, RecursionError):
        try:
            raw = json.dumps(value, sort_keys=True, default=str).encode()
        except (TypeError, ValueError, RecursionError) as error:
            raise BadInput("the object is nested too deeply or holds what is no JSON") from error
    return hashlib.blake2b(raw, digest_size=16).hexdigest()


def tags_of(value: Any) -> dict[str, str]:
    """Tags from a map, a list of ``key:value`` strings, or a list of name/key and value objects."""
    found: dict[str, str] = {}
    if isinstance(value, dict):
        pairs: list[tuple[Any, Any]] = list(value.items())[:MAX_LIST]
    else:
        pairs = []
        for one in seq(value):
            if isinstance(one, str):
                key, _, rest = one.partition(":")
                pairs.append((key, rest))
            elif isinstance(one, dict):
                key = next((one[n] for n in ("name", "Key", "key") if n in one), "")
                pairs.append((key, next((one[n] for n in ("value", "Value") if n in one), "")))
    for key, said in pairs:
        if name := text(key, 256):
            found[name] = str(said).lower() if isinstance(said, bool) else text(said, 1024)
    return found


_OWNER_TAGS = frozenset({"owner", "team", "owned-by", "ownedby", "squad", "contact", "maintainer", "cost-center"})
_ENVIRONMENT_TAGS = ("env", "environment", "stage")


def owner_pairs(tags: Mapping[str, str], kind: str) -> list[tuple[str, str]]:
    """(kind:key, value) of every tag that usually names an owner."""
    return [(f"{kind}:{k.lower()}", v) for k, v in tags.items() if v and k.lower().replace("_", "-") in _OWNER_TAGS]


def environment_of(tags: Mapping[str, str]) -> str:
    lowered = {k.lower(): v for k, v in tags.items()}
    return next((lowered[name] for name in _ENVIRONMENT_TAGS if lowered.get(name)), "")
