"""What sources send by themselves: checked, stored, answered, then read by the API like a poll.

A body is a template that customers edit. It says that something changed; what it says of the finding is not believed
where the API can be asked. A delivery that is repeated, or replayed, makes us look once more, which changes nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from bot.domain.errors import BadInput, GatehouseError, Gone, NotFound, Refused, Relogin, RetryLater
from bot.domain.ids import Clock, IdSource
from bot.intake.service import Intake
from bot.ports import FindingMapper, Page, WebhookReader
from bot.store import webhooks as store
from bot.store.database import Database

log = logging.getLogger(__name__)
MAX_BODY = 1 << 20
BATCH = 20
ATTEMPTS = 8  # about four hours
FIRST_WAIT = timedelta(seconds=30)
LONGEST_WAIT = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Door:
    """A source that may send: its name in gatehouse.yml, who checks and reads, and how it is understood."""

    name: str
    reader: WebhookReader
    mapper: FindingMapper


class Webhooks:
    def __init__(
        self, db: Database, intake: Intake, doors: Mapping[str, Door], clock: Clock, ids: IdSource, worker: str
    ) -> None:
        self._db, self._intake, self._doors = db, intake, dict(doors)
        self._clock, self._ids, self._worker = clock, ids, worker

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(sorted(self._doors))

    async def receive(self, source: str, headers: Mapping[str, str], body: bytes) -> str:
        """Check and store a delivery. In words: "received", "received before", "a test message".

        ``NotFound``: no such door. ``Refused``: not from the source. ``BadInput``: too large.
        """
        door = self._doors.get(source)
        if door is None:
            raise NotFound(f"no source {source!r} takes webhooks", mend="Set webhook: true at the source.")
        if len(body) > MAX_BODY:
            raise BadInput(f"more than {MAX_BODY >> 20} MiB")
        now = self._clock.now()
        door.reader.verify(headers, body, now)
        notification = door.reader.understand(body)
        fresh = await self._db.write(
            _receive, self._ids.new("wh"), source, notification.key, body, now
        )  # fmt: skip
        return "received" if fresh else "received before"

    async def work_once(self) -> int:
        """Work off what is due; how many were taken."""
        rows = await self._db.write(store.claim, self._worker, self._clock.now(), BATCH)
        for row in rows:
            await self._work(row)
        return len(rows)

    async def tidy(self) -> int:
        return await self._db.write(store.forget, self._clock.now())

    async def close(self) -> None:
        for door in self._doors.values():
            await door.reader.close()

    async def _work(self, row: Any) -> None:
        door = self._doors.get(row.source)
        if door is None:
            await self._db.write(
                store.done, row.id, self._worker, "its source no longer takes webhooks", state="failed"
            )
            return
        try:
            said = await self._read(door, bytes(row.body))
        except (RetryLater, Relogin) as error:
            await self._again(row, error)
        except (Refused, Gone, BadInput) as error:
            log.warning("webhook %s of %s cannot be worked off: %s", row.id, row.source, error.reason)
            await self._db.write(store.done, row.id, self._worker, error.reason, state="failed")
        except GatehouseError as error:
            await self._again(row, error)
        except Exception as error:
            log.exception("webhook %s of %s", row.id, row.source)
            await self._again(row, GatehouseError(f"{type(error).__name__}: {error}"))
        else:
            await self._db.write(store.done, row.id, self._worker, said)

    async def _read(self, door: Door, body: bytes) -> str:
        notification = door.reader.understand(body)
        if not notification.refs and not notification.items:
            return notification.said or "it names no finding; the next poll reads what changed"
        pages = []
        if notification.refs:
            pages.append(await door.reader.fetch(notification.refs))
        if notification.items:
            pages.append(Page(items=tuple(notification.items)))
        run = await self._intake.begin(door.name)
        for page in pages:
            # A single object says nothing about the rest, and is no place to go on polling from.
            await run.page(door.mapper, Page(items=page.items, notes=page.notes, rejected=page.rejected))
        report = await run.finish(complete=False)
        return (
            f"{report.created} new, {report.changed} changed, {report.unchanged} unchanged, {report.rejected} rejected"
        )

    async def _again(self, row: Any, error: GatehouseError) -> None:
        if row.attempts + 1 >= ATTEMPTS:
            await self._db.write(store.done, row.id, self._worker, error.reason, state="failed")
            return
        asked = getattr(error, "after", None)
        wait = timedelta(seconds=asked) if asked else min(FIRST_WAIT * 2**row.attempts, LONGEST_WAIT)
        await self._db.write(store.later, row.id, self._worker, error.reason, self._clock.now() + wait)


def _receive(conn: Any, webhook_id: str, source: str, key: str, body: bytes, now: Any) -> bool:
    return store.receive(conn, webhook_id=webhook_id, source=source, key=key, body=body, now=now)
