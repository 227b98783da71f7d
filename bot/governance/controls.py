"""Freezes and delegations: what a person sets by command, each with its ledger record in one transaction."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import Connection

from bot.domain.errors import BadInput, Denied
from bot.domain.ids import Clock, IdSource
from bot.domain.principals import Actor, PlatformIdentity
from bot.domain.views import Notice
from bot.intake.cleaning import clean
from bot.store import controls as store
from bot.store import ledger, outbox
from bot.store.database import Database

from .people import People
from .policy import STRANGER, Policy

ENVIRONMENTS = ("prod", "staging", "dev", "test", "sandbox", "unknown")
MAX_DELEGATION_DAYS = 90
_SCOPES = {"env": "environments", "account": "accounts", "playbook": "playbooks"}


@dataclass(frozen=True, slots=True)
class Wish:
    """A delegation as it is asked for; ``patterns`` by "environments", "accounts", "playbooks", empty for all."""

    patterns: dict[str, tuple[str, ...]]
    days: int
    reason: str


class Controls:
    def __init__(self, db: Database, policy: Policy, people: People, clock: Clock, ids: IdSource) -> None:
        self._db, self._policy, self._people, self._clock, self._ids = db, policy, people, clock, ids

    # --- freeze ------------------------------------------------------------------------------------------------------

    async def freeze(self, actor: Actor, text: str, *, click: str = "") -> Notice:
        """``[env:prod|account:123] reason``: nothing is approved, begun or gone on with in this scope."""
        kind, value, reason = _scope(text)
        if not reason:
            raise BadInput("A freeze needs a reason.", mend="/gatehouse freeze [env:prod|account:ID] reason")
        return _settle(await self._db.write(self._freeze, actor, kind, value, reason, click))

    def _freeze(
        self, conn: Connection, actor: Actor, kind: str, value: str, reason: str, click: str
    ) -> Notice | Denied:
        now, who = self._clock.now(), actor.principal
        refused = self._refusal(conn, actor, "freeze")
        if refused:
            return refused
        made = store.Freeze(self._ids.new("frz"), kind, value, who.name, reason, now)
        if any((each.kind, each.value) == (kind, value) for each in store.freezes(conn)):
            return Notice(ok=True, said=f"Frozen already: {made.scope}.")
        store.add_freeze(conn, made)
        ledger.append(conn, kind="freeze.began", subject=made.id, actor=who.id, now=now,
                      body={"scope": made.scope, "reason": reason, "click": click})  # fmt: skip
        self._announce(conn, f"🧊 {who.name} froze changes ({made.scope}): {reason}")
        scope = "" if kind == "all" else f"{made.scope} "
        return Notice(
            ok=True,
            said=f"Frozen: {made.scope}. What runs stops before its next step.",
            mend=f"/gatehouse unfreeze {scope}reason ends it.",
        )

    async def unfreeze(self, actor: Actor, text: str, *, click: str = "") -> Notice:
        """End the freeze of exactly this scope."""
        kind, value, reason = _scope(text)
        return _settle(await self._db.write(self._unfreeze, actor, kind, value, reason, click))

    def _unfreeze(
        self, conn: Connection, actor: Actor, kind: str, value: str, reason: str, click: str
    ) -> Notice | Denied:
        now, who = self._clock.now(), actor.principal
        refused = self._refusal(conn, actor, "freeze")
        if refused:
            return refused
        scope = "everything" if kind == "all" else f"{kind}:{value}"
        if not store.end_freezes(conn, kind, value, who.id, now):
            left = ", ".join(each.scope for each in store.freezes(conn)) or "nothing"
            return Notice(ok=False, said=f"There is no freeze of {scope}.", mend=f"Frozen now: {left}.")
        body = {"reason": reason, "click": click}
        ledger.append(conn, kind="freeze.ended", subject=scope, actor=who.id, now=now, body=body)
        self._announce(conn, f"{who.name} ended the freeze ({scope}){': ' + reason if reason else ''}")
        return Notice(ok=True, said=f"No longer frozen: {scope}.", mend="What was stopped is asked for again.")

    async def freezes(self) -> list[store.Freeze]:
        return await self._db.read(store.freezes)

    # --- delegation --------------------------------------------------------------------------------------------------

    async def delegate(self, actor: Actor, to: PlatformIdentity, text: str | Wish, *, click: str = "") -> Notice:
        """``7d [env:dev] [account:…] [playbook:…] reason``: ``to`` votes in the actor's stead until then."""
        wish = _wish(text) if isinstance(text, str) else text
        other = await self._people.actor(to)
        objection = other.standing.objection()
        if other.principal.id == actor.principal.id:
            raise BadInput("You cannot stand in for yourself.", mend="Name another person.")
        if objection or other.principal.id.startswith(STRANGER):
            said = objection or "the account is not bound to a person in gatehouse.yml"
            raise BadInput(f"{other.principal.name} cannot vote for you: {said}.", mend="Name another person.")
        return _settle(await self._db.write(self._delegate, actor, other, wish, click))

    def _delegate(self, conn: Connection, actor: Actor, other: Actor, wish: Wish, click: str) -> Notice | Denied:
        now, who = self._clock.now(), actor.principal
        refused = self._refusal(conn, actor, "delegate")
        if refused:
            return refused
        made = store.Delegation(
            id=self._ids.new("dlg"), from_id=who.id, from_identity=actor.identity, to_id=other.principal.id,
            playbooks=wish.patterns["playbooks"], environments=wish.patterns["environments"],
            accounts=wish.patterns["accounts"], reason=wish.reason, at=now, until=now + timedelta(days=wish.days),
        )  # fmt: skip
        store.end_delegations(conn, who.id, other.principal.id, now)
        store.add_delegation(conn, made)
        body = {"to": made.to_id, "scope": made.scope, "until": made.until, "reason": wish.reason, "click": click}
        ledger.append(conn, kind="delegation.made", subject=made.id, actor=who.id, now=now, body=body)
        name, until = other.principal.name, f"until {made.until:%Y-%m-%d %H:%M} UTC"
        self._announce(conn, f"{who.name} lets {name} vote in their stead ({made.scope}) {until}: {wish.reason}")
        said = f"{name} may vote in your stead ({made.scope}) {until}."
        return Notice(ok=True, said=said, mend="/gatehouse undelegate @user ends it.")

    async def undelegate(self, actor: Actor, to: PlatformIdentity, *, click: str = "") -> Notice:
        """Take it back; a vote already cast in one's stead no longer holds at execution."""
        other = await self._people.actor(to)
        return await self._db.write(self._undelegate, actor, other, click)

    def _undelegate(self, conn: Connection, actor: Actor, other: Actor, click: str) -> Notice:
        now, who = self._clock.now(), actor.principal
        if not store.end_delegations(conn, who.id, other.principal.id, now):
            return Notice(ok=False, said=f"{other.principal.name} does not vote in your stead.")
        ledger.append(conn, kind="delegation.ended", subject=who.id, actor=who.id, now=now,
                      body={"to": other.principal.id, "click": click})  # fmt: skip
        return Notice(ok=True, said=f"{other.principal.name} no longer votes in your stead.")

    # --- shared ------------------------------------------------------------------------------------------------------

    def _refusal(self, conn: Connection, actor: Actor, action: str) -> Denied | None:
        verdict = self._policy.may(actor, action, None)
        if verdict.allowed:
            return None
        body = {"wanted": action, "rule": verdict.rule, "reason": verdict.reason,
                "identity": actor.identity.model_dump(mode="json")}  # fmt: skip
        ledger.append(conn, kind="refused", subject=action, actor=actor.principal.id, body=body, now=self._clock.now())
        return Denied(verdict.reason, rule=verdict.rule, could=verdict.could)

    def _announce(self, conn: Connection, line: str) -> None:
        for address in self._people.settings.routing.fallback:
            outbox.tell(conn, self._ids, self._clock.now(), address, line)


def _settle(outcome: Notice | Denied) -> Notice:
    if isinstance(outcome, Denied):
        raise outcome
    return outcome


def _scope(text: str) -> tuple[str, str, str]:
    word, _, rest = text.strip().partition(" ")
    kind, colon, value = word.partition(":")
    if not colon or kind not in {"env", "account"}:
        return "all", "", clean(text.strip(), 500)
    if kind == "env" and value not in ENVIRONMENTS:
        raise BadInput(f"There is no environment {value[:40]!r}.", mend=f"One of {', '.join(ENVIRONMENTS)}.")
    if not value:
        raise BadInput("Which account?", mend="/gatehouse freeze account:123456789012 reason")
    return kind, value[:120], clean(rest.strip(), 500)


def _wish(text: str) -> Wish:
    patterns: dict[str, list[str]] = {name: [] for name in _SCOPES.values()}
    days = 0
    words: list[str] = []
    for word in text.split():
        kind, colon, value = word.partition(":")
        if colon and kind in _SCOPES and value and not words:
            patterns[_SCOPES[kind]].append(value[:120])
        elif not days and not words and word[:-1].isdecimal() and word[-1] == "d" and len(word) < 5:
            days = int(word[:-1])
        else:
            words.append(word)
    mend = "/gatehouse delegate @user 7d [env:dev] [account:ID] [playbook:ID] reason"
    if not 1 <= days <= MAX_DELEGATION_DAYS:
        raise BadInput(f"Until when? 1d to {MAX_DELEGATION_DAYS}d.", mend=mend)
    if not words:
        raise BadInput("A delegation needs a reason.", mend=mend)
    return Wish({name: tuple(found) for name, found in patterns.items()}, days, clean(" ".join(words), 500))
