"""With ``ask.visibility: team`` commands show what questions show, and a card in a channel may be pressed there."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert

from bot.domain.findings import Finding, Resource, Severity
from bot.domain.ids import RandomIds
from bot.domain.triage import Priority, Ssvc, Verdict
from bot.domain.views import Option, OptionView
from bot.governance.policy import Policy
from bot.intake.noise import read_rule
from bot.intake.regroup import Regroup
from bot.intake.suppression import Suppression
from bot.remediation.catalog import builtin_catalog
from bot.reports.about import About
from bot.reports.board import Board
from bot.reports.sight import Sight
from bot.store.tables import CauseRow, ObservationRow
from tests.unit.intake.test_stewardship import APPROVER
from tests.unit.intake.test_stewardship import actor as approver

from .fakes import CHANNEL, NOW, World, action_body, living, plan_view, request_view
from .test_asking import blocks, card_at, say, seed
from .test_glass import Glass
from .test_rules import People

OUR_CHANNEL = "C02PAY"
OURS, THEIRS = "f-0000000000000001", "f-0000000000000002"
SECRET = "Bucket 2 is public"


def two_teams(world: Any, engine: Any) -> None:
    """A finding and a cause of payments and of web, behind a real board."""
    seed(world, Severity.CRITICAL, start=1)
    seed(world, Severity.CRITICAL, start=2, team="web", owner="web", cause_id="c-2")
    causes, seen = [], []
    for number, owner in ((1, "payments"), (2, "web")):
        title = f"Bucket {number} is public"
        causes.append(CauseRow(
            id=f"c-{number}", key=f"c-{number}", title=title, rule_uid="s3_public", source="prowler",
            playbook="", provider="aws", account_uid="111", account_name="acme-prod", environment="prod", owner=owner,
            channels="[]", severity=5, decision="Act", priority=1, first_seen=NOW, open_count=1, total_count=1,
            resource_count=1, changed_at=NOW,
        ).model_dump())  # fmt: skip
        resource = Resource(uid=f"arn:aws:s3:::b{number}", name=f"b{number}")
        doc = Finding(source="prowler", uid=f"u{number}", title=title, severity=Severity.CRITICAL, resource=resource)
        verdict = Verdict(decision=Ssvc.ACT, priority=Priority.P1, due=None, reasons=(), table="t1")
        seen.append(ObservationRow(
            finding_id=f"f-{number:016d}", content="x", at=NOW, poll_id="p", raw=b"{}",
            doc=doc.model_dump_json().encode(), verdict=verdict.model_dump_json().encode(),
        ).model_dump())  # fmt: skip
    world.db.write_sync(lambda conn: conn.execute(insert(CauseRow.__table__), causes))  # type: ignore[attr-defined]
    world.db.write_sync(lambda conn: conn.execute(insert(ObservationRow.__table__), seen))  # type: ignore[attr-defined]
    engine.board = Board(engine.db, engine.settings, builtin_catalog(), engine.clock)
    engine.sight = Sight(engine.db, engine.settings, engine.board, world.services)
    engine.answers._sight, engine.answers._about = engine.sight, About(engine.board, world.services)
    world.services.team = "payments"


def approves(world: Any) -> None:
    """From now on the policy lets whoever asks approve any fix."""
    world.services.plan = plan_view(OptionView(option=Option.APPROVE, allowed=True), request=request_view())


@pytest.fixture
async def teams(tmp_path: Path) -> AsyncIterator[World]:
    owners = {"payments": {"name": "Payments", "channels": [f"slack:{OUR_CHANNEL}"]}}
    async with living(tmp_path, ask={"visibility": "team"}, routing={"owners": owners}) as made:
        two_teams(made, made.app.desk.engine)
        yield made


async def test_findings_lists_the_own_team_s_alone(teams: World) -> None:
    await teams.command("findings")
    await teams.command("findings owner:web", trigger="t.2")
    await teams.command("status", trigger="t.3")
    assert "Bucket 1 is public" in teams.private
    assert SECRET not in teams.private
    teams.services.team = "web"
    await teams.command("findings", trigger="t.4")
    assert SECRET in teams.private


async def test_a_finding_of_another_team_is_as_one_that_does_not_exist(teams: World) -> None:
    await teams.command(f"finding {OURS}", trigger="t.1")
    assert "Bucket 1 is public" in teams.private
    await teams.command(f"finding {THEIRS}", trigger="t.2")
    await teams.command("finding f-0000000000000009", trigger="t.3")
    assert SECRET not in teams.private
    said = [json.dumps(each["blocks"]) for each in teams.slack.named("chat.postEphemeral")[1:]]
    assert said[0].replace(THEIRS, "X") == said[1].replace("f-0000000000000009", "X")
    assert "There is no finding" in said[0]


@pytest.mark.parametrize("text", ["fix c-2", f"fix {THEIRS}", "why c-2", f"why {THEIRS}"])
async def test_fix_and_why_of_another_team_s_are_refused(teams: World, text: str) -> None:
    await teams.command(text)
    assert teams.services.did("look") == teams.services.did("why") == []
    told = teams.private + json.dumps(teams.slack.named("views.update"))
    assert "There is no" in told
    assert SECRET not in told
    teams.services.team = "web"
    await teams.command(text, trigger="t.2")
    assert teams.services.did("look") + teams.services.did("why")


async def test_a_card_is_pressed_where_it_stands_and_nowhere_else(teams: World) -> None:
    await teams.click("gh.details", {"c": "c-2"}, trigger="t.1")
    await teams.click("gh.why", {"s": "c-2"}, trigger="t.2")
    assert SECRET not in teams.private
    assert teams.services.did("why") == []
    card_at(teams, CHANNEL, "7.7", "c-2")
    await teams.click("gh.details", {"c": "c-2"}, trigger="t.3")
    assert SECRET in teams.private
    await teams.click("gh.why", {"s": "c-2"}, trigger="t.4")
    assert len(teams.services.did("why")) == 1


async def test_a_button_in_a_dialog_is_pressed_where_the_dialog_was_opened(teams: World) -> None:
    card_at(teams, CHANNEL, "7.7", "c-2")
    body = action_body("gh.why", {"s": "c-2"})
    del body["channel"], body["message"]
    view = {"id": "V1", "type": "modal", "callback_id": "gh.review", "private_metadata": "{}"}
    await teams.payload(body | {"view": view, "trigger_id": "t.1"})
    assert teams.services.did("why") == []
    view["private_metadata"] = json.dumps({"ch": CHANNEL})
    await teams.payload(body | {"view": view, "trigger_id": "t.2"})
    assert len(teams.services.did("why")) == 1


async def test_who_decides_is_told_of_a_cause_privately_and_the_channel_is_not(teams: World) -> None:
    async def told(text: str, **more: Any) -> str:
        await say(teams, text, **more)
        return json.dumps(blocks(teams)) + json.dumps(list(teams.slack.streams.values()), ensure_ascii=False)

    for text in (f"explain {THEIRS}", "explain c-0000002", "how do I fix it?"):
        assert SECRET not in await told(text), text
    approves(teams)
    assert SECRET not in await told(f"<@U0BOT> explain {THEIRS}", channel=OUR_CHANNEL)
    assert SECRET not in await told("<@U0BOT> explain c-0000002", channel=OUR_CHANNEL)
    assert SECRET in await told(f"explain {THEIRS}")
    teams.slack.streams.clear()
    assert SECRET in await told("how do I fix it?")
    teams.slack.streams.clear()
    listed = await told("list the critical findings")
    assert "Bucket 1 is public" in listed
    assert SECRET not in listed  # lists stay as they were
    await told(f"explain {THEIRS}")
    teams.services.plan = plan_view(OptionView(option=Option.ASK, allowed=True))
    teams.slack.streams.clear()
    assert SECRET not in await told("explain it")  # no longer: what was talked about is not kept to either


async def test_a_cause_is_merged_with_one_that_is_seen(teams: World) -> None:
    engine: Any = teams.app.desk.engine
    engine.people = People()  # an approver by the policy; of no team
    engine.regroup = Regroup(
        engine.db, engine.settings, engine.clock, RandomIds(), Policy.load(engine.settings.governance)
    )
    card_at(teams, CHANNEL, "7.7", "c-1")
    await teams.click("gh.regroup", {"c": "c-1"}, trigger="t.1")
    assert SECRET not in json.dumps(teams.slack.named("views.update"))
    given = {"do": "m:c-2", "reason": "same"}
    await teams.submit("gh.regroup", {"c": "c-1", "ch": CHANNEL}, given)
    assert "no cause c-2 that you may see" in teams.private
    assert SECRET not in teams.private
    await teams.click("gh.merge", {"c": "c-1", "f": OURS, "o": THEIRS}, trigger="t.2")
    assert teams.services.did("merge") == []
    approves(teams)
    await teams.click("gh.merge", {"c": "c-1", "f": OURS, "o": THEIRS}, trigger="t.3")
    assert len(teams.services.did("merge")) == 1
    await teams.submit("gh.regroup", {"c": "c-1", "ch": CHANNEL}, given, hash_="h2")
    assert f"part of “{SECRET}” now" in teams.private


async def test_a_review_of_a_glass_shows_nothing_to_whom_the_policy_does_not_permit(teams: World) -> None:
    services: Any = teams.services
    services.glass = made = Glass()
    made.denied = True
    for number, verb in enumerate(("gh.glass_ok", "gh.glass_bad")):
        await teams.click(verb, {"g": "glass-1", "c": "c-2"}, trigger=f"t.{number}")
    await teams.submit("gh.glass_review", {"g": "glass-1", "j": "yes", "ch": CHANNEL}, {"comment": "fine"})
    told = teams.private + json.dumps(teams.slack.named("views.open") + teams.slack.named("views.update"))
    assert "cannot review it" in told
    assert not any(word in told for word in (SECRET, "Public bucket", "it leaks"))
    assert made.calls == []


async def rule_over_both(engine: Any, *, hides: bool) -> str:
    """A rule about everything in prod, written by an approver; its id."""
    engine.suppression = Suppression(
        engine.db, engine.settings, engine.clock, RandomIds(), Policy.load(engine.settings.governance)
    )
    terms = read_rule("rules env:prod until:14d because", author="bob", today=engine.clock.now().date())
    view = await engine.suppression.draft(approver(APPROVER), terms)
    if hides:
        await engine.suppression.activate(view.id, view.hash, approver(APPROVER))
    return str(view.id)


@pytest.mark.parametrize("hides", [True, False])
async def test_what_a_rule_hides_or_would_is_named_to_whom_may_see_it(teams: World, hides: bool) -> None:
    teams.db.write_sync(lambda conn: conn.exec_driver_sql("UPDATE findings SET priority = 2"))
    rule = await rule_over_both(teams.app.desk.engine, hides=hides)
    await teams.command("rules", trigger="t.1")
    assert ("hides 2 findings" if hides else "would hide 2 findings of 2 open") in teams.private
    await teams.click("gh.rule_show", {"r": rule}, trigger="t.2")
    await teams.command("rules hidden", trigger="t.3")
    await teams.command(f"rules hidden {rule}", trigger="t.4")
    told = teams.slack.named("chat.postEphemeral")[1:]
    assert [("Bucket 1 is public" in json.dumps(each), "1 finding." in json.dumps(each)) for each in told] == [
        (True, True), (hides, hides), (hides, hides),
    ]  # fmt: skip
    assert SECRET not in teams.private
    teams.services.team = "web"
    await teams.click("gh.rule_show", {"r": rule}, trigger="t.5")
    assert SECRET in teams.private


async def test_the_p1_of_a_rule_just_written_are_named_to_whom_may_see_them(teams: World) -> None:
    await rule_over_both(teams.app.desk.engine, hides=False)
    await teams.command('rules new "other" env:prod until:10d because', trigger="t.1")
    await teams.command("rules", trigger="t.2")
    assert teams.private.count("P1 it is about") == 3  # one written just now, then both in the list
    assert "Bucket 1 is public" in teams.private
    assert SECRET not in teams.private


async def test_a_guest_is_refused_lists_and_typed_ids(teams: World) -> None:
    await rule_over_both(teams.app.desk.engine, hides=False)
    teams.services.guest = True
    for number, text in enumerate(("findings", f"finding {OURS}", "rules hidden")):
        await teams.command(text, trigger=f"t.{number}")
    assert teams.private.count("guests may not ask about") >= 3
    assert "Bucket" not in teams.private
