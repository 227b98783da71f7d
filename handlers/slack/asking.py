"""Questions in Slack: direct messages, mentions, /gatehouse ask, "Ask about this", and the buttons under answers.

It never acts: what an answer offers is the same Review fix as everywhere. What only the asker may see goes to nobody
else.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from slack_bolt.async_app import AsyncAck, AsyncApp

from bot.domain.errors import GatehouseError
from bot.domain.principals import Actor
from bot.domain.views import Notice
from bot.reports.answers import Audience, Place
from bot.reports.tables import PAGE
from cards import blockkit, build
from cards.model import Card

from . import agent_view
from .payloads import WORDS, Origin, click_id, ids_of, journal_of, origin_of, team_of, text_id, unescaped
from .poster import open_direct
from .replies import Reply
from .web import call

if TYPE_CHECKING:
    from .desk import Desk

log = logging.getLogger(__name__)
ABOUT, COMMENT = "gh.ask_about", "gh.ask_comment"
EVENT = "ask.event"  # the journal's kind of a question that came as a message
_TO_US = re.compile(r"^\s*(?:<@[UW][A-Z0-9]+(?:\|[^>]*)?>[\s,:]*)+")
_DIGITS = re.compile(r"\d{1,6}")


def register(app: AsyncApp, desk: Desk) -> None:
    app.event("message")(_on_event(desk, "message"))
    app.event("app_mention")(_on_event(desk, "app_mention"))
    app.shortcut(ABOUT)(_on_shortcut(desk))
    agent_view.register(app, desk)


# --- messages and mentions -------------------------------------------------------------------------------------------


def question_of(event: Mapping[str, Any], body: Mapping[str, Any]) -> tuple[Origin, str] | None:
    """Who asks what where; None for what is no new message of a person to us: bots' own, edits, joins, channels."""
    if event.get("subtype") or event.get("bot_id") or event.get("app_id") or event.get("hidden"):
        return None
    if event.get("edited") or not event.get("user") or not event.get("ts") or not event.get("channel"):
        return None
    if event.get("type") == "message" and event.get("channel_type") != "im":
        return None
    text, team = str(event.get("text") or ""), team_of(body)
    for ours in body.get("authorizations") or ():
        if isinstance(ours, dict) and ours.get("is_bot") and ours.get("user_id"):
            text = text.replace(f"<@{ours['user_id']}>", " ")  # also where it is not the first word
    text = unescaped(_TO_US.sub("", text)).strip()
    origin = Origin(
        team=team,
        user=str(event["user"]),
        user_team=str(event.get("user_team") or event.get("source_team") or event.get("team") or team),
        channel=str(event["channel"]),
        thread=str(event.get("thread_ts") or event["ts"]),
    )
    return origin, text


def _on_event(desk: Desk, kind: str) -> Callable[..., Awaitable[None]]:
    async def on_event(ack: AsyncAck, event: dict[str, Any], body: dict[str, Any]) -> None:
        asked = question_of(event, body)
        if asked is None:
            await ack()
            return
        (origin, text), outside = asked, bool(body.get("is_ext_shared_channel"))
        # A message is itself, however often and under whatever event id it is delivered.
        click = f"slack:message:{origin.channel}:{event['ts']}"
        origin = replace(origin, click=click)
        kept = {"type": kind, "event": body.get("event_id"), "team": origin.team, "channel": origin.channel,
                "thread": origin.thread, "text": text[:2000], "outside": outside}  # fmt: skip
        new = await desk.receive(click, EVENT, origin, json.dumps(kept, ensure_ascii=True))
        await ack()
        if new:
            desk.spawn(desk.run(origin, partial(converse, desk, origin, text, outside=outside), click))

    return on_event


async def again(desk: Desk, click: str, kept: Mapping[str, Any], user: str, user_team: str) -> None:
    """A question that a crash left unanswered."""
    origin = Origin(
        team=str(kept.get("team", "")), user=user, user_team=user_team, channel=str(kept.get("channel", "")),
        thread=str(kept.get("thread", "")), click=click,
    )  # fmt: skip
    outside = bool(kept.get("outside"))
    await desk.run(origin, partial(converse, desk, origin, str(kept.get("text", "")), outside=outside), click)


async def converse(
    desk: Desk, origin: Origin, question: str, *, asked: bool = False, outside: bool = False
) -> Notice | None:
    """Answer in the thread; where not everybody there may see it, directly, and say so."""
    service, actor = desk.engine.answers, await desk.actor(origin)
    service.require(actor)
    direct = _direct(origin)
    cause = await service.subject_of("slack", origin.channel, origin.thread)
    place = Place(
        "slack", origin.channel, origin.thread, private=direct, outside=outside, direct=direct, cause_id=cause
    )
    to = service.audience(actor, place)
    if to.here and not direct and (why := await desk.roster.strangers(origin.channel, origin.team)):
        to = replace(service.audience(actor, replace(place, private=True)), here=False, note=why)
    if to.here:
        await _answer(desk, origin, question, actor, place, to, asked=asked)
        return None
    channel = await open_direct(desk.client, origin.user)
    aside = replace(origin, channel=channel, thread="")
    await _answer(
        desk, aside, question, actor, replace(place, channel=channel, thread="", private=True, direct=True), to,
        asked=True,
    )  # fmt: skip
    return Notice(ok=True, said=f"I answered you directly. {to.note}")


async def _answer(
    desk: Desk, origin: Origin, question: str, actor: Actor, place: Place, to: Audience, *, asked: bool
) -> None:
    reply = Reply(desk, origin)
    await reply.begin()
    try:
        habits = await desk.habits.of(origin.user)
        view = await desk.engine.answers.answer(question, actor, place, to, habits)
    except GatehouseError as error:
        from .desk import as_notice

        await reply.give_up(build.notice_card(as_notice(error)))
        return
    except Exception:
        said = Notice(ok=False, said="Something went wrong on our side.", mend="Ask again, or tell the operators.")
        await reply.give_up(build.notice_card(said))
        raise
    await reply.say(view, asked=asked)


def _direct(origin: Origin) -> bool:
    return origin.channel.startswith("D")


# --- privately -------------------------------------------------------------------------------------------------------


async def command(desk: Desk, origin: Origin, rest: str) -> Notice | None:
    """/gatehouse ask QUESTION: only the asker sees the answer."""
    return await ask_privately(desk, origin, rest)


async def ask_privately(
    desk: Desk, origin: Origin, question: str, cause: str = "", *, asked: bool = True
) -> Notice | None:
    """A conversation of its own for each person and channel."""
    actor = await desk.actor(origin)
    place = Place("slack", origin.channel, f"@{origin.user}", private=True, cause_id=cause)
    view = await desk.engine.answers.answer(question, actor, place, habits=await desk.habits.of(origin.user))
    await desk.show(origin, build.answer_card(view, private=True, asked=asked))
    return None


async def _privately(desk: Desk, origin: Origin, card: Card) -> None:
    """To one person: in a direct conversation in its thread, else only for this person, on the home page directly."""
    if not _direct(origin):
        await desk.show(origin, card)
        return
    message = blockkit.message(card)
    thread = origin.thread or None
    await call(desk.client.chat_postMessage(channel=origin.channel, thread_ts=thread, unfurl_links=False, **message),
               creates=True)  # fmt: skip


# --- buttons ---------------------------------------------------------------------------------------------------------


async def prompt(desk: Desk, origin: Origin, ids: Mapping[str, Any]) -> Notice | None:
    """A suggested question was pressed: it is asked where it stood."""
    question = text_id(ids, WORDS)
    if text_id(ids, "p"):
        return await ask_privately(desk, origin, question)
    if not origin.channel:  # the home page
        origin = replace(origin, channel=await open_direct(desk.client, origin.user), thread="")
    return await converse(desk, origin, question, asked=True)


async def check(desk: Desk, origin: Origin, ids: Mapping[str, Any]) -> Notice | None:
    actor, habits = await desk.actor(origin), await desk.habits.of(origin.user)
    view = await desk.engine.answers.check(text_id(ids, "a"), actor, habits)
    await _privately(desk, origin, build.check_card(view))
    return None


async def more(desk: Desk, origin: Origin, ids: Mapping[str, Any]) -> Notice | None:
    """The next rows, under the answer."""
    await _privately(desk, origin, await _page(desk, origin, ids))
    return None


async def page(desk: Desk, origin: Origin, ids: Mapping[str, Any]) -> Notice | None:
    """A private page turned in place."""
    card = await _page(desk, origin, ids)
    if _direct(origin):
        await _privately(desk, origin, card)
    else:
        await desk.turn(origin, card)
    return None


async def _page(desk: Desk, origin: Origin, ids: Mapping[str, Any]) -> Card:
    offset = text_id(ids, "o")
    start = int(offset) if _DIGITS.fullmatch(offset) and offset.isascii() else 0
    actor, habits = await desk.actor(origin), await desk.habits.of(origin.user)
    view = await desk.engine.answers.recomputed(text_id(ids, "a"), actor, start, habits)
    return build.page_card(view, PAGE)


async def feedback(desk: Desk, origin: Origin, ids: Mapping[str, Any]) -> Notice | None:
    """Kept at once; after a thumb down a dialog asks what was wrong."""
    answer, verdict = text_id(ids, "a"), text_id(ids, "d")
    await desk.engine.answers.judge(answer, await desk.actor(origin), verdict)
    if verdict != "down":
        await desk.show(origin, build.thanks_card())
        return None

    async def make() -> dict[str, Any]:
        return blockkit.modal(
            build.comment_card(), callback_id=COMMENT, private_metadata=_ids(a=answer, ch=origin.channel),
            submit="Send", title="What was wrong?",
        )  # fmt: skip

    return await desk.open_dialog(origin, "What was wrong?", "Your verdict is kept", make)


async def submit_comment(desk: Desk, origin: Origin, ids: Mapping[str, Any], given: Mapping[str, str]) -> Notice:
    comment = given.get("comment", "")
    await desk.engine.answers.judge(text_id(ids, "a"), await desk.actor(origin), "down", comment)
    return Notice(ok=True, said="Thank you, that is kept.")


# --- "Ask about this" ------------------------------------------------------------------------------------------------


def _on_shortcut(desk: Desk) -> Callable[..., Awaitable[None]]:
    async def on_shortcut(ack: AsyncAck, body: dict[str, Any]) -> None:
        click = click_id(body)
        origin = replace(origin_of(body), click=click)
        new = await desk.receive(click, "shortcut.ask_about", origin, journal_of(body))
        await ack()
        if new:
            message = body.get("message")
            work = partial(_open_about, desk, origin, message if isinstance(message, dict) else {})
            desk.spawn(desk.run(origin, work, click))

    return on_shortcut


async def _open_about(desk: Desk, origin: Origin, message: Mapping[str, Any]) -> Notice | None:
    async def make() -> dict[str, Any]:
        service = desk.engine.answers
        actor = await desk.actor(origin)
        service.require(actor)
        ts = str(message.get("ts") or "")
        cause = await service.subject_of("slack", origin.channel, ts) or cause_in(message)
        cause = cause if cause and await service.sees(cause, actor) else ""
        title = (await desk.engine.board.cause(cause)).title if cause else ""
        thread = str(message.get("thread_ts") or "")
        return blockkit.modal(
            build.about_card(title), callback_id=ABOUT, private_metadata=_ids(c=cause, ch=origin.channel, t=thread),
            submit="Ask", close="Cancel", title="Ask about this",
        )  # fmt: skip

    return await desk.open_dialog(origin, "Ask about this", "Looking at the message", make)


def cause_in(message: Mapping[str, Any]) -> str:
    """The cause that a message's buttons are about: of an answer or a notice, which are no cards of a cause."""
    if not (message.get("bot_id") or message.get("app_id")):
        return ""
    for block in message.get("blocks") or ():
        for element in (block.get("elements") or ()) if isinstance(block, dict) else ():
            if isinstance(element, dict) and str(element.get("action_id", "")).startswith("gh."):
                cause = text_id(ids_of(element.get("value")), "c")
                if cause.startswith("c-"):
                    return cause
    return ""


async def submit_about(desk: Desk, origin: Origin, ids: Mapping[str, Any], given: Mapping[str, str]) -> Notice | None:
    origin = replace(origin, thread=text_id(ids, "t"))
    return await ask_privately(desk, origin, given.get("question", ""), text_id(ids, "c"))


def check_about(given: Mapping[str, str]) -> dict[str, str]:
    return {} if given.get("question") else {"question": "Please write your question."}


# --- the Messages tab ------------------------------------------------------------------------------------------------


async def welcome(desk: Desk, channel: str) -> None:
    """Suggested prompts of the agent view."""
    await agent_view.offer(desk, channel)


def _ids(**values: str) -> str:
    return json.dumps({key: value for key, value in values.items() if value}, separators=(",", ":"))
