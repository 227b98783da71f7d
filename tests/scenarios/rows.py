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
# What is made alike before it is compared (compare.py, words.py) -> why.
ALIKE = {
    "accounts": "a person's ids on either platform are that person",
    "platform and click in records": "through which account and delivery it came, kept on purpose",
    "request ids, ids of strangers": "made from the click or the account",
    "outbox.platform of direct words": "a private word goes to the account through which the person acts",
    "posts of answers": "which message an answer is, is kept where Teams itself asks what people think of it",
    "the word Gatehouse": "commands are called by it: /gatehouse, @Gatehouse or not at all",
    "“What next”": "a dialog of Teams closes with sentences, where a notice has headings",
    "signs": "look-alikes stand for what would be markup on one platform: words alone are compared",
    "buttons of a cause's post": "Teams shows those that decide on one's own card",
    "the head of the ledger, where it is told": "as ledger.hash",
}


def rows_of(conn: Connection) -> dict[str, list[Any]]:
    """Every row of every table that is compared, as it was written."""
    found = {}
    for table in metadata.sorted_tables:
        if table.name not in LEFT_OUT:
            found[table.name] = list(conn.execute(text(f'SELECT * FROM "{table.name}" ORDER BY rowid')))
    return found
