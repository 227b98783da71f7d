"""What buttons of every platform carry: ids as JSON. Everything in them is untrusted; only ids are taken."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

_IDS_MAX = 3_000  # Slack's own limit of private metadata; a button's value is shorter
_ID = re.compile(r"[A-Za-z0-9_:.\-]{1,120}")
WORDS, _WORDS_MAX = "f", 1_000  # the one key that may hold words: filters, which are read as strictly as typed ones


def ids_of(text: Any) -> dict[str, Any]:
    """The ids in a button's value or a modal's private metadata; anything else is dropped."""
    if isinstance(text, str) and len(text) > _IDS_MAX:
        return {}
    try:
        data = json.loads(text or "{}")
    except (TypeError, ValueError, RecursionError):
        return {}
    if not isinstance(data, dict):
        return {}
    kept: dict[str, Any] = {}
    for key, value in data.items():
        number = isinstance(value, int) and not isinstance(value, bool)
        words = key == WORDS and isinstance(value, str) and len(value) <= _WORDS_MAX
        if number or words or (isinstance(value, str) and _ID.fullmatch(value)):
            kept[key] = value
    return kept


def text_id(ids: Mapping[str, Any], key: str) -> str:
    value = ids.get(key, "")
    return value if isinstance(value, str) else ""


def number(ids: Mapping[str, Any], key: str) -> int:
    value = ids.get(key, 0)
    return value if isinstance(value, int) else 0


def verb_of(action_id: str) -> str:
    """``gh.review`` and ``gh.review.3`` are both "review"."""
    parts = action_id.split(".")
    return parts[1] if len(parts) > 1 else ""
