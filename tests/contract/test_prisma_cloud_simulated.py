"""Poller, write-back and webhook of Prisma Cloud against the simulated one over HTTP, stored by the real intake."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import orjson
import pytest
from aiohttp.test_utils import TestServer
from sqlalchemy import select

from bot.domain.errors import ConnectorError, Gone, OutcomeUnknown, Refused, Relogin, RetryLater
from bot.intake.service import Intake
from bot.ports import Page, SourceNote
from bot.sandbox.vendors.company import START, World
from bot.sandbox.vendors.prisma_cloud import KEY, SECRET, TENANT, PrismaCloud
from bot.store.database import Database
from bot.store.tables import FindingRow
from connectors.http import HttpClient, Pace
from connectors.options import parse
from connectors.prisma_cloud.client import ComputeApi, NotRemediable, PrismaApi, compute_http, http_of
from connectors.prisma_cloud.mapping import PrismaCloudMapper
from connectors.prisma_cloud.options import PrismaOptions
from connectors.prisma_cloud.poller import PrismaPoller, look
from connectors.prisma_cloud.webhook import PrismaWebhook
from connectors.prisma_cloud.write_back import PrismaWriteBack
from tests.unit.intake.kit import Catalog, CountedIds, StillClock, settings

SOURCE = "prisma_cloud"
HOOK = "a-secret-of-the-webhook"
FINDINGS = FindingRow.__table__  # type: ignore[attr-defined]


async def no_sleep(_: float) -> None:
    return None


class Site:
    """A simulated Prisma Cloud, its clock, and our side of it."""

    def __init__(self, size: int = 60) -> None:
        self.clock = StillClock(START + timedelta(days=1))
        self.world = World(size, seed=3, demo=False)
        self.prisma = PrismaCloud(self.world, now=self.clock.now)
        self.server = TestServer(self.prisma.app())
        self.opened: list[HttpClient] = []
        self.slept: list[float] = []

    def options(self, **more: Any) -> PrismaOptions:
        base = str(self.server.make_url("")).rstrip("/")
        known = {"url": base, "access_key": KEY, "secret_key": SECRET, "webhook_secret": HOOK, "page_size": 7}
        return parse(SOURCE, PrismaOptions, known | more)

    def _tuned(self) -> dict[str, Any]:
        async def sleep(seconds: float) -> None:
            self.slept.append(seconds)
            self.clock.move(seconds=seconds)

        return {"sleep": sleep, "jitter": lambda: 0.0, "pace": Pace(1e6, burst=1000)}

    def api(self, options: PrismaOptions) -> PrismaApi:
        self.opened.append(http_of(options, **self._tuned()))
        return PrismaApi(self.opened[-1])

    def compute(self, options: PrismaOptions) -> ComputeApi | None:
        if not options.compute_url:
            return None
        self.opened.append(compute_http(options, **self._tuned()))
        return ComputeApi(self.opened[-1], options.compute_version)

    def poller(self, **more: Any) -> PrismaPoller:
        if more.pop("compute_on", False):
            more["compute_url"] = str(self.server.make_url("")).rstrip("/")
        options = self.options(**more)
        return PrismaPoller(self.api(options), options, self.compute(options))

    def back(self, **more: Any) -> PrismaWriteBack:
        options = self.options(**more)
        return PrismaWriteBack(self.api(options), options.fixed_snooze_hours, self.clock.now)

    def alerts(self) -> list[Any]:
        return [p for p in self.world.problems() if p.kind != "vulnerability"]

    def truth(self) -> dict[str, tuple[str, str, str]]:
        """alert -> (status, severity, ARN) as the vendor has it."""
        self.prisma.look()
        found = {}
        for problem in self.alerts():
            uid = self.prisma.alert_id(problem.key)
            found[uid] = (self.prisma.status_of(problem.key), problem.severity, problem.resource_arn)
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


async def poll(intake: Intake, poller: PrismaPoller, site: Site, *, stop_after: int | None = None) -> Any:
    cursor = await intake.cursor(SOURCE)
    run = await intake.begin(SOURCE)
    async with aclosing(poller.poll(cursor, site.clock.now())) as pages:  # type: ignore[type-var]
        count = 0
        async for page in pages:
            await run.page(PrismaCloudMapper(), page)
            count += 1
            if count == stop_after:
                return await run.fail("killed")
    return await run.finish(complete=True)


async def stored(db: Database) -> dict[str, Any]:
    rows = await db.read(lambda conn: conn.execute(select(FINDINGS)).all())
    return {row.uid: row for row in rows}


_OPEN = {"new", "open", "reopened"}
_OURS = {"open": _OPEN, "pending_resolution": _OPEN, "resolved": {"resolved"}, "snoozed": {"suppressed"},
         "dismissed": {"suppressed"}}  # fmt: skip
_LEVELS = {"low": 2, "medium": 3, "high": 4, "critical": 5}


async def assert_same(db: Database, site: Site) -> None:
    have = await stored(db)
    for ref, (status, severity, arn) in site.truth().items():
        if ref not in have:
            assert status == "resolved", f"{ref} is missing"
            continue
        assert have[ref].status in _OURS[status], (ref, status, have[ref].status)
        assert have[ref].resource_uid == arn
        if status != "resolved":
            assert have[ref].severity == _LEVELS[severity]
    assert {uid for uid in have if uid.startswith("P-")} <= site.truth().keys()


async def test_after_every_poll_our_state_is_prismas(db: Database, intake: Intake, site: Site) -> None:
    random = Random(5)
    poller = site.poller()
    report = await poll(intake, poller, site)
    assert report.created == len(site.truth())
    await assert_same(db, site)
    for _ in range(8):
        site.clock.move(minutes=random.choice([1, 15, 90, 60 * 25]))
        site.world.change(site.clock.now() - timedelta(seconds=30), 0.2, random)
        await poll(intake, poller, site)
        await assert_same(db, site)


async def test_alerts_without_details_get_their_policies_from_a_kept_list(db: Database, site: Site) -> None:
    poller = site.poller(detailed=False)
    pages = [page async for page in poller.poll(None, site.clock.now())]
    found = [PrismaCloudMapper().map(item) for page in pages for item in page.items]
    assert len(found) == len(site.truth())
    for one in found:
        assert one.title
        assert one.severity_word in _LEVELS
        assert one.controls
    assert site.prisma.calls.count("GET /v2/policy") == 1


@pytest.mark.parametrize("seed", range(4))
async def test_faults_and_kills_between_pages_lose_nothing(seed: int, db: Database, intake: Intake, site: Site) -> None:
    random = Random(seed)
    faults = site.prisma.faults
    for _ in range(14):
        site.clock.move(minutes=random.choice([1, 30, 60 * 25]))
        site.world.change(site.clock.now() - timedelta(seconds=random.randrange(60)), 0.1, random)
        faults.status = [random.choice([429, 500, 503, 502, 425]) for _ in range(random.randrange(7))]
        faults.cut, faults.bad_page_tokens = random.randrange(3), random.randrange(2)
        faults.forget_tokens = random.random() < 0.5
        try:
            await poll(intake, site.poller(), site, stop_after=random.choice([None, 1, 2, 5]))
        except (RetryLater, Refused):
            continue
    faults.status, faults.cut, faults.bad_page_tokens = [], 0, 0
    site.clock.move(minutes=1)
    await poll(intake, site.poller(), site)
    site.clock.move(hours=25)
    await poll(intake, site.poller(), site)
    await assert_same(db, site)


@pytest.mark.parametrize("seed", range(3))
async def test_any_order_overlap_and_repeat_of_pages_stores_the_same(seed: int, db: Database, site: Site) -> None:
    random = Random(seed)
    site.prisma.look()
    pages = [page async for page in site.poller().poll(None, site.clock.now())]
    items = [item for page in pages for item in page.items]
    intake = Intake(db, settings(), Catalog(), site.clock, CountedIds())
    run = await intake.begin(SOURCE)
    again = items + random.sample(items, len(items) // 2)
    random.shuffle(again)
    for start in range(0, len(again), 11):
        await run.page(PrismaCloudMapper(), Page(items=again[start : start + 11]))
    await run.finish(complete=True)
    await assert_same(db, site)
    assert len(await stored(db)) == len(site.truth())


@pytest.mark.parametrize("skew", [-900, 900])
async def test_clocks_that_differ_within_the_overlap_lose_nothing(
    skew: int, db: Database, intake: Intake, site: Site
) -> None:
    site.prisma.now = lambda: site.clock.now() + timedelta(seconds=skew)
    random = Random(1)
    for _ in range(6):
        site.world.change(site.prisma.now(), 0.2, random)
        site.clock.move(minutes=10)
        await poll(intake, site.poller(), site)
    site.clock.move(minutes=30)
    await poll(intake, site.poller(), site)
    await assert_same(db, site)


async def test_the_cursor_of_a_page_goes_on_in_the_same_window(site: Site) -> None:
    now = site.clock.now()
    pages = [page async for page in site.poller().poll(None, now)]
    with_cursor = [n for n, page in enumerate(pages) if page.cursor and "window" in page.cursor]
    assert len(with_cursor) > 4
    for number in with_cursor:
        rest = [p async for p in site.poller().poll(pages[number].cursor, now)]
        seen = {item["id"] for p in [*pages[: number + 1], *rest] for item in p.items}
        assert seen == site.truth().keys()
        assert not any(p.complete_scopes for p in rest)  # a resumed reading concludes nothing from absence
    last = pages[-1].cursor
    assert last is not None
    assert "window" not in last
    later = [p async for p in site.poller().poll(last, now + timedelta(minutes=1))]
    assert all(p.cursor is None or "window" not in p.cursor or p.cursor["window"]["kind"] == "updated" for p in later)


async def test_a_page_token_that_is_no_longer_good_starts_the_same_window_again(site: Site) -> None:
    now = site.clock.now()
    pages: list[Page] = []
    async for page in site.poller().poll(None, now):
        pages.append(page)
        if len(pages) == 2:
            site.prisma.faults.bad_page_tokens = 1
    assert {item["id"] for page in pages for item in page.items} == site.truth().keys()
    site.prisma.faults.bad_page_tokens = 50
    with pytest.raises(Refused, match="invalid_parameter_value"):
        [page async for page in site.poller().poll(None, now)]


async def test_an_alert_that_is_gone_at_prisma_is_resolved_by_a_full_reading_only(
    db: Database, intake: Intake, site: Site
) -> None:
    await poll(intake, site.poller(), site)
    lost = site.alerts()[0]
    others = [p for p in site.alerts() if p.account == lost.account and p.key != lost.key]
    assert others
    uid = site.prisma.alert_id(lost.key)
    del site.prisma._states[lost.key]
    del site.world._problems[lost.key]
    site.clock.move(minutes=5)
    await poll(intake, site.poller(), site)
    assert (await stored(db))[uid].status in _OPEN
    site.clock.move(hours=25)
    await poll(intake, site.poller(severities=["critical", "high", "medium", "low"]), site)
    assert (await stored(db))[uid].status in _OPEN  # a narrowed reading says nothing of what it left out
    site.clock.move(hours=25)
    await poll(intake, site.poller(), site)
    assert (await stored(db))[uid].status == "resolved"


async def test_an_account_that_is_no_longer_seen_resolves_nothing(db: Database, intake: Intake, site: Site) -> None:
    await poll(intake, site.poller(), site)
    account = site.alerts()[0].account
    hidden = [p for p in site.alerts() if p.account == account]
    uids = [site.prisma.alert_id(p.key) for p in hidden]
    for problem in hidden:
        del site.prisma._states[problem.key]
        del site.world._problems[problem.key]
    site.clock.move(hours=25)
    report = await poll(intake, site.poller(), site)
    assert report.resolved == 0
    have = await stored(db)
    assert all(have[uid].status in _OPEN for uid in uids)


async def test_tokens_are_extended_while_good_and_made_anew_after(site: Site) -> None:
    ticks = {"now": 0.0}
    options = site.options()
    api = site.api(options)
    api.http.auth._now = lambda: ticks["now"]  # type: ignore[attr-defined]
    day = {"timeRange": {"type": "to_now", "value": "epoch"}, "limit": 1}
    for minutes in (0, 9, 18, 27):
        site.clock.at = START + timedelta(days=1, minutes=minutes)
        ticks["now"] = minutes * 60.0
        await api.alerts(day)
    assert site.prisma.calls.count("POST /login") == 1
    assert site.prisma.calls.count("GET /auth_token/extend") == 3
    site.clock.move(hours=5)
    ticks["now"] += 5 * 3600
    await api.alerts(day)
    assert site.prisma.calls.count("POST /login") == 2  # the token had ended: extending it is refused


async def test_a_key_that_is_refused_and_several_tenants_are_said_as_what_they_are(site: Site) -> None:
    wrong = site.api(site.options(secret_key="wrong-secret-of-somebody"))
    with pytest.raises(Relogin, match=r"refuses the access key: .*invalid_credentials") as caught:
        await wrong.policies()
    assert "wrong-secret" not in str(caught.value)
    site.prisma._several = True
    with pytest.raises(Refused, match=r"several tenants: Acme - 1, Acme - 2"):
        await site.api(site.options()).policies()
    assert await site.api(site.options(customer=TENANT)).policies()


async def test_the_limit_is_met_by_waiting_as_long_as_the_bucket_takes(site: Site) -> None:
    site.prisma._per_second, site.prisma._bucket = 0.5, 1.0
    pages = [page async for page in site.poller().poll(None, site.clock.now())]
    assert {item["id"] for page in pages for item in page.items} == site.truth().keys()
    assert site.slept
    assert all(wait == pytest.approx(2.0) for wait in site.slept)


async def test_compute_and_the_export_are_read_daily_and_what_leaves_them_is_resolved(
    db: Database, intake: Intake, site: Site
) -> None:
    options = {"compute_on": True, "vulnerability_query": "vulnerability where asset.type = 'all'",
               "compute_severities": ()}  # fmt: skip
    await poll(intake, site.poller(**options), site)
    flawed = [p for p in site.world.problems() if p.kind == "vulnerability"]
    assert flawed
    have = await stored(db)
    for problem in flawed:
        assert have[f"compute|{problem.resource_name}|{problem.cve}"].resource_uid == problem.resource_arn
        assert f"uve|{problem.resource_uuid('prisma_cloud')}|{problem.cve}" in have
    assert site.prisma.calls.count("GET /api/v1/hosts") == 1  # fewer than a page, and the count says so
    fixed = flawed[0]
    site.clock.move(hours=2)
    site.world.edit(fixed.key, site.clock.now(), status="resolved")
    await poll(intake, site.poller(**options), site)
    assert (await stored(db))[f"compute|{fixed.resource_name}|{fixed.cve}"].status in _OPEN
    site.clock.move(hours=23)
    await poll(intake, site.poller(**options), site)
    have = await stored(db)
    assert have[f"compute|{fixed.resource_name}|{fixed.cve}"].status == "resolved"
    assert have[f"uve|{fixed.resource_uuid('prisma_cloud')}|{fixed.cve}"].status == "resolved"


async def test_compute_pages_end_with_null_and_more_than_fifty_a_page_is_refused(site: Site) -> None:
    options = site.options(compute_url=str(site.server.make_url("")).rstrip("/"))
    compute = site.compute(options)
    assert compute is not None
    rows, total = await compute.page("hosts", 10_000)
    assert rows == []
    assert total
    assert (await compute.page("images", 0))[0] == []
    with pytest.raises(Refused, match="between 1 and 50"):
        await compute.http.get("/api/v1/hosts", params={"limit": "51"})


async def test_the_check_says_what_an_operator_needs(site: Site) -> None:
    site.world.edit(site.alerts()[0].key, site.clock.now(), severity="low")
    options = site.options(compute_url=str(site.server.make_url("")).rstrip("/"), compute_lists=["hosts"])
    api = site.api(options)
    said = await look(api, options, site.compute(options), site.clock.now())
    for part in (
        "the access key is good",
        "alerts changed in a day",
        "policies readable",
        "need a note",
        "Compute answers",
    ):
        assert part in said
    assert SECRET not in said


# --- write-back


def note(site: Site, problem: Any, to: str, **more: Any) -> SourceNote:
    return SourceNote(key="d-42", uid=site.prisma.alert_id(problem.key), to=to, note="Accepted by jane [d-42]", **more)


def posture(site: Site) -> Any:
    return next(p for p in site.alerts() if p.kind == "posture" and p.status == "open")


async def test_a_risk_is_told_once_and_found_again(site: Site) -> None:
    problem, back = posture(site), site.back()
    telling = note(site, problem, "accepted", until=site.clock.now() + timedelta(days=30))
    assert not await back.told(telling)
    assert await back.tell(telling) == "snoozed for 720 hours, with a note"
    assert await back.told(telling)
    calls = site.prisma.calls.count("POST /alert/dismiss")
    assert "nothing to do" in await back.tell(telling)
    assert site.prisma.calls.count("POST /alert/dismiss") == calls == 1
    alert = site.prisma.alert(problem.key)
    assert (alert["status"], "d-42" in alert["dismissalNote"]) == ("snoozed", True)
    reopened = replace(telling, to="reopened")
    assert await back.tell(reopened) == "reopened"
    assert await back.told(reopened)
    assert await back.tell(note(site, problem, "dismissed")) == "dismissed, with a note"
    assert site.prisma.status_of(problem.key) == "dismissed"


async def test_a_write_whose_answer_is_lost_is_unknown_and_then_seen_to_be_done(site: Site) -> None:
    problem, back = posture(site), site.back()
    telling = note(site, problem, "dismissed")
    site.prisma.faults.on, site.prisma.faults.lost = "/alert/dismiss", 1
    with pytest.raises(OutcomeUnknown):
        await back.tell(telling)
    assert await back.told(telling)
    assert site.prisma.calls.count("POST /alert/dismiss") == 1


async def test_somebody_faster_is_read_not_repeated(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    problem, back = posture(site), site.back()
    telling = note(site, problem, "dismissed")
    real = back._api.dismiss

    async def late(uid: str, said: str, now: datetime, hours: int | None = None) -> None:
        await real(uid, "by somebody else", now)  # between our reading and our writing
        await real(uid, said, now, hours)

    monkeypatch.setattr(back._api, "dismiss", late)
    with pytest.raises(Refused, match="somebody else changed it"):
        await back.tell(telling)
    assert site.prisma.alert(problem.key)["dismissalNote"] == "by somebody else"


async def test_a_fix_is_left_to_the_scan_or_told_by_a_snooze(site: Site) -> None:
    problem = posture(site)
    telling = note(site, problem, "fixed")
    assert "resolves it at its next scan" in await site.back().tell(telling)
    assert not await site.back().told(telling)
    assert "POST /alert/dismiss" not in site.prisma.calls
    assert await site.back(fixed_snooze_hours=24).tell(telling) == "snoozed for 24 hours, with a note"
    site.clock.move(hours=25)
    site.prisma.look()
    assert site.prisma.status_of(problem.key) == "open"  # closing is not fixing: it is open again
    site.world.edit(problem.key, site.clock.now(), status="resolved")
    assert await site.back().told(telling)


async def test_what_cannot_be_told_is_refused_with_the_reason(site: Site) -> None:
    problem, back = posture(site), site.back()
    site.prisma.restricted.add(problem.rule)
    with pytest.raises(Refused, match="does not allow"):
        await back.tell(note(site, problem, "dismissed"))
    with pytest.raises(Refused, match="keeps no status"):
        await back.tell(SourceNote("d-1", "compute|host|CVE-2026-1", "accepted", "n"))
    with pytest.raises(Gone):
        await back.told(SourceNote("d-1", "P-999999", "accepted", "n"))


async def test_prisma_runs_only_the_command_that_was_approved(site: Site) -> None:
    problem, api = posture(site), site.api(site.options())
    uid, now = site.prisma.alert_id(problem.key), site.clock.now()
    shown = await api.commands(uid, now)
    with pytest.raises(Refused, match="another command"):
        await api.remediate(uid, "aws something-else", now)
    assert site.prisma.commands_run == []
    await api.remediate(uid, shown["cli"], now)
    assert site.prisma.commands_run == [uid]
    assert site.prisma.status_of(problem.key) == "pending_resolution"
    threat = next(p for p in site.alerts() if p.kind == "threat" and p.status == "open")
    with pytest.raises(NotRemediable):
        await api.commands(site.prisma.alert_id(threat.key), now)


# --- webhook


def hook(site: Site, **more: Any) -> PrismaWebhook:
    options = site.options(**more)
    return PrismaWebhook(site.api(options), options)


async def test_a_delivery_is_fetched_by_the_api_whatever_the_template(site: Site) -> None:
    problem, reader = posture(site), hook(site)
    uid = site.prisma.alert_id(problem.key)
    body = site.prisma.delivery(problem.key)
    edited: list[Any] = [
        [body],
        body,
        {"text": f"Prisma says: alert {uid} is open"},
        {"event": {"ref": uid, "what": "security"}},
        {"account": {"id": "1"}, "policy": {"name": "x"}, "alertId": uid},
    ]
    for form in edited:
        told = reader.understand(orjson.dumps(form))
        assert told.refs == (uid,), form
        assert not told.items
    assert reader.understand(f"plain text about {uid}.".encode()).refs == (uid,)
    page = await reader.fetch((uid, "P-999999", "../../evil"))
    assert [item["id"] for item in page.items] == [uid]
    assert "P-999999" in page.notes[0]
    assert PrismaCloudMapper().map(page.items[0]).resource.uid == problem.resource_arn


async def test_tests_and_bodies_about_nothing_are_said(site: Site) -> None:
    reader = hook(site)
    test = reader.understand(orjson.dumps([site.prisma.delivery("", test=True)]))
    assert test.refs == ()
    assert "test delivery" in test.said
    assert "test message" in reader.understand(b'{"hello": "world"}').said
    assert "no JSON" in reader.understand(b"hello").said
    assert reader.understand(b"hello").key != reader.understand(b"hello ").key


async def test_a_delivery_of_compute_is_the_finding_itself(site: Site) -> None:
    told = hook(site).understand(
        orjson.dumps({"type": "hostRuntime", "rule": "r", "message": "sh was started", "host": "web-1", "image": "",
                      "time": "2026-06-01T00:00:00Z"})
    )  # fmt: skip
    assert told.refs == ()
    assert PrismaCloudMapper().map(told.items[0]).resource.uid == "web-1"


@pytest.mark.parametrize(
    ("headers", "good"),
    [
        ({"X-Gatehouse-Secret": HOOK}, True),
        ({"x-gatehouse-secret": HOOK}, True),
        ({"Authorization": f"Bearer {HOOK}"}, True),
        ({"x-redlock-auth": HOOK}, True),
        ({"X-Gatehouse-Secret": HOOK + "x"}, False),
        ({"X-Gatehouse-Secret": "é"}, False),
        ({}, False),
    ],
)
async def test_only_the_secret_lets_a_delivery_in(headers: dict[str, str], good: bool, site: Site) -> None:
    reader, now = hook(site), datetime.now(UTC)
    if good:
        reader.verify(headers, b"{}", now)
        return
    with pytest.raises(Refused) as caught:
        reader.verify(headers, b"{}", now)
    assert HOOK not in str(caught.value)
    with pytest.raises(Refused, match="no webhook_secret"):
        hook(site, webhook_secret=None).verify(headers, b"{}", now)


async def test_errors_that_stand_in_a_header_only_are_said(site: Site) -> None:
    api = site.api(site.options())
    with pytest.raises(Refused, match="invalid_parameter_value"):
        await api.alerts({"timeRange": {"type": "to_now", "value": "epoch"}, "limit": 20_000})
    with pytest.raises(Gone):
        await api.alert("P-999999")
    with pytest.raises(ConnectorError, match="missing_required_parameter"):
        await api.http.post("/alert/dismiss", json={"alerts": ["P-1"]})
