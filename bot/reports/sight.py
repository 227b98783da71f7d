"""What a person may see outside of questions: the rights that questions have, over lists, numbers and single things.

Rules
- ``ask.visibility: team`` shows the rows that questions show (``bot.ask.sql.Rights``), and what one owns oneself.
- One cause more is seen by whoever may decide on it, was asked for it or took part in it.
- Where a card stands in a channel, or belongs there, a press in that channel may name its cause.
- A no says what is said of an id that does not exist.
"""

from __future__ import annotations

import json
from typing import Protocol

from sqlalchemy import ColumnElement, Connection, false, or_, select

from bot.ask.sql import rights_of
from bot.domain.errors import Denied, NotFound
from bot.domain.principals import Actor, Principal
from bot.domain.views import CauseRights, CauseView, FindingView, Option
from bot.settings import Settings
from bot.store.database import Database
from bot.store.plans import CAUSES, EXECUTIONS, FINDINGS, PLANS, REQUESTS, VOTES
from bot.store.posts import POSTS

_DECIDES = frozenset({Option.APPROVE, Option.REJECT})
_BEHIND = {"plan-": PLANS, "req-": REQUESTS, "exec-": EXECUTIONS}  # ids that lead to a cause


def require_member(actor: Actor) -> None:
    """Raises ``Denied`` for whoever is no member of this company in good standing."""
    standing = actor.standing
    rules = (
        (not standing.active, "guard-deactivated", standing.note or "the account is deactivated"),
        (standing.bot, "guard-bot", "a bot asks no questions"),
        (standing.external, "guard-external", "the account belongs to another organisation"),
        (standing.guest, "guard-guest", "guests may not ask about the company's posture"),
    )
    for refused, rule, why in rules:
        if refused:
            raise Denied(why, rule=rule, mend="Ask a full member of this workspace.")


def unseen(wanted: str) -> NotFound:
    """The same for what is not to be seen and for what does not exist."""
    what = "cause " if wanted.startswith("c-") else ""
    return NotFound(f"There is no {what}{wanted[:80]} that you may see.", mend="Ask its owners.")


def owners_of(settings: Settings, person: Actor | Principal) -> tuple[str, ...]:
    """The owner ids that are this person or the person's team."""
    who = person.principal if isinstance(person, Actor) else person
    setting = settings.people.get(who.id)
    return tuple(dict.fromkeys(o for o in (who.id, who.team, setting.team if setting else None) if o))


def seen_by(settings: Settings, person: Actor | Principal | None) -> ColumnElement[bool] | None:
    """The condition over findings; None where everything is seen. ``person`` None is the operator."""
    if person is None or settings.ask.visibility == "company":
        return None
    if isinstance(person, Actor) and person.standing.objection():
        return false()
    who = person.principal if isinstance(person, Actor) else person
    rights = rights_of(settings.ask, who.team, who.role)
    if rights.everything:
        return None
    return or_(rights.condition(), FINDINGS.c.owner.in_(owners_of(settings, who)))


def causes_of(seen: ColumnElement[bool], settings: Settings, person: Actor | Principal) -> ColumnElement[bool]:
    """The condition over causes for ``seen`` over findings: whose rows one may see, or which one owns."""
    if isinstance(person, Actor) and person.standing.objection():
        return false()
    shown = select(FINDINGS.c.cause_id).where(seen)
    return or_(CAUSES.c.owner.in_(owners_of(settings, person)), CAUSES.c.id.in_(shown))


class Things(Protocol):
    """The part of ``Board`` that is needed."""

    async def cause(self, cause_id: str) -> CauseView: ...

    async def finding(self, finding_id: str, seen: ColumnElement[bool] | None = None) -> FindingView: ...


class May(Protocol):
    """The part of ``bot.remediation.rights.Rights`` that is needed."""

    async def of(self, view: CauseView, actor: Actor) -> CauseRights: ...


class Sight:
    def __init__(self, db: Database, settings: Settings, board: Things, rights: May) -> None:
        self._db, self._settings, self._board, self._rights = db, settings, board, rights

    @property
    def limited(self) -> bool:
        """Whether anybody sees less than everything."""
        return self._settings.ask.visibility != "company"

    async def named(self, wanted: str, actor: Actor) -> str:
        """The full id of what somebody typed, who may see it. ``Denied`` for guests, ``NotFound`` as for nothing."""
        require_member(actor)
        wanted = wanted.strip()
        seen = seen_by(self._settings, actor)
        if seen is None:
            return wanted
        if wanted.startswith(("c-", *_BEHIND)):
            await self.require(wanted, actor)
            return wanted
        return await self._finding(wanted, actor, seen)

    async def _finding(self, wanted: str, actor: Actor, seen: ColumnElement[bool]) -> str:
        """By its id or the beginning of it; a finding of a cause that one decides on by its whole id only."""
        try:
            return (await self._board.finding(wanted, seen)).id
        except NotFound:
            cause = await self._db.read(_cause_of_finding, wanted)
            if not cause or not await self._party(cause, actor):
                raise
            return wanted

    async def stands(self, subject: str, address: str) -> bool:
        """Whether the cause of ``subject`` has its card in ``platform:channel``, or belongs there: whoever is in a
        channel sees what stands there."""
        return await self._db.read(_stands, subject, address)

    async def require(self, subject: str, actor: Actor) -> None:
        """``subject``: the id of a cause, finding, plan, request or execution. Raises ``NotFound``. What is none of
        these ids leads to no cause, and the next one to read it says so."""
        if seen_by(self._settings, actor) is None:
            return
        cause = await self._db.read(_cause_behind, subject)
        if cause is None:
            return
        if not cause or not await self.sees(cause, actor):
            raise unseen(subject)

    async def sees(self, cause_id: str, actor: Actor) -> bool:
        """Whether this person may be shown a cause."""
        seen = seen_by(self._settings, actor)
        if seen is None or await self._db.read(self._shown, cause_id, actor, seen):
            return True
        return await self._party(cause_id, actor)

    def _shown(self, conn: Connection, cause_id: str, actor: Actor, seen: ColumnElement[bool]) -> bool:
        if actor.standing.objection():
            return False
        found = select(FINDINGS.c.id).where(FINDINGS.c.cause_id == cause_id, seen)
        owned = select(CAUSES.c.id).where(CAUSES.c.id == cause_id, CAUSES.c.owner.in_(owners_of(self._settings, actor)))
        return any(conn.execute(each.limit(1)).first() is not None for each in (found, owned))

    async def _party(self, cause_id: str, actor: Actor) -> bool:
        """Whether it is this person's to decide, was asked of them, or asked or decided by them."""
        if actor.standing.objection():
            return False
        if await self._db.read(_took_part, cause_id, actor.principal.id):
            return True
        try:
            view = await self._board.cause(cause_id)
        except NotFound:
            return False
        asked = view.request is not None and not actor.groups.isdisjoint(view.request.rule.groups)
        return asked or not _DECIDES.isdisjoint((await self._rights.of(view, actor)).may)


def _stands(conn: Connection, subject: str, address: str) -> bool:
    platform, _, channel = address.partition(":")
    cause = _cause_behind(conn, subject)
    if not channel or not cause:
        return False
    posted = select(POSTS.c.id).where(
        POSTS.c.kind == "cause",
        POSTS.c.subject == cause,
        POSTS.c.platform == platform,
        POSTS.c.channel == channel,
        POSTS.c.message_id != "",
    )
    # A digest shows what belongs to its channel. The list is canonical JSON: an address stands in it between quotes.
    listed = CAUSES.c.channels.contains(json.dumps(address), autoescape=True)
    routed = select(CAUSES.c.id).where(CAUSES.c.id == cause, listed)
    return any(conn.execute(each.limit(1)).first() is not None for each in (posted, routed))


def _cause_behind(conn: Connection, subject: str) -> str | None:
    """ "" where there is nothing of this id; None where it is no id of something with a cause."""
    if subject.startswith("c-"):
        return subject
    if subject.startswith("f-"):
        return _cause_of_finding(conn, subject)
    for start, table in _BEHIND.items():
        if subject.startswith(start):
            return str(conn.execute(select(table.c.cause_id).where(table.c.id == subject)).scalar() or "")
    return None


def _cause_of_finding(conn: Connection, finding_id: str) -> str:
    return str(conn.execute(select(FINDINGS.c.cause_id).where(FINDINGS.c.id == finding_id)).scalar() or "")


def _took_part(conn: Connection, cause_id: str, principal: str) -> bool:
    mine = select(REQUESTS.c.id).where(REQUESTS.c.cause_id == cause_id, REQUESTS.c.requested_by == principal)
    voted = (
        select(VOTES.c.id)
        .join(REQUESTS, REQUESTS.c.id == VOTES.c.request_id)
        .where(REQUESTS.c.cause_id == cause_id, VOTES.c.principal_id == principal)
    )
    return any(conn.execute(each.limit(1)).first() is not None for each in (mine, voted))
