"""What it costs when a channel of Teams with 60 deciders opens: ``python -m tests.bench.refresh``.

The real engine on SQLite, one cause with a pending request. Each person's client asks for their own card, as Teams does
by itself: first after something changed, then again. Without HTTP and without the check of the token.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from pathlib import Path

from tests.unit.teams.lamps import World, channel_of


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder) / "bench.db", crowd=58)
        async with channel_of(world, "olga", *world.approvers) as channel:
            await world.asked("olga")
            view = await world.engine.board.cause(world.cause)
            people = [each for name in world.approvers if (each := world.people.remembered(world.who(name)))]
            for name in ("the first channel", "each other"):
                begun = time.perf_counter()
                await world.engine.rights.facing(view, people)
                taken_ = (time.perf_counter() - begun) * 1e3
                print(f"who of {len(people)} is named in a card, {name}: {taken_:.0f} ms")
            await channel.show()
            card = channel.card()
            for name in ("first time", "from memory"):
                taken = []
                for person in world.approvers:
                    begun = time.perf_counter()
                    answer = await channel.refresh(card, person)
                    taken.append((time.perf_counter() - begun) * 1e3)
                    assert answer["statusCode"] == 200
                print(f"a refresh, {name}: median {statistics.median(taken):.1f} ms, all 60: {sum(taken):.0f} ms")


if __name__ == "__main__":
    asyncio.run(main())
