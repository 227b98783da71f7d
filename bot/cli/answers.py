"""``gatehouse answers``: what people thought of the answers, for those who run Gatehouse."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bot.cli.common import Config, errors, read_settings

if TYPE_CHECKING:
    from sqlalchemy import Row

    from bot.settings import Settings

app = typer.Typer(no_args_is_help=True, help="Answers to questions: what people thought of them.")


class Verdict(StrEnum):
    UP = "up"
    DOWN = "down"


@app.callback()
def _root() -> None:
    """Answers to questions: what people thought of them."""


@app.command()
def feedback(
    verdict: Annotated[Verdict | None, typer.Option(help="Only these.")] = None,
    since: Annotated[str | None, typer.Option(help="Only from this instant on: 2026-11-20T12:00:00Z.")] = None,
    config: Config = None,
) -> None:
    """Each judged answer as one JSON a line, the newest first: question, query, outcome, verdict, comment, time.

    It says not who judged; secrets and addresses that people typed are cut out."""
    with errors():
        import orjson

        from bot.cli.ask import instant

        for row in asyncio.run(_read(read_settings(config), verdict, instant(since))):
            typer.echo(orjson.dumps(line(row), option=orjson.OPT_UTC_Z).decode())


def line(row: Row[Any]) -> dict[str, Any]:
    """One judged answer. ``query`` is the PostureQuery that ran, None where none did."""
    import orjson

    from bot.narrative.redact import without_secrets

    return {
        "at": row.at,
        "verdict": row.verdict,
        "comment": without_secrets(row.comment),
        "question": without_secrets(row.question),
        "status": row.status,
        "query": _clean(orjson.loads(row.query)) if row.query else None,
    }


def _clean(value: Any) -> Any:
    """The same JSON with every text cleaned: names of the company may hold anything."""
    from bot.narrative.redact import without_secrets

    if isinstance(value, dict):
        return {key: _clean(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_clean(each) for each in value]
    return without_secrets(value) if isinstance(value, str) else value


async def _read(settings: Settings, verdict: Verdict | None, since: datetime | None) -> Sequence[Row[Any]]:
    from bot.store import answers
    from bot.store.database import Database
    from bot.store.migrate import upgrade

    url = settings.database_url.get_secret_value()
    upgrade(url)
    db = Database(url)
    try:
        return await db.read(answers.feedback, None, verdict=str(verdict or ""), since=since)
    finally:
        await db.close()
