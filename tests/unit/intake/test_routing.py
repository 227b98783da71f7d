"""Whose a finding is, where it is said, which environment it is in, and the reason of each in words."""

from __future__ import annotations

from typing import Any

import pytest

from bot.domain.findings import Account, Environment, Finding, Resource
from bot.intake.causes import cause_id, cause_key, template_of
from bot.intake.matching import Asked, Facts, environment_of, matches
from bot.intake.routing import Router
from bot.settings import EnvironmentSettings, Match, RoutingSettings, Settings
from bot.store.overrides import Override

OWNERS = {
    "payments": {"name": "Payments", "channels": ["slack:C0PAY"]},
    "quiet": {"name": "Quiet"},
}


def router(overrides: dict[str, Override] | None = None, **more: Any) -> Router:
    return Router(RoutingSettings.model_validate({"owners": OWNERS, "fallback": ["slack:C0SEC"]} | more), overrides)


def test_an_owner_tag_wins_over_rules_whatever_its_case() -> None:
    rules = [{"name": "all", "owner": "quiet"}]
    route = router(rules=rules).route(Facts("toy", tags={"Owner": " PAYMENTS "}))
    assert (route.owner, route.channels) == ("payments", ("slack:C0PAY",))
    assert route.reason.startswith("tag Owner=")


def test_a_hint_of_the_source_counts_like_a_tag() -> None:
    route = router().route(Facts("toy", hints=(("team", "payments"),)))
    assert (route.owner, route.reason) == ("payments", "team of the source=payments")


def test_the_first_rule_that_matches_names_the_owner() -> None:
    rules = [
        {"name": "other account", "match": {"account": "2*"}, "owner": "quiet"},
        {"name": "money", "match": {"account": ["9*", "acme-pay*"], "severity": "high"}, "owner": "payments"},
    ]
    facts = Facts("toy", account="111", account_name="acme-payroll", severity="high")
    assert router(rules=rules).route(facts).reason == "rule 'money'"
    facts.severity = "low"
    assert router(rules=rules).route(facts).owner == ""


def test_without_an_owner_the_fallback_hears_of_it_and_why() -> None:
    route = router().route(Facts("toy"))
    assert (route.owner, route.channels, route.reason) == ("", ("slack:C0SEC",), "no owner tag and no rule matches")
    assert "owner=ghosts names nobody" in router().route(Facts("toy", tags={"owner": "ghosts"})).reason
    assert "has no channel" in router().route(Facts("toy", tags={"owner": "quiet"})).reason
    lost = router(rules=[{"name": "r", "owner": "gone"}]).route(Facts("toy"))
    assert (lost.owner, lost.channels) == ("", ("slack:C0SEC",))
    assert "'gone'" in lost.reason


def test_what_a_person_said_wins_over_everything() -> None:
    said = {"k": Override("payments", "Bob", "ours since May"), "n": Override("", "Bob")}
    route = router(said).route(Facts("toy", tags={"owner": "quiet"}, cause_key="k"))
    assert (route.owner, route.reason) == ("payments", "passed on by Bob: ours since May")
    assert router(said).route(Facts("toy", tags={"owner": "quiet"}, cause_key="n")).channels == ("slack:C0SEC",)
    assert router(said).route(Facts("toy", tags={"owner": "quiet"}, cause_key="other")).owner == "quiet"


@pytest.mark.parametrize(
    ("match", "yes"),
    [
        ({}, True),
        ({"account": "acme-*"}, True),
        ({"account": "ACME-*"}, False),
        ({"account": "acme-*", "provider": "gcp"}, False),
        ({"resource_type": "AWS::S3::*"}, True),
        ({"rule": ["x", "s3-[ab]"]}, True),
        ({"source": "prowler"}, False),
        ({"environment": "prod"}, True),
        ({"tags": {"app": "shop*"}}, True),
        ({"tags": {"app": "bank"}}, False),
        ({"tags": {"absent": "*"}}, False),
    ],
)
def test_all_conditions_must_hold(match: dict[str, Any], yes: bool) -> None:
    facts = Facts("toy", rule="s3-a", account="1", account_name="acme-1", provider="aws", environment="prod",
                  resource_type="AWS::S3::Bucket", tags={"app": "shopping"})  # fmt: skip
    assert matches(Match.model_validate(match), facts) is yes


RULES = EnvironmentSettings.model_validate({"rules": [{"match": {"account": "acme-prod*"}, "environment": "prod"}]})


@pytest.mark.parametrize(
    ("facts", "hint", "environment", "why"),
    [
        (Facts("toy", tags={"Env": "Production"}, account_name="x"), "dev", Environment.PROD, "tag Env=Production"),
        (
            Facts("toy", tags={"env": "weird"}, account_name="acme-prod-1"),
            "",
            Environment.PROD,
            "a rule of gatehouse.yml",
        ),
        (Facts("toy", tags={"env": "weird"}), "", Environment.UNKNOWN, "tag env=weird is no environment we know"),
        (Facts("toy"), "staging", Environment.STAGING, "toy says so"),
        (Facts("toy", account_name="company-production"), "", Environment.UNKNOWN, "no tag, rule or source says it"),
    ],
)
def test_environment_by_tag_then_rule_then_source_never_by_a_name(
    facts: Facts, hint: str, environment: Environment, why: str
) -> None:
    assert environment_of(facts, hint, RULES) == (environment, why)


def test_facts_that_rules_do_not_look_at_make_no_difference_and_those_they_do_make_one() -> None:
    rules = [{"name": "r", "match": {"account": "1*", "tags": {"app": "a"}}, "owner": "quiet"}]
    asked = Asked(Settings.model_validate({"routing": {"owners": OWNERS, "rules": rules}}))
    base = Facts("toy", account="1", rule="a", tags={"cost": "1"})
    assert asked(base) == asked(Facts("toy", account="1", rule="b", tags={"cost": "2"}))
    others = (
        Facts("toy", account="2"),
        Facts("toy", account="1", tags={"app": "a"}),
        Facts("toy", account="1", tags={"ENV": "dev"}),
        Facts("toy", account="1", hints=(("team", "x"),)),
    )
    for other in others:
        assert asked(base) != asked(other)


def finding(**more: Any) -> Finding:
    values = {"source": "toy", "uid": "u", "title": "t", "rule_uid": "r", "resource": Resource(uid="x"),
              "account": Account(uid="1", provider="aws")}  # fmt: skip
    return Finding(**(values | more))


def test_a_cause_is_the_same_fix_account_environment_owner_and_template() -> None:
    def key(of: Finding, **more: str) -> str:
        return cause_key(of, **({"playbook": "p", "environment": "prod", "owner": "o", "template": ""} | more))

    base = key(finding())
    assert key(finding(uid="other", title="other", rule_uid="other rule, same playbook")) == base
    others = [{"playbook": ""}, {"environment": "dev"}, {"owner": "x"}, {"template": "s=1"}]
    elsewhere = key(finding(account=Account(uid="2", provider="aws")))
    assert len({base, elsewhere, *(key(finding(), **other) for other in others)}) == 6
    assert template_of({"aws:cloudformation:stack-name": "shop", "x": "y"}) == "aws:cloudformation:stack-name=shop"
    assert template_of({"Name": "shop"}) == ""
    assert cause_id(base) == cause_id(base)
    assert cause_id(base).startswith("c-")


def test_hostile_text_in_a_key_stays_short_and_cannot_pose_as_another_part() -> None:
    long = cause_key(
        finding(rule_uid="\x00\x01" * 10**6), playbook="", environment="prod", owner="o", template="\x02" * 9999
    )
    assert len(long.encode()) <= 1800
    one = cause_key(finding(rule_uid='a","prod'), playbook="", environment="prod", owner="o")
    two = cause_key(finding(rule_uid="a"), playbook="", environment='prod","prod', owner="o")
    assert one != two
