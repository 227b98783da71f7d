"""Against a stub that enforces what the service model says (and the simulator does not): filters, bounds, tokens."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from connector_shapes import asff

from bot.domain.errors import CloudRefused, Refused, RetryLater, SettingsError
from bot.domain.plans import Call
from bot.ports import Page
from bot.settings import Settings
from connectors.security_hub import MANIFEST
from connectors.security_hub.poller import SecurityHubPoller

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)


def iso(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Hub:
    """GetFindings as it is: a token is good for the very request it was given for, once."""

    def __init__(self) -> None:
        self.findings: dict[str, dict[str, Any]] = {}
        self.requests: list[dict[str, Any]] = []
        self.tokens: dict[str, tuple[Any, list[str]]] = {}
        self.fail: Exception | None = None

    def put(self, number: int, updated: datetime, **changes: Any) -> None:
        self.findings[str(number)] = asff(number, UpdatedAt=iso(updated), **changes)

    async def read(self, call: Call) -> dict[str, Any]:
        assert (call.service, call.operation) == ("securityhub", "get_findings")
        if self.fail:
            raise self.fail
        params: dict[str, Any] = dict(call.params)
        self.requests.append(params)
        size = params["MaxResults"]
        assert 1 <= size <= 100
        asked = {k: v for k, v in params.items() if k != "NextToken"}
        if token := params.get("NextToken"):
            if token not in self.tokens or self.tokens[token][0] != asked:
                raise CloudRefused("AWS: NextToken is not valid", code="InvalidInputException")
            names = self.tokens[token][1]
        else:
            assert params["SortCriteria"] == [{"Field": "UpdatedAt", "SortOrder": "asc"}]
            names = sorted(
                (n for n, f in self.findings.items() if self._matches(f, params["Filters"])),
                key=lambda n: self.findings[n]["UpdatedAt"],
            )
        answer: dict[str, Any] = {"Findings": [self.findings[n] for n in names[:size]]}
        if names[size:]:
            answer["NextToken"] = f"token-{len(self.requests)}"
            self.tokens[answer["NextToken"]] = (asked, names[size:])
        return answer

    @staticmethod
    def _matches(finding: dict[str, Any], filters: dict[str, Any]) -> bool:
        values = {
            "WorkflowStatus": finding["Workflow"]["Status"],
            "RecordState": finding["RecordState"],
            "UpdatedAt": finding["UpdatedAt"],
        }
        for name, wanted in filters.items():
            if name == "UpdatedAt":
                if not any(w["Start"] <= values[name] <= w["End"] for w in wanted):
                    return False
            elif not any(w["Comparison"] == "EQUALS" and w["Value"] == values[name] for w in wanted):
                return False
        return True


async def no_sleep(_: float) -> None:
    return None


def poller(hub: Hub) -> SecurityHubPoller:
    return SecurityHubPoller(hub, region="eu-west-1", sleep=no_sleep)


async def poll(hub: Hub, cursor: Any, now: datetime, stop_after: int = 0) -> tuple[list[Page], Any]:
    pages = []
    async for page in poller(hub).poll(cursor, now):
        pages.append(page)
        cursor = page.cursor if page.cursor is not None else cursor
        if stop_after and len(pages) == stop_after:
            break
    return pages, cursor


def numbers(pages: list[Page]) -> list[int]:
    return [int(item["Id"].rpartition("/")[2]) for page in pages for item in page.items]


async def test_first_poll_reads_everything_in_pages_of_100() -> None:
    hub = Hub()
    for n in range(250):
        hub.put(n, NOW - timedelta(days=50, minutes=-n))
    pages, cursor = await poll(hub, None, NOW)
    assert numbers(pages) == list(range(250))
    assert cursor["until"] == iso(NOW)
    assert "window" not in cursor


async def test_next_poll_reads_what_changed_with_an_overlap_and_sees_what_was_archived() -> None:
    hub = Hub()
    hub.put(1, NOW - timedelta(days=1))
    _, cursor = await poll(hub, None, NOW)
    hub.put(2, NOW - timedelta(minutes=10))  # shown late
    hub.put(3, NOW + timedelta(minutes=3), RecordState="ARCHIVED")
    pages, cursor = await poll(hub, cursor, NOW + timedelta(minutes=5))
    assert numbers(pages) == [2, 3]
    assert hub.requests[-1]["Filters"]["UpdatedAt"][0]["Start"] == iso(NOW - timedelta(minutes=15))


async def test_the_window_is_frozen_while_paging_and_a_restart_goes_on_in_it() -> None:
    hub = Hub()
    for n in range(250):
        hub.put(n, NOW - timedelta(minutes=300 - n))
    pages, cursor = await poll(hub, None, NOW, stop_after=1)
    assert cursor["window"]["token"]
    assert "until" not in cursor
    rest, cursor = await poll(hub, cursor, NOW + timedelta(minutes=30))
    assert numbers(pages + rest) == list(range(250))
    assert {r["Filters"]["UpdatedAt"][0]["End"] for r in hub.requests if "UpdatedAt" in r["Filters"]} == {iso(NOW)}
    assert cursor["until"] == iso(NOW)


async def test_a_token_that_ran_out_starts_the_same_window_again() -> None:
    hub = Hub()
    for n in range(150):
        hub.put(n, NOW - timedelta(minutes=300 - n))
    _, cursor = await poll(hub, None, NOW, stop_after=1)
    hub.tokens.clear()
    pages, _ = await poll(hub, cursor, NOW + timedelta(hours=2))
    assert numbers(pages) == list(range(150))


async def test_what_people_suppress_is_seen_though_the_time_of_change_stays() -> None:
    hub = Hub()
    hub.put(1, NOW - timedelta(days=3))
    _, cursor = await poll(hub, None, NOW)
    hub.findings["1"]["Workflow"] = {"Status": "SUPPRESSED"}
    pages, cursor = await poll(hub, cursor, NOW + timedelta(minutes=10))
    assert numbers(pages) == []
    pages, cursor = await poll(hub, cursor, NOW + timedelta(minutes=61))
    assert numbers(pages) == [1]


async def test_once_a_day_everything_is_read_and_shows_what_was_taken_back() -> None:
    hub = Hub()
    hub.put(1, NOW - timedelta(days=3), Workflow={"Status": "SUPPRESSED"})
    _, cursor = await poll(hub, None, NOW)
    hub.findings["1"]["Workflow"] = {"Status": "NEW"}
    pages, cursor = await poll(hub, cursor, NOW + timedelta(hours=2))
    assert numbers(pages) == []
    pages, cursor = await poll(hub, cursor, NOW + timedelta(hours=25))
    assert numbers(pages) == [1]


async def test_the_cursor_moves_only_with_the_last_page() -> None:
    hub = Hub()
    for n in range(150):
        hub.put(n, NOW - timedelta(minutes=300 - n))
    _, cursor = await poll(hub, {"until": iso(NOW - timedelta(hours=20)), "full": iso(NOW)}, NOW, stop_after=1)
    assert cursor["until"] == iso(NOW - timedelta(hours=20))


async def test_a_token_given_twice_ends_the_window() -> None:
    class Stuck(Hub):
        async def read(self, call: Call) -> dict[str, Any]:
            self.requests.append(dict(call.params))
            return {"Findings": [asff(1)], "NextToken": "again"}

    hub = Stuck()
    pages, _ = await poll(hub, None, NOW)
    assert len(hub.requests) == 4  # twice for each of the two queries
    assert any("twice" in note for page in pages for note in page.notes)


async def test_not_enabled_says_what_to_do() -> None:
    hub = Hub()
    hub.fail = CloudRefused("no", code="InvalidAccessException")
    with pytest.raises(Refused, match=r"not enabled in eu-west-1\. Enable it"):
        await poll(hub, None, NOW)


async def test_throttling_is_to_be_tried_later() -> None:
    hub = Hub()
    hub.fail = RetryLater("slow down")
    with pytest.raises(RetryLater) as caught:
        await poll(hub, None, NOW)
    assert caught.value.after == 30


def test_wrong_options_are_refused() -> None:
    with pytest.raises(SettingsError, match="did you mean overlap_minutes"):
        MANIFEST.poller(Settings(), {"overlap": 3})
    with pytest.raises(SettingsError, match=r"option backfill_days: .*number"):
        MANIFEST.poller(Settings(), {"backfill_days": "many"})
    assert MANIFEST.poller(Settings(), {"region": "eu-west-1"}).source == "security_hub"


async def test_an_answer_that_is_not_whole_is_no_empty_one() -> None:
    """botocore reads a body that is no JSON as ``{}``: taken as "no findings" it would move the cursor past changes."""

    class Cut:
        async def read(self, call: Any) -> dict[str, Any]:
            return {}

    poller = SecurityHubPoller(Cut(), region="us-east-1")
    with pytest.raises(RetryLater, match="cut off"):
        [page async for page in poller.poll(None, datetime(2026, 7, 1, tzinfo=UTC))]
