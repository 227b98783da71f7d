"""What people do with a cause short of fixing it: pass it on, put it off, accept the risk until a date.

Each writes its ledger record and the card's refresh in one transaction, and answers with a sentence for the person.
Who may is the policy's word, asked here for whatever platform the click came from; a refusal is recorded, too.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from difflib import get_close_matches
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from bot.domain.errors import Denied
from bot.domain.findings import Status
from bot.domain.ids import Clock, IdSource, canonical
from bot.domain.principals import Actor
from bot.domain.views import Notice
from bot.governance.policy import Policy, mend
from bot.intake.announce import NEW, announce
from bot.intake.cleaning import clean
from bot.intake.routing import Router
from bot.settings import Settings
from bot.store import causes, findings, ledger, outbox, overrides, posts, routes, tellings
from bot.store.database import Database
from bot.store.overrides import Override
from bot.store.tables import ExceptionRow

EXCEPTIONS = ExceptionRow.__table__  # type: ignore[attr-defined]
MAX_SNOOZE_DAYS = 90
MAX_EXCEPTION_DAYS = 366


class Stewardship:
    """``Denied`` (rule, reason, who could) where the policy permits it not; without a policy the settings' own one."""

    def __init__(
        self, db: Database, settings: Settings, clock: Clock, ids: IdSource, policy: Policy | None = None
    ) -> None:
        self._db, self._settings, self._clock, self._ids = db, settings, clock, ids
        self._policy = policy or Policy.load(settings.governance)

    async def require(self, cause_id: str, actor: Actor, action: str) -> None:
        """``Denied`` where this person may not ``pass_on``, ``snooze`` or ``accept_risk`` this cause: asked before a
        dialog opens. What is sent from the dialog is asked anew."""
        refused = await self._db.write(lambda conn: self._refusal(conn, causes.get(conn, cause_id), actor, action))
        if refused:
            raise refused

    def _refusal(self, conn: Connection, cause: Row[Any], actor: Actor, action: str) -> Denied | None:
        """Recorded in the ledger; raised by the caller once that is committed."""
        about = {"owner": cause.owner, "environment": cause.environment}
        verdict = self._policy.may(actor, action, None, about)
        if verdict.allowed:
            return None
        body = {"wanted": action, "rule": verdict.rule, "reason": verdict.reason,
                "identity": actor.identity.model_dump(mode="json")}  # fmt: skip
        now = self._clock.now()
        ledger.append(conn, kind="refused", subject=cause.id, actor=actor.principal.id, body=body, now=now)
        return Denied(verdict.reason, rule=verdict.rule, could=verdict.could, mend=mend(verdict.could))

    async def not_mine(self, cause_id: str, actor: Actor, to: str, reason: str) -> Notice:
        """Pass the cause on to owner ``to`` ("" when nobody knows: the fallback hears of it)."""
        owners = self._settings.routing.owners
        if to and to not in owners:
            close = get_close_matches(to, owners, 1)
            hint = f"Did you mean {close[0]}? " if close else ""
            return Notice(
                ok=False, said=f"There is no owner {to[:60]!r}.", mend=f"{hint}Known: {', '.join(sorted(owners))}."
            )
        return _settle(await self._db.write(self._not_mine, cause_id, actor, to, clean(reason)))

    def _not_mine(self, conn: Connection, cause_id: str, actor: Actor, to: str, reason: str) -> Notice | Denied:
        now, who = self._clock.now(), actor.principal
        cause = causes.get(conn, cause_id)
        refused = self._refusal(conn, cause, actor, "pass_on")
        if refused:
            return refused
        if cause.owner == to:
            has = self._owner_name(to) if to else "nobody"
            return Notice(ok=False, said=f"It already belongs to {has}.", mend="Name another owner.")
        route = Router(self._settings.routing).passed_on(Override(to, who.name, reason))
        overrides.save(conn, cause_key=cause.key, owner=to, by=who.name, reason=reason, now=now)
        routes.passed_on(
            conn, self._ids, now, cause_id=cause_id, rule=cause.owner_rule, owner=cause.owner, to=to, by=who.id
        )
        channels = canonical(list(route.channels)).decode()
        causes.set_owner(conn, cause_id, owner=route.owner, reason=clean(route.reason), channels=channels,
                         rule=route.rule)  # fmt: skip
        findings.set_owner(conn, cause_id, route.owner, now)
        ledger.append(conn, kind="cause.passed_on", subject=cause_id, actor=who.id, now=now,
                      body={"from": cause.owner, "to": to, "reason": reason})  # fmt: skip
        name = self._owner_name(to) if to else "the fallback channel"
        note = f"{who.name} passed it on to {name}"
        outbox.refresh_cause(conn, self._ids, now, cause_id, note=note)
        outbox.say_in_thread(conn, self._ids, now, cause_id, f"{note}{': ' + reason if reason else ''}.")
        # A person sent it there, so the new channel hears of it whatever its budget.
        there = posts.cause_addresses(conn, [cause_id]).get(cause_id, [])
        wishes = [("card", cause_id, address, NEW) for address in route.channels if address not in there]
        causes.queue(conn, self._ids, now, wishes)
        mend = "" if route.channels else "Nobody is told: set routing.fallback in gatehouse.yml."
        return Notice(ok=True, said=f"Passed on to {name}.", mend=mend)

    def _owner_name(self, owner: str) -> str:
        found = self._settings.routing.owners.get(owner)
        return found.name if found is not None else owner

    async def snooze(self, cause_id: str, actor: Actor, days: int, reason: str) -> Notice:
        """Put the cause off for some days; it wakes by itself."""
        if not 1 <= days <= MAX_SNOOZE_DAYS:
            return Notice(ok=False, said=f"{days} days is out of range.", mend=f"Choose 1 to {MAX_SNOOZE_DAYS} days.")
        return _settle(await self._db.write(self._snooze, cause_id, actor, days, clean(reason)))

    def _snooze(self, conn: Connection, cause_id: str, actor: Actor, days: int, reason: str) -> Notice | Denied:
        now, who = self._clock.now(), actor.principal
        cause = causes.get(conn, cause_id)
        refused = self._refusal(conn, cause, actor, "snooze")
        if refused:
            return refused
        if cause.state not in {"open", "snoozed"}:
            return Notice(ok=False, said=f"It is {cause.state}, there is nothing to put off.")
        until = now + timedelta(days=days)
        note = f"{who.name} put it off until {until:%Y-%m-%d}"
        causes.set_state(conn, cause_id, state="snoozed", note=note, snoozed_until=until)
        ledger.append(conn, kind="cause.snoozed", subject=cause_id, actor=who.id, now=now,
                      body={"until": until, "reason": reason})  # fmt: skip
        outbox.refresh_cause(conn, self._ids, now, cause_id, note=note)
        outbox.say_in_thread(conn, self._ids, now, cause_id, f"{note}{': ' + reason if reason else ''}.")
        overdue = cause.due is not None and cause.due < until
        mend = f"It is due on {cause.due:%Y-%m-%d}, before it wakes." if overdue else ""
        return Notice(ok=True, said=f"Put off until {until:%Y-%m-%d}.", mend=mend)

    async def accept_risk(self, cause_id: str, actor: Actor, until: datetime, reason: str) -> Notice:
        """Accept the risk of what is open in the cause until a date; then it returns by itself."""
        now = self._clock.now()
        if not reason.strip():
            return Notice(ok=False, said="An accepted risk needs a reason.", mend="Say why it is acceptable.")
        if not now < until <= now + timedelta(days=MAX_EXCEPTION_DAYS):
            return Notice(
                ok=False, said="The date must lie in the next twelve months.", mend="Choose a date to look again."
            )
        return _settle(await self._db.write(self._accept_risk, cause_id, actor, until, clean(reason.strip())))

    def _accept_risk(
        self, conn: Connection, cause_id: str, actor: Actor, until: datetime, reason: str
    ) -> Notice | Denied:
        now, who = self._clock.now(), actor.principal
        refused = self._refusal(conn, causes.get(conn, cause_id), actor, "accept_risk")
        if refused:
            return refused
        why = f"risk accepted by {who.name} until {until:%Y-%m-%d}: {reason}"
        accepted = findings.of_cause(conn, cause_id, causes.OPEN)
        count = findings.set_status(conn, cause_id, causes.OPEN, Status.EXCEPTED, why, now)
        if not count:
            return Notice(ok=False, said="Nothing of it is open, there is no risk to accept.")
        exception = self._ids.new("exc")
        told = f"Risk accepted in Gatehouse until {until:%Y-%m-%d}: {reason} ({exception})"
        tellings.tell(conn, accepted, to="accepted", note=told, reason_id=exception, now=now, until=until)
        row = {"id": exception, "cause_id": cause_id, "by": who.id, "reason": reason, "at": now, "until": until}
        conn.execute(insert(EXCEPTIONS), row)
        ledger.append(conn, kind="risk.accepted", subject=cause_id, actor=who.id, now=now,
                      body={"exception": exception, "findings": count, "until": until, "reason": reason})  # fmt: skip
        causes.refresh(conn, self._ids, now, {cause_id})
        note = f"{who.name} accepted the risk until {until:%Y-%m-%d}"
        outbox.refresh_cause(conn, self._ids, now, cause_id, note=note)
        outbox.say_in_thread(conn, self._ids, now, cause_id, f"{note}: {reason}")
        return Notice(ok=True, said=f"Accepted until {until:%Y-%m-%d} for {count} findings; then it returns.")

    async def wake_due(self) -> int:
        """Wake what was put off, accepted or suppressed until now. Returns how many causes changed."""
        return await self._db.write(self._wake_due)

    def _wake_due(self, conn: Connection) -> int:
        now = self._clock.now()
        woken: dict[str, str] = dict.fromkeys(causes.snoozed_until(conn, now), "no longer put off")
        for exception in conn.execute(
            select(EXCEPTIONS).where(EXCEPTIONS.c.ended_at.is_(None), EXCEPTIONS.c.until <= now)
        ).all():
            conn.execute(update(EXCEPTIONS).where(EXCEPTIONS.c.id == exception.id).values(ended_at=now))
            cause_id = exception.cause_id
            if _accepted_longer(conn, cause_id, now):
                continue
            count = findings.set_status(
                conn, cause_id, [Status.EXCEPTED.value], Status.OPEN, "the accepted risk ran out", now
            )
            ledger.append(conn, kind="risk.expired", subject=cause_id, actor="gatehouse", now=now,
                          body={"exception": exception.id, "findings": count})  # fmt: skip
            if count:
                woken[cause_id] = "the accepted risk ran out"
        woken |= dict.fromkeys(findings.wake_suppressed(conn, now), "its suppression ran out")
        causes.refresh(conn, self._ids, now, woken)
        for cause_id, why in woken.items():
            if why == "no longer put off":
                ledger.append(conn, kind="cause.woken", subject=cause_id, actor="gatehouse", now=now, body={"why": why})
            outbox.refresh_cause(conn, self._ids, now, cause_id, note=why)
            outbox.say_in_thread(conn, self._ids, now, cause_id, f"Open again: {why}.")
        self._announce_unposted(conn, now, woken)
        return len(woken)

    def _announce_unposted(self, conn: Connection, now: datetime, woken: dict[str, str]) -> None:
        """What was never posted (held in a digest, or suppressed from the start) is announced like any new cause."""
        there = posts.cause_addresses(conn, woken)
        fresh = [causes.Refreshed(c.id, c.priority, c.channels, c.open_count, c.state, True, False)
                 for c in (causes.get(conn, cause_id) for cause_id in woken if cause_id not in there)
                 if c.state == "open"]  # fmt: skip
        announce(conn, self._ids, now, self._settings.routing, fresh, self._settings.attention)


def _settle(outcome: Notice | Denied) -> Notice:
    if isinstance(outcome, Denied):
        raise outcome
    return outcome


def _accepted_longer(conn: Connection, cause_id: str, now: datetime) -> bool:
    query = select(EXCEPTIONS.c.id).where(
        EXCEPTIONS.c.cause_id == cause_id, EXCEPTIONS.c.ended_at.is_(None), EXCEPTIONS.c.until > now
    )
    return conn.execute(query).first() is not None
