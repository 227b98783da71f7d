"""Every small world: an oracle of a few lines, written from docs/policy.md alone, against the real services."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

from bot.domain.decisions import ApprovalRule, Choice
from bot.domain.errors import Denied, GatehouseError
from bot.domain.principals import Actor, Principal, Standing
from bot.store import plans
from tests.unit.remediation.conftest import START, World, who

from .inline import InlineDatabase

OWNER_TEAM = "platform"  # of the cause; Olga and Sue are of it
PEOPLE = {"olga": True, "ann": False, "abe": False, "sue": True, "eve": None}  # of the team? None: nobody we know
GROUPS = [frozenset(held) for held in ([], ["cloud-approvers"], ["leads"], ["cloud-approvers", "leads"])]
STANDINGS = ["good", "guest", "external", "bot", "inactive"]
RULES = [
    ApprovalRule(name="r", quorum=quorum, groups=groups, four_eyes=four_eyes, owner_apart=apart)
    for quorum in (1, 2)
    for groups in ((), ("leads",), ("leads", "cloud-approvers"))
    for four_eyes in (True, False)
    for apart in (True, False)
]


def oracle(person: str, groups: frozenset[str], standing: str, rule: ApprovalRule, requester: str, choice: str) -> bool:
    """May this person answer so? Only what the document says."""
    sound = standing == "good" and PEOPLE[person] is not None
    of_the_group = any(group in groups for group in (list(rule.groups) or ["cloud-approvers"]))
    if choice == "reject":
        return sound and of_the_group
    asked_it_themselves = rule.four_eyes and person == requester
    owns_it = rule.owner_apart and PEOPLE[person] is True
    return sound and of_the_group and not asked_it_themselves and not owns_it


def tell(votes: tuple[tuple[str, str, bool], ...], rule: ApprovalRule) -> tuple[str, int]:
    """How a request ends after (person, choice, may they) in this order, and how many executions follow."""
    yes: set[str] = set()
    for person, choice, may in votes:
        if not may:
            continue
        if choice == "reject":
            return "rejected", 0
        yes.add(person)
        if len(yes) == rule.quorum:
            return "approved", 1
    return "pending", 0


def actor(world: World, person: str, groups: frozenset[str], standing: str) -> Actor:
    """As ``People`` hands it on, with this standing and these groups."""
    known: Any = world.settings.people.get(person)
    base = Standing(
        active=standing != "inactive", guest=standing == "guest", external=standing == "external",
        bot=standing == "bot", checked_at=START,
    )  # fmt: skip
    identity = who(f"U{person.upper()}")
    found = world.people._principal(person) if known else None
    if found is None:
        found = Principal(id="p-eve", name="Eve", identities=(identity,))  # made at first sight
    return Actor(principal=found, identity=identity, standing=base, groups=groups)


async def test_every_verdict_is_the_oracles(tmp_path: Path) -> None:
    """24 rules, 5 people, 4 memberships, 5 standings, 3 requesters, 2 answers: 14,400 worlds."""
    world = World(tmp_path / "w.db")
    request = await world.ask()
    plan = await world.db.read(plans.plan, request.plan_id)
    cause = await world.db.read(plans.cause, world.cause)
    assert cause.owner == OWNER_TEAM
    wrong, allowed, count = [], 0, 0
    for person, groups, standing in itertools.product(PEOPLE, GROUPS, STANDINGS):
        somebody = actor(world, person, groups, standing)
        for rule, requester, choice in itertools.product(RULES, ("olga", "ann", "sue"), Choice):
            verdict = world.approvals._may_vote(somebody, choice, plan, cause, rule, requester)
            expected = oracle(person, groups, standing, rule, requester, choice.value)
            count, allowed = count + 1, allowed + verdict.allowed
            if verdict.allowed is not expected or not (verdict.allowed or (verdict.reason and verdict.rule)):
                wrong.append((person, sorted(groups), standing, rule, requester, choice.value, verdict))
    await world.db.close()
    assert not wrong, (len(wrong), wrong[:5])
    assert count == 14_400
    assert 1_000 < allowed < 5_000  # neither all nor none


async def test_every_order_of_votes_ends_as_the_oracle_says(tmp_path: Path) -> None:
    """Through the database: each rule, each pair of different voters with each pair of answers, in each order."""
    world = World(tmp_path / "w.db")
    await world.db.close()
    db = InlineDatabase(tmp_path / "w.db")
    world.db = db  # type: ignore[assignment]
    groups = {
        "olga": GROUPS[3], "ann": GROUPS[1], "abe": GROUPS[3], "sue": GROUPS[3], "eve": GROUPS[3],
    }  # fmt: skip
    wrong, count, ends = [], 0, set()
    rules = [rule for rule in RULES if len(rule.groups) < 2]
    for rule in rules:
        db.reset()
        world.govern(rules=[rule.model_dump()])
        crowd = {name: actor(world, name, groups[name], "good") for name in PEOPLE}
        view = await world.approvals.look(world.cause, crowd["olga"])
        request = await world.approvals.ask(view.plan.id, view.plan_hash, crowd["olga"])
        db.sql("SAVEPOINT asked")
        pairs, both = itertools.permutations(PEOPLE, 2), list(itertools.product(Choice, repeat=2))
        for (one, two), answers in itertools.product(pairs, both):
            votes = []
            for name, choice in zip((one, two), answers, strict=True):
                may = oracle(name, groups[name], "good", rule, "olga", choice.value)
                votes.append((name, choice.value, may))
                try:
                    await world.approvals.vote(request.id, view.plan_hash, request.revision, crowd[name], choice, "so")
                except Denied as error:
                    if may or not (error.reason and error.rule):
                        wrong.append((rule, votes[:], str(error)))
                except GatehouseError as error:
                    if not error.reason:
                        wrong.append((rule, votes[:], str(error)))
            state = db.sql("SELECT state FROM approval_requests").scalar_one()
            queued = db.sql("SELECT count(*) FROM executions").scalar_one()
            expected = tell(tuple(votes), rule)
            ends.add(state)
            count += 1
            if (state, queued) != expected:
                wrong.append((rule, votes, (state, queued), expected))
            db.sql("ROLLBACK TO asked")
    db.close()
    assert not wrong, (len(wrong), wrong[:5])
    assert count == len(rules) * 80
    assert ends == {"pending", "approved", "rejected"}
