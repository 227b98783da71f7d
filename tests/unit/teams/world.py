"""A local identity provider and connector, and activities as Teams sends them."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import jwt
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm
from pydantic import SecretStr

from bot.settings import Settings, TeamsSettings

APP, TENANT = "11111111-aaaa-4bbb-8ccc-222222222222", "99999999-0000-4000-8000-000000000001"
ALICE, BOB = "aaaaaaaa-0000-4000-8000-000000000001", "bbbbbbbb-0000-4000-8000-000000000002"
ISSUER = "https://api.botframework.com"
SERVICE = "http://127.0.0.1:9/emea/"  # local, as the keys are: see handlers/teams/seam.py
CHANNEL = "19:alerts@thread.tacv2"


class Provider:
    """Signs tokens; serves the keys that speak for Teams and one that does not."""

    def __init__(self) -> None:
        self.key, self.other, self.unendorsed = (rsa.generate_private_key(65537, 2048) for _ in range(3))
        self.reads = 0
        self.url = ""
        self.keys = [self._jwk(self.key, "k1", ["msteams"]), self._jwk(self.unendorsed, "k2", ["webchat"])]

    @staticmethod
    def _jwk(key: Any, kid: str, endorsements: list[str]) -> dict[str, Any]:
        return {**json.loads(RSAAlgorithm.to_jwk(key.public_key())), "kid": kid, "endorsements": endorsements}

    def claims(self, **more: Any) -> dict[str, Any]:
        now = int(time.time())
        base = {"iss": ISSUER, "aud": APP, "serviceurl": SERVICE, "nbf": now - 10, "exp": now + 600}
        return {key: value for key, value in {**base, **more}.items() if value is not None}

    def token(self, *, key: Any = None, kid: str | None = "k1", alg: str = "RS256", **more: Any) -> str:
        headers = {"kid": kid} if kid else {}
        return "Bearer " + jwt.encode(self.claims(**more), key or self.key, algorithm=alg, headers=headers)

    def unsigned(self) -> str:
        def part(thing: dict[str, Any]) -> str:
            return base64.urlsafe_b64encode(json.dumps(thing).encode()).rstrip(b"=").decode()

        return f"Bearer {part({'alg': 'none', 'typ': 'JWT', 'kid': 'k1'})}.{part(self.claims())}."

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[Provider]:
        async def oidc(request: web.Request) -> web.Response:
            return web.json_response({"issuer": ISSUER, "jwks_uri": str(request.url.with_path("/keys"))})

        async def keys(_: web.Request) -> web.Response:
            self.reads += 1
            return web.json_response({"keys": self.keys})

        async with served([web.get("/oidc", oidc), web.get("/keys", keys)]) as url:
            self.url = f"{url}/oidc"
            yield self


@asynccontextmanager
async def served(table: list[web.RouteDef]) -> AsyncIterator[str]:
    app = web.Application()
    app.add_routes(table)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def settings(openid_url: str = "", **more: Any) -> Settings:
    own = {"openid_url": openid_url, "service_url": SERVICE} if openid_url else {}
    teams: dict[str, Any] = {"enabled": True, "app_id": APP, "tenant": TENANT, **own, **more}
    return Settings(teams=TeamsSettings(**teams), teams_app_password=SecretStr("x"))


def activity(kind: str = "message", user: str = ALICE, **more: Any) -> dict[str, Any]:
    base: dict[str, Any] = {
        "type": kind, "id": "1795383084137", "channelId": "msteams", "serviceUrl": SERVICE,
        "from": {"id": f"29:{user[:5]}", "name": "somebody", "aadObjectId": user},
        "recipient": {"id": f"28:{APP}", "name": "Gatehouse"},
        "conversation": {"isGroup": True, "conversationType": "channel", "id": f"{CHANNEL};messageid=1795383084137",
                         "tenantId": TENANT},
        "channelData": {"tenant": {"id": TENANT}, "team": {"id": "19:team@thread.tacv2"}, "channel": {"id": CHANNEL}},
    }  # fmt: skip
    return base | more


def press(verb: str, value: dict[str, Any], user: str = ALICE, given: dict[str, str] | None = None,
          **more: Any) -> dict[str, Any]:  # fmt: skip
    data = {"gh": json.dumps(value), **(given or {})}
    action = {"type": "Action.Execute", "title": "x", "verb": verb, "data": data}
    value_ = {"action": action, "trigger": "manual"}
    base = {"name": "adaptiveCard/action", "id": "inv-1", "replyToId": "1795", "value": value_}
    return activity("invoke", user, **(base | more))
