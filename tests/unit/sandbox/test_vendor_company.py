"""The problems that all simulated vendors share."""

from datetime import timedelta
from random import Random

from bot.sandbox.vendors.company import START, World


def test_names_resources_of_the_demo_company():
    problems = {(p.rule, p.resource_arn): p for p in World().problems()}
    bucket = problems["s3-public", "arn:aws:s3:::acme-customer-exports"]
    assert bucket.account == "123456789012"
    assert bucket.account_name == "Acme production"
    assert bucket.tags["owner"] == "payments"
    assert bucket.exposed
    assert ("rds-public", "arn:aws:rds:us-east-1:123456789012:db:reporting") in problems
    kinds = {p.kind for p in problems.values()}
    assert kinds == {"posture", "vulnerability", "threat"}
    cve = next(p for p in problems.values() if p.cve)
    assert cve.resource_arn.startswith("arn:aws:ec2:us-east-1:")
    assert cve.package in cve.title


def test_the_same_seed_makes_the_same_world_and_another_another():
    one, two, other = World(500), World(500), World(500, seed=2)
    assert one.problems() == two.problems()
    assert {p.key for p in one.problems()[-500:]}.isdisjoint(p.key for p in other.problems()[-500:])
    first = one.problems()[-1]
    assert first.uuid("wiz") == two.problems()[-1].uuid("wiz")
    assert first.uuid("wiz") != first.uuid("orca")


def test_changes_are_repeatable_and_of_every_sort():
    one, two = World(400), World(400)
    dice, same = Random(7), Random(7)
    before = len(one)
    now = START
    statuses: set[str] = set()
    for _ in range(20):
        now += timedelta(minutes=10)
        touched = one.change(now, 0.05, dice)
        assert touched == two.change(now, 0.05, same)
        assert all(now - timedelta(seconds=1) < p.changed_at <= now for p in touched)
        assert all(one.get(p.key) == p for p in touched)
        statuses |= {p.status for p in touched}
    assert statuses == {"open", "resolved"}
    assert len(one) > before
    assert any(p.status == "open" and p.times_changed > 1 for p in one.problems())


def test_a_world_of_one_kind():
    assert {p.kind for p in World(50, kinds=("threat",)).problems()} == {"threat"}
    assert len(World(50, demo=False)) == 50
