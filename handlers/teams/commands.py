"""What people type to the bot in Teams. Each answers with a card for this person alone."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from bot.domain.errors import BadInput
from bot.domain.views import Notice
from cards import build
from cards.model import Bullets, Card, Code, Line, Small

from . import asking
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


async def findings_(desk: TeamsDesk, origin: Origin, rest: str) -> Reply:
    return await findings(desk, origin, rest, 0)


async def findings(desk: TeamsDesk, origin: Origin, words: str, offset: int) -> Reply:
    """One page; the filters are read anew, as strictly as when they were typed."""
    board = desk.engine.board
    filters, person = board.parse_filters(words), await desk.actor(origin)
    view = await board.findings(filters, offset=offset, person=person)
    if offset and not view.lines:  # fewer than when the page before was shown: the last one there is
        offset = max(0, (view.total - 1) // view.limit * view.limit)
        view = await board.findings(filters, offset=offset, person=person)
    return Reply(build.findings_card(view, words))


async def finding(desk: TeamsDesk, origin: Origin, rest: str) -> Reply:
    if not rest:
        raise BadInput("Which finding?", mend="finding ID; the ids stand in findings.")
    return Reply(build.finding_card(await desk.engine.board.finding(rest.split()[0])))


async def fix(desk: TeamsDesk, origin: Origin, rest: str) -> Reply:
    if not rest:
        raise BadInput("Fix what?", mend="fix ID with the id of a finding or of a card.")
    return await desk.review_of(origin, rest.split()[0])


async def why(desk: TeamsDesk, origin: Origin, rest: str) -> Reply:
    if not rest:
        raise BadInput("Why what?", mend="why ID with the id of a card, a plan or a request.")
    return await desk.why(origin, {"s": rest.split()[0]}, {})


async def mine(desk: TeamsDesk, origin: Origin, rest: str) -> Reply:
    shown = await desk.engine.board.home(await desk.actor(origin))
    return Reply(build.mine_card(shown.mine, shown.mine_total))


async def home(desk: TeamsDesk, origin: Origin, rest: str) -> Reply:
    """What App Home is in Slack."""
    return Reply(build.home_card(await desk.engine.board.home(await desk.actor(origin))))


async def status(desk: TeamsDesk, origin: Origin, rest: str) -> Reply:
    return Reply(build.status_card(await desk.engine.board.status()))


async def delegations(desk: TeamsDesk, origin: Origin, rest: str) -> Reply:
    return Reply(build.delegations_card(await desk.engine.delegations.in_force(await desk.actor(origin))))


async def freeze(desk: TeamsDesk, origin: Origin, rest: str) -> Reply:
    controls = desk.engine.controls
    if rest:
        return told(await controls.freeze(await desk.actor(origin), rest, click=origin.click), {})
    held = await controls.freezes()
    each = "; ".join(f"{one.scope} by {one.by}: {one.reason}" for one in held)
    said = f"Frozen: {each}." if each else "Nothing is frozen by command."
    return told(Notice(ok=True, said=said, mend="freeze [env:prod|account:ID] reason"), {})


async def unfreeze(desk: TeamsDesk, origin: Origin, rest: str) -> Reply:
    return told(await desk.engine.controls.unfreeze(await desk.actor(origin), rest, click=origin.click), {})


COMMANDS: dict[str, Callable[[TeamsDesk, Origin, str], Awaitable[Reply]]] = {
    "": help_,
    "ask": asking.question,
    "help": help_,
    "findings": findings_,
    "finding": finding,
    "fix": fix,
    "why": why,
    "mine": mine,
    "home": home,
    "status": status,
    "delegations": delegations,
    "freeze": freeze,
    "unfreeze": unfreeze,
}
