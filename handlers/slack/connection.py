"""How Slack reaches us: Socket Mode, or signed HTTP at /slack/events; and the doctor's look at both."""

from __future__ import annotations

import asyncio
import logging

from aiohttp import web
from slack_bolt.adapter.aiohttp import to_aiohttp_response, to_bolt_request
from slack_bolt.adapter.socket_mode.aiohttp import AsyncSocketModeHandler
from slack_sdk.errors import SlackApiError
from slack_sdk.signature import SignatureVerifier
from slack_sdk.web.async_client import AsyncWebClient

from bot.domain.errors import GatehouseError, SettingsError
from bot.domain.ids import Clock, SystemClock
from bot.engine import Engine
from bot.settings import Settings

from .app import GatehouseApp, build_app, resume
from .directory import SlackDirectory
from .poster import SlackPoster
from .web import call, client_for, make_client

log = logging.getLogger(__name__)
RESUME_SECONDS = 60.0
PATH = "/slack/events"
MAX_BODY = 1_000_000
# What the methods we call need; manifest.yml asks for exactly these.
SCOPES = frozenset(
    {"app_mentions:read", "assistant:write", "chat:write", "channels:history", "channels:read", "commands",
     "files:write", "groups:history", "groups:read", "im:history", "im:write", "usergroups:read", "users:read"}
)  # fmt: skip


class SlackSide:
    """Everything of Slack in one handle: poster and directory at once, the way in after ``start``."""

    def __init__(self, settings: Settings, client: AsyncWebClient, clock: Clock) -> None:
        self._settings, self._client = settings, client
        self.poster = SlackPoster(client)
        self.directory = SlackDirectory(client, settings, clock)
        self._connection: SlackConnection | None = None
        self._resuming: asyncio.Task[None] | None = None

    @classmethod
    async def open(cls, settings: Settings, clock: Clock | None = None) -> SlackSide:
        """Settings are checked here; nothing is sent yet."""
        return cls(settings, make_client(settings), clock or SystemClock())

    async def start(self, engine: Engine, site: web.Application) -> None:
        """Take clicks: by the socket, or by a route of ``site``. What a crash left in the journal is finished."""
        app = build_app(engine, self._settings, self._client)
        self._connection = SlackConnection(app, self._settings)
        site.add_routes(self._connection.routes())
        await self._connection.start()
        self._resuming = asyncio.create_task(_resume(app))

    @property
    def connected(self) -> bool:
        return self._connection is not None and self._connection.connected

    async def close(self) -> None:
        if self._resuming is not None:
            self._resuming.cancel()
            await asyncio.wait({self._resuming}, timeout=20)
        if self._connection is not None:
            await self._connection.close()


async def _resume(app: GatehouseApp) -> None:
    """Now and every minute: what a crash, here or of another replica, or a fault left open in the journal."""
    while True:
        try:
            left = await resume(app.desk)
        except Exception:
            log.exception("the journal could not be worked off; it is tried again in a minute")
        else:
            if left:
                log.info("%s interrupted interactions are finished", left)
        await asyncio.sleep(RESUME_SECONDS)


async def check_slack(settings: Settings) -> str:
    """For the doctor: tokens, workspace, scopes and the way in. Says what it found, raises what to mend."""
    try:
        answer = await make_client(settings).auth_test()
    except SlackApiError:
        await call(make_client(settings).auth_test())  # the same, with its error named
        raise
    team = str(answer.get("team_id", ""))
    if settings.slack.team and team != settings.slack.team:
        raise GatehouseError(
            f"the bot token is of workspace {team}, the settings say {settings.slack.team}",
            mend="Set slack.team to the workspace the app is installed in, or use that workspace's token.",
        )
    granted = {scope.strip() for scope in (answer.headers or {}).get("x-oauth-scopes", "").split(",") if scope.strip()}
    missing = sorted(SCOPES - granted) if granted else []
    if missing:
        raise GatehouseError(
            f"scopes are missing: {', '.join(missing)}", mend="Update the app from manifest.yml and install it anew."
        )
    way = "Socket Mode"
    if settings.slack.mode == "http":
        way = "signed HTTP"
        if settings.slack_signing_secret is None:
            raise SettingsError("HTTP mode without a signing secret", mend="Set GATEHOUSE_SLACK_SIGNING_SECRET.")
    elif settings.slack_app_token is None:
        raise SettingsError("Socket Mode without an app token", mend="Set GATEHOUSE_SLACK_APP_TOKEN (xapp-…).")
    else:
        token = settings.slack_app_token.get_secret_value()
        await call(client_for(settings, token).apps_connections_open(app_token=token))
    return f"workspace {answer.get('team') or team} ({team}), {way}, {len(granted) or 'unlisted'} scopes"


class SlackConnection:
    """``start`` and ``close``; in HTTP mode ``routes`` go into the one web server of the process."""

    def __init__(self, app: GatehouseApp, settings: Settings) -> None:
        self._app, self._settings = app, settings
        self._socket: AsyncSocketModeHandler | None = None

    def routes(self) -> list[web.RouteDef]:
        """Bolt checks the signature and its age; without a secret there is no route at all."""
        if self._settings.slack.mode != "http":
            return []
        secret = self._settings.slack_signing_secret
        if secret is None or not secret.get_secret_value():
            raise SettingsError(
                "Slack is in HTTP mode, but there is no signing secret",
                mend="Set GATEHOUSE_SLACK_SIGNING_SECRET, or slack.mode to socket.",
            )
        return [web.post(PATH, self._receive)]

    async def start(self) -> None:
        if self._settings.slack.mode != "socket":
            return
        if self._settings.slack_app_token is None:
            raise SettingsError(
                "Slack is in Socket Mode, but there is no app token",
                mend="Set GATEHOUSE_SLACK_APP_TOKEN to an xapp- token with connections:write, or slack.mode to http.",
            )
        token = self._settings.slack_app_token.get_secret_value()
        # A client of its own on the same base URL: the handler would otherwise ask the public service for a socket.
        self._socket = AsyncSocketModeHandler(self._app, token, web_client=client_for(self._settings, token))
        await self._socket.connect_async()  # type: ignore[no-untyped-call]

    @property
    def connected(self) -> bool:
        """Whether clicks can arrive."""
        if self._settings.slack.mode == "http":
            return True
        session = self._socket.client.current_session if self._socket else None
        return session is not None and not session.closed

    async def close(self) -> None:
        """Take nothing new, let what was begun end."""
        if self._socket is not None:
            await self._socket.close_async()  # type: ignore[no-untyped-call]
        await self._app.desk.drain()

    async def _receive(self, request: web.Request) -> web.Response:
        if (request.content_length or 0) > MAX_BODY:
            return web.Response(status=413)
        if not self._signed(request, await request.read()):
            # Before anything is parsed: Bolt reads the body first, so that a stranger could make it stumble.
            return web.Response(status=401)
        try:
            asked = await to_bolt_request(request)
        except (ValueError, RecursionError):
            return web.Response(status=400)
        return await to_aiohttp_response(await self._app.async_dispatch(asked))

    def _signed(self, request: web.Request, body: bytes) -> bool:
        secret = self._settings.slack_signing_secret
        stamp = request.headers.get("x-slack-request-timestamp", "")
        sealed = request.headers.get("x-slack-signature", "")
        if secret is None or not (stamp.isascii() and stamp.isdigit() and len(stamp) < 16 and sealed.isascii()):
            return False
        try:
            return SignatureVerifier(secret.get_secret_value()).is_valid(body, stamp, sealed)
        except UnicodeDecodeError:
            return False
