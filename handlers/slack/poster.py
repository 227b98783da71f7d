"""Sends the engine's messages to Slack: view -> card -> blocks -> one call."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from slack_sdk.web.async_client import AsyncWebClient

from bot.domain.silence import DailyView
from bot.ports import Message
from cards import attention, blockkit, chart
from handlers.common.messages import card_of

from .web import call

log = logging.getLogger(__name__)
EVENT = "gatehouse_post"


LOOK_BACK = 400  # messages of the channel that are looked through for a post in doubt


class SlackPoster:
    """Implements ``ports.ChatPoster`` and ``ports.MessageFinder``.

    Every post carries its key twice, as metadata and as the id of its first block: by it a post is found again whose
    answer was lost, so that it is not sent twice.
    """

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
                **payload_of(message),
                **more,
                metadata=_metadata(message),
                unfurl_links=False,
                unfurl_media=False,
            ),
            creates=True,
        )
        message_id = str(answer["ts"])
        if isinstance(message.view, DailyView) and message.view.picture and message.view.days:
            await self._picture(channel, message_id, message.view)
        return message_id

    async def _picture(self, channel: str, thread: str, view: DailyView) -> None:
        """The course as a picture under the message, which says the same in text: no picture is no failure."""
        drawn = attention.daily_chart(view)
        try:
            data = await asyncio.to_thread(chart.png, drawn)
            await call(
                self._client.files_upload_v2(
                    channel=channel, thread_ts=thread, content=data, filename=f"gatehouse-{view.day}.png",
                    title=drawn.title, alt_txt=drawn.spoken[:1000], request_file_info=False,
                )
            )  # fmt: skip
        except ImportError:
            log.info("no picture under the daily message: install gatehouse[charts]")
        except Exception as error:
            log.info("no picture under the daily message: %s", error)

    async def update(self, message: Message, message_id: str) -> None:
        await call(
            self._client.chat_update(
                channel=message.channel,
                ts=message_id,
                **payload_of(message),
                metadata=_metadata(message),
            )
        )

    async def find(self, message: Message) -> str | None:
        """The ``ts`` of the post with this key, if it is among the latest of its channel or thread."""
        channel = message.channel
        if channel[:1] in {"U", "W"}:
            channel = await open_direct(self._client, channel)
        cursor, seen = "", 0
        while seen < LOOK_BACK:
            page: dict[str, Any] = {"channel": channel, "limit": 100, "include_all_metadata": True}
            if cursor:
                page["cursor"] = cursor
            answer = await call(
                self._client.conversations_replies(ts=message.thread, **page)
                if message.thread
                else self._client.conversations_history(**page)
            )
            found = answer.get("messages") or []
            for item in found:
                if isinstance(item, dict) and _is_ours(item, message.key):
                    return str(item["ts"])
            seen += len(found) or LOOK_BACK
            cursor = str((answer.get("response_metadata") or {}).get("next_cursor") or "")
            if not cursor:
                break
        return None


def payload_of(message: Message) -> dict[str, Any]:
    """``text`` and ``blocks``, the first block named by the message's key."""
    payload = blockkit.message(card_of(message))
    if message.key:
        payload["blocks"][0]["block_id"] = message.key[:255]
    return payload


def _is_ours(item: dict[str, Any], key: str) -> bool:
    metadata = item.get("metadata") or {}
    if key and metadata.get("event_type") == EVENT and (metadata.get("event_payload") or {}).get("key") == key:
        return True
    blocks = item.get("blocks") or [{}]
    return bool(key) and blocks[0].get("block_id") == key[:255] and bool(item.get("bot_id") or item.get("app_id"))


def _metadata(message: Message) -> dict[str, Any]:
    return {
        "event_type": EVENT,
        "event_payload": {"kind": message.kind, "subject": message.subject, "key": message.key},
    }


async def open_direct(client: AsyncWebClient, user: str) -> str:
    """The channel of the direct conversation with a user."""
    answer = await call(client.conversations_open(users=user))
    return str(answer["channel"]["id"])
