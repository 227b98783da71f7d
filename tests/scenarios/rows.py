"""The rows of a database that are compared between runs."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, text

from bot.store.tables import metadata

# table or table.column -> why it is not compared
LEFT_OUT = {
    "clicks": "the journal of deliveries: ids and payloads are the platform's own",
    "teams_conversations": "where Teams can be written to",
    "teams_people": "where Teams showed a person last",
    "posts.message_id": "the platform's own id",
    "votes.platform": "through which account it came, kept on purpose",
    "ledger.prev": "a hash over records that name the click",
    "ledger.hash": "a hash over records that name the click",
    "ledger_nodes": "hashes over the same",
    "answers.thread": "the place of a conversation",
    "conversations": "what a place was talking about, by the place's own id",
}


def rows_of(conn: Connection) -> dict[str, list[Any]]:
    """Every row of every table that is compared, as it was written."""
    found = {}
    for table in metadata.sorted_tables:
        if table.name not in LEFT_OUT:
            found[table.name] = list(conn.execute(text(f'SELECT * FROM "{table.name}" ORDER BY rowid')))
    return found
