"""Questions in Teams: typed in the 1:1 chat or with a mention, and the buttons under answers. It never acts.

An answer is said where it was asked if everybody there may see it (``Answers.audience``, and who is there now), else to
the asker alone, computed with the asker's rights.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from bot.domain.answers import AnswerView
from bot.domain.errors import BadInput
from bot.domain.principals import Actor, PlatformIdentity
from bot.reports.answers import Audience, Place
from bot.reports.tables import PAGE
from bot.store import teams as store
from cards import build
from cards.model import Button
from cards.words import ids as ids_text
from handlers.common.ids import WORDS, text_id

from .payloads import Origin
from .replies import Given, Ids, Reply
from .roster import strangers

if TYPE_CHECKING:
    from .desk import TeamsDesk

_DIGITS = re.compile(r"[0-9]{1,6}")
_FEEDBACK = 20_000  # characters of JSON


async def question(desk: TeamsDesk, origin: Origin, text: str) -> Reply:
    """Answer it. Asked in the thread of a card, "it" is that card's cause; a thread goes on as a conversation."""
    if not text:
        raise BadInput("Ask what?", mend="For example: how many criticals are open in prod?")
    service, actor = desk.engine.answers, await desk.actor(origin)
    service.require(actor)
    place, to = await _place(desk, origin, actor)
    view = await service.answer(text, actor, place, to, origin.habits)
    away = origin.kind != "personal" and not to.here
    return answered(view, asked=away, here=to.here, note=to.note if away else "")


async def again(desk: TeamsDesk, who: PlatformIdentity, kept: Mapping[str, Any], click: str) -> bool:
    """A question that a crash left unanswered; False where it is not known any more how to answer there."""
    conversation, kind = str(kept.get("conversation", "")), str(kept.get("kind", ""))
    base = conversation.partition(";messageid=")[0]
    place = await desk.engine.db.read(store.conversation, who.tenant, base)
    if place is None or not place.installed:
        return False
    origin = Origin(
        who.tenant, who.user, "", conversation, kind, place.service_url, place.bot, team=place.team,
        channel=base if kind == "channel" else "", click=click, zone=str(kept.get("zone", "")),
        locale=str(kept.get("locale", "")),
    )  # fmt: skip
    text = re.sub(r"^ask\s+", "", str(kept.get("text", "")), flags=re.I)

    async def work() -> Reply:
        return await question(desk, origin, text)

    await desk.deliver(origin, await desk.run(work, {}, click))
    return True


def answered(view: AnswerView, *, asked: bool = False, here: bool = False, note: str = "") -> Reply:
    """As a message: the card, and the card for a stream. Where Teams itself asks for feedback, it has no thumbs."""
    thumbs = not view.model
    return Reply(
        build.answer_card(view, asked=asked, thumbs=thumbs, charts=True), answer=view, here=here, note=note,
        rest=build.answer_card(view, asked=asked, thumbs=thumbs, charts=True, streamed=True),
    )  # fmt: skip


async def _place(desk: TeamsDesk, origin: Origin, actor: Actor) -> tuple[Place, Audience]:
    service = desk.engine.answers
    root = origin.conversation.partition(";messageid=")[2]
    cause = await service.subject_of("teams", origin.place, root)
    if origin.kind == "personal":  # it has no threads: each question is one, and half a question goes on from the last
        place = Place("teams", origin.place, origin.activity, private=True, direct=True, cause_id=cause)
        return place, service.audience(actor, place)
    own = Place("teams", origin.place, f"@{origin.user}", private=True, cause_id=cause)
    shared = replace(own, thread=root or own.thread, private=False)
    to = service.audience(actor, shared)
    if to.here:
        why = await strangers(desk.wire, origin)
        if not why:
            return shared, to
        to = replace(to, note=why)
    return own, replace(service.audience(actor, own), here=False, note=to.note)


async def prompt(desk: TeamsDesk, origin: Origin, ids: Ids, _: Given) -> Reply:
    """A suggested question was pressed: answered below in the 1:1 chat, else in place, for this person."""
    actor, text = await desk.actor(origin), text_id(ids, WORDS)
    if origin.kind == "personal":
        place = Place("teams", origin.place, origin.click, private=True, direct=True)
        view = await desk.engine.answers.answer(text, actor, place, habits=origin.habits)
        await desk.deliver(origin, answered(view, asked=True))
        return Reply(build.answer_card(view, private=True, charts=True), toast="The answer is below.")
    place = Place("teams", origin.place, f"@{origin.user}", private=True)
    view = await desk.engine.answers.answer(text, actor, place, habits=origin.habits)
    return Reply(build.answer_card(view, asked=True, charts=True))


async def check(desk: TeamsDesk, origin: Origin, ids: Ids, _: Given) -> Reply:
    view = await desk.engine.answers.check(text_id(ids, "a"), await desk.actor(origin), origin.habits)
    return Reply(build.check_card(view))


async def page(desk: TeamsDesk, origin: Origin, ids: Ids, _: Given) -> Reply:
    offset = text_id(ids, "o")
    start = int(offset) if _DIGITS.fullmatch(offset) else 0
    view = await desk.engine.answers.recomputed(text_id(ids, "a"), await desk.actor(origin), start, origin.habits)
    return Reply(build.page_card(view, PAGE))


async def feedback(desk: TeamsDesk, origin: Origin, ids: Ids, _: Given) -> Reply:
    """Kept at once; after a thumb down it is asked what was wrong."""
    answer, verdict = text_id(ids, "a"), text_id(ids, "d")
    await desk.engine.answers.judge(answer, await desk.actor(origin), verdict)
    if verdict != "down":
        return Reply(build.thanks_card())
    return Reply(build.comment_card(), Button("gh.send_comment", "Send", ids_text(a=answer), "primary"))


async def send_comment(desk: TeamsDesk, origin: Origin, ids: Ids, given: Given) -> Reply:
    actor = await desk.actor(origin)
    await desk.engine.answers.judge(text_id(ids, "a"), actor, "down", given.get("comment", ""))
    return Reply(build.thanks_card())


async def thumb(desk: TeamsDesk, origin: Origin, activity: Mapping[str, Any]) -> dict[str, Any]:
    """Teams' own feedback on a message of ours: judged as by the buttons. Teams shows nothing of what we answer."""
    if not await desk.received(origin, activity, "action.feedback"):
        return {}
    said = activity.get("value")
    said = said.get("actionValue") if isinstance(said, Mapping) else None
    reaction = said.get("reaction") if isinstance(said, Mapping) else ""
    verdict = {"like": "up", "dislike": "down"}.get(str(reaction), "")

    async def work() -> Reply:
        answer = await desk.engine.answers.of_message("teams", origin.place, origin.reply_to)
        comment = _words(said.get("feedback")) if isinstance(said, Mapping) else ""
        await desk.engine.answers.judge(answer, await desk.actor(origin), verdict, comment or None)
        return Reply(build.thanks_card())

    await desk.run(work, {}, origin.click)
    return {}


def _words(feedback: Any) -> str:
    """What was written: ``{"feedbackText": …}`` as JSON text."""
    try:
        found = json.loads(feedback) if isinstance(feedback, str) and len(feedback) < _FEEDBACK else {}
    except ValueError:
        return ""
    text = found.get("feedbackText") if isinstance(found, dict) else ""
    return text.strip() if isinstance(text, str) else ""
