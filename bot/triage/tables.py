"""Decision tables: read, checked to answer every combination of their inputs exactly once, looked up.

A row names one value per input and the outcome; ``any`` or ``a|b`` stand for several values. A table that leaves a
combination without a row, or gives it two, is refused with the combinations named.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from itertools import product

import yaml
from pydantic import ValidationError

from bot.domain.errors import SettingsError
from bot.domain.triage import OutcomeSpec, TableSpec
from bot.triage.inputs import KINDS, VOCABULARY

DECISION, DEADLINE = "decision", "deadline"
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Table:
    """One checked table. ``answers`` holds every combination of the inputs, in the order of ``inputs``."""

    name: str
    version: str
    title: str
    source: str
    kinds: tuple[str, ...]
    role: str
    inputs: tuple[str, ...]
    unknown: Mapping[str, str]  # input -> the value that stands for "not known"
    outcomes: Mapping[str, OutcomeSpec]
    answers: Mapping[tuple[str, ...], str]

    @property
    def id(self) -> str:
        return f"{self.name}/{self.version}"

    def answer(self, values: Mapping[str, str]) -> str:
        """The outcome for a value of every input."""
        return self.answers[tuple([values[name] for name in self.inputs])]

    def key(self, values: Mapping[str, str]) -> str:
        return ", ".join(f"{name.replace('_', ' ')} {values[name].replace('_', ' ')}" for name in self.inputs)


def build(spec: TableSpec) -> Table:
    """``SettingsError`` names the table and every kind of thing that is wrong with it."""
    where = f"triage table {spec.name}"
    if not spec.inputs or not spec.rows:
        raise SettingsError(f"{where} has no {'rows' if spec.inputs else 'inputs'}")
    _known(where, "kind", spec.kinds, KINDS)
    _known(where, "input", spec.inputs, VOCABULARY)
    for name, each in spec.inputs.items():
        wanted, given = set(VOCABULARY[name]), set(each.values)
        if wanted != given or len(each.values) != len(given):
            raise SettingsError(
                f"{where}: input {name} has the values {', '.join(each.values)}",
                mend=f"It can be {', '.join(VOCABULARY[name])}: name each of them once.",
            )
        if each.unknown not in given:
            raise SettingsError(
                f"{where}: input {name} takes {each.unknown!r} where nothing is known",
                mend=f"Choose one of {', '.join(each.values)}.",
            )
    names = tuple(spec.inputs)
    return Table(
        spec.name, spec.version, spec.title or spec.name, spec.source, spec.kinds, spec.role, names,
        {name: each.unknown for name, each in spec.inputs.items()}, spec.outcomes, _answers(where, spec, names),
    )  # fmt: skip


def _known(where: str, what: str, given: Iterable[str], known: Iterable[str]) -> None:
    for one in given:
        if one not in known:
            close = get_close_matches(one, list(known), 1)
            hint = f"Did you mean {close[0]}?" if close else f"There are: {', '.join(sorted(known))}."
            raise SettingsError(f"{where} names {one!r}, which is no {what}", mend=hint)


def _answers(where: str, spec: TableSpec, names: tuple[str, ...]) -> dict[tuple[str, ...], str]:
    answers: dict[tuple[str, ...], str] = {}
    twice: list[str] = []
    for number, row in enumerate(spec.rows, 1):
        words = row.split()
        if len(words) != len(names) + 1:
            raise SettingsError(
                f"{where}, row {number} ({row}) has {len(words)} words",
                mend=f"It needs {len(names) + 1}: {', '.join(names)} and the outcome.",
            )
        *cells, outcome = words
        if outcome not in spec.outcomes:
            raise SettingsError(
                f"{where}, row {number}: {outcome!r} is no outcome", mend=f"There are: {', '.join(spec.outcomes)}."
            )
        choices: list[Sequence[str]] = []
        for name, cell in zip(names, cells, strict=True):
            values = spec.inputs[name].values
            chosen = values if cell == "any" else tuple(cell.split("|"))
            wrong = [value for value in chosen if value not in values]
            if wrong:
                raise SettingsError(
                    f"{where}, row {number}: {name} cannot be {', '.join(wrong)}",
                    mend=f"It can be {', '.join(values)}.",
                )
            choices.append(chosen)
        for key in product(*choices):
            if key in answers:
                twice.append(" ".join(key))
            answers[key] = outcome
    if twice:
        raise SettingsError(f"{where} answers {_some(twice)} more than once", mend="Leave one row for each.")
    missing = [" ".join(key) for key in product(*(spec.inputs[name].values for name in names)) if key not in answers]
    if missing:
        raise SettingsError(f"{where} has no row for {_some(missing)}", mend=f"Inputs: {', '.join(names)}.")
    return answers


def _some(combinations: list[str]) -> str:
    shown = "; ".join(combinations[:_SHOWN])
    rest = len(combinations) - _SHOWN
    return f"{shown} and {rest} more combinations" if rest > 0 else shown


def read(text: str, name: str) -> Table:
    """A table from YAML."""
    try:
        return build(TableSpec.model_validate(yaml.safe_load(text)))
    except (yaml.YAMLError, ValidationError) as error:
        raise SettingsError(f"triage table {name} cannot be read: {_first(error)}") from error


def _first(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False, include_input=False)[0]
        return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    return str(error)


@cache
def builtin() -> tuple[Table, ...]:
    """The tables of this package, by name."""
    place = files("bot.triage") / "tables"
    found = [each for each in place.iterdir() if each.name.endswith(".yml")]
    return tuple(read(each.read_text("utf-8"), each.name) for each in sorted(found, key=lambda each: each.name))


def chosen(own: Mapping[str, TableSpec]) -> dict[tuple[str, str], Table]:
    """(kind, role) -> table: ours, and over them the owner's."""
    found: dict[tuple[str, str], Table] = {}
    for table in builtin():
        found |= {(kind, table.role): table for kind in table.kinds}
    said: dict[tuple[str, str], str] = {}
    for name, spec in own.items():
        table = build(spec.model_copy(update={"name": name}))
        for kind in table.kinds:
            place = (kind, table.role)
            if place in said:
                raise SettingsError(
                    f"triage tables {said[place]} and {name} both give the {table.role} of kind {kind}",
                    mend="Leave one of them.",
                )
            said[place] = name
            found[place] = table
    return found
