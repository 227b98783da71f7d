"""One cause on both platforms, over the real engine and a simulated AWS: decided in Teams, it shows in Slack, too."""

from __future__ import annotations

import asyncio
import json
import random
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from sqlalchemy import select

from bot.composition import build_engine, ingest_file
from bot.delivery import Deliverer
from bot.domain.decisions import Choice
from bot.domain.ids import RandomIds, SystemClock
from bot.domain.principals import Platform, PlatformIdentity
from bot.domain.views import Stage
from bot.sandbox.aws import DEV, SimulatedAws, cloud_environment
from bot.sandbox.company import build
from bot.sandbox.scan import unpack_recorded
from bot.sandbox.world import settings_of
from bot.settings import Settings
from bot.store import plans
from bot.store.outbox import POSTS
from cards.lint_adaptive import activity_problems
from handlers.slack.poster import SlackPoster
from handlers.teams.connection import TeamsSide
from handlers.teams.desk import TeamsDesk
from handlers.teams.payloads import origin_of
from handlers.teams.seam import TeamsSeam
from tests.unit.remediation.conftest import FakeDirectory
from tests.unit.slack.fakes import FakeSlack

from .test_desk import button
from .test_wire import Connector
from .world import ALICE, APP, BOB, CHANNEL, TENANT, press

pytestmark = pytest.mark.timeout(240)


class Tenant(Connector):
    """Knows its people, and numbers what is posted."""

    async def _take(self, request: web.Request) -> web.Response:
        if "/members/" in request.path:
            user = {f"29:{each[:5]}": each for each in (ALICE, BOB)}[request.path.rpartition("/")[2]]
            return web.json_response({"id": "x", "aadObjectId": user, "userRole": "user", "tenantId": TENANT})
        self.asked.append((request.method, request.path, await request.json(), None))
        number = str(1_795_000 + len(self.asked))
        return web.json_response({"id": f"{CHANNEL};messageid={number}", "activityId": number})


def in_slack_of(settings: Settings, person: str) -> PlatformIdentity:
    tenant, _, user = (settings.people[person].slack or "").partition("/")
    return PlatformIdentity(platform=Platform.SLACK, tenant=tenant, user=user)


async def test_a_decision_in_teams_changes_the_resource_and_both_posts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slack, tenant, clock = await FakeSlack().start(), Tenant(), SystemClock()
    async with SimulatedAws() as aws, tenant.serving() as (_, service_url):
        for name, value in cloud_environment(aws.endpoint).items():
            monkeypatch.setenv(name, value)
        await asyncio.to_thread(build, aws.endpoint, lambda _: None)
        unpack_recorded(tmp_path / "findings")
        shape: dict[str, Any] = settings_of(
            folder=tmp_path, endpoint=aws.endpoint, api="http://x/", port=1, cards_per_interval=500
        )
        for owner in shape["routing"]["owners"].values():
            owner["channels"].append(f"teams:{CHANNEL}")
        shape["routing"]["fallback"].append(f"teams:{CHANNEL}")
        shape["people"]["alice"]["teams"], shape["people"]["bob"]["teams"] = f"{TENANT}/{ALICE}", f"{TENANT}/{BOB}"
        for group in shape["groups"].values():
            group["members"] = ["alice"]
        shape["teams"] = {"enabled": True, "app_id": APP, "tenant": TENANT, "service_url": service_url}
        settings = Settings(**shape, teams_app_password="x")
        side = TeamsSide(settings, TeamsSeam(settings, read_token=lambda: "t"), clock)
        directory = FakeDirectory(clock)  # type: ignore[arg-type]
        engine = build_engine(settings, directories={Platform.SLACK: directory, Platform.TEAMS: side.directory})
        posters = {"slack": SlackPoster(slack.client()), "teams": side.attach(engine.db)}
        deliverer = Deliverer(
            engine.db, engine.board, posters, clock, "w", RandomIds(), pace_seconds=0, rng=random.Random(1)
        )  # type: ignore[arg-type]
        for file in sorted((tmp_path / "findings").iterdir()):
            await ingest_file(engine, "prowler", file)
        while await deliverer.work_once():
            pass
        c = plans.CAUSES.c
        wanted = select(c.id).where(c.playbook == "s3-block-public-access", c.environment == "dev", c.state == "open")
        cause = str((await engine.db.read(lambda conn: conn.execute(wanted).all()))[0].id)
        posts = await engine.db.read(lambda conn: list(conn.execute(POSTS.select().where(POSTS.c.subject == cause))))
        assert sorted(post.platform for post in posts) == ["slack", "teams"]
        sent = {post.platform: post.message_id for post in posts}

        desk = TeamsDesk(engine, settings, side.wire)

        async def do(verb: str, value: dict[str, Any], number: str, given: dict[str, str] | None = None,
                     user: str = ALICE) -> dict[str, Any]:  # fmt: skip
            what = {**press(verb, value, user, given, id=number), "serviceUrl": service_url}
            await desk.seen(origin_of(what), what)
            return await desk.invoked(origin_of(what), what)

        olivia = await engine.people.actor(in_slack_of(settings, "olivia"))
        plan = (await engine.approvals.look(cause, olivia)).plan
        await engine.approvals.ask(plan.id, plan.hash, olivia, "please", click="slack:1")

        shown = await do("gh.review", {"c": cause}, "1")
        ids = button(shown, "gh.send_review")
        forged = await do("gh.send_review", ids, "2", {"choice": "approve"}, user=BOB)
        assert "no policy lets Bob Brown approve this" in forged["value"]["fallbackText"]
        assert (await engine.board.cause(cause)).request.votes == ()  # type: ignore[union-attr]
        done = await do("gh.send_review", ids, "3", {"choice": "approve", "reason": "safe"})
        assert "Approved. The fix starts now" in done["value"]["fallbackText"]
        alice = await engine.people.actor(in_slack_of(settings, "alice"))
        # The same person with the other account: whatever comes back, it is one vote.
        await engine.approvals.vote(ids["q"], ids["h"], ids["v"], alice, Choice.APPROVE, "again", "", click="slack:2")
        view = await engine.board.cause(cause)
        assert view.execution is not None
        assert (await engine.executor.run(view.execution.id)).value == "succeeded"
        before = len(tenant.asked)
        slack.calls.clear()
        while await deliverer.work_once():
            pass

        after = await engine.board.cause(cause)
        assert after.stage is Stage.FIXED
        assert after.request is not None
        assert [(vote.who.id, vote.reason) for vote in after.request.votes] == [("alice", "safe")]
        bucket = after.resources[0].name
        blocked = aws.account(DEV).client("s3").get_public_access_block(Bucket=bucket)
        assert all(blocked["PublicAccessBlockConfiguration"].values())
        in_slack = [each for each in slack.named("chat.update") if each["ts"] == sent["slack"]]
        in_teams = [
            body for method, path, body, _ in tenant.asked[before:]
            if method == "PUT" and path.endswith(f";messageid={sent['teams']}/activities/{sent['teams']}")
        ]  # fmt: skip
        for shown_at in (in_slack[-1], in_teams[-1]):
            assert "Fixed and verified" in json.dumps(shown_at, ensure_ascii=False)
        assert all(activity_problems(body) == [] for _, _, body, _ in tenant.asked if "attachments" in body)
        await side.close()
        await engine.db.close()
    await slack.server.close()
    assert slack.wrong == []
