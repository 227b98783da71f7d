"""The append-only record: hash-chained, hash = SHA-256 over (seq, at, kind, subject, actor, body, prev), under a tree.

Rules
- A record is appended in the transaction of what it tells, before any outside effect; nothing updates or deletes.
- Record ``seq`` is leaf ``seq - 1`` of a Merkle tree whose leaf data is the record's hash. ``ledger_nodes`` keeps the
  inner nodes each append completed (one a record on average), so a root or proof costs O(log² n) reads.
- ``verify`` walks everything: chain, tree, and every witness (a size and root that somebody noted earlier). What is
  consistent in itself but not what it was, a truncated, forked or restored log, shows only against a witness.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, func, insert, select, text
from sqlalchemy.dialects import postgresql, sqlite

from bot.domain.errors import GatehouseError, NotFound
from bot.domain.ids import canonical

from . import merkle
from .tables import CheckpointRow, LedgerNodeRow, LedgerRow

LEDGER = LedgerRow.__table__  # type: ignore[attr-defined]
NODES = LedgerNodeRow.__table__  # type: ignore[attr-defined]
CHECKPOINTS = CheckpointRow.__table__  # type: ignore[attr-defined]
GENESIS = "0" * 64
# Any fixed number: serialises appenders on PostgreSQL, SQLite has one writer anyway.
_LOCK = 0x6761_7465


def _upsert(new: Any) -> Any:
    return new.on_conflict_do_update(index_elements=["seq", "level"], set_={"hash": new.excluded.hash})


# Built once, so that SQLAlchemy compiles them once: this is on the path of every page and click.
_KEEP = {"postgresql": _upsert(postgresql.insert(NODES)), "sqlite": _upsert(sqlite.insert(NODES))}
_LAST = select(LEDGER.c.seq, LEDGER.c.hash).order_by(LEDGER.c.seq.desc()).limit(1)


@dataclass(frozen=True, slots=True)
class Witness:
    """What somebody saw earlier: the log of ``size`` records had this root (hex). ``where`` it was noted."""

    size: int
    root: str
    where: str


@dataclass(frozen=True, slots=True)
class LedgerReport:
    ok: bool
    records: int
    head: str
    first_bad: int | None = None
    why: str = ""
    root: str = ""
    witnesses: int = 0


def record_hash(seq: int, at: str, kind: str, subject: str, actor: str, body: str, prev: str) -> str:
    return hashlib.sha256(canonical([seq, at, kind, subject, actor, body, prev])).hexdigest()


def leaf(hash_: str) -> bytes:
    """The leaf of a record, from its hash."""
    try:
        return merkle.leaf_hash(bytes.fromhex(hash_))
    except ValueError as error:
        raise GatehouseError(
            f"the ledger holds a hash that is none: {hash_[:80]!r}", mend="Run `gatehouse ledger verify`."
        ) from error


def lock(conn: Connection) -> None:
    """Nobody else appends before this transaction ends."""
    if conn.dialect.name == "postgresql":
        conn.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})


def append(conn: Connection, *, kind: str, subject: str, actor: str, body: Mapping[str, Any], now: datetime) -> int:
    """Append one record and return its sequence number. ``actor`` is a principal id or "gatehouse"."""
    lock(conn)
    last = conn.execute(_LAST).first()
    seq, prev = (last.seq + 1, last.hash) if last else (1, GENESIS)
    at, written = now.isoformat(), canonical(body).decode()
    row = {"seq": seq, "at": at, "kind": kind, "subject": subject, "actor": actor, "body": written, "prev": prev}
    hash_ = record_hash(seq, at, kind, subject, actor, written, prev)
    conn.execute(insert(LEDGER), row | {"hash": hash_})
    _grow(conn, int(seq), prev, hash_)
    return int(seq)


def _grow(conn: Connection, seq: int, prev: str, hash_: str) -> None:
    """Store the inner nodes that record ``seq`` completes."""
    made: list[dict[str, Any]] = []
    value, position, level = leaf(hash_), seq - 1, 0
    while position & 1:
        left = leaf(prev) if level == 0 else _node(conn, level, position - 1)
        value, position, level = merkle.node_hash(left, value), position >> 1, level + 1
        made.append({"seq": seq, "level": level, "hash": value.hex()})
    if made:
        # After a truncation nodes of the cut records may still stand: they are derived, the record is what counts.
        conn.execute(_KEEP[conn.dialect.name], made)


def _node(conn: Connection, level: int, position: int) -> bytes:
    """The hash of a complete subtree; computed from the records where the stored node is gone."""
    end = (position + 1) << level
    if level == 0:
        found = conn.execute(select(LEDGER.c.hash).where(LEDGER.c.seq == end)).scalar()
        if found is None:
            raise _hole(end)
        return leaf(found)
    found = conn.execute(select(NODES.c.hash).where(NODES.c.seq == end, NODES.c.level == level)).scalar()
    if found is not None:
        return bytes.fromhex(found)
    start, tree = position << level, merkle.Frontier()
    hashes = conn.execute(
        select(LEDGER.c.hash).where(LEDGER.c.seq > start, LEDGER.c.seq <= end).order_by(LEDGER.c.seq)
    ).scalars()
    for each in hashes:
        tree.add(leaf(each))
    if tree.size != end - start:
        raise _hole(end)
    return tree.root()


def _hole(seq: int) -> GatehouseError:
    return GatehouseError(
        f"records of the ledger up to {seq} are missing", mend="Run `gatehouse ledger verify` and keep this database."
    )


# --- root and proofs -------------------------------------------------------------------------------------------------


def size(conn: Connection) -> int:
    return int(conn.execute(select(func.coalesce(func.max(LEDGER.c.seq), 0))).scalar_one())


def root(conn: Connection, of_size: int) -> str:
    """The root (hex) of the first ``of_size`` records."""
    _within(conn, of_size)
    return merkle.root(lambda level, position: _node(conn, level, position), of_size).hex()


def inclusion(conn: Connection, seq: int, of_size: int) -> list[str]:
    """The proof (hex) that record ``seq`` is in the log of ``of_size`` records."""
    _within(conn, of_size)
    return [h.hex() for h in merkle.inclusion(lambda level, at: _node(conn, level, at), seq - 1, of_size)]


def consistency(conn: Connection, old: int, new: int) -> list[str]:
    """The proof (hex) that the log of ``new`` records continues the one of ``old`` records."""
    _within(conn, new)
    return [h.hex() for h in merkle.consistency(lambda level, at: _node(conn, level, at), old, new)]


def _within(conn: Connection, wanted: int) -> None:
    if wanted > (have := size(conn)):
        raise NotFound(f"the ledger has {have} records, not {wanted}", mend="Run `gatehouse ledger verify`.")


# --- checkpoints -----------------------------------------------------------------------------------------------------


def save_checkpoint(conn: Connection, *, origin: str, of_size: int, root_: str, at: str) -> None:
    conn.execute(insert(CHECKPOINTS), {"size": of_size, "origin": origin, "root": root_, "at": at})


def checkpoints(conn: Connection, *, above: int = -1) -> Sequence[Row[Any]]:
    """The noted checkpoints with more than ``above`` records, smallest first."""
    return conn.execute(select(CHECKPOINTS).where(CHECKPOINTS.c.size > above).order_by(CHECKPOINTS.c.size)).all()


def last_checkpoint(conn: Connection) -> Row[Any] | None:
    return conn.execute(select(CHECKPOINTS).order_by(CHECKPOINTS.c.size.desc()).limit(1)).first()


def witnesses(conn: Connection) -> list[Witness]:
    """The checkpoints in the database as witnesses."""
    return [Witness(row.size, row.root, f"the checkpoint of {row.at} in the database") for row in checkpoints(conn)]


# --- verification ----------------------------------------------------------------------------------------------------


def verify(conn: Connection, seen: Iterable[Witness] = ()) -> LedgerReport:
    """Walk chain and tree, and compare with the checkpoints in the database and the witnesses ``seen`` elsewhere."""
    # Checkpoints first and the size before the rest: what others append meanwhile is left out, never half seen.
    waiting = sorted([*witnesses(conn), *seen], key=lambda each: each.size)
    noted, until = len(waiting), size(conn)
    tree, prev = merkle.Frontier(), GENESIS

    def bad(seq: int, why: str) -> LedgerReport:
        return LedgerReport(False, tree.size, prev, seq, why, tree.root().hex(), noted)

    def disagrees() -> Witness | None:
        while waiting and waiting[0].size <= tree.size:
            witness = waiting.pop(0)
            if witness.size == tree.size and witness.root != tree.root().hex():
                return witness
        return None

    def walk(asked: Any) -> Any:
        return conn.execute(asked.execution_options(yield_per=1000))

    nodes = iter(walk(select(NODES).where(NODES.c.seq <= until).order_by(NODES.c.seq, NODES.c.level)))
    rows = walk(select(LEDGER).where(LEDGER.c.seq <= until).order_by(LEDGER.c.seq))
    if witness := disagrees():
        return bad(1, f"{witness.where} says the empty log has another root")
    for row in rows:
        expected = tree.size + 1
        if row.seq != expected:
            return bad(expected, f"record {expected} is missing (found {row.seq} instead)")
        if row.prev != prev:
            return bad(row.seq, f"record {row.seq} does not follow the one before it")
        if row.hash != record_hash(row.seq, row.at, row.kind, row.subject, row.actor, row.body, row.prev):
            return bad(row.seq, f"record {row.seq} was altered")
        prev = row.hash
        for level, made in enumerate(tree.add(leaf(row.hash)), start=1):
            node = next(nodes, None)
            if node is None or (node.seq, node.level, node.hash) != (row.seq, level, made.hex()):
                return bad(row.seq, f"the tree over the records up to {row.seq} was altered (level {level})")
        if witness := disagrees():
            why = f"the first {witness.size} records are not those that {witness.where} saw: altered or forked"
            return bad(row.seq, why)
    if waiting:
        why = (
            f"{waiting[-1].where} saw {waiting[-1].size} records, the log has {tree.size}: "
            "truncated, or restored from an older backup"
        )
        return bad(tree.size + 1, why)
    beyond = conn.execute(
        select(func.min(NODES.c.seq)).where(
            NODES.c.seq > select(func.coalesce(func.max(LEDGER.c.seq), 0)).scalar_subquery()
        )
    ).scalar()
    if next(nodes, None) is not None or beyond is not None:
        return bad(tree.size + 1, f"the tree knows more records than the log has ({tree.size}): truncated")
    return LedgerReport(True, tree.size, prev, None, "", tree.root().hex(), noted)
