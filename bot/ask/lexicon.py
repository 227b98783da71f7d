"""The words of posture questions that are the same in every company, read once from ``words.yml``."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

import yaml
from spellchecker import SpellChecker

SEVERITY_ORDER = ("critical", "high", "medium", "low", "informational")


class Entry(NamedTuple):
    """``kind`` is the mark that ``phrases`` make; ``dim`` and ``value`` what it filters, counts or measures."""

    kind: str
    dim: str
    value: str
    phrases: tuple[str, ...]


def _load() -> dict[str, Any]:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    data: dict[str, Any] = yaml.load(files("bot.ask").joinpath("words.yml").read_bytes(), loader)  # noqa: S506 safe ones
    return data


_DATA = _load()
ENTRIES = tuple(
    Entry(e["kind"], e.get("dim", ""), e.get("value", ""), tuple(map(str, e["phrases"]))) for e in _DATA["entries"]
)
CVE_NAMES: dict[str, str] = _DATA["cve_names"]
CITIES: dict[str, tuple[str, ...]] = {name: tuple(regions) for name, regions in _DATA["cities"].items()}
FAMILIES: dict[str, tuple[str, ...]] = {name: tuple(types) for name, types in _DATA["families"].items()}
PACKAGE_NAMES: dict[str, str] = _DATA["package_names"]
ORDINARY = frozenset(_DATA["ordinary"])
FILLER = frozenset(_DATA["filler"])
ELSEWHERE = frozenset(_DATA["elsewhere"])

_USUAL = 100  # times a word stands in the checker's text of some hundred million words, to be no slip itself


@cache
def _dictionary() -> SpellChecker:
    return SpellChecker(language="en")


def english(word: str) -> bool:
    """Whether ``word`` is an ordinary English word, so that it is no slip of another."""
    return int(_dictionary().word_frequency[word]) >= _USUAL
