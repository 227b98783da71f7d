"""Questions in Teams, from activities as Teams sends them to what everybody would see: who may read an answer where,
streams and their ends, labels and feedback, conversations."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from bot.domain.answers import START
from bot.domain.findings import Severity
from bot.domain.views import NarrativeView
from bot.ports import Message
from bot.store import outbox
from bot.store.posts import POSTS
from bot.store.teams import Conversation, keep_conversation
from cards.lint_adaptive import activity_problems
from cards.plot import without_charts
from handlers.teams import streaming
from handlers.teams.left import resume
from handlers.teams.payloads import origin_of
from handlers.teams.poster import TeamsPoster
from tests.unit.cards.test_adaptive import schema_problems
from tests.unit.slack.fakes import cause_view, request_view
from tests.unit.slack.test_asking import seed

from .kit import World, recorded
from .streams import Refusal, Teams
from .test_wire import NOW
from .world import ALICE, APP, BOB, CHANNEL, TENANT, activity, press

CHAT = "a:alice"
OWN, SHARED = {"visibility": "team", "see_everything": ["ciso"]}, f"teams:{CHANNEL}"
COUNT = "How many critical findings are open?"


def ours(world: World) -> World:
    """The recorded services know people of Slack's company only."""
    actor = world.services.actor

    async def made(identity: Any) -> Any:
        found = await actor(identity)
        return found.model_copy(update={"standing": found.standing.model_copy(update={"external": False})})

    world.services.actor = made  # type: ignore[method-assign, assignment]
    return world


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with recorded(tmp_path, Teams()) as made:
        yield ours(made)


@pytest.fixture
async def team_world(tmp_path: Path) -> AsyncIterator[World]:
    """An asker sees the own team's findings only, and the channel is that team's."""
    routing = {"owners": {"payments": {"name": "Payments", "channels": [SHARED]}, "web": {"name": "Web"}}}
    async with recorded(tmp_path, Teams(), ask=OWN, routing=routing) as made:
        made.services.team = "payments"
        yield ours(made)


def private(text: str, number: str = "1795383084137", user: str = ALICE, **more: Any) -> dict[str, Any]:
    chat = {"conversationType": "personal", "id": CHAT, "tenantId": TENANT}
    return activity(user=user, text=text, id=number, conversation=chat, channelData={"tenant": {"id": TENANT}}) | more


def mention(text: str, number: str = "1795383084137", root: str = "", **more: Any) -> dict[str, Any]:
    said = {"type": "mention", "text": "<at>Gatehouse</at>", "mentioned": {"id": f"28:{APP}", "name": "Gatehouse"}}
    place = {"isGroup": True, "conversationType": "channel", "id": f"{CHANNEL};messageid={root or number}"}
    return activity(text=f"<at>Gatehouse</at> {text}", entities=[said], id=number, conversation=place) | more


def teams(world: World) -> Teams:
    return world.connector  # type: ignore[return-value]


def card(made: dict[str, Any]) -> dict[str, Any]:
    """Of a message, which is sound for every client."""
    assert activity_problems(made) == []
    content = made["attachments"][0]["content"]
    assert schema_problems(without_charts(content)) == []
    return content  # type: ignore[no-any-return]


def value_of(made: dict[str, Any], verb: str) -> dict[str, Any]:
    for element in card(made)["body"]:
        for action in element.get("actions", ()):
            if action.get("verb") == verb:
                return json.loads(action["data"]["gh"])  # type: ignore[no-any-return]
    raise AssertionError(f"no button {verb}")


# --- the 1:1 chat ----------------------------------------------------------------------------------------------------


async def test_in_the_chat_a_line_shows_at_once_and_becomes_the_answer(world: World) -> None:
    seed(world, Severity.CRITICAL, Severity.CRITICAL)  # type: ignore[arg-type]
    await world.come(private(COUNT))
    (where, sign, _), (_, name, answer) = teams(world).signs[0], teams(world).shown[0]
    assert (where, sign["type"], sign["text"]) == (CHAT, "typing", streaming.READING)
    assert sign["entities"] == [{"type": "streaminfo", "streamType": "informative", "streamSequence": 1}]
    assert "2 findings" in answer["text"]
    assert answer["entities"][0] == {"type": "streaminfo", "streamId": name, "streamType": "final"}
    assert "2 findings" in card(answer)["fallbackText"]
    assert "2 findings" not in json.dumps(card(answer)["body"])  # the sentence is said once
    assert value_of(answer, "gh.ask_check")["a"].startswith("ans-")
    assert len(teams(world).shown) == 1
    assert world.desk.streaming == set()


async def test_the_first_sign_does_not_wait_for_the_answer(world: World) -> None:
    answer, seen = world.desk.engine.answers.answer, list[int]()

    async def slow(*given: Any) -> Any:
        for _ in range(200):
            if teams(world).signs:
                break
            await asyncio.sleep(0.01)
        seen.append(len(teams(world).signs))
        return await answer(*given)

    world.desk.engine.answers.answer = slow  # type: ignore[method-assign, assignment]
    await world.come(private(COUNT))
    assert seen == [1]
    assert len(teams(world).shown) == 1


async def test_the_pace_of_a_stream_is_kept(tmp_path: Path) -> None:
    async with recorded(tmp_path, Teams(pace=0.25)) as world:
        ours(world).desk.pace = 0.3
        await world.come(private(COUNT))
        assert len(teams(world).shown) == 1
        requests = [body for method, _, body, _ in teams(world).asked if method == "POST"]
        assert [each["type"] for each in requests] == ["typing", "message"]  # none was throttled and sent again


async def test_who_throttles_is_waited_for(world: World) -> None:
    teams(world).refuse = [None, Refusal(429, headers={"Retry-After": "0"})]
    await world.come(private(COUNT))
    assert len(teams(world).shown) == 1
    assert teams(world).last()["entities"][0]["streamType"] == "final"


@pytest.mark.parametrize(
    "refusal",
    [Refusal(403, "ContentStreamNotAllowed", "Content stream finished due to exceeded streaming time."),
     Refusal(400, "BadRequest", "no"), Refusal(429, headers={"Retry-After": "0"})],
    ids=["ended", "refused", "throttled for good"],
)  # fmt: skip
async def test_a_stream_that_breaks_off_ends_as_a_message(world: World, refusal: Refusal) -> None:
    teams(world).refuse = [None, *[refusal] * (3 if refusal.status == 429 else 1)]
    await world.come(private(COUNT))
    (_, _, answer) = teams(world).shown[0]
    assert "text" not in answer
    assert "0 findings" in json.dumps(card(answer)["body"])
    assert len(teams(world).shown) == 1
    assert world.desk.streaming == set()


async def test_an_end_whose_answer_was_lost_is_written_over_and_not_said_twice(world: World) -> None:
    teams(world).refuse = [None, Refusal(500, after=True)]
    await world.come(private(COUNT))
    assert len(teams(world).shown) == 1
    assert "0 findings" in teams(world).texts()[0]


async def test_who_presses_stop_is_told_nothing_more(world: World) -> None:
    teams(world).refuse = [None, Refusal(403, "ContentStreamNotAllowed", "Content stream was canceled by user.")]
    await world.come(private(COUNT))
    assert teams(world).shown == []
    assert world.clicks() == [("command.ask", "done")]
    await world.come(private(COUNT, "2"))
    assert "0 findings" in teams(world).last()["text"]


async def test_where_there_are_no_streams_it_is_a_typing_sign_and_a_message_and_that_is_remembered(
    world: World,
) -> None:
    teams(world).refuse = [Refusal(403, "ContentStreamNotAllowed", "Content stream is not allowed")]
    await world.come(private(COUNT))
    assert [sign["type"] for _, sign, _ in teams(world).signs] == ["typing"]
    assert "entities" not in teams(world).signs[0][1]
    assert "0 findings" in json.dumps(card(teams(world).last())["body"])
    await world.come(private(COUNT, "2"))
    assert "entities" not in teams(world).signs[1][1]
    assert len(teams(world).shown) == 2


async def test_two_questions_at_once_have_one_stream(world: World) -> None:
    for number in ("1", "2"):
        what = {**private(COUNT, number), "serviceUrl": world.url}
        await world.desk.seen(origin_of(what), what)
        await world.desk.said(origin_of(what), what)
    await world.desk.drain()
    assert len(teams(world).shown) == 2
    assert len(teams(world).streams) == 1


async def test_a_no_ends_the_stream_with_its_reason(world: World) -> None:
    world.services.guest = True
    await world.come(private(COUNT))
    assert "guest" in card(teams(world).last())["fallbackText"].lower()
    assert teams(world).last()["entities"][0]["streamType"] == "final"
    assert world.clicks() == [("command.ask", "refused")]


async def test_half_a_question_goes_on_from_the_last_and_a_whole_one_stands_alone(world: World) -> None:
    seed(world, Severity.CRITICAL, Severity.CRITICAL)  # type: ignore[arg-type]
    seed(world, Severity.HIGH, start=9)  # type: ignore[arg-type]
    await world.come(private(COUNT, "1"))
    await world.come(private("and high ones?", "2"))
    assert "1 finding" in teams(world).last()["text"]
    await world.come(private("How many findings are open?", "3"))
    assert "3 findings" in teams(world).last()["text"]


async def test_nothing_of_an_answer_is_markup(world: World) -> None:
    seed(world, Severity.CRITICAL, title="<at>Bob</at> [x](https://evil.example) **now**", account_name="_*acme*_")  # type: ignore[arg-type]
    await world.come(private("Which account has the most findings?"))
    made = teams(world).last()
    for sign in ("<at>", "](", "https://", "**"):
        assert sign not in made["text"]
    card(made)


# --- channels --------------------------------------------------------------------------------------------------------


async def test_in_a_channel_where_all_may_see_it_the_answer_stands_in_the_thread(world: World) -> None:
    seed(world, Severity.CRITICAL)  # type: ignore[arg-type]
    await world.come(mention(COUNT, "77", root="70"))
    (where, _, answer) = teams(world).shown[0]
    assert where == f"{CHANNEL};messageid=70"
    assert "1 finding" in json.dumps(card(answer)["body"])
    assert [(place, sign["type"]) for place, sign, _ in teams(world).signs] == [(where, "typing")]
    assert len(teams(world).shown) == 1


async def test_a_team_s_channel_is_told_what_the_team_may_see(team_world: World) -> None:
    seed(team_world, Severity.CRITICAL)  # type: ignore[arg-type]
    seed(team_world, Severity.CRITICAL, Severity.CRITICAL, start=10, owner="web", team="web", cause_id="c-2")  # type: ignore[arg-type]
    await team_world.come(mention(COUNT))
    (where, _, answer) = teams(team_world).shown[0]
    assert where.startswith(CHANNEL)
    assert "1 finding" in json.dumps(card(answer)["body"])
    assert "what this channel may see: team Payments" in json.dumps(card(answer)["body"])


async def test_another_team_s_member_is_answered_alone(team_world: World) -> None:
    seed(team_world, Severity.CRITICAL)  # type: ignore[arg-type]
    team_world.services.team = "web"
    await team_world.come(mention(COUNT))
    (chat, _, answer), (channel, _, note) = teams(team_world).shown
    assert (chat, channel) == (f"a:{ALICE[:5]}", f"{CHANNEL};messageid=1795383084137")
    assert "0 findings" in json.dumps(card(answer)["body"])
    assert COUNT in json.dumps(card(answer)["body"])
    assert "I answered in our chat" in card(note)["fallbackText"]
    assert "findings" not in json.dumps(note)


@pytest.mark.parametrize(
    ("who", "said"),
    [
        ({"userRole": "guest"}, "Guests are in this channel"),
        ({"userPrincipalName": "eve_evil#EXT#@acme.example", "userRole": ""}, "Guests are in this channel"),
        ({"tenantId": "11111111-2222-3333-4444-555555555555"}, "another organisation"),
        ({"userRole": "", "userPrincipalName": ""}, "Guests"),
    ],
)
async def test_where_others_read_along_the_answer_goes_to_the_asker(
    world: World, who: dict[str, Any], said: str
) -> None:
    seed(world, Severity.CRITICAL)  # type: ignore[arg-type]
    teams(world).roster.append(Teams.person("cccccccc-0000-4000-8000-000000000003", **who))
    await world.come(mention(COUNT))
    (chat, _, answer), (_, _, note) = teams(world).shown
    assert chat.startswith("a:")
    assert "1 finding" in json.dumps(answer)
    assert said in card(note)["fallbackText"]
    assert "1 finding" not in json.dumps(note)


async def test_a_channel_of_too_many_and_one_that_cannot_be_read_are_told_nothing(world: World) -> None:
    teams(world).more = True
    await world.come(mention(COUNT, "1"))
    teams(world).more, teams(world).roster = False, []
    await world.come(mention(COUNT, "2"))
    assert ["a:" in where for where, _, _ in teams(world).shown] == [True, False, True, False]


async def test_a_thread_goes_on_as_a_conversation_and_another_one_does_not(world: World) -> None:
    seed(world, Severity.CRITICAL, Severity.CRITICAL)  # type: ignore[arg-type]
    seed(world, Severity.HIGH, start=9)  # type: ignore[arg-type]
    await world.come(mention(COUNT, "1", root="70"))
    await world.come(mention("and high ones?", "2", root="70"))
    assert "1 finding" in json.dumps(card(teams(world).last())["body"])
    await world.come(mention("and high ones?", "3", root="90"))
    assert "nothing was asked before" in json.dumps(card(teams(world).last()))


async def test_in_the_thread_of_a_card_it_is_its_cause(world: World) -> None:
    seed(world, Severity.CRITICAL)  # type: ignore[arg-type]
    row = {"id": "post-1", "kind": "cause", "subject": "c-1", "platform": "teams", "channel": CHANNEL,
           "message_id": "70", "shown_revision": 1, "posted_at": NOW, "updated_at": NOW}  # fmt: skip
    world.db.write_sync(lambda conn: conn.execute(POSTS.insert(), [row]))
    await world.come(mention("why?", "71", root="70"))
    (where, _, answer) = teams(world).shown[0]
    assert where.endswith("messageid=70")
    assert "It is P1" in json.dumps(card(answer)["body"])
    await world.come(mention("fix it", "72", root="70"))
    assert "I change nothing by being asked" in json.dumps(card(teams(world).last())["body"])
    assert world.services.did("ask") == world.services.did("vote") == []


async def test_the_same_mention_delivered_again_is_answered_once(world: World) -> None:
    for _ in range(3):
        await world.come(mention(COUNT))
    assert len(teams(world).shown) == 1


async def test_in_a_group_chat_everybody_has_a_conversation_of_their_own(world: World) -> None:
    seed(world, Severity.CRITICAL, Severity.CRITICAL)  # type: ignore[arg-type]
    seed(world, Severity.HIGH, start=9)  # type: ignore[arg-type]
    group = {"isGroup": True, "conversationType": "groupChat", "id": "19:on-call@thread.v2"}
    there = {"conversation": group, "channelData": {"tenant": {"id": TENANT}}}
    await world.come(mention(COUNT, "1", **there))
    await world.come(mention("and high ones?", "2", **there))
    assert [where for where, _, _ in teams(world).shown] == [group["id"]] * 2
    assert "1 finding" in json.dumps(card(teams(world).last())["body"])
    bob = {"from": {"id": f"29:{BOB[:5]}", "name": "Bob", "aadObjectId": BOB}}
    await world.come(mention("and high ones?", "3", **there) | bob)
    assert "nothing was asked before" in json.dumps(card(teams(world).last()))


# --- label and feedback ----------------------------------------------------------------------------------------------


def narrated(world: World) -> None:
    prose = NarrativeView(risk="Anyone can read the invoices.", root_cause="No block.", exploitability="Trivial.",
                          steps=(), model="tiny-model", at=NOW)  # fmt: skip

    async def cause(cause_id: str) -> Any:
        return cause_view().model_copy(update={"id": cause_id, "narrative": prose})

    world.services.cause = cause  # type: ignore[method-assign, assignment]


async def test_words_of_a_model_are_labelled_and_teams_asks_what_people_think(world: World) -> None:
    seed(world, Severity.CRITICAL)  # type: ignore[arg-type]
    narrated(world)
    await world.come(private("explain c-00000001"))
    _, name, answer = teams(world).shown[0]
    assert answer["entities"][1]["additionalType"] == ["AIGeneratedContent"]
    assert answer["channelData"] == {"feedbackLoopEnabled": True}
    body = json.dumps(card(answer)["body"])
    assert "Anyone can read the invoices." in body
    assert "tiny-model" in body
    assert "gh.ask_feedback" not in body  # it is asked once

    def thumbs(reaction: str, text: str, number: str, user: str = ALICE) -> dict[str, Any]:
        feedback = json.dumps({"feedbackText": text})
        value = {"actionName": "feedback", "actionValue": {"reaction": reaction, "feedback": feedback}}
        return press("x", {}, user) | {"name": "message/submitAction", "id": number, "replyToId": name, "value": value,
                                       "conversation": {"conversationType": "personal", "id": CHAT},
                                       "channelData": {"tenant": {"id": TENANT}}}  # fmt: skip

    assert await world.come(thumbs("dislike", "it is not trivial", "f1")) == {}
    assert await world.come(thumbs("like", "", "f2", BOB)) == {}
    assert await world.come(thumbs("like", "", "f2", BOB)) == {}
    kept = world.db.read_sync(
        lambda c: c.exec_driver_sql("SELECT verdict, comment FROM answer_feedback ORDER BY verdict").all()
    )
    assert [tuple(row) for row in kept] == [("down", "it is not trivial"), ("up", "")]
    nonsense = thumbs("like", "", "f3") | {"value": {"actionValue": {"reaction": ["x"], "feedback": "{"}}}
    assert await world.come(nonsense) == {}
    assert world.clicks()[-1] == ("action.feedback", "refused")


async def test_a_card_with_words_of_a_model_is_labelled_wherever_it_is_posted(world: World) -> None:
    narrated(world)
    poster = TeamsPoster(world.desk.wire, world.db, world.desk.settings, world.desk.engine.clock)
    place = Conversation(TENANT, "19:group@thread.v2", "groupChat", world.url, f"28:{APP}")
    world.db.write_sync(keep_conversation, place, NOW)
    for view in (await world.services.cause("c-1"), cause_view()):
        await poster.post(Message(kind="cause", subject="c-1", channel=place.id, view=view))
    labelled, plain = (activity for _, _, activity in teams(world).shown)
    assert labelled["entities"][0]["additionalType"] == ["AIGeneratedContent"]
    assert "entities" not in plain


async def test_what_no_model_wrote_has_no_label_and_has_buttons(world: World) -> None:
    await world.come(private(COUNT))
    answer = teams(world).last()
    assert [each["type"] for each in answer["entities"]] == ["streaminfo"]
    assert "channelData" not in answer
    ids = value_of(answer, "gh.ask_feedback")
    await world.press("gh.ask_feedback", ids | {"d": "down"}, id="9")
    kept = world.db.read_sync(lambda c: c.exec_driver_sql("SELECT verdict FROM answer_feedback").all())
    assert [tuple(row) for row in kept] == [("down",)]


async def test_a_course_is_drawn_by_teams_with_its_figures(world: World) -> None:
    seed(world, Severity.CRITICAL)  # type: ignore[arg-type]
    await world.come(private("Trend of open criticals over the last 7 days"))
    kinds = [element["type"] for element in card(teams(world).last())["body"]]
    assert "Chart.Line" in kinds
    assert "Table" in kinds


# --- the reader's own days -------------------------------------------------------------------------------------------

SEEN = {"uid": "prowler-s3-b1-001", "first_seen": NOW.replace(hour=20)}


async def test_days_and_dates_are_those_of_who_asks(world: World) -> None:
    seed(world, Severity.HIGH, **SEEN)  # type: ignore[arg-type]
    here = {"localTimezone": "Asia/Tokyo", "locale": "de-DE"}
    await world.come(private("Show finding prowler-s3-b1-001", "1", **here))
    day = (NOW.replace(hour=20) + timedelta(hours=9)).strftime("%d.%m.%Y")
    assert day in json.dumps(card(teams(world).last())["body"])
    assert day in teams(world).last()["text"]
    await world.come(private("How many findings were found today?", "2", **here))
    assert "days as in Asia/Tokyo" in json.dumps(card(teams(world).last())["body"])


async def test_the_client_s_own_entity_says_the_zone_where_the_activity_does_not(world: World) -> None:
    seed(world, Severity.HIGH, **SEEN)  # type: ignore[arg-type]
    client = {"type": "clientInfo", "locale": "de-DE", "country": "DE", "platform": "Windows", "timezone": "Asia/Tokyo"}
    await world.come(private("Show finding prowler-s3-b1-001", entities=[client]))
    assert (NOW.replace(hour=20) + timedelta(hours=9)).strftime("%d.%m.%Y") in teams(world).last()["text"]


async def test_what_a_channel_reads_is_written_for_all(world: World) -> None:
    seed(world, Severity.HIGH, **SEEN)  # type: ignore[arg-type]
    await world.come(mention("show finding prowler-s3-b1-001", localTimezone="Asia/Tokyo", locale="de-DE"))
    assert NOW.strftime("%Y-%m-%d") in json.dumps(card(teams(world).last())["body"])


@pytest.mark.parametrize("zone", ["Mars/Olympus", "../etc", 5, None])
async def test_a_zone_nobody_knows_is_utc(world: World, zone: Any) -> None:
    await world.come(private("How many findings were found today?", localTimezone=zone))
    assert "days as in" not in json.dumps(card(teams(world).last())["body"])


# --- what else -------------------------------------------------------------------------------------------------------


async def test_a_suggested_question_in_the_chat_is_answered_below(world: World) -> None:
    chat = {"conversationType": "personal", "id": CHAT}
    pressed = press("gh.ask_prompt", {"f": COUNT}) | {"conversation": chat, "channelData": {"tenant": {"id": TENANT}}}
    answer = await world.come(pressed)
    assert answer["value"] == "The answer is below."
    shown = json.dumps(card(teams(world).last())["body"])
    assert "You asked: " in shown
    assert COUNT in shown


async def test_a_question_that_a_crash_left_is_answered_later(world: World) -> None:
    answer = world.desk.engine.answers.answer

    async def dies(*_: Any) -> Any:
        raise asyncio.CancelledError

    world.desk.engine.answers.answer = dies  # type: ignore[method-assign, assignment]
    await world.come(private("How many findings were found yesterday?", localTimezone="Asia/Tokyo"))
    world.desk.engine.answers.answer = answer  # type: ignore[method-assign, assignment]
    world.desk.in_hand.clear()
    assert await resume(world.desk, after=timedelta(seconds=-1)) == 1
    await world.desk.drain()
    assert "0 findings" in teams(world).texts(CHAT)[-1]
    assert "days as in Asia/Tokyo" in teams(world).texts(CHAT)[-1]
    assert world.clicks() == [("command.ask", "done")]


async def test_an_answer_that_cannot_be_sent_goes_through_the_outbox(world: World) -> None:
    teams(world).refuse = [Refusal(503)] * 9
    await world.come(private(COUNT))
    assert teams(world).shown == []
    left = world.db.read_sync(lambda conn: conn.execute(outbox.OUTBOX.select()).all())
    assert [(row.platform, row.channel) for row in left] == [("teams", ALICE)]
    assert "0 findings" in left[0].payload


async def test_the_app_installed_for_a_person_greets_with_help_and_home(world: World) -> None:
    chat = {"conversationType": "personal", "id": CHAT}
    came = activity("installationUpdate", action="add", conversation=chat, channelData={"tenant": {"id": TENANT}})
    await world.come(came)
    await world.come(activity("conversationUpdate", membersAdded=[{"id": f"28:{APP}"}], conversation=chat))
    await world.come(came)
    await world.desk.drain()
    assert ["Commands" in text for text in teams(world).texts(CHAT)] == [True, False]
    home = teams(world).last()
    assert [each["value"] for each in home["suggestedActions"]["actions"]] == list(START)
    assert "Waiting for you" in json.dumps(card(home))
    again = await world.press("gh.home", {}, id="h")
    assert "Waiting for you" in json.dumps(again)
    assert value_of(home, "gh.page") == {"f": "mine", "o": "0"}


async def test_the_app_installed_in_a_team_says_who_did_it_and_what_is_posted(team_world: World) -> None:
    place = {"conversationType": "channel", "id": CHANNEL, "isGroup": True}
    sender = {"id": "29:x", "name": "Eve <at>all</at> **x**", "aadObjectId": ALICE}
    await team_world.come(activity("installationUpdate", action="add", conversation=place) | {"from": sender})
    await team_world.desk.drain()
    (where, _, made) = teams(team_world).shown[0]
    body = json.dumps(card(made)["body"], ensure_ascii=False)
    assert where == CHANNEL
    for words in ("Installed by", "Eve", "Payments", SHARED):
        assert words in body
    assert "Web" not in body


async def test_the_app_that_leaves_is_no_arrival(world: World) -> None:
    await world.come(activity("installationUpdate", action="remove"))
    await world.desk.drain()
    assert teams(world).shown == []


async def test_home_pages_what_waits_for_many_decisions(world: World) -> None:
    home, many = world.services.home, tuple(request_view() for _ in range(30))

    async def busy(person: Any) -> Any:
        return (await home(person)).model_copy(update={"waiting": many})

    world.services.home = busy  # type: ignore[method-assign]
    await world.come(private("home"))
    assert value_of(teams(world).last(), "gh.waiting") == {"o": "0"}
    first = await world.press("gh.waiting", {"o": "0"}, id="1")
    assert "1 to 12 of 30 requests" in first["value"]["fallbackText"]
    last = await world.press("gh.waiting", {"o": "900"}, id="2")
    assert "25 to 30 of 30 requests" in last["value"]["fallbackText"]
    assert "Previous" in json.dumps(last)
    assert '"Next"' not in json.dumps(last)
