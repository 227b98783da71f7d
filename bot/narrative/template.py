"""Prose without a model: sentences of ours around the facts of the card. Pure."""

from __future__ import annotations

import re

from bot.domain.findings import Environment
from bot.domain.narratives import Narrative
from bot.domain.views import CauseView

PROSE, STEP = 700, 400


def template(view: CauseView) -> Narrative:
    several = view.total_count > 1
    where = view.environment if view.environment != Environment.UNKNOWN else "an unknown environment"
    risk = view.risk or f"{_sentence(view.title)} It is rated {view.severity.name.lower()} by its source, in {where}."
    cause = (
        f"All {view.total_count:,} findings have the same rule, account, environment and owner, so one change can fix "
        f"them; {view.open_count:,} of them are open."
        if several
        else "One finding; nothing else has the same rule, account, environment and owner."
    )
    reasons = [reason.fact for reason in view.reasons[:4]]
    exploit = f"From the facts: {'; '.join(reasons)}." if reasons else "The source says nothing about it."
    steps = []
    if view.playbook_title and not view.no_fix:
        steps.append(f"Press Review fix: {view.playbook_title}.")
    steps += [part for part in re.split(r"(?:\r?\n)+|(?<=[a-z)]\.) (?=[A-Z])", view.remediation) if part.strip()][:5]
    if not steps:
        steps = ["Look at the resource in its console; the source gives no advice."]
    return Narrative(
        risk=_cut(risk, PROSE),
        root_cause=_cut(cause, PROSE),
        exploitability=_cut(exploit, PROSE),
        steps=tuple(_cut(step.strip(), STEP) for step in steps),
    )


def _sentence(text: str) -> str:
    text = text.strip()
    return text if text.endswith((".", "!", "?", "…")) else f"{text}."


def _cut(text: str, limit: int) -> str:
    text = text.strip() or "Nothing is known."
    return text if len(text) <= limit else text[: limit - 1] + "…"
