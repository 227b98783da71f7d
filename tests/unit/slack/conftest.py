from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from .fakes import FakeSlack, World, build_world


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    made = await build_world(tmp_path)
    yield made
    await made.app.desk.drain()
    await made.http.close()
    await made.slack.server.close()
    await made.db.close()
    assert made.slack.wrong == []  # whatever was sent, Slack would take it


@pytest.fixture
async def slack() -> AsyncIterator[FakeSlack]:
    made = await FakeSlack().start()
    yield made
    await made.server.close()
