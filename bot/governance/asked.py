"""``policy explain`` over what is stored: a plan, a cause, a finding. Reads only."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection

from bot.domain.errors import BadInput
from bot.domain.plans import Plan, PlanKind
from bot.ports import PlaybookCatalog
from bot.store import causes, controls, findings, plans

from .cases import WITHOUT_PLAN, Explained, Facts, Judge, plan_of, read_facts

# What may be supposed of a stored plan: the moment and the account. What the plan is stands in it.
SUPPOSABLE = frozenset(
    {"platform", "is_requester", "executing", "frozen", "active", "guest", "external", "bot"}
)  # fmt: skip


def about(
    conn: Connection,
    judge: Judge,
    catalog: PlaybookCatalog,
    *,
    who: str,
    action: str,
    plan_id: str = "",
    cause_id: str = "",
    finding_id: str = "",
    given: dict[str, str] | None = None,
    groups: list[str] | None = None,
) -> tuple[Explained, str]:
    """The verdict, and in words what it is about. The plan of a waiting request counts before a newer one."""
    supposed = read_facts(given or {})
    odd = sorted(supposed.model_fields_set - SUPPOSABLE)
    if odd:
        raise BadInput(f"{', '.join(odd)}: these are read from what you named", mend="Leave them out.")
    if finding_id:
        row = findings.get(conn, finding_id)
        cause_id = row.cause_id
        if not cause_id:
            raise BadInput(f"finding {finding_id} belongs to no cause", mend="Name facts instead: --facts.")
    plan = plans.plan(conn, plan_id) if plan_id else None
    cause = causes.get(conn, plan.cause_id if plan else cause_id)
    held = plans.pending_request(conn, cause.id)
    if plan is None and action not in WITHOUT_PLAN:
        plan = plans.plan(conn, held.facts.plan_id) if held else plans.latest_plan(conn, cause.id, PlanKind.FIX, None)
    words = f"plan {plan.id}" if plan else f"cause {cause.id}"
    if plan is None and action not in WITHOUT_PLAN:
        plan, words = _supposed(cause, catalog), f"cause {cause.id}, no plan is made yet"
    if held is not None and plan is not None and held.facts.plan_id != plan.id:
        held = None
    actor = judge.somebody(who, groups or [], supposed)
    frozen = supposed.frozen or bool(plan and controls.freeze_of(conn, plan))
    context: dict[str, Any] = {
        "is_requester": supposed.is_requester or bool(held and held.facts.requested_by == who),
        "executing": supposed.executing, "frozen": frozen, "owner": cause.owner, "environment": cause.environment,
        "undo_exposes": bool(plan and plan.playbook and catalog.get(plan.playbook).info.undo_exposes),
    }  # fmt: skip
    if plan is not None:
        context["rule"] = held.facts.rule if held else judge.rule_for(plan)
    return judge.explain(actor, action, plan, context), words


def _supposed(cause: Any, catalog: PlaybookCatalog) -> Plan:
    info = catalog.get(cause.playbook).info if cause.playbook else None
    facts = Facts(environment=cause.environment, playbook=cause.playbook, accounts=(cause.account_uid,),
                  provider=cause.provider, resources=cause.resource_count, owner=cause.owner)  # fmt: skip
    if info:
        facts = facts.model_copy(update={"risk": info.risk, "reversibility": info.reversibility})
    return plan_of(facts)
