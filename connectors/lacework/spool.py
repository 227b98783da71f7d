"""Rows of one search on disk, and which of them count: of several for one identity only the newest.

In memory stay eight bytes and a number for each identity.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b
from tempfile import TemporaryFile
from types import TracebackType
from typing import Any

import orjson

from connectors.jsonstream import PAGE
from connectors.lacework.words import moment


class Spool:
    def __init__(self) -> None:
        self._file = TemporaryFile()  # noqa: SIM115 (closed by __exit__)
        self._count = 0
        self._newest: dict[bytes, tuple[float, int, int]] = {}
        self._plain: set[int] = set()

    def __enter__(self) -> Spool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def add(self, row: dict[str, Any], identity: str = "", when: Any = None, rank: int = 0) -> None:
        """At one time the lower ``rank`` counts. Without an identity a row always counts."""
        self._file.write(orjson.dumps(row) + b"\n")
        number = self._count
        self._count += 1
        if not identity:
            self._plain.add(number)
            return
        key = blake2b(identity.encode("utf-8", "replace"), digest_size=8).digest()
        at = moment(when)
        mark = (-at.timestamp() if at else 0.0, rank, number)
        known = self._newest.get(key)
        if known is None or mark[:2] < known[:2]:
            self._newest[key] = mark

    def batches(self, size: int = PAGE) -> Iterator[list[dict[str, Any]]]:
        """What counts, in the order in which it came."""
        counts = self._plain | {number for _, _, number in self._newest.values()}
        self._file.seek(0)
        batch: list[dict[str, Any]] = []
        for number, line in enumerate(self._file):
            if number not in counts:
                continue
            batch.append(orjson.loads(line))
            if len(batch) >= size:
                yield batch
                batch = []
        if batch:
            yield batch
