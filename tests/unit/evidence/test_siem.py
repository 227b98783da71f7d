"""The stream to a SIEM: every record arrives, in order, whatever fails; doubles carry the same id."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from bot.composition import event_sinks
from bot.domain.errors import OutcomeUnknown, Refused, RetryLater, SettingsError
from bot.evidence import ocsf, siem
from bot.evidence.siem import STREAMS, JsonLines, SiemStream
from bot.settings import Settings
from bot.store import ledger

from .conftest import START, World, both_databases, forge, rows
from .test_checkpoints import FALLBACK, said


class FakeSink:
    """Takes events; fails as it is told, before or after it took them."""

    name = "fake"

    def __init__(self, *failures: Exception | str) -> None:
        self.failures = list(failures)
        self.taken: list[str] = []
        self.calls = 0

    async def send(self, events: Sequence[Mapping[str, Any]]) -> None:
        self.calls += 1
        failure = self.failures.pop(0) if self.failures else None
        if isinstance(failure, Exception):
            raise failure
        self.taken += [event["metadata"]["uid"] for event in events]
        if failure == "after":
            raise OutcomeUnknown("the answer was lost")
        if failure == "killed":
            raise asyncio.CancelledError

    async def close(self) -> None: ...


class Waits:
    def __init__(self) -> None:
        self.seconds: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)


def stream(world: World, *sinks: Any, worker: str = "w-1", waits: Waits | None = None) -> SiemStream:
    return SiemStream(world.db, sinks, world.clock, world.ids, worker, tell=(FALLBACK,), sleep=waits or Waits())


def hashes(world: World) -> list[str]:
    return [record["hash"] for record in world.db.read_sync(rows)]


def cursor(world: World) -> Any:
    return world.db.read_sync(lambda conn: conn.execute(select(STREAMS)).first())


@both_databases
async def test_every_record_arrives_once_and_in_order_while_nothing_fails(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(siem, "BATCH", 4)
    sink = FakeSink()
    feed = stream(world, sink)
    assert await feed.tick() == 0
    await world.grow(10)
    assert await feed.tick() == 10
    assert await feed.tick() == 0
    await world.grow(1)
    assert await feed.tick() == 1
    assert sink.taken == hashes(world)
    assert cursor(world).seq == 11
    assert cursor(world).leased_until is None


async def test_a_failing_sink_gets_everything_later_and_doubles_have_the_same_id(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(siem, "BATCH", 3)
    await world.grow(9)
    kinds: list[list[Any]] = [
        [RetryLater("busy")], ["after"], [OutcomeUnknown("?")] * 2, [RetryLater("busy")] * 7, [Refused("no")] * 2,
        ["after"] * 5, [ValueError("a bug")],
    ]  # fmt: skip
    for failures in kinds:
        sink = FakeSink(*failures)
        sink.name = f"fake-{kinds.index(failures)}"
        feed = stream(world, sink)
        for _ in range(8):
            await feed.tick()
        assert list(dict.fromkeys(sink.taken)) == hashes(world), failures


async def test_tries_within_a_tick_are_bounded_and_honour_the_wait(world: World) -> None:
    await world.grow(1)
    waits = Waits()
    sink = FakeSink(*[RetryLater("busy", after=2.0)] * 10)
    assert await stream(world, sink, waits=waits).tick() == 0
    assert (sink.calls, waits.seconds) == (siem.TRIES, [2.0, 2.0])
    long = FakeSink(RetryLater("busy", after=600.0))
    long.name = "long"
    assert await stream(world, long, waits=waits).tick() == 0
    assert (long.calls, len(waits.seconds)) == (1, 2), "the next tick is soon enough"


async def test_what_a_sink_refuses_is_not_skipped_and_operators_hear_of_it_once_a_day(world: World) -> None:
    await world.grow(3)
    sink = FakeSink(*[Refused("Incorrect index")] * 4)
    feed = stream(world, sink)
    for _ in range(3):
        assert await feed.tick() == 0
        world.clock.forward(minutes=1)
    assert [place for place, _ in said(world)] == [FALLBACK]
    assert "Incorrect index" in said(world)[0][1]
    row = cursor(world)
    assert (row.seq, row.error, row.failing_since is not None) == (0, "Incorrect index", True)
    world.clock.forward(days=1)
    await feed.tick()
    assert len(said(world)) == 2
    assert await feed.tick() == 3
    row = cursor(world)
    assert (row.seq, row.error, row.failing_since) == (3, "", None)
    assert sink.taken == hashes(world)


async def test_a_replica_killed_between_sending_and_noting_sends_again(world: World) -> None:
    await world.grow(4)
    sink = FakeSink("killed")
    with pytest.raises(asyncio.CancelledError):
        await stream(world, sink).tick()
    assert await stream(world, sink, worker="w-2").tick() == 4
    assert sink.taken == hashes(world) * 2


async def test_a_sink_is_fed_by_one_replica_at_a_time(world: World) -> None:
    await world.grow(4)
    begun, go_on = asyncio.Event(), asyncio.Event()

    class Slow(FakeSink):
        async def send(self, events: Sequence[Mapping[str, Any]]) -> None:
            begun.set()
            await go_on.wait()
            await super().send(events)

    slow, other = Slow(), FakeSink()
    first = asyncio.create_task(stream(world, slow).tick())
    await begun.wait()
    assert await stream(world, other, worker="w-2").tick() == 0
    # The first hangs longer than its lease: another takes over, and the first does not move the cursor any more.
    world.clock.forward(minutes=6)
    assert await stream(world, other, worker="w-2").tick() == 4
    go_on.set()
    assert await first == 0
    assert cursor(world).seq == 4


async def test_a_slow_or_broken_sink_holds_up_no_other(world: World) -> None:
    await world.grow(2)
    broken, good = FakeSink(*[Refused("no")] * 9), FakeSink()
    broken.name = "broken"
    assert await stream(world, broken, good).tick() == 2
    assert good.taken == hashes(world)


async def test_a_ledger_shorter_than_what_the_siem_has_is_told(world: World) -> None:
    await world.grow(6)
    sink = FakeSink()
    feed = stream(world, sink)
    await feed.tick()
    world.db.write_sync(lambda conn: forge(conn, rows(conn)[:4]))
    assert await feed.tick() == 0
    assert "it has the ledger up to record 6, the database only 4" in said(world)[0][1]


async def test_under_any_mixture_of_failures_nothing_is_lost_or_out_of_order(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.grow(12)
    dice = random.Random(7)
    for number in range(40):
        monkeypatch.setattr(siem, "BATCH", dice.randint(1, 5))
        ways: list[Any] = [None, RetryLater("busy"), OutcomeUnknown("?"), Refused("no"), "after", "killed"]
        sink = FakeSink(*dice.choices(ways, k=dice.randint(0, 20)))
        sink.name = f"fake-{number}"
        for _ in range(40):
            try:
                await stream(world, sink, worker=f"w-{dice.random()}").tick()
            except asyncio.CancelledError:
                world.clock.forward(minutes=dice.choice([0, 10]))
        world.clock.forward(minutes=10)
        await stream(world, sink).tick()
        assert list(dict.fromkeys(sink.taken)) == hashes(world)


# --- file ------------------------------------------------------------------------------------------------------------


async def test_the_file_holds_one_event_a_line_and_half_a_line_of_a_crash_is_cut_off(world: World) -> None:
    await world.grow(3)
    file = world.folder / "stream" / "events.jsonl"
    feed = stream(world, JsonLines(file))
    await feed.tick()
    whole = file.read_bytes()
    for cut in (1, 10, 70_000):
        file.write_bytes(whole + b'{"half": "' + b"x" * cut)
        await world.grow(1)
        await feed.tick()
        lines = file.read_text("utf-8").splitlines()
        events = [json.loads(line) for line in lines]
        assert events[:3] == [json.loads(line) for line in whole.splitlines()]
        assert events[-1]["metadata"]["uid"] == hashes(world)[-1]
    assert file.read_bytes().endswith(b"\n")


async def test_a_file_that_cannot_be_written_is_tried_again(world: World) -> None:
    await world.grow(1)
    (world.folder / "blocked").write_text("a file where a folder should be")
    feed = stream(world, JsonLines(world.folder / "blocked" / "events.jsonl"))
    assert await feed.tick() == 0
    assert "cannot write" in cursor(world).error
    (world.folder / "blocked").unlink()
    assert await feed.tick() == 1


# --- mapping ---------------------------------------------------------------------------------------------------------

NEEDED = {
    6007: {"scan"},
    6003: {"actor", "api", "src_endpoint"},
    3004: {"entity"},
    7001: {"command_uid"},
}


def event(kind: str, body: Mapping[str, Any] | None = None, actor: str = "alice") -> dict[str, Any]:
    at = START.isoformat()
    record = {"seq": 3, "at": at, "kind": kind, "subject": "s-1", "actor": actor, "body": json.dumps(body or {})}
    return ocsf.event(record | {"prev": "0" * 64, "hash": "a" * 64})


@pytest.mark.parametrize(
    "kind", [*ocsf._KINDS, "execution.finished", "step.done", "standing.granted", "break_glass.used"]
)
def test_every_kind_becomes_an_event_with_what_its_class_requires(kind: str) -> None:
    made = event(kind)
    required = {"activity_id", "category_uid", "class_uid", "type_uid", "time", "severity_id", "metadata"}
    assert required | NEEDED[made["class_uid"]] <= set(made)
    assert made["type_uid"] == made["class_uid"] * 100 + made["activity_id"]
    assert made["metadata"]["version"] == "1.5.0"
    assert (made["metadata"]["uid"], made["metadata"]["sequence"]) == ("a" * 64, 3)
    assert made["time"] == int(START.timestamp() * 1000)
    assert made["unmapped"]["ledger"]["kind"] == kind


@pytest.mark.parametrize(
    ("kind", "body", "expected"),
    [
        ("execution.finished", {"state": "succeeded", "kind": "fix"}, (7001, 4, 1, 1)),
        ("execution.finished", {"state": "succeeded", "kind": "undo"}, (7001, 3, 1, 1)),
        ("execution.finished", {"state": "failed", "kind": "fix"}, (7001, 4, 2, 4)),
        ("step.unknown", {}, (7001, 99, 0, 4)),
        ("refused", {"wanted": "approve", "reason": "four eyes"}, (6003, 99, 2, 3)),
        ("decision.made", {"outcome": "approved"}, (3004, 1, 1, 1)),
        ("source.failed", {"why": "throttled"}, (6007, 6, 2, 3)),
        ("break_glass.used", {}, (3004, 99, 1, 4)),
        ("something.new", {}, (3004, 99, 1, 1)),
    ],
)
def test_class_activity_status_and_severity(kind: str, body: dict[str, Any], expected: tuple[int, ...]) -> None:
    made = event(kind, body)
    assert (made["class_uid"], made["activity_id"], made["status_id"], made["severity_id"]) == expected


async def test_a_record_can_be_checked_again_from_its_event(world: World) -> None:
    from bot.domain.ids import canonical

    await world.grow(2)
    told = ocsf.event(world.db.read_sync(rows)[1])["unmapped"]["ledger"]
    values = [told[k] for k in ("seq", "at", "kind", "subject", "actor")]
    assert ledger.record_hash(*values, canonical(told["body"]).decode(), told["prev"]) == told["hash"]


# --- settings --------------------------------------------------------------------------------------------------------


def test_sinks_are_those_configured_and_half_a_configuration_is_refused(tmp_path: Path) -> None:
    none = Settings()
    assert event_sinks(none) == []
    evidence = {
        "stream_file": tmp_path / "e",
        "syslog": {"host": "h"},
        "splunk": {"url": "https://s:8088", "token": "t"},
    }
    assert [sink.name for sink in event_sinks(Settings(evidence=evidence))] == ["file", "syslog", "splunk"]  # type: ignore[arg-type]
    for splunk in ({"url": "https://s:8088"}, {"url": "splunk", "token": "t"}):
        with pytest.raises(SettingsError, match=r"evidence\.splunk"):
            event_sinks(Settings(evidence={"splunk": splunk}))  # type: ignore[arg-type]
