"""The whole way for an attacker: signed bytes over HTTP into the Bolt app, the real engine, a cloud that counts."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from slack_sdk.signature import SignatureVerifier
from sqlalchemy import select

from bot.domain.principals import Platform
from bot.engine import Engine
from bot.governance.people import People
from bot.governance.policy import Policy
from bot.intake.service import Intake
from bot.intake.stewardship import Stewardship
from bot.remediation.approval import Approvals
from bot.remediation.planning import Planner
from bot.reports.board import Board
from bot.settings import Settings
from bot.store.tables import LedgerRow
from handlers.slack.app import GatehouseApp, build_app
from handlers.slack.connection import SlackConnection
from handlers.slack.directory import SlackDirectory
from tests.unit.remediation.conftest import GROUPS, PEOPLE, World
from tests.unit.slack.fakes import SECRET, FakeSlack

TEAM, CHANNEL = "T1", "C1"


def slack_user(user: str, **more: Any) -> dict[str, Any]:
    return {"id": user, "team_id": TEAM, "deleted": False, "name": user.lower(), **more}


class Edge(World):
    """``review`` and ``submit`` are what a person does; ``send`` is what an attacker does."""

    app: GatehouseApp
    http: TestClient[Any, Any]

    def __init__(self, path: Path, slack: FakeSlack, **kw: Any) -> None:
        self.slack, self._n, self.people_more = slack, 0, dict[str, Any]()
        for person in PEOPLE.values():
            user = person["slack"].partition("/")[2]
            slack.users.setdefault(user, slack_user(user, real_name=person["name"]))
        slack.groups.setdefault("SAPPROVERS", ["UANN", "UABE", "USUE"])
        super().__init__(path, **kw)

    def govern(self, **governance: Any) -> None:
        self.settings = Settings(
            people=PEOPLE, groups=GROUPS, governance=governance,  # type: ignore[arg-type]
            slack={"enabled": True, "mode": "http", "team": TEAM}, slack_signing_secret=SECRET,  # type: ignore[arg-type]
            routing={"owners": {"platform": {"name": "Platform"}}},  # type: ignore[arg-type]
        )  # fmt: skip
        self.policy = Policy.load(self.settings.governance)
        self.slack_directory = SlackDirectory(self.slack.client(), self.settings, self.clock)
        self.people = People(self.db, self.settings, {Platform.SLACK: self.slack_directory}, self.clock, self.ids)
        self.planner = Planner(
            self.db, self.catalog, self.cloud, self.clock, self.ids, self.settings.governance  # type: ignore[arg-type]
        )  # fmt: skip
        self.approvals = Approvals(self.db, self.planner, self.policy, self.people, self.clock, self.ids)
        self.executor = self.new_executor("w1")

    async def open(self) -> Edge:
        catalog: Any = self.catalog
        engine = Engine(
            db=self.db, settings=self.settings, clock=self.clock, ids=self.ids,
            board=Board(self.db, self.settings, catalog, self.clock, self.policy, self.people),
            intake=Intake(self.db, self.settings, catalog, self.clock, self.ids),
            stewardship=Stewardship(self.db, self.settings, self.clock, self.ids, self.policy),
            people=self.people, policy=self.policy, planner=self.planner, approvals=self.approvals,
            executor=self.executor,
        )  # fmt: skip
        self.app = build_app(engine, self.settings, self.slack.client())
        site = web.Application()
        site.add_routes(SlackConnection(self.app, self.settings).routes())
        self.http = TestClient(TestServer(site))
        await self.http.start_server()
        return self

    # --- raw -------------------------------------------------------------------------------------------------------

    def sealed(self, payload: dict[str, Any], *, secret: str = SECRET, age: int = 0) -> tuple[str, dict[str, str]]:
        """Body and headers as Slack would send them."""
        body = urlencode({"payload": json.dumps(payload)})
        stamp = str(int(time.time()) - age)
        return body, {
            "content-type": "application/x-www-form-urlencoded",
            "x-slack-request-timestamp": stamp,
            "x-slack-signature": SignatureVerifier(secret).generate_signature(timestamp=stamp, body=body) or "",
        }

    async def deliver(self, body: str, headers: dict[str, str], *, drain: bool = True) -> int:
        async with self.http.post("/slack/events", data=body, headers=headers) as response:
            await response.text()
        if drain:
            await self.app.desk.drain()
        return response.status

    async def send(self, payload: dict[str, Any], **more: Any) -> int:
        return await self.deliver(*self.sealed(payload, **more))

    def click_body(self, user: str, action: str = "gh.review", value: Any = None, **more: Any) -> dict[str, Any]:
        self._n += 1
        value = {"c": self.cause, "v": 0} if value is None else value
        return {
            "type": "block_actions",
            "team": {"id": more.get("team", TEAM)},
            "user": {"id": user, "team_id": more.get("user_team", TEAM), "name": more.get("name", "")},
            "trigger_id": f"t.{self._n}",
            "container": {"type": "message", "message_ts": "1.1", "channel_id": CHANNEL},
            "channel": {"id": CHANNEL},
            "message": {"ts": "1.1"},
            "actions": [
                {"type": "button", "action_id": action, "block_id": "b", "action_ts": f"9.{self._n}",
                 "value": value if isinstance(value, str) else json.dumps(value)}
            ],
        }  # fmt: skip

    def submit_body(
        self, user: str, metadata: Any, choice: str = "approve", reason: str = "because", **more: Any
    ) -> dict[str, Any]:
        self._n += 1
        given = {"choice": {"v": {"selected_option": {"value": choice}}}, "reason": {"v": {"value": reason}}}
        return {
            "type": "view_submission",
            "team": {"id": more.get("team", TEAM)},
            "user": {"id": user, "team_id": more.get("user_team", TEAM), "name": more.get("name", "")},
            "view": {
                "id": more.get("view", f"V{self._n}"), "hash": f"h{self._n}", "type": "modal",
                "callback_id": "gh.review", "state": {"values": given},
                "private_metadata": metadata if isinstance(metadata, str) else json.dumps(metadata),
            },
        }  # fmt: skip

    # --- as a person -----------------------------------------------------------------------------------------------

    async def review(self, user: str) -> dict[str, Any]:
        """Open the dialog; what it would send back."""
        assert await self.send(self.click_body(user)) == 200
        shown: dict[str, Any] = self.slack.named("views.update")[-1]["view"]
        return json.loads(shown.get("private_metadata") or "{}")

    async def submit(self, user: str, metadata: Any, choice: str = "approve", **more: Any) -> int:
        return await self.send(self.submit_body(user, metadata, choice, **more))

    async def asked(self, user: str = "UOLGA") -> dict[str, Any]:
        """Olga asked; the metadata of the dialog an approver sees."""
        await self.submit(user, await self.review(user), "ask")
        metadata = await self.review("UANN")
        assert metadata["q"]
        return metadata

    # --- what came of it -------------------------------------------------------------------------------------------

    def count(self, table: str) -> int:
        return int(self.db.read_sync(lambda conn: conn.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar_one()))

    def ledger_of(self, kind: str) -> list[dict[str, Any]]:
        table = LedgerRow.__table__  # type: ignore[attr-defined]
        rows = self.db.read_sync(
            lambda conn: list(conn.execute(select(table.c.body).where(table.c.kind == kind)).scalars())
        )
        return [json.loads(row) for row in rows]

    @property
    def told(self) -> str:
        """Everything said privately, and in dialogs, as text."""
        calls = [*self.slack.named("chat.postEphemeral"), *self.slack.named("views.update")]
        calls += self.slack.named("chat.postMessage")
        return " | ".join(json.dumps(call, ensure_ascii=False) for call in calls)

    async def settle(self) -> None:
        """Let the executor do whatever it believes it may."""
        await self.app.desk.drain()
        for _ in range(3):
            await self.executor.work_once()

    async def nothing_happened(self, *, refused_by: str = "", because: str = "") -> None:
        """No decision, no execution, no effect; where a refusal is recorded it has this rule and a reason."""
        await self.settle()
        assert self.cloud.effects == []
        assert self.count("decisions") == 0
        assert self.count("executions") == 0
        if refused_by:
            refusals = self.ledger_of("refused")
            assert refusals, "no refusal is recorded"
            assert refused_by in refusals[-1]["rule"]
            assert refusals[-1]["reason"]
            assert refused_by in self.told or refusals[-1]["reason"] in self.told
        if because:
            assert because in self.told
        assert await self.ledger_ok()


@pytest.fixture
async def make_edge(tmp_path: Path) -> AsyncIterator[Any]:
    made: list[Edge] = []

    async def make(**kw: Any) -> Edge:
        slack = await FakeSlack().start()
        edge = Edge(tmp_path / f"e{len(made)}.db", slack, **kw)
        made.append(edge)
        return await edge.open()

    yield make
    for edge in made:
        await edge.app.desk.drain()
        await edge.http.close()
        await edge.slack.server.close()
        await edge.db.close()
        assert edge.slack.wrong == []  # whatever was sent, Slack would take it


@pytest.fixture
async def edge(make_edge: Any) -> Edge:
    made: Edge = await make_edge()
    return made
