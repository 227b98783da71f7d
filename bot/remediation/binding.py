"""The stored decision held against the ledger: no record, no effect.

Rows can be rewritten by whoever reaches the database, and consistently so. The ledger's record of what was asked,
voted and decided cannot: it is chained, and its roots are witnessed elsewhere.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from pydantic import ValidationError
from sqlalchemy import Connection, select

from bot.domain.decisions import ApprovalRequest, ApprovalRule, Decision, Vote
from bot.domain.principals import PlatformIdentity
from bot.store.ledger import LEDGER, record_hash

_ASKED = ("plan_id", "plan_hash", "fingerprint", "policy_version", "requested_by")
_DECIDED = ("request_id", "plan_id", "covers", "outcome", "decided_by", "decided_at", "policy_version")


def unrecorded(
    conn: Connection, decision: Decision, request: ApprovalRequest, votes: Iterable[tuple[Vote, PlatformIdentity]]
) -> str:
    """Why these rows are not what the ledger says was asked, voted and decided, or ""."""
    made = _records(conn, "decision.made", decision.id)
    if len(made) != 1 or not _same(made[0], decision.model_dump(mode="json"), _DECIDED):
        return "the decision is not the one in the ledger"
    asked = _records(conn, "request.made", request.id)
    if len(asked) != 1 or not _same(asked[0], request.model_dump(mode="json"), _ASKED):
        return "the request is not the one in the ledger"
    try:
        rule = ApprovalRule.model_validate(asked[0].get("rule"))
    except ValidationError:
        return "the rule of the request is not the one in the ledger"
    if rule != request.rule:
        return "the rule of the request is not the one in the ledger"
    cast = {_vote(body) for body in _records(conn, "vote.cast", request.id)}
    for vote, identity in votes:
        if _vote(vote.model_dump(mode="json") | {"identity": identity.model_dump(mode="json")}) not in cast:
            return "a vote is not one in the ledger"
    return ""


def _same(recorded: dict[str, Any], stored: dict[str, Any], keys: Iterable[str]) -> bool:
    return all(key in recorded and recorded[key] == stored[key] for key in keys)


def _vote(body: dict[str, Any]) -> str:
    kept = [body.get(key) for key in ("id", "principal_id", "plan_hash", "choice", "identity")]
    return json.dumps(kept, sort_keys=True)


def _records(conn: Connection, kind: str, subject: str) -> list[dict[str, Any]]:
    rows = conn.execute(select(LEDGER).where(LEDGER.c.subject == subject, LEDGER.c.kind == kind).order_by(LEDGER.c.seq))
    return [
        json.loads(r.body)
        for r in rows
        if record_hash(r.seq, r.at, r.kind, r.subject, r.actor, r.body, r.prev) == r.hash
    ]
