"""Files of whatever Prisma Cloud sent or exported -> pages.

A whole answer is one JSON value that may be larger than what is streamed object by object (a page of detailed alerts
has tens of megabytes), so a file of up to ``WHOLE`` bytes is read at once when it is one value; anything else (JSON
Lines, appended arrays, damaged files) is streamed by ``connectors.reading``. CSV exports are told by their header.
"""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, BinaryIO, cast

import orjson

from bot.ports import Page
from connectors.jsonstream import PAGE
from connectors.prisma_cloud.shapes import understand
from connectors.prisma_cloud.uve import gathered
from connectors.prisma_cloud.words import key
from connectors.reading import Understood
from connectors.reading import read as read_json

VENDOR = "Prisma Cloud"
WHOLE = 96 << 20
WRAPPERS = ("items", "alerts", "results")
_HEADERS = frozenset({"cveid", "alertid", "complianceid", "policyname", "assetid"})
_MAX_REPORTS = 50


def read(stream: BinaryIO, name: str = "") -> Iterator[Page]:
    """Pages of findings; what carries none is named in a note, what is not Prisma's is said in ``rejected``."""
    head, zipped = _head(stream)
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
    source = _Joined(head, stream)
    if start not in (b"", b"{", b"[") and _csv_header(_plain_head(head, zipped)):
        yield from _pages(_csv(source, zipped), name)
        return
    if zipped and _csv_header(_plain_head(head, zipped)):
        yield from _pages(_csv(source, zipped), name)
        return
    raw = source.read(WHOLE + 1)
    if len(raw) <= WHOLE:
        whole = _unzip(raw) if zipped else raw
        if whole is not None and (found := _value(whole)) is not None:
            yield from _pages(_whole(found[0]), name)
            return
    yield from _gathered(
        read_json(cast(BinaryIO, _Joined(raw, stream)), name, understand, vendor=VENDOR, wrappers=WRAPPERS)
    )


class _Joined(io.RawIOBase):
    """Bytes already taken, then the rest of the stream."""

    def __init__(self, head: bytes, rest: BinaryIO) -> None:
        self._taken, self._rest = head, rest

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        taken = self._taken if size < 0 else self._taken[:size]
        self._taken = self._taken[len(taken) :]
        return taken + (self._rest.read() if size < 0 else self._rest.read(size - len(taken)))

    def readinto(self, into: Any, /) -> int:
        data = self.read(len(into))
        into[: len(data)] = data
        return len(data)


def _head(stream: BinaryIO) -> tuple[bytes, bool]:
    head = stream.read(1 << 16)
    return head, head[:2] == b"\x1f\x8b"


def _plain_head(head: bytes, zipped: bool) -> bytes:
    if not zipped:
        return head
    try:
        return zlib.decompressobj(31).decompress(head, 1 << 16)
    except zlib.error:
        return b""


def _unzip(raw: bytes) -> bytes | None:
    """The unzipped whole; None when it is damaged or too large (then it is streamed)."""
    unzip, out = zlib.decompressobj(31), b""
    try:
        out = unzip.decompress(raw, WHOLE)
    except zlib.error:
        return None
    return out if unzip.eof and not unzip.unused_data else None


def _value(raw: bytes) -> tuple[Any] | None:
    try:
        return (orjson.loads(raw.removeprefix(b"\xef\xbb\xbf")),)
    except orjson.JSONDecodeError:
        return None


# --- one whole value -------------------------------------------------------------------------------------------------

_Looked = tuple[str, Understood | None, str]  # (where, what it is, why it is refused)


def _whole(value: Any) -> Iterator[_Looked]:
    if isinstance(value, dict):
        yield "the object", understand(value), _members(value)
    elif isinstance(value, list):
        for place, one in enumerate(_flat(value), 1):
            if isinstance(one, dict):
                yield f"object {place}", understand(one), _members(one)
            elif one is not None:
                yield f"place {place}", Understood(carries_none=("value that is no object",)), ""
    else:
        # Compute answers null for an empty page of hosts; a count or a "true" is an answer as well.
        yield "", Understood(carries_none=("empty page (null)" if value is None else "answer without an object",)), ""


def _flat(values: Sequence[Any]) -> Iterator[Any]:
    """An array of pages (arrays) is one list."""
    for one in values:
        if isinstance(one, list):
            yield from _flat(one)
        else:
            yield one


def _members(raw: Mapping[str, Any]) -> str:
    return f"not an object that {VENDOR} sends (its members: {', '.join(list(map(str, raw))[:6]) or 'none'})"


def _pages(looked: Iterator[_Looked], name: str) -> Iterator[Page]:
    yield from _gathered(_paged(looked, name))


def _paged(looked: Iterator[_Looked], name: str) -> Iterator[Page]:
    batch: list[Mapping[str, Any]] = []
    rejected: list[tuple[str, str]] = []
    more, count = 0, 0
    kinds, empty = Counter[str](), Counter[str]()
    for where, found, why in looked:
        count += 1
        if found is None:
            if len(rejected) < _MAX_REPORTS:
                rejected.append((where, why))
            else:
                more += 1
            continue
        kinds[found.kind] += bool(found.items)
        empty.update(found.carries_none)
        batch.extend(found.items)
        while len(batch) >= PAGE:
            yield Page(items=tuple(batch[:PAGE]))
            batch = batch[PAGE:]
    if more:
        rejected.append(("file", f"{more} more objects are not what {VENDOR} sends"))
    notes = [f"understood: {_times(n, kind)}" for kind, n in kinds.items() if kind and n]
    notes += [f"{_times(n, what)}: carries no finding" for what, n in empty.items()]
    if not count:
        notes.append(f"{name or 'the file'} holds no findings")
    yield Page(items=tuple(batch), rejected=tuple(rejected), notes=tuple(notes))


def _times(count: int, what: str) -> str:
    return what if count == 1 else f"{count} × {what}"


def _gathered(pages: Iterator[Page]) -> Iterator[Page]:
    """Rows of one CVE and asset as one finding, at the end of the file."""
    held: dict[str, dict[str, Any]] = {}
    for page in pages:
        yield Page(tuple(gathered(page.items, held)), None, page.complete_scopes, page.notes, page.rejected)
    rows = list(held.values())
    for start in range(0, len(rows), PAGE):
        yield Page(items=tuple(rows[start : start + PAGE]))


# --- CSV -------------------------------------------------------------------------------------------------------------


def _csv_header(head: bytes) -> bool:
    line = head.decode("utf-8-sig", "replace").lstrip().partition("\n")[0]
    return bool({key(cell.strip().strip('"')) for cell in line.replace(";", ",").split(",")} & _HEADERS)


def _csv(source: _Joined, zipped: bool) -> Iterator[_Looked]:
    lines = _lines(source, zipped)
    csv.field_size_limit(8 << 20)
    try:
        header = next((line for line in lines if line.strip()), "")
        delimiter = ";" if header.count(";") > header.count(",") else ","
        names = _unique(next(csv.reader([header], delimiter=delimiter), []))
        for number, row in enumerate(csv.reader(lines, delimiter=delimiter), 2):
            if not any(cell.strip() for cell in row):
                continue
            value = {name: cell for name, cell in zip(names, row, strict=False) if cell.strip()}
            yield f"row {number}", understand(value | {n: "" for n in names if n not in value}), _members(value)
    except (csv.Error, EOFError, OSError, zlib.error) as error:  # what stood before a damage has been handed out
        yield "CSV", None, f"the CSV cannot be read any further: {error}"


def _unique(names: Sequence[str]) -> list[str]:
    """Compute's export has two columns called Type: the kind of the scan, then the kind of the package."""
    left = Counter(name.strip() for name in names)
    found = []
    for name in (n.strip() for n in names):
        left[name] -= 1
        found.append(f"first {name}" if left[name] else name)
    return found


def _lines(source: _Joined, zipped: bool) -> Iterator[str]:
    if not zipped:
        yield from io.TextIOWrapper(io.BufferedReader(source), "utf-8-sig", "replace", newline="")
        return
    with gzip.GzipFile(fileobj=cast(BinaryIO, source)) as unzipped:
        yield from io.TextIOWrapper(unzipped, "utf-8-sig", "replace", newline="")
