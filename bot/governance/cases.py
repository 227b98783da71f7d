"""What the policy says of a person, an action and facts that need not exist: ``policy explain`` and ``policy test``.

The verdict is the production one: the same ``Policy.may`` and rules over a plan made of the facts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from bot.domain.decisions import ApprovalRule
from bot.domain.errors import BadInput, GatehouseError, NotFound
from bot.domain.plans import BlastRadius, Plan, PlanKind, Reversibility, Risk, Target
from bot.domain.principals import Actor, Platform, PlatformIdentity, Principal, Standing
from bot.settings import Settings

from .people import People
from .policy import ACTIONS, STRANGER, Policy, PolicyVerdict, apart
from .worlds import VOCABULARY

NOWHEN = datetime(2000, 1, 1, tzinfo=UTC)  # nothing here depends on the time
WITHOUT_PLAN = frozenset({"review", "snooze", "pass_on", "accept_risk", "freeze", "delegate",
                          "suggest_silence", "silence", "silence_p1", "regroup"})  # fmt: skip
_BOOL = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
Value = str | bool | int | tuple[str, ...]


class Facts(BaseModel):
    """What a plan, a moment and an account are; what is not said is the harmless default."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    # the plan
    kind: Literal["fix", "undo"] = "fix"
    environment: str = "unknown"
    playbook: str = ""
    risk: Risk = Risk.LOW
    accounts: tuple[str, ...] = ()
    provider: str = "aws"
    resources: int = 1
    reversibility: Reversibility = Reversibility.EXACT
    undo_exposes: bool = False
    owner: str = ""
    # the moment
    platform: Platform = Platform.SLACK
    is_requester: bool = False
    executing: bool = False
    frozen: bool = False
    # the account
    active: bool = True
    guest: bool = False
    external: bool = False
    bot: bool = False

    @field_validator("environment")
    @classmethod
    def _known(cls, value: str) -> str:
        known = VOCABULARY["resource.environment"]
        if value not in known:
            raise ValueError(f"there is no environment {value!r}, only {', '.join(known)}")
        return value


class Person(BaseModel):
    """Somebody who need not stand in gatehouse.yml."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = ""
    team: str = ""
    role: str = ""
    groups: tuple[str, ...] = ()
    known: bool = True


@dataclass(frozen=True, slots=True)
class Explained:
    """A verdict with what it was made of."""

    who: str
    action: str
    verdict: PolicyVerdict
    facts: dict[str, dict[str, Any]]
    approval_rule: ApprovalRule | None
    could: tuple[str, ...]


def read_facts(given: Mapping[str, Any]) -> Facts:
    """``{"environment": "prod", "account": "123"}``; words such as ``true`` and ``3`` may be text. ``BadInput``."""
    values: dict[str, Any] = {}
    for key, value in given.items():
        name = {"env": "environment", "account": "accounts", "requester": "is_requester"}.get(key, key)
        if name not in Facts.model_fields:
            close = get_close_matches(name, Facts.model_fields, 1)
            hint = f"Did you mean {close[0]}? " if close else ""
            raise BadInput(f"there is no fact {key!r}", mend=f"{hint}Facts: {', '.join(Facts.model_fields)}.")
        if name == "accounts" and isinstance(value, str | int):
            value = [part for part in str(value).split(",") if part]
        if isinstance(value, str) and Facts.model_fields[name].annotation is bool:
            value = _BOOL.get(value.lower(), value)
        values[name] = value
    try:
        return Facts(**values)
    except ValidationError as error:
        said = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise BadInput(f"facts: {said}", mend="See the table of words in docs/policy.md.") from error


def plan_of(facts: Facts) -> Plan:
    """The smallest plan that has these facts."""
    targets = tuple(
        Target(provider=facts.provider, account=account, region="", kind="", uid=account, environment=facts.environment)
        for account in facts.accounts or ("",)
    )
    blast = BlastRadius(resources=facts.resources, accounts=len(facts.accounts), summary="")
    return Plan(
        id="plan-supposed", kind=PlanKind(facts.kind), playbook=facts.playbook, playbook_version=1, title="supposed",
        cause_id="c-supposed", finding_ids=(), targets=targets, changes=(), fingerprint="", pre_image={},
        blast_radius=blast, reversibility=facts.reversibility, risk=facts.risk, environment=facts.environment,
        created_at=NOWHEN, expires_at=NOWHEN + timedelta(days=1),
    )  # fmt: skip


class Judge:
    """Asks the policy in force about people and facts as they are given; reads no chat platform."""

    def __init__(self, settings: Settings, policy: Policy, people: People) -> None:
        self._settings, self._policy, self._people = settings, policy, people

    def somebody(self, who: str, groups: Iterable[str] = (), facts: Facts | None = None) -> Actor:
        """A person of gatehouse.yml, with the groups said there and ``groups``. ``NotFound`` with the nearest id."""
        held = self._settings.people.get(who)
        if held is None:
            close = get_close_matches(who, self._settings.people, 1)
            hint = f"Did you mean {close[0]}? " if close else ""
            known = ", ".join(sorted(self._settings.people)[:20]) or "nobody"
            raise NotFound(f"there is no person {who!r} in gatehouse.yml", mend=f"{hint}Known: {known}.")
        named = {name for name, group in self._settings.groups.items() if who in group.members} | set(held.groups)
        person = Person(name=held.name, team=held.team or "", role=held.role, groups=tuple(sorted({*named, *groups})))
        return self.anybody(who, person, (facts or Facts()), active=held.active)

    def anybody(self, who: str, person: Person, facts: Facts, *, active: bool = True) -> Actor:
        principal = Principal(
            id=who if person.known else f"{STRANGER}{who}", name=person.name or who, team=person.team or None,
            role=person.role, active=active,
        )  # fmt: skip
        standing = Standing(
            active=facts.active and active, guest=facts.guest, external=facts.external, bot=facts.bot, checked_at=NOWHEN
        )
        identity = PlatformIdentity(platform=facts.platform, tenant="supposed", user=who)
        return Actor(principal=principal, identity=identity, standing=standing, groups=frozenset(person.groups))

    def rule_for(self, plan: Plan) -> ApprovalRule:
        return self._policy.rule_for(plan)

    def ask(self, actor: Actor, action: str, facts: Facts) -> Explained:
        """As if ``actor`` pressed the button now over a plan of these facts."""
        plan = None if action in WITHOUT_PLAN else plan_of(facts)
        rule = self._policy.rule_for(plan) if plan else None
        context = {
            "is_requester": facts.is_requester, "executing": facts.executing, "frozen": facts.frozen,
            "owner": facts.owner, "undo_exposes": facts.undo_exposes, "environment": facts.environment,
        }  # fmt: skip
        return self.explain(actor, action, plan, context | ({"rule": rule} if rule else {}))

    def explain(self, actor: Actor, action: str, plan: Plan | None, context: Mapping[str, Any]) -> Explained:
        """The verdict over a real or supposed plan, what it was made of, and who could."""
        if action not in ACTIONS:
            close = get_close_matches(action, sorted(ACTIONS), 1)
            hint = f"Did you mean {close[0]}? " if close else ""
            raise BadInput(f"there is no action {action!r}", mend=f"{hint}Actions: {', '.join(sorted(ACTIONS))}.")
        rule = context.get("rule")
        verdict = self._verdict(actor, action, plan, context)
        could = list(self._policy.could(plan, action))
        groups = self._policy.deciding_groups(rule) if isinstance(rule, ApprovalRule) else frozenset[str]()
        for each in self._people.candidates(groups):
            other = {**context, "is_requester": context.get("is_requester") and each.principal.id == actor.principal.id}
            if self._verdict(each, action, plan, other).allowed:
                could.append(each.principal.name)
        shown = self._policy.facts(actor, action, plan, context)
        return Explained(
            who=actor.principal.id,
            action=action,
            verdict=replace(verdict, could=() if verdict.allowed else tuple(could)),
            facts=shown,
            approval_rule=rule if isinstance(rule, ApprovalRule) else None,
            could=tuple(could),
        )

    def _verdict(self, actor: Actor, action: str, plan: Plan | None, context: Mapping[str, Any]) -> PolicyVerdict:
        verdict = self._policy.may(actor, action, plan, context)
        rule = context.get("rule")
        if verdict.allowed and action == "approve" and isinstance(rule, ApprovalRule):
            owns = self._people.owns(str(context.get("owner", "")), actor)
            return apart(rule, asked=bool(context.get("is_requester")), owns=owns, could=verdict.could) or verdict
        return verdict


# --- the owner's own test cases --------------------------------------------------------------------------------------


class Case(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = ""
    who: str | Person
    action: tuple[str, ...]
    facts: dict[str, Any] = Field(default_factory=dict)
    expect: Literal["allow", "deny"]
    rule: str = ""  # the @id or rule that must have decided

    @field_validator("action", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value


class CaseFile(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    people: dict[str, Person] = Field(default_factory=dict)
    tests: tuple[Case, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    ok: bool
    name: str
    who: str
    action: str
    expected: str
    came: str
    rule: str
    reason: str
    why: str = ""  # what is wrong with it, where it is not ok


def read_cases(path: Path) -> CaseFile:
    """``BadInput`` names the place in the file."""
    try:
        data = yaml.safe_load(path.read_text("utf-8"))
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror}", mend="Name a file of test cases.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise BadInput(f"{path} is not valid YAML: {error}", mend="Mend the file.") from error
    try:
        found = CaseFile.model_validate(data)
    except ValidationError as error:
        said = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'the file'}: {e['msg']}" for e in error.errors()[:5])
        raise BadInput(f"{path}: {said}", mend="docs/policy.md has an example.") from error
    if not found.tests:
        raise BadInput(f"{path} has no tests in it", mend="docs/policy.md has an example.")
    return found


def run_cases(judge: Judge, file: CaseFile) -> list[Outcome]:
    """One outcome a case and action; a case that cannot be asked (an unknown person, say) has failed."""
    made = []
    for number, case in enumerate(file.tests, start=1):
        for action in case.action:
            made.append(_run(judge, file, case, action, case.name or f"test {number}"))
    return made


def _run(judge: Judge, file: CaseFile, case: Case, action: str, name: str) -> Outcome:
    who = case.who if isinstance(case.who, str) else case.who.name or "somebody"
    try:
        facts = read_facts(case.facts)
        if isinstance(case.who, Person):
            actor = judge.anybody(who, case.who, facts)
        elif case.who in file.people:
            actor = judge.anybody(who, file.people[case.who], facts)
        else:
            actor = judge.somebody(who, facts=facts)
        found = judge.ask(actor, action, facts).verdict
    except GatehouseError as error:
        return Outcome(False, name, who, action, case.expect, "error", "", "", f"{error.reason} {error.mend}".strip())
    came = "allow" if found.allowed else "deny"
    why = ""
    if came != case.expect:
        why = f"expected {case.expect}, the policy says {came}"
    elif case.rule and case.rule != found.rule:
        why = f"decided by {found.rule!r}, not by {case.rule!r}"
    return Outcome(not why, name, who, action, case.expect, came, found.rule, found.reason, why)
