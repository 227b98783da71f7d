"""The platforms' own validators, of which there is one process a batch."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable

import pytest

from bot.domain.errors import SettingsError
from tests.tools import judge as tools

Judge = Callable[[Iterable[tools.Case]], list[list[str]]]


@pytest.fixture(scope="session")
def judge() -> Judge:
    try:
        tools.judge([])  # fetched when they are not here yet
    except SettingsError as error:
        if os.environ.get("CI"):
            pytest.fail(f"cards must be judged by the platforms' validators: {error}")
        pytest.skip(f"no validators of the platforms: {error}")
    return tools.judge
