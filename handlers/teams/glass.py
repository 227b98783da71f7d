"""Break the glass in Teams, and its review: the form in place of the message, then the engine's word."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bot.domain.decisions import RequestState
from bot.domain.errors import BadInput
from cards import build
from cards.model import Button
from cards.words import ids as ids_text
from handlers.common import acts, forms
from handlers.common.ids import text_id

from .payloads import Origin
from .refusals import Handler, complete
from .replies import Given, Ids, Reply, back_to, told

if TYPE_CHECKING:
    from .desk import TeamsDesk


async def glass(desk: TeamsDesk, origin: Origin, ids: Ids, _: Given) -> Reply:
    view = await desk.engine.approvals.look_glass(text_id(ids, "p"), await desk.actor(origin))
    if view.glass is None:
        raise BadInput("The glass cannot be broken over this.", mend="Press Review fix to see what can be done.")
    waits = view.request is not None and view.request.state is RequestState.PENDING
    value: dict[str, Any] = {"p": view.plan.id, "h": view.plan_hash, "c": view.cause_id}
    value |= {"v": view.request.revision} if view.request and waits else {}
    send = Button("gh.send_glass", "Break it", ids_text(**value), "danger")
    return Reply(build.glass_form_card(view, view.glass), send, back_to({"c": view.cause_id}))


async def ok(desk: TeamsDesk, origin: Origin, ids: Ids, _: Given) -> Reply:
    return await _review(desk, origin, ids, justified=True)


async def bad(desk: TeamsDesk, origin: Origin, ids: Ids, _: Given) -> Reply:
    return await _review(desk, origin, ids, justified=False)


async def _again(desk: TeamsDesk, origin: Origin, ids: Ids, _: Given) -> Reply:
    return await _review(desk, origin, ids, justified=text_id(ids, "j") == "yes")


async def _review(desk: TeamsDesk, origin: Origin, ids: Ids, *, justified: bool) -> Reply:
    view = await desk.engine.approvals.glass.require(text_id(ids, "g"), await desk.actor(origin))
    value = ids_text(g=view.id, j="yes" if justified else "no", c=view.cause_id)
    send = Button("gh.send_glass_review", "Justified" if justified else "Not justified", value, "primary")
    return Reply(build.glass_review_card(view, justified), send, back_to({"c": view.cause_id}))


async def send(desk: TeamsDesk, origin: Origin, ids: Ids, given: Given) -> Reply:
    complete(forms.check_glass(given))
    return told(await acts.break_glass(desk.engine, await desk.actor(origin), ids, given, origin.click), ids)


async def send_review(desk: TeamsDesk, origin: Origin, ids: Ids, given: Given) -> Reply:
    complete(forms.check_glass_review(given))
    return told(await acts.review_glass(desk.engine, await desk.actor(origin), ids, given), ids)


ACTIONS: dict[str, Handler] = {"glass": glass, "glass_ok": ok, "glass_bad": bad}
SUBMISSIONS: dict[str, Handler] = {"send_glass": send, "send_glass_review": send_review}
AGAIN: dict[str, Handler] = {"send_glass": glass, "send_glass_review": _again}
