"""The world of lamps with tags and an owner's policy that lets approvers pre-approve in development."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import insert, select

from bot.domain.decisions import Choice
from bot.domain.plans import Plan, Risk, Target
from bot.domain.standing import StandingScope, StandingView
from bot.remediation.standing import Standings
from bot.store import plans
from bot.store import standing as store
from bot.store.tables import CauseRow, LedgerRow, OutboxRow

from .conftest import ACCOUNT, START, DarkLamps, World

BUILT_IN = Path("bot/governance/gatehouse.cedar")
IN_DEV = """
@id("approvers-may-pre-approve-in-development")
permit (principal in Group::"cloud-approvers", action == Action::"pre_approve", resource)
when { resource.environment == "dev" };
"""
ANYWHERE = """
@id("approvers-may-pre-approve")
permit (principal in Group::"cloud-approvers", action == Action::"pre_approve", resource);
"""


class TaggedLamps(DarkLamps):
    """Lamps wear labels; ``None`` where nobody can say which."""

    def __init__(self, risk: Risk = Risk.LOW) -> None:
        super().__init__(risk)
        self.labels: dict[str, dict[str, str] | None] = {}
        self.error: Exception | None = None

    async def tags(self, cloud: Any, target: Target) -> Mapping[str, str] | None:
        if self.error:
            raise self.error
        return self.labels.get(target.uid, {"env": "dev", "auto-remediate": "true"})


class StandingWorld(World):
    book: TaggedLamps

    def __init__(self, path: Path | str, folder: Path, *, policy: str = IN_DEV, **more: Any) -> None:
        self.folder, self.more = folder, {k: v for k, v in more.items() if k not in {"risk", "lamps"}}
        super().__init__(path, **more)
        self.catalog.book = self.book = TaggedLamps(more.get("risk", Risk.LOW))
        self.permit(policy)

    def permit(self, policy: str, **more: Any) -> None:
        """The services as they would be with this policy (a restart)."""
        file = self.folder / f"policy-{abs(hash(policy))}.cedar"
        file.write_text((Path(__file__).parents[3] / BUILT_IN).read_text("utf-8") + policy, "utf-8")
        self.govern(**{**self.more, **more, **({"policies": file} if policy else {})})
        self.standings = self.new_standings()

    def new_standings(self) -> Standings:
        return Standings(self.db, self.planner, self.policy, self.people, self.clock, self.ids)

    async def plan(self, user: str = "UANN") -> Plan:
        return (await self.approvals.look(self.cause, await self.actor(user))).plan

    async def grant(self, user: str = "UANN", **terms: Any) -> StandingView:
        plan = await self.plan(user)
        given: dict[str, Any] = {"cap": 2, "days": 30, "reason": "lamps in dev are nobody's need"} | terms
        given["scope"] = given.get("scope") or StandingScope(environment="dev")
        return await self.standings.grant(plan.id, plan.hash, await self.actor(user), **given)

    async def held(self, standing_id: str) -> store.Held:
        return await self.db.read(store.get, standing_id)

    async def uses(self) -> list[Any]:
        return await self.db.read(
            lambda conn: list(conn.execute(select(store.USES).order_by(store.USES.c.at, store.USES.c.id)))
        )

    async def used(self) -> str:
        """One tick that decides one run: its execution."""
        before = {use.id for use in await self.uses()}
        assert await self.standings.tick() == 1
        (use,) = [use for use in await self.uses() if use.id not in before]
        return str(use.execution_id)

    async def records(self, kind: str) -> list[dict[str, Any]]:
        table = LedgerRow.__table__  # type: ignore[attr-defined]
        query = select(table).where(table.c.kind == kind).order_by(table.c.seq)
        rows = await self.db.read(lambda conn: list(conn.execute(query)))
        return [json.loads(row.body) | {"subject": row.subject, "actor": row.actor} for row in rows]

    async def told(self) -> list[tuple[str, str]]:
        """Everything that goes out as words: (platform:channel, line)."""
        table = OutboxRow.__table__  # type: ignore[attr-defined]
        query = select(table).where(table.c.kind.in_(["thread", "direct"])).order_by(table.c.seq)
        rows = await self.db.read(lambda conn: list(conn.execute(query)))
        return [(f"{row.platform}:{row.channel}", json.loads(row.payload)["line"]) for row in rows]

    async def undo(self, execution_id: str) -> str:
        """Asked by Olga, approved by Abe, carried out."""
        olga = await self.actor("UOLGA")
        view = await self.approvals.look_undo(execution_id, olga)
        request = await self.approvals.ask(view.plan.id, view.plan_hash, olga, "back, please")
        request = await self.vote(request, "UABE", Choice.APPROVE)
        found = await self.db.read(plans.execution_of_request, request.id)
        assert found
        return (await self.executor.run(found)).value

    async def more_causes(self, *names: str, **odd: Any) -> list[str]:
        """A cause of its own for each lamp."""
        made = []
        for name in names:
            cause_id = f"c-{name}"
            self.cloud.lamps[name] = {"on": True, "colour": "red"}
            await self.db.write(self._one_more, cause_id, name, odd)
            made.append(cause_id)
        return made

    def _one_more(self, conn: Any, cause_id: str, lamp: str, odd: Mapping[str, Any]) -> None:
        conn.execute(
            insert(CauseRow.__table__),  # type: ignore[attr-defined]
            {"id": cause_id, "key": cause_id, "title": "A lamp is on", "rule_uid": "lamp-on", "source": "test",
             "playbook": "lamps-off", "owner": "platform", "first_seen": START, "open_count": 1, "total_count": 1,
             "resource_count": 1, "revision": 0, "changed_at": START, "provider": "fake", "account_uid": ACCOUNT,
             "account_name": "", "environment": "dev", "owner_reason": "", "channels": '["slack:C1"]', "severity": 4,
             "decision": "Act", "priority": 2, "state": "open", "note": ""} | dict(odd),
        )  # fmt: skip
        usual, self.cause = self.cause, cause_id
        self.add_finding(conn, lamp)
        self.cause = usual
