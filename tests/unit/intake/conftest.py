from __future__ import annotations

from collections.abc import Iterator

import pytest

from bot.intake.service import Intake
from bot.store.database import Database
from bot.store.migrate import upgrade

from .kit import Catalog, CountedIds, Mapper, StillClock, settings


@pytest.fixture
def db(sqlite_url: str) -> Iterator[Database]:
    upgrade(sqlite_url)
    database = Database(sqlite_url)
    yield database
    database.close_sync()


@pytest.fixture
def clock() -> StillClock:
    return StillClock()


@pytest.fixture
def ids() -> CountedIds:
    return CountedIds()


@pytest.fixture
def mapper() -> Mapper:
    return Mapper()


@pytest.fixture
def intake(db: Database, clock: StillClock, ids: CountedIds) -> Intake:
    return Intake(db, settings(), Catalog(), clock, ids)
