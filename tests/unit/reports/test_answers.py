"""Answers kept and computed again, what "it" is, whose rights hold where, and what is offered instead of an answer."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from bot.ask import vocabulary
from bot.ask.reader import Reader
from bot.ask.reading import Turn
from bot.ask.service import Ask
from bot.ask.sql import EVERYTHING, Rights
from bot.domain import posture as p
from bot.domain.errors import BadInput, Denied, NotFound
from bot.domain.habits import Habits
from bot.domain.ids import RandomIds
from bot.domain.principals import Actor, Platform, PlatformIdentity, Principal, Standing
from bot.reports import suggest, tables
from bot.reports.about import About, intent_of, named_in
from bot.reports.answers import ANSWERS_KEPT, Answers, Place
from bot.reports.sight import Sight
from bot.reports.turns import KEEP, StoredTurns, rights_key
from bot.settings import Settings
from bot.store import answers as store
from bot.store.database import Database
from bot.store.migrate import upgrade

from ..ask import company


class Clock:
    def __init__(self) -> None:
        self.at = datetime.now(UTC)

    def now(self) -> datetime:
        return self.at


class Kit:
    """The service over the invented company of the reader's tests."""

    def __init__(self, url: str, **settings: Any) -> None:
        self.db, self.clock = Database(url), Clock()
        self.settings = Settings(**settings)
        self.again()

    def again(self) -> None:
        """As a restart makes it."""
        turns = StoredTurns(self.db, self.clock)
        self.ask = Ask(self.db, self.settings, self.clock, turns)
        nothing: Any = None
        self.answers = Answers(
            self.db,
            self.settings,
            self.ask,
            About(nothing, nothing),
            turns,
            self.clock,
            RandomIds(),
            Sight(self.db, self.settings, nothing, nothing),
        )


@pytest.fixture
async def kit(tmp_path: Path) -> AsyncIterator[Kit]:
    url = f"sqlite:///{tmp_path}/a.db"
    upgrade(url)
    made = Kit(url)
    made.db.write_sync(company.store, company.facts(200))
    yield made
    await made.db.close()


def actor(team: str | None = None, role: str = "", **standing: bool) -> Actor:
    good = {"active": True, "guest": False, "external": False, "bot": False} | standing
    return Actor(
        principal=Principal(id="ann", name="Ann", team=team, role=role),
        identity=PlatformIdentity(platform=Platform.SLACK, tenant="T1", user="U1"),
        standing=Standing(checked_at=datetime.now(UTC), **good),
    )


DM = Place("slack", "D1", "1.1", private=True, direct=True)


@pytest.mark.parametrize("why", ["guest", "external", "bot"])
async def test_who_is_no_full_member_is_refused_everywhere(kit: Kit, why: str) -> None:
    given = await kit.answers.answer("how many findings are open?", actor(), DM)
    stranger = actor(**{why: True})
    for act in (
        kit.answers.answer("how many findings are open?", stranger, DM), kit.answers.check(given.id, stranger),
        kit.answers.recomputed(given.id, stranger), kit.answers.judge(given.id, stranger, "up"),
    ):  # fmt: skip
        with pytest.raises(Denied) as caught:
            await act
        assert caught.value.rule.startswith("guard-")


async def test_every_question_that_is_offered_can_be_answered(kit: Kit) -> None:
    reader = Reader(kit.db.read_sync(vocabulary.load, EVERYTHING))
    for question in suggest.KNOWN:
        read = reader.read(question, now=kit.clock.now(), lookup=lambda _: {})  # type: ignore[arg-type,return-value]
        assert read.outcome == "answered", f"{question}: {read.said}"


def test_the_nearest_question_is_one_that_is_alike_or_none() -> None:
    assert suggest.nearest("how many critical are opn in prodd") == "How many criticals are open in prod?"
    assert suggest.nearest("qwertz asdf yxcv") == ""
    for question in ("", "qwertz", "open findings per team please"):
        assert len(set(suggest.offered(question))) == 3


async def test_a_turn_survives_a_restart_for_a_day_and_belongs_to_the_same_rights(kit: Kit) -> None:
    await kit.ask.ask("how many critical findings are open?", await kit.ask.asker(None), thread="t")
    kit.again()
    turns = StoredTurns(kit.db, kit.clock)
    held = await turns.get("t", EVERYTHING)
    assert isinstance(held, Turn)
    assert held.parsed.filters[0].condition == p.In(field="severity", values=("critical",))
    assert await turns.get("t", Rights(teams=frozenset({"web"}))) is None
    kit.clock.at += KEEP
    assert await turns.get("t", EVERYTHING) is None


async def test_a_turn_of_another_version_is_no_turn(kit: Kit) -> None:
    until = kit.clock.now() + KEEP
    kit.db.write_sync(lambda conn: store.remember(conn, "t", "*", until, turn='{"parsed": {"filters": 7}}'))
    assert await StoredTurns(kit.db, kit.clock).get("t", EVERYTHING) is None


def test_the_same_rights_have_the_same_key() -> None:
    assert rights_key(EVERYTHING) == "*"
    assert rights_key(Rights(teams=frozenset({"b", "a"}))) == rights_key(Rights(teams=frozenset({"a", "b"})))
    assert rights_key(Rights(teams=frozenset({"a"}))) != rights_key(Rights(accounts=frozenset({"a"})))


async def test_check_counts_exactly_the_findings_behind_a_number(kit: Kit) -> None:
    given = await kit.answers.answer("how many critical findings are open?", actor(), DM)
    checked = await kit.answers.check(given.id, actor())
    assert checked.same is True
    assert checked.before_text == checked.now_text == given.text
    assert given.text.startswith(f"{checked.total:,} ")
    assert len(checked.ids) == min(25, checked.total)
    kit.db.write_sync(lambda conn: conn.exec_driver_sql(f"DELETE FROM findings WHERE id = '{checked.ids[0]}'"))
    after = await kit.answers.check(given.id, actor())
    assert after.same is False
    assert after.total == checked.total - 1


async def test_what_is_behind_a_comparison_is_both_sides(kit: Kit) -> None:
    everything = await kit.ask.asker(None)
    sides = tuple(p.Side(label=e, where=(p.In(field="env", values=(e,)),)) for e in ("prod", "dev"))
    query = p.PostureQuery(kind=p.Kind.COMPARE, sides=sides)
    compared = await kit.ask.recompute(query, everything)
    behind = await kit.ask.recompute(tables.behind(query), everything)
    assert behind.total == sum(row["value"] for row in compared.rows)


async def test_an_answer_is_kept_so_long_and_then_said_to_be_gone(kit: Kit) -> None:
    given = await kit.answers.answer("how many findings are open?", actor(), DM)
    kit.clock.at += ANSWERS_KEPT - timedelta(hours=1)
    await kit.answers.tidy()
    await kit.answers.check(given.id, actor())
    await kit.answers.judge(given.id, actor(), "down", "wrong")
    kit.clock.at += timedelta(hours=2)
    await kit.answers.tidy()
    for act in (kit.answers.check(given.id, actor()), kit.answers.judge(given.id, actor(), "up")):
        with pytest.raises(NotFound, match="no longer kept"):
            await act
    kept = kit.db.read_sync(store.feedback)
    assert [(k.verdict, k.comment, k.question) for k in kept] == [("down", "wrong", "how many findings are open?")]


async def test_which_message_an_answer_is_is_known_as_long_as_the_answer(kit: Kit) -> None:
    place = Place("teams", "a:alice", "1", private=True, direct=True)
    first = await kit.answers.answer("How many findings are open?", actor(), place)
    await kit.answers.posted(first.id, place, "1795")
    assert await kit.answers.of_message("teams", "a:alice", "1795") == first.id
    assert await kit.answers.of_message("teams", "a:bob", "1795") == ""
    assert await kit.answers.of_message("teams", "a:alice", "") == ""
    assert await kit.answers.subject_of("teams", "a:alice", "1795") == ""  # it is no card of a cause
    kit.clock.at += ANSWERS_KEPT + timedelta(seconds=1)
    await kit.answers.tidy()
    assert await kit.answers.of_message("teams", "a:alice", "1795") == ""


async def test_who_reads_it_alone_reads_it_in_the_own_way_and_a_channel_does_not(kit: Kit) -> None:
    asked, tokyo = "Mean time to remediate findings", Habits.of("Asia/Tokyo", "de-DE")
    alone = await kit.answers.answer(asked, actor(), Place("slack", "D1"), habits=tokyo)
    told = await kit.answers.answer(asked, actor(), Place("slack", "C1", private=False), habits=tokyo)
    assert re.search(r": [0-9]+,[0-9] days", alone.text), alone.text
    assert re.search(r": [0-9]+\.[0-9] days", told.text), told.text
    check = await kit.answers.check(told.id, actor(), tokyo)
    assert check.now_text == alone.text
    assert check.same


async def test_a_word_on_an_answer_is_up_or_down(kit: Kit) -> None:
    given = await kit.answers.answer("how many findings are open?", actor(), DM)
    with pytest.raises(BadInput):
        await kit.answers.judge(given.id, actor(), "sideways")


async def test_an_answer_without_a_query_cannot_be_checked(kit: Kit) -> None:
    given = await kit.answers.answer("delete all findings", actor(), DM)
    assert (given.status, given.checkable) == ("refused", False)
    with pytest.raises(BadInput, match="no query"):
        await kit.answers.check(given.id, actor())


async def test_pages_cover_every_row_once(kit: Kit) -> None:
    given = await kit.answers.answer("list the open findings", actor(), DM)
    assert given.table is not None
    seen, offset = [row[-1] for row in given.table.rows], len(given.table.rows)
    while offset < given.table.total:
        page = (await kit.answers.recomputed(given.id, actor(), offset)).table
        assert page is not None
        seen += [row[-1] for row in page.rows]
        offset += len(page.rows)
    assert len(seen) == len(set(seen)) == given.table.total


async def test_too_long_a_question_is_sent_back(kit: Kit) -> None:
    with pytest.raises(BadInput, match="at most"):
        await kit.answers.answer("x" * 501, actor(), DM)


# --- rights ----------------------------------------------------------------------------------------------------------

ROUTING = {
    "owners": {"web": {"name": "Web", "channels": ["slack:C1", "slack:C9"]},
               "olga": {"name": "Olga", "team": "data", "channels": ["slack:C2"]},
               "core": {"name": "Core", "channels": ["slack:C9"]}},
    "fallback": ["slack:C3"],
}  # fmt: skip


@pytest.mark.parametrize(
    ("team", "role", "channel", "private", "here", "teams"),
    [
        ("web", "", "C1", False, True, {"web"}),
        ("data", "", "C2", False, True, {"data"}),
        ("web", "", "C2", False, False, {"web"}),
        ("web", "", "C9", False, False, {"web"}),
        ("web", "", "C3", False, False, {"web"}),
        (None, "", "C1", False, False, set()),
        ("web", "", "C3", True, True, {"web"}),
        ("", "ciso", "C1", False, True, {"web"}),
        ("", "ciso", "C3", False, False, None),
        ("", "ciso", "C3", True, True, None),
    ],
    ids=["own channel", "by the owner's team", "another team's", "of two teams", "everybody's", "no team", "privately",
         "who sees all in a team's", "who sees all elsewhere", "who sees all privately"],
)  # fmt: skip
async def test_a_channel_is_told_what_everybody_there_may_see(
    tmp_path: Path, team: str | None, role: str, channel: str, private: bool, here: bool, teams: set[str] | None
) -> None:
    url = f"sqlite:///{tmp_path}/a.db"
    upgrade(url)
    made = Kit(url, ask={"visibility": "team", "see_everything": ["ciso"]}, routing=ROUTING)
    to = made.answers.audience(actor(team, role), Place("slack", channel, private=private))
    assert to.here is here
    rights = made.ask.rights(to.who)
    assert rights == (EVERYTHING if teams is None else Rights(teams=frozenset(teams)))
    await made.db.close()


# --- what is asked of one thing --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("question", "intent"),
    [
        ("fix it", "fix"), ("Please fix this now!", "fix"), ("can you remediate that?", "fix"),
        ("how do I fix it", "how_fix"), ("what's the fix?", "how_fix"), ("how can this be resolved", "how_fix"),
        ("why P1", "why"), ("why is it critical?", "why"), ("Why?", "why"), ("why is this so urgent", "why"),
        ("who decided", "who"), ("who approved the fix on that bucket?", "who"), ("who can approve this?", "who"),
        ("what would approving do", "what_would"), ("what happens if I approve it?", "what_would"),
        ("explain", "explain"), ("what is this about?", "explain"), ("tell me more about it", "explain"),
        ("who owns it?", "owner"), ("whose is this", "owner"), ("Which team is responsible for this?", "owner"),
        ("when is it due?", "due"), ("since when is that open", "due"), ("is it overdue?", "due"),
        ("who owns the most criticals?", None), ("which team owns acme-logs?", None), ("what is overdue?", None),
        ("how many criticals are open in prod?", None), ("which team has the most overdue?", None),
        ("who has the most findings?", None), ("are we exposed to log4shell?", None), ("list criticals", None),
        ("what changed since yesterday?", None), ("fix the high findings of team web", None), ("", None),
        ("mean time to fix by team", None), ("how many were fixed last week?", None),
    ],
)  # fmt: skip
def test_questions_about_one_thing_are_told_from_those_about_many(question: str, intent: str | None) -> None:
    assert intent_of(question) == intent


def test_an_id_in_a_question_names_the_thing() -> None:
    assert named_in("why is c-0123456789abcdef P1?") == "c-0123456789abcdef"
    assert named_in("explain f-0123456789abcdef") == "f-0123456789abcdef"
    assert named_in("is the cf-abcdef of web-f-123456 open?") == ""
