"""With ``ask.visibility: team`` commands and the search show what questions show; a card is pressed where it stands."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from bot.domain.ids import RandomIds
from bot.governance.policy import Policy
from bot.intake.regroup import Regroup
from tests.unit.slack.test_glass import Glass
from tests.unit.slack.test_rules import People
from tests.unit.slack.test_sight import OURS, SECRET, THEIRS, approves, rule_over_both, two_teams

from .kit import World, recorded, said
from .streams import Teams
from .test_asking import mention, ours
from .test_asking_extension import invoke, posted, search
from .test_desk import private
from .world import CHANNEL, press


@pytest.fixture
async def teams(tmp_path: Path) -> AsyncIterator[World]:
    owners = {"payments": {"name": "Payments", "channels": [f"teams:{CHANNEL}"]}}
    async with recorded(tmp_path, Teams(), ask={"visibility": "team"}, routing={"owners": owners}) as made:
        two_teams(ours(made), made.desk.engine)
        yield made


async def typed(world: World, text: str, number: str) -> str:
    await world.come(private(text, id=number))
    return json.dumps(world.connector.asked[-1][2], ensure_ascii=False)


async def test_findings_and_the_search_show_the_own_team_s_alone(teams: World) -> None:
    shown = await typed(teams, "findings", "1")
    assert "Bucket 1 is public" in shown
    assert SECRET not in shown
    for number, words in enumerate(("", "bucket", "owner:web", "all"), 10):
        found = json.dumps(await teams.come(search(words, str(number))))
        assert ("Bucket 1 is public" in found) is (words != "owner:web")
        assert SECRET not in found
    teams.services.team = "web"
    assert SECRET in await typed(teams, "findings", "2")
    assert SECRET in json.dumps(await teams.come(search("bucket", "20")))


async def test_a_finding_of_another_team_is_as_one_that_does_not_exist(teams: World) -> None:
    assert "Bucket 1 is public" in await typed(teams, f"finding {OURS}", "1")
    hidden, missing = await typed(teams, f"finding {THEIRS}", "2"), await typed(teams, "finding f-000000000000009", "3")
    assert "There is no finding" in hidden
    assert hidden.replace(THEIRS, "X") == missing.replace("f-000000000000009", "X")


@pytest.mark.parametrize("text", ["fix c-2", f"fix {THEIRS}", "why c-2", f"why {THEIRS}"])
async def test_fix_and_why_of_another_team_s_are_refused(teams: World, text: str) -> None:
    assert "There is no" in await typed(teams, text, "1")
    assert teams.services.did("look") == teams.services.did("why") == []
    teams.services.team = "web"
    await typed(teams, text, "2")
    assert teams.services.did("look") + teams.services.did("why")


@pytest.mark.parametrize("verb", ["gh.details", "gh.card", "gh.actions"])
async def test_a_card_is_pressed_where_it_stands_and_nowhere_else(teams: World, verb: str) -> None:
    assert SECRET not in said(await teams.press(verb, {"c": "c-2"}, id="1"))
    posted(teams)
    teams.db.write_sync(lambda conn: conn.exec_driver_sql("UPDATE posts SET subject = 'c-2'"))
    assert SECRET in said(await teams.press(verb, {"c": "c-2"}, id="2"))


@pytest.mark.parametrize("hides", [True, False])
async def test_what_a_rule_hides_or_would_is_named_to_whom_may_see_it(teams: World, hides: bool) -> None:
    teams.db.write_sync(lambda conn: conn.exec_driver_sql("UPDATE findings SET priority = 2"))
    rule = await rule_over_both(teams.desk.engine, hides=hides)
    shown = said(await teams.press("gh.rule_show", {"r": rule}, id="1"))
    hidden = await typed(teams, "rules hidden", "2")
    assert "Bucket 1 is public" in shown
    assert ("Bucket 1 is public" in hidden) is hides
    for each in (shown, hidden, await typed(teams, "rules", "3"), said(await teams.press("gh.rule_list", {}, id="4"))):
        assert SECRET not in each
    teams.services.team = "web"
    assert SECRET in said(await teams.press("gh.rule_show", {"r": rule}, id="5"))


async def test_who_decides_is_told_of_a_cause_privately_and_the_channel_is_not(teams: World) -> None:
    async def told(what: dict[str, Any]) -> str:
        before = len(teams.connector.asked)
        await teams.come(what)
        await teams.desk.drain()
        return json.dumps(teams.connector.asked[before:], ensure_ascii=False, default=str)

    assert "There is no finding" in await told(private(f"explain {THEIRS}", id="1"))
    approves(teams)
    in_channel = await told(mention(f"explain {THEIRS}", "2"))
    assert "There is no finding" in in_channel
    assert SECRET not in in_channel
    assert SECRET in await told(private(f"explain {THEIRS}", id="3"))
    assert SECRET not in await told(private("list the critical findings", id="4"))


async def test_a_cause_is_merged_with_one_that_is_seen(teams: World) -> None:
    engine: Any = teams.desk.engine
    people = engine.people
    posted(teams)
    engine.regroup = Regroup(
        engine.db, engine.settings, engine.clock, RandomIds(), Policy.load(engine.settings.governance)
    )
    engine.people = People()  # an approver by the policy; of no team
    assert SECRET not in said(await teams.press("gh.regroup", {"c": "c-1"}, id="1"))
    given = {"do": "m:c-2", "reason": "same"}
    refused = said(await teams.press("gh.send_regroup", {"c": "c-1"}, given, id="2"))
    assert "no cause c-2 that you may see" in refused
    assert SECRET not in refused
    engine.people = people
    await teams.press("gh.merge", {"c": "c-1", "f": OURS, "o": THEIRS}, id="3")
    assert teams.services.did("merge") == []
    approves(teams)
    await teams.press("gh.merge", {"c": "c-1", "f": OURS, "o": THEIRS}, id="4")
    assert len(teams.services.did("merge")) == 1
    engine.people = People()
    merged = said(await teams.press("gh.send_regroup", {"c": "c-1"}, given, id="5"))
    assert f"part of “{SECRET}” now" in merged


async def test_a_review_of_a_glass_shows_nothing_to_whom_the_policy_does_not_permit(teams: World) -> None:
    services: Any = teams.services
    services.glass = made = Glass()
    made.denied = True
    shown = [said(await teams.press(f"gh.{verb}", {"g": "glass-1"}, given, id=str(number)))
             for number, (verb, given) in enumerate((("glass_ok", None), ("glass_bad", None),
                                                     ("send_glass_review", {"comment": "fine"})))]  # fmt: skip
    for each in shown:
        assert "cannot review it" in each
        assert not any(word in each for word in (SECRET, "Public bucket", "it leaks"))
    assert made.calls == []
    await teams.press("gh.glass_ok", {"g": "glass-1", "c": "c-2"}, id="9")  # nor by naming the cause
    assert made.calls == []
    made.denied = False  # where the policy permits it is shown, whoever's it is
    assert "Block" in said(await teams.press("gh.glass_ok", {"g": "glass-1"}, id="10"))


async def test_what_teams_asks_for_by_itself_is_shown_where_it_stands(teams: World) -> None:
    def looked(number: str) -> dict[str, Any]:
        made = press("gh.card", {"c": "c-2"}, id=number)
        made["value"]["trigger"] = "automatic"
        return made

    assert (await teams.come(looked("1")))["statusCode"] == 403
    posted(teams)
    teams.db.write_sync(lambda conn: conn.exec_driver_sql("UPDATE posts SET subject = 'c-2'"))
    assert SECRET in said(await teams.come(looked("2")))


async def test_an_id_in_a_message_is_no_way_to_another_team_s(teams: World) -> None:
    def about(text: str, number: str) -> dict[str, Any]:
        payload = {"id": "9", "body": {"contentType": "html", "content": f"see {text}"}, "attachments": []}
        value = {"commandId": "askAbout", "commandContext": "message", "messagePayload": payload}
        return invoke("fetchTask", value, number, CHANNEL)

    hidden = json.dumps(await teams.come(about(THEIRS, "1")))
    missing = json.dumps(await teams.come(about("f-0000000000000009", "2")))
    assert "There is no finding" in hidden
    assert hidden.replace(THEIRS, "X") == missing.replace("f-0000000000000009", "X")
