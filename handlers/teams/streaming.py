"""One answer in one conversation: a sign at once, then the answer; nobody is left with an open stream.

In a 1:1 chat Teams shows an informative line that becomes the answer: one request a second, one stream a chat, at most
two minutes, card, label and feedback in the last message only. In channels and groups, and where a chat turned out to
have no streams, it is a typing sign and then a plain message. A stream that breaks off ends as a plain message, too;
only where the person pressed Stop nothing more is said.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Any

from bot.domain.errors import ConnectorError, OutcomeUnknown, RetryLater
from cards import adaptive

from .replies import Reply
from .wire import StreamRefused

if TYPE_CHECKING:
    from .desk import TeamsDesk

log = logging.getLogger(__name__)
READING = "Reading the findings…"
NO_ANSWER = "I have no answer to that:"
PACE = 1.0  # seconds between two requests of a stream
LONGEST = 110.0  # seconds; Teams ends a stream after two minutes
TRIES, WAIT = 3, 10.0
TEXT = 4_000
AI_LABEL = {
    "type": "https://schema.org/Message", "@type": "Message", "@context": "https://schema.org", "@id": "",
    "additionalType": ["AIGeneratedContent"],
}  # fmt: skip


class Stream:
    """``begin`` shows that somebody is at it; ``end`` says it."""

    def __init__(self, desk: TeamsDesk, service_url: str, conversation: str, *, personal: bool) -> None:
        self._desk, self._url, self._conversation, self._personal = desk, service_url, conversation, personal
        self._id, self._begun, self._asked = "", 0.0, 0.0
        self.stopped = False

    async def begin(self) -> None:
        """Never fails: the sign is not the answer."""
        desk, key = self._desk, f"stream:{self._conversation}"
        now = desk.engine.clock.now()
        if self._personal and self._conversation not in desk.streaming and desk.abilities.has(key, now):
            desk.streaming.add(self._conversation)
            sign = {"type": "typing", "text": READING, "entities": [_info(streamType="informative", streamSequence=1)]}
            try:
                self._id = await desk.wire.send(self._url, self._conversation, sign)
            except (StreamRefused, OutcomeUnknown) as error:
                desk.abilities.lacks(key, now)
                log.info("no stream in a chat of Teams: %s", error.reason)
            except ConnectorError as error:
                log.info("no stream in a chat of Teams: %s", error.reason)
            if self._id:
                self._begun = self._asked = time.monotonic()
                return
            desk.streaming.discard(self._conversation)
        try:
            await desk.wire.send(self._url, self._conversation, {"type": "typing"})
        except ConnectorError as error:
            log.info("no typing sign in Teams: %s", error.reason)

    async def end(self, reply: Reply) -> str:
        """The id of the message; "" where the person stopped it. Raises what a plain message raises."""
        if not self._id:
            return await self._post(reply)
        try:
            return await self._finish(reply)
        finally:
            self._desk.streaming.discard(self._conversation)

    async def _finish(self, reply: Reply) -> str:
        last, wire = activity_of(reply, streamed=True), self._desk.wire
        last["entities"] = [_info(streamId=self._id, streamType="final"), *last.get("entities", ())]
        tries = TRIES if time.monotonic() - self._begun < LONGEST else 0
        for turn in range(1, tries + 1):
            await asyncio.sleep(max(0.0, self._asked + self._desk.pace - time.monotonic()))
            self._asked = time.monotonic()
            try:
                return await wire.send(self._url, self._conversation, last) or self._id
            except StreamRefused as error:
                if error.stopped:
                    self.stopped = True
                    log.info("a person stopped an answer in Teams")
                    return ""
                log.info("a stream of Teams broke off: %s", error.reason)
                break
            except RetryLater as error:
                log.info("a stream of Teams waits: %s", error.reason)
                await asyncio.sleep(min(error.after if error.after is not None else turn * self._desk.pace, WAIT))
            except OutcomeUnknown:
                # It may stand there already; written over it is the same, and never twice.
                try:
                    await wire.update(self._url, self._conversation, self._id, activity_of(reply))
                    return self._id
                except ConnectorError as error:
                    log.info("a stream of Teams broke off: %s", error.reason)
                    break
            except ConnectorError as error:
                log.info("a stream of Teams broke off: %s", error.reason)
                break
        return await self._post(reply)

    async def _post(self, reply: Reply) -> str:
        return await self._desk.wire.send(self._url, self._conversation, activity_of(reply))


def activity_of(reply: Reply, *, streamed: bool = False) -> dict[str, Any]:
    """The message. ``streamed``: its sentence is the stream's text, and the card the rest."""
    card = reply.rest if streamed and reply.rest else reply.card
    made = adaptive.message(card)
    content = adaptive.content(
        card, submit=reply.submit, back=reply.back, refresh=reply.refresh, filled=reply.filled, dialogs=reply.dialogs
    )
    made["attachments"] = [adaptive.attachment(content)]
    if streamed:
        said = reply.answer.text if reply.answer else NO_ANSWER
        made["text"] = adaptive.markdown(said, TEXT, lines=True) or adaptive.NOTHING
    if reply.answer is not None and reply.answer.model:
        made["entities"] = [AI_LABEL]
        made["channelData"] = {"feedbackLoopEnabled": True}
    if reply.offers:
        actions = [{"type": "imBack", "title": each[:60], "value": each} for each in reply.offers[:6]]
        made["suggestedActions"] = {"to": [reply.offered_to], "actions": actions}
    return made


def _info(**more: Any) -> dict[str, Any]:
    return {"type": "streaminfo", **more}
