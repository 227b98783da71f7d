"""Orca's words and texts: severities that disagree, states, Markdown with unfilled placeholders."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from bot.domain.findings import Severity, SourceStatus
from connectors import markup
from connectors.text import fraction, integer, seq, text

RISK_LEVELS = {
    "critical": Severity.CRITICAL,
    "high": Severity.HIGH,
    "medium": Severity.MEDIUM,
    "low": Severity.LOW,
    "informational": Severity.INFORMATIONAL,
    "info": Severity.INFORMATIONAL,
    "none": Severity.INFORMATIONAL,
    "unknown": Severity.UNKNOWN,
}
# The older scale, 1 is worst. It disagrees with risk_level (recorded: hazardous beside low), which goes before it.
OLD_LEVELS = {
    "compromised": Severity.CRITICAL,
    "imminent compromise": Severity.HIGH,
    "hazardous": Severity.MEDIUM,
    "informational": Severity.INFORMATIONAL,
}
_OLD_SCORES = {1: Severity.CRITICAL, 2: Severity.HIGH, 3: Severity.MEDIUM, 4: Severity.INFORMATIONAL}
# From recordings that have both: 2.3 informational, 3.0 to 4.7 low, 5.0 to 6.7 medium. Above: Orca's own bands.
_ORCA_SCORES = ((9.0, Severity.CRITICAL), (7.0, Severity.HIGH), (5.0, Severity.MEDIUM), (3.0, Severity.LOW))

_STATES = {
    "open": SourceStatus.NEW,
    "new": SourceStatus.NEW,
    "reopened": SourceStatus.NEW,
    "in_progress": SourceStatus.IN_PROGRESS,
    "snoozed": SourceStatus.SUPPRESSED,
    "snooze": SourceStatus.SUPPRESSED,
    "dismissed": SourceStatus.SUPPRESSED,
    "dismiss": SourceStatus.SUPPRESSED,
    "closed": SourceStatus.RESOLVED,
    "close": SourceStatus.RESOLVED,
    "resolved": SourceStatus.RESOLVED,
}
_GONE = re.compile(
    r"\b(asset|resource|account|vm|instance)\b.{0,40}\b(deleted|removed|terminated|no longer|gone)\b", re.I
)


def severity_of(risk_level: Any, orca_score: Any, score: Any, word: Any) -> tuple[Severity, str]:
    """(mapped, Orca's word): ``risk_level`` first, else from ``orca_score`` (0..10), else the old word or score."""
    said = text(risk_level, 64) if isinstance(risk_level, str) else ""
    if said:
        return RISK_LEVELS.get(said.lower(), Severity.OTHER), said
    old = text(word, 64) if isinstance(word, str) else ""
    number = fraction(orca_score, 0, 10)
    if number is not None:
        banded = next((level for least, level in _ORCA_SCORES if number >= least), Severity.INFORMATIONAL)
        return banded, old or f"{number:g}"
    if old:
        return OLD_LEVELS.get(old.lower()) or RISK_LEVELS.get(old.lower(), Severity.OTHER), old
    step = integer(score)
    if step is None:
        return Severity.UNKNOWN, ""
    return _OLD_SCORES.get(step, Severity.OTHER), str(step)


def state_of(status: Any, reason: str) -> tuple[SourceStatus, str]:
    """What a state means. An alert that says none (a customer's webhook template) is taken as open."""
    word = text(status, 64)
    if word.lower() in ("", "success", "failure"):  # the envelope's word, not the alert's
        return SourceStatus.NEW, ""
    known = _STATES.get(word.lower().replace(" ", "_").replace("-", "_"), SourceStatus.OTHER)
    if known is SourceStatus.RESOLVED and _GONE.search(reason):
        return SourceStatus.DELETED, word
    return known, word


_STRAY = re.compile(r"\*\*|`{1,3}")  # marks that are opened and never closed
_PLACEHOLDER = re.compile(r"\{([A-Z][A-Za-z0-9]{1,80})((?:\.[A-Za-z0-9]{1,80}){0,6})\}")


def plain_text(value: Any, name: str = "") -> str:
    """Markdown and tags to plain text. ``{AwsEc2Elb}`` becomes ``name`` where it is known; of a longer path, which
    stands for something the payload does not hold, the last part is kept as a word."""
    said = text(value)
    if "{" in said:
        said = _PLACEHOLDER.sub(lambda m: m[2].rpartition(".")[2] if m[2] else (name or m[1]), said)
    return _STRAY.sub("", markup.plain(said)).strip()


def lines(value: Any, name: str = "") -> str:
    """Steps, which come as a list of Markdown lines or as one text."""
    if isinstance(value, str):
        return plain_text(value, name)
    return "\n".join(said for one in seq(value) if (said := plain_text(one, name)))


_URL = re.compile(r"https?://[^\s)\]>\"'{}]{3,1900}")


def links(values: Iterable[Any]) -> tuple[str, ...]:
    """Every link of the texts, once, without the punctuation behind it."""
    found = (url.rstrip(".,;:") for one in values if isinstance(one, str) for url in _URL.findall(one[:64_000]))
    return tuple(dict.fromkeys(found))[:50]


def filled(template: Any, said: Any, subject: str) -> str:
    """What Orca put in place of ``{subject}`` in a template: the name of the resource, where nothing else tells it."""
    pattern, text_ = text(template, 4000), text(said, 8000)
    mark = "{" + subject + "}"
    if not subject or mark not in pattern or not text_:
        return ""
    before, _, after = pattern.partition(mark)
    ahead, behind = before.rpartition("}")[2][-60:], after.partition("{")[0][:60]
    found = re.search(re.escape(ahead) + r"(\S{1,200}?)" + re.escape(behind), text_)
    return found[1].strip("\"'") if found and ahead.strip() and behind.strip() else ""
