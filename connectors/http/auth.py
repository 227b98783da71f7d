"""Who we are, as objects: a fixed header, or a login whose token is renewed early and once after a 401."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from pydantic import SecretStr

if TYPE_CHECKING:
    from connectors.http.client import HttpClient


class Auth(Protocol):
    async def headers(self, client: HttpClient) -> Mapping[str, str]:
        """The headers that say who asks."""
        ...

    async def rejected(self, client: HttpClient, used: Mapping[str, str] | None = None) -> bool:
        """After a 401: True when the credential was renewed and one more try makes sense. ``used``: the headers that
        were refused, if they are known."""
        ...

    def secrets(self) -> tuple[str, ...]:
        """What must never be seen in an error or a log."""
        ...


class NoAuth:
    async def headers(self, client: HttpClient) -> Mapping[str, str]:
        return {}

    async def rejected(self, client: HttpClient, used: Mapping[str, str] | None = None) -> bool:
        return False

    def secrets(self) -> tuple[str, ...]:
        return ()


class StaticHeader:
    """A token that does not change, such as ``Authorization: Token …``."""

    def __init__(self, name: str, secret: SecretStr, prefix: str = "") -> None:
        self._name, self._secret, self._prefix = name, secret, prefix

    async def headers(self, client: HttpClient) -> Mapping[str, str]:
        return {self._name: f"{self._prefix}{self._secret.get_secret_value()}"}

    async def rejected(self, client: HttpClient, used: Mapping[str, str] | None = None) -> bool:
        return False

    def secrets(self) -> tuple[str, ...]:
        return (self._secret.get_secret_value(),)


class Basic(StaticHeader):
    """HTTP Basic."""

    def __init__(self, user: str, password: SecretStr) -> None:
        pair = base64.b64encode(f"{user}:{password.get_secret_value()}".encode()).decode()
        super().__init__("Authorization", SecretStr(pair), "Basic ")
        self._password = password

    def secrets(self) -> tuple[str, ...]:
        return (*super().secrets(), self._password.get_secret_value())


@dataclass(frozen=True, slots=True)
class Token:
    """What a login gave; ``seconds`` is how long it is good for."""

    value: SecretStr
    seconds: float


class TokenLogin:
    """Logs in at first use, again ``early`` seconds before the token ends, and once when it is refused.

    ``login(client, old)`` makes the call (with ``client.send(..., auth=False)``); ``old`` is the token still held,
    for systems that extend one. ``Relogin`` from it means that the credential itself is no longer good.
    """

    def __init__(
        self,
        login: Callable[[HttpClient, Token | None], Awaitable[Token]],
        *,
        header: str = "Authorization",
        prefix: str = "Bearer ",
        early: float = 120.0,
        keep: tuple[SecretStr, ...] = (),
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._login, self._header, self._prefix, self._early, self._keep = login, header, prefix, early, keep
        self._now = now
        self._token: Token | None = None
        self._until = 0.0
        self._lock = asyncio.Lock()

    async def headers(self, client: HttpClient) -> Mapping[str, str]:
        async with self._lock:  # twenty calls at once make one login
            if self._token is None or self._now() >= self._until:
                await self._renew(client, self._token)
            assert self._token is not None
            return {self._header: self._said(self._token)}

    async def rejected(self, client: HttpClient, used: Mapping[str, str] | None = None) -> bool:
        async with self._lock:
            # Of twenty calls refused together the first renews; the others were refused with the token before.
            if used is None or self._token is None or used.get(self._header) == self._said(self._token):
                await self._renew(client, None)
        return True

    def _said(self, token: Token) -> str:
        return f"{self._prefix}{token.value.get_secret_value()}"

    async def _renew(self, client: HttpClient, old: Token | None) -> None:
        client.traffic.logins += 1
        self._token = await self._login(client, old)
        # Half the life at least: a token that lives shorter than ``early`` must not be renewed at every call.
        self._until = self._now() + max(self._token.seconds - self._early, self._token.seconds / 2)

    def secrets(self) -> tuple[str, ...]:
        held = (self._token.value.get_secret_value(),) if self._token else ()
        return (*(secret.get_secret_value() for secret in self._keep), *held)
