"""Which delegations are in force, and taking one back by its id: by its giver, its stand-in, or who may freeze.

Taking back only ever narrows who may decide, so whoever may stop all changes may do it, too.
"""

from __future__ import annotations

from sqlalchemy import Connection

from bot.domain.errors import Denied
from bot.domain.ids import Clock
from bot.domain.principals import Actor
from bot.domain.views import DelegationLine, Notice
from bot.store import controls as store
from bot.store import ledger, outbox
from bot.store.database import Database

from .people import People
from .policy import Policy, mend

RULE = "only its giver, its stand-in, or who may freeze"


class Delegations:
    def __init__(self, db: Database, policy: Policy, people: People, clock: Clock) -> None:
        self._db, self._policy, self._people, self._clock = db, policy, people, clock

    async def in_force(self, actor: Actor) -> tuple[DelegationLine, ...]:
        """All of them, one's own first. ``Denied`` where this person may not even look."""
        self._policy.may(actor, "review", None).require()
        return await self._db.read(self._lines, actor)

    def _lines(self, conn: Connection, actor: Actor) -> tuple[DelegationLine, ...]:
        found = store.delegations(conn, now=self._clock.now())
        me = actor.principal.id
        found.sort(key=lambda each: (me not in {each.from_id, each.to_id}, each.until))
        return tuple(
            DelegationLine(
                id=each.id,
                giver=self._people.person_in(conn, each.from_id),
                stand_in=self._people.person_in(conn, each.to_id),
                scope=each.scope,
                reason=each.reason,
                until=each.until,
                can_revoke=self._may_end(actor, each),
            )
            for each in found
        )

    def _may_end(self, actor: Actor, each: store.Delegation) -> bool:
        if actor.standing.objection() is None and actor.principal.id in {each.from_id, each.to_id}:
            return True
        return self._policy.may(actor, "freeze", None).allowed

    async def revoke(self, delegation_id: str, actor: Actor, *, click: str = "") -> Notice:
        """End it now; a vote cast under it no longer holds at execution. ``Denied`` where it is not theirs."""
        outcome = await self._db.write(self._revoke, delegation_id, actor, click)
        if isinstance(outcome, Denied):
            raise outcome
        return outcome

    def _revoke(self, conn: Connection, delegation_id: str, actor: Actor, click: str) -> Notice | Denied:
        now, who = self._clock.now(), actor.principal
        each = store.delegation(conn, delegation_id)
        if each is None:
            return Notice(ok=False, said="There is no such delegation.", mend="/gatehouse delegations lists them.")
        giver, stand_in = (self._people.person_in(conn, found).name for found in (each.from_id, each.to_id))
        if not self._may_end(actor, each):
            said = "this delegation is not yours to take back"
            body = {"wanted": "revoke", "rule": RULE, "reason": said,
                    "identity": actor.identity.model_dump(mode="json")}  # fmt: skip
            ledger.append(conn, kind="refused", subject=each.id, actor=who.id, body=body, now=now)
            could = (giver, stand_in, *self._policy.could(None, "freeze"))
            return Denied(said, rule=RULE, could=could, mend=mend(could))
        if not store.end_delegation(conn, each.id, now):
            return Notice(ok=True, said=f"{stand_in} no longer votes in the stead of {giver}.")
        body = {"to": each.to_id, "from": each.from_id, "click": click}
        ledger.append(conn, kind="delegation.ended", subject=each.id, actor=who.id, now=now, body=body)
        line = f"{who.name} took it back: {stand_in} no longer votes in the stead of {giver} ({each.scope})"
        for address in self._people.settings.routing.fallback:
            outbox.tell(conn, self._people.ids, now, address, line)
        return Notice(ok=True, said=f"{stand_in} no longer votes in the stead of {giver} ({each.scope}).")
