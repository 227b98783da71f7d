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
