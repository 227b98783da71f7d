"""Every call fails once: whatever single call goes wrong in whatever way, the rules of ``Story.check`` hold.

`make test` runs one call for each kind and way of failing; `make test-faults` (GATEHOUSE_FAULTS=all) runs them all.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections import Counter
from pathlib import Path

import pytest

from .outside import MODES, Fault
from .story import Story, template

FULL = os.environ.get("GATEHOUSE_FAULTS") == "all"
PAIRS = [(kind, mode) for kind, modes in MODES.items() for mode in modes]
SHARDS = 80

Calls = list[tuple[str, str]]


@pytest.fixture(autouse=True)
def _quiet():
    """Thousands of expected failures are not worth their log lines."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.fixture(scope="session")
def empty(tmp_path_factory) -> Path:
    return template(tmp_path_factory.mktemp("faults"))


async def run(folder: Path, empty: Path, fault: Fault | None) -> tuple[Calls, list[str]]:
    """Tell the story with one fault. The calls it made, and every rule that was broken."""
    story = Story(folder, empty, fault)
    try:
        await story.tell()
        broken = story.check()
        if fault is not None and not story.gate.fired:
            broken.append("the fault was never reached")
        return story.gate.calls, broken
    except AssertionError as error:
        return story.gate.calls, [str(error)]
    finally:
        await story.close()
        shutil.rmtree(folder, ignore_errors=True)


async def count(folder: Path, empty: Path) -> Calls:
    calls, broken = await run(folder / "counting", empty, None)
    assert not broken
    return calls


async def test_the_story_is_the_same_each_time_and_calls_everything(tmp_path, empty):
    calls = await count(tmp_path, empty)
    assert calls == await count(tmp_path, empty)
    kinds = Counter(kind for kind, _ in calls)
    assert kinds.keys() == MODES.keys()
    assert kinds["cloud-write"] == 4  # two changes, made and undone
    assert len(calls) > 250


@pytest.mark.parametrize(("kind", "mode"), PAIRS, ids=[f"{kind}:{mode}" for kind, mode in PAIRS])
async def test_one_call_of_each_kind_fails_in_each_way(tmp_path, empty, kind, mode):
    calls = _known or await count(tmp_path, empty)
    _known[:] = calls
    there = [at for at, (each, _) in enumerate(calls, 1) if each == kind]
    at = there[PAIRS.index((kind, mode)) * 7 % len(there)]
    _, broken = await run(tmp_path / "run", empty, Fault(at, mode))
    assert not broken, f"call {at} ({calls[at - 1][1]}) {mode}"


_known: Calls = []


if FULL:

    @pytest.mark.timeout(1800)
    @pytest.mark.parametrize("shard", range(SHARDS))
    async def test_every_call_fails_in_every_way(tmp_path, empty, shard):
        calls = await count(tmp_path, empty)
        faults = [Fault(at, mode) for at, (kind, _) in enumerate(calls, 1) for mode in MODES[kind]]
        failed = []
        for fault in faults[shard::SHARDS]:
            _, broken = await run(tmp_path / f"{fault.at}-{fault.mode}", empty, fault)
            failed += [f"call {fault.at} {calls[fault.at - 1]} {fault.mode}: {why}" for why in broken]
        assert not failed, "\n".join(failed)
