"""The Bolt app: one command, one action pattern, dispatched by tables. Journal, acknowledge, then work."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

from slack_bolt.async_app import AsyncAck, AsyncApp, AsyncBoltContext
from slack_bolt.response import BoltResponse
from slack_sdk.web.async_client import AsyncWebClient

from bot.domain.principals import Platform, PlatformIdentity
from bot.domain.views import Notice
from bot.engine import Engine
from bot.settings import Settings
from bot.store import clicks
from handlers.common.left import COMMAND_ACTS, KEEP_TRYING, close_unanswered

from . import asking, delegation, modals, narrative, regroup, rules, standing, witnesses
from .desk import Desk
from .payloads import (
    Origin,
    action_of,
    answers,
    click_id,
    ids_of,
    journal_of,
    origin_of,
    shown_in,
    team_of,
    text_id,
    unescaped,
    verb_of,
)

log = logging.getLogger(__name__)
COMMAND = "/gatehouse"
UNSIGNED = "gatehouse-socket-mode-has-no-signing-secret"

ACTIONS: dict[str, Callable[[Desk, Origin, Mapping[str, Any]], Awaitable[Notice | None]]] = {
    "review": Desk.review,
    "undo": Desk.undo,
    "not_mine": Desk.not_mine,
    "snooze": Desk.snooze,
    "details": Desk.details,
    "split": witnesses.split,
    "merge": witnesses.merge,
    "pre_approve": standing.pre_approve,
    "standing_revoke": standing.revoke,
    "standing_confirm": standing.confirm,
    "rule_new": rules.new,
    "rule_activate": rules.activate,
    "rule_end": rules.end,
    "rule_show": rules.show,
    "regroup": regroup.open_,
    "why": Desk.why,
    "page": Desk.page,
    "waiting": Desk.waiting,
    "revoke": Desk.revoke,
    "glass": Desk.glass,
    "glass_ok": Desk.glass_ok,
    "glass_bad": Desk.glass_bad,
    "ask_prompt": asking.prompt,
    "ask_check": asking.check,
    "ask_more": asking.more,
    "ask_page": asking.page,
    "ask_feedback": asking.feedback,
    "prose_good": narrative.good,
    "prose_bad": narrative.bad,
    "prose_why": narrative.why,
}
LINKS = {"console"}  # Slack opens them; they still want an answer
COMMANDS: dict[str, Callable[[Desk, Origin, str], Awaitable[Notice | None]]] = {
    "": Desk.cmd_help,
    "help": Desk.cmd_help,
    "ask": asking.command,
    "findings": Desk.cmd_findings,
    "finding": Desk.cmd_finding,
    "fix": Desk.cmd_fix,
    "why": Desk.cmd_why,
    "approvals": Desk.cmd_approvals,
    "mine": Desk.cmd_mine,
    "status": Desk.cmd_status,
    "standing": standing.command,
    "rules": rules.command,
    "freeze": Desk.cmd_freeze,
    "unfreeze": Desk.cmd_unfreeze,
    "delegate": delegation.delegate,
    "undelegate": delegation.undelegate,
    "delegations": Desk.cmd_delegations,
}
MENTIONS = {"delegate", "undelegate"}  # they read the mention of a person from the text as Slack escaped it
SUBMISSIONS: dict[str, Callable[[Desk, Origin, Mapping[str, Any], Mapping[str, str]], Awaitable[Notice | None]]] = {
    modals.REVIEW: Desk.submit_review,
    modals.NOT_MINE: Desk.submit_not_mine,
    modals.SNOOZE: Desk.submit_snooze,
    modals.GLASS: Desk.submit_glass,
    modals.GLASS_REVIEW: Desk.submit_glass_review,
    standing.PRE_APPROVE: standing.submit,
    rules.NEW_RULE: rules.submit,
    regroup.REGROUP: regroup.submit,
    delegation.DELEGATE: delegation.submit,
    asking.ABOUT: asking.submit_about,
    asking.COMMENT: asking.submit_comment,
}


class GatehouseApp(AsyncApp):
    """Bolt's app and the desk that does its work."""

    desk: Desk


def build_app(engine: Engine, settings: Settings, client: AsyncWebClient) -> GatehouseApp:
    """The app of one workspace. Without a signing secret (Socket Mode) no HTTP request is ever accepted."""
    secret = settings.slack_signing_secret.get_secret_value() if settings.slack_signing_secret else ""
    app = GatehouseApp(
        client=client,
        signing_secret=secret or UNSIGNED + engine.ids.new("key"),
        process_before_response=True,
    )
    desk = app.desk = Desk(engine, settings, client)
    app.middleware(workspace_guard(desk, settings))
    app.command(COMMAND)(_on_command(desk))
    app.action(re.compile(r"^gh\."))(_on_action(desk))
    app.view(re.compile(r"^gh\."))(_on_submission(desk, settings))
    app.event("app_home_opened")(_on_home(desk))
    asking.register(app, desk)
    app.event("subteam_members_changed")(_on_change(desk))
    app.event("user_change")(_on_change(desk))
    return app


def workspace_guard(desk: Desk, settings: Settings) -> Callable[..., Awaitable[BoltResponse | None]]:
    async def only_our_workspace(
        body: dict[str, Any], context: AsyncBoltContext, next: Callable[[], Awaitable[None]]
    ) -> BoltResponse | None:
        authorised = context.authorize_result
        ours = settings.slack.team or (authorised.team_id if authorised else None) or ""
        team = team_of(body)
        if ours and team == ours:
            await next()
            return None
        log.warning("refused an interaction of workspace %r, ours is %r", team[:20], ours)
        said = Notice(ok=False, said="Gatehouse takes no commands from another workspace.", rule="other-workspace")
        if "command" in body:
            return BoltResponse(status=200, body={"response_type": "ephemeral", "text": said.said})
        origin = origin_of(body) if body.get("type") == "block_actions" else None
        if origin and origin.channel and origin.user:
            desk.spawn(desk.run(origin, _refuse(said)))
        return BoltResponse(status=200, body="")

    return only_our_workspace


def _refuse(said: Notice) -> Callable[[], Awaitable[Notice]]:
    async def work() -> Notice:
        return said

    return work


def _on_action(desk: Desk) -> Callable[..., Awaitable[None]]:
    async def on_action(ack: AsyncAck, body: dict[str, Any]) -> None:
        action, origin = action_of(body), origin_of(body)
        verb = verb_of(str(action.get("action_id", "")))
        if verb in LINKS:
            await ack()
            return
        handler = ACTIONS.get(verb)
        if handler is None:
            await ack()
            said = Notice(ok=False, said="This button is of another version of Gatehouse.", mend="Use a newer card.")
            desk.spawn(desk.run(origin, _refuse(said)))
            return
        click = click_id(body)
        origin = replace(origin, click=click)
        new = await desk.receive(click, f"action.{verb}", origin, journal_of(body))
        await ack()
        if new:
            ids = ids_of(action.get("value"))
            work = partial(desk.press, origin, ids, shown_in(body), partial(handler, desk, origin, ids))
            desk.spawn(desk.run(origin, work, click))

    return on_action


def _on_command(desk: Desk) -> Callable[..., Awaitable[None]]:
    async def on_command(ack: AsyncAck, body: dict[str, Any]) -> None:
        origin = origin_of(body)
        word, _, rest = str(body.get("text") or "").strip().partition(" ")
        handler = COMMANDS.get(word.lower())
        if word.lower() not in MENTIONS:
            rest = unescaped(rest)
        if handler is None:
            await ack()
            word = unescaped(word)
            said = Notice(ok=False, said=f"I do not know “{word[:40]}”.", mend="/gatehouse help lists the commands.")
            desk.spawn(desk.run(origin, _refuse(said)))
            return
        click = click_id(body)
        origin = replace(origin, click=click)
        new = await desk.receive(click, f"command.{word.lower() or 'help'}", origin, journal_of(body))
        await ack()
        if new:
            desk.spawn(desk.run(origin, partial(handler, desk, origin, rest.strip()), click))

    return on_command


def _on_submission(desk: Desk, settings: Settings) -> Callable[..., Awaitable[None]]:
    def check(callback: str, ids: Mapping[str, Any], given: Mapping[str, str]) -> dict[str, str]:
        if callback == standing.PRE_APPROVE:
            return standing.check(given)
        if callback == rules.NEW_RULE:
            return rules.check(given)
        if callback == regroup.REGROUP:
            return regroup.check(given)
        if callback == delegation.DELEGATE:
            return delegation.check(settings, given)
        if callback == asking.ABOUT:
            return asking.check_about(given)
        if callback == asking.COMMENT:
            return {}
        if callback == modals.REVIEW:
            return modals.check_review(ids, given)
        if callback == modals.GLASS:
            return modals.check_glass(given)
        if callback == modals.GLASS_REVIEW:
            return modals.check_glass_review(given)
        return modals.check_not_mine(settings, given) if callback == modals.NOT_MINE else modals.check_snooze(given)

    async def on_submission(ack: AsyncAck, body: dict[str, Any]) -> None:
        view = body.get("view") or {}
        callback = str(view.get("callback_id", ""))
        handler = SUBMISSIONS.get(callback)
        if handler is None:
            await ack()
            return
        ids, given = ids_of(view.get("private_metadata")), answers(view)
        # Before the journal: a dialog that is sent back for correction keeps its id and hash.
        wrong = check(callback, ids, given)
        if wrong:
            await ack(response_action="errors", errors=wrong)
            return
        click = click_id(body)
        origin = replace(origin_of({**body, "channel": {"id": text_id(ids, "ch")}}), click=click)
        new = await desk.receive(click, f"submit.{callback}", origin, journal_of(body))
        await ack()
        if new:
            work = partial(desk.press, origin, ids, origin.channel, partial(handler, desk, origin, ids, given))
            desk.spawn(_submitted(desk, origin, work, click))

    return on_submission


async def resume(desk: Desk, after: timedelta = timedelta(minutes=1)) -> int:
    """Finish what a crash or a fault left in the journal. A submission is done now: the engine decides anew whether it
    may be and whether it was done already. What nobody waits for any more (a dialog, a list) is closed and its person
    told. How many there were."""
    now = desk.engine.clock.now()
    found = await desk.engine.db.read(clicks.unfinished, now - after)
    left = [c for c in found if c.platform == "slack" and c.id not in desk.in_hand]
    for click in left:
        kept = json.loads(click.payload)
        handler = SUBMISSIONS.get(str(kept.get("callback", "")))
        identity = PlatformIdentity.model_validate_json(click.identity)
        if click.kind == asking.EVENT and now - click.received_at < KEEP_TRYING:
            await asking.again(desk, click.id, kept, identity.user, identity.tenant)
            continue
        done = await desk.engine.db.read(clicks.came_to, click.id, COMMAND_ACTS)
        if done or handler is None or not click.kind.startswith("submit."):
            await desk.engine.db.write(close_unanswered, desk.engine.ids, click.id, f"slack:{identity.user}", now)
            continue
        ids, given = ids_of(kept.get("metadata")), {str(k): str(v) for k, v in kept.get("answers", {}).items()}
        team = str(kept.get("team", ""))
        origin = Origin(
            team=team, user=identity.user, user_team=identity.tenant, channel=text_id(ids, "ch"), click=click.id
        )
        keep = now - click.received_at < KEEP_TRYING
        work = partial(desk.press, origin, ids, origin.channel, partial(handler, desk, origin, ids, given))
        await _submitted(desk, origin, work, click.id, keep=keep, quiet=keep)
    return len(left)


async def _submitted(
    desk: Desk,
    origin: Origin,
    work: Callable[[], Awaitable[Notice | None]],
    click: str,
    *,
    keep: bool = True,
    quiet: bool = False,
) -> None:
    await desk.run(origin, work, click, keep=keep, quiet=quiet)
    if not origin.channel:  # it was opened from the home page, which shows what waits
        await desk.publish_home(origin)


def _on_home(desk: Desk) -> Callable[..., Awaitable[None]]:
    async def on_home(ack: AsyncAck, event: dict[str, Any], body: dict[str, Any]) -> None:
        await ack()
        if event.get("tab", "home") == "home":
            team = team_of(body)
            desk.spawn(desk.publish_home(Origin(team=team, user=str(event.get("user", "")), user_team="")))
        elif event.get("tab") == "messages":
            desk.spawn(asking.welcome(desk, str(event.get("channel") or "")))

    return on_home


def _on_change(desk: Desk) -> Callable[..., Awaitable[None]]:
    """Members of a user group, or an account itself: what was believed of them is read anew at the next question."""

    async def on_change(ack: AsyncAck, event: dict[str, Any]) -> None:
        await ack()
        user, people = event.get("user"), desk.engine.people
        if event.get("type") == "subteam_members_changed":
            people.forget(Platform.SLACK, group=str(event.get("subteam_id") or ""))
        elif isinstance(user, dict) and user.get("id"):
            people.forget(Platform.SLACK, user=str(user["id"]))
            desk.roster.forget(str(user["id"]))

    return on_change
