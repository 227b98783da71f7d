"""A Slack Web API that records, is strict about blocks and fails on demand; small fakes of the engine's services."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlencode

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from slack_sdk.signature import SignatureVerifier
from slack_sdk.web.async_client import AsyncWebClient

from bot.ask.service import Ask
from bot.domain.decisions import ApprovalRule, Choice, RequestState
from bot.domain.errors import Denied
from bot.domain.findings import Severity
from bot.domain.ids import RandomIds
from bot.domain.plans import BlastRadius, Call, Change, Plan, PlanKind, Reversibility, Risk, Target
from bot.domain.principals import Actor, PlatformIdentity, Principal, Standing
from bot.domain.triage import Priority, Ssvc
from bot.domain.views import (
    CauseRights,
    CauseView,
    DelegationLine,
    FactLine,
    FindingLine,
    FindingsView,
    HomeView,
    Notice,
    Option,
    OptionView,
    PersonRef,
    PlanView,
    RequestView,
    Stage,
    StatusView,
    WhyView,
)
from bot.reports.about import About
from bot.reports.answers import Answers
from bot.reports.filters import parse_filters
from bot.reports.sight import Sight
from bot.reports.turns import StoredTurns
from bot.settings import Settings
from bot.store.database import Database
from bot.store.tables import metadata
from cards.lint import problems
from handlers.slack.app import GatehouseApp, build_app
from handlers.slack.connection import SlackConnection

SECRET = "test-signing-secret"
TEAM, ALICE, CHANNEL = "T01ACME", "U01ALICE", "C02SEC"
UNUSED = "https://unused.example"
NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)


class Clock:
    def __init__(self) -> None:
        self.at = NOW

    def now(self) -> datetime:
        return self.at

    def forward(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


class FakeSlack:
    """``calls`` are (method, arguments); ``fail[method]`` is a queue of (status, body, headers) answered first."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.wrong: list[str] = []
        self.fail: dict[str, list[tuple[int, dict[str, Any] | str, dict[str, str]]]] = defaultdict(list)
        self.users: dict[str, dict[str, Any]] = {
            ALICE: {"id": ALICE, "team_id": TEAM},
            "U0BOT": {"id": "U0BOT", "team_id": TEAM, "is_bot": True},
        }
        self.groups: dict[str, list[str]] = {}
        self.members: dict[str, list[str]] = {}  # of a channel
        self.responses: list[dict[str, Any]] = []
        self._number = 0
        app = web.Application()
        app.router.add_post("/api/{method}", self._api)
        app.router.add_get("/api/{method}", self._api)
        app.router.add_post("/respond", self._respond)
        app.router.add_post("/upload", self._upload)
        self.uploads: list[bytes] = []
        self.streams: dict[str, dict[str, Any]] = {}  # ts -> channel, chunks, blocks, open
        self.server = TestServer(app)

    async def start(self) -> FakeSlack:
        await self.server.start_server()
        return self

    def client(self) -> AsyncWebClient:
        made = AsyncWebClient(token="xoxb-test", base_url=str(self.server.make_url("/api/")), timeout=3)
        made.retry_handlers.clear()
        return made

    def named(self, method: str) -> list[dict[str, Any]]:
        return [arguments for name, arguments in self.calls if name == method]

    async def _respond(self, request: web.Request) -> web.Response:
        self.responses.append(await request.json())
        return web.Response(text="ok")

    async def _upload(self, request: web.Request) -> web.Response:
        self.uploads.append(await request.read())
        return web.Response(text="OK")

    async def _api(self, request: web.Request) -> web.Response:
        method = request.match_info["method"]
        if request.content_type == "application/json":
            given = await request.json()
        else:
            given = dict(await request.post()) | dict(request.query)
        for key in ("blocks", "view", "metadata", "chunks", "prompts", "files"):
            if isinstance(given.get(key), str):
                given[key] = json.loads(given[key])
        if method != "auth.test":
            self.calls.append((method, given))
        if self.fail[method]:
            status, body, headers = self.fail[method].pop(0)
            if isinstance(body, str):
                return web.Response(status=status, text=body, headers=headers)
            return web.json_response(body, status=status, headers=headers)
        return web.json_response(self._answer(method, given))

    def _answer(self, method: str, given: dict[str, Any]) -> dict[str, Any]:
        self._number += 1
        match method:
            case "auth.test":
                return {
                    "ok": True,
                    "team_id": TEAM,
                    "user_id": "U0BOT",
                    "bot_id": "B0BOT",
                    "url": "https://acme.slack.com/",
                }
            case "chat.postMessage" | "chat.update" | "chat.postEphemeral":
                self.wrong += problems({k: given[k] for k in ("text", "blocks")}, "message")
                return {"ok": True, "ts": f"1795.{self._number:06}", "channel": given["channel"], "message_ts": "1"}
            case "chat.startStream":
                ts = f"1796.{self._number:06}"
                chunks = list(given.get("chunks") or ())
                self.streams[ts] = {"channel": given["channel"], "chunks": chunks, "blocks": None, "open": True}
                return {"ok": True, "ts": ts, "channel": given["channel"]}
            case "chat.appendStream" | "chat.stopStream":
                stream = self.streams.get(given["ts"])
                if stream is None or not stream["open"]:
                    return {"ok": False, "error": "message_not_in_streaming_state"}
                stream["chunks"] += given.get("chunks") or []
                if method == "chat.stopStream":
                    stream |= {"open": False, "blocks": given["blocks"]}
                    self.wrong += problems({"text": "streamed", "blocks": given["blocks"]}, "message")
                return {"ok": True, "ts": given["ts"], "channel": given["channel"]}
            case "assistant.threads.setStatus" | "assistant.threads.setSuggestedPrompts":
                return {"ok": True}
            case "files.getUploadURLExternal":
                return {"ok": True, "upload_url": str(self.server.make_url("/upload")), "file_id": "F1"}
            case "files.completeUploadExternal":
                return {"ok": True, "files": [{"id": "F1"}]}
            case "views.open" | "views.push" | "views.update" | "views.publish":
                self.wrong += problems(given["view"], "home" if method == "views.publish" else "modal")
                return {"ok": True, "view": {"id": given.get("view_id") or f"V{self._number}"}}
            case "conversations.open":
                return {"ok": True, "channel": {"id": f"D{given['users']}"}}
            case "conversations.members":
                members = self.members.get(given["channel"], [ALICE, "U0BOT"])
                more = {"next_cursor": "b"} if len(members) > int(given.get("limit", 100)) else {"next_cursor": ""}
                page = members[: int(given.get("limit", 100))]
                return {"ok": True, "members": page, "response_metadata": more}
            case "users.info":
                user = self.users.get(given["user"])
                return {"ok": True, "user": user} if user else {"ok": False, "error": "user_not_found"}
            case "usergroups.users.list":
                users = self.groups.get(given["usergroup"])
                return {"ok": True, "users": users} if users is not None else {"ok": False, "error": "no_such_subteam"}
        return {"ok": False, "error": "unknown_method"}


def plan_view(*options: OptionView, request: RequestView | None = None, typed: bool = False) -> PlanView:
    target = Target(provider="aws", account="1", region="eu-west-1", kind="s3_bucket", uid="arn:aws:s3:::x", name="x")
    call = Call(provider="aws", account="1", region="eu-west-1", service="s3", operation="put_it", params={})
    change = Change(
        summary="Block public access", target=target, before={"Block": None}, after={"Block": True}, call=call
    )
    plan = Plan(
        id="plan-1",
        kind=PlanKind.FIX,
        playbook="s3",
        playbook_version=1,
        title="Block public access to a bucket",
        cause_id="c-1",
        finding_ids=("f-1",),
        targets=(target,),
        changes=(change,),
        fingerprint="f",
        pre_image={},
        blast_radius=BlastRadius(resources=3, accounts=1, summary="3 buckets"),
        reversibility=Reversibility.EXACT,
        risk=Risk.LOW,
        environment="prod",
        created_at=NOW,
        expires_at=NOW,
    )
    rule = ApprovalRule(name="default", typed_confirmation=typed)
    return PlanView(
        cause_id="c-1",
        cause_title="Public bucket",
        plan=plan,
        plan_hash="a" * 64,
        rule=rule,
        could=("Bob Brown",),
        expires_at=NOW,
        request=request,
        options=options,
    )


def request_view(state: RequestState = RequestState.PENDING) -> RequestView:
    return RequestView(
        id="req-1",
        cause_id="c-1",
        cause_title="Public bucket",
        plan_id="plan-1",
        plan_hash="a" * 64,
        plan_title="Block",
        kind=PlanKind.FIX,
        state=state,
        rule=ApprovalRule(name="default"),
        revision=4,
        could=("Bob Brown",),
        requested_by=PersonRef(id="alice", name="Alice"),
        requested_at=NOW,
        expires_at=NOW,
    )


def cause_view(**more: Any) -> CauseView:
    base: dict[str, Any] = {
        "id": "c-1",
        "revision": 7,
        "stage": Stage.OPEN,
        "title": "Public bucket",
        "what": "Anyone can read it.",
        "priority": Priority.P1,
        "decision": Ssvc.ACT,
        "severity": Severity.CRITICAL,
        "first_seen": NOW,
        "playbook": "s3",
    }
    return CauseView(**(base | more))


@dataclass
class Services:
    """Records what handlers ask of the engine; ``raises[name]`` is raised instead of answering."""

    calls: list[tuple[Any, ...]] = field(default_factory=list)
    raises: dict[str, Exception] = field(default_factory=dict)
    plan: PlanView = field(default_factory=lambda: plan_view(OptionView(option=Option.ASK, allowed=True)))
    state: RequestState = RequestState.PENDING
    forbidden: set[str] = field(default_factory=set)
    total: int = 0  # how many findings there are
    clicks: list[str] = field(default_factory=list)  # the identities of clicks handed on with ``ask``
    parse_filters = staticmethod(parse_filters)
    guest: bool = False  # who clicks and asks
    team: str | None = None
    role: str = ""

    def _said(self, name: str, *given: Any) -> None:
        shown = tuple(g.principal.id if isinstance(g, Actor) else g for g in given)
        self.calls.append((name, *shown))
        if name in self.raises:
            raise self.raises[name]

    def did(self, name: str) -> list[tuple[Any, ...]]:
        return [call for call in self.calls if call[0] == name]

    async def actor(self, identity: PlatformIdentity) -> Actor:
        external = identity.tenant != TEAM
        standing = Standing(active=True, guest=self.guest, external=external, bot=False, checked_at=NOW)
        principal = Principal(id=f"{identity.tenant}/{identity.user}", name="Alice", team=self.team, role=self.role)
        return Actor(principal=principal, identity=identity, standing=standing)

    def remembered(self, identity: PlatformIdentity) -> Actor | None:
        if self.guest:
            return None
        principal = Principal(id=f"{identity.tenant}/{identity.user}", name="Alice")
        standing = Standing(active=True, guest=False, external=False, bot=False, checked_at=NOW)
        return Actor(principal=principal, identity=identity, standing=standing)

    async def of(self, view: CauseView, actor: Actor) -> CauseRights:
        """Rights': what the plan's options say."""
        may = tuple(o.option for o in self.plan.options if o.allowed)
        return CauseRights(cause_id=view.id, revision=view.revision, may=may, pass_on=True, snooze=True)

    async def require(self, cause_id: str, actor: Actor, action: str) -> None:
        """Stewardship's: refuses what stands in ``forbidden``."""
        if action in self.forbidden:
            raise Denied(f"no policy lets {actor.principal.name} {action}", rule="guard-stranger", could=("Bob",))

    async def cause(self, cause_id: str) -> CauseView:
        self._said("cause", cause_id)
        return cause_view(id=cause_id)

    async def finding(self, finding_id: str, seen: Any = None) -> Any:
        self._said("finding", finding_id)
        return SimpleNamespace(cause_id="c-of-finding")

    async def findings(self, filters: Any, offset: int = 0, person: Any = None) -> FindingsView:
        self._said("findings", filters, offset, person)
        shown = max(0, min(20, self.total - offset))
        line = {"title": "Open", "severity": Severity.HIGH, "priority": Priority.P2, "status": "open", "resource": "r",
                "where": "w", "owner": "", "cause_id": "c"}  # fmt: skip
        lines = tuple(FindingLine(id=f"f-{offset + n}", **line) for n in range(shown))
        return FindingsView(lines=lines, total=self.total, filters=filters.words(), offset=offset)

    async def why(self, subject: str, actor: Actor) -> WhyView:
        self._said("why", subject, actor)
        return WhyView(
            title="Block public access", cause_id="c-1", cause_title="Public bucket", plan_id="plan-1",
            request=request_view(), allowed=False, reason="who asks cannot approve", rule="prod: four eyes",
            facts=(FactLine(label="Environment", value="prod"),), could=("Bob Brown",), read_at=NOW,
        )  # fmt: skip

    async def in_force(self, actor: Actor) -> tuple[DelegationLine, ...]:
        self._said("in_force", actor)
        giver, stand_in = PersonRef(id="ann", name="Ann"), PersonRef(id="bob", name="Bob Brown")
        more = {"giver": giver, "stand_in": stand_in, "reason": "holiday", "until": NOW}
        return (
            DelegationLine(id="dlg-1", scope="env:dev", can_revoke=True, **more),
            DelegationLine(id="dlg-2", scope="everything", **more),
        )

    async def revoke(self, delegation_id: str, actor: Actor, *, click: str = "") -> Notice:
        self._said("revoke", delegation_id, actor)
        return Notice(ok=True, said="Bob Brown no longer votes in the stead of Ann.")

    async def delegate(self, actor: Actor, to: PlatformIdentity, text: str, *, click: str = "") -> Notice:
        self._said("delegate", actor, to.tenant, to.user, text)
        return Notice(ok=True, said="Bob may vote in your stead.")

    async def undelegate(self, actor: Actor, to: PlatformIdentity, *, click: str = "") -> Notice:
        self._said("undelegate", actor, to.user)
        return Notice(ok=True, said="No longer.")

    async def freeze(self, actor: Actor, text: str, *, click: str = "") -> Notice:
        self._said("freeze", actor, text)
        return Notice(ok=True, said="Frozen: everything.")

    async def unfreeze(self, actor: Actor, text: str, *, click: str = "") -> Notice:
        self._said("unfreeze", actor, text)
        return Notice(ok=True, said="No longer frozen: everything.")

    async def freezes(self) -> list[Any]:
        return []

    def forget(self, platform: Any, *, user: str = "", group: str = "") -> None:
        self._said("forget", platform.value, user, group)

    async def home(self, person: Actor) -> HomeView:
        self._said("home", person)
        return HomeView(
            person=PersonRef(id="alice", name="Alice"),
            waiting=(request_view(),),
            asked=(),
            mine=(),
            mine_total=0,
            status=await self.status(),
        )

    async def status(self, person: Any = None) -> StatusView:
        return StatusView(
            at=NOW,
            open_findings=(),
            open_causes=(),
            waiting_requests=0,
            running=0,
            held_in_digests=0,
            outbox_waiting=0,
            sources=(),
            ledger_records=0,
            ledger_head="",
        )

    async def look(self, cause_id: str, actor: Actor) -> PlanView:
        self._said("look", cause_id, actor)
        return self.plan

    async def look_undo(self, execution_id: str, actor: Actor) -> PlanView:
        self._said("look_undo", execution_id, actor)
        return self.plan

    async def ask(self, plan_id: str, plan_hash: str, actor: Actor, reason: str, *, click: str = "") -> RequestView:
        self._said("ask", plan_id, plan_hash, actor, reason)
        self.clicks.append(click)
        return request_view()

    async def vote(
        self, request_id: str, plan_hash: str, revision: int, actor: Actor, choice: Choice, reason: str,
        typed: str = "", *, click: str = "",
    ) -> RequestView:  # fmt: skip
        self._said("vote", request_id, plan_hash, revision, actor, choice, reason)
        return request_view(self.state)

    async def cancel(self, request_id: str, actor: Actor) -> RequestView:
        self._said("cancel", request_id, actor)
        return request_view(RequestState.CANCELLED)

    async def not_mine(self, cause_id: str, actor: Actor, to: str, reason: str) -> Notice:
        await self.require(cause_id, actor, "pass_on")
        self._said("not_mine", cause_id, actor, to, reason)
        return Notice(ok=True, said="Passed on to Payments.")

    async def split(self, cause_id: str, finding_id: str, actor: Actor) -> Notice:
        self._said("split", cause_id, finding_id, actor)
        return Notice(ok=True, said="Taken out.")

    async def merge(self, cause_id: str, finding_id: str, other: str, actor: Actor) -> Notice:
        self._said("merge", cause_id, finding_id, other, actor)
        return Notice(ok=True, said="Joined.")

    async def snooze(self, cause_id: str, actor: Actor, days: int, reason: str) -> Notice:
        await self.require(cause_id, actor, "snooze")
        self._said("snooze", cause_id, actor, days, reason)
        return Notice(ok=True, said="Snoozed.")


@dataclass
class World:
    """Raw signed bytes in, calls of the fake Slack out."""

    slack: FakeSlack
    services: Services
    db: Database
    app: GatehouseApp
    http: TestClient[Any, Any]

    async def send(self, fields: dict[str, str], *, secret: str = SECRET, age: int = 0) -> tuple[int, str]:
        body = urlencode(fields)
        stamp = str(int(time.time()) - age)
        signature = SignatureVerifier(secret).generate_signature(timestamp=stamp, body=body) or ""
        headers = {
            "content-type": "application/x-www-form-urlencoded",
            "x-slack-request-timestamp": stamp,
            "x-slack-signature": signature,
        }
        async with self.http.post("/slack/events", data=body, headers=headers) as response:
            said = response.status, await response.text()
        await self.app.desk.drain()
        return said

    async def payload(self, payload: dict[str, Any], **more: Any) -> tuple[int, str]:
        return await self.send({"payload": json.dumps(payload)}, **more)

    async def click(self, action: str, value: dict[str, Any] | None = None, **more: Any) -> tuple[int, str]:
        return await self.payload(action_body(action, value or {"c": "c-1", "v": 7}, **more))

    async def event(self, event: dict[str, Any], team: str = TEAM, event_id: str = "Ev1", **more: Any) -> int:
        """Deliver an event of the Events API."""
        body = json.dumps({"type": "event_callback", "team_id": team, "event_id": event_id, "event": event} | more)
        stamp = str(int(time.time()))
        signature = SignatureVerifier(SECRET).generate_signature(timestamp=stamp, body=body) or ""
        headers = {
            "content-type": "application/json",
            "x-slack-request-timestamp": stamp,
            "x-slack-signature": signature,
        }
        async with self.http.post("/slack/events", data=body, headers=headers) as response:
            await response.text()
        await self.app.desk.drain()
        return response.status

    async def command(self, text: str, trigger: str = "t.1", team: str = TEAM) -> tuple[int, str]:
        return await self.send(
            {
                "command": "/gatehouse",
                "text": text,
                "team_id": team,
                "team_domain": "acme",
                "channel_id": CHANNEL,
                "user_id": ALICE,
                "user_name": "alice",
                "trigger_id": trigger,
                "api_app_id": "A1",
                "response_url": str(self.slack.server.make_url("/respond")),
            }
        )

    async def submit(
        self, callback: str, metadata: dict[str, Any], given: dict[str, str], *, hash_: str = "h1"
    ) -> tuple[int, str]:
        choices = {"choice", "to", "days"}
        values = {
            name: {"v": {"selected_option": {"value": value}} if name in choices else {"value": value}}
            for name, value in given.items()
        }
        view = {
            "id": "V1",
            "hash": hash_,
            "type": "modal",
            "callback_id": callback,
            "private_metadata": json.dumps(metadata),
            "state": {"values": values},
        }
        return await self.payload(
            {"type": "view_submission", "team": {"id": TEAM}, "user": {"id": ALICE, "team_id": TEAM}, "view": view}
        )

    @property
    def private(self) -> str:
        """Everything told privately, as text."""
        return " | ".join(json.dumps(c, ensure_ascii=False) for c in self.slack.named("chat.postEphemeral"))

    def clicks(self) -> list[tuple[str, str]]:
        rows = self.db.read_sync(lambda conn: conn.exec_driver_sql("SELECT kind, state FROM clicks").all())
        return [(row[0], row[1]) for row in rows]


def action_body(
    action: str, value: dict[str, Any], *, trigger: str = "t.1", team: str = TEAM, response_url: str = UNUSED
) -> dict[str, Any]:
    return {
        "type": "block_actions",
        "team": {"id": team},
        "user": {"id": ALICE, "team_id": team},
        "trigger_id": trigger,
        "container": {"type": "message", "message_ts": "1.1", "channel_id": CHANNEL},
        "channel": {"id": CHANNEL},
        "message": {"ts": "1.1"},
        "response_url": response_url,
        "actions": [
            {"type": "button", "action_id": action, "block_id": "b", "value": json.dumps(value), "action_ts": "9.9"}
        ],
    }


@asynccontextmanager
async def living(path: Path, **more: Any) -> AsyncIterator[World]:
    """A world until the test is over."""
    made = await build_world(path, **more)
    yield made
    await made.app.desk.drain()
    await made.http.close()
    await made.slack.server.close()
    await made.db.close()
    assert made.slack.wrong == []  # whatever was sent, Slack would take it


async def build_world(path: Path, **more: Any) -> World:
    slack = await FakeSlack().start()
    settings = Settings(
        slack={"enabled": True, "mode": "http", "team": TEAM},
        slack_signing_secret=SECRET,
        **({"routing": {"owners": {"payments": {"name": "Payments"}}}} | more),
    )
    services, db = Services(), Database(f"sqlite:///{path}/t.db")
    db.write_sync(metadata.create_all)
    ids = SimpleNamespace(new=lambda prefix: f"{prefix}-1")
    engine: Any = SimpleNamespace(
        db=db,
        settings=settings,
        clock=Clock(),
        ids=ids,
        board=services,
        people=services,
        policy=services,
        approvals=services,
        stewardship=services,
        issues=services,
        controls=services,
        delegations=services,
        whys=services,
    )
    engine.sight = Sight(db, settings, services, services)
    turns = StoredTurns(db, engine.clock)
    questions, about = Ask(db, settings, engine.clock, turns), About(services, services)  # type: ignore[arg-type]
    engine.answers = Answers(db, settings, questions, about, turns, engine.clock, RandomIds(), engine.sight)
    app = build_app(engine, settings, slack.client())
    site = web.Application()
    site.add_routes(SlackConnection(app, settings).routes())
    http: TestClient[Any, Any] = TestClient(TestServer(site))
    await http.start_server()
    return World(slack, services, db, app, http)
