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
from bot.domain.ids import canonical
from bot.domain.principals import PlatformIdentity
from bot.store.controls import BrokenGlass
from bot.store.ledger import LEDGER, record_hash
from bot.store.standing import Covered

_ASKED = ("plan_id", "plan_hash", "fingerprint", "policy_version", "requested_by")
_DECIDED = ("request_id", "plan_id", "covers", "outcome", "decided_by", "decided_at", "policy_version")


def unrecorded(
    conn: Connection,
    decision: Decision,
    request: ApprovalRequest,
    votes: Iterable[tuple[Vote, PlatformIdentity]],
    covered: Covered | None = None,
) -> str:
    """Why these rows are not what the ledger says was asked, voted (or approved in advance) and decided, or ""."""
    made = _records(conn, "decision.made", decision.id)
    if len(made) != 1 or not _same(made[0], decision.model_dump(mode="json"), _DECIDED):
        return "the decision is not the one in the ledger"
    records = _records(conn, "request.made", request.id)
    asked = dict(records[0]) if len(records) == 1 else {}
    for moved in _records(conn, "request.rebound", request.id):  # put under another policy while it waited
        if moved.get("from") != asked.get("policy_version"):
            return "the request's policies are not the ones in the ledger"
        asked |= {key: moved.get(key) for key in ("policy_version", "rule")}
    if not _same(asked, request.model_dump(mode="json"), _ASKED):
        return "the request is not the one in the ledger"
    try:
        rule = ApprovalRule.model_validate(asked.get("rule"))
    except ValidationError:
        return "the rule of the request is not the one in the ledger"
    if rule != request.rule:
        return "the rule of the request is not the one in the ledger"
    cast = {_vote(body) for body in _records(conn, "vote.cast", request.id)}
    gone = {r.get("vote") for kind in ("vote.withdrawn", "vote.voided") for r in _records(conn, kind, request.id)}
    for vote, identity in votes:
        if vote.id in gone:
            return "a vote is one that was taken back or voided"
        if _vote(vote.model_dump(mode="json") | {"identity": identity.model_dump(mode="json")}) not in cast:
            return "a vote is not one in the ledger"
    return _ungranted(conn, decision, request, covered)


def _ungranted(conn: Connection, decision: Decision, request: ApprovalRequest, covered: Covered | None) -> str:
    """In place of votes: the record of the use, and those of the grants of exactly these terms."""
    used = _records(conn, "standing.used", request.id)
    if covered is None:
        return "the ledger says it ran under a standing approval" if used else ""
    use, held = covered.use, covered.held
    stored = use.model_dump(mode="json") | {"plan_hash": request.plan_hash, "decision": decision.id}
    if len(used) != 1 or not _same(used[0], stored, stored.keys()):
        return "the use of the standing approval is not the one in the ledger"
    if held.facts.id != use.standing_id or not held.intact or use.standing_hash != held.hash:
        return f"the standing approval {use.standing_id} is not as it was granted"
    terms = held.facts.model_dump(mode="json", exclude={"state", "state_by", "state_why"})
    granted = {
        _grant(body)
        for body in _records(conn, "standing.granted", held.facts.id)
        if _same(body, {"terms": terms, "hash": held.hash}, ("terms", "hash"))
    }
    if not held.grants or any(_grant(grant.model_dump(mode="json")) not in granted for grant in held.grants):
        return f"the standing approval {use.standing_id} is not as it was granted in the ledger"
    return ""


def unrecorded_glass(conn: Connection, glass: BrokenGlass) -> str:
    """Why this broken glass is not the one in the ledger, or ""."""
    used = _records(conn, "break_glass.used", glass.id)
    stored = {"request": glass.request_id, "by": glass.by, "at": glass.at, "until": glass.until,
              "identity": glass.identity.model_dump(mode="json")}  # fmt: skip
    if len(used) != 1 or not _same(used[0], json.loads(canonical(stored)), stored.keys()):
        return "the broken glass is not the one in the ledger"
    return ""


def _same(recorded: dict[str, Any], stored: dict[str, Any], keys: Iterable[str]) -> bool:
    return all(key in recorded and recorded[key] == stored[key] for key in keys)


def _vote(body: dict[str, Any]) -> str:
    kept = [body.get(key) for key in ("id", "principal_id", "plan_hash", "choice", "identity")]
    return json.dumps(kept, sort_keys=True)


def _grant(body: dict[str, Any]) -> str:
    return json.dumps([body.get("principal_id"), body.get("identity"), body.get("hash")], sort_keys=True)


def _records(conn: Connection, kind: str, subject: str) -> list[dict[str, Any]]:
    rows = conn.execute(select(LEDGER).where(LEDGER.c.subject == subject, LEDGER.c.kind == kind).order_by(LEDGER.c.seq))
    return [
        json.loads(r.body)
        for r in rows
        if record_hash(r.seq, r.at, r.kind, r.subject, r.actor, r.body, r.prev) == r.hash
    ]
