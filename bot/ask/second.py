"""Two readers of one question (not of a follow-up: the turn before is the embedded reader's own).

They agree: the answer. They do not: both readings are asked back. Only the model understood it: its answer, marked so,
with its reading in words. The model's reading never outvotes a refusal.
Names of resources and findings do not leave: they stand for a while as ``resource_1``.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from rapidfuzz import fuzz

from bot.ask import refusals
from bot.ask.vocabulary import GENERIC, Vocabulary, stems_of, words_of
from bot.domain import posture as p
from bot.domain.errors import GatehouseError
from bot.domain.ids import canonical
from bot.ports import QuestionReader, QuestionReading

if TYPE_CHECKING:
    from bot.ask.service import Answer

NEAR = 20  # names of one dimension that are told
ALIKE = 84.0
UNKNOWN = "I cannot tell what"  # begins what the embedded reader says of words it does not know
PATIENCE = 10.0  # seconds that an answer waits for its second reader
_NAMED = ("team", "app", "product", "region", "provider", "resource_type", "package", "cve", "data_class", "env",
          "account", "framework", "requirement")  # fmt: skip
Lookup = Callable[[str], dict[str, set[str]]]


def open_to_another(first: Answer) -> bool:
    """Whether a second reading may help: not for refusals, nor for what the data does not hold."""
    return first.status in {"answered", "clarify"} or first.text.startswith(UNKNOWN)


@dataclass(frozen=True, slots=True)
class Told:
    """What the model is told: the question without the names of single things, and the company's words near it."""

    question: str
    names: Mapping[str, Sequence[str]]
    stand_ins: Mapping[str, str] = field(default_factory=dict)  # resource_1 -> the store's spelling


def tell(question: str, vocabulary: Vocabulary, lookup: Lookup) -> Told | None:
    """None where the question tries to steer: that is for the embedded reader alone."""
    _, steered = refusals.without_steering(question)
    if steered or refusals.secret(question) or refusals.order(question):
        return None
    stand_ins: dict[str, str] = {}

    def stand_in(found: re.Match[str]) -> str:
        word = found.group()
        if not re.search(r"[\d_:/.-]", word) or any(vocabulary.has(dimension, word) for dimension in _NAMED):
            return word
        for kind, dimension in (("finding", "uid"), ("resource", "resource")):
            hits = lookup(word).get(dimension)
            if hits:
                name = f"{kind}_{len(stand_ins) + 1}"
                stand_ins[name] = min(hits)
                return name
        return word

    said = re.sub(r"[^\s\"'“”‘’?!,;()]+", stand_in, question)
    names: dict[str, list[str]] = {}
    for dimension in _NAMED:
        if some := _near(said, vocabulary.values.get(dimension, {})):
            names[dimension] = some
    asked = {stem for stem in stems_of(words_of(said)) if stem not in GENERIC}
    ruled = [f"{rule.uid}: {rule.title}" for rule in vocabulary.rules if asked & set(rule.stems)]
    if ruled:
        names["rule"] = ruled[:NEAR]
    for name in stand_ins:
        names.setdefault("uid" if name.startswith("finding") else "resource", []).append(name)
    return Told(said, names, stand_ins)


def _near(question: str, values: Mapping[str, str]) -> list[str]:
    lowered = question.lower()
    words = re.findall(r"[\w.-]{3,}", lowered)
    found = []
    for low, name in values.items():
        part_said = any(len(part) > 3 and part in words for part in re.split(r"\W+", low))
        if part_said or low in lowered or any(fuzz.ratio(word, low) >= ALIKE for word in words):
            found.append(name)
        if len(found) == NEAR:
            break
    return found


async def read(second: QuestionReader, told: Told, now: datetime, before: p.PostureQuery | None) -> QuestionReading:
    """The model's reading with the names put back; no reading where it is late, away or out of budget."""
    try:
        async with asyncio.timeout(PATIENCE):
            reading = await second.read(told.question, told.names, now, before)
    except GatehouseError as error:
        return QuestionReading(None, error.reason)
    except TimeoutError:
        return QuestionReading(None, "the second reader gave no answer in time")
    if reading.query is None:
        return reading
    values = {f'"{name}"': canonical(real).decode() for name, real in told.stand_ins.items()}
    text = reading.query.model_dump_json()
    for name, real in values.items():
        text = text.replace(name, real)
    return QuestionReading(p.PostureQuery.model_validate_json(text), reading.why, reading.call_id)


def strangers(query: p.PostureQuery, told: Told, vocabulary: Vocabulary) -> list[str]:
    """Names in the query that the company does not have: a number about them would be made up."""
    rules = {rule.uid for rule in vocabulary.rules}
    real = set(told.stand_ins.values())
    found = []
    for one in _conditions(query):
        if not isinstance(one, p.In):
            continue
        for value in one.values:
            known = {
                "rule": value in rules, "resource": value in real, "uid": value in real,
                "status": True, "type": True, "severity": True, "priority": True, "cause": False,
            }.get(one.field, False)  # fmt: skip
            if not known and vocabulary.has(one.field, value) != value:
                found.append(value)
    if query.uid and query.uid not in real:
        found.append(query.uid)
    if query.within and not vocabulary.has("framework", query.within):
        found.append(query.within)
    return found


def _conditions(query: p.PostureQuery) -> Iterator[p.Condition]:
    waiting: list[Any] = [*query.where, *query.base, *(one for side in query.sides for one in side.where)]
    while waiting:
        one = waiting.pop()
        yield one
        if isinstance(one, p.Not):
            waiting += one.of
        elif isinstance(one, p.AnyOf):
            waiting += [each for branch in one.of for each in branch]


def weigh(first: Answer, other: Answer) -> Answer:
    """``first`` is the embedded reader's; ``other`` the answer to the model's query."""
    if other.status != "answered" or other.query is None:
        return first
    if first.status == "answered" and first.query is not None:
        if same_query(first.query, other.query) or _same_result(first, other):
            first.read_by = "both"
            return first
        first.status, first.text = (
            "clarify",
            (
                f"I can read this in two ways. Do you mean: {first.how_read}? "
                f"Or: {other.how_read}? Please say it in other words."
            ),
        )
        first.kind, first.value, first.rows, first.total, first.query, first.how_read = None, None, [], 0, None, ""
        return first
    other.text = f"{other.text} Read by the model, as: {other.how_read}."
    other.read_by, other.read_ms = "model", first.read_ms
    return other


def same_query(one: p.PostureQuery, other: p.PostureQuery) -> bool:
    return bool(_shape(one.model_dump(mode="json")) == _shape(other.model_dump(mode="json")))


def _shape(value: Any) -> Any:
    """Without how it is said, and without the order of what has none."""
    if isinstance(value, dict):
        return {k: _shape(v) for k, v in value.items() if k not in {"said", "label"}}
    if isinstance(value, list):
        return sorted((_shape(each) for each in value), key=canonical)
    return value


def _same_result(one: Answer, other: Answer) -> bool:
    rows = [[{k: v for k, v in row.items() if k != "label"} if a.kind is p.Kind.COMPARE else row for row in a.rows]
            for a in (one, other)]  # fmt: skip
    return one.kind == other.kind and one.value == other.value and one.total == other.total and rows[0] == rows[1]
