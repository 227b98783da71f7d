"""Text from outside made storable: bounded, no NUL (PostgreSQL refuses it), no lone surrogates; the raw keeps all."""

from __future__ import annotations

import json
from typing import Any

import orjson

LIMIT = 500


def clean(value: str, limit: int = LIMIT) -> str:
    if len(value) > limit:
        value = value[: limit - 1] + "…"
    if value.isascii():
        return value.replace("\x00", "") if "\x00" in value else value
    return value.encode("utf-8", "replace").decode("utf-8").replace("\x00", "")


def raw_bytes(raw: Any) -> bytes:
    """The payload as JSON, whatever stands in it."""
    try:
        return orjson.dumps(raw, default=str, option=orjson.OPT_NON_STR_KEYS)
    except (TypeError, ValueError, RecursionError):
        pass
    try:
        return json.dumps(raw, default=str).encode()
    except (TypeError, ValueError, RecursionError):
        return repr(type(raw)).encode()
