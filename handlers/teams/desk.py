"""What happens behind the door of Teams: journal, one engine service called, the answer as a card.

Rules
- The answer to a button is the card this person sees in place of the message; everybody else's changes only with what
  was decided, by the outbox. So a private word needs no message of its own.
- What is typed (``commands.py``) is answered to the person alone, in the 1:1 chat: a channel of Teams has no private
  answers.
- A button is answered within ``PATIENCE``; work that takes longer goes on, and its end is told in the 1:1 chat.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any, TypeVar

from bot.domain.decisions import Choice, RequestState
from bot.domain.errors import BadInput, Denied, GatehouseError
from bot.domain.principals import Actor, Platform, PlatformIdentity
from bot.domain.views import Notice, Option
from bot.engine import Engine
from bot.settings import Settings
from bot.store import clicks, outbox
from bot.store import teams as store
from cards import adaptive, build
from cards.model import Button
from cards.words import ids as ids_text
from handlers.common import forms
from handlers.common.ids import WORDS, ids_of, number, text_id

from . import asking, commands, witnesses
from .payloads import Origin, click_of, command_of, journal_of, pressed_of
from .replies import Given, Ids, Reply, back_to, plan_reply, told
from .wire import TeamsWire

log = logging.getLogger(__name__)
T = TypeVar("T")
PATIENCE = 8.0  # seconds; Teams gives an invoke up after some more
CARD, MESSAGE = adaptive.CONTENT_TYPE, "application/vnd.microsoft.activity.message"
_BROKEN = Notice(ok=False, said="Something went wrong on our side.",
                 mend="Look at the card whether it was counted; if not, try again or tell the operators.")  # fmt: skip
_ELSEWHERE = Notice(ok=False, said="Teams has no button for this yet.",
                    mend="Do it in Slack; docs/platforms.md says what is where.")  # fmt: skip


class TeamsDesk:
    def __init__(self, engine: Engine, settings: Settings, wire: TeamsWire, *, patience: float = PATIENCE) -> None:
        self.engine, self.settings, self.wire, self._patience = engine, settings, wire, patience
        self._tasks: set[asyncio.Task[Any]] = set()
        self._kept: set[Any] = set()
        self.in_hand: set[str] = set()

    async def drain(self, seconds: float = 20) -> None:
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=seconds)

    def _spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    # --- what comes in -----------------------------------------------------------------------------------------------

    async def seen(self, origin: Origin, activity: Mapping[str, Any]) -> None:
        """Keep where it came from: nothing else can be posted to later."""
        now, db = self.engine.clock.now(), self.engine.db
        if activity.get("type") == "conversationUpdate":  # who is there changed: nothing believed so far is believed on
            self.engine.people.forget(Platform.TEAMS)
        if _leaves(activity, origin.bot):
            self._kept.clear()
            await db.write(store.removed, origin.tenant, origin.place, origin.team)
            return
        if origin.reference not in self._kept:
            await db.write(store.keep_conversation, origin.reference, now)
        if origin.user and origin.person not in self._kept:
            await db.write(store.keep_member, origin.person, now)
        if len(self._kept) > 5_000:
            self._kept.clear()
        self._kept |= {origin.reference, origin.person}

    async def invoked(self, origin: Origin, activity: Mapping[str, Any]) -> dict[str, Any]:
        """The body that answers the invoke."""
        if activity.get("name") != "adaptiveCard/action":
            return _error(400, "NotSupported", "This is not supported.")
        if not origin.user:
            return _error(403, "Unknown", "Teams did not say who you are.")
        pressed = pressed_of(activity)
        click = click_of(activity, origin)
        origin, ids = replace(origin, click=click), ids_of(pressed.value)
        if pressed.automatic:  # Teams itself, not a person: it may only look
            shown = await self._answer(origin, "card", ids, {}, "")
            return _body(shown)
        verb = pressed.verb
        kind = f"submit.{verb}" if verb in SUBMISSIONS else f"action.{verb}"
        new = await self.engine.db.write(
            clicks.receive, click_id=click, platform="teams", kind=kind[:60],
            identity=origin.identity.model_dump_json(), payload=journal_of(activity, origin),
            now=self.engine.clock.now(),
        )  # fmt: skip
        if not new:
            return {"statusCode": 200, "type": MESSAGE, "value": "This was received already; the card shows how it is."}
        task = self._spawn(self._answer(origin, verb, ids, pressed.given, click))
        try:
            return _body(await asyncio.wait_for(asyncio.shield(task), self._patience))
        except TimeoutError:
            self._spawn(self._tell_later(origin, task))
            said = "This takes a little longer. I tell you in our chat how it ends."
            return {"statusCode": 200, "type": MESSAGE, "value": said}

    async def said(self, origin: Origin, activity: Mapping[str, Any]) -> None:
        """A command or a question, typed in the 1:1 chat or with a mention of us."""
        if not origin.user:
            return
        text = command_of(activity, origin.bot).removeprefix("/gatehouse").strip()
        click = click_of(activity, origin)
        word, _, rest = text.partition(" ")
        word = word.lower()
        kind = f"command.{word or 'help'}" if word in commands.COMMANDS else "command.ask"
        new = await self.engine.db.write(
            clicks.receive, click_id=click, platform="teams", kind=kind,
            identity=origin.identity.model_dump_json(), payload=journal_of(activity, origin),
            now=self.engine.clock.now(),
        )  # fmt: skip
        if new:
            self._spawn(self._command(replace(origin, click=click), word, rest.strip(), text, click))

    # --- running it --------------------------------------------------------------------------------------------------

    async def _answer(self, origin: Origin, verb: str, ids: Ids, given: Given, click: str) -> Reply:
        """Do it, close the journal row, and say how it ended."""

        async def work() -> Reply:
            handler = SUBMISSIONS.get(verb) or ACTIONS.get(verb)
            return await handler(self, origin, ids, given) if handler else told(_ELSEWHERE, ids)

        return await self._run(work, ids, click)

    async def _run(self, work: Callable[[], Awaitable[Reply]], ids: Ids, click: str) -> Reply:
        self.in_hand.add(click)
        state, reply = "done", None
        try:
            reply = await work()
        except GatehouseError as error:
            state, reply = "refused", told(forms.as_notice(error), ids)
        except Exception:
            log.exception("an interaction of Teams failed")
            state, reply = "failed", told(_BROKEN, ids)
        try:
            if click:
                now = self.engine.clock.now()
                await self.engine.db.write(clicks.finish, click, state=state, outcome=reply.card.summary, now=now)
        finally:
            self.in_hand.discard(click)
        return reply

    async def _command(self, origin: Origin, word: str, rest: str, text: str, click: str) -> None:
        async def work() -> Reply:
            handler = commands.COMMANDS.get(word)
            return await handler(self, origin, rest) if handler else await asking.question(self, origin, text)

        await self._privately(origin, await self._run(work, {}, click))

    async def _tell_later(self, origin: Origin, task: asyncio.Task[Reply]) -> None:
        await self._privately(origin, await task)

    async def _privately(self, origin: Origin, reply: Reply) -> None:
        """In the 1:1 chat, which is opened where there is none yet; else by the outbox, which keeps trying."""
        content = adaptive.content(reply.card, submit=reply.submit, back=reply.back)
        activity = {**adaptive.message(reply.card), "attachments": [adaptive.attachment(content)]}
        try:
            if origin.kind == "personal":
                await self.wire.send(origin.service_url, origin.conversation, activity)
                return
            place = await self.engine.db.read(store.personal, origin.tenant, origin.user)
            if place is None or not place.installed:
                place = await self._open(origin)
            await self.wire.send(place.service_url, place.id, activity)
        except GatehouseError as error:
            log.warning("an answer in Teams goes through the outbox (%s)", error.reason)
            dedupe = f"answer:{origin.click}"[:500]
            now = self.engine.clock.now()
            await self.engine.db.write(
                outbox.tell, self.engine.ids, now, f"teams:{origin.user}", reply.card.summary, dedupe=dedupe
            )

    async def _open(self, origin: Origin) -> store.Conversation:
        made = await self.wire.create(
            origin.service_url,
            {
                "isGroup": False,
                "tenantId": origin.tenant,
                "bot": {"id": origin.bot},
                "members": [{"id": origin.member}],
                "channelData": {"tenant": {"id": origin.tenant}},
            },
        )
        place = store.Conversation(
            tenant=origin.tenant, id=str(made.get("id", "")), kind="personal", service_url=origin.service_url,
            bot=origin.bot, user=origin.user,
        )  # fmt: skip
        await self.engine.db.write(store.keep_conversation, place, self.engine.clock.now())
        return place

    async def actor(self, origin: Origin) -> Actor:
        return await self.engine.people.actor(origin.identity)

    # --- buttons -----------------------------------------------------------------------------------------------------

    async def card(self, origin: Origin, ids: Ids, _: Given) -> Reply:
        """The message as everybody sees it."""
        return Reply(build.cause_card(await self.engine.board.cause(text_id(ids, "c"))))

    async def review(self, origin: Origin, ids: Ids, _: Given) -> Reply:
        return await self.review_of(origin, text_id(ids, "c"))

    async def review_of(self, origin: Origin, wanted: str) -> Reply:
        cause = (await self.engine.board.finding(wanted)).cause_id if wanted.startswith("f-") else wanted
        if not cause:
            raise BadInput("This finding belongs to no cause that could be fixed.")
        return plan_reply(await self.engine.approvals.look(cause, await self.actor(origin)))

    async def undo(self, origin: Origin, ids: Ids, _: Given) -> Reply:
        return plan_reply(await self.engine.approvals.look_undo(text_id(ids, "x"), await self.actor(origin)))

    async def not_mine(self, origin: Origin, ids: Ids, _: Given) -> Reply:
        cause = text_id(ids, "c")
        await self.engine.stewardship.require(cause, await self.actor(origin), "pass_on")
        card = forms.not_mine_card(await self.engine.board.cause(cause), self.settings)
        return Reply(card, Button("gh.send_not_mine", "Pass on", ids_text(c=cause), "primary"), back_to(ids))

    async def snooze(self, origin: Origin, ids: Ids, _: Given) -> Reply:
        cause = text_id(ids, "c")
        await self.engine.stewardship.require(cause, await self.actor(origin), "snooze")
        card = forms.snooze_card(await self.engine.board.cause(cause))
        return Reply(card, Button("gh.send_snooze", "Snooze", ids_text(c=cause), "primary"), back_to(ids))

    async def details(self, origin: Origin, ids: Ids, _: Given) -> Reply:
        return Reply(build.details_card(await self.engine.board.cause(text_id(ids, "c"))), back=back_to(ids))

    async def why(self, origin: Origin, ids: Ids, _: Given) -> Reply:
        view = await self.engine.whys.why(text_id(ids, "s"), await self.actor(origin))
        return Reply(build.why_card(view), back=back_to({"c": view.cause_id}))

    async def page(self, origin: Origin, ids: Ids, _: Given) -> Reply:
        offset = text_id(ids, "o")
        start = int(offset) if offset.isascii() and offset.isdigit() and len(offset) < 8 else 0
        return await commands.findings(self, origin, text_id(ids, WORDS), start)

    async def revoke(self, origin: Origin, ids: Ids, _: Given) -> Reply:
        actor = await self.actor(origin)
        return told(await self.engine.delegations.revoke(text_id(ids, "d"), actor, click=origin.click), ids)

    async def glass(self, origin: Origin, ids: Ids, _: Given) -> Reply:
        view = await self.engine.approvals.look_glass(text_id(ids, "p"), await self.actor(origin))
        if view.glass is None:
            raise BadInput("The glass cannot be broken over this.", mend="Press Review fix to see what can be done.")
        waits = view.request is not None and view.request.state is RequestState.PENDING
        value: dict[str, Any] = {"p": view.plan.id, "h": view.plan_hash, "c": view.cause_id}
        value |= {"v": view.request.revision} if view.request and waits else {}
        send = Button("gh.send_glass", "Break it", ids_text(**value), "danger")
        return Reply(build.glass_form_card(view, view.glass), send, back_to({"c": view.cause_id}))

    async def glass_ok(self, origin: Origin, ids: Ids, _: Given) -> Reply:
        return await self._glass_review(origin, ids, justified=True)

    async def glass_bad(self, origin: Origin, ids: Ids, _: Given) -> Reply:
        return await self._glass_review(origin, ids, justified=False)

    async def _glass_review(self, origin: Origin, ids: Ids, *, justified: bool) -> Reply:
        view = await self.engine.approvals.glass.require(text_id(ids, "g"), await self.actor(origin))
        value = ids_text(g=view.id, j="yes" if justified else "no", c=view.cause_id)
        send = Button("gh.send_glass_review", "Justified" if justified else "Not justified", value, "primary")
        return Reply(build.glass_review_card(view, justified), send, back_to({"c": view.cause_id}))

    # --- what is sent ------------------------------------------------------------------------------------------------

    async def send_review(self, origin: Origin, ids: Ids, given: Given) -> Reply:
        _complete(forms.check_review(ids, given))
        option = Option(given["choice"])
        try:
            request = await self._decide(origin, ids, given, option)
        except Denied as error:
            if option is Option.APPROVE:
                error.about = error.about or text_id(ids, "q") or text_id(ids, "p")
            raise
        return told(forms.decided(request, option), ids)

    async def _decide(self, origin: Origin, ids: Ids, given: Given, option: Option) -> Any:
        actor, reason, approvals = await self.actor(origin), given.get("reason", ""), self.engine.approvals
        plan, plan_hash, request_id = text_id(ids, "p"), text_id(ids, "h"), text_id(ids, "q")
        if option is Option.ASK:
            return await approvals.ask(plan, plan_hash, actor, reason, click=origin.click)
        if option is Option.CANCEL:
            return await approvals.cancel(request_id, actor)
        if option is Option.WITHDRAW:
            return await approvals.withdraw(request_id, actor, click=origin.click)
        revision = number(ids, "v")
        if not request_id:  # nobody asked yet: who may approve without being asked asks and answers in one
            request = await approvals.ask(plan, plan_hash, actor, reason, click=origin.click)
            request_id, revision = request.id, request.revision
        choice = Choice.APPROVE if option is Option.APPROVE else Choice.REJECT
        return await approvals.vote(
            request_id, plan_hash, revision, actor, choice, reason, given.get("confirm", ""), click=origin.click
        )

    async def send_not_mine(self, origin: Origin, ids: Ids, given: Given) -> Reply:
        _complete(forms.check_not_mine(self.settings, given))
        to, actor = "" if given["to"] == forms.FALLBACK else given["to"], await self.actor(origin)
        return told(await self.engine.stewardship.not_mine(text_id(ids, "c"), actor, to, given["reason"]), ids)

    async def send_snooze(self, origin: Origin, ids: Ids, given: Given) -> Reply:
        _complete(forms.check_snooze(given))
        actor, days = await self.actor(origin), int(given["days"])
        return told(await self.engine.stewardship.snooze(text_id(ids, "c"), actor, days, given["reason"]), ids)

    async def send_glass(self, origin: Origin, ids: Ids, given: Given) -> Reply:
        _complete(forms.check_glass(given))
        await self.engine.approvals.break_glass(
            text_id(ids, "p"), text_id(ids, "h"), number(ids, "v"), await self.actor(origin), given["reason"],
            given["word"], click=origin.click,
        )  # fmt: skip
        said = "The glass is broken: exactly this plan starts now, and everybody is told."
        return told(Notice(ok=True, said=said, mend="Another person reviews it; the card shows how it goes."), ids)

    async def send_glass_review(self, origin: Origin, ids: Ids, given: Given) -> Reply:
        _complete(forms.check_glass_review(given))
        actor, justified = await self.actor(origin), text_id(ids, "j") == "yes"
        comment = given["comment"]
        await self.engine.approvals.glass.review(text_id(ids, "g"), actor, justified=justified, comment=comment)
        said = f"Your review is kept: {'justified' if justified else 'not justified'}."
        return told(Notice(ok=True, said=said), ids)


Handler = Callable[[TeamsDesk, Origin, Ids, Given], Awaitable[Reply]]
ACTIONS: dict[str, Handler] = {
    "card": TeamsDesk.card,
    "review": TeamsDesk.review,
    "undo": TeamsDesk.undo,
    "not_mine": TeamsDesk.not_mine,
    "snooze": TeamsDesk.snooze,
    "details": TeamsDesk.details,
    "split": witnesses.split,
    "merge": witnesses.merge,
    "why": TeamsDesk.why,
    "page": TeamsDesk.page,
    "revoke": TeamsDesk.revoke,
    "glass": TeamsDesk.glass,
    "glass_ok": TeamsDesk.glass_ok,
    "glass_bad": TeamsDesk.glass_bad,
    "ask_prompt": asking.prompt,
    "ask_check": asking.check,
    "ask_more": asking.page,
    "ask_page": asking.page,
    "ask_feedback": asking.feedback,
}
SUBMISSIONS: dict[str, Handler] = {
    "send_review": TeamsDesk.send_review,
    "send_not_mine": TeamsDesk.send_not_mine,
    "send_snooze": TeamsDesk.send_snooze,
    "send_glass": TeamsDesk.send_glass,
    "send_glass_review": TeamsDesk.send_glass_review,
    "send_comment": asking.send_comment,
}


async def resume(desk: TeamsDesk, after: timedelta = timedelta(minutes=1)) -> int:
    """Finish what a crash left in the journal: what was sent is done now (the engine decides anew whether it may be and
    whether it was done already), what nobody waits for any more is closed. Its person is told. How many there were."""
    engine = desk.engine
    now = engine.clock.now()
    found = await engine.db.read(clicks.unfinished, now - after)
    left = [each for each in found if each.platform == "teams" and each.id not in desk.in_hand]
    for each in left:
        kept, who = json.loads(each.payload), PlatformIdentity.model_validate_json(each.identity)
        verb = str(kept.get("verb", ""))
        if each.kind == f"submit.{verb}" and verb in SUBMISSIONS:
            origin = Origin(who.tenant, who.user, "", "", "personal", "", "", click=each.id)
            given = {str(key): str(said) for key, said in kept.get("answers", {}).items()}
            reply = await desk._answer(origin, verb, ids_of(kept.get("value")), given, each.id)
            line = reply.card.summary
        else:
            line = "Gatehouse was interrupted while it answered you. If what you asked for did not appear, try again."
            await engine.db.write(clicks.finish, each.id, state="failed", outcome="interrupted", now=now)
        await engine.db.write(outbox.tell, engine.ids, now, f"teams:{who.user}", line, dedupe=f"answer:{each.id}"[:500])
    return len(left)


def _complete(wrong: Mapping[str, str]) -> None:
    if wrong:
        raise BadInput(" ".join(wrong.values()), mend="Go back and open it again.")


def _body(reply: Reply) -> dict[str, Any]:
    made = adaptive.content(reply.card, submit=reply.submit, back=reply.back)
    return {"statusCode": 200, "type": CARD, "value": made}


def _error(status: int, code: str, said: str) -> dict[str, Any]:
    return {"statusCode": status, "type": "application/vnd.microsoft.error", "value": {"code": code, "message": said}}


def _leaves(activity: Mapping[str, Any], bot: str) -> bool:
    """The app is taken out of where this came from."""
    if activity.get("type") == "installationUpdate":
        return str(activity.get("action", "")).startswith("remove")
    gone = activity.get("membersRemoved")
    members = gone if isinstance(gone, list) else []
    return any(isinstance(each, dict) and each.get("id") == bot for each in members)
