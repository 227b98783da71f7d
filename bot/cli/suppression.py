"""``gatehouse suppression``: what is hidden and by whom, and what a rule would hide. Rules are activated in chat."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bot.cli.common import Config, Json, errors, print_json, read_settings

if TYPE_CHECKING:
    from bot.settings import Settings, SuppressionRule

app = typer.Typer(no_args_is_help=True, help="Suppression rules: what is noise, who said so, what it hides.")


@app.callback()
def _root() -> None:
    """Suppression rules: what is noise, who said so, what it hides."""


@app.command("list")
def show(
    every: Annotated[bool, typer.Option("--all", help="Also those that ended or ran out.")] = False,
    json: Json = False,
    config: Config = None,
) -> None:
    """List the rules with what each hides, or would hide."""
    with errors():
        found = asyncio.run(_list(read_settings(config), every))
        if json:
            print_json(found)
            return
        for each in found:
            _print_rule(each)
        if not found:
            typer.echo("There is no suppression rule.")


@app.command()
def preview(
    rule: Annotated[str, typer.Argument(help="As in chat: '\"dev noise\" env:dev until:14d rebuilt daily'.")],
    json: Json = False,
    config: Config = None,
) -> None:
    """What a rule would hide of what is open now. Nothing is stored and nothing is hidden."""
    with errors():
        found = asyncio.run(_preview(read_settings(config), rule))
        if json:
            print_json(found)
            return
        _print_preview(found["preview"])


async def _list(settings: Settings, every: bool) -> list[dict[str, Any]]:
    from bot.composition import build_engine

    engine = build_engine(settings)
    try:
        return [view.model_dump(mode="json") for view in await engine.suppression.list(over=every)]
    finally:
        await engine.db.close()


async def _preview(settings: Settings, text: str) -> dict[str, Any]:
    from bot.composition import build_engine
    from bot.intake import noise

    engine = build_engine(settings)
    try:
        terms: SuppressionRule = noise.read_rule(text, author="preview", today=engine.clock.now().date())
        found = await engine.suppression.preview(terms)
        return {"about": noise.about(terms.match), "preview": found.model_dump(mode="json")}
    finally:
        await engine.db.close()


def _print_rule(rule: dict[str, Any]) -> None:
    names = ", ".join(name["name"] for name in rule["names"]) or "nobody yet"
    typer.echo(f"{rule['id']}  {rule['state']:8}  {rule['name']}  [{rule['about']}] until {rule['until'][:10]}")
    typer.echo(f"    {rule['author']}: {rule['reason']}; activated by {names}")
    if rule["state"] == "active":
        typer.echo(f"    hides {rule['hidden']} findings, {rule['hidden_p1']} of them P1")
    elif rule["state"] == "monitor":
        _print_preview(rule["preview"])


def _print_preview(found: dict[str, Any]) -> None:
    typer.echo(
        f"    would hide {found['hides']} of {found['of_open']} open findings, cards with them: {found['causes']}; "
        f"it is about {found['matched']}, {found['last_week']} of them first seen in the last seven days"
    )
    for priority, number in found["by_priority"]:
        typer.echo(f"    P{priority}: {number}")
    for line in found["urgent"]:
        typer.echo(f"    P1 {line['id']}  {line['title']}  {line['resource']}  ({line['where']})")
