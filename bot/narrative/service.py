"""What people see of the model's part: the narrative of a cause, the call behind it, the state of the budget; and what
they say of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row

from bot.domain.errors import NotFound
from bot.domain.ids import Clock
from bot.domain.principals import Actor
from bot.domain.views import CauseView, ModelCallView, NarrativeView, Notice
from bot.settings import ModelSettings, Settings
from bot.store import model_calls, narratives
from bot.store.database import Database

from .template import template

NO_MODEL = "no model is set up"


class Narratives:
    def __init__(self, db: Database, settings: Settings, clock: Clock) -> None:
        self._db, self._settings, self._clock = db, settings, clock

    async def why(self, cause_id: str, call_id: str = "") -> ModelCallView:
        """The call behind what is said of a cause. Raises ``NotFound`` where no model said anything."""
        return await self._db.read(self._why, cause_id, call_id)

    def _why(self, conn: Connection, cause_id: str, call_id: str) -> ModelCallView:
        held = narratives.get(conn, cause_id)
        # Only a call that this cause's narrative rests on: an id from a button is untrusted.
        wanted = held.call_id if held is not None else ""
        row = model_calls.get(conn, wanted) if wanted and call_id in {"", wanted} else None
        if row is None:
            raise NotFound("No model wrote this; it is a template around the facts of the card.",
                           mend="The facts and their sources stand under Details.")  # fmt: skip
        return call_view(row, self._settings.model)

    async def feedback(self, cause_id: str, call_id: str, actor: Actor, *, good: bool) -> Notice:
        """Keep a person's word on a narrative, for the evaluation set. It changes nothing else."""
        return await self._db.write(self._feedback, cause_id, call_id, actor.principal.id, good)

    def _feedback(self, conn: Connection, cause_id: str, call_id: str, principal: str, good: bool) -> Notice:
        held = narratives.get(conn, cause_id)
        if held is None or not held.call_id or held.call_id != call_id:
            raise NotFound("This text was replaced meanwhile.", mend="Open Details again and judge the present one.")
        narratives.say(
            conn, call_id=call_id, cause_id=cause_id, principal_id=principal, good=good, now=self._clock.now()
        )
        return Notice(ok=True, said="Thank you: kept as helpful." if good else "Thank you: kept as not helpful.",
                      mend="It feeds the evaluation of the model and changes nothing on the card.")  # fmt: skip

    async def calls(self, limit: int = 20, call_id: str = "") -> list[ModelCallView]:
        """The latest calls, or the one with this id."""
        rows: Sequence[Row[Any]] = await self._db.read(_calls, limit, call_id)
        if call_id and not rows:
            raise NotFound(f"There is no call {call_id[:60]}.", mend="gatehouse model calls lists the latest.")
        return [call_view(row, self._settings.model) for row in rows]

    async def evaluation_set(self) -> list[dict[str, Any]]:
        return await self._db.read(narratives.evaluation_set)

    async def status(self) -> dict[str, Any]:
        """The state in numbers, and as a sentence."""
        return await self._db.read(state, self._settings.model, self._clock.now())


def _calls(conn: Connection, limit: int, call_id: str) -> Sequence[Row[Any]]:
    if call_id:
        row = model_calls.get(conn, call_id)
        return [row] if row is not None else []
    return model_calls.latest(conn, limit)


def call_view(row: Row[Any], settings: ModelSettings) -> ModelCallView:
    return ModelCallView(
        id=row.id, at=row.at, purpose=row.purpose, subject=row.subject, model=row.model, endpoint=row.endpoint,
        state=row.state, why=row.why, messages=tuple((m[0], m[1]) for m in json.loads(row.input)), output=row.output,
        input_tokens=row.input_tokens, output_tokens=row.output_tokens, milliseconds=row.milliseconds,
        cost="" if row.cost_micros is None else f"{row.cost_micros / 1e6:.6f} {settings.currency}",
    )  # fmt: skip


def read_narrative(conn: Connection, settings: Settings, view: CauseView) -> NarrativeView:
    """The model's prose where there is some, else the template, which says why."""
    held = narratives.get(conn, view.id)
    if held is not None and held.body and settings.model.on:
        body = json.loads(held.body)
        titles = narratives.titles(conn, body["duplicates"])
        return NarrativeView(
            risk=body["risk"], root_cause=body["root_cause"], exploitability=body["exploitability"],
            steps=tuple(body["steps"]),
            duplicates=tuple((one, titles[one]) for one in body["duplicates"] if one in titles),
            model=held.model, call_id=held.call_id, at=held.made_at,
        )  # fmt: skip
    made = template(view)
    if not settings.model.on:
        why = NO_MODEL
    elif not settings.model.narratives:
        why = "model.narratives is off"
    else:
        why = held.why if held is not None and held.why else "the model has not written anything yet"
    return NarrativeView(
        risk=made.risk, root_cause=made.root_cause, exploitability=made.exploitability, steps=made.steps, why=why,
        call_id=held.call_id if held is not None and settings.model.on else "",
    )  # fmt: skip


def state(conn: Connection, settings: ModelSettings, now: datetime) -> dict[str, Any]:
    used, limit = model_calls.spent(conn, now), settings.tokens_per_day
    counts, totals = narratives.counts(conn), model_calls.totals(conn)
    written = counts.get("done", 0)
    if not settings.on:
        said, name = "none is set up: texts are templates, questions have one reader", "off"
    else:
        # A call needs room for its question and its longest answer.
        spent = used + settings.max_output_tokens + 1000 > limit
        name = "budget used up" if spent else "on"
        said = f"{settings.name}: {used:,} of {limit:,} tokens used today, {written:,} narratives"
        if spent:
            said += "; the budget is used up, templates stand in until 00:00 UTC"
        waiting = counts.get("queued", 0)
        if waiting and not spent:
            said += f", {waiting:,} waiting"
    return {
        "state": name, "said": said, "model": settings.name, "tokens_today": used, "tokens_per_day": limit,
        "narratives": counts,
        "calls": {
            purpose: {"calls": n, "input_tokens": i, "output_tokens": o, "cost": cost / 1e6}
            for purpose, (n, i, o, cost) in sorted(totals.items())
        },
    }  # fmt: skip
