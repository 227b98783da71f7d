"""Attacks on the way in: signatures, replays, other workspaces, other people, forged buttons."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from .conftest import Edge, slack_user


async def test_the_honest_way_works(edge: Edge) -> None:
    """The measure of all below: without an attack, the very same bytes change the cloud."""
    assert await edge.submit("UANN", await edge.asked()) == 200
    await edge.settle()
    assert edge.count("decisions") == edge.count("executions") == 1
    assert not any(lamp["on"] for lamp in edge.cloud.lamps.values())


async def test_forged_signature(edge: Edge) -> None:
    metadata = await edge.asked()
    before = edge.count("clicks")
    assert await edge.send(edge.submit_body("UANN", metadata), secret="guessed") == 401
    body, headers = edge.sealed(edge.submit_body("UANN", metadata))
    for broken in (
        {**headers, "x-slack-signature": ""},
        {**headers, "x-slack-signature": headers["x-slack-signature"][:-1] + "x"},
        {k: v for k, v in headers.items() if k != "x-slack-signature"},
        {k: v for k, v in headers.items() if k != "x-slack-request-timestamp"},
        {**headers, "x-slack-request-timestamp": "tomorrow"},
        {**headers, "x-slack-request-timestamp": str(int(headers["x-slack-request-timestamp"]) + 1)},
    ):
        assert await edge.deliver(body, broken) == 401
    assert edge.count("clicks") == before
    await edge.nothing_happened()


async def test_a_signature_covers_every_byte_of_the_body(edge: Edge) -> None:
    body, headers = edge.sealed(edge.submit_body("UOLGA", await edge.asked(), "reject"))
    for changed in (body.replace("UOLGA", "UANN"), body.replace("reject", "approve"), body + "&x=1", body[:-1]):
        assert await edge.deliver(changed, headers) == 401
    await edge.nothing_happened()


async def test_replayed_signature(edge: Edge) -> None:
    body, headers = edge.sealed(edge.submit_body("UANN", await edge.asked()))
    for _ in range(5):
        assert await edge.deliver(body, headers) == 200  # Slack sends again, too: it must get its answer
    await edge.settle()
    assert edge.count("votes") == edge.count("decisions") == edge.count("executions") == 1
    assert len(edge.cloud.effects) == 4


async def test_replayed_signature_after_its_window(edge: Edge) -> None:
    metadata = await edge.asked()
    body, headers = edge.sealed(edge.submit_body("UANN", metadata), age=301)
    before = edge.count("clicks")
    assert await edge.deliver(body, headers) == 401
    assert edge.count("clicks") == before
    await edge.nothing_happened()


@pytest.mark.parametrize("age", [600, 86_400, -600])
async def test_stale_timestamp(edge: Edge, age: int) -> None:
    """Well signed, by the right secret, at the wrong time; also of the future."""
    assert await edge.send(edge.submit_body("UANN", await edge.asked()), age=age) == 401
    await edge.nothing_happened()


async def test_click_on_an_old_card_revision(edge: Edge) -> None:
    metadata = await edge.asked()
    for revision in (metadata["v"] - 1, metadata["v"] + 1, 10**9):
        await edge.submit("UANN", {**metadata, "v": revision})
    await edge.nothing_happened(because="not the present one")


async def test_an_old_dialog_whose_plan_was_replaced(edge: Edge) -> None:
    metadata = await edge.asked()
    await edge.submit("UOLGA", metadata, "cancel")
    edge.cloud.lamps["desk"]["colour"] = "blue"
    fresh = await edge.asked()
    assert fresh["h"] != metadata["h"]
    await edge.submit("UANN", metadata)
    await edge.submit("UANN", {**fresh, "h": metadata["h"]})
    await edge.submit("UANN", {**metadata, "h": fresh["h"]})
    await edge.nothing_happened(because="already cancelled")


async def test_another_workspace(edge: Edge) -> None:
    metadata = await edge.asked()
    before = edge.count("clicks")
    await edge.submit("UANN", metadata, team="T2", user_team="T2")
    await edge.submit("UANN", metadata, team="T2", user_team="T1")
    await edge.send(edge.click_body("UANN", team="T2"))
    await edge.send({**edge.submit_body("UANN", metadata), "team": None})
    assert edge.count("clicks") == before
    await edge.nothing_happened(because="another workspace")


@pytest.mark.parametrize(
    ("said_by_slack", "rule"),
    [
        ({"is_restricted": True}, "guard-guest"),
        ({"is_ultra_restricted": True, "is_restricted": True}, "guard-guest"),
        ({"is_stranger": True}, "guard-external"),
        ({"team_id": "T2"}, "guard-external"),
        ({"deleted": True}, "guard-deactivated"),
        ({"is_bot": True}, "guard-bot"),
        ({"is_workflow_bot": True}, "guard-bot"),
    ],
    ids=["guest", "single-channel-guest", "slack-connect", "slack-connect-team", "deactivated", "bot", "workflow"],
)
async def test_an_approver_whose_account_is_not_in_good_standing(
    edge: Edge, said_by_slack: dict[str, Any], rule: str
) -> None:
    """Ann is of the group; her account became what it must not be."""
    metadata = await edge.asked()
    edge.slack.users["UANN"] |= said_by_slack
    edge.clock.pass_(seconds=61)  # past what is believed between clicks
    await edge.submit("UANN", metadata)
    await edge.nothing_happened(refused_by=rule)
    assert edge.count("votes") == 0


@pytest.mark.parametrize("said_by_slack", [{"deleted": True}, {"is_restricted": True}, {"team_id": "T2"}])
async def test_standing_lost_between_vote_and_execution(edge: Edge, said_by_slack: dict[str, Any]) -> None:
    await edge.submit("UANN", await edge.asked())
    edge.slack.users["UANN"] |= said_by_slack
    await edge.settle()
    assert edge.cloud.effects == []
    assert "may no longer approve" in edge.ledger_of("execution.blocked")[0]["why"]


async def test_a_user_of_another_organisation_with_the_approvers_user_id(edge: Edge) -> None:
    """Slack Connect: our channel, our workspace in the payload, a user of theirs."""
    await edge.submit("UANN", await edge.asked(), user_team="T2")
    await edge.nothing_happened(refused_by="guard-")


async def test_display_name_collision(edge: Edge) -> None:
    edge.slack.users["UEVE"] = slack_user("UEVE", real_name="Ann Approver", profile={"display_name": "Ann Approver"})
    await edge.submit("UEVE", await edge.asked(), name="Ann Approver")
    await edge.nothing_happened(refused_by="guard-stranger")


async def test_email_collision(edge: Edge) -> None:
    edge.slack.users["UEVE"] = slack_user("UEVE", profile={"email": "ann@acme.example", "real_name": "ann"})
    edge.slack.users["UANN"]["profile"] = {"email": "ann@acme.example"}
    await edge.submit("UEVE", await edge.asked(), name="ann")
    await edge.nothing_happened(refused_by="guard-stranger")


async def test_a_stranger_in_the_approvers_slack_group(edge: Edge) -> None:
    """Whoever manages Slack groups cannot make approvers of accounts nobody vouched for."""
    edge.slack.users["UEVE"] = slack_user("UEVE")
    edge.slack.groups["SAPPROVERS"].append("UEVE")
    await edge.submit("UEVE", await edge.asked())
    await edge.nothing_happened(refused_by="guard-stranger")


async def test_somebody_listed_who_is_no_approver(edge: Edge) -> None:
    await edge.submit("UNICK", await edge.asked())
    await edge.nothing_happened(refused_by="default deny")


async def test_slack_says_nothing_of_the_account(edge: Edge) -> None:
    metadata = await edge.asked()
    edge.clock.pass_(seconds=61)
    del edge.slack.users["UANN"]
    await edge.submit("UANN", metadata)
    await edge.nothing_happened(refused_by="guard-deactivated")


async def test_self_approval_in_one_go(edge: Edge) -> None:
    """An approver who asks and approves in the same dialog."""
    metadata = await edge.review("UANN")
    await edge.submit("UANN", metadata, "approve")
    await edge.nothing_happened(refused_by="four eyes")


async def test_requester_approves(edge: Edge) -> None:
    metadata = await edge.asked("UABE")
    await edge.submit("UABE", metadata)
    await edge.nothing_happened(refused_by="four eyes", because="who asks cannot approve")


async def test_owner_approves_where_the_rule_wants_them_apart(make_edge: Any) -> None:
    edge: Edge = await make_edge(rules=[{"name": "apart", "owner_apart": True}])
    await edge.submit("USUE", await edge.asked("UNICK"))  # Sue is of the team that owns it
    await edge.nothing_happened(refused_by="owner apart")


async def test_one_person_cannot_be_two_of_a_quorum(make_edge: Any) -> None:
    edge: Edge = await make_edge(rules=[{"name": "two", "quorum": 2}])
    metadata = await edge.asked()
    for _ in range(3):
        await edge.submit("UANN", metadata)
        metadata = await edge.review("UANN")
    await edge.nothing_happened()
    assert edge.count("votes") == 1


FORGED: list[Any] = [
    "", "null", "[]", "42", '"req"', "{", "not json", '{"p": {"$ne": null}}', "\x00", "é" * 1000, "x" * 3000,
    '{"q": "req-000001\' OR 1=1 --"}', '{"q": ["req"]}', '{"q": true, "v": "0", "h": null}', "9" * 5000,
    "[" * 5000, '{"v": 1e999}', '{"v": NaN}', '{"v": ' + "9" * 400 + "}",
]  # fmt: skip


@pytest.mark.parametrize("forged", FORGED, ids=range(len(FORGED)))
async def test_forged_private_metadata(edge: Edge, forged: str) -> None:
    await edge.asked()
    for choice in ("approve", "reject", "ask", "cancel"):
        assert await edge.submit("UANN", forged, choice) == 200
    await edge.nothing_happened()
    states = edge.db.read_sync(lambda c: {row[0] for row in c.exec_driver_sql("SELECT state FROM clicks")})
    assert states == {"done", "refused"}  # each was told why; none ended in an error of ours


@pytest.mark.parametrize("forged", FORGED, ids=range(len(FORGED)))
async def test_forged_button_value(edge: Edge, forged: str) -> None:
    for action in ("gh.review", "gh.undo", "gh.not_mine", "gh.snooze", "gh.details", "gh.review.x.y", "gh."):
        assert await edge.send(edge.click_body("UANN", action, forged or "{}")) == 200
    await edge.nothing_happened()
    states = edge.db.read_sync(lambda c: {row[0] for row in c.exec_driver_sql("SELECT state FROM clicks")})
    assert states <= {"done", "refused"}


async def test_forged_ids_of_other_things(edge: Edge) -> None:
    """Ids that exist, in places they do not belong to, and hashes of other plans."""
    metadata = await edge.asked()
    swapped = [
        {**metadata, "q": metadata["p"]}, {**metadata, "q": edge.cause}, {**metadata, "h": "0" * 64},
        {**metadata, "h": metadata["h"].upper()}, {**metadata, "h": metadata["h"][:-1]}, {**metadata, "h": ""},
        {k: v for k, v in metadata.items() if k != "h"}, {k: v for k, v in metadata.items() if k != "v"} | {"v": -1},
    ]  # fmt: skip
    for forged in swapped:
        await edge.submit("UANN", forged)
    for value in ({"c": metadata["q"]}, {"c": metadata["p"]}, {"c": "c-none"}, {"c": "f-none"}, {"x": "exec-none"}):
        await edge.send(edge.click_body("UANN", "gh.review", value))
        await edge.send(edge.click_body("UANN", "gh.undo", value))
    await edge.nothing_happened(because="not the present one")


async def test_forged_choice_and_callback(edge: Edge) -> None:
    metadata = await edge.asked()
    for choice in ("execute", "APPROVE", "", "approve ;", "__class__"):
        await edge.submit("UANN", metadata, choice)
    body = edge.submit_body("UANN", metadata)
    for callback in ("gh.execute", "gh.", "gh.review2", "gh.show"):
        await edge.send({**body, "view": {**body["view"], "callback_id": callback, "id": callback}})
    for odd in ({"values": None}, {"values": {"choice": None}}, {"values": []}, None, {"values": {"choice": {"v": 1}}}):
        await edge.send({**body, "view": {**body["view"], "state": odd, "id": f"odd-{odd}"}})
    await edge.nothing_happened()


async def test_oversized_body(edge: Edge) -> None:
    metadata = await edge.asked()
    assert await edge.send(edge.submit_body("UANN", metadata, reason="x" * 1_100_000)) == 413
    await edge.nothing_happened()


async def test_double_click_fifty_times_at_once(edge: Edge) -> None:
    """The same dialog sent fifty times: fifty deliveries of one, and fifty submissions of their own."""
    metadata = await edge.asked()
    same = edge.sealed(edge.submit_body("UANN", metadata))
    others = [edge.sealed(edge.submit_body("UANN", metadata)) for _ in range(50)]
    every = [same] * 50 + others
    statuses = await asyncio.gather(*(edge.deliver(body, headers, drain=False) for body, headers in every))
    assert set(statuses) == {200}
    await edge.app.desk.drain()
    await asyncio.gather(*(edge.executor.work_once() for _ in range(10)))
    assert edge.count("votes") == edge.count("decisions") == edge.count("executions") == 1
    assert len(edge.cloud.effects) == len(set(edge.cloud.effects)) == 4
    assert await edge.ledger_ok()


async def test_hostile_text_makes_no_mention_and_no_button(edge: Edge) -> None:
    """Titles and reasons come from outside: they are shown as text, whatever they hold."""
    hostile = '<!channel> <@UANN> <https://evil.example|Approve> *bold* `code` "}],"actions":[{"action_id":"gh.undo"}]'
    table = "causes"
    edge.db.write_sync(lambda c: c.exec_driver_sql(f"UPDATE {table} SET title = ?", (hostile,)))
    await edge.submit("UOLGA", await edge.review("UOLGA"), "ask", reason=hostile)
    await edge.review("UANN")
    await edge.send(edge.click_body("UANN", "gh.details"))
    sent = [call for _, call in edge.slack.calls if "blocks" in call or "view" in call]
    assert any("evil.example" in json.dumps(call) for call in sent)
    for node in (node for call in sent for node in _nodes(call)):
        if node.get("type") == "mrkdwn":
            for forged in ("<!channel>", "<@UANN>", "<https://evil.example"):
                assert forged not in node["text"]
        assert node.get("type") not in {"user", "usergroup", "broadcast"} or "evil" not in json.dumps(node)
        assert not (node.get("type") == "button" and "evil" in json.dumps(node.get("url", "")))
    assert not any("<!channel>" in str(call.get("text", "")) for call in sent)


def _nodes(thing: Any) -> list[dict[str, Any]]:
    if isinstance(thing, dict):
        return [thing, *(node for value in thing.values() for node in _nodes(value))]
    if isinstance(thing, list):
        return [node for value in thing for node in _nodes(value)]
    return []
