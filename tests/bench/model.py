"""What the model costs for a company's findings: calls, tokens and cards, against one call per finding.

    python tests/bench/model.py [--findings 10000] [--hours 8] [--json]

The findings are Wiz's, of the simulated demo company (bot/sandbox/vendors/company.py), mapped and stored as in
production. Cards go out within the channels' budget over ``--hours``; narratives are written for causes with a card.
The model is a stub; tokens are characters / 4 of what really would leave.
One call per finding is counted by sending each finding's own facts with the same instructions.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, text

from bot.delivery import Deliverer
from bot.domain.ids import RandomIds
from bot.intake.service import Intake
from bot.narrative.asking import FENCE, Asking
from bot.narrative.facts import Material, facts_of
from bot.narrative.narrator import INSTRUCTIONS, Narrator, material
from bot.ports import Message, ModelReply, ModelRequest, Page
from bot.remediation.catalog import builtin_catalog
from bot.reports.board import Board
from bot.sandbox.vendors.company import World
from bot.sandbox.vendors.wiz_objects import CONFIGURATION, ISSUES, VULNERABILITIES, configuration, issue, vulnerability
from bot.settings import Settings
from bot.store.database import Database
from bot.store.migrate import upgrade
from connectors.wiz.mapping import WizMapper

ANSWER = json.dumps(
    {
        "risk": "Somebody on the internet may read or change what is kept here, without asking anybody. " * 2,
        "root_cause": "The resources come from one template that leaves this open unless somebody closes it. ",
        "exploitability": "Nothing has to be broken into; knowing the address is enough where it is reachable.",
        "steps": ["Review the fix here.", "Change the template.", "Look whether somebody used it.", "Look again."],
        "duplicates": [],
    }
)
TEAMS = ("payments", "web", "platform", "data")


class Clock:
    def __init__(self) -> None:
        self.at = datetime(2026, 6, 2, 8, 0, tzinfo=UTC)

    def now(self) -> datetime:
        return self.at


class Stub:
    name, endpoint = "stub", "localhost"

    def __init__(self) -> None:
        self.calls = self.tokens_in = self.tokens_out = 0

    async def complete(self, request: ModelRequest) -> ModelReply:
        sent = sum(len(said) for _, said in request.messages) + len(json.dumps(request.schema))
        self.calls += 1
        self.tokens_in += sent // 4
        self.tokens_out += len(ANSWER) // 4
        return ModelReply(ANSWER, "stub", sent // 4, len(ANSWER) // 4, "stop")

    async def close(self) -> None:
        return None


class Poster:
    platform = "slack"

    def __init__(self) -> None:
        self.cards = self.others = self.updates = 0

    async def post(self, message: Message) -> str:
        self.cards += message.kind == "cause"
        self.others += message.kind != "cause"
        return str(self.cards + self.others)

    async def update(self, message: Message, message_id: str) -> None:
        self.updates += 1


def raw_findings(count: int, seed: int) -> list[dict[str, Any]]:
    world = World(count, seed=seed)
    scanned = datetime(2026, 6, 2, tzinfo=UTC)
    made: list[dict[str, Any]] = []
    for problem in world.problems():
        if problem.kind == "vulnerability":
            made.append({"__root": VULNERABILITIES, **vulnerability(problem, None, scanned)})
        elif problem.kind == "threat":
            made.append({"__root": ISSUES, **issue(problem, None)})
        else:
            made.append({"__root": CONFIGURATION, **configuration(problem, None, scanned)})
    return made[:count]


async def measure(count: int, hours: int, seed: int) -> dict[str, Any]:
    owners = {team: {"name": f"{team} team", "channels": [f"slack:C{team}"]} for team in TEAMS}
    routing: dict[str, Any] = {"owners": owners, "fallback": ["slack:C0"]}
    settings = Settings(routing=routing, model={"name": "stub", "tokens_per_day": 10**9})  # type: ignore[arg-type]
    clock, ids, catalog, stub, poster = Clock(), RandomIds(), builtin_catalog(), Stub(), Poster()
    url = f"sqlite:///{tempfile.mkdtemp()}/model.db"
    upgrade(url)
    db = Database(url)
    intake = Intake(db, settings, catalog, clock, ids)
    run = await intake.begin("wiz")
    raws, mapper = raw_findings(count, seed), WizMapper()
    for start in range(0, len(raws), 1000):
        await run.page(mapper, Page(raws[start : start + 1000]))
    report = await run.finish()
    deliverer = Deliverer(
        db, Board(db, settings, catalog, clock), {"slack": poster}, clock, "w", ids, pace_seconds=0
    )  # fmt: skip
    narrator = Narrator(db, settings, Asking(db, stub, settings.model, clock, ids), catalog, clock, ids, "w")
    began = time.monotonic()
    for _ in range(hours):
        while await deliverer.work_once():
            pass
        while await narrator.work_once():
            pass
        while await deliverer.work_once():
            pass
        clock.at += timedelta(hours=1)
    seconds = time.monotonic() - began
    figures = await db.read(_figures)
    figures["calls_if_every_cause_had_a_card"] = await db.read(_shapes, settings, catalog)
    alone_in = alone_out = 0
    instructions = len(INSTRUCTIONS + FENCE)
    for raw in raws[:: max(1, len(raws) // 500)]:
        finding = mapper.map(raw)
        cause = {"title": finding.title, "rule_uid": finding.rule_uid, "severity": int(finding.severity),
                 "provider": "aws", "environment": "prod", "open_count": 1, "owner": "x",
                 "account_uid": finding.account.uid,
                 "account_name": finding.account.name}  # fmt: skip
        facts = facts_of(Material(cause, finding, None, [(finding.resource.uid, finding.resource.name, "")], "", ""))
        alone_in += (instructions + len(facts.text) + 1_400) // 4
        alone_out += len(ANSWER) // 4
    sampled = len(raws[:: max(1, len(raws) // 500)])
    alone = (alone_in + alone_out) * len(raws) // sampled
    ours = stub.tokens_in + stub.tokens_out
    await db.close()
    return {
        "findings": len(raws), "created": report.created, **figures, "cards": poster.cards, "digests": poster.others,
        "findings_per_card": round(len(raws) / max(1, poster.cards), 1), "calls": stub.calls,
        "fewer_calls": round(len(raws) / max(1, stub.calls), 1), "tokens_in": stub.tokens_in,
        "tokens_out": stub.tokens_out, "tokens_one_call_per_finding": alone,
        "fewer_tokens": round(alone / max(1, ours), 1), "seconds": round(seconds, 1),
    }  # fmt: skip


def _shapes(conn: Connection, settings: Settings, catalog: Any) -> int:
    """Different facts over all open causes: each would be one call."""
    found = set()
    for cause in conn.execute(text("SELECT id FROM causes WHERE state='open'")).scalars().all():
        made = material(conn, settings, catalog, cause)
        if made is not None:
            found.add(facts_of(made).text)
    return len(found)


def _figures(conn: Connection) -> dict[str, Any]:
    def count(query: str) -> int:
        return int(conn.execute(text(query)).scalar_one())

    return {
        "causes": count("SELECT count(*) FROM causes WHERE state='open'"),
        "p1_causes": count("SELECT count(*) FROM causes WHERE state='open' AND priority=1"),
        "p1_without_a_card": count(
            "SELECT count(*) FROM causes WHERE state='open' AND priority=1 AND id NOT IN "
            "(SELECT subject FROM posts WHERE kind='cause' AND message_id<>'')"
        ),
        "narratives": count("SELECT count(*) FROM narratives WHERE state='done'"),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--findings", type=int, default=10_000)
    parser.add_argument("--hours", type=int, default=8)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    found = asyncio.run(measure(given.findings, given.hours, given.seed))
    if given.json:
        print(json.dumps(found))
        return
    for name, value in found.items():
        print(f"{name.replace('_', ' '):32} {value:,}")


if __name__ == "__main__":
    main()
