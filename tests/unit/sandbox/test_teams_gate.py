"""The local Teams: what its gate signs, refuses and remembers. The Playground is the real one, the bot only listens."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web

from bot.domain.errors import Refused, Relogin, RetryLater
from bot.domain.ids import SystemClock
from bot.sandbox import programs, teams
from bot.sandbox.teams_gate import TeamsGate
from bot.settings import Settings, TeamsSettings
from cards import adaptive
from cards.model import Button, Buttons, Card
from handlers.teams.contract import NotAuthorised
from handlers.teams.seam import TeamsSeam
from handlers.teams.wire import TeamsWire

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(120)]
CHANNEL = teams.PAYMENTS.id


class Bot:
    """Takes what the gate sends, after the real check of who sent it."""

    def __init__(self, seam: TeamsSeam) -> None:
        self.seam, self.came = seam, list[dict[str, Any]]()
        self.answer: dict[str, Any] = {}

    async def take(self, request: web.Request) -> web.Response:
        activity = await request.json()
        try:
            caller = await self.seam.verify(request.headers.get("Authorization"), activity)
        except NotAuthorised:
            return web.Response(status=401)
        self.came.append({**activity, "verified": caller.service_url})
        return web.json_response(self.answer)


class Local:
    def __init__(self, gate: TeamsGate, bot: Bot, wire: TeamsWire) -> None:
        self.gate, self.bot, self.wire = gate, bot, wire

    async def post(self, card: Card, channel: str = CHANNEL, refresh: adaptive.Refresh | None = None) -> str:
        activity = adaptive.message(card, refresh=refresh)
        data = {"channel": {"id": channel}, "tenant": {"id": teams.TENANT}}
        made = await self.wire.create(
            self.gate.service_url,
            {"isGroup": True, "tenantId": teams.TENANT, "channelData": data, "activity": activity,
             "bot": {"id": f"28:{self.gate.app_id}"}},
        )  # fmt: skip
        return str(made["activityId"])


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def local(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Local]:
    program, patched = await teams.install(), pytest.MonkeyPatch()
    async with TeamsGate() as gate:
        for name, value in gate.environment().items():
            patched.setenv(name, value)
        shape: dict[str, Any] = {
            "routing": {"owners": {}, "fallback": []},
            "people": {},
            "groups": {"cloud-approvers": {}},
        }
        teams.widen(shape, app_id=gate.app_id, openid_url=gate.openid_url, service_url=gate.service_url)
        seam = TeamsSeam(Settings(teams=TeamsSettings(**shape["teams"])))
        bot, wire = Bot(seam), TeamsWire(seam, SystemClock())
        app = web.Application()
        app.router.add_post("/api/messages", bot.take)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        gate.bot = f"http://127.0.0.1:{runner.addresses[0][1]}"
        async with teams.Playground(
            program, tmp_path_factory.mktemp("teams"), gate.app_id, gate.endpoint
        ) as playground:
            await gate.attach(playground.url)
            yield Local(gate, bot, wire)
        await wire.close()
        await runner.cleanup()
    patched.undo()


class Page:
    """What an open page of the Playground does, without a browser."""

    def __init__(self, gate: TeamsGate) -> None:
        self.gate, self.frames = gate, list[dict[str, Any]]()

    async def __aenter__(self) -> Page:
        self.http = aiohttp.ClientSession()
        self.socket = await self.http.ws_connect(f"{self.gate.url}/_ws_conversation/v1/conversations/stream")
        self.reading = asyncio.create_task(self._read())
        async with self.http.post(
            f"{self.gate.url}/_debug/conversation/{teams.PERSONAL}/installation", json={}
        ) as said:
            assert said.status == 200
        return self

    async def _read(self) -> None:
        async for message in self.socket:
            self.frames.append(json.loads(message.data))

    async def sees(self, action: str, id: str) -> dict[str, Any]:
        async with asyncio.timeout(10):
            while True:
                for frame in self.frames:
                    if (frame["action"], frame.get("message", {}).get("messageId")) == (action, id):
                        return frame
                await asyncio.sleep(0.02)

    async def __aexit__(self, *_: object) -> None:
        self.reading.cancel()
        await self.socket.close()
        await self.http.close()


def card(title: str = "A card", said: str = "Open") -> Card:
    return Card(title=title, summary=title, status=(said,), body=(Buttons((Button("gh.details", "Details", "{}"),)),))


async def test_what_the_gate_sends_passes_the_login_of_production_and_nothing_else_does(local: Local) -> None:
    status, _ = await local.gate.press(teams.BOB, CHANNEL, "1", {"verb": "gh.details", "data": {}})
    assert status == 200
    came = local.bot.came[-1]
    assert came["from"]["aadObjectId"] == teams.BOB.object_id
    assert came["verified"] == local.gate.service_url
    async with aiohttp.ClientSession() as http, http.post(f"{local.gate.bot}/api/messages", json=came) as answer:
        assert answer.status == 401, "the same, unsigned"
    assert local.bot.came[-1] is came


async def test_the_bot_gets_its_token_as_a_managed_identity_and_needs_it(local: Local) -> None:
    place = f"{local.gate.api}/teams/v3/conversations/{CHANNEL}/members/{teams.NORA.id}"
    async with aiohttp.ClientSession() as http:
        for headers in ({}, {"Authorization": "Bearer of-somebody-else"}):
            async with http.get(place, headers=headers) as answer:
                assert answer.status == 401
        wanted = {"resource": "https://api.botframework.com", "client_id": local.gate.app_id}
        async with http.get(f"{local.gate.api}/identity", params=wanted) as answer:
            assert answer.status == 400, "without the secret of the environment"
    found = await local.wire.member(local.gate.service_url, CHANNEL, teams.NORA.id)
    assert (found["aadObjectId"], found["userRole"]) == (teams.NORA.object_id, "user")


async def test_a_token_of_another_app_is_not_given(local: Local, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IDENTITY_HEADER", "guessed")
    other = TeamsSettings(enabled=True, app_id="11111111-2222-4333-8444-555555555555", app_type="UserAssignedMSI",
                          tenant=teams.TENANT)  # fmt: skip
    with pytest.raises(Relogin, match="managed identity gives no token"):
        await TeamsSeam(Settings(teams=other)).token()


async def test_a_page_is_shown_what_was_posted_before_it_opened_as_it_is_now(local: Local) -> None:
    early = await local.post(card("Posted early"))
    await local.wire.update(
        local.gate.service_url, f"{CHANNEL};messageid={early}", early, adaptive.message(card("Posted early", "Fixed"))
    )
    async with Page(local.gate) as page:
        assert "Fixed" in json.dumps(await page.sees("createMessage", early))
        late = await local.post(card("Posted late"))
        await page.sees("createMessage", late)
        assert [f["action"] for f in page.frames if f["message"]["messageId"] == early] == ["createMessage"]
    async with Page(local.gate) as again:
        await again.sees("createMessage", early)
        await again.sees("createMessage", late)


async def test_typing_is_shown_in_the_chat_only_a_channel_breaks_the_page(local: Local) -> None:
    async with Page(local.gate) as page:
        root = await local.post(card("A root"))
        await local.wire.send(local.gate.service_url, f"{CHANNEL};messageid={root}", {"type": "typing"})
        await local.wire.send(local.gate.service_url, teams.PERSONAL, {"type": "typing"})
        await page.sees("createMessage", await local.post(card("The last")))
        typing = [each["actionConversationId"] for each in page.frames if each["action"] == "typing"]
    assert typing == [teams.PERSONAL]


async def test_the_app_is_installed_once_however_often_the_page_is_loaded(local: Local) -> None:
    async with Page(local.gate), Page(local.gate):
        pass
    installed = [each for each in local.bot.came if each["type"] == "installationUpdate"]
    assert len(installed) == 1


async def test_a_person_with_an_own_view_is_shown_that_and_nobody_else_is_asked_for(local: Local) -> None:
    own = adaptive.content(card("Own view", "Yours to decide"))
    local.bot.answer = {"statusCode": 200, "type": adaptive.CONTENT_TYPE, "value": own}
    before = len(local.bot.came)
    async with Page(local.gate) as page:
        others = await local.post(card(), refresh=adaptive.Refresh("gh.card", "{}", (teams.BOB.id,)))
        mine = await local.post(card(), refresh=adaptive.Refresh("gh.card", "{}", (teams.BOB.id, teams.HERE.id)))
        assert "Yours to decide" in json.dumps(await page.sees("updateMessage", mine))
    asked = [each for each in local.bot.came[before:] if each["type"] == "invoke"]
    assert [each["value"]["trigger"] for each in asked] == ["automatic"]
    assert (asked[0]["from"]["id"], asked[0]["replyToId"]) == (teams.HERE.id, mine)
    assert asked[0]["conversation"]["id"] == f"{CHANNEL};messageid={mine}"
    assert others != mine


async def test_what_teams_would_refuse_is_refused(local: Local) -> None:
    url = local.gate.service_url
    broken = adaptive.message(card())
    broken["attachments"][0]["content"]["body"].append({"type": "Image", "url": "javascript:alert(1)"})
    with pytest.raises(Refused, match="400"):
        await local.wire.send(url, teams.PERSONAL, broken)
    with pytest.raises(Refused, match="413"):
        await local.wire.send(url, teams.PERSONAL, {"type": "message", "text": "x" * 60_000})
    hello = {"type": "message", "text": "hello"}
    for _ in range(7):
        await local.wire.send(url, "19:acme-on-call@thread.v2", hello)
    with pytest.raises(RetryLater, match="429") as slow:
        await local.wire.send(url, "19:acme-on-call@thread.v2", hello)
    assert (slow.value.after or 0) >= 1


async def test_the_playground_neither_listens_nor_calls_beyond_this_machine(tmp_path: Path) -> None:
    preload = tmp_path / "loopback.cjs"
    await asyncio.to_thread(preload.write_text, teams.LOOPBACK)
    script = """
        const net = require('net'), http = require('http');
        const said = (what) => console.log(what);
        net.connect(80, '192.0.2.1').on('error', (error) => said(error.message));
        http.get('http://telemetry.example/').on('error', (error) => said(error.message));
        const server = http.createServer((_, answer) => answer.end('near'));
        server.listen(0, '0.0.0.0', () => {
          said(server.address().address);
          http.get({ port: server.address().port }, (answer) =>
            answer.on('data', (data) => said(String(data))).on('end', () => server.close()));
        });
    """
    process = await asyncio.create_subprocess_exec(
        str(programs.node()), "--require", str(preload), "-e", script, stdout=asyncio.subprocess.PIPE
    )
    said, _ = await asyncio.wait_for(process.communicate(), 20)
    assert sorted(said.decode().split("\n")) == [
        "",
        "127.0.0.1",
        "near",
        "the sandbox is offline",
        "the sandbox is offline",
    ]
