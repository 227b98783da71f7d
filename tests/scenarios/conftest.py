"""One laboratory a session: AWS and the beginning are made once."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from bot.sandbox.aws import cloud_environment

from .world import Lab, laboratory


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
