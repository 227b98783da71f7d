"""The journal under pressure: what arrives together is stored together, and one bad row is nobody else's loss."""

from __future__ import annotations

import asyncio

import pytest

from handlers.slack.payloads import Origin

from .conftest import Edge

ORIGIN = Origin(team="T1", user="UANN", user_team="T1")


async def test_clicks_that_arrive_together_are_stored_once_each(edge: Edge) -> None:
    desk = edge.app.desk
    names = [f"click-{number % 100}" for number in range(200)]
    new = await asyncio.gather(*(desk.receive(name, "action.review", ORIGIN, "{}") for name in names))
    assert sum(new) == 100
    assert edge.count("clicks") == 100


async def test_a_click_that_cannot_be_stored_is_nobody_elses_loss(edge: Edge) -> None:
    desk = edge.app.desk
    payloads = ["{}", "{}", "\ud800", "{}", "{}"]  # a lone surrogate is no text for a database
    came = await asyncio.gather(
        *(desk.receive(f"click-{n}", "action.review", ORIGIN, text) for n, text in enumerate(payloads)),
        return_exceptions=True,
    )
    assert [x for n, x in enumerate(came) if n != 2] == [True] * 4
    assert isinstance(came[2], UnicodeEncodeError)
    assert edge.count("clicks") == 4


async def test_a_database_that_fails_leaves_the_click_unacknowledged(
    edge: Edge, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Slack sends again what was not acknowledged; an acknowledged click that is nowhere would be lost."""
    metadata = await edge.asked()
    real = edge.db.write

    async def broken(*_args: object, **_kw: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(edge.db, "write", broken)
    body = edge.sealed(edge.submit_body("UANN", metadata))
    assert await edge.deliver(*body) == 500
    monkeypatch.setattr(edge.db, "write", real)
    assert await edge.deliver(*body) == 200
    await edge.settle()
    assert edge.count("executions") == 1


async def test_many_slow_pieces_of_work_do_not_hold_up_the_acknowledgement(edge: Edge) -> None:
    gate = asyncio.Event()

    async def slow() -> None:
        await gate.wait()

    for _ in range(200):
        edge.app.desk.spawn(slow())
    async with asyncio.timeout(5):
        assert await edge.deliver(*edge.sealed(edge.click_body("UANN")), drain=False) == 200
    assert edge.count("clicks") == 1
    gate.set()
