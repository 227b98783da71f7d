"""Prose in the background: the card stands first, and is updated when its narrative is there.

Nothing here touches a priority, a route, a request or a plan: it writes to ``narratives`` and asks for the card to be
drawn again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, select

from bot.domain.errors import GatehouseError, RetryLater
from bot.domain.ids import Clock, IdSource, short_hash
from bot.domain.narratives import Narrative
from bot.ports import PlaybookCatalog
from bot.settings import Settings
from bot.store import causes, narratives, outbox
from bot.store.database import Database
from bot.store.tables import PrincipalRow

from .asking import Asked, Asking, BudgetSpent
from .checks import objections
from .facts import Facts, Material, facts_of, put_back

log = logging.getLogger(__name__)
BATCH = 4
WAIT, LONGEST = timedelta(minutes=1), timedelta(hours=6)
AGAIN = timedelta(days=1)  # after a refusal
PRINCIPALS = PrincipalRow.__table__  # type: ignore[attr-defined]

INSTRUCTIONS = """\
You explain one cloud-security problem to the people who own the affected resources. You are given facts as JSON.
Write: risk (what can happen, for somebody who knows no security words), root_cause (the one thing that most likely led
to it), exploitability (how hard it is to use, argued from the circumstances given), steps (what the owner does, in
order; where a fix can be reviewed here, that comes first), duplicates (refs of other open problems that probably are
the same one; usually empty).
Rules: plain English, short sentences. No number, date, version or amount that is not among the facts; none at all where
you can do without. No priority, severity, deadline, approval or judgement on whether it may be ignored or closed: these
are decided elsewhere. No links, no mentions, no Markdown. Placeholders such as [resource], [account] and [owner] stand
for names: use them as they are. Where the facts do not say something, say that it is not known.
"""


class Narrator:
    def __init__(
        self, db: Database, settings: Settings, asking: Asking | None, catalog: PlaybookCatalog, clock: Clock,
        ids: IdSource, worker: str,
    ) -> None:  # fmt: skip
        self._db, self._settings, self._asking, self._catalog = db, settings, asking, catalog
        self._clock, self._ids, self._worker = clock, ids, worker

    async def work_once(self) -> int:
        """Write what is due; how many were taken."""
        if self._asking is None or not self._settings.model.narratives:
            return 0
        now = self._clock.now()
        if not await self._db.read(narratives.any_due, now):
            return 0
        taken = await self._db.write(narratives.claim, self._worker, now, BATCH)
        for cause_id in taken:
            await self._narrate(cause_id, self._asking)
        return len(taken)

    async def _narrate(self, cause_id: str, asking: Asking) -> None:
        try:
            read = await self._db.read(self._read, cause_id)
            if read is None:
                await self._db.write(self._seen, cause_id)
                return
            facts, key, seen = read
            asked = await asking.ask(
                Narrative, purpose="narrative", subject=cause_id, instructions=INSTRUCTIONS, data=facts.text,
                accept=accept(facts),
            )  # fmt: skip
        except BudgetSpent as error:
            await self._db.write(
                self._later, cause_id, error.reason, timedelta(seconds=error.after or 3600), fault=False
            )
        except RetryLater as error:
            wait = timedelta(seconds=error.after) if error.after else None
            await self._db.write(self._later, cause_id, error.reason, wait, fault=True)
        except GatehouseError as error:
            log.warning("no narrative of %s: %s", cause_id, error)
            await self._db.write(self._later, cause_id, error.reason, AGAIN, fault=True)
        except Exception as error:
            log.exception("the narrative of %s", cause_id)
            await self._db.write(self._later, cause_id, f"it failed ({type(error).__name__})", AGAIN, fault=True)
        else:
            await self._db.write(self._write, cause_id, facts, key, seen, asked)

    # --- reading -----------------------------------------------------------------------------------------------------

    def _read(self, conn: Connection, cause_id: str) -> tuple[Facts, str, int] | None:
        """The facts, their hash and revision; None when the narrative that stands was made from them."""
        row = causes.get(conn, cause_id)
        made = material(conn, self._settings, self._catalog, cause_id)
        if made is None:
            return None
        facts = facts_of(made)
        held = narratives.get(conn, cause_id)
        key = _short(facts.text)
        if held is not None and held.state == "done" and held.key == key:
            return None
        return facts, key, row.revision

    # --- writing -----------------------------------------------------------------------------------------------------

    def _seen(self, conn: Connection, cause_id: str) -> None:
        narratives.record(conn, cause_id, self._worker, seen_revision=narratives.revision(conn, cause_id))

    def _write(
        self, conn: Connection, cause_id: str, facts: Facts, key: str, seen: int, asked: Asked[Narrative]
    ) -> None:
        now = self._clock.now()
        was = narratives.get(conn, cause_id)
        body = restored(asked.value, facts).model_dump_json() if asked.value is not None else ""
        values: dict[str, Any] = {
            "key": key, "call_id": asked.call_id, "model": asked.model, "body": body,
            "state": "done" if body else "template", "why": asked.why[:500], "made_at": now, "attempts": 0,
            "not_before": now, "seen_revision": seen,
        }  # fmt: skip
        if not narratives.record(conn, cause_id, self._worker, **values):
            return
        if was is None or was.body != body:
            before = narratives.revision(conn, cause_id)
            outbox.refresh_cause(conn, self._ids, now, cause_id)
            if before == seen:  # nothing else changed: our own redrawing is no news to us
                narratives.seen(conn, cause_id, before + 1)

    def _later(self, conn: Connection, cause_id: str, why: str, wait: timedelta | None, *, fault: bool) -> None:
        held = narratives.get(conn, cause_id)
        attempts = held.attempts if held is not None else 0
        wait = wait or min(WAIT * 2**attempts, LONGEST)
        now = self._clock.now()
        mine = narratives.record(
            conn, cause_id, self._worker, state="queued", why=why[:500], attempts=min(attempts + fault, 20), body="",
            key="", not_before=now + wait,
        )  # fmt: skip
        if mine and held is not None and held.body:  # the facts changed: what stands is of others, the template is not
            outbox.refresh_cause(conn, self._ids, now, cause_id)


def accept(facts: Facts) -> Callable[[Narrative], str]:
    def check(said: Narrative) -> str:
        found = objections(said, given=facts.numbers, refs=facts.refs, instructions=INSTRUCTIONS)
        return "the model's text was not used: " + "; ".join(found) if found else ""

    return check


def restored(said: Narrative, facts: Facts) -> Narrative:
    """With names and cause ids in the places of their stand-ins."""
    names = facts.names
    return said.model_copy(
        update={
            "risk": put_back(said.risk, names)[:2000],
            "root_cause": put_back(said.root_cause, names)[:2000],
            "exploitability": put_back(said.exploitability, names)[:2000],
            "steps": tuple(put_back(step, names)[:1000] for step in said.steps),
            "duplicates": tuple(facts.refs[ref] for ref in said.duplicates),
        }
    )


def material(conn: Connection, settings: Settings, catalog: PlaybookCatalog, cause_id: str) -> Material | None:
    """What the store has; None when nothing of the cause is open."""
    row = causes.get(conn, cause_id)
    urgent = narratives.most_urgent(conn, cause_id)
    if urgent is None:
        return None
    finding, verdict = urgent
    resources = narratives.resources(conn, cause_id)
    owner = settings.routing.owners.get(row.owner)
    return Material(
        cause=dict(row._mapping), finding=finding, verdict=verdict, resources=resources,
        owner_name=owner.name if owner else row.owner, fix=_fix(catalog, row.playbook),
        others=narratives.neighbours(conn, cause_id, [uid for uid, _, _ in resources]),
        people=directory(conn, settings),
    )  # fmt: skip


def directory(conn: Connection, settings: Settings) -> list[str]:
    """The people whose names never leave: of gatehouse.yml and of the store."""
    known = [*settings.people, *conn.execute(select(PRINCIPALS.c.name)).scalars()]
    for person in settings.people.values():
        known += [person.name, person.email]
    return [name for name in known if name]


def _fix(catalog: PlaybookCatalog, playbook: str) -> str:
    try:
        return catalog.get(playbook).info.title if playbook else ""
    except (GatehouseError, KeyError):
        return ""


def _short(text: str) -> str:
    return short_hash(text, prefix="facts-")
