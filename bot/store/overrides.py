"""Owner overrides ("not mine") and the owners of gatehouse.yml."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, select

from bot.domain.ids import canonical
from bot.settings import OwnerSettings

from .tables import OwnerOverrideRow, OwnerRow
from .upsert import upsert

OVERRIDES = OwnerOverrideRow.__table__  # type: ignore[attr-defined]
OWNERS = OwnerRow.__table__  # type: ignore[attr-defined]


@dataclass(frozen=True, slots=True)
class Override:
    """ "Not mine": who passed a cause on, to whom ("" sends it to the fallback)."""

    owner: str
    by: str
    reason: str = ""


def load(conn: Connection) -> dict[str, Override]:
    """Cause key -> override."""
    return {row.cause_key: Override(row.owner, row.by, row.reason) for row in conn.execute(select(OVERRIDES))}


def save(conn: Connection, *, cause_key: str, owner: str, by: str, reason: str, now: datetime) -> None:
    row = {"cause_key": cause_key, "owner": owner, "by": by, "reason": reason, "at": now}
    upsert(conn, OVERRIDES, ["cause_key"], [row])


def sync_owners(conn: Connection, owners: Mapping[str, OwnerSettings], now: datetime) -> None:
    """Make the owners table say what gatehouse.yml says; writes only what differs."""
    wanted = {key: (owner.name, owner.team, canonical(list(owner.channels)).decode()) for key, owner in owners.items()}
    known = {row.id: (row.name, row.team, row.channels) for row in conn.execute(select(OWNERS))}
    rows = [
        {"id": key, "name": name, "team": team, "channels": channels, "changed_at": now}
        for key, (name, team, channels) in wanted.items()
        if known.get(key) != (name, team, channels)
    ]
    upsert(conn, OWNERS, ["id"], rows)
