"""Drift at execution asks again: what was approved is void, the present state is planned and asked for anew.

Rules
- Only what the executor stopped before its first step, and noted in the ledger as ``drift.found``, is answered; once,
  noted as ``drift.answered`` in the same transaction, whatever number of replicas look and wherever one dies.
- The new request is made in the name of whoever asked before, if they still may; no vote is carried over.
- What is fixed already is said and not asked again.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, exists, select

from bot.domain.errors import Conflict, ConnectorError, GatehouseError, Gone
from bot.domain.ids import short_hash
from bot.domain.plans import Plan, PlanKind
from bot.domain.principals import Actor
from bot.store import ledger, plans
from bot.store.ledger import LEDGER

from .execution import DRIFT_FOUND
from .office import Office
from .states import differences

ANSWERED = "drift.answered"
KEEP_TRYING = timedelta(hours=24)  # a cloud that cannot be read is asked again for so long
_AT_ONCE = 20
_SHOWN = 8

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Drift:
    execution: str
    plan: str
    request: str
    why: str
    at: datetime


class Drifts(Office):
    async def answer(self, found: Drift) -> bool:
        """Ask again, or say why not. False when it was answered already, or the cloud cannot be read now."""
        try:
            old, request = await self._db.read(_facts, found)
        except GatehouseError as error:  # what was approved can no longer be read: nothing to plan again from
            return await self._db.write(self._give_up, found, error.reason)
        person = await self._db.read(self._people.person_in, request.facts.requested_by)
        actor = None
        if person.identities:
            actor = await self._people.fresh(person.id, person.identities[0])
        plan, why = None, ""
        try:
            if old.kind is PlanKind.UNDO:
                plan = await self._planner.plan_undo(old.undoes or "")
            else:
                plan = await self._planner.plan(old.cause_id)
        except Conflict as error:  # nothing to be done (any more)
            why = error.reason
        except ConnectorError as error:
            if not isinstance(error, Gone) and self._clock.now() - found.at < KEEP_TRYING:
                log.info("the drift of %s is answered later: %s", found.execution, error.reason)
                return False
            why = error.reason
        except GatehouseError as error:
            why = error.reason
        return await self._db.write(self._answer, found, old, request, actor, person.name, plan, why)

    def _give_up(self, conn: Connection, found: Drift, why: str) -> bool:
        ledger.lock(conn)
        if _is_answered(conn, found.execution):
            return False
        body = {"request": "", "before": found.request, "said": f"No new request: {why}", "differences": []}
        now = self._clock.now()
        ledger.append(conn, kind=ANSWERED, subject=found.execution, actor="gatehouse", body=body, now=now)
        return True

    def _answer(
        self,
        conn: Connection,
        found: Drift,
        old: Plan,
        request: plans.Request,
        actor: Actor | None,
        name: str,
        plan: Plan | None,
        why: str,
    ) -> bool:
        now = self._clock.now()
        cause = plans.cause(conn, old.cause_id, lock=True)  # whoever answers or asks for this cause waits here
        if _is_answered(conn, found.execution):
            return False
        made, lines = "", list[str]()
        held = plans.pending_request(conn, cause.id)
        if plan is None:
            said = f"No new request: {why}"
        elif held is not None:
            made = held.facts.id
            said = "Somebody has asked for the present state already"
        elif plans.active_execution(conn, cause.id):
            said = "No new request: a fix for this is being carried out right now"
        elif actor is None or not (verdict := self._may_ask(actor, plan, cause)).allowed:
            why = f"{name} has no account that could be asked" if actor is None else verdict.reason
            said = f"No new request: {name} may not ask for it any more ({why}). Press Review fix to ask anew"
        else:
            lines = differences(old.pre_image, plan.pre_image)
            made = short_hash("drift", found.execution, prefix="req-")
            reason = "asked again: the resource changed after it was approved"
            again = self._new_request(plan, self._policy.rule_for(plan), actor.principal.id, now, made)
            self._open(conn, again, cause.id, reason, now, by="gatehouse", asked_again_for=request.facts.id)
            what = "the undo" if plan.kind is PlanKind.UNDO else "the fix"
            said = f"Asked again for {what} in the name of {name}; the approvals given before do not count"
        body = {"request": made, "before": request.facts.id, "said": said, "differences": lines[:_SHOWN],
                "plan": plan.id if plan else "", "cause": cause.id}  # fmt: skip
        ledger.append(conn, kind=ANSWERED, subject=found.execution, actor="gatehouse", body=body, now=now)
        self._tell(conn, cause.id, now, _readable(said, lines))
        return True


def unanswered(conn: Connection, cause_id: str | None = None) -> list[Drift]:
    """Drifts that nobody has answered yet, the oldest first; of one cause, or of any."""
    answer = LEDGER.alias()
    rows = conn.execute(
        select(LEDGER.c.subject, LEDGER.c.body, LEDGER.c.at)
        .where(LEDGER.c.kind == DRIFT_FOUND)
        .where(~exists().where(answer.c.subject == LEDGER.c.subject, answer.c.kind == ANSWERED))
        .order_by(LEDGER.c.seq)
    )
    found = []
    for row in rows:
        body = json.loads(row.body)
        if cause_id is None or body.get("cause") == cause_id:
            at = datetime.fromisoformat(row.at)
            found.append(Drift(row.subject, str(body["plan"]), str(body["request"]), str(body["why"]), at))
    return found[:_AT_ONCE]


def _is_answered(conn: Connection, execution_id: str) -> bool:
    asked = select(LEDGER.c.seq).where(LEDGER.c.subject == execution_id, LEDGER.c.kind == ANSWERED)
    return conn.execute(asked).first() is not None


def _facts(conn: Connection, found: Drift) -> tuple[Plan, plans.Request]:
    return plans.plan(conn, found.plan), plans.request(conn, found.request)


def _readable(said: str, lines: list[str]) -> str:
    if not lines:
        return f"{said}."
    shown = lines[:_SHOWN] + ([f"and {len(lines) - _SHOWN} more"] if len(lines) > _SHOWN else [])
    return "\n".join([f"{said}. What changed since:", *(f"• {line}" for line in shown)])
