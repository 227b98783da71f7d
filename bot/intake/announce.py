"""What a channel hears of new causes: cards within its budget, most urgent first; the rest in one digest an interval.

P1 is never held, neither by the budget nor by quiet hours. In quiet hours nothing else is posted: what was held comes
in one digest when they end. A digest's subject is the start of the interval, so one message is updated in place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func, select

from bot.domain.ids import IdSource
from bot.intake.channels import Plan, interval_start, plan_of
from bot.settings import AttentionSettings, RoutingSettings
from bot.store import attention as store
from bot.store import causes, outbox
from bot.store.causes import Refreshed

__all__ = ["NEW", "Announced", "announce", "interval_start"]

NEW = '{"new":true}'  # payload of a cause's first card: what the budget counts
_EVERYWHERE = AttentionSettings()


@dataclass(frozen=True, slots=True)
class Announced:
    cards: int = 0
    held: int = 0
    voiceless: int = 0  # causes without any channel: neither owner nor fallback has one


def announce(
    conn: Connection,
    ids: IdSource,
    now: datetime,
    settings: RoutingSettings,
    changed: Sequence[Refreshed],
    attention: AttentionSettings = _EVERYWHERE,
) -> Announced:
    """Queue first cards or digests for what is newly open. Cards that stand already were queued by the refresh."""
    fresh = [cause for cause in changed if cause.fresh]
    if not fresh:
        return Announced()
    budgets = _Budgets(conn, settings, attention, now)
    wishes: list[tuple[str, str, str, str]] = []
    digests: dict[str, str] = {}
    parsed: dict[str, list[str]] = {}
    first: list[store.First] = []
    cards = held = voiceless = 0
    for cause in sorted(fresh, key=lambda c: (c.priority, -c.open_count, c.id)):
        if cause.posted:
            outbox.say_in_thread(conn, ids, now, cause.id, f"Open again, P{cause.priority}.")
            continue
        addresses = parsed.get(cause.channels)
        if addresses is None:
            addresses = parsed[cause.channels] = list(outbox.addresses(cause.channels))
        if not addresses:
            voiceless += 1
            first.append(store.First(cause.id, "", cause.priority, held=True))
        for address in addresses:
            quiet = budgets.quiet(address)
            posts = cause.priority == 1 or (not quiet and budgets.left(address))
            first.append(store.First(cause.id, address, cause.priority, held=not posts))
            if posts:
                budgets.spend(address)
                wishes.append(("card", cause.id, address, NEW))
                cards += 1
            else:
                held += 1
                if not quiet:
                    digests[address] = budgets.plan(address).interval_start(now).isoformat()
    wishes += [("digest", start, address, "{}") for address, start in digests.items()]
    causes.queue(conn, ids, now, wishes)
    store.first(conn, now, first)
    return Announced(cards, held, voiceless)


class _Budgets:
    """What each channel may still hear in its interval; read from the outbox when it is first asked."""

    def __init__(
        self, conn: Connection, settings: RoutingSettings, attention: AttentionSettings, now: datetime
    ) -> None:
        self._conn, self._settings, self._attention, self._now = conn, settings, attention, now
        self._plans: dict[str, Plan] = {}
        self._quiet: dict[str, bool] = {}
        self._spent: dict[int, dict[str, int]] = {}  # by length of the interval

    def plan(self, address: str) -> Plan:
        found = self._plans.get(address)
        if found is None:
            found = self._plans[address] = plan_of(address, self._settings, self._attention)
        return found

    def quiet(self, address: str) -> bool:
        found = self._quiet.get(address)
        if found is None:
            found = self._quiet[address] = self.plan(address).quiet_until(self._now) is not None
        return found

    def _of(self, address: str) -> dict[str, int]:
        plan = self.plan(address)
        spent = self._spent.get(plan.minutes)
        if spent is None:
            spent = self._spent[plan.minutes] = _spent(self._conn, plan.interval_start(self._now))
        return spent

    def left(self, address: str) -> bool:
        return self._of(address).get(address, 0) < self.plan(address).cards

    def spend(self, address: str) -> None:
        spent = self._of(address)
        spent[address] = spent.get(address, 0) + 1


def _spent(conn: Connection, start: datetime) -> dict[str, int]:
    table = outbox.OUTBOX
    rows = conn.execute(
        select(table.c.platform, table.c.channel, func.count().label("cards"))
        .where(table.c.kind == "card", table.c.created_at >= start, table.c.payload == NEW)
        .group_by(table.c.platform, table.c.channel)
    )
    return {f"{row.platform}:{row.channel}": row.cards for row in rows}
