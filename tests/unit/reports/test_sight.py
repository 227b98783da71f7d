"""With ``ask.visibility: team`` lists, numbers and single things show what questions show, and what is one's own."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot.ask import sql
from bot.ask.service import Ask, Asker
from bot.domain import posture as p
from bot.domain.errors import Denied, NotFound
from bot.domain.principals import Actor, Platform, PlatformIdentity, Principal, Standing
from bot.domain.views import CauseRights, CauseView, Option
from bot.reports.board import Board
from bot.reports.filters import FindingsFilter, parse_filters
from bot.reports.sight import Sight
from bot.settings import Settings

from .conftest import NOW

TEAMS = ("payments", "web", "data")


def actor(who: str, team: str | None = None, role: str = "", groups: tuple[str, ...] = (), **standing: bool) -> Actor:
    good = {"active": True, "guest": False, "external": False, "bot": False} | standing
    return Actor(
        principal=Principal(id=who, name=who.title(), team=team, role=role),
        identity=PlatformIdentity(platform=Platform.SLACK, tenant="T01", user=f"U{who.upper()}"),
        standing=Standing(checked_at=NOW, **good),
        groups=frozenset(groups),
    )


ALICE, WENDY = actor("alice", "payments"), actor("wendy", "web")
BOSS, NOBODY = actor("boss", role="ciso"), actor("stray")


class Deciders:
    """Whom the policy lets approve what."""

    def __init__(self, **who: tuple[str, ...]) -> None:
        self.who = who

    async def of(self, view: CauseView, asked: Actor) -> CauseRights:
        may = (Option.APPROVE,) if view.id in self.who.get(asked.principal.id, ()) else (Option.ASK,)
        return CauseRights(cause_id=view.id, revision=view.revision, may=may)


def limited(world: Any, **more: Any) -> None:
    """``ask.visibility: team``, and a cause of two findings for each of two teams."""
    made = world.settings.model_dump()
    made["ask"] = {"visibility": "team", "see_everything": ["ciso"]} | more
    world.settings = Settings(**made)
    world.board = Board(world.db, world.settings, world.board._reader.catalog, world.clock)
    world.may = Deciders()
    world.sight = Sight(world.db, world.settings, world.board, world.may)


@pytest.fixture
def two(world: Any) -> Any:
    limited(world)
    world.cause("c-1", owner="payments", channels='["slack:C1"]')
    world.cause("c-2", owner="web", channels='["slack:C2"]', title="A secret of web")
    for number, team in ((1, "payments"), (2, "payments"), (3, "web"), (4, "web"), (5, "web")):
        cause = "c-1" if team == "payments" else "c-2"
        world.finding(number, owner=team, team=team, cause_id=cause, title=f"{team} bucket {number}")
    return world


def fid(number: int) -> str:
    return f"f-{number:016d}"


# --- lists and numbers -----------------------------------------------------------------------------------------------


async def test_a_list_its_total_and_its_pages_are_of_what_one_may_see(two: Any) -> None:
    for who, numbers in ((ALICE, [1, 2]), (WENDY, [3, 4, 5]), (BOSS, [1, 2, 3, 4, 5]), (NOBODY, [])):
        view = await two.board.findings(person=who)
        assert [line.id for line in view.lines] == [fid(n) for n in numbers]
        assert view.total == len(numbers)
    page = await two.board.findings(limit=2, offset=2, person=WENDY)
    assert ([line.id for line in page.lines], page.total) == ([fid(5)], 3)
    assert (await two.board.findings(limit=2, offset=2, person=ALICE)).lines == ()


@pytest.mark.parametrize("words", ["owner:web", '"web bucket"', "all owner:web", "account:111 owner:web", "text:web"])
async def test_no_filter_reaches_beyond_it(two: Any, words: str) -> None:
    filters = parse_filters(words)
    assert (await two.board.findings(filters, person=WENDY)).total == 3
    view = await two.board.findings(filters, person=ALICE)
    assert (view.lines, view.total) == ((), 0)


async def test_what_one_owns_oneself_is_seen_whatever_the_team(two: Any) -> None:
    two.finding(9, owner="stray", team="web", cause_id="c-2")
    view = await two.board.findings(FindingsFilter(), person=NOBODY)
    assert [line.id for line in view.lines] == [fid(9)]
    assert (await two.board.findings(parse_filters("mine"), person=NOBODY)).total == 1


async def test_the_operator_and_a_company_that_hides_nothing_see_all(two: Any) -> None:
    assert (await two.board.findings()).total == 5
    assert len(await two.board.all_open()) == 5
    limited(two, visibility="company")
    assert (await two.board.findings(person=ALICE)).total == 5
    assert await two.sight.named("c-2", ALICE) == "c-2"
    assert await two.sight.named(fid(3), NOBODY) == fid(3)
    await two.sight.require("c-2", actor("gus", guest=True))  # pressed, as ever


@pytest.mark.parametrize("why", ["guest", "external", "bot"])
async def test_guests_and_outsiders_are_refused_lists_and_typed_ids(two: Any, why: str) -> None:
    stranger = actor("gus", "web", "ciso", (), **{why: True})
    for act in (two.board.findings(person=stranger), two.sight.named(fid(3), stranger),
                two.sight.named("c-2", stranger)):  # fmt: skip
        with pytest.raises(Denied) as caught:
            await act
        assert caught.value.rule.startswith("guard-")
    home = await two.board.home(stranger)
    assert (home.status.open_findings, home.status.open_causes) == ((), ())
    assert not await two.sight.sees("c-2", stranger)


async def test_the_numbers_of_home_and_status_are_of_what_one_may_see(two: Any) -> None:
    two.plan()
    two.request(cause_id="c-2", requested_by="zoe")
    two.execution("exec-1", "running")  # of c-1
    for who, found, causes, waiting, running in (
        (ALICE, 2, 1, 0, 1), (WENDY, 3, 1, 1, 0), (BOSS, 5, 2, 1, 1), (NOBODY, 0, 0, 0, 0),
    ):  # fmt: skip
        home = (await two.board.home(who)).status
        assert sum(n for _, n in home.open_findings) == found, who.principal.id
        assert sum(n for _, n in home.open_causes) == causes
        assert (home.waiting_requests, home.running, home.held_in_digests) == (waiting, running, causes)
        assert home == await two.board.status(who)
        assert (home.attention is None) is (who is not BOSS)
    assert (await two.board.home(ALICE)).mine_total == 1


# --- single things ---------------------------------------------------------------------------------------------------


async def refused(act: Any) -> str:
    with pytest.raises(NotFound) as caught:
        await act
    return f"{caught.value.reason} {caught.value.mend}"


@pytest.mark.parametrize(("there", "missing"), [
    ("c-2", "c-7"), (fid(3), fid(7)), ("req-2", "req-7"), ("plan-2", "plan-7"), ("exec-2", "exec-7"),
])  # fmt: skip
async def test_what_one_may_not_see_is_as_what_does_not_exist(two: Any, there: str, missing: str) -> None:
    two.plan("plan-2")
    two.request("req-2", "plan-2", cause_id="c-2", requested_by="zoe")
    two.execution("exec-2", "running", "plan-2")
    move = "UPDATE {} SET cause_id = 'c-2'"
    for table in ("plans", "executions"):
        two.db.write_sync(lambda conn, table=table: conn.exec_driver_sql(move.format(table)))
    said = await refused(two.sight.named(there, ALICE))
    assert said.replace(there, "X") == (await refused(two.sight.named(missing, ALICE))).replace(missing, "X")
    assert "web" not in said.lower()
    assert await two.sight.named(there, WENDY) == there
    assert await two.sight.named(there, BOSS) == there
    if not there.startswith("f-"):
        pressed = await refused(two.sight.require(there, ALICE))
        assert pressed == said


async def test_the_beginning_of_an_id_names_nothing_of_others(two: Any) -> None:
    two.finding(61, team="payments", owner="payments")
    assert await two.sight.named("f-000000000000006", ALICE) == fid(61)
    two.finding(62, team="web", owner="web", cause_id="c-2")
    assert await two.sight.named("f-000000000000006", ALICE) == fid(61)  # another team's makes it no less unique
    for who in (ALICE, WENDY, NOBODY):
        said = await refused(two.sight.named("f-00000000000000", who))
        hidden = [n for n, team in ((1, "payments"), (3, "web"), (61, "payments"), (62, "web"))
                  if team != who.principal.team]  # fmt: skip
        assert not any(fid(n) in said for n in hidden), said


async def test_the_same_words_as_for_questions(two: Any) -> None:
    assert await refused(two.sight.named("c-2", ALICE)) == "There is no cause c-2 that you may see. Ask its owners."


async def test_who_may_approve_was_asked_or_took_part_sees_that_cause_alone(two: Any) -> None:
    two.plan()
    two.request(cause_id="c-2", requested_by="zoe")
    two.vote("vic", choice="reject")
    two.may.who = {"ann": ("c-2",)}
    asked = actor("ben", groups=("cloud-approvers",))
    for who in (actor("ann"), asked, actor("zoe"), actor("vic")):
        assert await two.sight.named("c-2", who) == "c-2"
        assert await two.sight.named("req-1", who) == "req-1"
        assert await two.sight.named(fid(3), who) == fid(3)
        assert not await two.sight.sees("c-1", who)
        await refused(two.sight.named(fid(1), who))
        assert (await two.board.findings(person=who)).total == 0  # lists are as for everybody
    barred = actor("ann", groups=("cloud-approvers",), guest=True)
    assert not await two.sight.sees("c-2", barred)


async def test_who_owns_a_cause_sees_it(two: Any) -> None:
    two.cause("c-3", owner="stray")
    two.finding(8, owner="web", team="web", cause_id="c-3")
    assert await two.sight.named("c-3", NOBODY) == "c-3"
    assert await two.sight.named("c-3", WENDY) == "c-3"  # a row of it is web's
    assert not await two.sight.sees("c-3", ALICE)


async def test_a_card_in_a_channel_may_be_pressed_there_and_nowhere_else(two: Any) -> None:
    two.post("c-2", "C7")
    two.post("c-1", "C8", message_id="")  # never arrived
    two.plan()
    two.request(cause_id="c-2")
    assert await two.sight.stands("c-2", "slack:C7")
    assert await two.sight.stands("req-1", "slack:C7")
    assert await two.sight.stands("c-2", "slack:C2")  # a digest there lists it
    for subject, address in (("c-2", "slack:C1"), ("c-2", "teams:C7"), ("c-2", "slack:"), ("c-2", ""),
                             ("c-1", "slack:C8"), ("req-1", "slack:C8"), ("req-9", "slack:C7"), ("c-2", "slack:C%"),
                             ("x", "slack:C7")):  # fmt: skip
        assert not await two.sight.stands(subject, address), (subject, address)


# --- never a leak ----------------------------------------------------------------------------------------------------

_ROWS = st.lists(
    st.tuples(
        st.sampled_from(["", *TEAMS]), st.sampled_from(["", *TEAMS, "alice", "wendy"]),
        st.sampled_from(["open", "resolved", "suppressed"]), st.integers(1, 4), st.booleans(),
    ),
    max_size=12,
)  # fmt: skip
_WORDS = st.sampled_from(["", "all", "prod", "P1", "owner:web", "owner:none", "mine", "resolved", "text:bucket", "dev"])


@pytest.mark.parametrize("world", ["sqlite"], indirect=True)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=_ROWS, words=_WORDS, limit=st.integers(1, 5))
async def test_two_persons_lists_never_leak(world: Any, rows: list[Any], words: str, limit: int) -> None:
    limited(world)
    world.db.write_sync(lambda conn: [conn.exec_driver_sql(f"DELETE FROM {t}") for t in ("findings", "observations")])
    for number, (team, owner, status, priority, prod) in enumerate(rows, 1):
        world.finding(number, team=team, owner=owner, status=status, priority=priority, cause_id="c-1",
                      environment="prod" if prod else "dev")  # fmt: skip
    asks = Ask(world.db, world.settings, world.clock)
    for who in (ALICE, WENDY, NOBODY):
        team, name = who.principal.team, who.principal.id
        may = {fid(n) for n, row in enumerate(rows, 1)
               if (team and team in row[:2]) or row[1] == name}  # fmt: skip
        filters = parse_filters(words)
        shown: list[str] = []
        while True:
            view = await world.board.findings(filters, limit=limit, offset=len(shown), person=who)
            if not view.lines:
                break
            shown += [line.id for line in view.lines]
        everything = {line.id for line in (await world.board.findings(filters, limit=99, person=who)).lines}
        operator = await world.board.findings(filters.for_owners(world.board.owners_of(who)), limit=99)
        matching = {line.id for line in operator.lines}
        assert len(shown) == len(set(shown)) == view.total
        assert set(shown) == everything == matching & may
        # Of the rows that questions show none is missing.
        asked = await asks.recompute(p.PostureQuery(kind=p.Kind.LIST), Asker(name, team))
        assert {str(row["id"]) for row in asked.rows} <= may
        assert asks.rights(Asker(name, team)) == sql.rights_of(world.settings.ask, team, "")
        for number in range(1, len(rows) + 1):
            if fid(number) in may:
                assert await world.sight.named(fid(number), who) == fid(number)
            else:
                await refused(world.sight.named(fid(number), who))
