"""A question's words as marks: which values, flags, times and askings stand where. What no mark covers is left over.

The longest phrase wins; the company's own names win over common words of the same length.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from bot.ask import lexicon, times
from bot.ask.tokens import Token, tokens
from bot.ask.vocabulary import Vocabulary


@dataclass(slots=True)
class Mark:
    """``start``/``end`` in tokens. ``dim`` and ``values`` of what filters; ``data`` what its kind needs besides."""

    kind: str
    start: int
    end: int
    dim: str = ""
    values: tuple[str, ...] = ()
    data: Any = None
    said: str = ""
    negated: bool = False

    @property
    def key(self) -> str:
        """What a later value of the same kind replaces."""
        return self.dim or self.kind


@dataclass(slots=True)
class Scan:
    words: list[Token]
    marks: list[Mark]
    left: list[int] = field(default_factory=list)  # tokens that nothing explains
    unknown: list[tuple[str, str]] = field(default_factory=list)  # (what it seems to be, the word)


Phrases = dict[str, list[tuple[tuple[str, ...], Mark]]]  # by first word


@cache
def common() -> Phrases:
    """The lexicon as phrases."""
    found: Phrases = {}
    for entry in lexicon.ENTRIES:
        for phrase in entry.phrases:
            values = (entry.value,) if entry.value else ()
            _add(found, phrase, Mark(entry.kind, 0, 0, entry.dim, values))
    for name, cve in lexicon.CVE_NAMES.items():
        _add(found, name, Mark("value", 0, 0, "cve", (cve,)))
    for city, regions in lexicon.CITIES.items():
        _add(found, city, Mark("value", 0, 0, "region", regions))
    return found


def own(vocabulary: Vocabulary) -> Phrases:
    """The company's names as phrases."""
    found: Phrases = {}
    sets: dict[tuple[str, str], set[str]] = {}
    for dimension in ("team", "app", "account", "product", "region", "package", "framework", "requirement", "env"):
        for lowered, value in vocabulary.values.get(dimension, {}).items():
            for phrase in _spellings(dimension, lowered):
                sets.setdefault((dimension, phrase), set()).add(value)
    for lowered, value in vocabulary.values.get("resource_type", {}).items():
        for phrase in type_phrases(lowered):
            sets.setdefault(("resource_type", phrase), set()).add(value)
    for lowered, value in vocabulary.values.get("data_class", {}).items():
        if lowered not in {"pii", "pci", "internal", "none"}:
            sets.setdefault(("data_class", lowered), set()).add(value)
    for phrase, package in lexicon.PACKAGE_NAMES.items():
        if vocabulary.has("package", package):
            sets.setdefault(("package", phrase), set()).add(package)
    for lowered, name in vocabulary.names.items():
        sets.setdefault(("resource", lowered), set()).add(name)
    for rule in vocabulary.rules:
        sets.setdefault(("rule", rule.title.lower()), set()).add(rule.uid)
        sets.setdefault(("rule", rule.uid.lower()), set()).add(rule.uid)
    for (dimension, phrase), values in sets.items():
        kind = "ordinary" if dimension == "team" and phrase in lexicon.ORDINARY else "value"
        if dimension in ("framework", "product"):
            kind = dimension
        _add(found, phrase, Mark(kind, 0, 0, dimension, tuple(sorted(values))))
    return found


def _add(found: Phrases, phrase: str, mark: Mark) -> None:
    words = tuple(token.word for token in tokens(phrase.replace('"', "").replace("'s", "'s")))
    if words:
        found.setdefault(words[0], []).append((words, mark))


_GENERIC_PREFIX = frozenset({"linux", "commons", "react", "ingress", "open", "lib", "python", "java", "node", "spring"})


def _spellings(dimension: str, value: str) -> set[str]:
    found = {value}
    if re.search(r"[-_]", value) and dimension in {"team", "app", "account", "package"}:
        found |= {re.sub(r"[-_]+", " ", value), value.replace("_", "-"), value.replace("-", "_")}
        found.add(re.sub(r"[-_]+", "", value))
    if dimension == "package":
        first = re.split(r"[-_]", value)[0]
        if len(first) > 3 and first != value and first not in _GENERIC_PREFIX:
            found.add(first)
    if dimension == "requirement":
        last = value.rsplit(" ", 1)[-1]
        if re.search(r"[a-z]", last) or last.count(".") > 2 or "(" in last:
            found.add(last)
    if dimension == "framework":
        found |= {value.replace(" ", ""), value.replace(" ", "-")}
    return found


_NOT_ALONE = frozenset(
    {
        "group",
        "rule",
        "account",
        "instance",
        "server",
        "machine",
        "identity",
        "service",
        "interface",
        "resource",
        "address",
        "policy",
    }
)


def type_phrases(name: str) -> set[str]:
    """How people say a resource type: its name, its plural, its last word where that is telling, its service."""
    name = re.sub(r"[_/]+", " ", name)
    words = name.split()
    if not words or name == "aws account":
        return set()
    plural = _plural(words[-1])
    found = {name, " ".join([*words[:-1], plural])}
    if words[0] == "kubernetes":
        found |= {"k8s " + " ".join(words[1:]), "k8s " + " ".join([*words[1:-1], plural])}
    if len(words) > 1 and words[-1] not in _NOT_ALONE:
        found |= {words[-1], plural}
    if words[-1] == "policy" and len(words) > 1:
        found.add(plural)
    if len(words) > 1 and words[0] in {"ec2", "s3", "rds", "ebs", "ecr", "iam", "kms", "vpc", "kubernetes", "lambda"}:
        found.add(words[0])
        if words[0] == "kubernetes":
            found.add("k8s")
    if words[0] == "lambda":
        found.add("lambdas")
    if name == "network security group":
        found |= {"nsg", "nsgs"}
    if name == "cloud storage bucket":
        found |= {"gcs bucket", "gcs buckets", "gcs"}
    if name == "container image":
        found |= {"docker image", "docker images"}
    return found


def _plural(word: str) -> str:
    if word.endswith("y") and word[-2:-1] not in "aeiou":
        return word[:-1] + "ies"
    return word if word.endswith("s") else word + "s"


# --- the scan --------------------------------------------------------------------------------------------------------


def scan(words: list[Token], names: Phrases, now: datetime) -> Scan:
    found = Scan(words, [])
    at = 0
    while at < len(words):
        mark = _quoted(words, at, names) if words[at].quoted else _next(words, at, names, now)
        if mark is None:
            if words[at].quoted or words[at].word not in lexicon.FILLER:
                found.left.append(at)
            at += 1
            continue
        mark.said = mark.said or " ".join(token.raw for token in words[mark.start : mark.end])
        found.marks.append(mark)
        at = mark.end
    return found


def _quoted(words: list[Token], at: int, names: Phrases) -> Mark | None:
    """A name in quotes: one of the company's, whole."""
    inner = tokens(words[at].word)
    for phrase, mark in names.get(inner[0].word, ()) if inner else ():
        if phrase == tuple(token.word for token in inner):
            return Mark("value", at, at + 1, mark.dim, mark.values)
    return None


def _next(words: list[Token], at: int, names: Phrases, now: datetime) -> Mark | None:
    for special in (_severity_range, _overdue_by, _due_in, _ahead, _age, _score):
        if mark := special(words, at, now):
            return mark
    longest = _longest(words, at, names) or None
    usual = _longest(words, at, common())
    if usual is not None and (longest is None or usual.end > longest.end):
        longest = usual
    if (found := times.parse(words, at, now)) and (longest is None or at + found[1] >= longest.end):
        return Mark("time", at, at + found[1], data=found[0])
    if longest is not None:
        if longest.kind == "framework" and (control := _requirement(words, longest, names)):
            return control
        return longest
    if re.fullmatch(r"(?:cve-\d{4}-\d{4,7}|ghsa(?:-[a-z0-9]{4}){3})", words[at].word):
        return Mark("value", at, at + 1, "cve", (words[at].word.upper(),))
    if words[at].number is not None and words[at].word != "one":
        return Mark("number", at, at + 1, data=words[at].number)
    return None


def _longest(words: list[Token], at: int, phrases: Phrases) -> Mark | None:
    best: Mark | None = None
    for phrase, mark in phrases.get(words[at].word, ()):
        end = at + len(phrase)
        if end > len(words) or (best is not None and end <= best.end):
            continue
        if all(words[at + n].word == word and not words[at + n].quoted for n, word in enumerate(phrase)):
            best = Mark(mark.kind, at, end, mark.dim, mark.values, mark.data)
    return best


def _requirement(words: list[Token], framework: Mark, names: Phrases) -> Mark | None:
    """``PCI DSS 1.2.1``, ``CIS 2.1.1``: the framework as stored, then its number."""
    if framework.end >= len(words) or not re.search(r"\d", words[framework.end].word):
        return None
    for value in framework.values:
        phrase = tuple(token.word for token in tokens(f"{value} {words[framework.end].raw}"))
        for known, mark in names.get(phrase[0], ()):
            if known == phrase and mark.dim == "requirement":
                return Mark("value", framework.start, framework.end + 1, "requirement", mark.values)
    return None


# --- specials --------------------------------------------------------------------------------------------------------


def _word(words: Sequence[Token], at: int) -> str:
    return words[at].word if 0 <= at < len(words) and not words[at].quoted else ""


def _is(words: Sequence[Token], at: int, *said: str) -> int:
    """How many tokens ``said`` takes at ``at``; 0 when it does not stand there."""
    return len(said) if all(_word(words, at + n) == word for n, word in enumerate(said)) else 0


def _any(words: Sequence[Token], at: int, *phrases: str) -> int:
    return max((_is(words, at, *phrase.split()) for phrase in phrases), default=0)


_SEVERITY = {
    phrase: entry.value
    for entry in lexicon.ENTRIES
    if entry.kind == "value" and entry.dim == "severity"
    for phrase in entry.phrases
}


def _severity_range(words: Sequence[Token], at: int, now: datetime) -> Mark | None:
    order = lexicon.SEVERITY_ORDER
    before = _any(
        words,
        at,
        "at or above",
        "at or over",
        "at least",
        "minimum",
        "minimum of",
        "not below",
        "no lower than",
        "not lower than",
        "a minimum of",
    )
    strict_up = _any(words, at, "above", "higher than", "worse than", "more severe than", "greater than", "over")
    strict_down = _any(words, at, "below", "lower than", "less than", "less severe than", "under", "milder than")
    upto = _any(
        words, at, "at or below", "at or under", "at most", "up to", "no higher than", "not above", "no worse than"
    )
    skip = before or strict_up or strict_down or upto
    level = _SEVERITY.get(_word(words, at + skip))
    if level is None:
        return None
    rank, end = order.index(level), at + skip + 1
    end += _word(words, end) in {"severity", "sev"}
    if skip:
        chosen = (
            order[: rank + 1]
            if before
            else order[:rank]
            if strict_up
            else order[rank + 1 :]
            if strict_down
            else order[rank:]
        )
    else:
        up = _any(
            words,
            end,
            "or above",
            "and above",
            "or higher",
            "and higher",
            "or worse",
            "and worse",
            "or more",
            "+",
            "and up",
            "or up",
            "or greater",
            "or more severe",
            "and more severe",
            "upwards",
            "or over",
            "severity or above",
            "severity and above",
            "severity or higher",
            "and over",
            "or better",
        )
        down = _any(
            words,
            end,
            "or below",
            "and below",
            "or lower",
            "and lower",
            "or less",
            "and less",
            "or under",
            "and down",
            "or less severe",
            "downwards",
        )
        if not up and not down:
            return None
        chosen, end = (order[: rank + 1] if up else order[rank:]), end + (up or down)
    return Mark("value", at, end, "severity", tuple(chosen)) if chosen else None


_MORE = (
    "more than",
    "over",
    "longer than",
    "greater than",
    "above",
    ">",
    "older than",
    "exceeding",
    "in excess of",
    "upwards of",
    "for more than",
    "for over",
    "for longer than",
    "by more than",
    "by over",
    "well over",
    "beyond",
)
_AT_LEAST = ("at least", ">=", "≥", "for at least", "by at least", "no less than", "not less than", "a minimum of")
_LESS = (
    "less than",
    "under",
    "fewer than",
    "<",
    "below",
    "younger than",
    "newer than",
    "for less than",
    "by less than",
    "for under",
    "within",
    "more recent than",
)
_AT_MOST = (
    "at most",
    "<=",
    "≤",
    "up to",
    "no more than",
    "not more than",
    "for at most",
    "by at most",
    "no older than",
    "not older than",
)


def _bound(words: Sequence[Token], at: int) -> tuple[str, int]:
    """gt, ge, lt or le, and the tokens it takes; ("", 0) when none stands there."""
    best = ("", 0)
    for op, phrases in (("gt", _MORE), ("ge", _AT_LEAST), ("lt", _LESS), ("le", _AT_MOST)):
        used = _any(words, at, *phrases)
        if used > best[1]:
            best = (op, used)
    return best


def _length(words: Sequence[Token], at: int) -> tuple[float, int, str] | None:
    """Days, the tokens it takes, and "ge" where ``30+ days`` or ``30 days or more`` says so."""
    shifted = list(words)
    plus = _word(words, at + 1) == "+" and words[at].number is not None
    if plus:
        del shifted[at + 1]
    found = times.duration(shifted, at)
    if found is None:
        return None
    end = found[3] + plus
    more = _any(words, at + end, "or more", "or longer", "and more", "or older", "or above")
    return found[0] / timedelta(days=1), end + more, "ge" if plus or more else ""


def _age(words: Sequence[Token], at: int, now: datetime) -> Mark | None:
    """older than N days; open for more than N days; N days old; more than N days ago; aged over N days."""
    word = _word(words, at)
    opener = _any(
        words,
        at,
        "open for",
        "open",
        "been open for",
        "outstanding for",
        "unresolved for",
        "unfixed for",
        "been open",
        "have been open for",
        "has been open for",
        "aged",
        "age",
        "age of",
        "age over",
        "with an age of",
        "open since",
        "unresolved",
        "outstanding",
        "active for",
        "been there for",
        "been around for",
        "an age of",
        "hanging around for",
        "been outstanding for",
        "been unresolved for",
        "sitting for",
        "around for",
    )
    op, used = _bound(words, at + opener)
    length = _length(words, at + opener + used)
    if length is None:
        return None
    days, taken, plus = length
    end = at + opener + used + taken
    tail = _any(words, end, "old", "of age", "ago", "in age", "or older", "since first seen", "after first seen")
    older = any(
        _word(words, n) in {"older", "younger", "newer", "age", "aged", "recent"} for n in range(at, at + opener + used)
    )
    about_age = older or (opener and word not in {"age"}) or tail
    if not about_age or not (op or plus or (opener and not tail)):
        return None
    if tail and _word(words, end) == "ago" and not op:
        return None
    if opener and not op and not plus:
        op = "ge"  # "open for 30 days" means that long or longer
    status = opener and any(
        _word(words, n) in {"open", "unresolved", "unfixed", "outstanding", "active"} for n in range(at, at + opener)
    )
    return Mark("age", at, end + tail, "age_days", data=(plus or op, days, bool(status)))


def _overdue_by(words: Sequence[Token], at: int, now: datetime) -> Mark | None:
    """overdue by more than N days; more than N days overdue; N days past due."""
    late = (
        "overdue",
        "past due",
        "late",
        "past their sla",
        "past its sla",
        "past sla",
        "past the sla",
        "out of sla",
        "over sla",
        "past their due date",
        "over their sla",
        "past deadline",
        "behind",
        "beyond sla",
        "over the sla",
    )
    head = _any(words, at, *late)
    if head:
        start = at + head + (_word(words, at + head) in {"by", "for", "since"})
        op, used = _bound(words, start)
        op2, used2 = _bound(words, at + head)
        if used2 > used + (start - at - head):
            op, used, start = op2, used2, at + head
        length = _length(words, start + used)
        if length and (op or length[2] or _word(words, at + head) in {"by", "for"}):
            return Mark(
                "overdue_by", at, start + used + length[1], "overdue_days", data=(length[2] or op or "ge", length[0])
            )
        return None
    op, used = _bound(words, at)
    length = _length(words, at + used)
    if length is None:
        return None
    end = at + used + length[1]
    tail = _any(words, end, *late)
    if not tail or not (op or length[2]):
        return None
    return Mark("overdue_by", at, end + tail, "overdue_days", data=(length[2] or op, length[0]))


_BREACH = ("breach", "breach sla", "breach their sla", "breach the sla", "breach its sla", "violate their sla", "exceed their sla",
           "miss their sla", "become late", "run past their sla", "breaching", "breaching sla", "expiring", "expires", "go past due",
           "hit sla", "reach sla", "be due", "come up for sla")  # fmt: skip
_DUE = tuple(phrase for entry in lexicon.ENTRIES if entry.kind == "due" for phrase in entry.phrases)


def _due_in(words: Sequence[Token], at: int, now: datetime) -> Mark | None:
    """due in / within the next N days; breach their SLA in the next week; in the next N days … due."""
    head = _any(words, at, *_DUE) or _any(words, at, *_BREACH)
    if not head:
        return None
    start = at + head
    skip = _any(
        words,
        start,
        "in",
        "within",
        "in the next",
        "within the next",
        "over the next",
        "the next",
        "next",
        "during the next",
        "in the coming",
        "within the coming",
        "in under",
        "in less than",
        "over the coming",
        "in next",
        "sla in the next",
        "sla within the next",
        "their sla in the next",
        "their sla within the next",
        "within next",
    )
    if skip:
        length = _length(words, start + skip)
        if length:
            return Mark("due_in", at, start + skip + length[1], "due_in_days", data=length[0])
        if (unit := _word(words, start + skip)) in {"day", "week", "month", "fortnight", "quarter"}:
            days = {"day": 1, "week": 7, "month": 30, "fortnight": 14, "quarter": 90}[unit]
            return Mark("due_in", at, start + skip + 1, "due_in_days", data=float(days))
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    by = start + (_word(words, start) in {"by", "on", "before", "until"})
    if _word(words, by) == "today":
        return Mark("due_at", at, by + 1, "due", data=(now, midnight + timedelta(days=1)))
    if _word(words, by) == "tomorrow":
        return Mark("due_at", at, by + 1, "due", data=(midnight + timedelta(days=1), midnight + timedelta(days=2)))
    monday = midnight - timedelta(days=midnight.weekday())
    if _is(words, by, "this", "week"):
        return Mark("due_at", at, by + 2, "due", data=(now, monday + timedelta(days=7)))
    if _is(words, by, "next", "week"):
        return Mark("due_at", at, by + 2, "due", data=(monday + timedelta(days=7), monday + timedelta(days=14)))
    if _is(words, by, "this", "month"):
        after = (midnight.replace(day=1) + timedelta(days=32)).replace(day=1)
        return Mark("due_at", at, by + 2, "due", data=(now, after))
    return None


def _ahead(words: Sequence[Token], at: int, now: datetime) -> Mark | None:
    """in the next N days, before what is due then."""
    skip = _any(words, at, "in the next", "within the next", "over the next", "the next", "next", "during the next", "in the coming",
                "within the coming", "the coming", "over the coming")  # fmt: skip
    if not skip:
        return None
    if length := _length(words, at + skip):
        return Mark("ahead", at, at + skip + length[1], "due_in_days", data=length[0])
    days = {"day": 1, "week": 7, "month": 30, "fortnight": 14, "quarter": 90}.get(_word(words, at + skip))
    return Mark("ahead", at, at + skip + 1, "due_in_days", data=float(days)) if days else None


def _score(words: Sequence[Token], at: int, now: datetime) -> Mark | None:
    """CVSS above 9; an EPSS of at least 50 %."""
    name = _word(words, at)
    if name not in {"cvss", "epss"}:
        return None
    start = (
        at
        + 1
        + _any(
            words,
            at + 1,
            "score",
            "scores",
            "base score",
            "score of",
            "of",
            "is",
            "scores of",
            "base score of",
            "score is",
            "probability",
            "probability of",
            "score that is",
            "rating",
            "rating of",
        )
    )
    op, used = _bound(words, start)
    value = words[start + used].number if start + used < len(words) else None
    if value is None:
        return None
    end = start + used + 1
    if _word(words, end) in {"%", "percent"}:
        value, end = value / 100, end + 1
    elif name == "epss" and value > 1:
        value /= 100
    after = _any(words, end, "or more", "or higher", "or above", "and above", "+", "and higher", "and up")
    less = _any(words, end, "or less", "or lower", "or below", "and below")
    if after or less:
        op, end = ("ge" if after else "le"), end + (after or less)
    if not op:
        return Mark("score", at, end, name, data=("exactly", value))
    return Mark("score", at, end, name, data=(op, value))
