"""The channel's keys: who waits for them, who does not, and how long they hold."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web

from handlers.teams import keys as module
from handlers.teams.contract import NotAuthorised
from handlers.teams.keys import FAILED_PAUSE, KEYS_END, KEYS_LAST, KEYS_PAUSE, Keys
from handlers.teams.seam import TeamsSeam

from .test_login import BAD, PROVIDER
from .world import activity, served, settings


class Channel:
    """Names its keys; can be held up, broken or empty."""

    def __init__(self) -> None:
        self.reads, self.status = 0, 200
        self.keys = list(PROVIDER.keys)
        self.gate = asyncio.Event()
        self.gate.set()
        self.now = 1000.0
        self.url = ""

    def made(self) -> Keys:
        return Keys(f"{self.url}/oidc", lambda: self.now)

    async def oidc(self, request: web.Request) -> web.Response:
        return web.json_response({"jwks_uri": str(request.url.with_path("/keys"))})

    async def named(self, _: web.Request) -> web.Response:
        self.reads += 1
        await self.gate.wait()
        return web.json_response({"keys": self.keys}, status=self.status)


@pytest.fixture
async def channel() -> AsyncIterator[Channel]:
    made = Channel()
    async with served([web.get("/oidc", made.oidc), web.get("/keys", made.named)]) as made.url:
        yield made
        made.gate.set()


async def settle() -> None:
    for _ in range(40):
        await asyncio.sleep(0.005)


async def test_many_requests_at_a_cold_start_share_one_reading_and_the_loop_goes_on(channel: Channel) -> None:
    keys = channel.made()
    channel.gate.clear()
    waiting = [asyncio.create_task(keys.get("k1")) for _ in range(50)]
    begun = time.monotonic()
    await asyncio.sleep(0.05)
    assert time.monotonic() - begun < 1.0
    channel.gate.set()
    found = await asyncio.gather(*waiting)
    assert (channel.reads, len({id(each) for each in found})) == (1, 1)


async def test_nobody_with_a_known_key_waits_while_another_is_looked_for(channel: Channel) -> None:
    keys = channel.made()
    await keys.get("k1")
    channel.now += KEYS_PAUSE
    channel.gate.clear()
    strange = asyncio.create_task(keys.get("k9"))
    await settle()
    assert channel.reads == 2
    async with asyncio.timeout(0.5):
        for _ in range(100):
            assert (await keys.get("k1")).endorsements == ["msteams"]
    channel.gate.set()
    with pytest.raises(LookupError, match="not one of the channel's"):
        await strange


async def test_old_keys_are_read_anew_beside_the_requests(channel: Channel) -> None:
    keys = channel.made()
    await keys.get("k1")
    channel.now += KEYS_LAST + 1
    channel.gate.clear()
    async with asyncio.timeout(0.5):
        for _ in range(20):
            await keys.get("k1")
    channel.keys = [PROVIDER._jwk(PROVIDER.other, "k3", ["msteams"])]
    channel.gate.set()
    await settle()
    assert (channel.reads, (await keys.get("k3")).endorsements) == (2, ["msteams"])
    with pytest.raises(LookupError):  # a key that was taken back holds no longer
        await keys.get("k1")


@pytest.mark.parametrize("how", ["broken", "empty", "no list"])
async def test_a_channel_that_is_ill_takes_no_key_away_for_a_week(channel: Channel, how: str) -> None:
    keys = channel.made()
    await keys.get("k1")
    wrong: dict[str, Any] = {"broken": channel.keys, "empty": [], "no list": None}
    channel.status, channel.keys = (500 if how == "broken" else 200), wrong[how]
    for _ in range(6):
        channel.now += KEYS_LAST
        await keys.get("k1")
        await settle()
    assert channel.reads == 7
    channel.now += KEYS_END - 6 * KEYS_LAST
    with pytest.raises(Exception):  # noqa: B017 - whatever it is, the seam says "not authorised"
        await keys.get("k1")


async def test_after_a_reading_that_failed_nobody_waits_for_some_seconds(channel: Channel) -> None:
    keys = channel.made()
    channel.status = 500
    with pytest.raises(Exception):  # noqa: B017
        await keys.get("k1")
    channel.gate.clear()
    async with asyncio.timeout(0.5):
        for _ in range(20):
            with pytest.raises(LookupError, match="at the moment"):
                await keys.get("k1")
    assert channel.reads == 1
    channel.status = 200
    channel.gate.set()
    channel.now += FAILED_PAUSE
    assert await keys.get("k1")


async def test_a_provider_that_hangs_is_given_up(channel: Channel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.1)
    channel.gate.clear()
    begun = time.monotonic()
    with pytest.raises(TimeoutError):
        await channel.made().get("k1")
    assert time.monotonic() - begun < 2.0


async def test_unknown_keys_make_us_ask_once_in_five_minutes(channel: Channel) -> None:
    keys = channel.made()
    await keys.get("k1")
    for _ in range(10):
        with pytest.raises(LookupError):
            await keys.get("k9")
    assert channel.reads == 1
    channel.now += KEYS_PAUSE
    for _ in range(10):
        with pytest.raises(LookupError):
            await keys.get("k9")
    assert channel.reads == 2


async def test_what_is_plainly_not_for_us_never_makes_anybody_read_or_wait(channel: Channel) -> None:
    seam = TeamsSeam(settings(f"{channel.url}/oidc"))
    channel.gate.clear()  # a reading would hang
    signed = {"signed by somebody else", "unknown key", "not valid yet", "by a key of another channel"}
    async with asyncio.timeout(2):
        for name, given in BAD.items():
            if name in signed:
                continue  # only the key can tell
            with pytest.raises(NotAuthorised):
                await seam.verify(given() if callable(given) else given, activity())
    assert channel.reads == 0


async def test_who_stops_waiting_does_not_stop_the_reading(channel: Channel) -> None:
    keys = channel.made()
    channel.gate.clear()
    impatient, patient = asyncio.create_task(keys.get("k1")), asyncio.create_task(keys.get("k1"))
    await settle()
    impatient.cancel()
    channel.gate.set()
    assert (await patient).endorsements == ["msteams"]
    assert channel.reads == 1


async def test_keeping_reads_only_what_is_missing_or_old(channel: Channel) -> None:
    keys = channel.made()
    for _ in range(5):
        await keys.keep()
    assert channel.reads == 1
    channel.now += KEYS_LAST
    await keys.keep()
    assert channel.reads == 2
