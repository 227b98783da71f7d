"""A few real kills on each database; all there are: `make test-faults-nightly`."""

from __future__ import annotations

import asyncio

import pytest

from .sigkill import Databases, kills

KILLS_EACH = 4


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("database", ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
async def test_a_killed_process_breaks_no_rule(tmp_path, request, database):
    server = request.getfixturevalue("postgres_server") if database == "postgresql" else ""
    stores = Databases(tmp_path, server)
    try:
        calls, broken = await asyncio.to_thread(stores.run, None)
        assert not broken
        for fault in kills(calls, KILLS_EACH):
            _, broken = await asyncio.to_thread(stores.run, fault)
            assert not broken, f"call {fault.at} {calls[fault.at - 1]} {fault.mode}"
    finally:
        stores.close()
