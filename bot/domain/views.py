"""What a person is shown, platform-neutral: the engine fills these, ``cards`` turns them into messages.

Rules
- Plain facts only: no markup, no platform's syntax. Text from outside is raw here; the renderer escapes it.
- ``PersonRef.identities`` lets a renderer mention the person on its own platform; the name is for everywhere else.
"""

from __future__ import annotations

import zlib
from datetime import datetime
from enum import StrEnum

from pydantic import BaseModel, ConfigDict

from .decisions import ApprovalRule, Choice, ExecutionState, RequestState, StepState
from .findings import Finding, Severity, Status
from .plans import Plan, PlanKind
from .principals import PlatformIdentity
from .silence import AttentionView
from .triage import Evidence, Priority, Ssvc, Verdict


class _View(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PersonRef(_View):
    id: str  # principal id; "gatehouse" is the bot itself
    name: str
    identities: tuple[PlatformIdentity, ...] = ()


class Stage(StrEnum):
    """Where a cause stands in its whole life: decides what the card says and which buttons it has."""

    OPEN = "open"
    WAITING = "waiting"  # a request waits for votes
    RUNNING = "running"  # approved; queued, running or verifying
    FIXED = "fixed"  # applied and verified by an independent read
    UNVERIFIED = "unverified"  # applied, the read does not agree
    FAILED = "failed"
    BLOCKED = "blocked"  # approved, refused at the moment of execution
    UNDONE = "undone"
    SNOOZED = "snoozed"
    EXCEPTED = "excepted"
    SILENCED = "silenced"  # all of it is hidden, by a suppression rule or by the source
    RESOLVED = "resolved"  # the source no longer reports it, or a person closed it there


class ResourceLine(_View):
    uid: str
    name: str
    type: str
    region: str = ""
    console_url: str = ""


class VoteLine(_View):
    who: PersonRef
    choice: Choice
    reason: str
    at: datetime
    instead_of: PersonRef | None = None  # in whose stead it was cast


class GlassView(_View):
    """A glass that one person broke: open until another has reviewed it."""

    id: str
    cause_id: str
    cause_title: str
    plan_title: str
    by: PersonRef
    reason: str
    at: datetime
    until: datetime  # the execution had to begin each step before
    due: datetime  # of the review
    overdue: bool = False
    outcome: ExecutionState | None = None
    reviewed_by: PersonRef | None = None
    reviewed_at: datetime | None = None
    justified: bool | None = None
    comment: str = ""

    @property
    def revision(self) -> int:
        """Not a counter: the same content has the same revision."""
        return zlib.crc32(self.model_dump_json().encode()) & 0x7FFF_FFFF


class GlassOffer(_View):
    """The person who looks may break the glass over this plan."""

    word: str  # to be typed
    minutes: int
    review_hours: int


class RequestView(_View):
    id: str
    cause_id: str
    cause_title: str
    plan_id: str
    plan_hash: str
    plan_title: str
    kind: PlanKind
    state: RequestState
    rule: ApprovalRule
    revision: int
    requested_by: PersonRef
    requested_at: datetime
    expires_at: datetime
    votes: tuple[VoteLine, ...] = ()
    could: tuple[str, ...] = ()  # who may decide, in words: "members of cloud-approvers", "Bob Brown"
    reason: str = ""
    decided_at: datetime | None = None
    glass: GlassView | None = None  # one person decided alone, in an emergency

    @property
    def missing(self) -> int:
        """Approvals still needed."""
        approvals = {(v.instead_of or v.who).id for v in self.votes if v.choice is Choice.APPROVE}
        return max(0, self.rule.quorum - len(approvals))


class StandingRef(_View):
    """The standing approval something was done under."""

    id: str
    by: tuple[PersonRef, ...]
    scope: str  # in words: "env=dev"
    until: datetime


class StepLine(_View):
    position: int
    summary: str
    state: StepState
    error: str = ""


class ExecutionView(_View):
    id: str
    kind: PlanKind
    state: ExecutionState
    why: str = ""
    decided_by: tuple[PersonRef, ...] = ()
    steps: tuple[StepLine, ...] = ()
    started_at: datetime | None = None
    finished_at: datetime | None = None
    can_undo: bool = False
    undo_note: str = ""
    standing: StandingRef | None = None  # nobody was asked: it was approved in advance


class HistoryLine(_View):
    at: datetime
    who: str
    what: str


class NarrativeView(_View):
    """Prose about a cause. ``model`` "" : a template wrote it, and ``why`` says why no model did."""

    risk: str
    root_cause: str
    exploitability: str
    steps: tuple[str, ...]
    duplicates: tuple[tuple[str, str], ...] = ()  # cause id and title
    model: str = ""
    call_id: str = ""
    why: str = ""
    at: datetime | None = None


class ModelCallView(_View):
    """One call of a model as it was made."""

    id: str
    at: datetime
    purpose: str
    subject: str
    model: str
    endpoint: str
    state: str
    why: str = ""
    messages: tuple[tuple[str, str], ...]  # role and text, exactly as they left
    output: str
    input_tokens: int
    output_tokens: int
    cost: str = ""  # "0.000210 USD"; "" where no price is set
    milliseconds: int = 0


class WitnessLine(_View):
    """One finding that tells of a problem."""

    finding_id: str
    source: str
    title: str
    open: bool
    severity: Severity


class IssueView(_View):
    """One problem on one resource that several findings tell of, and the rule (or the person) that joined them."""

    id: str
    resource: str
    why: str
    witnesses: tuple[WitnessLine, ...]  # the first few; count says how many there are
    count: int


class WitnessedView(_View):
    """What of a cause several findings tell of."""

    problems: int
    sources: tuple[str, ...]
    issues: tuple[IssueView, ...]  # the first few


class AgreementView(_View):
    """What the sources say of a fix of ours: who has yet to look, and who looked and disagrees."""

    waiting_for: tuple[str, ...] = ()
    contradicted_by: tuple[str, ...] = ()


class ContextLine(_View):
    """One fact about a resource as its cloud says it: created_by, changed_by, tags, exposed, last_used."""

    resource: str
    fact: str
    value: str
    why: str = ""
    source: str = ""
    as_of: datetime | None = None


class CauseView(_View):
    """Everything a card of a cause shows."""

    id: str
    revision: int
    stage: Stage
    title: str
    what: str  # one or two plain sentences: what was found, the first finding's own words
    risk: str = ""  # why it matters, the source's words
    priority: Priority
    decision: Ssvc
    severity: Severity
    reasons: tuple[Evidence, ...] = ()
    sources: tuple[str, ...] = ()
    rule_uid: str = ""
    owner: str = ""  # the owner's name, "" when nobody is known
    owner_reason: str = ""
    environment: str = "unknown"
    provider: str = ""
    account_uid: str = ""
    account_name: str = ""
    resources: tuple[ResourceLine, ...] = ()  # the first few; resource_count says how many there are
    resource_count: int = 0
    one_change: str = ""  # the module, image or organisation policy all of it comes from; "" where there is none
    alike_open: int = 0  # open findings of the same kind anywhere
    open_count: int = 0
    total_count: int = 0
    first_seen: datetime
    due: datetime | None = None
    playbook: str = ""
    playbook_title: str = ""
    no_fix: str = ""  # why nothing of ours can fix it
    remediation: str = ""  # the source's advice
    request: RequestView | None = None  # the latest one
    execution: ExecutionView | None = None  # the latest one
    console_url: str = ""
    source_url: str = ""
    snoozed_until: datetime | None = None
    snoozed_by: str = ""
    note: str = ""
    history: tuple[HistoryLine, ...] = ()
    narrative: NarrativeView | None = None
    witnessed: WitnessedView | None = None
    candidates: tuple[WitnessLine, ...] = ()  # of other sources on the same resource: a person may know better
    anchor: str = ""  # the finding that candidates are joined with
    agreement: AgreementView | None = None
    context: tuple[ContextLine, ...] = ()  # of the first few resources


class CauseLine(_View):
    id: str
    title: str
    priority: Priority
    owner: str
    where: str  # account and environment, in words
    open_count: int
    due: datetime | None = None
    stage: Stage = Stage.OPEN
    channel: str = ""
    fixable: bool = True  # a playbook of ours can fix it


class Option(StrEnum):
    """What the person who looks at a plan may press."""

    ASK = "ask"  # ask others to approve
    APPROVE = "approve"
    REJECT = "reject"
    CANCEL = "cancel"  # take back one's own request
    WITHDRAW = "withdraw"  # take back one's own vote


class CauseRights(_View):
    """What one person may do with a cause right now, as far as it can be said before they press."""

    cause_id: str
    revision: int
    may: tuple[Option, ...] = ()  # of the plan
    undo: bool = False  # ask for the undo or approve it
    pass_on: bool = False
    snooze: bool = False
    voted: Choice | None = None
    why_not: str = ""  # why they may not approve
    rule: str = ""
    could: tuple[str, ...] = ()


class OptionView(_View):
    option: Option
    allowed: bool
    why_not: str = ""  # reason, with who could
    rule: str = ""


class PlanView(_View):
    """A plan as shown to one person."""

    cause_id: str
    cause_title: str
    plan: Plan
    plan_hash: str
    rule: ApprovalRule
    could: tuple[str, ...] = ()
    expires_at: datetime
    request: RequestView | None = None
    options: tuple[OptionView, ...] = ()
    standing: StandingRef | None = None  # in force for fixes like this; for an undo: what the fix was made under
    standing_note: str = ""  # why it left this very one to people
    pre_approve: bool = False  # this person may approve the like in advance
    glass: GlassOffer | None = None

    def option(self, option: Option) -> OptionView:
        return next((o for o in self.options if o.option is option), OptionView(option=option, allowed=False))


class FactLine(_View):
    label: str
    value: str


class WhyView(_View):
    """Whether one person may approve one plan now, by which rule, over which facts, and who could."""

    title: str  # of the plan, or of the cause where there is no plan
    cause_id: str
    cause_title: str
    plan_id: str = ""
    request: RequestView | None = None  # the one that waits, or that was asked about
    allowed: bool
    reason: str
    rule: str = ""
    facts: tuple[FactLine, ...] = ()
    could: tuple[str, ...] = ()
    expires_at: datetime | None = None
    read_at: datetime  # when groups and account were read
    mend: str = ""


class DelegationLine(_View):
    id: str
    giver: PersonRef
    stand_in: PersonRef
    scope: str
    reason: str
    until: datetime
    can_revoke: bool = False  # the person who looks


class FindingLine(_View):
    id: str
    title: str
    severity: Severity
    priority: Priority
    status: Status
    resource: str
    where: str
    owner: str
    cause_id: str
    due: datetime | None = None


class FindingsView(_View):
    lines: tuple[FindingLine, ...]
    total: int
    filters: str = ""  # how the filters were read, in words
    offset: int = 0
    limit: int = 20


class FindingView(_View):
    id: str
    finding: Finding
    verdict: Verdict | None
    status: Status
    status_reason: str = ""
    owner: str = ""
    cause_id: str = ""
    cause_title: str = ""
    first_seen: datetime
    changed_at: datetime
    reopened: int = 0
    history: tuple[HistoryLine, ...] = ()


class DigestView(_View):
    """What a channel was spared: one message an interval, updated in place."""

    channel: str
    since: datetime
    until: datetime
    revision: int
    counts: tuple[tuple[Priority, int], ...]
    lines: tuple[CauseLine, ...]  # the most urgent; total says how many there are
    total: int


class SourceHealth(_View):
    name: str
    ok: bool
    said: str  # one sentence
    last_ok_at: datetime | None = None


class FeedView(_View):
    """How fresh a list of others is."""

    name: str  # kev | epss | nvd | aws
    title: str
    ok: bool
    stale: bool
    said: str
    as_of: datetime | None = None
    checked_at: datetime | None = None
    entries: int = 0


class RouteRuleLine(_View):
    """How often a rule of routing was wrong: "not mine" decisions of the causes it routed."""

    rule: str  # tag | rule | cmdb | catalog | codeowners | account | project | fallback
    routed: int
    passed_on: int

    @property
    def rate(self) -> float:
        return self.passed_on / self.routed if self.routed else 0.0


class StatusView(_View):
    at: datetime
    open_findings: tuple[tuple[Severity, int], ...]
    open_causes: tuple[tuple[Priority, int], ...]
    waiting_requests: int
    running: int
    held_in_digests: int
    outbox_waiting: int
    outbox_dead: int = 0  # could not be delivered, or nobody knows whether it was
    sources: tuple[SourceHealth, ...]
    ledger_records: int
    ledger_head: str
    glasses: tuple[GlassView, ...] = ()  # broken, and not reviewed yet
    model: str = ""  # what the model's part is doing, one sentence
    feeds: tuple[FeedView, ...] = ()  # what others say of CVEs, how fresh
    routes: tuple[RouteRuleLine, ...] = ()  # of the last 30 days
    attention: AttentionView | None = None


class HomeView(_View):
    person: PersonRef
    waiting: tuple[RequestView, ...]  # what waits for my approval
    asked: tuple[RequestView, ...]  # what I asked for
    mine: tuple[CauseLine, ...]
    mine_total: int
    status: StatusView


class Notice(_View):
    """A private sentence to one person: a refusal, a confirmation. ``mend`` says what to do next."""

    ok: bool
    said: str
    mend: str = ""
    rule: str = ""
    could: tuple[str, ...] = ()
    about: str = ""  # id of the request or plan that was refused: "Why can't I approve?" asks about it
