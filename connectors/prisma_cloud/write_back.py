"""Tells Prisma Cloud what became of an alert: dismissed, snoozed or open. It has no comments and no "resolve": a fixed
alert resolves by Prisma's own scan (or is snoozed until then, by option, so that a note with our key is there).

Dismissing what is dismissed answers 404, so the alert is read before every telling.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from bot.domain.errors import Refused
from bot.ports import SourceNote
from connectors.prisma_cloud.alerts import SOURCE
from connectors.prisma_cloud.client import NoLongerSo, PrismaApi
from connectors.prisma_cloud.words import Folded, first, fold, yes

ALERT_REF = re.compile(r"[A-Z]{1,3}-\d{1,18}")
_SILENT = ("dismissed", "snoozed")


class PrismaWriteBack:
    source = SOURCE

    def __init__(
        self, api: PrismaApi, fixed_snooze_hours: int = 0, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._api, self._fixed_hours, self._now = api, fixed_snooze_hours, now

    async def close(self) -> None:
        await self._api.close()

    async def told(self, note: SourceNote) -> bool:
        return self._so(fold(await self._api.alert(_ref(note))), note)

    def _so(self, alert: Folded, note: SourceNote) -> bool:
        status = _status(alert)
        if note.to == "reopened":
            return status not in _SILENT
        if note.to == "fixed" and status == "resolved":
            return True
        return status in _SILENT and note.key in first(alert, "dismissalnote", limit=8000)

    async def tell(self, note: SourceNote) -> str:
        ref = _ref(note)
        if note.to not in ("fixed", "accepted", "dismissed", "reopened"):
            raise Refused(f"Prisma Cloud knows no state for {note.to!r}")
        alert = fold(await self._api.alert(ref))
        status = _status(alert)
        if self._so(alert, note):
            return f"nothing to do: the alert is {status}"
        if note.to == "fixed" and not self._fixed_hours:
            return f"nothing to tell (the alert is {status}): Prisma Cloud resolves it at its next scan of the resource"
        if note.to != "reopened" and status == "resolved":
            return "nothing to do: the alert is resolved"
        try:
            return await self._change(ref, note, alert, status)
        except NoLongerSo:
            now = fold(await self._api.alert(ref))
            if self._so(now, note):
                return f"nothing to do: the alert is {_status(now)}"
            raise Refused(
                f"{ref} is {_status(now)} at Prisma Cloud; somebody else changed it.",
                mend="Look at its history in the console, then decide again.",
            ) from None

    async def _change(self, ref: str, note: SourceNote, alert: Folded, status: str) -> str:
        now = self._now()
        if note.to == "reopened":
            await self._api.reopen(ref, now)
            return "reopened"
        if yes(fold(alert.get("policy")).get("restrictalertdismissal")):
            raise Refused(
                f"the policy of {ref} does not allow that its alerts are dismissed.",
                mend="Change the policy in Prisma Cloud (restrict alert dismissal), or leave the alert open there.",
            )
        said = note.note if note.key in note.note else f"{note.note} [{note.key}]"
        hours = self._fixed_hours if note.to == "fixed" else None
        if note.to == "accepted" and note.until is not None:
            hours = max(1, math.ceil((note.until - now).total_seconds() / 3600))
        if status in _SILENT:  # by somebody else, or an older decision: only an open alert can be dismissed
            await self._api.reopen(ref, now)
        await self._api.dismiss(ref, said, now, hours)
        return f"snoozed for {hours} hours, with a note" if hours is not None else "dismissed, with a note"

    async def rescan(self, note: SourceNote) -> str:
        return ""


def _status(alert: Mapping[str, Any]) -> str:
    return first(alert, "status", limit=64).lower() or "unknown"


def _ref(note: SourceNote) -> str:
    if not ALERT_REF.fullmatch(note.uid):
        raise Refused(
            f"Prisma Cloud keeps no status for {note.uid[:80]!r}: it is no alert.",
            mend="A vulnerability or an event leaves by itself once Prisma Cloud no longer finds it.",
        )
    return note.uid
