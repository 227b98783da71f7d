"""Text from outside made storable: bounded, no NUL (PostgreSQL refuses it), no lone surrogates; the raw keeps all."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import orjson

LIMIT = 500
_SHORT = 200  # no limit in use is lower


def clean(value: str, limit: int = LIMIT) -> str:
    if len(value) > limit:
        value = value[: limit - 1] + "…"
    if value.isascii():
        return value.replace("\x00", "") if "\x00" in value else value
    return value.encode("utf-8", "replace").decode("utf-8").replace("\x00", "")


def plain(values: Sequence[str]) -> bool:
    """None of ``values`` needs cleaning."""
    if max(map(len, values)) > _SHORT:
        return False
    joined = "".join(values)
    return joined.isascii() and "\x00" not in joined


def clean_all(values: tuple[str, ...], limits: tuple[int, ...]) -> tuple[str, ...]:
    """``clean`` of each; the common case (short, plain ASCII) is seen in one look at all of them."""
    if plain(values):
        return values
    return tuple([clean(value, limit) for value, limit in zip(values, limits, strict=True)])


def raw_bytes(raw: Any) -> bytes:
    """The payload as JSON, whatever stands in it."""
    try:
        return orjson.dumps(raw, default=str)
    except (TypeError, ValueError, RecursionError):
        pass  # keys that are no strings, lone surrogates, integers beyond 64 bits
    try:
        return json.dumps(raw, default=str).encode()
    except (TypeError, ValueError, RecursionError):
        return repr(type(raw)).encode()
