"""``gatehouse ask`` and ``gatehouse people import``."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text
from sqlalchemy import Connection

from bot.ask.service import Answer, Ask
from bot.composition import model_of, second_reader
from bot.domain.errors import BadInput
from bot.domain.habits import PLAIN, Habits
from bot.domain.ids import RandomIds, SystemClock
from bot.domain.principals import Principal
from bot.narrative.asking import Asking
from bot.settings import Settings
from bot.store import people
from bot.store.database import Database
from bot.store.migrate import upgrade

SHOWN = 20  # rows of a table for a person
_COLUMNS = ("label", "date", "value", "uid", "severity", "status", "title", "resource_name", "account", "team", "due")


def instant(said: str | None) -> datetime | None:
    """``--as-of`` as an aware instant; without a zone it is UTC."""
    if said is None:
        return None
    try:
        found = datetime.fromisoformat(said)
    except ValueError as error:
        raise BadInput(f"--as-of {said!r} is no time", mend="Write it like 2026-11-20T12:00:00Z.") from error
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def habits_in(zone: str) -> Habits:
    """``--tz``: words such as yesterday mean its days. Dates and numbers are written as ever."""
    found = Habits.of(zone, "")
    if found.zone != zone:
        raise BadInput(f"--tz {zone!r} is no time zone", mend="Write it like Europe/Berlin.")
    return found


def questions(file: Path) -> list[dict[str, Any]]:
    """``{"id", "question", "thread"?, "as"?}``, one a line."""
    found = []
    for number, line in enumerate(file.read_bytes().splitlines(), 1):
        if not line.strip():
            continue
        try:
            one = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            raise BadInput(f"{file.name}, line {number}: {error}", mend='One {"id", "question"} a line.') from error
        if not isinstance(one, dict) or not isinstance(one.get("question"), str):
            raise BadInput(f"{file.name}, line {number} has no question", mend='One {"id", "question"} a line.')
        found.append(one)
    return found


async def ask_all(
    settings: Settings,
    asked: list[dict[str, Any]],
    *,
    as_of: datetime | None,
    principal: str | None,
    as_json: bool,
    habits: Habits = PLAIN,
) -> bool:
    """Ask everything in order; False when a question was not answered."""
    url = settings.database_url.get_secret_value()
    upgrade(url)
    db, model = Database(url), model_of(settings)
    good = True
    try:
        clock = SystemClock()
        asking = Asking(db, model, settings.model, clock, RandomIds()) if model is not None else None
        service = Ask(db, settings, clock, second_reader=second_reader(settings, asking, db))
        for one in asked:
            who = await service.asker(one.get("as") or principal)
            thread = one.get("thread")
            answer = await service.ask(one["question"], who, thread=str(thread) if thread else None, as_of=as_of,
                                       habits=habits)  # fmt: skip
            good = good and answer.status == "answered"
            if as_json:
                typer.echo(orjson.dumps(answer.contract(one.get("id"))).decode())
            else:
                show(answer)
    finally:
        if model is not None:
            await model.close()
        await db.close()
    return good


def show(answer: Answer) -> None:
    """For a person: the sentence, a table, how the question was read."""
    console = Console()
    console.print(Text(answer.text))
    rows = answer.rows[:SHOWN]
    if rows:
        names = [name for name in _COLUMNS if name in rows[0]]
        table = Table(box=SIMPLE_HEAD)
        for name in names:
            table.add_column(name.replace("_", " "), overflow="fold")
        for row in rows:
            table.add_row(*(Text("" if row[name] is None else str(row[name])[:60]) for name in names))
        console.print(table)
        if len(answer.rows) > SHOWN:
            console.print(Text(f"{SHOWN} of {len(answer.rows)} rows; --json gives all."))
    if answer.how_read:
        console.print(Text(f"Read as: {answer.how_read}", style="dim"))


def read_people(file: Path) -> list[Principal]:
    """Principals from a JSON array of ``{principal, name, team, role}``."""
    try:
        data = orjson.loads(file.read_bytes())
    except orjson.JSONDecodeError as error:
        raise BadInput(f"{file.name} is no JSON: {error}", mend="It has to be an array of people.") from error
    if isinstance(data, dict):
        data = data.get("people", [data])
    found: list[Principal] = []
    for number, one in enumerate(data if isinstance(data, list) else [], 1):
        principal = one.get("principal") or one.get("id") or one.get("email") if isinstance(one, dict) else None
        if not isinstance(principal, str) or not principal.strip():
            raise BadInput(f"{file.name}, person {number} has no principal", mend="Nothing was imported.")
        groups = one.get("groups")
        found.append(
            Principal(
                id=principal.strip(),
                name=str(one.get("name") or principal),
                email=str(one.get("email") or ""),
                team=one.get("team") or None,
                role=str(one.get("role") or ""),
                groups=tuple(str(g) for g in groups) if isinstance(groups, list) else (),
            )
        )
    if not found:
        raise BadInput(f"{file.name} holds nobody", mend='Write [{"principal": "…", "name": "…", "team": "…"}].')
    return found


async def import_people(settings: Settings, found: list[Principal]) -> int:
    """Store ``found``; how many there were. Accounts of chat platforms are not touched."""
    url = settings.database_url.get_secret_value()
    upgrade(url)
    db = Database(url)
    try:
        await db.write(_save, found, SystemClock().now())
    finally:
        await db.close()
    return len(found)


def _save(conn: Connection, found: list[Principal], now: datetime) -> None:
    for person in found:
        people.save(conn, person, now)
