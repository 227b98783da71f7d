"""What Microsoft Teams told us of itself: where the app is installed, and under which id a person is there."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Index, Text
from sqlmodel import Field, SQLModel


class TeamsConversationRow(SQLModel, table=True):
    """A channel, chat or 1:1 conversation the app was seen in: all that is needed to post there."""

    __tablename__ = "teams_conversations"
    __table_args__ = (Index("ix_teams_conversations_user", "tenant", "user"),)

    tenant: str = Field(primary_key=True)
    id: str = Field(primary_key=True)  # without ;messageid=
    kind: str  # channel | groupChat | personal
    user: str = ""  # Entra object id, of a personal one
    team: str = ""
    service_url: str
    bot: str  # 28:…
    installed: bool = True
    seen_at: datetime


class TeamsPersonRow(SQLModel, table=True):
    """A person's id there: it is another for every bot, and only it can be asked about."""

    __tablename__ = "teams_people"

    tenant: str = Field(primary_key=True)
    user: str = Field(primary_key=True)  # Entra object id
    member: str  # 29:…
    conversation: str  # where it was seen last
    service_url: str
    seen_at: datetime


class TeamsRosterRow(SQLModel, table=True):
    """Which people of gatehouse.yml are members of a conversation, and by which id; of nobody else is anything kept."""

    __tablename__ = "teams_rosters"

    tenant: str = Field(primary_key=True)
    conversation: str = Field(primary_key=True)  # without ;messageid=
    asked: str  # hash of whom it was read for: another gatehouse.yml makes it be read anew
    members: str = Field(sa_type=Text)  # JSON: Entra object id -> 29:…
    read_at: datetime
