"""Cedar decides, default deny; the guards stay on top of whatever the owner writes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bot.domain.errors import Denied, SettingsError
from bot.domain.plans import BlastRadius, Call, Change, Plan, PlanKind, Reversibility, Risk, Target
from bot.domain.principals import Actor, Platform, PlatformIdentity, Principal, Standing
from bot.governance import policy as module
from bot.governance.policy import ACTIONS, Policy, check
from bot.settings import GovernanceRule, GovernanceSettings

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
BUILT_IN = (Path(module.__file__).parent / "gatehouse.cedar").read_text("utf-8")
ANYTHING = '@id("anything") permit (principal, action, resource);'
BY_NAME = '@id("named") permit (principal, action in [Action::"pre_approve", Action::"silence", '
BY_NAME += 'Action::"silence_p1"], resource);'


def actor(name: str = "ann", groups: tuple[str, ...] = (), **odd: bool) -> Actor:
    standing = {"active": True, "guest": False, "external": False, "bot": False} | odd
    return Actor(
        principal=Principal(id=name, name=name.title(), team="red", groups=("claimed",)),
        identity=PlatformIdentity(platform=Platform.SLACK, tenant="T1", user=name.upper()),
        standing=Standing(**standing, checked_at=NOW),
        groups=frozenset(groups),
    )


def plan(environment: str = "dev", risk: Risk = Risk.LOW, kind: PlanKind = PlanKind.FIX, account: str = "1") -> Plan:
    target = Target(provider="aws", account=account, region="r", kind="bucket", uid="b", environment=environment)
    call = Call(provider="aws", account=account, region="r", service="s3", operation="x", params={})
    return Plan(
        id="plan-1",
        kind=kind,
        playbook="s3-block",
        playbook_version=1,
        title="Block",
        cause_id="c-1",
        finding_ids=("f",),
        targets=(target,),
        changes=(Change(summary="x", target=target, before={}, after={}, call=call),),
        fingerprint="0",
        pre_image={"b": {}},
        blast_radius=BlastRadius(resources=1, accounts=1, summary=""),
        risk=risk,
        reversibility=Reversibility.EXACT,
        environment=environment,
        created_at=NOW,
        expires_at=NOW + timedelta(days=1),
    )


def load(tmp_path: Path, text: str | None = None, **kwargs: object) -> Policy:
    if text is None:
        return Policy.load(GovernanceSettings(**kwargs))  # type: ignore[arg-type]
    path = tmp_path / "own.cedar"
    path.write_text(text, "utf-8")
    return Policy.load(GovernanceSettings(policies=path, **kwargs))  # type: ignore[arg-type]


def test_the_built_in_policy_is_valid():
    assert check(BUILT_IN) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("permit (principal", "it is not Cedar"),
        ("permit (principal, action, resource);", "needs an @id"),
        ('@id("x") permit (principal, action, resource) when { principal.shoe == 3 };', "`shoe`"),
        ('@id("x") permit (principal, action == Action::"dance", resource);', "dance"),
        ('@id("x") permit (principal, action, resource) when { resource.risk > 3 };', "x:"),
        (f'{ANYTHING} @id("anything") forbid (principal, action, resource);', "used twice"),
        ('@id("guard-bot") permit (principal, action, resource);', "used twice"),
        ("", "no policy at all"),
    ],
)
def test_a_wrong_policy_is_refused_with_what_is_wrong(tmp_path, text, said):
    problems = check(text)
    assert problems
    assert said in " ".join(problems)
    with pytest.raises(SettingsError, match=r"own\.cedar is wrong"):
        load(tmp_path, text)


def test_a_missing_policy_file_is_said(tmp_path):
    with pytest.raises(SettingsError, match="cannot be read"):
        Policy.load(GovernanceSettings(policies=tmp_path / "none.cedar"))


def test_pre_approving_is_off_until_a_policy_names_it(tmp_path):
    for policy in (load(tmp_path), load(tmp_path, ANYTHING)):
        assert not policy.offers("pre_approve")
        verdict = policy.may(actor(groups=("cloud-approvers",)), "pre_approve", plan())
        assert (verdict.allowed, verdict.rule, verdict.could) == (False, "default deny", ())
        assert verdict.reason == "no policy in force permits anybody to approve later plans in advance"
    forbidden = '@id("no") forbid (principal, action == Action::"pre_approve", resource);'
    assert not load(tmp_path, f"{ANYTHING} {forbidden}").offers("pre_approve")
    named = load(tmp_path, f"{ANYTHING} {BY_NAME}")
    assert named.offers("pre_approve")
    assert named.may(actor(), "pre_approve", plan()).allowed


def test_pre_approving_is_asked_of_the_scope_where_there_is_no_plan_yet(tmp_path):
    text = f'{ANYTHING} @id("dev") permit (principal, action == Action::"pre_approve", resource) ' \
           'when { resource.environment == "dev" };'  # fmt: skip
    policy = load(
        tmp_path, text.replace("(principal, action, resource)", '(principal, action == Action::"review", resource)')
    )
    for environment, allowed in (("dev", True), ("prod", False), ("any", False)):
        verdict = policy.may(actor(), "pre_approve", None, {"attributes": {"environment": environment}})
        assert verdict.allowed is allowed


@pytest.mark.parametrize("action", sorted(ACTIONS))
def test_strangers_may_look_and_nothing_else(tmp_path, action):
    for policy in (load(tmp_path), load(tmp_path, ANYTHING), load(tmp_path, f"{ANYTHING} {BY_NAME}")):
        verdict = policy.may(actor("p-abc", ("cloud-approvers",)), action, plan())
        assert verdict.allowed is (action == "review")
        assert verdict.allowed or (verdict.reason and verdict.rule)


@pytest.mark.parametrize(
    ("odd", "rule"),
    [
        ({"active": False}, "guard-deactivated"),
        ({"bot": True}, "guard-bot"),
        ({"external": True}, "guard-external"),
        ({"guest": True}, "guard-guest"),
    ],
)
@pytest.mark.parametrize("action", sorted(ACTIONS - {"review", "break_glass"}))
def test_the_guards_hold_against_a_policy_that_permits_everything(tmp_path, odd, rule, action):
    policy = load(tmp_path, f"{ANYTHING} {BY_NAME}")
    assert policy.may(actor(), action, plan()).allowed
    verdict = policy.may(actor(groups=("cloud-approvers",), **odd), action, plan())
    assert (verdict.allowed, verdict.rule) == (False, rule)
    assert verdict.reason


def test_the_built_in_policy_lets_known_people_ask_and_approvers_decide(tmp_path):
    policy = load(tmp_path)
    assert policy.may(actor(), "request", plan()).rule == "known-people-may-ask"
    assert policy.may(actor(groups=("cloud-approvers",)), "approve", plan()).rule == "approvers-may-decide"
    verdict = policy.may(actor(groups=("other",)), "approve", plan())
    assert (verdict.allowed, verdict.rule) == (False, "default deny")
    assert verdict.could == ("members of cloud-approvers",)
    assert "no policy lets Ann approve this" in verdict.reason
    with pytest.raises(Denied) as denied:
        verdict.require()
    assert denied.value.mend == "Ask members of cloud-approvers."


def test_only_memberships_read_for_this_interaction_count(tmp_path):
    """``Principal.groups`` is a record, not a reading."""
    policy = load(tmp_path, rules=(GovernanceRule(name="r", groups=("claimed",)),))
    assert not policy.may(actor(), "approve", plan()).allowed
    assert policy.may(actor(groups=("claimed",)), "approve", plan()).allowed


def test_a_rules_groups_narrow_a_policy_that_permits_everything(tmp_path):
    policy = load(tmp_path, ANYTHING, rules=(GovernanceRule(name="leads only", groups=("leads",)),))
    verdict = policy.may(actor(groups=("cloud-approvers",)), "approve", plan())
    assert (verdict.allowed, verdict.rule, verdict.could) == (False, "leads only", ("members of leads",))
    assert policy.may(actor(groups=("leads",)), "approve", plan()).allowed


def test_a_freeze_stops_approving_and_executing_and_leaves_asking(tmp_path):
    policy = load(tmp_path, ANYTHING, freeze=True)
    for action in ("approve", "execute"):
        verdict = policy.may(actor(), action, plan())
        assert (verdict.allowed, verdict.rule, verdict.could) == (False, "guard-frozen", ())
    assert policy.may(actor(), "request", plan()).allowed


def test_attributes_of_the_plan_decide_and_the_policys_own_reason_is_said(tmp_path):
    text = (
        '@id("sre") permit (principal in Group::"sre", action == Action::"approve", resource);'
        '@id("no-prod-undo") @reason("production is never opened again from chat")'
        'forbid (principal, action, resource) when { resource.kind == "undo" && resource.environment == "prod"'
        " && resource.undo_exposes };"
    )
    policy = load(tmp_path, text)
    sre = actor(groups=("sre",))
    assert policy.may(sre, "approve", plan("prod")).allowed
    assert policy.may(sre, "approve", plan("prod", kind=PlanKind.UNDO)).allowed
    verdict = policy.may(sre, "approve", plan("prod", kind=PlanKind.UNDO), {"undo_exposes": True})
    assert (verdict.rule, verdict.reason) == ("no-prod-undo", "production is never opened again from chat")
    assert policy.could(plan()) == ("members of sre",)


def test_a_policy_that_fails_to_evaluate_denies(tmp_path):
    """Cedar skips a policy that fails: a broken forbid would open what it was to close."""
    big = "resource.resources * 9223372036854775807 > 1"  # overflows
    text = f'{ANYTHING} @id("big") forbid (principal, action, resource) when {{ {big} }};'
    policy = load(tmp_path, text)
    nine = plan().model_copy(update={"blast_radius": BlastRadius(resources=9, accounts=1, summary="")})
    verdict = policy.may(actor(), "approve", nine)
    assert (verdict.allowed, verdict.rule) == (False, "policy error")


def test_an_unknown_action_is_denied(tmp_path):
    assert not load(tmp_path, ANYTHING).may(actor(), "launch", plan()).allowed


def test_the_first_rule_that_matches_wins_and_the_default_is_four_eyes(tmp_path):
    rules = (
        GovernanceRule.model_validate({"name": "prod", "match": {"environment": "prod", "account": "1*"}, "quorum": 3}),
        GovernanceRule.model_validate({"name": "undo", "match": {"kind": ["undo"]}, "four_eyes": False}),
    )
    policy = load(tmp_path, rules=rules)
    assert policy.rule_for(plan("prod", account="12")).quorum == 3
    assert policy.rule_for(plan("prod", account="2", kind=PlanKind.UNDO)).name == "undo"
    default = policy.rule_for(plan())
    assert (default.quorum, default.four_eyes, default.expires_minutes) == (1, True, 240)
    assert policy.rule_for(plan(risk=Risk.HIGH)).quorum == 2


def test_the_version_moves_with_policy_and_rules_only(tmp_path):
    first = load(tmp_path).version
    assert load(tmp_path).version == first
    assert load(tmp_path, freeze=True).version == first
    assert load(tmp_path, ANYTHING).version != first
    assert load(tmp_path, rules=(GovernanceRule(name="x", quorum=2),)).version != first


def test_stewardship_is_decided_without_a_plan(tmp_path):
    policy = load(tmp_path)
    assert policy.may(actor(), "snooze", None, {"owner": "red"}).allowed
    assert not policy.may(actor(), "accept_risk", None).allowed
    assert policy.may(actor(groups=("cloud-approvers",)), "accept_risk", None).allowed


def test_names_full_of_syntax_are_only_names(tmp_path):
    odd = actor('x"; permit(principal,action,resource); //', ('"]) || true || ("',))
    assert not load(tmp_path).may(odd, "approve", plan()).allowed
    assert load(tmp_path).may(odd, "request", plan()).allowed


def test_the_example_in_the_documentation_is_valid():
    text = (Path(module.__file__).parents[2] / "docs" / "policy.md").read_text("utf-8")
    examples = [part.split("```")[0] for part in text.split("```cedar\n")[1:]]
    assert examples
    for example in examples:
        assert check(example) == []
