"""Forms in dialogs: opened over the channel's card, kept open while something is missing, closed when it is done."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from bot.domain.decisions import RequestState
from bot.domain.errors import Denied, Stale
from bot.domain.views import Option, OptionView
from cards.lint_adaptive import problems
from handlers.teams.payloads import journal_of, origin_of, pressed_of
from handlers.teams.refresh import DIALOGS
from tests.unit.cards.test_adaptive import schema_problems
from tests.unit.slack.fakes import plan_view, request_view

from .kit import World, said
from .world import ALICE, TENANT, activity, press

APPROVE = OptionView(option=Option.APPROVE, allowed=True)
REJECT = OptionView(option=Option.REJECT, allowed=True)
WEB = [{"type": "clientInfo", "platform": "Web", "locale": "en-US"}]


def task(kind: str, verb: str, value: dict[str, Any] | str, given: dict[str, str] | None = None,
         **more: Any) -> dict[str, Any]:  # fmt: skip
    """As Teams sends it: the data of the button, with what stood in the inputs beside it."""
    data = {"gh": value if isinstance(value, str) else json.dumps(value), "verb": verb, **(given or {})}
    if kind == "fetch":
        data["msteams"] = {"type": "task/fetch"}  # type: ignore[assignment]
    base = {"name": f"task/{kind}", "id": f"{kind}-1", "replyToId": "1795", "entities": WEB,
            "value": {"data": data, "context": {"theme": "default"}}}  # fmt: skip
    return activity("invoke", ALICE, **(base | more))


def card_in(answer: dict[str, Any]) -> dict[str, Any]:
    """The card of an open dialog, checked."""
    assert answer["task"]["type"] == "continue", answer
    value = answer["task"]["value"]
    assert 0 < len(value["title"]) <= 64
    card: dict[str, Any] = value["card"]["content"]
    assert problems(card) == schema_problems(card) == []
    assert "Action.Execute" not in said(card)
    return card


def closed(answer: dict[str, Any]) -> str:
    assert answer["task"]["type"] == "message", answer
    return str(answer["task"]["value"])


def sender(card: dict[str, Any], verb: str) -> str:
    found = [each for each in card["actions"] if each["data"]["verb"] == verb]
    assert found, card["actions"]
    return str(found[0]["data"]["gh"])


def values(card: dict[str, Any]) -> dict[str, str]:
    return {each["id"]: each.get("value", "") for each in card["body"] if each["type"].startswith("Input.")}


async def test_a_vote_in_a_dialog_is_for_what_was_shown_and_closes_it(world: World) -> None:
    world.services.plan = plan_view(APPROVE, REJECT, request=request_view())
    world.services.state = RequestState.APPROVED
    shown = card_in(await world.come(task("fetch", "gh.review", {"c": "c-1"})))
    assert [each["data"]["verb"] for each in shown["actions"]] == [
        "gh.send_review"
    ]  # no way back: the card is behind it
    ids = sender(shown, "gh.send_review")
    done = await world.come(task("submit", "gh.send_review", ids, {"choice": "approve", "reason": "checked"}))
    assert "Approved. The fix starts now" in closed(done)
    (vote,) = world.services.did("vote")
    assert vote[:5] == ("vote", "req-1", "a" * 64, 4, f"{TENANT}/{ALICE}")
    assert world.clicks() == [("action.review", "done"), ("submit.send_review", "done")]


async def test_what_is_missing_comes_back_with_what_was_typed(world: World) -> None:
    world.services.plan = plan_view(APPROVE, REJECT, request=request_view(), typed=True)
    ids = sender(card_in(await world.come(task("fetch", "gh.review", {"c": "c-1"}))), "gh.send_review")
    given = {"choice": "approve", "reason": "I looked\nat it", "confirm": "7"}
    again = card_in(await world.come(task("submit", "gh.send_review", ids, given)))
    assert values(again) == {"choice": "approve", "reason": "I looked\nat it", "confirm": "7"}
    body = said(again["body"])
    assert "⚠️ Please type 3, the number of resources that change." in body
    place = next(n for n, each in enumerate(again["body"]) if each.get("id") == "confirm")
    assert "Please type 3" in said(again["body"][place - 1])  # right over what it is about
    assert world.services.did("vote") == []
    ids = sender(again, "gh.send_review")
    closed(await world.come(task("submit", "gh.send_review", ids, given | {"confirm": "3"}, id="submit-2")))
    assert len(world.services.did("vote")) == 1


async def test_what_was_typed_is_not_put_under_another_plan(world: World) -> None:
    world.services.plan = plan_view(APPROVE, REJECT, request=request_view())
    ids = json.loads(sender(card_in(await world.come(task("fetch", "gh.review", {"c": "c-1"}))), "gh.send_review"))
    again = card_in(
        await world.come(task("submit", "gh.send_review", ids | {"h": "b" * 64}, {"choice": "reject", "reason": ""}))
    )
    assert values(again)["choice"] == ""
    assert "Please say why you reject it" in said(again)


@pytest.mark.parametrize(
    ("verb", "sends", "missing", "good", "did"),
    [
        ("gh.snooze", "gh.send_snooze", {"days": "7"}, {"days": "7", "reason": "later"}, "snooze"),
        ("gh.not_mine", "gh.send_not_mine", {"to": "payments"}, {"to": "payments", "reason": "theirs"}, "not_mine"),
    ],
)
async def test_reasons_are_asked_for_in_the_dialog(
    world: World, verb: str, sends: str, missing: dict[str, str], good: dict[str, str], did: str
) -> None:
    ids = sender(card_in(await world.come(task("fetch", verb, {"c": "c-1"}))), sends)
    again = card_in(await world.come(task("submit", sends, ids, missing)))
    assert values(again) | missing == values(again)
    assert "⚠️ Please say why" in said(again)
    assert world.services.did(did) == []
    closed(await world.come(task("submit", sends, sender(again, sends), good, id="submit-2")))
    assert len(world.services.did(did)) == 1


async def test_a_refusal_stays_open_and_says_why(world: World) -> None:
    world.services.plan = plan_view(APPROVE, request=request_view())
    ids = sender(card_in(await world.come(task("fetch", "gh.review", {"c": "c-1"}))), "gh.send_review")
    world.services.raises["vote"] = Denied("who asks cannot approve", rule="prod: four eyes", could=("Bob Brown",))
    refused = card_in(await world.come(task("submit", "gh.send_review", ids, {"choice": "approve"})))
    for words in ("who asks cannot approve", "prod: four eyes", "Bob Brown", '"verb": "gh.why"'):
        assert words in said(refused)
    why = json.loads(said(refused).partition('"verb": "gh.why"')[0].rpartition('"gh": ')[2].rstrip(", "))
    assert "You cannot approve this" in said(card_in(await world.come(task("submit", "gh.why", why, id="submit-2"))))


async def test_a_stale_dialog_shows_how_it_stands_now(world: World) -> None:
    world.services.plan = plan_view(APPROVE, request=request_view())
    ids = sender(card_in(await world.come(task("fetch", "gh.review", {"c": "c-1"}))), "gh.send_review")
    world.services.raises["vote"] = Stale("this card is not the present one")
    now = card_in(await world.come(task("submit", "gh.send_review", ids, {"choice": "approve"})))
    assert "this card is not the present one" in said(now)


async def test_the_same_delivery_is_answered_but_done_once(world: World) -> None:
    world.services.plan = plan_view(APPROVE, request=request_view())
    ids = sender(card_in(await world.come(task("fetch", "gh.review", {"c": "c-1"}))), "gh.send_review")
    sent = task("submit", "gh.send_review", ids, {"choice": "approve"})
    for _ in range(3):
        last = await world.come(sent)
    assert "received already" in closed(last)
    assert len(world.services.did("vote")) == 1


async def test_details_and_why_are_dialogs_to_read(world: World) -> None:
    for number, (verb, value) in enumerate((("gh.details", {"c": "c-1"}), ("gh.why", {"s": "req-1"}))):
        card = card_in(await world.come(task("fetch", verb, value, id=f"f{number}")))
        assert card.get("actions", []) == []  # Teams' own cross closes it


async def test_a_fault_is_told_in_the_dialog_without_its_words(world: World) -> None:
    world.services.raises["cause"] = RuntimeError("password=hunter2")
    card = card_in(await world.come(task("fetch", "gh.details", {"c": "c-1"})))
    assert "Something went wrong on our side" in said(card)
    assert "hunter2" not in said(card)


async def test_work_that_takes_longer_ends_in_the_chat(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = asyncio.Event()
    look = world.services.look

    async def slow(*given: Any) -> Any:
        await gate.wait()
        return await look(*given)

    world.services.look = slow  # type: ignore[assignment,method-assign]
    world.desk._patience = 0.05
    assert "I tell you in our chat" in closed(await world.come(task("fetch", "gh.review", {"c": "c-1"})))
    gate.set()
    await world.desk.drain()
    sent = [body for _, _, body, _ in world.connector.asked if body and body.get("attachments")]
    assert "Block public access" in said(sent[-1])


@pytest.mark.parametrize("value", [None, {}, {"data": None}, {"data": "x"}, {"data": {"gh": 7, "verb": ["gh.review"]}}])
async def test_a_broken_invoke_breaks_nothing(world: World, value: Any) -> None:
    for kind in ("fetch", "submit"):
        card_in(await world.come(task(kind, "", {}, id=f"{kind}-{value}") | {"value": value}))
    assert world.services.calls == []


async def test_own_card_opens_dialogs_where_the_client_has_them_and_works_in_place_where_not(world: World) -> None:
    world.services.plan = plan_view(APPROVE, REJECT, request=request_view())
    for entities, kind in (
        (WEB, "Action.Submit"),
        ([], "Action.Execute"),
        ([{"type": "clientInfo"}], "Action.Execute"),
    ):
        shown = await world.press("gh.actions", {"c": "c-1"}, id=f"inv-{kind}-{len(entities)}", entities=entities)
        buttons = [
            each
            for part in shown["value"]["body"] if part["type"] == "ActionSet"
            for each in part["actions"]
            if each["type"] != "Action.OpenUrl"
        ]  # fmt: skip
        verbs = {(each.get("verb") or each["data"]["verb"]): each["type"] for each in buttons}
        assert {"gh.not_mine", "gh.snooze", "gh.details"} <= set(verbs)
        assert {verbs[verb] for verb in verbs if verb in DIALOGS} == {kind}
        for each in buttons:
            assert (each["data"].get("msteams") == {"type": "task/fetch"}) == (each["type"] == "Action.Submit")


def test_of_a_dialog_only_ids_and_answers_are_read_and_kept() -> None:
    what = task("submit", "gh.send_review", {"p": "plan-1"}, {"choice": "approve", "reason": " so \n"})
    pressed = pressed_of(what)
    assert (pressed.verb, pressed.given, pressed.automatic) == (
        "send_review",
        {"choice": "approve", "reason": "so"},
        False,
    )
    what["value"]["trigger"] = "automatic"
    assert pressed_of(what).automatic is False
    kept = json.loads(journal_of(what, origin_of(what)))
    assert (kept["verb"], kept["answers"]) == ("send_review", {"choice": "approve", "reason": "so"})
    # The verb of a press is where a press has it: data cannot give itself another.
    forged = press("gh.details", {"c": "c-1"}, given={"verb": "gh.send_review"})
    assert pressed_of(forged).verb == "details"
