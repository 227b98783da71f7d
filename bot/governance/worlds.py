"""Whether a policy can ever match: tried on small worlds made of the words it can tell apart.

A condition compares attributes with literals and with each other. For each attribute a policy reads, a world takes
every word of the schema's vocabulary, every literal of the policy for that type, and one value that is none of them.
Where that makes more worlds than ``MOST``, a fixed random sample of them is tried, and the finding says so.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import cedarpy

VOCABULARY: dict[str, tuple[str, ...]] = {
    "resource.kind": ("fix", "undo"),
    "resource.environment": ("prod", "staging", "dev", "test", "sandbox", "unknown"),
    "resource.risk": ("low", "medium", "high"),
    "resource.reversibility": ("exact", "partial", "none"),
    "context.platform": ("slack", "teams", "cli"),
}
MOST = 4_000
_BOOLS = ("principal.known", "principal.active", "principal.guest", "principal.external", "principal.bot",
          "resource.undo_exposes", "context.is_requester", "context.executing", "context.frozen")  # fmt: skip
_TEXTS = ("principal.name", "principal.team", "principal.role", "resource.playbook", "resource.account",
          "resource.provider", "resource.owner")  # fmt: skip
_FRESH = "\u2022another"
_STRING = re.compile(r'"((?:[^"\\]|\\.)*)"')
_READ = re.compile(r"\b(principal|resource|context)\s*(?:\.\s*(\w+)|\[\s*\"(\w+)\"\s*\])")
_SCHEMA = (Path(__file__).parent / "gatehouse.cedarschema").read_text("utf-8")
World = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Dead:
    said: str
    mend: str


def dead_policies(text: str, guards: str) -> Iterator[tuple[int, Dead]]:
    """Position and reason of each policy of a valid text that can never have an effect."""
    schema = cedarpy.Schema.from_str(_SCHEMA)
    together = cedarpy.PolicySet.from_str(f"{text}\n{guards}")
    parsed = json.loads(cedarpy.policies_to_json_str(text))["staticPolicies"]
    ordered = sorted(parsed, key=lambda name: int(name.removeprefix("policy") or 0))
    whole = cedarpy.policies_from_json_str(cedarpy.policies_to_json_str(f"{text}\n{guards}"))
    everything, labels = _Words(whole), _labels(f"{text}\n{guards}")
    for position, name in enumerate(ordered):
        body = parsed[name]
        alone = cedarpy.PolicySet.from_str(cedarpy.policies_from_json_str(json.dumps(_only(body, effect="permit"))))
        own = _Words(cedarpy.policies_from_json_str(json.dumps(_only(body))))
        unknown = list(own.unknown())
        tried, match = 0, None
        for world in own.worlds(_actions(body)):
            tried += 1
            if _asked(world, alone, schema).allowed:
                match = world
                break
        if match is None:
            never = "it can never match" if tried < MOST else f"it seems never to match, {MOST} combinations were tried"
            why = f": {'; '.join(unknown)}" if unknown else ": no person, plan and moment fulfil its conditions"
            yield position, Dead(f"{never}{why}", "Mend the condition, or take the policy out.")
            continue
        by = set[str]()
        if body["effect"] == "permit":
            by = _always_forbidden(name, everything.worlds(_actions(body), match), alone, together, schema)
        if by:
            names = ", ".join(sorted(labels.get(reason, reason) for reason in by))
            yield position, Dead(f"it never has an effect: wherever it permits, {names} forbids",
                                 "Narrow the forbid, or take the policy out.")  # fmt: skip
        elif unknown:
            yield position, Dead(f"part of it can never match: {'; '.join(unknown)}", "Correct the word.")


def _always_forbidden(name: str, worlds: Iterator[World], alone: Any, together: Any, schema: Any) -> set[str]:
    """The forbids that take away all that this permit gives, or nothing where it has an effect somewhere."""
    always: set[str] | None = None
    sometimes: set[str] = set()
    for world in worlds:
        if not _asked(world, alone, schema).allowed:
            continue
        full = _asked(world, together, schema)
        if name in full.diagnostics.reasons:
            return set()
        reasons = set(full.diagnostics.reasons)
        always = reasons if always is None else always & reasons
        sometimes |= reasons
    return always or sometimes


def _labels(text: str) -> dict[str, str]:
    parsed = json.loads(cedarpy.policies_to_json_str(text))["staticPolicies"]
    return {name: (body.get("annotations") or {}).get("id") or name for name, body in parsed.items()}


def _only(body: dict[str, Any], effect: str = "") -> dict[str, Any]:
    one = {**body, "effect": effect or body["effect"], "annotations": {}}
    return {"staticPolicies": {"policy0": one}, "templates": {}, "templateLinks": []}


def _actions(body: dict[str, Any]) -> list[str]:
    from .policy import ACTIONS

    scope = body.get("action", {})
    named = [scope["entity"]] if "entity" in scope else scope.get("entities", [])
    found = [str(each.get("id") or each.get("__entity", {}).get("id", "")) for each in named]
    return found or sorted(ACTIONS)


class _Words:
    """What one policy reads, and the values worth trying."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.reads = [f"{kind}.{dotted or quoted}" for kind, dotted, quoted in _READ.findall(text)]
        self.literals = tuple(dict.fromkeys(_STRING.findall(text)))
        self.groups, self.people, self.plans = (
            tuple(dict.fromkeys(re.findall(rf'{kind}::"((?:[^"\\]|\\.)*)"', text)))
            for kind in ("Group", "Principal", "Plan")
        )
        self.numbers = tuple(dict.fromkeys(int(n) for n in re.findall(r'(?<![\w"])-?\d+(?![\w"])', text)))

    def compared(self, name: str) -> tuple[tuple[str, ...], bool]:
        """The literals an attribute is compared with, and whether that is all it is used for."""
        kind, attribute = name.split(".")
        place = rf"\(?\(?{kind}\s*(?:\.\s*{attribute}\b|\[\s*\"{attribute}\"\s*\])\)?\)?"
        one = r'\(?"((?:[^"\\]|\\.)*)"\)?'
        same = re.findall(rf"{place}\s*(?:==|!=|like)\s*{one}", self.text)
        turned = re.findall(rf"{one}\s*(?:==|!=)\s*{place}", self.text)
        within = re.findall(rf"\[([^\[\]]*)\]\)?\s*\.contains\(\s*{place}", self.text)
        words = [*same, *turned, *(each for part in within for each in _STRING.findall(part))]
        uses = self.reads.count(name)
        return tuple(dict.fromkeys(words)), len(same) + len(turned) + len(within) == uses

    def unknown(self) -> Iterator[str]:
        """Comparisons with a word that the attribute never has."""
        for name, words in VOCABULARY.items():
            for word in self.compared(name)[0]:
                if word not in words and "*" not in word:
                    yield f'{name} is never "{word}", it is one of {", ".join(words)}'

    def values(self) -> dict[str, tuple[Any, ...]]:
        made: dict[str, tuple[Any, ...]] = {}
        for name, words in VOCABULARY.items():
            named, all_ = self.compared(name)
            kept = tuple(word for word in words if word in named) if all_ else words
            made[name] = (*kept, *[word for word in words if word not in kept][:1]) if name in self.reads else words[:1]
        for name in _BOOLS:
            good = name in {"principal.known", "principal.active"}
            made[name] = (good, not good) if name in self.reads else (good,)
        for name in _TEXTS:
            named, all_ = self.compared(name)
            texts = [each.replace("*", "x") for each in (named if all_ else self.literals)]
            made[name] = tuple(dict.fromkeys([*texts, _FRESH, ""])) if name in self.reads else (_FRESH,)
        sets = ([], [_FRESH], *([each] for each in self.literals), [*self.literals])
        made["resource.accounts"] = sets if "resource.accounts" in self.reads else ([_FRESH],)
        numbers = sorted({n + d for n in self.numbers for d in (-1, 0, 1)} | {1, 1000})
        made["resource.resources"] = tuple(numbers) if "resource.resources" in self.reads else (1,)
        groups = ([], *([group] for group in self.groups), [*self.groups], ["cloud-approvers"])
        made["groups"] = tuple({json.dumps(each): each for each in groups}.values())
        made["context.approver_groups"] = (["cloud-approvers"], *([group] for group in self.groups))
        made["person"], made["plan"] = (_FRESH, *self.people), (_FRESH, *self.plans)
        return made

    def worlds(self, actions: list[str], near: World | None = None) -> Iterator[World]:
        """All of them, or a sample; ``near`` is one in whose neighbourhood the sample looks."""
        values = self.values() | {"action": tuple(actions)}
        size = 1
        for each in values.values():
            size *= len(each)
        if size <= MOST:
            for picked in product(*values.values()):
                yield dict(zip(values, picked, strict=True))
            return
        # The first of each is a literal where there is one, so a long "and" holds in the first worlds.
        base = near or {name: each[0] for name, each in values.items()}
        yield base
        rng = random.Random(0)  # noqa: S311  (a sample, no secret)
        for _ in range(MOST - 1):
            yield {name: base[name] if rng.random() < 0.7 else rng.choice(each) for name, each in values.items()}


def _asked(world: World, policies: Any, schema: Any) -> Any:
    request, entities = _request(world)
    return cedarpy.is_authorized(request, policies, entities, schema)


def _request(world: World) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    def part(kind: str) -> dict[str, Any]:
        return {name.partition(".")[2]: value for name, value in world.items() if name.startswith(f"{kind}.")}

    context = part("context")
    approvers = context["approver_groups"]
    context["approver_groups"] = [{"__entity": {"type": "Group", "id": each}} for each in approvers]
    groups = world["groups"]
    entities: list[dict[str, Any]] = [
        {"uid": {"type": "Principal", "id": world["person"]}, "attrs": part("principal"),
         "parents": [{"type": "Group", "id": each} for each in groups]},
        {"uid": {"type": "Plan", "id": world["plan"]}, "attrs": part("resource"), "parents": []},
        *({"uid": {"type": "Group", "id": each}, "attrs": {}, "parents": []} for each in {*groups, *approvers}),
    ]  # fmt: skip
    request = {
        "principal": {"type": "Principal", "id": world["person"]},
        "action": {"type": "Action", "id": world["action"]},
        "resource": {"type": "Plan", "id": world["plan"]},
        "context": context,
    }
    return request, entities
