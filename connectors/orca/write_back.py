"""Tells Orca what became of an alert: a comment with our key, and a status; asks for a scan (``verify``).

Comments are not idempotent at Orca, so every telling first reads the alert's history for the key. Closing is not
fixing: Orca opens the alert again when its next scan still finds it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from bot.domain.errors import Refused
from bot.ports import SourceNote
from connectors.orca.client import AlreadySo, OrcaApi
from connectors.orca.mapping import SOURCE
from connectors.orca.shapes import ALERT_REF, View, alert_ref
from connectors.text import obj, text

# our word -> (word of the path, the states it leads to)
_STATUS = {
    "fixed": ("close", ("closed",)),
    "dismissed": ("dismiss", ("dismissed",)),
    "accepted": ("dismiss", ("dismissed", "snoozed")),
    "reopened": ("open", ("open", "in_progress")),
}


class OrcaWriteBack:
    source = SOURCE

    def __init__(self, api: OrcaApi, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._api, self._now = api, now

    async def close(self) -> None:
        await self._api.close()

    async def told(self, note: SourceNote) -> bool:
        """The comment with the key is there, and the status is, or after the comment was, what was asked for."""
        ref = _ref(note)
        _, wanted = _words(note)
        events = await self._api.history(ref)
        said = next((one for one in events if note.key in _comment(one)), None)
        if said is None:
            return False
        if await self._api.status(ref) in wanted:
            return True
        since = text(said.get("create_time"), 64)
        return any(text(obj(one.get("details")).get("to"), 64).lower() in wanted
                   for one in events if text(one.get("create_time"), 64) >= since)  # fmt: skip

    async def tell(self, note: SourceNote) -> str:
        ref = _ref(note)
        path, wanted = _words(note)
        done: list[str] = []
        said = any(note.key in _comment(one) for one in await self._api.history(ref))
        if not said:
            await self._api.comment(ref, note.note if note.key in note.note else f"{note.note} [{note.key}]")
            done.append("comment added")
        status = await self._api.status(ref)
        if note.to == "accepted" and note.until is not None:
            days = max(1, math.ceil((note.until - self._now()).total_seconds() / 86_400))
            if status != "snoozed" or not said:  # an older, shorter one is replaced
                await self._once(self._api.snooze(ref, days))
                done.append(f"snoozed for {days} days")
        elif status not in wanted:
            await self._once(self._api.set_status(ref, path))
            done.append(f"status {wanted[0]}")
        return ", ".join(done) or f"nothing to do: the status is {status} and the comment there"

    async def rescan(self, note: SourceNote) -> str:
        ref = _ref(note)
        try:
            answer = await self._api.verify(ref)
        except AlreadySo:
            return "Orca is verifying the alert already"
        return f"Orca verifies the alert ({answer or 'accepted'})"

    @staticmethod
    async def _once(asked: Any) -> None:
        try:
            await asked
        except AlreadySo:
            return  # somebody was faster; it is as it should be


def _ref(note: SourceNote) -> str:
    ref = alert_ref(View(note.raw)) or note.uid
    if not ALERT_REF.fullmatch(ref):
        raise Refused(
            f"Orca keeps no status for {note.uid[:80]!r}: it is no alert.",
            mend="A CVE record leaves Orca by itself once a scan no longer finds it.",
        )
    return ref


def _words(note: SourceNote) -> tuple[str, tuple[str, ...]]:
    found = _STATUS.get(note.to)
    if found is None:
        raise Refused(f"Orca knows no state for {note.to!r}")
    if note.to == "accepted":
        return ("snooze", ("snoozed",)) if note.until is not None else ("dismiss", ("dismissed",))
    return found


def _comment(event: Mapping[str, Any]) -> str:
    details = obj(event.get("details"))
    return text(details.get("comment")) or text(event.get("comment"))
