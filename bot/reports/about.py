"""Questions about one thing (a cause, by its card or id), answered from the views that cards show. No model, no action.

The intents are few and told by their words: why this priority, how to fix it, who decided, what would approving do,
who owns it, when it is due, explain, and "fix it", which is answered with the way to the fix and never done here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, Protocol

from sqlalchemy import ColumnElement

from bot.domain.errors import GatehouseError
from bot.domain.habits import PLAIN, Habits
from bot.domain.plans import Reversibility
from bot.domain.principals import Actor
from bot.domain.views import CauseView, FactLine, FindingView, PlanView, Stage

Intent = Literal["fix", "how_fix", "why", "who", "what_would", "owner", "due", "explain"]

_IT = r"(?:it|this|that|these|those|them|the (?:finding|issue|problem|cause|bucket|fix|thing)|[cf]-[0-9a-z]{6,})"
_PATTERNS: tuple[tuple[Intent, str], ...] = (
    (
        "fix",
        rf"^(?:(?:please|pls|now|ok|okay|just|and|then|can you|could you|would you|will you|go ahead and)[\s,]+)*"
        rf"(?:fix|remediate|resolve|repair|mend|patch)(?:\s+{_IT})?"
        r"(?:\s+(?:now|please|for me|for us|too))*\s*[.!?]*$",
    ),
    (
        "how_fix",
        r"\bhow\b.{0,40}\b(?:fix|fixed|remediate|remediated|solve|solved|resolve|resolved|mend|repair)\b"
        r"|\bwhat(?:'s| is)? (?:the|a) (?:fix|remedy|solution|remediation)\b|^remediation(?: steps)?\W*$",
    ),
    (
        "what_would",
        r"\bwhat\b.{0,30}\b(?:approv\w+|approval)\b|\bwhat (?:happens|would happen|will happen)\b"
        r"|\bwhat (?:would|will|does) (?:the fix|(?:fixing |undoing )?(?:it|this|that)) (?:do|change|break)\b"
        r"|\bwhat (?:would|will) (?:change|break)\b",
    ),
    (
        "who",
        r"\bwho(?:'s| has| have)? (?:decided|approved|rejected|denied|asked|requested|voted|fixed|did|snoozed|"
        r"accepted|undid|signed|allowed|broke)\b|\bwho (?:can|could|may|must|should) (?:approve|decide|fix)\b"
        r"|\bwhose (?:decision|approval)\b",
    ),
    (
        "why",
        r"^(?:but |so |and )?why\W*$|\bwhy\b.{0,40}\b(?:p[1-4]|priority|urgent|important|critical|high|medium|low|"
        r"severity|act|attend)\b|^why (?:is|does|do|was) " + _IT + r"\b",
    ),
    (
        "owner",
        rf"\b(?:who|which team|what team) (?:owns|is responsible for|is accountable for|looks after) {_IT}\W*$"
        rf"|\bwho(?:se|'s| is) (?:is |the owner of |responsible for |in charge of ){_IT}\W*$"
        rf"|^(?:who(?:'s| is) the owner|owner|whose)\W*$|\bwho (?:is|'s) {_IT} (?:assigned to|owned by)\W*$",
    ),
    (
        "due",
        rf"\b(?:when|by when|until when) (?:is|must|should|does) {_IT}(?: be)? (?:due|fixed|done|expire)\W*$"
        rf"|\b(?:how long|since when) (?:has|is) {_IT}(?: been)? (?:open|there|known)\W*$"
        rf"|^(?:when is the )?deadline\W*$|\bis {_IT} (?:overdue|late|past due)\W*$",
    ),
    (
        "explain",
        rf"^(?:(?:please|can you|could you)[\s,]+)*(?:explain|describe|summari[sz]e)\b(?:\s+{_IT})?"
        rf"|\bwhat (?:is|does) {_IT}(?: about| mean)?\W*$|\btell me (?:more )?about {_IT}\W*$"
        r"|\bmore (?:details|about (?:it|this|that))\b|^[cf]-[0-9a-z]{6,}\W*$",
    ),
)
_ABOUT = tuple((intent, re.compile(pattern, re.IGNORECASE)) for intent, pattern in _PATTERNS)
_OF_MANY = re.compile(r"\b(?:how many|most|least|each|per|count|average|mean|total)\b", re.IGNORECASE)
_ID = re.compile(r"(?<![\w-])([cf]-[0-9a-z]{6,40})(?![\w-])")
_RUNNING = {Stage.RUNNING, Stage.FIXED}


def intent_of(question: str) -> Intent | None:
    """What is asked of one thing; None where it is a question about many."""
    text = " ".join(question.split())
    if len(text) > 200 or _OF_MANY.search(text):
        return None
    return next((intent for intent, pattern in _ABOUT if pattern.search(text)), None)


def named_in(question: str) -> str:
    """The id of a cause or finding that the question names."""
    found = _ID.search(question)
    return found[1] if found else ""


class Sight(Protocol):
    """The part of ``Board`` that is needed."""

    async def cause(self, cause_id: str) -> CauseView: ...

    async def finding(self, finding_id: str, seen: ColumnElement[bool] | None = None) -> FindingView: ...


class Look(Protocol):
    """The part of ``Approvals`` that is needed: the plan as Review fix shows it."""

    async def look(self, cause_id: str, actor: Actor) -> PlanView: ...


@dataclass(frozen=True, slots=True)
class Told:
    text: str
    cause: CauseView
    facts: tuple[FactLine, ...] = ()
    points: tuple[str, ...] = ()
    fixable: bool = False
    model: str = ""  # that wrote some of the points


class About:
    def __init__(self, board: Sight, approvals: Look) -> None:
        self._board, self._approvals = board, approvals

    async def cause_of(self, wanted: str, seen: ColumnElement[bool] | None = None) -> str:
        """The cause of an id of a cause or finding; "" where a finding has none. ``NotFound`` where there is none among
        the findings that are ``seen``."""
        return (await self._board.finding(wanted, seen)).cause_id if wanted.startswith("f-") else wanted

    async def tell(self, intent: Intent, cause_id: str, actor: Actor, habits: Habits = PLAIN) -> Told:
        """Times are written as ``habits`` has them."""
        view = await self._board.cause(cause_id)
        match intent:
            case "why":
                return _why(view, habits)
            case "how_fix" | "fix":
                return _fix(view, order=intent == "fix")
            case "who":
                return _who(view, habits)
            case "owner":
                return _owner(view)
            case "due":
                return _due(view, habits)
            case "explain":
                return _explain(view)
            case "what_would":
                return await self._what_would(view, actor, habits)

    async def _what_would(self, view: CauseView, actor: Actor, habits: Habits) -> Told:
        if view.stage in _RUNNING or not view.playbook:
            told = _fix(view, order=False)
            why = "Nothing waits for approval here. " if view.stage in _RUNNING else ""
            return Told(why + told.text, view, told.facts, told.points)
        try:
            plan = await self._approvals.look(view.id, actor)
        except GatehouseError as error:
            return Told(f"No plan can be made now: {error.reason} {error.mend}".strip(), view)
        return _plan(view, plan, habits)


def _why(view: CauseView, habits: Habits) -> Told:
    due = f", due {habits.day(view.due)}" if view.due else ", with no date set"
    text = f"It is {view.priority.label} ({view.decision.value}){due}, by the decision table over these facts."
    points = tuple(
        f"{each.fact} ({each.source}{f', as of {habits.day(each.as_of)}' if each.as_of else ''})"
        for each in view.reasons
    )
    if not points:
        text = f"It is {view.priority.label} ({view.decision.value}){due}; no facts are kept with that verdict."
    return Told(text, view, points=points)


def _fix(view: CauseView, *, order: bool) -> Told:
    fixable = bool(view.playbook) and view.stage not in {*_RUNNING, Stage.RESOLVED, Stage.EXCEPTED}
    points = (view.remediation,) if view.remediation else ()
    if view.stage is Stage.FIXED:
        text = "It is fixed and verified; there is nothing left to fix."
    elif view.stage is Stage.RUNNING:
        text = "The approved fix is being carried out now; the card shows how it goes."
    elif view.stage in {Stage.RESOLVED, Stage.EXCEPTED}:
        text = "It is closed: there is nothing to fix."
    elif fixable:
        lead = "I change nothing by being asked. " if order else ""
        text = (
            f"{lead}Gatehouse can fix it: {view.playbook_title or view.playbook}. Review fix shows the exact plan, "
            "and nothing changes before an authorised person has approved it."
        )
    else:
        text = f"It has to be fixed by hand. {view.no_fix}".strip()
    facts = (FactLine(label="Advice of the source", value=view.remediation),) if points and not fixable else ()
    return Told(text, view, facts, points if not facts else (), fixable)


def _who(view: CauseView, habits: Habits) -> Told:
    request, execution, points = view.request, view.execution, list[str]()
    if request is not None:
        points.append(f"{request.requested_by.name} asked for it on {habits.moment(request.requested_at)}.")
        for vote in request.votes:
            stead = f" in the stead of {vote.instead_of.name}" if vote.instead_of else ""
            why = f": {vote.reason}" if vote.reason else ""
            points.append(f"{vote.who.name}{stead} voted {vote.choice.value} on {habits.moment(vote.at)}{why}.")
        if request.glass is not None:
            points.append(f"{request.glass.by.name} broke the glass: {request.glass.reason}.")
    if execution is not None and execution.standing is not None:
        by = " and ".join(person.name for person in execution.standing.by)
        points.append(f"Approved in advance by {by} ({execution.standing.id}, for {execution.standing.scope}).")
    if view.snoozed_by and view.snoozed_until:
        points.append(f"{view.snoozed_by} snoozed it until {habits.day(view.snoozed_until)}.")
    if execution is not None and execution.decided_by:
        named = ", ".join(person.name for person in execution.decided_by)
        text = f"Decided by {named}; it came to: {execution.state.value.replace('_', ' ')}."
    elif execution is not None and execution.standing is not None:
        text = f"Nobody was asked: it was approved in advance; it came to: {execution.state.value.replace('_', ' ')}."
    elif request is not None and request.state.is_final:
        text = f"The request ended: {request.state.value}."
    elif request is not None:
        text = f"Nobody has decided yet: {request.missing} more needed."
    else:
        text = "Nobody has decided anything here yet, and nobody has asked for a fix."
    could = request.could if request is not None and not request.state.is_final else ()
    facts = (FactLine(label="Who could decide", value=", ".join(could)),) if could else ()
    return Told(text, view, facts, tuple(points))


def _owner(view: CauseView) -> Told:
    why = view.owner_reason or "no rule and no tag names an owner"
    text = f"{view.owner} owns it ({why})." if view.owner and view.owner_reason else f"{view.owner} owns it."
    return Told(text if view.owner else f"Nobody is known to own it: {why}.", view)


def _due(view: CauseView, habits: Habits) -> Told:
    text = f"It was first seen on {habits.day(view.first_seen)}"
    text += f" and is due {habits.day(view.due)}." if view.due else "; no date is set for it."
    return Told(text, view, (FactLine(label="Stage", value=view.stage.value),))


def _explain(view: CauseView) -> Told:
    where = ", ".join(part for part in (view.account_name or view.account_uid, view.environment) if part)
    resources = ", ".join(r.name or r.uid for r in view.resources[:5])
    more = f" and {view.resource_count - 5} more" if view.resource_count > 5 else ""
    facts = [("Where", where), ("Resources", resources + more), ("Owner", view.owner or "nobody is known"),
             ("Priority", f"{view.priority.label} ({view.decision.value})"), ("Stage", view.stage.value),
             ("Reported by", ", ".join(view.sources))]  # fmt: skip
    points = [f"Why it matters: {view.risk}"] if view.risk else []
    points += [each.fact for each in view.reasons[:4]]
    prose = view.narrative if view.narrative and view.narrative.model else None
    if prose is not None:  # checked when it was written (bot/narrative); it stands on the card, too
        points = [each for each in (prose.risk, prose.root_cause, prose.exploitability) if each]
    return Told(
        view.what or view.title, view, tuple(FactLine(label=k, value=v) for k, v in facts if v), tuple(points),
        bool(view.playbook) and view.stage is Stage.OPEN, prose.model if prose else "",
    )  # fmt: skip


def _plan(view: CauseView, shown: PlanView, habits: Habits) -> Told:
    plan = shown.plan
    count = len(plan.changes)
    if not count:
        return Told("Approving would change nothing: the resource already is as it should be.", view)
    back = {
        Reversibility.EXACT: "It can be undone exactly.",
        Reversibility.PARTIAL: "It can be undone in part.",
        Reversibility.NONE: "It cannot be undone.",
    }[plan.reversibility]
    missing = shown.request.missing if shown.request else shown.rule.quorum
    text = (
        f"If approved, {count} {'change' if count == 1 else 'changes'} would be made ({plan.title}). {back} "
        f"{missing} {'approval is' if missing == 1 else 'approvals are'} needed."
    )
    facts = [
        ("Blast radius", plan.blast_radius.summary), ("Who may approve", ", ".join(shown.could)),
        ("Rule", shown.rule.name), ("Until", habits.moment(shown.expires_at)),
    ]  # fmt: skip
    points = tuple(change.summary for change in plan.changes[:10]) + plan.blast_radius.warnings
    return Told(text, view, tuple(FactLine(label=k, value=v) for k, v in facts if v), points, True)
