"""Set-based insert-or-update, the same on SQLite and PostgreSQL."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from operator import itemgetter
from typing import Any, TypeVar

from sqlalchemy import Connection, Table
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlmodel.sql.sqltypes import UTCDateTime

T = TypeVar("T")
CHUNK = 500

_compiled: dict[tuple[Any, ...], _Compiled] = {}


def upsert(
    conn: Connection,
    table: Table,
    key: Sequence[str],
    rows: Sequence[Mapping[str, Any]],
    *,
    change: Sequence[str] | None = None,
    differs: str = "",
) -> None:
    """Insert ``rows``; where ``key`` is there already set ``change`` (None: all others, empty: nothing).

    ``differs`` names a column that must differ for the update to happen at all. All rows have the columns of the first.
    """
    if not rows:
        return
    columns = tuple(rows[0])
    signature = (conn.dialect.name, table.name, columns, tuple(change) if change is not None else None, differs)
    compiled = _compiled.get(signature)
    if compiled is None:
        statement = _build(conn.dialect.name, table, key, columns, change, differs)
        compiled = _compiled[signature] = _Compiled(conn, table, statement, columns)
    conn.exec_driver_sql(compiled.sql, compiled.tuples(rows))


class _Compiled:
    """A Core statement compiled once: Core binding each value of each row costs as much as the write itself."""

    def __init__(self, conn: Connection, table: Table, statement: Any, columns: Sequence[str]) -> None:
        made = statement.compile(dialect=conn.dialect, column_keys=list(columns))
        self.sql = str(made)
        names: list[str] = list(made.positiontup or ())
        if not names:  # named style: have it positional, in the order the names stand in the text
            names = re.findall(r"%\((\w+)\)s", self.sql)
            self.sql = re.sub(r"%\(\w+\)s", "%s", self.sql)
        self._get = itemgetter(*names)
        self._times = [n for n, name in enumerate(names) if isinstance(table.c[name].type, UTCDateTime)]
        self._sqlite = conn.dialect.name == "sqlite"

    def tuples(self, rows: Sequence[Mapping[str, Any]]) -> list[tuple[Any, ...]]:
        got: list[tuple[Any, ...]] = [self._get(row) for row in rows]
        if not self._times:
            return got
        # Column by column: turning the table twice is cheaper than opening every row.
        columns: list[Sequence[Any]] = list(zip(*got, strict=True))
        known: dict[Any, Any] = {None: None}
        for position in self._times:
            column = columns[position]
            for moment in set(column):
                if moment not in known:
                    known[moment] = self._bind(moment)
            columns[position] = [known[moment] for moment in column]
        return list(zip(*columns, strict=True))

    def _bind(self, moment: datetime | str) -> Any:
        if isinstance(moment, str):
            return moment  # as SQLite gave it
        if moment.utcoffset() is None:
            raise ValueError("times must be aware")
        return sqlite_time(moment) if self._sqlite else moment.astimezone(UTC)


def sqlite_time(moment: datetime) -> str:
    """The text SQLAlchemy writes for a DateTime on SQLite, so that both compare and sort as one."""
    return moment.astimezone(UTC).isoformat(" ", "microseconds")[:26]


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
