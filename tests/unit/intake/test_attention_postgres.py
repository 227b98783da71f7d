"""The statements of attention on PostgreSQL: rules, moved causes, the daily message, escalation, the promise."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from bot.governance.policy import Policy
from bot.intake.attention import Attention
from bot.intake.regroup import Regroup
from bot.intake.service import Intake
from bot.intake.suppression import silenced
from bot.reports import attention as reports
from bot.store import ledger
from bot.store.database import Database
from bot.store.migrate import upgrade

from .kit import Catalog, CountedIds, Mapper, StillClock, raw
from .test_attention import SEC, chosen, posted
from .test_lifecycle import poll, row
from .test_stewardship import APPROVER, actor
from .test_suppression import QUIET, URGENT, make_urgent, rule, service, status


@pytest.fixture
def db(postgres_url: str) -> Iterator[Database]:
    upgrade(postgres_url)
    database = Database(postgres_url)
    yield database
    database.close_sync()


async def test_rules_and_channels(db: Database, clock: StillClock, ids: CountedIds, mapper: Mapper) -> None:
    settings = chosen(escalate_p1_minutes=60)
    intake, rules = Intake(db, settings, Catalog(), clock, ids), service(db, clock, ids, settings)
    dev = QUIET | {"tags": {"env": "dev"}}
    await poll(intake, mapper, [raw("d", rule="first", **dev), raw("e", rule="other", **dev), raw("u", **URGENT)])
    posted(db, ids, clock, "u")
    view = await rules.draft(actor(), rule())
    assert view.preview.hides == 2
    assert (await rules.activate(view.id, view.hash, actor(APPROVER))).hidden == 2
    await make_urgent(db, "d", ids, clock)
    assert status(db, "d")[0] == "open"
    assert [line.count for line in await db.read(silenced)] == [1]
    clock.move(days=1)
    assert await Attention(db, settings, clock, ids).tick() >= 2  # the daily message and the escalation
    daily = await db.read(reports.daily, settings, SEC, clock.at - timedelta(days=2), clock.at)
    assert (daily.total_new, daily.open) == (3, 2)
    seen = await db.read(reports.attention, settings, clock.at)
    assert (seen.promise.posted, seen.promise.overdue) == (1, 0)
    await rules.end(view.id, actor())
    a, b = str(row(db, "d").cause_id), str(row(db, "e").cause_id)
    regroup = Regroup(db, settings, clock, ids, Policy.load(settings.governance))
    await regroup.merge(a, b, actor(), "one script")
    assert row(db, "d").cause_id == b
    await regroup.undo(b, actor())
    assert row(db, "d").cause_id == a
    assert await rules.tick() == 0
    assert db.read_sync(ledger.verify).ok
