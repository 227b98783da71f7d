"""Who may do what to which plan: Cedar decides, default deny; the approval rule (how many, how long) is from YAML.

The owner's file replaces the built-in permits. The forbids of ``guards.cedar`` are always appended, and a policy that
fails to evaluate denies: Cedar would skip it, which would open what a broken forbid was to close.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import cedarpy

from bot.domain.decisions import ApprovalRule
from bot.domain.errors import Denied, SettingsError
from bot.domain.ids import digest
from bot.domain.plans import Plan, Risk
from bot.domain.principals import Actor
from bot.settings import GovernanceSettings, RuleMatch

DEFAULT_DENY = "default deny"
DEFAULT_APPROVERS = "cloud-approvers"
STRANGER = "p-"  # prefix of the principals made at first sight: nobody vouches for them
ACTIONS = frozenset(
    {"review", "request", "undo_request", "approve", "reject", "cancel", "execute", "snooze", "pass_on", "accept_risk",
     "freeze", "break_glass", "review_glass", "delegate", "pre_approve", "suggest_silence", "silence", "silence_p1",
     "regroup"}
)  # fmt: skip
_DECIDING = frozenset({"approve", "reject", "execute", "pre_approve"})
# A permit of every action does not turn these on: the owner's policy has to name them.
_BY_NAME = frozenset({"pre_approve", "silence", "silence_p1"})
_KNOWN_MAY = frozenset(
    {"request", "undo_request", "snooze", "pass_on", "delegate", "suggest_silence", "regroup"}
)  # by the built-in policy
_HERE = Path(__file__).parent
_GROUP = re.compile(r'Group::"((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True, slots=True)
class PolicyVerdict:
    """``rule`` is the ``@id`` of the policy that decided; ``could`` says who would be permitted, in words."""

    allowed: bool
    rule: str
    reason: str
    could: tuple[str, ...] = ()

    def require(self) -> None:
        """Raise ``Denied`` when refused."""
        if not self.allowed:
            raise Denied(self.reason, rule=self.rule, could=self.could, mend=mend(self.could))


def mend(could: tuple[str, ...]) -> str:
    return f"Ask {' or '.join(could)}." if could else ""


@dataclass(frozen=True, slots=True)
class Outline:
    """What an approval rule is chosen by."""

    environment: str
    accounts: tuple[str, ...]
    playbook: str
    risk: str
    kind: str


class Policy:
    """``Policy.load(settings.governance)``; ``may`` is pure and quick (no I/O)."""

    def __init__(self, permits: str, settings: GovernanceSettings) -> None:
        guards = (_HERE / "guards.cedar").read_text("utf-8")
        schema = (_HERE / "gatehouse.cedarschema").read_text("utf-8")
        self._schema = cedarpy.Schema.from_str(schema)  # parsed once: parsing is most of the cost of a question
        self._text = f"{permits}\n{guards}"
        self._settings = settings
        self._annotations = _annotations(self._text)
        self._permitted_by_name = _permitted_by_name(permits)
        self._policies = cedarpy.PolicySet.from_str(self._text)
        self._order = list(self._annotations)
        # The groups a custom policy names; shown to people who are refused.
        self._named = tuple(dict.fromkeys(_GROUP.findall(permits))) or (DEFAULT_APPROVERS,)
        rules = [rule.model_dump(mode="json") for rule in settings.rules]
        self.version = digest([self._text, schema, rules])[:16]

    @classmethod
    def load(cls, settings: GovernanceSettings) -> Policy:
        """The owner's policies or the built-in ones, with the guards; ``SettingsError`` names every problem."""
        path = settings.policies or _HERE / "gatehouse.cedar"
        try:
            text = path.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(
                f"the policy file {path} cannot be read: {error}", mend="Mend governance.policies."
            ) from error
        problems = check(text)
        if problems:
            raise SettingsError(f"the policy file {path} is wrong: {'; '.join(problems)}", mend="See docs/policy.md.")
        return cls(text, settings)

    @property
    def frozen(self) -> bool:
        return self._settings.freeze

    def rule_for(self, plan: Plan) -> ApprovalRule:
        """The first rule of gatehouse.yml that matches, else the built-in default."""
        return self.rule_like(
            Outline(plan.environment, plan.account_ids, plan.playbook, plan.risk.value, plan.kind.value)
        )

    def rule_like(self, outline: Outline) -> ApprovalRule:
        """As ``rule_for``, for a plan that is not made yet."""
        for rule in self._settings.rules:
            if _matches(rule.match, outline):
                return ApprovalRule(**rule.model_dump(exclude={"match"}))
        if outline.risk == Risk.HIGH.value:
            return ApprovalRule(name="built-in rule for high risk", quorum=2)
        return ApprovalRule(name="built-in rule")

    def approver_groups(self, rule: ApprovalRule) -> tuple[str, ...]:
        return rule.groups or (DEFAULT_APPROVERS,)

    def deciding_groups(self, rule: ApprovalRule) -> frozenset[str]:
        """The groups in which those who may decide are to be found, as far as groups say it."""
        return frozenset(rule.groups or self._named)

    def offers(self, action: str) -> bool:
        """False where the action is off for everybody, because no permit names it."""
        return action not in _BY_NAME or action in self._permitted_by_name

    def could(self, plan: Plan | None, action: str = "approve") -> tuple[str, ...]:
        """Who may, in words, as far as groups say it."""
        if not self.offers(action):
            return ()
        if action in _KNOWN_MAY and not self._settings.policies:
            return ("anyone listed in gatehouse.yml",)
        rule = self.rule_for(plan) if plan else ApprovalRule(name=DEFAULT_DENY)
        groups = rule.groups or self._named
        return tuple(f"members of {group}" for group in groups)

    def may(
        self, actor: Actor, action: str, plan: Plan | None, context: Mapping[str, Any] | None = None
    ) -> PolicyVerdict:
        """Whether ``actor`` may. ``context``: is_requester, executing, owner, undo_exposes, rule (all optional);
        ``attributes`` stand for those of a plan where there is none (the scope of a standing approval)."""
        given = dict(context or {})
        if action not in ACTIONS:
            return PolicyVerdict(False, DEFAULT_DENY, f"there is no action {action!r}", self.could(plan))
        if not self.offers(action):
            return PolicyVerdict(False, DEFAULT_DENY, f"no policy in force permits anybody to {_WORDS[action]}")
        rule = given.get("rule")
        if not isinstance(rule, ApprovalRule):
            rule = self.rule_for(plan) if plan else ApprovalRule(name=DEFAULT_DENY)
        result = cedarpy.is_authorized(
            {
                "principal": {"type": "Principal", "id": actor.principal.id},
                "action": {"type": "Action", "id": action},
                "resource": {"type": "Plan", "id": plan.id if plan else "none"},
                "context": self._moment(actor, rule, given),
            },
            self._policies,
            self._entities(actor, plan, rule, given),
            self._schema,
        )
        verdict = self._explain(result, actor, action, plan)
        if verdict.allowed and action == "break_glass" and not actor.groups & set(_breakers(rule)):
            said = "it permits no breaking of the glass" if not _breakers(rule) else "you are in none of its groups"
            could = tuple(f"members of {group}" for group in _breakers(rule))
            return PolicyVerdict(False, rule.name, f"break glass: {said}", could)
        if verdict.allowed and action in _DECIDING and rule.groups and not actor.groups & set(rule.groups):
            # Also with a policy of the owner's that is wider: the rule narrows, it never widens.
            names = ", ".join(rule.groups)
            return PolicyVerdict(False, rule.name, f"{actor.principal.name} is not in {names}", self.could(plan))
        return verdict

    def facts(
        self, actor: Actor, action: str, plan: Plan | None, context: Mapping[str, Any] | None = None
    ) -> dict[str, dict[str, Any]]:
        """What ``may`` decides over, in words for people: ``principal``, ``resource``, ``context`` -> name -> value."""
        given = dict(context or {})
        rule = given.get("rule")
        if not isinstance(rule, ApprovalRule):
            rule = self.rule_for(plan) if plan else ApprovalRule(name=DEFAULT_DENY)
        principal, resource, *_ = self._entities(actor, plan, rule, given)
        moment = self._moment(actor, rule, given) | {"approver_groups": list(self.approver_groups(rule))}
        about = {"id": actor.principal.id, **principal["attrs"], "groups": sorted(actor.groups)}
        return {"principal": about, "resource": resource["attrs"], "context": moment}

    @property
    def text(self) -> str:
        """The policies in force with the guards."""
        return self._text

    def _explain(self, result: Any, actor: Actor, action: str, plan: Plan | None) -> PolicyVerdict:
        could = self.could(plan, action)
        errors = list(result.diagnostics.errors)
        if errors:
            said = "; ".join(str(error) for error in errors)[:300]
            return PolicyVerdict(False, "policy error", f"the policy could not be evaluated: {said}", could)
        reasons = sorted(result.diagnostics.reasons, key=lambda r: self._order.index(r) if r in self._order else 0)
        notes = [self._annotations.get(reason, {}) for reason in reasons]
        rule = notes[0].get("id") or reasons[0] if notes else DEFAULT_DENY
        if result.allowed:
            return PolicyVerdict(True, rule, notes[0].get("reason", "") if notes else "")
        if not notes:
            said = f"no policy lets {actor.principal.name} {_WORDS.get(action, action)}"
        else:
            said = notes[0].get("reason") or actor.standing.objection() or f"the policy {rule} forbids it"
        if rule == "guard-frozen":
            could = ()
        return PolicyVerdict(False, rule, said, could)

    def _moment(self, actor: Actor, rule: ApprovalRule, given: Mapping[str, Any]) -> dict[str, Any]:
        frozen = self._settings.freeze or bool(given.get("frozen", False))
        return {
            "platform": actor.identity.platform.value,
            "is_requester": bool(given.get("is_requester", False)),
            "executing": bool(given.get("executing", False)),
            "frozen": frozen and not (given.get("glass") and rule.break_glass_through_freeze),
            "approver_groups": [_entity("Group", group) for group in self.approver_groups(rule)],
        }

    def _entities(
        self, actor: Actor, plan: Plan | None, rule: ApprovalRule, given: Mapping[str, Any]
    ) -> list[dict[str, Any]]:
        person, standing = actor.principal, actor.standing
        # Only what was read for this very interaction counts, not what the principal's record claims.
        groups = sorted(actor.groups)
        known = not person.id.startswith(STRANGER)
        principal = {
            "uid": {"type": "Principal", "id": person.id},
            "attrs": {
                "name": person.name, "team": person.team or "", "role": person.role, "known": known,
                "active": standing.active and person.active, "guest": standing.guest, "external": standing.external,
                "bot": standing.bot,
            },
            "parents": [{"type": "Group", "id": group} for group in groups],
        }  # fmt: skip
        every = sorted({*groups, *self.approver_groups(rule)})
        resource = {"uid": {"type": "Plan", "id": plan.id if plan else "none"}, "parents": [],
                    "attrs": _plan_attributes(plan, given)}  # fmt: skip
        return [principal, resource, *({"uid": {"type": "Group", "id": g}, "attrs": {}, "parents": []} for g in every)]


def apart(rule: ApprovalRule, *, asked: bool, owns: bool, could: tuple[str, ...] = ()) -> PolicyVerdict | None:
    """Why this person must not approve although the policy lets them: they asked for it, or they own it."""
    if rule.four_eyes and asked:
        return PolicyVerdict(False, f"{rule.name}: four eyes", "who asks cannot approve", could)
    if rule.owner_apart and owns:
        said = "the owner of the resource cannot approve its change"
        return PolicyVerdict(False, f"{rule.name}: owner apart", said, could)
    return None


_WORDS = {
    "request": "ask for this", "undo_request": "ask for the undo", "approve": "approve this", "reject": "reject this",
    "cancel": "cancel this", "execute": "have this executed", "pass_on": "pass this on",
    "accept_risk": "accept the risk", "review": "look at this", "freeze": "freeze or unfreeze changes",
    "break_glass": "break the glass", "review_glass": "review a broken glass",
    "delegate": "let another vote in their stead",
    "pre_approve": "approve later plans in advance",
    "suggest_silence": "write or end a suppression rule", "silence": "activate a suppression rule",
    "silence_p1": "activate a suppression rule that may hide P1", "regroup": "split or merge causes",
}  # fmt: skip


def _breakers(rule: ApprovalRule) -> tuple[str, ...]:
    return rule.break_glass_groups if rule.break_glass else ()


def _plan_attributes(plan: Plan | None, given: Mapping[str, Any]) -> dict[str, Any]:
    accounts = list(plan.account_ids) if plan else []
    return {
        "kind": plan.kind.value if plan else "fix",
        "environment": plan.environment if plan else str(given.get("environment", "unknown")),
        "playbook": plan.playbook if plan else "",
        "risk": plan.risk.value if plan else "low",
        "account": accounts[0] if len(accounts) == 1 else "",
        "accounts": accounts,
        "provider": plan.targets[0].provider if plan and plan.targets else "",
        "resources": plan.blast_radius.resources if plan else 0,
        "reversibility": plan.reversibility.value if plan else "exact",
        "undo_exposes": bool(given.get("undo_exposes", False)),
        "owner": str(given.get("owner", "")),
        **dict(given.get("attributes") or {}),
    }


def _entity(kind: str, name: str) -> dict[str, Any]:
    return {"__entity": {"type": kind, "id": name}}


def _matches(match: RuleMatch, plan: Outline) -> bool:
    def any_of(patterns: tuple[str, ...], values: tuple[str, ...]) -> bool:
        return not patterns or any(fnmatchcase(value, pattern) for value in values for pattern in patterns)

    return (
        any_of(match.environment, (plan.environment,))
        and any_of(match.account, plan.accounts)
        and any_of(match.playbook, (plan.playbook,))
        and any_of(match.risk, (plan.risk,))
        and any_of(match.kind, (plan.kind,))
    )


def _permitted_by_name(text: str) -> frozenset[str]:
    """The actions that some permit names."""
    named: set[str] = set()
    for policy in json.loads(cedarpy.policies_to_json_str(text)).get("staticPolicies", {}).values():
        if policy["effect"] == "permit":
            action = policy["action"]
            named |= {entity["id"] for entity in [*action.get("entities", []), action.get("entity")] if entity}
    return frozenset(named)


def _annotations(text: str) -> dict[str, dict[str, str]]:
    """Policy id as Cedar numbers it -> its annotations, in the order of the file."""
    parsed = json.loads(cedarpy.policies_to_json_str(text)).get("staticPolicies", {})
    ordered = sorted(parsed, key=lambda name: int(name.removeprefix("policy") or 0))
    return {name: {k: v or "" for k, v in (parsed[name].get("annotations") or {}).items()} for name in ordered}


def check(text: str) -> list[str]:
    """What is wrong with a policy text, in words; empty when it is good. The guards are checked with it."""
    schema = (_HERE / "gatehouse.cedarschema").read_text("utf-8")
    guards = (_HERE / "guards.cedar").read_text("utf-8")
    try:
        names = _annotations(text)
    except ValueError as error:
        return [f"it is not Cedar: {error}"]
    result = cedarpy.validate_policies(f"{text}\n{guards}", schema)
    labels = result.id_annotations_by_policy_id
    problems = [f"{labels.get(item.policy_id) or item.policy_id}: {item.error}" for item in result.errors]
    if not names:
        problems.append("there is no policy at all in it: nobody could do anything")
    seen: set[str] = set()
    guarded = {note.get("id", "") for note in _annotations(guards).values()}
    for name, notes in names.items():
        label = notes.get("id", "")
        if not label:
            problems.append(f'{name}: every policy needs an @id("…"): a refusal names it')
        elif label in seen or label in guarded:
            problems.append(f"{label}: the @id is used twice")
        seen.add(label)
    return problems
