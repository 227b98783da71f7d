"""Sources are told once, whatever happens between the call and its record; what they report next is believed."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from bot.domain.errors import OutcomeUnknown, Refused, RetryLater
from bot.intake.service import Intake
from bot.intake.telling import Telling
from bot.ports import Page, SourceNote
from bot.store import findings, tellings
from bot.store.database import Database
from bot.store.findings import FINDINGS
from bot.store.tellings import TELLINGS

from .kit import CountedIds, Mapper, StillClock


class Source:
    """Takes notes and keeps every one, as the real ones do: told twice is there twice."""

    source = "toy"

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.errors: list[Exception] = []
        self.after_effect: list[Exception] = []
        self.rescans = 0

    async def told(self, note: SourceNote) -> bool:
        return any(note.key in text for text in self.notes)

    async def tell(self, note: SourceNote) -> str:
        if self.errors:
            raise self.errors.pop(0)
        self.notes.append(f"{note.to}: {note.note}")
        if self.after_effect:
            raise self.after_effect.pop(0)
        return "status RESOLVED, note added"

    async def rescan(self, note: SourceNote) -> str:
        self.rescans += 1
        return "rescan asked for"

    async def close(self) -> None:
        return None


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
async def telling(db: Database, intake: Intake, clock: StillClock, ids: CountedIds, source: Source) -> Telling:
    run = await intake.begin("toy")
    await run.page(Mapper(), Page(items=({"uid": "a"},)))
    await run.finish()
    await fixed(db, clock)
    return Telling(db, {"toy": source}, clock, ids, "w1", ("slack:C1",))


async def fixed(db: Database, clock: StillClock, reason: str = "exe-1") -> None:
    """What a verified execution writes."""

    def write(conn: Any) -> None:
        found = list(conn.execute(select(FINDINGS.c.id)).scalars())
        findings.resolve(conn, found, clock.now(), f"{findings.FIXED} ({reason})")
        tellings.tell(conn, found, to="fixed", note="Fixed by Gatehouse", reason_id=reason, now=clock.now())

    await db.write(write)


async def states(db: Database) -> list[str]:
    return await db.read(lambda conn: list(conn.execute(select(TELLINGS.c.state)).scalars()))


async def test_a_fix_is_told_once_with_its_key_and_a_rescan_is_asked_for(
    db: Database, telling: Telling, source: Source, clock: StillClock
) -> None:
    await fixed(db, clock)  # written twice: told once
    assert await telling.work_once() == 1
    assert await telling.work_once() == 0
    assert len(source.notes) == 1
    assert "[tell-" in source.notes[0]
    assert (await states(db), source.rescans) == (["told"], 1)


async def test_after_an_unknown_outcome_the_source_is_read_before_anything_is_sent_again(
    db: Database, telling: Telling, source: Source, clock: StillClock
) -> None:
    source.after_effect = [OutcomeUnknown("no answer in time")]
    await telling.work_once()
    assert await states(db) == ["unknown"]
    clock.move(minutes=5)
    await telling.work_once()
    assert (await states(db), len(source.notes)) == (["told"], 1)


async def test_what_did_not_arrive_is_sent_again_and_a_refusal_is_said_to_operators(
    db: Database, telling: Telling, source: Source, clock: StillClock
) -> None:
    source.errors = [
        OutcomeUnknown("cut off before"),
        RetryLater("busy", after=600),
        Refused("no right to update issues"),
    ]
    await telling.work_once()
    clock.move(minutes=5)
    await telling.work_once()
    clock.move(minutes=5)
    assert await telling.work_once() == 0, "the source asked to wait for ten minutes"
    clock.move(minutes=6)
    await telling.work_once()
    assert (await states(db), source.notes) == (["refused"], [])
    from bot.store.outbox import OUTBOX

    said = await db.read(lambda conn: list(conn.execute(select(OUTBOX.c.payload)).scalars()))
    assert any("no right to update issues" in line for line in said)


async def test_a_crash_between_the_call_and_its_record_tells_nothing_twice(
    db: Database, telling: Telling, source: Source, clock: StillClock, ids: CountedIds
) -> None:
    rows = await db.write(tellings.claim, ("toy",), "dead", clock.now(), 5)
    await db.write(tellings.sending, rows[0].id, "dead")
    source.notes.append(f"fixed: told by the dead [{rows[0].id}]")
    clock.move(minutes=3)
    await telling.work_once()
    assert (await states(db), len(source.notes)) == (["told"], 1)


async def test_the_source_agrees_or_contradicts_with_its_next_report(
    db: Database, telling: Telling, intake: Intake, clock: StillClock
) -> None:
    await telling.work_once()
    clock.move(hours=1)
    run = await intake.begin("toy")
    await run.page(Mapper(), Page(items=({"uid": "a", "scanned": clock.now()},)))
    await run.finish()
    await telling.work_once()
    assert await states(db) == ["contradicted"]
    await fixed(db, clock, "exe-2")
    await telling.work_once()
    clock.move(hours=1)
    run = await intake.begin("toy")
    await run.page(Mapper(), Page(items=({"uid": "a", "result": "RESOLVED", "scanned": clock.now()},)))
    await run.finish()
    await telling.work_once()
    assert sorted(await states(db)) == ["agreed", "contradicted"]


async def reported(intake: Intake, clock: StillClock, result: str = "NEW") -> None:
    clock.move(hours=1)
    run = await intake.begin("toy")
    await run.page(Mapper(), Page(items=({"uid": "a", "result": result, "scanned": clock.now()},)))
    await run.finish()


async def test_what_a_source_closed_because_we_said_so_and_its_scan_opens_again_is_a_contradiction(
    db: Database, telling: Telling, intake: Intake, clock: StillClock
) -> None:
    await telling.work_once()
    await reported(intake, clock, "RESOLVED")
    await telling.work_once()
    assert await states(db) == ["agreed"]
    await reported(intake, clock)
    await telling.work_once()
    assert await states(db) == ["contradicted"]


async def test_a_problem_that_comes_back_days_later_is_a_new_one(
    db: Database, telling: Telling, intake: Intake, clock: StillClock
) -> None:
    await telling.work_once()
    await reported(intake, clock, "RESOLVED")
    await telling.work_once()
    clock.move(days=3)
    await reported(intake, clock)
    await telling.work_once()
    assert await states(db) == ["agreed"]


async def test_a_fix_that_was_undone_here_is_no_contradiction_of_the_source(
    db: Database, telling: Telling, intake: Intake, clock: StillClock
) -> None:
    await telling.work_once()
    clock.move(minutes=5)

    def undone(conn: Any) -> None:
        found = list(conn.execute(select(FINDINGS.c.id)).scalars())
        conn.execute(FINDINGS.update().values(status="reopened"))
        tellings.tell(conn, found, to="reopened", note="Undone", reason_id="exe-9", now=clock.now())

    await db.write(undone)
    await telling.work_once()
    assert sorted(await states(db)) == ["told", "told"]


async def test_a_later_decision_overtakes_what_was_not_told_yet(
    db: Database, telling: Telling, source: Source, clock: StillClock
) -> None:
    def undone(conn: Any) -> None:
        found = list(conn.execute(select(FINDINGS.c.id)).scalars())
        tellings.tell(conn, found, to="reopened", note="Undone", reason_id="exe-9", now=clock.now())

    await db.write(undone)
    await telling.work_once()
    assert [note.split(":")[0] for note in source.notes] == ["reopened"]


async def test_leases_run_out(db: Database, telling: Telling, clock: StillClock) -> None:
    await db.write(tellings.claim, ("toy",), "dead", clock.now(), 5)
    assert await telling.work_once() == 0
    await db.write(lambda conn: conn.execute(update(TELLINGS).values(leased_until=clock.now() - timedelta(seconds=1))))
    assert await telling.work_once() == 1
