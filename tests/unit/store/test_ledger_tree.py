"""The tree over the ledger equals the definition of RFC 9162, on both databases, at every size."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, delete, select

from bot.domain.errors import NotFound
from bot.store import ledger, merkle
from bot.store.database import Database
from bot.store.migrate import config, upgrade
from bot.store.tables import metadata

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)


def add(conn: Connection, count: int = 1) -> None:
    for number in range(count):
        ledger.append(conn, kind="test.made", subject=f"s-{number}", actor="gatehouse", body={"n": number}, now=NOW)


def by_definition(leaves: list[bytes]) -> bytes:
    """MTH of RFC 9162, section 2.1.1, written as it is defined."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return hashlib.sha256(b"\x00" + leaves[0]).digest()
    left = 1
    while left * 2 < len(leaves):
        left *= 2
    return hashlib.sha256(b"\x01" + by_definition(leaves[:left]) + by_definition(leaves[left:])).digest()


@pytest.fixture(params=["sqlite", "postgresql"])
def db(request: pytest.FixtureRequest) -> Iterator[Database]:
    url = request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "postgres_url")
    upgrade(url)
    database = Database(url)
    yield database
    database.close_sync()


def test_known_answers_of_the_empty_tree_and_the_empty_leaf() -> None:
    assert merkle.Frontier().root().hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert merkle.leaf_hash(b"").hex() == "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"


@given(st.lists(st.binary(max_size=4), max_size=70))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_the_frontier_has_the_root_of_the_definition(leaves: list[bytes]) -> None:
    tree = merkle.Frontier()
    for each in leaves:
        tree.add(merkle.leaf_hash(each))
    assert tree.root() == by_definition(leaves)


def test_roots_at_every_size_are_those_of_the_definition(db: Database) -> None:
    db.write_sync(add, 70)
    hashes = db.read_sync(
        lambda conn: [bytes.fromhex(h) for h in conn.execute(select(ledger.LEDGER.c.hash).order_by("seq")).scalars()]
    )
    for size in range(71):
        assert db.read_sync(ledger.root, size) == by_definition(hashes[:size]).hex()
    report = db.read_sync(ledger.verify)
    assert (report.ok, report.records, report.root) == (True, 70, by_definition(hashes).hex())
    # One inner node a record, less one for every subtree that stands alone.
    assert db.read_sync(lambda conn: len(conn.execute(select(ledger.NODES)).all())) == 70 - (70).bit_count()


def test_a_proof_beyond_the_log_is_refused(db: Database) -> None:
    db.write_sync(add, 3)
    for ask in (
        lambda c: ledger.root(c, 4),
        lambda c: ledger.inclusion(c, 1, 4),
        lambda c: ledger.consistency(c, 1, 4),
    ):
        with pytest.raises(NotFound, match="has 3 records, not 4"):
            db.read_sync(ask)


def test_what_is_rolled_back_leaves_neither_record_nor_node(db: Database) -> None:
    db.write_sync(add, 5)

    def break_off(conn: Connection) -> None:
        add(conn, 3)
        raise RuntimeError("the caller's transaction fails")

    with pytest.raises(RuntimeError):
        db.write_sync(break_off)
    db.write_sync(add, 1)
    report = db.read_sync(ledger.verify)
    assert (report.ok, report.records) == (True, 6)


def test_a_lost_node_is_computed_again_and_named_by_verify(db: Database) -> None:
    db.write_sync(add, 12)
    before = db.read_sync(ledger.root, 12)
    db.write_sync(lambda conn: conn.execute(delete(ledger.NODES)))
    assert db.read_sync(ledger.root, 12) == before
    report = db.read_sync(ledger.verify)
    assert (report.ok, report.first_bad) == (False, 2)
    assert "tree" in report.why


def test_appending_reads_and_writes_few_rows_however_long_the_log(db: Database) -> None:
    from sqlalchemy import event

    db.write_sync(add, 1024)
    counts: list[int] = []
    seen = [0]
    event.listen(db.engine, "before_cursor_execute", lambda *a: seen.__setitem__(0, seen[0] + 1))
    for _ in range(64):
        before = seen[0]
        db.write_sync(add, 1)
        counts.append(seen[0] - before)
    # lock, last record, insert, at most one read a level and one insert of the nodes, plus begin.
    assert max(counts) <= 11
    assert sum(counts) / len(counts) <= 6


def test_replicas_appending_at_once_make_one_tree(postgres_url: str) -> None:
    from concurrent.futures import ThreadPoolExecutor

    upgrade(postgres_url)
    replicas = [Database(postgres_url) for _ in range(2)]
    work: Callable[[int], None] = lambda n: replicas[n % 2].write_sync(add, 1)  # noqa: E731
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, range(60)))
    report = replicas[0].read_sync(ledger.verify)
    assert (report.ok, report.records) == (True, 60)
    for each in replicas:
        each.close_sync()


def test_migrating_a_log_of_step_one_grows_its_tree(db: Database) -> None:
    db.write_sync(add, 21)
    root = db.read_sync(ledger.root, 21)
    with db.engine.connect().execution_options(gatehouse_write=True) as conn, conn.begin():
        command.downgrade(config(conn), "0001")
        command.upgrade(config(conn), "head")
    report = db.read_sync(ledger.verify)
    assert (report.ok, report.root) == (True, root)


def test_the_migrations_make_the_tables_as_described(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/fresh.db"
    upgrade(url)
    database = Database(url)
    try:
        found = database.read_sync(lambda conn: compare_metadata(MigrationContext.configure(conn), metadata))
        assert [each for each in found if "ledger" in str(each)] == []
    finally:
        database.close_sync()
