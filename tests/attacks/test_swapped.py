"""What was approved is what is done: after the vote something is swapped at random, and nothing may be executed."""

from __future__ import annotations

import copy
import json
import random
import string
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bot.domain.decisions import Choice
from bot.domain.errors import GatehouseError
from bot.domain.ids import digest
from bot.domain.plans import Plan
from bot.governance.policy import Policy
from bot.settings import GovernanceSettings
from bot.store import ledger
from tests.unit.remediation.conftest import START, World

from .inline import InlineDatabase

SEED, ROUNDS, CARDS = 20260302, 8_000, 2_000
# Policies under which the decision no longer holds; one that still permits it carries it out (test_policy_moves.py).
POLICIES = [
    {"freeze": True},
    *({"rules": [{"name": f"r{n}", "quorum": 1 + n % 3, "groups": ["leads"] * (n % 2)}]} for n in range(1, 6)),
    {"rules": [{"name": "built-in rule", "typed_confirmation": True}]},
]
Swap = Callable[["Swapper"], str]


def other(rng: random.Random, value: Any) -> Any:
    """Something else of the same kind, so that it is not refused for its shape alone."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + rng.choice([-1, 1, 7, 1000])
    if isinstance(value, str):
        if value and rng.random() < 0.5:
            at = rng.randrange(len(value))
            changed = value[:at] + rng.choice(string.ascii_letters.replace(value[at], "")) + value[at + 1 :]
            return changed if changed != value else value + "x"
        return value + rng.choice([" ", "x", "/../", "​", "hall"])
    return rng.choice(["", 1, {"x": 1}]) if value is None else None


def leaves(thing: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    if isinstance(thing, dict) and thing:
        return [leaf for key, value in thing.items() for leaf in leaves(value, (*path, key))]
    if isinstance(thing, list) and thing:
        return [leaf for key, value in enumerate(thing) for leaf in leaves(value, (*path, key))]
    return [path] if not isinstance(thing, dict | list) else []


class Swapper:
    """An approved execution that waits to be run, put back after every try."""

    def __init__(self, world: World, db: InlineDatabase, rng: random.Random) -> None:
        self.world, self.db, self.rng = world, db, rng
        self.lamps = copy.deepcopy(world.cloud.lamps)
        self.members = copy.deepcopy(world.directory.members)
        self.at, self.policy = world.clock.at, world.policy
        self.plan: dict[str, Any] = json.loads(db.sql("SELECT body FROM plans").scalar_one())
        self.policies = [Policy.load(GovernanceSettings.model_validate(given)) for given in POLICIES]

    def reset(self) -> None:
        self.db.reset()
        self.world.cloud.lamps = copy.deepcopy(self.lamps)
        self.world.cloud.effects.clear()
        self.world.cloud.opened.clear()
        self.world.directory.members, self.world.directory.odd = copy.deepcopy(self.members), {}
        self.world.clock.at = self.at
        self.world.executor._policy = self.policy

    def swapped_plan(self) -> dict[str, Any]:
        plan = copy.deepcopy(self.plan)
        while True:
            if self.rng.random() < 0.15:  # a change dropped, doubled, or in another order
                changes = plan["changes"]
                pick = self.rng.randrange(3)
                if pick == 0:
                    del changes[self.rng.randrange(len(changes))]
                elif pick == 1:
                    changes.append(copy.deepcopy(self.rng.choice(changes)))
                else:
                    changes.reverse()
                return plan
            path = self.rng.choice(leaves(plan))
            at: Any = plan
            for key in path[:-1]:
                at = at[key]
            at[path[-1]] = other(self.rng, at[path[-1]])
            return plan

    def hash_of(self, plan: dict[str, Any]) -> str:
        try:
            return Plan.model_validate(plan).hash
        except ValueError:
            return digest(plan)

    def store(self, plan: dict[str, Any], *also: str) -> None:
        """The swapped plan with its own right hash, and the hash carried on into ``also`` (table.column)."""
        self.db.sql("UPDATE plans SET body = ?, hash = ?", json.dumps(plan), self.hash_of(plan))
        for place in also:
            table, _, column = place.partition(".")
            self.db.sql(f"UPDATE {table} SET {column} = ?", self.hash_of(plan))


def plan_alone(s: Swapper) -> str:
    s.db.sql("UPDATE plans SET body = ?", json.dumps(s.swapped_plan()))
    return "plan"


def plan_rehashed(s: Swapper) -> str:
    places = ["approval_requests.plan_hash", "decisions.covers", "votes.plan_hash"]
    s.store(s.swapped_plan(), *s.rng.sample(places, s.rng.randrange(3)))
    return "plan, rehashed"


def plan_rehashed_everywhere(s: Swapper) -> str:
    """Whoever can write every row still cannot write the ledger."""
    plan = s.swapped_plan()
    s.store(plan, "approval_requests.plan_hash", "decisions.covers", "votes.plan_hash")
    s.db.sql("UPDATE approval_requests SET fingerprint = ?", str(plan["fingerprint"]))
    return "plan, rehashed everywhere"


def state(s: Swapper) -> str:
    lamps, name = s.world.cloud.lamps, s.rng.choice(sorted(s.lamps))
    if s.rng.random() < 0.1:
        del lamps[name]
    elif s.rng.random() < 0.2:
        lamps[name][f"more{s.rng.randrange(99)}"] = s.rng.choice([1, None, "x", {"a": []}])
    else:
        field = s.rng.choice(["on", "colour"])
        lamps[name][field] = other(s.rng, lamps[name][field])
    return "state of the cloud"


def policy(s: Swapper) -> str:
    s.world.executor._policy = s.rng.choice(s.policies)
    return "policy"


def request(s: Swapper) -> str:
    rule = json.loads(s.db.sql("SELECT rule FROM approval_requests").scalar_one())
    column, value = s.rng.choice(
        [
            ("state", s.rng.choice(["pending", "rejected", "expired", "voided", "cancelled"])),
            ("plan_hash", f"{s.rng.getrandbits(256):064x}"),
            ("fingerprint", f"{s.rng.getrandbits(256):064x}"),
            ("plan_id", f"plan-{s.rng.randrange(99)}x"),
            ("policy_version", f"{s.rng.getrandbits(64):016x}"),
            ("requested_by", s.rng.choice(["ann", "abe", "nick"])),
            ("rule", json.dumps(rule | {"quorum": s.rng.randrange(2, 9)})),
            ("rule", json.dumps(rule | {"groups": ["leads"]})),
            ("rule", json.dumps(rule | {"four_eyes": False, "expires_minutes": 10**6})),
        ]
    )
    s.db.sql(f"UPDATE approval_requests SET {column} = ?", value)
    return f"request.{column}"


def decision(s: Swapper) -> str:
    column, value = s.rng.choice(
        [
            ("covers", f"{s.rng.getrandbits(256):064x}"),
            ("plan_id", f"plan-{s.rng.randrange(99)}x"),
            ("outcome", s.rng.choice(["rejected", "expired", "voided"])),
            ("decided_by", s.rng.choice(['["abe"]', '["olga"]', "[]", '["nick", "sue"]'])),
            ("policy_version", f"{s.rng.getrandbits(64):016x}"),
            ("decided_at", (START.replace(hour=1, minute=s.rng.randrange(60))).strftime("%Y-%m-%d %H:%M:%S.%f")),
        ]
    )
    s.db.sql(f"UPDATE decisions SET {column} = ?", value)
    return f"decision.{column}"


def vote(s: Swapper) -> str:
    column, value = s.rng.choice(
        [
            ("withdrawn_at", "2026-03-02 09:00:00.000000"),
            ("choice", "reject"),
            ("plan_hash", f"{s.rng.getrandbits(256):064x}"),
            ("principal_id", s.rng.choice(["abe", "olga", "nick"])),
            ("identity", json.dumps({"platform": "slack", "tenant": "T1", "user": s.rng.choice(["UABE", "UX"])})),
            ("identity", json.dumps({"platform": "slack", "tenant": "T2", "user": "UANN"})),
        ]
    )
    s.db.sql(f"UPDATE votes SET {column} = ?", value)
    return f"vote.{column}"


def people(s: Swapper) -> str:
    if s.rng.random() < 0.5:
        s.world.directory.members["SAPPROVERS"].discard("UANN")
    else:
        name, value = s.rng.choice([("active", False), ("guest", True), ("external", True), ("bot", True)])
        s.world.directory.odd["UANN"] = {name: value}
    return "people"


def time(s: Swapper) -> str:
    s.world.clock.pass_(minutes=s.rng.randrange(241, 100_000))
    return "time"


SWAPS: list[Swap] = [
    plan_alone, plan_rehashed, plan_rehashed_everywhere, state, policy, request, decision, vote, people, time,
]  # fmt: skip


@pytest.mark.timeout(900)  # under a minute on an idle core
async def test_eight_thousand_swaps_after_the_vote_execute_nothing(tmp_path: Path) -> None:
    world = World(tmp_path / "w.db")
    execution = await world.approved()
    await world.db.close()
    db, rng = InlineDatabase(tmp_path / "w.db"), random.Random(SEED)
    world.db = db  # type: ignore[assignment]
    world.govern()
    swapper, kinds, wrong = Swapper(world, db, rng), Counter[str](), []
    for _ in range(ROUNDS):
        swapper.reset()
        done = [swap(swapper) for swap in rng.sample(SWAPS, 1 if rng.random() < 0.8 else 2)]
        kinds.update(done)
        await world.executor.run(execution)
        row = db.sql("SELECT state, why FROM executions").one()
        if world.cloud.effects or row.state != "blocked" or not row.why:
            wrong.append((done, row.state, row.why))
    assert not wrong, (len(wrong), Counter(str(w) for w in wrong).most_common(8))
    assert len(kinds) > 20
    assert min(kinds.values()) > 20  # every kind of swap was really tried
    # And the measure of it all: untouched, the very same execution is carried out.
    swapper.reset()
    await world.executor.run(execution)
    assert db.sql("SELECT state FROM executions").scalar_one() == "succeeded"
    assert len(world.cloud.effects) == 4
    assert ledger.verify(db._conn).ok
    db.close()


async def test_two_thousand_swapped_cards_decide_nothing(tmp_path: Path) -> None:
    """The ids a button or dialog sends back, each swapped for something near it."""
    world = World(tmp_path / "w.db")
    waiting = await world.ask()
    await world.db.close()
    db, rng = InlineDatabase(tmp_path / "w.db"), random.Random(SEED)
    world.db = db  # type: ignore[assignment]
    world.govern()
    ann = await world.actor("UANN")
    for _ in range(CARDS):
        db.reset()
        sent = {"q": waiting.id, "h": waiting.plan_hash, "v": waiting.revision}
        for key in rng.sample(sorted(sent), rng.randrange(1, 4)):
            sent[key] = other(rng, sent[key])
        with pytest.raises(GatehouseError) as refused:
            await world.approvals.vote(sent["q"], sent["h"], sent["v"], ann, rng.choice(list(Choice)))  # type: ignore[arg-type]
        assert refused.value.reason
        assert db.sql("SELECT (SELECT count(*) FROM votes) + (SELECT count(*) FROM executions)").scalar_one() == 0
    db.reset()
    await world.approvals.vote(waiting.id, waiting.plan_hash, waiting.revision, ann, Choice.APPROVE)
    assert db.sql("SELECT count(*) FROM executions").scalar_one() == 1
    db.close()
