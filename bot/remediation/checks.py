"""Everything that is checked again right before an approved plan is carried out: nothing is believed from earlier.

Rows that belong together, people as they are now, the policy in force, a freeze, a broken glass's minutes, a standing
approval's terms, and the resource as it is.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from bot.domain.decisions import ApprovalRule, Decision, ExecutionState, RequestState
from bot.domain.errors import GatehouseError
from bot.domain.ids import Clock
from bot.domain.plans import Change, Plan, Target, fingerprint
from bot.domain.principals import Actor, PlatformIdentity
from bot.governance.in_force import InForce
from bot.governance.people import UNCHECKED, People
from bot.governance.policy import DEFAULT_DENY, Policy
from bot.governance.stead import in_stead
from bot.ports import Attribution, CloudFactory, Playbook, PlaybookCatalog, State
from bot.store import controls, plans
from bot.store import standing as standing_store
from bot.store.database import Database

from .standing_guard import Guard, Passing
from .states import difference, inspect

READ_WAITS = (0.0, 1.0, 3.0)

Sleep = Callable[[float], Awaitable[None]]


class Drift(Passing):
    """The objection that the resource is not as it was: answered with a new request (``drifts``)."""


@dataclass(frozen=True, slots=True)
class Run:
    """One claim: everything the store says of the execution, and the fence it is written under."""

    id: str
    fence: int
    state: ExecutionState
    plan: Plan
    fixed: Plan | None  # the plan that an UNDO takes back
    decision: Decision
    request: plans.Request
    voters: tuple[tuple[str, PlatformIdentity], ...]  # live approvals of this very plan hash
    steads: Mapping[str, controls.Delegation]  # voter -> the delegation their vote was cast under
    glass: controls.BrokenGlass | None
    covered: standing_store.Covered | None  # the standing approval it runs under, where people were not asked
    altered: str  # why the rows are not what the ledger says was decided, or ""
    undo_exposes: bool
    owner: str
    playbook: Playbook

    @property
    def why(self) -> Attribution:
        found = self.plan.finding_ids[0] if self.plan.finding_ids else ""
        return Attribution(
            finding_id=found,
            plan_id=self.plan.id,
            decision_id=self.decision.id,
            principal_id=self.decision.decided_by[-1] if self.decision.decided_by else "",
        )

    def needed(self, target: Target, state: State) -> list[Change]:
        """What is still to be done to the target in this state, by the playbook's own word."""
        if self.fixed is None:
            return self.playbook.changes(target, state)
        pre = self.fixed.pre_image[target.uid]
        return self.playbook.undo(target, dict(pre) if isinstance(pre, dict) else {}, state)


class Checks:
    """The executor's questions; every answer is why not, or ""."""

    def __init__(
        self,
        db: Database,
        catalog: PlaybookCatalog,
        clouds: CloudFactory,
        policy: Policy,
        people: People,
        clock: Clock,
        sleep: Sleep,
        in_force: InForce | None,
    ) -> None:
        self._db, self._clouds, self._policy, self._people = db, clouds, policy, people
        self._clock, self._sleep = clock, sleep
        self._in_force = in_force or InForce(policy.version)
        self._guard = Guard(catalog, clouds, policy, people)

    async def _inspect(self, run: Run, targets: Sequence[Target]) -> dict[str, State]:
        last: GatehouseError | None = None
        for wait in READ_WAITS:
            if wait:
                await self._sleep(wait)
            try:
                return await inspect(self._clouds.reader(run.why), run.playbook, targets)
            except GatehouseError as error:
                last = error
        assert last is not None
        raise last

    async def _objection(self, run: Run, *, begun: bool) -> str:
        """Why this must not be executed (any more), or "". Everything is read now."""
        why = await self._people_object(run)
        if why:
            return why
        steps = await self._db.read(plans.steps, run.id) if begun else []
        touched = {run.plan.changes[step.position].target.uid for step in steps}
        targets = [target for target in run.plan.targets if target.uid not in touched]
        if not begun and self._clock.now() > self._latest(run):
            return Passing("the decision is too old")
        if not targets:
            return ""
        try:
            states = await self._inspect(run, targets)
        except GatehouseError as error:
            return f"the resource cannot be read: {error.reason}"
        expected = {target.uid: run.plan.pre_image[target.uid] for target in targets}
        if fingerprint(states) != fingerprint(expected):
            return Drift(f"the resource changed since the plan was made: {difference(expected, states)}")
        return ""

    async def _people_object(self, run: Run) -> str:
        through = self._through_freeze(run)
        if self._policy.frozen and not through:
            return Passing("changes are frozen (governance.freeze)")
        freeze = await self._db.read(controls.freeze_of, run.plan)
        if freeze and not through:
            return Passing(freeze.said)
        if run.covered:
            return await self._standing_objects(run, run.covered)
        if self._policy.version == run.decision.policy_version:
            return await self._votes_object(run, run.request.facts.rule)
        # Decided under another policy: it still has to be satisfied under the one in force now.
        if await self._db.read(self._in_force.behind):
            return "the policy changed since the decision, and this replica still runs an older one"
        rule = self._policy.rule_for(run.plan)
        if rule.typed_confirmation and not run.request.facts.rule.typed_confirmation:
            why = f"{rule.name} now asks approvers to type the number of resources"
        else:
            why = await self._votes_object(run, rule)
        return f"the policy changed since the decision, and under the new one: {why}" if why else ""

    async def _standing_objects(self, run: Run, covered: standing_store.Covered) -> str:
        """Asked of the policy in force now, whatever was in force at the grant and at the decision."""
        if self._policy.version != run.decision.policy_version and await self._db.read(self._in_force.behind):
            return Passing("the policy changed since the decision, and this replica still runs an older one")
        open_now = await self._db.read(plans.open_findings, run.plan.cause_id)
        return await self._guard.objection(
            covered, run.plan, run.decision, run.owner, open_now, self._clock.now(), self._fresh
        )

    def _through_freeze(self, run: Run) -> bool:
        """A glass broken under a rule that lets it through a freeze, then and now."""
        if run.glass is None or not run.request.facts.rule.break_glass_through_freeze:
            return False
        return self._policy.rule_for(run.plan).break_glass_through_freeze

    async def _votes_object(self, run: Run, rule: ApprovalRule) -> str:
        if run.glass:
            return await self._glass_objects(run, run.glass, rule)
        request = run.request.facts
        permitted, said = set(), ""
        for principal_id, identity in run.voters:
            if principal_id not in run.decision.decided_by:
                continue
            actor = await self._fresh(principal_id, identity)
            context = {
                "rule": rule,
                "is_requester": principal_id == request.requested_by,
                "executing": True,
                "owner": run.owner,
                "undo_exposes": run.undo_exposes,
            }
            verdict = self._policy.may(actor, "approve", run.plan, context)
            final = self._policy.may(actor, "execute", run.plan, context)
            apart = rule.four_eyes and principal_id == request.requested_by
            apart = apart or (rule.owner_apart and self._people.owns(run.owner, actor))
            lent = run.steads.get(principal_id)
            if lent:
                if lent.ended_at:
                    said = f"{lent.from_id} no longer lets {actor.principal.name} vote in their stead"
                    continue
                other = await self._fresh(lent.from_id, lent.from_identity)
                verdict = in_stead(self._policy, actor, other, "approve", run.plan, context, request.requested_by)
                apart = apart or (rule.four_eyes and lent.from_id == request.requested_by)
                apart = apart or (rule.owner_apart and self._people.owns(run.owner, other))
            # Nothing needs to permit "execute" beside "approve"; an explicit forbid of it stops.
            if not verdict.allowed:
                said = f"{actor.principal.name} may no longer approve this: {verdict.reason} ({verdict.rule})"
            elif not final.allowed and final.rule != DEFAULT_DENY:
                said = f"{final.reason} ({final.rule})"
            elif apart:
                said = f"{actor.principal.name} may not approve this ({rule.name})"
            else:
                permitted.add(lent.from_id if lent else principal_id)
        if len(permitted) < rule.quorum:
            return said or f"{len(permitted)} of {rule.quorum} approvals still hold"
        return ""

    async def _glass_objects(self, run: Run, glass: controls.BrokenGlass, rule: ApprovalRule) -> str:
        if self._clock.now() > glass.until:
            return late(glass)
        if run.decision.decided_by != (glass.by,):
            return "the decision is not the one the glass was broken for"
        actor = await self._fresh(glass.by, glass.identity)
        context = {"rule": rule, "executing": True, "owner": run.owner, "glass": True,
                   "is_requester": True, "undo_exposes": run.undo_exposes}  # fmt: skip
        for action in ("break_glass", "execute"):
            verdict = self._policy.may(actor, action, run.plan, context)
            if not verdict.allowed and (action == "break_glass" or verdict.rule != DEFAULT_DENY):
                return f"{verdict.reason} ({verdict.rule})"
        return ""

    async def _fresh(self, principal_id: str, identity: PlatformIdentity) -> Actor:
        """The approver as of now; a platform that stumbles is asked again before it counts against them."""
        actor = await self._people.fresh(principal_id, identity)
        for wait in READ_WAITS[1:]:
            if not actor.standing.note.startswith(UNCHECKED):
                break
            await self._sleep(wait)
            actor = await self._people.fresh(principal_id, identity)
        return actor

    def _latest(self, run: Run) -> datetime:
        minutes = run.request.facts.rule.expires_minutes
        if self._policy.version != run.decision.policy_version:
            minutes = min(minutes, self._policy.rule_for(run.plan).expires_minutes)
        return min(run.plan.expires_at, run.decision.decided_at + timedelta(minutes=minutes))


def mismatch(run: Run) -> str:
    """Why what is stored does not belong together, or ""."""
    decision, request, plan = run.decision, run.request.facts, run.plan
    if decision.outcome is not RequestState.APPROVED or request.state is not RequestState.APPROVED:
        return f"the request is {request.state.value}, not approved"
    if not decision.covers == request.plan_hash == plan.hash or decision.plan_id != plan.id:
        return "the decision does not cover this plan"
    if request.fingerprint != plan.fingerprint or fingerprint(plan.pre_image) != plan.fingerprint:
        return "the plan's picture of the resource is not the one that was approved"
    return ""


def late(glass: controls.BrokenGlass) -> str:
    return f"the broken glass was for until {glass.until:%H:%M} UTC"
