"""The whole chain on a simulated AWS: recorded scanner findings, real playbooks, tags read from the cloud."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from bot.composition import build_engine, ingest_file
from bot.domain.errors import Conflict
from bot.domain.ids import SystemClock
from bot.domain.principals import Actor, Platform, PlatformIdentity
from bot.domain.standing import StandingScope, StandingState
from bot.domain.views import Stage
from bot.engine import Engine
from bot.sandbox.aws import DEV, SimulatedAws, cloud_environment
from bot.sandbox.company import build
from bot.sandbox.scan import unpack_recorded
from bot.sandbox.world import settings_of
from bot.settings import Settings
from bot.store import plans
from bot.store import standing as store

from .conftest import FakeDirectory
from .standing_kit import ANYWHERE, BUILT_IN

pytestmark = pytest.mark.timeout(180)
ROOT = Path(__file__).parents[3]


@dataclass
class Acme:
    engine: Engine
    aws: SimulatedAws

    async def alice(self) -> Actor:
        identity = self.engine.settings.people["alice"].slack or ""
        tenant, _, user = identity.partition("/")
        return await self.engine.people.actor(PlatformIdentity(platform=Platform.SLACK, tenant=tenant, user=user))

    async def causes(self, **where: str) -> list[Any]:
        query = select(plans.CAUSES).where(*(plans.CAUSES.c[name] == value for name, value in where.items()))
        return await self.engine.db.read(lambda conn: list(conn.execute(query.order_by(plans.CAUSES.c.id))))


@pytest.fixture
async def acme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Acme]:
    async with SimulatedAws() as aws:
        for name, value in cloud_environment(aws.endpoint).items():
            monkeypatch.setenv(name, value)
        await asyncio.to_thread(build, aws.endpoint, lambda _: None)
        unpack_recorded(tmp_path / "findings")
        shape: Mapping[str, Any] = settings_of(folder=tmp_path, endpoint=aws.endpoint, api="http://x/", port=1)
        policy = tmp_path / "policy.cedar"
        policy.write_text((ROOT / BUILT_IN).read_text("utf-8") + ANYWHERE, "utf-8")
        settings = Settings(**{**shape, "governance": {**shape["governance"], "policies": policy}})
        directory = FakeDirectory(SystemClock(), members={"S01APPROVERS": {"U01ALICE"}})  # type: ignore[arg-type]
        engine = build_engine(settings, directories={Platform.SLACK: directory})
        for file in sorted((tmp_path / "findings").iterdir()):
            await ingest_file(engine, "prowler", file)
        await aws.forget_calls()
        yield Acme(engine, aws)
        await engine.db.close()


async def _changes(acme: Acme) -> list[dict[str, Any]]:
    """What was changed in the cloud, without the tags that this test writes itself."""
    return [call for call in await acme.aws.calls(writes=True) if "tagging" not in call["action"]]


def _block(acme: Acme, bucket: str) -> dict[str, bool]:
    answer = acme.aws.account(DEV).client("s3").get_public_access_block(Bucket=bucket)
    found: dict[str, bool] = answer["PublicAccessBlockConfiguration"]
    return found


async def test_a_bucket_of_development_is_fixed_by_its_tags_and_production_is_not_touched(acme: Acme) -> None:
    engine = acme.engine
    (cause,) = await acme.causes(playbook="s3-block-public-access", environment="dev", state="open")
    alice = await acme.alice()
    plan = (await engine.approvals.look(cause.id, alice)).plan
    (target,) = plan.targets
    draft = await engine.standings.draft(plan.id, plan.hash, alice)
    assert (draft.environment, draft.account, ("env", "dev") in draft.tags) == ("dev", DEV, True)
    scope = StandingScope(environment="dev", tag_key="env", tag_value="dev")
    terms: dict[str, Any] = {"scope": scope, "cap": 5, "days": 7, "reason": "nobody serves from dev"}
    made = await engine.standings.grant(plan.id, plan.hash, alice, **terms)

    # The scanner's finding still says dev; the bucket says otherwise by now.
    s3 = acme.aws.account(DEV).client("s3")
    s3.put_bucket_tagging(Bucket=target.name, Tagging={"TagSet": [{"Key": "env", "Value": "prod"}]})
    assert await engine.standings.tick() == 0
    (look,) = await engine.db.read(lambda conn: list(conn.execute(store.LOOKS.select())))
    assert "is not tagged env=dev: it has env=prod" in look.why
    assert await _changes(acme) == []

    s3.put_bucket_tagging(Bucket=target.name, Tagging={"TagSet": [{"Key": "env", "Value": "dev"}]})
    await engine.db.write(lambda conn: conn.execute(store.LOOKS.delete()) and None)
    assert await engine.standings.tick() == 1
    (use,) = await engine.db.read(lambda conn: list(conn.execute(store.USES.select())))
    assert (await engine.executor.run(use.execution_id)).value == "succeeded"
    assert all(_block(acme, target.name).values())
    assert len(await _changes(acme)) == len(plan.changes)
    assert (await engine.board.cause(cause.id)).stage is Stage.FIXED
    others = [c for c in await acme.causes(playbook="s3-block-public-access") if c.id != cause.id]
    assert others
    assert {c.state for c in others} == {"open"}
    with pytest.raises(Conflict):
        await engine.standings.grant(plan.id, plan.hash, alice, **{**terms, "cap": 1})
    (shown,) = await engine.standings.list(alice)
    assert (shown.standing.id, shown.standing.state, shown.uses) == (made.standing.id, StandingState.ACTIVE, 1)


async def test_what_aws_names_no_tags_of_and_what_is_of_the_account_is_left_to_people(acme: Acme) -> None:
    engine, alice = acme.engine, await acme.alice()
    (subnets,) = await acme.causes(playbook="vpc-subnet-no-public-ip", environment="dev", owner="platform")
    plan = (await engine.approvals.look(subnets.id, alice)).plan
    await engine.standings.grant(
        plan.id, plan.hash, alice, scope=StandingScope(environment="dev"), cap=5, days=7, reason="dev"
    )
    assert await engine.standings.tick() == 1  # six others of the account are one plan of too many resources
    (look,) = await engine.db.read(lambda conn: list(conn.execute(store.LOOKS.select())))
    assert "it changes 6 resources" in look.why
    (account,) = await acme.causes(playbook="iam-password-policy", environment="dev")
    plan = (await engine.approvals.look(account.id, alice)).plan
    with pytest.raises(Conflict, match="a whole account"):
        await engine.standings.draft(plan.id, plan.hash, alice)
