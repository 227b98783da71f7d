"""What is asked of one cause is answered from the views that cards show: only what they say, and nothing is done."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from bot.domain.decisions import ApprovalRule
from bot.domain.errors import CloudRefused
from bot.domain.plans import BlastRadius, Call, Change, Plan, PlanKind, Reversibility, Risk, Target
from bot.domain.principals import Actor, Platform, PlatformIdentity, Principal, Standing
from bot.domain.views import PlanView
from bot.reports.about import About, Told

from .conftest import NOW

ACTOR = Actor(
    principal=Principal(id="bob", name="Bob Brown"),
    identity=PlatformIdentity(platform=Platform.SLACK, tenant="T01", user="UBOB"),
    standing=Standing(active=True, guest=False, external=False, bot=False, checked_at=NOW),
)


class Looks:
    """Review fix, as far as a plan is looked at."""

    def __init__(self, changes: int = 1, fails: Exception | None = None) -> None:
        self.changes, self.fails, self.seen = changes, fails, list[str]()

    async def look(self, cause_id: str, actor: Actor) -> PlanView:
        self.seen.append(cause_id)
        if self.fails is not None:
            raise self.fails
        target = Target(provider="aws", account="111", region="", kind="s3_bucket", uid="arn:aws:s3:::b1")
        call = Call(provider="aws", account="111", region="", service="s3", operation="x", params={})
        change = Change(summary="Block public access on b1", target=target, before={}, after={}, call=call)
        plan = Plan(
            id="plan-9", kind=PlanKind.FIX, playbook="s3-block", playbook_version=1, title="Block public access",
            cause_id=cause_id, finding_ids=(), targets=(target,), changes=(change,) * self.changes, fingerprint="",
            pre_image={}, blast_radius=BlastRadius(resources=1, accounts=1, summary="1 bucket", warnings=("403s",)),
            reversibility=Reversibility.EXACT, risk=Risk.LOW, environment="prod", created_at=NOW, expires_at=NOW,
        )  # fmt: skip
        rule = ApprovalRule(name="prod", quorum=2)
        return PlanView(cause_id=cause_id, cause_title="x", plan=plan, plan_hash="h", rule=rule,
                        could=("members of cloud-approvers",), expires_at=NOW)  # fmt: skip


async def tell(world: Any, intent: Any, looks: Looks | None = None) -> Told:
    return await About(world.board, looks or Looks()).tell(intent, "c-1", ACTOR)


@pytest.fixture
def cause(world: Any) -> Any:
    world.cause()
    world.finding(1, priority=1)
    return world


async def test_why_names_the_facts_of_the_verdict_with_their_source(cause: Any) -> None:
    told = await tell(cause, "why")
    assert told.text.startswith("It is P1 (Act)")
    assert told.points == ("b1 is public (prowler, as of 2026-03-01)",)


async def test_explain_says_what_where_whose_and_why_it_matters(cause: Any) -> None:
    told = await tell(cause, "explain")
    assert told.text == "b1 answers the world"
    facts = {fact.label: fact.value for fact in told.facts}
    assert (facts["Where"], facts["Owner"], facts["Resources"]) == ("acme-prod, prod", "Payments", "b1")
    assert told.points[0] == "Why it matters: Data leaks."
    assert told.fixable


async def test_whose_it_is_and_until_when_come_from_the_card(cause: Any) -> None:
    assert (await tell(cause, "owner")).text.startswith("Payments owns it")
    told = await tell(cause, "due")
    view = await cause.board.cause("c-1")
    assert f"{view.first_seen:%Y-%m-%d}" in told.text
    assert (f"{view.due:%Y-%m-%d}" if view.due else "no date is set") in told.text


async def test_who_decided_names_who_asked_who_voted_and_what_came_of_it(cause: Any) -> None:
    assert "Nobody has decided anything here yet" in (await tell(cause, "who")).text
    cause.plan()
    cause.request()
    waiting = await tell(cause, "who")
    assert waiting.text == "Nobody has decided yet: 1 more needed."
    assert waiting.points[0].startswith("Alice Adams asked for it on 2026-03-01 12:00 UTC")
    assert "cloud-approvers" in waiting.facts[0].value or "Bob Brown" in waiting.facts[0].value
    cause.vote("bob")
    cause.execution("x-1", "succeeded")
    decided = await tell(cause, "who")
    assert decided.text == "Decided by Bob Brown; it came to: succeeded."
    assert any(point.startswith("Bob Brown voted approve") and point.endswith(": ok.") for point in decided.points)


async def test_how_to_fix_names_the_playbook_and_else_the_source_s_advice(world: Any) -> None:
    world.cause()
    world.finding(1)
    ours = await tell(world, "how_fix")
    assert "Gatehouse can fix it: Block public access" in ours.text
    assert (ours.fixable, ours.points) == (True, ("Block it.",))
    world.cause("c-2", playbook="")
    world.finding(2, cause_id="c-2")
    by_hand = await About(world.board, Looks()).tell("how_fix", "c-2", ACTOR)
    assert by_hand.text.startswith("It has to be fixed by hand.")
    assert not by_hand.fixable
    assert [(f.label, f.value) for f in by_hand.facts] == [("Advice of the source", "Block it.")]


async def test_an_order_is_answered_with_the_way_and_looks_at_no_plan(cause: Any) -> None:
    looks = Looks()
    told = await tell(cause, "fix", looks)
    assert told.text.startswith("I change nothing by being asked.")
    assert told.fixable
    assert looks.seen == []


@pytest.mark.parametrize(("state", "said"), [("succeeded", "fixed and verified"), ("running", "being carried out now")])
async def test_what_is_decided_already_has_no_button(cause: Any, state: str, said: str) -> None:
    cause.plan()
    done = {} if state == "succeeded" else {"finished_at": None}
    cause.execution("x-1", state, created_at=NOW - timedelta(hours=1), **done)
    for intent in ("fix", "what_would"):
        looks = Looks()
        told = await tell(cause, intent, looks)
        assert said in told.text
        assert not told.fixable
        assert looks.seen == []


async def test_what_would_happen_is_the_plan_of_review_fix(cause: Any) -> None:
    told = await tell(cause, "what_would")
    assert told.text == (
        "If approved, 1 change would be made (Block public access). It can be undone exactly. 2 approvals are needed."
    )
    assert told.points == ("Block public access on b1", "403s")
    assert {f.label: f.value for f in told.facts}["Who may approve"] == "members of cloud-approvers"


async def test_a_plan_of_no_change_and_one_that_cannot_be_made_are_said(cause: Any) -> None:
    nothing = await tell(cause, "what_would", Looks(changes=0))
    assert "would change nothing" in nothing.text
    refused = await tell(cause, "what_would", Looks(fails=CloudRefused("AWS said no.", code="AccessDenied")))
    assert refused.text == "No plan can be made now: AWS said no."
    assert not refused.fixable
