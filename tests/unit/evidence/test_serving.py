"""A serving Gatehouse keeps its witnesses and feeds its sinks without being asked."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from bot.composition import serve
from bot.evidence.checkpoints import read_file
from bot.settings import Settings

from .conftest import World


async def test_a_serving_replica_writes_checkpoints_and_events(world: World) -> None:
    await world.grow(3)
    events = world.folder / "events.jsonl"
    world.replace_evidence(stream_file=events)
    settings = Settings(
        database_url=str(world.db.url),  # type: ignore[arg-type]
        evidence=world.settings.evidence,
    )
    stop = asyncio.Event()
    serving = asyncio.create_task(serve(settings, stop=stop, listen=False))
    try:
        async with asyncio.timeout(60):
            while not (written(world.file) and written(events)):
                assert not serving.done(), serving.exception()
                await asyncio.sleep(0.1)
    finally:
        stop.set()
        await serving
    assert read_file(world.file)[0].size >= 3
    seen = [json.loads(line)["metadata"]["sequence"] for line in lines(events)]
    assert seen[:3] == [1, 2, 3]


def written(path: Path) -> bool:
    return path.exists() and path.stat().st_size > 0


def lines(path: Path) -> list[str]:
    return path.read_text("utf-8").splitlines()
