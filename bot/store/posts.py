"""Posts: which card stands where, and what it shows now."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, select

from bot.domain.ids import IdSource

from .tables import PostRow
from .upsert import chunks, upsert

POSTS = PostRow.__table__  # type: ignore[attr-defined]


def get(conn: Connection, kind: str, subject: str, address: str) -> Row[Any] | None:
    """The post of (kind, subject) at ``platform:channel``."""
    platform, _, channel = address.partition(":")
    return conn.execute(
        select(POSTS).where(
            POSTS.c.kind == kind, POSTS.c.subject == subject, POSTS.c.platform == platform, POSTS.c.channel == channel
        )
    ).first()


def of_subject(conn: Connection, kind: str, subject: str) -> Sequence[Row[Any]]:
    return conn.execute(select(POSTS).where(POSTS.c.kind == kind, POSTS.c.subject == subject)).all()


def by_message(conn: Connection, platform: str, channel: str, message_id: str) -> Row[Any] | None:
    """Which post a click on a message belongs to."""
    return conn.execute(
        select(POSTS).where(POSTS.c.platform == platform, POSTS.c.channel == channel, POSTS.c.message_id == message_id)
    ).first()


def save(
    conn: Connection,
    ids: IdSource,
    now: datetime,
    *,
    kind: str,
    subject: str,
    address: str,
    message_id: str,
    revision: int,
) -> None:
    """Record that the message was sent or updated and shows ``revision``."""
    platform, _, channel = address.partition(":")
    upsert(
        conn, POSTS, ["kind", "subject", "platform", "channel"],
        [{"id": ids.new("post"), "kind": kind, "subject": subject, "platform": platform, "channel": channel,
          "message_id": message_id, "shown_revision": revision, "posted_at": now, "updated_at": now, "anew": 0}],
        change=["message_id", "shown_revision", "updated_at"],
    )  # fmt: skip


def forget(conn: Connection, kind: str, subject: str, address: str) -> None:
    """The message is gone on the platform: the next wish posts it anew."""
    platform, _, channel = address.partition(":")
    conn.execute(
        delete(POSTS).where(
            POSTS.c.kind == kind, POSTS.c.subject == subject, POSTS.c.platform == platform, POSTS.c.channel == channel
        )
    )


def cause_addresses(conn: Connection, cause_ids: Iterable[str]) -> dict[str, list[str]]:
    """Where the cards of these causes stand."""
    found: dict[str, list[str]] = {}
    for some in chunks(cause_ids):
        query = select(POSTS.c.subject, POSTS.c.platform, POSTS.c.channel)
        for row in conn.execute(query.where(POSTS.c.kind == "cause", POSTS.c.subject.in_(some))):
            found.setdefault(row.subject, []).append(f"{row.platform}:{row.channel}")
    return found


def tidy(conn: Connection, kind: str, before: datetime) -> int:
    """Forget which messages were posted before ``before``; of a kind that is never updated. How many."""
    return int(conn.execute(delete(POSTS).where(POSTS.c.kind == kind, POSTS.c.posted_at < before)).rowcount)
