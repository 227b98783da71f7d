"""What people type to the bot in Teams. Each answers with a card for this person alone."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from cards import build
from cards.model import Bullets, Card, Code, Line, Small
from handlers.common import acts

from . import asking, rules, standing
from .payloads import Origin
from .replies import Reply, told

if TYPE_CHECKING:
    from .desk import TeamsDesk

USAGE: tuple[tuple[str, str], ...] = (
    ("ask QUESTION", "a question about posture, also without the word: how many criticals are open in prod?"),
    ("findings [filters]", 'open findings; filters such as critical, prod, owner:payments, "any text"'),
    ("finding ID", "one finding in full"),
    ("fix ID", "review the fix of a finding or cause"),
    ("why ID", "why I can or cannot approve: rule, facts and who could"),
    ("home", "what waits for my approval, what I asked for, what is mine"),
    ("mine", "what is open and mine"),
    ("status", "how Gatehouse itself is doing"),
    ("delegations", "who votes in whose stead; take one back"),
    ("standing [revoke ID]", "what was approved in advance; end it"),
    ("rules [new …|hidden|end ID]", "suppression rules: what is noise, who said so, what is hidden"),
    ("freeze [env:prod|account:ID] reason", "nothing is approved or changed there; alone: what is frozen"),
    ("unfreeze [env:prod|account:ID] reason", "end that freeze"),
    ("help", "this list"),
)


def help_card() -> Card:
    lines: tuple[Line, ...] = tuple((Code(usage), f" {what}") for usage, what in USAGE)
    names = ", ".join(usage.split(" ")[0] for usage, _ in USAGE)
    return Card(
        title="Gatehouse",
        summary="Gatehouse brings cloud security findings to their owners and fixes them after an authorised click. "
        f"Commands: {names}.",
        status=("Nothing is changed before an authorised person has approved the exact plan.",),
        body=(
            Bullets(lines, heading="Commands"),
            Small(("In a channel mention Gatehouse first; the answer comes in our chat.",)),
        ),
    )


async def help_(desk: TeamsDesk, origin: Origin, rest: str) -> Reply:
    return Reply(help_card())


async def findings(desk: TeamsDesk, origin: Origin, rest: str) -> Reply:
    return Reply(await acts.findings(desk.engine, await desk.actor(origin), rest, 0))


async def finding(desk: TeamsDesk, origin: Origin, rest: str) -> Reply:
    wanted = acts.wanted(rest, "Which finding?", "finding ID; the ids stand in findings.")
    return Reply(build.finding_card(await desk.engine.board.finding(wanted)))


async def fix(desk: TeamsDesk, origin: Origin, rest: str) -> Reply:
    return await desk.review_of(origin, acts.wanted(rest, "Fix what?", "fix ID with the id of a finding or of a card."))


async def why(desk: TeamsDesk, origin: Origin, rest: str) -> Reply:
    wanted = acts.wanted(rest, "Why what?", "why ID with the id of a card, a plan or a request.")
    return await desk.why(origin, {"s": wanted}, {})


async def mine(desk: TeamsDesk, origin: Origin, rest: str) -> Reply:
    shown = await desk.engine.board.home(await desk.actor(origin))
    return Reply(build.mine_card(shown.mine, shown.mine_total))


async def home(desk: TeamsDesk, origin: Origin, rest: str) -> Reply:
    """What App Home is in Slack."""
    return Reply(build.home_card(await desk.engine.board.home(await desk.actor(origin))))


async def status(desk: TeamsDesk, origin: Origin, rest: str) -> Reply:
    return Reply(build.status_card(await desk.engine.board.status()))


async def delegations(desk: TeamsDesk, origin: Origin, rest: str) -> Reply:
    return await desk.delegations(origin, {}, {})


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
    "mine": mine,
    "home": home,
    "status": status,
    "delegations": delegations,
    "standing": standing.command,
    "rules": rules.command,
    "freeze": freeze,
    "unfreeze": unfreeze,
}
