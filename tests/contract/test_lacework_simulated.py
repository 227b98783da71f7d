"""Poller, write-back and webhook of Lacework against the simulated Lacework over HTTP, stored by the real intake."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import aclosing, suppress
from dataclasses import replace
from datetime import timedelta
from random import Random
from typing import Any

import pytest
from aiohttp.test_utils import TestServer
from sqlalchemy import select

from bot.domain.errors import ConnectorError, Gone, OutcomeUnknown, Refused, Relogin, RetryLater
from bot.intake.service import Intake
from bot.ports import SourceNote
from bot.sandbox.vendors.company import START, World
from bot.sandbox.vendors.lacework import LaceworkSimulator
from bot.store.database import Database
from bot.store.tables import FindingRow
from connectors.http import HttpClient
from connectors.lacework.check import checked
from connectors.lacework.client import HourlyBudget, LaceworkApi
from connectors.lacework.mapping import LaceworkMapper
from connectors.lacework.options import LaceworkOptions
from connectors.lacework.poller import LaceworkPoller
from connectors.lacework.webhook import LaceworkWebhook
from connectors.lacework.write_back import LaceworkWriteBack
from connectors.options import parse
from tests.unit.intake.kit import Catalog, CountedIds, StillClock, settings

KEY, SECRET, HOOK = "ACME_KEY", "a-secret-of-the-simulation", "a-secret-of-the-webhook"
FINDINGS = FindingRow.__table__  # type: ignore[attr-defined]
OPEN = {"new", "open", "reopened"}
OFTEN = {"compliance_hours": 1, "vulnerability_hours": 1, "sweep_hours": 1, "vulnerability_severities": ()}


async def no_sleep(_: float) -> None:
    return None


class Site:
    """A simulated Lacework, its clock, and our side of it."""

    def __init__(self, size: int = 70) -> None:
        self.clock = StillClock(START + timedelta(days=1))
        self.world = World(size, seed=3, demo=False)
        self.sim = LaceworkSimulator(
            self.world, key_id=KEY, secret=SECRET, now=self.clock.now, page_rows=7, an_hour=100_000
        )
        self.server = TestServer(self.sim.app())
        self.opened: list[HttpClient] = []

    @property
    def base(self) -> str:
        return str(self.server.make_url("")).rstrip("/")

    def api(self, budget: HourlyBudget | None = None, **more: Any) -> LaceworkApi:
        values = {"account": self.base, "key_id": KEY, "secret": SECRET, "webhook_secret": HOOK, **OFTEN, **more}
        options = parse("lacework", LaceworkOptions, values)
        http = HttpClient(options.base, "Lacework", sleep=no_sleep, jitter=lambda: 0.0, now=self.clock.now, pace=budget)
        self.opened.append(http)
        return LaceworkApi(options, http)

    def poller(self, budget: HourlyBudget | None = None, **more: Any) -> LaceworkPoller:
        return LaceworkPoller(self.api(budget, **more))

    def truth(self) -> dict[str, tuple[bool, str, str]]:
        """Our identity of a finding -> open, severity, resource: what the simulation holds now."""
        found: dict[str, tuple[bool, str, str]] = {}
        for key, numbers in self.sim.alert_numbers().items():
            problem = self.world.get(key)
            assert problem is not None
            for number in numbers:
                live = number == numbers[-1] and problem.status != "resolved"
                found[str(number)] = (live, problem.severity, problem.resource_arn)
        mapper = LaceworkMapper()
        for problem in self.world.problems():
            if problem.kind == "threat":
                continue
            row = (
                self.sim._evaluation(problem, self.clock.now(), True)
                if problem.kind == "posture"
                else self.sim._host(problem, self.clock.now(), True)
            )
            found[mapper.sight(row).uid] = (problem.status != "resolved", problem.severity, problem.resource_arn)
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


async def poll(intake: Intake, poller: LaceworkPoller, site: Site, *, stop_after: int | None = None) -> Any:
    cursor = await intake.cursor("lacework")
    run = await intake.begin("lacework")
    async with aclosing(poller.poll(cursor, site.clock.now())) as pages:  # type: ignore[type-var]
        count = 0
        async for page in pages:
            json.dumps(page.cursor)
            await run.page(LaceworkMapper(), page)
            count += 1
            if count == stop_after:
                return await run.fail("killed")
    return await run.finish(complete=True)


async def stored(db: Database) -> dict[str, Any]:
    rows = await db.read(lambda conn: conn.execute(select(FINDINGS)).all())
    return {row.uid: row for row in rows}


NAMES = {5: "critical", 4: "high", 3: "medium", 2: "low"}


async def assert_same(db: Database, site: Site, details: tuple[str, ...] = ("critical", "high")) -> None:
    have, truth = await stored(db), site.truth()
    assert have.keys() <= truth.keys()
    for uid, (live, severity, arn) in truth.items():
        if uid not in have:
            assert not live, f"{uid} is missing"
            continue
        row = have[uid]
        assert (row.status in OPEN) == live, (uid, row.status, live)
        if live:
            assert NAMES[row.severity] == severity, uid
            if not uid.isdigit() or severity in details:
                assert row.resource_uid == arn


async def test_after_every_poll_our_state_is_theirs(db: Database, intake: Intake, site: Site) -> None:
    random, poller = Random(5), site.poller()
    report = await poll(intake, poller, site)
    assert report.created == len(site.world)
    await assert_same(db, site)
    for _ in range(8):
        site.clock.move(hours=5)
        site.world.change(site.clock.now(), 0.15, random)
        await poll(intake, poller, site)
        await assert_same(db, site)


async def test_an_unchanged_tenant_changes_nothing_and_costs_few_requests(intake: Intake, site: Site) -> None:
    poller = site.poller()
    await poll(intake, poller, site)
    asked = len(site.sim.calls)
    site.clock.move(minutes=10)
    report = await poll(intake, poller, site)
    assert (report.created, report.changed, report.resolved) == (0, 0, 0)
    assert len(site.sim.calls) - asked < 8


async def test_an_older_evaluation_in_the_same_answer_opens_nothing_again(intake: Intake, site: Site) -> None:
    poller = site.poller()
    await poll(intake, poller, site)
    told = [p for p in site.world.problems() if p.kind != "threat" and site.sim.told(p)]
    solved = [p for p in told if site.sim.told(replace(p, status="resolved"))]
    for problem in solved:
        site.world.edit(problem.key, site.clock.now(), status="resolved")
    assert solved
    for expected in (len(solved), 0, 0):
        site.clock.move(hours=2)
        report = await poll(intake, poller, site)
        assert (report.resolved, report.reopened) == (expected, 0)


@pytest.mark.parametrize("seed", range(4))
async def test_kills_faults_and_expired_pages_give_the_same_state(
    seed: int, db: Database, intake: Intake, site: Site
) -> None:
    random = Random(seed)
    for _ in range(12):
        site.clock.move(hours=random.choice([1, 3, 26, 80]))
        site.world.change(site.clock.now(), 0.1, random)
        words = ["429", "500", "503", "truncated", "expired", "token", "repeated", "details"]
        site.sim.faults.next = random.choices(words, k=random.choice([0, 1, 2]))
        poller = site.poller()  # a new process: what was in memory is gone
        with suppress(ConnectorError):  # a page that expires twice ends a poll; the next one goes on
            await poll(intake, poller, site, stop_after=random.choice([1, 2, 4, 7, 11]))
    site.sim.faults.next = []
    for _ in range(2):
        site.clock.move(hours=2)
        await poll(intake, site.poller(), site)
    await assert_same(db, site)


async def test_the_cursor_of_a_killed_run_never_passes_what_was_stored(
    db: Database, intake: Intake, site: Site
) -> None:
    for stop in range(1, 40):
        await poll(intake, site.poller(), site, stop_after=stop)
        cursor = await intake.cursor("lacework")
        assert cursor is not None
        done = cursor["done"]
        if "alerts" in done:
            numbers = {str(n) for many in site.sim.alert_numbers().values() for n in many}
            assert numbers <= (await stored(db)).keys()
        if "containers" in done:
            break
    await assert_same(db, site)


@pytest.mark.parametrize("skew", [-3, 3])
async def test_a_wrong_clock_of_ours_loses_nothing(skew: int, db: Database, intake: Intake, site: Site) -> None:
    poller, random = site.poller(), Random(9)
    for _ in range(4):
        site.clock.move(hours=6)
        site.world.change(site.clock.now(), 0.2, random)
        cursor = await intake.cursor("lacework")
        run = await intake.begin("lacework")
        async for page in poller.poll(cursor, site.clock.now() + timedelta(minutes=skew)):
            await run.page(LaceworkMapper(), page)
        await run.finish(complete=True)
    site.clock.move(hours=6)
    await poll(intake, poller, site)
    await assert_same(db, site)


async def test_an_alert_closed_days_later_is_seen_by_the_sweep(db: Database, intake: Intake, site: Site) -> None:
    poller = site.poller(sweep_hours=6)
    await poll(intake, poller, site)
    old = next(p for p in site.world.problems() if p.kind == "threat" and p.first_seen < START - timedelta(days=3))
    number = str(site.sim.alert_numbers()[old.key][-1])
    site.world.edit(old.key, site.clock.now(), status="resolved")
    site.clock.move(hours=1)
    await poll(intake, poller, site)
    assert (await stored(db))[number].status in OPEN
    site.clock.move(hours=6)
    await poll(intake, poller, site)
    row = (await stored(db))[number]
    assert row.status == "resolved"
    assert row.resource_uid == (old.resource_arn if old.severity in ("critical", "high") else row.resource_uid)


async def test_our_own_budget_ends_a_poll_without_an_error_and_the_next_goes_on(
    db: Database, intake: Intake, site: Site
) -> None:
    seconds = [0.0]
    budget = HourlyBudget(40, now=lambda: seconds[0])
    poller = site.poller(budget)
    said = []
    for _ in range(12):
        report = await poll(intake, poller, site)
        said += [note for note in report.notes if "budget of 40 requests" in note]
        seconds[0] += 3600
        if (await intake.cursor("lacework") or {}).get("job") is None:
            break
    assert said
    await assert_same(db, site)


async def test_a_severity_filter_and_the_policies_reach_requests_and_findings(intake: Intake, site: Site) -> None:
    poller = site.poller(vulnerability_severities=("critical", "high"))
    items = [item async for page in poller.poll(None, site.clock.now()) for item in page.items]
    hosts = [item for item in items if "vulnId" in item]
    assert hosts
    assert {item["severity"] for item in hosts} <= {"Critical", "High"}
    found = [LaceworkMapper().map(item) for item in items if item.get("status") == "NonCompliant"]
    assert found
    assert all(one.remediation and one.controls for one in found)


async def test_a_key_that_may_not_read_policies_still_reads_the_rest(db: Database, intake: Intake, site: Site) -> None:
    site.sim.forbidden = {"Policies"}
    await poll(intake, site.poller(), site)
    await assert_same(db, site)


async def test_details_that_cannot_be_read_do_not_keep_alerts_from_being_read(
    db: Database, intake: Intake, site: Site
) -> None:
    async def broken(number: str) -> None:
        raise RetryLater("Lacework answered 500")

    poller = site.poller()
    poller._api.details = broken  # type: ignore[method-assign, assignment]
    await poll(intake, poller, site)
    await assert_same(db, site, details=())


async def test_a_revoked_key_asks_for_a_new_one(intake: Intake, site: Site) -> None:
    site.sim.faults.revoked = True
    with pytest.raises(Relogin, match="new API key"):
        await poll(intake, site.poller(), site)
    assert site.sim.logins == 0


async def test_an_ended_token_is_renewed_and_the_secret_is_in_no_error(intake: Intake, site: Site) -> None:
    poller = site.poller()
    await poll(intake, poller, site)
    site.clock.move(hours=2)
    site.sim.faults.next = ["token"]
    await poll(intake, poller, site)
    assert site.sim.logins == 2
    assert SECRET not in repr(poller._api.options)


async def test_too_many_requests_wait_for_the_next_hour(intake: Intake, site: Site) -> None:
    site.sim.an_hour = 3
    site.clock.at = site.clock.at.replace(minute=20)
    with pytest.raises(RetryLater) as error:
        await poll(intake, site.poller(), site)
    assert error.value.after == pytest.approx(40 * 60, abs=1)


async def test_a_link_to_another_host_is_not_followed(site: Site) -> None:
    with pytest.raises(Refused, match="another host"):
        await site.api().follow("https://evil.example/api/v2/page/1")


async def test_check_says_what_a_person_must_know(site: Site) -> None:
    said = await checked(site.api(), site.clock.now())
    assert "takes the key" in said
    assert "rights are enough" in said
    site.sim.forbidden = {"Vulnerabilities/Hosts", "ComplianceEvaluations"}
    said = await checked(site.api(), site.clock.now())
    assert "not permitted: compliance evaluations, host vulnerabilities" in said
    site.sim.forbidden = {"Alerts"}
    with pytest.raises(Refused, match="403"):
        await checked(site.api(), site.clock.now())
    site.sim.forbidden = set()
    site.sim.faults.revoked = True
    with pytest.raises(Relogin):
        await checked(site.api(), site.clock.now())


# --- write-back ------------------------------------------------------------------------------------------------------


def an_alert(site: Site) -> int:
    numbers = site.sim.alert_numbers()
    return next(numbers[p.key][-1] for p in site.world.problems() if p.kind == "threat" and p.status == "open")


def note(number: int, to: str, key: str = "d-1", **more: Any) -> SourceNote:
    return SourceNote(key=key, uid=str(number), to=to, note=f"Verified fix ({key})", **more)


async def test_a_fix_closes_once_whatever_happens_to_the_answer(site: Site) -> None:
    number, back = an_alert(site), LaceworkWriteBack(site.api())
    site.sim.faults.next = []
    telling = note(number, "fixed")
    assert not await back.told(telling)
    api = back._api

    async def cut(*args: Any, **more: Any) -> None:
        site.sim.faults.next = ["after"]
        await LaceworkApi.close_alert(api, *args, **more)

    api.close_alert = cut  # type: ignore[method-assign]
    with pytest.raises(OutcomeUnknown):
        await back.tell(telling)
    assert await back.told(telling)
    assert await back.tell(telling) == "was told already"
    assert site.sim.comments(number) == ["Verified fix (d-1)"]


async def test_acceptance_and_reopening_only_comment_and_comments_do_not_double(site: Site) -> None:
    number, back = an_alert(site), LaceworkWriteBack(site.api())
    accepted = note(number, "accepted", "d-2", until=START)
    assert await back.tell(accepted) == "comment added"
    assert await back.tell(accepted) == "was told already"
    assert "cannot reopen" in await back.tell(note(number, "reopened", "d-3"))
    assert site.sim.comments(number) == ["Verified fix (d-2) Until 2026-06-01.", "Verified fix (d-3)"]
    assert (await site.api().details(str(number)) or {})["status"] == "Open"


async def test_closing_may_be_switched_off_and_a_closed_alert_only_gets_the_comment(site: Site) -> None:
    number = an_alert(site)
    assert await LaceworkWriteBack(site.api(close_alerts=False)).tell(note(number, "fixed", "d-4")) == "comment added"
    assert "closed" in await LaceworkWriteBack(site.api()).tell(note(number, "dismissed", "d-5"))
    assert await LaceworkWriteBack(site.api()).tell(note(number, "fixed", "d-6")) == "comment added"
    assert len(site.sim.comments(number)) == 3


async def test_what_is_no_alert_has_nothing_to_tell_and_an_unknown_alert_is_gone(site: Site) -> None:
    back = LaceworkWriteBack(site.api())
    row = {"vulnId": "CVE-2026-1", "mid": 1, "featureKey": {"name": "a"}}
    told = SourceNote(key="d-7", uid="host|1|CVE-2026-1||a", to="fixed", note="x", raw=row)
    assert "nothing to tell" in await back.tell(told)
    assert await back.told(told)
    assert await back.rescan(told) == ""
    with pytest.raises(Gone):
        await back.tell(note(999_999, "fixed"))


async def test_an_image_can_be_scanned_again_and_nothing_else(site: Site) -> None:
    back = LaceworkWriteBack(site.api())
    info = {"registry": "index.docker.io", "repo": "shop/api", "tags": ["1.4"], "digest": "sha256:b"}
    row = {
        "vulnId": "CVE-2026-3",
        "imageId": "sha256:a",
        "evalCtx": {"image_info": info},
        "featureKey": {"name": "curl"},
    }
    asked = SourceNote(key="d-8", uid="container|x", to="fixed", note="x", raw=row)
    assert await back.rescan(asked) == "scan of shop/api:1.4 asked for"
    assert site.sim.scans == ["index.docker.io/shop/api:1.4"]
    nameless = {**row, "evalCtx": {"image_info": {**info, "tags": []}}}
    assert await back.rescan(SourceNote(key="d-9", uid="c", to="fixed", note="x", raw=nameless)) == ""
    assert await back.rescan(note(an_alert(site), "fixed")) == ""


# --- webhook ---------------------------------------------------------------------------------------------------------


async def test_a_delivery_is_fetched_as_a_poll_would_have_it(site: Site) -> None:
    number, hook = an_alert(site), LaceworkWebhook(site.api(), site.clock.now)
    body = json.dumps(site.sim.webhook(number)).encode()
    hook.verify({"X-Gatehouse-Token": HOOK}, body, site.clock.now())
    said = hook.understand(body)
    assert said.refs == (str(number),)
    page = await hook.fetch(said.refs)
    polled = [i async for p in site.poller().poll(None, site.clock.now()) for i in p.items]
    mapper = LaceworkMapper()
    same = next(i for i in polled if i.get("alertId") == number)
    assert mapper.map(page.items[0]) == mapper.map(same)
    assert mapper.sight(page.items[0]) == mapper.sight(same)
    assert (await hook.fetch(["999999"])).notes
