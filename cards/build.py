"""Engine views -> neutral Card, the one door: pure functions, one a view."""

from __future__ import annotations

from .ask import about_card, answer_card, check_card, comment_card, page_card, thanks_card
from .breakglass import form_card as glass_form_card
from .breakglass import glass_card
from .breakglass import review_card as glass_review_card
from .causes import (
    cause_card,
    details_card,
    digest_card,
    finding_card,
    findings_card,
    mine_card,
    status_card,
)
from .governance import delegations_card, why_button, why_card
from .narrative import call_card
from .notices import help_card, notice_card, thread_line
from .personal import personal_card, shared_card
from .plans import approvals_card, choices, home_card, plan_card
from .standing import pre_approve_card, standing_card, standings_card

__all__ = [
    "about_card",
    "answer_card",
    "approvals_card",
    "call_card",
    "cause_card",
    "check_card",
    "choices",
    "comment_card",
    "delegations_card",
    "details_card",
    "digest_card",
    "finding_card",
    "findings_card",
    "glass_card",
    "glass_form_card",
    "glass_review_card",
    "help_card",
    "home_card",
    "mine_card",
    "notice_card",
    "page_card",
    "personal_card",
    "plan_card",
    "pre_approve_card",
    "shared_card",
    "standing_card",
    "standings_card",
    "status_card",
    "thanks_card",
    "thread_line",
    "why_button",
    "why_card",
]
