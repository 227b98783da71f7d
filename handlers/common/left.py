"""What a fault or a crash leaves in the journal of clicks, on every platform: what is tried again, and what is said."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import Connection

from bot.domain.ids import IdSource
from bot.domain.views import Notice
from bot.store import clicks, outbox

KEEP_TRYING = timedelta(minutes=15)  # a submission whose work breaks off is done again for so long
COMMAND_ACTS = {"freeze.began", "freeze.ended", "delegation.made", "delegation.ended"}
BROKEN = Notice(ok=False, said="Something went wrong on our side.",
                mend="Look at the card whether it was counted; if not, try again or tell the operators.")  # fmt: skip
KEPT = Notice(ok=False, said="Something went wrong on our side. Your answer is kept and is tried again by itself.",
              mend="The card shows how it ends; there is no need to answer again.")  # fmt: skip


def close_unanswered(conn: Connection, ids: IdSource, click: str, address: str, now: datetime) -> None:
    """Nobody waits for it any more: close it, and tell its person whether it was carried out."""
    if clicks.came_to(conn, click, COMMAND_ACTS):
        state, outcome = "done", "it was carried out; the process ended before it was answered"
        line = "Gatehouse was interrupted while it answered your command; what you asked for was carried out."
    else:
        state, outcome = "failed", "the process ended before it was answered"
        line = (
            "Gatehouse was interrupted while it answered your click. If what you asked for did not appear, press again."
        )
    clicks.finish(conn, click, state=state, outcome=outcome, now=now)
    outbox.tell(conn, ids, now, address, line, dedupe=f"answer:{click}"[:500])
