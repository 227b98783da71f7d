"""Real processes: each tick and each work once whoever asks, and a pause that nobody noticed changes nothing."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .conftest import soon

ROOT = Path(__file__).parents[3]


class Company:
    """The replicas of one test and what they wrote down."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder, self.url = folder, url
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, **told: Any) -> None:
        args = json.dumps({"folder": str(self.folder), "url": self.url, "name": name, **told})
        with (self.folder / f"{name}.err").open("wb") as err:
            self.processes[name] = subprocess.Popen(
                [sys.executable, "-m", "tests.unit.durable.replica", args], cwd=ROOT, stderr=err
            )

    def lines(self, first: str) -> list[list[str]]:
        log = self.folder / "log"
        found = [line.split() for line in log.read_text().splitlines()] if log.exists() else []
        return [line for line in found if line[0] == first]

    async def wait(self, first: str, count: int = 1, by: str = "", seconds: float = 30) -> None:
        def there() -> bool:
            return len([x for x in self.lines(first) if not by or x[2] == by]) >= count

        try:
            await soon(there, seconds)
        except TimeoutError:
            errors = "\n".join(path.read_text()[-3000:] for path in self.folder.glob("*.err"))
            pytest.fail(f"{first} by {by or 'anyone'} did not come {count} times: {self.lines(first)}\n{errors}")

    def signal(self, name: str, number: signal.Signals) -> None:
        self.processes[name].send_signal(number)

    def end(self) -> None:
        for process in self.processes.values():
            if process.poll() is None:
                process.kill()
            process.wait()


@pytest.fixture
def company(tmp_path: Path, url: str) -> Iterator[Company]:
    made = Company(tmp_path, url)
    yield made
    made.end()


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
async def test_a_pause_nobody_noticed_changes_nothing(company: Company) -> None:
    """A laptop that slept: the only replica wakes up, beats and goes on."""
    (company.folder / "hold").touch()
    company.start("a", jobs=["x"])
    await company.wait("begun", by="a")
    company.signal("a", signal.SIGSTOP)
    await asyncio.sleep(2.5)  # longer than its ttl
    company.signal("a", signal.SIGCONT)
    (company.folder / "hold").unlink()
    await company.wait("effect", by="a")
    assert company.lines("superseded") == []


async def test_each_tick_and_each_work_is_done_once_whoever_asks_for_it(company: Company) -> None:
    jobs = [f"j{n}" for n in range(10)]
    company.start("a", ticks=[0.3], jobs=jobs)
    company.start("b", ticks=[0.3], jobs=jobs)
    await company.wait("ready", 2)
    before = len(company.lines("tick"))
    await company.wait("tick", before + 8)
    await company.wait("effect", 10)
    for name in ("a", "b"):
        company.signal(name, signal.SIGTERM)
    for process in company.processes.values():
        assert await asyncio.to_thread(process.wait, 20) == 0
    ticks = Counter(x[1] for x in company.lines("tick"))
    assert set(ticks.values()) == {1}, ticks
    assert Counter(x[1] for x in company.lines("begun")) == dict.fromkeys(jobs, 1)
    assert Counter(x[1] for x in company.lines("effect")) == dict.fromkeys(jobs, 1)
