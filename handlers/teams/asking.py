"""Questions in Teams: typed in the 1:1 chat or with a mention, and the buttons under answers. It never acts.

An answer goes to the asker alone, so it is computed with the asker's rights.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from bot.domain.errors import BadInput
from bot.reports.answers import Place
from bot.reports.tables import PAGE
from cards import build
from cards.model import Button
from cards.words import ids as ids_text
from handlers.common.ids import WORDS, text_id

from .payloads import Origin
from .replies import Given, Ids, Reply

if TYPE_CHECKING:
    from .desk import TeamsDesk

_DIGITS = re.compile(r"[0-9]{1,6}")


async def question(desk: TeamsDesk, origin: Origin, text: str) -> Reply:
    """Answer it. Asked in the thread of a card, "it" is that card's cause."""
    if not text:
        raise BadInput("Ask what?", mend="For example: how many criticals are open in prod?")
    service, actor = desk.engine.answers, await desk.actor(origin)
    service.require(actor)
    root = origin.conversation.partition(";messageid=")[2]
    cause = await service.subject_of("teams", origin.place, root)
    place = Place("teams", origin.place, f"@{origin.user}", private=True, cause_id=cause)
    view = await service.answer(text, actor, place)
    return Reply(build.answer_card(view))


async def prompt(desk: TeamsDesk, origin: Origin, ids: Ids, _: Given) -> Reply:
    return await question(desk, origin, text_id(ids, WORDS))


async def check(desk: TeamsDesk, origin: Origin, ids: Ids, _: Given) -> Reply:
    return Reply(build.check_card(await desk.engine.answers.check(text_id(ids, "a"), await desk.actor(origin))))


async def page(desk: TeamsDesk, origin: Origin, ids: Ids, _: Given) -> Reply:
    offset = text_id(ids, "o")
    start = int(offset) if _DIGITS.fullmatch(offset) else 0
    view = await desk.engine.answers.recomputed(text_id(ids, "a"), await desk.actor(origin), start)
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
