"""Resource policies as data: compared as parsed JSON, never as text, because AWS re-orders what it stores."""

from __future__ import annotations

import json
from abc import abstractmethod
from typing import Any

from pydantic import JsonValue

from bot.domain.errors import BadInput
from bot.domain.plans import Call, Change, Target
from bot.ports import State

from .base import AwsPlaybook

Policy = dict[str, Any]
Statement = dict[str, Any]


def parse(text_: str | dict[str, Any]) -> Policy:
    """The policy with its statements as a list."""
    try:
        policy = dict(text_) if isinstance(text_, dict) else json.loads(text_)
        policy["Statement"] = many(policy.get("Statement"))
    except (ValueError, TypeError) as fault:
        raise BadInput("The resource's policy is not a JSON document.", mend="Look at it in the console.") from fault
    return policy


def text(policy: Policy) -> str:
    return json.dumps(policy, separators=(",", ":"), ensure_ascii=False)


def many(value: Any) -> list[Any]:
    """AWS writes a list of one as the thing itself."""
    if value is None:
        return []
    return list(value) if isinstance(value, list) else [value]


def statements(policy: Policy | None) -> list[Statement]:
    return [] if policy is None else policy["Statement"]


def _sorted(policy: Policy) -> list[str]:
    return sorted(json.dumps(s, sort_keys=True) for s in policy["Statement"])


def same(a: Policy | None, b: Policy | None) -> bool:
    """Equal up to the order of statements."""
    if a is None or b is None:
        return a is b
    rest = [{k: v for k, v in p.items() if k != "Statement"} for p in (a, b)]
    return rest[0] == rest[1] and _sorted(a) == _sorted(b)


def is_everyone(principal: Any) -> bool:
    if isinstance(principal, dict):
        return "*" in many(principal.get("AWS"))
    return bool(principal == "*")


def is_public(statement: Statement) -> bool:
    """Allows everyone without a Condition. A Condition may be narrow (a VPC endpoint, a source ARN): kept."""
    if statement.get("Effect") != "Allow" or statement.get("Condition"):
        return False
    return "NotPrincipal" in statement or is_everyone(statement.get("Principal"))


def narrowed(statement: Statement) -> Statement | None:
    """The statement without everyone: whoever is named beside ``*`` keeps the access. None when nobody is left."""
    principal = statement.get("Principal")
    if not isinstance(principal, dict):
        return None
    rest = {kind: many(who) for kind, who in principal.items()}
    rest["AWS"] = [who for who in rest.get("AWS", []) if who != "*"]
    rest = {kind: who for kind, who in rest.items() if who}
    return {**statement, "Principal": rest} if rest else None


def private(policy: Policy) -> Policy | None:
    """The policy without public statements; None when no statement is left."""
    left: list[Statement] = []
    for statement in policy["Statement"]:
        kept = narrowed(statement) if is_public(statement) else statement
        if kept is not None:
            left.append(kept)
    return {**policy, "Statement": left} if left else None


def with_statement(policy: Policy | None, statement: Statement) -> Policy:
    """The policy and one more statement, under a Sid that is not taken."""
    taken = {s.get("Sid") for s in statements(policy)}
    sid, n = statement["Sid"], 2
    while sid in taken:
        sid, n = f"{statement['Sid']}{n}", n + 1
    base = {"Version": "2012-10-17"} if policy is None else policy
    return {**base, "Statement": [*statements(policy), {**statement, "Sid": sid}]}


def without(policy: Policy, unwanted: list[Statement], *, empty_is_none: bool = True) -> Policy | None:
    left = [s for s in policy["Statement"] if s not in unwanted]
    return None if not left and empty_is_none else {**policy, "Statement": left}


def words(policy: Policy | None) -> dict[str, JsonValue]:
    """For people: the statements one by one, as they are."""
    if policy is None:
        return {"policy": None}
    return {"policy": [json.dumps(s, sort_keys=True, ensure_ascii=False) for s in policy["Statement"]]}


class PublicStatements(AwsPlaybook):
    """Takes statements that are open to everyone out of a resource policy. State: ``{"policy": … or None}``."""

    fine = "no statement of the policy allows everyone without a condition"

    @abstractmethod
    def _call(self, target: Target, policy: Policy | None, state: State) -> Call:
        """Write the policy; None is to have none."""
        ...

    def _private(self, target: Target, policy: Policy) -> Policy | None:
        """What the policy becomes. A service that always has one overrides this."""
        return private(policy)

    def _write(self, target: Target, verb: str, state: State, new: Policy | None) -> list[Change]:
        now = state["policy"]
        if same(now, new):
            return []
        return [
            Change(
                summary=f"{verb} the public statements of the policy of {self.noun} {target.name}",
                target=target,
                before=words(now),
                after=words(new),
                call=self._call(target, new, state),
            )
        ]

    def changes(self, target: Target, state: State) -> list[Change]:
        now = state["policy"]
        if now is None or not any(map(is_public, now["Statement"])):
            return []
        return self._write(target, "Remove", state, self._private(target, now))

    def undo(self, target: Target, pre: State, now: State) -> list[Change]:
        was, is_ = pre["policy"], now["policy"]
        public = [s for s in statements(was) if is_public(s) and s not in statements(is_)]
        if not public:
            return []
        fixed = self._private(target, was)
        if same(is_, fixed):
            return self._write(target, "Put back", now, was)
        # Somebody edited the policy since: keep what they wrote, take back only what we did.
        ours = [s for s in statements(fixed) if s not in statements(was)]
        kept = [s for s in statements(is_) if s not in ours]
        return self._write(target, "Put back", now, {**(is_ or was), "Statement": [*kept, *public]})

    def warnings(self, target: Target, state: State) -> list[str]:
        kept = [s for s in statements(state.get("policy")) if s.get("Condition") and is_everyone(s.get("Principal"))]
        if not kept:
            return []
        return [f"{target.name}: {len(kept)} statement(s) for everyone with a Condition stay: look how narrow it is."]
