"""Clicks on two real replicas over PostgreSQL under attack, judged offline. More of it: `make test-histories`."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from .checker import History, check, figures
from .run import one

SEED, SECONDS = 3, 14.0


@pytest.mark.postgres
@pytest.mark.slow
@pytest.mark.timeout(400)
async def test_a_history_of_two_replicas_under_attack_keeps_every_rule(postgres_server):
    with tempfile.TemporaryDirectory(prefix="gh-") as folder:  # short: the path of a unix socket is limited
        history = History(await one(postgres_server, SEED, SECONDS, Path(folder)))
    assert check(history) == []
    held = figures(history)
    assert held["acts"] >= 5, held
    assert held["executions"] >= 1, held
    assert held["effects that changed something"] >= 2, held
    assert held["deliveries"] > held["clicks"], held
    assert sum(count for name, count in held.items() if name.startswith("nemesis: ")) >= 8, held
