"""Principals and their platform identities. Plain functions over a ``Connection``."""

from __future__ import annotations

import json
from datetime import datetime

from sqlalchemy import Connection, delete, insert, select, update

from bot.domain.errors import Conflict
from bot.domain.ids import canonical
from bot.domain.principals import Platform, PlatformIdentity, Principal

from .tables import IdentityRow, PrincipalRow

PRINCIPALS = PrincipalRow.__table__  # type: ignore[attr-defined]
IDENTITIES = IdentityRow.__table__  # type: ignore[attr-defined]


def find_by_identity(conn: Connection, who: PlatformIdentity) -> Principal | None:
    """The principal this very account is bound to."""
    bound = conn.execute(
        select(IDENTITIES.c.principal_id).where(
            IDENTITIES.c.platform == who.platform.value,
            IDENTITIES.c.tenant == who.tenant,
            IDENTITIES.c.user == who.user,
        )
    ).scalar()
    return get(conn, bound) if bound else None


def get(conn: Connection, principal_id: str) -> Principal | None:
    row = conn.execute(select(PRINCIPALS).where(PRINCIPALS.c.id == principal_id)).first()
    if row is None:
        return None
    held = conn.execute(
        select(IDENTITIES).where(IDENTITIES.c.principal_id == principal_id).order_by(IDENTITIES.c.platform)
    )
    return Principal(
        id=row.id,
        name=row.name,
        email=row.email,
        team=row.team,
        role=row.role,
        groups=tuple(json.loads(row.groups)),
        active=row.active,
        locale=row.locale,
        tz=row.tz,
        identities=tuple(PlatformIdentity(platform=Platform(i.platform), tenant=i.tenant, user=i.user) for i in held),
    )


def save(conn: Connection, person: Principal, now: datetime) -> None:
    """Insert or replace the principal's own columns; identities are bound by ``bind``."""
    values = person.model_dump(exclude={"identities", "groups"})
    values |= {"groups": canonical(list(person.groups)).decode(), "changed_at": now}
    if conn.execute(select(PRINCIPALS.c.id).where(PRINCIPALS.c.id == person.id)).first():
        conn.execute(update(PRINCIPALS).where(PRINCIPALS.c.id == person.id).values(values))
    else:
        conn.execute(insert(PRINCIPALS), values)


def bind(conn: Connection, principal_id: str, who: PlatformIdentity, *, proof: str, now: datetime) -> None:
    """Bind an account to a principal; ``Conflict`` when it belongs to somebody else."""
    holder = find_by_identity(conn, who)
    if holder is not None and holder.id != principal_id:
        raise Conflict(
            f"the account {who.platform.value}:{who.tenant}/{who.user} is bound to {holder.id}",
            mend="Unbind it there first.",
        )
    if holder is None:
        conn.execute(
            insert(IDENTITIES),
            {
                "platform": who.platform.value,
                "tenant": who.tenant,
                "user": who.user,
                "principal_id": principal_id,
                "proof": proof,
                "bound_at": now,
            },
        )


def unbind(conn: Connection, who: PlatformIdentity) -> bool:
    gone = conn.execute(
        delete(IDENTITIES).where(
            IDENTITIES.c.platform == who.platform.value,
            IDENTITIES.c.tenant == who.tenant,
            IDENTITIES.c.user == who.user,
        )
    )
    return bool(gone.rowcount)
