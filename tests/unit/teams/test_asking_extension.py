""" "Ask about this" and the search of findings, by the invokes of a message extension."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from bot.domain.errors import BadInput
from bot.domain.findings import Severity, Status
from bot.domain.triage import Priority
from bot.domain.views import FindingLine, FindingsView
from bot.store import teams as store
from bot.store.posts import POSTS
from cards.lint_adaptive import problems
from handlers.teams.extension import ABOUT, FIND, cause_in, text_of
from handlers.teams.package import manifest
from tests.unit.cards.test_adaptive import HOSTILE, schema_problems
from tests.unit.slack.test_asking import seed

from .kit import World, recorded
from .streams import Teams
from .test_asking import COUNT, ours
from .test_package import GOOD
from .test_wire import NOW
from .world import ALICE, APP, CHANNEL, TENANT, activity

OTHER = "19:somewhere@thread.v2"


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with recorded(tmp_path, Teams()) as made:
        yield ours(made)


def invoke(name: str, value: dict[str, Any], number: str, place: str = CHANNEL) -> dict[str, Any]:
    where = {"isGroup": True, "conversationType": "channel", "id": place, "tenantId": TENANT}
    data = {"tenant": {"id": TENANT}, "channel": {"id": place}, "source": {"name": "message"}}
    return activity("invoke", name=f"composeExtension/{name}", id=number, value=value, conversation=where,
                    channelData=data)  # fmt: skip


def message(content: str = "<div>look at <b>this</b></div>", **more: Any) -> dict[str, Any]:
    base = {"id": "70", "body": {"contentType": "html", "content": content}, "attachments": [],
            "from": {"user": {"id": ALICE, "displayName": "Alice", "userIdentityType": "aadUser"}}}  # fmt: skip
    return {"commandId": ABOUT, "commandContext": "message", "messagePayload": base | more}


def sent(dialog: dict[str, Any], given: dict[str, Any], verb: str = "") -> dict[str, Any]:
    """What the dialog's button sends, with what was typed."""
    content = dialog["task"]["value"]["card"]["content"]
    actions = [*content.get("actions", ()), *(a for e in content["body"] for a in e.get("actions", ()))]
    (action,) = [a for a in actions if not verb or a["data"]["verb"] == verb]
    assert action["type"] == "Action.Submit"
    return {"commandId": ABOUT, "commandContext": "message", "data": action["data"] | given}


def card(dialog: dict[str, Any]) -> dict[str, Any]:
    assert dialog["task"]["type"] == "continue"
    made = dialog["task"]["value"]["card"]["content"]
    assert problems(made) == schema_problems(made) == []
    assert "Action.Execute" not in json.dumps(made)  # a dialog sends by submit alone
    return made  # type: ignore[no-any-return]


def posted(world: World, name: str = "70") -> None:
    row = {"id": "post-1", "kind": "cause", "subject": "c-1", "platform": "teams", "channel": CHANNEL,
           "message_id": name, "shown_revision": 1, "posted_at": NOW, "updated_at": NOW}  # fmt: skip
    world.db.write_sync(lambda conn: conn.execute(POSTS.insert(), [row]))


async def test_a_question_about_a_card_is_answered_in_the_dialog(world: World) -> None:
    seed(world, Severity.CRITICAL)  # type: ignore[arg-type]
    posted(world)
    asked = await world.come(invoke("fetchTask", message(), "1"))
    assert "Your question" in json.dumps(card(asked))
    answer = await world.come(invoke("submitAction", sent(asked, {"question": "why?"}, "gh.ask_about"), "2"))
    assert "It is P1" in json.dumps(card(answer))
    assert "You asked: " in json.dumps(card(answer))
    assert world.clicks() == [("shortcut.ask_about", "done"), ("submit.ask_about", "done")]
    assert world.connector.asked == []  # nobody else saw anything, and nothing was sent


async def test_the_answer_s_buttons_work_in_the_dialog(world: World) -> None:
    seed(world, Severity.CRITICAL)  # type: ignore[arg-type]
    asked = await world.come(invoke("fetchTask", message(), "1"))
    answer = await world.come(invoke("submitAction", sent(asked, {"question": COUNT}, "gh.ask_about"), "2"))
    assert "1 finding" in json.dumps(card(answer))
    checked = await world.come(invoke("submitAction", sent(answer, {}, "gh.ask_check"), "3"))
    assert "the answer is the same" in json.dumps(card(checked))
    again = await world.come(invoke("submitAction", sent(answer, {}, "gh.ask_check"), "3"))
    assert again["task"]["type"] == "message"


async def test_a_reply_under_a_card_and_an_answer_s_button_and_an_id_in_the_text_name_the_cause(world: World) -> None:
    posted(world)
    button = json.dumps(
        {"type": "Action.Execute", "verb": "gh.details", "data": {"gh": json.dumps({"c": "c-0000007"})}}
    )
    bots = {"application": {"id": APP, "displayName": "Gatehouse"}}
    ours_ = message(id="9", attachments=[{"contentType": "application/vnd.microsoft.card.adaptive", "content": button}])
    ours_["messagePayload"]["from"] = bots
    for value, cause in (
        (message(id="71", replyToId="70"), "c-1"),
        (ours_, "c-0000007"),
        (message("<p>see&nbsp;c-0000009 please</p>", id="9"), "c-0000009"),
    ):
        world.services.calls.clear()
        await world.come(invoke("fetchTask", value, f"n{cause}"))
        assert world.services.did("cause") == [("cause", cause)]


async def test_not_even_the_title_of_another_team_s_cause_is_told(tmp_path: Path) -> None:
    async with recorded(tmp_path, Teams(), ask={"visibility": "team"}) as world:
        ours(world).services.team = "web"
        seed(world, Severity.CRITICAL)  # type: ignore[arg-type]
        posted(world)
        asked = await world.come(invoke("fetchTask", message(), "1"))
        assert "no card of Gatehouse" in json.dumps(card(asked))
        assert "Public bucket" not in json.dumps(card(asked))
        world.services.team = "payments"
        asked = await world.come(invoke("fetchTask", message(), "2"))
        assert "Public bucket" in json.dumps(card(asked))


async def test_a_message_about_nothing_of_ours_takes_any_question(world: World) -> None:
    asked = await world.come(invoke("fetchTask", message(), "1"))
    assert "no card of Gatehouse" in json.dumps(card(asked))
    empty = await world.come(invoke("submitAction", sent(asked, {"question": " "}, "gh.ask_about"), "2"))
    assert "write your question" in json.dumps(card(empty))


@pytest.mark.parametrize("payload", [None, [], {"attachments": [1, {"content": 5}], "from": {"application": 1}},
                                     {"id": {}, "body": [], "attachments": {"a": 1}}])  # fmt: skip
async def test_a_malformed_message_is_one_about_nothing(world: World, payload: Any) -> None:
    asked = await world.come(invoke("fetchTask", {"messagePayload": payload}, "1"))
    assert "no card of Gatehouse" in json.dumps(card(asked))


def test_a_person_s_message_cannot_pretend_to_be_a_card() -> None:
    forged = {"from": {"user": {"id": ALICE}}, "attachments": [{"content": '{"gh":"{\\"c\\":\\"c-0000001\\"}"}'}]}
    assert cause_in(forged) == ""
    assert cause_in(forged | {"from": {"application": {"id": "x"}}}) == "c-0000001"
    assert text_of({"body": {"content": "<at>x</at> a &lt;b&gt;"}}).split() == ["x", "a", "<b>"]


async def test_a_guest_gets_neither_dialog_nor_findings(world: World) -> None:
    world.services.guest = True
    asked = await world.come(invoke("fetchTask", message(), "1"))
    assert "guest" in json.dumps(card(asked)).lower()
    found = await world.come(invoke("query", {"commandId": FIND, "parameters": []}, "2"))
    assert found["composeExtension"]["type"] == "message"
    assert "guest" in found["composeExtension"]["text"].lower()


async def test_where_it_is_used_from_is_no_place_to_post_to(world: World) -> None:
    await world.come(invoke("fetchTask", message(), "1", OTHER))
    one = {"conversationType": "personal", "id": "19:alice_bob@unq.gbl.spaces"}
    await world.come(invoke("fetchTask", message(), "2") | {"conversation": one})
    assert world.db.read_sync(store.conversation, TENANT, OTHER) is None
    assert world.db.read_sync(store.personal, TENANT, ALICE) is None


# --- the search ------------------------------------------------------------------------------------------------------


def line(title: str = "Bucket is public", **more: Any) -> FindingLine:
    base: dict[str, Any] = {
        "id": "f-1", "title": title, "severity": Severity.CRITICAL, "priority": Priority.P1, "status": Status.OPEN,
        "resource": "arn:aws:s3:::b1", "where": "acme-prod, prod", "owner": "Payments", "cause_id": "c-1",
        "due": NOW + timedelta(days=2),
    }  # fmt: skip
    return FindingLine(**(base | more))


def search(words: str, number: str = "1", **more: Any) -> dict[str, Any]:
    given = [{"name": "words", "value": words}]
    return invoke(
        "query", {"commandId": FIND, "parameters": given, "queryOptions": {"skip": 0, "count": 25}} | more, number
    )


def finds(world: World, *lines: FindingLine) -> list[tuple[Any, ...]]:
    asked: list[tuple[Any, ...]] = []

    def parse(words: str) -> str:
        if words == "invoices":
            raise BadInput("I do not know “invoices”.")
        return words

    async def findings(filters: Any, limit: int = 20, offset: int = 0, person: Any = None) -> FindingsView:
        asked.append((filters, limit, offset))
        return FindingsView(lines=lines, total=len(lines))

    world.services.parse_filters, world.services.findings = parse, findings  # type: ignore[method-assign, assignment]
    return asked


@pytest.mark.parametrize("title", ["Bucket is public", *HOSTILE[:6]])
async def test_what_is_found_comes_as_cards_to_send(world: World, title: str) -> None:
    finds(world, line(title), line(id="f-2", cause_id="", due=None, owner=""))
    found = (await world.come(search("critical prod")))["composeExtension"]
    assert (found["type"], len(found["attachments"])) == ("result", 2)
    for each in found["attachments"]:
        assert problems(each["content"]) == schema_problems(each["content"]) == []
        assert "<" not in json.dumps(each["preview"])
    assert "f-2" in json.dumps(found["attachments"][1])


async def test_words_that_are_no_filter_are_looked_for_and_pages_are_turned(world: World) -> None:
    asked = finds(world, line())
    await world.come(search("invoices", queryOptions={"skip": 25, "count": 500}))
    await world.come(search("prod", "2", queryOptions={"skip": -1, "count": "x"}))
    assert asked == [('"invoices"', 25, 25), ("prod", 25, 0)]
    assert world.clicks() == []  # reading is no click


async def test_nothing_found_is_said(world: World) -> None:
    finds(world)
    assert (await world.come(search("x")))["composeExtension"] == {"type": "message", "text": "Nothing matches."}


def test_the_manifest_offers_both() -> None:
    (extension,) = manifest(APP, "0.1.0", **GOOD).model_dump(mode="json")["composeExtensions"]
    about, find = extension["commands"]
    assert (about["id"], about["context"], about["fetchTask"]) == (ABOUT, ["message"], True)
    assert (find["id"], find["type"], find["parameters"][0]["name"]) == (FIND, "query", "words")
