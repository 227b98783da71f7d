"""From raw signed bytes to what the engine was asked and what Slack was told."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from bot.domain.decisions import Choice, RequestState
from bot.domain.errors import BadInput, Denied, Stale
from bot.domain.views import Option, OptionView
from handlers.slack.app import resume

from .fakes import ALICE, CHANNEL, World, action_body, plan_view, request_view

ACTOR = "T01ACME/U01ALICE"
META: dict[str, Any] = {"p": "plan-1", "h": "a" * 64, "q": "req-1", "v": 4, "ch": CHANNEL}


# --- who may speak to us at all --------------------------------------------------------------------------------------


async def test_a_forged_signature_is_refused_and_nothing_is_stored(world: World) -> None:
    status, _ = await world.payload(action_body("gh.review", {"c": "c-1"}), secret="another")
    assert status == 401
    assert world.services.calls == []
    assert world.clicks() == []


async def test_an_old_signature_is_refused(world: World) -> None:
    status, _ = await world.payload(action_body("gh.review", {"c": "c-1"}), age=600)
    assert status == 401
    assert world.services.calls == []


async def test_another_workspace_is_refused_and_told_privately(world: World) -> None:
    await world.click("gh.review", team="T99EVIL")
    await world.command("fix c-1", team="T99EVIL")
    assert world.services.calls == []
    assert world.clicks() == []
    assert world.slack.named("views.open") == []
    assert "another workspace" in world.private


async def test_a_payload_without_a_workspace_is_refused(world: World) -> None:
    body = action_body("gh.review", {"c": "c-1"})
    await world.payload({**body, "team": None})
    assert world.services.calls == []


# --- review ----------------------------------------------------------------------------------------------------------


async def test_review_opens_a_light_dialog_at_once_and_fills_it_with_the_plan(world: World) -> None:
    status, body = await world.click("gh.review")
    assert (status, body) == (200, "")
    methods = [name for name, _ in world.slack.calls]
    assert methods == ["views.open", "views.update"]
    assert "submit" not in world.slack.named("views.open")[0]["view"]
    view = world.slack.named("views.update")[0]["view"]
    assert json.loads(view["private_metadata"]) == {"p": "plan-1", "h": "a" * 64, "ch": CHANNEL}
    assert view["submit"]["text"] == "Send"
    assert "not set" in json.dumps(view)
    assert world.services.did("look") == [("look", "c-1", ACTOR)]
    assert world.clicks() == [("action.review", "done")]


async def test_the_same_click_delivered_again_does_nothing(world: World) -> None:
    await world.click("gh.review")
    status, _ = await world.click("gh.review")
    assert status == 200
    assert len(world.services.did("look")) == 1
    assert len(world.slack.named("views.open")) == 1


async def test_who_may_do_nothing_sees_why_and_who_could_and_no_submit(world: World) -> None:
    refused = OptionView(option=Option.ASK, allowed=False, why_not="guests cannot ask", rule="no-guests")
    world.services.plan = plan_view(refused)
    await world.click("gh.review")
    view = world.slack.named("views.update")[0]["view"]
    assert "submit" not in view
    said = json.dumps(view)
    assert "guests cannot ask" in said
    assert "no-guests" in said
    assert "Who could: Bob Brown" in said


async def test_an_error_while_planning_is_said_in_the_dialog(world: World) -> None:
    world.services.raises["look"] = BadInput("The bucket is gone.", mend="Wait for the next scan.")
    await world.click("gh.review")
    said = json.dumps(world.slack.named("views.update")[0]["view"])
    assert "The bucket is gone." in said
    assert "Wait for the next scan." in said


async def test_an_expired_trigger_is_told_privately(world: World) -> None:
    world.slack.fail["views.open"].append((200, {"ok": False, "error": "expired_trigger_id"}, {}))
    await world.click("gh.review")
    assert "Press the button again." in world.private
    assert world.clicks() == [("action.review", "refused")]


# --- deciding --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("option", "choice"), [("approve", Choice.APPROVE), ("reject", Choice.REJECT)])
async def test_a_vote_is_for_the_plan_and_revision_that_were_shown(world: World, option: str, choice: Choice) -> None:
    world.services.state = RequestState.APPROVED
    status, body = await world.submit("gh.review", META, {"choice": option, "reason": "checked"})
    assert (status, body) == (200, "")
    assert world.services.did("vote") == [("vote", "req-1", "a" * 64, 4, ACTOR, choice, "checked")]
    assert "The fix starts now" in world.private
    assert world.clicks() == [("submit.gh.review", "done")]


async def test_asking_and_taking_back(world: World) -> None:
    await world.submit("gh.review", META, {"choice": "ask", "reason": ""}, hash_="h1")
    await world.submit("gh.review", META, {"choice": "cancel"}, hash_="h2")
    assert world.services.did("ask") == [("ask", "plan-1", "a" * 64, ACTOR, "")]
    assert world.services.did("cancel") == [("cancel", "req-1", ACTOR)]


async def test_a_request_made_again_after_a_fault_carries_the_same_click(world: World) -> None:
    world.services.raises["vote"] = RuntimeError("the database was away")
    await world.submit("gh.review", {key: META[key] for key in ("p", "h", "ch")}, {"choice": "approve"})
    del world.services.raises["vote"]
    assert await resume(world.app.desk, after=timedelta(minutes=-1)) == 1
    first, second = world.services.clicks
    assert first
    assert first == second


async def test_a_vote_where_nobody_asked_asks_and_answers(world: World) -> None:
    meta = {key: META[key] for key in ("p", "h", "ch")}
    await world.submit("gh.review", meta, {"choice": "approve"})
    assert [call[0] for call in world.services.calls] == ["ask", "vote"]
    assert world.services.did("vote")[0][1:4] == ("req-1", "a" * 64, 4)


async def test_a_submission_delivered_again_votes_once(world: World) -> None:
    for _ in range(3):
        await world.submit("gh.review", META, {"choice": "approve"})
    assert len(world.services.did("vote")) == 1


async def test_a_denial_is_private_and_names_rule_reason_and_who_could(world: World) -> None:
    world.services.raises["vote"] = Denied(
        "You asked for it yourself.", rule="four-eyes", could=("Bob Brown",), mend="Ask Bob."
    )
    await world.submit("gh.review", META, {"choice": "approve"})
    told = world.slack.named("chat.postEphemeral")
    assert [(t["channel"], t["user"]) for t in told] == [(CHANNEL, ALICE)]
    for word in ("You asked for it yourself.", "four-eyes", "Bob Brown", "Ask Bob."):
        assert word in world.private
    assert world.slack.named("chat.postMessage") == []
    assert world.clicks() == [("submit.gh.review", "refused")]


async def test_where_nothing_ephemeral_can_be_shown_it_is_told_directly(world: World) -> None:
    world.slack.fail["chat.postEphemeral"].append((200, {"ok": False, "error": "not_in_channel"}, {}))
    world.services.raises["vote"] = Stale("The plan has expired.")
    await world.submit("gh.review", META, {"choice": "approve"})
    told = world.slack.named("chat.postMessage")
    assert [t["channel"] for t in told] == [f"D{ALICE}"]
    assert "The plan has expired." in told[0]["text"]


async def test_an_unforeseen_error_is_told_and_kept_without_its_words(world: World) -> None:
    world.services.raises["vote"] = RuntimeError("password=hunter2")
    await world.submit("gh.review", META, {"choice": "approve"})
    assert "Something went wrong on our side" in world.private
    assert "hunter2" not in world.private
    assert "Your answer is kept and is tried again" in world.private
    assert world.clicks() == [("submit.gh.review", "received")]
    del world.services.raises["vote"]
    assert await resume(world.app.desk, after=timedelta(minutes=-1)) == 1
    assert world.clicks() == [("submit.gh.review", "done")]


async def test_an_error_that_stays_ends_the_click_after_a_quarter_of_an_hour(world: World) -> None:
    world.services.raises["vote"] = RuntimeError("a fault of the program")
    await world.submit("gh.review", META, {"choice": "approve"})
    world.app.desk.engine.clock.forward(60)  # type: ignore[attr-defined]
    told = len(world.slack.named("chat.postEphemeral"))
    await resume(world.app.desk, after=timedelta())
    assert len(world.slack.named("chat.postEphemeral")) == told  # once is enough
    assert world.clicks() == [("submit.gh.review", "received")]
    world.app.desk.engine.clock.forward(15 * 60)  # type: ignore[attr-defined]
    await resume(world.app.desk, after=timedelta())
    assert world.clicks() == [("submit.gh.review", "failed")]
    assert "Look at the card" in world.private


async def test_a_rejection_without_reason_goes_back_and_can_be_sent_again(world: World) -> None:
    _, body = await world.submit("gh.review", META, {"choice": "reject", "reason": "  "})
    assert json.loads(body)["errors"].keys() == {"reason"}
    assert world.services.calls == []
    await world.submit("gh.review", META, {"choice": "reject", "reason": "owner migrates it"})
    assert len(world.services.did("vote")) == 1


async def test_typed_confirmation_must_match(world: World) -> None:
    world.services.plan = plan_view(OptionView(option=Option.APPROVE, allowed=True), request=request_view(), typed=True)
    await world.click("gh.review")
    meta = json.loads(world.slack.named("views.update")[0]["view"]["private_metadata"])
    _, body = await world.submit("gh.review", meta, {"choice": "approve", "confirm": "2"})
    assert json.loads(body)["errors"].keys() == {"confirm"}
    assert world.services.did("vote") == []
    await world.submit("gh.review", meta, {"choice": "approve", "confirm": "3"})
    assert len(world.services.did("vote")) == 1


async def test_forged_metadata_is_only_ids(world: World) -> None:
    await world.submit("gh.review", {**META, "p": {"$ne": 1}, "ch": "C1 <!channel>"}, {"choice": "ask"})
    assert world.services.did("ask")[0][1] == ""
    assert world.slack.named("chat.postEphemeral") == []  # not a channel id: told directly
    assert len(world.slack.named("chat.postMessage")) == 1


async def test_undo_opens_the_plan_of_that_execution(world: World) -> None:
    await world.click("gh.undo", {"x": "exe-1", "c": "c-1"})
    assert world.services.did("look_undo") == [("look_undo", "exe-1", ACTOR)]


# --- stewardship -----------------------------------------------------------------------------------------------------


async def test_not_mine_asks_whose_and_why_and_passes_it_on(world: World) -> None:
    await world.click("gh.not_mine")
    view = world.slack.named("views.update")[0]["view"]
    options = [o["value"] for b in view["blocks"] if b["block_id"] == "to" for o in b["element"]["options"]]
    assert options == ["payments", "-"]
    meta = json.loads(view["private_metadata"])
    _, body = await world.submit("gh.not_mine", meta, {"to": "nobody-known", "reason": ""})
    assert json.loads(body)["errors"].keys() == {"to", "reason"}
    await world.submit("gh.not_mine", meta, {"to": "payments", "reason": "theirs"}, hash_="h2")
    await world.submit("gh.not_mine", meta, {"to": "-", "reason": "no idea"}, hash_="h3")
    assert world.services.did("not_mine") == [
        ("not_mine", "c-1", ACTOR, "payments", "theirs"),
        ("not_mine", "c-1", ACTOR, "", "no idea"),
    ]
    assert "Passed on to Payments." in world.private


async def test_snooze_takes_only_the_offered_days(world: World) -> None:
    await world.click("gh.snooze")
    meta = json.loads(world.slack.named("views.update")[0]["view"]["private_metadata"])
    _, body = await world.submit("gh.snooze", meta, {"days": "9999", "reason": "later"})
    assert json.loads(body)["errors"].keys() == {"days"}
    await world.submit("gh.snooze", meta, {"days": "7", "reason": "later"})
    assert world.services.did("snooze") == [("snooze", "c-1", ACTOR, 7, "later")]


@pytest.mark.parametrize(
    ("verb", "action", "given"),
    [("not_mine", "pass_on", {"to": "payments", "reason": "x"}), ("snooze", "snooze", {"days": "1", "reason": "x"})],
)
async def test_who_may_not_gets_no_dialog_and_a_forged_submission_changes_nothing(
    world: World, verb: str, action: str, given: dict[str, str]
) -> None:
    world.services.forbidden.add(action)
    await world.click(f"gh.{verb}")
    view = world.slack.named("views.update")[0]["view"]
    assert "submit" not in view
    assert "guard-stranger" in json.dumps(view)
    await world.submit(f"gh.{verb}", {"c": "c-1", "ch": CHANNEL}, given)
    assert world.services.did(verb) == []
    assert "guard-stranger" in world.private


async def test_one_click_splits_or_merges_witnesses_and_is_answered_privately(world: World) -> None:
    await world.click("gh.split", {"c": "c-1", "f": "f-2"})
    await world.click("gh.merge", {"c": "c-1", "f": "f-1", "o": "f-3"}, trigger="t.2")
    assert world.services.did("split") == [("split", "c-1", "f-2", ACTOR)]
    assert world.services.did("merge") == [("merge", "c-1", "f-1", "f-3", ACTOR)]
    assert "Taken out." in world.private
    assert "Joined." in world.private


async def test_a_split_that_is_refused_says_why(world: World) -> None:
    world.services.raises["split"] = Denied("no policy lets Alice regroup", rule="guard-stranger", could=("Bob",))
    await world.click("gh.split", {"c": "c-1", "f": "f-2"})
    assert "guard-stranger" in world.private


async def test_details_are_shown_only_to_who_asked(world: World) -> None:
    await world.click("gh.details")
    assert world.slack.named("chat.postEphemeral")[0]["user"] == ALICE
    assert world.slack.named("chat.postMessage") == []


async def test_a_link_button_is_answered_and_has_no_effect(world: World) -> None:
    assert await world.click("gh.console") == (200, "")
    assert world.slack.calls == []
    assert world.clicks() == []


async def test_an_unknown_button_is_answered_in_words(world: World) -> None:
    await world.click("gh.explode")
    assert "another version" in world.private


# --- command and home ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [("", "Commands"), ("help", "Commands"), ("findings critical", "Nothing matches"), ("status", "Ledger"),
     ("mine", "Nothing open is yours"), ("finding", "Which finding?"), ("fix", "Fix what?"),
     ("explode <!channel>", "I do not know"), ("findings severity:purple", "purple")],
)  # fmt: skip
async def test_commands_answer_privately(world: World, text: str, expected: str) -> None:
    status, body = await world.command(text)
    assert (status, body) == (200, "")
    assert expected in world.private
    assert world.slack.named("chat.postMessage") == []


async def test_a_command_delivered_again_is_answered_once(world: World) -> None:
    await world.command("status")
    await world.command("status")
    assert len(world.slack.named("chat.postEphemeral")) == 1


async def test_fix_takes_the_id_of_a_finding_or_of_a_cause(world: World) -> None:
    await world.command("fix f-123", trigger="t.1")
    await world.command("fix c-9", trigger="t.2")
    assert [call[1] for call in world.services.did("look")] == ["c-of-finding", "c-9"]


async def test_where_the_bot_is_not_in_the_channel_the_command_answers_by_itself_and_says_ephemeral(
    world: World,
) -> None:
    world.slack.fail["chat.postEphemeral"].append((200, {"ok": False, "error": "channel_not_found"}, {}))
    await world.command("status")
    assert [r["response_type"] for r in world.slack.responses] == ["ephemeral"]


async def test_the_home_tab_shows_what_waits_and_an_error_in_words(world: World) -> None:
    event = {"type": "app_home_opened", "user": ALICE, "tab": "home", "channel": "D1"}
    body = {"type": "event_callback", "team_id": "T01ACME", "event_id": "Ev1", "event": event}

    async def open_home() -> str:
        import time

        from slack_sdk.signature import SignatureVerifier

        from .fakes import SECRET

        raw, stamp = json.dumps(body), str(int(time.time()))
        signature = SignatureVerifier(SECRET).generate_signature(timestamp=stamp, body=raw) or ""
        headers = {
            "content-type": "application/json",
            "x-slack-request-timestamp": stamp,
            "x-slack-signature": signature,
        }
        async with world.http.post("/slack/events", data=raw, headers=headers) as response:
            assert response.status == 200
        await world.app.desk.drain()
        return json.dumps(world.slack.named("views.publish")[-1])

    assert "waits for your approval" in await open_home()
    world.services.raises["home"] = BadInput("Nobody knows you.")
    assert "Nobody knows you." in await open_home()


async def test_a_decision_from_the_home_tab_is_told_directly_and_renews_the_tab(world: World) -> None:
    await world.submit("gh.review", {**META, "ch": ""}, {"choice": "approve"})
    assert [c["channel"] for c in world.slack.named("chat.postMessage")] == [f"D{ALICE}"]
    assert len(world.slack.named("views.publish")) == 1


async def test_a_short_429_on_a_private_answer_is_waited_out(world: World) -> None:
    world.slack.fail["chat.postEphemeral"].append((429, {"ok": False, "error": "ratelimited"}, {"Retry-After": "0"}))
    await world.command("status")
    assert len(world.slack.named("chat.postEphemeral")) == 2


async def test_the_journal_keeps_no_token_trigger_or_response_url(world: World) -> None:
    await world.click("gh.review", trigger="secret-trigger")
    rows = world.db.read_sync(lambda conn: conn.exec_driver_sql("SELECT payload FROM clicks").all())
    assert "secret-trigger" not in rows[0][0]
    assert "unused.example" not in rows[0][0]
    assert "gh.review" in rows[0][0]


# --- after a crash ---------------------------------------------------------------------------------------------------


async def test_a_submission_that_a_crash_left_behind_is_done_once(world: World) -> None:
    from datetime import timedelta

    async def dies(*_args: object, **_more: object) -> None:
        return None

    run, world.app.desk.run = world.app.desk.run, dies  # type: ignore[method-assign]
    await world.submit("gh.review", META, {"choice": "approve", "reason": "checked"})
    await world.click("gh.details")
    world.app.desk.run = run  # type: ignore[method-assign]
    world.app.desk.engine.clock.forward(61)  # type: ignore[attr-defined]
    assert await resume(world.app.desk, timedelta(minutes=1)) == 0  # this process is still at them
    world.app.desk.engine.clock.forward(-61)  # type: ignore[attr-defined]
    world.app.desk.in_hand.clear()  # as a new process begins
    assert world.services.calls == []
    assert {state for _, state in world.clicks()} == {"received"}
    assert await resume(world.app.desk, timedelta(minutes=1)) == 0  # another replica may be at it
    world.app.desk.engine.clock.forward(61)  # type: ignore[attr-defined]
    assert await resume(world.app.desk, timedelta(minutes=1)) == 2
    assert await resume(world.app.desk, timedelta(minutes=1)) == 0
    assert world.services.did("vote") == [("vote", "req-1", "a" * 64, 4, ACTOR, Choice.APPROVE, "checked")]
    assert sorted(world.clicks()) == [("action.details", "failed"), ("submit.gh.review", "done")]
