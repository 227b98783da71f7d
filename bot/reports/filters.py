"""What a person typed after ``findings``, read strictly: an unknown word is refused with the nearest known one."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import TypeVar

from sqlalchemy import ColumnElement, and_, false, func, or_, select

from bot.domain.errors import BadInput
from bot.domain.findings import OPEN_STATUSES, Environment, Severity, Status
from bot.domain.triage import Priority
from bot.store.tables import FindingRow, OwnerRow

T = TypeVar("T")

FINDINGS = FindingRow.__table__  # type: ignore[attr-defined]
OWNERS = OwnerRow.__table__  # type: ignore[attr-defined]

NOBODY = "none"  # owner:none asks for what nobody owns
_OPEN = tuple(sorted(OPEN_STATUSES))
_SEVERITIES = {s.name.lower(): s for s in Severity} | {"info": Severity.INFORMATIONAL}
_ENVIRONMENTS = {e.value: e for e in Environment} | {
    "production": Environment.PROD,
    "stage": Environment.STAGING,
    "development": Environment.DEV,
}
_STATUSES: dict[str, tuple[Status, ...]] = {s.value: (s,) for s in Status} | {"open": _OPEN, "all": tuple(Status)}
_PRIORITIES = {p.label.lower(): p for p in Priority}
_KEYS = {
    "severity": "severity", "sev": "severity", "status": "status", "env": "environment", "environment": "environment",
    "account": "account", "owner": "owner", "team": "owner", "source": "source", "rule": "rule", "check": "rule",
    "priority": "priority", "text": "text",
}  # fmt: skip
_TOKEN = re.compile(r"""(?:(?P<key>\w+)\s*[:=]\s*)?(?:"(?P<double>[^"]*)"|'(?P<single>[^']*)'|(?P<bare>[^\s"']+))""")
MEND = (
    "Filters: critical, high, medium, low, prod, staging, dev, P1 to P4, open, resolved, all, mine, "
    'owner:payments, account:123, source:prowler, rule:s3_bucket_public_access, "any text".'
)


@dataclass(frozen=True, slots=True)
class FindingsFilter:
    """Which findings; an empty field asks for all. Open ones unless ``statuses`` says otherwise."""

    statuses: tuple[Status, ...] = _OPEN
    severities: tuple[Severity, ...] = ()
    priorities: tuple[Priority, ...] = ()
    environments: tuple[str, ...] = ()
    accounts: tuple[str, ...] = ()  # uid or name
    owner: str = ""  # id or name; "none" is what nobody owns
    source: str = ""
    rule: str = ""
    text: str = ""  # in title, resource or rule
    mine: bool = False
    mine_of: tuple[str, ...] = ()  # the owner ids that "mine" stands for, filled in by the board

    def for_owners(self, owners: Iterable[str]) -> FindingsFilter:
        return replace(self, mine_of=tuple(owners))

    def words(self) -> str:
        """How the filters were read, to be shown above the answer."""
        if set(self.statuses) == OPEN_STATUSES:
            status = "open"
        elif set(self.statuses) == set(Status):
            status = "all"
        else:
            status = " or ".join(self.statuses)
        said = [status] + [
            " or ".join(group)
            for group in (
                [s.name.lower() for s in self.severities],
                [p.label for p in self.priorities],
                list(self.environments),
            )
            if group
        ]
        if self.accounts:
            said.append("account " + " or ".join(self.accounts))
        if self.mine:
            said.append("mine")
        if self.owner:
            said.append("without an owner" if self.owner == NOBODY else f"owner {self.owner}")
        said += [f"{name} {value}" for name, value in (("source", self.source), ("rule", self.rule)) if value]
        if self.text:
            said.append(f"text “{self.text}”")
        return ", ".join(said)

    def where(self) -> ColumnElement[bool]:
        """The condition over ``findings``; ``status`` first, which every index of the open questions begins with."""
        c = FINDINGS.c
        parts: list[ColumnElement[bool]] = [c.status.in_([s.value for s in self.statuses])]
        if self.severities:
            parts.append(c.severity.in_([int(s) for s in self.severities]))
        if self.priorities:
            parts.append(c.priority.in_([int(p) for p in self.priorities]))
        if self.environments:
            parts.append(c.environment.in_(self.environments))
        if self.accounts:
            names = [a.lower() for a in self.accounts]
            parts.append(or_(c.account_uid.in_(self.accounts), func.lower(c.account_name).in_(names)))
        if self.owner == NOBODY:
            parts.append(c.owner == "")
        elif self.owner:
            named = select(OWNERS.c.id).where(func.lower(OWNERS.c.name) == self.owner.lower())
            parts.append(or_(c.owner == self.owner, c.owner.in_(named)))
        if self.mine:
            parts.append(c.owner.in_(self.mine_of) if self.mine_of else false())
        if self.source:
            parts.append(c.source == self.source)
        if self.rule:
            parts.append(c.rule_uid == self.rule)
        if self.text:
            needle = self.text.lower()
            columns = (c.title, c.resource_name, c.resource_uid, c.rule_uid)
            parts.append(or_(*(func.lower(column).contains(needle, autoescape=True) for column in columns)))
        return and_(*parts)


def parse_filters(words: str) -> FindingsFilter:
    """``high prod owner:payments "public bucket"`` -> a filter; ``BadInput`` names the word it does not know."""
    got: dict[str, list[str]] = {}
    statuses: list[Status] = []
    severities: list[Severity] = []
    priorities: list[Priority] = []
    environments: list[str] = []
    mine = False
    for token in _TOKEN.finditer(words):
        key, bare = token["key"], token["bare"]
        if key is None and bare is None:
            got.setdefault("text", []).append(token["double"] or token["single"] or "")
            continue
        value = bare if bare is not None else token["double"] or token["single"] or ""
        if key is None:
            word = value.rstrip(",").lower()
            if word == "mine":
                mine = True
            elif word in _STATUSES:
                statuses += _STATUSES[word]
            elif word in _SEVERITIES:
                severities.append(_SEVERITIES[word])
            elif word in _PRIORITIES:
                priorities.append(_PRIORITIES[word])
            elif word in _ENVIRONMENTS:
                environments.append(_ENVIRONMENTS[word])
            elif word:
                raise _unknown(value, [*_STATUSES, *_SEVERITIES, *_PRIORITIES, *_ENVIRONMENTS, "mine"])
            continue
        name = _KEYS.get(key.lower())
        if name is None:
            raise _unknown(key, _KEYS)
        if name == "status":
            statuses += [s for one in _each(value) for s in _known(one, _STATUSES)]
        elif name == "severity":
            severities += [_known(one, _SEVERITIES) for one in _each(value)]
        elif name == "priority":
            priorities += [_known(one, _PRIORITIES) for one in _each(value)]
        elif name == "environment":
            environments += [_known(one, _ENVIRONMENTS) for one in _each(value)]
        elif name == "account":
            got.setdefault(name, []).extend(value.split(","))
        elif name == "text":
            got.setdefault(name, []).append(value)
        elif name in got:
            raise BadInput(f"{key} is given twice: {got[name][0]} and {value}.", mend=MEND)
        else:
            got[name] = [value]
    return FindingsFilter(
        statuses=tuple(dict.fromkeys(statuses)) or _OPEN,
        severities=tuple(dict.fromkeys(severities)),
        priorities=tuple(dict.fromkeys(priorities)),
        environments=tuple(dict.fromkeys(str(e) for e in environments)),
        accounts=tuple(a for a in got.get("account", []) if a),
        owner=_owner(got),
        source=_one(got, "source").lower(),
        rule=_one(got, "rule"),
        text=" ".join(got.get("text", [])).strip(),
        mine=mine,
    )


def _owner(got: dict[str, list[str]]) -> str:
    owner = _one(got, "owner")
    return NOBODY if owner.lower() in {NOBODY, "nobody"} else owner


def _one(got: dict[str, list[str]], name: str) -> str:
    return got[name][0] if got.get(name) else ""


def _each(value: str) -> list[str]:
    return [one for one in value.lower().split(",") if one]


def _known(word: str, known: dict[str, T]) -> T:
    if word not in known:
        raise _unknown(word, known)
    return known[word]


def _unknown(word: str, known: Iterable[str]) -> BadInput:
    close = get_close_matches(word.lower(), list(known), 1)
    said = f"I do not know the filter “{word[:80]}”."
    if close:
        return BadInput(f"{said} Did you mean {close[0]}?", mend=MEND)
    return BadInput(said, mend=f"{MEND} To search for the word itself write text:{word[:40]}")
