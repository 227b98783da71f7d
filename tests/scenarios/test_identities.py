"""Who is who over both platforms: only immutable ids bind an account, and one person is one voter."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from bot.domain.principals import Platform
from handlers.teams.payloads import origin_of
from tests.unit.teams.world import APP, TENANT

from .people import PEOPLE
from .script import Press, Send, Type
from .slack_driver import TEAM, SlackDriver
from .teams_driver import TeamsDriver
from .world import Lab, Run

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(120)]
ALICE, NORA = PEOPLE["alice"], PEOPLE["nora"]
OTHER_TENANT = "77777777-0000-4000-8000-000000000007"


async def _asked(run: Run, cause: str = "bucket") -> dict[str, Any]:
    """Olivia asks; what a vote has to name."""
    slack = SlackDriver(run)
    await slack.act("olivia", Press("review", cause))
    await slack.act("olivia", Send({"choice": "ask", "reason": "please"}))
    await run.services.settle()
    request = (await run.engine.board.cause(run.lab.causes[cause])).request
    assert request is not None
    return {"p": request.plan_id, "h": request.plan_hash, "q": request.id, "v": request.revision,
            "c": run.lab.causes[cause]}  # fmt: skip


async def _votes(run: Run, cause: str = "bucket") -> list[tuple[str, str]]:
    request = (await run.engine.board.cause(run.lab.causes[cause])).request
    assert request is not None
    return [(vote.who.id, vote.choice.value) for vote in request.votes]


def _vote(run: Run, ids: Mapping[str, Any], sender: Mapping[str, Any], tenant: str = TENANT) -> dict[str, Any]:
    data = {"gh": json.dumps(ids), "choice": "approve", "reason": "I am Alice"}
    action = {"type": "Action.Execute", "title": "Send", "verb": "gh.send_review", "data": data}
    return {
        "type": "invoke", "name": "adaptiveCard/action", "id": "forged-1", "serviceUrl": run.lab.service_url,
        "from": dict(sender), "recipient": {"id": f"28:{APP}"}, "replyToId": "1",
        "conversation": {"conversationType": "personal", "id": NORA.chat, "tenantId": tenant},
        "channelData": {"tenant": {"id": tenant}}, "value": {"action": action, "trigger": "manual"},
    }  # fmt: skip


async def _invoked(run: Run, what: dict[str, Any]) -> str:
    desk, origin = run.services.desk, origin_of(what)
    await desk.seen(origin, what)
    return json.dumps(await desk.invoked(origin, what), ensure_ascii=False)


FORGED: dict[str, tuple[dict[str, Any], str, dict[str, Any]]] = {
    # what the sender claims, the tenant, what Teams says of the member
    "the same display name": ({"id": NORA.member, "name": ALICE.name, "aadObjectId": NORA.teams}, TENANT,
                              {"name": ALICE.name}),
    "the same e-mail, claimed": (
        {"id": NORA.member, "name": ALICE.name, "aadObjectId": NORA.teams, "email": "alice@acme.example"}, TENANT,
        {"email": "alice@acme.example", "userPrincipalName": "alice@acme.example"},
    ),
    "a guest of another tenant": ({"id": NORA.member, "aadObjectId": ALICE.teams}, OTHER_TENANT,
                                  {"aadObjectId": ALICE.teams, "tenantId": OTHER_TENANT, "userRole": "guest"}),
    "her id in ours, her account in another": ({"id": NORA.member, "aadObjectId": ALICE.teams}, TENANT,
                                               {"aadObjectId": ALICE.teams, "tenantId": OTHER_TENANT}),
    "her object id, another member": ({"id": NORA.member, "name": ALICE.name, "aadObjectId": ALICE.teams}, TENANT, {}),
    "no object id": ({"id": ALICE.member, "name": ALICE.name}, TENANT, {}),
    "no object id at the member": ({"id": NORA.member, "aadObjectId": ALICE.teams}, TENANT, {"aadObjectId": None}),
    "an id of Slack for an object id": ({"id": NORA.member, "aadObjectId": ALICE.slack}, TENANT, {}),
    "an object id with a blank": ({"id": NORA.member, "aadObjectId": f"{ALICE.teams} "}, TENANT, {}),
    "an object id in other digits": (
        {"id": NORA.member, "aadObjectId": ALICE.teams.replace("2", "２")}, TENANT, {}
    ),
}  # fmt: skip


@pytest.mark.parametrize("forged", FORGED)
async def test_an_account_of_teams_that_only_looks_like_hers_votes_nothing(lab: Lab, forged: str) -> None:
    sender, tenant, said = FORGED[forged]
    async with lab.run() as run:
        ids = await _asked(run)
        lab.tenant.odd[NORA.member] = said
        answer = await _invoked(run, _vote(run, ids, sender, tenant))
        assert "Approved" not in answer
        assert await _votes(run) == []
        # hers does, once what was believed of that account is read anew
        run.services.clock.pass_(seconds=61)
        assert "Approved" in await _invoked(
            run, _vote(run, ids, {"id": ALICE.member, "aadObjectId": ALICE.teams}) | {"id": "true-1"}
        )
        assert await _votes(run) == [("alice", "approve")]


async def test_her_object_id_in_capitals_is_hers_in_settings_and_in_activities(lab: Lab) -> None:
    async with lab.run() as run:
        ids = await _asked(run)
        big = {"id": ALICE.member, "aadObjectId": ALICE.teams.upper()}
        assert "Approved" in await _invoked(run, _vote(run, ids, big))
        assert await _votes(run) == [("alice", "approve")]
    people = {"alice": {"name": "Alice", "teams": f"{TENANT}/{'ABCDEF' + ALICE.teams[6:]}".upper()}}
    settings = type(lab.settings)(people=people)
    assert settings.people["alice"].teams == f"{TENANT}/abcdef{ALICE.teams[6:]}".lower()


SLACKS: dict[str, dict[str, Any]] = {
    "another workspace's user of the same id": {"user": {"id": ALICE.slack, "team_id": "T02OTHER"}},
    "the same name and e-mail": {"user": {"id": NORA.slack, "team_id": TEAM, "name": "alice"}},
    "her object id for a user id": {"user": {"id": ALICE.teams, "team_id": TEAM}},
}


@pytest.mark.parametrize("forged", SLACKS)
async def test_an_account_of_slack_that_only_looks_like_hers_votes_nothing(lab: Lab, forged: str) -> None:
    async with lab.run() as run:
        ids = await _asked(run)
        before = dict(lab.slack.users[NORA.slack])
        lab.slack.users[NORA.slack] |= {"real_name": ALICE.name, "profile": {"email": "alice@acme.example"}}
        slack = SlackDriver(run)
        await slack.act("alice", Press("review", "bucket"))
        state = {"choice": {"v": {"selected_option": {"value": "approve"}}}, "reason": {"v": {"value": "me"}}}
        carried = json.dumps({k: v for k, v in ids.items() if k != "c"})
        view = {"id": "V9", "hash": "h", "type": "modal", "callback_id": "gh.review", "private_metadata": carried,
                "state": {"values": state}}  # fmt: skip
        body = {"type": "view_submission", "team": {"id": TEAM}, "view": view, **SLACKS[forged]}
        await slack._interact(body, False)
        assert await _votes(run) == []
        lab.slack.users[NORA.slack] = before


async def test_an_e_mail_that_changes_after_the_binding_changes_nobody(lab: Lab) -> None:
    async with lab.run() as run:
        ids = await _asked(run)
        lab.slack.users[NORA.slack] |= {"profile": {"email": "alice@acme.example"}}
        lab.tenant.odd = {NORA.member: {"email": "alice@acme.example"}, ALICE.member: {"email": "new@acme.example"}}
        run.engine.people.forget(Platform.SLACK)
        run.engine.people.forget(Platform.TEAMS)
        nora = {"id": NORA.member, "aadObjectId": NORA.teams}
        assert "not bound to a person" in await _invoked(run, _vote(run, ids, nora))
        alice = {"id": ALICE.member, "aadObjectId": ALICE.teams}
        assert "Approved" in await _invoked(run, _vote(run, ids, alice) | {"id": "hers"})
        lab.slack.users[NORA.slack].pop("profile")


# --- one person, two accounts ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", ["slack", "teams"])
async def test_two_accounts_of_one_person_are_one_vote(lab: Lab, first: str) -> None:
    async with lab.run() as run:
        ids = await _asked(run, "keys")
        drivers: dict[str, Any] = {"slack": SlackDriver(run), "teams": TeamsDriver(run)}
        other = drivers.pop("teams" if first == "slack" else "slack")
        (one,) = drivers.values()
        await one.act("alice", Press("review", "keys"))
        shown = await one.act("alice", Send({"choice": "approve", "confirm": "2", "reason": "first"}))
        assert "1 more needed" in shown.said
        await run.services.settle()
        # Once more with the other account, and once more by hand: it is the same vote.
        await other.act("alice", Press("review", "keys"))
        shown = await other.act("alice", Send({"choice": "approve", "confirm": "2", "reason": "second"}))
        assert "1 more needed" in shown.said
        assert await _votes(run, "keys") == [("alice", "approve")]
        identity = {"id": ALICE.member, "aadObjectId": ALICE.teams}
        await _invoked(run, _confirmed(_vote(run, ids, identity)))
        assert await _votes(run, "keys") == [("alice", "approve")]
        # and the other account takes back what the first one gave
        await other.act("alice", Press("review", "keys"))
        assert "withdrawn" in (await other.act("alice", Send({"choice": "withdraw"}))).said
        assert await _votes(run, "keys") == []


def _confirmed(what: dict[str, Any]) -> dict[str, Any]:
    what["value"]["action"]["data"]["confirm"] = "2"
    return what


@pytest.mark.parametrize("first", ["slack", "teams"])
async def test_who_asked_with_one_account_cannot_approve_with_the_other(lab: Lab, first: str) -> None:
    async with lab.run() as run:
        drivers: dict[str, Any] = {"slack": SlackDriver(run), "teams": TeamsDriver(run)}
        one, other = drivers.pop(first), next(iter(drivers.values()))
        await one.act("alice", Press("review", "bucket"))
        await one.act("alice", Send({"choice": "ask", "reason": "mine"}))
        await run.services.settle()
        shown = await other.act("alice", Press("review", "bucket"))
        assert "who asks cannot approve" in shown.said
        with pytest.raises(AssertionError, match="'approve' is not offered"):
            await other.act("alice", Send({"choice": "approve"}))
        request = (await run.engine.board.cause(run.lab.causes["bucket"])).request
        assert request is not None
        ids = {"p": request.plan_id, "h": request.plan_hash, "q": request.id, "v": request.revision}
        identity = {"id": ALICE.member, "aadObjectId": ALICE.teams}
        assert "who asks cannot approve" in await _invoked(run, _vote(run, ids, identity))
        assert await _votes(run) == []


async def test_two_accounts_are_no_two_names_under_a_standing_approval_or_a_glass(lab: Lab) -> None:
    async with lab.run() as run:
        slack, teams = SlackDriver(run), TeamsDriver(run)
        await slack.act("alice", Press("review", "bucket"))
        await slack.act("alice", Press("pre_approve"))
        await slack.act("alice", Send({"cap": "1", "days": "7", "reason": "nobody serves from dev"}))
        with pytest.raises(AssertionError, match="no button standing_confirm"):
            await teams.act("alice", Type("standing")), await teams.act("alice", Press("standing_confirm"))
        (view,) = await run.engine.standings.list(await run.engine.people.actor(origin_of(_alice(run)).identity))
        await run.engine.standings.confirm(
            view.standing.id, view.hash, await run.engine.people.actor(origin_of(_alice(run)).identity)
        )
        assert [person.id for person in (await run.engine.standings.list(await _actor(run)))[0].by] == ["alice"]
        await run.engine.standings.tick()
        assert (await run.engine.board.cause(run.lab.causes["bucket"])).stage.value == "open"

        await slack.act("bob", Press("review", "keys"))
        await slack.act("bob", Press("glass"))
        await slack.act("bob", Send({"reason": "leak", "word": "BREAK GLASS"}))
        await run.services.settle()
        shown = await teams.act("bob", Press("glass_ok", "the loud message"))
        assert shown is not None
        assert "who broke the glass cannot review it" in shown.said


def _alice(run: Run) -> dict[str, Any]:
    return _vote(run, {}, {"id": ALICE.member, "aadObjectId": ALICE.teams})


async def _actor(run: Run) -> Any:
    return await run.engine.people.actor(origin_of(_alice(run)).identity)


async def test_nobody_votes_in_their_own_stead_by_the_other_account(lab: Lab) -> None:
    async with lab.run() as run:
        for driver in (SlackDriver(run), TeamsDriver(run)):
            shown = await driver.act("alice", Type("delegate @alice 7d env:dev to my other self"))
            assert shown is not None
            assert "may vote in your stead" not in shown.said
        assert await run.engine.delegations.in_force(await _actor(run)) == ()
