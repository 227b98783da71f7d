"""What happens after the acknowledgement: one engine service called, the answer rendered, nobody left without a word.

Rules
- Work runs in tasks that are tracked; ``drain`` waits for them at shutdown.
- Every error becomes a private notice: in the open dialog, else only for this person in the channel, else directly.
- Private answers never go through a response URL without saying so: its default is public.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.webhook.async_client import AsyncWebhookClient
from sqlalchemy import Connection

from bot.domain.errors import (
    BadInput,
    ConnectorError,
    GatehouseError,
    Gone,
    Refused,
    RetryLater,
)
from bot.domain.principals import Actor
from bot.domain.views import Notice
from bot.engine import Engine
from bot.settings import Settings
from bot.store import clicks, outbox
from cards import blockkit, build, welcome
from cards.model import Card
from handlers.common import acts
from handlers.common.forms import as_notice as as_notice
from handlers.common.left import BROKEN, KEPT

from . import modals
from .habits import SlackHabits
from .payloads import WORDS, Origin, text_id
from .poster import open_direct
from .replies import Abilities
from .roster import SlackRoster
from .web import call

log = logging.getLogger(__name__)
AT_ONCE = 16  # pieces of work under way: more would be no quicker, and every acknowledgement would wait behind them
PATIENCE = 10.0  # the longest Retry-After a private answer waits out
Work = Callable[[], Awaitable[Notice | None]]


class Desk:
    """The verbs of buttons, dialogs and commands."""

    def __init__(self, engine: Engine, settings: Settings, client: AsyncWebClient) -> None:
        self.engine, self.settings, self.client = engine, settings, client
        self._tasks: set[asyncio.Task[None]] = set()
        self.in_hand: set[str] = set()  # clicks this process is at: not to be taken for what a crash left behind
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._arrived: list[tuple[dict[str, Any], asyncio.Future[bool]]] = []
        self._storing: asyncio.Task[None] | None = None
        self.abilities = Abilities()
        self.habits = SlackHabits(client, engine.clock)
        self.roster = SlackRoster(client, engine.clock)

    # --- running work ------------------------------------------------------------------------------------------------

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(self._in_turn(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _in_turn(self, work: Coroutine[Any, Any, None]) -> None:
        async with self._turns:
            await work

    async def drain(self, seconds: float = 20) -> None:
        """Wait for what was begun; what does not end in time is left to the journal."""
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=seconds)

    async def receive(self, click: str, kind: str, origin: Origin, payload: str) -> bool:
        """Journal it. False when it was delivered before."""
        row = {"click_id": click, "platform": "slack", "kind": kind, "identity": origin.identity.model_dump_json(),
               "payload": payload, "now": self.engine.clock.now()}  # fmt: skip
        stored: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._arrived.append((row, stored))
        if self._storing is None or self._storing.done():
            self._storing = asyncio.create_task(self._store())
        new = await stored
        if new:
            self.in_hand.add(click)
        return new

    async def _store(self) -> None:
        """What arrived while the last transaction ran goes into the next one together: no click waits for another's."""
        while self._arrived:
            batch, self._arrived = self._arrived, []
            try:
                new = await self.engine.db.write(_receive_all, [row for row, _ in batch])
            except Exception as error:
                if len(batch) > 1:  # what one of them suffers from is not to be the others' loss
                    for alone in batch:
                        await self._store_alone(*alone)
                elif not batch[0][1].done():
                    batch[0][1].set_exception(error)
                continue
            for (_, stored), is_new in zip(batch, new, strict=True):
                if not stored.done():
                    stored.set_result(is_new)

    async def _store_alone(self, row: dict[str, Any], stored: asyncio.Future[bool]) -> None:
        try:
            new = await self.engine.db.write(_receive_all, [row])
        except Exception as error:
            if not stored.done():
                stored.set_exception(error)
        else:
            if not stored.done():
                stored.set_result(new[0])

    async def run(
        self, origin: Origin, work: Work, click: str = "", *, keep: bool = False, quiet: bool = False
    ) -> None:
        """Do it, tell how it ended, and close the journal row.

        ``keep``: where it breaks off in an unforeseen way (the database was away for a moment, say), nobody knows
        whether it was counted; the row stays open, and ``resume`` does it again. ``quiet``: that was told already.
        """
        self.in_hand.add(click)
        try:
            await self._run(origin, work, click, keep=keep, quiet=quiet)
        finally:
            self.in_hand.discard(click)

    async def _run(self, origin: Origin, work: Work, click: str, *, keep: bool, quiet: bool) -> None:
        state, said = "done", Notice(ok=True, said="done")
        try:
            made = await work()
            if made is not None:
                said = made
                await self._answer(origin, made, click)
        except GatehouseError as error:
            state, said = "refused", as_notice(error)
            await self._answer(origin, said, click)
        except Exception:
            log.exception("slack interaction failed")
            state, said = "failed", KEPT if keep else BROKEN
            if not quiet:
                await self._answer(origin, said, click)
            if keep:
                return
        if click:
            await self._close(click, state, said.said)

    async def _close(self, click: str, state: str, outcome: str) -> None:
        for wait in (0.1, 0.5, None):
            try:
                now = self.engine.clock.now()
                await self.engine.db.write(clicks.finish, click, state=state, outcome=outcome, now=now)
                return
            except Exception:
                if wait is None:
                    raise
                log.warning("the journal row of %s could not be closed, trying again", click, exc_info=True)
                await asyncio.sleep(wait)

    async def _answer(self, origin: Origin, said: Notice, click: str = "") -> None:
        """Tell it now; what Slack does not take now goes through the outbox, which keeps trying."""
        try:
            await self.tell(origin, said)
        except Exception as error:
            log.warning("a private answer to %s goes through the outbox (%s)", origin.user, error)
            line = " ".join(part for part in (said.said, said.mend) if part)
            now, dedupe = self.engine.clock.now(), f"answer:{click}:{said.said}"[:500] if click else ""
            try:
                await self.engine.db.write(
                    outbox.tell, self.engine.ids, now, f"slack:{origin.user}", line, dedupe=dedupe
                )
            except Exception:
                log.exception("a private answer could not be delivered to %s: %s", origin.user, line)

    # --- private answers ---------------------------------------------------------------------------------------------

    async def tell(self, origin: Origin, said: Notice) -> None:
        """A sentence to one person, in the dialog that is open or privately."""
        if origin.view:
            try:
                await self._call(lambda: self.client.views_update(view_id=origin.view, view=modals.notice(said)))
            except (Gone, Refused):
                log.info("the dialog was closed before its answer; answering outside of it")
            else:
                return
        await self.show(origin, build.notice_card(said))

    async def show(self, origin: Origin, card: Card) -> None:
        """A card only this person sees: ephemeral in the channel, else by the command's own way, else direct."""
        message = blockkit.message(card)
        if origin.channel:
            try:
                await self._call(
                    lambda: self.client.chat_postEphemeral(
                        channel=origin.channel, user=origin.user, thread_ts=origin.thread or None, **message
                    )
                )
            except (Refused, Gone) as error:
                log.info("no ephemeral message in %s: %s", origin.channel, error.reason)
            else:
                return
        if origin.respond_url and await self._respond(origin.respond_url, message):
            return
        channel = await open_direct(self.client, origin.user)
        await call(self.client.chat_postMessage(channel=channel, unfurl_links=False, **message), creates=True)

    async def say(self, origin: Origin, made: Notice | Card) -> Notice | None:
        """A card is shown now; a sentence is told by who runs the work."""
        if isinstance(made, Notice):
            return made
        await self.show(origin, made)
        return None

    async def turn(self, origin: Origin, card: Card) -> None:
        """The private message whose button was pressed, in place; where that cannot be, a new one."""
        if origin.respond_url and await self._respond(origin.respond_url, blockkit.message(card), replace=True):
            return
        await self.show(replace(origin, respond_url=""), card)

    async def _respond(self, url: str, message: Mapping[str, Any], *, replace: bool = False) -> bool:
        try:
            answer = await AsyncWebhookClient(url, timeout=10).send(
                text=message["text"], blocks=message["blocks"], response_type="ephemeral", replace_original=replace
            )
        except Exception as error:
            log.info("the command's response URL failed: %s", type(error).__name__)
            return False
        return answer.status_code == 200

    async def _call(self, request: Callable[[], Awaitable[Any]]) -> dict[str, Any]:
        """One repetition after a short 429: a person is waiting."""
        try:
            return await call(request())
        except RetryLater as error:
            if error.after is None or error.after > PATIENCE:
                raise
            await asyncio.sleep(error.after)
            return await call(request())

    async def actor(self, origin: Origin) -> Actor:
        return await self.engine.people.actor(origin.identity)

    async def press(self, origin: Origin, ids: Mapping[str, Any], channel: str, work: Work) -> Notice | None:
        """``work``, where what was pressed stands in ``channel`` or is this person's to see."""
        await acts.in_sight(self.engine, ids, f"slack:{channel}", partial(self.actor, origin))
        return await work()

    # --- dialogs -----------------------------------------------------------------------------------------------------

    async def open_dialog(
        self, origin: Origin, title: str, what: str, make: Callable[[], Awaitable[dict[str, Any]]]
    ) -> Notice | None:
        """Open at once (the trigger lives three seconds), then fill. Pressed in a dialog of ours, it lies on top."""
        light = modals.loading(title, what)
        if origin.above:
            opened = await call(self.client.views_push(trigger_id=origin.trigger, view=light))
        else:
            opened = await call(self.client.views_open(trigger_id=origin.trigger, view=light))
        view_id = str(opened["view"]["id"])
        try:
            view = await make()
        except GatehouseError as error:
            await self.tell(origin.inside(view_id), as_notice(error))
            return None
        except Exception:
            log.exception("a dialog could not be filled")
            await self.tell(origin.inside(view_id), Notice(ok=False, said="Something went wrong on our side.",
                            mend="Close this and try again; if it stays so, tell the operators."))  # fmt: skip
            return None
        try:
            await self._call(lambda: self.client.views_update(view_id=view_id, view=view))
        except Gone:
            log.info("the dialog was closed while it was being filled")
        return None

    async def review(self, origin: Origin, ids: Mapping[str, Any]) -> Notice | None:
        return await self.review_cause(origin, text_id(ids, "c"))

    async def review_cause(self, origin: Origin, wanted: str, *, typed: bool = False) -> Notice | None:
        async def make() -> dict[str, Any]:
            actor = await self.actor(origin)
            cause = await self.engine.sight.named(wanted, actor) if typed else wanted
            view = await acts.plan_of(self.engine, actor, cause)
            return modals.review(view, origin.channel)

        return await self.open_dialog(origin, "Review fix", "Reading the resource and making the plan", make)

    async def undo(self, origin: Origin, ids: Mapping[str, Any]) -> Notice | None:
        async def make() -> dict[str, Any]:
            view = await self.engine.approvals.look_undo(text_id(ids, "x"), await self.actor(origin))
            return modals.review(view, origin.channel)

        return await self.open_dialog(origin, "Review undo", "Reading the resource and making the plan", make)

    async def not_mine(self, origin: Origin, ids: Mapping[str, Any]) -> Notice | None:
        async def make() -> dict[str, Any]:
            cause = text_id(ids, "c")
            await self.engine.stewardship.require(cause, await self.actor(origin), "pass_on")
            return modals.not_mine(await self.engine.board.cause(cause), self.settings, origin.channel)

        return await self.open_dialog(origin, "Not mine", "One moment", make)

    async def snooze(self, origin: Origin, ids: Mapping[str, Any]) -> Notice | None:
        async def make() -> dict[str, Any]:
            cause = text_id(ids, "c")
            await self.engine.stewardship.require(cause, await self.actor(origin), "snooze")
            return modals.snooze(await self.engine.board.cause(cause), origin.channel)

        return await self.open_dialog(origin, "Snooze", "One moment", make)

    async def details(self, origin: Origin, ids: Mapping[str, Any]) -> Notice | None:
        cause = text_id(ids, "c")
        if origin.channel:
            await self.show(origin, build.details_card(await self.engine.board.cause(cause)))
            return None

        async def make() -> dict[str, Any]:
            return modals.show(build.details_card(await self.engine.board.cause(cause)), "Details")

        return await self.open_dialog(origin, "Details", "One moment", make)

    async def why(self, origin: Origin, ids: Mapping[str, Any]) -> Notice | None:
        return await self.tell_why(origin, text_id(ids, "s"))

    async def tell_why(self, origin: Origin, subject: str, *, typed: bool = False) -> Notice | None:
        async def card() -> Card:
            actor = await self.actor(origin)
            about = await self.engine.sight.named(subject, actor) if typed else subject
            return build.why_card(await self.engine.whys.why(about, actor))

        if origin.channel and not origin.above:
            await self.show(origin, await card())
            return None

        async def make() -> dict[str, Any]:
            return modals.show(await card(), "Why?")

        return await self.open_dialog(origin, "Why?", "Looking up the rule, your groups and the votes", make)

    async def page(self, origin: Origin, ids: Mapping[str, Any]) -> Notice | None:
        """The next or previous page: the filters are read anew, as strictly as when they were typed."""
        actor, words = await self.actor(origin), text_id(ids, WORDS)
        await self.turn(origin, await acts.findings(self.engine, actor, words, acts.start_of(ids)))
        return None

    async def revoke(self, origin: Origin, ids: Mapping[str, Any]) -> Notice | None:
        actor = await self.actor(origin)
        return await self.engine.delegations.revoke(text_id(ids, "d"), actor, click=origin.click)

    async def glass(self, origin: Origin, ids: Mapping[str, Any]) -> Notice | None:
        async def make() -> dict[str, Any]:
            view = await self.engine.approvals.look_glass(text_id(ids, "p"), await self.actor(origin))
            if view.glass is None:
                raise BadInput(
                    "The glass cannot be broken over this.", mend="Press Review fix to see what can be done."
                )
            return modals.glass(view, view.glass, origin.channel)

        return await self.open_dialog(origin, "Break the glass", "One moment", make)

    async def glass_ok(self, origin: Origin, ids: Mapping[str, Any]) -> Notice | None:
        return await self._glass_review(origin, ids, justified=True)

    async def glass_bad(self, origin: Origin, ids: Mapping[str, Any]) -> Notice | None:
        return await self._glass_review(origin, ids, justified=False)

    async def _glass_review(self, origin: Origin, ids: Mapping[str, Any], *, justified: bool) -> Notice | None:
        async def make() -> dict[str, Any]:
            view = await self.engine.approvals.glass.require(text_id(ids, "g"), await self.actor(origin))
            return modals.glass_review(view, justified, origin.channel)

        return await self.open_dialog(origin, "Review", "One moment", make)

    # --- submissions -------------------------------------------------------------------------------------------------

    async def submit_review(self, origin: Origin, ids: Mapping[str, Any], given: Mapping[str, str]) -> Notice:
        return await acts.decide(self.engine, await self.actor(origin), ids, given, origin.click)

    async def submit_glass(self, origin: Origin, ids: Mapping[str, Any], given: Mapping[str, str]) -> Notice:
        return await acts.break_glass(self.engine, await self.actor(origin), ids, given, origin.click)

    async def submit_glass_review(self, origin: Origin, ids: Mapping[str, Any], given: Mapping[str, str]) -> Notice:
        return await acts.review_glass(self.engine, await self.actor(origin), ids, given)

    async def submit_not_mine(self, origin: Origin, ids: Mapping[str, Any], given: Mapping[str, str]) -> Notice:
        return await acts.pass_on(self.engine, await self.actor(origin), ids, given)

    async def submit_snooze(self, origin: Origin, ids: Mapping[str, Any], given: Mapping[str, str]) -> Notice:
        return await acts.snooze(self.engine, await self.actor(origin), ids, given)

    # --- commands ----------------------------------------------------------------------------------------------------

    async def cmd_help(self, origin: Origin, _rest: str) -> Notice | None:
        await self.show(origin, build.help_card())
        return None

    async def cmd_findings(self, origin: Origin, rest: str) -> Notice | None:
        await self.show(origin, await acts.findings(self.engine, await self.actor(origin), rest, 0))
        return None

    async def cmd_why(self, origin: Origin, rest: str) -> Notice | None:
        return await self.tell_why(origin, acts.wanted("why", rest), typed=True)

    async def cmd_delegations(self, origin: Origin, _rest: str) -> Notice | None:
        lines = await self.engine.delegations.in_force(await self.actor(origin))
        await self.show(origin, build.delegations_card(lines))
        return None

    async def cmd_finding(self, origin: Origin, rest: str) -> Notice | None:
        wanted = await acts.named(self.engine, await self.actor(origin), "finding", rest)
        await self.show(origin, build.finding_card(await self.engine.board.finding(wanted)))
        return None

    async def cmd_fix(self, origin: Origin, rest: str) -> Notice | None:
        return await self.review_cause(origin, acts.wanted("fix", rest), typed=True)

    async def cmd_mine(self, origin: Origin, _rest: str) -> Notice | None:
        home = await self.engine.board.home(await self.actor(origin))
        await self.show(origin, build.mine_card(home.mine, home.mine_total))
        return None

    async def cmd_approvals(self, origin: Origin, _rest: str) -> Notice | None:
        await self.show(origin, welcome.approvals(await self.engine.board.home(await self.actor(origin))))
        return None

    async def waiting(self, origin: Origin, ids: Mapping[str, Any]) -> Notice | None:
        """A page of what waits for this person."""
        view = await self.engine.board.home(await self.actor(origin))
        await self.turn(origin, welcome.waiting_card(view, acts.start_of(ids), home=False))
        return None

    async def cmd_status(self, origin: Origin, _rest: str) -> Notice | None:
        await self.show(origin, build.status_card(await self.engine.board.status(await self.actor(origin))))
        return None

    async def cmd_freeze(self, origin: Origin, rest: str) -> Notice | None:
        return await acts.freeze(self.engine, await self.actor(origin), rest, origin.click)

    async def cmd_unfreeze(self, origin: Origin, rest: str) -> Notice | None:
        return await self.engine.controls.unfreeze(await self.actor(origin), rest, click=origin.click)

    # --- home --------------------------------------------------------------------------------------------------------

    async def publish_home(self, origin: Origin) -> None:
        try:
            view = blockkit.home(build.home_card(await self.engine.board.home(await self.actor(origin))))
        except GatehouseError as error:
            view = blockkit.home(build.notice_card(as_notice(error)))
        except Exception:
            log.exception("the home page could not be made")
            view = blockkit.home(build.notice_card(Notice(ok=False, said="This page could not be made.",
                                 mend="Open it again; if it stays so, tell the operators.")))  # fmt: skip
        try:
            await self._call(lambda: self.client.views_publish(user_id=origin.user, view=view))
        except ConnectorError as error:
            log.warning("the home page of %s could not be published: %s", origin.user, error.reason)


def _receive_all(conn: Connection, rows: Sequence[Mapping[str, Any]]) -> list[bool]:
    return [clicks.receive(conn, **row) for row in rows]
