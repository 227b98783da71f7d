"""One answer in one thread: a status at once, then a stream where Slack has it, else one message; a picture after it.

What a workspace does not have (no streams, no statuses) is remembered for a while, so that no answer waits for it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from bot.domain.answers import AnswerView, ChartView
from bot.domain.errors import ConnectorError, Refused
from cards import blockkit, build, chart
from cards.foreign import streamed
from cards.model import Card
from handlers.common.abilities import Abilities as Abilities

from .payloads import Origin
from .web import call

if TYPE_CHECKING:
    from .desk import Desk

log = logging.getLogger(__name__)
READING, READ = "Reading the findings", "Read the findings"
STATUS = "is reading the findings…"
LACKING = ("unknown_method", "missing_scope", "not_allowed", "feature_not_enabled", "method_deprecated")


class Reply:
    """``begin`` shows that somebody is at it; ``say`` answers; nobody is left with an open stream."""

    def __init__(self, desk: Desk, origin: Origin) -> None:
        self._desk, self._origin, self._ts = desk, origin, ""

    # --- at once -----------------------------------------------------------------------------------------------------

    async def begin(self) -> None:
        """The status and the open stream, side by side; neither is needed for the answer."""
        if self._origin.thread:
            await asyncio.gather(self._status(STATUS), self._open())

    async def _status(self, words: str) -> None:
        client, origin = self._desk.client, self._origin
        await self._try(
            "status",
            lambda: client.assistant_threads_setStatus(
                channel_id=origin.channel, thread_ts=origin.thread, status=words
            ),
        )

    async def _open(self) -> None:
        client, origin = self._desk.client, self._origin
        made = await self._try(
            "stream",
            lambda: client.chat_startStream(
                channel=origin.channel,
                thread_ts=origin.thread,
                recipient_team_id=origin.team,
                recipient_user_id=origin.user,
                chunks=[_task(READING, "in_progress")],
            ),
        )
        self._ts = str((made or {}).get("ts") or "")

    async def _try(self, what: str, request: Callable[[], Awaitable[Any]]) -> dict[str, Any] | None:
        now, abilities = self._desk.engine.clock.now(), self._desk.abilities
        if not abilities.has(what, now):
            return None
        try:
            return await call(request())
        except ConnectorError as error:
            if any(word in error.reason for word in LACKING):
                abilities.lacks(what, now)
            log.info("no %s in %s: %s", what, self._origin.channel, error.reason)
            return None

    # --- the answer --------------------------------------------------------------------------------------------------

    async def say(self, view: AnswerView, *, asked: bool = False) -> None:
        """The answer, then its picture. ``asked``: the question came from a button, so it is said again."""
        drawn = view.chart is not None and chart.available()
        card = build.answer_card(view, picture=drawn, asked=asked)
        if self._ts:
            rest = build.answer_card(view, picture=drawn, asked=asked, streamed=True)
            await self._close(card, rest, streamed(view.text))
        else:
            await self._post(card)
        if drawn and view.chart is not None and not await self._picture(view.chart) and view.chart.kind == "line":
            await self._post(build.answer_card(view, table_alone=True))

    async def give_up(self, card: Card) -> None:
        """Instead of an answer: what went wrong, in the same place."""
        if self._ts:
            await self._close(card, card, "")
        else:
            await self._post(card)

    async def _close(self, whole: Card, rest: Card, text: str) -> None:
        """Say it, lay the blocks under it, end the stream. A stream that Slack has ended is written over."""
        client, origin, ts = self._desk.client, self._origin, self._ts
        chunks: list[dict[str, Any]] = [_task(READ, "complete")]
        if text:
            chunks.append({"type": "markdown_text", "text": text})
        try:
            await call(client.chat_appendStream(channel=origin.channel, ts=ts, chunks=chunks))
            blocks = blockkit.message(rest)["blocks"]
            await call(client.chat_stopStream(channel=origin.channel, ts=ts, blocks=blocks))
        except ConnectorError as error:
            log.info("a stream in %s broke off: %s", origin.channel, error.reason)
            await self._careful(
                whole, lambda message: client.chat_update(channel=origin.channel, ts=ts, **message), creates=False
            )

    async def _post(self, card: Card) -> None:
        client, origin = self._desk.client, self._origin
        await self._careful(
            card,
            lambda message: client.chat_postMessage(
                channel=origin.channel, thread_ts=origin.thread or None, unfurl_links=False, unfurl_media=False,
                **message,
            ),
            creates=True,
        )  # fmt: skip

    async def _careful(self, card: Card, send: Callable[[dict[str, Any]], Awaitable[Any]], *, creates: bool) -> None:
        """Where Slack takes no table here, the same in plain blocks."""
        try:
            await call(send(blockkit.message(card)), creates=creates)
        except Refused as error:
            if "invalid_blocks" not in error.reason:
                raise
            log.warning("Slack took no rich answer (%s); sending plain blocks", error.reason)
            await call(send(blockkit.message(card, rich=False)), creates=creates)

    async def _picture(self, view: ChartView) -> bool:
        """Drawn off the loop, uploaded into the thread. False where that could not be."""
        client, origin = self._desk.client, self._origin
        try:
            data = await asyncio.to_thread(chart.png, view)
        except Exception:
            log.exception("a chart could not be drawn")
            return False
        sent = await self._try(
            "files",
            lambda: client.files_upload_v2(
                channel=origin.channel, thread_ts=origin.thread or None, content=data, filename="chart.png",
                title=view.title, alt_txt=view.spoken[:1000], request_file_info=False,
            ),
        )  # fmt: skip
        return sent is not None


def _task(title: str, status: str) -> dict[str, Any]:
    return {"type": "task_update", "id": "read", "title": title, "status": status}
