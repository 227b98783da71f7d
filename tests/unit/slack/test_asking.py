"""Questions from raw signed bytes to what Slack was told: streams, tables, pictures, rights, context, checks."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert

from bot.domain.findings import Severity
from bot.domain.views import Stage
from bot.store.findings import FINDINGS
from bot.store.posts import POSTS
from handlers.slack.app import resume

from .fakes import ALICE, CHANNEL, NOW, TEAM, World, cause_view, living

DM = "D01ALICE"
MINUTES = itertools.count(1)


def seed(world: World, *severities: Severity, start: int = 1, **values: Any) -> None:
    base: dict[str, Any] = {
        "source": "prowler", "class_uid": 2003, "rule_uid": "s3_public", "result": 1, "status": "open", "content": "x",
        "status_reason": "", "scope": "", "resource_id": "", "resource_type": "bucket", "region": "eu-west-1",
        "provider": "aws", "account_uid": "111", "account_name": "acme-prod", "environment": "prod",
        "owner": "payments", "team": "payments", "priority": 1, "decision": "Act", "cause_id": "c-1", "cve": "",
        "first_seen": NOW - timedelta(days=3), "changed_at": NOW, "reopened": 0, "product": "Prowler", "app": "",
        "data_class": "", "package": "", "control_set": "", "issue_id": "",
    }  # fmt: skip
    rows = [
        base | {"id": f"f-{n:016d}", "uid": f"u{n}", "title": f"Bucket {n} is public", "severity": int(severity),
                "resource_uid": f"arn:aws:s3:::b{n}", "resource_name": f"b{n}"} | values
        for n, severity in enumerate(severities, start)
    ]  # fmt: skip
    world.db.write_sync(lambda conn: conn.execute(insert(FINDINGS), rows))


def card_at(world: World, channel: str, ts: str, cause: str = "c-1") -> None:
    row = {"id": f"post-{ts}", "kind": "cause", "subject": cause, "platform": "slack", "channel": channel,
           "message_id": ts, "shown_revision": 1, "posted_at": NOW, "updated_at": NOW}  # fmt: skip
    world.db.write_sync(lambda conn: conn.execute(insert(POSTS), [row]))


async def say(world: World, text: str, *, channel: str = DM, ts: str = "", event_id: str = "", **more: Any) -> str:
    """A direct message, or a mention elsewhere; its ts."""
    ts = ts or f"1795.{next(MINUTES):06}"
    kind = "message" if channel.startswith("D") else "app_mention"
    event = {"type": kind, "user": ALICE, "text": text, "ts": ts, "channel": channel, "team": TEAM}
    event |= {"channel_type": "im"} if kind == "message" else {}
    assert await world.event(event | more, event_id=event_id or f"Ev{ts}") == 200
    return ts


def streamed(world: World) -> list[str]:
    """The text of each stream that was ended."""
    assert not any(stream["open"] for stream in world.slack.streams.values())
    return [
        " ".join(chunk["text"] for chunk in stream["chunks"] if chunk["type"] == "markdown_text")
        for stream in world.slack.streams.values()
    ]


def blocks(world: World) -> list[dict[str, Any]]:
    """Of the last answer, streamed or posted."""
    last = next(
        given for name, given in reversed(world.slack.calls)
        if name in {"chat.stopStream", "chat.postMessage", "chat.postEphemeral", "chat.update"}
    )  # fmt: skip
    found: list[dict[str, Any]] = last["blocks"]
    return found


def buttons(found: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Label -> element."""
    return {e["text"]["text"]: e for b in found if b["type"] == "actions" for e in b["elements"]}


def thumbs(found: list[dict[str, Any]]) -> dict[str, Any]:
    element: dict[str, Any] = next(b["elements"][0] for b in found if b["type"] == "context_actions")
    return element


async def press(world: World, element: dict[str, Any], *, channel: str = DM, thread: str = "", value: str = "") -> None:
    body = {
        "type": "block_actions", "team": {"id": TEAM}, "user": {"id": ALICE, "team_id": TEAM},
        "trigger_id": f"t.{next(MINUTES)}", "container": {"type": "message", "message_ts": "9.9"},
        "channel": {"id": channel}, "message": {"ts": "9.9", **({"thread_ts": thread} if thread else {})},
        "response_url": str(world.slack.server.make_url("/respond")),
        "actions": [{"type": element["type"], "action_id": element["action_id"], "action_ts": "9.9",
                     "value": value or element["value"]}],
    }  # fmt: skip
    assert (await world.payload(body))[0] == 200


@pytest.fixture
async def team_world(tmp_path: Path) -> AsyncIterator[World]:
    """Where an asker sees the own team's findings only."""
    owners = {"payments": {"name": "Payments", "channels": ["slack:C02PAY"]},
              "web": {"name": "Web", "channels": ["slack:C03WEB"]}}  # fmt: skip
    routing = {"owners": owners, "fallback": [f"slack:{CHANNEL}"]}
    async with living(tmp_path, ask={"visibility": "team", "see_everything": ["ciso"]}, routing=routing) as made:
        yield made


# --- direct messages -------------------------------------------------------------------------------------------------


async def test_a_direct_message_is_answered_in_its_thread_with_status_and_stream(world: World) -> None:
    seed(world, Severity.CRITICAL, Severity.CRITICAL, Severity.HIGH)
    ts = await say(world, "How many critical findings are open?")
    assert [name for name, _ in world.slack.calls][-2:] == ["chat.appendStream", "chat.stopStream"]
    status, started = world.slack.named("assistant.threads.setStatus")[0], world.slack.named("chat.startStream")[0]
    assert (status["channel_id"], status["thread_ts"]) == (DM, ts)
    assert (started["channel"], started["thread_ts"], started["recipient_user_id"]) == (DM, ts, ALICE)
    assert len(streamed(world)) == 1
    assert "2 findings" in streamed(world)[0]
    said = json.dumps(blocks(world))
    assert "How I read your question" in said
    assert "As of" in said
    assert buttons(blocks(world)).keys() == {"Check"}
    assert world.clicks() == [("ask.event", "done")]


async def test_the_first_sign_comes_before_the_answer_and_within_a_second(world: World) -> None:
    seed(world, Severity.CRITICAL)
    began = time.monotonic()
    seen: list[float] = []
    answer = world.app.desk.engine.answers.answer

    async def slow(*given: Any) -> Any:
        seen.append(time.monotonic() - began)
        assert world.slack.named("assistant.threads.setStatus")
        assert world.slack.named("chat.startStream")
        await asyncio.sleep(0.2)
        return await answer(*given)

    world.app.desk.engine.answers.answer = slow  # type: ignore[method-assign]
    await say(world, "How many critical findings are open?")
    assert seen[0] < 1.0
    assert "1 finding" in streamed(world)[0]


async def test_a_follow_up_goes_on_from_the_turn_before_also_after_a_restart(world: World) -> None:
    seed(world, Severity.CRITICAL, Severity.CRITICAL)
    seed(world, Severity.CRITICAL, start=10, environment="dev")
    ts = await say(world, "How many critical findings are open in prod?")
    engine = world.app.desk.engine
    fresh = await build_answers_again(world)
    engine.answers = fresh  # type: ignore[misc]
    await say(world, "and in dev?", thread_ts=ts)
    assert "2 findings" in streamed(world)[0]
    assert "1 finding:" in streamed(world)[1]


async def build_answers_again(world: World) -> Any:
    """The services as another replica, or the same after a restart, makes them."""
    from bot.ask.service import Ask
    from bot.domain.ids import RandomIds
    from bot.reports.about import About
    from bot.reports.answers import Answers
    from bot.reports.turns import StoredTurns

    engine, services = world.app.desk.engine, world.services
    turns = StoredTurns(engine.db, engine.clock)
    ask, about = Ask(engine.db, engine.settings, engine.clock, turns), About(services, services)  # type: ignore[arg-type]
    return Answers(engine.db, engine.settings, ask, about, turns, engine.clock, RandomIds(), engine.sight)


async def test_a_direct_conversation_goes_on_without_a_thread_for_an_hour(world: World) -> None:
    seed(world, Severity.CRITICAL)
    seed(world, Severity.CRITICAL, Severity.CRITICAL, start=10, environment="dev")
    await say(world, "How many critical findings are open in prod?")
    await say(world, "and in dev?")
    assert "2 findings" in streamed(world)[1]
    world.app.desk.engine.clock.forward(3700)  # type: ignore[attr-defined]
    await say(world, "and in prod?")
    assert "1 finding:" not in streamed(world)[2]


async def test_the_same_message_delivered_again_is_answered_once(world: World) -> None:
    seed(world, Severity.CRITICAL)
    await say(world, "How many critical findings are open?", ts="1795.9", event_id="Ev7")
    await say(world, "How many critical findings are open?", ts="1795.9", event_id="Ev7")
    await say(world, "How many critical findings are open?", ts="1795.9", event_id="Ev8")
    assert len(world.slack.streams) == 1
    assert len(world.clicks()) == 1


@pytest.mark.parametrize(
    "more",
    [{"bot_id": "B1"}, {"app_id": "A1"}, {"subtype": "message_changed"}, {"subtype": "message_deleted"},
     {"edited": {"user": ALICE, "ts": "1"}}, {"hidden": True}, {"user": ""}, {"channel_type": "channel"}],
    ids=["a bot", "an app", "a change", "a deletion", "an edit", "hidden", "nobody", "a channel"],
)  # fmt: skip
async def test_what_is_no_new_message_of_a_person_to_us_is_ignored(world: World, more: dict[str, Any]) -> None:
    await say(world, "How many findings are open?", **more)
    assert world.slack.calls == []
    assert world.clicks() == []


async def test_a_guest_and_another_company_s_account_are_refused(world: World) -> None:
    seed(world, Severity.CRITICAL)
    world.services.guest = True
    await say(world, "How many critical findings are open?")
    assert "guests may not ask" in world.private
    world.services.guest = False
    await say(world, "<@U0BOT> how many findings are open?", channel=CHANNEL, user_team="T99OTHER")
    assert "another organisation" in world.private
    assert world.slack.streams == {}
    assert world.slack.named("chat.postMessage") == []
    assert {state for _, state in world.clicks()} == {"refused"}


async def test_without_streams_one_message_answers_and_the_lack_is_remembered(world: World) -> None:
    seed(world, Severity.CRITICAL)
    for method in ("chat.startStream", "assistant.threads.setStatus"):
        world.slack.fail[method] = [(200, {"ok": False, "error": "unknown_method"}, {})]
    ts = await say(world, "How many critical findings are open?")
    await say(world, "How many high findings are open?")
    posted = world.slack.named("chat.postMessage")
    assert posted[0]["thread_ts"] == ts
    assert "1 finding" in posted[0]["text"]
    assert len(posted) == 2
    assert len(world.slack.named("chat.startStream")) == 1


async def test_a_stream_that_slack_has_ended_is_written_over(world: World) -> None:
    seed(world, Severity.CRITICAL)
    world.slack.fail["chat.stopStream"] = [(200, {"ok": False, "error": "message_not_in_streaming_state"}, {})]
    await say(world, "How many critical findings are open?")
    assert "1 finding" in world.slack.named("chat.update")[0]["text"]


async def test_where_slack_takes_no_table_the_rows_come_as_lines(world: World) -> None:
    seed(world, Severity.CRITICAL, Severity.CRITICAL)
    world.slack.fail["chat.startStream"] = [(200, {"ok": False, "error": "unknown_method"}, {})]
    world.slack.fail["chat.postMessage"] = [(200, {"ok": False, "error": "invalid_blocks"}, {})]
    await say(world, "List the critical findings")
    assert not any(b["type"] == "table" for b in blocks(world))
    assert "Bucket 1 is public" in json.dumps(blocks(world))


async def test_a_crash_before_the_answer_leaves_a_question_that_is_answered_later(world: World) -> None:
    seed(world, Severity.CRITICAL)
    begun = asyncio.Event()

    async def dies(*_: Any) -> Any:
        begun.set()
        raise asyncio.CancelledError

    engine = world.app.desk.engine
    answer, engine.answers.answer = engine.answers.answer, dies  # type: ignore[method-assign]
    await say(world, "How many critical findings are open?")
    assert begun.is_set()
    assert world.clicks() == [("ask.event", "received")]
    engine.answers.answer = answer  # type: ignore[method-assign]
    engine.clock.forward(120)  # type: ignore[attr-defined]
    assert await resume(world.app.desk) == 1
    assert world.clicks() == [("ask.event", "done")]
    assert "1 finding" in json.dumps(list(world.slack.streams.values()))


# --- what an answer has ----------------------------------------------------------------------------------------------


async def test_a_list_has_a_native_table_with_a_page_and_more(world: World) -> None:
    seed(world, *[Severity.CRITICAL] * 20)
    await say(world, "List the critical findings")
    table = next(b for b in blocks(world) if b["type"] == "table")
    assert [cell["text"] for cell in table["rows"][0]] == [
        "Severity", "Finding", "Resource", "Account", "Team", "Due", "Id"]  # fmt: skip
    assert len(table["rows"]) == 1 + 15
    assert "1 to 15 of 20, and 5 more" in json.dumps(blocks(world))
    await press(world, buttons(blocks(world))["More"], thread="1795.1")
    after = next(b for b in blocks(world) if b["type"] == "table")
    assert len(after["rows"]) == 1 + 5
    assert "16 to 20 of 20" in json.dumps(blocks(world))


async def test_pages_of_an_answer_in_a_channel_are_private(world: World) -> None:
    seed(world, *[Severity.CRITICAL] * 40)
    await say(world, "<@U0BOT> list the critical findings", channel=CHANNEL)
    await press(world, buttons(blocks(world))["More"], channel=CHANNEL)
    assert "16 to 30 of 40" in world.private
    await press(world, buttons(blocks(world))["Next"], channel=CHANNEL)
    assert "31 to 40 of 40" in json.dumps(world.slack.responses[-1])
    assert world.slack.responses[-1]["replace_original"] is True


async def test_a_course_comes_as_a_picture_with_words_for_who_cannot_see_it(world: World) -> None:
    seed(world, *[Severity.CRITICAL] * 3)
    ts = await say(world, "Trend of open findings over the last 10 days")
    assert world.slack.uploads[0].startswith(b"\x89PNG")
    wanted = world.slack.named("files.getUploadURLExternal")[0]
    assert wanted["alt_txt"].startswith("Line chart: Findings open per day.")
    done = world.slack.named("files.completeUploadExternal")[0]
    assert (done["channel_id"], done["thread_ts"]) == (DM, ts)
    assert not any(b["type"] == "table" for b in world.slack.named("chat.stopStream")[0]["blocks"])


async def test_a_picture_that_cannot_be_sent_leaves_the_figures(world: World) -> None:
    seed(world, *[Severity.CRITICAL] * 3)
    world.slack.fail["files.getUploadURLExternal"] = [(200, {"ok": False, "error": "missing_scope"}, {})]
    await say(world, "Trend of open findings over the last 10 days")
    table = next(b for b in blocks(world) if b["type"] == "table")
    assert len(table["rows"]) == 1 + 10
    assert table["column_settings"][1]["align"] == "right"


async def test_a_breakdown_of_many_groups_has_both(world: World) -> None:
    for number, severity in enumerate((Severity.CRITICAL, Severity.HIGH, Severity.MEDIUM, Severity.LOW)):
        seed(world, severity, start=10 * (number + 1))
    await say(world, "Open findings by severity")
    assert any(b["type"] == "table" for b in world.slack.named("chat.stopStream")[0]["blocks"])
    assert world.slack.named("files.getUploadURLExternal")[0]["alt_txt"].startswith("Bar chart: Findings by severity")


async def test_check_shows_query_and_ids_and_that_the_answer_is_the_same_or_has_changed(world: World) -> None:
    seed(world, Severity.CRITICAL, Severity.CRITICAL)
    ts = await say(world, "How many critical findings are open?")
    check = buttons(blocks(world))["Check"]
    await press(world, check, thread=ts)
    said = json.dumps(blocks(world))
    for word in ("the answer is the same", "number of findings", "f-0000000000000001", "Findings behind it: 2",
                 '\\"kind\\'):  # fmt: skip
        assert word in said or word in said.replace("\\\\", "\\"), word
    seed(world, Severity.CRITICAL, start=50)
    await press(world, check, thread=ts)
    said = json.dumps(blocks(world))
    assert "the answer has changed" in said
    assert "2 findings" in said
    assert "3 findings" in said


async def test_thumbs_are_kept_with_question_and_query_and_the_last_word_counts(world: World) -> None:
    seed(world, Severity.CRITICAL)
    await say(world, "How many critical findings are open?")
    element = thumbs(blocks(world))
    await press(world, element, value=element["positive_button"]["value"])
    await press(world, element, value=element["negative_button"]["value"])
    opened = world.slack.named("views.update")[-1]["view"]
    assert opened["callback_id"] == "gh.ask_comment"
    await world.submit("gh.ask_comment", json.loads(opened["private_metadata"]), {"comment": "I meant prod"})
    kept = world.db.read_sync(lambda c: c.exec_driver_sql("SELECT * FROM answer_feedback").mappings().all())
    assert len(kept) == 1
    assert kept[0]["verdict"] == "down"
    assert kept[0]["comment"] == "I meant prod"
    assert kept[0]["principal_id"] == f"{TEAM}/{ALICE}"
    assert kept[0]["question"] == "How many critical findings are open?"
    assert json.loads(kept[0]["query"])["kind"] == "count"


async def test_what_is_not_understood_names_the_nearest_question_and_offers_three(world: World) -> None:
    seed(world, Severity.CRITICAL)
    await say(world, "How many criticals are frobnicated in prodd by zorkmid?")
    found = buttons(blocks(world))
    assert len(found) == 3
    assert "The nearest question I can answer" in json.dumps(blocks(world))
    label = "How many criticals are open in prod?"
    assert label in found
    await press(world, found[label], thread="1795.1")
    assert "1 finding" in streamed(world)[-1]
    assert f"You asked: {label}" in json.dumps(blocks(world))


async def test_names_from_outside_come_alive_nowhere(world: World) -> None:
    hostile = "<!channel> [x](https://evil.example) :lock: www.evil.example *b*"
    seed(world, *[Severity.CRITICAL] * 2, title=hostile, resource_name=hostile, account_name=hostile)
    await say(world, "List the critical findings")
    text = streamed(world)[0]
    for bad in ("<!", "](", "://", ":lock:", "www.evil", "*b*"):
        assert bad not in text


# --- channels and rights ---------------------------------------------------------------------------------------------


async def test_a_mention_in_a_channel_is_answered_in_its_thread(world: World) -> None:
    seed(world, Severity.CRITICAL)
    ts = await say(world, "<@U0BOT> how many critical findings are open?", channel=CHANNEL)
    assert world.slack.named("chat.startStream")[0]["thread_ts"] == ts
    assert "1 finding" in streamed(world)[0]


async def test_a_team_s_channel_is_told_what_the_team_may_see(team_world: World) -> None:
    seed(team_world, Severity.CRITICAL)
    seed(team_world, Severity.CRITICAL, Severity.CRITICAL, start=10, owner="web", team="web", cause_id="c-2")
    team_world.services.team = "payments"
    await say(team_world, "<@U0BOT> how many critical findings are open?", channel="C02PAY")
    assert "1 finding" in streamed(team_world)[0]
    assert "what this channel may see: team Payments" in json.dumps(blocks(team_world))


async def test_another_channel_is_told_nothing_and_the_asker_directly(team_world: World) -> None:
    seed(team_world, Severity.CRITICAL)
    team_world.services.team = "payments"
    for channel in (CHANNEL, "C03WEB"):
        team_world.slack.calls.clear()
        await say(team_world, "<@U0BOT> how many critical findings are open?", channel=channel)
        posted = team_world.slack.named("chat.postMessage")
        assert [p["channel"] for p in posted] == [f"D{ALICE}"]
        assert "1 finding" in posted[0]["text"]
        assert team_world.slack.named("chat.startStream") == []
        said = team_world.slack.named("chat.postEphemeral")
        assert [s["channel"] for s in said] == [channel]
        assert "I answered you directly" in json.dumps(said)
        assert "1 finding" not in json.dumps(said)


async def test_a_channel_shared_with_another_company_is_told_nothing(world: World) -> None:
    seed(world, Severity.CRITICAL)
    event = {"type": "app_mention", "user": ALICE, "text": "hey <@U0BOT> how many critical findings are open?",
             "ts": "1795.7", "channel": CHANNEL, "team": TEAM}  # fmt: skip
    more = {"is_ext_shared_channel": True, "authorizations": [{"user_id": "U0BOT", "is_bot": True}]}
    assert await world.event(event, **more) == 200
    assert [p["channel"] for p in world.slack.named("chat.postMessage")] == [f"D{ALICE}"]
    assert "1 finding" in world.slack.named("chat.postMessage")[0]["text"]
    assert "another organisation are in this channel" in world.private
    assert "1 finding" not in world.private


GUEST, OTHER = "U09GUEST", "U09OTHER"
READERS: dict[str, dict[str, Any]] = {
    "a guest": {"is_restricted": True},
    "a guest of one channel": {"is_ultra_restricted": True},
    "another organisation": {"team_id": "T99"},
    "nobody Slack knows": {"id": "U09SOMEBODYELSE"},
}


@pytest.mark.parametrize("who", READERS)
async def test_a_channel_with_a_stranger_in_it_is_told_nothing(world: World, who: str) -> None:
    seed(world, Severity.CRITICAL)
    world.slack.members[CHANNEL] = [ALICE, GUEST, "U0BOT"]
    world.slack.users[GUEST] = {"id": GUEST, "team_id": TEAM, **READERS[who]}
    await say(world, "<@U0BOT> how many critical findings are open?", channel=CHANNEL)
    assert world.slack.named("chat.startStream") == []
    assert [p["channel"] for p in world.slack.named("chat.postMessage")] == [f"D{ALICE}"]
    assert "1 finding" in world.slack.named("chat.postMessage")[0]["text"]
    assert "I answered you directly" in world.private
    assert "1 finding" not in world.private


async def test_who_is_in_a_channel_is_read_anew_and_what_they_are_once_an_hour(world: World) -> None:
    seed(world, Severity.CRITICAL)
    world.slack.members[CHANNEL] = [ALICE, OTHER, "U0BOT"]
    world.slack.users[OTHER] = {"id": OTHER, "team_id": TEAM}
    for asked in (1, 2):
        await say(world, "<@U0BOT> how many critical findings are open?", channel=CHANNEL)
        assert len(world.slack.named("chat.startStream")) == asked
    looked = [c["user"] for c in world.slack.named("users.info") if "include_locale" not in c]
    assert looked.count(OTHER) == 1
    world.slack.users[OTHER] |= {"is_restricted": True}  # … and Slack says so
    await world.event({"type": "user_change", "user": {"id": OTHER}})
    await say(world, "<@U0BOT> how many critical findings are open?", channel=CHANNEL)
    assert len(world.slack.named("chat.startStream")) == 2
    assert "Guests are in this channel" in world.private


@pytest.mark.parametrize("count", [200, 1_200])
async def test_a_crowd_nobody_knows_yet_is_told_nothing(world: World, count: int) -> None:
    seed(world, Severity.CRITICAL)
    crowd = [f"U08{n:04}" for n in range(count)]
    world.slack.members[CHANNEL] = [ALICE, *crowd]
    world.slack.users |= {user: {"id": user, "team_id": TEAM} for user in crowd}
    for _ in range(1 + count // 60):
        await say(world, "<@U0BOT> how many critical findings are open?", channel=CHANNEL)
    assert (len(world.slack.named("chat.startStream")) > 0) is (count < 1_000)  # known after some questions, if ever
    assert len(world.slack.named("chat.postMessage")) >= 3


async def test_where_slack_does_not_say_who_reads_nothing_is_told(world: World) -> None:
    seed(world, Severity.CRITICAL)
    world.slack.fail["conversations.members"].append((200, {"ok": False, "error": "missing_scope"}, {}))
    await say(world, "<@U0BOT> how many critical findings are open?", channel=CHANNEL)
    assert world.slack.named("chat.startStream") == []
    assert "does not say who reads" in world.private


async def test_who_is_in_no_team_is_told_so(team_world: World) -> None:
    seed(team_world, Severity.CRITICAL)
    await say(team_world, "How many critical findings are open?")
    assert "0 findings" in streamed(team_world)[0]
    assert "You belong to no team" in json.dumps(blocks(team_world))


async def test_who_sees_everything_is_answered_in_a_channel_as_the_channel(team_world: World) -> None:
    seed(team_world, Severity.CRITICAL)
    seed(team_world, Severity.CRITICAL, start=10, owner="web", team="web", cause_id="c-2")
    team_world.services.role = "ciso"
    await say(team_world, "<@U0BOT> how many critical findings are open?", channel="C02PAY")
    assert "1 finding" in streamed(team_world)[0]
    await say(team_world, "How many critical findings are open?")
    assert "2 findings" in streamed(team_world)[1]


async def test_a_turn_of_who_sees_more_is_no_turn_before_of_another(team_world: World) -> None:
    seed(team_world, Severity.CRITICAL)
    team_world.services.role = "ciso"
    await say(team_world, "<@U0BOT> how many critical findings are open in prod?", channel=CHANNEL, ts="1795.5")
    team_world.services.role, team_world.services.team = "", "web"
    await say(team_world, "and which of them are overdue?", thread_ts="1795.5")
    assert "Bucket" not in json.dumps(list(team_world.slack.streams.values()))


async def test_somebody_else_s_check_is_with_that_person_s_rights(team_world: World) -> None:
    seed(team_world, Severity.CRITICAL)
    team_world.services.team = "payments"
    await say(team_world, "How many critical findings are open?")
    check = buttons(blocks(team_world))["Check"]
    team_world.services.team = "web"
    await press(team_world, check)
    said = json.dumps(blocks(team_world))
    assert "Computed again with your rights" in said
    assert "0 findings" in said
    assert "1 finding" not in said
    assert "f-0000000000000001" not in said


# --- about one thing -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("question", "said"),
    [("why P1?", "It is P1 (Act)"), ("how do I fix it", "Review fix shows the exact plan"),
     ("who decided?", "Nobody has decided anything here yet"),
     ("what would approving do", "If approved, 1 change would be made"), ("explain", "Anyone can read it")],
)  # fmt: skip
async def test_a_question_under_a_card_is_about_its_cause(world: World, question: str, said: str) -> None:
    seed(world, Severity.CRITICAL)
    card_at(world, CHANNEL, "1790.1")
    await say(world, f"<@U0BOT> {question}", channel=CHANNEL, thread_ts="1790.1")
    assert said in streamed(world)[0]
    assert "Public bucket" in json.dumps(blocks(world))


async def test_fix_it_offers_the_button_and_changes_nothing(world: World) -> None:
    card_at(world, CHANNEL, "1790.1")
    await say(world, "<@U0BOT> fix it!", channel=CHANNEL, thread_ts="1790.1")
    assert "I change nothing by being asked" in streamed(world)[0]
    pressed = buttons(blocks(world))["Review fix"]
    assert (pressed["action_id"], json.loads(pressed["value"])) == ("gh.review", {"c": "c-1"})
    assert {call[0] for call in world.services.calls} == {"cause"}


async def test_after_an_answer_about_one_finding_it_is_that_one(world: World) -> None:
    seed(world, Severity.CRITICAL)
    await say(world, "List the critical findings")
    assert set(buttons(blocks(world))) == {"Details", "Check"}
    await say(world, "how do I fix it?")
    assert "Review fix shows the exact plan" in streamed(world)[1]
    world.app.desk.engine.clock.forward(3700)  # type: ignore[attr-defined]
    await say(world, "how do I fix it?")
    assert "Which one?" in streamed(world)[2]


async def test_fix_it_without_a_thing_asks_which(world: World) -> None:
    await say(world, "fix it")
    assert "Which one?" in streamed(world)[0]
    assert "Review fix" not in json.dumps(blocks(world))


async def test_what_is_fixed_has_no_fix_button(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    card_at(world, CHANNEL, "1790.1")

    async def fixed(cause_id: str) -> Any:
        return cause_view(id=cause_id, stage=Stage.FIXED)

    monkeypatch.setattr(world.services, "cause", fixed)
    await say(world, "<@U0BOT> fix it", channel=CHANNEL, thread_ts="1790.1")
    assert "fixed and verified" in streamed(world)[0]
    assert "Review fix" not in buttons(blocks(world))


async def test_a_thing_of_another_team_is_told_of_as_of_none(team_world: World) -> None:
    seed(team_world, Severity.CRITICAL)
    team_world.services.team = "web"
    await say(team_world, "explain c-1234567")
    assert "no cause c-1234567 that you may see" in json.dumps(blocks(team_world))
    assert "Public bucket" not in json.dumps(blocks(team_world))


async def test_ask_about_this_takes_the_card_and_answers_privately(world: World) -> None:
    seed(world, Severity.CRITICAL)
    card_at(world, CHANNEL, "1790.1")
    body = {
        "type": "message_action", "callback_id": "gh.ask_about", "trigger_id": "t.77", "team": {"id": TEAM},
        "user": {"id": ALICE, "team_id": TEAM}, "channel": {"id": CHANNEL}, "message_ts": "1790.1",
        "message": {"ts": "1790.1", "bot_id": "B0BOT", "text": "x"}, "response_url": "https://unused.example",
    }  # fmt: skip
    assert (await world.payload(body))[0] == 200
    view = world.slack.named("views.update")[0]["view"]
    assert (view["callback_id"], json.loads(view["private_metadata"])) == ("gh.ask_about", {"c": "c-1", "ch": CHANNEL})
    assert "Public bucket" in json.dumps(view)
    await world.submit("gh.ask_about", {"c": "c-1", "ch": CHANNEL}, {"question": "why P1"})
    assert "It is P1 (Act)" in world.private
    assert world.slack.named("chat.postMessage") == []


async def test_ask_about_this_tells_not_even_the_title_of_another_team_s_cause(team_world: World) -> None:
    seed(team_world, Severity.CRITICAL)
    team_world.services.team = "web"
    card_at(team_world, CHANNEL, "1790.1")
    body = {
        "type": "message_action", "callback_id": "gh.ask_about", "trigger_id": "t.78", "team": {"id": TEAM},
        "user": {"id": ALICE, "team_id": TEAM}, "channel": {"id": CHANNEL}, "message_ts": "1790.1",
        "message": {"ts": "1790.1", "bot_id": "B0BOT", "text": "x"}, "response_url": "https://unused.example",
    }  # fmt: skip
    assert (await team_world.payload(body))[0] == 200
    view = team_world.slack.named("views.update")[0]["view"]
    assert json.loads(view["private_metadata"]) == {"ch": CHANNEL}
    assert "Public bucket" not in json.dumps(view)


async def test_a_slash_question_is_answered_only_to_the_asker_and_goes_on(world: World) -> None:
    seed(world, Severity.CRITICAL)
    seed(world, Severity.CRITICAL, Severity.CRITICAL, start=10, environment="dev")
    await world.command("ask how many critical findings are open in prod?", trigger="t.1")
    assert "1 finding" in world.private
    await world.command("ask and in dev?", trigger="t.2")
    assert "2 findings" in world.private
    assert world.slack.named("chat.postMessage") == []
    assert {e["action_id"].split(".")[1] for e in buttons(blocks(world)).values()} >= {"ask_feedback", "ask_check"}


async def test_an_empty_question_is_met_with_prompts(world: World) -> None:
    await say(world, "<@U0BOT>", channel=CHANNEL)
    assert "What would you like to know?" in streamed(world)[0]
    assert len(buttons(blocks(world))) == 3


# --- tabs ------------------------------------------------------------------------------------------------------------


async def test_the_messages_tab_offers_prompts(world: World) -> None:
    await world.event({"type": "app_home_opened", "user": ALICE, "tab": "messages", "channel": DM})
    offered = world.slack.named("assistant.threads.setSuggestedPrompts")
    assert len(offered[0]["prompts"]) == 4
    assert "thread_ts" not in offered[0]
    assert world.slack.named("views.publish") == []


async def test_a_prompt_of_the_home_tab_is_answered_directly(world: World) -> None:
    seed(world, Severity.CRITICAL)
    await world.event({"type": "app_home_opened", "user": ALICE, "tab": "home"})
    view = world.slack.named("views.publish")[0]["view"]
    element = buttons(view["blocks"])["How many criticals are open in prod?"]
    body = {
        "type": "block_actions", "team": {"id": TEAM}, "user": {"id": ALICE, "team_id": TEAM}, "trigger_id": "t.50",
        "container": {"type": "view", "view_id": "V1"}, "view": {"id": "V1", "type": "home"},
        "actions": [{"type": "button", "action_id": element["action_id"], "value": element["value"],
                     "action_ts": "5.5"}],
    }  # fmt: skip
    await world.payload(body)
    posted = world.slack.named("chat.postMessage")[0]
    assert posted["channel"] == f"D{ALICE}"
    assert "1 finding" in posted["text"]
