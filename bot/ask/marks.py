"""Marks of one question and what their neighbourhood says: the ground that the parts of the parser stand on."""

from __future__ import annotations

from bot.ask.reading import Mark, Parsed
from bot.ask.scan import Scan
from bot.ask.vocabulary import Vocabulary

FILTERS = frozenset(
    [
        "value",
        "family",
        "framework",
        "product",
        "notenv",
        "sensitive",
        "pci",
        "flag",
        "missing",
        "present",
        "overdue",
        "late",
        "intime",
        "overdue_by",
        "due_in",
        "due_at",
        "age",
        "score",
        "rule",
        "uid",
    ]
)
STATES = frozenset({"status", "closed", "muted"})
GROUPS = frozenset(
    [
        "team",
        "account",
        "app",
        "region",
        "product",
        "provider",
        "env",
        "severity",
        "status",
        "type",
        "rule",
        "framework",
        "requirement",
        "cve",
        "package",
        "data_class",
        "resource_type",
        "priority",
        "resource",
    ]
)
COUNTED = {
    "finding": "finding",
    "problem": "problem",
    "resource": "resource",
    "team": "team",
    "account": "account",
    "app": "app",
    "region": "region",
    "product": "product",
    "rule": "rule",
    "cve": "cve",
    "requirement": "requirement",
    "framework": "framework",
    "env": "env",
    "provider": "provider",
    "resource_type": "resource_type",
    "data_class": "data_class",
    "package": "package",
}


# What a finding can be without.
LACKED = frozenset({"team", "app", "data_class", "env", "region", "framework", "requirement", "cve", "package"})


class NotUnderstood(Exception):
    """The question has no single meaning; the reason asks back."""


class Elsewhere(Exception):
    """The question is about something that is not in the data."""


class Marks:
    def __init__(self, scan: Scan, vocabulary: Vocabulary, my_team: str | None) -> None:
        self.words, self.marks, self.vocabulary, self.my_team = scan.words, scan.marks, vocabulary, my_team
        self.out = Parsed()
        self.group: Mark | None = None  # the noun that is grouped by
        self.taken: set[int] = set()  # indexes of marks already understood

    def _free(self) -> list[Mark]:
        return [mark for n, mark in enumerate(self.marks) if n not in self.taken]

    def _of(self, *kinds: str) -> list[Mark]:
        return [mark for mark in self._free() if mark.kind in kinds]

    def _take(self, mark: Mark) -> None:
        self.taken.add(next(n for n, each in enumerate(self.marks) if each is mark))

    def _between(self, left: Mark, right: Mark) -> list[Mark]:
        """Marks that begin after ``left`` and end before ``right``."""
        return [mark for mark in self.marks if mark.start >= left.end and mark.end <= right.start]

    def _word(self, at: int) -> str:
        return self.words[at].word if 0 <= at < len(self.words) and not self.words[at].quoted else ""

    def _back(self, at: int) -> int:
        """The nearest token before ``at`` that is not an article."""
        at -= 1
        while self._word(at) in {"the", "a", "an", "our", "s"}:
            at -= 1
        return at

    def _asked_as_group(self, noun: Mark) -> bool:
        """``by team``, ``per account``: the noun groups, whatever stands beside it."""
        return self._word(self._back(noun.start)) in {"by", "per", "each", "every", "which", "across"}

    def _near(self, left: Mark, right: Mark) -> bool:
        """Only small words between the two."""
        return 0 <= right.start - left.end <= 2 and all(
            self._word(at)
            in {"the", "a", "an", "of", "called", "named", "our", "is", "=", ":", "each", "every", "all", "s", "their"}
            for at in range(left.end, right.start)
        )
