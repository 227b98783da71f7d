"""The main cards as one case has them, for the pictures of docs/cards: a public bucket of the payments team, from the
first message to the undo, and what stands around it. Made by the builders from views; nothing here is drawn by hand."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from bot.domain.answers import AnswerView, Column, TableView
from bot.domain.decisions import ApprovalRule, Choice, ExecutionState, RequestState, StepState
from bot.domain.findings import Severity
from bot.domain.plans import BlastRadius, Call, Change, Plan, PlanKind, Reversibility, Risk, Target
from bot.domain.principals import Platform, PlatformIdentity
from bot.domain.silence import (
    AttentionView,
    DailyView,
    Preview,
    PromiseView,
    RuleState,
    RuleView,
    SilencedLine,
)
from bot.domain.standing import StandingApproval, StandingScope, StandingState, StandingView
from bot.domain.triage import Evidence, Priority, Ssvc
from bot.domain.views import (
    CauseLine,
    CauseRights,
    CauseView,
    DigestView,
    ExecutionView,
    FactLine,
    GlassOffer,
    GlassView,
    HomeView,
    IssueView,
    Option,
    OptionView,
    PersonRef,
    PlanView,
    RequestView,
    ResourceLine,
    SourceHealth,
    Stage,
    StatusView,
    StepLine,
    VoteLine,
    WhyView,
    WitnessedView,
    WitnessLine,
)
from cards import attention, build, rules
from cards.model import Button, Card

NOW = datetime(2026, 11, 25, 9, 30, tzinfo=UTC)
BUCKET = "acme-invoices-prod"
TITLE = "S3 bucket is readable by everyone on the internet"


def _person(name: str, user: str) -> PersonRef:
    slack = PlatformIdentity(platform=Platform.SLACK, tenant="T01ACME", user=user)
    return PersonRef(id=user.lower(), name=name, identities=(slack,))


OLIVIA, ALICE, BOB = (
    _person("Olivia Owens", "U01OLIVIA"),
    _person("Alice Anderson", "U02ALICE"),
    _person("Bob Brown", "U03BOB"),
)
RULE = ApprovalRule(name="prod-two", groups=("cloud-approvers",), quorum=2, typed_confirmation=True)
COULD = ("members of cloud-approvers",)


@dataclass(frozen=True, slots=True)
class Shown:
    name: str  # of the files
    what: str  # the caption
    card: Card
    teams: Card | None = None  # where Teams shows another one in the channel
    own: Card | None = None  # there, what one person sees instead
    submit: Button | None = None  # of a form
    dialog: str = ""  # its short name, where it is a dialog
    home: bool = False


def _cause(stage: Stage, **more: Any) -> CauseView:
    told = tuple(WitnessLine(finding_id=f"f-{n}", source=source, title=TITLE, open=True, severity=Severity.CRITICAL)
                 for n, source in enumerate(("wiz", "prowler", "security_hub")))  # fmt: skip
    issue = IssueView(id="i-1", resource=BUCKET, why="the same resource and the same kind of problem", witnesses=told,
                      count=3)  # fmt: skip
    given: dict[str, Any] = {
        "id": "c-7k2m9qz4w1xa", "revision": 3, "stage": stage, "title": TITLE,
        "what": f"The policy of {BUCKET} lets anybody read its objects, and Block Public Access is off.",
        "priority": Priority.P1, "decision": Ssvc.ACT, "severity": Severity.CRITICAL,
        "reasons": (
            Evidence(input="exposure", value="open", fact="reachable from the internet", source="policy of the bucket"),
            Evidence(input="data", value="yes", fact="holds customer data (tag data=customer)", source="tags"),
            Evidence(input="env", value="prod", fact="environment prod (tag env=prod)", source="tags"),
        ),
        "sources": ("wiz", "prowler", "security_hub"), "rule_uid": "s3_bucket_public_access", "owner": "Payments",
        "owner_reason": "tag owner=payments", "environment": "prod", "provider": "aws", "account_uid": "123456789012",
        "account_name": "acme-prod", "resources": (ResourceLine(uid=f"arn:aws:s3:::{BUCKET}", name=BUCKET,
                                                                type="AWS::S3::Bucket", region="eu-west-1"),),
        "resource_count": 1, "open_count": 3, "total_count": 3, "first_seen": NOW - timedelta(hours=1),
        "due": NOW + timedelta(days=3), "playbook": "s3-block-public-access",
        "playbook_title": "Block public access to an S3 bucket",
        "console_url": "https://s3.console.aws.amazon.com/s3/buckets/acme-invoices-prod",
        "witnessed": WitnessedView(problems=1, sources=("wiz", "prowler", "security_hub"), issues=(issue,)),
    }  # fmt: skip
    return CauseView(**(given | more))


def _request(*votes: VoteLine, **more: Any) -> RequestView:
    given: dict[str, Any] = {
        "id": "req-4t8n", "cause_id": "c-7k2m9qz4w1xa", "cause_title": TITLE, "plan_id": "plan-9f3c",
        "plan_hash": "3b1f9c04d2aa" * 5, "plan_title": "Block public access to an S3 bucket", "kind": PlanKind.FIX,
        "state": RequestState.PENDING, "rule": RULE, "revision": 2, "requested_by": OLIVIA,
        "requested_at": NOW + timedelta(minutes=5), "expires_at": NOW + timedelta(hours=4), "could": COULD,
        "reason": "invoices of customers are in it", "votes": votes,
    }  # fmt: skip
    return RequestView(**(given | more))


def _vote(who: PersonRef, minutes: int, reason: str = "", choice: Choice = Choice.APPROVE) -> VoteLine:
    return VoteLine(who=who, choice=choice, reason=reason, at=NOW + timedelta(minutes=minutes))


BOTH = (_vote(ALICE, 9, "plan read, nobody serves files from it"), _vote(BOB, 12))
STEP = f"Block public access to {BUCKET}"


def _run(state: ExecutionState, **more: Any) -> ExecutionView:
    given: dict[str, Any] = {
        "id": "exe-2b7d", "kind": PlanKind.FIX, "state": state, "why": "", "decided_by": (ALICE, BOB),
        "steps": (StepLine(position=0, summary=STEP, state=StepState.DONE),), "started_at": NOW + timedelta(minutes=12),
    }  # fmt: skip
    return ExecutionView(**(given | more))


def _plan() -> PlanView:
    where = {"provider": "aws", "account": "123456789012", "region": "eu-west-1"}
    target = Target(**where, kind="s3_bucket", uid=f"arn:aws:s3:::{BUCKET}", name=BUCKET)
    flags = ("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets")
    change = Change(
        summary=STEP, target=target, before=dict.fromkeys(flags), after=dict.fromkeys(flags, True),
        call=Call(**where, service="s3", operation="put_public_access_block", params={}),
    )  # fmt: skip
    radius = BlastRadius(
        resources=1, accounts=1, summary="1 bucket in 1 account",
        warnings=("3 objects were read by strangers in the last day; those reads will fail.",),
    )  # fmt: skip
    plan = Plan(
        id="plan-9f3c", kind=PlanKind.FIX, playbook="s3-block-public-access", playbook_version=1,
        title="Block public access to an S3 bucket", cause_id="c-7k2m9qz4w1xa", finding_ids=("f-1",),
        targets=(target,), changes=(change,), fingerprint="f", pre_image={}, blast_radius=radius,
        reversibility=Reversibility.EXACT, undo_note="", risk=Risk.MEDIUM, environment="prod", created_at=NOW,
        expires_at=NOW + timedelta(hours=4),
    )  # fmt: skip
    options = tuple(OptionView(option=option, allowed=True) for option in (Option.APPROVE, Option.REJECT))
    return PlanView(cause_id="c-7k2m9qz4w1xa", cause_title=TITLE, plan=plan, plan_hash="3b1f9c04d2aa" * 5, rule=RULE,
                    could=COULD, expires_at=NOW + timedelta(hours=4), request=_request(_vote(ALICE, 9)),
                    options=options)  # fmt: skip


def _lines() -> tuple[CauseLine, ...]:
    def line(n: int, priority: Priority, title: str, owner: str, findings: int, *, fixable: bool = True) -> CauseLine:
        return CauseLine(id=f"c-{n}", title=title, priority=priority, owner=owner, open_count=findings,
                         where="acme-prod (123456789012), prod", due=NOW + timedelta(days=3 * n),
                         fixable=fixable)  # fmt: skip

    return (
        line(1, Priority.P2, "Security group opens SSH to the internet", "Web", 4),
        line(2, Priority.P2, "Access key is older than 90 days", "Platform", 12, fixable=False),
        line(3, Priority.P3, "VPC has no flow logs", "Platform", 31),
    )


def _silenced() -> tuple[SilencedLine, ...]:
    return (
        SilencedLine(by="Rebuilt test machines", reason="gone within the hour", count=41, rule_id="sr-1"),
        SilencedLine(by="Wiz", reason="marked as resolved there", count=6, p1=1),
    )


def _status() -> StatusView:
    promise = PromiseView(minutes=5, days=30, posted=14, p50=21.0, p95=64.0, worst=170.0)
    doing = AttentionView(at=NOW, came=214, fixed=17, overdue=9, cards=6, held=11, silenced=_silenced(),
                          waits=(("cloud-approvers", 2),), owners=(("Payments", 6), ("Web", 3)),
                          promise=promise)  # fmt: skip
    return StatusView(
        at=NOW, open_findings=((Severity.CRITICAL, 12), (Severity.HIGH, 148), (Severity.MEDIUM, 611)),
        open_causes=((Priority.P1, 5), (Priority.P2, 38)), waiting_requests=2, running=0, held_in_digests=11,
        outbox_waiting=0, sources=(SourceHealth(name="wiz", ok=True, said="read 4 minutes ago", last_ok_at=NOW),
                                   SourceHealth(name="prowler", ok=False, said="no report since yesterday",
                                                last_ok_at=NOW - timedelta(days=1))),
        ledger_records=1204, ledger_head="9d41c7f0b6e2a815", attention=doing,
    )  # fmt: skip


def _answer() -> AnswerView:
    columns = (Column(name="team"), Column(name="critical", numeric=True), Column(name="high", numeric=True))
    rows = (("Payments", "6", "41"), ("Web", "3", "58"), ("Platform", "2", "37"), ("Data", "1", "12"))
    return AnswerView(
        id="ans-5c1e", status="answered", question="How many criticals and highs are open in prod, by team?",
        text="12 critical and 148 high findings are open in prod; Payments has the most criticals, 6.", as_of=NOW,
        how_read="open findings, severity critical or high, environment prod, counted by team and severity",
        facts=(FactLine(label="Scope", value="findings you may see: 3 accounts"),), points=(), nearest="",
        prompts=("Only those reachable from the internet", "The same a week ago"),
        table=TableView(columns=columns, rows=rows, total=4), cause_id="", cause_title="", fixable=False,
        checkable=True, note="",
    )  # fmt: skip


def _standing() -> StandingView:
    facts = StandingApproval(
        id="sa-6m0p", playbook="vpc-flow-logs", playbook_version=2,
        scope=StandingScope(environment="dev", tag_key="auto-remediate", tag_value="true"), cap=2,
        ends_at=NOW + timedelta(days=30), created_by="alice", created_at=NOW - timedelta(days=2),
        reason="flow logs cost little in dev and nobody depends on their absence", policy_version="p",
        quorum=2, state=StandingState.ACTIVE,
    )  # fmt: skip
    return StandingView(standing=facts, hash=facts.hash, playbook_title="Turn on flow logs of a VPC", by=(ALICE, BOB),
                        uses=5, uses_last_hour=1, last_use=NOW - timedelta(minutes=20), may_revoke=True)  # fmt: skip


def _rule() -> RuleView:
    preview = Preview(matched=44, hides=41, causes=3, of_open=771, last_week=38,
                      by_priority=((Priority.P1, 3), (Priority.P3, 41)))  # fmt: skip
    return RuleView(
        id="sr-8h2v", name="Rebuilt test machines", hash="a" * 64, origin="person", state=RuleState.MONITOR,
        about="environment test, rule ec2_instance_*", when="22:00 to 06:00 UTC",
        reason="they are gone within the hour",
        author="Olivia Owens", until=NOW + timedelta(days=14), quorum=1, preview=preview, may_activate=True,
        may_end=True, names=(),
    )  # fmt: skip


def _glass() -> GlassView:
    return GlassView(id="glass-3", cause_id="c-7k2m9qz4w1xa", cause_title=TITLE, by=ALICE,
                     plan_title=_plan().plan.title,
                     reason="files are being copied right now, Bob is on a plane", at=NOW,
                     until=NOW + timedelta(minutes=15), due=NOW + timedelta(hours=24),
                     outcome=ExecutionState.SUCCEEDED)  # fmt: skip


def _home() -> HomeView:
    return HomeView(person=BOB, waiting=(_request(_vote(ALICE, 9)),), asked=(), mine=_lines()[1:], mine_total=2,
                    status=_status())  # fmt: skip


def _why() -> WhyView:
    return WhyView(
        title="Block public access to an S3 bucket", cause_id="c-7k2m9qz4w1xa", cause_title=TITLE, plan_id="plan-9f3c",
        request=_request(_vote(ALICE, 9)), allowed=False, rule="prod-two", could=COULD,
        reason="the rule prod-two asks for a member of cloud-approvers, and you are in no group it names",
        facts=(FactLine(label="You", value="Nora Novak, member of the workspace, no groups"),
               FactLine(label="Environment", value="prod (tag env=prod)"),
               FactLine(label="Approvals", value="1 of 2; not by the person who asks"),
               FactLine(label="Freeze", value="none in force")),
        mend="Ask a member of cloud-approvers to approve, or the owner of that group to add you.",
        expires_at=NOW + timedelta(hours=4), read_at=NOW,
    )  # fmt: skip


def _daily() -> DailyView:
    days = tuple((f"2026-11-{11 + n}", new, fixed) for n, (new, fixed) in enumerate(
        ((12, 4), (9, 9), (22, 6), (3, 2), (1, 0), (18, 11), (14, 15), (30, 12), (11, 13), (8, 10), (2, 1), (0, 0),
         (25, 9), (17, 19))))  # fmt: skip
    return DailyView(
        channel="C1", day="Wednesday, 25 November", since=NOW - timedelta(days=1), until=NOW,
        new=((Priority.P1, 2), (Priority.P2, 6), (Priority.P3, 9)), fixed=19, open=771, overdue=9, held=11,
        waits=(("cloud-approvers", 2),), silenced=_silenced(), urgent=(("c-1", TITLE), ("c-2", _lines()[0].title)),
        days=days,
    )  # fmt: skip


def gallery() -> list[Shown]:
    send = Button("gh.send", "Send", "{}", "primary", spoken="Send my decision")
    done: dict[str, Any] = {"finished_at": NOW + timedelta(minutes=13)}
    fixed = _run(ExecutionState.SUCCEEDED, **done, can_undo=True,
                 undo_note="puts back the four settings as they were before")  # fmt: skip
    failed = _run(ExecutionState.FAILED, **done, steps=(
        StepLine(position=0, summary=STEP, state=StepState.FAILED,
                 error="AccessDenied: gatehouse-remediation may not call s3:PutBucketPublicAccessBlock"),
    ))  # fmt: skip
    undone = _run(ExecutionState.SUCCEEDED, **done, kind=PlanKind.UNDO, steps=(
        StepLine(position=0, summary=f"Put back the settings of {BUCKET}", state=StepState.DONE),
    ))  # fmt: skip
    approved = _request(*BOTH, state=RequestState.APPROVED)
    undo = approved.model_copy(update={"kind": PlanKind.UNDO, "reason": "the public price list was served from it"})
    digest = DigestView(channel="C1", since=NOW - timedelta(hours=1), until=NOW, revision=1,
                        counts=((Priority.P2, 2), (Priority.P3, 9)), lines=_lines(), total=11)  # fmt: skip

    def cause(name: str, what: str, view: CauseView, rights: CauseRights | None = None) -> Shown:
        own = build.personal_card(view, rights) if rights else None
        return Shown(name, what, build.cause_card(view), build.shared_card(view), own)

    owner = CauseRights(cause_id="c-7k2m9qz4w1xa", revision=3, may=(Option.ASK,), pass_on=True, snooze=True,
                        why_not="in prod nobody approves what they own alone", rule="prod-two",
                        could=COULD)  # fmt: skip
    approver = CauseRights(cause_id="c-7k2m9qz4w1xa", revision=3, may=(Option.APPROVE, Option.REJECT))
    return [
        cause("new", "A new P1", _cause(Stage.OPEN), owner),
        Shown("review", "The plan, and what this person may decide", build.plan_card(
            _plan().model_copy(update={"glass": GlassOffer(word="BREAK GLASS", minutes=15, review_hours=24)})),
            submit=send, dialog="Review fix"),
        cause("waiting", "One of two approvals is there", _cause(Stage.WAITING, request=_request(BOTH[0])), approver),
        cause("running", "Approved by two, running", _cause(
            Stage.RUNNING, request=approved, execution=_run(ExecutionState.VERIFYING))),
        cause("fixed", "Fixed, verified, and it can be undone", _cause(
            Stage.FIXED, request=approved, execution=fixed, open_count=0)),
        cause("failed", "The fix failed", _cause(Stage.FAILED, request=approved, execution=failed)),
        cause("undone", "Undone", _cause(Stage.UNDONE, request=undo, execution=undone)),
        cause("excepted", "Risk accepted at the source", _cause(
            Stage.EXCEPTED, note="Accepted in Wiz by jo@acme.example until 31 January: public price lists.")),
        cause("snoozed", "Snoozed", _cause(
            Stage.SNOOZED, snoozed_until=NOW + timedelta(days=7), snoozed_by="Olivia Owens",
            note="The bucket is emptied this week.")),
        Shown("why", "Why can't I approve?", build.why_card(_why())),
        Shown("digest", "What a channel was spared", build.digest_card(digest)),
        Shown("daily", "The daily message", attention.daily_card(_daily())),
        Shown("answer", "An answer with its table", build.answer_card(_answer())),
        Shown("home", "What waits for me", build.home_card(_home()), home=True),
        Shown("standing", "A standing approval", build.standing_card(_standing())),
        Shown("glass", "The glass was broken", build.glass_card(_glass())),
        Shown("rule", "A suppression rule that only watches", rules.rule_card(_rule())),
    ]  # fmt: skip
