"""What public lists have in common: gzip or not, and the answer "not modified"."""

from __future__ import annotations

import zlib

from bot.domain.errors import BadInput, ConnectorError, Refused
from connectors.http import Answer

MAX = 64 << 20


class NotModified(ConnectorError):
    """What we have is what there is."""


def unchanged(answer: Answer) -> ConnectorError | None:
    return NotModified("not modified") if answer.status == 304 else None


def unpacked(body: bytes, name: str) -> bytes:
    """``body`` without gzip, at most 64 MiB."""
    if body[:2] != b"\x1f\x8b":
        return body
    unzip = zlib.decompressobj(wbits=31)
    try:
        out = unzip.decompress(body, MAX + 1)
    except zlib.error as error:
        raise BadInput(f"{name} is broken gzip: {error}") from error
    if len(out) > MAX:
        raise Refused(f"{name} unpacks to more than {MAX >> 20} MiB")
    if not unzip.eof:
        raise BadInput(f"{name} is cut off")
    return out
