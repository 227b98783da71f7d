"""Our token: over a local Entra and a local managed identity endpoint that keep their rules; when it is renewed."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import requests
from aiohttp import web
from pydantic import SecretStr
from requests.adapters import HTTPAdapter

from bot.domain.errors import Relogin, RetryLater
from bot.settings import Settings, TeamsSettings
from handlers.teams import tokens as module
from handlers.teams.tokens import MARGIN, PAUSE, Token, Tokens, reader

from .world import APP, TENANT, served

RESOURCE = "https://api.botframework.com"
HOST = "https://login.microsoftonline.com"


class Entra:
    """The v2 token endpoint of one tenant with one app."""

    def __init__(self) -> None:
        self.asked = 0
        self.secret, self.expired = "right", ""
        self.broken: list[tuple[int, dict[str, Any]]] = []

    def _no(self, status: int, error: str, code: int) -> web.Response:
        said = {"error": error, "error_description": f"AADSTS{code}: secret words of Entra", "error_codes": [code]}
        return web.json_response(said, status=status)

    async def _discovery(self, request: web.Request) -> web.Response:
        if request.match_info["tenant"] != TENANT:
            return self._no(400, "invalid_tenant", 90002)
        base = f"{HOST}/{TENANT}"
        return web.json_response({
            "issuer": f"{base}/v2.0", "token_endpoint": f"{base}/oauth2/v2.0/token",
            "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
        })  # fmt: skip

    async def _token(self, request: web.Request) -> web.Response:
        self.asked += 1
        form = await request.post()
        if self.broken:
            status, body = self.broken.pop(0)
            return web.json_response(body, status=status)
        if request.match_info["tenant"] != TENANT:
            return self._no(400, "invalid_tenant", 90002)
        if form.get("grant_type") != "client_credentials":
            return self._no(400, "unsupported_grant_type", 70003)
        if form.get("client_id") != APP:
            return self._no(400, "unauthorized_client", 700016)
        if form.get("scope") != f"{RESOURCE}/.default":
            return self._no(400, "invalid_scope", 70011)
        if self.expired and form.get("client_secret") == self.expired:
            return self._no(401, "invalid_client", 7000222)
        if form.get("client_secret") != self.secret:
            return self._no(401, "invalid_client", 7000215)
        return web.json_response({"token_type": "Bearer", "expires_in": 3599, "access_token": f"entra-{self.asked}"})

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[requests.Session]:
        """A session whose way to Entra leads here."""
        table = [
            web.get("/{tenant}/v2.0/.well-known/openid-configuration", self._discovery),
            web.post("/{tenant}/oauth2/v2.0/token", self._token),
        ]
        async with served(table) as url:

            class Here(HTTPAdapter):
                def send(self, request: Any, *given: Any, **more: Any) -> Any:
                    request.url = request.url.replace(HOST, url)
                    return super().send(request, *given, **more)

            session = module._session()
            session.trust_env = False
            session.mount("https://", Here())
            yield session


class Machine:
    """The instance metadata service of a virtual machine, and App Service's own endpoint."""

    def __init__(self) -> None:
        self.asked = 0
        self.broken: list[tuple[int, Any, dict[str, str]]] = []
        self.wait = 0.0

    async def _vm(self, request: web.Request) -> web.Response:
        self.asked += 1
        await asyncio.sleep(self.wait)
        if self.broken:
            status, body, headers = self.broken.pop(0)
            return web.json_response(body, status=status, headers=headers)
        if request.headers.get("Metadata") != "true" or "X-Forwarded-For" in request.headers:
            return web.json_response(
                {"error": "invalid_request", "error_description": "Required metadata header"}, status=400
            )
        query = request.query
        if query.get("api-version") != "2018-02-01":
            return web.json_response({"error": "bad_request_102"}, status=400)
        if query.get("resource") != RESOURCE:
            return web.json_response({"error": "invalid_resource"}, status=400)
        if query.get("client_id") != APP:
            return web.json_response(
                {"error": "invalid_request", "error_description": "Identity not found"}, status=400
            )
        return web.json_response({"access_token": f"vm-{self.asked}", "expires_in": "86400", "resource": RESOURCE,
                                  "expires_on": str(int(time.time()) + 86400), "token_type": "Bearer"})  # fmt: skip

    async def _app_service(self, request: web.Request) -> web.Response:
        self.asked += 1
        query = request.query
        if request.headers.get("X-IDENTITY-HEADER") != "secret-header":
            return web.json_response({"statusCode": 401, "message": "no"}, status=401)
        if (
            query.get("api-version") != "2019-08-01"
            or query.get("resource") != RESOURCE
            or query.get("client_id") != APP
        ):
            return web.json_response({"statusCode": 400, "message": "no"}, status=400)
        return web.json_response({"access_token": f"app-{self.asked}", "expires_on": str(int(time.time()) + 7200),
                                  "resource": RESOURCE, "token_type": "Bearer"})  # fmt: skip

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        table = [web.get("/metadata/identity/oauth2/token", self._vm), web.get("/msi/token", self._app_service)]
        async with served(table) as url:
            yield url


@pytest.fixture(autouse=True)
def nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not on any machine of Azure's, and behind a proxy that must not be used."""
    for name in ("IDENTITY_ENDPOINT", "IDENTITY_HEADER", "IDENTITY_SERVER_THUMBPRINT", "MSI_ENDPOINT", "MSI_SECRET",
                 "IMDS_ENDPOINT", "AZURE_POD_IDENTITY_AUTHORITY_HOST", "no_proxy", "NO_PROXY"):  # fmt: skip
        monkeypatch.delenv(name, raising=False)
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")


def single(tenant: str = TENANT, app: str = APP, password: str = "right") -> Settings:
    return Settings(teams=TeamsSettings(app_id=app, tenant=tenant), teams_app_password=SecretStr(password))


def managed(app: str = APP) -> Settings:
    return Settings(teams=TeamsSettings(app_id=app, tenant=TENANT, app_type="UserAssignedMSI"))


async def test_a_secret_gives_a_token_and_each_reading_another() -> None:
    async with Entra().serving() as session:
        read = reader(single(), session=session)
        assert await asyncio.to_thread(read) == Token("entra-1", 3599.0)
        assert (await asyncio.to_thread(read)).value == "entra-2"


@pytest.mark.parametrize(
    ("settings", "mend"),
    [
        (single(password="wrong"), "is not the app's client secret"),
        (single(password="old"), "The client secret has expired"),
        (single(app="22222222-aaaa-4bbb-8ccc-222222222222"), "not known in the tenant"),
        (single(tenant="88888888-0000-4000-8000-000000000001"), "teams.tenant"),
    ],
)
async def test_a_no_of_entra_says_what_to_mend(settings: Settings, mend: str) -> None:
    entra = Entra()
    entra.expired = "old"
    async with entra.serving() as session:
        with pytest.raises(Relogin, match=mend) as found:
            await asyncio.to_thread(reader(settings, session=session))
    assert "secret words" not in str(found.value)
    assert not any(word in str(found.value) for word in ("wrong", "old"))


@pytest.mark.parametrize(
    ("status", "body"),
    [(400, {"error": "temporarily_unavailable", "error_codes": [90033]}), (503, {}), (500, {"error": "server_error"})],
)
async def test_a_busy_entra_is_asked_again(status: int, body: dict[str, Any]) -> None:
    entra = Entra()
    entra.broken = [(status, body)]
    async with entra.serving() as session:
        held = Tokens(reader(single(), session=session))
        with pytest.raises(RetryLater):
            await held.get()
        assert (await held.get()).startswith("entra-")


async def test_a_managed_identity_of_a_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Machine().serving() as url:
        monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", url)
        assert await asyncio.to_thread(reader(managed())) == Token("vm-1", 86400.0)


async def test_a_managed_identity_of_app_service(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Machine().serving() as url:
        monkeypatch.setenv("IDENTITY_ENDPOINT", f"{url}/msi/token")
        monkeypatch.setenv("IDENTITY_HEADER", "secret-header")
        found = await asyncio.to_thread(reader(managed()))
        assert (found.value, 7000 < found.seconds <= 7200) == ("app-1", True)
        monkeypatch.setenv("IDENTITY_HEADER", "another")
        with pytest.raises(Relogin, match="Assign the managed identity"):
            await asyncio.to_thread(reader(managed()))


async def test_an_identity_that_is_not_assigned_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Machine().serving() as url:
        monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", url)
        with pytest.raises(Relogin, match="Assign the managed identity"):
            await asyncio.to_thread(reader(managed("22222222-aaaa-4bbb-8ccc-222222222222")))


@pytest.mark.parametrize("status", [404, 410, 429, 500, 503])
async def test_an_endpoint_that_is_being_updated_is_asked_again(monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    machine = Machine()
    machine.broken = [(status, {"error": "busy"}, {"Retry-After": "7"})]
    async with machine.serving() as url:
        monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", url)
        held = Tokens(reader(managed()))
        with pytest.raises(RetryLater) as found:
            await held.get()
        assert found.value.after == 7.0
        assert await held.get() == "vm-2"


async def test_an_endpoint_that_does_not_answer_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine()
    machine.wait = 1.0
    monkeypatch.setattr(module, "PATIENCE", (0.2, 0.2))
    async with machine.serving() as url:
        monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", url)
        begun = time.monotonic()
        with pytest.raises(RetryLater, match="does not answer"):
            await Tokens(reader(managed())).get()
        assert time.monotonic() - begun < 2.0
        machine.wait = 0.0


async def test_a_redirect_of_the_endpoint_is_not_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    async def elsewhere(_: web.Request) -> web.Response:
        raise web.HTTPFound("http://127.0.0.1:9/")

    async with served([web.get("/metadata/identity/oauth2/token", elsewhere)]) as url:
        monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", url)
        with pytest.raises((Relogin, RetryLater)):
            await Tokens(reader(managed())).get()


class Read:
    """Tokens that hold an hour; may be held up or fail."""

    def __init__(self) -> None:
        self.count, self.fail = 0, False
        self.gate = threading.Event()
        self.gate.set()
        self.thread = ""

    def __call__(self) -> Token:
        self.gate.wait(5)
        self.count += 1
        self.thread = threading.current_thread().name
        if self.fail:
            raise OSError("no network")
        return Token(f"t{self.count}", 3600.0)


def ticking() -> tuple[list[float], Callable[[], float]]:
    now = [1000.0]
    return now, lambda: now[0]


async def settle() -> None:
    for _ in range(50):
        await asyncio.sleep(0.005)


async def test_many_who_wait_share_one_reading_off_the_loop() -> None:
    read, (_, clock) = Read(), ticking()
    held = Tokens(read, clock)
    read.gate.clear()
    waiting = [asyncio.create_task(held.get()) for _ in range(20)]
    await asyncio.sleep(0.02)  # the loop goes on
    read.gate.set()
    assert await asyncio.gather(*waiting) == ["t1"] * 20
    assert (read.count, read.thread != threading.main_thread().name) == (1, True)


async def test_it_is_renewed_before_its_end_and_nobody_waits() -> None:
    read, (now, clock) = Read(), ticking()
    held = Tokens(read, clock)
    assert await held.get() == "t1"
    now[0] += 3600 - MARGIN - 1
    assert await held.get() == "t1"
    await settle()
    assert read.count == 1
    now[0] += 2
    read.gate.clear()
    begun = time.monotonic()
    assert [await held.get() for _ in range(5)] == ["t1"] * 5  # the old one holds while the new one is read
    assert time.monotonic() - begun < 0.5
    read.gate.set()
    await settle()
    assert (await held.get(), read.count) == ("t2", 2)


async def test_a_renewal_that_fails_is_tried_again_later_and_the_old_one_holds_to_its_end() -> None:
    read, (now, clock) = Read(), ticking()
    held = Tokens(read, clock)
    await held.get()
    read.fail = True
    now[0] += 3600 - MARGIN + 1
    for _ in range(5):
        assert await held.get() == "t1"
        await settle()
    assert read.count == 2
    now[0] += PAUSE
    await held.get()
    await settle()
    assert read.count == 3
    now[0] += MARGIN
    with pytest.raises(RetryLater):
        await held.get()
    read.fail = False
    assert await held.get() == "t5"


async def test_one_that_was_not_taken_is_read_anew() -> None:
    read, (_, clock) = Read(), ticking()
    held = Tokens(read, clock)
    assert await held.get() == "t1"
    held.drop()
    assert await held.get() == "t2"


async def test_who_gives_up_waiting_does_not_stop_it_for_the_others() -> None:
    read, (_, clock) = Read(), ticking()
    held = Tokens(read, clock)
    read.gate.clear()
    impatient, patient = asyncio.create_task(held.get()), asyncio.create_task(held.get())
    await asyncio.sleep(0.02)
    impatient.cancel()
    read.gate.set()
    assert await patient == "t1"


async def test_a_quiet_bot_has_a_token_that_holds_when_somebody_comes() -> None:
    """As ``TeamsSide`` does it: asked for every four minutes, whether or not anybody needs it."""
    read, (now, clock) = Read(), ticking()
    held = Tokens(read, clock)
    for _ in range(3 * 3600 // 240):
        begun = time.monotonic()
        token = await held.get()
        assert time.monotonic() - begun < 0.5
        assert token in {f"t{read.count}", f"t{read.count - 1}"}
        await asyncio.sleep(0.002)
        now[0] += 240
    assert read.count >= 3
