"""The life of a finding over polls, through the public surface of intake."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, func, select, text

from bot.domain.findings import finding_id
from bot.intake.service import IngestReport, Intake
from bot.ports import Page
from bot.store import causes, findings, ledger, sources
from bot.store.database import Database
from bot.store.findings import FINDINGS, OBSERVATIONS
from bot.store.outbox import OUTBOX

from .kit import START, CountedIds, Mapper, StillClock, raw


async def poll(
    intake: Intake, mapper: Mapper, items: Sequence[Any], *, scopes: Sequence[str] = (), **page: Any
) -> IngestReport:
    run = await intake.begin("toy")
    await run.page(mapper, Page(items, complete_scopes=scopes, **page))
    return await run.finish(complete=bool(scopes))


def row(db: Database, uid: str) -> Any:
    return db.read_sync(findings.get, finding_id("toy", uid))


def count(db: Database, table: Any) -> int:
    return db.read_sync(lambda conn: conn.execute(select(func.count()).select_from(table)).scalar_one())


async def test_a_new_finding_is_open_triaged_routed_and_has_a_cause(
    intake: Intake, mapper: Mapper, db: Database
) -> None:
    report = await poll(intake, mapper, [raw("a", tags={"owner": "Payments", "env": "prod"})])
    found = row(db, "a")
    assert (report.received, report.created, report.cards) == (1, 1, 1)
    assert (found.status, found.environment, found.owner, found.decision) == ("open", "prod", "payments", "Act")
    cause = db.read_sync(causes.get, found.cause_id)
    assert (cause.open_count, cause.total_count, cause.priority, cause.playbook) == (1, 1, 1, "s3-block-public-access")
    assert cause.channels == '["slack:C0PAY"]'
    assert cause.owner_reason == "tag owner=Payments"
    finding, verdict = db.read_sync(findings.document, found.id)
    assert finding.resource.tags["env"] == "prod"
    assert verdict is not None
    assert verdict.decision.value == "Act"


async def test_an_unchanged_page_writes_no_row_at_all(intake: Intake, mapper: Mapper, db: Database) -> None:
    items = [raw(f"f{n}") for n in range(1200)]
    await poll(intake, mapper, items)
    mapper.mapped = 0
    run = await intake.begin("toy")

    def changes(conn: Connection) -> int:
        return int(conn.connection.dbapi_connection.total_changes)  # type: ignore[union-attr]

    seen: list[int] = []
    original = db.write_sync

    def counted(fn: Any, /, *args: Any, **kwargs: Any) -> Any:
        def around(conn: Connection) -> Any:
            before = changes(conn)
            result = fn(conn, *args, **kwargs)
            seen.append(changes(conn) - before)
            return result

        return original(around)

    db.write_sync = counted  # type: ignore[method-assign]
    await run.page(mapper, Page(items))
    db.write_sync = original  # type: ignore[method-assign]
    report = await run.finish()
    assert seen == [0]
    assert (report.unchanged, report.changed, report.created, mapper.mapped) == (1200, 0, 0, 0)


async def test_what_only_the_scan_changes_is_not_a_change(intake: Intake, mapper: Mapper) -> None:
    await poll(intake, mapper, [raw("a", scanned=START)])
    report = await poll(intake, mapper, [raw("a", scanned=START + timedelta(hours=1))])
    assert report.unchanged == 1


async def test_a_changed_finding_keeps_its_first_seen_and_both_observations(
    intake: Intake, mapper: Mapper, db: Database, clock: StillClock
) -> None:
    await poll(intake, mapper, [raw("a")])
    first = row(db, "a")
    clock.move(days=1)
    report = await poll(intake, mapper, [raw("a", title="Bucket is still public")])
    now = row(db, "a")
    assert (report.changed, report.created) == (1, 0)
    assert now.title == "Bucket is still public"
    assert (now.first_seen, now.due) == (first.first_seen, first.due)
    assert count(db, OBSERVATIONS) == 2
    assert [what for _, _, what in db.read_sync(findings.history, now.id)] == ["first seen", "told differently"]


@pytest.mark.parametrize("result", ["RESOLVED", "ARCHIVED", "DELETED"])
async def test_what_is_resolved_at_first_sight_makes_no_row(
    intake: Intake, mapper: Mapper, db: Database, result: str
) -> None:
    report = await poll(intake, mapper, [raw("a", result=result)])
    assert (report.ignored, report.created) == (1, 0)
    assert count(db, FINDINGS) == 0
    assert count(db, OBSERVATIONS) == 0


async def test_resolved_by_the_source_then_returned_is_reopened_with_its_history(
    intake: Intake, mapper: Mapper, db: Database, clock: StillClock
) -> None:
    await poll(intake, mapper, [raw("a")])
    clock.move(hours=1)
    report = await poll(intake, mapper, [raw("a", result="RESOLVED")])
    resolved = row(db, "a")
    assert (report.resolved, resolved.status, resolved.resolved_at) == (1, "resolved", clock.at)
    assert db.read_sync(causes.get, resolved.cause_id).state == "resolved"
    again = await poll(intake, mapper, [raw("a", result="RESOLVED")])
    assert (again.unchanged, again.resolved) == (1, 0)
    clock.move(hours=1)
    report = await poll(intake, mapper, [raw("a")])
    back = row(db, "a")
    assert (report.reopened, back.status, back.reopened, back.resolved_at) == (1, "reopened", 1, None)
    assert back.first_seen == resolved.first_seen
    assert db.read_sync(causes.get, back.cause_id).state == "open"


async def test_suppressed_by_the_source_and_back(intake: Intake, mapper: Mapper, db: Database) -> None:
    report = await poll(intake, mapper, [raw("a", result="SUPPRESSED")])
    assert (report.created, report.suppressed, row(db, "a").status, report.cards) == (1, 1, "suppressed", 0)
    report = await poll(intake, mapper, [raw("a")])
    assert (report.changed, row(db, "a").status, report.cards) == (1, "open", 1)


async def test_what_a_complete_scan_no_longer_shows_is_resolved_and_what_returns_is_reopened(
    intake: Intake, mapper: Mapper, db: Database
) -> None:
    both = [raw("a", scope="s1"), raw("b", scope="s1"), raw("c", scope="s2")]
    await poll(intake, mapper, both, scopes=["s1", "s2"])
    report = await poll(intake, mapper, both[:1], scopes=["s1"])
    assert report.resolved == 1
    assert row(db, "b").status == "resolved"
    assert row(db, "b").status_reason == findings.VANISHED
    assert row(db, "c").status == "open"
    report = await poll(intake, mapper, both, scopes=["s1", "s2"])
    assert (report.reopened, row(db, "b").reopened) == (1, 1)


async def test_an_incomplete_or_partly_unreadable_scan_resolves_nothing(
    intake: Intake, mapper: Mapper, db: Database
) -> None:
    await poll(intake, mapper, [raw("a", scope="s"), raw("b", scope="s")])
    await poll(intake, mapper, [raw("a", scope="s")])
    assert row(db, "b").status == "open"
    report = await poll(intake, mapper, [raw("a", scope="s"), {"no": "uid"}], scopes=["s"])
    assert row(db, "b").status == "open"
    assert "nothing was resolved" in report.notes[0]
    # A known finding whose content is broken was seen: it did not vanish either.
    await poll(intake, mapper, [raw("a", scope="s"), raw("b", scope="s", broken=True)], scopes=["s"])
    assert row(db, "b").status == "open"


async def test_a_verified_fix_is_believed_until_the_source_looks_later(
    intake: Intake, mapper: Mapper, db: Database, clock: StillClock, ids: CountedIds
) -> None:
    item = raw("a", scanned=START)
    await poll(intake, mapper, [item])
    found = row(db, "a")
    clock.move(hours=1)
    fixed = db.write_sync(findings.resolve_by_fix, ids, clock.at, execution_id="x-1", cause_id=found.cause_id)
    assert (fixed, row(db, "a").status_reason) == (1, "fixed and verified (x-1)")
    assert db.read_sync(causes.get, found.cause_id).state == "resolved"
    stale = await poll(intake, mapper, [item])
    assert (stale.unchanged, row(db, "a").status) == (1, "resolved")
    reworded = await poll(intake, mapper, [item | {"title": "Same scan, other words"}])
    assert (reworded.changed, row(db, "a").status) == (1, "resolved")
    late = await poll(intake, mapper, [item | {"scanned": clock.at + timedelta(minutes=1)}])
    assert (late.reopened, row(db, "a").status) == (1, "reopened")


async def test_undo_reopens_what_that_execution_resolved(
    intake: Intake, mapper: Mapper, db: Database, clock: StillClock, ids: CountedIds
) -> None:
    await poll(intake, mapper, [raw("a"), raw("b")])
    cause = row(db, "a").cause_id
    db.write_sync(findings.resolve_by_fix, ids, clock.at, execution_id="x-1", cause_id=cause,
                  finding_ids=[finding_id("toy", "a")])  # fmt: skip
    assert db.read_sync(causes.get, cause).open_count == 1
    back = db.write_sync(findings.reopen, ids, clock.at, cause_id=cause, reason="undone", execution_id="x-1")
    assert (back, row(db, "a").status, row(db, "b").status) == (1, "reopened", "open")
    assert db.read_sync(causes.get, cause).open_count == 2


async def test_a_page_and_its_cursor_are_stored_together_or_not_at_all(
    intake: Intake, mapper: Mapper, db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await poll(intake, mapper, [raw("a")], cursor={"page": 1})
    run = await intake.begin("toy")

    def torn(*_: Any, **__: Any) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(sources, "save_cursor", torn)
    with pytest.raises(OSError, match="disk full"):
        await run.page(mapper, Page([raw("b")], cursor={"page": 2}))
    monkeypatch.undo()
    assert await intake.cursor("toy") == {"page": 1}
    assert count(db, FINDINGS) == 1
    report = await run.fail("disk full")
    assert report.created == 0
    assert db.read_sync(sources.all_sources)[0].error == "disk full"
    await run.page(mapper, Page([raw("b")], cursor={"page": 2}))
    await run.finish()
    assert await intake.cursor("toy") == {"page": 2}


async def test_the_same_finding_twice_in_a_page_is_stored_once_the_last_word_counts(
    intake: Intake, mapper: Mapper, db: Database
) -> None:
    await poll(intake, mapper, [raw("a", title="one"), raw("a", title="two")])
    assert row(db, "a").title == "two"
    assert count(db, FINDINGS) == 1


async def test_every_page_that_changed_something_is_one_ledger_record_and_the_chain_holds(
    intake: Intake, mapper: Mapper, db: Database
) -> None:
    await poll(intake, mapper, [raw(f"f{n}") for n in range(700)])
    await poll(intake, mapper, [raw(f"f{n}") for n in range(700)])

    def kinds(conn: Connection) -> list[str]:
        return list(conn.execute(text("SELECT kind FROM ledger ORDER BY seq")).scalars())

    assert db.read_sync(kinds) == ["findings.page", "source.polled", "source.polled"]
    assert db.read_sync(ledger.verify).ok


async def test_findings_that_one_change_fixes_are_one_cause_and_one_card(
    intake: Intake, mapper: Mapper, db: Database
) -> None:
    await poll(intake, mapper, [raw(f"f{n}", rule="r") for n in range(30)] + [raw("x", rule="r", account="2" * 12)])
    assert count(db, causes.CAUSES) == 2
    assert count(db, OUTBOX) == 2
    assert db.read_sync(causes.get, row(db, "f0").cause_id).resource_count == 30
