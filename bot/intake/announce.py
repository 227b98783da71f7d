"""What a channel hears of new causes: cards within its budget, most urgent first; the rest in one digest an interval.

P1 is never held. The digest's subject is the start of the interval, so one message is updated in place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, func, select

from bot.domain.ids import IdSource
from bot.settings import RoutingSettings
from bot.store import causes, outbox
from bot.store.causes import Refreshed

NEW = '{"new":true}'  # payload of a cause's first card: what the budget counts


@dataclass(frozen=True, slots=True)
class Announced:
    cards: int = 0
    held: int = 0
    voiceless: int = 0  # causes without any channel: neither owner nor fallback has one


def interval_start(now: datetime, minutes: int) -> datetime:
    """Intervals are counted from the epoch, so every replica agrees on them."""
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    return now - (now - epoch) % timedelta(minutes=minutes)


def announce(
    conn: Connection, ids: IdSource, now: datetime, settings: RoutingSettings, changed: Sequence[Refreshed]
) -> Announced:
    """Queue first cards or digests for what is newly open. Cards that stand already were queued by the refresh."""
    fresh = [cause for cause in changed if cause.fresh]
    if not fresh:
        return Announced()
    start = interval_start(now, settings.interval_minutes)
    spent: dict[str, int] | None = None
    wishes: list[tuple[str, str, str, str]] = []
    digests: dict[str, None] = {}
    parsed: dict[str, list[str]] = {}
    cards = held = voiceless = 0
    for cause in sorted(fresh, key=lambda c: (c.priority, -c.open_count, c.id)):
        if cause.posted:
            outbox.say_in_thread(conn, ids, now, cause.id, f"Open again, P{cause.priority}.")
            continue
        addresses = parsed.get(cause.channels)
        if addresses is None:
            addresses = parsed[cause.channels] = list(outbox.addresses(cause.channels))
        voiceless += not addresses
        for address in addresses:
            spent = _spent(conn, start) if spent is None else spent
            if cause.priority == 1 or spent.get(address, 0) < settings.cards_per_interval:
                spent[address] = spent.get(address, 0) + 1
                wishes.append(("card", cause.id, address, NEW))
                cards += 1
            else:
                digests[address] = None
                held += 1
    wishes += [("digest", start.isoformat(), address, "{}") for address in digests]
    causes.queue(conn, ids, now, wishes)
    return Announced(cards, held, voiceless)


def _spent(conn: Connection, start: datetime) -> dict[str, int]:
    table = outbox.OUTBOX
    rows = conn.execute(
        select(table.c.platform, table.c.channel, func.count().label("cards"))
        .where(table.c.kind == "card", table.c.created_at >= start, table.c.payload == NEW)
        .group_by(table.c.platform, table.c.channel)
    )
    return {f"{row.platform}:{row.channel}": row.cards for row in rows}
