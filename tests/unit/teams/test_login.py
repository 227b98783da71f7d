"""The door of Teams: whatever is wrong with the login is 401 and reaches nobody; the right token passes."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import aiohttp
import pytest
from pydantic import SecretStr

from bot.domain.errors import SettingsError
from bot.settings import Settings, TeamsSettings
from handlers.teams import keys as keys_module
from handlers.teams.payloads import Origin
from handlers.teams.routes import PATH, routes
from handlers.teams.seam import NotAuthorised, TeamsSeam

from .world import APP, SERVICE, TENANT, Provider, activity, press, served, settings

PROVIDER = Provider()  # keys are slow to make
PAST, FUTURE = int(time.time()) - 3600, int(time.time()) + 3600


class Desk:
    """Remembers who came through."""

    def __init__(self) -> None:
        self.came: list[str] = []

    async def seen(self, origin: Origin, activity: Mapping[str, Any]) -> None:
        self.came.append(f"seen {origin.user}")

    async def invoked(self, origin: Origin, activity: Mapping[str, Any]) -> dict[str, Any]:
        self.came.append("invoked")
        return {"statusCode": 200, "type": "application/vnd.microsoft.activity.message", "value": "ok"}

    async def said(self, origin: Origin, activity: Mapping[str, Any]) -> None:
        self.came.append("said")


async def send(headers: dict[str, str], body: Any, *, raw: bytes | None = None) -> tuple[int, str, list[str], int]:
    """Status, body, who came through, how often the keys were read."""
    desk = Desk()
    PROVIDER.reads = 0
    async with PROVIDER.serving() as provider:
        made = settings(provider.url)
        table = routes(TeamsSeam(made), desk, made.teams.tenant)
        async with served(table) as url, aiohttp.ClientSession() as session:
            kind = {"data": raw} if raw is not None else {"json": body}
            async with session.post(f"{url}{PATH}", headers=headers, **kind) as answer:  # type: ignore[arg-type]
                return answer.status, await answer.text(), desk.came, provider.reads


BAD: dict[str, Any] = {
    "no header": None,
    "empty header": "",
    "garbage": "Bearer not.a.token",
    "another scheme": "Basic dXNlcjpwYXNz",
    "signed by somebody else": lambda: PROVIDER.token(key=PROVIDER.other),
    "unknown key": lambda: PROVIDER.token(kid="k9"),
    "no key named": lambda: PROVIDER.token(kid=None),
    "expired": lambda: PROVIDER.token(exp=PAST),
    "not valid yet": lambda: PROVIDER.token(nbf=FUTURE),
    "without an end": lambda: PROVIDER.token(exp=None),
    "unsigned": PROVIDER.unsigned,
    "signed with a shared secret": lambda: PROVIDER.token(key="s" * 64, alg="HS256"),
    "for another app": lambda: PROVIDER.token(aud="another-app"),
    "without an audience": lambda: PROVIDER.token(aud=None),
    "by another issuer": lambda: PROVIDER.token(iss="https://evil.example"),
    "of the Emulator's issuer": lambda: PROVIDER.token(
        iss="https://sts.windows.net/d6d49420-f39b-4df7-a1dc-d59a935871db/", appid=APP, ver="1.0"
    ),
    "for another service URL": lambda: PROVIDER.token(serviceurl="https://evil.example/"),
    "without a service URL": lambda: PROVIDER.token(serviceurl=None),
    "by a key of another channel": lambda: PROVIDER.token(key=PROVIDER.unendorsed, kid="k2"),
    "two tokens": lambda: PROVIDER.token() + " " + PROVIDER.token().split()[1],
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("what", [activity(), press("gh.review", {"c": "c-1"})], ids=["message", "invoke"])
async def test_a_bad_token_is_401_and_reaches_nobody(name: str, what: dict[str, Any]) -> None:
    made = BAD[name]
    given = made() if callable(made) else made
    status, text, came, _ = await send({} if given is None else {"Authorization": given}, what)
    assert (status, text, came) == (401, '{"error": "not authorised"}', [])


async def test_the_right_token_passes_and_keys_are_read_once() -> None:
    status, _, came, reads = await send({"Authorization": PROVIDER.token()}, activity())
    assert (status, came, reads) == (200, ["seen aaaaaaaa-0000-4000-8000-000000000001", "said"], 1)
    status, text, came, _ = await send({"Authorization": PROVIDER.token()}, press("gh.review", {"c": "c-1"}))
    assert (status, came[1:]) == (200, ["invoked"])
    assert '"value": "ok"' in text


@pytest.mark.parametrize(
    ("more", "status"),
    [
        ({"channelId": "webchat"}, 401),
        ({"channelId": "emulator"}, 401),
        ({"serviceUrl": None}, 401),
        ({"serviceUrl": "https://evil.example/"}, 401),
        ({"channelData": {"tenant": {"id": "another"}}}, 403),
        ({"channelData": {}}, 403),
        ({"channelData": "x"}, 403),
        ({"from": {}}, 400),
        ({"conversation": None}, 400),
    ],
)
async def test_a_good_token_for_something_else(more: dict[str, Any], status: int) -> None:
    got, _, came, _ = await send({"Authorization": PROVIDER.token()}, activity(**more))
    assert (got, came) == (status, [])


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b"null", b"\xff"])
async def test_what_cannot_be_read_is_not_authorised(raw: bytes) -> None:
    status, _, came, _ = await send({"Authorization": PROVIDER.token()}, None, raw=raw)
    assert (status, came) == (401, [])


async def test_too_large_is_not_read() -> None:
    status, _, came, _ = await send({"Authorization": PROVIDER.token()}, None, raw=b"x" * 300_000)
    assert (status, came) == (413, [])


async def test_a_new_key_is_found_but_unknown_ones_do_not_make_us_ask_all_the_time() -> None:
    now = [1000.0]
    PROVIDER.reads = 0
    async with PROVIDER.serving() as provider:
        seam = TeamsSeam(settings(provider.url))
        seam._keys._clock = lambda: now[0]
        await seam.verify(provider.token(), activity())
        for _ in range(5):
            with pytest.raises(NotAuthorised):
                await seam.verify(provider.token(kid="k9"), activity())
        assert provider.reads == 1
        provider.keys.append(provider._jwk(provider.other, "k9", ["msteams"]))
        now[0] += keys_module.KEYS_PAUSE
        try:
            await seam.verify(provider.token(key=provider.other, kid="k9"), activity())
        finally:
            provider.keys.pop()
        assert provider.reads == 2


async def test_old_keys_hold_while_the_provider_is_away() -> None:
    now = [1000.0]
    async with PROVIDER.serving() as provider:
        seam = TeamsSeam(settings(provider.url))
        seam._keys._clock = lambda: now[0]
        await seam.warm()
    now[0] += keys_module.KEYS_LAST + 1
    assert (await seam.verify(PROVIDER.token(), activity())).service_url == SERVICE


async def test_without_any_keys_nobody_is_believed() -> None:
    seam = TeamsSeam(settings("http://127.0.0.1:9/oidc"))
    with pytest.raises(NotAuthorised):
        await seam.verify(PROVIDER.token(), activity())


@pytest.mark.parametrize(
    ("teams", "more", "said"),
    [
        ({"tenant": TENANT}, {}, "without an app id"),
        ({"app_id": APP}, {}, "without a tenant"),
        ({"app_id": APP, "tenant": TENANT}, {"teams_app_password": None}, "no password"),
        ({"without_login": True, "app_id": APP}, {}, "local Teams only"),
        ({"without_login": True}, {"host": "0.0.0.0"}, "local Teams only"),
        ({"openid_url": "https://evil.example/oidc"}, {}, "not Microsoft's"),
        ({"openid_url": "http://login.botframework.com/v1"}, {}, "not Microsoft's"),
        ({"openid_url": "http://127.0.0.1:9/oidc"}, {}, "not Microsoft's"),  # the service is not on this machine
        ({"openid_url": "http://127.0.0.1:9/oidc", "service_url": SERVICE}, {"host": "0.0.0.0"}, "not Microsoft's"),
        ({"openid_url": "https://login.botframework.com.evil.example/", "service_url": SERVICE}, {}, "not Microsoft's"),
    ],
)
def test_a_door_anybody_could_open_is_not_served(teams: dict[str, Any], more: dict[str, Any], said: str) -> None:
    made = Settings(**{"teams": TeamsSettings(**teams), "teams_app_password": SecretStr("x"), **more})
    with pytest.raises(SettingsError, match=said):
        TeamsSeam(made)


async def test_a_managed_identity_needs_no_password() -> None:
    made = Settings(teams=TeamsSettings(app_id=APP, tenant=TENANT, app_type="UserAssignedMSI"))
    assert await TeamsSeam(made, read_token=lambda: "t").token() == "t"


async def test_a_bot_of_a_local_teams_answers_no_other() -> None:
    async with PROVIDER.serving() as provider:
        real = "https://smba.trafficmanager.net/emea/"
        with pytest.raises(NotAuthorised):
            await TeamsSeam(settings(provider.url)).verify(provider.token(serviceurl=real), activity(serviceUrl=real))


async def test_without_login_only_a_local_teams_is_answered() -> None:
    seam = TeamsSeam(Settings(teams=TeamsSettings(without_login=True)))
    local = activity(serviceUrl="http://127.0.0.1:56150/_connector")
    assert (await seam.verify(None, local)).service_url == local["serviceUrl"]
    with pytest.raises(NotAuthorised):
        await seam.verify(None, activity(serviceUrl="https://smba.trafficmanager.net/emea/"))
    assert await seam.token() == ""


async def test_our_token_is_asked_once_and_anew_when_it_was_not_taken() -> None:
    asked: list[int] = []

    def read() -> str:
        asked.append(1)
        return f"t{len(asked)}"

    seam = TeamsSeam(settings("http://127.0.0.1:9/oidc"), read_token=read)
    assert [await seam.token(), await seam.token()] == ["t1", "t1"]
    seam.drop_token()
    assert await seam.token() == "t2"
