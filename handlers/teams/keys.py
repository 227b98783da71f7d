"""The channel's signing keys, read from its OpenID document: held in memory, and nobody waits who need not.

Rules
- A known key is found at once, also while keys are being read. Old keys are read anew beside the requests.
- Only a request with a key nobody knows waits for a reading, at most every five minutes; all that wait share one.
- After a reading that failed nothing waits for some seconds. Keys not confirmed for a week hold no longer.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import aiohttp
from jwt.algorithms import RSAAlgorithm

log = logging.getLogger(__name__)
CHANNEL = "msteams"
KEYS_LAST = 24 * 3600.0  # seconds until they are read anew
KEYS_END = 7 * 24 * 3600.0  # and until they hold no longer
KEYS_PAUSE = 300.0  # between two readings for an unknown key id
FAILED_PAUSE = 5.0  # after a reading that failed
PATIENCE = 10.0  # for one reading
FAULTS = (aiohttp.ClientError, TimeoutError, OSError, ValueError, KeyError, TypeError)


@dataclass(frozen=True, slots=True)
class Key:
    """What the SDK asks a key for."""

    public_key: Any
    endorsements: list[str]


class Keys:
    def __init__(self, url: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._url, self._clock = url, clock
        self._held: dict[str, Key] = {}
        self._read_at: float | None = None  # when they were read well
        self._tried_at: float | None = None
        self._failed_at: float | None = None
        self._reading: asyncio.Task[None] | None = None

    async def get(self, key_id: str | None) -> Key:
        """``LookupError`` for an unknown one, ``PermissionError`` for one that does not speak for Teams."""
        if not key_id:
            raise LookupError("the token names no key")
        age = self._age(self._read_at)
        if age is not None and age >= KEYS_END:
            self._held = {}
        found = self._held.get(key_id)
        if found is None:
            tried = self._age(self._tried_at)
            if self._reading is not None or not self._held or tried is None or tried >= KEYS_PAUSE:
                await self.fresh()
            found = self._held.get(key_id)
        elif age is not None and age >= KEYS_LAST and not self._paused():
            self._begin()
        if found is None:
            raise LookupError("the token's key is not one of the channel's")
        if CHANNEL not in found.endorsements:
            raise PermissionError("the key is not endorsed for this channel")
        return found

    async def keep(self) -> None:
        """Read them where there are none or they are old."""
        age = self._age(self._read_at)
        if not self._held or age is None or age >= KEYS_LAST:
            await self.fresh()

    async def fresh(self) -> None:
        """Read them, together with whoever waits for the same."""
        if self._paused():
            raise LookupError("the channel's keys cannot be read at the moment")
        await asyncio.shield(self._begin())

    def _age(self, at: float | None) -> float | None:
        return None if at is None else self._clock() - at

    def _paused(self) -> bool:
        failed = self._age(self._failed_at)
        return failed is not None and failed < FAILED_PAUSE

    def _begin(self) -> asyncio.Task[None]:
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._read_all())
            self._reading.add_done_callback(self._ended)
        return self._reading

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._reading = None
        if not task.cancelled() and (error := task.exception()):
            held = "the old ones still hold" if self._held else "nobody is believed meanwhile"
            log.warning("the channel's keys could not be read (%s); %s", type(error).__name__, held)

    async def _read_all(self) -> None:
        self._tried_at = self._clock()
        try:
            async with asyncio.timeout(PATIENCE):
                self._held = await self._read()
        except BaseException:
            self._failed_at = self._clock()
            raise
        self._read_at, self._failed_at = self._clock(), None

    async def _read(self) -> dict[str, Key]:
        async with aiohttp.ClientSession(raise_for_status=True) as session:
            async with session.get(self._url) as answer:
                named = (await answer.json(content_type=None))["jwks_uri"]
            async with session.get(named) as answer:
                keys = (await answer.json(content_type=None))["keys"]
        made = {}
        for key in keys:
            if isinstance(key, dict) and key.get("kty") == "RSA" and key.get("kid"):
                made[str(key["kid"])] = Key(RSAAlgorithm.from_jwk(json.dumps(key)), list(key.get("endorsements", ())))
        if not made:
            raise ValueError("the channel names no key")
        return made
