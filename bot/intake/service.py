"""The way findings come in: ``begin`` a run, store its pages, ``finish`` it. The loop never waits on the work."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from datetime import datetime

from sqlalchemy import Connection

from bot.domain.ids import Clock, IdSource
from bot.intake.matching import Asked
from bot.intake.ownership import load
from bot.intake.pipeline import Context, Stored, Tally, scope_text, store_page
from bot.intake.triage import rules_of
from bot.ports import FindingMapper, Page, PlaybookCatalog
from bot.settings import Settings
from bot.store import causes, findings, ledger, overrides, sources
from bot.store.database import Database

_POLL_COUNTS = ("received", "created", "changed", "unchanged", "resolved", "reopened", "rejected")


@dataclass(frozen=True, slots=True)
class IngestReport:
    """What a run did, in numbers and in sentences (``notes``)."""

    source: str
    poll_id: str
    received: int
    created: int
    changed: int
    unchanged: int
    resolved: int
    reopened: int
    suppressed: int
    ignored: int  # already resolved when first seen: nothing to store
    rejected: int  # could not be understood: kept aside
    cards: int  # first cards queued
    held: int  # new causes that went into a digest
    notes: tuple[str, ...] = field(default=())


class Intake:
    def __init__(self, db: Database, settings: Settings, catalog: PlaybookCatalog, clock: Clock, ids: IdSource) -> None:
        self._db, self._settings, self._catalog, self._clock, self._ids = db, settings, catalog, clock, ids
        self._rules = rules_of(settings)
        routing = settings.routing
        self._registers = load(routing.cmdb, routing.catalog, routing.codeowners)

    async def begin(self, source: str) -> Run:
        """Start a run over ``source`` (its name in gatehouse.yml, or the connector's)."""
        now, poll_id = self._clock.now(), self._ids.new("poll")

        def start(conn: Connection) -> None:
            sources.begin_poll(conn, poll_id=poll_id, source=source, now=now)
            overrides.sync_owners(conn, self._settings.routing.owners, now)

        await self._db.write(start)
        context = Context(
            self._settings,
            self._catalog,
            self._ids,
            source,
            poll_id,
            Asked(self._settings),
            rules=self._rules,
            registers=self._registers,
        )
        return Run(self._db, self._clock, context, now)

    async def cursor(self, source: str) -> dict[str, object] | None:
        """Where to go on from: the cursor stored with the last page."""
        return await self._db.read(sources.cursor, source)


class Run:
    """One run over a source. Pages are stored in order, each in one transaction with its cursor."""

    def __init__(self, db: Database, clock: Clock, context: Context, started: datetime) -> None:
        self._db, self._clock, self._context, self._started = db, clock, context, started
        self._tally = Tally()
        self._seen = array("q")  # hashes: eight bytes a finding, not an object
        self._scopes: dict[tuple[str, str], None] = {}
        self._notes: dict[str, None] = {}
        self._unknown = 0
        self._newest: datetime | None = None

    @property
    def id(self) -> str:
        return self._context.poll_id

    async def page(self, mapper: FindingMapper, page: Page) -> None:
        """Store a page. What cannot be understood is kept aside and counted, the rest is stored."""
        stored: Stored = await self._db.write(store_page, self._context, mapper, page, self._clock.now())
        self._tally.add(stored.tally)
        self._seen.extend(stored.seen)
        self._unknown += stored.unknown
        if stored.newest is not None and (self._newest is None or stored.newest > self._newest):
            self._newest = stored.newest
        self._scopes |= dict.fromkeys((mapper.source, scope_text(scope)) for scope in page.complete_scopes)
        for note in page.notes[: 100 - len(self._notes)]:
            self._notes[note[:500]] = None

    async def finish(self, *, complete: bool = False) -> IngestReport:
        """End the run; what vanished from the scopes it delivered completely is resolved."""
        report = await self._db.write(self._finish, complete)
        if self._tally.created:
            await self._db.write(findings.settle)
        return report

    async def fail(self, why: str) -> IngestReport:
        """End a run that broke off: stored pages stay, nothing vanishes, the error is noted at the source."""
        return await self._db.write(self._fail, why)

    def _finish(self, conn: Connection, complete: bool) -> IngestReport:
        now, context, tally = self._clock.now(), self._context, Tally()
        tally.add(self._tally)
        notes = list(self._notes)
        vanished: list[str] = []
        if self._scopes and self._unknown:
            notes.append(f"{self._unknown} objects could not be read at all, so nothing was resolved for being absent")
        elif self._scopes:
            vanished, touched = self._vanished(conn)
            tally.resolved += findings.resolve(conn, vanished, now, findings.VANISHED)
            causes.refresh(conn, context.ids, now, touched)
        if tally.voiceless:
            notes.append(f"{tally.voiceless} new causes have no channel: set routing.fallback in gatehouse.yml")
        for some in _slices(vanished, 1000):
            ledger.append(conn, kind="findings.vanished", subject=context.poll_id, actor="gatehouse", now=now,
                          body={"source": context.source, "findings": some})  # fmt: skip
        counts = {name: getattr(tally, name) for name in _POLL_COUNTS}
        sources.end_poll(
            conn, poll_id=context.poll_id, source=context.source, now=now, counts=counts, complete=complete,
            note="; ".join(notes), newest=self._newest,
        )  # fmt: skip
        ledger.append(conn, kind="source.polled", subject=context.poll_id, actor="gatehouse", now=now,
                      body={"source": context.source, "complete": complete, "counts": asdict(tally)})  # fmt: skip
        return self._report(tally, notes)

    def _vanished(self, conn: Connection) -> tuple[list[str], set[str]]:
        seen = set(self._seen)
        gone: list[str] = []
        touched: set[str] = set()
        for source, scope in self._scopes:
            for found, cause in findings.live_in_scope(conn, source, scope, self._started):
                if hash(found) not in seen:
                    gone.append(found)
                    touched.add(cause)
        return gone, touched

    def _fail(self, conn: Connection, why: str) -> IngestReport:
        now, context = self._clock.now(), self._context
        counts = {name: getattr(self._tally, name) for name in _POLL_COUNTS}
        sources.fail_poll(conn, poll_id=context.poll_id, source=context.source, now=now, counts=counts, why=why)
        ledger.append(conn, kind="source.failed", subject=context.poll_id, actor="gatehouse", now=now,
                      body={"source": context.source, "why": why[:2000], "counts": asdict(self._tally)})  # fmt: skip
        return self._report(self._tally, [*self._notes, why])

    def _report(self, tally: Tally, notes: Iterable[str]) -> IngestReport:
        counts = asdict(tally)
        counts.pop("voiceless")
        return IngestReport(source=self._context.source, poll_id=self._context.poll_id, notes=tuple(notes), **counts)


def _slices(items: list[str], size: int) -> Iterable[list[str]]:
    return (items[start : start + size] for start in range(0, len(items), size))
