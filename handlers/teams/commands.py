"""What people type to the bot in Teams. Each answers with a card for this person alone."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from cards import build
from cards import welcome as cards_welcome
from cards.model import Card
from cards.notices import COMMANDS as COMMANDS_OF_ALL
from handlers.common import acts

from . import asking, delegation, rules, standing, welcome
from .payloads import Origin
from .replies import Reply, told

if TYPE_CHECKING:
    from .desk import TeamsDesk

# What Teams has besides, and why: Slack shows it on its Home tab.
MORE: tuple[tuple[str, str], ...] = (("home", "what waits for my approval, what I asked for, what is mine"),)
# Teams takes twelve commands for its menu; these follow from others, or need no word.
UNLISTED = {"ask", "finding", "mine", "undelegate", "unfreeze"}
USAGE = tuple(each for each in (*COMMANDS_OF_ALL, *MORE) if each[0].split(" ")[0] not in UNLISTED)
NOTE = (
    "In a channel mention Gatehouse first; commands are answered in our chat, questions where everybody may see the "
    "answer. People are mentioned in a channel; in our chat delegate alone asks for whom."
)


def help_card() -> Card:
    return build.help_card(call="", more=MORE, note=NOTE)


async def help_(desk: TeamsDesk, origin: Origin, rest: str) -> Reply:
    return Reply(help_card())


async def findings(desk: TeamsDesk, origin: Origin, rest: str) -> Reply:
    return Reply(await acts.findings(desk.engine, await desk.actor(origin), rest, 0))


async def finding(desk: TeamsDesk, origin: Origin, rest: str) -> Reply:
    wanted = await acts.named(desk.engine, await desk.actor(origin), "finding", rest)
    return Reply(build.finding_card(await desk.engine.board.finding(wanted)))


async def fix(desk: TeamsDesk, origin: Origin, rest: str) -> Reply:
    return await desk.review_of(origin, await acts.named(desk.engine, await desk.actor(origin), "fix", rest))


async def why(desk: TeamsDesk, origin: Origin, rest: str) -> Reply:
    return await desk.why(origin, {"s": await acts.named(desk.engine, await desk.actor(origin), "why", rest)}, {})


async def mine(desk: TeamsDesk, origin: Origin, rest: str) -> Reply:
    shown = await desk.engine.board.home(await desk.actor(origin))
    return Reply(build.mine_card(shown.mine, shown.mine_total))


async def approvals(desk: TeamsDesk, origin: Origin, rest: str) -> Reply:
    return Reply(cards_welcome.approvals(await desk.engine.board.home(await desk.actor(origin))))


async def home(desk: TeamsDesk, origin: Origin, rest: str) -> Reply:
    """What App Home is in Slack."""
    return await welcome.home(desk, origin, {}, {})


async def status(desk: TeamsDesk, origin: Origin, rest: str) -> Reply:
    return Reply(build.status_card(await desk.engine.board.status(await desk.actor(origin))))


async def freeze(desk: TeamsDesk, origin: Origin, rest: str) -> Reply:
    return told(await acts.freeze(desk.engine, await desk.actor(origin), rest, origin.click), {})


async def unfreeze(desk: TeamsDesk, origin: Origin, rest: str) -> Reply:
    return told(await desk.engine.controls.unfreeze(await desk.actor(origin), rest, click=origin.click), {})


COMMANDS: dict[str, Callable[[TeamsDesk, Origin, str], Awaitable[Reply]]] = {
    "": help_,
    "ask": asking.question,
    "help": help_,
    "findings": findings,
    "finding": finding,
    "fix": fix,
    "why": why,
    "approvals": approvals,
    "mine": mine,
    "home": home,
    "status": status,
    "delegate": delegation.delegate,
    "undelegate": delegation.undelegate,
    "delegations": delegation.command_list,
    "standing": standing.command,
    "rules": rules.command,
    "freeze": freeze,
    "unfreeze": unfreeze,
}
_ALONE = frozenset({"help", "approvals", "home", "mine", "status", "delegations"})  # with more words it is a question
_ONE = frozenset({"finding", "fix", "why"})  # these take one id: "why is this P1?" takes none
_IT = frozenset({"it", "this", "that", "them"})  # "fix it" goes on from what was talked about


def meant(word: str, rest: str) -> Callable[[TeamsDesk, Origin, str], Awaitable[Reply]] | None:
    """The command somebody typed; None for a question, which may well begin with a command's word."""
    words = len(rest.split())
    if (word in _ALONE and words) or (word in _ONE and (words > 1 or rest.strip(" .!?").lower() in _IT)):
        return None
    return COMMANDS.get(word)
