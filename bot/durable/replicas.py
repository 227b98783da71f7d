"""Which replicas live: one row each, under the database's own time, with a number that only grows.

Rules
- A replica beats under its number. One that was silent for ``ttl`` is marked dead by whoever notices, in one statement
  under that number; the leases it held are given up in the same transaction, so a survivor goes on at once.
- A replica that wakes up after that finds its number stale: ``Superseded``, and it acts no more.
- Before an effect ``confirm`` is asked. It costs nothing while the last beat is fresh by the local clock (one that runs
  on while the process is stopped) and beats first otherwise, so a paused replica cannot act on what it knew before.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    and_,
    cast,
    delete,
    func,
    insert,
    literal_column,
    or_,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError

from bot.domain.errors import GatehouseError, SettingsError
from bot.domain.ids import Clock
from bot.store import ledger
from bot.store.database import Database
from bot.store.tables import ExecutionRow, ReplicaRow, SourceRow

log = logging.getLogger(__name__)
REPLICAS = ReplicaRow.__table__  # type: ignore[attr-defined]
EXECUTIONS = ExecutionRow.__table__  # type: ignore[attr-defined]
SOURCES = SourceRow.__table__  # type: ignore[attr-defined]
TTL_SECONDS = 20.0
KEEP_DAYS = 7
ALIVE, DEAD, STOPPED = "alive", "dead", "stopped"


class Superseded(GatehouseError):
    """Another replica has taken over from this one: its number is stale, it must not act."""


def steady() -> float:
    """Seconds that also pass while the process, or the machine, is suspended."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.clock_gettime(clock) if clock is not None else time.monotonic()


def database_ms(conn: Connection) -> ColumnElement[int]:
    """Now, by the database: milliseconds since 1970."""
    if conn.dialect.name == "postgresql":
        return cast(func.extract("epoch", func.clock_timestamp()) * 1000, BigInteger)
    return cast(literal_column("(julianday('now') - 2440587.5) * 86400000"), BigInteger)


@dataclass(frozen=True, slots=True)
class Replica:
    name: str
    fence: int
    state: str
    started_ms: int


class Membership:
    """This process among the replicas: ``join``, ``beat`` from time to time, ``confirm`` before acting, ``leave``."""

    def __init__(
        self, db: Database, name: str, clock: Clock, *, ttl: float = TTL_SECONDS, steady: Callable[[], float] = steady
    ) -> None:
        self._db, self.name, self._clock, self.ttl, self._steady = db, name, clock, ttl, steady
        self.fence = 0
        self.lost = False
        self._fresh_until = 0.0
        self._beating = asyncio.Lock()

    async def join(self) -> None:
        """Take a number. A name that a living replica has is refused."""
        asked = self._steady()
        try:
            self.fence = await self._db.write(self._join)
        except IntegrityError as error:  # two processes took a new name at the same moment
            raise _shared(self.name) from error
        self.lost = False
        self._fresh(asked)

    async def beat(self) -> None:
        """Say "alive". ``Superseded`` when another replica took over meanwhile."""
        async with self._beating:
            asked = self._steady()
            if self.lost or not await self._db.write(self._beat):
                self.lost = True
                raise Superseded(
                    f"this replica, {self.name}, was silent for too long and another one took over its work",
                    mend="Start it again. If it comes back: is the machine overloaded, or the database out of reach?",
                )
            self._fresh(asked)

    async def confirm(self) -> None:
        """Return when this replica may act now; ``Superseded`` when it may not."""
        if self.lost or self._steady() >= self._fresh_until:
            await self.beat()

    async def leave(self) -> None:
        """Give up what is held, so that others need not wait."""
        self._fresh_until = 0.0
        if not self.lost:
            self.lost = True
            await self._db.write(self._leave)

    async def bury(self) -> list[str]:
        """Mark the silent ones dead and give up their leases. Their names."""
        if not await self._db.read(self._silent):
            return []
        return await self._db.write(self._bury)

    async def living(self) -> list[Replica]:
        """The living, the one that joined first in front."""
        return await self._db.read(_living)

    async def prune(self) -> int:
        """Forget replicas that ended long ago."""
        return await self._db.write(_prune)

    def _fresh(self, asked: float) -> None:
        # From before the question was asked, and less than the ttl: this side must give up first.
        self._fresh_until = asked + self.ttl * 0.8

    # --- one transaction each ----------------------------------------------------------------------------------------

    def _join(self, conn: Connection) -> int:
        now = conn.execute(select(database_ms(conn))).scalar_one()
        fence = conn.execute(select(func.coalesce(func.max(REPLICAS.c.fence), 0) + 1)).scalar_one()
        found = conn.execute(select(REPLICAS).where(REPLICAS.c.name == self.name)).first()
        values = {"fence": fence, "state": ALIVE, "started_ms": now, "beat_ms": now}
        if found is None:
            conn.execute(insert(REPLICAS), {"name": self.name, **values})
            return int(fence)
        if found.state == ALIVE and found.beat_ms > now - self.ttl * 1000:
            raise _shared(self.name)
        taken = conn.execute(
            update(REPLICAS).where(REPLICAS.c.name == self.name, REPLICAS.c.fence == found.fence).values(values)
        )
        if not taken.rowcount:
            raise _shared(self.name)
        release(conn, self.name)
        return int(fence)

    def _mine(self) -> ColumnElement[bool]:
        return and_(REPLICAS.c.name == self.name, REPLICAS.c.fence == self.fence, REPLICAS.c.state == ALIVE)

    def _beat(self, conn: Connection) -> bool:
        return bool(conn.execute(update(REPLICAS).where(self._mine()).values(beat_ms=database_ms(conn))).rowcount)

    def _leave(self, conn: Connection) -> None:
        if conn.execute(update(REPLICAS).where(self._mine()).values(state=STOPPED)).rowcount:
            release(conn, self.name)

    def _silent(self, conn: Connection) -> list[tuple[str, int]]:
        late = REPLICAS.c.beat_ms < database_ms(conn) - int(self.ttl * 1000)
        rows = conn.execute(
            select(REPLICAS.c.name, REPLICAS.c.fence).where(
                REPLICAS.c.state == ALIVE, late, REPLICAS.c.name != self.name
            )
        )
        return [(row.name, row.fence) for row in rows]

    def _bury(self, conn: Connection) -> list[str]:
        if not self._beat(conn):
            return []  # who is dead itself buries nobody
        buried = []
        for name, fence in self._silent(conn):
            late = REPLICAS.c.beat_ms < database_ms(conn) - int(self.ttl * 1000)
            its = (REPLICAS.c.name == name) & (REPLICAS.c.fence == fence) & (REPLICAS.c.state == ALIVE) & late
            if conn.execute(update(REPLICAS).where(its).values(state=DEAD)).rowcount:
                release(conn, name)
                body = {"fence": fence, "by": self.name}
                now = self._clock.now()
                ledger.append(conn, kind="replica.dead", subject=name, actor="gatehouse", body=body, now=now)
                buried.append(name)
        return buried


def release(conn: Connection, name: str) -> None:
    """Give up the leases of a replica that ended. Its fences stay as they are: the next holder takes higher ones.

    A message that was being sent keeps its (short) lease: the time within which its call can still arrive.
    """
    for table in (EXECUTIONS, SOURCES):
        by = table.c.leased_by
        its = or_(by == name, by.startswith(f"{name}/", autoescape=True))
        conn.execute(update(table).where(its, table.c.leased_until.is_not(None)).values(leased_until=None))


def _living(conn: Connection) -> list[Replica]:
    rows = conn.execute(
        select(REPLICAS).where(REPLICAS.c.state == ALIVE).order_by(REPLICAS.c.started_ms, REPLICAS.c.name)
    )
    return [Replica(row.name, row.fence, row.state, row.started_ms) for row in rows]


def _prune(conn: Connection) -> int:
    old = REPLICAS.c.beat_ms < database_ms(conn) - KEEP_DAYS * 86_400_000
    # The highest number stays, so that numbers keep growing.
    highest = select(func.max(REPLICAS.c.fence)).scalar_subquery()
    return conn.execute(delete(REPLICAS).where(REPLICAS.c.state != ALIVE, old, REPLICAS.c.fence < highest)).rowcount


def _shared(name: str) -> SettingsError:
    return SettingsError(
        f"another living replica is called {name}",
        mend="Give every replica a name of its own, or wait until the other one has ended.",
    )
