"""Lacework's words and times in ours. An unknown word is never an error: the caller keeps it beside the value."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from bot.domain.findings import Severity, SourceStatus
from connectors import markup
from connectors.text import obj, text, when

_SEVERITIES = {
    "critical": Severity.CRITICAL,
    "high": Severity.HIGH,
    "medium": Severity.MEDIUM,
    "low": Severity.LOW,
    "info": Severity.INFORMATIONAL,
    "informational": Severity.INFORMATIONAL,
    "negligible": Severity.INFORMATIONAL,
    "unknown": Severity.UNKNOWN,
    "none": Severity.UNKNOWN,
    "": Severity.UNKNOWN,
    # Reports, webhooks and event channels count the other way round: 1 is the worst.
    "0": Severity.UNKNOWN,
    "1": Severity.CRITICAL,
    "2": Severity.HIGH,
    "3": Severity.MEDIUM,
    "4": Severity.LOW,
    "5": Severity.INFORMATIONAL,
}
_ALERT_STATES = {
    "": SourceStatus.NEW,
    "open": SourceStatus.NEW,
    "in progress": SourceStatus.IN_PROGRESS,
    "inprogress": SourceStatus.IN_PROGRESS,
    "closed": SourceStatus.RESOLVED,
}
_VULNERABLE = {
    "active": SourceStatus.NEW,
    "new": SourceStatus.NEW,
    "reopened": SourceStatus.NEW,
    "vulnerable": SourceStatus.NEW,
    "match_vuln": SourceStatus.NEW,
    "vulnerableondiscovery": SourceStatus.NEW,
    "fixed": SourceStatus.RESOLVED,
    "fixedondiscovery": SourceStatus.RESOLVED,
    "good": SourceStatus.RESOLVED,
    "resolved": SourceStatus.RESOLVED,
    "no_match_vuln": SourceStatus.RESOLVED,
    "exception": SourceStatus.SUPPRESSED,
    "exceptionnew": SourceStatus.SUPPRESSED,
    "suppressed": SourceStatus.SUPPRESSED,
}
_COMPLIANCE = {
    "noncompliant": SourceStatus.NEW,
    "partiallycompliant": SourceStatus.NEW,
    "compliant": SourceStatus.RESOLVED,
    "suppressed": SourceStatus.SUPPRESSED,
    "exception": SourceStatus.SUPPRESSED,
}
# The check could not tell, or a person has to look: neither opens nor resolves.
UNDECIDED = frozenset({"couldnotassess", "manual", "requiresmanualassessment", "notapplicable", "notassessed"})
# How an alert was closed: by number (API) or in words (console).
_EXPECTED = frozenset({"1", "4", "5"})
_EXPECTED_WORDS = ("false positive", "routine testing", "expected")
_BLANKS = re.compile(r"[ \t]{2,}|\t")
_MOMENT = re.compile(r"\d{1,2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}(?::\d{2})?(?: (?:GMT|UTC))?")


def squeezed(word: str) -> str:
    """Without case, spaces, dashes and underscores."""
    return re.sub(r"[\s_-]+", "", word).lower()


def severity(value: Any) -> tuple[Severity, str]:
    word = text(value, 64)
    return _SEVERITIES.get(word.lower(), Severity.OTHER), word


def alert_state(status: Any, reason: Any) -> tuple[SourceStatus, str]:
    """``reason`` is why it was closed, where the object says so."""
    word = text(status, 64)
    found = _ALERT_STATES.get(word.lower(), SourceStatus.OTHER)
    if found is SourceStatus.RESOLVED:
        why = text(reason, 200).lower()
        if why in _EXPECTED or any(said in why for said in _EXPECTED_WORDS):
            found = SourceStatus.SUPPRESSED
    return found, word


def vulnerability_state(status: Any, evaluated: Any) -> tuple[SourceStatus, str]:
    """``evaluated`` (VULNERABLE, GOOD) counts where the row carries no status of its own."""
    word = text(status, 64) or text(evaluated, 64)
    if not word:
        return SourceStatus.NEW, ""
    return _VULNERABLE.get(word.lower().replace(" ", ""), SourceStatus.OTHER), word


def compliance_state(status: Any) -> tuple[SourceStatus, str]:
    word = text(status, 64)
    return _COMPLIANCE.get(squeezed(word), SourceStatus.OTHER if word else SourceStatus.NEW), word


def undecided(status: Any) -> bool:
    return squeezed(text(status, 64)) in UNDECIDED


def blind(status: Any) -> bool:
    """Something that is there could not be looked at (other than what a person has to judge by hand)."""
    return squeezed(text(status, 64)) in ("couldnotassess", "notassessed")


def moment(value: Any) -> datetime | None:
    """Every way Lacework writes a time: ISO, epoch seconds or milliseconds (also as a string), RFC 1123,
    ``27 May 2021 17:00 GMT``; ``""`` and ``"0"`` are "never"."""
    if isinstance(value, str):
        value = value.strip().strip("'\"")
        if value.lstrip("-").isdigit():
            return when(int(value)) if len(value) <= 16 else None
        if _MOMENT.fullmatch(value):
            for shape in ("%d %b %Y %H:%M", "%d %b %Y %H:%M:%S"):
                try:
                    return datetime.strptime(value.removesuffix(" GMT").removesuffix(" UTC"), shape).replace(tzinfo=UTC)
                except ValueError:
                    continue
            return None
        if "," in value:
            try:
                found = parsedate_to_datetime(value)
                return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
            except (ValueError, TypeError, OverflowError):
                return None
    found_ = when(value)
    return found_ if found_ is not None and found_.year > 1971 else None


def exposed(value: Any) -> bool | None:
    """``Yes``, ``No``, ``Unknown``, ``UnknownInternetExposure``, ``Public``, ``Private`` …"""
    if isinstance(value, bool):
        return value
    word = squeezed(text(value, 64))
    if not word or "unknown" in word:
        return None
    if word.startswith(("no", "private")) or word in ("false", "0", "internal"):
        return False
    if word in ("1", "true") or any(said in word for said in ("yes", "public", "exposed", "facing", "internet")):
        return True
    return None


def flag(value: Any) -> bool | None:
    """``"1"``, ``1``, ``true``, ``"Yes"``; None where nothing is said."""
    if isinstance(value, bool):
        return value
    word = text(value, 16).lower()
    if word in ("1", "true", "yes"):
        return True
    return False if word in ("0", "false", "no") else None


def plain(value: Any, limit: int = 64_000) -> str:
    """Text without Markdown, tags, lone code marks and runs of blanks."""
    said = markup.plain(text(value, limit)).replace("`", "")
    return _BLANKS.sub(" ", said).strip()


def pick(raw: Mapping[str, Any], *names: str) -> Any:
    """The first member that is there and says something, whatever its generation spells it."""
    for name in names:
        found = raw.get(name)
        if found is not None and found != "":
            return found
    return None


def context(raw: Mapping[str, Any]) -> Mapping[str, Any]:
    """What reader and poller add to an object: the host it came from, its policy, its report."""
    return obj(raw.get("_lacework"))
