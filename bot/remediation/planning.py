"""From a cause to a plan: the exact changes, read from the resources as they are now. Reads only, changes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection

from bot.domain.decisions import ExecutionState
from bot.domain.errors import Conflict, GatehouseError, NotFound
from bot.domain.findings import Finding
from bot.domain.ids import Clock, IdSource
from bot.domain.plans import BlastRadius, Change, Plan, PlanKind, Reversibility, Risk, Target, fingerprint
from bot.ports import Attribution, CloudFactory, Playbook, PlaybookCatalog, State
from bot.settings import GovernanceSettings
from bot.store import ledger, plans
from bot.store.database import Database

from .states import difference, inspect

_MIN_LIFE = timedelta(hours=24)
_UNDOABLE = {ExecutionState.SUCCEEDED, ExecutionState.UNVERIFIED, ExecutionState.FAILED}


class Planner:
    def __init__(
        self,
        db: Database,
        catalog: PlaybookCatalog,
        clouds: CloudFactory,
        clock: Clock,
        ids: IdSource,
        governance: GovernanceSettings,
    ) -> None:
        self._db, self._catalog, self._clouds, self._clock, self._ids = db, catalog, clouds, clock, ids
        self._governance = governance
        longest = max((rule.expires_minutes for rule in governance.rules), default=0)
        self._life = max(_MIN_LIFE, timedelta(minutes=longest))

    @property
    def catalog(self) -> PlaybookCatalog:
        return self._catalog

    @property
    def clouds(self) -> CloudFactory:
        return self._clouds

    async def plan(self, cause_id: str) -> Plan:
        """A stored plan for the cause's open findings; ``Conflict`` when everything is already as it should be."""
        cause, found = await self._db.read(_facts, cause_id)
        if not cause.playbook:
            raise NotFound(
                f"no playbook of Gatehouse can fix {cause.title!r}", mend="Follow the source's advice under Details."
            )
        playbook = self._catalog.get(cause.playbook)
        targets, finding_ids = _targets(playbook, found)
        if not targets:
            raise Conflict("nothing is open here that this playbook can fix", mend="The card shows the present state.")
        self._guard(len(targets))
        states = await inspect(self._clouds.reader(Attribution(finding_id=finding_ids[0])), playbook, targets)
        changes = [change for target in targets for change in playbook.changes(target, states[target.uid])]
        if not changes:
            # Nothing to change is not the same as well: what the playbook cannot mend says so itself.
            checked = [playbook.verify(target, states[target.uid]) for target in targets]
            wrong = "; ".join(dict.fromkeys(result.why for result in checked if not result.ok))
            if wrong:
                raise Conflict(
                    f"this playbook cannot mend it: {wrong}", mend="Follow the source's advice under Details."
                )
            raise Conflict(
                "the resources are already as they should be; there is nothing to change",
                mend="The findings close with the source's next scan.",
            )
        info = playbook.info
        return await self._keep(
            kind=PlanKind.FIX,
            playbook=playbook,
            title=info.title,
            cause_id=cause_id,
            finding_ids=finding_ids,
            targets=targets,
            states=states,
            changes=changes,
            blast=playbook.blast_radius(targets, states),
            risk=info.risk,
            reversibility=info.reversibility,
            undo_note=info.undo_note,
            undoes=None,
        )

    async def plan_undo(self, execution_id: str) -> Plan:
        """A stored plan that takes a fix back; ``Conflict`` when somebody changed the resource since."""
        execution, fixed = await self._db.read(_execution, execution_id)
        if fixed.kind is PlanKind.UNDO:
            raise Conflict("an undo is not undone; ask for the fix again", mend="Press Review fix.")
        if execution.undone_by:
            raise Conflict("this fix was already undone", mend="The card shows the present state.")
        if execution.state not in _UNDOABLE or not execution.post_image:
            raise Conflict(f"there is nothing to undo: the fix is {execution.state.value}")
        playbook = self._catalog.get(fixed.playbook)
        if playbook.info.reversibility is Reversibility.NONE:
            raise Conflict(f"{playbook.info.title} cannot be undone by Gatehouse", mend=playbook.info.undo_note)
        states = await inspect(self._clouds.reader(Attribution(plan_id=fixed.id)), playbook, fixed.targets)
        if fingerprint(states) != fingerprint(execution.post_image):
            said = difference(execution.post_image, states)
            raise Conflict(
                f"the resource was changed since the fix: {said}", mend="Undo it by hand, or change it back."
            )
        changes = [
            change
            for target in fixed.targets
            for change in playbook.undo(target, _as_state(fixed.pre_image[target.uid]), states[target.uid])
        ]
        if not changes:
            raise Conflict("the resources are already as they were before the fix; there is nothing to undo")
        return await self._keep(
            kind=PlanKind.UNDO,
            playbook=playbook,
            title=f"Undo: {fixed.title}",
            cause_id=fixed.cause_id,
            finding_ids=fixed.finding_ids,
            targets=fixed.targets,
            states=states,
            changes=changes,
            blast=_undo_blast(playbook, fixed),
            risk=_undo_risk(playbook),
            reversibility=Reversibility.EXACT,
            undo_note="Asking for the fix again brings it back.",
            undoes=execution_id,
        )

    def exposes(self, plan: Plan) -> bool:
        """Whether carrying out this plan's undo makes something public again, stops an audit log …"""
        return self._catalog.get(plan.playbook).info.undo_exposes

    def _guard(self, count: int) -> None:
        if count > self._governance.max_targets:
            raise GatehouseError(
                f"this would change {count} resources; a plan may change {self._governance.max_targets}",
                mend="Fix the template they come from, or raise governance.max_targets.",
            )

    async def _keep(
        self,
        *,
        kind: PlanKind,
        playbook: Playbook,
        title: str,
        cause_id: str,
        finding_ids: tuple[str, ...],
        targets: Sequence[Target],
        states: Mapping[str, State],
        changes: Sequence[Change],
        blast: BlastRadius,
        risk: Risk,
        reversibility: Reversibility,
        undo_note: str,
        undoes: str | None,
    ) -> Plan:
        now = self._clock.now()
        plan = Plan(
            id=self._ids.new("plan"),
            kind=kind,
            playbook=playbook.info.id,
            playbook_version=playbook.info.version,
            title=title,
            cause_id=cause_id,
            finding_ids=finding_ids,
            targets=tuple(targets),
            changes=tuple(changes),
            fingerprint=fingerprint(dict(states)),
            pre_image=dict(states),
            blast_radius=blast,
            reversibility=reversibility,
            undo_note=undo_note,
            risk=risk,
            environment=_environment(targets),
            created_at=now,
            expires_at=now + self._life,
            undoes=undoes,
        )
        return await self._db.write(_store, plan, now)


def _facts(conn: Connection, cause_id: str) -> tuple[plans.CauseFacts, list[tuple[Finding, str]]]:
    return plans.cause(conn, cause_id), plans.open_findings(conn, cause_id)


def _execution(conn: Connection, execution_id: str) -> tuple[plans.Execution, Plan]:
    execution = plans.execution(conn, execution_id)
    return execution, plans.plan(conn, execution.plan_id)


def _store(conn: Connection, plan: Plan, now: datetime) -> Plan:
    """Keep the plan, or give back the same one made a moment ago: two people looking see one plan."""
    last = plans.latest_plan(conn, plan.cause_id, plan.kind, plan.undoes)
    if last and _same(last, plan) and last.expires_at - now > (plan.expires_at - now) / 2:
        return last
    plans.save_plan(conn, plan)
    body = {
        "hash": plan.hash,
        "cause": plan.cause_id,
        "playbook": plan.playbook,
        "kind": plan.kind.value,
        "findings": list(plan.finding_ids),
        "changes": [change.summary for change in plan.changes],
        "fingerprint": plan.fingerprint,
        "undoes": plan.undoes,
    }
    ledger.append(conn, kind="plan.made", subject=plan.id, actor="gatehouse", body=body, now=now)
    return plan


def _same(one: Plan, other: Plan) -> bool:
    free = {"id", "created_at", "expires_at"}
    return one.model_dump(exclude=free) == other.model_dump(exclude=free)


def _targets(playbook: Playbook, found: Sequence[tuple[Finding, str]]) -> tuple[tuple[Target, ...], tuple[str, ...]]:
    targets: dict[str, Target] = {}
    finding_ids = []
    for finding, environment in found:
        target = playbook.target(finding)
        if target is None:
            continue
        if target.environment == "unknown" and environment != "unknown":
            target = target.model_copy(update={"environment": environment})
        targets.setdefault(target.uid, target)
        finding_ids.append(finding.id)
    return tuple(targets.values()), tuple(finding_ids)


def _environment(targets: Sequence[Target]) -> str:
    """The most critical of the targets' environments: one production resource makes it a production plan."""
    order = ("prod", "unknown", "staging", "test", "dev", "sandbox")
    found = {target.environment for target in targets}
    return next((name for name in order if name in found), "unknown")


def _undo_risk(playbook: Playbook) -> Risk:
    info = playbook.info
    return Risk.MEDIUM if info.undo_exposes and info.risk is Risk.LOW else info.risk


def _undo_blast(playbook: Playbook, fixed: Plan) -> BlastRadius:
    warnings = ("This brings back the weakness that the fix closed.",) if playbook.info.undo_exposes else ()
    count = len(fixed.targets)
    return BlastRadius(
        resources=count,
        accounts=len(fixed.account_ids),
        warnings=warnings,
        summary=f"{count} resource{'s' if count != 1 else ''} as before the fix; the findings open again",
    )


def _as_state(value: object) -> State:
    return dict(value) if isinstance(value, dict) else {}
