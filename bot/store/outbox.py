"""The outbox: what must be said is written in the transaction of what it tells and sent afterwards.

``refresh_cause`` is the one wish for a cause's card: post it where it has no post, update it where it has one.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from bot.domain.ids import IdSource, canonical

from .tables import CauseRow, OutboxRow, PostRow

OUTBOX = OutboxRow.__table__  # type: ignore[attr-defined]
POSTS = PostRow.__table__  # type: ignore[attr-defined]
CAUSES = CauseRow.__table__  # type: ignore[attr-defined]


def enqueue(
    conn: Connection,
    ids: IdSource,
    now: datetime,
    *,
    address: str,
    kind: str,
    subject: str,
    payload: Mapping[str, Any] | None = None,
    dedupe: str = "",
) -> bool:
    """Queue one message to ``platform:channel``. False when the same wish (``dedupe``) already waits."""
    platform, _, channel = address.partition(":")
    dedupe = dedupe or f"{kind}:{subject}:{address}"
    seq = conn.execute(select(func.coalesce(func.max(OUTBOX.c.seq), 0) + 1)).scalar_one()
    row = {
        "id": ids.new("out"),
        "seq": seq,
        "platform": platform,
        "channel": channel,
        "kind": kind,
        "subject": subject,
        "payload": canonical(payload or {}).decode(),
        "dedupe": dedupe,
        "state": "queued",
        "attempts": 0,
        "not_before": now,
        "leased_by": "",
        "created_at": now,
        "error": "",
    }
    # The partial unique index on ``dedupe`` decides, so two writers on PostgreSQL cannot both queue the wish.
    insert = postgresql.insert if conn.dialect.name == "postgresql" else sqlite.insert
    made = insert(OUTBOX).values(row).on_conflict_do_nothing().returning(OUTBOX.c.id)
    return conn.execute(made).first() is not None  # the row count of an INSERT is not reported on PostgreSQL


def refresh_cause(conn: Connection, ids: IdSource, now: datetime, cause_id: str, *, note: str | None = None) -> int:
    """Raise the cause's revision and queue its card everywhere it already stands. Returns how many were queued.

    Posting it for the first time is ``bot.intake.announce``'s, which keeps the channel's budget.
    """
    values: dict[str, Any] = {"revision": CAUSES.c.revision + 1, "changed_at": now}
    if note is not None:
        values["note"] = note
    conn.execute(update(CAUSES).where(CAUSES.c.id == cause_id).values(values))
    posts = conn.execute(
        select(POSTS.c.platform, POSTS.c.channel).where(POSTS.c.kind == "cause", POSTS.c.subject == cause_id)
    )
    return sum(
        enqueue(conn, ids, now, address=f"{p.platform}:{p.channel}", kind="card", subject=cause_id) for p in posts
    )


def refresh(conn: Connection, ids: IdSource, now: datetime, kind: str, subject: str) -> int:
    """Queue a message of its own kind (not a cause's card) again everywhere it stands. Returns how many."""
    posts = conn.execute(
        select(POSTS.c.platform, POSTS.c.channel).where(POSTS.c.kind == kind, POSTS.c.subject == subject)
    )
    return sum(enqueue(conn, ids, now, address=f"{p.platform}:{p.channel}", kind=kind, subject=subject) for p in posts)


def say_in_thread(conn: Connection, ids: IdSource, now: datetime, cause_id: str, line: str) -> int:
    """Queue one line under the cause's card, on every platform that has it."""
    posts = conn.execute(
        select(POSTS.c.platform, POSTS.c.channel).where(POSTS.c.kind == "cause", POSTS.c.subject == cause_id)
    )
    return sum(
        enqueue(
            conn,
            ids,
            now,
            address=f"{p.platform}:{p.channel}",
            kind="thread",
            subject=cause_id,
            payload={"line": line},
            dedupe=ids.new("line"),
        )
        for p in posts
    )


def tell(conn: Connection, ids: IdSource, now: datetime, address: str, line: str, *, dedupe: str = "") -> bool:
    """Queue one plain line to a channel or (``platform:user``) a person."""
    return enqueue(conn, ids, now, address=address, kind="direct", subject="", payload={"line": line},
                   dedupe=dedupe or ids.new("line"))  # fmt: skip


def addresses(encoded: str) -> Iterable[str]:
    """The channel list of a cause or owner: JSON array of ``platform:channel``."""
    return [str(item) for item in json.loads(encoded)]
