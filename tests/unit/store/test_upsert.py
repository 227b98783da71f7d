"""Bulk writes bind values as SQLAlchemy itself does, so that both read the same back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from sqlalchemy import Connection, insert, select, text

from bot.store.database import Database
from bot.store.findings import RESOURCES
from bot.store.migrate import upgrade
from bot.store.upsert import chunks, upsert

AT = datetime(2026, 3, 2, 9, 0, 0, 120, tzinfo=UTC)


def resource(uid: str, **more: object) -> dict[str, object]:
    return {"id": uid, "uid": uid, "name": "", "type": "", "provider": "", "account_uid": "", "region": "",
            "environment": "prod", "owner": "", "tags": "{}", "content": "1", "changed_at": AT} | more  # fmt: skip


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def db(request: pytest.FixtureRequest):  # type: ignore[no-untyped-def]
    url = request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "postgres_url")
    upgrade(url)
    database = Database(url)
    yield database
    database.close_sync()


def test_times_are_stored_as_core_stores_them(db: Database) -> None:
    elsewhere = AT.astimezone(timezone(timedelta(hours=5)))

    def write(conn: Connection) -> list[object]:
        upsert(conn, RESOURCES, ["id"], [resource("ours", changed_at=elsewhere)])
        conn.execute(insert(RESOURCES), resource("core"))
        raw = conn.execute(text("SELECT changed_at FROM resources ORDER BY id")).scalars().all()
        assert raw[0] == raw[1]
        return list(conn.execute(select(RESOURCES.c.changed_at)).scalars())

    assert db.write_sync(write) == [AT, AT]
    with pytest.raises(ValueError, match="aware"):
        db.write_sync(upsert, RESOURCES, ["id"], [resource("n", changed_at=AT.replace(tzinfo=None))])


def test_a_row_is_updated_only_where_the_named_column_differs(db: Database) -> None:
    def write(conn: Connection) -> dict[str, str]:
        upsert(conn, RESOURCES, ["id"], [resource("a"), resource("b")], differs="content")
        news = [resource("a", name="same content"), resource("b", name="new", content="2"), resource("c")]
        upsert(conn, RESOURCES, ["id"], news, differs="content")
        upsert(conn, RESOURCES, ["id"], [resource("c", name="late")], change=[])
        return {row.id: row.name for row in conn.execute(select(RESOURCES.c.id, RESOURCES.c.name))}

    assert db.write_sync(write) == {"a": "", "b": "new", "c": ""}


def test_chunks_keep_order_and_lose_nothing() -> None:
    assert list(chunks(range(5), 2)) == [[0, 1], [2, 3], [4]]
    assert list(chunks([])) == []
