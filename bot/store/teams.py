"""Teams conversations and people's ids there: plain functions over one connection."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from datetime import datetime

from sqlalchemy import Connection, delete, select, update
from sqlalchemy.dialects import postgresql, sqlite

from .tables_teams import TeamsConversationRow, TeamsPersonRow, TeamsRosterRow

CONVERSATIONS = TeamsConversationRow.__table__  # type: ignore[attr-defined]
PEOPLE = TeamsPersonRow.__table__  # type: ignore[attr-defined]
ROSTERS = TeamsRosterRow.__table__  # type: ignore[attr-defined]


@dataclass(frozen=True, slots=True)
class Conversation:
    tenant: str
    id: str
    kind: str
    service_url: str
    bot: str
    user: str = ""
    team: str = ""
    installed: bool = True


@dataclass(frozen=True, slots=True)
class Member:
    tenant: str
    user: str
    member: str
    conversation: str
    service_url: str


@dataclass(frozen=True, slots=True)
class Roster:
    """The members of a conversation among those asked for: Entra object id -> 29:…"""

    tenant: str
    conversation: str
    asked: str
    read_at: datetime
    members: dict[str, str] = field(default_factory=dict)


def keep_conversation(conn: Connection, what: Conversation, now: datetime) -> None:
    """New or changed: the service URL may move, so the latest one counts."""
    _keep(conn, CONVERSATIONS, asdict(what) | {"seen_at": now}, ("tenant", "id"))


def keep_member(conn: Connection, who: Member, now: datetime) -> None:
    _keep(conn, PEOPLE, asdict(who) | {"seen_at": now}, ("tenant", "user"))


def removed(conn: Connection, tenant: str, conversation: str, team: str = "") -> None:
    """The app was taken out of a conversation, or of a whole team with all its channels."""
    c = CONVERSATIONS.c
    here = (c.id == conversation) | (c.team == team) if team else c.id == conversation
    conn.execute(update(CONVERSATIONS).where(c.tenant == tenant, here).values(installed=False))
    forget_rosters(conn, tenant, conversation, team)


def forget_rosters(conn: Connection, tenant: str, conversation: str, team: str = "") -> None:
    """Who is there changed, in a conversation or a whole team."""
    c, r = CONVERSATIONS.c, ROSTERS.c
    of_team = r.conversation.in_(select(c.id).where(c.tenant == tenant, c.team == team))
    here = (r.conversation == conversation) | of_team if team else r.conversation == conversation
    conn.execute(delete(ROSTERS).where(r.tenant == tenant, here))


def keep_roster(conn: Connection, what: Roster) -> None:
    row = asdict(what) | {"members": json.dumps(what.members, sort_keys=True)}
    _keep(conn, ROSTERS, row, ("tenant", "conversation"))


def roster(conn: Connection, tenant: str, conversation: str) -> Roster | None:
    r = ROSTERS.c
    row = conn.execute(select(ROSTERS).where(r.tenant == tenant, r.conversation == conversation)).first()
    return Roster(tenant, conversation, row.asked, row.read_at, json.loads(row.members)) if row else None


def conversation(conn: Connection, tenant: str, conversation_id: str) -> Conversation | None:
    c = CONVERSATIONS.c
    return _read(conn, (c.tenant == tenant) & (c.id == conversation_id))


def personal(conn: Connection, tenant: str, user: str) -> Conversation | None:
    """The 1:1 conversation with a person, by the Entra object id."""
    c = CONVERSATIONS.c
    return _read(conn, (c.tenant == tenant) & (c.user == user) & (c.kind == "personal"))


def member(conn: Connection, tenant: str, user: str) -> Member | None:
    c = PEOPLE.c
    row = conn.execute(select(PEOPLE).where(c.tenant == tenant, c.user == user)).first()
    return Member(row.tenant, row.user, row.member, row.conversation, row.service_url) if row else None


def _read(conn: Connection, where: object) -> Conversation | None:
    query = select(CONVERSATIONS).where(where).order_by(CONVERSATIONS.c.seen_at.desc()).limit(1)  # type: ignore[arg-type]
    row = conn.execute(query).first()
    if row is None:
        return None
    return Conversation(row.tenant, row.id, row.kind, row.service_url, row.bot, row.user, row.team, row.installed)


def _keep(conn: Connection, table: object, row: dict[str, object], key: tuple[str, ...]) -> None:
    insert = postgresql.insert if conn.dialect.name == "postgresql" else sqlite.insert
    made = insert(table).values(row)  # type: ignore[arg-type]
    conn.execute(
        made.on_conflict_do_update(index_elements=list(key), set_={k: v for k, v in row.items() if k not in key})
    )
