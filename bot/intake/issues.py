"""What people say of witnesses: "not the same problem" (split) and "the same problem" (merge), each remembered.

The rules' word holds until a person has another; a person's word holds whatever the sources report later. The policy
says who may (``regroup``); a refusal and every change stand in the ledger.
"""

from __future__ import annotations

from sqlalchemy import Connection, select

from bot.domain.errors import BadInput
from bot.domain.ids import Clock, IdSource
from bot.domain.principals import Actor
from bot.domain.views import Notice
from bot.intake.stewardship import Stewardship
from bot.store import findings, issues, ledger, outbox
from bot.store.database import Database
from bot.store.findings import FINDINGS

ACTION = "regroup"


class Issues:
    """``Denied`` where the policy does not permit it; ``BadInput`` for a finding that is not of this cause;
    ``Conflict`` where there is nothing to split or merge (any more)."""

    def __init__(self, db: Database, stewardship: Stewardship, clock: Clock, ids: IdSource) -> None:
        self._db, self._stewardship, self._clock, self._ids = db, stewardship, clock, ids

    async def split(self, cause_id: str, finding_id: str, actor: Actor, reason: str = "") -> Notice:
        """``finding_id`` is no witness of the cause's problem."""
        await self._stewardship.require(cause_id, actor, ACTION)
        return await self._db.write(self._split, cause_id, finding_id, actor, reason)

    def _split(self, conn: Connection, cause_id: str, finding_id: str, actor: Actor, reason: str) -> Notice:
        now, who = self._clock.now(), actor.principal
        row = findings.get(conn, finding_id)
        before = row.issue_id
        _belongs(conn, cause_id, before, finding_id)
        own = issues.split(conn, finding_id, by=who.id, reason=reason, now=now)
        body = {"finding": finding_id, "source": row.source, "from": before, "to": own, "reason": reason}
        self._record(conn, "issue.split", cause_id, actor, body)
        said = f"{who.name} said that {row.source}'s “{row.title[:120]}” is not the same problem"
        self._refresh(conn, cause_id, before, said)
        return Notice(ok=True, said="Taken out: it stands alone from now on, whatever is reported later.")

    async def merge(self, cause_id: str, finding_id: str, other: str, actor: Actor, reason: str = "") -> Notice:
        """``other`` tells of the same problem as ``finding_id``, a finding of the cause."""
        await self._stewardship.require(cause_id, actor, ACTION)
        return await self._db.write(self._merge, cause_id, finding_id, other, actor, reason)

    def _merge(self, conn: Connection, cause_id: str, into: str, other: str, actor: Actor, reason: str) -> Notice:
        now, who = self._clock.now(), actor.principal
        _belongs(conn, cause_id, findings.get(conn, into).issue_id, into)
        row = findings.get(conn, other)
        before = row.issue_id
        issue = issues.merge(conn, other, into, by=who.id, reason=reason, now=now)
        body = {"finding": other, "source": row.source, "from": before, "to": issue, "reason": reason}
        self._record(conn, "issue.merged", cause_id, actor, body)
        said = f"{who.name} said that {row.source}'s “{row.title[:120]}” is the same problem"
        self._refresh(conn, cause_id, issue, said)
        return Notice(ok=True, said="Joined: they are one problem with several witnesses from now on.")

    def _record(self, conn: Connection, kind: str, cause_id: str, actor: Actor, body: dict[str, str]) -> None:
        now = self._clock.now()
        ledger.append(conn, kind=kind, subject=cause_id, actor=actor.principal.id, body=body, now=now)

    def _refresh(self, conn: Connection, cause_id: str, issue: str, said: str) -> None:
        """The card it was said on, and those of the other witnesses."""
        now = self._clock.now()
        others = select(FINDINGS.c.cause_id).distinct().where(FINDINGS.c.issue_id == issue, FINDINGS.c.cause_id != "")
        for each in {cause_id, *(conn.execute(others).scalars() if issue else ())}:
            outbox.refresh_cause(conn, self._ids, now, each, note=said if each == cause_id else "")
        outbox.say_in_thread(conn, self._ids, now, cause_id, f"{said}.")


def _belongs(conn: Connection, cause_id: str, issue: str, finding_id: str) -> None:
    """A button names a cause and a finding: the policy was asked about that cause, so the finding must be of it, or a
    witness of one of its findings."""
    mine = select(FINDINGS.c.id).where(FINDINGS.c.cause_id == cause_id)
    direct = conn.execute(mine.where(FINDINGS.c.id == finding_id)).first()
    if direct is None and (not issue or conn.execute(mine.where(FINDINGS.c.issue_id == issue)).first() is None):
        raise BadInput("This finding is no witness of that card's problem.", mend="Open the details again.")
