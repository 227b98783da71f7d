"""Every call of the story fails in every way, and the counts of it: ``python -m tests.faults.everything [--jobs N]``.

Exit 1 when any run broke a rule; each broken rule is named with the call and the way it failed.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from .outside import MODES, Fault
from .story import Calls, count, run, template

AT_ONCE = 10  # faults handed to a process of the pool together


def faults(calls: Calls) -> list[Fault]:
    """One for each call and each way a call of its kind can fail."""
    return [Fault(at, mode) for at, (kind, _) in enumerate(calls, 1) for mode in MODES[kind]]


def some(folder: Path, given: Sequence[Fault]) -> list[tuple[Fault, list[str]]]:
    """Run the story once for each of these faults; what was broken in each."""
    logging.disable(logging.CRITICAL)  # thousands of expected failures are not worth their log lines
    return [(each, asyncio.run(_one(folder / f"{each.at}-{each.mode}", folder, each))) for each in given]


async def _one(place: Path, folder: Path, fault: Fault) -> list[str]:
    _, broken = await run(place, folder / "template.db", fault)
    return broken


def table(calls: Calls, results: Sequence[tuple[Fault, list[str]]]) -> str:
    """Runs and broken runs by kind of call and way of failing, in Markdown."""
    ran, bad = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    for fault, broken in results:
        where = (calls[fault.at - 1][0], fault.mode)
        ran[where] += 1
        bad[where] += bool(broken)
    lines = ["| calls | way | runs | broken |", "| --- | --- | ---: | ---: |"]
    lines += [f"| {kind} | {mode} | {ran[kind, mode]} | {bad[kind, mode]} |" for kind in MODES for mode in MODES[kind]]
    return "\n".join([*lines, f"| all | | {ran.total()} | {bad.total()} |"])


def main(jobs: int) -> int:
    began, results = time.monotonic(), list[tuple[Fault, list[str]]]()
    with tempfile.TemporaryDirectory(prefix="gatehouse-faults-") as made, ProcessPoolExecutor(jobs) as pool:
        folder = Path(made)
        template(folder)
        calls = asyncio.run(count(folder, folder / "template.db"))
        chosen = faults(calls)
        parts = [chosen[at : at + AT_ONCE] for at in range(0, len(chosen), AT_ONCE)]
        for done in pool.map(some, [folder] * len(parts), parts):
            results += done
            for fault, broken in done:
                for why in broken:
                    print(f"call {fault.at} {calls[fault.at - 1]} {fault.mode}: {why}", flush=True)
    broken_runs = sum(1 for _, broken in results if broken)
    print(table(calls, results))
    print(f"{len(calls)} calls, {len(results)} runs, {broken_runs} broken, {time.monotonic() - began:.0f} s")
    return int(bool(broken_runs))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    sys.exit(main(parser.parse_args().jobs))
