"""What runs under standing approvals: found, planned, held against the terms, decided and queued; one use a time.

Rules
- The use, its request, its decision and its execution are one transaction that holds the standing approval's row: the
  cap is counted there, and two replicas cannot both pass it.
- Ids follow from the standing approval, the cause and what is open there: the same occasion is used once.
- What a person undid, snoozed, accepted, asked for, or had carried out without success is left to people.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection

from bot.domain.decisions import ApprovalRequest, Decision, ExecutionState, RequestState
from bot.domain.errors import GatehouseError, NotFound
from bot.domain.findings import Finding
from bot.domain.ids import Clock, IdSource, short_hash
from bot.domain.plans import Plan, PlanKind
from bot.domain.principals import Actor
from bot.domain.standing import StandingApproval, StandingState, StandingUse
from bot.governance.people import GATEHOUSE, People
from bot.governance.policy import Policy
from bot.store import controls, ledger, outbox, plans
from bot.store import standing as store
from bot.store.database import Database

from .planning import Planner
from .standing_guard import Guard, Passing, in_cause, suspend, tell

log = logging.getLogger(__name__)

LOOKS = 20  # causes read from the cloud at one tick; the next one goes on
_SIZE = 12


class Runs:
    def __init__(
        self,
        db: Database,
        planner: Planner,
        guard: Guard,
        policy: Policy,
        people: People,
        clock: Clock,
        ids: IdSource,
    ) -> None:
        self._db, self._planner, self._guard, self._policy, self._people = db, planner, guard, policy, people
        self._clock, self._ids = clock, ids

    async def tick(self) -> int:
        """End what is over and use what is in force. Returns how many runs were decided."""
        altered: list[str] = []
        states = (StandingState.ACTIVE, StandingState.PROPOSED)
        live = await self._db.read(store.every, states, unreadable=altered)
        for standing_id in altered:
            await self._suspend(standing_id, f"{standing_id} is not as it was granted")
        if not live:
            return 0
        if any(held.facts.ends_at <= self._clock.now() for held in live):
            await self._db.write(self._expire)
        if self._policy.frozen:
            return 0
        now = self._clock.now()
        active = [each for each in live if each.facts.state is StandingState.ACTIVE and each.facts.ends_at > now]
        # A share each: one with many causes does not keep the others waiting.
        share = max(2, LOOKS // max(1, len(active)))
        return sum([await self._work(held, share) for held in active])

    def _expire(self, conn: Connection) -> None:
        now = self._clock.now()
        for held in store.every(conn, (StandingState.ACTIVE, StandingState.PROPOSED)):
            facts = held.facts
            if facts.ends_at > now:
                continue
            if store.set_state(conn, facts.id, StandingState.EXPIRED, by=GATEHOUSE.id, why="its time is over", now=now):
                body = {"hash": held.hash, "ends_at": facts.ends_at}
                ledger.append(conn, kind="standing.expired", subject=facts.id, actor=GATEHOUSE.id, body=body, now=now)
                line = f"The standing approval {facts.id} ({facts.playbook}, {facts.scope.words}) is over."
                tell(conn, self._ids, now, self._people, held, line)

    async def _work(self, held: store.Held, limit: int) -> int:
        """How many uses were made."""
        facts, now = held.facts, self._clock.now()
        if await self._db.read(store.used_since, facts.id, now - store.HOUR) >= facts.cap:
            return 0  # nobody's membership is read while nothing could run
        waiting, left_alone = await self._db.read(self._waiting, facts, now, limit)
        if left_alone:
            await self._db.write(self._look, facts.id, left_alone)
        if not waiting:
            return 0
        if not held.intact:
            await self._suspend(facts.id, f"{facts.id} is not as it was granted")
            return 0
        try:
            version = self._planner.catalog.get(facts.playbook).info.version
        except NotFound as error:
            await self._suspend(facts.id, error.reason)
            return 0
        if version != facts.playbook_version:
            said = f"the playbook {facts.playbook} is now version {version}, {facts.playbook_version} was approved"
            await self._suspend(facts.id, said)
            return 0
        signers, why = await self._guard.signers(held)
        if isinstance(why, Passing):
            log.warning("%s waits: %s", facts.id, why)
            return 0
        if why:
            await self._suspend(facts.id, why)
            return 0
        used = 0
        for cause_id, mark in waiting:
            if await self._db.read(store.used_since, facts.id, self._clock.now() - store.HOUR) >= facts.cap:
                break  # the rest waits for the hour to pass; the transaction counts again
            used += await self._one(held, signers, cause_id, mark)
        return used

    def _waiting(
        self, conn: Connection, facts: StandingApproval, now: datetime, limit: int
    ) -> tuple[list[tuple[str, str]], list[tuple[str, str, str]]]:
        """Causes to be looked at now, with what is open there; and those left alone, with why."""
        found, alone = list[tuple[str, str]](), list[tuple[str, str, str]]()
        for cause_id in store.candidates(conn, facts, now):
            if len(found) >= limit:
                break
            mark = store.mark_of(conn, cause_id)
            looked = store.looked(conn, facts.id, cause_id)
            if looked and looked.mark == mark and looked.at > now - store.HOUR:
                continue
            why = _left_to_people(conn, cause_id)
            if not why and _attempt(conn, cause_id, mark, now) is None:
                why = "what is open here had its run already"
            if why or not mark:
                alone.append((cause_id, mark, why or "nothing is open here"))
            else:
                found.append((cause_id, mark))
        return found, alone

    async def _one(self, held: store.Held, signers: list[Actor], cause_id: str, mark: str) -> int:
        facts = held.facts
        try:
            plan = await self._planner.plan(cause_id)
            cause, found = await self._db.read(_facts, cause_id)
            why = self._guard.unsafe(facts, plan) or self._guard.by_rule(plan, signers, cause.owner)
            why = why or await self._guard.outside(facts, plan, found, cause.owner)
        except GatehouseError as error:
            why = error.reason
        if why:
            await self._db.write(self._look, facts.id, [(cause_id, mark, why)])
            return 0
        return await self._db.write(self._use, held, signers, plan, mark)

    def _look(self, conn: Connection, standing_id: str, looks: Sequence[tuple[str, str, str]]) -> None:
        store.get(conn, standing_id, lock=True)  # two replicas looking at once write one row
        now = self._clock.now()
        for cause_id, mark, why in looks:
            store.look(conn, standing_id, cause_id, mark, why, now)

    def _use(self, conn: Connection, before: store.Held, signers: Sequence[Actor], plan: Plan, mark: str) -> int:
        """One use, or nothing when anything of what was read before does not hold any more."""
        held, now = store.get(conn, before.facts.id, lock=True), self._clock.now()
        facts = held.facts
        in_force = facts.state is StandingState.ACTIVE and facts.ends_at > now
        if not in_force or held.hash != before.hash or not held.intact or held.grants != before.grants:
            return 0
        if store.used_since(conn, facts.id, now - store.HOUR) >= facts.cap:
            return 0
        cause = plans.cause(conn, plan.cause_id, lock=True)
        attempt = _attempt(conn, cause.id, mark, now)
        busy = plans.pending_request(conn, cause.id) or plans.active_execution(conn, cause.id)
        same = cause.state == "open" and store.mark_of(conn, cause.id) == mark
        if busy or not same or attempt is None or _left_to_people(conn, cause.id):
            return 0
        if plan.expires_at <= now or controls.freeze_of(conn, plan):
            return 0
        key = (facts.id, cause.id, mark, str(attempt))
        request = ApprovalRequest(
            id=short_hash(*key, prefix="req-sa-", size=_SIZE),
            plan_id=plan.id,
            plan_hash=plan.hash,
            fingerprint=plan.fingerprint,
            policy_version=self._policy.version,
            rule=self._policy.rule_for(plan),
            requested_by=GATEHOUSE.id,
            requested_at=now,
            expires_at=plan.expires_at,
        )
        why = f"standing approval {facts.id}: {facts.reason}"
        plans.save_request(conn, request, cause.id, why)
        body = request.model_dump(mode="json") | {"cause": cause.id, "reason": why}
        ledger.append(conn, kind="request.made", subject=request.id, actor=GATEHOUSE.id, body=body, now=now)
        self._decide(conn, held, signers, plan, request, key, why, now)
        outbox.refresh_cause(conn, self._ids, now, cause.id)
        in_cause(conn, self._ids, now, cause.id, self._announcement(conn, held, plan))
        return 1

    def _decide(
        self,
        conn: Connection,
        held: store.Held,
        signers: Sequence[Actor],
        plan: Plan,
        request: ApprovalRequest,
        key: tuple[str, ...],
        why: str,
        now: datetime,
    ) -> None:
        facts = held.facts
        decision = Decision(
            id=short_hash(*key, prefix="dec-sa-", size=_SIZE),
            request_id=request.id,
            plan_id=plan.id,
            covers=plan.hash,
            outcome=RequestState.APPROVED,
            decided_at=now,
            decided_by=tuple(grant.principal_id for grant in held.grants),
            reason=why,
            policy_version=self._policy.version,
        )
        use = StandingUse(
            id=short_hash(*key, prefix="use-", size=_SIZE),
            standing_id=facts.id,
            standing_hash=held.hash,
            cause_id=plan.cause_id,
            mark=key[2],
            request_id=request.id,
            execution_id=short_hash(*key, prefix="exec-sa-", size=_SIZE),
            at=now,
        )
        store.add_use(conn, use)
        body = use.model_dump(mode="json") | {
            "plan_hash": plan.hash,
            "decision": decision.id,
            "still_permitted": [actor.principal.id for actor in signers],
            "scope": facts.scope.words,
            "reason": facts.reason,
        }
        ledger.append(conn, kind="standing.used", subject=request.id, actor=facts.created_by, body=body, now=now)
        plans.save_decision(conn, decision)
        plans.close_request(conn, request.id, RequestState.APPROVED, now)
        body = decision.model_dump(mode="json") | {
            "cause": plan.cause_id,
            "findings": list(plan.finding_ids),
            "standing": facts.id,
        }
        ledger.append(conn, kind="decision.made", subject=decision.id, actor=facts.created_by, body=body, now=now)
        plans.queue_execution(conn, use.execution_id, decision, plan, now)
        body = {"decision": decision.id, "plan": plan.id, "covers": decision.covers, "standing": facts.id}
        ledger.append(conn, kind="execution.queued", subject=use.execution_id, actor=GATEHOUSE.id, body=body, now=now)

    def _announcement(self, conn: Connection, held: store.Held, plan: Plan) -> str:
        facts = held.facts
        by = " and ".join(self._people.person_in(conn, grant.principal_id).name for grant in held.grants)
        return (
            f"📌 Being fixed under the standing approval {facts.id} by {by} ({facts.scope.words}, until "
            f"{facts.ends_at:%Y-%m-%d}): {plan.title}. It can be undone from the card; "
            f"/gatehouse standing revoke {facts.id} ends it."
        )

    async def _suspend(self, standing_id: str, why: str) -> None:
        await self._db.write(
            lambda conn: suspend(conn, self._ids, self._clock.now(), self._people, standing_id, why) or None
        )


def _facts(conn: Connection, cause_id: str) -> tuple[plans.CauseFacts, list[tuple[Finding, str]]]:
    return plans.cause(conn, cause_id), plans.open_findings(conn, cause_id)


def _left_to_people(conn: Connection, cause_id: str) -> str:
    """Why nothing follows by itself here: the last thing was an undo, or a fix that did not end well."""
    last = store.last_execution(conn, cause_id)
    if last is None or last[1] == ExecutionState.BLOCKED.value:
        return ""
    kind, state = last
    if kind == PlanKind.UNDO.value:
        return "a person took the last fix back"
    return "" if state == ExecutionState.SUCCEEDED.value else f"the last fix here ended as {state}"


def _attempt(conn: Connection, cause_id: str, mark: str, now: datetime) -> int | None:
    """Which attempt at what is open here it would be; None when it had its attempt. Only a run that was stopped before
    any change is made up for, an hour later."""
    before = store.uses_of_mark(conn, cause_id, mark)
    if not before:
        return 0
    use, state = before[-1]
    stopped = state == ExecutionState.BLOCKED.value and use.at <= now - timedelta(hours=1)
    return len(before) if stopped else None
