"""Resource states as JSON: read, compared, and their difference in words."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson

from bot.domain.errors import GatehouseError, Gone
from bot.domain.ids import canonical
from bot.domain.plans import Target
from bot.ports import CloudReader, Playbook, State

READS_AT_ONCE = 8
_SHOWN = 4


async def inspect(reader: CloudReader, playbook: Playbook, targets: Sequence[Target]) -> dict[str, State]:
    """The state of every target, read now and a few at a time; uid -> state."""
    gate = asyncio.Semaphore(READS_AT_ONCE)

    async def one(target: Target) -> State:
        async with gate:
            return json_state(await playbook.inspect(reader, target))

    try:
        async with asyncio.TaskGroup() as group:
            reads = {target.uid: group.create_task(one(target)) for target in targets}
    except* GatehouseError as errors:
        raise _first(errors) from None
    return {uid: read.result() for uid, read in reads.items()}


def _first(errors: BaseExceptionGroup[GatehouseError]) -> GatehouseError:
    found: BaseException = errors
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    if isinstance(found, Gone):
        return Gone(found.reason, mend="The resource no longer exists; the finding closes with the source's next scan.")
    assert isinstance(found, GatehouseError)
    return found


def json_state(state: Mapping[str, Any]) -> dict[str, Any]:
    """The state as it will come back from the store, so that hashes before and after storing agree."""
    loaded: dict[str, Any] = orjson.loads(canonical(state))
    return loaded


def difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """What differs, readable and short: "bucket/Policy was …, is …"."""
    lines = list(_differences("", before, after))
    shown = "; ".join(lines[:_SHOWN])
    return shown + (f"; and {len(lines) - _SHOWN} more" if len(lines) > _SHOWN else "")


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Every field that differs, a line each."""
    return list(_differences("", before, after))


def _differences(path: str, before: Any, after: Any) -> Iterator[str]:
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key in sorted({*before, *after}):
            yield from _differences(f"{path}/{key}" if path else str(key), before.get(key), after.get(key))
    elif before != after:
        yield f"{path} was {_short(before)}, is {_short(after)}"


def _short(value: Any) -> str:
    text = canonical(value).decode() if value is not None else "absent"
    return text if len(text) <= 80 else text[:79] + "…"
