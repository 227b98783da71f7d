"""Migrations make exactly the schema the code expects, however many processes start at once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text

from bot.domain.errors import SettingsError
from bot.store.database import open_engine
from bot.store.migrate import config, head, is_current, upgrade
from bot.store.tables import metadata


def differences(url: str) -> list[Any]:
    engine = open_engine(url, pool_size=1)
    try:
        with engine.connect() as conn:
            return list(compare_metadata(MigrationContext.configure(conn, opts={"compare_type": True}), metadata))
    finally:
        engine.dispose()


def test_the_migrated_schema_is_the_schema_of_the_tables(sqlite_url: str) -> None:
    upgrade(sqlite_url)
    assert differences(sqlite_url) == []
    assert is_current(sqlite_url)


@pytest.mark.postgres
def test_the_migrated_schema_is_the_schema_of_the_tables_on_postgresql(postgres_url: str) -> None:
    assert not is_current(postgres_url)
    upgrade(postgres_url)
    upgrade(postgres_url)
    assert differences(postgres_url) == []
    assert is_current(postgres_url)


def test_a_missing_file_is_created_with_its_folder_but_not_by_asking(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/deep/down/g.db"
    assert not is_current(url)
    assert not (tmp_path / "deep").exists()
    upgrade(url)
    assert is_current(url)


def test_processes_that_start_together_migrate_once(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/g.db"
    code = f"from bot.store.migrate import upgrade; upgrade({url!r})"
    root = Path(__file__).parents[3]
    started = [subprocess.Popen([sys.executable, "-c", code], cwd=root, stderr=subprocess.PIPE) for _ in range(3)]
    said = [process.communicate(timeout=90)[1].decode() for process in started]
    assert [process.returncode for process in started] == [0, 0, 0], said
    assert differences(url) == []


def test_a_database_of_a_newer_version_is_left_alone(sqlite_url: str) -> None:
    upgrade(sqlite_url)
    engine = open_engine(sqlite_url, pool_size=1)
    with engine.connect().execution_options(gatehouse_write=True) as conn, conn.begin():
        conn.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    engine.dispose()
    assert not is_current(sqlite_url)
    with pytest.raises(SettingsError, match="9999"):
        upgrade(sqlite_url)


def test_an_upgrade_that_breaks_leaves_nothing_behind(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import bot.store.migrate as migrate

    def torn(*_: Any) -> None:
        raise RuntimeError("power cut")

    real = migrate.command.upgrade
    monkeypatch.setattr(migrate.command, "upgrade", lambda *a: (real(*a), torn()))
    with pytest.raises(RuntimeError, match="power cut"):
        upgrade(sqlite_url)
    monkeypatch.undo()
    engine = open_engine(sqlite_url, pool_size=1)
    with engine.connect() as conn:
        assert inspect(conn).get_table_names() == []
    engine.dispose()


def test_a_folder_that_cannot_be_made_says_what_to_check(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(SettingsError, match="GATEHOUSE_DATABASE_URL"):
        upgrade(f"sqlite:///{tmp_path}/file/g.db")


def test_there_is_one_line_of_migrations_and_the_newest_is_what_a_database_gets(sqlite_url: str) -> None:
    assert len(ScriptDirectory.from_config(config()).get_heads()) == 1
    upgrade(sqlite_url)
    engine = open_engine(sqlite_url, pool_size=1)
    with engine.connect() as conn:
        assert conn.execute(text("SELECT version_num FROM alembic_version")).scalars().all() == [head()]
    engine.dispose()
