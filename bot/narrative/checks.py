"""What a model's text must not hold. Any objection and the template is shown instead; nothing is repaired by cutting.

Numbers are tokens with a digit in any script, and number words: each must be among the given facts. Names such as S3
or IPv4 are words, listed here.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

from bot.domain.narratives import Narrative

from .redact import WORDS, tidy

_TOKEN = re.compile(r"[^\W_]*\d[\d.,]*[^\W_]*(?:[.:/-]\d+)*%?")
_PRODUCTS = frozenset(WORDS["products"].split())
_NUMBER_WORDS = {
    "two": "2", "three": "3", "four": "4", "five": "5", "six": "6", "seven": "7", "eight": "8", "nine": "9",
    "ten": "10", "eleven": "11", "twelve": "12", "thirteen": "13", "fourteen": "14", "fifteen": "15", "sixteen": "16",
    "seventeen": "17", "eighteen": "18", "nineteen": "19", "twenty": "20", "thirty": "30", "forty": "40", "fifty": "50",
    "sixty": "60", "seventy": "70", "eighty": "80", "ninety": "90", "hundred": "100", "thousand": "1000",
    "million": "1000000", "billion": "1000000000", "dozen": "12", "half": "0.5", "hundreds": "", "thousands": "",
    "millions": "", "billions": "", "dozens": "",
}  # fmt: skip
_WORD = re.compile(r"[^\W\d_]+")
_LINK = re.compile(r"\w+://|\bwww\.|\]\(|<[@!#/a-z]|@(?:here|channel|everyone)\b|(?<!\w)@\w|mailto:|javascript:", re.I)
_VERDICT = re.compile(
    r"\b(?:(?:pre-?|auto-?|(?:is|are|was|were|been|already|hereby|fully) )approved\b|"
    r"approval (?:is )?(?:granted|not (?:needed|required))|false positive|"
    r"(?:can|should|may|must|will|to) (?:be )?(?:safely )?(?:be )?"
    r"(?:ignored?|closed?|dismiss(?:ed)?|suppress(?:ed)?)\b|"
    r"(?:safe|ok|okay) to (?:ignore|close)|no (?:further )?(?:action|fix|change) (?:is )?(?:needed|required|necessary)|"
    r"(?:close|ignore|suppress|dismiss) (?:this|the|all|every|it)\b|already (?:fixed|resolved)|priority|severity is|"
    r"risk accepted|system prompt|my instructions)",
    re.I,
)
_LEAK = 48  # characters in a row of our own instructions


def numbers(text: str) -> set[str]:
    """The number tokens of ``text``, comparable: ``1,000`` is ``1000``, ``٣`` is ``3``, ``10.0`` is ``10``."""
    found = set()
    for token in _TOKEN.findall(tidy(text)):
        token = "".join(str(unicodedata.digit(c)) if c.isdigit() and not c.isascii() else c for c in token)
        found.add(_plain(token))
    return found


def _plain(token: str) -> str:
    token = token.casefold().strip(".,:/-")
    if re.fullmatch(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?%?", token):
        token = token.replace(",", "")
    if re.fullmatch(r"\d+\.\d+", token):
        token = token.rstrip("0").rstrip(".")
    return token


def objections(said: Narrative, *, given: Iterable[str], refs: Iterable[str], instructions: str) -> list[str]:
    """Why ``said`` is not shown; empty: it may be. ``given`` are the numbers of the facts."""
    allowed, found = set(given), []
    text = tidy("\n".join(said.texts()))
    strange = sorted(n for n in numbers(text) if n not in allowed and n not in _PRODUCTS)
    if strange:
        found.append(f"it holds numbers that are not among the facts: {', '.join(strange[:3])[:80]}")
    words = {w for word in _WORD.findall(text) if (w := word.casefold()) in _NUMBER_WORDS}
    told = sorted(w for w in words if _NUMBER_WORDS[w] not in allowed)
    if told:
        found.append(f"it says amounts that are not among the facts: {', '.join(told[:3])}")
    if any(unicodedata.category(c) in {"Nl", "No"} for each in said.texts() for c in each):
        found.append("it holds numerals in disguise")
    if _LINK.search(text):
        found.append("it holds a link or a mention")
    if verdict := _VERDICT.search(text):
        found.append(f"it gives a verdict (“{verdict.group()[:40]}”), which is not the model's to give")
    if _leaks(text, instructions):
        found.append("it repeats its instructions")
    if strangers := sorted(set(said.duplicates) - set(refs)):
        found.append(f"it names problems that were not given: {', '.join(strangers[:3])[:80]}")
    return found


def _leaks(text: str, instructions: str) -> bool:
    there, ours = " ".join(text.casefold().split()), " ".join(instructions.casefold().split())
    return any(ours[at : at + _LEAK] in there for at in range(0, max(1, len(ours) - _LEAK), 12))
