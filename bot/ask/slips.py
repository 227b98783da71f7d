"""Typing slips: a word that nothing explains is taken for the one word it may have been.

A slip is one letter left out, put in, changed or two swapped (two such in long words). An ordinary English word is no
slip of another, digits are never touched, and where two words are equally near it is asked back.
"""

from __future__ import annotations

import re
from itertools import pairwise

from rapidfuzz.distance import JaroWinkler

from bot.ask import lexicon, times
from bot.ask.marks import NotUnderstood
from bot.ask.scan import Phrases, Scan, common
from bot.ask.tokens import Token
from bot.ask.vocabulary import Vocabulary, near, stem

_SHORTEST = 4  # letters of a word that a slip may have meant
# Words that grammar looks at and that stand in no phrase of their own.
_GRAMMAR = frozenset(
    ["above", "after", "before", "below", "between", "beyond", "during", "least", "less", "longer", "more", "most",
     "older", "over", "since", "than", "under", "until", "within", "younger", "newer", "higher", "lower", "greater",
     "exceeding", "without", "except", "percent", "called", "named", "oldest", "newest", "among", "score", "scores",
     "rating", "base", "probability", "cvss", "epss", "cannot"]
)  # fmt: skip
# Small words that people type all the time, also right behind "team" or "app".
_USUAL = frozenset(
    ["which", "there", "those", "these", "could", "would", "about", "please", "right", "have", "with", "that", "this",
     "what", "when", "where", "from", "them", "their", "still", "currently", "into", "across", "belong", "belongs"]
)  # fmt: skip
_KINDS_OF_GRAMMAR = frozenset(["follow", "those", "neg", "and", "or", "each", "top", "exists", "vs", "that", "filler"])
_NAMED = frozenset(
    ["team", "squad", "account", "subscription", "project", "app", "application", "region", "environment", "scanner"]
)
_KEYS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
_BEFORE_TIMES = frozenset(["this", "last", "past", "previous", "next", "per", "each", "every", "a", "by"])


class Slips:
    def __init__(self, vocabulary: Vocabulary, names: Phrases) -> None:
        self._vocabulary = vocabulary
        self._content: dict[str, set[str]] = {}  # words that mean something -> what
        self._pairs: set[tuple[str, str]] = set()  # words that stand beside each other in a phrase
        small = set(_GRAMMAR) | set(times.WORDS) | set(lexicon.FILLER)
        for phrases in (common(), names):
            for entries in phrases.values():
                for words, mark in entries:
                    self._pairs.update(pairwise(words))
                    if mark.kind in _KINDS_OF_GRAMMAR:
                        small.update(words)
                        continue
                    for word in words:
                        said = f"{mark.kind}:{mark.dim}:{mark.values}" if len(words) == 1 else word
                        if word in lexicon.FILLER:
                            small.add(word)
                        elif len(word) >= _SHORTEST and not word.isdigit():
                            self._content.setdefault(word, set()).add(said)
        for rule in vocabulary.rules:
            for word in re.findall(r"[a-z]{4,}", rule.title.lower()):
                self._content.setdefault(word, set()).add(word)
        self._small = {w for w in small if len(w) >= _SHORTEST and w.isalpha() and w not in self._content}
        self._words = (*self._content, *self._small)
        self._names = tuple(value for values in vocabulary.values.values() for value in values)

    def knows(self, word: str) -> bool:
        return word in self._content

    def mended(self, found: Scan) -> list[Token] | None:
        """The words with every slip mended; None when none was. ``NotUnderstood`` where two words are as near."""
        changed: dict[int, list[Token]] = {}
        for at in found.left:
            token = found.words[at]
            if token.quoted or token.word in lexicon.ELSEWHERE or token.word in self._small or self.knows(token.word):
                continue
            before = found.words[at - 1].word if at else ""
            after = found.words[at + 1].word if at + 1 < len(found.words) else ""
            whole = self._completed(token.word)
            if whole == "company" and before in {"account", "accounts", "subscription", "project"}:
                raise NotUnderstood(f"“{token.raw}” fits several accounts. Which one?")
            whole = whole or self._meant(token, before, after)
            if whole is not None:
                whole = "can not" if whole == "cannot" else whole
                changed[at] = [Token(part, part, possessive=token.possessive) for part in whole.split()]
            elif parts := self._unhyphened(token):
                changed[at] = parts
        if not changed:
            return None
        return [one for at, token in enumerate(found.words) for one in changed.get(at, [token])]

    def _meant(self, token: Token, before: str, after: str) -> str | None:
        word = token.word
        if lexicon.english(word):
            # a word of its own is no slip, but for "this moth"
            times_ = [c for c in near(word, times.UNITS) if c[0] == word[0]] if _leads(before) else []
            return times_[0] if len(times_) == 1 and len(word) >= _SHORTEST else None
        swapped = {one for one, other in self._pairs if other == after and sorted(one) == sorted(word)}
        if len(word) < _SHORTEST and len(swapped) == 1:
            return swapped.pop()  # "hwo many"
        if len(word) < _SHORTEST:
            return self._one(token, near(word, tuple(self._content)) or near(word, self._names), before, after)
        slips = near(word, self._words) or near(word, self._names)
        if before in _NAMED:  # where a name stands, a small word is meant only if its letters are swapped
            names = [c for c in slips if c not in self._small or sorted(c) == sorted(word)]
            slips = names or [c for c in slips if c in _USUAL and _rank(word, c) < 2]
        return self._one(token, slips, before, after)

    def _one(self, token: Token, slips: list[str], before: str, after: str) -> str | None:
        """The word that was meant: letters swapped before one left out or put in before one changed."""
        word = token.word
        close = [
            c
            for c in slips
            if (c[0] == word[0] or sorted(c) == sorted(word)) and re.sub(r"\D", "", c) == re.sub(r"\D", "", word)
        ]
        if not close:
            return None
        if _leads(before) and (times_ := [c for c in close if c in times.WORDS]):
            close = times_
        likeliest = min(_rank(word, c) for c in close)
        close = [c for c in close if _rank(word, c) == likeliest]
        if beside := [c for c in close if (before, c) in self._pairs or (c, after) in self._pairs]:
            close = beside
        content = [c for c in close if c not in self._small]
        if content and (before in _NAMED or after in _NAMED):
            close = content
        if content and all(c in self._names for c in content) and not any(c in _USUAL for c in close):
            close = content  # "identiy": a name of the company before a word that changes nothing
        if len({self._meaning(c) for c in close}) == 1:
            return close[0]
        if len(content) in {0, len(close)} and (likely := _likeliest(word, close)):
            return likely
        meant = ", ".join(sorted(close)[:4])
        raise NotUnderstood(f"I do not know “{token.raw}”. Do you mean {meant}?")

    def _meaning(self, word: str) -> frozenset[str]:
        """What the word says by itself, else its stem."""
        alone = frozenset(said for said in self._content.get(word, ()) if ":" in said)
        return alone or frozenset(stem(word))

    def _unhyphened(self, token: Token) -> list[Token] | None:
        """``security-groups`` is "security groups", where each word is one we know."""
        parts = token.word.split("-")
        if len(parts) < 2 or re.search(r"\d", token.word):
            return None
        known = all(self.knows(part) or part in lexicon.FILLER or part == "non" or part in common() for part in parts)
        known = known or any(phrase == tuple(parts) for phrase, _ in common().get(parts[0], ()))
        return (
            [Token(part, part, possessive=token.possessive and part == parts[-1]) for part in parts] if known else None
        )

    def _completed(self, word: str) -> str | None:
        """A name cut short: taken when one name begins so, asked back when several do."""
        if len(word) < _SHORTEST:
            return None
        names = set(self._vocabulary.accounts.values())
        if len(names) > 2 and 2 * sum(name.lower().startswith(word) for name in names) > len(names):
            return "company"  # what most accounts begin with is the company's own name
        for dimension in ("account", "app", "team", "resource_type"):
            values = self._vocabulary.values.get(dimension, {})
            fits = sorted({value for key, value in values.items() if re.match(rf"{re.escape(word)}[-_ ]", key)})
            if len(fits) == 1:
                return fits[0].lower()
            if fits and dimension != "resource_type":
                raise NotUnderstood(f"“{word}” fits several: {', '.join(fits[:6])}. Which one?")
        return None


def _leads(before: str) -> bool:
    return before in _BEFORE_TIMES or before.isdigit()


def _rank(word: str, meant: str) -> int:
    """How likely the slip is: swapped letters, one left out or doubled, one too many or the key beside, another."""
    if sorted(word) == sorted(meant):
        return 0
    if _within(word, meant):
        return 1
    if _within(meant, word):
        return 1 if re.search(r"(.)\1", word) and not re.search(r"(.)\1", meant) else 2
    other = [(a, b) for a, b in zip(word, meant, strict=False) if a != b]
    return 2 if len(word) == len(meant) and all(_beside(a, b) for a, b in other) else 3


def _beside(one: str, other: str) -> bool:
    """Whether two letters lie beside each other on a keyboard."""
    at = {letter: (row, place) for row, letters in enumerate(_KEYS) for place, letter in enumerate(letters)}
    if one not in at or other not in at:
        return False
    (row, place), (row2, place2) = at[one], at[other]
    return abs(row - row2) <= 1 and abs(place - place2 + (row2 - row) * 0.5) <= 1


def _within(short: str, long: str) -> bool:
    """Whether the letters of ``short`` stand in ``long`` in their order."""
    letters = iter(long)
    return len(short) < len(long) and all(letter in letters for letter in short)


def _likeliest(word: str, close: list[str]) -> str | None:
    """The one that is clearly nearest where several are one slip away."""
    ranked = sorted(((JaroWinkler.similarity(word, c), c) for c in close), reverse=True)
    return ranked[0][1] if ranked[0][0] - ranked[1][0] > 0.02 else None
