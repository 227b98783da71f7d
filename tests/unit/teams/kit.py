"""A desk of Teams over recorded services, a local connector, and what a person would see."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from bot.ask.service import Ask
from bot.domain.ids import RandomIds
from bot.governance.policy import Policy
from bot.reports.about import About
from bot.reports.answers import Answers
from bot.reports.sight import Sight
from bot.reports.turns import StoredTurns
from bot.settings import Settings
from bot.store.database import Database
from bot.store.migrate import upgrade
from cards.lint_adaptive import problems
from handlers.teams.desk import TeamsDesk
from handlers.teams.payloads import origin_of
from tests.unit.cards.test_adaptive import schema_problems
from tests.unit.slack.fakes import Services

from .test_wire import Clock, Connector
from .world import press, settings


async def handed_on(desk: TeamsDesk, what: dict[str, Any], url: str) -> dict[str, Any]:
    """As the door does it."""
    what = {**what, "serviceUrl": url}
    origin = origin_of(what)
    await desk.seen(origin, what)
    if what["type"] == "invoke":
        return await desk.invoked(origin, what)
    if what["type"] == "message":
        await desk.said(origin, what)
        await desk.drain()
    return {}


def checked(answer: dict[str, Any]) -> dict[str, Any]:
    """The answer to a press, where it is a card one that Teams takes."""
    assert answer["statusCode"] == 200
    if answer["type"].endswith("card.adaptive"):
        assert problems(answer["value"]) == schema_problems(answer["value"]) == []
    return answer


@dataclass
class World:
    connector: Connector
    url: str
    db: Database
    services: Services
    desk: TeamsDesk

    async def come(self, what: dict[str, Any]) -> dict[str, Any]:
        return await handed_on(self.desk, what, self.url)

    async def press(self, verb: str, value: dict[str, Any], given: dict[str, str] | None = None,
                    **more: Any) -> dict[str, Any]:  # fmt: skip
        """The card the person sees, checked."""
        return checked(await self.come(press(verb, value, given=given, **more)))

    def clicks(self) -> list[tuple[str, str]]:
        rows = self.db.read_sync(lambda conn: conn.exec_driver_sql("SELECT kind, state FROM clicks").all())
        return [(row[0], row[1]) for row in rows]


def said(answer: dict[str, Any]) -> str:
    return json.dumps(answer, ensure_ascii=False)


def button(answer: dict[str, Any], verb: str) -> dict[str, Any]:
    """The ids a button of the card would send."""
    for action in answer["value"].get("actions", []):
        if action.get("verb") == verb:
            return json.loads(action["data"]["gh"])  # type: ignore[no-any-return]
    raise AssertionError(f"no button {verb}")


@asynccontextmanager
async def recorded(tmp_path: Path, connector: Any = None, clock: Any = None, **more: Any) -> AsyncIterator[World]:
    url = f"sqlite:///{tmp_path}/t.db"
    upgrade(url)
    db, services, connector = Database(url), Services(), connector or Connector()
    base = settings("http://127.0.0.1:9/oidc")
    more = {"routing": {"owners": {"payments": {"name": "Payments"}}}} | more
    made = Settings(teams=base.teams, teams_app_password="x", **more)
    engine: Any = SimpleNamespace(
        db=db, settings=made, clock=clock or Clock(), ids=RandomIds(), board=services,
        people=services, policy=Policy.load(made.governance), rights=services,
        approvals=services, stewardship=services, issues=services,
        controls=services,
        delegations=services, whys=services,
    )  # fmt: skip
    engine.sight = Sight(db, made, services, services)
    turns = StoredTurns(db, engine.clock)
    questions, about = Ask(db, made, engine.clock, turns), About(services, services)  # type: ignore[arg-type]
    engine.answers = Answers(db, made, questions, about, turns, engine.clock, RandomIds(), engine.sight)
    async with connector.serving() as (wire, service_url):
        yield World(connector, service_url, db, services, TeamsDesk(engine, made, wire, pace=0))
    await db.close()
