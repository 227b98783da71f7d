"""The composition: where Teams is enabled, its door is there and what comes through it is kept."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import aiohttp
import pytest
from pydantic import SecretStr

from bot.composition import serve
from bot.domain.errors import SettingsError
from bot.settings import Settings, TeamsSettings
from bot.store import teams as store
from bot.store.database import Database

from .world import APP, CHANNEL, SERVICE, TENANT, Provider, activity

pytestmark = pytest.mark.timeout(120)


def free_port() -> int:
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        return int(made.getsockname()[1])


async def test_the_door_is_served_and_an_installation_is_kept(tmp_path: Path) -> None:
    url, port, stop, ready = f"sqlite:///{tmp_path}/t.db", free_port(), asyncio.Event(), asyncio.Event()
    async with Provider().serving() as provider:
        settings = Settings(
            database_url=SecretStr(url), port=port, teams_app_password=SecretStr("x"),
            teams=TeamsSettings(enabled=True, app_id=APP, tenant=TENANT, openid_url=provider.url,
                                service_url=SERVICE),
        )  # fmt: skip
        running = asyncio.create_task(serve(settings, stop=stop, ready=ready))
        waiting = asyncio.create_task(ready.wait())
        await asyncio.wait({running, waiting}, return_when=asyncio.FIRST_COMPLETED)
        assert not running.done(), running
        async with aiohttp.ClientSession() as session:
            door, added = f"http://127.0.0.1:{port}/api/messages", activity("installationUpdate", action="add")
            async with session.post(door, json=added) as answer:
                refused = answer.status
            async with session.post(door, json=added, headers={"Authorization": provider.token()}) as answer:
                taken = answer.status
        stop.set()
        await running
    db = Database(url)
    kept = await db.read(store.conversation, TENANT, CHANNEL)
    await db.close()
    assert (refused, taken, kept is not None) == (401, 200, True)


async def test_without_an_app_id_nothing_starts(tmp_path: Path) -> None:
    settings = Settings(database_url=SecretStr(f"sqlite:///{tmp_path}/t.db"), teams=TeamsSettings(enabled=True))
    with pytest.raises(SettingsError, match="without an app id"):
        await serve(settings, stop=asyncio.Event())
