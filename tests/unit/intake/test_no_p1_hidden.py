"""Whatever rules are written, whoever presses, whatever is reported: no P1 is hidden without two names on it."""

from __future__ import annotations

import contextlib
from datetime import timedelta
from random import Random
from typing import Any

import pytest
from sqlalchemy import Connection, func, select, update

from bot.domain.errors import GatehouseError
from bot.governance.policy import Policy
from bot.intake.service import Intake
from bot.intake.stewardship import Stewardship
from bot.intake.suppression import Suppression
from bot.settings import SuppressionRule
from bot.store import causes, ledger, silences
from bot.store.database import Database

from .kit import Catalog, CountedIds, Mapper, StillClock, raw, settings
from .test_lifecycle import poll
from .test_stewardship import APPROVER, actor
from .test_suppression import URGENT, other

RULES, ENVIRONMENTS = ("urgent", "r1", "r2", "r3"), ("prod", "dev", "test")
STEPS = 60
HIDES = 4  # in this run some P1 are hidden lawfully


def a_rule(random: Random, clock: StillClock, number: int) -> SuppressionRule:
    match: dict[str, Any] = {}
    while not match:
        if random.random() < 0.5:
            match["environment"] = random.choice((["dev"], ["*"], ["prod", "test"]))
        if random.random() < 0.5:
            match["rule"] = random.choice((["*"], ["urgent"], ["r[12]"]))
        if random.random() < 0.3:
            match["tags"] = {"env": random.choice(("*", "prod", "dev"))}
        if random.random() < 0.3:
            match["source"] = ["toy"]
        if random.random() < 0.2:
            match["severity"] = ["critical", "low"]
    return SuppressionRule.model_validate(
        {"name": f"rule {number}", "match": match, "reason": "noise", "author": "bob",
         "until": (clock.at + timedelta(days=random.randrange(1, 25))).date(),
         "hours": random.choice(("", "", "08:00-20:00", "22:00-06:00")), "include_p1": random.random() < 0.4}
    )  # fmt: skip


def a_finding(random: Random) -> dict[str, Any]:
    uid, tags = f"u{random.randrange(12)}", {"env": random.choice(ENVIRONMENTS)}
    if random.random() < 0.4:
        return raw(uid, **(URGENT | {"tags": tags | {"data-class": "pii"}, "desc": str(random.random())}))
    return raw(uid, rule=random.choice(RULES), tags=tags, severity=random.choice(("LOW", "MEDIUM", "CRITICAL")),
               exposed=random.random() < 0.5, desc=str(random.random()))  # fmt: skip


def hidden_p1(conn: Connection) -> list[Any]:
    """P1 that a rule of ours hides, with the rule."""
    query = (
        select(silences.FINDINGS.c.id, silences.SILENCES.c.rule_id, silences.FINDINGS.c.status_reason)
        .join(silences.SILENCES, silences.SILENCES.c.finding_id == silences.FINDINGS.c.id)
        .where(silences.FINDINGS.c.priority == 1, silences.FINDINGS.c.status == "suppressed")
    )
    return list(conn.execute(query))


def check(conn: Connection) -> int:
    """The promise; and nothing of a source that hides nothing itself is suppressed without a rule behind it."""
    found = hidden_p1(conn)
    for row in found:
        rule = silences.get(conn, row.rule_id)
        names = {name.principal_id for name in rule.names if name.hash == rule.hash}
        assert rule.terms.include_p1
        assert rule.intact
        assert len(names) >= 2
        assert all(name.name in row.status_reason for name in rule.names)
    lost = (
        select(func.count())
        .select_from(silences.FINDINGS)
        .where(silences.FINDINGS.c.status == "suppressed",
               silences.FINDINGS.c.id.not_in(select(silences.SILENCES.c.finding_id)))
    )  # fmt: skip
    assert conn.execute(lost).scalar_one() == 0
    return len(found)


@pytest.mark.parametrize("seed", range(8))
async def test_no_p1_is_hidden_whatever_the_rules(
    seed: int, db: Database, clock: StillClock, ids: CountedIds, mapper: Mapper
) -> None:
    random, chosen = Random(seed), settings()
    policy = Policy.load(chosen.governance)
    rules = Suppression(db, chosen, clock, ids, policy)
    stewards = Stewardship(db, chosen, clock, ids, policy)
    intake = Intake(db, chosen, Catalog(), clock, ids)
    people = (actor(), actor(APPROVER), other(), other("dave"), actor(known=False))
    views: list[Any] = []
    hidden = 0

    async def step(number: int) -> None:
        what = random.randrange(8)
        if what <= 2:
            await poll(intake, mapper, [a_finding(random) for _ in range(random.randrange(1, 6))])
        elif what == 3:
            views.append(await rules.draft(random.choice(people), a_rule(random, clock, number)))
        elif what <= 5 and views:
            view = random.choice(views)
            await rules.activate(view.id, view.hash, random.choice(people))
        elif what == 6:
            clock.move(hours=random.randrange(1, 40))
            await rules.tick()
            await stewards.wake_due()
        elif random.random() < 0.5 and views:
            await rules.end(random.choice(views).id, random.choice(people))
        else:
            # New evidence makes what is stored P1, hidden or not.
            def change(conn: Connection) -> None:
                table = silences.FINDINGS
                rows = conn.execute(select(table.c.id, table.c.cause_id)).all()
                if rows:
                    row = random.choice(rows)
                    conn.execute(update(table).where(table.c.id == row.id).values(priority=1))
                    causes.refresh(conn, ids, clock.at, {row.cause_id})

            await db.write(change)

    for number in range(STEPS):
        with contextlib.suppress(GatehouseError):  # refused, over, twice by the same person: nothing comes of it
            await step(number)
        hidden += await db.read(check)
    assert db.read_sync(ledger.verify).ok
    if seed == HIDES:  # else the property would hold of a thing that never hides any
        assert hidden > 0
