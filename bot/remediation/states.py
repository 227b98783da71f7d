"""Resource states as JSON: read, compared, and their difference in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from bot.domain.ids import canonical

_SHOWN = 4


def json_state(state: Mapping[str, Any]) -> dict[str, Any]:
    """The state as it will come back from the store, so that hashes before and after storing agree."""
    loaded: dict[str, Any] = orjson.loads(canonical(state))
    return loaded


def difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """What differs, readable and short: "bucket/Policy was …, is …"."""
    lines = list(_differences("", before, after))
    shown = "; ".join(lines[:_SHOWN])
    return shown + (f"; and {len(lines) - _SHOWN} more" if len(lines) > _SHOWN else "")


def _differences(path: str, before: Any, after: Any) -> Iterator[str]:
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key in sorted({*before, *after}):
            yield from _differences(f"{path}/{key}" if path else str(key), before.get(key), after.get(key))
    elif before != after:
        yield f"{path} was {_short(before)}, is {_short(after)}"


def _short(value: Any) -> str:
    text = canonical(value).decode() if value is not None else "absent"
    return text if len(text) <= 80 else text[:79] + "…"
