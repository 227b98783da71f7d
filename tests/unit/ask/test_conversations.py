"""Follow-ups keep what the turn before asked and change only what they say."""

from __future__ import annotations

from typing import Any

import pytest

from bot.ask.service import Answer, Ask, Asker
from bot.settings import Settings
from bot.store.database import Database

from .company import NOW

CONVERSATIONS: list[list[tuple[str, str]]] = [  # each turn, and a whole question that means the same
    [
        ("how many open criticals are there?", "how many open criticals are there?"),
        ("and in prod?", "how many open criticals in prod?"),
        ("what about highs?", "how many open highs in prod?"),
        ("only the exposed ones", "how many open exposed highs in prod?"),
        ("list them", "list the open exposed highs in prod"),
        ("which of those are overdue?", "list the overdue exposed highs in prod"),
        ("by team?", "overdue exposed highs in prod by team"),
        ("without orchard", "overdue exposed highs in prod not owned by orchard by team"),
    ],
    [
        ("how many findings were closed last month?", "how many findings were closed last month?"),
        ("and this month?", "how many findings were closed this month?"),
        ("by severity", "findings closed this month by severity"),
        ("how many of those were late?", "how many findings were fixed late this month"),
    ],
    [
        ("how many findings does the quarry team have?", "how many findings does the quarry team have?"),
        ("and data?", "how many findings does the data team have?"),
        ("what about the harbour team", "how many findings does the harbour team have?"),
    ],
    [
        ("which app has the most open highs?", "which app has the most open highs?"),
        ("list that app's", "list open highs of the app {first}"),
        ("how many is that?", "how many open highs of the app {first}"),
    ],
    [
        ("how many criticals are overdue?", "how many criticals are overdue?"),
        ("by more than 30 days?", "how many criticals are overdue by more than 30 days"),
        ("how many highs are open in aws?", "how many highs are open in aws?"),
    ],
    [
        ("trend of open criticals over the past 7 days", "trend of open criticals over the past 7 days"),
        ("and highs?", "trend of open highs over the past 7 days"),
        ("only in aws", "trend of open highs in aws over the past 7 days"),
    ],
    [
        ("MTTR for highs?", "MTTR for highs"),
        ("for mediums?", "MTTR for mediums"),
        ("per team please", "MTTR for mediums per team"),
    ],
    [
        ("open highs in prod vs dev", "open highs in prod vs dev"),
        ("and criticals?", "open criticals in prod vs dev"),
    ],
    [
        ("which region has the most open highs?", "which region has the most open highs?"),
        ("list the high ones there", "list the open highs in {first}"),
        ("how many criticals there?", "how many open criticals in {first}?"),
        ("how many lows do we have there?", "how many open lows in {first}?"),
    ],
    [
        ("highs in Frankfurt", "highs in Frankfurt"),
        ("what about mediums there", "mediums in Frankfurt"),
    ],
    [
        (
            "what percentage of open findings in prod is overdue?",
            "what percentage of open findings in prod is overdue?",
        ),
        ("and in dev?", "what percentage of findings in dev is overdue?"),
    ],
    [
        ("what percentage of open findings is critical?", "what percentage of open findings is critical?"),
        ("and high?", "what percentage of open findings is high?"),
        ("and in prod?", "what percentage of open findings in prod is high?"),
    ],
]


def _told(answer: Answer) -> Any:
    if answer.rows and "uid" in answer.rows[0]:
        return {row["uid"] for row in answer.rows}
    return answer.value, [(r.get("label", r.get("date")), r["value"]) for r in answer.rows]


@pytest.mark.parametrize("turns", CONVERSATIONS, ids=[turns[0][0] for turns in CONVERSATIONS])
async def test_a_follow_up_means_the_whole_question(bergland: Database, turns: list[tuple[str, str]]) -> None:
    service = Ask(bergland, Settings(), _Clock())
    first = ""
    for turn, whole in turns:
        answer = await service.ask(turn, Asker(), thread="one")
        wanted = await service.ask(whole.format(first=first), Asker())
        assert answer.status == wanted.status == "answered", (turn, answer.text, wanted.text)
        assert answer.kind == wanted.kind, (turn, answer.query)
        assert _told(answer) == _told(wanted), (turn, answer.query, wanted.query)
        first = answer.rows[0]["label"] if answer.rows and "label" in answer.rows[0] else first


async def test_threads_know_nothing_of_each_other(bergland: Database) -> None:
    service = Ask(bergland, Settings(), _Clock())
    await service.ask("how many open criticals are there?", Asker(), thread="one")
    other = await service.ask("and in prod?", Asker(), thread="two")
    assert other.status == "clarify"


async def test_a_question_that_was_not_answered_leaves_the_turn_before(bergland: Database) -> None:
    service = Ask(bergland, Settings(), _Clock())
    await service.ask("how many open criticals are there?", Asker(), thread="one")
    assert (await service.ask("close them all", Asker(), thread="one")).status == "refused"
    after = await service.ask("and in prod?", Asker(), thread="one")
    wanted = await service.ask("how many open criticals in prod?", Asker())
    assert after.value == wanted.value


@pytest.mark.parametrize(
    "turns",
    [
        ("how many criticals are open?", "and how many there?"),
        ("open findings by severity", "list the highs there"),
        ("open findings by region", "list the highs there"),
        ("what percentage of open findings in prod is overdue?", "and exposed?"),
        ("what percentage of open findings in prod is overdue?", "list them"),
        ("what percentage of open findings in prod is overdue?", "which ones?"),
        ("top 3 regions by open highs", "list the overdue ones there"),
    ],
)
async def test_a_follow_up_that_fits_nothing_before_is_asked_back(bergland: Database, turns: tuple[str, str]) -> None:
    service = Ask(bergland, Settings(), _Clock())
    assert (await service.ask(turns[0], Asker(), thread="one")).status == "answered"
    assert (await service.ask(turns[1], Asker(), thread="one")).status == "clarify"


async def test_what_refers_to_a_question_without_an_answer_is_asked_back(bergland: Database) -> None:
    service = Ask(bergland, Settings(), _Clock())
    assert (await service.ask("list the highs in Frankfurt", Asker(), thread="one")).status == "answered"
    assert (await service.ask("how many laptops in Ireland?", Asker(), thread="one")).status == "out_of_scope"
    for turn in ("count them", "and in prod?"):
        assert (await service.ask(turn, Asker(), thread="one")).status == "clarify", turn
    assert (await service.ask("how many highs are open in prod?", Asker(), thread="one")).status == "answered"
    assert (await service.ask("list them", Asker(), thread="one")).status == "answered"


async def test_those_stay_what_they_were_when_an_order_about_them_is_refused(bergland: Database) -> None:
    service = Ask(bergland, Settings(), _Clock())
    listed = await service.ask("list the highs in Frankfurt", Asker(), thread="one")
    assert (await service.ask("close them all", Asker(), thread="one")).status == "refused"
    counted = await service.ask("then just count them", Asker(), thread="one")
    assert (counted.status, counted.value) == ("answered", listed.value)


async def test_my_team_is_the_askers(bergland: Database) -> None:
    service = Ask(bergland, Settings(), _Clock())
    mine = await service.ask("how many open findings do I have?", Asker("ida", "quarry"))
    wanted = await service.ask("how many open findings does the quarry team have?", Asker())
    assert (mine.status, mine.value) == ("answered", wanted.value)
    assert (await service.ask("how many open findings do I have?", Asker("otto", None))).status == "clarify"


class _Clock:
    def now(self) -> Any:
        return NOW
