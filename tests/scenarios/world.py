"""The world of the scenarios: the real engine and simulated AWS, one company, people with an account on both platforms.

It is built once a session: AWS, a database with findings, every card posted on both platforms. Each run begins with a
copy of that, the same clock and the same ids, so that two runs differ only by where people acted.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import random
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from sqlalchemy import Connection, select

from bot.composition import build_engine, ingest_file
from bot.delivery import Deliverer
from bot.domain.errors import GatehouseError
from bot.domain.principals import Platform, PlatformIdentity
from bot.engine import Engine
from bot.intake.attention import Attention
from bot.remediation.catalog import Catalog, builtin_catalog, write_operations
from bot.sandbox import slack as company_slack
from bot.sandbox.aws import PROD, SimulatedAws, cloud_environment
from bot.sandbox.company import build
from bot.sandbox.scan import unpack_recorded
from bot.sandbox.world import settings_of
from bot.settings import Settings
from bot.store import model_calls, narratives, plans
from bot.store.database import Database
from bot.store.findings import FINDINGS
from bot.store.outbox import POSTS
from connectors.aws import AwsClouds
from handlers.slack.app import GatehouseApp, build_app
from handlers.slack.connection import SlackConnection
from handlers.slack.directory import SlackDirectory
from handlers.slack.poster import SlackPoster
from handlers.teams.connection import TeamsSide
from handlers.teams.desk import TeamsDesk
from handlers.teams.payloads import origin_of
from handlers.teams.seam import TeamsSeam
from tests.unit.slack.fakes import SECRET
from tests.unit.teams.world import APP, TENANT

from .fakes import BEGIN, Estate, Numbered, Slack, StepClock, Tenant
from .people import PEOPLE, Person, channel_of
from .rows import rows_of
from .script import DIGEST, GLASS
from .shown import Shown, noted

BEGIN_DB = "begin.db"
ROOT = Path(__file__).parents[2]
BOT_IN_SLACK = "U0BOT"

# What scenarios are about: playbook, environment, owner.
CAUSES = {
    "bucket": ("s3-block-public-access", "dev", ""),
    "shop": ("s3-block-public-access", "prod", "web"),
    "payments": ("s3-block-public-access", "prod", "payments"),
    "keys": ("kms-rotation", "prod", "platform"),
    "devkeys": ("kms-rotation", "dev", ""),
    "topic": ("sns-remove-public-policy", "prod", "payments"),
    "tables": ("dynamodb-pitr", "prod", "web"),
}
SECURITY = (company_slack.SECURITY.id, "19:security@thread.tacv2")  # where operators look
GLASS_GROUP = "on-call"
ANYWHERE = """
@id("approvers-may-pre-approve")
permit (principal in Group::"cloud-approvers", action == Action::"pre_approve", resource);
"""


def made_settings(folder: Path, endpoint: str, slack_api: str, service_url: str) -> Settings:
    """Acme's settings with both platforms, a rule of two approvers who type, and a way to break the glass."""
    shape: dict[str, Any] = settings_of(folder=folder, endpoint=endpoint, api=slack_api, port=1, cards_per_interval=6)
    shape["slack"] |= {"mode": "http"}
    for key, owner in shape["routing"]["owners"].items():
        owner["channels"].append(f"teams:{channel_of(key)}")
    shape["routing"]["fallback"].append(f"teams:{channel_of('security')}")
    policy = folder / "policy.cedar"
    policy.write_text((ROOT / "bot/governance/gatehouse.cedar").read_text("utf-8") + ANYWHERE, "utf-8")
    approvers: dict[str, Any] = {"groups": ["cloud-approvers"]}
    shape["governance"] = {
        "policies": policy,
        "rules": [
            {"name": "keys of production", "match": {"environment": "prod", "playbook": "kms-*"}, "quorum": 2,
             "typed_confirmation": True, "break_glass": True, "break_glass_groups": [GLASS_GROUP], **approvers},
            {"name": "any other change", "quorum": 1, **approvers},
        ],
        "standing": {"quorum": 2},
    }  # fmt: skip
    shape["people"]["carol"] = {"name": "Carol Chen", "team": "payments", "slack": f"{company_slack.TEAM}/U06CAROL"}
    for key, person in shape["people"].items():
        person["teams"] = f"{TENANT}/{PEOPLE[key].teams}"
    shape["groups"] = {
        "cloud-approvers": {"members": ["alice", "bob"], "slack": "S01APPROVERS"},
        GLASS_GROUP: {"members": ["olivia", "bob"]},
    }
    shape["model"] = {"name": "stub-1", "base_url": "http://127.0.0.1:9", "questions": False}
    shape["teams"] = {"enabled": True, "app_id": APP, "tenant": TENANT, "service_url": service_url}
    return Settings(**shape, teams_app_password="x", slack_signing_secret=SECRET)


def slack_user(person: Person) -> dict[str, Any]:
    return {"id": person.slack, "team_id": company_slack.TEAM, "deleted": False, "name": person.key,
            "real_name": person.name, "is_restricted": person.guest, "locale": "en-US", "tz": "Etc/UTC"}  # fmt: skip


@dataclass
class Services:
    """What is wired over one database file."""

    settings: Settings
    engine: Engine
    clock: StepClock
    ids: Numbered
    app: GatehouseApp
    side: TeamsSide
    desk: TeamsDesk
    deliverer: Deliverer

    async def settle(self) -> None:
        """Carry out and send what waits."""
        for _ in range(50):
            if not await self.engine.executor.work_once() + await self.deliverer.work_once():
                return
        raise AssertionError("it does not come to rest")

    async def close(self) -> None:
        await self.app.desk.drain()
        await self.desk.drain()
        await self.side.close()


@dataclass(frozen=True, slots=True)
class Shared:
    """What is dear to make and keeps nothing of a run: playbooks, and logins of AWS."""

    catalog: Catalog
    clouds: AwsClouds


def _token() -> str:
    return "t"


def wired(settings: Settings, slack: Slack, clock: StepClock, ids: Numbered, shared: Shared) -> Services:
    side = TeamsSide(settings, TeamsSeam(settings, read_token=_token), clock)
    client = slack.client()
    engine = build_engine(
        settings, clock=clock, ids=ids, worker="w", catalog=shared.catalog, clouds=shared.clouds,
        directories={Platform.SLACK: SlackDirectory(client, settings, clock), Platform.TEAMS: side.directory},
    )  # fmt: skip
    posters = {"slack": SlackPoster(client), "teams": side.attach(engine.db, engine)}
    deliverer = Deliverer(
        engine.db, engine.board, posters, clock, "w", ids, pace_seconds=0, rng=random.Random(1)  # type: ignore[arg-type]
    )  # fmt: skip
    app = build_app(engine, settings, client)
    desk = TeamsDesk(engine, settings, side.wire, pace=0, patience=60)
    return Services(settings, engine, clock, ids, app, side, desk, deliverer)


@dataclass
class Lab:
    """The session's part: servers, and the beginning every run is copied from."""

    folder: Path
    aws: SimulatedAws
    slack: Slack
    tenant: Tenant
    service_url: str
    settings: Settings
    causes: dict[str, str] = field(default_factory=dict)  # name -> id
    shared: Shared | None = None
    db: Database | None = None
    names: dict[str, str] = field(default_factory=dict)  # what {…} in a script stands for
    begun: dict[str, set[Any]] = field(default_factory=dict)  # table -> its rows at the beginning
    kept: dict[str, Any] = field(default_factory=dict)
    clouds: Any = None
    played: dict[tuple[str, str], Any] = field(default_factory=dict)
    pressed: dict[str, set[str]] = field(default_factory=lambda: {"slack": set(), "teams": set()})
    shown: Shown = field(default_factory=Shown)

    def at(self, path: Path) -> Settings:
        return self.settings.model_copy(update={"database_url": type(self.settings.database_url)(f"sqlite:///{path}")})

    def _wired(self, path: Path, clock: StepClock, ids: Numbered) -> Services:
        if self.shared is None:
            clouds = AwsClouds(self.settings.aws, write_operations=write_operations())
            self.shared = Shared(builtin_catalog(), clouds)
        if path.name == BEGIN_DB:
            return wired(self.at(path), self.slack, clock, ids, self.shared)
        if self.db is None:
            self.db = Database(f"sqlite:///{path}")
        opened = self.db  # one for all runs: what SQLAlchemy compiles is kept by the engine
        with (
            patch("bot.store.migrate.upgrade"),  # the copy has the schema
            patch("bot.store.database.Database", side_effect=lambda _: opened),
        ):
            return wired(self.at(path), self.slack, clock, ids, self.shared)

    async def begin(self) -> None:
        """Findings in, every card out, everybody seen once."""
        start = self.folder / BEGIN_DB
        clock, ids = StepClock(), Numbered()
        made = self._wired(start, clock, ids)
        for person in PEOPLE.values():
            what = {
                "type": "conversationUpdate", "id": f"hello-{person.key}", "serviceUrl": self.service_url,
                "from": {"id": person.member, "aadObjectId": person.teams}, "recipient": {"id": f"28:{APP}"},
                "conversation": {"id": person.chat, "conversationType": "personal"},
                "channelData": {"tenant": {"id": TENANT}}, "membersAdded": [{"id": f"28:{APP}"}],
            }  # fmt: skip
            await made.desk.seen(origin_of(what), what)
        for file in sorted((self.folder / "findings").iterdir()):
            await ingest_file(made.engine, "prowler", file)
        await ingest_file(made.engine, "ocsf", self._witness())
        await made.settle()
        c = plans.CAUSES.c
        for name, (playbook, environment, owner) in CAUSES.items():
            query = select(c.id).where(c.playbook == playbook, c.environment == environment, c.owner == owner)
            found = await made.engine.db.read(_rows, query)
            assert len(found) == 1, (name, found)
            self.causes[name] = str(found[0].id)
        rows = await made.engine.db.read(
            _rows, select(FINDINGS.c.id).where(FINDINGS.c.cause_id == self.causes["bucket"])
        )
        self.names = {**self.causes, "finding": min(row.id for row in rows)}
        await made.engine.db.write(_prose, self.causes["bucket"])
        await made.settle()
        views = [await made.engine.board.cause(cause) for cause in self.causes.values()]
        self.begun = {table: set(map(tuple, rows)) for table, rows in (await made.engine.db.read(rows_of)).items()}
        await made.close()
        await made.engine.db.close()
        self.kept = {
            "slack": self.slack.messages, "teams": self.tenant.messages, "at": clock.at, "counts": ids.counts,
            "number": self.tenant.number, "slack number": self.slack._number,
        }  # fmt: skip
        names = {each.name for view in views for each in view.resources}
        self.clouds = Estate(self.aws, names)
        await asyncio.to_thread(self.clouds.note)

    def _witness(self) -> Path:
        """What another scanner says of the shop's bucket: once the same problem, once something else."""
        scan = json.loads((self.folder / "findings" / f"prowler-{PROD}.ocsf.json").read_text("utf-8"))
        about = next(
            each for each in scan
            if each["metadata"]["event_code"] == "s3_bucket_level_public_access_block" and each["status_code"] == "FAIL"
            and each["resources"][0]["name"].endswith("shop-assets")
        )  # fmt: skip
        told = []
        for number, title in enumerate(("S3 bucket Block Public Access disabled", "Anybody reads this bucket"), 1):
            info = {"title": title, "uid": f"lens-{number}", "desc": title, "analytic": {"uid": f"lens-{number}"}}
            told.append(
                about | {"metadata": {"version": "1.5.0", "product": {"name": "Lens", "uid": "lens"}}, "unmapped": {},
                         "finding_info": about["finding_info"] | info, "status_detail": title, "message": title}
            )  # fmt: skip
        path = self.folder / "lens.ocsf.json"
        path.write_text(json.dumps(told), "utf-8")
        return path

    @asynccontextmanager
    async def run(self) -> AsyncIterator[Run]:
        """A fresh beginning."""
        path = self.folder / "run.db"
        with sqlite3.connect(self.folder / BEGIN_DB) as source, sqlite3.connect(path) as target:
            source.backup(target)
        kept = self.kept
        self.slack.messages, self.tenant.messages = dict(kept["slack"]), dict(kept["teams"])
        self.slack._number, self.tenant.number = kept["slack number"], kept["number"]
        for log in (self.slack.log, self.tenant.log, self.slack.calls):
            log.clear()
        self.tenant.gone, self.tenant.odd = set(), {}
        ids = Numbered()
        ids.counts = Counter(kept["counts"])
        services = self._wired(path, StepClock(kept["at"]), ids)
        site = web.Application()
        site.add_routes(SlackConnection(services.app, services.settings).routes())
        async with TestClient(TestServer(site)) as http:
            try:
                yield Run(self, services, http)
            finally:
                await services.close()
                await asyncio.to_thread(self.clouds.restore)
        assert self.slack.wrong == self.tenant.wrong == []


def _prose(conn: Connection, cause: str) -> None:
    """A narrative stands on this cause, made by a model."""
    call, said = "call-n000001", "Anybody on the internet can list this bucket."
    row = {
        "id": call, "at": BEGIN, "purpose": "narrative", "subject": cause, "key": "k", "endpoint": "localhost",
        "model": "stub-1", "input": json.dumps([["system", "the rules"], ["user", "the facts"]]), "output": said,
        "why": "", "cost_micros": None, "milliseconds": 5, "repairs": "",
    }  # fmt: skip
    assert model_calls.begin(conn, row, reserve=10, limit=1000)
    model_calls.end(conn, call, BEGIN, reserved=10, state="ok", input_tokens=5, output_tokens=2)
    narratives.claim(conn, "w", BEGIN, 500)
    body = {"risk": said, "root_cause": "It was made so.", "exploitability": "Easy.", "steps": ["Block it."],
            "duplicates": []}  # fmt: skip
    assert narratives.record(
        conn, cause, "w", state="done", body=json.dumps(body), call_id=call, model="stub-1", made_at=BEGIN
    )


def _rows(conn: Connection, query: Any) -> list[Any]:
    return list(conn.execute(query).all())


@dataclass
class Run:
    """One run of one scenario: its own database, the session's servers."""

    lab: Lab
    services: Services
    http: TestClient[Any, Any]
    agreed: dict[tuple[str, str], tuple[Any, ...]] = field(default_factory=dict)  # posts that were found to agree
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))  # of deliveries

    @property
    def engine(self) -> Engine:
        return self.services.engine

    async def stands(self, on: str, platform: str) -> tuple[str, str]:
        """Where what a step is on stands: a broken glass, a digest, or a cause by its name here."""
        kind = {GLASS: "glass", DIGEST: "digest"}.get(on, "cause")
        return await self.posted(kind, self.lab.causes[on] if kind == "cause" else "", platform)

    async def posted(self, kind: str, subject: str, platform: str) -> tuple[str, str]:
        """Channel and message of a post."""
        p = POSTS.c
        query = select(p.channel, p.message_id).where(p.kind == kind, p.platform == platform)
        query = query.where(p.subject == subject) if subject else query.where(p.channel.in_(SECURITY))
        rows = await self.engine.db.read(lambda conn: conn.execute(query.order_by(p.posted_at.desc())).all())
        assert rows, f"no {kind} of {subject or 'anything'} stands in {platform}"
        return str(rows[0].channel), str(rows[0].message_id)

    async def _ask(self, number: int) -> None:
        """Carol asks for what can be fixed, without anybody seeing it: that is another scenario's."""
        c, asked = plans.CAUSES.c, 0
        query = select(c.id).where(c.playbook != "", c.state == "open").order_by(c.id)
        who = PlatformIdentity(platform=Platform.SLACK, tenant=company_slack.TEAM, user=PEOPLE["carol"].slack)
        actor = await self.engine.people.actor(who)
        for row in await self.engine.db.read(_rows, query):
            if asked == number:
                return
            with suppress(GatehouseError):  # the simulated AWS does not know every service in full
                view = await self.engine.approvals.look(row.id, actor)
                await self.engine.approvals.ask(view.plan.id, view.plan_hash, actor, "please", click=f"test:{asked}")
                asked += 1
        raise AssertionError(f"only {asked} fixes could be asked for")

    async def meanwhile(self, what: str, number: float) -> None:
        engine, clock = self.engine, self.services.clock
        match what:
            case "minutes" | "hours":
                clock.pass_(**{what: number})
            case "standings":
                await engine.standings.tick()
            case "expire":
                await engine.approvals.expire_due()
            case "wake":
                await engine.stewardship.wake_due()
            case "daily":
                await Attention(engine.db, self.services.settings, clock, self.services.ids).tick()
            case "ask":
                await self._ask(int(number))
            case "by hand":
                view = await engine.board.cause(self.lab.causes["keys"])
                await asyncio.to_thread(self.lab.clouds.by_hand, view.resources[0].uid)
            case "scan":
                for file in sorted((self.lab.folder / "findings").iterdir()):
                    await ingest_file(engine, "prowler", file)
            case _:
                raise AssertionError(what)
        await self.services.settle()


@asynccontextmanager
async def laboratory(folder: Path) -> AsyncIterator[Lab]:
    slack, tenant = Slack(), Tenant()
    await slack.start()
    slack.users = {person.slack: slack_user(person) for person in PEOPLE.values()}
    inside = [person.slack for person in PEOPLE.values() if not person.guest]
    slack.members = {each.id: [*inside, BOT_IN_SLACK] for each in company_slack.CHANNELS}
    slack.members[company_slack.PAYMENTS.id].append(PEOPLE["oscar"].slack)
    slack.users[BOT_IN_SLACK] = {"id": BOT_IN_SLACK, "team_id": company_slack.TEAM, "is_bot": True}
    slack.groups = {"S01APPROVERS": [PEOPLE[key].slack for key in ("alice", "bob", "oscar")]}
    async with SimulatedAws() as aws, tenant.serving() as service_url:
        with patch.dict(os.environ, cloud_environment(aws.endpoint)):
            await asyncio.to_thread(build, aws.endpoint, lambda _: None)
            unpack_recorded(folder / "findings")
            settings = made_settings(folder, aws.endpoint, str(slack.server.make_url("/api/")), service_url)
            lab = Lab(folder, aws, slack, tenant, service_url, settings)
            with noted(lab.shown):
                await lab.begin()
        with noted(lab.shown):
            yield lab
        if lab.db is not None:
            await lab.db.close()
    await slack.server.close()
