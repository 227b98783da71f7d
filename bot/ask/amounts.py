"""Amounts in a question: ages, times overdue and due, scores, ranges of severities. Each reads at one place."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from bot.ask import lexicon, times
from bot.ask.reading import Mark
from bot.ask.tokens import Token


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
        listed = _word(words, end) == "+" and _word(words, end + 1) in _SEVERITY  # "lows + infos"
        up = not listed and _any(
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
        if _is(words, end, "or", "more") and any(_word(words, n) == "more" for n in range(at)):
            return None  # "more criticals or more lows"
        chosen, end = (order[: rank + 1] if up else order[rank:]), end + (up or down)
    return Mark("value", at, end, "severity", tuple(chosen)) if chosen else None


_MORE = (
    "more than",
    "over",
    "longer than",
    "greater than",
    "higher than",
    "bigger than",
    "larger than",
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
    "lower than",
    "smaller than",
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


_LATE = (
    *(phrase for entry in lexicon.ENTRIES if entry.kind == "overdue" for phrase in entry.phrases),
    "over sla",
    "behind",
    "over the sla",
)


def _overdue_by(words: Sequence[Token], at: int, now: datetime) -> Mark | None:
    """overdue by more than N days; more than N days overdue; N days past due."""
    head = _any(words, at, *_LATE)
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
    tail = _any(words, end, *_LATE)
    if not tail or not (op or length[2]):
        return None
    return Mark("overdue_by", at, end + tail, "overdue_days", data=(length[2] or op, length[0]))


_BREACH = (
    "breach",
    "breach sla",
    "breach their sla",
    "breach the sla",
    "breach its sla",
    "violate their sla",
    "exceed their sla",
    "miss their sla",
    "become late",
    "run past their sla",
    "breaching",
    "breaching sla",
    "expiring",
    "expires",
    "go past due",
    "hit sla",
    "reach sla",
    "be due",
    "come up for sla",
)
_DUE = tuple(phrase for entry in lexicon.ENTRIES if entry.kind == "due" for phrase in entry.phrases)


def _due_in(words: Sequence[Token], at: int, now: datetime) -> Mark | None:
    """due in / within the next N days; breach their SLA in the next week; in the next N days … due."""
    head = _any(words, at, *_DUE) or _any(words, at, *_BREACH)
    if not head:
        return None
    start = at + head
    if _word(words, start - 1) == "overdue" and _is(words, start, "in") and not _any(words, start, "in the", "in next"):
        return None  # "overdue in a year": what will be late then, whatever is late now
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
    skip = _any(words, at, "in the next", "within the next", "over the next", "the next", "next", "during the next",
                "in the coming", "within the coming", "the coming", "over the coming")  # fmt: skip
    if not skip:
        return None
    if length := _length(words, at + skip):
        return Mark("ahead", at, at + skip + length[1], "due_in_days", data=length[0])
    days = {"day": 1, "week": 7, "month": 30, "fortnight": 14, "quarter": 90}.get(_word(words, at + skip))
    return Mark("ahead", at, at + skip + 1, "due_in_days", data=float(days)) if days else None


def _score(words: Sequence[Token], at: int, now: datetime) -> Mark | None:
    """CVSS above 9; an EPSS of at least 50 %."""
    name = _word(words, at)
    before, taken = _bound(words, at)
    if before and (name := _word(words, at + taken)) in {"cvss", "epss"}:  # "below CVSS 5"
        value = words[at + taken + 1].number if at + taken + 1 < len(words) else None
        if value is None:
            return None
        return Mark(
            "score", at, at + taken + 2, name, data=(before, value / 100 if name == "epss" and value > 1 else value)
        )
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


def length(words: Sequence[Token], at: int, now: datetime) -> Mark | None:
    """A bare length of time: "6 weeks", "by more than 30 days". What it is of, the rest or the turn before says."""
    lead = _word(words, at) in {"by", "for"}
    op, used = _bound(words, at + lead)
    found = _length(words, at + lead + used)
    if found is None or (lead and not op and not found[2]):
        return None
    window = times.parse([Token("last", "last"), *words[at + lead + used :]], 0, now)
    span = window[0] if window else None
    return Mark("length", at, at + lead + used + found[1], data=(found[2] or op, found[0], span))


READERS = (_severity_range, _overdue_by, _due_in, _ahead, _age, _score)
