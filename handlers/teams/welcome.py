"""Where the app was just installed, and the home card, which is what App Home is in Slack."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from bot.domain.answers import START
from cards import build, welcome
from handlers.common import acts

from .payloads import Origin, click_of
from .replies import Given, Ids, Reply

if TYPE_CHECKING:
    from .desk import TeamsDesk


def arrives(activity: Mapping[str, Any]) -> bool:
    """The app was put there: told once by installationUpdate, whatever other news comes with it."""
    return activity.get("type") == "installationUpdate" and str(activity.get("action", "")).startswith("add")


async def greet(desk: TeamsDesk, origin: Origin, activity: Mapping[str, Any]) -> None:
    origin = replace(origin, click=click_of(activity, origin))
    if not await desk.received(origin, activity, "event.installed"):
        return

    async def work() -> Reply:
        if origin.kind != "personal":
            return Reply(_team(desk, origin, activity), here=True)
        return replace(await home(desk, origin, {}, {}), offers=START, offered_to=origin.member)

    if origin.kind == "personal":
        from .commands import help_card

        await desk.deliver(origin, Reply(help_card()))
    await desk.deliver(origin, await desk.run(work, {}, origin.click))


def _team(desk: TeamsDesk, origin: Origin, activity: Mapping[str, Any]) -> Any:
    routing, address = desk.settings.routing, f"teams:{origin.place}"
    owners = tuple(owner.name or key for key, owner in sorted(routing.owners.items()) if address in owner.channels)
    sender = activity.get("from")
    name = sender.get("name") if isinstance(sender, Mapping) else ""
    by = name.strip()[:100] if isinstance(name, str) else ""
    return welcome.team_card(by, address, owners, fallback=address in routing.fallback)


async def home(desk: TeamsDesk, origin: Origin, _: Ids, __: Given) -> Reply:
    """What waits for me, what I asked for, what is mine."""
    shown = await desk.engine.board.home(await desk.actor(origin))
    return Reply(welcome.with_buttons(build.home_card(shown), len(shown.waiting)))


async def waiting(desk: TeamsDesk, origin: Origin, ids: Ids, _: Given) -> Reply:
    """A page of what waits for this person, in place of the home card."""
    shown = await desk.engine.board.home(await desk.actor(origin))
    return Reply(welcome.waiting_card(shown, acts.start_of(ids)))
