"""The real engine behind the desk of Teams: lamps as the cloud, four people with accounts, a local connector."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import web
from sqlalchemy import select

from bot.domain.findings import Resource, Severity
from bot.domain.ids import RandomIds
from bot.domain.plans import Risk
from bot.domain.principals import Actor, Platform, PlatformIdentity
from bot.engine import Engine
from bot.governance.people import People
from bot.governance.policy import Policy
from bot.intake.service import Intake
from bot.intake.stewardship import Stewardship
from bot.ports import Page
from bot.remediation.approval import Approvals
from bot.remediation.execution import Executor
from bot.remediation.planning import Planner
from bot.reports.board import Board
from bot.settings import Settings
from bot.store.database import Database
from bot.store.migrate import upgrade
from bot.store.tables import CauseRow, FindingRow, LedgerRow
from cards.lint_adaptive import problems
from handlers.teams.desk import TeamsDesk
from handlers.teams.directory import TeamsDirectory
from handlers.teams.wire import TeamsWire
from tests.unit.cards.test_adaptive import schema_problems
from tests.unit.narrative.kit import Mapper, lamp
from tests.unit.remediation.conftest import FakeClock, Lamps, OneBook
from tests.unit.remediation.standing_kit import BUILT_IN, IN_DEV, TaggedLamps

from .kit import checked, handed_on
from .test_wire import Connector
from .world import APP, CHANNEL, TENANT, activity, press

NAMES = {"olga": "Olga Owner", "ann": "Ann Approver", "abe": "Abe Approver", "nick": "Nick Newcomer"}
IDS = {name: f"{n:05x}000-0000-4000-8000-000000000001" for n, name in enumerate(NAMES, 1)}
MEMBERS = {name: f"29:{user[:5]}" for name, user in IDS.items()}
OUTSIDER = "fffff000-0000-4000-8000-000000000009"


class Tenant(Connector):
    """Knows its members by the ids this bot has for them; everything else is sent and numbered."""

    def __init__(self) -> None:
        super().__init__()
        self.people = {member: IDS[name] for name, member in MEMBERS.items()}
        self.looked: list[str] = []
        self.refuses: set[str] = set()  # paths that Teams says no to: the app is not installed there

    async def _take(self, request: web.Request) -> web.Response:
        if "/members/" in request.path:
            member = request.path.rpartition("/")[2]
            self.looked.append(member)
            if member not in self.people:
                return web.json_response({"error": {"code": "MemberNotFoundInConversation"}}, status=404)
            found = {"id": member, "aadObjectId": self.people[member], "userRole": "user", "tenantId": TENANT}
            return web.json_response(found)
        if request.path.removeprefix("/emea") in self.refuses:
            return web.json_response({"error": {"code": "BotNotInConversationRoster"}}, status=403)
        return await super()._take(request)


class Governed:
    """``governance`` are settings; ``policy`` is added to the built-in one."""

    def __init__(self, folder: Path, tenant: Tenant, wire: TeamsWire, url: str, policy: str, **governance: Any) -> None:
        database = f"sqlite:///{folder}/t.db"
        upgrade(database)
        self.tenant, self.url, self.clock, self.db = tenant, url, FakeClock(), Database(database)
        file = folder / "policy.cedar"
        file.write_text((Path(__file__).parents[3] / BUILT_IN).read_text("utf-8") + policy, "utf-8")
        owner = {"name": "Platform team", "channels": [f"teams:{CHANNEL}"]}
        self.settings = Settings(
            people={name: {"name": said, "teams": f"{TENANT}/{IDS[name]}", "team": "platform" if name == "olga" else ""}
                    for name, said in NAMES.items()},
            groups={"cloud-approvers": {"members": ["ann", "abe"]}},
            governance={"policies": file} | governance, routing={"owners": {"platform": owner}},
            teams={"enabled": True, "app_id": APP, "tenant": TENANT}, teams_app_password="x",
            model={"name": "stub-1"},  # never called: what it wrote is put into the database
        )  # fmt: skip
        catalog, self.cloud, ids = OneBook(TaggedLamps(Risk.LOW)), Lamps(), RandomIds()
        tools: Any = (self.clock, ids)
        directory: Any = TeamsDirectory(wire, self.db, self.settings, self.clock)
        loaded = Policy.load(self.settings.governance)
        people = People(self.db, self.settings, {Platform.TEAMS: directory}, *tools)
        planner = Planner(self.db, catalog, self.cloud, *tools, self.settings.governance)  # type: ignore[arg-type]
        self.engine = Engine(
            db=self.db, settings=self.settings, clock=self.clock, ids=ids, people=people, policy=loaded,
            board=Board(self.db, self.settings, catalog, self.clock, loaded, people),  # type: ignore[arg-type]
            intake=Intake(self.db, self.settings, catalog, *tools),  # type: ignore[arg-type]
            stewardship=Stewardship(self.db, self.settings, *tools, loaded), planner=planner,
            approvals=Approvals(self.db, planner, loaded, people, *tools),
            executor=Executor(self.db, catalog, self.cloud, loaded, people, *tools, "w1"),  # type: ignore[arg-type]
        )  # fmt: skip
        self.desk = TeamsDesk(self.engine, self.settings, wire, pace=0)
        self._number = 0

    # --- what happens ------------------------------------------------------------------------------------------------

    async def ingest(self, *names: str, severity: Severity = Severity.HIGH, env: str = "dev", **more: Any) -> str:
        """Lamps that are on; the cause of the first."""
        found = []
        for name in names:
            self.cloud.lamps.setdefault(name, {"on": True, "colour": "red"})
            tags = {"owner": "platform", "env": env, "auto-remediate": "true"}
            resource = Resource(uid=name, name=name, type="lamp", tags=tags)
            found.append(lamp(name, resource=resource, severity=severity, **more))
        run = await self.engine.intake.begin("test")
        await run.page(Mapper(), Page([json.loads(each.model_dump_json()) for each in found]))
        await run.finish()
        return str((await self.finding(names[0])).cause_id)

    async def come(self, what: dict[str, Any]) -> dict[str, Any]:
        return await handed_on(self.desk, what, self.url)

    async def press(
        self, who: str, verb: str, value: Mapping[str, Any], given: dict[str, str] | None = None, **more: Any
    ) -> dict[str, Any]:
        """What the person sees in place of the message; checked where it is a card. Each press is another one, unless
        ``id`` says which."""
        self._number += 1
        user = IDS.get(who, OUTSIDER)
        what = press(f"gh.{verb}", dict(value), user, given, **({"id": f"i-{self._number}"} | more))
        return checked(await self.come(what))

    async def say(self, who: str, text: str, *, mentions: Mapping[str, str] | None = None) -> dict[str, Any]:
        """The card that answers what was typed: in the 1:1 chat, or in a channel where somebody is mentioned."""
        self._number += 1
        more: dict[str, Any] = {"id": f"m-{self._number}", "text": text}
        if mentions is None:
            more |= {"conversation": {"conversationType": "personal", "id": f"a:{who}"},
                     "channelData": {"tenant": {"id": TENANT}}}  # fmt: skip
        else:
            us = {"type": "mention", "text": "<at>Gatehouse</at>", "mentioned": {"id": f"28:{APP}"}}
            others = [
                {"type": "mention", "text": f"<at>{name}</at>", "mentioned": {"id": member, "name": name}}
                for member, name in mentions.items()
            ]
            more |= {"text": f"<at>Gatehouse</at> {text}", "entities": [us, *others]}
        await self.come(activity(user=IDS.get(who, OUTSIDER), **more))
        content = next(
            body["attachments"][0]["content"]
            for _, _, body, _ in reversed(self.tenant.asked)
            if body and body.get("attachments")
        )
        assert problems(content) == schema_problems(content) == []
        return {"type": "application/vnd.microsoft.card.adaptive", "value": content}

    # --- what is so --------------------------------------------------------------------------------------------------

    async def actor(self, who: str) -> Actor:
        return await self.engine.people.actor(
            PlatformIdentity(platform=Platform.TEAMS, tenant=TENANT, user=IDS.get(who, OUTSIDER))
        )

    async def finding(self, name: str) -> Any:
        table = FindingRow.__table__  # type: ignore[attr-defined]
        return await self.db.read(lambda conn: conn.execute(select(table).where(table.c.resource_uid == name)).one())

    async def cause_row(self, cause: str) -> Any:
        table = CauseRow.__table__  # type: ignore[attr-defined]
        return await self.db.read(lambda conn: conn.execute(select(table).where(table.c.id == cause)).one())

    async def kinds(self) -> list[str]:
        table = LedgerRow.__table__  # type: ignore[attr-defined]
        return await self.db.read(lambda conn: list(conn.execute(select(table.c.kind).order_by(table.c.seq)).scalars()))

    async def journal(self) -> list[tuple[str, str]]:
        rows = await self.db.read(lambda conn: conn.exec_driver_sql("SELECT kind, state FROM clicks").all())
        return [(row[0], row[1]) for row in rows]


@asynccontextmanager
async def governing(folder: Path, policy: str = IN_DEV, **governance: Any) -> AsyncIterator[Governed]:
    tenant = Tenant()
    async with tenant.serving() as (wire, url):
        made = Governed(folder, tenant, wire, url, policy, **governance)
        for name in NAMES:  # everybody was in the channel once
            await made.come(activity("conversationUpdate", IDS[name]))
        yield made
        await made.desk.drain()
        await made.db.close()


def text(answer: Mapping[str, Any]) -> str:
    """All words of it."""
    return json.dumps(answer, ensure_ascii=False)


def head(answer: Mapping[str, Any]) -> str:
    return str(answer["value"]["fallbackText"])


def actions(answer: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Every button of the card, in its body and below it."""

    def walk(thing: Any) -> list[dict[str, Any]]:
        if isinstance(thing, list):
            return [found for each in thing for found in walk(each)]
        if not isinstance(thing, dict):
            return []
        own = [thing] if str(thing.get("type", "")).startswith("Action.") else []
        return own + [found for key, each in thing.items() if key != "refresh" for found in walk(each)]

    return walk(answer["value"])


def value(answer: Mapping[str, Any], verb: str) -> dict[str, Any]:
    """The ids the first button of this verb would send."""
    for action in actions(answer):
        if action.get("verb") == f"gh.{verb}":
            return dict(json.loads(action["data"]["gh"] or "{}"))
    raise AssertionError(f"no button {verb} among {[a.get('verb') or a.get('url') for a in actions(answer)]}")


def verbs(answer: Mapping[str, Any]) -> set[str]:
    return {str(action["verb"]).removeprefix("gh.") for action in actions(answer) if "verb" in action}


def inputs(answer: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    return {e["id"]: e for e in answer["value"]["body"] if str(e.get("type", "")).startswith("Input.")}
