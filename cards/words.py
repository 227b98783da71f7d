"""The words cards share: severity and stage as emoji and word, counts, times, ids for buttons. Pure."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from bot.domain.findings import Severity
from bot.domain.plans import Reversibility, Risk
from bot.domain.triage import Priority
from bot.domain.views import Stage

SEVERITY = {
    Severity.FATAL: "🟣 Fatal",
    Severity.CRITICAL: "🔴 Critical",
    Severity.HIGH: "🟠 High",
    Severity.MEDIUM: "🟡 Medium",
    Severity.LOW: "🔵 Low",
    Severity.INFORMATIONAL: "⚪ Informational",
    Severity.UNKNOWN: "⚪ Severity unknown",
    Severity.OTHER: "⚪ Other severity",
}
PRIORITY = {Priority.P1: "🔴 P1", Priority.P2: "🟠 P2", Priority.P3: "🟡 P3", Priority.P4: "🔵 P4"}
STAGE = {
    Stage.OPEN: "Open",
    Stage.WAITING: "⏳ Waiting for approval",
    Stage.RUNNING: "⚙️ Being fixed",
    Stage.FIXED: "✅ Fixed and verified",
    Stage.UNVERIFIED: "⚠️ Applied, not verified",
    Stage.FAILED: "❌ The fix failed",
    Stage.BLOCKED: "⛔ Stopped before any change",
    Stage.UNDONE: "↩️ Undone",
    Stage.SNOOZED: "💤 Snoozed",
    Stage.EXCEPTED: "📝 Risk accepted",
    Stage.SILENCED: "🔕 Silenced",
    Stage.RESOLVED: "☑️ Resolved",
}
# Names of products; a source that is not here is called as the settings call it.
SOURCE = {
    "wiz": "Wiz",
    "prisma_cloud": "Prisma Cloud",
    "orca": "Orca",
    "lacework": "Lacework",
    "security_hub": "Security Hub",
    "prowler": "Prowler",
    "ocsf": "OCSF",
}
REVERSIBLE = {
    Reversibility.EXACT: "Yes, exactly: the present settings are kept and can be put back",
    Reversibility.PARTIAL: "Partly",
    Reversibility.NONE: "No",
}
RISK = {Risk.LOW: "Low risk", Risk.MEDIUM: "Medium risk", Risk.HIGH: "High risk"}


def count(number: int, one: str, many: str = "") -> str:
    """ "1 bucket", "3 buckets"."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def ids(**values: Any) -> str:
    """A button's value: JSON of ids only."""
    return json.dumps({key: value for key, value in values.items() if value not in (None, "")}, separators=(",", ":"))


def day(at: datetime) -> str:
    """A date read aloud, for summaries that no platform localises."""
    return f"{at.day} {at:%B %Y}"


def where(account_name: str, account_uid: str, environment: str, provider: str = "") -> str:
    account = (
        f"{account_name} ({account_uid})"
        if account_name and account_uid
        else account_name or account_uid or "an unknown account"
    )
    known = environment if environment not in {"", "unknown"} else "environment unknown"
    return f"{provider.upper() + ' ' if provider else ''}{account}, {known}"


def shown(value: Any) -> str:
    """A JSON value in words: absent is said, never shown as off."""
    if value is None:
        return "not set"
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, str):
        return value or "(empty)"
    return json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)


def sentence(text: str) -> str:
    """With its full stop, so that joined sentences read well aloud."""
    text = text.strip()
    return text if not text or text[-1] in ".!?…" else f"{text}."


def spoken(label: str) -> str:
    """Without the picture it begins with: for what is read aloud."""
    first, _, rest = label.partition(" ")
    return label if any(char.isalnum() for char in first) else rest


def either(could: tuple[str, ...]) -> str:
    """ "members of a, or Bob"."""
    return ", or ".join((", ".join(could[:-1]), could[-1])) if len(could) > 1 else "".join(could)
