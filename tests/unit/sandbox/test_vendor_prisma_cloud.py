"""The simulated Prisma Cloud keeps the real one's rules (asked without our client)."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from bot.sandbox.vendors.company import START, World
from bot.sandbox.vendors.prisma_cloud import KEY, SECRET, PrismaCloud

EVER = {"type": "to_now", "value": "epoch"}


class Site:
    def __init__(self) -> None:
        self.at = START + timedelta(days=1)
        self.world = World(30, seed=2, demo=False)
        self.prisma = PrismaCloud(self.world, now=lambda: self.at)
        self.client: TestClient[Any, Any] = TestClient(TestServer(self.prisma.app()))
        self.token = ""

    async def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any, str]:
        async with self.client.request(method, path, json=body, headers={"x-redlock-auth": self.token}) as answer:
            told = json.loads(answer.headers.get("x-redlock-status", "[{}]"))[0].get("i18nKey", "")
            raw = await answer.read()
            return answer.status, json.loads(raw) if raw else None, told

    async def login(self) -> None:
        _, told, _ = await self.ask("POST", "/login", {"username": KEY, "password": SECRET})
        self.token = told["token"]


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    made = Site()
    await made.client.start_server()
    await made.login()
    yield made
    await made.client.close()


async def test_a_token_ends_after_ten_minutes_and_is_extended_only_before(site: Site) -> None:
    site.at += timedelta(minutes=9)
    status, told, _ = await site.ask("GET", "/auth_token/extend")
    assert status == 200
    old, site.token = site.token, told["token"]
    site.at += timedelta(minutes=5)
    assert (await site.ask("GET", "/v2/policy"))[0] == 200
    site.token = old
    assert await site.ask("GET", "/auth_token/extend") == (401, None, "token_expired")


async def test_the_last_page_has_a_token_and_the_end_is_an_empty_page(site: Site) -> None:
    body: dict[str, Any] = {"timeRange": EVER, "sortBy": ["alertTime:asc"], "limit": 10}
    sizes, seen = [], set()
    for _ in range(10):
        _, told, _ = await site.ask("POST", "/v2/alert", body)
        assert told["nextPageToken"]
        sizes.append(len(told["items"]))
        seen |= {one["id"] for one in told["items"]}
        if not told["items"]:
            break
        body = {
            "pageToken": told["nextPageToken"],
            "filters": [{"name": "alert.status", "operator": "=", "value": "x"}],
        }
    assert sizes[-1] == 0
    assert len(seen) == told["totalRows"] == len([p for p in site.world.problems() if p.kind != "vulnerability"])


async def test_the_default_clock_never_shows_a_resolution(site: Site) -> None:
    problem = next(p for p in site.world.problems() if p.kind == "posture")
    site.at += timedelta(hours=5)
    await site.login()
    site.world.edit(problem.key, site.at, status="resolved")
    value = {
        "startTime": int((site.at - timedelta(hours=1)).timestamp() * 1000),
        "endTime": int(site.at.timestamp() * 1000),
    }
    body = {"timeRange": {"type": "absolute", "value": value}, "limit": 100}
    assert (await site.ask("POST", "/v2/alert", body))[1]["items"] == []
    clock = [{"name": "timeRange.type", "operator": "=", "value": "ALERT_UPDATED"}]
    _, told, _ = await site.ask("POST", "/v2/alert", body | {"filters": clock})
    assert [one["status"] for one in told["items"]] == ["resolved"]


async def test_details_are_only_given_when_asked_for(site: Site) -> None:
    for path, names in (("/v2/alert", False), ("/v2/alert?detailed=true", True)):
        _, told, _ = await site.ask("POST", path, {"timeRange": EVER, "limit": 3})
        assert all(("name" in one["policy"]) is names for one in told["items"])
    assert isinstance((await site.ask("POST", "/alert", {"timeRange": EVER}))[1], list)


async def test_wrong_requests_are_refused_in_a_header(site: Site) -> None:
    for wrong in (
        {"limit": 10_001},
        {"sortBy": ["alertTime:asc", "id:asc"]},
        {"filters": [{"name": "x", "operator": "="}]},
    ):
        assert await site.ask("POST", "/v2/alert", {"timeRange": EVER, "limit": 5} | wrong) == (
            400, None, "invalid_parameter_value"
        )  # fmt: skip
    assert await site.ask("POST", "/alert/dismiss", {"alerts": ["P-1"]}) == (400, None, "missing_required_parameter")
    assert await site.ask("GET", "/alert/P-4711") == (404, None, "not_found")


async def test_dismissing_twice_is_an_error_and_a_snooze_ends(site: Site) -> None:
    problem = next(p for p in site.world.problems() if p.kind == "posture" and p.status == "open")
    uid = site.prisma.alert_id(problem.key)
    body = {"alerts": [uid], "dismissalNote": "n", "filter": {"timeRange": EVER, "filters": []}}
    forward = {"type": "relative", "relativeTimeType": "FORWARD", "value": {"amount": 2, "unit": "hour"}}
    assert (await site.ask("POST", "/alert/dismiss", body | {"dismissalTimeRange": forward}))[0] == 200
    assert (await site.ask("POST", "/alert/dismiss", body))[::2] == (404, "alert_no_longer_in_expected_state")
    site.at += timedelta(hours=3)
    await site.login()
    _, told, _ = await site.ask("GET", f"/alert/{uid}")
    assert (told["status"], told["reason"]) == ("open", "SNOOZED_AUTO_REOPEN")
    short = forward | {"value": {"amount": 10, "unit": "minute"}}
    answer = await site.ask("POST", "/alert/dismiss", body | {"dismissalTimeRange": short})
    assert answer[::2] == (400, "violates_minimum_alert_dismiss_duration_time")


async def test_an_empty_page_of_hosts_is_null(site: Site) -> None:
    assert (await site.ask("GET", "/api/v1/hosts?limit=50&offset=9999"))[:2] == (200, None)
    assert (await site.ask("GET", "/api/v1/images?limit=50&offset=9999"))[:2] == (200, [])
    assert (await site.ask("GET", "/api/v1/hosts?limit=51"))[0] == 400
