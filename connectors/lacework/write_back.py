"""Tells Lacework: an alert is closed or commented. Neither is idempotent, so the timeline is read before.

An alert cannot be reopened by the API: risk accepted until a date therefore only becomes a comment, a reopening too.
Vulnerabilities and compliance have no state that can be set: Lacework's next evaluation closes them.
"""

from __future__ import annotations

from typing import Any

from bot.domain.errors import Gone
from bot.ports import SourceNote
from bot.settings import Settings
from connectors.lacework.alerts import alert_id, as_alert
from connectors.lacework.client import LaceworkApi
from connectors.lacework.mapping import SOURCE, kind_or_none
from connectors.lacework.poller import options_of
from connectors.lacework.vulnerabilities import CONTAINER, image_info, kind_of
from connectors.lacework.words import pick
from connectors.text import obj, seq, text

OTHER, FALSE_POSITIVE = 0, 1  # reasons of a closing; 0 needs a comment
_MOST = 4000


def make_write_back(settings: Settings, options: dict[str, Any]) -> LaceworkWriteBack:
    return LaceworkWriteBack(LaceworkApi(options_of(options)))


class LaceworkWriteBack:
    source = SOURCE

    def __init__(self, api: LaceworkApi) -> None:
        self._api = api

    async def close(self) -> None:
        await self._api.close()

    async def told(self, note: SourceNote) -> bool:
        number = _number(note)
        if not number:
            return True  # nothing can be told, so nothing is missing
        if any(note.key in said for said in await self._said(number)):
            return True
        return self._closes(note) and await self._is_closed(number)

    async def tell(self, note: SourceNote) -> str:
        number = _number(note)
        if not number:
            return "nothing to tell: Lacework closes it at its next evaluation"
        comment = _comment(note)
        if any(note.key in said for said in await self._said(number)):
            return "was told already"
        if self._closes(note) and not await self._is_closed(number):
            reason = FALSE_POSITIVE if note.to == "dismissed" else OTHER
            await self._api.close_alert(number, reason, comment)
            return "alert closed, comment added"
        await self._api.comment(number, comment)
        return "comment added (Lacework cannot reopen an alert)" if note.to == "reopened" else "comment added"

    async def rescan(self, note: SourceNote) -> str:
        """Only images can be scanned at will; everything else waits for Lacework's next evaluation."""
        if not note.raw or kind_or_none(note.raw) != "vulnerability" or kind_of(note.raw) != CONTAINER:
            return ""
        info = image_info(note.raw)
        registry, repository = text(info.get("registry"), 512), text(pick(info, "repo", "repository"), 1000)
        tag = next((said for one in seq(info.get("tags")) if (said := text(one, 256))), "") or text(
            info.get("tag"), 256
        )
        if not (registry and repository and tag):
            return ""
        await self._api.scan_image(registry, repository, tag)
        return f"scan of {repository}:{tag} asked for"

    def _closes(self, note: SourceNote) -> bool:
        return self._api.options.close_alerts and note.to in ("fixed", "dismissed")

    async def _said(self, number: str) -> list[str]:
        entries = await self._api.timeline(number)
        found = []
        for entry in entries:
            message = entry.get("message")
            found.append(text(obj(message).get("value") if isinstance(message, dict) else message))
            found.append(text(obj(entry.get("updateContext")).get("comment")))
        return [said for said in found if said]

    async def _is_closed(self, number: str) -> bool:
        found = await self._api.details(number)
        if found is None:
            raise Gone(f"Lacework has no alert {number} any more")
        return text(found.get("status"), 64).lower() == "closed"


def _number(note: SourceNote) -> str:
    """The alert's number; "" for what is no alert."""
    kind = kind_or_none(note.raw) if note.raw else ("alert" if note.uid.rpartition("/")[2].isdigit() else None)
    if kind != "alert":
        return ""
    number = alert_id(as_alert(note.raw)) if note.raw else note.uid.rpartition("/")[2]
    return number if number.isdigit() else ""


def _comment(note: SourceNote) -> str:
    said = note.note if note.key in note.note else f"{note.note} [{note.key}]"
    if note.until is not None and f"{note.until:%Y-%m-%d}" not in said:
        said = f"{said} Until {note.until:%Y-%m-%d}."
    if len(said) <= _MOST:
        return said
    end = f"… [{note.key}]"
    return said[: _MOST - len(end)] + end
