"""Commands and buttons beside the review: help, why, pages, delegations, freezes; escaped text; changed memberships."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bot.domain.errors import Denied, NotFound
from bot.domain.views import Option, OptionView
from handlers.slack.app import ACTIONS, COMMANDS
from handlers.slack.payloads import ids_of, mention_of, unescaped

from .fakes import ALICE, CHANNEL, World, plan_view, request_view

ACTOR = "T01ACME/U01ALICE"
META: dict[str, Any] = {"p": "plan-1", "h": "a" * 64, "q": "req-1", "v": 4, "ch": CHANNEL}


def buttons(payload: dict[str, Any]) -> list[dict[str, Any]]:
    return [e for b in payload["blocks"] if b["type"] == "actions" for e in b["elements"]]


# --- help ------------------------------------------------------------------------------------------------------------


async def test_help_lists_every_command(world: World) -> None:
    await world.command("help")
    for command in filter(None, COMMANDS):
        assert f"`/gatehouse {command}" in world.private, command


# --- why -------------------------------------------------------------------------------------------------------------


async def test_why_answers_privately_with_rule_facts_and_who_could(world: World) -> None:
    await world.command("why req-1")
    told = world.slack.named("chat.postEphemeral")
    assert [(t["channel"], t["user"]) for t in told] == [(CHANNEL, ALICE)]
    for word in (
        "who asks cannot approve",
        "prod: four eyes",
        "Environment",
        "prod",
        "Bob Brown",
        "You cannot approve",
    ):
        assert word in world.private
    assert world.services.did("why") == [("why", "req-1", ACTOR)]
    assert world.slack.named("chat.postMessage") == []


async def test_why_without_an_id_and_with_a_wrong_one_says_what_to_do(world: World) -> None:
    await world.command("why", trigger="t.1")
    assert "Why what?" in world.private
    world.services.raises["why"] = NotFound("there is no request req-9", mend="Look at the card.")
    await world.command("why req-9", trigger="t.2")
    assert "there is no request req-9" in world.private


async def test_a_dialog_without_an_approve_button_offers_the_question_and_answers_on_top_of_it(world: World) -> None:
    world.services.plan = plan_view(
        OptionView(option=Option.APPROVE, allowed=False, why_not="you asked", rule="four eyes"), request=request_view()
    )
    await world.click("gh.review")
    shown = world.slack.named("views.update")[0]["view"]
    pressed = next(b for b in buttons(shown) if b["action_id"] == "gh.why")
    assert pressed["text"]["text"] == "Why can't I approve?"
    body = {
        "type": "block_actions", "team": {"id": "T01ACME"}, "user": {"id": ALICE, "team_id": "T01ACME"},
        "trigger_id": "t.9", "container": {"type": "view", "view_id": "V7"}, "view": {"id": "V7", "type": "modal"},
        "actions": [{"type": "button", "action_id": "gh.why", "block_id": "b", "value": pressed["value"],
                     "action_ts": "9.1"}],
    }  # fmt: skip
    await world.payload(body)
    assert len(world.slack.named("views.push")) == 1
    assert world.services.did("why") == [("why", "req-1", ACTOR)]
    assert "prod: four eyes" in json.dumps(world.slack.named("views.update")[-1]["view"])
    assert world.slack.named("chat.postEphemeral") == []


async def test_who_may_approve_is_not_offered_the_question(world: World) -> None:
    world.services.plan = plan_view(OptionView(option=Option.APPROVE, allowed=True), request=request_view())
    await world.click("gh.review")
    view = world.slack.named("views.update")[0]["view"]
    assert not any(b["action_id"] == "gh.why" for b in buttons(view))


async def test_a_refused_approval_offers_the_question(world: World) -> None:
    world.services.raises["vote"] = Denied("You asked for it yourself.", rule="four-eyes", could=("Bob Brown",))
    await world.submit("gh.review", META, {"choice": "approve"})
    told = world.slack.named("chat.postEphemeral")[-1]
    pressed = next(b for b in buttons(told) if b["action_id"] == "gh.why")
    await world.click("gh.why", json.loads(pressed["value"]), trigger="t.2")
    assert world.services.did("why") == [("why", "req-1", ACTOR)]
    assert world.clicks() == [("submit.gh.review", "refused"), ("action.why", "done")]


async def test_a_refusal_of_something_else_does_not(world: World) -> None:
    world.services.raises["cancel"] = Denied("Not yours.", rule="default deny")
    await world.submit("gh.review", META, {"choice": "cancel"})
    assert not buttons(world.slack.named("chat.postEphemeral")[-1])


# --- pages -----------------------------------------------------------------------------------------------------------


def pages(payload: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {b["text"]["text"]: json.loads(b["value"]) for b in buttons(payload) if b["action_id"].startswith("gh.page")}


async def test_findings_turn_pages_in_place_and_keep_their_filters(world: World) -> None:
    world.services.total = 45
    await world.command('findings high owner:payments "public bucket"')
    first = world.slack.named("chat.postEphemeral")[0]
    assert list(pages(first)) == ["Next"]
    assert "1 to 20" in json.dumps(first)
    respond = str(world.slack.server.make_url("/respond"))
    await world.click("gh.page", pages(first)["Next"], trigger="t.2", response_url=respond)
    second = world.slack.responses[0]
    assert (second["replace_original"], second["response_type"]) == (True, "ephemeral")
    assert list(pages(second)) == ["Previous", "Next"]
    await world.click("gh.page", pages(second)["Next"], trigger="t.3", response_url=respond)
    third = world.slack.responses[1]
    assert list(pages(third)) == ["Previous"]
    assert "41 to 45" in json.dumps(third)
    await world.click("gh.page", pages(third)["Previous"], trigger="t.4", response_url=respond)
    filters = {call[1].words() for call in world.services.did("findings")}
    assert filters == {"open, high, owner payments, text “public bucket”"}
    assert [call[2] for call in world.services.did("findings")] == [0, 20, 40, 20]
    assert len(world.slack.named("chat.postEphemeral")) == 1


async def test_where_the_message_cannot_be_replaced_the_page_is_a_new_private_one(world: World) -> None:
    world.services.total = 45
    await world.click("gh.page", {"f": "high", "o": "20"}, response_url="")
    told = world.slack.named("chat.postEphemeral")
    assert [t["user"] for t in told] == [ALICE]
    assert "21 to 40" in json.dumps(told)


async def test_few_findings_have_no_pager(world: World) -> None:
    world.services.total = 20
    await world.command("findings")
    assert pages(world.slack.named("chat.postEphemeral")[0]) == {}


async def test_a_page_behind_the_end_is_the_last_one(world: World) -> None:
    world.services.total = 25
    await world.click("gh.page", {"f": "", "o": "400"}, response_url="")
    assert "21 to 25" in world.private


@pytest.mark.parametrize(
    ("forged", "said"),
    [
        ({"f": "severity:purple", "o": "20"}, "purple"),
        ({"f": "explode <!channel>", "o": "0"}, "explode"),
        ({"f": {"$ne": 1}, "o": "0"}, "findings"),
        ({"f": "high", "o": "-20"}, "1 to 20"),
        ({"f": "high", "o": "99999999999999999999"}, "1 to 20"),
        ({"f": "high", "o": "٢٠"}, "1 to 20"),
        ({"f": "x" * 1_500, "o": "20"}, "findings"),
    ],
)
async def test_a_forged_page_is_read_as_strictly_as_a_typed_filter(
    world: World, forged: dict[str, Any], said: str
) -> None:
    world.services.total = 45
    await world.click("gh.page", forged, response_url="")
    assert said in world.private
    assert "<!channel>" not in world.private
    assert world.clicks()[0][1] in {"done", "refused"}


def test_only_the_filters_may_hold_words() -> None:
    assert ids_of(json.dumps({"f": "a b", "c": "a b", "o": "20"})) == {"f": "a b", "o": "20"}


# --- delegations and freezes -----------------------------------------------------------------------------------------


async def test_delegations_are_listed_with_a_button_only_where_one_may(world: World) -> None:
    await world.command("delegations")
    told = world.slack.named("chat.postEphemeral")[0]
    assert [json.loads(b["value"]) for b in buttons(told)] == [{"d": "dlg-1"}]
    for word in ("Bob Brown", "Ann", "env:dev", "everything", "holiday"):
        assert word in world.private
    await world.click("gh.revoke", {"d": "dlg-1"}, trigger="t.2")
    assert world.services.did("revoke") == [("revoke", "dlg-1", ACTOR)]
    assert "no longer votes" in world.private


async def test_a_delegation_that_is_not_ones_own_is_refused_privately(world: World) -> None:
    world.services.raises["revoke"] = Denied("this delegation is not yours", rule="r", could=("Ann",))
    await world.click("gh.revoke", {"d": "dlg-2"})
    assert "this delegation is not yours" in world.private
    assert world.clicks() == [("action.revoke", "refused")]


async def test_a_mention_is_taken_by_its_id_and_never_by_its_name(world: World) -> None:
    await world.command("delegate <@U123ABC|ann smith> 7d env:dev on &lt;leave&gt; &amp; back", trigger="t.1")
    await world.command("undelegate <@W9|U123ABC>", trigger="t.2")
    assert world.services.did("delegate") == [("delegate", ACTOR, "T01ACME", "U123ABC", "7d env:dev on <leave> & back")]
    assert world.services.did("undelegate") == [("undelegate", ACTOR, "W9")]


@pytest.mark.parametrize(
    "text",
    ["delegate @ann 7d x", "delegate <@> 7d x", "delegate <#C1|x> 7d x", "delegate &lt;@U1&gt; 7d x",
     "delegate <!subteam^S1|@x> 7d x", "undelegate", "undelegate ann"],
)  # fmt: skip
async def test_what_is_no_mention_delegates_nothing(world: World, text: str) -> None:
    await world.command(text)
    assert world.services.did("delegate") == world.services.did("undelegate") == []
    assert "whom?" in world.private


@pytest.mark.parametrize(
    ("text", "name", "heard"),
    [
        ("freeze env:prod deploy of <#C1|ops> &amp; <@U1|ann>", "freeze", "env:prod deploy of #ops & @ann"),
        ("unfreeze all is well &gt; 9", "unfreeze", "all is well > 9"),
    ],
)
async def test_escaped_text_is_read_as_it_was_typed(world: World, text: str, name: str, heard: str) -> None:
    await world.command(text)
    assert world.services.did(name) == [(name, ACTOR, heard)]


async def test_a_freeze_without_a_reason_lists_what_is_frozen(world: World) -> None:
    await world.command("freeze")
    assert "Nothing is frozen by command." in world.private
    assert world.services.did("freeze") == []


@pytest.mark.parametrize(
    ("escaped", "plain"),
    [
        ("&lt;!channel&gt;", "<!channel>"),  # typed as text; cards escape it again
        ("&amp;lt;", "&lt;"),
        ("<@U1|ann>", "@ann"), ("<@U1>", "@U1"), ("<#C1|ops>", "#ops"), ("<#C1|>", "#C1"), ("<#C1>", "#C1"),
        ("<!here>", "@here"), ("<!subteam^S1|@sre>", "@sre"), ("<!date^1^{date}|today>", "@today"),
        ("<https://a.example/x|a.example/x>", "a.example/x"), ("<https://a.example>", "https://a.example"),
        ("<mailto:a@b.example|a@b.example>", "a@b.example"), ("a < b", "a < b"), ("", ""),
    ],
)  # fmt: skip
def test_every_token_of_an_escaped_command_is_plain_text(escaped: str, plain: str) -> None:
    assert unescaped(escaped) == plain


def test_a_mention_with_nothing_behind_it_and_with_a_line_break() -> None:
    assert mention_of("<@U1>", "T1")[1] == ""
    assert mention_of("<@U1|a>\n7d x", "T1")[1] == "7d x"
    assert mention_of("<@u1> x", "T1")[0] is None


async def test_what_waits_for_my_approval_is_listed_with_its_button(world: World) -> None:
    await world.command("approvals")
    told = world.slack.named("chat.postEphemeral")[0]
    assert "1 request waits for your approval." in world.private
    reviews = [b for b in buttons(told) if b["action_id"].startswith("gh.review")]
    assert [json.loads(b["value"]) for b in reviews] == [{"c": "c-1"}]


# --- events ----------------------------------------------------------------------------------------------------------


async def test_a_changed_group_and_a_changed_account_are_forgotten(world: World) -> None:
    assert await world.event({"type": "subteam_members_changed", "subteam_id": "S1", "added_users": ["U1"]}) == 200
    assert await world.event({"type": "user_change", "user": {"id": "U7", "deleted": True}}) == 200
    assert await world.event({"type": "user_change", "user": "nonsense"}) == 200
    assert world.services.did("forget") == [("forget", "slack", "", "S1"), ("forget", "slack", "U7", "")]


async def test_another_workspaces_events_change_nothing(world: World) -> None:
    await world.event({"type": "user_change", "user": {"id": "U7"}}, team="T99EVIL")
    assert world.services.did("forget") == []


def test_every_button_of_ours_has_its_action() -> None:
    assert {"review", "undo", "not_mine", "snooze", "details", "why", "page", "revoke"} <= set(ACTIONS)


async def test_more_requests_than_fit_are_turned_page_by_page(world: World) -> None:
    home = world.services.home

    async def many(person: Any) -> Any:
        view = await home(person)
        return view.model_copy(update={"waiting": tuple(request_view() for _ in range(30))})

    world.services.home = many  # type: ignore[method-assign]
    await world.command("approvals")
    told = world.slack.named("chat.postEphemeral")[0]
    (rest,) = [b for b in buttons(told) if b["action_id"].startswith("gh.waiting")]
    await world.click("gh.waiting", json.loads(rest["value"]), trigger="t.2")
    shown = world.slack.named("chat.postEphemeral")[-1]
    assert "1 to 12 of 30 requests." in json.dumps(shown)
    (onward,) = [json.loads(b["value"]) for b in buttons(shown) if b["action_id"].startswith("gh.waiting")]
    assert onward == {"o": "12"}
    assert not [b for b in buttons(shown) if b["action_id"].startswith("gh.home")]  # Slack's home is a tab
