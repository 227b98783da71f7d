"""Our own token for the connector: by client secret (single tenant) or by the machine's managed identity, through MSAL.

Rules
- Read in a thread, since MSAL blocks. Renewed beside the requests before it ends; only where there is none, one waits.
- A reading has a time limit; no proxy and no redirect on the way to a managed identity.
- A no that a person must mend is ``Relogin`` and says what to mend; everything else is ``RetryLater``.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from bot.domain.errors import ConnectorError, Relogin, RetryLater
from bot.settings import Settings

log = logging.getLogger(__name__)
RESOURCE = "https://api.botframework.com"
LOGIN = "https://login.microsoftonline.com/"
MARGIN = 600.0  # seconds before its end a token is renewed
PAUSE = 30.0  # after a renewal that failed, while the old token holds
PATIENCE = (5.0, 15.0)  # to connect and to be answered
_BUSY = {"temporarily_unavailable", "server_error", "slow_down", "timeout"}
_APP = "Check teams.app_id, teams.tenant and GATEHOUSE_TEAMS_APP_PASSWORD."
_MACHINE = "Assign the managed identity to this machine; teams.app_id is its client id."
# https://learn.microsoft.com/entra/identity-platform/reference-error-codes
_CODES = {
    7000215: "GATEHOUSE_TEAMS_APP_PASSWORD is not the app's client secret (its value, not its id).",
    7000222: "The client secret has expired: make a new one and set GATEHOUSE_TEAMS_APP_PASSWORD.",
    700016: "teams.app_id is not known in the tenant teams.tenant.",
    90002: "teams.tenant is no tenant.",
}


@dataclass(frozen=True, slots=True)
class Token:
    value: str
    seconds: float  # how long it holds


class Reads(Protocol):
    """Blocks. Raises ``Relogin``, ``RetryLater`` or anything, which is then tried again."""

    def __call__(self) -> Token: ...


class Tokens:
    """Holds one token and renews it."""

    def __init__(self, read: Reads, clock: Callable[[], float] = time.monotonic) -> None:
        self._read, self._clock = read, clock
        self._token: Token | None = None
        self._made_at = 0.0
        self._failed_at: float | None = None
        self._reading: asyncio.Task[str] | None = None

    async def get(self) -> str:
        token, age = self._token, self._clock() - self._made_at
        if token is None or age >= token.seconds:
            return await asyncio.shield(self._begin())
        if age >= token.seconds - min(MARGIN, token.seconds / 2) and not self._paused():
            self._begin()  # nobody waits for it: this one still holds
        return token.value

    def drop(self) -> None:
        """It was not taken: the next is read anew."""
        self._token = None

    def _paused(self) -> bool:
        return self._failed_at is not None and self._clock() - self._failed_at < PAUSE

    def _begin(self) -> asyncio.Task[str]:
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._renew())
            self._reading.add_done_callback(self._ended)
        return self._reading

    def _ended(self, task: asyncio.Task[str]) -> None:
        if not task.cancelled() and (error := task.exception()):
            log.warning("no new token for Teams: %s", error)

    async def _renew(self) -> str:
        try:
            token = await asyncio.to_thread(self._read)
        except ConnectorError:
            self._failed_at = self._clock()
            raise
        except Exception as error:
            self._failed_at = self._clock()
            raise RetryLater(f"Entra does not answer ({type(error).__name__}).") from error
        self._token, self._made_at, self._failed_at = token, self._clock(), None
        return token.value


def reader(settings: Settings, *, session: Any = None) -> Reads:
    """By the settings. ``session``: a ``requests`` session in place of ours, for tests."""
    return _managed(settings, session) if settings.teams.app_type == "UserAssignedMSI" else _secret(settings, session)


def _secret(settings: Settings, session: Any) -> Reads:
    teams, password = settings.teams, settings.teams_app_password

    def read() -> Token:
        import msal

        # Made anew each time: its cache would give back the token that was just refused or is about to end.
        try:
            app = msal.ConfidentialClientApplication(
                teams.app_id, client_credential=password.get_secret_value() if password else "",
                authority=f"{LOGIN}{teams.tenant}", instance_discovery=False, http_client=session or _session(),
            )  # fmt: skip
        except ValueError as error:  # the tenant's own document was refused
            raise Relogin("Entra does not know the Teams bot's tenant.", mend=_CODES[90002]) from error
        found = app.acquire_token_for_client(scopes=[f"{RESOURCE}/.default"])
        if "access_token" in found:
            return _token(found)
        word, codes = str(found.get("error", ""))[:60], found.get("error_codes") or ()
        if word in _BUSY:
            raise RetryLater(f"Entra is busy ({word}).")
        mend = next((_CODES[code] for code in codes if code in _CODES), _APP)
        raise Relogin(f"Entra gives the Teams bot no token ({word or 'no reason'}{_numbers(codes)}).", mend=mend)

    return read


def _managed(settings: Settings, session: Any) -> Reads:
    def read() -> Token:
        import msal

        # IMDS must not be asked through a proxy.
        http = _Noted(session or _session(proxies=False))
        identity = msal.UserAssignedManagedIdentity(client_id=settings.teams.app_id)
        found = msal.ManagedIdentityClient(identity, http_client=http).acquire_token_for_client(resource=RESOURCE)
        if found and "access_token" in found:
            return _token(found)
        # 404 and 410: the endpoint is being updated, for at most 70 seconds.
        if http.status in {404, 410, 429} or http.status >= 500:
            raise RetryLater(f"The managed identity endpoint said HTTP {http.status}.", after=http.after)
        word = str((found or {}).get("error", ""))[:60]
        raise Relogin(f"The managed identity gives no token (HTTP {http.status} {word}).", mend=_MACHINE)

    return read


def _token(found: Mapping[str, Any]) -> Token:
    return Token(str(found["access_token"]), max(0.0, float(found.get("expires_in") or 0)))


def _numbers(codes: Any) -> str:
    numbers = [str(code) for code in codes if isinstance(code, int)][:3]
    return f", AADSTS{', AADSTS'.join(numbers)}" if numbers else ""


class _Noted:
    """A session that remembers how it was answered: MSAL drops the status."""

    def __init__(self, session: Any) -> None:
        self._session, self.status = session, 0
        self.after: float | None = None

    def get(self, url: str, **more: Any) -> Any:
        answer = self._session.get(url, **more)
        self.status = int(answer.status_code)
        said = str(answer.headers.get("Retry-After", ""))
        self.after = float(said) if said.isascii() and said.isdigit() else None
        return answer

    def close(self) -> None:
        self._session.close()


def _session(*, proxies: bool = True) -> Any:
    import requests

    class Session(requests.Session):
        def request(self, method: Any, url: Any, *given: Any, **more: Any) -> Any:
            more["timeout"], more["allow_redirects"] = PATIENCE, False  # ``get`` would follow
            return super().request(method, url, *given, **more)

    made = Session()
    made.trust_env = proxies
    return made
