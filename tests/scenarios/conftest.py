"""One laboratory a session: AWS and the beginning are made once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from bot.sandbox.aws import cloud_environment

from .world import Lab, laboratory

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All of this folder in one worker: it has one AWS, and what was played once is not played again."""
    for item in items:
        if item.path.parent == HERE:
            item.add_marker(pytest.mark.xdist_group("scenarios"))


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def made_lab(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Lab]:
    async with laboratory(tmp_path_factory.mktemp("scenarios")) as made:
        yield made


@pytest.fixture
def lab(made_lab: Lab, monkeypatch: pytest.MonkeyPatch) -> Lab:
    """With AWS clients that know the simulated AWS only, and none of the other tests' clients do."""
    for name, value in cloud_environment(made_lab.aws.endpoint).items():
        monkeypatch.setenv(name, value)
    return made_lab
