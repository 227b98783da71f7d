"""What triage adds to the ingest of pages of 1,000 findings, without a model.

    python tests/bench/triage.py [--pages 10] [--rounds 3] [--json]

The same pages are stored with triage as it is (tables, inputs, evidence; KEV and EPSS looked up in lists of 1,662 and
300,000 entries) and with one constant verdict and no look-up. Rounds alternate; the least CPU time of each counts.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from collections.abc import Collection
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from ingest import BenchMapper, NoPlaybooks, generate, pages

from bot.domain.findings import Environment, Finding
from bot.domain.ids import RandomIds, SystemClock
from bot.domain.triage import Intel
from bot.intake import pipeline
from bot.intake.service import Intake
from bot.ports import Edition, Page
from bot.settings import Settings
from bot.store import intel
from bot.store.database import Database
from bot.store.migrate import upgrade
from bot.triage.rules import Judgement, Rules

PAGE = 1000
NOTHING = Intel()
OWNERS = {f"team-{n}": {"name": f"Team {n}", "channels": [f"slack:C{n}"]} for n in range(60)}


class NoTriage(Rules):
    """One verdict for everything."""

    only: Judgement | None = None

    def judge(self, finding: Finding, environment: Environment, why: str = "", intel: Intel = NOTHING) -> Judgement:
        if self.only is None:
            self.only = super().judge(finding, environment, why)
        return self.only


class NoIntel:
    def __init__(self, conn: Any, batch: Collection[Finding]) -> None: ...

    def of(self, finding: Finding) -> Intel:
        return NOTHING


def lists(url: str) -> None:
    rng = random.Random(1)
    now = datetime.now(UTC)
    known = [f"CVE-2025-{n}" for n in range(9999)]
    kev = [{"cve": cve, "added": "2025-05-01", "due": "", "ransomware": False, "name": cve}
           for cve in rng.sample(known, 1662)]  # fmt: skip
    names = known + [f"CVE-{2000 + n % 25}-{10000 + n}" for n in range(300_000 - len(known))]
    epss = [{"cve": cve, "epss": round(rng.random() ** 6, 5), "percentile": 0.5, "content": str(n)}
            for n, cve in enumerate(names)]  # fmt: skip
    db = Database(url)
    db.write_sync(intel.store_edition, "kev", Edition("bench", now, kev), now)
    db.write_sync(intel.store_edition, "epss", Edition("bench", now, epss), now)
    db.close_sync()


def once(folder: Path, path: Path, with_triage: bool, number: int) -> float:
    """CPU seconds to store all pages into a fresh database."""
    url = f"sqlite:///{folder}/{number}-{with_triage}.db"
    upgrade(url)
    lists(url)
    settings = Settings.model_validate({"routing": {"owners": OWNERS, "fallback": ["slack:C0SEC"]}})
    real = pipeline.Known

    async def run() -> float:
        db = Database(url)
        intake = Intake(db, settings, NoPlaybooks(), SystemClock(), RandomIds())  # type: ignore[arg-type]
        if not with_triage:
            intake._rules = NoTriage()
            pipeline.Known = NoIntel  # type: ignore[assignment, misc]
        told = await intake.begin("bench")
        all_items = [item for page in pages(path) for item in page]
        mapper = BenchMapper()
        started = time.process_time()
        for start in range(0, len(all_items), PAGE):
            await told.page(mapper, Page(all_items[start : start + PAGE], cursor={"page": start}))
        spent = time.process_time() - started
        await db.close()
        return spent

    try:
        return asyncio.run(run())
    finally:
        pipeline.Known = real  # type: ignore[misc]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pages", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    spent: dict[bool, list[float]] = {True: [], False: []}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "findings.jsonl"
        generate(path, args.pages * PAGE)
        for number in range(args.rounds):
            for with_triage in (False, True):
                spent[with_triage].append(once(Path(folder), path, with_triage, number))
    count = args.pages * PAGE
    without, with_ = (min(spent[each]) / count * 1e6 for each in (False, True))
    result = {"findings": count, "without_us": without, "with_us": with_, "added": with_ / without - 1}
    if args.json:
        print(json.dumps(result))
        return
    print(f"{count} findings in pages of {PAGE}, {datetime.now(UTC):%Y-%m-%d}, Python {sys.version.split()[0]}")
    print(f"CPU per finding: {without:.0f} us without triage, {with_:.0f} us with it: {result['added']:+.1%}")


if __name__ == "__main__":
    main()
