"""One door to the database: synchronous SQLAlchemy Core in threads, the event loop never waits on it.

Rules
- SQLite (WAL): one writer thread owns the only writing connection; a few reader threads read. PostgreSQL: a pool of
  connections, one thread each.
- ``write(fn)`` runs ``fn(connection)`` in one transaction: everything in it commits together or not at all.
- ``fn`` is a plain function over a ``Connection``; it does no other I/O and is free to be run again on another thread.
Source of the shape and of the figures behind it: docs/performance.md.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.engine import URL
from sqlalchemy.exc import OperationalError

from bot.domain.errors import SettingsError

P = ParamSpec("P")
T = TypeVar("T")

READERS = 4
BUSY_TIMEOUT_MS = 10_000
WRITE_ATTEMPTS = 5
_TRY_AGAIN = {"40001", "40P01"}  # serialization failure, deadlock


def normalise_url(url: str) -> URL:
    """The URL with the driver we use: ``sqlite:///file.db`` or ``postgresql+psycopg://…``."""
    parsed = make_url(url)
    if parsed.drivername in {"postgresql", "postgres"}:
        return parsed.set(drivername="postgresql+psycopg")
    if parsed.drivername not in {"sqlite", "postgresql+psycopg"}:
        raise SettingsError(
            f"database URL scheme {parsed.drivername!r} is not supported",
            mend="Use sqlite:///path.db or postgresql://user:password@host/name.",
        )
    return parsed


def open_engine(url: str, *, pool_size: int) -> Engine:
    """An engine with the pragmas of ours (WAL, synchronous=NORMAL, foreign keys) on SQLite."""
    parsed = normalise_url(url)
    if parsed.drivername != "sqlite":
        return create_engine(parsed, pool_size=pool_size, max_overflow=0, pool_pre_ping=True)
    if parsed.database and parsed.database != ":memory:":
        Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(parsed, pool_size=pool_size, max_overflow=0, connect_args={"check_same_thread": False})

    @event.listens_for(engine, "connect")
    def _pragmas(dbapi: Any, _record: Any) -> None:
        dbapi.isolation_level = None  # the driver must not open transactions of its own
        cursor = dbapi.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=NORMAL")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.execute("PRAGMA cache_size=-16384")  # 16 MiB: the indexes' hot pages; the default 2 MiB thrashes
        cursor.execute("PRAGMA wal_autocheckpoint=4000")  # 16 MiB: pages of indexes are written back once, not per page
        cursor.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(conn: Connection) -> None:
        # A writer takes its lock at once, so two processes never dead-lock on an upgrade.
        conn.exec_driver_sql("BEGIN IMMEDIATE" if conn.get_execution_options().get("gatehouse_write") else "BEGIN")

    return engine


class Database:
    """``await db.write(fn, …)`` and ``await db.read(fn, …)``; close with ``await db.close()``."""

    def __init__(self, url: str, *, readers: int = READERS) -> None:
        self.url = normalise_url(url)
        self.is_sqlite = self.url.drivername == "sqlite"
        if self.is_sqlite and self.url.database in {None, "", ":memory:"}:
            raise SettingsError(
                "an in-memory SQLite database cannot be shared between threads",
                mend="Give a file: sqlite:///gatehouse.db.",
            )
        self.engine = open_engine(url, pool_size=readers + (1 if self.is_sqlite else 0))
        self._readers = ThreadPoolExecutor(readers, thread_name_prefix="db-read")
        self._writers = ThreadPoolExecutor(1 if self.is_sqlite else readers, thread_name_prefix="db-write")
        self._closed = threading.Event()

    # Synchronous, for threads that already are off the loop (ingest workers, tests, migrations).
    def write_sync(self, fn: Callable[Concatenate[Connection, P], T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        for attempt in range(1, WRITE_ATTEMPTS + 1):
            try:
                with self.engine.connect().execution_options(gatehouse_write=True) as conn, conn.begin():
                    return fn(conn, *args, **kwargs)
            except OperationalError as error:
                # PostgreSQL ends one of two transactions that wait for each other; nothing of it remains.
                if attempt == WRITE_ATTEMPTS or getattr(error.orig, "sqlstate", "") not in _TRY_AGAIN:
                    raise
                time.sleep(0.02 * 2**attempt)
        raise AssertionError("not reached")

    def read_sync(self, fn: Callable[Concatenate[Connection, P], T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        with self.engine.connect() as conn, conn.begin():
            return fn(conn, *args, **kwargs)

    async def write(self, fn: Callable[Concatenate[Connection, P], T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run ``fn(connection, …)`` in one writing transaction, off the loop."""
        call = lambda: self.write_sync(fn, *args, **kwargs)  # noqa: E731
        return await asyncio.get_running_loop().run_in_executor(self._writers, call)

    async def read(self, fn: Callable[Concatenate[Connection, P], T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run ``fn(connection, …)`` in one reading transaction, off the loop."""
        call = lambda: self.read_sync(fn, *args, **kwargs)  # noqa: E731
        return await asyncio.get_running_loop().run_in_executor(self._readers, call)

    async def close(self) -> None:
        await asyncio.get_running_loop().run_in_executor(None, self.close_sync)

    def close_sync(self) -> None:
        if self._closed.is_set():
            return
        self._closed.set()
        self._writers.shutdown(wait=True)
        self._readers.shutdown(wait=True)
        self.engine.dispose()
