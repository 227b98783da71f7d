"""The schema of questions: conversations, what was answered, what people thought of it."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Index, Text
from sqlmodel import Field, SQLModel


class ConversationRow(SQLModel, table=True):
    """What the turn before left, for as long as a follow-up may refer to it. One person's turn is no turn for somebody
    with other rights, so ``rights`` is part of the key."""

    __tablename__ = "conversations"
    __table_args__ = (Index("ix_conversations_until", "until"),)

    thread: str = Field(primary_key=True)  # "slack:C01:1795.1"
    rights: str = Field(primary_key=True)
    turn: str = Field(default="", sa_type=Text)  # bot.ask.reading.Turn as JSON
    cause_id: str = ""  # what "it" is
    until: datetime


class AnswerRow(SQLModel, table=True):
    """An answer as it was given: the Check button compares with it."""

    __tablename__ = "answers"
    __table_args__ = (Index("ix_answers_at", "at"),)

    id: str = Field(primary_key=True)
    thread: str
    principal_id: str  # who asked
    rights: str  # with whose rights it was computed
    question: str = Field(sa_type=Text)
    status: str
    query: str = Field(sa_type=Text)  # PostureQuery as JSON, "" where there is none
    result: str = Field(sa_type=Text)  # its figures as canonical JSON
    text: str = Field(sa_type=Text)
    at: datetime


class AnswerFeedbackRow(SQLModel, table=True):
    """A person's last word on an answer; question and query stay here when the answer itself is tidied away."""

    __tablename__ = "answer_feedback"

    answer_id: str = Field(primary_key=True)
    principal_id: str = Field(primary_key=True)
    question: str = Field(sa_type=Text)
    query: str = Field(sa_type=Text)
    status: str
    verdict: str  # up, down
    comment: str = Field(default="", sa_type=Text)
    at: datetime
