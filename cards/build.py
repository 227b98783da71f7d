"""Engine views -> neutral Card, the one door: pure functions, one a view."""

from __future__ import annotations

from .causes import (
    cause_card,
    details_card,
    digest_card,
    finding_card,
    findings_card,
    help_card,
    mine_card,
    notice_card,
    status_card,
    thread_line,
)
from .plans import choices, home_card, plan_card

__all__ = [
    "cause_card",
    "choices",
    "details_card",
    "digest_card",
    "finding_card",
    "findings_card",
    "help_card",
    "home_card",
    "mine_card",
    "notice_card",
    "plan_card",
    "status_card",
    "thread_line",
]
