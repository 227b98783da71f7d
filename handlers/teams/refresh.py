"""Cards of one's own: who gets one by itself (``refresh``), what stands on it, and what it costs.

Rules
- A channel's card has no button that decides. Teams asks us for the card of each person named in it, at most 60: those
  who may do most about it. Anybody else presses "Show my actions". The press of a button is decided when it comes.
- What Teams asks for by itself only reads, and is quick: one look at the revision; the rest is kept per revision and
  answered from memory to all who may do the same. So a channel that 60 people open costs 60 small answers.
- What is kept is found by the cause, its revision and this person's rights, which are all it was made from: nobody can
  be given another's card.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from bot.domain.errors import GatehouseError, NotFound
from bot.domain.principals import Actor, Platform, PlatformIdentity
from bot.domain.views import CauseRights, CauseView
from bot.engine import Engine
from bot.store import causes
from bot.store import teams as store
from cards import adaptive, build
from cards.model import Buttons, Card
from cards.words import ids as ids_text
from handlers.common import acts

from .deciders import Deciders
from .payloads import Origin
from .replies import Reply
from .seam import is_loopback

log = logging.getLogger(__name__)
VERB = "gh.card"
# What is opened as a dialog from a card of one's own, where the client has dialogs: the channel's card stays in view.
DIALOGS = frozenset({"gh.review", "gh.undo", "gh.not_mine", "gh.snooze", "gh.details", "gh.why"})
VIEWS, MADE = 256, 100  # causes that are kept, and cards of each
FRESH = timedelta(seconds=60)  # however the revision stands
_OWN = "29:" + "x" * 150  # as long as an id of Teams; the reader's own stands there in what is sent


@dataclass(slots=True)
class _Held:
    """A cause, and the cards made of it by rights and dialogs: they go with it."""

    at: datetime
    view: CauseView
    made: dict[tuple[CauseRights, frozenset[str]], adaptive.Json] = field(default_factory=dict)


class Personal:
    """The cards of causes, for everybody and for one person."""

    def __init__(self, engine: Engine, deciders: Deciders | None = None) -> None:
        self._engine, self._deciders = engine, deciders
        self._views: OrderedDict[str, _Held] = OrderedDict()

    # --- what all see ------------------------------------------------------------------------------------------------

    async def shared(self, view: CauseView, place: store.Conversation) -> tuple[Card, adaptive.Refresh | None]:
        """The card for a conversation, and for whom Teams shall ask for another."""
        card = build.shared_card(view)
        if self._deciders is None or not _leads_on(card):
            return card, None
        members = await self._deciders.of(place)
        known: list[tuple[Actor, str]] = []
        for user, member in sorted(members.items()):
            actor = self._remembered(place.tenant, user)
            if actor is not None:
                known.append((actor, member))
        ids = {actor.identity: member for actor, member in known}
        try:
            facing = await self._engine.rights.facing(view, [actor for actor, _ in known]) if known else []
        except GatehouseError as error:  # no reason to hold the card back
            log.warning("nobody is named in a card of Teams (%s)", error.reason)
            facing = []
        named = tuple(ids[actor.identity] for actor in facing)
        return card, _refresh(view, named) if named else None

    async def direct(self, view: CauseView, tenant: str, user: str) -> Card:
        """The card in somebody's own chat."""
        actor = self._remembered(tenant, user)
        return (
            build.personal_card(view, await self._engine.rights.of(view, actor)) if actor else build.shared_card(view)
        )

    # --- what one person sees ----------------------------------------------------------------------------------------

    async def reply(self, origin: Origin, cause_id: str) -> Reply:
        """For somebody who pressed: the account is read as for every press."""
        actor = await self._engine.people.actor(origin.identity)
        view = await self._engine.board.cause(cause_id)
        card = build.personal_card(view, await self._engine.rights.of(view, actor))
        return Reply(card, refresh=_refresh(view, (origin.member,)), dialogs=_dialogs(origin))

    async def automatic(self, origin: Origin, cause_id: str) -> adaptive.Json | None:
        """For Teams, which asks by itself: by what is remembered of the account. None where there is none of their own:
        what is shown stays."""
        actor = self._remembered(origin.tenant, origin.user)
        if actor is None or not self._engine.policy.may(actor, "review", None).allowed:
            return None
        try:
            await acts.in_sight(self._engine, {"c": cause_id}, f"teams:{origin.place}", lambda: _at_once(actor))
        except NotFound:
            return None
        held = await self._held(cause_id)
        rights, dialogs = await self._engine.rights.of(held.view, actor), _dialogs(origin)
        made = held.made.get((rights, dialogs))
        if made is None:
            card = build.personal_card(held.view, rights)
            made = adaptive.content(card, refresh=_refresh(held.view, (_OWN,)), dialogs=dialogs)
            if len(held.made) < MADE:
                held.made[rights, dialogs] = made
        return {**made, "refresh": {**made["refresh"], "userIds": [origin.member]}}

    # --- the parts ---------------------------------------------------------------------------------------------------

    def _remembered(self, tenant: str, user: str) -> Actor | None:
        return self._engine.people.remembered(PlatformIdentity(platform=Platform.TEAMS, tenant=tenant, user=user))

    async def _held(self, cause_id: str) -> _Held:
        """As it is now: kept while its revision stands."""
        now, held = self._engine.clock.now(), self._views.get(cause_id)
        young = held is not None and now - held.at < FRESH
        if held is not None and young and await self._engine.db.read(causes.revision, cause_id) == held.view.revision:
            return held
        held = self._views[cause_id] = _Held(now, await self._engine.board.cause(cause_id))
        self._views.move_to_end(cause_id)
        while len(self._views) > VIEWS:
            self._views.popitem(last=False)
        return held


async def _at_once(actor: Actor) -> Actor:
    return actor


def _refresh(view: CauseView, members: tuple[str, ...]) -> adaptive.Refresh:
    """The revision is in it, so that an update is another question to Teams' cache of answers, too."""
    return adaptive.Refresh(VERB, ids_text(c=view.id, v=view.revision), members)


def _dialogs(origin: Origin) -> frozenset[str]:
    """All clients of Teams have dialogs; a local Teams (the playground) has none, unless its client says what it is."""
    local = is_loopback(urlsplit(origin.service_url).hostname or "")
    return DIALOGS if origin.client or not local else frozenset()


def _leads_on(card: Card) -> bool:
    """Whether anybody may have other buttons than these."""
    buttons = [button for part in card.body if isinstance(part, Buttons) for button in part.items]
    return any(button.action == "gh.actions" for button in buttons)
