"""The agent view around a conversation: suggested questions, and what a person is looking at beside it.

Events: ``app_home_opened`` with the messages tab and ``app_context_changed`` in the agent view,
``assistant_thread_started`` where the app is still shown as an assistant (docs.slack.dev/reference/events). All are
best effort: they only offer, and what somebody may not see is not offered.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from slack_bolt.async_app import AsyncAck, AsyncApp

from bot.domain.answers import START
from bot.domain.errors import ConnectorError, GatehouseError
from bot.reports.answers import Place

from .payloads import Origin, team_of
from .poster import open_direct
from .web import call

if TYPE_CHECKING:
    from .desk import Desk

log = logging.getLogger(__name__)
_MESSAGE = "slack#/types/message_context"  # {"channel_id", "message_ts"}
_PEOPLE = 5000  # of whom is kept what their prompts are about


def register(app: AsyncApp, desk: Desk) -> None:
    app.event("assistant_thread_started")(_on_started(desk))
    app.event("app_context_changed")(_on_context(desk))


async def offer(desk: Desk, channel: str, questions: Sequence[str] = START, thread: str = "") -> None:
    """Suggested prompts. In the agent view without a thread: with one it shows nothing."""
    if not channel:
        return
    given: dict[str, Any] = {"prompts": [{"title": text, "message": text} for text in questions]}
    if thread:
        given["thread_ts"] = thread
    try:
        await call(desk.client.assistant_threads_setSuggestedPrompts(channel_id=channel, **given))
    except ConnectorError as error:
        log.info("no suggested prompts in %s: %s", channel, error.reason)


def _on_started(desk: Desk) -> Callable[..., Awaitable[None]]:
    async def on_started(ack: AsyncAck, event: dict[str, Any]) -> None:
        await ack()
        thread = event.get("assistant_thread")
        if isinstance(thread, dict):
            desk.spawn(offer(desk, str(thread.get("channel_id") or ""), thread=str(thread.get("thread_ts") or "")))

    return on_started


def messages_in(event: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The messages a person is looking at, the most relevant first: (channel, ts)."""
    context = event.get("context")
    entities = context.get("entities") if isinstance(context, dict) else None
    found = []
    for entity in entities if isinstance(entities, list) else ():
        value = entity.get("value") if isinstance(entity, dict) and entity.get("type") == _MESSAGE else None
        if isinstance(value, dict) and value.get("channel_id") and value.get("message_ts"):
            found.append((str(value["channel_id"]), str(value["message_ts"])))
    return found


def who_in(event: Mapping[str, Any], body: Mapping[str, Any]) -> str:
    """Whose context it is: of the event, else of the person for whom it was delivered."""
    if event.get("user"):
        return str(event["user"])
    people = [a for a in body.get("authorizations") or () if isinstance(a, dict) and not a.get("is_bot")]
    return str(people[0].get("user_id") or "") if people else ""


def _on_context(desk: Desk) -> Callable[..., Awaitable[None]]:
    shown: OrderedDict[str, str] = OrderedDict()  # user -> the cause that the prompts are about, "" for none

    async def on_context(ack: AsyncAck, event: dict[str, Any], body: dict[str, Any]) -> None:
        await ack()
        user = who_in(event, body)
        if user:
            origin = Origin(team=team_of(body), user=user, user_team="", channel=str(event.get("channel") or ""))
            desk.spawn(_looking(desk, origin, messages_in(event), shown))

    return on_context


async def _looking(
    desk: Desk, origin: Origin, messages: Sequence[tuple[str, str]], shown: OrderedDict[str, str]
) -> None:
    """Prompts about the card that is looked at; the usual ones again when it is looked at no more."""
    service, cause = desk.engine.answers, ""
    questions: Sequence[str] = START
    for channel, ts in messages[:5]:
        if cause := await service.subject_of("slack", channel, ts):
            break
    if shown.get(origin.user, "") == cause:
        return
    try:
        direct = origin.channel if origin.channel.startswith("D") else await open_direct(desk.client, origin.user)
        if cause:
            place = Place("slack", direct, private=True, direct=True)
            questions = await service.looking_at(cause, await desk.actor(origin), place)
    except GatehouseError as error:
        log.info("nothing to offer about what %s looks at: %s", origin.user, error.reason)
        cause, questions = "", START
        if not shown.get(origin.user):
            return
    shown[origin.user] = cause
    shown.move_to_end(origin.user)
    while len(shown) > _PEOPLE:
        shown.popitem(last=False)
    await offer(desk, direct, questions)
