"""A ledger record as one OCSF 1.5 event. Pure; the table of kinds stands in docs/evidence.md.

- ``metadata.uid`` is the record's hash: the same event sent twice carries the same id, and a SIEM that has the event
  has a witness of the record.
- The record itself, whole, is under ``unmapped.ledger``.
- A kind that has no line here becomes Entity Management, Other: nothing is left out of the stream.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from bot import __version__

VERSION = "1.5.0"
_SCAN, _ENTITY, _API, _REMEDIATION = 6007, 3004, 6003, 7001
_CATEGORY = {_SCAN: 6, _API: 6, _ENTITY: 3, _REMEDIATION: 7}
_CREATE, _UPDATE, _DEACTIVATE, _SUSPEND, _RESUME, _OTHER = 1, 3, 11, 12, 13, 99
_UNKNOWN, _SUCCESS, _FAILURE = 0, 1, 2
_INFORMATIONAL, _LOW, _MEDIUM, _HIGH = 1, 2, 3, 4

# kind: class, activity
_KINDS: Mapping[str, tuple[int, int]] = {
    "source.polled": (_SCAN, 2),  # Completed
    "source.failed": (_SCAN, 6),  # Error
    "source.failing": (_SCAN, 6),
    "source.recovered": (_SCAN, 8),  # Resumed
    "findings.page": (_SCAN, _OTHER),
    "findings.vanished": (_SCAN, _OTHER),
    "refused": (_API, _OTHER),
    "plan.made": (_ENTITY, _CREATE),
    "request.made": (_ENTITY, _CREATE),
    "request.expired": (_ENTITY, _DEACTIVATE),
    "request.voided": (_ENTITY, _DEACTIVATE),
    "request.cancelled": (_ENTITY, _DEACTIVATE),
    "vote.cast": (_ENTITY, _UPDATE),
    "decision.made": (_ENTITY, _CREATE),
    "cause.passed_on": (_ENTITY, 5),  # Move
    "cause.snoozed": (_ENTITY, _SUSPEND),
    "cause.woken": (_ENTITY, _RESUME),
    "risk.accepted": (_ENTITY, _CREATE),
    "risk.expired": (_ENTITY, _DEACTIVATE),
    "suppression.written": (_ENTITY, _CREATE),
    "suppression.signed": (_ENTITY, _UPDATE),
    "suppression.active": (_ENTITY, 8),  # Enable
    "suppression.ended": (_ENTITY, _DEACTIVATE),
    "suppression.expired": (_ENTITY, _DEACTIVATE),
    "finding.hidden": (_ENTITY, _SUSPEND),
    "finding.shown_again": (_ENTITY, _RESUME),
    "cause.merged": (_ENTITY, 5),  # Move
    "cause.split": (_ENTITY, 5),
    "cause.regrouped_back": (_ENTITY, 5),
    "cause.escalated": (_ENTITY, _UPDATE),
    "standing.granted": (_ENTITY, _CREATE),
    "standing.used": (_ENTITY, _UPDATE),
    "standing.suspended": (_ENTITY, _SUSPEND),
    "standing.revoked": (_ENTITY, _DEACTIVATE),
    "standing.expired": (_ENTITY, _DEACTIVATE),
    "delegation.made": (_ENTITY, _CREATE),
    "delegation.ended": (_ENTITY, _DEACTIVATE),
    "freeze.began": (_ENTITY, 8),  # Enable
    "freeze.ended": (_ENTITY, 9),  # Disable
    "replica.dead": (_ENTITY, _DEACTIVATE),
}
_FAILED = (
    "refused",
    "source.failed",
    "source.failing",
    "step.failed",
    "execution.blocked",
    "execution.failed",
    "request.voided",
)
_SEVERITY: Mapping[str, int] = {
    "refused": _MEDIUM,
    "source.failed": _MEDIUM,
    "source.failing": _MEDIUM,
    "replica.dead": _MEDIUM,
    "freeze.began": _MEDIUM,
    "standing.granted": _LOW,
    "suppression.active": _MEDIUM,
    "cause.escalated": _MEDIUM,
    "standing.suspended": _MEDIUM,
    "step.failed": _MEDIUM,
    "step.unknown": _HIGH,
    "execution.blocked": _MEDIUM,
    "execution.failed": _HIGH,
    "risk.accepted": _LOW,
}


def event(record: Mapping[str, Any]) -> dict[str, Any]:
    """The event of a ledger record (its columns)."""
    kind, subject, actor = str(record["kind"]), str(record["subject"]), str(record["actor"])
    body = _body(str(record["body"]))
    class_uid, activity = _class(kind, body)
    status = _status(kind, body)
    made: dict[str, Any] = {
        "activity_id": activity,
        "category_uid": _CATEGORY[class_uid],
        "class_uid": class_uid,
        "type_uid": class_uid * 100 + activity,
        "time": int(datetime.fromisoformat(str(record["at"])).timestamp() * 1000),
        "severity_id": _severity(kind, body, status),
        "status_id": status,
        "message": f"{kind} {subject}"[:500],
        "metadata": {
            "version": VERSION,
            "uid": record["hash"],
            "sequence": record["seq"],
            "event_code": kind,
            "log_name": "ledger",
            "original_time": record["at"],
            "product": {"name": "Gatehouse", "vendor_name": "Gatehouse", "version": __version__},
        },
        "unmapped": {
            "ledger": {
                **{name: record[name] for name in ("seq", "at", "kind", "subject", "actor", "prev", "hash")},
                "body": body,
            }
        },
    }
    if activity == _OTHER:
        made["activity_name"] = kind
    if why := _why(body):
        made["status_detail"] = why
    who = {"app_name": "Gatehouse"} if actor == "gatehouse" else {"user": {"uid": actor}}
    if class_uid == _SCAN:
        made["scan"] = {
            "uid": subject,
            "name": str(_field(body, "source") or subject),
            "type_id": _OTHER,
            "type": "poll",
        }
    elif class_uid == _REMEDIATION:
        made["command_uid"] = subject
    elif class_uid == _API:
        made["actor"] = who
        made["api"] = {"operation": str(_field(body, "wanted") or kind)}
        made["src_endpoint"] = {"name": _platform(body)}
    else:
        made["actor"] = who
        made["entity"] = {"uid": subject, "name": subject, "type": kind.partition(".")[0], "type_id": _OTHER}
    return made


def _body(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text  # altered: the SIEM shall see what stands there


def _class(kind: str, body: Any) -> tuple[int, int]:
    if kind in _KINDS:
        return _KINDS[kind]
    if kind == "execution.finished":
        return _REMEDIATION, 3 if _field(body, "kind") == "undo" else 4  # Restore, Harden
    if kind.startswith(("execution.", "step.")):
        return _REMEDIATION, _OTHER
    return _ENTITY, _OTHER


def _status(kind: str, body: Any) -> int:
    state = _field(body, "state")
    if kind == "execution.finished":
        return _SUCCESS if state == "succeeded" else _FAILURE
    if kind in ("step.unknown", "step.intended", "execution.queued", "execution.claimed"):
        return _UNKNOWN
    return _FAILURE if kind in _FAILED else _SUCCESS


def _severity(kind: str, body: Any, status: int) -> int:
    if kind == "execution.finished" and status == _FAILURE:
        return _HIGH
    return _HIGH if "glass" in kind else _SEVERITY.get(kind, _INFORMATIONAL)


def _why(body: Any) -> str:
    return next((str(found)[:1000] for key in ("why", "error", "reason") if (found := _field(body, key))), "")


def _platform(body: Any) -> str:
    return str(_field(_field(body, "identity"), "platform") or "gatehouse")


def _field(body: Any, name: str) -> Any:
    return body.get(name) if isinstance(body, dict) else None
