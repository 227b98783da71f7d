"""``gatehouse model``: the calls as they were made, the state of the budget, what people said of narratives."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bot.cli.common import Config, Json, errors, print_json, read_settings

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from bot.domain.views import ModelCallView
    from bot.narrative.service import Narratives
    from bot.settings import Settings

app = typer.Typer(no_args_is_help=True, help="The language model: what it was asked, what it answered, what it cost.")


@app.command()
def status(json: Json = False, config: Config = None) -> None:
    """Whether a model is set up, what is left of the day's budget, calls and tokens so far."""
    with errors():
        found = asyncio.run(_with(read_settings(config), lambda service: service.status()))
        if json:
            print_json(found)
        else:
            typer.echo(f"Model: {found['said']}.")
            for purpose, each in found["calls"].items():
                typer.echo(
                    f"{purpose}: {each['calls']:,} calls, {each['input_tokens']:,} tokens in, "
                    f"{each['output_tokens']:,} out, cost {each['cost']:.4f}"
                )


@app.command()
def calls(
    call: Annotated[str, typer.Argument(help="Id of one call; empty: the latest.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many.")] = 20,
    json: Json = False,
    config: Config = None,
) -> None:
    """The calls as they were made, the newest first; one of them in full by its id."""
    with errors():
        found = asyncio.run(_with(read_settings(config), lambda service: service.calls(limit, call)))
        if json:
            print_json([each.model_dump(mode="json") for each in found])
        elif call:
            _whole(found[0])
        else:
            _table(found)


@app.command()
def feedback(config: Config = None) -> None:
    """The evaluation set: each call people judged, with input, output and their votes, one JSON a line."""
    with errors():
        import orjson

        for each in asyncio.run(_with(read_settings(config), lambda service: service.evaluation_set())):
            typer.echo(orjson.dumps(each).decode())


async def _with(settings: Settings, work: Callable[[Narratives], Awaitable[Any]]) -> Any:
    from bot.domain.ids import SystemClock
    from bot.narrative.service import Narratives
    from bot.store.database import Database
    from bot.store.migrate import upgrade

    url = settings.database_url.get_secret_value()
    upgrade(url)
    db = Database(url)
    try:
        return await work(Narratives(db, settings, SystemClock()))
    finally:
        await db.close()


def _whole(call: ModelCallView) -> None:
    typer.echo(f"{call.id}  {call.at:%Y-%m-%d %H:%M:%S} UTC  {call.model} at {call.endpoint}  {call.purpose}")
    typer.echo(f"{call.state} {call.why}  {call.input_tokens:,} in, {call.output_tokens:,} out  {call.cost}")
    for role, text in (*call.messages, ("answer", call.output)):
        typer.echo(f"\n--- {role}")
        typer.echo(_visible(text))


def _visible(text: str) -> str:
    """Text from outside cannot steer the terminal."""
    return "".join(c if c.isprintable() or c == "\n" else "�" for c in text)


def _table(found: list[ModelCallView]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD)
    for name in ("Id", "At", "For", "Subject", "Model", "State", "In", "Out", "Cost"):
        table.add_column(name)
    for each in found:
        cells = (each.id, f"{each.at:%m-%d %H:%M:%S}", each.purpose, each.subject, each.model, each.state,
                 f"{each.input_tokens:,}", f"{each.output_tokens:,}", each.cost)  # fmt: skip
        table.add_row(*(Text(_visible(cell)) for cell in cells))
    Console().print(table if found else "No model was called yet.")
