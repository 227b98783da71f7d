"""Sends the engine's messages to Slack: view -> card -> blocks -> one call."""

from __future__ import annotations

from typing import Any

from slack_sdk.web.async_client import AsyncWebClient

from bot.domain.views import CauseView, DigestView, Notice
from bot.ports import Message
from cards import blockkit, build
from cards.model import Card

from .web import call

EVENT = "gatehouse_post"


class SlackPoster:
    """Implements ``ports.ChatPoster``. Every post carries its subject as metadata, so that it can be found again."""

    platform = "slack"

    def __init__(self, client: AsyncWebClient) -> None:
        self._client = client

    async def post(self, message: Message) -> str:
        """The message's ``ts``."""
        channel = message.channel
        if channel[:1] in {"U", "W"}:
            channel = await open_direct(self._client, channel)
        more: dict[str, Any] = {"thread_ts": message.thread} if message.thread else {}
        answer = await call(
            self._client.chat_postMessage(
                channel=channel,
                **blockkit.message(card_of(message)),
                **more,
                metadata=_metadata(message),
                unfurl_links=False,
                unfurl_media=False,
            ),
            creates=True,
        )
        return str(answer["ts"])

    async def update(self, message: Message, message_id: str) -> None:
        await call(
            self._client.chat_update(
                channel=message.channel,
                ts=message_id,
                **blockkit.message(card_of(message)),
                metadata=_metadata(message),
            )
        )


def card_of(message: Message) -> Card:
    match message.view:
        case CauseView() as view if message.kind not in {"thread", "direct"}:
            return build.cause_card(view)
        case DigestView() as view:
            return build.digest_card(view)
        case Notice() as view:
            return build.notice_card(view)
        case _:
            return build.thread_line(message.text)


def _metadata(message: Message) -> dict[str, Any]:
    return {"event_type": EVENT, "event_payload": {"kind": message.kind, "subject": message.subject}}


async def open_direct(client: AsyncWebClient, user: str) -> str:
    """The channel of the direct conversation with a user."""
    answer = await call(client.conversations_open(users=user))
    return str(answer["channel"]["id"])
