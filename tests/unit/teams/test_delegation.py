"""Who votes in whose stead, from Teams: by a mention's id, by the form of the 1:1 chat, taken back from the list."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.domain.decisions import RequestState
from bot.domain.principals import Platform
from handlers.teams.mentions import Mention, first_of, mentions_of

from .governed import IDS, MEMBERS, OUTSIDER, Governed, governing, head, inputs, text, value, verbs

GIVEN = {"to": "nick", "days": "7", "environment": "dev", "account": "", "playbook": "", "reason": "on leave"}


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[Governed]:
    async with governing(tmp_path, policy="") as made:
        yield made


async def lines(world: Governed) -> list[tuple[str, str, str]]:
    found = await world.engine.delegations.in_force(await world.actor("ann"))
    return [(each.giver.id, each.stand_in.id, each.scope) for each in found]


async def test_a_mention_is_taken_by_its_id_and_never_by_its_name(world: Governed) -> None:
    # The name that is shown is another's: whoever wrote it, the id counts.
    spoof = {MEMBERS["nick"]: "Abe Approver"}
    done = await world.say("ann", "delegate <at>Abe Approver</at> 7d env:dev on leave", mentions=spoof)
    assert "Nick Newcomer may vote in your stead" in head(done)
    assert await lines(world) == [("ann", "nick", "env:dev")]
    assert MEMBERS["nick"] in world.tenant.looked  # read from Teams now
    over = await world.say("ann", "undelegate <at>Nick</at>", mentions={MEMBERS["nick"]: "Nick"})
    assert "Nick Newcomer no longer votes in your stead." in head(over)
    assert await lines(world) == []


async def test_the_stand_in_can_decide_and_no_longer_once_it_is_taken_back(world: Governed) -> None:
    cause = await world.ingest("desk")
    await world.say("ann", "delegate <at>Nick</at> 7d on leave", mentions={MEMBERS["nick"]: "Nick"})
    plan = await world.press("olga", "review", {"c": cause})
    await world.press("olga", "send_review", value(plan, "send_review"), {"choice": "ask", "reason": "please"})
    seen = await world.press("nick", "review", {"c": cause})
    shown = await world.say("ann", "delegations")
    await world.press("ann", "revoke", value(shown, "revoke"))
    refused = await world.press("nick", "send_review", value(seen, "send_review"), {"choice": "approve"})
    assert "⛔" in text(refused)
    view = (await world.engine.board.cause(cause)).request
    assert view is not None
    assert (view.state, view.votes) == (RequestState.PENDING, ())


@pytest.mark.parametrize(
    ("typed", "mentions"),
    [
        ("delegate", None),
        ("delegate nick 7d because", None),  # a typed name is nobody
        ("delegate Nick Newcomer 7d because", {}),
        ("delegate 7d because <at>Nick</at>", {MEMBERS["nick"]: "Nick"}),
    ],
)
async def test_where_nobody_is_mentioned_the_form_asks(world: Governed, typed: str, mentions: dict[str, str]) -> None:
    asked = await world.say("ann", typed, mentions=mentions)
    assert [each["value"] for each in inputs(asked)["to"]["choices"]] == ["abe", "nick", "olga"]  # not oneself
    assert await lines(world) == []


async def test_the_form_delegates_and_comes_again_where_something_is_missing(world: Governed) -> None:
    ids = value(await world.say("ann", "delegate"), "send_delegate")
    for wrong, word in (
        ({"to": ""}, "Please choose a person."),
        ({"to": "ann"}, "Please choose a person."),
        ({"to": "mallory"}, "Please choose a person."),
        ({"days": "365"}, "Please choose how long."),
        ({"environment": "moon"}, "Please choose an environment."),
        ({"account": "1 env:prod"}, "without blanks"),
        ({"reason": ""}, "Please say why; it is kept."),
    ):
        again = await world.press("ann", "send_delegate", ids, GIVEN | wrong)
        assert word in head(again)
        assert inputs(again)["reason"].get("value", "") == (GIVEN | wrong)["reason"]
    assert await lines(world) == []
    done = await world.press("ann", "send_delegate", ids, GIVEN | {"reason": "env:prod is quiet"}, id="once")
    assert "Nick Newcomer may vote in your stead (env:dev)" in head(done)  # a reason never widens or narrows
    assert "received already" in (await world.press("ann", "send_delegate", ids, GIVEN, id="once"))["value"]
    assert await lines(world) == [("ann", "nick", "env:dev")]
    assert value(done, "revoke")
    over = await world.press("ann", "revoke", value(done, "revoke"))
    assert "Nobody votes in another's stead." in head(over)


async def test_who_is_unknown_or_gone_or_oneself_stands_in_for_nobody(world: Governed) -> None:
    world.tenant.people["29:guest"] = OUTSIDER
    for member, name, word in (
        ("29:guest", "Gus", "not bound to a person"),
        ("29:gone", "Gone", "is not in this conversation"),
        (MEMBERS["ann"], "Ann", "You cannot stand in for yourself."),
    ):
        refused = await world.say("ann", f"delegate <at>{name}</at> 7d why", mentions={member: name})
        assert word in text(refused)
    late = await world.say("ann", "delegate <at>Nick</at> soon", mentions={MEMBERS["nick"]: "Nick"})
    assert "Until when?" in text(late)
    assert await lines(world) == []


async def test_another_s_delegation_is_not_theirs_to_take_back(world: Governed) -> None:
    await world.say("ann", "delegate <at>Abe</at> 7d leave", mentions={MEMBERS["abe"]: "Abe"})
    shown = await world.say("ann", "delegations")
    for who, ids in (("nick", value(shown, "revoke")), ("olga", {"d": "dlg-0"}), ("olga", {})):
        refused = await world.press(who, "revoke", ids)
        assert "⛔" in text(refused)
        assert "1 delegation in force" in head(refused)
    assert await lines(world) == [("ann", "abe", "everything")]
    seen = await world.say("nick", "undelegate")
    assert "revoke" not in verbs(seen)


async def test_somebody_mentioned_for_the_first_time_is_looked_up_where_they_are(world: Governed) -> None:
    sql = f"DELETE FROM teams_people WHERE user = '{IDS['nick']}'"
    await world.db.write(lambda conn: conn.exec_driver_sql(sql) and None)
    world.engine.people.forget(Platform.TEAMS)
    await world.say("ann", "delegate <at>Nick</at> 7d leave", mentions={MEMBERS["nick"]: "Nick"})
    assert await lines(world) == [("ann", "nick", "everything")]


def test_mentions_are_read_by_their_ids() -> None:
    def one(member: object, said: object) -> dict[str, object]:
        return {"type": "mention", "text": said, "mentioned": {"id": member}}

    odd = [one("29:a", "<at>Bob&#160;B</at>"), one("28:us", "<at>Us</at>"), one(7, "<at>x</at>"), one("29:b", None),
           one("29:c", "<at> </at>"), {"type": "mention"}, {"type": "clientInfo"}, "x", None,
           one("29:d", "<at>Zoë  B\u00a0C</at>")]  # fmt: skip
    assert mentions_of({"entities": odd}, "28:us") == (Mention("29:a", "Bob&#160;B"), Mention("29:d", "Zoë B C"))
    assert mentions_of({"entities": "x"}, "28:us") == mentions_of({}, "28:us") == ()
    assert len(mentions_of({"entities": [one(f"29:{n}", "<at>n</at>") for n in range(500)]}, "28:us")) == 20


def test_the_longest_name_is_meant_and_two_of_one_name_nobody() -> None:
    ann, ann_b = Mention("29:a", "Ann"), Mention("29:b", "Ann B")
    assert first_of("Ann B 7d x", [ann, ann_b]) == (ann_b, "7d x")
    assert first_of("Ann 7d x", [ann, ann_b]) == (ann, "7d x")
    assert first_of("Ann", [ann, ann]) == (ann, "")
    assert first_of("Anna 7d", [ann])[0] is None
    with pytest.raises(Exception, match="Two people called Ann"):
        first_of("Ann 7d x", [ann, Mention("29:c", "Ann")])
