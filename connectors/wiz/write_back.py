"""Tells Wiz of decisions: status and note of an issue.

Wiz resolves issues by its own scan only (threats excepted), so a fix is told as "in progress" with a note. The note
carries the decision's key and is written last: whoever finds it knows that the status was set before.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bot.domain.errors import Gone, Refused
from bot.ports import SourceNote, WriteBack
from bot.settings import Settings
from connectors.options import parse
from connectors.text import obj, seq, text
from connectors.wiz.client import WizClient
from connectors.wiz.options import WizOptions
from connectors.wiz.queries import ADD_NOTE, ISSUE_STATE, UPDATE_ISSUE
from connectors.wiz.shapes import HOOK, finding
from connectors.wiz.words import DETECTION, ISSUE, SOURCE, word

_REASONS = {"accepted": "EXCEPTION", "dismissed": "FALSE_POSITIVE"}


def make_write_back(settings: Settings, options: dict[str, Any]) -> WriteBack:
    return WizWriteBack(WizClient(parse(SOURCE, WizOptions, options)))


class WizWriteBack:
    source = SOURCE

    def __init__(self, client: WizClient) -> None:
        self._client = client

    async def close(self) -> None:
        await self._client.close()

    async def told(self, note: SourceNote) -> bool:
        issue, _ = _issue_of(note)
        if not issue:
            return False
        found = await self._read(issue)
        return any(note.key in text(obj(one).get("text")) for one in seq(found.get("notes")))

    async def tell(self, note: SourceNote) -> str:
        issue, kind = _issue_of(note)
        if not issue:
            if note.to in ("fixed", "reopened"):
                return f"nothing was told: Wiz's own scan says where a {kind} finding stands"
            raise Refused(
                f"Wiz cannot be told of a {kind} finding by its API.",
                mend="Make an ignore rule in Wiz if it must know.",
            )
        found = await self._read(issue)
        done: list[str] = []
        patch = self._patch(note, word(found.get("type")))
        if patch and word(found.get("status")) != patch["status"]:
            if patch["status"] == "IN_PROGRESS" and word(found.get("status")) != "OPEN":
                patch = {}  # Wiz or people were faster: what they set stands
            else:
                answer = await self._client.mutate(UPDATE_ISSUE, {"issueId": issue, "patch": patch})
                became = word(obj(obj(answer.get("updateIssue")).get("issue")).get("status"))
                if became != patch["status"]:
                    raise Refused(f"Wiz kept the issue {became or 'as it is'} instead of {patch['status']}")
                done.append(f"status {patch['status']}")
        if not any(note.key in text(obj(one).get("text")) for one in seq(found.get("notes"))):
            await self._client.mutate(ADD_NOTE, {"input": {"issueId": issue, "text": _said(note)}})
            done.append("note added")
        return ", ".join(done) or "Wiz knew already"

    async def rescan(self, note: SourceNote) -> str:
        return ""  # no public call for it is known

    async def _read(self, issue: str) -> Mapping[str, Any]:
        found = obj((await self._client.query(ISSUE_STATE, {"id": issue})).get("issue"))
        if not found:
            raise Gone(f"Wiz has no issue {issue} (any more)")
        return found

    def _patch(self, note: SourceNote, kind: str) -> dict[str, Any]:
        if note.to == "fixed":
            reason = self._client.options.threat_resolution
            if kind == "THREAT_DETECTION" and reason:
                return {"status": "RESOLVED", "resolutionReason": reason, "resolutionNote": _said(note)}
            return {"status": "IN_PROGRESS"}
        if note.to == "reopened":
            return {"status": "OPEN"}
        if note.to in _REASONS:
            return {"status": "REJECTED", "resolutionReason": _REASONS[note.to], "note": _said(note)}
        raise Refused(f"Wiz has no word for {note.to!r}.")


def _issue_of(note: SourceNote) -> tuple[str, str]:
    """(id of the issue to tell, the finding's kind): the issue itself, or the one a detection belongs to."""
    found = finding(note.raw) if note.raw else (ISSUE, {})
    if found is None or found[0] in (ISSUE, HOOK):
        return note.uid, ISSUE
    kind, node = found
    if kind == DETECTION:
        return text(obj(node.get("issue")).get("id"), 128) or text(node.get("threatId"), 128), kind
    return "", kind


def _said(note: SourceNote) -> str:
    until = f" Until {note.until:%Y-%m-%d}." if note.until else ""
    body = note.note if note.key in note.note else f"{note.note} [{note.key}]"
    return f"{body}{until}"
