"""What must hold for a run under a standing approval, read now: asked before it is decided and again before it acts.

Rules
- What the scanner said only finds candidates. Environment, tags and owner are held against the resource's own tags as
  they are now; what cannot be read is not covered.
- Who granted it must still be permitted by today's policy, for the scope and for this very plan.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from bot.domain.decisions import ApprovalRule, Decision
from bot.domain.errors import GatehouseError, Stale
from bot.domain.findings import Finding
from bot.domain.ids import IdSource
from bot.domain.plans import Plan, PlanKind, Reversibility, Risk, Target
from bot.domain.principals import Actor, PlatformIdentity
from bot.domain.standing import StandingApproval, StandingScope, StandingState
from bot.domain.views import StandingRef
from bot.governance.people import UNCHECKED, People
from bot.governance.policy import DEFAULT_DENY, Policy, PolicyVerdict
from bot.intake.matching import Facts, environment_of
from bot.ports import Attribution, CloudFactory, PlaybookCatalog, PlaybookInfo
from bot.settings import Settings
from bot.store import ledger, outbox, plans
from bot.store import standing as store

ACTION = "pre_approve"
Fresh = Callable[[str, PlatformIdentity], Awaitable[Actor]]


class Passing(str):
    """An objection that says nothing against the standing approval itself: it stops this run and suspends nothing."""


class Guard:
    def __init__(self, catalog: PlaybookCatalog, clouds: CloudFactory, policy: Policy, people: People) -> None:
        self._catalog, self._clouds, self._policy, self._people = catalog, clouds, policy, people

    @property
    def _settings(self) -> Settings:
        return self._people.settings

    # --- at execution ------------------------------------------------------------------------------------------------

    async def objection(
        self,
        covered: store.Covered,
        plan: Plan,
        decision: Decision,
        owner: str,
        found: Sequence[tuple[Finding, str]],
        now: datetime,
        fresh: Fresh,
    ) -> str:
        """Why the executor must not carry out this use (any more), or ""."""
        held, facts = covered.held, covered.held.facts
        if facts.state is not StandingState.ACTIVE:
            return Passing(f"the standing approval {facts.id} is {facts.state.value}: {facts.state_why}".rstrip(": "))
        if facts.ends_at <= now:
            return Passing(f"the standing approval {facts.id} ended on {facts.ends_at:%Y-%m-%d %H:%M} UTC")
        if not held.intact or covered.use.standing_hash != held.hash:
            return f"the standing approval {facts.id} is not as it was granted"
        if covered.rank > facts.cap:
            return f"run {covered.rank} in an hour; {facts.id} permits {facts.cap}"
        if set(decision.decided_by) != {grant.principal_id for grant in held.grants}:
            return "the decision does not name who granted the standing approval"
        signers, why = await self.signers(held, fresh, executing=True)
        if why:
            return why
        why = Passing(self.unsafe(facts, plan)) or self.by_rule(plan, signers, owner, executing=True)
        return why or await self.outside(facts, plan, found, owner)

    # --- who ---------------------------------------------------------------------------------------------------------

    async def signers(
        self, held: store.Held, fresh: Fresh | None = None, *, executing: bool = False
    ) -> tuple[list[Actor], str]:
        """Who granted it and still may, as of now; with the reason when they are too few."""
        fresh, kept, said = fresh or self._people.fresh, list[Actor](), ""
        for grant in held.grants:
            if grant.hash != held.hash:
                said = f"{grant.principal_id} granted other terms"
                continue
            actor = await fresh(grant.principal_id, grant.identity)
            if actor.standing.note.startswith(UNCHECKED):
                return [], Passing(f"{actor.principal.name}, who granted it: {actor.standing.note}")
            verdict = self.may(actor, held.facts.scope, held.facts.playbook, executing=executing)
            if verdict.allowed:
                kept.append(actor)
            else:
                name = self._people.person(grant.principal_id).name
                said = f"{name} may no longer pre-approve this: {verdict.reason} ({verdict.rule})"
        needed = max(held.facts.quorum, self._settings.governance.standing.quorum)
        if len(kept) < needed:
            return [], said or f"{len(kept)} grants hold; {needed} are needed"
        return kept, ""

    def may(self, actor: Actor, scope: StandingScope, playbook: str, *, executing: bool = False) -> PolicyVerdict:
        """Whether the policy lets the actor pre-approve in this scope; asked of the scope, not of one plan."""
        info = self._catalog.get(playbook).info
        attributes = {
            "environment": scope.environment or "any",
            "account": scope.account,
            "accounts": [scope.account] if scope.account else [],
            "owner": scope.owner,
            "playbook": playbook,
            "risk": info.risk.value,
            "provider": info.provider,
            "resources": self._settings.governance.standing.max_resources,
            "reversibility": info.reversibility.value,
            "undo_exposes": info.undo_exposes,
        }
        return self._policy.may(actor, ACTION, None, {"attributes": attributes, "executing": executing})

    def by_rule(self, plan: Plan, signers: Iterable[Actor], owner: str, *, executing: bool = False) -> str:
        """Why those who granted it could not approve this very plan by hand, or ""."""
        rule, good, said = self._policy.rule_for(plan), 0, ""
        if rule.typed_confirmation:
            return Passing(f"the rule {rule.name} asks for a typed confirmation; that is not given in advance")
        context = self.context(plan, rule, owner, executing=executing)
        for actor in signers:
            refused = self.refusal(actor, plan, context)
            final = self._policy.may(actor, "execute", plan, context)
            if refused is not None:
                said = f"{actor.principal.name} may not approve this: {refused.reason} ({refused.rule})"
            elif not final.allowed and final.rule != DEFAULT_DENY:
                said = f"{final.reason} ({final.rule})"
            elif rule.owner_apart and self._people.owns(owner, actor):
                said = f"{actor.principal.name} owns the resource and cannot approve its change ({rule.name})"
            else:
                good += 1
        if good < rule.quorum:
            needed = f"the rule {rule.name} asks for {rule.quorum} approvals, {good} were given in advance"
            # Too few to begin with says nothing against those who granted it.
            return said or Passing(needed)
        return ""

    def context(self, plan: Plan, rule: ApprovalRule, owner: str, *, executing: bool = False) -> dict[str, Any]:
        exposes = self._catalog.get(plan.playbook).info.undo_exposes
        return {"rule": rule, "owner": owner, "undo_exposes": exposes, "executing": executing}

    def refusal(self, actor: Actor, plan: Plan, context: Mapping[str, Any]) -> PolicyVerdict | None:
        """A pre-approval is an approval: both must be permitted for the plan."""
        verdicts = (self._policy.may(actor, action, plan, context) for action in (ACTION, "approve"))
        return next((verdict for verdict in verdicts if not verdict.allowed), None)

    # --- what --------------------------------------------------------------------------------------------------------

    def unsafe(self, facts: StandingApproval | None, plan: Plan) -> str:
        """Why this plan is left to people, whoever granted what, or ""."""
        info, bounds = self._catalog.get(plan.playbook).info, self._settings.governance.standing
        if plan.kind is not PlanKind.FIX:
            return "an undo is decided by people"
        if facts and (plan.playbook, plan.playbook_version) != (facts.playbook, facts.playbook_version):
            return f"the plan is of {plan.playbook} version {plan.playbook_version}, another than was approved"
        why = never(info)
        if why:
            return why
        if plan.reversibility is not Reversibility.EXACT:
            return "it cannot be undone exactly"
        if plan.risk is Risk.HIGH:
            return "it is of high risk"
        resources = max(plan.blast_radius.resources, len(plan.targets))
        if resources > bounds.max_resources:
            return f"it changes {resources} resources; a standing approval covers {bounds.max_resources} at a time"
        if len(plan.account_ids) != 1 or plan.blast_radius.accounts > 1:
            return "it does not change exactly one account"
        if plan.blast_radius.warnings:
            return f"it comes with a warning: {plan.blast_radius.warnings[0]}"
        return ""

    async def outside(
        self, facts: StandingApproval, plan: Plan, found: Sequence[tuple[Finding, str]], owner: str
    ) -> str:
        """Why the plan's resources, as they are now, do not lie in the scope, or ""."""
        scope = facts.scope
        if scope.owner and owner != scope.owner:
            return Passing(f"it belongs to {owner or 'nobody known'}, not to {scope.owner}")
        if scope.account and set(plan.account_ids) != {scope.account}:
            return Passing(f"it is in account {', '.join(plan.account_ids)}, not in {scope.account}")
        environments = {plan.environment, *(target.environment for target in plan.targets)}
        if scope.environment and environments != {scope.environment}:
            return Passing(f"it is in {', '.join(sorted(environments))}, not in {scope.environment}")
        if not plan.targets:
            return Passing("it names no resource")
        by_target = self._by_target(plan, found)
        for target in plan.targets:
            finding = by_target.get(target.uid)
            if finding is None:
                return Passing(f"nothing is open on {target.name or target.uid} any more")
            if scope.environment or scope.tag_key or scope.owner:
                try:
                    why = Passing(self._tagged_outside(scope, target, finding, await self.tags(plan, target)))
                except GatehouseError as error:
                    return f"the tags of {target.name or target.uid} cannot be read: {error.reason}"
                if why:
                    return why
        return ""

    def _by_target(self, plan: Plan, found: Sequence[tuple[Finding, str]]) -> dict[str, Finding]:
        playbook, by_target = self._catalog.get(plan.playbook), dict[str, Finding]()
        for finding, _ in found:
            target = playbook.target(finding) if finding.id in plan.finding_ids else None
            if target is not None:
                by_target.setdefault(target.uid, finding)
        return by_target

    async def tags(self, plan: Plan, target: Target) -> dict[str, str] | None:
        """The resource's tags, read now; None where nobody can say."""
        read = getattr(self._catalog.get(plan.playbook), "tags", None)
        if not callable(read):
            return None
        found = await read(self._clouds.reader(Attribution(plan_id=plan.id)), target)
        return None if found is None else {str(key): str(value) for key, value in found.items()}

    def _tagged_outside(
        self, scope: StandingScope, target: Target, finding: Finding, tags: dict[str, str] | None
    ) -> str:
        name = target.name or target.uid
        if tags is None:
            return f"the cloud names no tags of {name}, so that nothing but the scanner says where it belongs"
        if scope.tag_key and tags.get(scope.tag_key) != scope.tag_value:
            has = f"{scope.tag_key}={tags[scope.tag_key]}" if scope.tag_key in tags else "no such tag"
            return f"{name} is not tagged {scope.tag_key}={scope.tag_value}: it has {has}"
        if scope.environment:
            facts = Facts.of(finding)
            facts.tags, facts.account = tags, target.account
            # Without the scanner's hint: tags as they are now, then the rules of gatehouse.yml.
            now, why = environment_of(facts, "", self._settings.environments)
            if now.value != scope.environment:
                return f"{name} is in {now.value}, not in {scope.environment} ({why})"
        if scope.owner:
            folded = {key.lower(): value.strip().lower() for key, value in tags.items()}
            named = {owner.lower(): owner for owner in self._settings.routing.owners}
            said = next((folded[tag.lower()] for tag in self._settings.routing.owner_tags if tag.lower() in folded), "")
            if said and named.get(said) != scope.owner:
                return f"{name} is tagged as {said}'s, not as {scope.owner}'s"
        return ""


def may_pre_approve(catalog: PlaybookCatalog, policy: Policy, actor: Actor, plan: Plan, owner: str) -> bool:
    """Whether to offer it to this person; granting asks everything again."""
    if not policy.offers(ACTION) or plan.kind is not PlanKind.FIX:
        return False
    try:
        info = catalog.get(plan.playbook).info
    except GatehouseError:
        return False
    context = {"rule": policy.rule_for(plan), "owner": owner, "undo_exposes": info.undo_exposes}
    permitted = all(policy.may(actor, action, plan, context).allowed for action in (ACTION, "approve"))
    return permitted and not never(info)


def standing_of(conn: Connection, people: People, plan: Plan, owner: str) -> tuple[StandingRef | None, str]:
    """For an undo what the fix was made under; for a fix what is in force for its like, and why it left this to people.

    By what is stored alone: to show it, never to decide by it.
    """
    if plan.undoes:
        held, note = store.of_execution(conn, plan.undoes), ""
    else:
        live = (each for each in store.every(conn, (StandingState.ACTIVE,)) if _means(each.facts, plan, owner))
        held = next(live, None)
        look = store.looked(conn, held.facts.id, plan.cause_id) if held else None
        note = look.why if look and look.mark == store.mark_of(conn, plan.cause_id) else ""
    if held is None:
        return None, ""
    by = tuple(people.person_in(conn, grant.principal_id) for grant in held.grants)
    return StandingRef(id=held.facts.id, by=by, scope=held.facts.scope.words, until=held.facts.ends_at), note


def _means(facts: StandingApproval, plan: Plan, owner: str) -> bool:
    scope = facts.scope
    return (
        (facts.playbook, facts.playbook_version) == (plan.playbook, plan.playbook_version)
        and scope.environment in {"", plan.environment}
        and (not scope.account or (scope.account,) == plan.account_ids)
        and scope.owner in {"", owner}
    )


def never(info: PlaybookInfo) -> str:
    """Why no plan of this playbook is ever covered, or ""."""
    if info.scope != "resource":
        return f"“{info.title}” changes a whole {info.scope}; that is decided by people each time"
    if info.reversibility is not Reversibility.EXACT:
        return f"“{info.title}” cannot be undone exactly; that is decided by people each time"
    if info.risk is Risk.HIGH:
        return f"“{info.title}” is of high risk; that is decided by people each time"
    return ""


def suspend(
    conn: Connection, ids: IdSource, now: datetime, people: People, standing_id: str, why: str, *, cause_id: str = ""
) -> bool:
    """Take it out of force and tell the cause's channel, the operators and who granted it. False when it is over."""
    if not store.set_state(conn, standing_id, StandingState.SUSPENDED, by="gatehouse", why=why, now=now):
        return False
    try:
        held, terms = store.get(conn, standing_id), ""
        terms = f" ({held.facts.playbook}, {held.facts.scope.words})"
    except Stale:  # altered: it is suspended all the same
        held, terms = None, ""
    body = {"why": why, "cause": cause_id, "hash": held.hash if held else ""}
    ledger.append(conn, kind="standing.suspended", subject=standing_id, actor="gatehouse", body=body, now=now)
    line = (
        f"⛔ The standing approval {standing_id}{terms} is suspended: {why}. "
        "Nothing more runs under it; it takes a new one to go on."
    )
    tell(conn, ids, now, people, held, line, cause_id=cause_id)
    return True


def tell(
    conn: Connection,
    ids: IdSource,
    now: datetime,
    people: People,
    held: store.Held | None,
    line: str,
    *,
    cause_id: str = "",
    direct: bool = True,
) -> None:
    """Under the cause's card (or in its channels, while it has none), to the operators, and to who granted it."""
    if cause_id:
        in_cause(conn, ids, now, cause_id, line)
    for address in people.settings.routing.fallback:
        outbox.tell(conn, ids, now, address, line)
    for grant in held.grants if held and direct else ():
        outbox.tell(conn, ids, now, f"{grant.identity.platform.value}:{grant.identity.user}", line)


def in_cause(conn: Connection, ids: IdSource, now: datetime, cause_id: str, line: str) -> None:
    if not outbox.say_in_thread(conn, ids, now, cause_id, line):
        for address in plans.channels(conn, cause_id):
            outbox.tell(conn, ids, now, address, line)
