"""Break-glass in Slack: from the review of a plan to the reviewed message."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest

from bot.domain.errors import Denied
from bot.domain.principals import Actor
from bot.domain.views import GlassOffer, GlassView, Option, OptionView, PersonRef, PlanView, RequestView

from .fakes import ALICE, CHANNEL, NOW, World, plan_view, request_view

ACTOR = "T01ACME/U01ALICE"
OFFER = GlassOffer(word="BREAK GLASS", minutes=15, review_hours=24)
META: dict[str, Any] = {"p": "plan-1", "h": "a" * 64, "v": 4, "ch": CHANNEL}


def glass_view() -> GlassView:
    return GlassView(
        id="glass-1", cause_id="c-1", cause_title="Public bucket", plan_title="Block", reason="it leaks", at=NOW,
        by=PersonRef(id="alice", name="Alice"), until=NOW, due=NOW + timedelta(hours=24),
    )  # fmt: skip


@dataclass
class Glass:
    """The engine's part, recorded."""

    calls: list[tuple[Any, ...]] = field(default_factory=list)
    denied: bool = False

    async def look_glass(self, plan_id: str, actor: Actor) -> PlanView:
        self._refuse()
        self.calls.append(("look", plan_id, actor.principal.id))
        made = plan_view(OptionView(option=Option.ASK, allowed=True), request=request_view())
        return made.model_copy(update={"glass": OFFER})

    async def break_glass(
        self, plan_id: str, plan_hash: str, revision: int, actor: Actor, reason: str, typed: str, *, click: str
    ) -> RequestView:
        self._refuse()
        assert click
        self.calls.append(("break", plan_id, plan_hash, revision, actor.principal.id, reason, typed))
        return request_view()

    async def require(self, glass_id: str, actor: Actor) -> GlassView:
        self._refuse()
        self.calls.append(("require", glass_id, actor.principal.id))
        return glass_view()

    async def review(self, glass_id: str, actor: Actor, *, justified: bool, comment: str) -> GlassView:
        self._refuse()
        self.calls.append(("review", glass_id, actor.principal.id, justified, comment))
        return glass_view()

    def _refuse(self) -> None:
        if self.denied:
            raise Denied("who broke the glass cannot review it", rule="four eyes", could=("Bob Brown",))


@pytest.fixture
def glass(world: World) -> Glass:
    made = Glass()
    services: Any = world.services
    services.glass, services.look_glass, services.break_glass = made, made.look_glass, made.break_glass
    return made


async def test_the_button_lies_in_the_review_and_opens_the_form_on_top(world: World, glass: Glass) -> None:
    offered = plan_view(OptionView(option=Option.ASK, allowed=True)).model_copy(update={"glass": OFFER})
    world.services.plan = offered
    await world.click("gh.review")
    view = world.slack.named("views.update")[0]["view"]
    [button] = [
        e
        for b in view["blocks"]
        if b["type"] == "actions"
        for e in b["elements"]
        if e["action_id"].startswith("gh.glass")
    ]
    body = {
        "type": "block_actions", "team": {"id": "T01ACME"}, "user": {"id": ALICE, "team_id": "T01ACME"},
        "trigger_id": "t.9", "container": {"type": "view", "view_id": "V7"}, "view": {"id": "V7", "type": "modal"},
        "actions": [{"type": "button", "action_id": button["action_id"], "block_id": "b", "value": button["value"],
                     "action_ts": "9.1"}],
    }  # fmt: skip
    await world.payload(body)
    assert len(world.slack.named("views.push")) == 1
    assert glass.calls == [("look", "plan-1", ACTOR)]
    form = world.slack.named("views.update")[-1]["view"]
    assert form["callback_id"] == "gh.glass"
    assert json.loads(form["private_metadata"]) | {"ch": CHANNEL} == META


async def test_reason_and_words_go_back_until_they_are_right(world: World, glass: Glass) -> None:
    for given, wrong in (
        ({"reason": "", "word": "BREAK GLASS"}, {"reason"}),
        ({"reason": "it leaks", "word": "break glass"}, {"word"}),
        ({"reason": "", "word": ""}, {"reason", "word"}),
    ):
        _, body = await world.submit("gh.glass", META, given)
        assert json.loads(body)["errors"].keys() == wrong
    assert glass.calls == []
    await world.submit("gh.glass", META, {"reason": "it leaks", "word": "BREAK GLASS"})
    assert glass.calls == [("break", "plan-1", "a" * 64, 4, ACTOR, "it leaks", "BREAK GLASS")]
    assert "The glass is broken" in world.private


async def test_delivered_again_it_is_broken_once(world: World, glass: Glass) -> None:
    for _ in range(2):
        await world.submit("gh.glass", META, {"reason": "it leaks", "word": "BREAK GLASS"})
    assert len(glass.calls) == 1


@pytest.mark.parametrize(("button", "verdict", "word"), [("gh.glass_ok", True, "yes"), ("gh.glass_bad", False, "no")])
async def test_a_review_is_a_button_and_a_comment(
    world: World, glass: Glass, button: str, verdict: bool, word: str
) -> None:
    await world.click(button, {"g": "glass-1"})
    view = world.slack.named("views.update")[0]["view"]
    metadata = json.loads(view["private_metadata"])
    assert (view["callback_id"], metadata["g"], metadata["j"]) == ("gh.glass_review", "glass-1", word)
    _, body = await world.submit("gh.glass_review", metadata, {"comment": " "})
    assert json.loads(body)["errors"].keys() == {"comment"}
    await world.submit("gh.glass_review", metadata, {"comment": "the leak was real"})
    assert glass.calls[-1] == ("review", "glass-1", ACTOR, verdict, "the leak was real")


async def test_who_may_not_review_is_told_why_and_who_could(world: World, glass: Glass) -> None:
    glass.denied = True
    await world.click("gh.glass_ok", {"g": "glass-1"})
    said = json.dumps(world.slack.named("views.update")[-1]["view"])
    assert "who broke the glass cannot review it" in said
    assert "Bob Brown" in said
