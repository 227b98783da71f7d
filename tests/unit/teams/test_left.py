"""What a crash or a fault leaves in the journal of clicks of Teams, and what becomes of it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from bot.domain.views import Notice
from bot.store import clicks
from bot.store.database import Database
from bot.store.outbox import OUTBOX
from handlers.teams.left import resume
from handlers.teams.payloads import click_of, journal_of, origin_of

from .governed import IDS, MEMBERS, Governed, governing, head, value
from .kit import World, said
from .test_wire import NOW
from .world import ALICE, TENANT, press


@pytest.fixture
async def governed(tmp_path: Path) -> AsyncIterator[Governed]:
    async with governing(tmp_path, policy="") as made:
        yield made


async def test_what_a_crash_left_is_finished_and_told(world: World) -> None:
    before = NOW - timedelta(minutes=5)
    sent = press("gh.send_snooze", {"c": "c-1"}, given={"days": "7", "reason": "later"}, id="9")
    looked = press("gh.details", {"c": "c-1"}, id="10")
    for kind, what in (("submit.send_snooze", sent), ("action.details", looked)):
        origin = origin_of(what)
        await world.db.write(
            clicks.receive, click_id=click_of(what, origin), platform="teams", kind=kind,
            identity=origin.identity.model_dump_json(), payload=journal_of(what, origin), now=before,
        )  # fmt: skip
    assert await resume(world.desk) == 2
    assert world.services.did("snooze") == [("snooze", "c-1", f"{TENANT}/{ALICE}", 7, "later")]
    assert sorted(world.clicks()) == [("action.details", "failed"), ("submit.send_snooze", "done")]
    rows = world.db.read_sync(lambda conn: conn.exec_driver_sql("SELECT channel FROM outbox").all())
    assert [row[0] for row in rows] == [ALICE, ALICE]
    assert await resume(world.desk) == 0


async def test_what_broke_off_is_kept_tried_again_and_told_once(world: World) -> None:
    calls: list[str] = []

    async def breaks(cause: str, actor: Any, days: int, reason: str) -> Notice:
        calls.append(cause)
        if len(calls) < 3:
            raise ConnectionError("the database is away: secret")
        return Notice(ok=True, said="Snoozed.")

    world.services.snooze = breaks  # type: ignore[method-assign]
    answer = await world.press("gh.send_snooze", {"c": "c-1"}, {"days": "7", "reason": "later"})
    assert "is kept and is tried again by itself" in said(answer)
    assert "secret" not in said(answer)
    (kind, state) = world.clicks()[0]
    assert (kind, state) != ("submit.send_snooze", "done")
    clock: Any = world.desk.engine.clock
    clock.now = lambda: NOW + timedelta(minutes=2)
    assert await resume(world.desk) == 1  # and breaks off again
    assert await told(world.db) == []
    assert await resume(world.desk) == 1
    assert await told(world.db) == [(ALICE, "Snoozed.")]
    assert world.clicks() == [("submit.send_snooze", "done")]
    assert len(calls) == 3


async def test_what_breaks_off_for_too_long_is_closed_and_told(world: World) -> None:
    async def breaks(*_: Any) -> Notice:
        raise ConnectionError("away")

    world.services.snooze = breaks  # type: ignore[method-assign]
    await world.press("gh.send_snooze", {"c": "c-1"}, {"days": "7", "reason": "later"})
    clock: Any = world.desk.engine.clock
    clock.now = lambda: NOW + timedelta(minutes=20)
    assert await resume(world.desk) == 1
    ((_, line),) = await told(world.db)
    assert "Something went wrong on our side." in line
    assert world.clicks() == [("submit.send_snooze", "failed")]
    assert await resume(world.desk) == 0


async def test_a_button_that_broke_off_is_not_pressed_again_by_itself(world: World) -> None:
    world.services.raises["cause"] = RuntimeError("x")
    await world.press("gh.details", {"c": "c-1"})
    assert world.clicks() == [("action.details", "failed")]


async def test_a_row_that_cannot_be_closed_does_not_hide_what_was_done(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise ConnectionError("away")

    with monkeypatch.context() as patched:
        patched.setattr(clicks, "finish", broken)
        answer = await world.press("gh.send_snooze", {"c": "c-1"}, {"days": "7", "reason": "later"})
    assert "Snoozed." in said(answer)
    clock: Any = world.desk.engine.clock
    clock.now = lambda: NOW + timedelta(minutes=2)
    assert await resume(world.desk) == 1
    assert world.clicks() == [("submit.send_snooze", "done")]


async def test_a_command_that_was_carried_out_before_the_crash_is_told_as_done(governed: Governed) -> None:
    await governed.say("ann", "freeze env:prod deploy")
    await governed.say("ann", "delegate <at>Nick</at> 7d leave", mentions={MEMBERS["nick"]: "Nick"})
    form = await governed.say("ann", "delegate")
    given = {"to": "abe", "days": "7", "reason": "leave"}
    done = await governed.press("ann", "send_delegate", value(form, "send_delegate"), given)
    assert "may vote in your stead" in head(done)
    await governed.say("ann", "status")
    reopen = "UPDATE clicks SET state = 'received', outcome = ''"
    await governed.db.write(lambda conn: conn.exec_driver_sql(reopen) and None)
    before = await governed.kinds()
    governed.clock.pass_(minutes=5)
    assert await resume(governed.desk) == 5
    assert await governed.kinds() == before  # nothing twice
    lines = [line for channel, line in await told(governed.db) if channel == IDS["ann"]]
    assert sum("was carried out" in line for line in lines) == 3
    assert sum("press again" in line for line in lines) == 2


async def told(db: Database) -> list[tuple[str, str]]:
    rows = await db.read(lambda conn: conn.execute(OUTBOX.select().where(OUTBOX.c.kind == "direct")).all())
    return [(row.channel, str(json.loads(row.payload)["line"])) for row in rows]
