"""The contract between Gatehouse and an SDK for Teams, held by every seam of ``seams.py``: dicts in, dicts out.

It runs over the seam in use (botbuilder) and over one of nothing but PyJWT; over microsoft-agents-hosting-core where
that is installed.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from bot.domain.errors import RetryLater, SettingsError
from bot.domain.ids import SystemClock
from bot.settings import Settings, TeamsSettings
from handlers.teams.contract import Caller, NotAuthorised, Seam
from handlers.teams.payloads import origin_of, pressed_of
from handlers.teams.routes import PATH, routes
from handlers.teams.wire import TeamsWire

from .seams import SEAMS
from .strict import CONTENT, FakeTeams, Place
from .test_login import BAD, PROVIDER, Desk
from .world import ALICE, APP, CHANNEL, ISSUER, SERVICE, TENANT, activity, press, served, settings


@pytest.fixture(params=sorted(SEAMS))
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class Reads:
    def __init__(self) -> None:
        self.count = 0
        self.fail = False

    def __call__(self) -> str:
        self.count += 1
        if self.fail:
            raise OSError("no network")
        return f"t{self.count}"


@asynccontextmanager
async def made(kind: str) -> AsyncIterator[tuple[Seam, Reads]]:
    reads = Reads()
    async with PROVIDER.serving() as provider:
        yield SEAMS[kind](settings(provider.url), reads), reads


async def test_the_channel_s_activity_is_verified_warm_or_cold(kind: str) -> None:
    async with made(kind) as (seam, _):
        assert await seam.verify(PROVIDER.token(), activity()) == Caller(ISSUER, SERVICE)
        await seam.warm()
        assert await seam.verify(PROVIDER.token(), press("gh.review", {"c": "c-1"})) == Caller(ISSUER, SERVICE)


@pytest.mark.parametrize("name", BAD)
async def test_every_other_is_not_authorised_and_nothing_else_is_raised(kind: str, name: str) -> None:
    given = BAD[name]
    async with made(kind) as (seam, _):
        with pytest.raises(NotAuthorised) as found:
            await seam.verify(given() if callable(given) else given, activity())
    assert "eyJ" not in str(found.value)  # nothing of the token is said


@pytest.mark.parametrize(
    "more",
    [{"serviceUrl": "https://evil.example/"}, {"serviceUrl": None}, {"serviceUrl": 7}, {"channelId": "webchat"},
     {"channelId": None}],
)  # fmt: skip
async def test_a_good_token_for_another_activity_is_not_authorised(kind: str, more: dict[str, Any]) -> None:
    async with made(kind) as (seam, _):
        for what in (activity(**more), {}):
            with pytest.raises(NotAuthorised):
                await seam.verify(PROVIDER.token(), what)


async def test_a_new_key_of_the_channel_is_found(kind: str) -> None:
    async with made(kind) as (seam, _):
        PROVIDER.keys.append(PROVIDER._jwk(PROVIDER.other, "k7", ["msteams"]))
        try:
            assert (await seam.verify(PROVIDER.token(key=PROVIDER.other, kid="k7"), activity())).service_url == SERVICE
        finally:
            PROVIDER.keys.pop()


async def test_without_keys_nobody_is_believed_and_warming_raises_nothing(kind: str) -> None:
    seam = SEAMS[kind](settings("http://127.0.0.1:9/oidc"), Reads())
    await seam.warm()
    begun = time.monotonic()
    for _ in range(5):
        with pytest.raises(NotAuthorised):
            await seam.verify(PROVIDER.token(), activity())
    assert time.monotonic() - begun < 5


async def test_our_token_is_read_once_and_another_after_it_was_dropped(kind: str) -> None:
    async with made(kind) as (seam, reads):
        assert [await seam.token() for _ in range(3)] == ["t1"] * 3
        seam.drop_token()
        assert await seam.token() == "t2"
        seam.drop_token()
        reads.fail = True
        with pytest.raises(RetryLater):
            await seam.token()


async def test_a_door_anybody_could_open_is_not_made(kind: str) -> None:
    with pytest.raises(SettingsError, match="without an app id"):
        SEAMS[kind](Settings(teams=TeamsSettings(tenant=TENANT)), Reads())


async def test_the_door_over_it_answers_401_or_hands_the_dict_on(kind: str) -> None:
    async with made(kind) as (seam, _):
        desk = Desk()
        async with served(routes(seam, desk, TENANT)) as url, aiohttp.ClientSession() as session:
            for login, status in (("", 401), ("Bearer x", 401), (PROVIDER.token(), 200)):
                async with session.post(f"{url}{PATH}", json=activity(), headers={"Authorization": login}) as answer:
                    assert answer.status == status
        assert desk.came == [f"seen {ALICE}", "said"]


async def test_what_is_read_of_an_activity_is_the_same_under_every_sdk(kind: str) -> None:
    what = press("gh.send_review", {"p": "plan-1"}, given={"choice": "approve"})
    async with made(kind) as (seam, _):
        before = json.dumps(what, sort_keys=True)
        await seam.verify(PROVIDER.token(), what)
        assert json.dumps(what, sort_keys=True) == before  # looked at, not taken apart
    origin, pressed = origin_of(what), pressed_of(what)
    assert (origin.tenant, origin.user, origin.channel, origin.reply_to) == (TENANT, ALICE, CHANNEL, "1795")
    assert (pressed.verb, pressed.given, pressed.automatic) == ("send_review", {"choice": "approve"}, False)


async def test_its_token_opens_the_connector_for_posts_updates_and_members(kind: str) -> None:
    people = {f"29:{n}": f"user-{n}" for n in range(3)}
    teams = FakeTeams(Place(CHANNEL, members=people), token="t2", page=2)
    card = {"type": "AdaptiveCard", "version": "1.5", "body": [{"type": "TextBlock", "text": "x"}]}
    said = {"type": "message", "summary": "x", "attachments": [{"contentType": CONTENT, "content": card}]}
    async with made(kind) as (seam, _), teams.serving() as url:
        wire = TeamsWire(seam, SystemClock(), timeout=5)
        seam.drop_token()
        await seam.token()
        seam.drop_token()  # the first one is not the one that opens
        data = {"channel": {"id": CHANNEL}, "tenant": {"id": TENANT}}
        root = {"isGroup": True, "bot": {"id": f"28:{APP}"}, "channelData": data, "activity": said}
        posted = await wire.create(url, root)
        thread = posted["id"]
        assert thread == f"{CHANNEL};messageid={posted['activityId']}"
        line = await wire.send(url, thread, {"type": "message", "text": "a line"})
        await wire.update(url, thread, posted["activityId"], said | {"summary": "changed"})
        assert teams.posts[posted["activityId"]].activity["summary"] == "changed"
        assert teams.posts[line].root == posted["activityId"]
        assert (await wire.member(url, CHANNEL, "29:1"))["aadObjectId"] == "user-1"
        first = await wire.roster(url, CHANNEL)
        rest = await wire.roster(url, CHANNEL, first["continuationToken"])
        assert [each["id"] for each in (*first["members"], *rest["members"])] == list(people)
        await wire.close()
