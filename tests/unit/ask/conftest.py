from __future__ import annotations

from collections.abc import Iterator

import pytest

from bot.ask import vocabulary
from bot.ask.reader import Reader
from bot.ask.sql import EVERYTHING
from bot.store.database import Database
from bot.store.migrate import upgrade

from . import company


@pytest.fixture(scope="session")
def bergland(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """The company, once for all tests that only read."""
    url = f"sqlite:///{tmp_path_factory.mktemp('bergland')}/ask.db"
    upgrade(url)
    db = Database(url)
    db.write_sync(company.store, company.facts(400))
    yield db
    db.close_sync()


@pytest.fixture(scope="session")
def reader(bergland: Database) -> Reader:
    return Reader(bergland.read_sync(vocabulary.load, EVERYTHING))
