from __future__ import annotations

from collections.abc import Iterator

import pytest

from bot.store.database import Database
from bot.store.migrate import upgrade


@pytest.fixture
def db(sqlite_url: str) -> Iterator[Database]:
    upgrade(sqlite_url)
    database = Database(sqlite_url)
    yield database
    database.close_sync()
