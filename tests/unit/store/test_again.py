"""What is stored once is known to have been stored, on both databases: a click delivered again, a wish that waits."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from sqlalchemy import Connection

from bot.domain.ids import RandomIds
from bot.store import clicks, outbox
from bot.store.database import Database
from bot.store.tables import metadata

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def db(request: pytest.FixtureRequest):
    made = Database(request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "postgres_url"))
    metadata.create_all(made.engine)
    yield made
    made.close_sync()


def receive(conn: Connection, click: str) -> bool:
    return clicks.receive(conn, click_id=click, platform="slack", kind="k", identity="{}", payload="{}", now=NOW)


def test_a_click_that_is_delivered_again_is_known(db):
    assert db.write_sync(receive, "one")
    assert not db.write_sync(receive, "one")
    assert db.write_sync(receive, "two")
    db.write_sync(clicks.finish, "one", state="done", outcome="", now=NOW)
    assert not db.write_sync(receive, "one")


def test_a_wish_that_waits_is_not_queued_twice(db):
    def wish(conn: Connection) -> bool:
        return outbox.enqueue(conn, RandomIds(), NOW, address="slack:C1", kind="card", subject="c-1")

    assert db.write_sync(wish)
    assert not db.write_sync(wish)
