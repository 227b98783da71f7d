"""Broken glass on cards: offered only where it may be, loud, with buttons until it is reviewed; no text harms."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from bot.domain.decisions import ExecutionState
from bot.domain.views import GlassOffer, GlassView, Stage
from cards import blockkit, build
from cards.lint import problems

from .test_cards import ALICE, ALL_OPTIONS, BOB, HOSTILE, NOW, cause, plan_view, request, second_opinion, status

OFFER = GlassOffer(word="BREAK GLASS", minutes=15, review_hours=24)


def glass(text: str = "data leaks", **more: Any) -> GlassView:
    given: dict[str, Any] = {
        "id": "glass-1", "cause_id": "c-1", "cause_title": text, "plan_title": text, "by": ALICE, "reason": text,
        "at": NOW, "until": NOW + timedelta(minutes=15), "due": NOW + timedelta(hours=24),
        "outcome": ExecutionState.SUCCEEDED,
    }  # fmt: skip
    return GlassView(**given | more)


def reviewed(text: str = "it was right", **more: Any) -> GlassView:
    return glass(text, reviewed_by=BOB, reviewed_at=NOW, justified=True, comment=text, **more)


def actions(payload: dict[str, Any]) -> list[str]:
    return [e["action_id"] for b in payload["blocks"] if b["type"] == "actions" for e in b["elements"]]


def test_the_plan_offers_it_only_to_whoever_may() -> None:
    view = plan_view("x", *ALL_OPTIONS)
    without = blockkit.modal(build.plan_card(view), callback_id="gh.review", submit="Send")
    assert not any(a.startswith("gh.glass") for a in actions(without))
    offered = view.model_copy(update={"glass": OFFER})
    modal = blockkit.modal(build.plan_card(offered), callback_id="gh.review", submit="Send")
    assert any(a.startswith("gh.glass") for a in actions(modal))
    assert problems(modal, "modal") == []


def test_the_form_says_what_is_skipped_and_asks_for_reason_and_words() -> None:
    view = plan_view("x", *ALL_OPTIONS)
    modal = blockkit.modal(build.glass_form_card(view, OFFER), callback_id="gh.glass", submit="Break it")
    assert [b["block_id"] for b in modal["blocks"] if b["type"] == "input"] == ["reason", "word"]
    said = json.dumps(modal)
    for words in ("without the", "15 minutes", "24 hours", "BREAK GLASS"):
        assert words in said


def test_the_message_is_loud_and_has_its_buttons_until_it_is_reviewed() -> None:
    payload = blockkit.message(build.glass_card(glass()))
    assert "broke the glass" in payload["text"]
    assert [a.rsplit(".", 1)[0] if a.count(".") > 1 else a for a in actions(payload)] == ["gh.glass_ok", "gh.glass_bad"]
    done = blockkit.message(build.glass_card(reviewed()))
    assert actions(done) == []
    assert "justified, said " in json.dumps(done, ensure_ascii=False)


def test_a_late_review_says_so() -> None:
    assert "overdue since" in json.dumps(blockkit.message(build.glass_card(glass(overdue=True))))


def test_the_cause_and_the_status_show_it() -> None:
    shown = blockkit.message(build.cause_card(cause("x", Stage.FIXED, request=request("x", glass=glass()))))
    assert json.dumps(shown).count("Glass broken by") == 1
    payload = blockkit.message(build.status_card(status("x").model_copy(update={"glasses": (glass(),) * 7})))
    assert "7 reviews open" in json.dumps(payload)
    assert "and 2 more" in json.dumps(payload)
    assert problems(payload, "message") == []


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_text_breaks_no_limit_and_mentions_nobody(text: str) -> None:
    view = plan_view(text, *ALL_OPTIONS).model_copy(update={"glass": OFFER})
    form = blockkit.modal(build.glass_form_card(view, OFFER), callback_id="gh.glass", submit="Break it")
    review = blockkit.modal(build.glass_review_card(glass(text), True), callback_id="gh.glass_review", submit="Send")
    lists = build.status_card(status(text).model_copy(update={"glasses": (glass(text), reviewed(text))}))
    made = [("message", blockkit.message(card)) for card in (build.glass_card(glass(text)), lists)]
    made += [("message", blockkit.message(build.glass_card(reviewed(text)))), ("modal", form), ("modal", review)]
    for surface, payload in made:
        assert problems(payload, surface) == []  # type: ignore[arg-type]
        assert second_opinion(payload, surface) == []
        assert "<!channel>" not in json.dumps(payload)
