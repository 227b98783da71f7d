"""The schema. SQLModel describes it; ingest and lists are SQLAlchemy Core statements over ``Row.__table__``.

Rules
- Ids are text, times aware UTC, JSON columns hold canonical JSON text (``bot.domain.ids.canonical``).
- "Last seen" is a fact of a poll (``polls``), never a column that every poll writes.
- One-of-a-kind facts are unique constraints: one execution per decision, one live vote per person and request,
  one ledger record per sequence number, one card per cause and channel.
- Indexes are for the questions people ask (covering), not one per column (docs/performance.md).
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, Index, LargeBinary, Text, UniqueConstraint, text
from sqlmodel import Field, SQLModel

from . import tables_ask as tables_ask
from . import tables_attention as tables_attention
from . import tables_intel as tables_intel
from . import tables_model as tables_model
from . import tables_sources as tables_sources
from . import tables_standing as tables_standing
from . import tables_teams as tables_teams

# Columns that questions filter, group and measure by; those said most often come first, as SQLite reads them in order.
ASKED_BY = (
    "status", "severity", "class_uid", "environment", "team", "first_seen", "resolved_at", "internet_exposed",
    "provider", "kev", "exploit", "fixable", "result", "account_uid", "resource_type", "app", "product", "region",
    "data_class", "rule_uid", "cve", "package", "control_set", "suppressed_at", "resource_id", "id", "epss", "cvss",
    "account_name", "owner",
)  # fmt: skip


class FindingRow(SQLModel, table=True):
    """The narrow, queryable half of a finding; the whole is ``observations.doc`` at (id, content)."""

    __tablename__ = "findings"
    __table_args__ = (
        Index("ix_findings_open_account", "status", "severity", "account_uid"),
        Index("ix_findings_open_owner", "status", "severity", "owner"),
        Index("ix_findings_open_priority", "status", "priority", "environment", "cause_id"),
        Index("ix_findings_first_seen", "status", "first_seen"),
        Index("ix_findings_cause", "cause_id", "status"),
        Index("ix_findings_scope", "scope", "status", "id"),
        Index("ix_findings_resource", "resource_uid"),
        Index("ix_findings_issue", "issue_id"),
        Index("ix_findings_cve", "cve", sqlite_where=text("cve <> ''"), postgresql_where=text("cve <> ''")),
        Index("ix_findings_uid", "uid"),
        # What people ask is counted from this index alone (bot/ask; docs/performance.md).
        Index("ix_findings_ask", *ASKED_BY),
    )

    id: str = Field(primary_key=True)
    source: str
    uid: str
    class_uid: int
    title: str
    rule_uid: str
    severity: int
    result: int  # SourceStatus: what the source says
    status: str  # Status: where it stands with us
    status_reason: str = ""
    content: str  # hash of the observation that is current
    scope: str = ""  # the complete-scan scope it belongs to; "" when its source never completes
    resource_id: str = ""  # -> resources.id
    resource_uid: str
    resource_name: str = ""
    resource_type: str = ""
    region: str = ""
    provider: str = ""
    account_uid: str = ""
    account_name: str = ""
    environment: str = "unknown"
    owner: str = ""  # -> owners.id, "" is nobody known
    internet_exposed: bool | None = None
    kev: bool | None = None
    epss: float | None = None
    cvss: float | None = None
    cve: str = ""
    decision: str = ""  # SSVC
    priority: int = 4
    due: datetime | None = None
    cause_id: str = ""
    first_seen: datetime
    changed_at: datetime  # when we last wrote this row
    last_seen: datetime | None = None  # as the source says; None where it does not
    resolved_at: datetime | None = None
    suppressed_at: datetime | None = None
    suppressed_until: datetime | None = None
    reopened: int = 0  # how often it came back
    # What people ask by (bot/ask): the words of the source and of the resource's tags, "" where there is none.
    product: str = ""
    team: str = ""
    app: str = ""
    data_class: str = ""
    exploit: bool | None = None
    fixable: bool | None = None
    package: str = ""
    control_set: str = ""  # -> control_sets.id: the requirements it counts against
    issue_id: str = ""  # findings of one issue are witnesses of one problem; "" stands alone (bot/intake/identity.py)
    source_modified: datetime | None = None  # when the source last changed it; an older word does not overwrite


class ObservationRow(SQLModel, table=True):
    """One content of one finding: the raw payload, kept once per content, and what it was understood as."""

    __tablename__ = "observations"

    finding_id: str = Field(primary_key=True)
    content: str = Field(primary_key=True)
    at: datetime
    poll_id: str
    raw: bytes = Field(sa_type=LargeBinary)  # the source's own JSON
    doc: bytes = Field(sa_type=LargeBinary)  # Finding as JSON
    verdict: bytes = Field(default=b"{}", sa_type=LargeBinary)  # Verdict as JSON


class ControlSetRow(SQLModel, table=True):
    """The requirements that findings of one rule count against: a set is stored once, findings name it."""

    __tablename__ = "control_sets"

    id: str = Field(primary_key=True)
    standard: str = Field(primary_key=True)
    requirement: str = Field(primary_key=True)


class ResourceRow(SQLModel, table=True):
    __tablename__ = "resources"

    id: str = Field(primary_key=True)  # short_hash(provider, account, uid), prefix r-
    uid: str = Field(index=True)
    name: str = Field(default="", index=True)
    type: str = ""
    provider: str = ""
    account_uid: str = ""
    region: str = ""
    environment: str = "unknown"
    owner: str = ""
    tags: str = Field(default="{}", sa_type=Text)
    content: str = ""
    changed_at: datetime


class AccountRow(SQLModel, table=True):
    __tablename__ = "accounts"

    id: str = Field(primary_key=True)  # provider:uid
    uid: str
    name: str = ""
    provider: str = ""
    environment: str = "unknown"
    labels: str = Field(default="{}", sa_type=Text)
    content: str = ""
    changed_at: datetime


class OwnerRow(SQLModel, table=True):
    """A team or person that owns resources, from gatehouse.yml or learnt by "not mine"."""

    __tablename__ = "owners"

    id: str = Field(primary_key=True)
    name: str
    team: str = ""
    channels: str = Field(default="[]", sa_type=Text)  # ["slack:C02SEC"]
    changed_at: datetime


class CauseRow(SQLModel, table=True):
    """The findings that one change would fix. ``revision`` moves with everything its card shows."""

    __tablename__ = "causes"
    __table_args__ = (Index("ix_causes_state", "state", "priority", "owner"),)

    id: str = Field(primary_key=True)
    key: str = Field(unique=True)  # what makes findings one cause, readable
    title: str
    rule_uid: str
    source: str
    playbook: str = ""  # "" when nothing of ours can fix it
    provider: str = ""
    account_uid: str = ""
    account_name: str = ""
    environment: str = "unknown"
    owner: str = ""
    owner_reason: str = ""  # which rule named the owner, or why nobody did
    # override | tag | rule | cmdb | catalog | codeowners | account | project | fallback; "" before there were such
    owner_rule: str = Field(default="", sa_column_kwargs={"server_default": ""})
    channels: str = Field(default="[]", sa_type=Text)
    severity: int = 0
    decision: str = ""
    priority: int = 4
    due: datetime | None = None
    first_seen: datetime
    open_count: int = 0
    total_count: int = 0
    resource_count: int = 0
    state: str = "open"  # open | snoozed | excepted | silenced | resolved
    snoozed_until: datetime | None = None
    note: str = ""  # the last thing a person or Gatehouse said of it
    revision: int = 0
    changed_at: datetime


class OwnerOverrideRow(SQLModel, table=True):
    """ "Not mine": a person passed a cause on. Wins over the rules until somebody says otherwise."""

    __tablename__ = "owner_overrides"

    cause_key: str = Field(primary_key=True)
    owner: str  # "" sends it to the fallback
    by: str
    reason: str = ""
    at: datetime


class PostRow(SQLModel, table=True):
    """A card that was sent and what it shows now."""

    __tablename__ = "posts"
    __table_args__ = (
        UniqueConstraint("kind", "subject", "platform", "channel"),
        Index("ix_posts_message", "platform", "channel", "message_id"),
    )

    id: str = Field(primary_key=True)
    kind: str  # cause | digest
    subject: str  # cause id, or the digest's interval
    platform: str
    channel: str
    message_id: str = ""  # "" while it is on its way
    shown_revision: int = -1
    posted_at: datetime | None = None
    updated_at: datetime | None = None
    anew: int = Field(default=0, sa_column_kwargs={"server_default": "0"})  # how often after somebody deleted it


class OutboxRow(SQLModel, table=True):
    """A message that must go out; written in the transaction of what it tells. Rendered when it is sent.

    ``dedupe`` makes the same wish one row: a second "refresh this card" while the first waits changes nothing.
    """

    __tablename__ = "outbox"
    __table_args__ = (
        Index("ix_outbox_due", "state", "not_before"),
        Index("uq_outbox_dedupe", "dedupe", unique=True, sqlite_where=text("state = 'queued'"),
              postgresql_where=text("state = 'queued'")),
    )  # fmt: skip

    id: str = Field(primary_key=True)
    seq: int = Field(index=True)  # order inside a channel
    platform: str
    channel: str
    kind: str  # card | digest | thread | direct
    subject: str
    payload: str = Field(default="{}", sa_type=Text)
    dedupe: str
    state: str = "queued"  # queued | sending | sent | dead
    attempts: int = 0
    not_before: datetime
    leased_by: str = ""
    leased_until: datetime | None = None
    created_at: datetime
    sent_at: datetime | None = None
    error: str = ""


class ClickRow(SQLModel, table=True):
    """The journal: a click or command that may have an effect, stored before it is acknowledged."""

    __tablename__ = "clicks"

    id: str = Field(primary_key=True)  # the platform's own identity of this interaction
    platform: str
    kind: str
    principal_id: str = ""
    identity: str = ""
    payload: str = Field(sa_type=Text)
    received_at: datetime
    state: str = "received"  # received | done | refused | failed
    outcome: str = ""
    done_at: datetime | None = None


class PlanRow(SQLModel, table=True):
    __tablename__ = "plans"
    __table_args__ = (Index("ix_plans_cause", "cause_id", "created_at"),)

    id: str = Field(primary_key=True)
    hash: str
    kind: str
    playbook: str
    cause_id: str
    undoes: str | None = None
    body: str = Field(sa_type=Text)  # Plan as canonical JSON
    created_at: datetime
    expires_at: datetime


class RequestRow(SQLModel, table=True):
    __tablename__ = "approval_requests"
    __table_args__ = (
        Index("ix_requests_state", "state", "expires_at"),
        # At most one request waits per cause and kind of plan.
        Index("uq_requests_pending", "cause_id", unique=True, sqlite_where=text("state = 'pending'"),
              postgresql_where=text("state = 'pending'")),
    )  # fmt: skip

    id: str = Field(primary_key=True)
    cause_id: str
    plan_id: str
    plan_hash: str
    fingerprint: str
    policy_version: str
    rule: str = Field(sa_type=Text)  # ApprovalRule as JSON
    requested_by: str
    requested_at: datetime
    expires_at: datetime
    state: str = "pending"
    revision: int = 0
    reason: str = ""
    decided_at: datetime | None = None


class VoteRow(SQLModel, table=True):
    __tablename__ = "votes"
    __table_args__ = (
        Index("uq_votes_live", "request_id", "principal_id", unique=True, sqlite_where=text("withdrawn_at IS NULL"),
              postgresql_where=text("withdrawn_at IS NULL")),
    )  # fmt: skip

    id: str = Field(primary_key=True)
    request_id: str
    plan_hash: str
    principal_id: str
    platform: str
    identity: str = ""  # PlatformIdentity as JSON, to look the person up again at execution
    choice: str
    reason: str = ""
    at: datetime
    withdrawn_at: datetime | None = None
    stands_for: str = ""  # the principal in whose stead it was cast; "" for one's own
    delegation_id: str = ""


class DecisionRow(SQLModel, table=True):
    __tablename__ = "decisions"

    id: str = Field(primary_key=True)
    request_id: str = Field(unique=True)
    plan_id: str
    covers: str  # plan hash
    outcome: str
    decided_at: datetime
    decided_by: str = Field(sa_type=Text)  # JSON array of principal ids
    reason: str = ""
    policy_version: str


class ExecutionRow(SQLModel, table=True):
    __tablename__ = "executions"
    __table_args__ = (Index("ix_executions_state", "state"), Index("ix_executions_cause", "cause_id"))

    id: str = Field(primary_key=True)
    decision_id: str = Field(unique=True)  # exactly one execution per decision
    plan_id: str
    cause_id: str
    kind: str
    state: str = "queued"
    why: str = ""
    fence: int = 0  # rises with every claim; a step of an older fence is refused
    leased_by: str = ""
    leased_until: datetime | None = None
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    post_image: str = Field(default="{}", sa_type=Text)  # target uid -> state after, for undo
    undone_by: str | None = None  # the execution that took this one back


class StepRow(SQLModel, table=True):
    """One external change: written before the call (intended) and after it."""

    __tablename__ = "steps"
    __table_args__ = (UniqueConstraint("execution_id", "position"),)

    id: str = Field(primary_key=True)  # also the idempotency key of the call
    execution_id: str
    position: int
    summary: str
    call: str = Field(sa_type=Text)
    state: str
    error: str = ""
    result: str = Field(default="{}", sa_type=Text)
    fence: int = 0
    attempts: int = 0
    intended_at: datetime
    done_at: datetime | None = None


class ExceptionRow(SQLModel, table=True):
    """Accepted risk: who, why, until when. Expires by itself."""

    __tablename__ = "exceptions"

    id: str = Field(primary_key=True)
    cause_id: str = Field(index=True)
    by: str
    reason: str
    at: datetime
    until: datetime
    ended_at: datetime | None = None


class PrincipalRow(SQLModel, table=True):
    __tablename__ = "principals"

    id: str = Field(primary_key=True)
    name: str
    email: str = ""
    team: str | None = None
    role: str = ""
    groups: str = Field(default="[]", sa_type=Text)
    active: bool = True
    locale: str = "en"
    tz: str = "UTC"
    changed_at: datetime


class IdentityRow(SQLModel, table=True):
    """A platform's immutable user id, bound to one principal."""

    __tablename__ = "identities"

    platform: str = Field(primary_key=True)
    tenant: str = Field(primary_key=True)
    user: str = Field(primary_key=True)
    principal_id: str = Field(index=True)
    proof: str  # settings | first-sight | admin
    bound_at: datetime


class SourceRow(SQLModel, table=True):
    """Where a source stands: its cursor moves only in the transaction that stores the page."""

    __tablename__ = "sources"

    name: str = Field(primary_key=True)
    cursor: str = Field(default="null", sa_type=Text)
    last_ok_at: datetime | None = None
    failing_since: datetime | None = None
    error: str = ""
    newest_data_at: datetime | None = None
    run_id: str = ""
    leased_by: str = ""
    leased_until: datetime | None = None


class PollRow(SQLModel, table=True):
    """One run over a source: what came in. "Last seen" of an unchanged finding is here."""

    __tablename__ = "polls"
    __table_args__ = (Index("ix_polls_source", "source", "started_at"),)

    id: str = Field(primary_key=True)
    source: str
    started_at: datetime
    finished_at: datetime | None = None
    complete: bool = False
    received: int = 0
    created: int = 0
    changed: int = 0
    unchanged: int = 0
    resolved: int = 0
    reopened: int = 0
    rejected: int = 0
    note: str = ""


class RejectRow(SQLModel, table=True):
    """What could not be understood: kept aside, counted, never dropped."""

    __tablename__ = "rejects"

    id: str = Field(primary_key=True)
    source: str
    poll_id: str
    place: str
    why: str
    excerpt: bytes = Field(sa_type=LargeBinary)  # at most 64 KiB of it
    at: datetime


class LedgerRow(SQLModel, table=True):
    """Append-only and hash-chained: hash = SHA-256 over (seq, at, kind, subject, actor, body, prev)."""

    __tablename__ = "ledger"
    __table_args__ = (Index("ix_ledger_subject", "subject", "seq"), Index("ix_ledger_kind", "kind", "seq"))

    seq: int = Field(primary_key=True)
    at: str  # RFC 3339 text: exactly what was hashed
    kind: str
    subject: str
    actor: str
    body: str = Field(sa_type=Text)
    prev: str
    hash: str


class LedgerNodeRow(SQLModel, table=True):
    """An inner node of the tree over the ledger, written by the record that completed it: the subtree over the
    ``2 ** level`` records that end with ``seq``."""

    __tablename__ = "ledger_nodes"

    seq: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    level: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    hash: str


class CheckpointRow(SQLModel, table=True):
    """What the ledger was at some moment: the witness inside; the same stands in a file and in channels."""

    __tablename__ = "ledger_checkpoints"

    size: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    origin: str
    root: str
    at: str  # RFC 3339 text, as published


class StreamRow(SQLModel, table=True):
    """How far a SIEM has the ledger: moves only after it took the events."""

    __tablename__ = "ledger_streams"

    sink: str = Field(primary_key=True)
    seq: int = 0  # the last record that arrived
    updated_at: datetime
    failing_since: datetime | None = None
    error: str = ""
    leased_by: str = ""
    leased_until: datetime | None = None


class ReplicaRow(SQLModel, table=True):
    """A running process: alive while it beats (database time) under its number, which only grows."""

    __tablename__ = "replicas"

    name: str = Field(primary_key=True)
    fence: int
    state: str  # alive | dead | stopped
    started_ms: int = Field(sa_type=BigInteger)
    beat_ms: int = Field(sa_type=BigInteger)


class FreezeRow(SQLModel, table=True):
    """Changes stop in this scope until somebody ends it."""

    __tablename__ = "freezes"

    id: str = Field(primary_key=True)
    kind: str  # all | env | account
    value: str = ""  # the environment or account; "" for all
    by: str
    reason: str
    at: datetime
    ended_at: datetime | None = None
    ended_by: str = ""


class DelegationRow(SQLModel, table=True):
    """One person lets another vote in their stead, within a scope, until a date."""

    __tablename__ = "delegations"

    id: str = Field(primary_key=True)
    from_id: str
    from_identity: str  # PlatformIdentity as JSON, to look the person up again
    to_id: str = Field(index=True)
    playbooks: str = "[]"  # JSON arrays of patterns; empty: any
    environments: str = "[]"
    accounts: str = "[]"
    reason: str
    at: datetime
    until: datetime
    ended_at: datetime | None = None


class BreakGlassRow(SQLModel, table=True):
    """An execution let through by one person in an emergency; open until another person has reviewed it."""

    __tablename__ = "break_glass"

    id: str = Field(primary_key=True)
    request_id: str = Field(unique=True)
    cause_id: str
    by: str
    identity: str  # PlatformIdentity as JSON
    reason: str
    at: datetime
    until: datetime
    asked_at: datetime  # when a review was last asked for
    reviewed_by: str = ""
    reviewed_at: datetime | None = None
    review: str = ""


metadata = SQLModel.metadata
