"""``gatehouse standing``: what was approved in advance. It is granted and revoked in chat, by people it recognises."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bot.cli.common import Config, Json, errors, print_json, read_settings

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from bot.settings import Settings

app = typer.Typer(no_args_is_help=True, help="Standing approvals: fixes that were approved in advance.")


@app.callback()
def _root() -> None:
    """Standing approvals: fixes that were approved in advance."""


@app.command("list")
def show(
    every: Annotated[bool, typer.Option("--all", help="Also those that are revoked or over.")] = False,
    json: Json = False,
    config: Config = None,
) -> None:
    """List them with scope, cap, end and use, the newest first."""
    with errors():
        found = asyncio.run(_rows(read_settings(config), every=every))
        if json:
            print_json(found)
        else:
            _print(found)


async def _rows(settings: Settings, *, every: bool) -> list[dict[str, Any]]:
    from bot.domain.ids import SystemClock
    from bot.domain.standing import StandingState
    from bot.store import standing
    from bot.store.database import Database
    from bot.store.migrate import upgrade

    over = {StandingState.REVOKED, StandingState.EXPIRED}
    states = [state for state in StandingState if every or state not in over]
    now = SystemClock().now()

    def read(conn: Connection) -> list[dict[str, Any]]:
        found = []
        for held in standing.every(conn, states, limit=1_000):
            uses, lately, last = standing.tally(conn, held.facts.id, now)
            found.append(
                held.facts.model_dump(mode="json")
                | {"hash": held.hash, "intact": held.intact, "granted_by": [g.principal_id for g in held.grants],
                   "scope_words": held.facts.scope.words, "uses": uses, "uses_last_hour": lately, "last_use": last}
            )  # fmt: skip
        return found

    url = settings.database_url.get_secret_value()
    upgrade(url)
    db = Database(url)
    try:
        return await db.read(read)
    finally:
        await db.close()


def _print(found: list[dict[str, Any]]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD)
    for name in ("Id", "State", "Playbook", "Scope", "An hour", "Until", "Granted by", "Used", "Why"):
        table.add_column(name)
    for each in found:
        why = each["state_why"] or each["reason"]
        cells = (each["id"], each["state"], f"{each['playbook']} v{each['playbook_version']}", each["scope_words"],
                 str(each["cap"]), each["ends_at"][:10], ", ".join(each["granted_by"]), str(each["uses"]),
                 why)  # fmt: skip
        # Text objects: markup in what people wrote is shown, never interpreted.
        table.add_row(*(Text(cell) for cell in cells))
    console = Console()
    console.print(table if found else "There is no standing approval.")
