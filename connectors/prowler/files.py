"""Prowler's file -> pages: OCSF, and what else Prowler writes (``formats``). Two passes: count, then hand out.

The first pass learns what one finding alone cannot tell: which identities occur twice in one scan, and which scopes a
later scan in the same file (Prowler appends) answers anew. It keeps eight bytes a finding, no objects.

- Results of an older scan in the file are passed over where a newer one covers the same check, account and region.
- Several results of one identity in one scan: a failure counts over passes; of several different failures each gets
  a hash of its text into its identity; word-for-word repeats are one.
- MANUAL is not a finding (nothing was found, a person has to look): counted and said, not stored.
- An answer of Prowler App is a page of something larger: it completes no scope.
- ``complete_scopes`` only when the whole file could be read. A check that is not in the file says nothing.
"""

from __future__ import annotations

import re
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from hashlib import blake2b
from tempfile import TemporaryFile
from typing import Any, BinaryIO

from bot.domain.errors import BadInput
from bot.ports import Page
from connectors.jsonstream import PAGE, Item, Trouble, objects
from connectors.prowler.formats import csv_rows, is_answer, is_asff, is_row, of_answer, of_asff, of_row
from connectors.prowler.mapping import DISCRIMINATOR, identity, result_word, scope_of
from connectors.text import text

_MAX_HELD = 2000  # findings of shared identity held back at a time; a file made of nothing else stays bounded
_RANK = {"FAIL": 0, "MUTED": 1, "PASS": 3}


def looks(raw: Mapping[str, Any]) -> bool:
    return isinstance(raw.get("metadata"), dict) and ("status_code" in raw or "finding_info" in raw)


def _any(raw: Mapping[str, Any]) -> bool:
    return looks(raw) or is_answer(raw) or is_asff(raw) or is_row(raw)


def read(stream: BinaryIO, name: str = "") -> Iterator[Page]:
    """Pages of a Prowler file. Never raises for what stands in it: what is broken is said in ``Page.rejected``."""
    with TemporaryFile() as spool:
        source: Any = stream
        if not (hasattr(stream, "seekable") and stream.seekable()):
            shutil.copyfileobj(stream, spool)
            spool.seek(0)
            source = spool
        yield from _Reader(source, name).pages()


class _Survey:
    """What the first pass learned."""

    def __init__(self) -> None:
        self.newest: dict[str, int] = {}  # scope -> the last segment that answers for it
        self.undecided: set[str] = set()  # scopes with a MANUAL result: absence says nothing there
        self.shared: set[int] = set()  # identities that occur more than once in a segment
        self.objects = 0
        self.compliance = 0
        self.foreign = 0
        self.answers = False  # of the App's API


class _Reader:
    def __init__(self, stream: BinaryIO, name: str) -> None:
        self._stream, self._name = stream, name
        self._start = stream.tell()
        self._held: list[tuple[int, dict[str, Any]]] = []
        self._manual: list[str] = []
        self._manuals = self._older = self._merged = 0
        self._named: Counter[str] = Counter()

    def _objects(self, trouble: Trouble) -> Iterator[Item]:
        """Every finding of the stream, whatever Prowler's format, in OCSF's shape; other objects as they are."""
        self._named.clear()
        self._answers = False
        if (rows := csv_rows(self._stream)) is not None:
            for row in rows:
                yield Item(of_row(row) if is_row(row) else row, 0)
            return
        for item in objects(self._stream, trouble, looks=_any):
            if looks(item.value):
                yield item
            elif is_answer(item.value):
                self._answers = True
                found, named = of_answer(item.value)
                self._named.update(named)
                yield from (Item(one, item.segment) for one in found)
            elif is_asff(item.value):
                yield Item(of_asff(item.value), item.segment)
            elif not is_compliance(item.value) and is_row(item.value):
                yield Item(of_row(item.value), item.segment)
            else:
                yield item

    def _survey(self) -> _Survey:
        found, seen = _Survey(), set[int]()
        for item in self._objects(Trouble()):
            found.objects += 1
            if not looks(item.value):
                found.foreign += 1
                found.compliance += is_compliance(item.value)
                continue
            try:
                key = _key(item)
            except BadInput:
                continue
            if key in seen:
                found.shared.add(key)
            seen.add(key)
            scope = scope_of(item.value)
            if result_word(item.value) == "MANUAL":
                found.undecided.add(scope)
            found.newest[scope] = max(item.segment, found.newest.get(scope, 0))
        found.answers = self._answers
        return found

    def pages(self) -> Iterator[Page]:
        survey = self._survey()
        if survey.objects and survey.objects == survey.compliance:
            name = self._name or "the file"
            said = f"{name} holds compliance results of Prowler (per requirement), not findings: nothing was read"
            yield Page(items=(), notes=(said,))
            return
        self._stream.seek(self._start)
        trouble = Trouble()
        batch: list[Mapping[str, Any]] = []
        reported = 0
        for item in self._objects(trouble):
            batch += self._sort_out(item, survey)
            if len(batch) >= PAGE:
                yield Page(items=tuple(batch[:PAGE]), rejected=tuple(trouble.rejected[reported:]))
                batch, reported = batch[PAGE:], len(trouble.rejected)
        batch += self._release()
        while len(batch) > PAGE:
            yield Page(items=tuple(batch[:PAGE]))
            batch = batch[PAGE:]
        rejected = [*trouble.rejected[reported:]]
        if trouble.more:
            rejected.append(("file", f"{trouble.more} more places could not be read"))
        complete = () if trouble.broken or survey.answers else tuple(sorted(survey.newest.keys() - survey.undecided))
        yield Page(
            items=tuple(batch), complete_scopes=complete, rejected=tuple(rejected), notes=tuple(self._notes(survey))
        )

    def _sort_out(self, item: Item, survey: _Survey) -> list[Mapping[str, Any]]:
        raw = item.value
        if not looks(raw):
            return [] if is_compliance(raw) else [raw]  # what it is not, the mapper says; intake keeps it aside
        word = result_word(raw)
        if word == "MANUAL":
            self._manuals += 1
            return []
        try:
            key = _key(item)
        except BadInput:
            return [raw]
        if item.segment < survey.newest.get(scope_of(raw), 0):
            self._older += 1
            return []
        if key not in survey.shared:
            return [raw]
        self._held.append((key, dict(raw)))
        return self._release() if len(self._held) >= _MAX_HELD else []

    def _release(self) -> list[Mapping[str, Any]]:
        groups: dict[int, list[dict[str, Any]]] = {}
        for key, raw in self._held:
            groups.setdefault(key, []).append(raw)
        self._held = []
        out: list[Mapping[str, Any]] = []
        for group in groups.values():
            kept = settle(group)
            self._merged += len(group) - len(kept)
            out += kept
        return out

    def _notes(self, survey: _Survey) -> Iterator[str]:
        for name, count in self._named.items():
            yield f"{name if count == 1 else f'{count} × {name}'}: carries no finding"
        if not survey.objects and not self._named:
            yield f"{self._name or 'the file'} holds no findings"
        if self._manuals:
            yield f"{self._manuals} manual checks need a person to look; they are not findings and were not stored"
        if self._older:
            yield f"{self._older} results of an older scan in the same file were passed over"
        if self._merged:
            yield f"{self._merged} repeated results for the same check and resource were taken as one"
        if survey.compliance:
            yield f"{survey.compliance} compliance results (per requirement) were passed over"


def settle(group: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of several results for one identity in one scan, those to be told apart, whatever their order in the file."""
    best = min(_RANK.get(result_word(raw), 2) for raw in group)
    told = {_detail(raw): raw for raw in group if _RANK.get(result_word(raw), 2) == best}
    if best > 1 or len(told) == 1:
        return [told[min(told)]]
    # Numbers such as "(200 days)" change from scan to scan: left out of the hash unless they alone tell two apart.
    masked = {_DIGITS.sub("0", detail) for detail in told}
    plain = len(masked) < len(told)
    marks = ((detail if plain else _DIGITS.sub("0", detail), raw) for detail, raw in sorted(told.items()))
    return [raw | {DISCRIMINATOR: blake2b(said.encode(), digest_size=6).hexdigest()} for said, raw in marks]


_DIGITS = re.compile(r"\d+")


def _detail(raw: Mapping[str, Any]) -> str:
    return text(raw.get("status_detail")) or text(raw.get("message"))


def _key(item: Item) -> int:
    """Eight bytes of an identity within its scan."""
    said = f"{item.segment}|{identity(item.value)}".encode()
    return int.from_bytes(blake2b(said, digest_size=8).digest(), "big")


def is_compliance(raw: Mapping[str, Any]) -> bool:
    """A record of ``compliance/*.ocsf.json``: class 2003 with the requirement in place of a check."""
    if raw.get("class_uid") == 2003 and isinstance(raw.get("compliance"), dict):
        return True
    return "Requirements_Id" in raw or ("REQUIREMENTS_ID" in raw and "CHECKID" in raw)
