"""Buttons and commands in Teams: which engine service is asked, what the person sees, and what is kept."""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace
from typing import Any

import pytest

from bot.domain.decisions import Choice, RequestState
from bot.domain.errors import Denied
from bot.domain.views import Option, OptionView
from bot.store import teams as store
from cards.lint_adaptive import problems
from handlers.teams.payloads import command_of, pressed_of
from tests.unit.cards.test_adaptive import schema_problems
from tests.unit.cards.test_breakglass import OFFER, glass
from tests.unit.slack.fakes import plan_view, request_view

from .kit import World, button, said
from .world import ALICE, APP, CHANNEL, TENANT, activity, press

APPROVE = OptionView(option=Option.APPROVE, allowed=True)
REJECT = OptionView(option=Option.REJECT, allowed=True)


async def test_review_shows_the_plan_and_a_vote_is_for_what_was_shown(world: World) -> None:
    world.services.plan = plan_view(APPROVE, REJECT, request=request_view())
    world.services.state = RequestState.APPROVED
    shown = await world.press("gh.review", {"c": "c-1"})
    assert world.services.did("look") == [("look", "c-1", f"{TENANT}/{ALICE}")]
    ids = button(shown, "gh.send_review")
    done = await world.press("gh.send_review", ids, {"choice": "approve", "reason": "checked"}, id="inv-2")
    assert world.services.did("vote") == [
        ("vote", "req-1", "a" * 64, 4, f"{TENANT}/{ALICE}", Choice.APPROVE, "checked")
    ]
    assert "Approved. The fix starts now" in said(done)
    assert button(done, "gh.card") == {"c": "c-1"}
    assert world.clicks() == [("action.review", "done"), ("submit.send_review", "done")]


async def test_the_same_delivery_votes_once(world: World) -> None:
    world.services.plan = plan_view(APPROVE, request=request_view())
    ids = button(await world.press("gh.review", {"c": "c-1"}), "gh.send_review")
    for _ in range(3):
        answer = await world.press("gh.send_review", ids, {"choice": "approve"}, id="inv-2")
    assert len(world.services.did("vote")) == 1
    assert "received already" in answer["value"]


async def test_a_vote_where_nobody_asked_asks_and_answers_with_one_identity(world: World) -> None:
    world.services.plan = plan_view(APPROVE)
    ids = button(await world.press("gh.review", {"c": "c-1"}), "gh.send_review")
    await world.press("gh.send_review", ids, {"choice": "approve"}, id="inv-2")
    assert [call[0] for call in world.services.calls] == ["look", "ask", "vote"]
    assert world.services.clicks == [f"teams:{CHANNEL}:inv-2:{ALICE}"]


async def test_typed_confirmation_and_reasons_are_asked_for_before_the_engine(world: World) -> None:
    world.services.plan = plan_view(APPROVE, REJECT, request=request_view(), typed=True)
    ids = button(await world.press("gh.review", {"c": "c-1"}), "gh.send_review")
    wrong = await world.press("gh.send_review", ids, {"choice": "approve", "confirm": "7"}, id="inv-2")
    assert "Please type 3, the number of resources that change." in said(wrong)
    silent = await world.press("gh.send_review", ids, {"choice": "reject"}, id="inv-3")
    assert "Please say why you reject it" in said(silent)
    assert world.services.did("vote") == []
    await world.press("gh.send_review", ids, {"choice": "approve", "confirm": "3"}, id="inv-4")
    assert len(world.services.did("vote")) == 1


async def test_who_may_do_nothing_sees_why_and_has_no_button_to_send(world: World) -> None:
    world.services.plan = plan_view(OptionView(option=Option.APPROVE, allowed=False, why_not="four eyes", rule="r1"))
    shown = await world.press("gh.review", {"c": "c-1"})
    assert "four eyes" in said(shown)
    assert "Input." not in said(shown)
    assert [action["verb"] for action in shown["value"]["actions"]] == ["gh.card"]


async def test_a_denial_names_rule_and_who_could_and_offers_why(world: World) -> None:
    world.services.plan = plan_view(APPROVE, request=request_view())
    ids = button(await world.press("gh.review", {"c": "c-1"}), "gh.send_review")
    world.services.raises["vote"] = Denied("who asks cannot approve", rule="prod: four eyes", could=("Bob Brown",))
    refused = await world.press("gh.send_review", ids, {"choice": "approve"}, id="inv-2")
    for words in ("who asks cannot approve", "prod: four eyes", "Bob Brown", '"verb": "gh.why"'):
        assert words in said(refused)
    assert world.clicks()[-1] == ("submit.send_review", "refused")


async def test_a_fault_is_told_without_its_words(world: World) -> None:
    world.services.raises["cause"] = RuntimeError("password=hunter2")
    answer = await world.press("gh.details", {"c": "c-1"})
    assert "Something went wrong on our side" in said(answer)
    assert "hunter2" not in said(answer)
    assert world.clicks() == [("action.details", "failed")]


async def test_not_mine_and_snooze_ask_and_do(world: World) -> None:
    asked = await world.press("gh.not_mine", {"c": "c-1"})
    await world.press(
        "gh.send_not_mine", button(asked, "gh.send_not_mine"), {"to": "payments", "reason": "theirs"}, id="2"
    )
    asked = await world.press("gh.snooze", {"c": "c-1"}, id="3")
    await world.press("gh.send_snooze", button(asked, "gh.send_snooze"), {"days": "7", "reason": "later"}, id="4")
    who = f"{TENANT}/{ALICE}"
    assert world.services.did("not_mine") == [("not_mine", "c-1", who, "payments", "theirs")]
    assert world.services.did("snooze") == [("snooze", "c-1", who, 7, "later")]


async def test_one_press_splits_or_merges_witnesses(world: World) -> None:
    await world.press("gh.split", {"c": "c-1", "f": "f-2"})
    await world.press("gh.merge", {"c": "c-1", "f": "f-1", "o": "f-3"}, id="2")
    who = f"{TENANT}/{ALICE}"
    assert world.services.did("split") == [("split", "c-1", "f-2", who)]
    assert world.services.did("merge") == [("merge", "c-1", "f-1", "f-3", who)]


@pytest.mark.parametrize("given", [{"days": "9999", "reason": "x"}, {"days": "7"}, {}])
async def test_what_the_dialog_never_offered_is_not_taken(world: World, given: dict[str, str]) -> None:
    await world.press("gh.send_snooze", {"c": "c-1"}, given)
    assert world.services.did("snooze") == []


async def test_undo_details_why_and_the_card_itself(world: World) -> None:
    await world.press("gh.undo", {"x": "exe-1"}, id="1")
    await world.press("gh.details", {"c": "c-1"}, id="2")
    shown = await world.press("gh.why", {"s": "req-1"}, id="3")
    await world.press("gh.card", {"c": "c-1"}, id="4")
    assert [call[0] for call in world.services.calls] == ["look_undo", "cause", "why", "cause"]
    assert button(shown, "gh.card") == {"c": "c-1"}


@pytest.mark.parametrize("option", [Option.CANCEL, Option.WITHDRAW])
async def test_taking_back_a_request_and_a_vote(world: World, option: Option) -> None:
    async def withdraw(request_id: str, actor: Any, *, click: str = "") -> Any:
        world.services._said("withdraw", request_id, actor)
        return request_view()

    world.services.withdraw = withdraw  # type: ignore[attr-defined]
    world.services.plan = plan_view(OptionView(option=option, allowed=True), request=request_view())
    ids = button(await world.press("gh.review", {"c": "c-1"}), "gh.send_review")
    await world.press("gh.send_review", ids, {"choice": option.value}, id="2")
    assert world.services.calls[-1] == (option.value, "req-1", f"{TENANT}/{ALICE}")


async def test_the_next_page_reads_the_filters_anew(world: World) -> None:
    world.services.total = 45
    shown = await world.press("gh.page", {"f": "critical", "o": "20"})
    (_, filters, offset, _) = world.services.did("findings")[0]
    assert (offset, "critical" in filters.words()) == (20, True)
    assert "f-20" in said(shown)


async def test_the_glass_is_broken_with_reason_and_words_and_reviewed(world: World) -> None:
    services, broken, reviews = world.services, [], []  # type: ignore[var-annotated]

    async def look_glass(plan_id: str, actor: Any) -> Any:
        return plan_view(request=request_view()).model_copy(update={"glass": OFFER})

    async def break_glass(*given: Any, click: str) -> None:
        broken.append((*given[:3], *given[4:], click))

    async def require(glass_id: str, actor: Any) -> Any:
        return glass()

    async def review(glass_id: str, actor: Any, *, justified: bool, comment: str) -> None:
        reviews.append((glass_id, justified, comment))

    services.look_glass, services.break_glass = look_glass, break_glass  # type: ignore[attr-defined]
    services.glass = SimpleNamespace(require=require, review=review)  # type: ignore[attr-defined]
    ids = button(await world.press("gh.glass", {"p": "plan-1"}), "gh.send_glass")
    await world.press("gh.send_glass", ids, {"reason": "it leaks", "word": "yes"}, id="2")
    assert broken == []
    await world.press("gh.send_glass", ids, {"reason": "it leaks", "word": "BREAK GLASS"}, id="3")
    assert broken == [("plan-1", "a" * 64, 4, "it leaks", "BREAK GLASS", f"teams:{CHANNEL}:3:{ALICE}")]
    for number, (verb, justified) in enumerate((("gh.glass_ok", True), ("gh.glass_bad", False))):
        ids = button(await world.press(verb, {"g": "glass-1"}, id=f"o{number}"), "gh.send_glass_review")
        await world.press("gh.send_glass_review", ids, {}, id=f"e{number}")
        await world.press("gh.send_glass_review", ids, {"comment": "seen"}, id=f"s{number}")
        assert reviews[-1] == ("glass-1", justified, "seen")
    assert len(reviews) == 2


async def test_a_refresh_by_teams_only_looks(world: World) -> None:
    value = press("gh.send_review", {"c": "c-1", "p": "plan-1"}, given={"choice": "approve"})["value"]
    answer = await world.come(press("gh.card", {}) | {"value": value | {"trigger": "automatic"}})
    assert [call[0] for call in world.services.calls] == ["cause"]
    assert (answer["type"], world.clicks()) == ("application/vnd.microsoft.card.adaptive", [])


async def test_a_button_of_another_version_says_so(world: World) -> None:
    assert "another version of Gatehouse" in said(await world.press("gh.no_such_button", {"p": "plan-1"}))


async def test_nobody_without_an_object_id_is_heard(world: World) -> None:
    what = press("gh.review", {"c": "c-1"}) | {"from": {"id": "29:x", "name": "Alice Anderson"}}
    answer = await world.come(what)
    assert answer["statusCode"] == 403
    assert await world.come(activity(text="status") | {"from": {"id": "29:x", "name": "Alice"}}) == {}
    assert (world.services.calls, world.clicks()) == ([], [])


async def test_another_invoke_is_refused(world: World) -> None:
    assert (await world.come(press("gh.review", {}) | {"name": "fileConsent/invoke"}))["statusCode"] == 400


async def test_forged_data_is_only_ids(world: World) -> None:
    await world.press("gh.details", {"c": ["x"], "evil": {"a": 1}})
    assert world.services.did("cause") == [("cause", "")]
    hostile = press("gh.details", {}) | {"value": {"action": {"verb": "gh.details", "data": "x"}}}
    assert pressed_of(hostile).value == ""
    assert pressed_of({"value": None}).verb == ""
    assert pressed_of(press("evil.review", {})).verb == ""


async def test_work_that_takes_long_is_told_in_the_chat(world: World) -> None:
    world.desk._patience = 0.05
    look = world.services.look

    async def slow(cause_id: str, actor: Any) -> Any:
        await asyncio.sleep(0.3)
        return await look(cause_id, actor)

    world.services.look = slow  # type: ignore[method-assign]
    answer = await world.press("gh.review", {"c": "c-1"})
    assert "takes a little longer" in answer["value"]
    await world.desk.drain()
    opened, sent = world.connector.asked
    assert (opened[1], opened[2]["members"]) == ("/emea/v3/conversations", [{"id": f"29:{ALICE[:5]}"}])
    assert "gh.send_review" in said(sent[2])


async def test_a_command_in_a_channel_is_answered_in_the_chat_alone(world: World) -> None:
    mention = {"type": "mention", "text": "<at>Gatehouse</at>", "mentioned": {"id": f"28:{APP}", "name": "Gatehouse"}}
    await world.come(activity(text="<at>Gatehouse</at> status", entities=[mention]))
    await world.come(activity(text="<at>Gatehouse</at> status", entities=[mention]))  # delivered again
    await world.come(activity(text="<at>Gatehouse</at> help", entities=[mention], id="2"))
    opened, first, second = world.connector.asked
    assert opened[2]["isGroup"] is False
    assert [first[1], second[1]] == ["/emea/v3/conversations/1795/activities"] * 2
    assert "Status" in said(first[2])
    assert "Commands" in said(second[2])


@pytest.mark.parametrize("text", ["help", "findings critical", "finding f-1", "fix c-1", "why req-1", "mine", "home",
                                  "delegations", "approvals", "freeze", "freeze prod", "unfreeze prod",
                                  "/gatehouse mine", "@Gatehouse: mine", "nonsense", "fix", ""])  # fmt: skip
async def test_every_command_answers_with_a_sound_card(world: World, text: str) -> None:
    if text.startswith("finding "):
        world.services.raises["finding"] = Denied("not yours", rule="team")
    personal = {"conversationType": "personal", "id": "a:1"}
    await world.come(activity(text=text, conversation=personal, channelData={"tenant": {"id": TENANT}}))
    (_, path, body, _) = world.connector.asked[-1]
    assert path == "/emea/v3/conversations/a:1/activities"
    content = body["attachments"][0]["content"]
    assert problems(content) == schema_problems(content) == []
    assert world.clicks()[0][1] in {"done", "refused"}


def private(text: str, **more: Any) -> dict[str, Any]:
    personal = {"conversationType": "personal", "id": "a:1"}
    return activity(text=text, conversation=personal, channelData={"tenant": {"id": TENANT}}, **more)


async def ask_home(world: World, text: str, **more: Any) -> dict[str, Any]:
    """The card of the answer in the 1:1 chat, asked by somebody of this company."""
    await world.come(private(text, **more))
    content = world.connector.asked[-1][2]["attachments"][0]["content"]
    assert problems(content) == schema_problems(content) == []
    return content  # type: ignore[no-any-return]


def member(world: World) -> None:
    """The fake knows people of Slack's company only."""
    actor = world.services.actor

    async def ours(identity: Any) -> Any:
        made = await actor(identity)
        return made.model_copy(update={"standing": made.standing.model_copy(update={"external": False})})

    world.services.actor = ours  # type: ignore[method-assign]


async def test_a_question_is_answered_checked_and_judged(world: World) -> None:
    member(world)
    shown = await ask_home(world, "How many findings are open?")
    assert "0 findings" in shown["fallbackText"]
    verbs = {a["verb"]: a["data"]["gh"] for e in shown["body"] if e["type"] == "ActionSet" for a in e["actions"]}
    ids = json.loads(verbs["gh.ask_check"])
    assert "Computed again" in said(await world.press("gh.ask_check", ids, id="2"))
    await world.press("gh.ask_page", ids | {"o": "20"}, id="3")
    down = await world.press("gh.ask_feedback", ids | {"d": "down"}, id="4")
    thanks = await world.press("gh.send_comment", button(down, "gh.send_comment"), {"comment": "wrong"}, id="5")
    assert "Thank you" in said(thanks)
    kept = world.db.read_sync(lambda c: c.exec_driver_sql("SELECT verdict, comment FROM answer_feedback").all())
    assert [tuple(row) for row in kept] == [("down", "wrong")]
    again = await world.press("gh.ask_prompt", {"f": "How many findings are open?"}, id="6")
    assert "0 findings" in again["value"]["fallbackText"]


async def test_a_guest_or_another_company_gets_no_answer(world: World) -> None:
    shown = await ask_home(world, "ask how many criticals are open?")
    assert "another organisation" in shown["fallbackText"]
    member(world)
    world.services.guest = True
    assert "guest" in (await ask_home(world, "How many criticals are open?", id="2"))["fallbackText"].lower()
    assert world.clicks() == [("command.ask", "refused"), ("command.ask", "refused")]


async def test_an_answer_teams_does_not_take_goes_through_the_outbox(world: World) -> None:
    world.connector.answers = [(429, {}, {"Retry-After": "5"})]
    personal = {"conversationType": "personal", "id": "a:1"}
    await world.come(activity(text="status", conversation=personal, channelData={"tenant": {"id": TENANT}}))
    rows = world.db.read_sync(lambda conn: conn.exec_driver_sql("SELECT platform, channel FROM outbox").all())
    assert [tuple(row) for row in rows] == [("teams", ALICE)]


async def test_installation_is_kept_and_its_end_too(world: World) -> None:
    await world.come(activity("installationUpdate", action="add"))
    kept = await world.db.read(store.conversation, TENANT, CHANNEL)
    assert kept is not None
    assert (kept.service_url, kept.kind, kept.installed, kept.team) == (
        world.url,
        "channel",
        True,
        "19:team@thread.tacv2",
    )
    known = await world.db.read(store.member, TENANT, ALICE)
    assert known is not None
    assert known.member == f"29:{ALICE[:5]}"
    await world.come(activity("installationUpdate", action="remove"))
    gone = await world.db.read(store.conversation, TENANT, CHANNEL)
    assert gone is not None
    assert not gone.installed
    await world.come(activity("conversationUpdate", membersAdded=[{"id": f"28:{APP}"}]))
    await world.come(activity("conversationUpdate", membersRemoved=[{"id": f"28:{APP}"}]))
    gone = await world.db.read(store.conversation, TENANT, CHANNEL)
    assert gone is not None
    assert not gone.installed


async def test_where_members_change_nobody_is_believed_on(world: World) -> None:
    await world.come(activity("conversationUpdate", membersRemoved=[{"id": "29:somebody"}]))
    assert world.services.did("forget") == [("forget", "teams", "", "")]
    kept = await world.db.read(store.conversation, TENANT, CHANNEL)
    assert kept is not None
    assert kept.installed


def test_the_journal_keeps_no_names_and_the_mention_of_others_stays_words() -> None:
    me = {"type": "mention", "text": "<at>Gate</at>", "mentioned": {"id": "28:bot"}}
    other = {"type": "mention", "text": "<at>Bob Brown</at>", "mentioned": {"id": "29:bob"}}
    what = {"text": "<at>Gate</at>&nbsp;fix <at>Bob Brown</at> f-1", "entities": [me, other, "x", None]}
    assert command_of({**what, "text": what["text"].replace("&nbsp;", "\u00a0")}, "28:bot") == "fix Bob Brown f-1"  # type: ignore[attr-defined]
    assert command_of({"text": 7, "entities": None}, "28:bot") == ""
