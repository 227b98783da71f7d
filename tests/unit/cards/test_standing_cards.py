"""Cards of standing approvals: what they say, the buttons they have, and that no text breaks a limit."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bot.domain.decisions import ExecutionState
from bot.domain.plans import PlanKind
from bot.domain.principals import Platform, PlatformIdentity
from bot.domain.standing import StandingApproval, StandingDraft, StandingScope, StandingState, StandingView
from bot.domain.views import ExecutionView, PersonRef, StandingRef
from bot.sandbox import strict
from cards import blockkit, build
from cards.causes import _execution_lines
from cards.lint import problems
from cards.standing import ANY, standing_line
from handlers.slack import standing as handler

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
ALICE = PersonRef(
    id="alice",
    name="Alice Anderson",
    identities=(PlatformIdentity(platform=Platform.SLACK, tenant="T01ACME", user="U01ALICE"),),
)
TEXTS = ("payments", "<!channel> & <@U0> *bold*", "é" * 4_000, "\n\n", "​`x`")


def draft(text: str = "payments", **more: Any) -> StandingDraft:
    base: dict[str, Any] = {
        "plan_id": "plan-1", "plan_hash": "a" * 64, "cause_id": "c-1", "cause_title": text, "playbook": "s3-block",
        "playbook_version": 1, "playbook_title": text, "danger": text, "undo_note": text, "environment": "dev",
        "account": "111122223333", "account_name": text, "owner": "payments", "owner_name": text,
        "tags": (("auto-remediate", "true"), ("env", "dev"), ("aws:stack", "x"), ("long", "v" * 200), ("a=b", "c")),
        "max_days": 90, "max_per_hour": 20, "max_resources": 3, "quorum": 1,
    }  # fmt: skip
    return StandingDraft(**(base | more))


def view(text: str = "because", **more: Any) -> StandingView:
    scope = StandingScope(environment="dev", tag_key="auto-remediate", tag_value="true")
    facts: dict[str, Any] = {
        "id": "sa-1", "playbook": "s3-block", "playbook_version": 1, "scope": scope, "cap": 2,
        "ends_at": NOW + timedelta(days=7), "created_by": "alice", "created_at": NOW, "reason": text,
        "policy_version": "p",
    }  # fmt: skip
    kept = {key: more.pop(key) for key in list(more) if key in StandingApproval.model_fields}
    standing = StandingApproval(**(facts | kept))
    base: dict[str, Any] = {
        "standing": standing, "hash": standing.hash, "playbook_title": text, "by": (ALICE,), "uses": 3,
        "uses_last_hour": 1, "last_use": NOW, "may_revoke": True,
    }  # fmt: skip
    return StandingView(**(base | more))


def selects(modal: dict[str, Any]) -> dict[str, list[str]]:
    return {
        block["block_id"]: [option["value"] for option in block["element"]["options"]]
        for block in modal["blocks"]
        if block["type"] == "input" and "options" in block["element"]
    }


@pytest.mark.parametrize("text", TEXTS)
def test_whatever_is_written_in_it_slack_takes_it(text):
    modal = handler.dialog(draft(text), "C1")
    assert problems(modal, "modal") == strict.view_problems(modal) == []
    for card in (build.standing_card(view(text)), build.standings_card(tuple(view(text) for _ in range(40)))):
        message = blockkit.message(card)
        assert problems(message, "message") == strict.message_problems(message["text"], message["blocks"]) == []
        assert "<!channel>" not in json.dumps(message)


def test_the_dialog_offers_the_plans_own_place_or_any_and_the_settings_bounds():
    offered = selects(handler.dialog(draft(max_days=45, max_per_hour=7), "C1"))
    assert offered["environment"] == ["dev", ANY]
    assert offered["account"] == ["111122223333", ANY]
    assert offered["tag"] == [ANY, "auto-remediate=true", "env=dev"]  # only what can be told apart again
    assert offered["cap"] == ["1", "2", "5"]
    assert offered["days"] == ["7", "30"]


def test_what_is_not_known_is_not_offered():
    offered = selects(handler.dialog(draft(environment="", owner="", tags=()), "C1"))
    assert set(offered) == {"account", "cap", "days"}


@pytest.mark.parametrize(
    ("given", "wrong"),
    [
        ({}, {"environment"}),
        ({"environment": "dev"}, set()),
        ({"tag": "a=b"}, set()),
        ({"environment": "dev", "cap": "many"}, {"cap"}),
        ({"environment": "dev", "days": "٣"}, {"days"}),
        ({"environment": "dev", "reason": ""}, {"reason"}),
    ],
)
def test_what_comes_back_is_checked(given, wrong):
    whole = {"environment": ANY, "account": ANY, "owner": ANY, "tag": ANY, "cap": "1", "days": "7", "reason": "x"}
    assert set(handler.check(whole | given)) == wrong


def test_buttons_are_what_this_person_may_press():
    def verbs(made: StandingView) -> list[str]:
        blocks = blockkit.message(build.standings_card((made,)))["blocks"]
        return [e["action_id"] for b in blocks if b["type"] == "actions" for e in b["elements"]]

    assert [verb.split(".")[1] for verb in verbs(view())] == ["standing_revoke"]
    assert verbs(view(may_revoke=False)) == []
    waiting = view(state=StandingState.PROPOSED, quorum=2, may_confirm=True)
    assert [verb.split(".")[1] for verb in verbs(waiting)] == ["standing_confirm", "standing_revoke"]
    assert "1 grant missing" in json.dumps(blockkit.message(build.standings_card((waiting,))))


def test_a_suspended_one_says_why():
    said = json.dumps(blockkit.message(build.standing_card(view(state=StandingState.SUSPENDED, state_why="it glows"))))
    assert "Suspended" in said
    assert "it glows" in said


def test_the_execution_of_a_cause_names_it_and_who_granted_it():
    ref = StandingRef(id="sa-1", by=(ALICE,), scope="env=dev", until=NOW)
    line = standing_line(ref)
    assert line[0] == "📌 Fixed under standing approval "
    done = ExecutionView(id="e", kind=PlanKind.FIX, state=ExecutionState.SUCCEEDED, standing=ref)
    assert line in _execution_lines(done)
    running = done.model_copy(update={"state": ExecutionState.RUNNING})
    assert any(each[0] == "📌 Under standing approval " for each in _execution_lines(running))
