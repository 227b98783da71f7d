"""All vendors at once, without a browser: a card with its witnesses, a fix that tells them, and their scans that agree.

The bot runs as in production against the gate; what people click is asked of an engine on the same database.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy import select

from bot.composition import build_engine
from bot.domain.decisions import Choice, RequestState
from bot.domain.ids import SystemClock
from bot.domain.principals import Platform, PlatformIdentity
from bot.domain.views import CauseView, Stage
from bot.engine import Engine
from bot.sandbox import slack
from bot.sandbox.vendors import estate
from bot.sandbox.world import World
from bot.store.findings import FINDINGS
from handlers.slack.connection import SlackSide

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(240)]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world() -> AsyncIterator[World]:
    patched = pytest.MonkeyPatch()
    patched.setattr(estate, "EVERY_MINUTES", 0.1)
    patched.setattr(estate, "LOOK_SECONDS", 3600.0)  # scans are called for here
    try:
        async with World(vendors=True) as running:
            yield running
    finally:
        patched.undo()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine(world: World) -> AsyncIterator[Engine]:
    assert world.settings is not None
    side = await SlackSide.open(world.settings, SystemClock())
    made = build_engine(world.settings, directories={Platform.SLACK: side.directory})
    yield made
    await side.close()
    await made.db.close()


async def soon(what: Callable[[], Awaitable[Any]], said: str, seconds: float = 90) -> Any:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if found := await what():
            return found
        await asyncio.sleep(0.5)
    pytest.fail(f"not within {seconds:.0f} s: {said}")


def card(world: World, cause: str) -> str:
    """What the card of a cause says now, as the gate saw it going out."""
    sent = [
        call for call in world.gate.calls
        if call["ok"] and call["method"] in ("chat.postMessage", "chat.update") and cause in str(call["args"])
    ]  # fmt: skip
    return str(sent[-1]["args"].get("blocks", "")) if sent else ""


async def test_a_fix_is_told_to_every_witness_and_the_card_waits_until_their_scans_agree(
    world: World, engine: Engine
) -> None:
    assert world.estate is not None
    snapshot = world.company.ids["snapshot/ledger-2026-06"]

    async def several() -> CauseView | None:
        def read(conn: Any) -> list[str]:
            mine = FINDINGS.c.resource_uid.endswith(snapshot.rpartition("/")[2])
            return list(conn.execute(select(FINDINGS.c.cause_id).distinct().where(mine)).scalars())

        for cause in await engine.db.read(read):
            view = await engine.board.cause(cause)
            if view.witnessed and len(view.witnessed.sources) >= 3:
                return view
        return None

    view: CauseView = await soon(several, "three witnesses of one public snapshot")
    assert view.witnessed is not None
    assert "prowler" in view.witnessed.sources
    assert "the same problem (" in view.witnessed.issues[0].why

    async def actor(member: slack.Member) -> Any:
        who = PlatformIdentity(platform=Platform.SLACK, tenant=slack.TEAM, user=member.id)
        return await engine.people.actor(who)

    plan = (await engine.approvals.look(view.id, await actor(slack.OLIVIA))).plan
    request = await engine.approvals.ask(plan.id, plan.hash, await actor(slack.OLIVIA), "please")
    for member in (slack.ALICE, slack.BOB):
        if request.state is RequestState.PENDING:
            request = await engine.approvals.vote(
                request.id,
                plan.hash,
                request.revision,
                await actor(member),
                Choice.APPROVE,
                "reviewed",
                str(len(plan.targets)),
            )

    async def fixed() -> CauseView | None:
        now = await engine.board.cause(view.id)
        return now if now.stage is Stage.FIXED and now.agreement else None

    waits: CauseView = await soon(fixed, "the fix, with sources that have yet to look")
    assert waits.agreement is not None
    assert "prowler" in waits.agreement.waiting_for

    async def shown() -> bool:
        return "Fixed, waiting for the next scan of" in card(world, view.id)

    await soon(shown, "a card that waits for scans")

    async def agreed() -> bool:
        assert world.estate is not None
        for vendor in world.estate.vendors:
            await world.estate.scan(vendor)
        now = await engine.board.cause(view.id)
        return now.agreement is None

    await soon(agreed, "every witness agrees")

    async def gone() -> bool:
        return "waiting for the next scan" not in card(world, view.id)

    await soon(gone, "a card that waits for nobody")
    assert "does not agree" not in card(world, view.id)
