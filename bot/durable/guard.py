"""The last door before an effect: only a replica that is alive, by the database's word, passes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from bot.domain.plans import Call
from bot.ports import Attribution, Cloud, CloudFactory, CloudReader

from .replicas import Superseded

Confirm = Callable[[], Awaitable[None]]


class GuardedClouds:
    """A ``CloudFactory`` whose writers ask ``confirm`` right before each call. Reading needs no leave."""

    def __init__(self, clouds: CloudFactory, confirm: Confirm) -> None:
        self._clouds, self._confirm = clouds, confirm

    def reader(self, why: Attribution) -> CloudReader:
        return self._clouds.reader(why)

    def writer(self, why: Attribution) -> Cloud:
        return _GuardedCloud(self._clouds.writer(why), self._confirm)


class _GuardedCloud:
    def __init__(self, cloud: Cloud, confirm: Confirm) -> None:
        self._cloud, self._confirm = cloud, confirm

    async def read(self, call: Call) -> dict[str, Any]:
        return await self._cloud.read(call)

    async def write(self, call: Call, *, idempotency_key: str) -> dict[str, Any]:
        try:
            await self._confirm()
        except Superseded as error:
            # As if this worker had been killed here: it writes down no outcome, whoever took over reads the resource.
            raise asyncio.CancelledError(str(error)) from error
        return await self._cloud.write(call, idempotency_key=idempotency_key)
