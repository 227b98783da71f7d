"""Slack's Web API: one client, and its failures as the errors the engine branches on. No SDK error leaves here."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any

import aiohttp
from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.web.async_client import AsyncWebClient

from bot.domain.errors import (
    ConnectorError,
    Gone,
    MessageGone,
    OutcomeUnknown,
    Refused,
    Relogin,
    RetryLater,
    SettingsError,
)
from bot.settings import Settings

GONE = {
    "message_not_found",
    "cant_update_message",
    "edit_window_closed",
    "user_not_found",
    "users_not_found",
    "not_found",
}
LATER = {"ratelimited", "rate_limited", "message_limit_exceeded", "service_unavailable", "team_added_to_org"}
LOGIN = {"invalid_auth", "not_authed", "token_revoked", "token_expired", "account_inactive"}
UNSURE = {"internal_error", "fatal_error", "request_timeout"}
MEND = {
    "not_in_channel": "Invite the bot to the channel: /invite @gatehouse.",
    "channel_not_found": "Check the channel id in gatehouse.yml and invite the bot to it.",
    "is_archived": "Route to another channel in gatehouse.yml or unarchive this one.",
    "missing_scope": "Install the app anew with the scopes of manifest.yml.",
    "invalid_auth": "Set GATEHOUSE_SLACK_BOT_TOKEN to the bot token of the installed app.",
    "token_revoked": "Install the app anew and set GATEHOUSE_SLACK_BOT_TOKEN.",
    "account_inactive": "Install the app anew and set GATEHOUSE_SLACK_BOT_TOKEN.",
    "expired_trigger_id": "Press the button again.",
}


def make_client(settings: Settings) -> AsyncWebClient:
    """The bot's client, on the base URL of the settings."""
    if settings.slack_bot_token is None:
        raise SettingsError(
            "Slack is enabled, but there is no bot token",
            mend="Set GATEHOUSE_SLACK_BOT_TOKEN to the xoxb- token of the installed app.",
        )
    return client_for(settings, settings.slack_bot_token.get_secret_value())


def client_for(settings: Settings, token: str) -> AsyncWebClient:
    base_url = settings.slack.base_url
    client = AsyncWebClient(token=token, base_url=base_url if base_url.endswith("/") else f"{base_url}/", timeout=20)
    # The SDK repeats on a lost connection; a post that may have happened must not be sent twice without looking.
    client.retry_handlers.clear()
    return client


async def call(request: Awaitable[Any], *, creates: bool = False) -> dict[str, Any]:
    """Await one call. ``creates``: sending it twice makes two things, so an unclear end is ``OutcomeUnknown``."""
    try:
        response = await request
    except SlackApiError as error:
        raise _named(error, creates=creates) from error
    except aiohttp.ClientConnectorError as error:  # never left this machine
        raise RetryLater("Slack cannot be reached.") from error
    except (aiohttp.ClientError, TimeoutError, asyncio.IncompleteReadError, SlackClientError, OSError) as error:
        raise _unclear(f"Slack did not answer ({type(error).__name__}).", creates) from error
    data = response.data
    return data if isinstance(data, dict) else {}


def _named(error: SlackApiError, *, creates: bool) -> ConnectorError:
    response = error.response
    status = int(getattr(response, "status_code", 0) or 0)
    headers = getattr(response, "headers", None) or {}
    data = getattr(response, "data", None)
    name = str(data.get("error", "")) if isinstance(data, dict) else ""
    said = f"Slack said {name or f'HTTP {status}'}."
    mend = MEND.get(name, "")
    if status == 429 or name in LATER:
        return RetryLater(said, after=_seconds(headers.get("Retry-After", headers.get("retry-after"))), mend=mend)
    if name in UNSURE or status >= 500 or not name:
        return _unclear(said, creates)
    if name == "message_not_found":
        return MessageGone(said, mend=mend)
    if name in GONE:
        return Gone(said, mend=mend)
    if name in LOGIN:
        return Relogin(said, mend=mend)
    return Refused(said, mend=mend)


def _unclear(said: str, creates: bool) -> ConnectorError:
    return OutcomeUnknown(said) if creates else RetryLater(said)


def _seconds(value: Any) -> float | None:
    try:
        return max(0.0, float(value))
    except (TypeError, ValueError):
        return None
