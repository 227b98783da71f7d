"""What happens behind the door of Teams: journal, one engine service called, the answer as a card.

Rules
- The answer to a button is the card this person sees in place of the message; everybody else's changes only with what
  was decided, by the outbox. So a private word needs no message of its own.
- What is typed (``commands.py``) is answered to the person alone, in the 1:1 chat: a channel of Teams has no private
  answers. Questions are answered where everybody may see the answer (``asking.py``).
- A button is answered within ``PATIENCE``; work that takes longer goes on, and its end is told in the 1:1 chat.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, TypeVar

from bot.domain.errors import GatehouseError, Gone, Refused
from bot.domain.principals import Actor, Platform
from bot.domain.views import Notice
from bot.engine import Engine
from bot.reports.answers import Place
from bot.settings import Settings
from bot.store import clicks, outbox
from bot.store import teams as store
from cards import adaptive, build
from handlers.common import acts, forms
from handlers.common.abilities import Abilities
from handlers.common.ids import WORDS, ids_of, text_id
from handlers.common.left import BROKEN, KEPT

from . import (
    asking,
    commands,
    delegation,
    dialogs,
    extension,
    glass,
    narrative,
    refusals,
    regroup,
    rules,
    standing,
    stewardship,
    unreachable,
    welcome,
    witnesses,
)
from .payloads import Origin, click_of, command_of, journal_of, pressed_of
from .refresh import Personal
from .refusals import Handler, complete
from .replies import Given, Ids, Reply, back_to, plan_reply, told
from .streaming import PACE, Stream
from .wire import TeamsWire

log = logging.getLogger(__name__)
T = TypeVar("T")
PATIENCE = 8.0  # seconds; Teams gives an invoke up after some more
CARD, MESSAGE = adaptive.CONTENT_TYPE, "application/vnd.microsoft.activity.message"
_CALLED = re.compile(r"^[/@]gatehouse\b[:,]?", re.I)  # in the 1:1 chat nobody has to call us, but may
SEEN, _NEVER = timedelta(minutes=10), datetime.min.replace(tzinfo=UTC)
_UNKNOWN = Notice(ok=False, said="This button is of another version of Gatehouse.", mend="Use a newer card.")


class TeamsDesk:
    def __init__(
        self, engine: Engine, settings: Settings, wire: TeamsWire, *, patience: float = PATIENCE, pace: float = PACE
    ) -> None:
        self.engine, self.settings, self.wire, self._patience = engine, settings, wire, patience
        self.pace, self.abilities = pace, Abilities()
        self.personal = Personal(engine)
        self.streaming: set[str] = set()  # 1:1 chats with an open stream
        self._tasks: set[asyncio.Task[Any]] = set()
        self._kept: dict[Any, datetime] = {}  # what was seen, and when it was last written down
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
        if str(activity.get("name", "")).startswith("composeExtension/"):
            return  # used from where the app need not be: nothing can be posted there
        if activity.get("type") == "invoke" and pressed_of(activity).automatic:
            return  # Teams asks by itself, for everybody who looks at a channel: that only reads
        if activity.get("type") == "conversationUpdate":  # who is there changed: nothing believed so far is believed on
            self.engine.people.forget(Platform.TEAMS)
            await db.write(store.forget_rosters, origin.tenant, origin.place, origin.team)
        if _leaves(activity, origin.bot):
            self._kept.clear()
            await db.write(store.removed, origin.tenant, origin.place, origin.team)
            return
        if activity.get("type") in {"conversationUpdate", "installationUpdate"} or len(self._kept) > 5_000:
            self._kept.clear()
        # Now and then once more: a post that was refused may have closed the place meanwhile, in whatever process.
        due = {each for each in (origin.reference, origin.person) if now - self._kept.get(each, _NEVER) > SEEN}
        if origin.reference in due:
            await db.write(store.keep_conversation, origin.reference, now)
        if origin.user and origin.person in due:
            await db.write(store.keep_member, origin.person, now)
        self._kept |= dict.fromkeys(due, now)
        if welcome.arrives(activity):
            self._spawn(welcome.greet(self, origin, activity))

    async def invoked(self, origin: Origin, activity: Mapping[str, Any]) -> dict[str, Any]:
        """The body that answers the invoke."""
        name = str(activity.get("name"))
        if name != "adaptiveCard/action" and name not in INVOKES:
            return _error(400, "NotSupported", "This is not supported.")
        if not origin.user:
            return _error(403, "Unknown", "Teams did not say who you are.")
        if name in INVOKES:
            return await INVOKES[name](self, replace(origin, click=click_of(activity, origin)), activity)
        pressed = pressed_of(activity)
        click = click_of(activity, origin)
        origin, ids = replace(origin, click=click), ids_of(pressed.value)
        if pressed.automatic:  # Teams itself, not a person: it may only look
            return await self._looked(origin, ids)
        verb = pressed.verb
        if not await self.received(origin, activity, self.kind_of(verb)):
            return {"statusCode": 200, "type": MESSAGE, "value": dialogs.AGAIN}
        reply = await self.in_time(origin, self.answer(origin, verb, ids, pressed.given, click))
        return _body(reply) if reply else {"statusCode": 200, "type": MESSAGE, "value": dialogs.LATER}

    @staticmethod
    def kind_of(verb: str) -> str:
        return f"submit.{verb}" if TeamsDesk.sends(verb) else f"action.{verb}"

    async def in_time(self, origin: Origin, work: Coroutine[Any, Any, Reply]) -> Reply | None:
        """What it comes to; None where nobody may wait so long: it goes on, and its end is told in the 1:1 chat."""
        task = self._spawn(work)
        try:
            return await asyncio.wait_for(asyncio.shield(task), self._patience)
        except TimeoutError:
            self._spawn(self._tell_later(origin, task))
            return None

    async def _looked(self, origin: Origin, ids: Ids) -> dict[str, Any]:
        """This person's own card. Where that fails what is shown stays."""
        try:
            made = await asyncio.wait_for(self.personal.automatic(origin, text_id(ids, "c")), self._patience)
        except (GatehouseError, TimeoutError) as error:
            log.info("a card could not be refreshed (%s)", type(error).__name__)
            return _error(503, "NotNow", "This card cannot be refreshed now.")
        except Exception:
            log.exception("a card of Teams could not be refreshed")
            return _error(500, "Failed", "This card cannot be refreshed now.")
        if made is None:
            return _error(403, "NoOwnCard", "There is no card of your own here.")
        return {"statusCode": 200, "type": CARD, "value": made}

    async def said(self, origin: Origin, activity: Mapping[str, Any]) -> None:
        """A command or a question, typed in the 1:1 chat or with a mention of us."""
        if not origin.user:
            return
        text = _CALLED.sub("", command_of(activity, origin.bot)).strip()
        click = click_of(activity, origin)
        word, _, rest = text.partition(" ")
        word = word.lower()
        kind = f"command.{word or 'help'}" if commands.meant(word, rest) else "command.ask"
        origin = replace(origin, click=click)
        if await self.received(origin, activity, kind):
            self._spawn(self._command(origin, word, rest.strip(), text, click))

    async def received(self, origin: Origin, activity: Mapping[str, Any], kind: str) -> bool:
        """Journal it under ``origin.click``; False where it was there already."""
        return await self.engine.db.write(
            clicks.receive, click_id=origin.click, platform="teams", kind=kind[:60],
            identity=origin.identity.model_dump_json(), payload=journal_of(activity, origin),
            now=self.engine.clock.now(),
        )  # fmt: skip

    # --- running it --------------------------------------------------------------------------------------------------

    @staticmethod
    def sends(verb: str) -> bool:
        return verb in SUBMISSIONS

    async def answer(
        self, origin: Origin, verb: str, ids: Ids, given: Given, click: str, *, keep: bool = True
    ) -> Reply:
        """Do it, close the journal row, and say how it ended. ``keep``: a submission that breaks off in an unforeseen
        way stays in the journal, since nobody knows whether it was counted; ``left.py`` does it again."""

        seen = False

        async def work() -> Reply:
            nonlocal seen
            handler = SUBMISSIONS.get(verb) or ACTIONS.get(verb)
            await acts.in_sight(self.engine, ids, f"teams:{origin.place}", partial(self.actor, origin))
            seen = True
            return await handler(self, origin, ids, given) if handler else told(_UNKNOWN, ids)

        async def refused(error: GatehouseError) -> Reply:
            if not seen:  # nor is what stands behind the refusal
                return told(forms.as_notice(error), ids)
            return await refusals.after(self, error, origin, verb, ids, given, again=AGAIN, lists=LISTS)

        return await self.run(work, ids, click, refused, keep=keep and self.sends(verb))

    async def run(
        self,
        work: Callable[[], Awaitable[Reply]],
        ids: Ids,
        click: str,
        refused: Callable[[GatehouseError], Awaitable[Reply]] | None = None,
        *,
        keep: bool = False,
    ) -> Reply:
        self.in_hand.add(click)
        state, reply = "done", None
        try:
            reply = await work()
        except GatehouseError as error:
            state = "refused"
            reply = await refused(error) if refused else told(forms.as_notice(error), ids)
        except Exception:
            log.exception("an interaction of Teams failed")
            state, reply = "failed", replace(told(KEPT if keep else BROKEN, ids), open=keep)
        try:
            if click and not reply.open:
                now = self.engine.clock.now()
                await self.engine.db.write(clicks.finish, click, state=state, outcome=reply.card.summary, now=now)
        except Exception:  # done is done: this person is told, and the row is closed when the journal is worked off
            log.exception("the journal row of %s could not be closed", click)
        finally:
            self.in_hand.discard(click)
        return reply

    async def _command(self, origin: Origin, word: str, rest: str, text: str, click: str) -> None:
        handler = commands.meant(word, rest)
        asks, own = handler is None or word == "ask", origin.kind == "personal"
        stream = Stream(self, origin.service_url, origin.conversation, personal=own) if asks else None
        sign = self._spawn(stream.begin()) if stream else None  # at once, beside the work

        async def work() -> Reply:
            return await handler(self, origin, rest) if handler else await asking.question(self, origin, text)

        reply = await self.run(work, {}, click)
        if sign is not None:
            await sign
        await self.deliver(origin, reply, stream)

    async def _tell_later(self, origin: Origin, task: asyncio.Task[Reply]) -> None:
        await self.deliver(origin, await task)

    async def deliver(self, origin: Origin, reply: Reply, stream: Stream | None = None) -> None:
        """Where it was asked if it may be said there, else in the 1:1 chat, which is opened where there is none yet;
        what cannot be sent goes by the outbox, which keeps trying."""
        try:
            place = origin.place
            if not reply.here and origin.kind != "personal":
                found = await self.engine.db.read(store.personal, origin.tenant, origin.user)
                if found is None or not found.installed:
                    found = await self._open(origin)
                place, stream = found.id, Stream(self, found.service_url, found.id, personal=True)
            elif stream is None:
                stream = Stream(self, origin.service_url, origin.conversation, personal=False)
            message = await stream.end(reply)
            if message and reply.answer is not None and reply.answer.model:
                await self.engine.answers.posted(reply.answer.id, Place("teams", place), message)
            if reply.note:
                line = adaptive.message(build.thread_line(f"I answered in our chat. {reply.note}"))
                await self.wire.send(origin.service_url, origin.conversation, line)
        except GatehouseError as error:
            if isinstance(error, Refused | Gone) and origin.kind != "personal" and not reply.here:
                log.warning("nothing can be written to who asked (%s)", error.reason)
                await self._unreachable(origin)
                return
            log.warning("an answer in Teams goes through the outbox (%s)", error.reason)
            dedupe = f"answer:{origin.click}"[:500]
            now = self.engine.clock.now()
            await self.engine.db.write(
                outbox.tell, self.engine.ids, now, f"teams:{origin.user}", reply.card.summary, dedupe=dedupe
            )

    async def _unreachable(self, origin: Origin) -> None:
        try:
            await unreachable.say(self, origin)
        except GatehouseError as error:
            log.warning("nor to where it was asked (%s)", error.reason)

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
        """The card with what this person may do."""
        return await self.personal.reply(origin, text_id(ids, "c"))

    async def review(self, origin: Origin, ids: Ids, _: Given) -> Reply:
        return await self.review_of(origin, text_id(ids, "c"))

    async def review_of(self, origin: Origin, wanted: str) -> Reply:
        return plan_reply(await acts.plan_of(self.engine, await self.actor(origin), wanted))

    async def undo(self, origin: Origin, ids: Ids, _: Given) -> Reply:
        execution = text_id(ids, "x")
        return plan_reply(await self.engine.approvals.look_undo(execution, await self.actor(origin)), execution)

    async def reopen(self, origin: Origin, ids: Ids, given: Given) -> Reply:
        """The plan that was answered incompletely: a fix or an undo."""
        return await (self.undo if text_id(ids, "x") else self.review)(origin, ids, given)

    async def details(self, origin: Origin, ids: Ids, _: Given) -> Reply:
        return Reply(build.details_card(await self.engine.board.cause(text_id(ids, "c"))), back=back_to(ids))

    async def why(self, origin: Origin, ids: Ids, _: Given) -> Reply:
        view = await self.engine.whys.why(text_id(ids, "s"), await self.actor(origin))
        return Reply(build.why_card(view), back=back_to({"c": view.cause_id}))

    async def page(self, origin: Origin, ids: Ids, _: Given) -> Reply:
        actor, words = await self.actor(origin), text_id(ids, WORDS)
        return Reply(await acts.findings(self.engine, actor, words, acts.start_of(ids)))

    # --- what is sent ------------------------------------------------------------------------------------------------

    async def send_review(self, origin: Origin, ids: Ids, given: Given) -> Reply:
        complete(forms.check_review(ids, given))
        return told(await acts.decide(self.engine, await self.actor(origin), ids, given, origin.click), ids)


INVOKES: dict[str, Callable[[TeamsDesk, Origin, Mapping[str, Any]], Awaitable[dict[str, Any]]]] = {
    "message/submitAction": asking.thumb,
    **dialogs.INVOKES,
    **extension.INVOKES,
}
ACTIONS: dict[str, Handler] = {
    "card": TeamsDesk.card,
    "actions": TeamsDesk.card,
    "review": TeamsDesk.review,
    "undo": TeamsDesk.undo,
    "details": TeamsDesk.details,
    "why": TeamsDesk.why,
    "page": TeamsDesk.page,
    "home": welcome.home,
    "waiting": welcome.waiting,
    "ask_prompt": asking.prompt,
    "ask_check": asking.check,
    "ask_more": asking.page,
    "ask_page": asking.page,
    "ask_feedback": asking.feedback,
    **stewardship.ACTIONS,
    **glass.ACTIONS,
    **standing.ACTIONS,
    **rules.ACTIONS,
    **regroup.ACTIONS,
    **witnesses.ACTIONS,
    **narrative.ACTIONS,
    **delegation.ACTIONS,
}
SUBMISSIONS: dict[str, Handler] = {
    "send_review": TeamsDesk.send_review,
    "send_comment": asking.send_comment,
    **stewardship.SUBMISSIONS,
    **glass.SUBMISSIONS,
    **standing.SUBMISSIONS,
    **rules.SUBMISSIONS,
    **regroup.SUBMISSIONS,
    **delegation.SUBMISSIONS,
}
# The form of a submission once more, and what a button stood in: what is shown after a no.
AGAIN: dict[str, Handler] = {
    "send_review": TeamsDesk.reopen,
    **stewardship.AGAIN,
    **glass.AGAIN,
    **standing.AGAIN,
    **rules.AGAIN,
    **regroup.AGAIN,
    **delegation.AGAIN,
}
LISTS: dict[str, Handler] = {
    "card": TeamsDesk.card,
    **delegation.LISTS,
    **standing.LISTS,
    **rules.LISTS,
}


def _body(reply: Reply) -> dict[str, Any]:
    if reply.toast:
        return {"statusCode": 200, "type": MESSAGE, "value": reply.toast}
    made = adaptive.content(
        reply.card, submit=reply.submit, back=reply.back, refresh=reply.refresh, filled=reply.filled,
        dialogs=reply.dialogs,
    )  # fmt: skip
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
