"""What Microsoft Teams told us of itself: where the app is installed, and under which id a person is there."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Index
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
