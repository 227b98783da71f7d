"""The way in as the composition root and the doctor see it."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from aiohttp import WSMsgType, web
from aiohttp.test_utils import TestClient, TestServer

from bot.domain.errors import GatehouseError, Relogin, SettingsError
from bot.settings import Settings
from handlers.health.routes import add_health
from handlers.slack.connection import SCOPES, SlackConnection, SlackSide, check_slack

from .fakes import ALICE, CHANNEL, TEAM, FakeSlack, World, action_body


def settings(slack: FakeSlack, /, **more: Any) -> Settings:
    given: dict[str, Any] = {
        "slack": {"enabled": True, "base_url": str(slack.server.make_url("/api/")), "team": TEAM},
        "slack_bot_token": "xoxb-test",
        "slack_app_token": "xapp-test",
    }
    return Settings(**(given | more))


@pytest.fixture
def granted(slack: FakeSlack) -> FakeSlack:
    slack.fail["apps.connections.open"].append((200, {"ok": True, "url": "wss://x.example"}, {}))
    answer = {"ok": True, "team_id": TEAM, "team": "Acme"}
    slack.fail["auth.test"].append((200, answer, {"x-oauth-scopes": ",".join(sorted(SCOPES))}))
    return slack


async def test_the_doctor_says_workspace_way_in_and_scopes(granted: FakeSlack) -> None:
    assert await check_slack(settings(granted)) == f"workspace Acme ({TEAM}), Socket Mode, {len(SCOPES)} scopes"


async def test_the_doctor_names_missing_scopes_and_how_to_mend(slack: FakeSlack) -> None:
    slack.fail["auth.test"].append((200, {"ok": True, "team_id": TEAM}, {"x-oauth-scopes": "chat:write,commands"}))
    with pytest.raises(GatehouseError, match="usergroups:read") as error:
        await check_slack(settings(slack))
    assert "manifest.yml" in error.value.mend


async def test_the_doctor_sees_a_token_of_another_workspace_and_a_dead_one(slack: FakeSlack) -> None:
    slack.fail["auth.test"].append((200, {"ok": True, "team_id": "T99"}, {}))
    with pytest.raises(GatehouseError, match="T99"):
        await check_slack(settings(slack))
    slack.fail["auth.test"] += [(200, {"ok": False, "error": "invalid_auth"}, {})] * 2
    with pytest.raises(Relogin) as error:
        await check_slack(settings(slack))
    assert "GATEHOUSE_SLACK_BOT_TOKEN" in error.value.mend


async def test_without_tokens_it_says_which_setting_is_missing(slack: FakeSlack, world: World) -> None:
    with pytest.raises(SettingsError, match="bot token"):
        await SlackSide.open(settings(slack, slack_bot_token=None))
    with pytest.raises(SettingsError, match="app token"):
        await SlackConnection(world.app, settings(slack, slack_app_token=None)).start()
    with pytest.raises(SettingsError, match="signing secret"):
        SlackConnection(world.app, settings(slack, slack={"enabled": True, "mode": "http"})).routes()
    assert SlackConnection(world.app, settings(slack)).routes() == []  # in Socket Mode nothing listens


async def test_in_socket_mode_a_click_is_acknowledged_with_its_envelope_and_worked_on(world: World) -> None:
    acknowledged: list[dict[str, Any]] = []

    async def socket(request: web.Request) -> web.WebSocketResponse:
        ws = web.WebSocketResponse()
        await ws.prepare(request)
        await ws.send_json({"type": "hello"})
        envelope = {"envelope_id": "e-1", "type": "interactive", "payload": action_body("gh.details", {"c": "c-1"})}
        await ws.send_json(envelope)
        async for message in ws:
            if message.type is WSMsgType.TEXT and message.data.startswith("{"):
                acknowledged.append(json.loads(message.data))
                break
        await ws.close()
        return ws

    site = web.Application()
    site.router.add_get("/socket", socket)
    server = TestServer(site)
    await server.start_server()
    url = str(server.make_url("/socket")).replace("http:", "ws:")
    world.slack.fail["apps.connections.open"] += [(200, {"ok": True, "url": url}, {})] * 5
    connection = SlackConnection(world.app, settings(world.slack))
    await connection.start()
    try:
        assert connection.connected
        for _ in range(200):
            if acknowledged and world.slack.named("chat.postEphemeral"):
                break
            await asyncio.sleep(0.02)
    finally:
        await connection.close()
        await server.close()
    assert acknowledged[0]["envelope_id"] == "e-1"
    told = world.slack.named("chat.postEphemeral")
    assert (told[0]["channel"], told[0]["user"]) == (CHANNEL, ALICE)


async def test_health_asks_the_database(world: World) -> None:
    site = web.Application()
    add_health(site, world.db)
    async with TestClient(TestServer(site)) as client:
        assert (await (await client.get("/readyz")).json())["checks"] == {"database": "ok"}
        world.db.close_sync()
        assert (await client.get("/readyz")).status == 503
        assert (await client.get("/healthz")).status == 200
