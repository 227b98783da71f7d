"""A ledger of thirty records with checkpoints on the way, and hands for whoever wants to forge it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, delete, insert, select

from bot.evidence.checkpoints import Checkpoint, Checkpoints
from bot.settings import EvidenceSettings, Settings
from bot.store import ledger
from bot.store.database import Database
from bot.store.migrate import upgrade

START = datetime(2026, 11, 25, 12, tzinfo=UTC)
RECORDS = 30
CHANNEL = "slack:C0WITNESS"


@dataclass
class FakeClock:
    at: datetime = START

    def now(self) -> datetime:
        return self.at

    def forward(self, **by: float) -> None:
        self.at += timedelta(**by)


@dataclass
class FakeIds:
    count: int = 0

    def new(self, prefix: str) -> str:
        self.count += 1
        return f"{prefix}-{self.count:04d}"


def append(conn: Connection, number: int, now: datetime) -> int:
    body = {"n": number, "who": "Zoë", "why": 'a "quoted"\nline'}
    return ledger.append(conn, kind="test.made", subject=f"s-{number}", actor="alice", body=body, now=now)


def rows(conn: Connection) -> list[dict[str, Any]]:
    return [dict(row._mapping) for row in conn.execute(select(ledger.LEDGER).order_by(ledger.LEDGER.c.seq))]


def forge(conn: Connection, records: list[dict[str, Any]], *, tree: bool = True) -> None:
    """Put these rows in the ledger's place; ``tree``: the nodes are made to fit them, as a careful forger would."""
    conn.execute(delete(ledger.LEDGER))
    if records:
        conn.execute(insert(ledger.LEDGER), records)
    if tree:
        from bot.store import merkle

        conn.execute(delete(ledger.NODES))
        frontier = merkle.Frontier()
        for number, record in enumerate(records, 1):
            try:
                made = frontier.add(ledger.leaf(record["hash"]))
            except Exception:
                return
            for level, hash_ in enumerate(made, 1):
                conn.execute(insert(ledger.NODES), {"seq": number, "level": level, "hash": hash_.hex()})


def rehash(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Number and chain the records anew: consistent in itself."""
    prev, made = ledger.GENESIS, []
    for seq, record in enumerate(records, 1):
        new = record | {"seq": seq, "prev": prev}
        new["hash"] = ledger.record_hash(*(new[k] for k in ("seq", "at", "kind", "subject", "actor", "body", "prev")))
        made.append(new)
        prev = new["hash"]
    return made


@dataclass
class World:
    db: Database
    clock: FakeClock
    ids: FakeIds
    settings: Settings
    file: Path
    folder: Path
    seen: list[Checkpoint] = field(default_factory=list)

    def checkpoints(self) -> Checkpoints:
        return Checkpoints(self.db, self.settings, self.clock, self.ids)

    async def grow(self, count: int) -> None:
        size = self.db.read_sync(ledger.size)
        for number in range(size + 1, size + count + 1):
            self.db.write_sync(append, number, self.clock.now())
            self.clock.forward(seconds=1)

    async def witnessed(self, *sizes: int) -> None:
        for size in sizes:
            await self.grow(size - self.db.read_sync(ledger.size))
            made = await self.checkpoints().make()
            assert made is not None
            self.seen.append(made)

    def report(self, seen: list[Checkpoint] | None = None) -> ledger.LedgerReport:
        from bot.evidence.checkpoints import verify

        return self.db.read_sync(verify, [(each, "the witness") for each in (self.seen if seen is None else seen)])

    def replace_evidence(self, **values: Any) -> None:
        evidence = EvidenceSettings(**(self.settings.evidence.model_dump() | values))
        self.settings = self.settings.model_copy(update={"evidence": evidence})


@pytest.fixture(params=["sqlite"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    url = request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "postgres_url")
    upgrade(url)
    db = Database(url)
    file = tmp_path / "elsewhere" / "gatehouse.checkpoints"
    evidence = EvidenceSettings(checkpoint_file=file, checkpoint_channels=(CHANNEL,))
    settings = Settings(database_url=url, evidence=evidence)  # type: ignore[arg-type]
    yield World(db, FakeClock(), FakeIds(), settings, file, tmp_path)
    db.close_sync()


both_databases = pytest.mark.parametrize("world", ["sqlite", "postgresql"], indirect=True)
