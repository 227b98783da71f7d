"""Poller and write-back of Security Hub against its simulator over HTTP, through boto3 and an assumed role."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from aiohttp.test_utils import TestServer

from bot.domain.errors import Gone, Relogin
from bot.domain.findings import SourceStatus
from bot.ports import SourceNote
from bot.sandbox.vendors.company import START, World
from bot.sandbox.vendors.security_hub import SecurityHub
from bot.settings import AwsSettings, Settings
from connectors.registry import connector
from tests.unit.intake.kit import StillClock

ROLES = AwsSettings(
    read_role="arn:aws:iam::{account}:role/read", write_role="arn:aws:iam::{account}:role/write", region="eu-west-1"
)


class Site:
    def __init__(self) -> None:
        self.clock = StillClock(START + timedelta(days=1))
        self.world = World(20, seed=4, demo=False)
        self.hub = SecurityHub(self.world, now=self.clock.now)
        self.server = TestServer(self.hub.app(), host="127.0.0.1")
        self.settings = Settings(aws=ROLES)

    @property
    def options(self) -> dict[str, Any]:
        address = str(self.server.make_url("")).rstrip("/")
        return {"endpoint_url": address, "region": "us-east-1", "account": "111122223333"}

    async def read(self, cursor: Any = None) -> tuple[dict[str, Any], Any]:
        """uid -> raw of what a poll delivers, and the last cursor."""
        poller: Any = connector("security_hub").poller(self.settings, self.options)
        mapper = connector("security_hub").mapper()
        found: dict[str, Any] = {}
        try:
            async for page in poller.poll(cursor, self.clock.now()):
                found |= {mapper.map(item).uid: item for item in page.items}
                cursor = page.cursor or cursor
        finally:
            await poller.close()
        return found, cursor


@pytest.fixture
async def site(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Site]:
    for name in ("HTTP_PROXY", "http_proxy", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    made = Site()
    await made.server.start_server()
    yield made
    await made.server.close()


async def test_a_fix_that_is_told_comes_back_with_the_next_poll_and_a_relapse_is_new_again(site: Site) -> None:
    found, cursor = await site.read()
    assert len(found) == 20
    problem = next(one for one in site.world.problems() if one.kind == "posture")
    uid = "|".join(site.hub.identity(problem))
    found_way = connector("security_hub").write_back
    assert found_way is not None
    back = found_way(site.settings, site.options)
    note = SourceNote(key="tell-1", uid=uid, to="fixed", note="Fixed by Gatehouse [tell-1]", raw=found[uid])
    assert not await back.told(note)
    assert "RESOLVED" in await back.tell(note)
    assert await back.told(note)
    assert site.hub.note(problem) == "Fixed by Gatehouse [tell-1]"
    with pytest.raises(Gone):
        await back.told(SourceNote(key="k", uid=f"nobody|{uid.rpartition('|')[2]}", to="fixed", note="n"))
    await back.close()
    site.clock.move(hours=2)
    found, cursor = await site.read(cursor)
    mapper = connector("security_hub").mapper()
    assert mapper.map(found[uid]).result is SourceStatus.RESOLVED  # UpdatedAt did not move: the second query found it
    site.world.edit(problem.key, site.clock.now(), status="resolved")
    site.clock.move(minutes=1)
    site.world.edit(problem.key, site.clock.now(), status="open")
    site.clock.move(minutes=1)
    found, _ = await site.read(cursor)
    assert mapper.map(found[uid]).result is SourceStatus.NEW


async def test_credentials_that_ended_ask_for_renewal(site: Site) -> None:
    site.hub.faults.next = ["expired"]
    with pytest.raises(Relogin, match="does not accept our credentials"):
        await site.read()
    assert len((await site.read())[0]) == 20
