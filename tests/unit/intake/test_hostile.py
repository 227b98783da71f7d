"""Bad input: kept aside and counted, never in the way of the good findings of the same page; on both databases."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import select

from bot.domain.errors import BadInput
from bot.domain.findings import finding_id
from bot.domain.ids import RandomIds
from bot.intake.cleaning import clean, clean_all, raw_bytes
from bot.intake.service import Intake
from bot.ports import Page
from bot.store import causes, findings
from bot.store.database import Database
from bot.store.migrate import upgrade
from bot.store.sources import EXCERPT_BYTES, REJECTS

from .kit import Catalog, Mapper, StillClock, raw, settings
from .test_lifecycle import poll, row

MEGABYTE = "A" * (1 << 20)


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def db(request: pytest.FixtureRequest) -> Iterator[Database]:
    url = request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "postgres_url")
    upgrade(url)
    database = Database(url)
    yield database
    database.close_sync()


@pytest.fixture
def intake(db: Database, clock: StillClock) -> Intake:
    return Intake(db, settings(), Catalog(), clock, RandomIds())


async def test_hostile_text_is_stored_safely_and_the_raw_payload_whole(
    intake: Intake, mapper: Mapper, db: Database
) -> None:
    tags = {"owner\x00": MEGABYTE, "env": "prod\x00", "k" * 5000: "v"}
    nasty = raw(
        "n\x00asty\u202e<!channel>",
        title=f"<!channel> \x00 {MEGABYTE}",
        resource="arn:" + "é" * 100_000,
        rule=MEGABYTE,
        account="9" * 100_000,
        desc=MEGABYTE,
        scope=MEGABYTE,
        tags=tags,
    )
    report = await poll(intake, mapper, [nasty, raw("good")])
    assert (report.created, report.rejected) == (2, 0)
    found = row(db, nasty["uid"])
    assert 490 < len(found.title) <= 500
    assert found.title.startswith("<!channel>  A")
    assert len(found.resource_uid.encode()) < 2700
    assert "\x00" not in found.uid + found.title
    finding, _ = db.read_sync(findings.document, found.id)
    assert finding.title == nasty["title"]
    assert (await poll(intake, mapper, [nasty, raw("good")])).unchanged == 2


async def test_a_vanished_finding_of_an_absurd_scope_is_still_found(
    intake: Intake, mapper: Mapper, db: Database
) -> None:
    await poll(intake, mapper, [raw("a", scope=MEGABYTE)], scopes=[MEGABYTE])
    assert (await poll(intake, mapper, [raw("b", scope=MEGABYTE)], scopes=[MEGABYTE])).resolved == 1


async def test_broken_objects_are_kept_aside_once_and_the_rest_is_stored(
    intake: Intake, mapper: Mapper, db: Database
) -> None:
    items: list[Any] = [
        raw("a"),
        {"uid": 7},
        raw("b", broken=True, blob=MEGABYTE),
        raw("c", severity="SPICY"),
        None,
        raw("d"),
    ]
    page = Page(items, rejected=[("line 17", "not JSON")])
    for _ in range(2):
        run = await intake.begin("toy")
        await run.page(mapper, page)
        report = await run.finish()
        assert (report.received, report.rejected) == (6, 5)
    rows = db.read_sync(lambda conn: conn.execute(select(REJECTS)).all())
    assert {(r.place, r.why) for r in rows} >= {
        ("item 2", "no uid"),
        ("item 3", "broken on purpose"),
        ("line 17", "not JSON"),
    }
    assert len(rows) == 5
    assert max(len(r.excerpt) for r in rows) == EXCERPT_BYTES
    assert row(db, "d").status == "open"


async def test_a_mapping_that_disagrees_with_its_sighting_is_refused(intake: Intake, db: Database) -> None:
    class Liar(Mapper):
        def map(self, raw: Any) -> Any:
            return super().map(raw | {"uid": "somebody else's"})

    report = await poll(intake, Liar(), [raw("a")])
    assert (report.rejected, report.created) == (1, 0)


async def test_lone_surrogates_and_odd_types_do_not_stop_a_page(intake: Intake, mapper: Mapper, db: Database) -> None:
    odd = [raw("s", note="\ud800"), raw("d", note=Decimal("1.5")), raw("i", note=1 << 80), {**raw("k"), 5: "key"}]
    for item in odd:
        item["content"] = item["uid"]
    report = await poll(intake, mapper, [*odd, raw("good")])
    assert (report.created, report.rejected) == (5, 0)


async def test_the_loop_never_waits_while_a_big_page_is_stored(intake: Intake, mapper: Mapper) -> None:
    run = await intake.begin("toy")
    storing = asyncio.create_task(run.page(mapper, Page([raw(f"f{n}", rule=f"r{n % 50}") for n in range(2000)])))
    ticks = 0
    while not storing.done():
        await asyncio.sleep(0.005)
        ticks += 1
    await storing
    assert ticks >= 5


async def test_the_life_cycle_is_the_same_on_both_databases(intake: Intake, mapper: Mapper, db: Database) -> None:
    both = [raw("a", scope="s"), raw("b", scope="s")]
    await poll(intake, mapper, both, scopes=["s"], cursor={"at": 1})
    assert (await poll(intake, mapper, both[:1], scopes=["s"])).resolved == 1
    assert (await poll(intake, mapper, both, scopes=["s"])).reopened == 1
    cause = db.read_sync(causes.get, row(db, "b").cause_id)
    assert (cause.open_count, cause.total_count, cause.state) == (2, 2, "open")
    assert await intake.cursor("toy") == {"at": 1}


def test_cleaning() -> None:
    assert clean("a\x00b") == "ab"
    assert clean("x" * 501) == "x" * 499 + "…"
    assert clean("\ud800é") == "?é"
    assert clean_all(("a", "b\x00"), (200, 200)) == ("a", "b")
    assert clean_all(("a", "b" * 300), (200, 200)) == ("a", "b" * 199 + "…")
    assert raw_bytes({1: "a"}) == b'{"1": "a"}'


def test_bad_input_is_what_mappers_raise() -> None:
    with pytest.raises(BadInput):
        Mapper().sight({})
    assert Mapper().sight(raw("a")).uid == "a"
    assert finding_id("toy", "a") != finding_id("to", "ya")
