"""What channels hear without anything new: the daily message, what quiet hours held back, and escalation, once."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import Connection, exists, select

from bot.domain.ids import Clock, IdSource
from bot.intake.channels import plan_of
from bot.intake.windows import last_at, local_day
from bot.settings import Settings
from bot.store import attention as store
from bot.store import ledger, outbox
from bot.store.database import Database
from bot.store.ledger import LEDGER
from bot.store.tables import ExecutionRow, RequestRow

REQUESTS = RequestRow.__table__  # type: ignore[attr-defined]
EXECUTIONS = ExecutionRow.__table__  # type: ignore[attr-defined]
LOOK_BACK = timedelta(days=3)
LATE = timedelta(hours=6)  # a daily message this late (the process was down) is left to the next day


class Attention:
    def __init__(self, db: Database, settings: Settings, clock: Clock, ids: IdSource) -> None:
        self._db, self._settings, self._clock, self._ids = db, settings, clock, ids

    async def tick(self) -> int:
        """Queue what is due. Returns how many messages."""
        return await self._db.write(self._tick)

    def _tick(self, conn: Connection) -> int:
        return self._daily(conn) + self._after_quiet(conn) + self._escalate(conn)

    def _daily(self, conn: Connection) -> int:
        """One message a channel and local day, from its second day on."""
        now, count = self._clock.now(), 0
        for address, since in sorted(store.channels_since(conn).items()):
            plan = plan_of(address, self._settings.routing, self._settings.attention)
            if not plan.daily_at:
                continue
            due = last_at(now, plan.daily_at, plan.tz)
            last = store.last_daily(conn, address)
            day = f"{local_day(due, plan.tz)}"
            if now - due > LATE or since >= due or (last is not None and last[0] >= day):
                continue
            begin = last[1] if last is not None else max(since, due - timedelta(days=1))
            store.daily(conn, address, day, begin, due)
            count += outbox.enqueue(conn, self._ids, now, address=address, kind="daily", subject=day,
                                    payload={"since": begin.isoformat(), "until": due.isoformat()})  # fmt: skip
        return count

    def _after_quiet(self, conn: Connection) -> int:
        """What was held while a channel was quiet: one digest when it hears again."""
        now, count = self._clock.now(), 0
        for address in store.held_since_digest(conn, now - LOOK_BACK):
            plan = plan_of(address, self._settings.routing, self._settings.attention)
            if plan.quiet_until(now) is None:
                start = plan.interval_start(now).isoformat()
                count += outbox.enqueue(conn, self._ids, now, address=address, kind="digest", subject=start)
        return count

    def _escalate(self, conn: Connection) -> int:
        """An open P1 or P2 nobody answered goes to the owner's escalation channel, else to the fallback. Once."""
        now, routing, count = self._clock.now(), self._settings.routing, 0
        attention = self._settings.attention
        for priority, minutes in ((1, attention.escalate_p1_minutes), (2, attention.escalate_p2_minutes)):
            if not minutes:
                continue
            for cause in store.unescalated(conn, priority, now - timedelta(minutes=minutes)):
                if _answered(conn, cause.id):
                    continue
                owner = routing.owners.get(cause.owner)
                to = (owner.escalation if owner is not None else ()) or routing.fallback
                if not to:
                    continue
                waited = int((now - cause.posted_at).total_seconds() // 60)
                whose = owner.name if owner is not None else "nobody known"
                where = f"{cause.account_name or cause.account_uid}, {cause.environment}"
                line = f"P{priority} without an answer for {_span(waited)}: {cause.title} ({where}), owner {whose}."
                line += f" /gatehouse fix {cause.id} shows what can be done."
                for address in to:
                    count += outbox.tell(conn, self._ids, now, address, line)
                store.escalated(conn, cause.id, priority, to, now)
                ledger.append(conn, kind="cause.escalated", subject=cause.id, actor="gatehouse", now=now,
                              body={"priority": priority, "to": list(to), "minutes": waited})  # fmt: skip
                outbox.say_in_thread(conn, self._ids, now, cause.id, f"No answer for {_span(waited)}: escalated.")
        return count


def _answered(conn: Connection, cause_id: str) -> bool:
    """A person did something about it: asked for a fix, passed it on, put it off; what was refused is no answer."""
    asked = select(exists().where(REQUESTS.c.cause_id == cause_id))
    ran = select(exists().where(EXECUTIONS.c.cause_id == cause_id))
    acted = select(
        exists().where(LEDGER.c.subject == cause_id, LEDGER.c.actor != "gatehouse", LEDGER.c.kind != "refused")
    )
    return any(conn.execute(query).scalar() for query in (asked, ran, acted))


def _span(minutes: int) -> str:
    if minutes < 120:
        return f"{minutes} minutes"
    return f"{minutes // 60} hours" if minutes < 2880 else f"{minutes // 1440} days"
