"""A question's words as marks: which values, flags, times and askings stand where. What no mark covers is left over.

The longest phrase wins; the company's own names win over common words of the same length.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache

from bot.ask import amounts, lexicon, times
from bot.ask.reading import Mark
from bot.ask.tokens import Token, tokens
from bot.ask.vocabulary import Vocabulary


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
        # CC6.1, A.8.24, 164.312(b): a number of its own form. A plain word at the end of a sentence names nothing.
        if re.search(r"\d", last) and (re.search(r"[a-z]", last) or last.count(".") > 2 or "(" in last):
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


_I_DID = frozenset(
    ["close", "closed", "fix", "fixed", "resolve", "resolved", "remediate", "remediated", "suppress", "suppressed",
     "mute", "muted", "dismiss", "dismissed", "accept", "accepted", "own", "owned", "patch", "patched"]
)  # fmt: skip


def _next(words: list[Token], at: int, names: Phrases, now: datetime) -> Mark | None:
    if words[at].word == "i" and at + 1 < len(words) and words[at + 1].word in _I_DID:
        return Mark("mine", at, at + 1)
    for special in amounts.READERS:
        if mark := special(words, at, now):
            return mark
    counted = at + 1 < len(words) and words[at].word == "last" and words[at + 1].number is not None
    if counted and times.parse(words, at, now) is None:
        return Mark("order", at, at + 1, values=("newest",))  # the last 5 findings
    bare = amounts.length(words, at, now)
    if bare is not None and bare.data[0]:
        return bare  # "more than 30 days"
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
    if bare is not None:
        return bare
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
    at = framework.end
    at += at < len(words) and words[at].word in {"requirement", "control", "req", "section", "rule", "check", "item"}
    if at >= len(words) or not re.search(r"\d", words[at].word):
        return None
    for value in framework.values:
        phrase = tuple(token.word for token in tokens(f"{value} {words[at].raw}"))
        for known, mark in names.get(phrase[0], ()):
            if known == phrase and mark.dim == "requirement":
                return Mark("value", framework.start, at + 1, "requirement", mark.values)
    return None
