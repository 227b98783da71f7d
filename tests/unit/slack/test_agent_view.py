"""The agent view: prompts where a conversation begins, and about the card that somebody is looking at."""

from __future__ import annotations

from typing import Any

import pytest

from bot.domain.answers import START
from bot.domain.findings import Severity
from bot.reports.answers import ABOUT_IT

from .fakes import ALICE, CHANNEL, TEAM, World
from .test_asking import DM, card_at, say, seed, streamed, team_world

__all__ = ["team_world"]


def offered(world: World) -> list[dict[str, Any]]:
    return world.slack.named("assistant.threads.setSuggestedPrompts")


def texts(given: dict[str, Any]) -> tuple[str, ...]:
    return tuple(prompt["message"] for prompt in given["prompts"])


async def look(world: World, *entities: dict[str, Any], **more: Any) -> None:
    """The person moved to something else while the app was visible."""
    context = {"entities": list(entities)} if entities else {}
    event = {"type": "app_context_changed", "user": ALICE, "channel": DM, "context": context, "event_ts": "1.1"}
    assert await world.event(event | more) == 200


def message(ts: str, channel: str = CHANNEL) -> dict[str, Any]:
    return {"type": "slack#/types/message_context", "value": {"channel_id": channel, "message_ts": ts}}


def channel(name: str = CHANNEL) -> dict[str, Any]:
    return {"type": "slack#/types/channel_id", "value": name, "team_id": TEAM}


async def test_an_assistant_thread_begins_with_prompts_in_it(world: World) -> None:
    thread = {"user_id": ALICE, "context": {"channel_id": CHANNEL}, "channel_id": DM, "thread_ts": "1729.1"}
    await world.event({"type": "assistant_thread_started", "assistant_thread": thread, "event_ts": "1.1"})
    (given,) = offered(world)
    assert (given["channel_id"], given["thread_ts"], texts(given)) == (DM, "1729.1", START)


@pytest.mark.parametrize("thread", [None, "x", {}, {"channel_id": None}])
async def test_an_odd_thread_offers_nothing(world: World, thread: Any) -> None:
    assert await world.event({"type": "assistant_thread_started", "assistant_thread": thread}) == 200
    assert offered(world) == []


async def test_looking_at_a_card_offers_questions_about_it_and_they_are_about_it(world: World) -> None:
    seed(world, Severity.CRITICAL)
    card_at(world, CHANNEL, "1790.1")
    await look(world, message("1790.1"), channel())
    (given,) = offered(world)
    assert (given["channel_id"], texts(given)) == (DM, ABOUT_IT)
    assert "thread_ts" not in given
    await say(world, ABOUT_IT[0])
    assert "Anyone can read it" in streamed(world)[0]


@pytest.mark.parametrize("question", ABOUT_IT)
async def test_every_question_offered_can_be_answered(world: World, question: str) -> None:
    seed(world, Severity.CRITICAL)
    card_at(world, CHANNEL, "1790.1")
    await look(world, message("1790.1"))
    await say(world, question)
    assert "Which one?" not in streamed(world)[0]


async def test_the_usual_prompts_come_back_once(world: World) -> None:
    seed(world, Severity.CRITICAL)
    card_at(world, CHANNEL, "1790.1")
    await look(world, channel())
    assert offered(world) == []  # as they were
    await look(world, message("1790.1"))
    await look(world, message("1790.1"), channel())
    await look(world, channel("C0OTHER"))
    await look(world)
    assert [texts(given) for given in offered(world)] == [ABOUT_IT, START]


async def test_what_one_may_not_see_is_not_offered(team_world: World) -> None:
    seed(team_world, Severity.CRITICAL, owner="web", team="web")
    card_at(team_world, CHANNEL, "1790.1")
    await look(team_world, message("1790.1"))
    assert offered(team_world) == []
    await say(team_world, ABOUT_IT[0])
    assert "Which one?" in streamed(team_world)[0]


async def test_without_a_user_it_is_the_person_it_was_delivered_for(world: World) -> None:
    seed(world, Severity.CRITICAL)
    card_at(world, CHANNEL, "1790.1")
    event = {"type": "app_context_changed", "context": {"entities": [message("1790.1")]}}
    people = [{"team_id": TEAM, "user_id": ALICE, "is_bot": False}]
    assert await world.event(event, authorizations=people) == 200
    (given,) = offered(world)
    assert (given["channel_id"], texts(given)) == (f"D{ALICE}", ABOUT_IT)


@pytest.mark.parametrize(
    "entity",
    ["x", None, {"type": "slack#/types/message_context", "value": "1790.1"}, {"type": 7}, message("", "")],
)
async def test_odd_entities_change_nothing(world: World, entity: Any) -> None:
    await look(world, entity)
    assert offered(world) == []
