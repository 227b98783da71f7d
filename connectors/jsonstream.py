"""Reads JSON objects out of whatever a scanner wrote, a chunk at a time.

Understood: one array, arrays appended to each other (``[...][...]`` and Prowler's ``[...]{...}]``), one object, JSON
Lines, a wrapper object (``{"Findings": [...]}``, an EventBridge event), gzip, a byte order mark, nothing at all. A
break is reported with its byte position, what stood before it has been handed out already, and reading goes on at the
next object that looks right. Memory is bounded by the largest object allowed, never by the file.
"""

from __future__ import annotations

import codecs
import json
import re
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from bot.ports import Page

CHUNK = 1 << 20
MAX_OBJECT = 8 << 20
PAGE = 500
_MAX_REPORTS = 50
_MAX_TRIES = 2000
_TAIL = 16  # an error this near to the end of what was read may only mean "more to come"
_SPACE = re.compile(r"[\s,]*")
_START = re.compile(r"\{")
_DECODER = json.JSONDecoder()
_CUT = "the file ends in the middle of an object (it was cut off, or is still being written)"


@dataclass(frozen=True, slots=True)
class Item:
    """One object. ``segment`` counts the top-level arrays of the file: what was appended later has a higher one."""

    value: Mapping[str, Any]
    segment: int


@dataclass
class Trouble:
    """What could not be read, filled while the stream is being read."""

    rejected: list[tuple[str, str]] = field(default_factory=list)
    more: int = 0
    broken: bool = False  # part of the file is missing: nothing may be concluded from absence

    def add(self, where: str, why: str) -> None:
        self.broken = True
        if len(self.rejected) < _MAX_REPORTS:
            self.rejected.append((where, why))
        else:
            self.more += 1


def objects(
    stream: BinaryIO,
    trouble: Trouble,
    *,
    wrappers: Sequence[str] = (),
    looks: Callable[[Mapping[str, Any]], bool] = lambda _: True,
    limit: int = MAX_OBJECT,
) -> Iterator[Item]:
    """Every object of the stream. ``wrappers`` are members whose array holds the objects; ``looks`` tells a true
    object from a nested one when reading goes on after a break."""
    return _Reader(_text_source(stream, trouble), trouble, tuple(wrappers), looks, limit).run()


def _text_source(stream: BinaryIO, trouble: Trouble) -> Callable[[], str]:
    """A function that gives the next piece of text, "" at the end."""
    head = stream.read(2)
    source: Any = _Joined(head, stream)
    if head == b"\x1f\x8b":
        source = _Unzipped(source, trouble)
    decoder: Any = None

    def more() -> str:
        nonlocal decoder
        while True:
            data: bytes = source.read(CHUNK)
            if decoder is None:
                if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
                    decoder = codecs.getincrementaldecoder("utf-16")("replace")
                else:
                    decoder = codecs.getincrementaldecoder("utf-8-sig")("replace")
            text: str = decoder.decode(data, not data)
            if text or not data:
                return text

    return more


class _Joined:
    """The bytes already taken, then the rest of the stream."""

    def __init__(self, head: bytes, rest: BinaryIO) -> None:
        self._head, self._rest = head, rest

    def read(self, size: int = -1) -> bytes:
        head, self._head = self._head, b""
        return head + self._rest.read(max(size - len(head), 0)) if size >= 0 else head + self._rest.read()


class _Unzipped:
    """Gzip, of which everything before a damage is given (``gzip.GzipFile`` gives nothing of a cut chunk)."""

    def __init__(self, source: _Joined, trouble: Trouble) -> None:
        self._source, self._trouble = source, trouble
        self._unzip: Any = zlib.decompressobj(31)
        self._ended = False

    def read(self, size: int) -> bytes:
        out = b""
        while not out and not self._ended:
            data = self._unzip.unconsumed_tail or self._unzip.unused_data or self._source.read(1 << 16)
            if self._unzip.eof:  # several compressed parts one after the other are one file
                if not data.startswith(b"\x1f"):
                    self._ended = True
                    break
                self._unzip = zlib.decompressobj(31)
            try:
                out = self._unzip.decompress(data, size)
            except zlib.error as error:
                self._damaged(str(error))
            else:
                if not data and not out and not self._unzip.eof:
                    self._damaged("it ends too early")
        return out

    def _damaged(self, why: str) -> None:
        self._ended = True
        self._trouble.add("gzip", f"the compressed file is damaged or cut off: {why}")


class _Reader:
    def __init__(
        self,
        more: Callable[[], str],
        trouble: Trouble,
        wrappers: tuple[str, ...],
        looks: Callable[[Mapping[str, Any]], bool],
        limit: int,
    ) -> None:
        self._more, self._trouble, self._wrappers, self._looks, self._limit = more, trouble, wrappers, looks, limit
        self._text = ""
        self._at = 0
        self._passed = 0  # bytes dropped from the front of the buffer
        self._ended = False
        self._segment = 0
        self._array = re.compile(
            r"\{\s*(?:" + "|".join(f'"{re.escape(w)}"' for w in wrappers) + r")\s*:\s*\[" if wrappers else r"(?!)"
        )

    # --- the buffer

    def _fill(self) -> bool:
        """Read on; False at the end of the file. What lies before the present position is dropped."""
        if self._ended:
            return False
        if self._at:
            self._passed += len(self._text[: self._at].encode("utf-8", "surrogatepass"))
            self._text = self._text[self._at :]
            self._at = 0
        wanted = max(CHUNK, len(self._text))  # doubling keeps the cost of a retried large object linear
        pieces = [self._text]
        got = 0
        while got < wanted:
            piece = self._more()
            if not piece:
                self._ended = True
                break
            pieces.append(piece)
            got += len(piece)
        self._text = "".join(pieces)
        return got > 0

    def _where(self, position: int) -> str:
        return f"byte {self._passed + len(self._text[:position].encode('utf-8', 'surrogatepass'))}"

    def _peek(self) -> str:
        """The next character that is neither space nor comma, "" at the end."""
        while True:
            match = _SPACE.match(self._text, self._at)
            self._at = match.end() if match else self._at
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._fill():
                return ""

    # --- the grammar

    def run(self) -> Iterator[Item]:
        depth = 0
        seen = False
        while char := self._peek():
            if char == "[":
                self._at += 1
                depth += 1
                seen = True
            elif char == "]":
                self._at += 1
                depth = max(depth - 1, 0)
                if depth == 0:
                    self._segment += 1
            elif char == "}" and seen:  # the end of a wrapper entered below, or its remaining members
                self._at += 1
            elif char == "{":
                if self._enter_wrapper():
                    depth += 1
                    seen = True
                    continue
                seen = True
                yield from self._object()
            elif not seen:
                self._trouble.add(self._where(self._at), "this is not JSON: it must begin with [ or {")
                return
            elif not self._skip_member() and not self._recover(self._at, "a JSON object was expected here"):
                return
        if depth > 0 and not self._trouble.broken:
            self._trouble.add(self._where(self._at), "the file ends before its closing bracket: it was cut off")

    def _enter_wrapper(self) -> bool:
        if len(self._text) - self._at < 256:
            self._grow(256)
        match = self._array.match(self._text, self._at)
        if match:
            self._at = match.end()
        return bool(match)

    def _grow(self, size: int) -> None:
        while len(self._text) - self._at < size and self._fill():
            pass

    def _skip_member(self) -> bool:
        """After the array of a wrapper its other members may follow: ``"NextToken": "x"``."""
        if self._text[self._at] != '"' or not self._wrappers:
            return False
        self._grow(1 << 16)
        try:
            _, end = _DECODER.raw_decode(self._text, self._at)
            colon = re.compile(r"\s*:\s*").match(self._text, end)
            if not colon:
                return False
            if self._text.startswith("[", colon.end()):
                self._at = colon.end()
                return True
            _, self._at = _DECODER.raw_decode(self._text, colon.end())
        except (json.JSONDecodeError, RecursionError):
            return False
        return True

    def _object(self) -> Iterator[Item]:
        while True:
            try:
                value, end = _DECODER.raw_decode(self._text, self._at)
            except RecursionError:
                if not self._recover(self._at, "nested too deeply to be a finding"):
                    self._at = len(self._text)
                return
            except json.JSONDecodeError as error:
                if self._partial(error):
                    if len(self._text) - self._at > self._limit:
                        self._recover(self._at, f"an object larger than {self._limit >> 20} MiB was left out")
                        return
                    if self._fill():
                        continue
                    error.pos = len(self._text)
                rest = self._text[error.pos : error.pos + _TAIL]
                cut = self._at_end(error) and (error.msg.startswith("Unterminated") or not set(rest) & set("}]"))
                self._recover(
                    self._at if cut else error.pos, _CUT if cut else f"not valid JSON: {error.msg}", error.pos
                )
                return
            if end - self._at > self._limit:
                self._trouble.add(self._where(self._at), f"an object larger than {self._limit >> 20} MiB was left out")
                self._at = end
                return
            self._at = end
            yield from (Item(one, self._segment) for one in self._unwrap(value))
            return

    def _partial(self, error: json.JSONDecodeError) -> bool:
        return not self._ended and self._at_end(error)

    def _at_end(self, error: json.JSONDecodeError) -> bool:
        return error.msg.startswith("Unterminated string") or error.pos > len(self._text) - _TAIL

    def _unwrap(self, value: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        detail = value.get("detail")
        for holder in (value, detail if isinstance(detail, dict) else {}):
            for name in self._wrappers:
                inner = holder.get(name)
                if isinstance(inner, list):
                    for place, one in enumerate(inner):
                        if isinstance(one, dict):
                            yield one
                        else:
                            self._trouble.add(f"{name}[{place}]", "not an object")
                    return
        yield value

    def _recover(self, position: int, why: str, passed: int = 0) -> bool:
        """Say what is wrong and go to the next object that parses and looks right; False when there is none.

        The search begins at ``passed`` (how far the parser came), or at a line that begins with an object before it:
        in JSON Lines the parser may have run on into the good lines.
        """
        self._trouble.add(self._where(position), why)
        line = self._text.find("\n{", self._at, passed)
        self._at = min(line if line >= 0 else max(passed, position, self._at + 1), len(self._text))
        tries = 0
        while tries < _MAX_TRIES:
            match = _START.search(self._text, self._at)
            if not match:
                self._at = len(self._text)
                if not self._fill():
                    return False
                continue
            self._at = match.start()
            try:
                value, end = _DECODER.raw_decode(self._text, self._at)
            except json.JSONDecodeError as error:
                if self._partial(error) and len(self._text) - self._at < self._limit and self._fill():
                    continue
                tries += 1
                self._at += 1
                continue
            except RecursionError:
                tries += 1
                self._at += 1
                continue
            if self._looks(value):
                return True
            self._at = end
        # Nothing but broken openings: no honest file looks so. What is left is passed over.
        self._trouble.add(self._where(self._at), "the rest of the file was not read: it cannot be made sense of")
        self._at = len(self._text)
        while self._fill():
            self._at = len(self._text)
        return False


def pages(
    stream: BinaryIO,
    name: str = "",
    *,
    wrappers: Sequence[str] = (),
    looks: Callable[[Mapping[str, Any]], bool] = lambda _: True,
    size: int = PAGE,
) -> Iterator[Page]:
    """Every object of the stream in pages of ``size``, for a source whose file needs no second look."""
    trouble = Trouble()
    batch: list[Mapping[str, Any]] = []
    reported, total = 0, 0
    for item in objects(stream, trouble, wrappers=wrappers, looks=looks):
        batch.append(item.value)
        total += 1
        if len(batch) >= size:
            yield Page(items=tuple(batch), rejected=tuple(trouble.rejected[reported:]))
            batch, reported = [], len(trouble.rejected)
    rejected = trouble.rejected[reported:]
    if trouble.more:
        rejected.append(("file", f"{trouble.more} more places could not be read"))
    empty = () if total or trouble.broken else (f"{name or 'the file'} holds no findings",)
    yield Page(items=tuple(batch), rejected=tuple(rejected), notes=empty)
