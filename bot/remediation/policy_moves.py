"""A policy that changed: what waits is put under the new one, and only votes it would not have allowed are void.

Rules
- Each waiting request is re-evaluated once per policy, with accounts and memberships read anew; never by a replica
  that runs an older policy than the one put in force last.
- A vote that is still permitted stays and is bound to the new policy in the ledger (``request.rebound``); any other is
  void (``vote.voided``), with the reason, which its person is told.
- Where it cannot be evaluated, the whole request is void. A rule that asks for fewer never decides by itself: one of
  the voters has to press approve again.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, select

from bot.domain.decisions import ApprovalRule, Choice, RequestState, Vote
from bot.domain.errors import GatehouseError, Stale
from bot.domain.plans import Plan
from bot.domain.principals import Actor, PlatformIdentity
from bot.governance.people import UNCHECKED
from bot.governance.policy import PolicyVerdict
from bot.governance.stead import in_stead
from bot.store import controls, ledger, outbox, plans
from bot.store.plans import REQUESTS

from .office import AGAIN, Office

_TRIES = 3
log = logging.getLogger(__name__)


class Moved(Stale):
    """The request was asked under another policy than ours."""


@dataclass(frozen=True, slots=True)
class _Case:
    """A waiting request as it was read before people were looked up."""

    held: plans.Request
    votes: tuple[tuple[Vote, PlatformIdentity], ...]
    steads: Mapping[str, controls.Delegation]  # vote id -> the delegation it was cast under


class _Fails(Exception):
    """It cannot be evaluated: the request is void."""


class PolicyMoves(Office):
    def objection(self, conn: Connection, held: plans.Request) -> Moved | None:
        """Why a waiting request cannot be answered right now, where its policy is not ours."""
        if held.facts.policy_version == self._policy.version:
            return None
        if self._in_force.behind(conn):
            said = "a newer policy is in force, and this replica of Gatehouse still runs an older one"
            return Moved(said, mend="Try again in a moment; tell the operators if it stays so.")
        return Moved("the policy changed since this was asked", mend=AGAIN)

    def due(self, conn: Connection) -> list[str]:
        """The waiting requests that are to be re-evaluated by this replica."""
        rows = conn.execute(
            select(REQUESTS.c.id)
            .where(REQUESTS.c.state == RequestState.PENDING.value, REQUESTS.c.policy_version != self._policy.version)
            .order_by(REQUESTS.c.requested_at, REQUESTS.c.id)
        )
        found = [row.id for row in rows]
        return found if found and not self._in_force.behind(conn) else []

    async def reevaluate(self, request_id: str) -> None:
        """Put one waiting request under the policy in force."""
        for _ in range(_TRIES):
            case = await self._db.read(self._read, request_id)
            if case is None:
                return
            people: dict[PlatformIdentity, Actor] = {}
            asked = await self._db.read(self._people.person_in, case.held.facts.requested_by)
            requester = await self._people.fresh(asked.id, asked.identities[0]) if asked.identities else None
            for vote, identity in case.votes:
                people[identity] = await self._people.fresh(vote.principal_id, identity)
            for lent in case.steads.values():
                people[lent.from_identity] = await self._people.fresh(lent.from_id, lent.from_identity)
            if await self._db.write(self._rebind, case, requester, people):
                return

    def _read(self, conn: Connection, request_id: str) -> _Case | None:
        held = plans.request(conn, request_id)
        if held.facts.state.is_final or held.facts.policy_version == self._policy.version:
            return None
        if self._in_force.behind(conn):
            return None
        votes = plans.live_votes(conn, request_id)
        lent = {vote.id: controls.delegation(conn, vote.delegation_id) for vote, _ in votes if vote.stands_for}
        return _Case(held, tuple(votes), {vote: found for vote, found in lent.items() if found is not None})

    def _rebind(
        self, conn: Connection, case: _Case, requester: Actor | None, people: Mapping[PlatformIdentity, Actor]
    ) -> bool:
        """False when somebody voted meanwhile: look again."""
        now, request_id = self._clock.now(), case.held.facts.id
        held = plans.request(conn, request_id, lock=True)
        facts = held.facts
        if facts.state.is_final or facts.policy_version != case.held.facts.policy_version:
            return True
        if self._in_force.behind(conn):
            return True
        if {vote.id for vote, _ in plans.live_votes(conn, request_id)} != {vote.id for vote, _ in case.votes}:
            return False
        self._in_force.announce(conn, now)
        try:
            plan = plans.plan(conn, facts.plan_id)
            rule = self._policy.rule_for(plan)
            cause = plans.cause(conn, held.cause_id)
            verdicts = self._judge(case, plan, cause, rule, requester, people)
        except (_Fails, GatehouseError) as error:
            why = error.reason if isinstance(error, GatehouseError) else str(error)
            self._close(conn, held, RequestState.VOIDED, f"the policy changed since it was asked: {why}", now)
            return True
        expires = min(facts.expires_at, self._expiry(plan, rule, facts.requested_at))
        plans.rebind_request(conn, request_id, rule, self._policy.version, expires)
        void = [(vote, identity, verdicts[vote.id]) for vote, identity in case.votes if not verdicts[vote.id].allowed]
        kept = [vote for vote, _ in case.votes if verdicts[vote.id].allowed]
        for vote, identity, verdict in void:
            plans.withdraw_vote(conn, vote.id, now)
            body = {"vote": vote.id, "principal_id": vote.principal_id, "why": verdict.reason, "rule": verdict.rule,
                    "policy_version": self._policy.version}  # fmt: skip
            ledger.append(conn, kind="vote.voided", subject=request_id, actor="gatehouse", body=body, now=now)
            line = (
                f"Your approval of “{plan.title}” ({cause.title}) no longer counts: the policy changed, and under the "
                f"new one: {verdict.reason} ({verdict.rule})."
            )
            outbox.tell(conn, self._ids, now, f"{identity.platform.value}:{identity.user}", line,
                        dedupe=f"voided:{vote.id}")  # fmt: skip
        moved = {"cause": held.cause_id, "from": facts.policy_version, "policy_version": self._policy.version,
                "rule": rule.model_dump(mode="json"), "expires_at": expires, "kept": [vote.id for vote in kept],
                "voided": [vote.id for vote, _, _ in void]}  # fmt: skip
        ledger.append(conn, kind="request.rebound", subject=request_id, actor="gatehouse", body=moved, now=now)
        self._tell(conn, held.cause_id, now, self._said(plan, cause, rule, facts.requested_by, kept, void))
        return True

    def _judge(
        self,
        case: _Case,
        plan: Plan,
        cause: plans.CauseFacts,
        rule: ApprovalRule,
        requester: Actor | None,
        people: Mapping[PlatformIdentity, Actor],
    ) -> dict[str, PolicyVerdict]:
        """What the policy in force says of each vote; ``_Fails`` where that cannot be told."""
        if requester is None:
            raise _Fails("whoever asked has no account that could be looked up")
        for actor in (requester, *people.values()):
            if actor.standing.note.startswith(UNCHECKED):
                raise _Fails(actor.standing.note)
        asks = self._may_ask(requester, plan, cause)
        if not asks.allowed:
            raise _Fails(f"{requester.principal.name} may not ask for it: {asks.reason} ({asks.rule})")
        verdicts = {}
        for vote, identity in case.votes:
            verdict = self._of(vote, people[identity], case, plan, cause, rule, people)
            if verdict.rule == "policy error":
                raise _Fails(verdict.reason)
            verdicts[vote.id] = verdict
        return verdicts

    def _of(
        self,
        vote: Vote,
        actor: Actor,
        case: _Case,
        plan: Plan,
        cause: plans.CauseFacts,
        rule: ApprovalRule,
        people: Mapping[PlatformIdentity, Actor],
    ) -> PolicyVerdict:
        was, requester = case.held.facts.rule, case.held.facts.requested_by
        if rule.typed_confirmation and not was.typed_confirmation and vote.choice is Choice.APPROVE:
            return PolicyVerdict(False, rule.name, "approvers now have to type the number of resources")
        if not vote.stands_for:
            verdict = self._may_vote(actor, vote.choice, plan, cause, rule, requester)
        else:
            lent = case.steads.get(vote.id)
            if lent is None or lent.ended_at or not lent.covers(plan):
                return PolicyVerdict(False, "delegation", f"{vote.stands_for} no longer lets them vote in their stead")
            other = people[lent.from_identity]
            context = {"rule": rule, "owner": cause.owner, "undo_exposes": self._planner.exposes(plan)}
            if self._apart(actor, cause, rule, requester) or self._apart(other, cause, rule, requester):
                return PolicyVerdict(False, rule.name, "who asks or owns it cannot approve")
            verdict = in_stead(self._policy, actor, other, vote.choice.value, plan, context, requester)
        if not verdict.allowed and verdict.rule == "guard-frozen":
            return PolicyVerdict(True, verdict.rule, verdict.reason)  # a freeze stops the execution, not the vote
        return verdict

    def _said(
        self,
        plan: Plan,
        cause: plans.CauseFacts,
        rule: ApprovalRule,
        requester: str,
        kept: list[Vote],
        void: list[tuple[Vote, PlatformIdentity, PolicyVerdict]],
    ) -> str:
        def name(vote: Vote) -> str:
            return self._people.person(vote.principal_id).name

        parts = [f"The policy changed; this now stands under the rule “{rule.name}”."]
        parts += [f"{name(vote)}'s approval no longer counts: {verdict.reason}." for vote, _, verdict in void]
        if kept:
            parts.append(f"{' and '.join(name(vote) for vote in kept)} {'keeps' if len(kept) == 1 else 'keep'} it.")
        missing = rule.quorum - len({vote.counts_for for vote in kept})
        could = " or ".join(self._could(plan, rule, cause, requester))
        asked = f" from {could}" if could else ""
        if missing > 0:
            again = "Asked again: " if not kept else ""
            parts.append(f"{again}{missing} approval{'s' if missing != 1 else ''} needed{asked}.")
        else:
            parts.append("Enough for the new rule: one of them has to approve again to start it.")
        return " ".join(parts)
