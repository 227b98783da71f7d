from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from .fakes import FakeSlack, World, living


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with living(tmp_path) as made:
        yield made


@pytest.fixture
async def slack() -> AsyncIterator[FakeSlack]:
    made = await FakeSlack().start()
    yield made
    await made.server.close()
