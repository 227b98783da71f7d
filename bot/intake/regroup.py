"""Causes split and merged by people: what rules see as one (or two) causes, somebody who knows better sets right.

Rules
- Remembered: what the sources report later goes the same way. Taken back, the rules' word holds again.
- Merged are only causes of the same environment, provider and fix: approval rules and plans tell causes apart by them.
- Not while somebody is asked to approve, or a fix runs: what was approved stays what it was.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, func, select, true

from bot.domain.errors import Conflict, Denied, NotFound
from bot.domain.ids import Clock, IdSource, short_hash
from bot.domain.principals import Actor
from bot.domain.silence import MoveLine, PartLine, RegroupView
from bot.domain.views import Notice
from bot.governance.policy import Policy, mend
from bot.intake.announce import NEW
from bot.intake.cleaning import clean
from bot.settings import Settings
from bot.store import causes, ledger, moves, outbox
from bot.store.causes import CAUSES, FINDINGS
from bot.store.database import Database
from bot.store.ledger import LEDGER
from bot.store.tables import ExecutionRow, RequestRow

REQUESTS = RequestRow.__table__  # type: ignore[attr-defined]
EXECUTIONS = ExecutionRow.__table__  # type: ignore[attr-defined]
OFFERED = 40
_RUNNING = ("queued", "running", "verifying")
_PARTS = (("rule", FINDINGS.c.rule_uid), ("source", FINDINGS.c.source), ("resource", FINDINGS.c.resource_uid))


class Regroup:
    """``Denied`` where the policy does not permit ``regroup`` in the cause's environment."""

    def __init__(self, db: Database, settings: Settings, clock: Clock, ids: IdSource, policy: Policy) -> None:
        self._db, self._settings, self._clock, self._ids, self._policy = db, settings, clock, ids, policy

    async def look(self, cause_id: str, actor: Actor, shown: ColumnElement[bool] | None = None) -> RegroupView:
        """What can be split off and merged with, for the dialog. Other causes only where they are ``shown``."""
        outcome = await self._db.write(self._look, cause_id, actor, shown)
        if isinstance(outcome, Denied):
            raise outcome
        return outcome

    def _look(
        self, conn: Connection, cause_id: str, actor: Actor, shown: ColumnElement[bool] | None
    ) -> RegroupView | Denied:
        cause = causes.get(conn, cause_id)
        refused = self._refusal(conn, cause, actor)
        if refused:
            return refused
        near = conn.execute(
            select(CAUSES.c.id, CAUSES.c.title, CAUSES.c.open_count, CAUSES.c.account_name, CAUSES.c.account_uid)
            .where(
                CAUSES.c.id != cause_id, CAUSES.c.state.in_(["open", "snoozed"]),
                CAUSES.c.environment == cause.environment, CAUSES.c.playbook == cause.playbook,
                CAUSES.c.provider == cause.provider, true() if shown is None else shown,
            )
            .order_by(
                (CAUSES.c.rule_uid == cause.rule_uid).desc(), (CAUSES.c.owner == cause.owner).desc(),
                (CAUSES.c.account_uid == cause.account_uid).desc(), CAUSES.c.priority, CAUSES.c.id,
            )
            .limit(OFFERED)
        ).all()  # fmt: skip
        return RegroupView(
            cause_id=cause.id, title=cause.title, open_count=cause.open_count,
            parts=tuple(PartLine(id=key, what=what, count=len(found))
                        for key, (what, found) in _parts(conn, cause_id).items()),
            others=tuple(PartLine(id=r.id, what=f"{r.title} ({r.account_name or r.account_uid})", count=r.open_count)
                         for r in near),
            made=tuple(MoveLine(kind=m.kind, by=m.by, reason=m.reason, at=m.at)
                       for m in moves.leading_to(conn, cause.key)[:OFFERED]),
        )  # fmt: skip

    async def merge(self, cause_id: str, into: str, actor: Actor, reason: str) -> Notice:
        """All of a cause becomes part of another."""
        return await self._do(self._merge, cause_id, into, actor, clean(reason))

    def _merge(self, conn: Connection, cause_id: str, into: str, actor: Actor, reason: str) -> Notice | Denied:
        now, who = self._clock.now(), actor.principal
        if cause_id == into:
            raise Conflict("A cause is itself already.", mend="Choose another one.")
        cause, other = causes.get(conn, cause_id), causes.get(conn, into)
        refused = self._refusal(conn, cause, actor) or self._refusal(conn, other, actor)
        if refused:
            return refused
        for name in ("environment", "provider", "playbook"):
            if getattr(cause, name) != getattr(other, name):
                raise Conflict(f"They differ in {name}: one plan could not fix both, or not under one rule.",
                               mend="Merge causes of one environment and one fix.")  # fmt: skip
        self._idle(conn, cause_id, into)
        if moves.load(conn).end(other.key) == cause.key:
            raise Conflict("That one is part of this one already.")
        found = list(conn.execute(select(FINDINGS.c.id).where(FINDINGS.c.cause_id == cause_id)).scalars())
        moves.merge(conn, cause.key, other.key, by=who.name, reason=reason, now=now)
        moves.move_findings(conn, found, into, other.owner, now)
        self._keep(conn, "cause.merged", cause_id, actor, {"into": into, "findings": found, "count": len(found),
                                                           "reason": reason}, now)  # fmt: skip
        self._recount(conn, {cause_id, into}, {}, now)
        outbox.refresh_cause(conn, self._ids, now, cause_id, note=f"{who.name} merged it into {other.title}")
        outbox.refresh_cause(conn, self._ids, now, into, note=f"{who.name} merged {cause.title} into it")
        return Notice(ok=True, said=f"Merged: {len(found):,} findings are part of “{other.title}” now.",
                      mend="Split or merge in its details takes it back.")  # fmt: skip

    async def split(self, cause_id: str, part: str, actor: Actor, reason: str) -> Notice:
        """One part of a cause (a rule, a source, a resource) becomes a cause of its own."""
        return await self._do(self._split, cause_id, part, actor, clean(reason))

    def _split(self, conn: Connection, cause_id: str, part: str, actor: Actor, reason: str) -> Notice | Denied:
        now, who = self._clock.now(), actor.principal
        cause = causes.get(conn, cause_id)
        refused = self._refusal(conn, cause, actor)
        if refused:
            return refused
        self._idle(conn, cause_id)
        what, found = _parts(conn, cause_id).get(part, ("", []))
        if not found:
            raise NotFound("There is no such part any more.", mend="Open Split or merge again.")
        key = moves.split(conn, found, cause.key, by=who.name, reason=reason, now=now)
        own = moves.cause_id(key)
        title = conn.execute(select(FINDINGS.c.title).where(FINDINGS.c.id == found[0])).scalar_one()
        seed = moves.seed_of(cause)
        made = causes.Seed(**{name: getattr(seed, name) for name in seed.__slots__} | {"id": own, "key": key,
                                                                                      "title": title})  # fmt: skip
        moves.move_findings(conn, found, own, cause.owner, now)
        self._keep(conn, "cause.split", cause_id, actor, {"part": what, "own": own, "findings": found[:1000],
                                                          "count": len(found), "reason": reason}, now)  # fmt: skip
        self._recount(conn, {cause_id, own}, {own: made}, now)
        outbox.refresh_cause(conn, self._ids, now, cause_id, note=f"{who.name} split off {what}")
        # A person made it, so its channel hears of it whatever the budget.
        causes.queue(conn, self._ids, now, [("card", own, address, NEW) for address in made.channels])
        return Notice(ok=True, said=f"Split off: {what}, {len(found):,} findings, is a cause of its own.")

    async def undo(self, cause_id: str, actor: Actor) -> Notice:
        """Forget what people said of this cause; with the next full report the rules' word holds again."""
        return await self._do(self._undo, cause_id, actor)

    def _undo(self, conn: Connection, cause_id: str, actor: Actor) -> Notice | Denied:
        now = self._clock.now()
        cause = causes.get(conn, cause_id)
        refused = self._refusal(conn, cause, actor)
        if refused:
            return refused
        self._idle(conn, cause_id)
        made = moves.leading_to(conn, cause.key)
        if not made:
            raise NotFound("Nobody split or merged this one.")
        sent: dict[str, list[str]] = {}
        for move in made:
            home = moves.cause_id(move.from_key)
            if move.kind == "split":
                sent.setdefault(home, []).append(move.subject)
            else:
                sent.setdefault(home, []).extend(_merged_from(conn, home))
        moves.forget(conn, cause.key)
        touched = {cause_id}
        for home, found in sent.items():
            owner = conn.execute(select(CAUSES.c.owner).where(CAUSES.c.id == home)).scalar()
            here = select(FINDINGS.c.id).where(FINDINGS.c.cause_id == cause_id)
            found = sorted(set(found) & set(conn.execute(here).scalars()))
            if owner is not None and found:
                moves.move_findings(conn, found, home, owner, now)
                touched.add(home)
        self._keep(conn, "cause.regrouped_back", cause_id, actor, {"to": sorted(sent)}, now)
        self._recount(conn, touched, {}, now)
        return Notice(ok=True, said="Taken back: its findings are where the rules put them.")

    def _recount(self, conn: Connection, touched: set[str], seeds: dict[str, causes.Seed], now: datetime) -> None:
        causes.refresh(conn, self._ids, now, touched, seeds)

    def _keep(
        self, conn: Connection, kind: str, cause_id: str, actor: Actor, body: dict[str, Any], now: datetime
    ) -> None:
        ledger.append(conn, kind=kind, subject=cause_id, actor=actor.principal.id, body=body, now=now)

    def _idle(self, conn: Connection, *cause_ids: str) -> None:
        asked = (
            select(func.count())
            .select_from(REQUESTS)
            .where(REQUESTS.c.cause_id.in_(cause_ids), REQUESTS.c.state == "pending")
        )
        runs = (
            select(func.count())
            .select_from(EXECUTIONS)
            .where(EXECUTIONS.c.cause_id.in_(cause_ids), EXECUTIONS.c.state.in_(_RUNNING))
        )
        if conn.execute(asked).scalar_one() or conn.execute(runs).scalar_one():
            raise Conflict("Somebody is asked to approve a fix of it, or a fix runs.", mend="Wait until it is over.")

    async def _do(self, work: Callable[..., Notice | Denied], *given: object) -> Notice:
        outcome = await self._db.write(work, *given)
        if isinstance(outcome, Denied):
            raise outcome
        return outcome

    def _refusal(self, conn: Connection, cause: Row[Any], actor: Actor) -> Denied | None:
        about = {"owner": cause.owner, "environment": cause.environment}
        verdict = self._policy.may(actor, "regroup", None, about)
        if verdict.allowed:
            return None
        body = {"wanted": "regroup", "rule": verdict.rule, "reason": verdict.reason,
                "identity": actor.identity.model_dump(mode="json")}  # fmt: skip
        ledger.append(
            conn, kind="refused", subject=cause.id, actor=actor.principal.id, body=body, now=self._clock.now()
        )
        return Denied(verdict.reason, rule=verdict.rule, could=verdict.could, mend=mend(verdict.could))


def _parts(conn: Connection, cause_id: str) -> dict[str, tuple[str, list[str]]]:
    """Id -> (in words, findings): what can be split off, so that something is left."""
    rows = conn.execute(
        select(FINDINGS.c.id, FINDINGS.c.rule_uid, FINDINGS.c.source, FINDINGS.c.resource_uid, FINDINGS.c.resource_name)
        .where(FINDINGS.c.cause_id == cause_id, FINDINGS.c.status != "resolved")
        .order_by(FINDINGS.c.id)
    ).all()
    found: dict[str, tuple[str, list[str]]] = {}
    for kind, column in _PARTS:
        values: dict[str, tuple[str, list[str]]] = {}
        for row in rows:
            value = getattr(row, column.name)
            shown = (row.resource_name or value) if kind == "resource" else value
            values.setdefault(value, (f"{kind} {shown}", []))[1].append(row.id)
        if len(values) > 1:
            for value, part in sorted(values.items(), key=lambda item: -len(item[1][1])):
                if value and len(found) < OFFERED:
                    found[short_hash(kind, value, prefix="part-")] = part
    return found


def _merged_from(conn: Connection, home: str) -> list[str]:
    """The findings that a merge took from ``home``, as the ledger kept them."""
    body = conn.execute(
        select(LEDGER.c.body)
        .where(LEDGER.c.subject == home, LEDGER.c.kind == "cause.merged")
        .order_by(LEDGER.c.seq.desc())
        .limit(1)
    ).scalar()
    return list(json.loads(body)["findings"]) if body else []
