"""Standing approvals from their grant to their end. What runs under them is ``standing_runs``.

Rules
- Off unless a policy names the action ``pre_approve``; a refusal is in the ledger and says who could.
- A grant binds playbook version, scope, cap and end by hash. Nothing of it is changed afterwards: another one is made.
- Who granted it may end it at any time, and so may everybody whom the policy lets freeze or pre-approve there.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from pydantic import ValidationError
from sqlalchemy import Connection

from bot.domain.errors import BadInput, Conflict, Denied, GatehouseError, NotFound, Stale
from bot.domain.ids import Clock, IdSource
from bot.domain.plans import Plan, PlanKind
from bot.domain.principals import Actor
from bot.domain.standing import Grant, StandingApproval, StandingDraft, StandingScope, StandingState, StandingView
from bot.governance.people import People
from bot.governance.policy import Policy, PolicyVerdict, mend
from bot.intake.cleaning import clean
from bot.ports import PlaybookInfo
from bot.store import ledger, plans
from bot.store import standing as store
from bot.store.database import Database

from .planning import Planner
from .standing_guard import ACTION, Guard, never, tell
from .standing_runs import Runs

_REASON_MAX = 500
_NAMES_SHOWN = 5
_OFF = "Write a policy that permits pre_approve and name its file in governance.policies; see docs/policy.md."
_AGAIN = "Press Review fix again to see the present state."


class Standings:
    """What people do with standing approvals; ``tick`` is for housekeeping."""

    def __init__(
        self, db: Database, planner: Planner, policy: Policy, people: People, clock: Clock, ids: IdSource
    ) -> None:
        self._db, self._planner, self._policy, self._people = db, planner, policy, people
        self._clock, self._ids = clock, ids
        self._guard = Guard(planner.catalog, planner.clouds, policy, people)
        self._runs = Runs(db, planner, self._guard, policy, people, clock, ids)

    async def tick(self) -> int:
        """End what is over and carry on what is in force. Returns how many runs were decided."""
        return await self._runs.tick()

    # --- offering ----------------------------------------------------------------------------------------------------

    async def draft(self, plan_id: str, plan_hash: str, actor: Actor) -> StandingDraft:
        """What can be pre-approved starting from this plan; ``Denied`` where the policy or the playbook says no."""
        plan, cause = await self._db.read(_facts, plan_id)
        self._usable(plan, plan_hash)
        verdict = self._verdict(actor, plan, cause.owner)
        if not verdict.allowed:
            raise await self._db.write(self._refuse, plan.id, actor, verdict)
        bounds, info = self._people.settings.governance.standing, self._info(plan.playbook)
        owners = self._people.settings.routing.owners
        return StandingDraft(
            plan_id=plan.id,
            plan_hash=plan.hash,
            cause_id=cause.id,
            cause_title=cause.title,
            playbook=plan.playbook,
            playbook_version=plan.playbook_version,
            playbook_title=info.title,
            danger=info.danger,
            undo_note=info.undo_note,
            environment="" if plan.environment == "unknown" else plan.environment,
            account=plan.account_ids[0] if len(plan.account_ids) == 1 else "",
            account_name="",
            owner=cause.owner,
            owner_name=owners[cause.owner].name if cause.owner in owners else cause.owner,
            tags=tuple(sorted((await self._common_tags(plan)).items())),
            max_days=bounds.max_days,
            max_per_hour=bounds.max_per_hour,
            max_resources=bounds.max_resources,
            quorum=bounds.quorum,
        )

    def _usable(self, plan: Plan, plan_hash: str) -> None:
        if plan.hash != plan_hash:
            raise Stale("the plan you looked at is not this one any more", mend=_AGAIN)
        if plan.kind is not PlanKind.FIX:
            raise Conflict("an undo is not pre-approved", mend="Each undo is decided by people.")
        why = never(self._info(plan.playbook))
        if why:
            raise Conflict(why, mend="Approve each plan by itself.")
        if self._info(plan.playbook).version != plan.playbook_version:
            raise Stale("the playbook changed since this plan was made", mend=_AGAIN)

    async def _common_tags(self, plan: Plan) -> dict[str, str]:
        """What all of the plan's resources are tagged with, as read now; nothing where that cannot be said."""
        common: dict[str, str] | None = None
        for target in plan.targets:
            try:
                tags = await self._guard.tags(plan, target)
            except GatehouseError:
                return {}
            common = tags if common is None else dict(common.items() & (tags or {}).items())
            if not common:
                return {}
        return common or {}

    # --- granting ----------------------------------------------------------------------------------------------------

    async def grant(
        self, plan_id: str, plan_hash: str, actor: Actor, *, scope: StandingScope, cap: int, days: int, reason: str
    ) -> StandingView:
        """Pre-approve the plan's playbook in ``scope``, which must hold for the plan itself."""
        plan, cause = await self._db.read(_facts, plan_id)
        self._usable(plan, plan_hash)
        bounds = self._people.settings.governance.standing
        if not 1 <= days <= bounds.max_days:
            raise BadInput(f"Until when? 1 to {bounds.max_days} days.", mend="governance.standing.max_days bounds it.")
        if not 1 <= cap <= bounds.max_per_hour:
            raise BadInput(
                f"How many an hour? 1 to {bounds.max_per_hour}.", mend="governance.standing.max_per_hour bounds it."
            )
        said = clean(reason, _REASON_MAX).strip()
        if not said:
            raise BadInput("A standing approval needs a reason.", mend="Say why; it is shown at every run.")
        await self._holds_for(scope, plan, cause.owner)
        now = self._clock.now()
        made = StandingApproval(
            id=self._ids.new("sa"),
            playbook=plan.playbook,
            playbook_version=plan.playbook_version,
            scope=scope,
            cap=cap,
            ends_at=now + timedelta(days=days),
            created_by=actor.principal.id,
            created_at=now,
            reason=said,
            quorum=bounds.quorum,
            policy_version=self._policy.version,
            state=StandingState.ACTIVE if bounds.quorum == 1 else StandingState.PROPOSED,
        )
        return _settle(await self._db.write(self._grant, made, plan, actor))

    async def _holds_for(self, scope: StandingScope, plan: Plan, owner: str) -> None:
        """A scope that the plan itself does not lie in was not the one that was shown."""
        wrong = [
            (name, wanted, has)
            for name, wanted, has in (
                ("environment", scope.environment, plan.environment),
                ("account", scope.account, plan.account_ids[0] if len(plan.account_ids) == 1 else ""),
                ("owner", scope.owner, owner),
            )
            if wanted and wanted != has
        ]
        if scope.tag_key:
            has_tag = (await self._common_tags(plan)).get(scope.tag_key)
            if has_tag != scope.tag_value:
                wrong.append((f"tag {scope.tag_key}", scope.tag_value, has_tag or ""))
        if wrong:
            name, wanted, has = wrong[0]
            raise BadInput(
                f"The plan you looked at is not in this scope: {name} is {has or 'not known'}, not {wanted}.",
                mend="Open Pre-approve again from the card of a finding that is.",
            )

    def _grant(
        self, conn: Connection, made: StandingApproval, plan: Plan, actor: Actor
    ) -> StandingView | GatehouseError:
        # The row of the cause serialises two clicks on the same dialog.
        cause = plans.cause(conn, plan.cause_id, lock=True)
        verdict = self._verdict(actor, plan, cause.owner, made.scope)
        if not verdict.allowed:
            return self._refuse(conn, plan.id, actor, verdict)
        for held in store.every(conn, (StandingState.ACTIVE, StandingState.PROPOSED)):
            other = held.facts
            if (other.playbook, other.playbook_version, other.scope) != (
                made.playbook,
                made.playbook_version,
                made.scope,
            ):
                continue
            if (other.created_by, other.cap, other.reason) == (made.created_by, made.cap, made.reason):
                return self._view(conn, held, actor)  # a double click: the same answer
            return Conflict(
                f"{other.id} already covers exactly this scope, until {other.ends_at:%Y-%m-%d}",
                mend=f"End it first: /gatehouse standing revoke {other.id}",
            )
        store.add(conn, made, made.created_at)
        return self._sign(conn, made, actor, cause.id)

    async def confirm(self, standing_id: str, terms: str, actor: Actor) -> StandingView:
        """Another person's word for the same terms (``terms`` is their hash), where more than one is needed."""
        return _settle(await self._db.write(self._confirm, standing_id, terms, actor))

    def _confirm(self, conn: Connection, standing_id: str, terms: str, actor: Actor) -> StandingView | GatehouseError:
        held = store.get(conn, standing_id, lock=True)
        facts = held.facts
        if any(grant.principal_id == actor.principal.id for grant in held.grants):
            return self._view(conn, held, actor)
        if facts.state is not StandingState.PROPOSED:
            return Stale(f"{standing_id} is already {facts.state.value}", mend="/gatehouse standing lists them.")
        if not held.intact or terms != held.hash:
            return Stale(f"{standing_id} is not what you looked at", mend="Open /gatehouse standing again.")
        verdict = self._guard.may(actor, facts.scope, facts.playbook)
        if not verdict.allowed:
            return self._refuse(conn, standing_id, actor, verdict)
        return self._sign(conn, facts, actor, "")

    def _sign(self, conn: Connection, facts: StandingApproval, actor: Actor, cause_id: str) -> StandingView:
        now, who = self._clock.now(), actor.principal
        grant = Grant(
            standing_id=facts.id, hash=facts.hash, principal_id=who.id, identity=actor.identity, at=now
        )  # fmt: skip
        store.add_grant(conn, grant)
        held = store.get(conn, facts.id)
        missing = facts.quorum - len(held.grants)
        if missing <= 0 and facts.state is StandingState.PROPOSED:
            store.set_state(conn, facts.id, StandingState.ACTIVE, by=who.id, why="", now=now)
            held = store.get(conn, facts.id)
        body = grant.model_dump(mode="json") | {
            "terms": facts.model_dump(mode="json", exclude={"state", "state_by", "state_why"}),
            "groups": sorted(actor.groups),
            "missing": max(0, missing),
            "cause": cause_id,
            "reason": facts.reason,
        }
        ledger.append(conn, kind="standing.granted", subject=facts.id, actor=who.id, body=body, now=now)
        waits = f" {missing} more must grant it: /gatehouse standing." if missing > 0 else ""
        line = (
            f"📌 {who.name} granted the standing approval {facts.id}: {self._info(facts.playbook).title} "
            f"({facts.playbook} v{facts.playbook_version}) where {facts.scope.words}, at most {facts.cap} an hour, "
            f"until {facts.ends_at:%Y-%m-%d %H:%M} UTC: {facts.reason}.{waits}"
        )
        tell(conn, self._ids, now, self._people, held, line, cause_id=cause_id, direct=False)
        return self._view(conn, held, actor)

    # --- ending ------------------------------------------------------------------------------------------------------

    async def revoke(self, standing_id: str, actor: Actor, reason: str = "") -> StandingView:
        """End it. What is queued under it no longer runs; what runs stops before its next step."""
        return _settle(await self._db.write(self._revoke, standing_id, actor, clean(reason, _REASON_MAX)))

    def _revoke(self, conn: Connection, standing_id: str, actor: Actor, reason: str) -> StandingView | GatehouseError:
        held, now, who = store.get(conn, standing_id, lock=True), self._clock.now(), actor.principal
        state = held.facts.state
        if state is StandingState.REVOKED:
            return self._view(conn, held, actor)
        if state.is_final:
            return Stale(f"{standing_id} is already {state.value}", mend="Nothing runs under it.")
        verdict = self._may_revoke(actor, held)
        if not verdict.allowed:
            return self._refuse(conn, standing_id, actor, verdict)
        why = f"{who.name} revoked it{': ' + reason if reason else ''}"
        store.set_state(conn, standing_id, StandingState.REVOKED, by=who.id, why=why, now=now)
        body = {"why": why, "hash": held.hash}
        ledger.append(conn, kind="standing.revoked", subject=standing_id, actor=who.id, body=body, now=now)
        line = f"The standing approval {standing_id} ({held.facts.playbook}, {held.facts.scope.words}) ended: {why}."
        tell(conn, self._ids, now, self._people, held, line)
        return self._view(conn, store.get(conn, standing_id), actor)

    def _may_revoke(self, actor: Actor, held: store.Held) -> PolicyVerdict:
        objection = actor.standing.objection()
        if objection:
            return PolicyVerdict(False, "standing of the account", objection)
        if any(grant.principal_id == actor.principal.id for grant in held.grants):
            return PolicyVerdict(True, "who granted it", "")
        try:
            own = self._guard.may(actor, held.facts.scope, held.facts.playbook)
        except NotFound:  # the playbook's package is gone; its standing approval must still end
            own = PolicyVerdict(False, "playbook", "its playbook is not installed")
        return own if own.allowed else self._policy.may(actor, "freeze", None)

    # --- looking -----------------------------------------------------------------------------------------------------

    async def list(self, actor: Actor, *, over: bool = False) -> tuple[StandingView, ...]:
        """Those in force or waiting, and with ``over`` also those that ended; as this person may press them."""
        self._policy.may(actor, "review", None).require()
        return await self._db.read(self._list, actor, over)

    def _list(self, conn: Connection, actor: Actor, over: bool) -> tuple[StandingView, ...]:
        states = (
            tuple(StandingState) if over else (StandingState.ACTIVE, StandingState.PROPOSED, StandingState.SUSPENDED)
        )
        return tuple(self._view(conn, held, actor) for held in store.every(conn, states))

    def _view(self, conn: Connection, held: store.Held, actor: Actor) -> StandingView:
        facts = held.facts
        uses, lately, last = store.tally(conn, facts.id, self._clock.now())
        signed = any(grant.principal_id == actor.principal.id for grant in held.grants)
        waits = facts.state is StandingState.PROPOSED and not signed
        try:
            title = self._info(facts.playbook).title
            confirm = waits and self._guard.may(actor, facts.scope, facts.playbook).allowed
        except NotFound:
            title, confirm = facts.playbook, False
        return StandingView(
            standing=facts,
            hash=held.hash,
            playbook_title=title,
            by=tuple(self._people.person_in(conn, grant.principal_id) for grant in held.grants),
            uses=uses,
            uses_last_hour=lately,
            last_use=last,
            may_revoke=not facts.state.is_final and self._may_revoke(actor, held).allowed,
            may_confirm=confirm,
        )

    # --- who may -----------------------------------------------------------------------------------------------------

    def _verdict(self, actor: Actor, plan: Plan, owner: str, scope: StandingScope | None = None) -> PolicyVerdict:
        """For the plan that was looked at and, once it is known, for the scope: both must be permitted."""
        if not self._policy.offers(ACTION):
            return self._policy.may(actor, ACTION, plan)
        context = self._guard.context(plan, self._policy.rule_for(plan), owner)
        verdict = self._guard.refusal(actor, plan, context)
        if verdict is None and scope is not None:
            verdict = self._guard.may(actor, scope, plan.playbook)
        if verdict is None or verdict.allowed:
            return PolicyVerdict(True, "", "")
        names = tuple(self._could(plan, owner, scope))
        return PolicyVerdict(False, verdict.rule, verdict.reason, (*verdict.could, *names))

    def _could(self, plan: Plan, owner: str, scope: StandingScope | None) -> Iterable[str]:
        """The people of gatehouse.yml for whom the policy would say yes."""
        rule, shown = self._policy.rule_for(plan), 0
        context = self._guard.context(plan, rule, owner)
        for candidate in self._people.candidates(self._policy.deciding_groups(rule)):
            permitted = self._guard.refusal(candidate, plan, context) is None
            if permitted and (scope is None or self._guard.may(candidate, scope, plan.playbook).allowed):
                yield candidate.principal.name
                shown += 1
            if shown == _NAMES_SHOWN:
                return

    def _refuse(self, conn: Connection, subject: str, actor: Actor, verdict: PolicyVerdict) -> Denied:
        body = {"wanted": ACTION, "rule": verdict.rule, "reason": verdict.reason,
                "identity": actor.identity.model_dump(mode="json")}  # fmt: skip
        now = self._clock.now()
        ledger.append(conn, kind="refused", subject=subject, actor=actor.principal.id, body=body, now=now)
        how = mend(verdict.could) if self._policy.offers(ACTION) else _OFF
        return Denied(verdict.reason, rule=verdict.rule, could=verdict.could, mend=how)

    def _info(self, playbook: str) -> PlaybookInfo:
        return self._planner.catalog.get(playbook).info


def scope_of(**parts: str) -> StandingScope:
    """A scope from what was chosen; ``BadInput`` says what is missing."""
    try:
        return StandingScope(**parts)
    except ValidationError as error:
        said = "; ".join(str(each["msg"]).removeprefix("Value error, ") for each in error.errors())
        raise BadInput(
            f"This is no scope: {said}.", mend="Narrow it to one environment, account, owner or tag."
        ) from error


def _facts(conn: Connection, plan_id: str) -> tuple[Plan, plans.CauseFacts]:
    plan = plans.plan(conn, plan_id)
    return plan, plans.cause(conn, plan.cause_id)


def _settle(outcome: StandingView | GatehouseError) -> StandingView:
    """Raise what the transaction came to, after it was committed: a refusal is a fact, too."""
    if isinstance(outcome, GatehouseError):
        raise outcome
    return outcome
