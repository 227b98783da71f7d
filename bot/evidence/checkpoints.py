"""Checkpoints: what the ledger was at a moment, noted where whoever can write the database cannot reach.

Rules
- A checkpoint is text: origin, number of records, root (base64) and time, one a line; in chat the same four words.
- One is made when the log grew and the last is old enough; database row and chat messages in one transaction, the
  file afterwards and, after a crash, at the next tick.
- Before a new one, the log is held against the newest in the database and in the file. Where they disagree none is
  made: a checkpoint over an altered log would vouch for it. Operators are told once a day.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

from sqlalchemy import Connection

from bot.domain.errors import BadInput, GatehouseError
from bot.domain.ids import Clock, IdSource
from bot.settings import Settings
from bot.store import ledger, outbox
from bot.store.database import Database

log = logging.getLogger(__name__)

# The verifier that goes with every pack reads the same form; it stands there a second time because it stands alone.
_FORM = re.compile(r"(\S+)\s+(\d{1,18})\s+([A-Za-z0-9+/]{43}=)\s+(\d{4}-\d\d-\d\dT\S+)")


class Broken(GatehouseError):
    """The ledger is not what a witness saw."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    origin: str
    size: int
    root: str  # hex
    at: str  # RFC 3339

    @property
    def text(self) -> str:
        """Four lines."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(bytes.fromhex(self.root)).decode()}\n{self.at}\n"

    @property
    def line(self) -> str:
        """For chat: the same four words in one line."""
        return f"Ledger checkpoint, a witness to keep: {' '.join(self.text.split())}"

    def witness(self, where: str) -> ledger.Witness:
        return ledger.Witness(self.size, self.root, f"the checkpoint of {self.at} in {where}")


def parse(text: str) -> list[Checkpoint]:
    """Every checkpoint in a text: a witness file, or what was copied from a channel."""
    found = []
    # In chat the colons of a time are shown as look-alikes, so that nothing becomes an emoji (cards/foreign.py), and a
    # line ends as a sentence does.
    for origin, size, root, at in _FORM.findall(text.replace("∶", ":")):
        found.append(Checkpoint(origin, int(size), base64.b64decode(root).hex(), at.rstrip(".")))
    return found


def read_file(path: Path) -> list[Checkpoint]:
    """The checkpoints of a file, as they stand in it; ``BadInput`` where there is none in it."""
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"cannot read the checkpoints in {path}: {error}", mend="Name a readable file.") from error
    found = parse(text)
    if text.strip() and not found:
        raise BadInput(f"{path} holds no checkpoint", mend="It holds origin, size, root and time, one a line.")
    return found


def append_file(path: Path, new: Sequence[Checkpoint]) -> None:
    """Append, and do not return before the disk has it. A line that a crash cut off is ended first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b") as file:
        torn = b""
        if file.seek(0, os.SEEK_END):
            file.seek(-1, os.SEEK_END)
            torn = b"" if file.read(1) == b"\n" else b"\n\n"
        file.write(torn + "".join(each.text + "\n" for each in new).encode())
        file.flush()
        os.fsync(file.fileno())


def in_file(settings: Settings) -> list[Checkpoint]:
    """What the configured witness file holds; nothing when there is no such file (yet)."""
    path = settings.evidence.checkpoint_file
    if path is None or not path.exists():
        return []
    with path.open("rb") as file:
        start = file.read(400)
    # A crash in the middle of the very first one: nothing is in it yet, and nothing else either.
    torn = start.count(b"\n") < 4 and settings.evidence.origin.encode().startswith(start.split(b"\n")[0])
    return [] if torn else read_file(path)


def verify(conn: Connection, seen: Sequence[tuple[Checkpoint, str]] = ()) -> ledger.LedgerReport:
    """Walk the whole ledger, against the checkpoints in the database and those ``seen`` at a named place."""
    return ledger.verify(conn, [checkpoint.witness(where) for checkpoint, where in seen])


class Checkpoints:
    def __init__(self, db: Database, settings: Settings, clock: Clock, ids: IdSource) -> None:
        self._db, self._settings, self._clock, self._ids = db, settings, clock, ids
        self._every = timedelta(minutes=settings.evidence.checkpoint_minutes)
        self._told: date | None = None

    async def tick(self) -> Checkpoint | None:
        """Make a checkpoint when one is due, and bring the file up to date."""
        try:
            made = None
            if await self._db.read(self._due, False):
                made = await self.make(force=False)
            await asyncio.to_thread(self._write_file)
        except Broken as error:
            log.error("%s", error)
            await self._alarm(error)
            return None
        return made

    async def make(self, *, force: bool = True) -> Checkpoint | None:
        """Note the log as it is now. None when it did not grow (or, unless ``force``, the last is recent)."""
        seen = await asyncio.to_thread(self._newest_in_file)
        made: Checkpoint | None = await self._db.write(self._make, force, seen)
        if made is not None:
            await asyncio.to_thread(self._write_file)
        return made

    def _due(self, conn: Connection, force: bool) -> bool:
        last = ledger.last_checkpoint(conn)
        if last is None:
            return ledger.size(conn) > 0
        if not force and self._clock.now() - datetime.fromisoformat(last.at) < self._every:
            return False
        # Smaller: truncated. That must be looked at, too.
        return bool(ledger.size(conn) != last.size)

    def _make(self, conn: Connection, force: bool, seen: Checkpoint | None) -> Checkpoint | None:
        ledger.lock(conn)
        last = ledger.last_checkpoint(conn)
        if last is not None:
            known = Checkpoint(last.origin, last.size, last.root, last.at)
            _compare(conn, known.witness("the database"))
        if seen is not None:
            _compare(conn, seen.witness(str(self._settings.evidence.checkpoint_file)))
        if not self._due(conn, force):
            return None  # another replica was faster
        evidence, size = self._settings.evidence, ledger.size(conn)
        made = Checkpoint(evidence.origin, size, ledger.root(conn, size), self._clock.now().isoformat())
        ledger.save_checkpoint(conn, origin=made.origin, of_size=size, root_=made.root, at=made.at)
        for address in evidence.checkpoint_channels:
            outbox.tell(conn, self._ids, self._clock.now(), address, made.line, dedupe=f"checkpoint:{size}:{address}")
        return made

    def _newest_in_file(self) -> Checkpoint | None:
        return max(in_file(self._settings), key=lambda each: each.size, default=None)

    def _write_file(self) -> None:
        """Append what the file lacks: the newest, and after a crash or a full disk the ones before it, too."""
        path = self._settings.evidence.checkpoint_file
        if path is None:
            return
        newest = self._newest_in_file()
        rows = self._db.read_sync(ledger.checkpoints, above=newest.size if newest else -1)
        if rows:
            append_file(path, [Checkpoint(row.origin, row.size, row.root, row.at) for row in rows])

    async def _alarm(self, error: Broken) -> None:
        today = self._clock.now().date()
        if self._told == today:
            return
        await self._db.write(self._tell, f"The ledger does not hold: {error.reason}. {error.mend}")
        self._told = today

    def _tell(self, conn: Connection, line: str) -> None:
        now = self._clock.now()
        places = (*self._settings.routing.fallback, *self._settings.evidence.checkpoint_channels)
        for address in dict.fromkeys(places):
            outbox.tell(conn, self._ids, now, address, line, dedupe=f"ledger-broken:{now.date()}:{address}")


def _compare(conn: Connection, witness: ledger.Witness) -> None:
    """Raise ``Broken`` when the log, as its tree says, is not what the witness saw."""
    mend = "Run `gatehouse ledger verify`, keep this database and the witnesses, and find out who wrote to it."
    have = ledger.size(conn)
    if have < witness.size:
        raise Broken(f"{witness.where} saw {witness.size} records, the log has {have}", mend=mend)
    if ledger.root(conn, witness.size) != witness.root:
        raise Broken(f"the first {witness.size} records are not those that {witness.where} saw", mend=mend)
