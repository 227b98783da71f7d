"""Set-based insert-or-update, the same on SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from sqlalchemy import Connection, Table
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

T = TypeVar("T")
CHUNK = 500

_statements: dict[tuple[str, str, tuple[str, ...], tuple[str, ...], str], Any] = {}


def upsert(
    conn: Connection,
    table: Table,
    key: Sequence[str],
    rows: Sequence[Mapping[str, Any]],
    *,
    change: Sequence[str] | None = None,
    differs: str = "",
) -> None:
    """Insert ``rows``; where ``key`` is there already, set ``change`` (None: every other column, empty: nothing).

    ``differs`` names a column that must differ for the update to happen at all.
    """
    if not rows:
        return
    columns = tuple(rows[0])
    name = conn.dialect.name
    signature = (name, table.name, columns, tuple(change) if change is not None else ("*",), differs)
    statement = _statements.get(signature)
    if statement is None:
        statement = _statements[signature] = _build(name, table, key, columns, change, differs)
    conn.execute(statement, rows)


def _build(
    dialect: str, table: Table, key: Sequence[str], columns: Sequence[str], change: Sequence[str] | None, differs: str
) -> Any:
    insert: Any = (postgresql_insert if dialect == "postgresql" else sqlite_insert)(table)
    targets = [column for column in columns if column not in key] if change is None else list(change)
    if not targets:
        return insert.on_conflict_do_nothing()
    where = table.c[differs].is_distinct_from(insert.excluded[differs]) if differs else None
    return insert.on_conflict_do_update(
        index_elements=list(key), set_={column: insert.excluded[column] for column in targets}, where=where
    )


def chunks(items: Iterable[T], size: int = CHUNK) -> Iterator[list[T]]:
    batch: list[T] = []
    for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
