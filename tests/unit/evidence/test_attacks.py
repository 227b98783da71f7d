"""Attacks on the ledger by name, exhaustively over a log of thirty records: every one is found.

A forger here can write the database, knows how records are hashed and re-makes the tree to fit. What is left to
betray him is the chain, and where he re-hashes that too, the witnesses he cannot write.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from sqlalchemy import Connection, delete, insert, select, update

from bot.store import ledger
from bot.store.database import Database

from .conftest import RECORDS, World, append, both_databases, forge, rehash, rows

COLUMNS = {
    "at": "2026-11-25T12:00:00.000001+00:00",
    "kind": "decision.made",
    "subject": "s-other",
    "actor": "mallory",
    "body": '{"n":0}',
    "prev": "f" * 64,
    "hash": "e" * 64,
}


class Undo(Exception):
    pass


def attacked(world: World, attack, seen=None, *, tree: bool = True) -> ledger.LedgerReport:  # type: ignore[no-untyped-def]
    """What ``verify`` says of the attacked log; the attack is taken back afterwards."""
    found: list[ledger.LedgerReport] = []
    witnesses = [each.witness("the witness") for each in (world.seen if seen is None else seen)]

    def run(conn: Connection) -> None:
        forge(conn, attack(rows(conn)), tree=tree)
        found.append(ledger.verify(conn, witnesses))
        raise Undo

    with pytest.raises(Undo):
        world.db.write_sync(run)
    return found[0]


@both_databases
async def test_the_honest_log_holds_against_all_its_witnesses(world: World) -> None:
    await world.witnessed(1, 7, 16, 23, RECORDS)
    report = world.report()
    assert (report.ok, report.records, report.witnesses) == (True, RECORDS, 10)  # in the database, and again outside


@pytest.mark.parametrize("column", sorted(COLUMNS))
async def test_every_single_mutation_of_every_record_is_found_without_any_witness(world: World, column: str) -> None:
    await world.grow(RECORDS)
    for place in range(RECORDS):

        def mutate(records, place=place):  # type: ignore[no-untyped-def]
            records[place][column] = COLUMNS[column]
            return records

        for tree in (True, False):
            report = attacked(world, mutate, [], tree=tree)
            assert not report.ok, f"{column} of record {place + 1}"
            assert report.first_bad == place + 1
            assert f"record {place + 1}" in report.why


@pytest.mark.parametrize("column", ["at", "kind", "subject", "actor", "body"])
async def test_a_mutation_whose_hash_was_made_to_fit_breaks_the_chain_or_contradicts_the_witness(
    world: World, column: str
) -> None:
    await world.witnessed(RECORDS)
    for place in range(RECORDS):

        def mutate(records, place=place):  # type: ignore[no-untyped-def]
            record = records[place]
            record[column] = COLUMNS[column]
            record["hash"] = ledger.record_hash(
                *(record[k] for k in ("seq", "at", "kind", "subject", "actor", "body", "prev"))
            )
            return records

        report = attacked(world, mutate)
        assert not report.ok
        assert report.first_bad == min(place + 2, RECORDS)  # the next record does not follow; the last has no next


async def test_another_sequence_number_is_found(world: World) -> None:
    await world.grow(RECORDS)
    for place in range(RECORDS):

        def renumber(records, place=place):  # type: ignore[no-untyped-def]
            records[place]["seq"] = 1000 + place
            return records

        report = attacked(world, renumber, [])
        assert not report.ok
        assert report.first_bad == place + 1


async def test_truncation_at_every_length_is_found_by_a_witness(world: World) -> None:
    await world.witnessed(RECORDS)
    for kept in range(RECORDS):
        report = attacked(world, lambda records, kept=kept: records[:kept])
        assert not report.ok
        assert report.first_bad == kept + 1
        assert "truncated" in report.why


async def test_truncation_that_forgets_the_tree_is_found_without_a_witness(world: World) -> None:
    await world.grow(RECORDS)
    for kept in range(RECORDS):
        report = attacked(world, lambda records, kept=kept: records[:kept], [], tree=False)
        assert not report.ok, kept
        assert "truncated" in report.why


async def test_removal_of_any_record_is_found(world: World) -> None:
    await world.witnessed(RECORDS)
    for place in range(RECORDS):
        report = attacked(world, lambda records, place=place: records[:place] + records[place + 1 :])
        assert not report.ok
        assert report.first_bad == place + 1
        closed = attacked(world, lambda records, place=place: rehash(records[:place] + records[place + 1 :]))
        assert not closed.ok, "the hole was closed and everything after it hashed anew"


async def test_any_two_records_swapped_are_found(world: World) -> None:
    await world.witnessed(RECORDS)
    for one in range(RECORDS):
        for other in range(one + 1, RECORDS):

            def swap(records, one=one, other=other):  # type: ignore[no-untyped-def]
                records[one]["seq"], records[other]["seq"] = records[other]["seq"], records[one]["seq"]
                return sorted(records, key=lambda record: record["seq"])

            report = attacked(world, swap)
            assert (report.ok, report.first_bad) == (False, one + 1)
            assert not attacked(world, lambda records, swap=swap: rehash(swap(records))).ok


async def test_a_record_told_twice_is_found(world: World) -> None:
    await world.witnessed(RECORDS)
    for place in range(RECORDS):

        def double(records, place=place):  # type: ignore[no-untyped-def]
            twice = [*records[: place + 1], dict(records[place]), *records[place + 1 :]]
            return [record | {"seq": seq} for seq, record in enumerate(twice, 1)]

        report = attacked(world, double)
        assert not report.ok
        if place < RECORDS - 1:
            assert not attacked(world, lambda records, double=double: rehash(double(records))).ok
        else:
            # The last record told again, with everything re-hashed, is what appending it honestly would have given.
            assert attacked(world, lambda records, double=double: rehash(double(records))).ok


async def test_a_tail_hashed_anew_is_found_by_every_witness_that_saw_it(world: World) -> None:
    await world.witnessed(10, 20, RECORDS)
    for place in range(RECORDS):

        def fork(records, place=place):  # type: ignore[no-untyped-def]
            records[place]["actor"] = "mallory"
            return rehash(records)

        report = attacked(world, fork)
        assert not report.ok
        # The first witness after the change; it vouches for all before it.
        assert report.first_bad == next(size for size in (10, 20, RECORDS) if size > place)
        assert "forked" in report.why


async def test_a_fork_is_also_found_by_one_witness_alone_wherever_it_was_noted(world: World) -> None:
    await world.witnessed(RECORDS)
    world.db.write_sync(lambda conn: conn.execute(delete(ledger.CHECKPOINTS)))  # the forger cleans up inside

    def fork(records):  # type: ignore[no-untyped-def]
        records[3]["body"] = "{}"
        return rehash(records)

    assert not attacked(world, fork).ok
    assert attacked(world, fork, []).ok, "without any witness a log hashed anew looks like any other"


async def test_a_database_rolled_back_to_a_backup_is_found_by_file_and_channel(world: World) -> None:
    path = Path(str(world.db.url.database))
    await world.witnessed(12, 20)
    world.db.close_sync()
    shutil.copy(path, backup := path.with_suffix(".backup"))
    world.db = Database(str(world.db.url))
    await world.witnessed(RECORDS)  # in the database, in the file and in the channel
    world.db.close_sync()
    for extra in path.parent.glob(path.name + "-*"):
        extra.unlink()
    shutil.copy(backup, path)
    world.db = Database(str(world.db.url))
    assert world.db.read_sync(ledger.verify).ok, "the backup agrees with itself"
    report = world.report()
    assert (report.ok, report.first_bad) == (False, 21)
    assert "restored from an older backup" in report.why
    for extra in range(40):  # and going on from there does not hide it
        world.db.write_sync(append, 500 + extra, world.clock.now())
    report = world.report()
    assert (report.ok, report.first_bad) == (False, RECORDS)
    assert "forked" in report.why


async def test_every_change_of_the_tree_is_found(world: World) -> None:
    await world.grow(RECORDS)
    nodes = world.db.read_sync(lambda conn: [tuple(row) for row in conn.execute(select(ledger.NODES))])
    where = ledger.NODES.c
    for seq, level, _ in nodes:
        this = (where.seq == seq) & (where.level == level)
        for change in (
            update(ledger.NODES).where(this).values(hash="0" * 64),
            update(ledger.NODES).where(this).values(level=level + 20),
            delete(ledger.NODES).where(this),
        ):

            def run(conn: Connection, change=change) -> ledger.LedgerReport:  # type: ignore[no-untyped-def]
                with conn.begin_nested() as inner:
                    conn.execute(change)
                    report = ledger.verify(conn)
                    inner.rollback()
                return report

            assert not world.db.write_sync(run).ok
    world.db.write_sync(lambda c: c.execute(insert(ledger.NODES), {"seq": 31, "level": 9, "hash": "0" * 64}))
    assert not world.db.read_sync(ledger.verify).ok


async def test_a_checkpoint_altered_in_the_database_is_found(world: World) -> None:
    await world.witnessed(8, 16)
    world.db.write_sync(
        lambda conn: conn.execute(
            update(ledger.CHECKPOINTS).where(ledger.CHECKPOINTS.c.size == 8).values(root="0" * 64)
        )
    )
    assert not world.db.read_sync(ledger.verify).ok
