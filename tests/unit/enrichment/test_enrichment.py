"""Lists kept current: what they change is judged again and said, what they do not change is not written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, select, text

from bot.domain.errors import RetryLater
from bot.domain.findings import Finding, FindingClass
from bot.intake.enrichment import Enrichment
from bot.intake.service import Intake
from bot.ports import CveRecord, Edition, Page
from bot.reports.board import Board
from bot.settings import Settings
from bot.store import causes, findings, outbox, posts
from bot.store.database import Database
from bot.store.migrate import upgrade
from tests.unit.intake.kit import Catalog, CountedIds, Mapper, StillClock, raw, settings


class Vulnerabilities(Mapper):
    def map(self, raw: Any) -> Finding:
        return super().map(raw).model_copy(update={"class_uid": FindingClass.VULNERABILITY})


class Listed:
    """A list that tests write."""

    def __init__(self, name: str, rows: Sequence[dict[str, Any]] = (), day: int = 1) -> None:
        self.name, self.rows, self.day, self.asked = name, list(rows), day, 0
        self.error: Exception | None = None
        self.etag = ""

    async def edition(self, etag: str) -> Edition | None:
        self.asked += 1
        if self.error is not None:
            raise self.error
        if etag and etag == self.etag:
            return None
        return Edition(f"v{self.day}", datetime(2026, 3, self.day, tzinfo=UTC), self.rows, self.etag)

    async def close(self) -> None:
        return None


class Records:
    name = "nvd"

    def __init__(self, **known: CveRecord) -> None:
        self.known, self.asked = known, list[str]()
        self.error: Exception | None = None

    async def record(self, cve: str) -> CveRecord | None:
        if self.error is not None:
            raise self.error
        self.asked.append(cve)
        return self.known.get(cve.replace("-", "_"))

    async def close(self) -> None:
        return None


def listed(*cves: str, added: str = "2026-03-01") -> list[dict[str, Any]]:
    return [{"cve": cve, "added": added, "due": "", "ransomware": False, "name": cve} for cve in cves]


def scored(**scores: float) -> list[dict[str, Any]]:
    return [{"cve": cve.replace("_", "-"), "epss": epss, "percentile": 0.5, "content": f"{epss}"}
            for cve, epss in scores.items()]  # fmt: skip


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def url(request: pytest.FixtureRequest) -> str:
    return str(request.getfixturevalue(f"{request.param}_url"))


@pytest.fixture
def db(url: str) -> Iterator[Database]:
    upgrade(url)
    database = Database(url)
    yield database
    database.close_sync()


@pytest.fixture
def clock() -> StillClock:
    return StillClock()


@pytest.fixture
def ids() -> CountedIds:
    return CountedIds()


def company(**more: Any) -> Settings:
    return settings().model_copy(update={"enrichment": Settings(enrichment=more).enrichment})


async def ingest(db: Database, clock: StillClock, ids: CountedIds, *items: dict[str, Any]) -> None:
    run = await Intake(db, company(), Catalog(), clock, ids).begin("toy")
    await run.page(Vulnerabilities(), Page([{"exposed": None, "tags": {"env": "prod", "owner": "payments"}, **item}
                                            for item in items]))  # fmt: skip
    await run.finish()


def cve(number: int, **more: Any) -> dict[str, Any]:
    return raw(f"u{number}", vulnerabilities=[{"uid": f"CVE-2026-000{number}", "cvss": 6.1, **more}])


def rows(conn: Connection) -> dict[str, Any]:
    return {row.uid: row for row in conn.execute(select(findings.FINDINGS))}


async def test_an_addition_to_kev_raises_the_priority_and_refreshes_the_card_with_the_reason(
    db: Database, clock: StillClock, ids: CountedIds
) -> None:
    kev = Listed("kev", listed("CVE-2026-0009"))
    enrichment = Enrichment(db, company(), clock, ids, [kev])
    await enrichment.update("kev")
    await ingest(db, clock, ids, cve(1), cve(2))
    before = await db.read(rows)
    cause = before["u1"].cause_id
    assert before["u1"].priority == 4
    assert before["u1"].kev is False

    def stand(conn: Connection) -> int:
        where = {"kind": "cause", "subject": cause, "platform": "slack", "channel": "C0PAY"}
        conn.execute(posts.POSTS.insert().values(id="p1", message_id="1.2", shown_revision=0, **where))
        conn.execute(outbox.OUTBOX.delete())
        return int(causes.get(conn, cause).revision)

    revision = await db.write(stand)
    clock.move(hours=1)
    kev.rows, kev.day = listed("CVE-2026-0009") + listed("CVE-2026-0001", added="2026-03-02"), 2
    done = await enrichment.update("kev")
    assert (done.written, done.retriaged, done.raised) == (1, 1, 1)
    after = await db.read(rows)
    assert (after["u1"].priority, after["u1"].kev) == (2, True)
    assert after["u1"].due == clock.now() + timedelta(days=14)
    assert after["u2"] == before["u2"]
    row = await db.read(causes.get, cause)
    assert row.note == "CVE-2026-0001 added to KEV on 2026-03-02, P4 became P2"
    assert row.revision > revision
    assert row.priority == 2
    waiting = await db.read(lambda conn: [r.kind for r in conn.execute(select(outbox.OUTBOX))])
    assert sorted(waiting) == ["card", "thread"]
    view = await Board(db, company(), Catalog(), clock).finding(after["u1"].id)
    assert view.verdict is not None
    first = next(reason for reason in view.verdict.reasons if reason.input == "exploitation")
    assert first.fact.startswith("added to KEV on 2026-03-02")
    assert (first.source, first.as_of) == ("CISA KEV", datetime(2026, 3, 2, tzinfo=UTC))


async def test_what_leaves_the_list_is_judged_again_too(db: Database, clock: StillClock, ids: CountedIds) -> None:
    kev = Listed("kev", listed("CVE-2026-0001", "CVE-2026-0009"))
    enrichment = Enrichment(db, company(), clock, ids, [kev])
    await enrichment.update("kev")
    await ingest(db, clock, ids, cve(1))
    assert (await db.read(rows))["u1"].priority == 2
    kev.rows, kev.day = listed("CVE-2026-0009"), 2
    await enrichment.update("kev")
    assert (await db.read(rows))["u1"].priority == 4


async def test_nothing_is_written_when_nothing_changes(db: Database, clock: StillClock, ids: CountedIds) -> None:
    lists = [Listed("kev", listed("CVE-2026-0001")), Listed("epss", scored(CVE_2026_0001=0.5, CVE_2026_0002=0.501))]
    enrichment = Enrichment(db, company(), clock, ids, lists)
    for each in lists:
        await enrichment.update(each.name)
    await ingest(db, clock, ids, cve(1), cve(2), cve(3))

    def everything(conn: Connection) -> list[Any]:
        tables = ("findings", "observations", "causes", "outbox", "intel_kev", "intel_epss", "ledger")
        return [conn.execute(text(f"SELECT * FROM {table} ORDER BY 1, 2")).all() for table in tables]

    before = await db.read(everything)
    clock.move(days=1)
    for each in lists:
        each.day = 2  # a newer edition that says the same
        assert (await enrichment.update(each.name)).written == 0
    assert await db.read(everything) == before
    # A score that moves by less than a hundredth is stored, and no finding is touched.
    lists[1].rows, lists[1].day = scored(CVE_2026_0001=0.5, CVE_2026_0002=0.502), 3
    done = await enrichment.update("epss")
    assert (done.written, done.retriaged) == (1, 0)
    after = await db.read(everything)
    assert after[:4] == before[:4]


async def test_epss_counts_where_the_source_gives_none(db: Database, clock: StillClock, ids: CountedIds) -> None:
    await ingest(db, clock, ids, cve(1), cve(2, epss=0.01))
    enrichment = Enrichment(db, company(), clock, ids, [Listed("epss", scored(CVE_2026_0001=0.5, CVE_2026_0002=0.5))])
    await enrichment.update("epss")
    found = await db.read(rows)
    assert (found["u1"].epss, found["u1"].priority) == (0.5, 3)
    assert (found["u2"].epss, found["u2"].priority) == (0.01, 4)


async def test_a_finding_of_several_cves_is_found_by_each(db: Database, clock: StillClock, ids: CountedIds) -> None:
    two = raw("both", vulnerabilities=[{"uid": "CVE-2026-0001", "cvss": 6.1}, {"uid": "CVE-2026-0002"}])
    await ingest(db, clock, ids, two)
    enrichment = Enrichment(db, company(), clock, ids, [Listed("kev", listed("CVE-2026-0002"))])
    assert (await enrichment.update("kev")).raised == 1
    assert (await db.read(rows))["both"].kev is True


async def test_nvd_is_asked_within_the_budget_of_the_day_most_urgent_first(
    db: Database, clock: StillClock, ids: CountedIds
) -> None:
    records = Records(
        CVE_2026_0001=CveRecord("CVE-2026-0001", 9.8, "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", "x")
    )
    bare = [raw(f"u{n}", vulnerabilities=[{"uid": f"CVE-2026-000{n}", "exploit": n == 1}]) for n in (1, 2, 3, 4)]
    await ingest(db, clock, ids, *bare)
    enrichment = Enrichment(db, company(nvd_per_day=3), clock, ids, [], records)
    first = await enrichment.look_up(2)
    assert first is not None
    assert records.asked[0] == "CVE-2026-0001"
    assert len(records.asked) == 2
    await enrichment.look_up(2)
    assert await enrichment.look_up(2) is None
    assert len(records.asked) == 3
    assert "0 of 3 calls left today" in {v.name: v.said for v in await enrichment.status()}["nvd"]
    clock.move(days=1)
    await enrichment.look_up(5)
    assert len(records.asked) == len(set(records.asked)) == 4
    found = await db.read(rows)
    assert found["u1"].cvss == 9.8
    view = await Board(db, company(), Catalog(), clock).finding(found["u1"].id)
    assert view.verdict is not None
    assert {(e.input, e.value, e.source) for e in view.verdict.reasons} >= {
        ("automatable", "yes", "NVD"), ("technical_impact", "total", "NVD")
    }  # fmt: skip


async def test_a_list_that_cannot_be_had_is_said_once_and_its_last_edition_stays(
    db: Database, clock: StillClock, ids: CountedIds
) -> None:
    kev = Listed("kev", listed("CVE-2026-0001"))
    kev.etag = '"a"'
    enrichment = Enrichment(db, company(enabled=True), clock, ids, [kev])
    assert await enrichment.tick() == 1
    assert await enrichment.tick() == 0  # not due
    clock.move(hours=7)
    kev.error = RetryLater("no route to host")
    await enrichment.tick()
    await enrichment.tick()  # failed just now: left alone for a while
    assert kev.asked == 2
    clock.move(days=9)
    await enrichment.tick()
    assert kev.asked == 3
    said = await db.read(lambda conn: [r.payload for r in conn.execute(select(outbox.OUTBOX))])
    assert len(said) == 1
    assert "no route to host" in said[0]
    view = next(v for v in await enrichment.status() if v.name == "kev")
    assert not view.ok
    assert view.stale
    assert "10 days old, more than 7" in view.said
    assert "no route to host" in view.said
    await ingest(db, clock, ids, cve(1))
    assert (await db.read(rows))["u1"].kev is True
    kev.error = None
    clock.move(hours=1)
    await enrichment.tick()
    assert "cannot be had" not in next(v for v in await enrichment.status() if v.name == "kev").said


async def test_an_older_edition_is_left_alone(db: Database, clock: StillClock, ids: CountedIds) -> None:
    kev = Listed("kev", listed("CVE-2026-0001"), day=5)
    enrichment = Enrichment(db, company(), clock, ids, [kev])
    await enrichment.update("kev")
    kev.rows, kev.day = listed("CVE-2026-0002"), 4
    assert (await enrichment.update("kev")).written == 0


async def test_what_was_never_fetched_says_so(db: Database, clock: StillClock, ids: CountedIds) -> None:
    views = await Enrichment(db, company(), clock, ids).status()
    assert [view.name for view in views] == ["kev", "epss", "nvd", "aws"]
    assert all("never fetched" in view.said for view in views)


@pytest.mark.shared
async def test_the_real_kev_list_makes_log4shell_urgent(db: Database, clock: StillClock, ids: CountedIds) -> None:
    from connectors.epss import EpssFile
    from connectors.kev import KevFile

    samples = Path(__file__).parents[4] / "shared" / "samples" / "threat-intel"
    await ingest(db, clock, ids, raw("log4j", vulnerabilities=[{"uid": "CVE-2021-44228", "cvss": 10.0}]))
    enrichment = Enrichment(db, company(), clock, ids)
    kev = await enrichment.update("kev", KevFile(samples / "kev_full.json.gz"))
    assert (kev.ok, kev.written, kev.retriaged) == (True, 1662, 1)
    await enrichment.update("epss", EpssFile(samples / "epss_scores-sample.csv"))
    found = (await db.read(rows))["log4j"]
    assert (found.kev, found.priority, found.epss) == (True, 1, 0.94465)
