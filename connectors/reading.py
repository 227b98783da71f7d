"""Files of whatever a vendor's API or webhook sent: whole answers, arrays, single objects, JSON Lines, webhook bodies.

A connector gives one function that looks at one JSON object and says what is in it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

from bot.ports import Page
from connectors.jsonstream import MAX_OBJECT, PAGE, Trouble, objects


@dataclass(frozen=True, slots=True)
class Understood:
    """What one object holds: finding objects for the mapper, and the names of what carries no finding
    ("login answer", "status reply"), which is recognised and said."""

    items: Sequence[Mapping[str, Any]] = ()
    carries_none: Sequence[str] = ()
    kind: str = ""  # "issues page", "webhook body": said in the report


def read(
    stream: BinaryIO,
    name: str,
    understand: Callable[[Mapping[str, Any]], Understood | None],
    *,
    vendor: str,
    wrappers: Sequence[str] = (),
    size: int = PAGE,
    limit: int = MAX_OBJECT,
) -> Iterator[Page]:
    """Pages of what ``understand`` finds; None from it means "nothing this vendor sends": kept aside, said.

    ``limit``: bytes of the largest object read whole, for vendors whose answers are one object of thousands of rows.
    """
    trouble = Trouble()
    batch: list[Mapping[str, Any]] = []
    rejected: list[tuple[str, str]] = []
    kinds, empty, count = Counter[str](), Counter[str](), 0
    for item in objects(stream, trouble, wrappers=wrappers, looks=lambda raw: understand(raw) is not None, limit=limit):
        count += 1
        found = understand(item.value)
        if found is None:
            keys = ", ".join(list(map(str, item.value))[:6]) or "none"
            rejected.append((f"object {count}", f"not an object that {vendor} sends (its members: {keys})"))
            continue
        kinds[found.kind] += bool(found.items)
        empty.update(found.carries_none)
        batch.extend(found.items)
        while len(batch) >= size:
            yield Page(items=tuple(batch[:size]), rejected=tuple(rejected))
            batch, rejected = batch[size:], []
    rejected += trouble.rejected
    if trouble.more:
        rejected.append(("file", f"{trouble.more} more places could not be read"))
    notes = [f"understood: {_times(n, kind)}" for kind, n in kinds.items() if kind and n]
    notes += [f"{_times(n, what)}: carries no finding" for what, n in empty.items()]
    if not count and not trouble.broken:
        notes.append(f"{name or 'the file'} holds no findings")
    yield Page(items=tuple(batch), rejected=tuple(rejected), notes=tuple(notes))


def _times(count: int, what: str) -> str:
    return what if count == 1 else f"{count} × {what}"
