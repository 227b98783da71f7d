"""Poller, write-back and webhook of Orca against the simulated Orca over HTTP, stored by the real intake."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest
from aiohttp.test_utils import TestServer
from sqlalchemy import select

from bot.domain.errors import Gone, OutcomeUnknown, Refused, Relogin, RetryLater
from bot.intake.service import Intake
from bot.ports import SourceNote
from bot.sandbox.vendors.company import START, World
from bot.sandbox.vendors.orca import OrcaSimulator
from bot.store.database import Database
from bot.store.tables import FindingRow
from connectors.http import HttpClient, Pace
from connectors.options import parse
from connectors.orca.client import OrcaApi, http_of
from connectors.orca.mapping import OrcaMapper
from connectors.orca.options import OrcaOptions
from connectors.orca.poller import OrcaPoller, look
from connectors.orca.webhook import OrcaWebhook
from connectors.orca.write_back import OrcaWriteBack
from tests.unit.intake.kit import Catalog, CountedIds, StillClock, settings

TOKEN = "a-token-of-the-simulation"
SECRET = "a-secret-of-the-webhook"
FINDINGS = FindingRow.__table__  # type: ignore[attr-defined]


async def no_sleep(_: float) -> None:
    return None


class Site:
    """A simulated Orca, its clock, and our side of it."""

    def __init__(self, size: int = 60) -> None:
        self.clock = StillClock(START + timedelta(days=1))
        self.world = World(size, seed=3, demo=False)
        self.orca = OrcaSimulator(self.world, token=TOKEN, now=self.clock.now, supported=10_000)
        self.server = TestServer(self.orca.app())
        self.opened: list[HttpClient] = []

    def options(self, **more: Any) -> OrcaOptions:
        return parse("orca", OrcaOptions, {"url": self.base, "token": TOKEN, "webhook_secret": SECRET, **more})

    @property
    def base(self) -> str:
        return str(self.server.make_url("")).rstrip("/")

    def api(self, options: OrcaOptions) -> OrcaApi:
        http = http_of(options, sleep=no_sleep, jitter=lambda: 0.0, pace=Pace(1e6, burst=1000))
        self.opened.append(http)
        return OrcaApi(http, options.page_size)

    def poller(self, **more: Any) -> OrcaPoller:
        options = self.options(page_size=more.pop("page_size", 7), **more)
        return OrcaPoller(self.api(options), options)

    def truth(self) -> dict[str, tuple[str, str, str]]:
        """alert -> (state, severity, tags) as Orca has it."""
        found = {}
        for problem in self.world.problems():
            old = self.orca.legacy(problem)
            found[old["state"]["alert_id"]] = (old["state"]["status"], problem.severity, problem.resource_arn)
        return found


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    made = Site()
    await made.server.start_server()
    yield made
    for http in made.opened:
        await http.close()
    await made.server.close()


@pytest.fixture
def intake(db: Database, site: Site) -> Intake:
    return Intake(db, settings(), Catalog(), site.clock, CountedIds())


async def poll(intake: Intake, poller: OrcaPoller, site: Site, *, stop_after: int | None = None) -> Any:
    cursor = await intake.cursor("orca")
    run = await intake.begin("orca")
    async with aclosing(poller.poll(cursor, site.clock.now())) as pages:  # type: ignore[type-var]
        count = 0
        async for page in pages:
            await run.page(OrcaMapper(), page)
            count += 1
            if count == stop_after:
                return await run.fail("killed")
    return await run.finish(complete=True)


async def stored(db: Database) -> dict[str, tuple[str, str]]:
    rows = await db.read(lambda conn: conn.execute(select(FINDINGS)).all())
    return {row.uid: (row.status, row.resource_uid) for row in rows}


_OURS = {"open": {"new", "open", "reopened"}, "in_progress": {"new", "open", "reopened"}, "closed": {"resolved"},
         "snoozed": {"suppressed"}, "dismissed": {"suppressed"}}  # fmt: skip


async def assert_same(db: Database, site: Site) -> None:
    have = await stored(db)
    for ref, (status, _, arn) in site.truth().items():
        if ref not in have:
            assert status in ("closed", "snoozed", "dismissed"), f"{ref} is missing"
            continue
        assert have[ref][0] in _OURS[status], (ref, status, have[ref])
        assert have[ref][1] == arn
    assert have.keys() <= site.truth().keys()


@pytest.mark.parametrize("api", ["serving_layer", "query"])
async def test_after_every_poll_our_state_is_orcas(api: str, db: Database, intake: Intake, site: Site) -> None:
    random = Random(5)
    poller = site.poller(api=api)
    report = await poll(intake, poller, site)
    assert report.created == len(site.world)
    await assert_same(db, site)
    for _ in range(6):
        site.clock.move(minutes=random.choice([1, 15, 90, 60 * 25]))
        site.world.change(site.clock.now() - timedelta(seconds=30), 0.2, random)
        await poll(intake, poller, site)
        await assert_same(db, site)


@pytest.mark.parametrize("api", ["serving_layer", "query"])
@pytest.mark.parametrize("seed", range(3))
async def test_faults_and_kills_between_pages_lose_nothing(
    api: str, seed: int, db: Database, intake: Intake, site: Site
) -> None:
    random = Random(seed)
    site.orca.supported = 25
    words = ["429", "503", "500", "failure", "truncated", *(["expired"] if api == "query" else ["shuffled", "short"])]
    for _ in range(8):
        site.clock.move(minutes=random.choice([1, 30, 60 * 25]))
        site.world.change(site.clock.now() - timedelta(seconds=random.randrange(60)), 0.1, random)
        site.orca.faults.next = [random.choice(words) for _ in range(random.randrange(9))]
        try:
            await poll(intake, site.poller(api=api), site, stop_after=random.choice([None, 1, 2, 5]))
        except RetryLater:
            continue
    site.orca.faults.next = []
    site.clock.move(minutes=1)
    await poll(intake, site.poller(api=api), site)
    site.clock.move(hours=25)
    await poll(intake, site.poller(api=api), site)
    await assert_same(db, site)


async def test_the_cursor_of_a_page_goes_on_in_the_same_window(site: Site) -> None:
    poller, now = site.poller(), site.clock.now()
    pages = [page async for page in poller.poll(None, now)]
    for number, page in enumerate(pages[:-1]):
        assert page.cursor is not None
        rest = [p async for p in site.poller().poll(page.cursor, now)]
        seen = {item["name"] for p in [*pages[: number + 1], *rest] for item in p.items}
        assert len(seen) == len(site.world)
        assert not any(p.complete_scopes for p in rest if p.cursor and "window" in p.cursor)


@pytest.mark.parametrize("ahead", [-45, 45])
async def test_clocks_that_differ_lose_nothing(ahead: int, db: Database, intake: Intake, site: Site) -> None:
    ours = timedelta(minutes=ahead)

    def poller() -> OrcaPoller:
        made = site.poller(full_hours=1000)  # nothing but the windows by time
        made._api.http.now = lambda: datetime.now(UTC) + ours
        return made

    async def poll_with_our_clock() -> None:
        run = await intake.begin("orca")
        async for page in poller().poll(await intake.cursor("orca"), site.clock.now() + ours):
            await run.page(OrcaMapper(), page)
        await run.finish(complete=True)

    await poll_with_our_clock()
    for problem in site.world.problems()[:5]:
        site.clock.move(minutes=2)
        site.world.edit(problem.key, site.clock.now(), status="resolved")
        site.clock.move(minutes=8)
        await poll_with_our_clock()
    site.clock.move(minutes=60)
    await poll_with_our_clock()
    await assert_same(db, site)


async def test_rows_that_move_while_pages_are_read_are_not_skipped(db: Database, intake: Intake, site: Site) -> None:
    await poll(intake, site.poller(), site)
    site.clock.move(minutes=30)
    problems = site.world.problems()
    for number, problem in enumerate(problems):
        site.world.edit(
            problem.key, site.clock.now() - timedelta(minutes=20) + timedelta(seconds=number), severity="low"
        )
    run = await intake.begin("orca")
    pages = 0
    async for page in site.poller().poll(await intake.cursor("orca"), site.clock.now()):
        await run.page(OrcaMapper(), page)
        site.clock.move(seconds=1)
        for problem in problems[pages * 7 : pages * 7 + 7]:
            # These leave the window at its front: by offsets, as many behind them would be passed over.
            site.world.edit(problem.key, site.clock.now(), tags={"moved": "yes"})
        pages += 1
    await run.finish(complete=True)
    rows = await db.read(lambda conn: conn.execute(select(FINDINGS)).all())
    assert pages > 5
    assert {row.severity for row in rows} == {2}


async def test_fewer_read_than_orca_counts_resolves_nothing(
    intake: Intake, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    await poll(intake, site.poller(), site)
    lost = site.world.problems()[0]
    fact = site.orca.fact
    site.clock.move(hours=25)
    hidden = {"left": 1}

    def flickering(problem: Any, name: str) -> Any:
        if name == "Status" and problem.key == lost.key and hidden["left"]:  # there only when it is counted
            return "closed"
        return fact(problem, name)

    monkeypatch.setattr(site.orca, "fact", flickering)
    run = await intake.begin("orca")
    async for page in site.poller().poll(await intake.cursor("orca"), site.clock.now()):
        await run.page(OrcaMapper(), page)
        if page.cursor and "window" in page.cursor and page.cursor["window"]["read"] > 55:
            hidden["left"] = 0
    report = await run.finish(complete=True)
    assert report.resolved == 0
    assert any("Orca counts 60 open, 59 were read" in said for said in report.notes)


async def test_what_is_gone_from_a_whole_read_of_the_open_is_resolved(db: Database, intake: Intake, site: Site) -> None:
    await poll(intake, site.poller(), site)
    lost = site.world.problems()[0]
    del site.world._problems[lost.key]  # deleted at Orca: never seen closed
    site.clock.move(hours=1)
    await poll(intake, site.poller(), site)
    assert (await stored(db))[site.orca.ref(lost)][0] in ("new", "open")
    site.clock.move(hours=25)
    report = await poll(intake, site.poller(), site)
    assert report.resolved == 1
    assert (await stored(db))[site.orca.ref(lost)][0] == "resolved"


async def test_a_read_of_the_open_that_was_not_whole_resolves_nothing(intake: Intake, site: Site) -> None:
    await poll(intake, site.poller(), site)
    lost = site.world.problems()[0]
    del site.world._problems[lost.key]
    site.clock.move(hours=25)
    broken = await poll(intake, site.poller(), site, stop_after=4)
    assert broken.resolved == 0
    rest = await poll(intake, site.poller(), site)  # goes on where the other run was killed
    assert rest.resolved == 0


async def test_a_bounded_back_fill_reads_less_and_concludes_nothing(intake: Intake, site: Site) -> None:
    poller = site.poller(backfill_days=5)
    pages = [page async for page in poller.poll(None, site.clock.now())]
    read = {item["name"] for page in pages for item in page.items}
    young = {site.orca.ref(p) for p in site.world.problems() if p.first_seen >= site.clock.now() - timedelta(days=5)}
    assert read == young
    assert 0 < len(young) < len(site.world)
    assert not any(page.complete_scopes for page in pages)


async def test_cves_are_read_daily_and_leave_when_fixed(db: Database, intake: Intake, site: Site) -> None:
    poller = site.poller(vulnerabilities=["critical", "high"])
    report = await poll(intake, poller, site)
    with_cve = [p for p in site.world.problems() if p.cve]
    assert with_cve
    assert report.created == len(site.world) + len(with_cve)
    site.clock.move(hours=1)
    site.world.edit(with_cve[0].key, site.clock.now(), status="resolved")
    site.clock.move(hours=25)
    assert (await poll(intake, poller, site)).resolved == 2  # the alert by its state, the record by its absence


async def test_what_is_wrong_is_said_by_its_kind(site: Site) -> None:
    poller = site.poller()
    site.orca.faults.next = ["failure"] * 9
    with pytest.raises(RetryLater, match="try again"):
        [page async for page in poller.poll(None, site.clock.now())]
    site.orca.faults.next = []
    site.orca.faults.revoked = True
    with pytest.raises(Relogin):
        [page async for page in poller.poll(None, site.clock.now())]
    site.orca.faults.revoked = False
    api = site.api(site.options())
    with pytest.raises(Refused, match="invalid limit"):
        await api.rows("Alert", [], order="CreatedAt", limit=100_000)
    with pytest.raises(Gone, match="does not exist"):
        await api.alert("orca-2")
    with pytest.raises(Refused, match="no id of an Orca alert"):
        await api.alert("../user/session")


async def test_a_filter_that_orca_does_not_know_names_the_option_to_change(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    fact = site.orca.fact
    monkeypatch.setattr(site.orca, "fact", lambda p, name: fact(p, "Nonsense" if name == "LastUpdated" else name))
    cursor = {"until": site.clock.now().isoformat(), "full": site.clock.now().isoformat()}
    with pytest.raises(Refused, match="changed_field to last_sync"):
        [page async for page in site.poller().poll(cursor, site.clock.now())]
    assert [page async for page in site.poller(changed_field="last_sync").poll(cursor, site.clock.now())]


async def test_the_check_says_what_the_doctor_needs(site: Site) -> None:
    for api in ("serving_layer", "query"):
        options = site.options(api=api)
        said = await look(site.api(options), options)
        newest = max(p.changed_at for p in site.world.problems())
        assert f"newest change {newest:%Y-%m-%d %H:%M}Z" in said
        assert f"{len(site.world)} alerts" in said
        assert TOKEN not in said


# --- write-back


def note(site: Site, to: str = "fixed", **more: Any) -> SourceNote:
    ref = site.orca.ref(site.world.problems()[0])
    return SourceNote(key="decision-7", uid=ref, to=to, note="Fixed under decision-7.", **more)


async def test_a_fix_is_told_once_even_after_an_unknown_outcome(site: Site) -> None:
    back = OrcaWriteBack(site.api(site.options()), site.clock.now)
    telling = note(site)
    assert not await back.told(telling)
    assert await back.tell(telling) == "comment added, status closed"
    assert await back.told(telling)
    assert await back.tell(telling) == "nothing to do: the status is closed and the comment there"
    assert site.orca.comments(telling.uid) == ["Fixed under decision-7."]
    site.clock.move(hours=1)
    site.orca.scan()  # still there: Orca opens it again, and we have told it nevertheless
    assert await back.told(telling)


async def test_a_comment_that_was_taken_and_answered_badly_is_not_doubled(site: Site) -> None:
    api = site.api(site.options())
    back = OrcaWriteBack(api, site.clock.now)
    telling = note(site)

    real = api.comment

    async def lost(ref: str, said: str) -> None:
        site.orca.faults.next = ["after"]
        await real(ref, said)

    api.comment = lost  # type: ignore[method-assign]
    with pytest.raises(OutcomeUnknown):
        await back.tell(telling)
    api.comment = real  # type: ignore[method-assign]
    assert not await back.told(telling)  # the comment is there, the status is not
    assert await back.tell(telling) == "status closed"
    assert len(site.orca.comments(telling.uid)) == 1


@pytest.mark.parametrize(
    ("to", "state"), [("fixed", "closed"), ("dismissed", "dismissed"), ("accepted", "dismissed"), ("reopened", "open")]
)
async def test_every_word_leads_to_its_state(to: str, state: str, site: Site) -> None:
    back = OrcaWriteBack(site.api(site.options()), site.clock.now)
    if to == "reopened":
        await back.tell(note(site, "dismissed"))
        telling = replace(note(site, to), key="decision-8", note="Open again, decision-8.")
    else:
        telling = note(site, to)
    await back.tell(telling)
    assert site.truth()[telling.uid][0] == state
    assert await back.told(telling)


async def test_a_risk_accepted_until_a_date_is_snoozed_until_then(site: Site) -> None:
    back = OrcaWriteBack(site.api(site.options()), site.clock.now)
    until = site.clock.now() + timedelta(days=29, hours=3)
    assert await back.tell(note(site, "accepted", until=until)) == "comment added, snoozed for 30 days"
    assert site.truth()[note(site).uid][0] == "snoozed"
    ends = site.orca.snoozed_until(note(site).uid)
    assert ends is not None
    assert ends >= until


async def test_a_rescan_is_verify_and_a_running_one_counts(site: Site) -> None:
    back = OrcaWriteBack(site.api(site.options()))
    assert "verifies" in await back.rescan(note(site))
    assert "already" in await back.rescan(note(site))


async def test_a_cve_record_has_no_status_to_set(site: Site) -> None:
    back = OrcaWriteBack(site.api(site.options()))
    with pytest.raises(Refused, match="no alert"):
        await back.tell(SourceNote(key="k", uid="CVE-2021-44228|vm_1|log4j", to="fixed", note="n"))
    with pytest.raises(Gone):
        await back.tell(SourceNote(key="k", uid="orca-2", to="fixed", note="n"))


# --- webhook

NOW = datetime(2026, 11, 25, tzinfo=UTC)


@pytest.mark.parametrize("shape", ["new", "old", "trimmed", "batch", "text"])
@pytest.mark.parametrize("api", ["serving_layer", "query"])
async def test_a_webhook_of_any_template_is_read_by_the_api(shape: str, api: str, site: Site) -> None:
    options = site.options(api=api)
    hook = OrcaWebhook(site.api(options), options)
    some = site.world.problems()[:2] if shape == "batch" else site.world.problems()[:1]
    body = site.orca.webhook_body(some, shape)
    hook.verify({"x-gatehouse-token": SECRET}, body, NOW)
    told = hook.understand(body)
    assert told.key == hook.understand(body).key
    assert list(told.refs) == [site.orca.ref(p) for p in some]
    page = await hook.fetch(told.refs)
    assert [OrcaMapper().map(item).resource.uid for item in page.items] == [p.resource_arn for p in some]
    assert page.notes == ()


async def test_an_alert_that_is_gone_is_said_when_fetched(site: Site) -> None:
    options = site.options()
    page = await OrcaWebhook(site.api(options), options).fetch(["orca-2", "not one"])
    assert page.items == ()
    assert page.notes == ("Orca has no alert orca-2, or the token may not see it",)
