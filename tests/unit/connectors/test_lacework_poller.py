"""What the poller asks and what it concludes, against a stub of the API's calls."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Any

import pytest
from example_lacework import alert, evaluation, host

from bot.domain.errors import Refused, RetryLater
from bot.ports import Page
from connectors.lacework.client import BudgetSpent, HourlyBudget, LaceworkApi, Rows, page_of
from connectors.lacework.options import LaceworkOptions
from connectors.lacework.poller import LaceworkPoller
from connectors.lacework.walk import Walk
from connectors.lacework.words import moment
from connectors.options import parse

NOW = datetime(2026, 6, 10, 12, tzinfo=UTC)


class Stub(LaceworkApi):
    """Answers from lists of pages; notes what was asked."""

    def __init__(self, **options: Any) -> None:
        values = {"account": "acme", "key_id": "k", "secret": "s", "compliance": ("aws",), **options}
        super().__init__(parse("lacework", LaceworkOptions, values))
        self.asked: list[tuple[str, Any, str | None]] = []
        self.lists: dict[str, list[Any]] = {}
        self.detailed: list[str] = []

    def _next(self, what: str, link: str | None) -> Rows:
        pages = self.lists.get(what, [])
        number = int(link or 0)
        if number >= len(pages):
            return Rows([])
        page = pages[number]
        if isinstance(page, Exception):
            raise page
        return Rows(list(page), str(number + 1) if number + 1 < len(pages) else None)

    async def alerts(self, start: datetime, end: datetime, link: str | None = None) -> Rows:
        self.asked.append(("alerts", (start, end), link))
        wanted = [row for page in self.lists.get("alerts", []) for row in page if start <= _at(row) <= end]
        return Rows(wanted)

    async def search(self, path: str, body: Mapping[str, Any], link: str | None = None) -> Rows:
        self.asked.append((path, body, link))
        return self._next(path, link)

    async def details(self, number: str) -> dict[str, Any] | None:
        self.detailed.append(number)
        return {"alertId": int(number), "entityMap": {"Machine": [{"KEY": {"mid": 1}}]}}

    async def policies(self) -> dict[str, dict[str, Any]]:
        return {}


def _at(row: Mapping[str, Any]) -> datetime:
    found = moment(row["startTime"])
    assert found is not None
    return found


async def run(api: Stub, cursor: Mapping[str, Any] | None = None, now: datetime = NOW) -> list[Page]:
    return [page async for page in LaceworkPoller(api).poll(cursor, now)]


EVALUATIONS, HOSTS = "Configs/ComplianceEvaluations", "Vulnerabilities/Hosts"
ONLY: dict[str, Any] = {"hosts": False, "containers": False, "compliance": ()}


async def test_windows_are_a_day_at_most_newest_first_and_overlap_a_day() -> None:
    api = Stub(**ONLY, backfill_days=3)
    pages = await run(api)
    spans = [span for what, span, _ in api.asked if what == "alerts"]
    assert [end - start for start, end in spans] == [timedelta(hours=24)] * 3
    assert [end for _, end in spans] == [NOW, NOW - timedelta(days=1), NOW - timedelta(days=2)]
    cursor = pages[-1].cursor
    assert cursor == {"done": {"alerts": "2026-06-10T12:00:00.000Z", "sweep": "2026-06-10T12:00:00.000Z",
                               "from": "2026-06-07T12:00:00.000Z"}}  # fmt: skip
    later = Stub(**ONLY)
    await run(later, cursor, NOW + timedelta(hours=2))
    spans = [span for what, span, _ in later.asked if what == "alerts"]
    assert (min(s for s, _ in spans), max(e for _, e in spans)) == (NOW - timedelta(days=1), NOW + timedelta(hours=2))


async def test_a_sweep_asks_for_weeks_and_takes_only_what_somebody_touched() -> None:
    old = "2026-06-01T08:00:00.000Z"
    rows = [
        alert(alertId=1, startTime=old, lastUserUpdatedTime="0"),
        alert(alertId=2, startTime=old, status="Closed", lastUserUpdatedTime="2026-06-10T11:00:00.000Z"),
        alert(alertId=3, startTime=old, status="Closed", lastUserUpdatedTime="2026-06-05T00:00:00.000Z"),
        alert(alertId=4, startTime=old, status="Closed", lastUserUpdatedTime=""),
        alert(alertId=5, startTime=old, evolvingAlert=True),
    ]
    api = Stub(**ONLY)
    api.lists["alerts"] = [rows]
    cursor = {"done": {"alerts": "2026-06-10T11:45:00.000Z", "sweep": "2026-06-10T05:00:00.000Z"}}
    pages = await run(api, cursor)
    assert sorted(item["alertId"] for page in pages for item in page.items) == [2, 4, 5]
    assert max(end - start for what, (start, end), _ in api.asked if what == "alerts") == timedelta(days=7)
    assert pages[-1].cursor is not None
    assert pages[-1].cursor["done"]["sweep"] == "2026-06-10T12:00:00.000Z"


async def test_details_are_asked_by_severity_once_and_not_for_what_was_closed_before_the_first_read() -> None:
    rows = [
        alert(alertId=1, startTime="2026-06-10T10:00:00Z", severity="Critical"),
        alert(alertId=2, startTime="2026-06-10T10:00:00Z", severity="Low"),
        alert(alertId=3, startTime="2026-06-10T10:00:00Z", severity="High", status="Closed"),
    ]
    api = Stub(**ONLY)
    api.lists["alerts"] = [rows]
    poller = LaceworkPoller(api)
    cursor: Any = None
    for _ in range(2):
        async for page in poller.poll(cursor, NOW):
            cursor = page.cursor
    assert api.detailed == ["1", "3"]  # the closed one at the second read, when it may be known


async def test_the_bounds_of_a_search_are_frozen_over_its_pages_and_a_restart() -> None:
    api = Stub(**(ONLY | {"hosts": True}))
    api.lists[HOSTS] = [[host(mid=1)], [host(mid=2)], [host(mid=3)]]
    pages = await run(api)
    cut = next(p for p in pages if any(i.get("mid") == 1 for i in p.items))
    again = Stub(**(ONLY | {"hosts": True}))
    again.lists = api.lists
    resumed = await run(again, cut.cursor, NOW + timedelta(hours=3))
    bodies = [body for what, body, _ in (*api.asked, *again.asked) if what == HOSTS]
    assert len({str(body) for body in bodies}) == 1
    # From its first page: nothing is concluded from half a search, and all three are read again.
    assert sorted(i["mid"] for p in resumed for i in p.items if "mid" in i) == [1, 2, 3]
    assert any(p.complete_scopes for p in resumed)


@pytest.mark.parametrize("order", list(permutations(range(3))))
async def test_the_newest_row_of_a_pair_has_the_last_word_in_any_order(order: tuple[int, ...]) -> None:
    rows = [
        host(endTime="2026-06-10T01:00:00Z", status="Active"),
        host(endTime="2026-06-10T02:00:00Z", status="Reopened"),
        host(endTime="2026-06-10T03:00:00Z", status="Fixed"),
    ]
    api = Stub(**(ONLY | {"hosts": True}))
    api.lists[HOSTS] = [[rows[number]] for number in order]
    items = [item for page in await run(api) for item in page.items]
    assert [item["status"] for item in items] == ["Fixed"]


async def test_an_account_is_complete_unless_something_there_could_not_be_assessed() -> None:
    def of(account: str, **more: Any) -> dict[str, Any]:
        return evaluation(account={"AccountId": account}, resource=f"arn:aws:s3:::{account}", **more)

    api = Stub(**(ONLY | {"compliance": ("aws",)}))
    api.lists[EVALUATIONS] = [
        [of("1"), of("2"), of("2", id="p", status="CouldNotAssess")],
        [of("3", status="RequiresManualAssessment"), of("4", status="Compliant")],
    ]
    pages = await run(api)
    complete = [scope for page in pages for scope in page.complete_scopes]
    assert complete == [f"lacework:compliance:acme.lacework.net:aws:{n}" for n in ("1", "3", "4")]
    notes = [note for page in pages for note in page.notes]
    assert notes == ["2 evaluations could not tell; they were neither opened nor resolved"]


async def test_a_search_that_our_budget_cut_goes_on_and_concludes_nothing() -> None:
    api = Stub(**(ONLY | {"compliance": ("aws",)}))
    api.lists[EVALUATIONS] = [[evaluation()], BudgetSpent("the budget is used up", after=600.0), []]
    pages = await run(api)
    assert pages[-1].notes == (
        "the budget is used up; the rest is read at the next turns (some requests are free in 10 min)",
    )
    cursor = pages[-1].cursor
    assert cursor is not None
    assert cursor["job"]["next"] == "1"
    api.lists[EVALUATIONS][1] = [evaluation(resource="arn:aws:s3:::other")]
    rest = await run(api, cursor, NOW + timedelta(hours=1))
    assert [link for what, _, link in api.asked if what == EVALUATIONS] == [None, "1", "1", "2"]
    assert not any(page.complete_scopes for page in rest)
    assert rest[-1].cursor is not None
    assert "job" not in rest[-1].cursor


async def test_a_job_left_lying_for_months_asks_for_nothing_that_is_no_longer_kept() -> None:
    job = {
        "kind": "alerts",
        "start": "2026-01-01T00:00:00Z",
        "at": "2026-02-01T00:00:00Z",
        "end": "2026-02-02T00:00:00Z",
    }
    api = Stub(**ONLY)
    pages = await run(api, {"done": {}, "job": job})
    assert all(start > NOW - timedelta(days=92) for what, (start, _), _ in api.asked if what == "alerts")
    assert pages[-1].cursor is not None
    assert pages[-1].cursor["done"]["alerts"] == "2026-02-02T00:00:00Z"
    api = Stub(**(ONLY | {"hosts": True}))
    await run(api, {"done": {}, "job": {**job, "kind": "hosts"}})
    assert [body["timeFilter"]["endTime"] for what, body, _ in api.asked if what == HOSTS] == [
        "2026-06-10T12:00:00.000Z"
    ]


async def test_a_sweep_reaches_back_to_what_was_read_first_and_no_further_than_is_kept() -> None:
    for began, oldest in (("2026-05-01T00:00:00Z", datetime(2026, 5, 1, tzinfo=UTC)), ("2026-01-01T00:00:00Z", None)):
        api = Stub(**ONLY)
        await run(api, {"done": {"alerts": "2026-06-10T11:00:00Z", "sweep": "2026-06-10T01:00:00Z", "from": began}})
        starts = [start for what, (start, _), _ in api.asked if what == "alerts"]
        assert min(starts) == (oldest or NOW - timedelta(days=92) + timedelta(hours=2))


@pytest.mark.parametrize("total", [None, 2, 3])
async def test_an_answer_that_goes_in_circles_is_no_end_while_rows_are_missing(total: int | None) -> None:
    asked: list[str | None] = []

    async def ask(link: str | None) -> Rows:
        asked.append(link)
        return Rows([{"n": 1}], "again", total)

    walk = Walk(ask)
    rows: list[Rows] = []
    if total == 3:
        with pytest.raises(RetryLater, match="2 of 3 rows"):
            rows += [page async for page in walk.pages()]
    else:
        rows += [page async for page in walk.pages()]
        assert walk.notes
    assert asked == [None, "again", None, "again"]
    assert not walk.complete


@pytest.mark.parametrize(("total", "complete"), [(2, True), (None, True), (3, False)])
async def test_a_walk_is_complete_when_all_announced_rows_came(total: int | None, complete: bool) -> None:
    async def ask(link: str | None) -> Rows:
        return Rows([{"n": 1}], None if link else "next", total)

    walk = Walk(ask)
    assert [page.next async for page in walk.pages()] == ["next", None]
    assert walk.complete == complete
    resumed = Walk(ask, "next")
    assert [page.next async for page in resumed.pages()] == [None]
    assert not resumed.complete


async def test_no_rows_at_all_prove_nothing() -> None:
    pages = await run(Stub(**(ONLY | {"hosts": True, "compliance": ("aws", "gcp")})))
    assert not any(page.complete_scopes for page in pages)


async def test_a_page_that_names_itself_as_the_next_ends_with_a_note() -> None:
    class Circle(Stub):
        async def search(self, path: str, body: Mapping[str, Any], link: str | None = None) -> Rows:
            return Rows([host()], "again")  # for ever

    pages = await run(Circle(**(ONLY | {"hosts": True})))
    assert any("same next page twice" in note for page in pages for note in page.notes)
    assert not any(page.complete_scopes for page in pages)


async def test_an_expired_page_starts_its_search_again_and_a_refusal_of_the_first_is_raised() -> None:
    broken: list[Any] = [[host(mid=1)], Refused("the page has expired"), [host(mid=3)]]

    class Once(Stub):
        async def search(self, path: str, body: Mapping[str, Any], link: str | None = None) -> Rows:
            try:
                return await super().search(path, body, link)
            except Refused:
                self.lists[HOSTS][1] = [host(mid=2)]
                raise

    api = Once(**(ONLY | {"hosts": True}))
    api.lists[HOSTS] = broken
    items = [item["mid"] for page in await run(api) for item in page.items]
    assert set(items) == {1, 2, 3}
    never = Stub(**(ONLY | {"hosts": True}))
    never.lists[HOSTS] = [Refused("no right")]
    with pytest.raises(Refused, match="no right"):
        await run(never)


@pytest.mark.parametrize(
    ("body", "rows", "link"),
    [
        (None, 0, None),
        ({"data": []}, 0, None),
        ({"paging": {"urls": {"nextPage": "https://a/x"}}}, 0, "https://a/x"),
        ({"data": [{}, 1, None], "paging": {"urls": None}}, 1, None),
        ({"data": {"a": 1}, "paging": {}}, 1, None),
        ({"data": [{}], "paging": {"urls": {"nextPage": ""}}}, 1, None),
        ([1], 0, None),
    ],
)
def test_every_shape_of_a_page(body: Any, rows: int, link: str | None) -> None:
    found = page_of(body)
    assert (len(found.rows), found.next) == (rows, link)


@pytest.mark.parametrize(
    "cursor", [{}, {"done": 1, "job": 2}, {"job": {"kind": "unknown"}}, {"done": {"alerts": "never"}}]
)
async def test_a_cursor_of_another_version_begins_anew(cursor: Any) -> None:
    pages = await run(Stub(**ONLY), cursor)
    assert pages[-1].cursor is not None
    assert pages[-1].cursor["done"]["alerts"] == "2026-06-10T12:00:00.000Z"


async def test_the_budget_counts_any_hour() -> None:
    now = [0.0]
    budget = HourlyBudget(2, now=lambda: now[0])
    await budget.turn()
    now[0] = 1800
    await budget.turn()
    with pytest.raises(BudgetSpent) as error:
        await budget.turn()
    assert error.value.after == 1800
    now[0] = 3600
    await budget.turn()
    assert budget.left() == 0
