"""Voting in another person's stead: the delegator must be permitted, and nothing may forbid the delegate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bot.domain.plans import Plan
from bot.domain.principals import Actor

from .policy import DEFAULT_DENY, Policy, PolicyVerdict


def in_stead(
    policy: Policy,
    delegate: Actor,
    delegator: Actor,
    action: str,
    plan: Plan,
    context: Mapping[str, Any],
    requester: str,
) -> PolicyVerdict:
    """Whether ``delegate`` may do what ``delegator`` may. Four eyes and the owner's part are the caller's."""
    given = dict(context)
    verdict = policy.may(delegator, action, plan, given | {"is_requester": delegator.principal.id == requester})
    if not verdict.allowed:
        said = f"{delegator.principal.name}, for whom you could stand in, may not: {verdict.reason}"
        return PolicyVerdict(False, verdict.rule, said, verdict.could)
    # With the delegator's groups no permit is missing for want of a group, so what refuses is a forbid of the delegate.
    proxy = delegate.model_copy(update={"groups": delegate.groups | delegator.groups})
    own = policy.may(proxy, action, plan, given | {"is_requester": delegate.principal.id == requester})
    if not own.allowed and own.rule != DEFAULT_DENY:
        return own
    return verdict
