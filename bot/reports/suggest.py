"""Questions that can be answered, to offer where one could not: the nearest, and three to begin with."""

from __future__ import annotations

from rapidfuzz import fuzz, process

from bot.domain.answers import START

KNOWN = (
    *START,
    "List the critical findings in prod",
    "Which findings are overdue?",
    "Open findings by severity",
    "Open findings by team",
    "Open findings by account",
    "How many findings are exposed to the internet?",
    "How many known exploited vulnerabilities are open?",
    "How many findings were found last week?",
    "How many findings were resolved this month?",
    "Mean time to remediate critical findings",
    "What percentage of findings was fixed within SLA?",
    "Compare prod and dev",
    "Show the oldest open findings",
    "Which rule has the most open findings?",
    "How many buckets are public?",
)
NEAR = 55.0  # how alike a question has to be to be offered as the nearest


def nearest(question: str) -> str:
    """The most alike of ``KNOWN``, or ""."""
    found = process.extractOne(question, KNOWN, scorer=fuzz.token_set_ratio, processor=str.lower, score_cutoff=NEAR)
    return str(found[0]) if found else ""


def offered(question: str, count: int = 3) -> tuple[str, ...]:
    """The nearest first, then others."""
    alike = process.extract(question, KNOWN, scorer=fuzz.token_set_ratio, processor=str.lower, limit=count)
    near = [str(text) for text, score, _ in alike if score >= NEAR]
    return tuple(dict.fromkeys([*near, *START]))[:count]
