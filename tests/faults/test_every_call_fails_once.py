"""Every call fails once: whatever single call goes wrong in whatever way, the rules of ``Story.check`` hold.

Here one call for each kind and way of failing; `make test-faults` (``everything.py``) runs them all.
"""

from __future__ import annotations

import logging
from collections import Counter
from pathlib import Path

import pytest

from .outside import MODES, Fault
from .story import Calls, count, run, template

PAIRS = [(kind, mode) for kind, modes in MODES.items() for mode in modes]


@pytest.fixture(autouse=True)
def _quiet():
    """Thousands of expected failures are not worth their log lines."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.fixture(scope="session")
def empty(tmp_path_factory) -> Path:
    return template(tmp_path_factory.mktemp("faults"))


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
