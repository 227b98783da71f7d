"""Six simulated vendors, a few hundred findings, faults: after every day our state is theirs (tests/bench/day.py)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bench.day import Day, day


@pytest.fixture(autouse=True)
def _keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


async def rounds(run: Day, count: int) -> None:
    for number in range(count):
        await run.round(0.05, faults=number > 0)


async def test_after_faults_our_state_is_the_simulators_exactly(tmp_path: Path) -> None:
    async with day(300, tmp_path, seed=11) as run:
        for _ in range(2):
            await rounds(run, 6)
            await run.settle()
            assert await run.compare() == []
        assert run.compared > 600
        assert {vendor.polls for vendor in run.vendors} == {16}
        assert sum(vendor.failed for vendor in run.vendors) >= 3, "no fault broke a poll off: the test proves little"


async def test_a_difference_would_be_seen(tmp_path: Path) -> None:
    async with day(120, tmp_path, seed=12) as run:
        await rounds(run, 1)
        for vendor in run.vendors:
            victim = next(one for one in vendor.world.problems() if one.kind == "posture" and one.status == "open")
            vendor.world.edit(victim.key, run.clock.now(), severity="low" if victim.severity != "low" else "high")
        wrong = await run.compare()
        assert {line.partition(" ")[0] for line in wrong} == {vendor.name for vendor in run.vendors}
