"""Names of people and owners, from gatehouse.yml first and what was learnt (the store) second."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection, select

from bot.domain.decisions import ApprovalRule
from bot.domain.principals import Platform, PlatformIdentity
from bot.domain.views import PersonRef
from bot.settings import Settings
from bot.store.tables import IdentityRow, OwnerRow, PrincipalRow

PRINCIPALS = PrincipalRow.__table__  # type: ignore[attr-defined]
IDENTITIES = IdentityRow.__table__  # type: ignore[attr-defined]
OWNERS = OwnerRow.__table__  # type: ignore[attr-defined]

BOT = "gatehouse"
BOT_REF = PersonRef(id=BOT, name="Gatehouse")


def people(conn: Connection, settings: Settings, ids: Iterable[str]) -> dict[str, PersonRef]:
    """One reference for each id; an unknown id is its own name, so that nothing said by anybody is lost."""
    wanted = set(ids)
    rows = conn.execute(select(PRINCIPALS.c.id, PRINCIPALS.c.name).where(PRINCIPALS.c.id.in_(wanted)))
    names = {row.id: row.name for row in rows}
    bound: dict[str, list[PlatformIdentity]] = {}
    for row in conn.execute(select(IDENTITIES).where(IDENTITIES.c.principal_id.in_(wanted))):
        identity = PlatformIdentity(platform=Platform(row.platform), tenant=row.tenant, user=row.user)
        bound.setdefault(row.principal_id, []).append(identity)
    return {one: _person(settings, one, names.get(one, ""), bound.get(one, [])) for one in wanted}


def person(conn: Connection, settings: Settings, principal_id: str) -> PersonRef:
    return people(conn, settings, [principal_id])[principal_id]


def _person(settings: Settings, principal_id: str, stored: str, bound: list[PlatformIdentity]) -> PersonRef:
    if principal_id == BOT:
        return BOT_REF
    known = settings.people.get(principal_id)
    identities = list(bound)
    for platform, value in ((Platform.SLACK, known and known.slack), (Platform.TEAMS, known and known.teams)):
        tenant, _, user = (value or "").partition("/")
        if tenant and user:
            identities.append(PlatformIdentity(platform=platform, tenant=tenant, user=user))
    name = (known.name if known else "") or stored or principal_id
    return PersonRef(id=principal_id, name=name, identities=tuple(dict.fromkeys(identities)))


def owner_names(conn: Connection, settings: Settings, ids: Iterable[str]) -> dict[str, str]:
    """Owner id to the name people know; "" stays "" (nobody)."""
    wanted = {one for one in ids if one}
    stored = {r.id: r.name for r in conn.execute(select(OWNERS.c.id, OWNERS.c.name).where(OWNERS.c.id.in_(wanted)))}
    found = {"": ""}
    for one in wanted:
        setting = settings.routing.owners.get(one)
        found[one] = (setting.name if setting else "") or stored.get(one, "") or one
    return found


def members(settings: Settings, group: str) -> list[str]:
    """Principal ids that gatehouse.yml itself puts into a group."""
    named = list(settings.groups[group].members) if group in settings.groups else []
    named += [one for one, who in settings.people.items() if group in who.groups]
    return [one for one in dict.fromkeys(named) if one not in settings.people or settings.people[one].active]


def who_could(settings: Settings, rule: ApprovalRule, requested_by: str) -> tuple[str, ...]:
    """Who may decide, in words. A group that a platform keeps stays a group: its names are not ours to list."""
    if not rule.groups:
        said = "anyone the policy permits"
        return (f"{said}, other than who asked" if rule.four_eyes else said,)
    words: list[str] = []
    for group in rule.groups:
        listed = members(settings, group)
        setting = settings.groups.get(group)
        if not listed or (setting and setting.slack) or len(listed) > 5:
            words.append(f"members of {group}")
            continue
        names = [
            settings.people[one].name if one in settings.people else one
            for one in listed
            if not (rule.four_eyes and one == requested_by)
        ]
        words += names or [f"members of {group} other than who asked"]
    return tuple(dict.fromkeys(words))
