"""Conversations and rosters of Teams, on both databases."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from bot.store import teams as store
from bot.store.database import Database
from bot.store.tables import metadata

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
TENANT, TEAM = "99999999-0000-4000-8000-000000000001", "19:team@thread.tacv2"


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def db(request: pytest.FixtureRequest) -> Iterator[Database]:
    made = Database(request.getfixturevalue(f"{request.param}_url"))
    metadata.create_all(made.engine)
    for name, team in (("19:a", TEAM), ("19:b", TEAM), ("19:c", "19:other")):
        kept = store.Conversation(TENANT, name, "channel", "https://x/", "28:b", team=team)
        made.write_sync(store.keep_conversation, kept, NOW)
        made.write_sync(store.keep_roster, store.Roster(TENANT, name, "h", NOW, {"u1": "29:1"}))
    yield made
    made.close_sync()


def known(db: Database) -> list[str]:
    return [name for name in ("19:a", "19:b", "19:c") if db.read_sync(store.roster, TENANT, name)]


def test_a_roster_is_kept_and_written_over(db: Database) -> None:
    later = NOW + timedelta(hours=1)
    db.write_sync(store.keep_roster, store.Roster(TENANT, "19:a", "h2", later, {"u2": "29:2"}))
    assert db.read_sync(store.roster, TENANT, "19:a") == store.Roster(TENANT, "19:a", "h2", later, {"u2": "29:2"})
    assert db.read_sync(store.roster, "another", "19:a") is None


def test_who_is_in_a_team_changed_is_forgotten_in_all_its_channels(db: Database) -> None:
    db.write_sync(store.forget_rosters, TENANT, "19:general", TEAM)
    assert known(db) == ["19:c"]


def test_who_is_in_a_chat_changed_is_forgotten_there(db: Database) -> None:
    db.write_sync(store.forget_rosters, TENANT, "19:a")
    assert known(db) == ["19:b", "19:c"]
    db.write_sync(store.forget_rosters, "another", "19:b", TEAM)
    assert known(db) == ["19:b", "19:c"]


def test_with_the_app_the_rosters_go(db: Database) -> None:
    db.write_sync(store.removed, TENANT, "19:c")
    gone = db.read_sync(store.conversation, TENANT, "19:c")
    assert gone is not None
    assert (known(db), gone.installed) == (["19:a", "19:b"], False)
    db.write_sync(store.keep_conversation, store.Conversation(TENANT, "19:c", "channel", "https://x/", "28:b"), NOW)
    back = db.read_sync(store.conversation, TENANT, "19:c")
    assert back is not None
    assert back.installed
