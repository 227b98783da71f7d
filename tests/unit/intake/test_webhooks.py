"""Webhooks: checked, stored before they are answered, read by the API, worked off once."""

from __future__ import annotations

import hmac
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from sqlalchemy import select

from bot.domain.errors import Refused, RetryLater
from bot.intake.service import Intake
from bot.intake.webhooks import ATTEMPTS, MAX_BODY, Door, Webhooks
from bot.ports import Notification, Page
from bot.store.database import Database
from bot.store.findings import FINDINGS
from bot.store.webhooks import WEBHOOKS
from handlers.webhooks.routes import routes

from .kit import CountedIds, Mapper, StillClock

GOOD = {"X-Secret": "s3cret"}


class Reader:
    """A source with a static secret whose API holds ``held``."""

    source = "toy"

    def __init__(self, held: dict[str, Mapping[str, Any]]) -> None:
        self.held, self.fetched, self.down = held, list[str](), 0

    def verify(self, headers: Mapping[str, str], body: bytes, now: datetime) -> None:
        if not hmac.compare_digest(headers.get("X-Secret", ""), "s3cret"):
            raise Refused("the webhook does not carry the secret")

    def understand(self, body: bytes) -> Notification:
        said = json.loads(body)
        return Notification(key=body.hex()[:64], refs=tuple(said.get("ids", ())), said=said.get("said", ""))

    async def fetch(self, refs: Sequence[str]) -> Page:
        if self.down:
            self.down -= 1
            raise RetryLater("the API is down")
        self.fetched += refs
        return Page(items=tuple(self.held[ref] for ref in refs if ref in self.held))

    async def close(self) -> None:
        return None


@pytest.fixture
def reader() -> Reader:
    return Reader({"a": {"uid": "a", "severity": "HIGH"}, "b": {"uid": "b"}})


@pytest.fixture
def webhooks(db: Database, intake: Intake, clock: StillClock, ids: CountedIds, reader: Reader) -> Webhooks:
    return Webhooks(db, intake, {"acme": Door("acme", reader, Mapper())}, clock, ids, "w1")


async def rows(db: Database, table: Any) -> list[Any]:
    return await db.read(lambda conn: list(conn.execute(select(table)).all()))


async def post(webhooks: Webhooks, source: str, body: bytes, headers: Mapping[str, str] = GOOD) -> int:
    app = web.Application()
    app.add_routes(routes(webhooks))
    async with TestClient(TestServer(app)) as client, client.post(
        f"/webhooks/{source}", data=body, headers=headers
    ) as answer:  # fmt: skip
        return answer.status


async def test_a_delivery_is_stored_before_it_is_answered_and_read_by_the_api(
    db: Database, webhooks: Webhooks, reader: Reader
) -> None:
    assert await post(webhooks, "acme", b'{"ids": ["a"], "severity": "LOW, says the body"}') == 200
    assert [row.state for row in await rows(db, WEBHOOKS)] == ["queued"]
    assert await rows(db, FINDINGS) == []
    assert await webhooks.work_once() == 1
    found = await rows(db, FINDINGS)
    assert [(row.uid, row.severity) for row in found] == [("a", 4)]
    assert [(row.state, row.said) for row in await rows(db, WEBHOOKS)] == [
        ("done", "1 new, 0 changed, 0 unchanged, 0 rejected")
    ]
    assert await webhooks.work_once() == 0


@pytest.mark.parametrize("headers", [{}, {"X-Secret": ""}, {"X-Secret": "s3cres"}])
async def test_who_is_not_the_source_leaves_no_trace(db: Database, webhooks: Webhooks, headers: dict[str, str]) -> None:
    assert await post(webhooks, "acme", b'{"ids": ["a"]}', headers) == 401
    assert await rows(db, WEBHOOKS) == []


async def test_no_such_door_and_too_large_a_body(db: Database, webhooks: Webhooks) -> None:
    assert await post(webhooks, "nobody", b"{}") == 404
    assert await post(webhooks, "acme", b" " * (MAX_BODY + 1)) == 413
    assert await rows(db, WEBHOOKS) == []


async def test_a_delivery_that_is_repeated_is_one_piece_of_work(
    db: Database, webhooks: Webhooks, reader: Reader
) -> None:
    for _ in range(3):
        assert await post(webhooks, "acme", b'{"ids": ["a"]}') == 200
    assert await webhooks.work_once() == 1
    assert reader.fetched == ["a"]
    # The same words later are news: the body is a template, the finding may have changed again.
    await post(webhooks, "acme", b'{"ids": ["a"]}')
    reader.held["a"] = {"uid": "a", "severity": "LOW"}
    await webhooks.work_once()
    assert [row.severity for row in await rows(db, FINDINGS)] == [2]


async def test_an_api_that_is_down_is_asked_again_later_and_given_up_in_the_end(
    db: Database, webhooks: Webhooks, reader: Reader, clock: StillClock
) -> None:
    await post(webhooks, "acme", b'{"ids": ["a"]}')
    reader.down = 1
    assert await webhooks.work_once() == 1
    assert await webhooks.work_once() == 0, "not before its time"
    clock.move(minutes=1)
    assert await webhooks.work_once() == 1
    assert [row.uid for row in await rows(db, FINDINGS)] == ["a"]
    await post(webhooks, "acme", b'{"ids": ["b"]}')
    reader.down = 100
    for _ in range(ATTEMPTS):
        await webhooks.work_once()
        clock.move(hours=2)
    assert [row.state for row in await rows(db, WEBHOOKS)] == ["done", "failed"]


async def test_a_worker_that_died_leaves_its_delivery_to_the_next(
    db: Database, webhooks: Webhooks, intake: Intake, clock: StillClock, ids: CountedIds, reader: Reader
) -> None:
    await post(webhooks, "acme", b'{"ids": ["a"]}')
    from bot.store import webhooks as store

    await db.write(store.claim, "dead", clock.now(), 10)
    assert await webhooks.work_once() == 0
    clock.move(minutes=3)
    assert await webhooks.work_once() == 1


async def test_a_body_without_a_finding_is_named(db: Database, webhooks: Webhooks) -> None:
    await post(webhooks, "acme", b'{"said": "a test message"}')
    await webhooks.work_once()
    assert [row.said for row in await rows(db, WEBHOOKS)] == ["a test message"]
