"""What a person may do with a cause right now, and who should be shown it first: for cards, never for decisions.

Asks the very functions that decide. What is remembered here is a few seconds old at most; a press is decided anew.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Generic, TypeVar

from sqlalchemy import Connection

from bot.domain.decisions import Choice, Vote
from bot.domain.errors import NotFound, Stale
from bot.domain.plans import Plan, PlanKind, Risk
from bot.domain.principals import Actor
from bot.domain.views import CauseRights, CauseView, Option, Stage
from bot.governance.policy import Outline, PolicyVerdict, apart
from bot.store import controls, plans

from .office import Lent, Office

LAST = timedelta(seconds=15)  # how long an answer is given again: a freeze or a delegation raises no revision
HELD = 4_000
NOBODY = 9  # the rank of who may nothing that not everybody may
_DECIDED_ON = {Stage.OPEN, Stage.FAILED, Stage.BLOCKED, Stage.UNVERIFIED, Stage.UNDONE}


@dataclass(frozen=True, slots=True)
class _Case:
    """A cause with the plan that is decided on: of its request, else the newest one there is."""

    cause: plans.CauseFacts
    account: str
    plan: Plan | None
    held: plans.Request | None
    votes: tuple[Vote, ...]

    @property
    def requester(self) -> str:
        return self.held.facts.requested_by if self.held else ""


T = TypeVar("T")


class _Kept(Generic[T]):
    """Answers by what was asked, given again for some seconds."""

    def __init__(self) -> None:
        self._held: OrderedDict[Any, tuple[datetime, T]] = OrderedDict()

    def get(self, view: CauseView, actor: Actor, now: datetime) -> T | None:
        found = self._held.get(self._key(view, actor))
        return found[1] if found is not None and now - found[0] < LAST else None

    def put(self, view: CauseView, actor: Actor, now: datetime, value: T) -> T:
        self._held[key := self._key(view, actor)] = now, value
        self._held.move_to_end(key)
        while len(self._held) > HELD:
            self._held.popitem(last=False)
        return value

    @staticmethod
    def _key(view: CauseView, actor: Actor) -> Any:
        return view.id, view.revision, actor.principal.id, actor.groups, actor.standing.objection()


class Rights(Office):
    def __init__(self, *given: Any, **more: Any) -> None:
        super().__init__(*given, **more)
        self._answers: _Kept[CauseRights] = _Kept()
        self._ranks: _Kept[int] = _Kept()

    async def of(self, view: CauseView, actor: Actor) -> CauseRights:
        """``view`` as it was read just now."""
        now = self._clock.now()
        kept = self._answers.get(view, actor, now)
        return kept or self._answers.put(view, actor, now, await self._db.read(self._of, view, actor))

    async def facing(self, view: CauseView, people: Iterable[Actor]) -> list[Actor]:
        """Those of ``people`` who may do something about it that not everybody may: first who may approve and has not
        voted, then the others who may decide, then the owner, who asked and who voted."""
        now, asked = self._clock.now(), list(people)
        fresh = [actor for actor in asked if self._ranks.get(view, actor, now) is None]
        if fresh:  # the same card may stand in several channels
            for actor, rank in zip(fresh, await self._db.read(self._ranked, view, fresh), strict=True):
                self._ranks.put(view, actor, now, rank)
        ranks = [(self._ranks.get(view, actor, now), position) for position, actor in enumerate(asked)]
        return [asked[at] for _, at in sorted((rank, at) for rank, at in ranks if rank is not None and rank < NOBODY)]

    def _ranked(self, conn: Connection, view: CauseView, people: list[Actor]) -> list[int]:
        case = self._case(conn, view)
        lent = {each.to_id for each in controls.delegations(conn, now=self._clock.now())}
        return [self._rank(conn, view, case, actor, actor.principal.id in lent) for actor in people]

    def _rank(self, conn: Connection, view: CauseView, case: _Case, actor: Actor, lent: bool) -> int:
        if actor.standing.objection():
            return NOBODY
        who = actor.principal.id
        voted = any(vote.principal_id == who for vote in case.votes)
        stands_in = self._lent_to(conn, actor) if lent else ()
        approves = self._decides(conn, Choice.APPROVE, actor, case, case.requester, stands_in).allowed
        if not _concerns(view):
            return 3 if view.execution and view.execution.can_undo and approves else NOBODY
        if approves:
            return 1 if voted else 0
        if self._people.owns(case.cause.owner, actor):
            return 2
        return 3 if voted or case.requester == who else NOBODY

    def _of(self, conn: Connection, view: CauseView, actor: Actor) -> CauseRights:
        case, lent, who = self._case(conn, view), self._lent_to(conn, actor), actor.principal.id
        mine = next((vote.choice for vote in case.votes if vote.principal_id == who), None)
        may: list[Option] = []
        approve = PolicyVerdict(False, "", "")
        if _concerns(view):
            # Before anybody has asked, approving means asking and answering in one go.
            requester = case.requester if case.held else who
            approve = self._decides(conn, Choice.APPROVE, actor, case, requester, lent)
            if case.held is None:
                may += [Option.ASK] if self._simply(actor, "request", case) else []
                may += [Option.APPROVE] if approve.allowed else []
            else:
                may += [Option.APPROVE] if approve.allowed and mine is not Choice.APPROVE else []
                rejects = self._decides(conn, Choice.REJECT, actor, case, requester, lent)
                may += [Option.REJECT] if rejects.allowed and mine is not Choice.REJECT else []
                may += [Option.CANCEL] if self._simply(actor, "cancel", case) else []
                may += [Option.WITHDRAW] if mine else []
        can_undo = view.execution is not None and view.execution.can_undo and view.stage is not Stage.WAITING
        refused = _concerns(view) and not approve.allowed and mine is None
        return CauseRights(
            cause_id=view.id,
            revision=view.revision,
            may=tuple(may),
            undo=can_undo and self._simply(actor, "undo_request", case, PlanKind.UNDO),
            pass_on=view.stage in _DECIDED_ON and self._simply(actor, "pass_on", case),
            snooze=view.stage in _DECIDED_ON and self._simply(actor, "snooze", case),
            voted=mine,
            why_not=approve.reason if refused else "",
            rule=approve.rule if refused else "",
            could=(self._who_could(case) or approve.could) if refused else (),
        )

    # --- the parts ---------------------------------------------------------------------------------------------------

    def _case(self, conn: Connection, view: CauseView) -> _Case:
        cause, waits = plans.cause(conn, view.id), view.request if view.stage is Stage.WAITING else None
        held = plans.request(conn, waits.id) if waits else None
        if held is not None and held.facts.state.is_final:
            held = None
        if held is not None:
            votes = tuple(vote for vote, _ in plans.live_votes(conn, held.facts.id))
            try:
                plan: Plan | None = plans.plan(conn, held.facts.plan_id)
            except (Stale, NotFound):  # whoever presses is told; what is shown follows from the rest
                plan = None
            return _Case(cause, view.account_uid, plan, held, votes)
        return _Case(cause, view.account_uid, plans.latest_plan(conn, view.id, PlanKind.FIX, None), None, ())

    def _lent_to(self, conn: Connection, actor: Actor) -> Lent:
        found = controls.delegations(conn, to_id=actor.principal.id, now=self._clock.now())
        others = [(each, self._people.remembered(each.from_identity)) for each in found]
        return tuple((each, other) for each, other in others if other is not None)

    def _decides(
        self, conn: Connection, choice: Choice, actor: Actor, case: _Case, requester: str, lent: Lent
    ) -> PolicyVerdict:
        if case.plan is not None:
            rule = case.held.facts.rule if case.held else self._policy.rule_for(case.plan)
            votes = list(case.votes)
            return self._stand(conn, actor, choice, case.plan, case.cause, rule, requester, lent, votes)[0]
        outline = self._outline(case, PlanKind.FIX)
        rule = self._policy.rule_like(outline)
        asked, owns = bool(requester) and requester == actor.principal.id, self._people.owns(case.cause.owner, actor)
        context = self._context(case, outline) | {"rule": rule, "is_requester": asked}
        verdict = self._policy.may(actor, choice.value, None, context)
        if not verdict.allowed or choice is Choice.REJECT:
            return verdict
        return apart(rule, asked=asked, owns=owns, could=verdict.could) or verdict

    def _simply(self, actor: Actor, action: str, case: _Case, kind: PlanKind = PlanKind.FIX) -> bool:
        outline = self._outline(case, kind)
        rule = case.held.facts.rule if case.held else self._policy.rule_like(outline)
        asked = bool(case.requester) and case.requester == actor.principal.id
        plan = case.plan if kind is PlanKind.FIX else None
        context = {"owner": case.cause.owner} if plan else self._context(case, outline)
        return self._policy.may(actor, action, plan, context | {"rule": rule, "is_requester": asked}).allowed

    def _outline(self, case: _Case, kind: PlanKind) -> Outline:
        risk = Risk.LOW
        if case.cause.playbook:
            try:
                risk = self._planner.catalog.get(case.cause.playbook).info.risk
            except NotFound:  # of another version of ours
                risk = Risk.HIGH
        accounts = (case.account,) if case.account else ()
        return Outline(case.cause.environment, accounts, case.cause.playbook, risk.value, kind.value)

    @staticmethod
    def _context(case: _Case, outline: Outline) -> dict[str, Any]:
        about: dict[str, Any] = {"kind": outline.kind, "playbook": outline.playbook, "risk": outline.risk}
        about |= {"account": case.account, "accounts": list(outline.accounts)}
        return {"owner": case.cause.owner, "environment": outline.environment, "attributes": about}

    def _who_could(self, case: _Case) -> tuple[str, ...]:
        if case.plan is None:
            rule = self._policy.rule_like(self._outline(case, PlanKind.FIX))
            return tuple(f"members of {group}" for group in rule.groups)
        rule = case.held.facts.rule if case.held else self._policy.rule_for(case.plan)
        return self._could(case.plan, rule, case.cause, case.requester)


def _concerns(view: CauseView) -> bool:
    """Whether there is a plan of ours to decide on."""
    if view.stage is Stage.WAITING:
        return True
    return view.stage in _DECIDED_ON and bool(view.playbook) and not view.no_fix
