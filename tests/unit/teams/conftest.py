"""Fixtures of the Teams tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from .kit import World, recorded


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with recorded(tmp_path) as made:
        yield made


@pytest.fixture(scope="session")
def lamps_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the databases of the lamps stand: their schema is made once."""
    return tmp_path_factory.mktemp("lamps")
