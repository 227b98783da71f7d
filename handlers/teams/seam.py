"""The one module that knows Microsoft's SDK (botbuilder 4.17): who sent an activity, and our token for answering.

Everything else handles plain dicts and the connector's REST API (``wire.py``), which is the same for every SDK of
Microsoft's, so another one changes only this file.

What is done otherwise than the SDK does it
- ``CloudAdapter.process`` is not used: it breaks every invoke. The SDK authenticates, the route is ours.
- Whatever the SDK raises while it authenticates is "not authorised": it raises anything from KeyError to IndexError.
- Signing keys are read without blocking the event loop, and held in the SDK's own cache; an unknown key id makes them
  be read anew, at most every five minutes. (The SDK reads them with ``requests`` on the loop, and dies on an unknown.)
- A token must name its key and its end, its key must be endorsed for Teams, and only the channel's issuer is heard:
  not the Emulator's, not another bot's.
- Without an app id the SDK checks nothing. That is refused, except for ``without_login`` on a loopback host.
- Only Microsoft's keys are believed. Those of this machine are, too, where all of Teams is on it (the sandbox): then
  nothing of any other machine is answered.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import jwt
from botbuilder.integration.aiohttp import (
    ConfigurationBotFrameworkAuthentication,
    ConfigurationServiceClientCredentialFactory,
)
from botbuilder.schema import Activity
from botframework.connector.auth.jwt_token_extractor import JwtTokenExtractor
from jwt.algorithms import RSAAlgorithm

from bot.domain.errors import Refused, Relogin, RetryLater, SettingsError
from bot.settings import Settings

log = logging.getLogger(__name__)
CHANNEL = "msteams"
KEYS_LAST = 24 * 3600.0  # seconds
KEYS_PAUSE = 300.0  # between two readings for an unknown key id
TOKEN_LAST = 300.0  # MSAL keeps the token itself; how long it is not asked again
SCOPE = "https://api.botframework.com"
LOGIN = "https://login.microsoftonline.com/"
KEY_HOSTS = {"login.botframework.com", "login.botframework.azure.us", "login.botframework.azure.cn"}  # and the clouds'


class NotAuthorised(Exception):
    """The request is not from the channel. Only the class of what was wrong is logged."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Whom a verified request came from."""

    issuer: str
    service_url: str


@dataclass(frozen=True, slots=True)
class _Key:
    """What the SDK asks a key for."""

    public_key: Any
    endorsements: list[str]


class _Keys:
    """Stands in the SDK's cache in place of its own reader."""

    def __init__(self, url: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._url, self._clock = url, clock
        self._held: dict[str, _Key] = {}
        self._read_at: float | None = None
        self._lock = asyncio.Lock()

    async def get(self, key_id: str | None) -> _Key:
        """``LookupError`` for an unknown one, ``PermissionError`` for one that does not speak for Teams."""
        if not key_id:
            raise LookupError("the token names no key")
        await self._fresh(KEYS_LAST)
        if key_id not in self._held:
            await self._fresh(KEYS_PAUSE)
        found = self._held.get(key_id)
        if found is None:
            raise LookupError("the token's key is not one of the channel's")
        if CHANNEL not in found.endorsements:
            raise PermissionError("the key is not endorsed for this channel")
        return found

    async def _fresh(self, seconds: float) -> None:
        async with self._lock:
            if self._read_at is not None and self._clock() - self._read_at < seconds:
                return
            try:
                self._held = await self._read()
            except (aiohttp.ClientError, TimeoutError, OSError, ValueError, KeyError, TypeError) as error:
                if self._read_at is None:
                    raise
                log.warning("the channel's keys could not be read (%s); the old ones still hold", type(error).__name__)
            self._read_at = self._clock()

    async def _read(self) -> dict[str, _Key]:
        timeout = aiohttp.ClientTimeout(total=10)
        async with aiohttp.ClientSession(timeout=timeout, raise_for_status=True) as session:
            async with session.get(self._url) as answer:
                named = (await answer.json(content_type=None))["jwks_uri"]
            async with session.get(named) as answer:
                keys = (await answer.json(content_type=None))["keys"]
        made = {}
        for key in keys:
            if isinstance(key, dict) and key.get("kty") == "RSA" and key.get("kid"):
                made[str(key["kid"])] = _Key(RSAAlgorithm.from_jwk(json.dumps(key)), list(key.get("endorsements", ())))
        return made


class TeamsSeam:
    """``verify`` what comes in; ``token`` for what goes out."""

    def __init__(self, settings: Settings, *, read_token: Callable[[], str] | None = None) -> None:
        """Raises ``SettingsError`` where anybody could pretend to be Teams. ``read_token`` blocks; for tests."""
        teams = settings.teams
        check_settings(settings)
        self._open = teams.without_login
        self._local = self._open or is_loopback(urlsplit(teams.openid_url).hostname or "")
        self._teams = teams
        self._read_token = read_token
        self._token: tuple[str, float] | None = None
        self._lock = asyncio.Lock()
        if self._open:
            return
        password = settings.teams_app_password
        self._config = SimpleNamespace(
            APP_ID=teams.app_id,
            APP_PASSWORD=password.get_secret_value() if password else "",
            APP_TYPE=teams.app_type,
            APP_TENANTID=teams.tenant,
            TO_CHANNEL_FROM_BOT_LOGIN_URL=f"{LOGIN}{teams.tenant}",
            TO_CHANNEL_FROM_BOT_OAUTH_SCOPE=SCOPE,
            TO_BOT_FROM_CHANNEL_TOKEN_ISSUER=teams.issuer,
            TO_BOT_FROM_CHANNEL_OPENID_METADATA_URL=teams.openid_url,
            TO_BOT_FROM_EMULATOR_OPENID_METADATA_URL=teams.openid_url,
            OAUTH_URL="https://token.botframework.com/",
            VALIDATE_AUTHORITY=True,
            CALLER_ID="urn:botframework:azure",
        )
        self._credentials = ConfigurationServiceClientCredentialFactory(self._config)
        self._sdk = ConfigurationBotFrameworkAuthentication(self._config, credentials_factory=self._credentials)
        self._keys = JwtTokenExtractor.metadataCache[teams.openid_url] = _Keys(teams.openid_url)

    async def warm(self) -> None:
        """Keys and token, before anybody waits for them. What cannot be read now is read at the first request."""
        if self._open:
            return
        try:
            await self._keys._fresh(KEYS_LAST)
            await self.token()
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError, KeyError, TypeError, Relogin, RetryLater) as e:
            log.warning("Teams could not be prepared for (%s); trying again at the first request", type(e).__name__)

    async def verify(self, authorization: str | None, activity: Mapping[str, Any]) -> Caller:
        """Raises ``NotAuthorised``, for every reason there is."""
        service_url = activity.get("serviceUrl")
        if activity.get("channelId") != CHANNEL or not isinstance(service_url, str) or not service_url:
            raise NotAuthorised("not an activity of Teams")
        if self._local and not is_loopback(urlsplit(service_url).hostname or ""):
            raise NotAuthorised("a bot of a local Teams answers no other")
        if self._open:
            return Caller("", service_url)
        try:
            scheme, _, token = (authorization or "").partition(" ")
            if scheme != "Bearer" or not token:
                raise PermissionError("no bearer token")
            claimed = jwt.decode(token, options={"verify_signature": False})
            if claimed.get("iss") != self._teams.issuer or "exp" not in claimed:
                raise PermissionError("not the channel's token, or one without an end")
            seen = Activity().deserialize(
                {k: activity[k] for k in ("type", "channelId", "serviceUrl") if k in activity}
            )
            result = await self._sdk.authenticate_request(seen, authorization)
            claims = result.claims_identity.claims
        except Exception as error:
            log.warning("a request to the Teams endpoint is not authorised (%s)", type(error).__name__)
            raise NotAuthorised(type(error).__name__) from None
        # Said once more in our own words: the SDK's checks are many and each has an exception.
        right = claims.get("iss") == self._teams.issuer and claims.get("aud") == self._teams.app_id
        if not right or claims.get("serviceurl") != service_url:
            raise NotAuthorised("claims")
        return Caller(str(claims["iss"]), service_url)

    async def token(self) -> str:
        """Ours for the connector; "" where no login is asked for. Raises ``Relogin`` or ``RetryLater``."""
        if self._open and self._read_token is None:
            return ""
        async with self._lock:
            if self._token is None or time.monotonic() - self._token[1] > TOKEN_LAST:
                try:
                    self._token = (await asyncio.to_thread(self._read_token or self._from_entra), time.monotonic())
                except PermissionError as error:
                    raise Relogin(
                        "Entra gives the Teams bot no token.",
                        mend="Check teams.app_id, teams.tenant and GATEHOUSE_TEAMS_APP_PASSWORD.",
                    ) from error
                except Exception as error:
                    raise RetryLater(f"Entra does not answer ({type(error).__name__}).") from error
            return self._token[0]

    def drop_token(self) -> None:
        """It was not taken: ask anew."""
        self._token = None

    def _from_entra(self) -> str:
        made = asyncio.run(
            self._credentials.create_credentials(
                self._teams.app_id, SCOPE, self._config.TO_CHANNEL_FROM_BOT_LOGIN_URL, True
            )
        )
        return str(made.get_access_token())


def check_settings(settings: Settings) -> None:
    """Whether Teams may be served with these at all."""
    teams = settings.teams
    if teams.without_login:
        if teams.app_id or not is_loopback(settings.host):
            raise SettingsError(
                "teams.without_login is for a local Teams only: anybody who reaches the port could be anybody",
                mend="Remove it, or leave teams.app_id empty and set host to 127.0.0.1.",
            )
        return
    keys, served = urlsplit(teams.openid_url), urlsplit(teams.service_url).hostname or ""
    official = keys.scheme == "https" and keys.hostname in KEY_HOSTS
    if not official and not all(map(is_loopback, (keys.hostname or "", settings.host, served))):
        raise SettingsError(
            "teams.openid_url names keys that are not Microsoft's: whoever serves them could be anybody in Teams",
            mend="Remove it. Keys of this machine are for a local Teams only: host, openid_url and service_url all on "
            "loopback.",
        )
    if not teams.app_id:
        raise SettingsError(
            "Teams is enabled without an app id: its requests could not be checked",
            mend="Set teams.app_id to the bot's app id (or teams.without_login for a local Teams).",
        )
    if not teams.tenant:
        raise SettingsError("Teams is enabled without a tenant", mend="Set teams.tenant to the Entra tenant id.")
    if teams.app_type == "SingleTenant" and settings.teams_app_password is None:
        raise SettingsError(
            "the Teams bot has no password",
            mend="Set GATEHOUSE_TEAMS_APP_PASSWORD to its client secret, or teams.app_type to UserAssignedMSI.",
        )


def is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def require_tenant(tenant: str, ours: str) -> None:
    """Only people of our tenant are heard. Raises ``Refused``."""
    if not tenant or (ours and tenant != ours):
        raise Refused("Gatehouse takes nothing from another organisation.")
