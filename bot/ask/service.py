"""Ask: a question of a person, read, run within the person's rights, and put into words. It never changes anything."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from time import perf_counter
from typing import Any, Protocol

from sqlalchemy import Connection

from bot.ask import phrase, run, second, sql, vocabulary
from bot.ask.following import missed
from bot.ask.lists import MAX_ROWS
from bot.ask.reader import Reader
from bot.ask.reading import Outcome, Reading, Turn
from bot.domain import posture as p
from bot.domain.errors import BadInput
from bot.domain.habits import PLAIN, Habits
from bot.domain.ids import Clock
from bot.ports import QuestionReader
from bot.settings import Settings
from bot.store import ledger, people
from bot.store.database import Database

log = logging.getLogger(__name__)
FRESH = 60.0  # seconds after which the company's words are read again
THREADS = 1000  # conversations remembered


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks: ``principal`` is "" for nobody in particular."""

    principal: str = ""
    team: str | None = None
    role: str = ""


@dataclass(slots=True)
class Answer:
    """``rows`` and ``value`` as the question's kind has them; ``text`` is safe to post."""

    status: Outcome
    text: str
    as_of: datetime
    kind: p.Kind | None = None
    value: float | None = None
    rows: list[dict[str, Any]] = field(default_factory=list)
    total: int = 0
    query: p.PostureQuery | None = None
    how_read: str = ""
    read_ms: float = 0.0  # that reading the question took
    read_by: str = ""  # "both" readers agreed; "model": the embedded one did not understand it

    def contract(self, question_id: str | None) -> dict[str, Any]:
        """The JSON object of the command line (docs/ask.md)."""
        value = self.value
        return {
            "id": question_id,
            "status": self.status,
            "kind": self.kind.value if self.kind else None,
            "value": None if value is None else run.number(value),
            "rows": self.rows,
            "query": self.query.model_dump(mode="json", exclude_defaults=False, exclude_none=True)
            if self.query
            else None,
            "as_of": self.as_of.astimezone(UTC).isoformat().replace("+00:00", "Z"),
            "text": self.text,
        }


class Turns(Protocol):
    """Where the turn before of a conversation is kept. What one person was told is no turn before for somebody with
    other rights."""

    async def get(self, thread: str, rights: sql.Rights) -> Turn | None: ...

    async def put(self, thread: str, rights: sql.Rights, turn: Turn) -> None: ...


class MemoryTurns:
    """For one process and its life: the command line, tests."""

    def __init__(self) -> None:
        self._held: OrderedDict[tuple[str, sql.Rights], Turn] = OrderedDict()

    async def get(self, thread: str, rights: sql.Rights) -> Turn | None:
        return self._held.get((thread, rights))

    async def put(self, thread: str, rights: sql.Rights, turn: Turn) -> None:
        self._held[thread, rights] = turn
        self._held.move_to_end((thread, rights))
        while len(self._held) > THREADS:
            self._held.popitem(last=False)


@dataclass(slots=True)
class _Held:
    """The company's words as one with these rights may see them, and when to read them again."""

    reader: Reader
    until: datetime


class Ask:
    def __init__(
        self, db: Database, settings: Settings, clock: Clock, turns: Turns | None = None,
        second_reader: QuestionReader | None = None, rows: int = MAX_ROWS,
    ) -> None:  # fmt: skip
        """``rows``: how many of a list an answer holds at most; its ``total`` counts all."""
        self._rows = rows
        self._db, self._settings, self._clock, self._second = db, settings, clock, second_reader
        self._readers: dict[sql.Rights, _Held] = {}
        self._since: dict[datetime, tuple[int, bool]] = {}
        self._refreshing: dict[sql.Rights, asyncio.Task[None]] = {}
        self._turns: Turns = turns or MemoryTurns()

    async def asker(self, principal: str | None) -> Asker:
        """The person as stored or as gatehouse.yml has them; a stranger has no team."""
        return await self._db.read(self._asker, principal) if principal else Asker()

    def _asker(self, conn: Connection, principal: str) -> Asker:
        known = people.get(conn, principal)
        if known is not None:
            return Asker(principal, known.team or None, known.role)
        person = self._settings.people.get(principal)
        return Asker(principal, person.team, person.role) if person is not None else Asker(principal)

    def rights(self, who: Asker) -> sql.Rights:
        return sql.rights_of(self._settings.ask, who.team, who.role)

    async def ask(
        self,
        question: str,
        who: Asker,
        *,
        thread: str | None = None,
        as_of: datetime | None = None,
        habits: Habits = PLAIN,
        words: Habits | None = None,
    ) -> Answer:
        """Answer ``question``; ``thread`` makes it one of a conversation; ``as_of`` is the instant that is now.
        ``habits``: of who asks, whose days are meant; ``words``: of who reads it, where that is not the same."""
        now = as_of or self._clock.now()
        rights = self.rights(who)
        before = await self._turns.get(thread, rights) if thread else None
        words = words or habits
        answer, turn = await self._db.read(self._answer, question, who, before, now, as_of is not None, habits, words)
        if self._second is not None and before is None:
            answer = await self._read_twice(
                self._second, question, who, answer, now.astimezone(habits.tz), as_of is not None, words
            )
            turn = turn if answer.status == "answered" and answer.read_by != "model" else None
        if thread and turn is not None:
            await self._turns.put(thread, rights, turn)
        self._refresh(rights)
        return answer

    async def warm(self, rights: sql.Rights = sql.EVERYTHING) -> None:
        """Read the company's words before anybody asks."""
        await self._db.read(self._reader, rights)

    async def _read_twice(
        self, reader: QuestionReader, question: str, who: Asker, first: Answer, now: datetime, past: bool, words: Habits
    ) -> Answer:
        """A refusal stays one; what the data does not hold stays so; the rest is read by both."""
        if not second.open_to_another(first):
            return first
        told = await self._db.read(self._told, question, who)
        if told is None:
            return first
        reading = await second.read(reader, told[0], now, None)
        if reading.query is None or second.strangers(reading.query, *told):
            return first
        try:
            other = await self._db.read(self._run, reading.query, who, now.astimezone(UTC), past, words)
        except BadInput:
            return first
        return second.weigh(first, other)

    def _told(self, conn: Connection, question: str, who: Asker) -> tuple[second.Told, vocabulary.Vocabulary] | None:
        rights = self.rights(who)
        words = self._reader(conn, rights).vocabulary
        told = second.tell(question, words, lambda word: vocabulary.lookup(conn, rights, word))
        return (told, words) if told is not None else None

    async def recompute(
        self, query: p.PostureQuery, who: Asker, *, as_of: datetime | None = None, words: Habits = PLAIN
    ) -> Answer:
        """The Check button: the same query again, now."""
        now = as_of or self._clock.now()
        return await self._db.read(self._run, query, who, now, as_of is not None, words)

    def _answer(
        self,
        conn: Connection,
        question: str,
        who: Asker,
        before: Turn | None,
        now: datetime,
        past: bool,
        habits: Habits = PLAIN,
        words: Habits = PLAIN,
    ) -> tuple[Answer, Turn | None]:
        rights = self.rights(who)
        reader = self._reader(conn, rights)
        begun = perf_counter()

        def read(at: datetime) -> Reading:
            return reader.read(
                question, now=at, lookup=lambda word: vocabulary.lookup(conn, rights, word), team=who.team,
                before=before,
            )  # fmt: skip

        reading = read(habits.local(now))
        if reading.query is not None and reading.query.kind is p.Kind.TREND and habits.zone != "UTC":
            reading = read(now)  # a course is counted by days in UTC
        took = 1000 * (perf_counter() - begun)
        if reading.outcome != "answered" or reading.query is None or reading.parsed is None:
            turn = missed(before, question, reading.outcome) if before is not None else None
            return Answer(reading.outcome, phrase.plain(reading.said, 1000), now, read_ms=took), turn
        answer = self._run(conn, reading.query, who, now, past, words)
        answer.read_ms = took
        first = next((row["label"] for row in answer.rows[:1] if "label" in row), None)
        by = reading.parsed.by
        if first is None and before is not None:
            first, by = before.first, before.by  # "that team" still is the one of the ranking
        return answer, Turn(reading.parsed, first, by)

    def _run(
        self, conn: Connection, query: p.PostureQuery, who: Asker, now: datetime, past: bool, words: Habits = PLAIN
    ) -> Answer:
        # Where nothing happened since the instant asked for, what is stored is what stood then.
        past = past and self._happened_since(conn, now)
        frame = sql.frame(now, self._settings.sla, self.rights(who), past=past)
        result = run.run(conn, query, frame, self._rows)
        if query.kind is p.Kind.DETAIL and not result.rows:
            return Answer("clarify", f"I know no finding {phrase.plain(query.uid)}.", now)
        return Answer(
            "answered", phrase.sentence(query, result, now, words), now, query.kind, result.value, result.rows,
            result.total, query, phrase.how_read(query, now, words),
        )  # fmt: skip

    def _happened_since(self, conn: Connection, at: datetime) -> bool:
        """Whether anything happened after ``at``. Reading an index from end to end tells; that nothing did holds until
        the ledger grows, as whatever sets a finding's times leaves a record in the same transaction."""
        head = ledger.size(conn)
        known = self._since.get(at)
        if known is None or not (known[1] or known[0] == head):
            if len(self._since) > 100:
                self._since.clear()
            known = self._since[at] = (head, sql.changed_since(conn, at))
        return known[1]

    def _reader(self, conn: Connection, rights: sql.Rights) -> Reader:
        """The one at hand, however old: a newer one is made beside the answers, not in their way."""
        held = self._readers.get(rights)
        if held is None:
            held = self._load(conn, rights)
        return held.reader

    def _load(self, conn: Connection, rights: sql.Rights) -> _Held:
        run.tune(conn)
        begun = perf_counter()
        reader = Reader(vocabulary.load(conn, rights))
        took = perf_counter() - begun
        if len(self._readers) > 100:
            self._readers.clear()
        # Where reading the words is dear they are read less often: it takes a twentieth of one thread at most.
        until = self._clock.now() + timedelta(seconds=max(FRESH, 20 * took))
        held = self._readers[rights] = _Held(reader, until)
        return held

    def _refresh(self, rights: sql.Rights) -> None:
        held, running = self._readers.get(rights), self._refreshing.get(rights)
        if held is None or self._clock.now() < held.until or (running is not None and not running.done()):
            return
        self._refreshing[rights] = asyncio.create_task(self._reload(rights), name="ask: read the words again")

    async def _reload(self, rights: sql.Rights) -> None:
        try:
            await self._db.read(self._load, rights)
        except Exception:  # the old words still serve, and the next question tries again
            log.exception("the company's words could not be read again")
        finally:
            self._refreshing.pop(rights, None)
