"""``gatehouse findings``: a table for a person, every match as JSON for a program."""

from __future__ import annotations

from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bot.domain.ids import SystemClock
from bot.remediation.catalog import builtin_catalog
from bot.reports.board import Board
from bot.reports.filters import parse_filters
from bot.settings import Settings
from bot.store.database import Database
from bot.store.migrate import upgrade


async def show_findings(settings: Settings, words: str, *, limit: int, as_json: bool) -> list[dict[str, Any]]:
    url = settings.database_url.get_secret_value()
    upgrade(url)
    db = Database(url)
    try:
        board = Board(db, settings, builtin_catalog(), SystemClock())
        wanted = parse_filters(words)
        if as_json:
            return await board.all_open(wanted)
        view = await board.findings(wanted, limit=limit, offset=0)
    finally:
        await db.close()
    table = Table(box=SIMPLE_HEAD, expand=True)
    table.add_column("", no_wrap=True, min_width=2)
    table.add_column("Severity", no_wrap=True, min_width=8)
    table.add_column("Finding", overflow="ellipsis", no_wrap=True, ratio=4)
    table.add_column("Resource", overflow="ellipsis", no_wrap=True, ratio=2)
    table.add_column("Where", overflow="ellipsis", no_wrap=True, ratio=1)
    table.add_column("Owner", overflow="ellipsis", no_wrap=True, ratio=1)
    table.add_column("Due", no_wrap=True, min_width=10)
    table.add_column("Id", no_wrap=True, min_width=18)
    for line in view.lines:
        due = f"{line.due:%Y-%m-%d}" if line.due else ""
        # Text objects: markup in a finding's text is shown, never interpreted.
        cells = (
            line.priority.label,
            line.severity.name.lower(),
            line.title,
            line.resource,
            line.where,
            line.owner,
            due,
            line.id,
        )
        table.add_row(*(Text(cell) for cell in cells))
    console = Console()
    console.print(table)
    console.print(f"{len(view.lines)} of {view.total} ({view.filters or 'open'})", highlight=False)
    return []
