"""A real SQLite file and rows put in by hand."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import insert
from sqlmodel import SQLModel

from bot.domain.errors import NotFound
from bot.domain.findings import Finding, Resource, Severity
from bot.domain.plans import BlastRadius, Plan, PlanKind, Reversibility, Risk, Target
from bot.domain.triage import Evidence, Priority, Ssvc, Verdict
from bot.ports import PlaybookInfo
from bot.reports.board import Board
from bot.settings import Settings
from bot.store import ledger
from bot.store.database import Database
from bot.store.tables import (
    CauseRow,
    DecisionRow,
    ExecutionRow,
    FindingRow,
    ObservationRow,
    OutboxRow,
    PlanRow,
    PostRow,
    RequestRow,
    VoteRow,
    metadata,
)

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
RULE = '{"name": "prod", "quorum": 1, "groups": ["cloud-approvers"], "four_eyes": true}'


class FixedClock:
    def __init__(self) -> None:
        self.at = NOW

    def now(self) -> datetime:
        return self.at


class BlockPublic:
    """Fixes buckets it can name, like a real playbook: pure ``target`` and a reason when it cannot."""

    info = PlaybookInfo(
        id="s3-block", version=1, title="Block public access", provider="aws", target_kind="s3_bucket",
        rules=frozenset({"s3_public"}), risk=Risk.LOW, reversibility=Reversibility.EXACT, danger="",
    )  # fmt: skip

    def target(self, finding: Finding) -> Target | None:
        if not finding.resource.uid.startswith("arn:"):
            return None
        uid = finding.resource.uid
        return Target(provider="aws", account="1", region="", kind="s3_bucket", uid=uid)

    def why_not(self, finding: Finding) -> str:
        return f"{finding.resource.uid} is not an ARN"


class Catalog:
    def all(self) -> list[Any]:
        return [BlockPublic()]

    def get(self, playbook_id: str) -> Any:
        if playbook_id != "s3-block":
            raise NotFound(f"no playbook {playbook_id}")
        return BlockPublic()

    def for_finding(self, finding: Finding) -> Any:
        return BlockPublic()

    def for_rule(self, source: str, rule_uid: str) -> Any:
        return BlockPublic()


class World:
    def __init__(self, url: str) -> None:
        self.db = Database(url)
        metadata.create_all(self.db.engine)
        self.clock = FixedClock()
        self.settings = Settings(
            people={
                "alice": {"name": "Alice Adams", "team": "payments", "slack": "T01/UALICE"},
                "bob": {"name": "Bob Brown", "groups": ["cloud-approvers"], "slack": "T01/UBOB"},
            },
            routing={"owners": {"payments": {"name": "Payments", "channels": ["slack:C1"]}}},
        )
        self.board = Board(self.db, self.settings, Catalog(), self.clock)  # type: ignore[arg-type]

    def put(self, *rows: SQLModel) -> None:
        def write(conn: Any) -> None:
            for row in rows:
                conn.execute(insert(type(row).__table__), row.model_dump())  # type: ignore[attr-defined]

        self.db.write_sync(write)

    def say(self, kind: str, subject: str, actor: str, **body: Any) -> None:
        self.db.write_sync(
            lambda conn: ledger.append(conn, kind=kind, subject=subject, actor=actor, body=body, now=self.clock.now())
        )

    def cause(self, cause_id: str = "c-1", **values: Any) -> None:
        defaults: dict[str, Any] = {
            "key": cause_id, "title": f"Buckets are public ({cause_id})", "rule_uid": "s3_public", "source": "prowler",
            "playbook": "s3-block", "provider": "aws", "account_uid": "111", "account_name": "acme-prod",
            "environment": "prod", "owner": "payments", "channels": '["slack:C1"]', "severity": 4, "decision": "Act",
            "priority": 1, "first_seen": NOW, "open_count": 1, "total_count": 1, "resource_count": 1, "changed_at": NOW,
        }  # fmt: skip
        self.put(CauseRow(id=cause_id, **(defaults | values)))

    def finding(self, number: int = 1, **values: Any) -> str:
        found = f"f-{number:016d}"
        defaults: dict[str, Any] = {
            "source": "prowler", "uid": str(number), "class_uid": 2003, "title": f"Bucket {number} is public",
            "rule_uid": "s3_public", "severity": 4, "result": 1, "status": "open", "content": "x",
            "resource_uid": f"arn:aws:s3:::b{number}", "resource_name": f"b{number}", "resource_type": "bucket",
            "account_uid": "111", "account_name": "acme-prod", "environment": "prod", "owner": "payments",
            "priority": 2, "cause_id": "c-1", "first_seen": NOW, "changed_at": NOW,
        }  # fmt: skip
        row = FindingRow(id=found, **(defaults | values))
        doc = Finding(
            source="prowler", uid=str(number), title=row.title, desc=f"{row.resource_name} answers the world",
            severity=Severity(row.severity), resource=Resource(uid=row.resource_uid, name=row.resource_name),
            risk="Data leaks.", remediation="Block it.", console_url=f"https://console/{number}",
        )  # fmt: skip
        why = Evidence(input="exposure", value="public", fact=f"{row.resource_name} is public", source="prowler")
        verdict = Verdict(decision=Ssvc.ACT, priority=Priority(row.priority), due=None, reasons=(why,), table="t1")
        self.put(
            row,
            ObservationRow(
                finding_id=found, content="x", at=NOW, poll_id="p", raw=b"{}",
                doc=doc.model_dump_json().encode(), verdict=verdict.model_dump_json().encode(),
            ),
        )  # fmt: skip
        return found

    def plan(self, plan_id: str = "plan-1", kind: str = "fix", undoes: str | None = None, **values: Any) -> None:
        plan = Plan(
            id=plan_id, kind=PlanKind(kind), playbook="s3-block", playbook_version=1, title="Block public access",
            cause_id="c-1", finding_ids=values.pop("finding_ids", ("f-0000000000000001",)), targets=(), changes=(),
            fingerprint="", pre_image={}, blast_radius=BlastRadius(resources=1, accounts=1, summary="1 bucket"),
            reversibility=values.pop("reversibility", Reversibility.EXACT), risk=Risk.LOW, environment="prod",
            created_at=NOW, expires_at=NOW + timedelta(hours=4), undoes=undoes,
        )  # fmt: skip
        self.put(
            PlanRow(
                id=plan_id, hash=plan.hash, kind=kind, playbook="s3-block", cause_id="c-1", undoes=undoes,
                body=plan.model_dump_json(), created_at=NOW, expires_at=plan.expires_at,
            )
        )  # fmt: skip

    def request(self, request_id: str = "req-1", plan_id: str = "plan-1", **values: Any) -> None:
        defaults: dict[str, Any] = {
            "cause_id": "c-1", "plan_hash": "h", "fingerprint": "", "policy_version": "1", "rule": RULE,
            "requested_by": "alice", "requested_at": NOW, "expires_at": NOW + timedelta(hours=4),
        }  # fmt: skip
        self.put(RequestRow(id=request_id, plan_id=plan_id, **(defaults | values)))

    def vote(self, who: str, request_id: str = "req-1", **values: Any) -> None:
        defaults: dict[str, Any] = {
            "plan_hash": "h",
            "platform": "slack",
            "choice": "approve",
            "reason": "ok",
            "at": NOW,
        }
        self.put(VoteRow(id=f"v-{who}", request_id=request_id, principal_id=who, **(defaults | values)))

    def execution(
        self, execution_id: str, state: str, plan_id: str = "plan-1", kind: str = "fix", **values: Any
    ) -> None:
        decision = f"d-{execution_id}"
        self.put(
            DecisionRow(
                id=decision, request_id=f"r-{execution_id}", plan_id=plan_id, covers="h", outcome="approved",
                decided_at=NOW, decided_by='["bob"]', policy_version="1",
            ),
            ExecutionRow(
                id=execution_id, decision_id=decision, plan_id=plan_id, cause_id="c-1", kind=kind, state=state,
                **({"created_at": NOW, "finished_at": NOW + timedelta(minutes=1)} | values),
            ),
        )  # fmt: skip

    def post(self, cause_id: str, channel: str = "C1", message_id: str = "1.1") -> None:
        self.put(PostRow(id=f"post-{cause_id}-{channel}", kind="cause", subject=cause_id, platform="slack",
                         channel=channel, message_id=message_id))  # fmt: skip

    def outbox(self, cause_id: str, state: str = "queued", channel: str = "C1") -> None:
        row = OutboxRow(
            id=f"out-{cause_id}-{state}", seq=1, platform="slack", channel=channel, kind="card", subject=cause_id,
            dedupe=f"{cause_id}{state}", state=state, not_before=NOW, created_at=NOW,
        )  # fmt: skip
        self.put(row)


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    made = World(request.getfixturevalue(f"{request.param}_url"))
    yield made
    made.db.close_sync()
