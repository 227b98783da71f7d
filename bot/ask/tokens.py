"""A question in words: lower case, without apostrophes, quoted names whole."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

MAX_QUESTION = 2000  # characters

_QUOTED = r"\"[^\"]{1,300}\"|“[^”]{1,300}”|`[^`]{1,300}`|«[^»]{1,300}»|(?<![\w])'[^']{2,300}'(?![\w])"
_CLAUSE = r"\d+(?:\.\d+)+(?:\([a-z0-9]+\))+"  # 164.312(a)(2)(iv)
_WORD = r"[^\W_](?:[\w./:@#\\+-]*[\w])?"
_OPERATOR = r"[<>]=?|≥|≤|%|\+|&|,|;|:|\?|!|\.|/|\(|\)|="
_TOKEN = re.compile(f"(?P<quoted>{_QUOTED})|(?P<clause>{_CLAUSE})|(?P<word>{_WORD})|(?P<op>{_OPERATOR})", re.IGNORECASE)
_SHORT = {"n't": " not", "'re": " are", "'ve": " have", "'ll": " will", "'m": " am", "'d": " would"}
_GOING_TO = re.compile(r"\b(?:(?:is|are|'re) (?:going|about|set|bound|likely) to|gonna)\b", re.IGNORECASE)
_DOWN = re.compile(r"\b(break|split)\s+(that|it|them|this|those|these)\s+(down|up|out)\b", re.IGNORECASE)
_EXPOSING = re.compile(
    r"\bexpos(?:e|es|ing)\b(?=.{0,60}\b(?:to (?:the )?(?:internet|web|world|outside)|publicly)\b)", re.I
)
_WHOLE = re.compile(
    r"^(?:arn:|https?://|\d+\.\d+\.\d+\.\d+/|[a-z0-9.-]+@)|^/(?:subscriptions|projects)/", re.IGNORECASE
)
_NUMBERS = {
    "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10,
    "eleven": 11, "twelve": 12, "fourteen": 14, "fifteen": 15, "twenty": 20, "thirty": 30, "forty": 40, "fifty": 50,
    "sixty": 60, "ninety": 90, "hundred": 100,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Token:
    """``word`` is what is compared, ``raw`` what was written. A quoted token is a name, whatever it says."""

    word: str
    raw: str
    quoted: bool = False
    possessive: bool = False

    @property
    def number(self) -> float | None:
        if re.fullmatch(r"\d+(?:\.\d+)?", self.word):
            return float(self.word)
        found = _NUMBERS.get(self.word)
        return None if found is None else float(found)


def tokens(question: str) -> list[Token]:
    text = unicodedata.normalize("NFKC", question[:MAX_QUESTION])
    text = "".join(c if c.isprintable() else " " for c in text).replace("’", "'").replace("‘", "'")
    text = re.sub(r"[\u2010-\u2015\u2212]", "-", text)
    text = re.sub(r"\b([Ww])on't\b", r"\1ill not", re.sub(r"\b([Cc])an't\b", r"\1an not", text))
    text = re.sub(r"\b[cC]annot\b", "can not", text)
    text = _EXPOSING.sub("with", _GOING_TO.sub("will", text))
    text = _DOWN.sub(r"\1 \3 \2", text)
    text = re.sub(r"\b[wW]/o\b", "without", text)
    text = re.sub(r"\b[wW]/(?=\s|\w)", "with ", text)
    text = re.sub(r"(?<=\s)'?em\b", "them", text)
    for short, long in _SHORT.items():
        text = re.sub(rf"(?<=\w){short}\b", long, text, flags=re.IGNORECASE)
    text = re.sub(r"\b(what|that|who|where|when|how|there|here|it|let)'s\b", r"\1 is", text, flags=re.IGNORECASE)
    found: list[Token] = []
    position = 0
    while match := _TOKEN.search(text, position):
        position = match.end()
        raw = match.group()
        if match.lastgroup == "quoted":
            inner = raw[1:-1].strip()
            if inner:
                found.append(Token(inner.lower(), inner, quoted=True))
            continue
        if match.lastgroup == "word":
            possessive = bool(re.match(r"'s?(?![\w'])", text[position:])) and raw.lower() not in {"is"}
            if possessive:
                position += len(re.match(r"'s?", text[position:]).group())  # type: ignore[union-attr]
            found += _split(raw, possessive)
            continue
        found.append(Token(raw.lower(), raw))
    return found


def _split(raw: str, possessive: bool) -> list[Token]:
    """``critical/high`` is a choice; an ARN, a URL or a range of addresses is one name."""
    made: list[Token]
    if "/" in raw and not _WHOLE.match(raw):
        parts = [part for part in raw.split("/") if part]
        if [part.lower() for part in parts] == ["and", "or"]:
            return [Token("or", raw)]
        if len(parts) > 1 and not any(part.isdigit() for part in parts):
            made = []
            for number, part in enumerate(parts):
                made += ([Token("or", "/")] if number else []) + [Token(part.lower(), part)]
            made[-1] = Token(made[-1].word, made[-1].raw, possessive=possessive)
            return made
    if re.fullmatch(r"[A-Za-z]{3,}(?:\+[A-Za-z]{3,})+", raw):  # criticals+highs
        made = []
        for number, part in enumerate(raw.split("+")):
            made += ([Token("and", "+")] if number else []) + [Token(part.lower(), part)]
        made[-1] = Token(made[-1].word, made[-1].raw, possessive=possessive)
        return made
    if raw.endswith("+") and len(raw) > 1:
        return [Token(raw[:-1].lower(), raw[:-1], possessive=possessive), Token("+", "+")]
    if match := re.fullmatch(r"(\d+)([dhwm])", raw.lower()):  # 30d, 24h
        unit = {"d": "days", "h": "hours", "w": "weeks", "m": "months"}[match.group(2)]
        return [Token(match.group(1), match.group(1)), Token(unit, unit)]
    if match := re.fullmatch(r"(\d+)-(hour|day|week|month)s?", raw.lower()):  # 30-day
        return [Token(match.group(1), match.group(1)), Token(f"{match.group(2)}s", match.group(2))]
    if match := re.fullmatch(r"(\d+)(?:st|nd|rd|th)", raw.lower()):
        return [Token(match.group(1), raw)]
    return [Token(raw.lower(), raw, possessive=possessive)]
