"""The Wiz connector against a Wiz that keeps the real one's rules, with a real intake on SQLite."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from wiz_world import Clock, Stage, Store, stage

from bot.domain.errors import GatehouseError, Refused, Relogin
from bot.sandbox.vendors.company import World
from bot.sandbox.vendors.wiz import RANDOM_FAULTS
from bot.sandbox.vendors.wiz_objects import CONFIGURATION, DETECTIONS, ISSUES, VULNERABILITIES
from connectors.wiz import WizMapper

OPEN = {"open", "reopened", "new"}
POLLED = (ISSUES, CONFIGURATION, VULNERABILITIES)


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as made:
        yield Path(made)


def truth_of(on: Stage, *kinds: str) -> set[str]:
    return {uid for uid, status in on.wiz.truth(*kinds or POLLED).items() if status in ("OPEN", "IN_PROGRESS")}


async def open_of(store: Store) -> set[str]:
    return {uid for uid, status in (await store.statuses()).items() if status in OPEN}


async def test_everything_open_is_read_at_first_and_changes_after(folder: Path) -> None:
    async with stage(300, options={"page_size": 50}) as on:
        store, poller, dice = Store(folder, on.clock), on.poller(), Random(3)
        await store.poll(poller)
        assert await open_of(store) == truth_of(on)
        assert len(truth_of(on)) > 250
        for _ in range(6):
            on.clock.move(minutes=5)
            on.wiz.world.change(on.clock.now(), 0.05, dice)
            on.clock.move(minutes=5)
            before = len(on.wiz.calls)
            await store.poll(poller)
            assert len(on.wiz.calls) - before <= 6  # not the whole tenant again
            assert await open_of(store) == truth_of(on)
        store.close()


async def test_the_daily_read_finds_what_no_change_told(folder: Path) -> None:
    async with stage(60) as on:
        store, poller = Store(folder, on.clock), on.poller()
        await store.poll(poller)
        victim = next(p for p in on.wiz.world.problems() if p.exposed and p.kind == "posture")
        # a severity moves without the time of the status; an object leaves without a word
        on.wiz.world.edit(victim.key, on.clock.move(minutes=1), severity="low" if victim.severity != "low" else "high")
        gone = next(p for p in on.wiz.world.problems() if p.kind == "threat")
        del on.wiz.world._problems[gone.key]
        on.wiz.world.version += 1
        on.clock.move(minutes=10)
        await store.poll(poller)
        uid = victim.uuid(f"wiz/{ISSUES}")
        severity = 2 if victim.severity != "low" else 4
        assert {row[0]: row[2] for row in await store.state()}[uid] != severity
        on.clock.move(hours=25)
        await store.poll(poller)
        levels = {row[0]: row[2] for row in await store.state()}
        assert levels[uid] == severity
        assert (await store.statuses())[gone.uuid(f"wiz/{ISSUES}")] == "resolved"
        assert await open_of(store) == truth_of(on)
        store.close()


@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
@given(data=st.data())
async def test_kills_faults_and_skew_end_in_the_same_state(data: st.DataObject) -> None:
    """Whatever happens on the way, the store ends with Wiz's truth, and the cursor moves only with what is stored."""
    seed = data.draw(st.integers(0, 10_000))
    with tempfile.TemporaryDirectory() as made:
        async with stage(80, options={"page_size": 20}) as on:
            on.ours = Clock(on.clock.moment + timedelta(seconds=data.draw(st.sampled_from([0, -3000, 3000, 86_000]))))
            store, dice = Store(Path(made), on.ours), Random(seed)

            async def go(pages: int | None = None) -> None:
                try:
                    await store.poll(on.poller(), pages=pages)
                except GatehouseError:
                    return  # the next turn goes on from the stored cursor

            for _ in range(5):
                on.wiz.world.change(on.clock.now(), 0.08, dice)
                for clock in (on.clock, on.ours):
                    clock.move(minutes=data.draw(st.integers(1, 40)))
                faults = st.sampled_from([*RANDOM_FAULTS, "shuffle", "forget-cursor"])
                on.wiz.faults.extend(data.draw(st.lists(faults, max_size=4)))
                await go(data.draw(st.one_of(st.none(), st.integers(1, 6))))
            on.wiz.faults.clear()
            for _ in range(2):  # quiet again: what an interrupted read left out comes now
                for clock in (on.clock, on.ours):
                    clock.move(hours=25)
                await go()
            assert await open_of(store) == truth_of(on)
            twice = await store.state()
            on.ours.move(minutes=1)
            await go()
            assert await store.state() == twice
            store.close()


@pytest.mark.parametrize("seconds", [-7200, 7200])
async def test_a_wrong_clock_of_ours_loses_no_change(folder: Path, seconds: int) -> None:
    async with stage(60) as on:
        on.ours = Clock(on.clock.moment + timedelta(seconds=seconds))
        store, dice = Store(folder, on.ours), Random(2)
        await store.poll(on.poller())
        for _ in range(4):
            on.wiz.world.change(on.clock.now(), 0.1, dice)
            for clock in (on.clock, on.ours):
                clock.move(minutes=20)
            await store.poll(on.poller())  # a new process every time: nothing is known of Wiz's clock
            assert await open_of(store) == truth_of(on)
        store.close()


async def test_a_kill_between_two_pages_goes_on_with_the_next_page(folder: Path) -> None:
    async with stage(200, options={"page_size": 25, "kinds": ("configuration",)}) as on:
        store = Store(folder, on.clock)
        await store.poll(on.poller(), pages=2)
        cursor = await store.cursor()
        assert cursor is not None
        window = cursor["configuration"]["window"]
        assert len(await store.statuses()) == 50
        asked = len(on.wiz.calls)
        await store.poll(on.poller())
        pages = -(-len(on.wiz.truth(CONFIGURATION)) // 25)
        assert len(on.wiz.calls) - asked == pages - 2  # nothing is asked for again
        assert window["token"]
        assert "window" not in (await store.cursor())["configuration"]  # type: ignore[index]
        assert await open_of(store) == truth_of(on, CONFIGURATION)
        store.close()


async def test_an_interrupted_read_of_everything_resolves_nothing(folder: Path) -> None:
    async with stage(120, options={"page_size": 20, "kinds": ("configuration",)}) as on:
        store = Store(folder, on.clock)
        await store.poll(on.poller())
        gone = on.wiz.world.problems()[-1]
        del on.wiz.world._problems[gone.key]
        on.wiz.world.version += 1
        on.clock.move(hours=25)
        await store.poll(on.poller(), pages=3)
        await store.poll(on.poller())  # goes on in the middle: proves nothing
        uid = gone.uuid(f"wiz/{CONFIGURATION}")
        assert (await store.statuses())[uid] == "open"
        await store.poll(on.poller())  # in one piece, at once and not a day later
        assert (await store.statuses())[uid] == "resolved"
        store.close()


async def test_a_check_that_cannot_tell_opens_and_resolves_nothing(folder: Path) -> None:
    async with stage(60, options={"kinds": ("configuration",)}) as on:
        open_ones = sorted(truth_of(on, CONFIGURATION))
        on.wiz.undecided = {open_ones[0]}
        store, poller = Store(folder, on.clock), on.poller()
        await store.poll(poller)
        assert await open_of(store) == set(open_ones[1:])
        on.wiz.undecided = {open_ones[1]}
        on.wiz.world.version += 1
        on.clock.move(hours=25)
        await store.poll(poller)
        assert await open_of(store) == set(open_ones)
        store.close()


async def test_a_repeated_cursor_ends_the_reading_and_proves_nothing(folder: Path) -> None:
    async with stage(120, options={"page_size": 20, "kinds": ("configuration",)}) as on:
        store = Store(folder, on.clock)
        await store.poll(on.poller())
        on.clock.move(hours=25)
        client = on.client()
        first = await client.page("configuration", {}, None, 20)
        on.wiz.faults.extend(["repeat-cursor"])
        second = await client.page("configuration", {}, first.cursor, 20)
        assert second.cursor == first.cursor
        poller = on.poller()
        pages = []
        async for page in poller.poll({"configuration": {"until": None, "window": {
                "what": "open", "end": "2026-07-01T00:00:00Z", "token": None}}}, on.clock.now()):  # fmt: skip
            pages.append(page)
            if len(pages) == 1:
                on.wiz.faults.append("repeat-cursor")
        assert any("token twice" in note for page in pages for note in page.notes)
        assert not any(page.complete_scopes for page in pages)
        store.close()


async def test_a_lost_page_token_reads_the_same_window_again(folder: Path) -> None:
    async with stage(120, options={"page_size": 20, "kinds": ("configuration",)}) as on:
        store = Store(folder, on.clock)
        await store.poll(on.poller(), pages=2)
        on.wiz.faults.append("forget-cursor")
        _, notes = await store.poll(on.poller())
        assert any("no longer knew the page token" in note for note in notes)
        assert await open_of(store) == truth_of(on, CONFIGURATION)
        store.close()


async def test_a_tenant_without_updated_at_is_read_by_analyzed_at(folder: Path) -> None:
    async with stage(40, options={"kinds": ("configuration",)}, updated_at=False) as on:
        store = Store(folder, on.clock)
        await store.poll(on.poller())
        on.clock.move(hours=1)
        _, notes = await store.poll(on.poller())
        assert any("analyzedAt is used" in note for note in notes)
        assert (await store.cursor())["configuration"]["by"] == "analyzedAt"  # type: ignore[index]
        on.clock.move(hours=1)
        _, notes = await store.poll(on.poller())
        assert notes == ()
        store.close()


async def test_a_tenant_without_some_fields_is_read_without_them(folder: Path) -> None:
    missing = ("cnaScore", "rejectionExpiredAt", "risks", "computeInstanceGroup", "sourceRule", "triggeringEvents")
    async with stage(60, options={"kinds": ("issues", "vulnerabilities", "detections")}, missing=missing) as on:
        store, poller = Store(folder, on.clock), on.poller(backfill_days=400)
        _, notes = await store.poll(poller)
        said = " ".join(notes)
        assert all(f"{name}" in said for name in missing)
        assert {uid for uid, status in (await store.statuses()).items() if status in OPEN} >= truth_of(
            on, ISSUES, VULNERABILITIES
        )
        rules = {row[3] for row in await store.state()}
        assert "Many failed logins over SSH from one address" in rules  # from sourceRules
        asked = len(on.wiz.calls)
        await store.poll(poller)
        assert len(on.wiz.calls) - asked == 3  # known by now
        store.close()


async def test_owners_of_projects_are_read_when_asked_for() -> None:
    async with stage(20) as on:
        for asked in (False, True):
            nodes = (await on.client(project_owners=asked).page("issues", {}, None)).nodes
            hints = {hint.kind for node in nodes for hint in WizMapper().map(node).owner_hints}
            assert ("project_owner" in hints) is asked
            assert "project" in hints


async def test_a_tenant_without_what_is_needed_is_an_error(folder: Path) -> None:
    async with stage(5, missing=("entitySnapshot",)) as on:
        with pytest.raises(Refused, match="entitySnapshot"):
            await on.client().page("issues", {}, None)


async def test_detections_are_read_when_asked_for(folder: Path) -> None:
    async with stage(60, options={"kinds": ("detections",), "backfill_days": 400}) as on:
        store = Store(folder, on.clock)
        await store.poll(on.poller())
        assert set(await store.statuses()) == set(on.wiz.truth(DETECTIONS))
        store.close()


async def test_old_tenants_are_asked_with_their_audience() -> None:
    async with stage(5, audience="beyond-api") as on:
        with pytest.raises(Relogin, match="refused the login"):
            await on.client().page("issues", {}, None)
        page = await on.client(audience="beyond-api").page("issues", {}, None)
        assert page.nodes


async def test_the_token_is_renewed_before_its_end_and_after_a_401() -> None:
    async with stage(5, expires_in=3600) as on:
        client = on.client()
        await client.page("issues", {}, None)
        await client.page("issues", {}, None)
        assert on.wiz.logins == 1
        on.clock.move(minutes=56)
        await client.page("issues", {}, None)
        assert on.wiz.logins == 2
        on.wiz.faults.append("expired")
        await client.page("issues", {}, None)
        assert on.wiz.logins == 3


async def test_a_wrong_secret_asks_for_renewal_and_is_never_shown() -> None:
    async with stage(5) as on:
        with pytest.raises(Relogin) as caught:
            await on.client(client_secret="wrong-secret-of-ours").page("issues", {}, None)
        assert "wrong-secret-of-ours" not in str(caught.value)
        assert "renew" in caught.value.mend


async def test_limits_waits_and_errors_inside_200() -> None:
    async with stage(5, per_second=2) as on:
        client = on.client()
        for _ in range(5):
            await client.page("issues", {}, None)
        assert any(seconds >= 1 for seconds in on.slept)
        on.wiz.per_second = 0
        on.wiz.faults.extend(["internal", "partial", "truncated"])
        assert (await client.page("issues", {}, None)).nodes
        with pytest.raises(Refused, match="first must be between"):
            await client.page("issues", {}, None, 501)


async def test_missing_rights_are_named_by_the_check(monkeypatch: pytest.MonkeyPatch) -> None:
    from connectors.wiz import poller

    async with stage(20, scopes=frozenset({ISSUES})) as on:
        monkeypatch.setattr(poller, "WizClient", lambda options: on.client(kinds=options.kinds))
        with pytest.raises(Refused, match="may not read configuration"):
            await poller.check(None, {**on.options})  # type: ignore[arg-type]
        said = await poller.check(None, {**on.options, "kinds": ("issues",)})  # type: ignore[arg-type]
        assert "may read issues" in said


async def test_ten_polls_with_random_faults_end_in_the_truth(folder: Path) -> None:
    async with stage(options={"page_size": 100}, world=World(400), fault_rate=0.15) as on:
        store, dice = Store(folder, on.clock), Random(5)
        failed = 0
        for _ in range(10):
            on.wiz.world.change(on.clock.now(), 0.05, dice)
            on.clock.move(minutes=10)
            try:
                await store.poll(on.poller())
            except GatehouseError:
                failed += 1
        on.wiz.fault_rate = 0
        on.clock.move(hours=25)
        await store.poll(on.poller())
        assert await open_of(store) == truth_of(on)
        assert failed < 10
        store.close()
