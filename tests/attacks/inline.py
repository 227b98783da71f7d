"""A database in this thread and in memory that goes back to where it was: thousands of worlds in a minute."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine, make_url
from sqlalchemy.pool import StaticPool


class InlineDatabase:
    """What services ask of ``Database``. ``reset`` takes back everything since ``InlineDatabase(path)``."""

    is_sqlite = True
    url = make_url("sqlite://")

    def __init__(self, path: Path) -> None:
        self.engine = create_engine(
            "sqlite://", poolclass=StaticPool, isolation_level="AUTOCOMMIT", connect_args={"check_same_thread": False}
        )
        self._conn = self.engine.connect()
        held: Any = self._conn.connection.driver_connection
        source = sqlite3.connect(path)
        source.backup(held)
        source.close()
        self._conn.exec_driver_sql("BEGIN")

    def reset(self) -> None:
        self._conn.exec_driver_sql("ROLLBACK")
        self._conn.exec_driver_sql("BEGIN")

    def write_sync(self, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
        self._conn.exec_driver_sql("SAVEPOINT one")
        try:
            made = fn(self._conn, *args, **kwargs)
        except BaseException:
            self._conn.exec_driver_sql("ROLLBACK TO one")
            self._conn.exec_driver_sql("RELEASE one")
            raise
        self._conn.exec_driver_sql("RELEASE one")
        return made

    def read_sync(self, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
        return fn(self._conn, *args, **kwargs)

    async def write(self, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
        return self.write_sync(fn, *args, **kwargs)

    async def read(self, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
        return fn(self._conn, *args, **kwargs)

    def sql(self, text: str, *values: Any) -> Any:
        return self._conn.exec_driver_sql(text, values)

    def close(self) -> None:
        self._conn.close()
        self.engine.dispose()
