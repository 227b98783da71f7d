"""How Slack reaches us: Socket Mode, or signed HTTP at /slack/events."""

from __future__ import annotations

from aiohttp import web
from slack_bolt.adapter.aiohttp import to_aiohttp_response, to_bolt_request
from slack_bolt.adapter.socket_mode.aiohttp import AsyncSocketModeHandler

from bot.domain.errors import SettingsError
from bot.settings import Settings

from .app import GatehouseApp
from .web import client_for

PATH = "/slack/events"
MAX_BODY = 1_000_000


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
        return await to_aiohttp_response(await self._app.async_dispatch(await to_bolt_request(request)))
