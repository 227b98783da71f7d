"""Cards: what they say at each stage, and that no text whatever breaks a limit or mentions anybody."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from slack_sdk.models.blocks import Block
from slack_sdk.models.views import View

from bot.domain.decisions import ApprovalRule, Choice, ExecutionState, RequestState, StepState
from bot.domain.findings import Account, Finding, Resource, Severity, Status
from bot.domain.plans import BlastRadius, Call, Change, Plan, PlanKind, Reversibility, Risk, Target
from bot.domain.principals import Platform, PlatformIdentity
from bot.domain.triage import Evidence, Priority, Ssvc, Verdict
from bot.domain.views import (
    CauseLine,
    CauseView,
    DigestView,
    ExecutionView,
    FindingLine,
    FindingsView,
    FindingView,
    HistoryLine,
    HomeView,
    Notice,
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
)
from bot.sandbox import strict
from cards import blockkit, build
from cards.causes import cause_buttons, cause_summary
from cards.lint import problems
from cards.model import Ask, Button, Buttons, Card, Choose, OptionItem, Section

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
ALICE = PersonRef(
    id="alice",
    name="Alice Anderson",
    identities=(PlatformIdentity(platform=Platform.SLACK, tenant="T01ACME", user="U01ALICE"),),
)
BOB = PersonRef(id="bob", name="Bob Brown")
RULE = ApprovalRule(name="prod-two", groups=("cloud-approvers",))


def request(text: str = "acme", **more: Any) -> RequestView:
    base: dict[str, Any] = {
        "id": "req-1",
        "cause_id": "c-1",
        "cause_title": text,
        "plan_id": "plan-1",
        "plan_hash": "h" * 64,
        "plan_title": text,
        "kind": PlanKind.FIX,
        "state": RequestState.PENDING,
        "rule": RULE,
        "revision": 3,
        "requested_by": ALICE,
        "requested_at": NOW,
        "expires_at": NOW + timedelta(hours=4),
        "could": (text,),
        "reason": text,
        "votes": (VoteLine(who=PersonRef(id="x", name=text), choice=Choice.APPROVE, reason=text, at=NOW),),
    }
    return RequestView(**(base | more))


def execution(text: str = "acme", **more: Any) -> ExecutionView:
    base: dict[str, Any] = {
        "id": "exe-1",
        "kind": PlanKind.FIX,
        "state": ExecutionState.SUCCEEDED,
        "why": text,
        "decided_by": (BOB,),
        "steps": (StepLine(position=0, summary=text, state=StepState.DONE, error=text),),
        "finished_at": NOW,
        "can_undo": True,
        "undo_note": text,
    }
    return ExecutionView(**(base | more))


def cause(text: str = "acme", stage: Stage = Stage.OPEN, **more: Any) -> CauseView:
    base: dict[str, Any] = {
        "id": "c-1",
        "revision": 7,
        "stage": stage,
        "title": text,
        "what": text,
        "risk": text,
        "priority": Priority.P1,
        "decision": Ssvc.ACT,
        "severity": Severity.CRITICAL,
        "reasons": (Evidence(input="exposure", value="open", fact=text, source=text),),
        "sources": (text,),
        "rule_uid": text,
        "owner": text,
        "owner_reason": text,
        "environment": text,
        "provider": "aws",
        "account_uid": text,
        "account_name": text,
        "resources": (ResourceLine(uid=text, name=text, type=text, region=text),),
        "resource_count": 5,
        "open_count": 4,
        "total_count": 5,
        "first_seen": NOW,
        "due": NOW,
        "playbook": "s3",
        "playbook_title": text,
        "remediation": text,
        "console_url": "https://console.example.com/x",
        "source_url": text,
        "note": text,
        "history": (HistoryLine(at=NOW, who=text, what=text),),
    }
    return CauseView(**(base | more))


def plan_view(text: str = "acme", *options: OptionView, rule: ApprovalRule = RULE, changes: int = 1) -> PlanView:
    target = Target(provider="aws", account="111122223333", region="eu-west-1", kind="s3_bucket", uid=text, name=text)
    call = Call(
        provider="aws",
        account="111122223333",
        region="eu-west-1",
        service="s3",
        operation="put_public_access_block",
        params={},
    )
    change = Change(
        summary=text,
        target=target,
        before={"BlockPublicAcls": None, text: text},
        after={"BlockPublicAcls": True, text: 1},
        call=call,
    )
    plan = Plan(
        id="plan-1",
        kind=PlanKind.FIX,
        playbook="s3",
        playbook_version=1,
        title=text,
        cause_id="c-1",
        finding_ids=("f-1",),
        targets=(target,),
        changes=(change,) * changes,
        fingerprint="f",
        pre_image={},
        blast_radius=BlastRadius(resources=3, accounts=1, summary=text, warnings=(text,)),
        reversibility=Reversibility.EXACT,
        undo_note=text,
        risk=Risk.HIGH,
        environment=text,
        created_at=NOW,
        expires_at=NOW,
    )
    return PlanView(
        cause_id="c-1",
        cause_title=text,
        plan=plan,
        plan_hash="h" * 64,
        rule=rule,
        could=(text,),
        expires_at=NOW,
        request=request(text),
        options=options,
    )


def status(text: str = "acme") -> StatusView:
    return StatusView(
        at=NOW,
        open_findings=((Severity.CRITICAL, 3),),
        open_causes=((Priority.P1, 2),),
        waiting_requests=1,
        running=0,
        held_in_digests=4,
        outbox_waiting=0,
        sources=(SourceHealth(name=text, ok=False, said=text, last_ok_at=NOW),),
        ledger_records=9,
        ledger_head=text,
    )


def cause_line(text: str = "acme") -> CauseLine:
    return CauseLine(id="c-1", title=text, priority=Priority.P2, owner=text, where=text, open_count=2, due=NOW)


def finding_view(text: str = "acme") -> FindingView:
    finding = Finding(
        source="prowler",
        uid="u",
        title=text,
        desc=text,
        severity=Severity.HIGH,
        resource=Resource(uid=text, name=text, region=text),
        account=Account(uid=text, name=text, provider=text),
        risk=text,
        remediation=text,
        url=text,
        console_url=text,
        product=text,
    )
    verdict = Verdict(
        decision=Ssvc.ATTEND,
        priority=Priority.P2,
        due=NOW,
        table="t",
        reasons=(Evidence(input="a", value="b", fact=text, source=text),),
    )
    return FindingView(
        id="f-1",
        finding=finding,
        verdict=verdict,
        status=Status.REOPENED,
        status_reason=text,
        owner=text,
        cause_id="c-1",
        cause_title=text,
        first_seen=NOW,
        changed_at=NOW,
        reopened=2,
        history=(HistoryLine(at=NOW, who=text, what=text),),
    )


ALL_OPTIONS = (
    OptionView(option=Option.ASK, allowed=False, why_not="asked already", rule="one"),
    OptionView(option=Option.APPROVE, allowed=True),
    OptionView(option=Option.REJECT, allowed=True),
)


def every_payload(text: str) -> list[tuple[str, dict[str, Any]]]:
    line = FindingLine(
        id="f-1",
        title=text,
        severity=Severity.LOW,
        priority=Priority.P3,
        status=Status.OPEN,
        resource=text,
        where=text,
        owner=text,
        cause_id="c-1",
    )
    digest = DigestView(
        channel="C1",
        since=NOW,
        until=NOW,
        revision=1,
        counts=((Priority.P1, 3),),
        lines=(cause_line(text),) * 12,
        total=40,
    )
    home = HomeView(
        person=PersonRef(id="x", name=text),
        waiting=(request(text),) * 14,
        asked=(request(text),),
        mine=(cause_line(text),) * 9,
        mine_total=30,
        status=status(text),
    )
    made = [
        (
            "message",
            blockkit.message(
                build.cause_card(
                    cause(text, stage, request=request(text), execution=execution(text), snoozed_until=NOW)
                )
            ),
        )
        for stage in Stage
    ]
    for card in (
        build.details_card(cause(text, request=request(text), execution=execution(text))),
        build.finding_card(finding_view(text)),
        build.findings_card(FindingsView(lines=(line,) * 20, total=90, filters=text)),
        build.digest_card(digest),
        build.status_card(status(text)),
        build.notice_card(Notice(ok=False, said=text, mend=text, rule=text, could=(text, text))),
        build.help_card(),
        build.thread_line(text),
        build.mine_card((cause_line(text),) * 11, 30),
    ):
        made.append(("message", blockkit.message(card)))
    two = ApprovalRule(name=text, typed_confirmation=True)
    modal = blockkit.modal(
        build.plan_card(plan_view(text, *ALL_OPTIONS, rule=two, changes=30)),
        callback_id="gh.review",
        submit="Send",
        title=text,
        private_metadata="{}",
    )
    return [*made, ("modal", modal), ("home", blockkit.home(build.home_card(home)))]


HOSTILE = [
    "<!channel> <@U01ALICE> <#C1> <https://evil.example|click> <!subteam^S1>",
    "</b>&amp;<!here",
    "\u202egnp.exe\u2066\u200f\u200b\x00\x1b[31m",
    "",
    " \n\t ",
    "*" * 5000,
    "`<!channel>`" * 400,
    "&" * 1_000_000,
    "x\n" * 5000,
    "\ud800lone",
    "𝕏" * 4000,
]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_text_breaks_no_limit_and_mentions_nobody(text: str) -> None:
    for surface, payload in every_payload(text):
        assert problems(payload, surface) == []  # type: ignore[arg-type]
        assert second_opinion(payload, surface) == []
        _mentions_only_known(payload)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.text(st.characters(codec=None), max_size=400) | st.text("<>!@#&|*_~`:\n\u202e Uabc", max_size=4000))
def test_any_unicode_mentions_nobody(text: str) -> None:
    """That Slack takes it: ``test_validators.py``."""
    for _, payload in every_payload(text):
        _mentions_only_known(payload)


def second_opinion(payload: dict[str, Any], surface: str) -> list[str]:
    """The sandbox's gate shares no code with the cards."""
    if surface == "message":
        return strict.message_problems(payload["text"], payload["blocks"])
    return strict.view_problems(payload)


def _mentions_only_known(payload: dict[str, Any]) -> None:
    said = json.dumps(payload, ensure_ascii=False)
    assert set(re.findall(r"<[@#!][^>]{0,40}|<https?:", said)) <= {"<@U01ALICE"} | set(
        re.findall(r"<!date\^[^>]{0,35}", said)
    )


def test_the_sdk_takes_every_block_unchanged() -> None:
    for surface, payload in every_payload("Bucket acme-invoices is public"):
        for block in payload["blocks"]:
            parsed = Block.parse(block)
            assert parsed is not None
            assert parsed.to_dict() == block
        if surface != "message":
            assert View(**payload).to_dict()["blocks"] == payload["blocks"]


def actions_of(stage: Stage, **more: Any) -> list[str]:
    return [b.action for b in cause_buttons(cause(stage=stage, **more))]


def test_buttons_follow_the_stage() -> None:
    assert actions_of(Stage.OPEN) == ["gh.review", "gh.not_mine", "gh.snooze", "gh.details", "gh.console"]
    assert actions_of(Stage.WAITING, request=request()) == ["gh.review", "gh.details", "gh.console"]
    assert actions_of(Stage.RUNNING) == ["gh.details", "gh.console"]
    assert actions_of(Stage.FIXED, execution=execution()) == ["gh.undo", "gh.details", "gh.console"]
    assert actions_of(Stage.FIXED, execution=execution(can_undo=False)) == ["gh.details", "gh.console"]
    assert actions_of(Stage.RESOLVED, console_url="") == ["gh.details"]


def test_a_cause_without_playbook_offers_no_review() -> None:
    assert "gh.review" not in actions_of(Stage.OPEN, playbook="", no_fix="no playbook for this rule")
    said = json.dumps(blockkit.message(build.cause_card(cause(playbook="", no_fix="no playbook for this rule"))))
    assert "no playbook for this rule" in said


def test_the_card_says_who_decided_and_with_what_result() -> None:
    said = json.dumps(
        blockkit.message(
            build.cause_card(
                cause(stage=Stage.FIXED, request=request(state=RequestState.APPROVED), execution=execution())
            )
        ),
        ensure_ascii=False,
    )
    assert "Asked to fix by <@U01ALICE>" in said
    assert "Approved by acme" in said
    assert "Applied and verified by an independent read" in said
    assert "decided by Bob Brown" in said


def test_a_missing_owner_is_said_with_its_reason() -> None:
    said = json.dumps(
        blockkit.message(build.cause_card(cause(owner="", owner_reason="no rule matches account 42"))),
        ensure_ascii=False,
    )
    assert "Nobody is known: no rule matches account 42" in said


def test_the_summary_reads_as_sentences() -> None:
    view = cause(
        "Bucket is public",
        account_name="prod",
        account_uid="42",
        environment="prod",
        owner="Payments",
        resource_count=2,
    )
    assert cause_summary(view) == (
        "P1, critical: Bucket is public. 2 resources in prod (42), prod. Owner: Payments. "
        "Please review the fix. It is due on 25 November 2026."
    )


def test_absent_is_shown_as_not_set_and_off_as_off() -> None:
    said = json.dumps(blockkit.modal(build.plan_card(plan_view()), callback_id="x"), ensure_ascii=False)
    assert "BlockPublicAcls: `not set` → `on`" in said


def test_nobody_who_may_do_nothing_gets_a_submit_but_reads_why_and_who_could() -> None:
    card = build.plan_card(
        plan_view(
            "Bob Brown",
            OptionView(option=Option.APPROVE, allowed=False, why_not="you are not an approver", rule="default-deny"),
        )
    )
    assert not any(isinstance(p, Choose | Ask) for p in card.body)
    said = json.dumps(blockkit.modal(card, callback_id="x"))
    assert "you are not an approver" in said
    assert "default-deny" in said
    assert "Who could: Bob Brown" in said


def test_typed_confirmation_only_where_the_rule_asks_for_it() -> None:
    def asks(rule: ApprovalRule) -> list[str]:
        return [p.id for p in build.plan_card(plan_view("x", *ALL_OPTIONS, rule=rule)).body if isinstance(p, Ask)]

    assert asks(RULE) == ["reason"]
    assert asks(ApprovalRule(name="two", typed_confirmation=True)) == ["reason", "confirm"]


def test_too_many_parts_are_cut_and_said() -> None:
    payload = blockkit.message(Card("t", "s.", body=(Section((("x",),)),) * 80))
    assert len(payload["blocks"]) == 50
    assert "more parts are not shown" in payload["blocks"][-1]["elements"][0]["text"]


def test_an_unsafe_link_is_no_button_and_doubles_stay_unique() -> None:
    urls = ["javascript:alert(1)", "https://user@evil.example", "https:///x", "https://ok.example/a b<c>"]
    card = Card(
        "t", "s.", body=(Buttons(tuple(Button("gh.console", "Open", url=u) for u in [*urls, "https://two.example"])),)
    )
    elements = blockkit.message(card)["blocks"][1]["elements"]
    assert [e["url"] for e in elements] == ["https://ok.example/a%20b%3Cc%3E", "https://two.example"]
    assert len({e["action_id"] for e in elements}) == 2


def test_lint_finds_what_the_sdk_misses() -> None:
    def message(*blocks: dict[str, Any], text: str = "x") -> list[str]:
        return problems({"text": text, "blocks": list(blocks)}, "message")

    button = {"type": "button", "action_id": "a", "text": {"type": "plain_text", "text": "x"}}
    mrkdwn = {"type": "mrkdwn", "text": "x", "verbatim": True}
    assert message({"type": "divider"}) == []
    assert message({"type": "actions", "elements": [button, button]})
    assert message({"type": "header", "text": mrkdwn})
    assert message({"type": "section", "fields": [{**mrkdwn, "text": "x" * 2001}]})
    assert message({"type": "section", "text": {**mrkdwn, "text": "<!channel>"}})
    assert message({"type": "section", "text": {**mrkdwn, "text": "a & b"}})
    assert message({"type": "section", "text": {**mrkdwn, "text": " "}})
    assert message({"type": "section", "text": {"type": "mrkdwn", "text": "http://x.example"}})
    assert message({"type": "alert", "text": mrkdwn})
    assert message({"type": "divider"}, text=" ")
    assert message({"type": "divider", "block_id": "b"}, {"type": "divider", "block_id": "b"})
    assert message(*[{"type": "divider"}] * 51)
    field = blockkit.modal(
        Card("t", "s", body=(Choose("c", "C", (OptionItem("1", "one"),)),)), callback_id="x", submit="Go"
    )
    assert problems(field, "modal") == []
    assert problems({k: v for k, v in field.items() if k != "submit"}, "modal")


def test_an_undo_that_waits_says_undo_and_still_shows_what_was_done() -> None:
    view = cause(stage=Stage.WAITING, request=request(kind=PlanKind.UNDO, votes=()), execution=execution(why=""))
    said = json.dumps(blockkit.message(build.cause_card(view)), ensure_ascii=False)
    assert "asked to undo it; 1 approval needed." in said
    assert "Review undo" in said
    assert "Applied and verified by an independent read" in said


def test_a_sources_markdown_neither_shows_as_stars_nor_formats_what_follows() -> None:
    card = Card("t", "s.", status=("Use **least** privilege: `a` and Action * only",))
    assert blockkit.message(card)["blocks"][1]["text"]["text"] == "Use least privilege: 'a' and Action ∗ only"


def test_before_anybody_asked_there_is_nothing_to_reject_and_reasons_are_said_once() -> None:
    why = "no policy lets you decide this"
    options = (
        OptionView(option=Option.ASK, allowed=True),
        OptionView(option=Option.APPROVE, allowed=False, why_not=why, rule="r"),
        OptionView(option=Option.REJECT, allowed=True),
        OptionView(option=Option.CANCEL, allowed=False, why_not="nobody has asked yet"),
    )
    unasked = plan_view("x", *options).model_copy(update={"request": None})
    assert build.choices(unasked) == (Option.ASK,)
    said = json.dumps(blockkit.modal(build.plan_card(unasked), callback_id="x", submit="Send"))
    assert said.count(why) == 1
    assert "nobody has asked yet" not in said
    assert build.choices(plan_view("x", *options)) == (Option.ASK, Option.REJECT)


def test_a_notice_says_who_could_once() -> None:
    def said(mend: str) -> str:
        notice = Notice(ok=False, said="No.", mend=mend, rule="r", could=("Bob Brown",))
        return json.dumps(blockkit.message(build.notice_card(notice))["blocks"])

    assert said("Ask Bob Brown.").count("Bob Brown") == 1
    assert "Who could: Bob Brown" in said("Try tomorrow.")


def test_a_list_offers_a_fix_only_where_there_is_one() -> None:
    line = CauseLine(id="c-1", title="t", priority=Priority.P2, owner="o", where="w", open_count=1)
    digest = DigestView(
        channel="slack:C1",
        since=NOW,
        until=NOW,
        revision=1,
        counts=((Priority.P2, 1),),
        lines=(line, line.model_copy(update={"id": "c-2", "fixable": False})),
        total=2,
    )
    blocks = blockkit.message(build.digest_card(digest))["blocks"]
    offered = [[e["action_id"] for e in block["elements"]] for block in blocks if block["type"] == "actions"]
    assert offered == [["gh.review", "gh.details"], ["gh.details"]]
