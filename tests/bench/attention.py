"""Figures of docs/attention.md: identity over vendors, causes found again, cards for ten thousand findings.

    python -m tests.bench.attention identity [-n 600] [--seed 1]
    python -m tests.bench.attention causes [-n 3000] [--seed 1] [--untagged 0.02]
    python -m tests.bench.attention cards [-n 10000] [--seed 1] [--accounts demo|all]

F1 is over pairs: two findings are a true pair when they were planted together, a found pair when we joined them.
``identity`` tells one company through six simulated vendors over their APIs, several problems on a resource; a pair is
of two vendors. ``causes`` plants what one change would fix (module, base image, organisation policy, rule) in toy
words; ``--untagged`` of the resources have lost the tag that names their module or base image. ``cards`` is the first
day: everything at once, in the accounts of the demo company or in twenty more.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from random import Random
from typing import Any

from sqlalchemy import select

from bot.domain.findings import Account, Finding, FindingClass, Resource, Severity, Sighting, Vulnerability
from bot.domain.ids import RandomIds
from bot.intake.service import Intake
from bot.polling import Polling
from bot.ports import Page
from bot.remediation.catalog import builtin_catalog
from bot.sandbox.aws import DEV, PROD
from bot.sandbox.vendors.company import Problem, World
from bot.settings import Settings
from bot.store.causes import CAUSES
from bot.store.database import Database
from bot.store.migrate import upgrade
from bot.store.outbox import OUTBOX
from bot.store.silences import FINDINGS

from . import day as vendors


@dataclass(frozen=True)
class Score:
    true: int
    found: int
    right: int

    @property
    def f1(self) -> float:
        return 2 * self.right / (self.true + self.found) if self.true + self.found else 1.0

    def as_dict(self) -> dict[str, Any]:
        return {"pairs": self.true, "found": self.found, "right": self.right, "f1": round(self.f1, 4)}


def score(planted: Mapping[Any, str], found: Mapping[Any, str], across: bool = False) -> Score:
    """Over items (vendor, uid) -> group. ``across``: only pairs of two vendors. Groups "" are alone."""
    true, ours = _pairs(planted, across), _pairs(found, across)
    return Score(len(true), len(ours), len(true & ours))


def _pairs(groups: Mapping[Any, str], across: bool) -> set[tuple[Any, Any]]:
    members: dict[str, list[Any]] = {}
    for item, group in groups.items():
        if group:
            members.setdefault(group, []).append(item)
    return {
        (a, b) for those in members.values() for a, b in combinations(sorted(those), 2) if not across or a[0] != b[0]
    }


# --- one company, six vendors ----------------------------------------------------------------------------------------


def company(size: int, seed: int) -> list[Problem]:
    """Problems of which up to three different ones lie on one resource."""
    shared: dict[str, list[Problem]] = {}
    made: list[Problem] = []
    for one in World(size, seed=seed, demo=False, kinds=("posture", "vulnerability")).problems():
        on = shared.setdefault(one.resource_type, [])
        if on and len(on) < 3 and all((p.rule, p.cve) != (one.rule, one.cve) for p in on):
            first = on[0]
            one = replace(one, resource_arn=first.resource_arn, resource_name=first.resource_name, tags=first.tags,
                          account=first.account, region=first.region)  # fmt: skip
            on.append(one)
        else:
            shared[one.resource_type] = [one]
        made.append(one)
    return made


def world_of(problems: Iterable[Problem], kinds: Collection[str]) -> World:
    world = World(0, demo=False)
    world._problems = {one.key: one for one in problems if one.kind in kinds}
    world.version += 1
    return world


async def told(problems: list[Problem], folder: Path, stack: AsyncExitStack) -> tuple[Database, dict[Any, str]]:
    """Everything polled from six vendors; (source, uid) -> key of the problem."""
    clock = vendors.Clock()
    both, posture = ("posture", "vulnerability"), ("posture",)
    six = [
        await vendors._wiz(stack, clock, world_of(problems, both)),
        await vendors._prisma(stack, clock, world_of(problems, posture)),
        await vendors._orca(stack, clock, world_of(problems, both)),
        await vendors._lacework(stack, clock, world_of(problems, both)),
        await vendors._hub(stack, clock, world_of(problems, both)),
        vendors._prowler(clock, world_of(problems, posture), folder / "scans"),
    ]
    url = f"sqlite:///{folder / 'bench.db'}"
    upgrade(url)
    db = Database(url)
    stack.push_async_callback(db.close)
    intake = Intake(db, company_settings(url), builtin_catalog(), clock, RandomIds())
    run = vendors.Day(six, clock, db, Polling(db, intake, (), clock, RandomIds(), "bench"), Random(1))
    for _ in range(3):
        await run.round(0.0, faults=False)
    keys: dict[Any, str] = {}
    for vendor in six:
        whole = vendor.world._problems
        for key, problem in whole.items():
            vendor.world._problems = {key: problem}
            vendor.world.version += 1
            for uid in vendor.truth():
                keys[vendor.name, uid] = key
        vendor.world._problems = whole
    return db, keys


def company_settings(url: str) -> Settings:
    owners = {team: {"name": team.title(), "channels": [f"slack:C0{team.upper()}"]} for team in
              ("payments", "web", "platform", "data")}  # fmt: skip
    return Settings.model_validate({"database_url": url, "routing": {"owners": owners, "fallback": ["slack:C0SEC"]}})


async def identity(size: int, seed: int) -> dict[str, Any]:
    problems = company(size, seed)
    with tempfile.TemporaryDirectory() as name:
        async with AsyncExitStack() as stack:
            db, keys = await told(problems, Path(name), stack)
            columns = (FINDINGS.c.source, FINDINGS.c.uid, FINDINGS.c.issue_id)
            rows = await db.read(lambda conn: conn.execute(select(*columns)).all())
    ours = {(r.source, r.uid): r.issue_id for r in rows}
    known = {item: keys[item] for item in ours if item in keys}
    result = score(known, {item: ours[item] for item in known}, across=True)
    missed = _pairs(known, True) - _pairs({item: ours[item] for item in known}, True)
    rule = {one.key: one.rule for one in problems}
    lacking = Counter((rule[known[a]], *sorted((a[0], b[0]))) for a, b in missed)
    return {
        "problems": len(problems), "findings": len(ours), "findings with a known problem": len(known),
        **result.as_dict(), "missed": {" ".join(k): n for k, n in lacking.most_common(12)},
    }  # fmt: skip


# --- planted causes --------------------------------------------------------------------------------------------------


class Planted:
    """A mapper of findings that are made here; its objects are indexes."""

    source = "planted"

    def __init__(self, findings: list[Finding]) -> None:
        self.findings = findings

    def sight(self, raw: Mapping[str, Any]) -> Sighting:
        return Sighting(uid=self.findings[raw["n"]].uid, content=str(raw["n"]))

    def map(self, raw: Mapping[str, Any]) -> Finding:
        found: Finding = self.findings[raw["n"]]
        return found


def plant(size: int, seed: int) -> tuple[list[Finding], dict[str, str]]:
    """Findings and, by uid, the change that fixes them. Every finding of a change also looks like some of another: the
    same rules in other accounts, the same module for other teams, the same CVE in other images."""
    random = Random(seed)
    accounts = [f"1000000000{n:02}" for n in range(12)]
    teams, envs = ("payments", "web", "platform", "data"), ("prod", "dev")
    rules = [f"planted_rule_{n}" for n in range(30)]
    cves = [f"CVE-2024-{1000 + n}" for n in range(60)]
    found: list[Finding] = []
    truth: dict[str, str] = {}

    def add(cause: tuple[str, ...], resource: Resource, account: str, rule: str, **more: Any) -> None:
        uid = f"p{len(found)}"
        truth[uid] = "|".join(cause)
        found.append(
            Finding(source="planted", uid=uid, title=rule, rule_uid=rule, resource=resource,
                    severity=random.choice((Severity.LOW, Severity.MEDIUM, Severity.HIGH)),
                    account=Account(uid=account, provider="aws"), **more)
        )  # fmt: skip

    while len(found) < size:
        account, team, env = random.choice(accounts), random.choice(teams), random.choice(envs)
        tags = {"owner": team, "env": env}
        kind = random.randrange(5)
        count = random.randrange(2, 40)
        if kind == 0:  # a module makes many resources; the same rule is broken by all of them
            module, rule = f"vpc-{random.randrange(6)}", random.choice(rules)
            for n in range(count):
                where = Resource(
                    uid=f"arn:aws:x:::m{len(found)}-{n}", type="thing", tags=tags | {"terraform:module": module}
                )
                add(("module", rule, account, env, team, module), where, account, rule)
        elif kind == 1:  # one base image, many images of many services, many CVEs, in any account
            base = f"registry.acme.example/base/{random.choice(('python', 'node', 'jre'))}:{random.randrange(1, 4)}"
            for n in range(count):
                repo = f"registry.acme.example/{team}/svc-{random.randrange(9)}"
                where = Resource(uid=f"{repo}:{n}@sha256:{random.randbytes(32).hex()}", type="container_image",
                                 tags=tags | {"org.opencontainers.image.base.name": base})  # fmt: skip
                cve = random.choice(cves)
                add(("image", env, team, base), where, random.choice(accounts), cve,
                    class_uid=FindingClass.VULNERABILITY, vulnerabilities=(Vulnerability(uid=cve),))  # fmt: skip
        elif kind == 2:  # an image without a word of its base: its own build fixes it, whatever the tag
            repo = f"acme/{team}/tool-{random.randrange(9)}"
            for _ in range(count):
                cve = random.choice(cves)
                where = Resource(uid=f"{repo}:{random.randrange(99)}", type="container_image", tags=tags)
                add(("image", env, team, repo), where, random.choice(accounts), cve,
                    class_uid=FindingClass.VULNERABILITY, vulnerabilities=(Vulnerability(uid=cve),))  # fmt: skip
        elif kind == 3:  # an organisation policy fixes the rule in all accounts
            rule = f"org_{random.randrange(4)}"
            for n in range(count):
                add(("organisation", rule, env, team), Resource(uid=f"arn:o{len(found)}-{n}", tags=tags),
                    random.choice(accounts), rule)  # fmt: skip
        else:  # nothing in common but the rule: one account, one team
            rule = random.choice(rules)
            for n in range(count):
                add(
                    ("rule", rule, account, env, team), Resource(uid=f"arn:r{len(found)}-{n}", tags=tags), account, rule
                )
    return found, truth


def untagged(found: list[Finding], share: float, random: Random) -> list[Finding]:
    """Some resources lose what names their module or base image."""
    keep = ("owner", "env")
    return [
        one.model_copy(update={"resource": one.resource.model_copy(
            update={"tags": {key: one.resource.tags[key] for key in keep}})})
        if random.random() < share else one
        for one in found
    ]  # fmt: skip


async def causes(size: int, seed: int, share: float = 0.0) -> dict[str, Any]:
    found, truth = plant(size, seed)
    found = untagged(found, share, Random(seed))
    with tempfile.TemporaryDirectory() as name:
        url = f"sqlite:///{name}/bench.db"
        upgrade(url)
        db = Database(url)
        base = company_settings(url)
        chosen = base.model_copy(update={"causes": base.causes.model_copy(update={"organisation_rules": ("org_*",)})})
        run = await Intake(db, chosen, builtin_catalog(), vendors.Clock(), RandomIds()).begin("planted")
        for start in range(0, len(found), 500):
            items = [{"n": n} for n in range(start, min(start + 500, len(found)))]
            await run.page(Planted(found), Page(items=items))
        await run.finish()
        rows = await db.read(lambda conn: conn.execute(select(FINDINGS.c.uid, FINDINGS.c.cause_id)).all())
        await db.close()
    result = score(truth, {row.uid: row.cause_id for row in rows})
    return {"findings": len(found), "planted causes": len(set(truth.values())),
            "causes found": len({row.cause_id for row in rows}), **result.as_dict()}  # fmt: skip


# --- cards -----------------------------------------------------------------------------------------------------------


def in_demo(one: Problem) -> Problem:
    """The same problem in an account of the demo company."""
    account = DEV if one.tags.get("env") == "dev" else PROD
    return replace(one, account=account, resource_arn=one.resource_arn.replace(one.account, account))


async def cards(size: int, seed: int, where: str = "demo") -> dict[str, Any]:
    """All at once, as on the first day: what the channels get in the first hour."""
    with tempfile.TemporaryDirectory() as name:
        async with AsyncExitStack() as stack:
            problems = World(size * 10 // 47, seed=seed, demo=True, kinds=("posture", "vulnerability")).problems()
            if where == "demo":
                problems = [in_demo(one) for one in problems]
            db, _ = await told(problems, Path(name), stack)

            def read(conn: Any) -> dict[str, Any]:
                rows = conn.execute(select(FINDINGS.c.status, FINDINGS.c.priority, FINDINGS.c.cause_id)).all()
                open_ = [r for r in rows if r.status in ("new", "open", "reopened")]
                carded = set(conn.execute(select(OUTBOX.c.subject).where(OUTBOX.c.kind == "card")).scalars())
                urgent = {r.cause_id for r in open_ if r.priority == 1}
                states = conn.execute(select(CAUSES.c.id, CAUSES.c.state)).all()
                shown = len(carded)
                return {
                    "findings": len(rows), "open": len(open_), "causes": len(states),
                    "P1 findings": sum(r.priority == 1 for r in open_), "P1 causes": len(urgent),
                    "P1 causes without a card": len(urgent - carded), "cards": shown,
                    "digests": len(conn.execute(select(OUTBOX.c.id).where(OUTBOX.c.kind == "digest")).all()),
                    "findings per card": round(len(open_) / shown, 1) if shown else None,
                }  # fmt: skip

            return await db.read(read)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=("identity", "causes", "cards"))
    parser.add_argument("-n", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--untagged", type=float, default=0.0)
    parser.add_argument("--accounts", choices=("demo", "all"), default="demo")
    asked = parser.parse_args()
    match asked.what:
        case "identity":
            work = identity(asked.n or 600, asked.seed)
        case "causes":
            work = causes(asked.n or 3000, asked.seed, asked.untagged)
        case _:
            work = cards(asked.n or 10_000, asked.seed, asked.accounts)
    print(json.dumps(asyncio.run(work), indent=2))


if __name__ == "__main__":
    main()
