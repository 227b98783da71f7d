"""How long an edition of 300,000 EPSS scores takes to store, and how long another write waits meanwhile.

python tests/bench/scores.py [-n 300000]
"""

from __future__ import annotations

import argparse
import asyncio
import random
import tempfile
import time
from datetime import UTC, datetime
from typing import Any

from bot.domain.ids import RandomIds, SystemClock
from bot.intake.enrichment import Enrichment
from bot.ports import Edition
from bot.settings import Settings
from bot.store.database import Database
from bot.store.migrate import upgrade


class Scores:
    name = "epss"

    def __init__(self, count: int) -> None:
        rng = random.Random(1)
        self.rows: list[dict[str, Any]] = [
            {"cve": f"CVE-{2000 + n % 25}-{10000 + n}", "epss": round(rng.random() ** 6, 5), "percentile": 0.5,
             "content": str(n)} for n in range(count)
        ]  # fmt: skip

    async def edition(self, etag: str) -> Edition:
        return Edition("bench", datetime.now(UTC), self.rows)

    async def close(self) -> None:
        return None


async def run(url: str, count: int) -> None:
    db, scores = Database(url), Scores(count)
    enrichment = Enrichment(db, Settings(), SystemClock(), RandomIds(), [scores])
    longest = 0.0

    async def probe(stop: asyncio.Event) -> None:
        nonlocal longest
        while not stop.is_set():
            started = time.perf_counter()
            await db.write(lambda conn: None)
            longest = max(longest, time.perf_counter() - started)
            await asyncio.sleep(0.01)

    for label in ("first", "the same again", "a third changed"):
        if label.startswith("a third"):
            for row in scores.rows[::3]:
                row["content"] += "x"
        longest, stop = 0.0, asyncio.Event()
        beside, started = asyncio.create_task(probe(stop)), time.perf_counter()
        done = await enrichment.update("epss")
        took = time.perf_counter() - started
        stop.set()
        await beside
        print(f"{label}: {done.written} written in {took:.1f} s, another write waited {longest:.2f} s at most")
    await db.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", type=int, default=300_000)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/bench.db"
        upgrade(url)
        asyncio.run(run(url, args.n))


if __name__ == "__main__":
    main()
