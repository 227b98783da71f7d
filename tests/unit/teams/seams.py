"""Other seams than the one in use, over the same contract: one of nothing but PyJWT, one of Microsoft's next SDK.

Each takes settings and a function that reads our token (blocking), as ``TeamsSeam`` does.
"""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import Callable, Mapping
from typing import Any

import aiohttp
import jwt

from bot.domain.errors import RetryLater
from bot.settings import Settings
from handlers.teams.contract import Caller, NotAuthorised, Seam
from handlers.teams.seam import TeamsSeam, check_settings

Read = Callable[[], str]


class _OwnToken:
    def __init__(self, read: Read) -> None:
        self._read, self._held = read, ""

    async def token(self) -> str:
        if not self._held:
            try:
                self._held = await asyncio.to_thread(self._read)
            except OSError as error:
                raise RetryLater("no token") from error
        return self._held

    def drop_token(self) -> None:
        self._held = ""


class PlainSeam(_OwnToken):
    def __init__(self, settings: Settings, read: Read) -> None:
        super().__init__(read)
        check_settings(settings)
        self._teams = settings.teams
        self._keys: dict[str, dict[str, Any]] = {}

    async def _get(self, url: str) -> Any:
        async with aiohttp.ClientSession(raise_for_status=True) as session, session.get(url) as answer:
            return await answer.json()

    async def warm(self) -> None:
        try:
            keys = await self._get((await self._get(self._teams.openid_url))["jwks_uri"])
        except (aiohttp.ClientError, OSError):
            return
        self._keys = {key["kid"]: key for key in keys["keys"]}

    async def verify(self, authorization: str | None, activity: Mapping[str, Any]) -> Caller:
        try:
            scheme, _, token = (authorization or "").partition(" ")
            if scheme != "Bearer" or activity.get("channelId") != "msteams" or not activity.get("serviceUrl"):
                raise ValueError("not an activity of Teams")
            kid = jwt.get_unverified_header(token)["kid"]
            if kid not in self._keys:
                await self.warm()
            key = self._keys[kid]
            if "msteams" not in key["endorsements"]:
                raise ValueError("endorsements")
            claims = jwt.decode(
                token, jwt.PyJWK(key).key, algorithms=["RS256"], audience=self._teams.app_id,
                issuer=self._teams.issuer, leeway=300, options={"require": ["exp", "iss", "aud"]},
            )  # fmt: skip
            if claims["serviceurl"] != activity["serviceUrl"]:
                raise ValueError("serviceurl")
        except Exception as error:
            raise NotAuthorised(type(error).__name__) from None
        return Caller(claims["iss"], claims["serviceurl"])


class AgentsSeam(PlainSeam):
    """On ``microsoft-agents-hosting-core``, which verifies signature, audience and end; endorsements, service URL and
    the channel's issuer it leaves to others."""

    def __init__(self, settings: Settings, read: Read) -> None:
        super().__init__(settings, read)
        from microsoft_agents.hosting.core import AgentAuthConfiguration
        from microsoft_agents.hosting.core.authorization.jwt import jwt_token_validator as validator

        validator.JwtTokenValidator._jwk_client_manager = validator._JwkClientManager()  # else it keeps its keys
        self._validator = validator
        self._agent = validator.JwtTokenValidator(
            AgentAuthConfiguration(client_id=self._teams.app_id, tenant_id=self._teams.tenant, client_secret="x")
        )

    async def verify(self, authorization: str | None, activity: Mapping[str, Any]) -> Caller:
        try:
            scheme, _, token = (authorization or "").partition(" ")
            if scheme != "Bearer" or activity.get("channelId") != "msteams" or not activity.get("serviceUrl"):
                raise ValueError("not an activity of Teams")
            named = (await self._get(self._teams.openid_url))["jwks_uri"]
            self._validator.BOTFRAMEWORK_JWKS_URIS[self._teams.issuer] = named
            claims = (await self._agent.validate_token(token)).claims
            endorsed = {key["kid"]: key["endorsements"] for key in (await self._get(named))["keys"]}
            if "msteams" not in endorsed[jwt.get_unverified_header(token)["kid"]]:
                raise ValueError("endorsements")
            if claims["iss"] != self._teams.issuer or "exp" not in claims:
                raise ValueError("issuer or end")
            if claims["serviceurl"] != activity["serviceUrl"]:
                raise ValueError("serviceurl")
        except Exception as error:
            raise NotAuthorised(type(error).__name__) from None
        return Caller(claims["iss"], claims["serviceurl"])


def botbuilder(settings: Settings, read: Read) -> Seam:
    return TeamsSeam(settings, read_token=read)


SEAMS: dict[str, Callable[[Settings, Read], Seam]] = {"botbuilder": botbuilder, "plain": PlainSeam}
if importlib.util.find_spec("microsoft_agents"):  # pip install microsoft-agents-hosting-core
    SEAMS["agents"] = AgentsSeam
