"""Clock, ids and randomness as parameters, and the canonical JSON that every hash is taken over.

Rules: time is aware UTC; an id says what it names by its prefix; nothing below ``bot`` reads the wall clock or
``secrets`` directly, it is handed a ``Clock`` and an ``IdSource``.
"""

from __future__ import annotations

import hashlib
import secrets
from datetime import UTC, datetime
from typing import Any, Protocol

import orjson

# Crockford's base 32 in lower case: no i, l, o, u, so an id read aloud or typed from a card is not misread.
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"


class Clock(Protocol):
    """The present instant, aware UTC."""

    def now(self) -> datetime: ...


class SystemClock:
    def now(self) -> datetime:
        return datetime.now(UTC)


class IdSource(Protocol):
    """Makes unguessable ids such as ``plan-7k2m…``."""

    def new(self, prefix: str) -> str: ...


class RandomIds:
    """80 random bits as 16 characters."""

    def new(self, prefix: str) -> str:
        return f"{prefix}-{encode32(secrets.token_bytes(10))}"


_PAIRS = tuple(a + b for a in _ALPHABET for b in _ALPHABET)


def encode32(data: bytes) -> str:
    number = int.from_bytes(data, "big")
    if len(data) == 10:  # the size of nearly all ids, in two characters a step
        n, pairs = number, _PAIRS
        high = pairs[n >> 70] + pairs[n >> 60 & 1023] + pairs[n >> 50 & 1023] + pairs[n >> 40 & 1023]
        return high + pairs[n >> 30 & 1023] + pairs[n >> 20 & 1023] + pairs[n >> 10 & 1023] + pairs[n & 1023]
    length = -(-len(data) * 8 // 5)
    return "".join(_ALPHABET[(number >> (5 * i)) & 31] for i in reversed(range(length)))


def canonical(value: Any) -> bytes:
    """Order-proof JSON bytes (sorted keys, UTC times with Z): what every hash and the ledger are taken over."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS | orjson.OPT_UTC_Z | orjson.OPT_NON_STR_KEYS)


def digest(value: Any) -> str:
    """SHA-256 of the canonical JSON, hex."""
    return hashlib.sha256(canonical(value)).hexdigest()


def short_hash(*parts: str, prefix: str = "", size: int = 10) -> str:
    """A stable id from parts (BLAKE2b, ``size`` bytes): the same parts give the same id on every machine."""
    framed = bytearray()
    for part in parts:
        raw = part.encode("utf-8", "surrogatepass")
        framed += len(raw).to_bytes(4, "big")
        framed += raw
    return prefix + encode32(hashlib.blake2b(framed, digest_size=size).digest())
