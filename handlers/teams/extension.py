"""The message extension: "Ask about this" on any message, and the search of findings from where people write.

A dialog is for this person alone, so what is asked there is answered there, with the asker's own rights. Neither needs
the app to be in the conversation, so nothing is kept of where it was used.
"""

from __future__ import annotations

import asyncio
import html
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bot.domain.errors import BadInput, GatehouseError
from bot.domain.principals import Actor
from bot.reports.about import named_in
from bot.reports.answers import Place
from cards import adaptive, build, found
from cards.adaptive import KEY
from cards.model import Button
from cards.words import ids as ids_text
from handlers.common.forms import as_notice
from handlers.common.ids import ids_of, text_id

from .payloads import Origin, pressed_of
from .replies import Given, Ids, Reply

if TYPE_CHECKING:
    from .desk import TeamsDesk

Json = dict[str, Any]

ABOUT, FIND = "askAbout", "find"
TITLE = "Ask about this"
MOST, SOON = 25, 4.0  # results of a search; seconds, as Teams waits five
_LONGEST = 200_000  # characters of a message that are looked at
_TAG = re.compile(r"<[^>]{0,1000}>")
_BUTTON = re.compile(rf'"{KEY}"\s*:\s*"((?:[^"\\]|\\.){{0,2000}})"')


# --- "Ask about this" ------------------------------------------------------------------------------------------------


async def fetch(desk: TeamsDesk, origin: Origin, activity: Mapping[str, Any]) -> Json:
    """The dialog that asks for the question. It only reads."""
    message = _fields(_fields(activity.get("value")).get("messagePayload"))
    await desk.received(origin, activity, "shortcut.ask_about")

    async def work() -> Reply:
        service, actor = desk.engine.answers, await desk.actor(origin)
        service.require(actor)
        cause = await _cause(desk, origin, actor, message)
        cause = cause if cause and await service.sees(cause, actor) else ""
        title = (await desk.engine.board.cause(cause)).title if cause else ""
        return Reply(build.about_card(title), Button("gh.ask_about", "Ask", ids_text(c=cause), "primary"))

    return _dialog(await desk.run(work, {}, origin.click))


async def submit(desk: TeamsDesk, origin: Origin, activity: Mapping[str, Any]) -> Json:
    """What was sent from the dialog: the question, or a button under its answer."""
    sent = {**activity, "name": "task/submit"}
    pressed = pressed_of(sent)
    if not await desk.received(origin, sent, f"submit.{pressed.verb}"):
        return adaptive.task_message("This was received already.")
    ids = ids_of(pressed.value)
    if pressed.verb == "ask_about":

        async def work() -> Reply:
            return await about(desk, origin, ids, pressed.given)

        doing = desk.run(work, ids, origin.click)
    else:
        doing = desk.answer(origin, pressed.verb, ids, pressed.given, origin.click)
    reply = await desk.in_time(origin, doing)
    return _dialog(reply) if reply else adaptive.task_message("This takes a little longer; I tell you in our chat.")


async def about(desk: TeamsDesk, origin: Origin, ids: Ids, given: Given) -> Reply:
    question = given.get("question", "")
    if not question:
        raise BadInput("Please write your question.")
    place = Place("teams", origin.place, f"@{origin.user}", private=True, cause_id=text_id(ids, "c"))
    view = await desk.engine.answers.answer(question, await desk.actor(origin), place, habits=origin.habits)
    return Reply(build.answer_card(view, private=True, asked=True, charts=True))


def _dialog(reply: Reply) -> Json:
    return adaptive.task(
        reply.card, title=reply.card.title or TITLE, submit=reply.submit, back=reply.back, filled=reply.filled
    )


async def _cause(desk: TeamsDesk, origin: Origin, actor: Actor, message: Mapping[str, Any]) -> str:
    """What a message is about: our card of a cause or its thread, a button of ours on it, an id in its text."""
    for key in ("id", "replyToId"):
        posted = message.get(key)
        if isinstance(posted, str) and posted:
            cause = await desk.engine.answers.subject_of("teams", origin.place, posted)
            if cause:
                return cause
    cause = cause_in(message) or named_in(text_of(message))
    if cause.startswith("f-"):
        found = await desk.engine.sight.named(cause, actor)
        cause = (await desk.engine.board.finding(found)).cause_id
    return cause


def cause_in(message: Mapping[str, Any]) -> str:
    """The cause that the buttons of a bot's message carry."""
    if not _fields(message.get("from")).get("application"):
        return ""
    attachments = message.get("attachments")
    for each in attachments if isinstance(attachments, list) else ():
        content = _fields(each).get("content")
        for value in _BUTTON.findall(content[:_LONGEST]) if isinstance(content, str) else ():
            cause = text_id(ids_of(value.replace('\\"', '"')), "c")
            if cause.startswith("c-"):
                return cause
    return ""


def text_of(message: Mapping[str, Any]) -> str:
    """A message's words without its markup."""
    content = _fields(message.get("body")).get("content")
    return html.unescape(_TAG.sub(" ", content[:_LONGEST])) if isinstance(content, str) else ""


# --- the search ------------------------------------------------------------------------------------------------------


async def query(desk: TeamsDesk, origin: Origin, activity: Mapping[str, Any]) -> Json:
    """Findings, the most urgent first: read as ``findings`` reads what is typed, else looked for as text."""
    value = _fields(activity.get("value"))
    given = value.get("parameters")
    words = ""
    for each in given if isinstance(given, list) else ():
        if _fields(each).get("name") == "words" and isinstance(_fields(each).get("value"), str):
            words = " ".join(each["value"].split())[:200]
    options = _fields(value.get("queryOptions"))
    skip, most = _number(options.get("skip"), 0, 10_000), _number(options.get("count"), MOST, MOST)
    try:
        return await asyncio.wait_for(_search(desk, origin, words, skip, most or MOST), SOON)
    except GatehouseError as error:
        said = as_notice(error)
        return _told(f"{said.said} {said.mend}".strip())
    except TimeoutError:
        return _told("The search took too long. Try it again, or with other words.")


async def _search(desk: TeamsDesk, origin: Origin, words: str, skip: int, most: int) -> Json:
    actor, board = await desk.actor(origin), desk.engine.board
    desk.engine.answers.require(actor)
    try:
        filters = board.parse_filters(words)
    except BadInput:
        filters = board.parse_filters('"{}"'.format(words.replace('"', " ")))
    view = await board.findings(filters, limit=most, offset=skip, person=actor)
    if not view.lines:
        return _told("Nothing matches." if not skip else "There is no more.")
    made = []
    for line in view.lines:
        shown = adaptive.attachment(adaptive.content(found.found_card(line)))
        title, text = (html.escape(adaptive.markdown(each, 200)) for each in (line.title, found.found_line(line)))
        preview = {"contentType": "application/vnd.microsoft.card.thumbnail", "content": {"title": title, "text": text}}
        made.append(shown | {"preview": preview})
    return {"composeExtension": {"type": "result", "attachmentLayout": "list", "attachments": made}}


def _told(said: str) -> Json:
    return {"composeExtension": {"type": "message", "text": said}}


def _number(value: Any, missing: int, most: int) -> int:
    return min(max(value, 0), most) if isinstance(value, int) and not isinstance(value, bool) else missing


def _fields(thing: Any) -> Mapping[str, Any]:
    return thing if isinstance(thing, Mapping) else {}


INVOKES = {
    "composeExtension/fetchTask": fetch,
    "composeExtension/submitAction": submit,
    "composeExtension/query": query,
}
