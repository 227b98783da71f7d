"""Standing approvals over signed HTTP: offered to whom the policy permits, granted, listed, revoked; forged in vain."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from slack_sdk.signature import SignatureVerifier
from sqlalchemy import select

from bot.domain.standing import StandingState
from bot.domain.views import Stage
from bot.remediation.standing import Standings
from bot.store import standing as store
from cards import blockkit, build
from cards.lint import problems
from tests.attacks.conftest import CHANNEL, TEAM, Edge
from tests.unit.remediation.standing_kit import IN_DEV, TaggedLamps
from tests.unit.slack.fakes import SECRET

ROOT = Path(__file__).parents[2]
GIVEN = {"environment": "dev", "account": "-", "owner": "-", "tag": "-", "cap": "2", "days": "7", "reason": "dev lamps"}


@pytest.fixture
async def edge(make_edge: Any, tmp_path: Path) -> Edge:
    file = tmp_path / "policy.cedar"
    file.write_text((ROOT / "bot/governance/gatehouse.cedar").read_text("utf-8") + IN_DEV, "utf-8")
    made: Edge = await make_edge(policies=file)
    made.catalog.book = TaggedLamps()
    return made


def standings(edge: Edge) -> Standings:
    return edge.app.desk.engine.standings


def held(edge: Edge) -> list[store.Held]:
    return edge.db.read_sync(store.every, tuple(StandingState))


def buttons(view: dict[str, Any]) -> list[dict[str, Any]]:
    elements = [e for block in view["blocks"] if block["type"] == "actions" for e in block["elements"]]
    return [e for e in elements if e["action_id"].startswith(("gh.pre_approve", "gh.standing"))]


async def offered(edge: Edge, user: str) -> list[dict[str, Any]]:
    await edge.review(user)
    return buttons(edge.slack.named("views.update")[-1]["view"])


async def press(edge: Edge, user: str, button: dict[str, Any]) -> dict[str, Any]:
    """Press a button of the review dialog; the dialog that comes."""
    body = edge.click_body(user, button["action_id"], button["value"])
    del body["channel"], body["message"]
    body["view"] = {"id": "V9", "type": "modal"}
    assert await edge.send(body) == 200
    shown: dict[str, Any] = edge.slack.named("views.update")[-1]["view"]
    return shown


async def send_dialog(edge: Edge, user: str, metadata: Any, **given: str) -> None:
    body = edge.submit_body(user, metadata)
    chosen = {**GIVEN, **given}
    body["view"]["callback_id"] = "gh.pre_approve"
    body["view"]["state"]["values"] = {
        name: {"v": {"value": value} if name == "reason" else {"selected_option": {"value": value}}}
        for name, value in chosen.items()
    }
    assert await edge.send(body) == 200


async def command(edge: Edge, user: str, text: str) -> None:
    edge._n += 1
    body = urlencode({"command": "/gatehouse", "text": text, "team_id": TEAM, "user_id": user, "channel_id": CHANNEL,
                      "trigger_id": f"t.{edge._n}"})  # fmt: skip
    stamp = str(int(time.time()))
    headers = {
        "content-type": "application/x-www-form-urlencoded",
        "x-slack-request-timestamp": stamp,
        "x-slack-signature": SignatureVerifier(SECRET).generate_signature(timestamp=stamp, body=body) or "",
    }
    assert await edge.deliver(body, headers) == 200


async def granted(edge: Edge) -> str:
    (button,) = await offered(edge, "UANN")
    shown = await press(edge, "UANN", button)
    await send_dialog(edge, "UANN", shown["private_metadata"])
    (made,) = held(edge)
    return made.facts.id


async def test_the_whole_way_from_the_button_to_the_card_that_names_it(edge: Edge) -> None:
    standing_id = await granted(edge)
    assert edge.slack.named("views.push"), "it lies on top of the plan"
    assert "Pre-approved: " in edge.told
    assert standing_id in edge.told
    assert await standings(edge).tick() == 1
    await edge.settle()
    assert len(edge.cloud.effects) == 4
    view = await edge.app.desk.engine.board.cause(edge.cause)
    assert view.stage is Stage.FIXED
    card = blockkit.message(build.cause_card(view))
    assert problems(card, "message") == []
    shown = json.dumps(card, ensure_ascii=False)
    assert "Fixed under standing approval" in shown
    assert standing_id in shown
    assert "UANN" in shown  # who granted it, as Slack mentions people
    assert f"Approved in advance by Ann Approver: {standing_id}." in card["text"]
    # The undo's plan names it, too, and it can be undone like every fix.
    undo = await edge.app.desk.engine.approvals.look_undo(view.execution.id, await edge.actor("UOLGA"))  # type: ignore[union-attr]
    assert undo.standing is not None
    assert undo.standing.id == standing_id
    modal = blockkit.modal(build.plan_card(undo), callback_id="gh.review", submit="Send", title="Review undo")
    assert problems(modal, "modal") == []
    assert standing_id in json.dumps(modal)
    assert await edge.ledger_ok()


async def test_it_is_offered_only_to_whom_the_policy_permits(edge: Edge, make_edge: Any) -> None:
    assert [b["action_id"] for b in await offered(edge, "UANN")] == ["gh.pre_approve"]
    assert await offered(edge, "UOLGA") == []
    built_in = await make_edge()
    assert await offered(built_in, "UANN") == []


async def test_a_dialog_that_is_not_filled_in_is_sent_back(edge: Edge) -> None:
    (button,) = await offered(edge, "UANN")
    shown = await press(edge, "UANN", button)
    before = edge.count("clicks")
    for odd in ({"environment": "-"}, {"cap": "x"}, {"days": ""}, {"reason": ""}):
        await send_dialog(edge, "UANN", shown["private_metadata"], **odd)
    assert edge.count("clicks") == before
    assert held(edge) == []


async def test_a_forged_button_and_a_forged_dialog_grant_nothing(edge: Edge) -> None:
    (button,) = await offered(edge, "UANN")
    shown = await press(edge, "UANN", button)
    metadata = json.loads(shown["private_metadata"])
    await press(edge, "UOLGA", button)
    assert "members of cloud-approvers" in edge.told
    await send_dialog(edge, "UOLGA", metadata)
    for odd in (
        {"environment": "prod"}, {"environment": "unknown"}, {"account": "999999999999"}, {"owner": "other"},
        {"environment": "-", "account": "111122223333"}, {"tag": "auto-remediate=false"}, {"cap": "100000"},
        {"days": "36500"}, {"environment": "-", "tag": "=x"},
    ):  # fmt: skip
        await send_dialog(edge, "UANN", metadata, **odd)
    await send_dialog(edge, "UANN", {**metadata, "h": "0" * 64})
    await send_dialog(edge, "UANN", {**metadata, "p": "plan-999"})
    assert held(edge) == []
    assert await standings(edge).tick() == 0
    await edge.nothing_happened(refused_by="default deny")


async def test_a_dialog_sent_twice_grants_once(edge: Edge) -> None:
    (button,) = await offered(edge, "UANN")
    shown = await press(edge, "UANN", button)
    for _ in range(2):
        await send_dialog(edge, "UANN", shown["private_metadata"])
    assert len(held(edge)) == 1


async def test_the_list_has_a_revoke_button_for_whom_may_and_it_stops_what_is_queued(edge: Edge) -> None:
    standing_id = await granted(edge)
    assert await standings(edge).tick() == 1
    await command(edge, "UOLGA", "standing")
    listed = edge.slack.named("chat.postEphemeral")[-1]
    assert standing_id in json.dumps(listed)
    assert buttons(listed) == []
    await command(edge, "UANN", "standing")
    (button,) = buttons(edge.slack.named("chat.postEphemeral")[-1])
    await edge.send(edge.click_body("UOLGA", button["action_id"], button["value"]))
    assert held(edge)[0].facts.state is StandingState.ACTIVE
    await edge.send(edge.click_body("UANN", button["action_id"], button["value"]))
    assert held(edge)[0].facts.state is StandingState.REVOKED
    await edge.settle()
    assert edge.cloud.effects == []
    assert [json.loads(body)["why"] for body in _bodies(edge, "standing.revoked")] == ["Ann Approver revoked it"]


async def test_revoking_by_command_and_words_nobody_knows(edge: Edge) -> None:
    standing_id = await granted(edge)
    await command(edge, "UANN", "standing nonsense")
    assert "I do not know" in edge.told
    await command(edge, "UANN", "standing revoke sa-none")
    assert "there is no standing approval sa-none" in edge.told
    await command(edge, "UABE", f"standing revoke {standing_id} it is Friday")
    assert held(edge)[0].facts.state is StandingState.REVOKED
    assert "it is Friday" in held(edge)[0].facts.state_why
    await command(edge, "UABE", "standing all")
    assert standing_id in json.dumps(edge.slack.named("chat.postEphemeral")[-1])


async def test_two_people_by_the_button_in_the_list(make_edge: Any, tmp_path: Path) -> None:
    file = tmp_path / "policy.cedar"
    file.write_text((ROOT / "bot/governance/gatehouse.cedar").read_text("utf-8") + IN_DEV, "utf-8")
    edge = await make_edge(policies=file, standing={"quorum": 2})
    edge.catalog.book = TaggedLamps()
    await granted(edge)
    assert "1 more must grant it" in edge.told
    await command(edge, "UABE", "standing")
    shown = {b["action_id"].split(".")[1]: b for b in buttons(edge.slack.named("chat.postEphemeral")[-1])}
    await edge.send(edge.click_body("UOLGA", "gh.standing_confirm", shown["standing_confirm"]["value"]))
    assert held(edge)[0].facts.state is StandingState.PROPOSED
    await edge.send(edge.click_body("UABE", "gh.standing_confirm", shown["standing_confirm"]["value"]))
    assert held(edge)[0].facts.state is StandingState.ACTIVE
    assert await standings(edge).tick() == 1


def _bodies(edge: Edge, kind: str) -> list[str]:
    from bot.store.ledger import LEDGER

    return edge.db.read_sync(
        lambda conn: list(conn.execute(select(LEDGER.c.body).where(LEDGER.c.kind == kind)).scalars())
    )
