"""Conversations in the database: they outlive a restart and belong to every replica."""

from __future__ import annotations

import json
import logging
from datetime import datetime, timedelta

from pydantic import TypeAdapter, ValidationError
from sqlalchemy import Connection

from bot.ask.reading import Turn
from bot.ask.sql import Rights
from bot.domain.ids import Clock
from bot.store import answers
from bot.store.database import Database

log = logging.getLogger(__name__)
KEEP = timedelta(hours=24)  # how long a follow-up may refer to what was asked before
_TURN = TypeAdapter(Turn)


def rights_key(rights: Rights) -> str:
    """The same for the same rights, on every replica."""
    if rights.everything:
        return "*"
    return json.dumps([sorted(rights.teams), sorted(rights.accounts)], separators=(",", ":"))


class StoredTurns:
    """Implements ``bot.ask.service.Turns``."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db, self._clock = db, clock

    async def get(self, thread: str, rights: Rights) -> Turn | None:
        """None also where what is stored was written by a version that read questions otherwise."""
        doc, _ = await self._db.read(answers.conversation, thread, rights_key(rights), self._clock.now())
        if not doc:
            return None
        try:
            return _TURN.validate_json(doc)
        except ValidationError:
            log.info("the turn before of %s is of another version; the question is read alone", thread)
            return None

    async def put(self, thread: str, rights: Rights, turn: Turn, *, keep: timedelta = KEEP) -> None:
        doc, until = _TURN.dump_json(turn).decode(), self._clock.now() + keep
        await self._db.write(_remember, thread, rights_key(rights), until, doc)


def _remember(conn: Connection, thread: str, rights: str, until: datetime, doc: str) -> None:
    answers.remember(conn, thread, rights, until, turn=doc)
