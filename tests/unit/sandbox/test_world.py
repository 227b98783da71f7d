"""The sandbox without the bot: everything starts, answers as Acme's, and is gone afterwards."""

import asyncio
import os
from pathlib import Path

import aiohttp
import pytest
from slack_sdk.web.async_client import AsyncWebClient

from bot.domain.errors import SettingsError
from bot.sandbox import slack, teams
from bot.sandbox.world import World, _environment, manifest_scopes, settings_of
from bot.settings import Settings, load_settings


async def test_the_world_starts_answers_and_leaves_nothing_behind() -> None:
    said: list[str] = []
    async with World(with_bot=False, progress=said.append) as world:
        folder = world.folder
        settings = load_settings(world.settings_path)
        client = AsyncWebClient(token=slack.BOT_TOKEN, base_url=settings.slack.base_url)
        assert (await client.auth_test())["team_id"] == slack.TEAM
        await client.chat_postMessage(channel=slack.PAYMENTS.id, text="hello")
        assert [m["text"] for m in await world.slack.messages(slack.PAYMENTS.id)] == ["hello"]
        assert len(list((folder / "findings").glob("*.ocsf.json"))) == 2
        assert await world.aws.calls() == [], "the company's own making must not be mistaken for the bot's calls"
        ports = (world.slack.port, world.aws.port)
    assert not await asyncio.to_thread(folder.exists)
    for port in ports:
        with pytest.raises(OSError):
            await asyncio.open_connection("127.0.0.1", port)
    assert said[0].startswith("Fetching")


async def test_what_the_bot_gets_are_settings_like_any_others(tmp_path: Path) -> None:
    shape = settings_of(folder=tmp_path, endpoint="http://localhost:1", api="http://localhost:2/api/", port=3)
    settings = Settings(**shape)
    assert settings.people["alice"].slack == "T01ACME/U02ALICE"
    assert "nora" not in settings.people, "the newcomer is in no list"
    assert {o.channels[0] for o in settings.routing.owners.values()} <= {f"slack:{c.id}" for c in slack.CHANNELS}


async def test_with_teams_everybody_and_every_owner_is_on_both_platforms(tmp_path: Path) -> None:
    shape = settings_of(folder=tmp_path, endpoint="http://localhost:1", api="http://localhost:2/api/", port=3)
    local = "http://127.0.0.1:4"
    teams.widen(shape, app_id="a", openid_url=f"{local}/openid", service_url=f"{local}/teams/")
    settings = Settings(**shape)
    for channels in (settings.routing.fallback, *(owner.channels for owner in settings.routing.owners.values())):
        assert [channel.partition(":")[0] for channel in channels] == ["slack", "teams"]
        assert channels[1].partition(":")[2] in {channel.id for channel in teams.CHANNELS}
    assert {name for name, each in settings.people.items() if each.teams} == {"olivia", "alice", "bob"}
    assert len({each.object_id for each in teams.PEOPLE}) == len({each.id for each in teams.PEOPLE}) == 6
    assert all(each.identity == each.identity.lower() for each in teams.PEOPLE)


def test_the_environment_of_the_shell_does_not_leak_in_and_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEHOUSE_DATABASE_URL", "postgresql://production/real")
    monkeypatch.setenv("AWS_PROFILE", "production")
    monkeypatch.setenv("IDENTITY_ENDPOINT", "http://169.254.169.254/real")
    with _environment({"AWS_ACCESS_KEY_ID": "testing"}):
        assert "GATEHOUSE_DATABASE_URL" not in os.environ
        assert "AWS_PROFILE" not in os.environ
        assert "IDENTITY_ENDPOINT" not in os.environ
        assert os.environ["AWS_ACCESS_KEY_ID"] == "testing"
    assert os.environ["AWS_PROFILE"] == "production"


def test_recorded_findings_of_another_company_are_refused() -> None:
    with pytest.raises(SettingsError) as caught:
        World(seed=12)
    assert "--scan" in caught.value.mend


async def test_a_workspace_that_does_not_start_is_said(tmp_path: Path) -> None:
    program = tmp_path / "broken"
    await asyncio.to_thread(program.write_text, "#!/bin/sh\nexit 1\n")
    await asyncio.to_thread(program.chmod, 0o755)
    with pytest.raises(SettingsError) as caught:
        async with slack.LocalSlack(program, tmp_path):
            pass
    assert "did not start" in str(caught.value)


async def test_a_port_that_is_taken_is_said_before_anything_talks_to_the_wrong_workspace(tmp_path: Path) -> None:
    other = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
    port = other.sockets[0].getsockname()[1]
    with pytest.raises(SettingsError) as caught:
        async with slack.LocalSlack(tmp_path / "unused", tmp_path, port=port):
            pass
    assert f"port {port} is taken" in str(caught.value)
    assert "--port" in caught.value.mend
    other.close()


async def test_an_install_that_fails_leaves_no_half_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("npm_config_registry", "http://127.0.0.1:9/")
    monkeypatch.setenv("npm_config_fetch_retries", "0")
    monkeypatch.setenv("npm_config_cache", str(tmp_path / "npm"))
    with pytest.raises(SettingsError) as caught:
        await slack.install(tmp_path / "cache")
    assert "npm could not install" in str(caught.value)
    assert list((tmp_path / "cache").iterdir()) == []


async def test_a_click_travels_through_the_gate_to_the_bot() -> None:
    async with World(with_bot=False) as world:
        client = AsyncWebClient(token=slack.BOT_TOKEN, base_url=world.gate.api)
        opened = await AsyncWebClient(token=slack.APP_TOKEN, base_url=world.gate.api).apps_connections_open(
            app_token=slack.APP_TOKEN
        )
        async with aiohttp.ClientSession() as http, http.ws_connect(opened["url"]) as socket:
            where = {"channel": slack.PAYMENTS.id, "user": slack.OLIVIA.id}
            typed = asyncio.create_task(
                world.slack.control("command", **where, command="/gatehouse", text="status")  # answers after the ack
            )
            while True:
                envelope = await socket.receive_json(timeout=10)
                if envelope.get("type") == "slash_commands":
                    break
            assert envelope["payload"]["user_id"] == slack.OLIVIA.id
            assert envelope["payload"]["response_url"].startswith(world.gate.url)
            view = {
                "type": "modal",
                "title": {"type": "plain_text", "text": "Status"},
                "blocks": [{"type": "section", "text": {"type": "mrkdwn", "text": "fine"}}],
            }
            assert (await client.views_open(trigger_id=envelope["payload"]["trigger_id"], view=view))["ok"]
            await socket.send_json({"envelope_id": envelope["envelope_id"]})
            await typed


def test_the_scopes_checked_are_those_of_the_manifest() -> None:
    scopes = manifest_scopes()
    if scopes is None:
        pytest.skip("no manifest.yml beside this copy of the code")
    assert "chat:write" in scopes
