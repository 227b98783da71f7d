"""Bring a database to the schema of this version. The migrations are package data; no alembic.ini is needed.

``upgrade`` may be called by any number of processes at once: SQLite's write lock, or an advisory lock on PostgreSQL,
lets one of them migrate and the others find it done.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError, OperationalError

from bot.domain.errors import SettingsError

from .database import normalise_url, open_engine

T = TypeVar("T")
_LOCK = 0x6761_746D  # any fixed number; differs from the ledger's
_TRIES = 50


def config(connection: Connection | None = None) -> Config:
    """Alembic's Config, built in code; ``connection`` is what the environment runs over."""
    made = Config()
    made.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    made.attributes["connection"] = connection
    return made


def upgrade(url: str) -> None:
    """Create the database where it is missing and migrate it to the newest schema."""
    _with_connection(url, _upgrade, write=True)


def is_current(url: str) -> bool:
    """Whether the schema is the newest. A SQLite file that does not exist is not current, and is not created."""
    parsed = normalise_url(url)
    if parsed.drivername == "sqlite" and not Path(parsed.database or "").exists():
        return False
    return _with_connection(url, lambda conn: _revision(conn) == head(), write=False)


def head() -> str:
    return ScriptDirectory.from_config(config()).get_current_head() or ""


def _revision(conn: Connection) -> str | None:
    return MigrationContext.configure(conn).get_current_revision()


def _upgrade(conn: Connection) -> None:
    if conn.dialect.name == "postgresql":
        conn.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
    found = _revision(conn)
    scripts = ScriptDirectory.from_config(config())
    if found is not None and found not in {script.revision for script in scripts.walk_revisions()}:
        raise SettingsError(
            f"the database is at schema {found}, which this version of Gatehouse does not know",
            mend="Run the version that wrote it, or a newer one.",
        )
    if found != scripts.get_current_head():
        command.upgrade(config(conn), "head")


def _with_connection(url: str, fn: Callable[[Connection], T], *, write: bool) -> T:
    try:
        engine = open_engine(url, pool_size=1)
    except OSError as error:
        raise SettingsError(
            f"cannot make the folder of the database: {error}",
            mend="Check GATEHOUSE_DATABASE_URL and who may write there.",
        ) from error
    try:
        for attempt in range(_TRIES):
            try:
                with engine.connect().execution_options(gatehouse_write=write) as conn, conn.begin():
                    return fn(conn)
            except OperationalError as error:
                # Two processes that switch a new file to WAL at once are refused without waiting.
                if "locked" not in str(error.orig) or attempt == _TRIES - 1:
                    raise
                time.sleep(0.1)
        raise AssertionError("unreachable: the last attempt returns or raises")
    except DBAPIError as error:
        place = normalise_url(url).render_as_string(hide_password=True)
        raise SettingsError(
            f"cannot open the database {place}: {error.orig}",
            mend="Check GATEHOUSE_DATABASE_URL, that the server runs and that the folder can be written to.",
        ) from error
    finally:
        engine.dispose()
