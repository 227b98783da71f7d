"""From the channel's card to the decision, over the real engine: own card, dialog, vote, and every post after it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bot.domain.views import Stage
from bot.store import outbox
from bot.store import teams as store
from handlers.teams.payloads import origin_of

from .lamps import SECOND, Channel, World, channel_of, member_of, new_file, text, user_of, verbs
from .strict import Place
from .world import APP, CHANNEL, TENANT, press

WEB = [{"type": "clientInfo", "platform": "iOS", "locale": "en-US"}]


@pytest.fixture
def world(lamps_folder: Path) -> World:
    return World(new_file(lamps_folder))


def action(card: dict[str, Any], verb: str) -> dict[str, Any]:
    sets = [*(part["actions"] for part in card["body"] if part["type"] == "ActionSet"), card.get("actions", [])]
    found = [each for actions in sets for each in actions if verb in {each.get("verb"), each["data"].get("verb")}]
    assert found, (verb, verbs(card))
    return found[0]  # type: ignore[no-any-return]


async def task(channel: Channel, person: str, pressed: dict[str, Any], kind: str, **given: str) -> dict[str, Any]:
    """A button that opens a dialog, or one in it."""
    channel.number += 1
    what = press("", {}, user_of(person)) | {
        "name": f"task/{kind}", "id": f"task-{channel.number}", "serviceUrl": channel.url, "entities": WEB,
        "from": {"id": member_of(person), "aadObjectId": user_of(person), "name": "somebody"},
        "value": {"data": pressed["data"] | given, "context": {"theme": "dark"}},
    }  # fmt: skip
    origin = origin_of(what)
    await channel.desk.seen(origin, what)
    return await channel.desk.invoked(origin, what)


async def test_from_the_channel_s_card_by_one_s_own_and_a_dialog_to_the_decision_on_all_posts(world: World) -> None:
    world.govern(rules=[{"match": {}, "name": "typed", "typed_confirmation": True}])
    async with channel_of(world, "olga", "ann", "nick") as channel:
        await world.asked("olga")
        await channel.show(CHANNEL, SECOND)
        own = (await channel.refresh(channel.card(), "ann", entities=WEB))["value"]
        review = action(own, "gh.review")
        assert (review["type"], review["data"]["msteams"]) == ("Action.Submit", {"type": "task/fetch"})
        opened = (await task(channel, "ann", review, "fetch"))["task"]["value"]["card"]["content"]
        send = action(opened, "gh.send_review")
        again = await task(channel, "ann", send, "submit", choice="approve", reason="dark is fine", confirm="1")
        form = again["task"]["value"]["card"]["content"]
        assert "Please type 2" in text(form)
        assert {each["id"]: each.get("value") for each in form["body"] if "id" in each}["reason"] == "dark is fine"
        send = action(form, "gh.send_review")
        done = await task(channel, "ann", send, "submit", choice="approve", reason="dark is fine", confirm="2")
        assert done["task"]["type"] == "message"
        assert "Approved. The fix starts now" in done["task"]["value"]
        view = await world.engine.board.cause("c-1")
        assert view.stage is Stage.RUNNING
        assert view.request is not None
        assert [(vote.who.id, vote.reason) for vote in view.request.votes] == [("ann", "dark is fine")]
        await channel.deliver()
        for place in (CHANNEL, SECOND):
            assert "dark is fine" in text(channel.card(place))
            assert "refresh" not in channel.card(place)


async def test_who_may_not_is_refused_in_the_dialog_whatever_their_card_said(world: World) -> None:
    async with channel_of(world, "olga", "ann", "nick") as channel:
        await world.asked("olga")
        await channel.show()
        own = (await channel.refresh(channel.card(), "ann", entities=WEB))["value"]
        opened = (await task(channel, "ann", action(own, "gh.review"), "fetch"))["task"]["value"]["card"]["content"]
        stolen = action(opened, "gh.send_review")  # Ann's button, sent by Nick
        refused = await task(channel, "nick", stolen, "submit", choice="approve", reason="mine now")
        assert refused["task"]["type"] == "continue"
        assert "no policy lets Nick Newcomer approve this" in text(refused)
        assert (await world.engine.board.cause("c-1")).request.votes == ()  # type: ignore[union-attr]


async def test_a_card_that_was_answered_by_another_meanwhile_says_so_and_shows_how_it_is(world: World) -> None:
    async with channel_of(world, "olga", "ann", "abe") as channel:
        await world.asked("olga")
        await channel.show()
        sends = []
        for person in ("ann", "abe"):
            own = (await channel.refresh(channel.card(), person, entities=WEB))["value"]
            opened = await task(channel, person, action(own, "gh.review"), "fetch")
            sends.append(action(opened["task"]["value"]["card"]["content"], "gh.send_review"))
        await task(channel, "abe", sends[1], "submit", choice="reject", reason="not today")
        late = await task(channel, "ann", sends[0], "submit", choice="approve", reason="yes")
        assert late["task"]["type"] == "continue"
        assert "already rejected" in text(late)


async def test_in_a_group_chat_as_in_a_channel_and_in_one_s_own_chat_one_s_own_card(world: World) -> None:
    async with channel_of(world, "olga") as channel:
        members = {member_of(person): user_of(person) for person in ("ann", "nick")}
        group, own = Place("19:group@thread.v2", "groupChat", members), Place("a:ann", "personal", members)
        for place in (group, own):
            channel.teams.places[place.id] = place
            kept = store.Conversation(TENANT, place.id, place.kind, channel.url, f"28:{APP}",
                                      user=user_of("ann") if place is own else "")  # fmt: skip
            await world.db.write(store.keep_conversation, kept, world.clock.now())
        request = await world.asked("olga")
        await channel.show(group.id)
        address = f"teams:{user_of('ann')}"
        await world.db.write(
            outbox.enqueue, world.ids, world.clock.now(), address=address, kind="card", subject=world.cause
        )
        await channel.deliver()
        (shared,), (mine,) = channel.teams.cards(group.id), channel.teams.cards(own.id)
        assert shared["refresh"]["userIds"] == [member_of("ann")]
        assert "gh.review" not in verbs(shared)
        assert "gh.review" in verbs(mine)
        assert "approve, reject" in text(mine)
        await world.approvals.cancel(request.id, await world.people.actor(world.who("olga")))
        await channel.deliver()
        assert "gh.snooze" in verbs(channel.teams.cards(own.id)[0])


async def test_what_a_refresh_asks_is_not_more_than_anybody_may_see(world: World) -> None:
    """A forged refresh names another's card or another verb: it gets the forger's own card, or none."""
    async with channel_of(world, "olga", "ann", "nick") as channel:
        request = await world.asked("olga")
        await channel.show()
        card = json.loads(json.dumps(channel.card()))
        card["refresh"]["action"]["verb"] = "gh.send_review"
        card["refresh"]["action"]["data"] |= {"choice": "approve", "user": user_of("ann")}
        forged = (await channel.refresh(card, "nick"))["value"]
        assert forged["refresh"]["userIds"] == [member_of("nick")]
        assert "You cannot approve it" in text(forged)
        assert (await world.engine.board.cause("c-1")).request.votes == ()  # type: ignore[union-attr]
        assert request.id == (await world.engine.board.cause("c-1")).request.id  # type: ignore[union-attr]
