"""What is wrong with an owner's policies and approval rules, each with file, line and what to do about it.

Errors keep Gatehouse from starting or make a rule useless for sure. Warnings are rules that can never match: found by
trying the rule on every combination of the words it can tell apart (``worlds.py``).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal

import cedarpy
import yaml

from bot.domain.errors import SettingsError
from bot.settings import GovernanceRule, RuleMatch, Settings

from . import policy as engine
from .worlds import VOCABULARY, dead_policies

_HERE = Path(engine.__file__).parent
_FOR_POLICY = re.compile(r"^for policy `[^`]*`, ")
_QUOTED = re.compile(r"`([^`]+)`")
_NO_ACTION = "unable to find an applicable action"
_WORDS = {
    "principal": ("name", "team", "role", "known", "active", "guest", "external", "bot"),
    "resource": ("kind", "environment", "playbook", "risk", "account", "accounts", "provider", "resources",
                 "reversibility", "undo_exposes", "owner"),
    "context": ("platform", "is_requester", "executing", "frozen", "approver_groups"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Problem:
    level: Literal["error", "warning"]
    file: str
    line: int  # 1 is the first; 0 where the whole is meant
    where: str  # the @id of the policy, the name of the rule
    said: str
    mend: str = ""


def examine(settings: Settings, file: Path | None = None, playbooks: Collection[str] = ()) -> list[Problem]:
    """Everything wrong with ``governance`` of ``settings``, which were read from ``file``; empty when all is well."""
    path = settings.governance.policies or _HERE / "gatehouse.cedar"
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        said = f"the policy file cannot be read: {error}"
        return [Problem("error", str(path), 0, "", said, "Mend governance.policies in gatehouse.yml.")]
    named = set(settings.groups) | {group for person in settings.people.values() for group in person.groups}
    found = list(_policies(text, str(path), named if settings.governance.policies else ()))
    found += _rules(settings, str(file) if file else "gatehouse.yml", file, playbooks)
    return found


# --- Cedar -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Statement:
    """One policy of a file, as written."""

    text: str
    line: int

    def line_of(self, word: str) -> int:
        """The line of the file in which ``word`` first stands in this policy."""
        found = re.search(rf"(?<![\w]){re.escape(word)}(?![\w])", self.text)
        return self.line + self.text[: found.start()].count("\n") if found else self.line


def statements(text: str) -> list[Statement]:
    """The policies of a file in order. A ``;`` ends one, except in strings and comments."""
    found: list[Statement] = []
    start, line, at = -1, 1, 0
    begun = 1
    while at < len(text):
        char = text[at]
        if text.startswith("//", at):
            end = text.find("\n", at)
            at = len(text) if end < 0 else end
            continue
        if start < 0 and not char.isspace():
            start, begun = at, line
        if char == '"':
            at += 1
            while at < len(text) and text[at] != '"':
                line += text[at] == "\n"
                at += 2 if text[at] == "\\" else 1
        elif char == ";":
            found.append(Statement(text[start : at + 1], begun))
            start = -1
        line += char == "\n"
        at += 1
    if start >= 0:
        found.append(Statement(text[start:], begun))
    return found


def place_of(settings: Settings, label: str) -> tuple[str, int]:
    """File and line of the policy with this ``@id``; ("", 0) where no policy has it (a rule, the default)."""
    for path in (settings.governance.policies or _HERE / "gatehouse.cedar", _HERE / "guards.cedar"):
        for part in statements(path.read_text("utf-8")):
            if label and _label(part) == label:
                ours = path.parent == _HERE
                return f"built in: {path.name}" if ours else str(path), part.line
    return "", 0


def _policies(text: str, file: str, groups: Collection[str]) -> Iterator[Problem]:
    parts = statements(text)
    broken = [part for part in parts if _parse_error(part.text)]
    for part in broken:
        said = f"this is not Cedar: {_parse_error(part.text)}"
        yield Problem("error", file, part.line, _label(part), said, "See docs/policy.md for examples.")
    if broken:
        return
    if not parts:
        yield Problem("error", file, 0, "", "there is no policy in it, nobody could do anything",
                      "Write permits, or unset governance.policies for the built-in policy.")  # fmt: skip
        return
    yield from _labels(parts, file)
    wrong = list(_against_schema(text, parts, file))
    yield from wrong
    if groups:
        yield from _groups(parts, file, groups)
    if any(problem.level == "error" for problem in wrong):
        return
    guards = (_HERE / "guards.cedar").read_text("utf-8")
    for position, why in dead_policies(text, guards):
        part = parts[position]
        yield Problem("warning", file, part.line, _label(part), why.said, why.mend)


def _parse_error(text: str) -> str:
    try:
        cedarpy.policies_to_json_str(text)
    except ValueError as error:
        return str(error)
    return ""


def _label(part: Statement) -> str:
    found = re.search(r'@id\(\s*"((?:[^"\\]|\\.)*)"', part.text)
    return found[1] if found else ""


def _labels(parts: list[Statement], file: str) -> Iterator[Problem]:
    guards = {_label(part) for part in statements((_HERE / "guards.cedar").read_text("utf-8"))}
    seen: dict[str, int] = {}
    for part in parts:
        label = _label(part)
        if not label:
            yield Problem("error", file, part.line, "", "the policy has no @id: a refusal names it",
                          'Put @id("a-name-of-its-own") before it.')  # fmt: skip
        elif label in guards:
            yield Problem("error", file, part.line, label, "this @id is one of the guards'", "Choose another.")
        elif label in seen:
            said = f"this @id is used on line {seen[label]}, too"
            yield Problem("error", file, part.line, label, said, "Choose another.")
        seen.setdefault(label, part.line)


def _against_schema(text: str, parts: list[Statement], file: str) -> Iterator[Problem]:
    schema = (_HERE / "gatehouse.cedarschema").read_text("utf-8")
    errors = cedarpy.validate_policies(text, schema).errors
    told: set[str] = set()
    for error in sorted(errors, key=lambda e: _NO_ACTION in e.error):
        if _NO_ACTION in error.error and error.policy_id in told:
            continue  # it follows from what was said of this policy already
        told.add(error.policy_id)
        number = int(error.policy_id.removeprefix("policy") or 0) if error.policy_id.startswith("policy") else 0
        part = parts[min(number, len(parts) - 1)]
        said = _FOR_POLICY.sub("", error.error)
        words = [word.rpartition("::")[2].strip('"') for word in _QUOTED.findall(said)]
        line = part.line_of(words[0]) if words else part.line
        if _NO_ACTION in said:
            said = "it can apply to nothing: these principals, actions and resources do not go together"
        yield Problem("error", file, line, _label(part), said, _meant(said, words))


def _meant(said: str, words: list[str]) -> str:
    word = words[0] if words else ""
    if "action" in said and word:
        return _close(word, sorted(engine.ACTIONS), "actions")
    kind = {"Plan": "resource", "Principal": "principal"}.get(words[1] if len(words) > 1 else "", "context")
    if "attribute" in said and word:
        return _close(word, list(_WORDS[kind]), f"attributes of {kind}")
    if "entity type" in said and word:
        return _close(word, ["Principal", "Group", "Plan", "Action"], "entity types")
    return "See the words a policy may use in docs/policy.md."


def _close(word: str, known: list[str], what: str) -> str:
    close = get_close_matches(word, known, 1)
    shown = ", ".join(known[:20]) + (f" and {len(known) - 20} more" if len(known) > 20 else "")
    return (f"Did you mean {close[0]}? " if close else "") + f"The {what} are {shown or 'none'}."


def _groups(parts: list[Statement], file: str, known: Collection[str]) -> Iterator[Problem]:
    for part in parts:
        for name in dict.fromkeys(re.findall(r'Group::"((?:[^"\\]|\\.)*)"', part.text)):
            if name not in known:
                close = get_close_matches(name, known, 1)
                hint = f"Did you mean {close[0]}?" if close else "Add it under groups."
                said = f"gatehouse.yml has no group {name!r}: nobody is in it"
                yield Problem("warning", file, part.line_of(name), _label(part), said, hint)


# --- gatehouse.yml ---------------------------------------------------------------------------------------------------


def _rules(settings: Settings, shown: str, file: Path | None, playbooks: Collection[str]) -> Iterator[Problem]:
    rules = settings.governance.rules
    lines = _rule_lines(file, len(rules))
    names: dict[str, int] = {}
    for position, rule in enumerate(rules):
        line = lines[position]
        for level, said, mend in _rule(rule, settings, playbooks):
            yield Problem(level, shown, line, rule.name, said, mend)
        if rule.name in names:
            said = f"rule {names[rule.name] + 1} has the same name: a refusal would not say which"
            yield Problem("warning", shown, line, rule.name, said, "Name them apart.")
        names.setdefault(rule.name, position)
        for earlier in rules[:position]:
            if _covers(earlier.match, rule.match):
                said = f"it can never match: {earlier.name!r} before it matches everything that it does"
                yield Problem("warning", shown, line, rule.name, said, "Put it first, or take it out.")
                break


def _rule(
    rule: GovernanceRule, settings: Settings, playbooks: Collection[str]
) -> Iterator[tuple[Literal["error", "warning"], str, str]]:
    known = {name: VOCABULARY[f"resource.{name}"] for name in ("environment", "risk", "kind")}
    if playbooks:
        known["playbook"] = tuple(sorted(playbooks))
    for name, words in known.items():
        for pattern in getattr(rule.match, name):
            if not any(fnmatchcase(word, pattern) for word in words):
                yield ("warning", f"match.{name}: {pattern!r} matches nothing there is",
                       _close(pattern, list(words), f"known words of {name}"))  # fmt: skip
    for group in dict.fromkeys((*rule.groups, *rule.break_glass_groups)):
        if group not in settings.groups and not any(group in p.groups for p in settings.people.values()):
            yield ("error", f"nobody is in group {group!r}",
                   _close(group, sorted(settings.groups), "groups of gatehouse.yml"))  # fmt: skip
    most = _most_members(rule, settings)
    if most is not None and 0 < most < rule.quorum:
        yield ("error", f"it asks for {rule.quorum} approvals, and its groups have {most} people",
               "Lower the quorum or add people.")  # fmt: skip
    if rule.break_glass and not rule.break_glass_groups:
        yield "warning", "break_glass is on, and nobody may: break_glass_groups is empty", "Name the groups."


def _most_members(rule: GovernanceRule, settings: Settings) -> int | None:
    """How many people can be in the rule's groups; None where a platform's group says it."""
    members: set[str] = set()
    for name in rule.groups or (engine.DEFAULT_APPROVERS,):
        group = settings.groups.get(name)
        if group and group.slack:
            return None
        members |= set(group.members if group else ())
        members |= {person for person, facts in settings.people.items() if name in facts.groups}
    return len(members)


def _covers(wide: RuleMatch, narrow: RuleMatch) -> bool:
    """Whether everything ``narrow`` matches is matched by ``wide``, as far as the patterns themselves show it."""
    for name in RuleMatch.model_fields:
        one, other = getattr(wide, name), getattr(narrow, name)
        if not one:
            continue
        words = VOCABULARY.get(f"resource.{name}")
        if words:
            some = {w for w in words if not other or any(fnmatchcase(w, p) for p in other)}
            if not some or not all(any(fnmatchcase(w, p) for p in one) for w in some):
                return False
        elif not other or not all(pattern in one or "*" in one for pattern in other):
            return False
    return True


def _rule_lines(file: Path | None, count: int) -> list[int]:
    lines = [0] * count
    if file is None or not file.exists():
        return lines
    try:
        node = yaml.compose(file.read_text("utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SettingsError(f"{file} is not valid YAML: {error}", mend="Mend the file and try again.") from error
    for key in ("governance", "rules"):
        values = {k.value: v for k, v in node.value} if isinstance(node, yaml.MappingNode) else {}
        node = values.get(key)
    if isinstance(node, yaml.SequenceNode):
        for position, item in enumerate(node.value[:count]):
            lines[position] = item.start_mark.line + 1
    return lines
