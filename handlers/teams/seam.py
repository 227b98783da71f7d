"""The one module that knows Microsoft's SDK (botbuilder 4.17): who sent an activity, and our token for answering.

Everything else handles plain dicts and the connector's REST API (``wire.py``), which is the same for every SDK of
Microsoft's, so another one changes only this file.

What is done otherwise than the SDK does it
- ``CloudAdapter.process`` is not used: it breaks every invoke. The SDK authenticates, the route is ours.
- Whatever the SDK raises while it authenticates is "not authorised": it raises anything from KeyError to IndexError.
- Signing keys (``keys.py``) are read without blocking the event loop, and stand in the SDK's own cache. (The SDK reads
  them with ``requests`` on the loop, and dies on an unknown one.)
- Our own token (``tokens.py``) comes from MSAL, which the SDK uses, too, but without time limits, and for a managed
  identity without a look at what it is answered.
- A token must name its key and its end, its key must be endorsed for Teams, and only the channel's issuer is heard:
  not the Emulator's, not another bot's.
- Without an app id the SDK checks nothing. That is refused, except for ``without_login`` on a loopback host.
- Only Microsoft's keys are believed. Those of this machine are, too, where all of Teams is on it (the sandbox): then
  nothing of any other machine is answered.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from ipaddress import ip_address
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import jwt
from botbuilder.integration.aiohttp import (
    ConfigurationBotFrameworkAuthentication,
    ConfigurationServiceClientCredentialFactory,
)
from botbuilder.schema import Activity
from botframework.connector.auth.jwt_token_extractor import JwtTokenExtractor

from bot.domain.errors import ConnectorError, Refused, SettingsError
from bot.settings import Settings

from .contract import Caller, NotAuthorised
from .keys import CHANNEL, FAULTS, Keys
from .tokens import LOGIN, RESOURCE, Token, Tokens, reader

log = logging.getLogger(__name__)
SKEW = 300.0  # seconds that clocks may differ, as the SDK allows
TOKEN_LAST = 3600.0
KEY_HOSTS = {"login.botframework.com", "login.botframework.azure.us", "login.botframework.azure.cn"}  # and the clouds'


class TeamsSeam:
    """Implements ``contract.Seam``: ``verify`` what comes in; ``token`` for what goes out."""

    def __init__(self, settings: Settings, *, read_token: Callable[[], str] | None = None) -> None:
        """Raises ``SettingsError`` where anybody could pretend to be Teams. ``read_token`` blocks; for tests."""
        teams = settings.teams
        check_settings(settings)
        self._open = teams.without_login
        self._local = self._open or is_loopback(urlsplit(teams.openid_url).hostname or "")
        self._teams = teams
        self._tokens = _tokens(settings, read_token)
        if self._open:
            return
        password = settings.teams_app_password
        config = SimpleNamespace(
            APP_ID=teams.app_id,
            APP_PASSWORD=password.get_secret_value() if password else "",
            APP_TYPE=teams.app_type,
            APP_TENANTID=teams.tenant,
            TO_CHANNEL_FROM_BOT_LOGIN_URL=f"{LOGIN}{teams.tenant}",
            TO_CHANNEL_FROM_BOT_OAUTH_SCOPE=RESOURCE,
            TO_BOT_FROM_CHANNEL_TOKEN_ISSUER=teams.issuer,
            TO_BOT_FROM_CHANNEL_OPENID_METADATA_URL=teams.openid_url,
            TO_BOT_FROM_EMULATOR_OPENID_METADATA_URL=teams.openid_url,
            OAUTH_URL="https://token.botframework.com/",
            VALIDATE_AUTHORITY=True,
            CALLER_ID="urn:botframework:azure",
        )
        credentials = ConfigurationServiceClientCredentialFactory(config)
        self._sdk = ConfigurationBotFrameworkAuthentication(config, credentials_factory=credentials)
        self._keys = JwtTokenExtractor.metadataCache[teams.openid_url] = Keys(teams.openid_url)

    async def warm(self) -> None:
        """Keys and token, before anybody waits for them; again and again, so that nobody waits after a quiet night.
        What cannot be read now is read at the first request."""
        if self._open:
            return
        for read in (self._keys.keep, self.token):
            try:
                await read()
            except (*FAULTS, LookupError, ConnectorError) as error:
                log.warning("Teams could not be prepared for (%s); it is tried again when needed", error)

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
            _plausible(token, self._teams.issuer, self._teams.app_id, service_url)
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
        return await self._tokens.get() if self._tokens else ""

    def drop_token(self) -> None:
        """It was not taken: ask anew."""
        if self._tokens:
            self._tokens.drop()


def _tokens(settings: Settings, read: Callable[[], str] | None) -> Tokens | None:
    if read is not None:
        return Tokens(lambda: Token(read(), TOKEN_LAST))
    return None if settings.teams.without_login else Tokens(reader(settings))


def _plausible(token: str, issuer: str, audience: str, service_url: str) -> None:
    """What is plainly not for us is refused before any key is looked for, so that nobody waits because of it."""
    head, claimed = jwt.get_unverified_header(token), jwt.decode(token, options={"verify_signature": False})
    if head.get("alg") != "RS256" or not head.get("kid"):
        raise PermissionError("not signed as the channel signs")
    if claimed.get("iss") != issuer or claimed.get("aud") != audience or claimed.get("serviceurl") != service_url:
        raise PermissionError("not the channel's token for us")
    end = claimed.get("exp")
    if not isinstance(end, int | float) or end < time.time() - SKEW:
        raise PermissionError("over, or without an end")


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
