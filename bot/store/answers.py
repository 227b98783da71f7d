"""Conversations, answers and feedback, stored: they outlive a restart and are the same for every replica."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, select

from .tables_ask import AnswerFeedbackRow, AnswerRow, ConversationRow
from .upsert import upsert

CONVERSATIONS = ConversationRow.__table__  # type: ignore[attr-defined]
ANSWERS = AnswerRow.__table__  # type: ignore[attr-defined]
FEEDBACK = AnswerFeedbackRow.__table__  # type: ignore[attr-defined]


def conversation(conn: Connection, thread: str, rights: str, now: datetime) -> tuple[str, str]:
    """The turn before as JSON and the cause that is talked about; "" where there is none (any more)."""
    c = CONVERSATIONS.c
    found = conn.execute(
        select(c.turn, c.cause_id).where(c.thread == thread, c.rights == rights, c.until > now)
    ).first()
    return (found.turn, found.cause_id) if found else ("", "")


def remember(
    conn: Connection, thread: str, rights: str, until: datetime, *, turn: str | None = None, cause: str | None = None
) -> None:
    """Keep what is given, leave the other as it is."""
    values = {"thread": thread, "rights": rights, "turn": turn or "", "cause_id": cause or "", "until": until}
    change = ["until", *(["turn"] if turn is not None else []), *(["cause_id"] if cause is not None else [])]
    upsert(conn, CONVERSATIONS, ["thread", "rights"], [values], change=change)


def save(conn: Connection, **values: Any) -> None:
    conn.execute(ANSWERS.insert().values(**values))


def get(conn: Connection, answer_id: str) -> Row[Any] | None:
    return conn.execute(select(ANSWERS).where(ANSWERS.c.id == answer_id)).first()


def judge(
    conn: Connection, answer: Row[Any], principal_id: str, verdict: str, now: datetime, comment: str | None = None
) -> None:
    """A person's word on an answer; the last one counts, a comment stays until another is given."""
    values = {
        "answer_id": answer.id, "principal_id": principal_id, "question": answer.question, "query": answer.query,
        "status": answer.status, "verdict": verdict, "comment": comment or "", "at": now,
    }  # fmt: skip
    change = ["verdict", "at", *(["comment"] if comment is not None else [])]
    upsert(conn, FEEDBACK, ["answer_id", "principal_id"], [values], change=change)


def feedback(
    conn: Connection, limit: int | None = 1000, *, verdict: str = "", since: datetime | None = None
) -> Sequence[Row[Any]]:
    """The newest first: for the evaluation set. ``limit`` None: all of it."""
    wanted = select(FEEDBACK).order_by(FEEDBACK.c.at.desc(), FEEDBACK.c.answer_id, FEEDBACK.c.principal_id)
    if verdict:
        wanted = wanted.where(FEEDBACK.c.verdict == verdict)
    if since is not None:
        wanted = wanted.where(FEEDBACK.c.at >= since)
    return conn.execute(wanted.limit(limit)).all()


def tidy(conn: Connection, now: datetime, before: datetime) -> int:
    """Drop conversations that are over and answers given before ``before``. How many rows."""
    over = conn.execute(delete(CONVERSATIONS).where(CONVERSATIONS.c.until <= now)).rowcount
    return int(over) + int(conn.execute(delete(ANSWERS).where(ANSWERS.c.at < before)).rowcount)
