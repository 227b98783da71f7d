"""Checkpoints: made when something happened, noted in three places, and never over a log that was tampered with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, select

from bot.domain.errors import BadInput
from bot.evidence import checkpoints
from bot.evidence.checkpoints import Broken, Checkpoint, parse, read_file
from bot.store import ledger
from bot.store.outbox import OUTBOX

from .conftest import CHANNEL, START, World, append, both_databases, forge, rehash, rows

FALLBACK = "slack:C0OPS"


def said(world: World) -> list[tuple[str, str]]:
    import json

    with world.db.engine.connect() as conn:
        found = conn.execute(select(OUTBOX).order_by(OUTBOX.c.seq))
        return [(f"{row.platform}:{row.channel}", json.loads(row.payload)["line"]) for row in found]


@both_databases
async def test_a_tick_notes_a_grown_log_in_database_file_and_channel(world: World) -> None:
    await world.grow(5)
    made = await world.checkpoints().tick()
    assert made is not None
    assert (made.origin, made.size, made.root) == ("gatehouse", 5, world.db.read_sync(ledger.root, 5))
    assert [row.size for row in world.db.read_sync(ledger.checkpoints)] == [5]
    assert read_file(world.file) == [made]
    assert said(world) == [(CHANNEL, made.line)]
    assert parse(said(world)[0][1]) == [made], "what the channel shows is a witness as it stands"


def texts(value: Any) -> list[str]:
    """Every string in a payload."""
    if isinstance(value, dict | list):
        return [found for each in (value.values() if isinstance(value, dict) else value) for found in texts(each)]
    return [value] if isinstance(value, str) else []


async def test_what_slack_shows_of_a_checkpoint_is_still_a_witness(world: World) -> None:
    from bot.ports import Message
    from handlers.slack.poster import payload_of

    for root in ("+" * 43 + "=", "/" * 43 + "=", "ab+/" * 10 + "abc="):
        made = parse(f"gatehouse-prod 1042 {root} 2026-11-25T12:00:00.123456+00:00")[0]
        shown = payload_of(Message(kind="direct", subject="", channel="C1", view=None, text=made.line))
        assert parse(shown["text"]) == [made]
        assert any(parse(text) == [made] for text in texts(shown["blocks"]))


async def test_nothing_is_noted_while_nothing_happens_or_too_early(world: World) -> None:
    keeper = world.checkpoints()
    assert await keeper.tick() is None
    await world.grow(2)
    assert await keeper.tick() is not None
    await world.grow(1)
    assert await keeper.tick() is None, "the last is minutes old"
    world.clock.forward(minutes=60)
    assert await keeper.tick() is not None
    world.clock.forward(days=3)
    assert await keeper.tick() is None, "the log did not grow"
    assert [each.size for each in read_file(world.file)] == [2, 3]


async def test_two_replicas_note_the_same_log_once(world: World) -> None:
    import asyncio

    await world.grow(3)
    made = await asyncio.gather(*(world.checkpoints().tick() for _ in range(4)))
    assert len([each for each in made if each]) == 1
    assert len(said(world)) == 1


async def test_a_file_that_could_not_be_written_gets_what_it_missed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper = world.checkpoints()

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    await world.grow(2)
    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "append_file", full)
        with pytest.raises(OSError, match="No space"):
            await keeper.tick()
    await world.grow(2)
    world.clock.forward(hours=2)
    await keeper.tick()
    assert [each.size for each in read_file(world.file)] == [2, 4]


def test_a_line_that_a_crash_cut_off_spoils_no_other(tmp_path: Path) -> None:
    file = tmp_path / "witness"
    one, two, three = (Checkpoint("gatehouse", n, f"{n:02d}" * 32, START.isoformat()) for n in (1, 2, 3))
    checkpoints.append_file(file, [one])
    for cut in range(1, len(two.text)):
        torn = one.text + "\n" + two.text[:cut]
        file.write_text(torn)
        checkpoints.append_file(file, [three])
        found = read_file(file)
        assert found[0] == one
        assert found[-1] == three
        assert all(each in {one, two, three} or each.size == 2 for each in found)


async def test_a_rolled_back_database_gets_no_checkpoint_and_operators_hear_of_it_once_a_day(world: World) -> None:
    world.settings = world.settings.model_copy(
        update={"routing": world.settings.routing.model_copy(update={"fallback": (FALLBACK,)})}
    )
    await world.witnessed(4, 9)

    def roll_back(conn: Any) -> None:
        forge(conn, rows(conn)[:6])
        conn.execute(delete(ledger.CHECKPOINTS).where(ledger.CHECKPOINTS.c.size > 6))
        conn.execute(delete(OUTBOX))

    world.db.write_sync(roll_back)
    world.clock.forward(days=1)
    keeper = world.checkpoints()
    for _ in range(3):
        assert await keeper.tick() is None
    assert [place for place, _ in said(world)] == [FALLBACK, CHANNEL]
    assert "saw 9 records, the log has 6" in said(world)[0][1]
    # Going on does not hide it either.
    for number in range(20):
        world.db.write_sync(append, 100 + number, world.clock.now())
    world.clock.forward(days=1)
    assert await keeper.tick() is None
    assert "the first 9 records are not those" in said(world)[-1][1]
    assert [row.size for row in world.db.read_sync(ledger.checkpoints)] == [4]
    with pytest.raises(Broken):
        await keeper.make()


async def test_a_truncated_or_forked_log_gets_no_checkpoint_though_there_is_no_file(world: World) -> None:
    world.replace_evidence(checkpoint_file=None)
    await world.witnessed(8)
    world.clock.forward(days=1)
    for attack in (lambda records: records[:5], lambda records: rehash([{**records[0], "actor": "m"}, *records[1:]])):
        kept = world.db.read_sync(rows)
        world.db.write_sync(lambda conn, attack=attack: forge(conn, attack(rows(conn))))
        await world.grow(1) if attack(kept)[0]["actor"] == "m" else None
        assert await world.checkpoints().tick() is None
        assert "does not hold" in said(world)[-1][1]
        world.db.write_sync(forge, kept)


async def test_a_file_without_any_checkpoint_is_refused(tmp_path: Path) -> None:
    for content in (b"hello", b"\xff\xfe"):
        (tmp_path / "f").write_bytes(content)
        with pytest.raises(BadInput):
            read_file(tmp_path / "f")
    with pytest.raises(BadInput, match="cannot read"):
        read_file(tmp_path / "none")
