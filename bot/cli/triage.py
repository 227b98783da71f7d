"""``gatehouse triage``: why a finding has its priority, line by line; the tables; how often routing was wrong."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bot.cli.common import Config, Json, errors, print_json, read_settings

if TYPE_CHECKING:
    from bot.domain.views import FindingView

app = typer.Typer(no_args_is_help=True, help="Verdicts: why, by which tables, and how often routing was wrong.")


@app.command()
def explain(
    finding: Annotated[str, typer.Argument(help="Id of a finding (f-…), or the unique beginning of it.")],
    json: Json = False,
    config: Config = None,
) -> None:
    """Decision, priority and deadline of a finding, and each line of evidence with its source and age."""
    with errors():
        view, now = asyncio.run(_finding(read_settings(config), finding))
        if json:
            print_json({"id": view.id, "verdict": view.verdict and view.verdict.model_dump(mode="json")})
            return
        typer.echo(f"{view.id}  {view.finding.title}")
        verdict = view.verdict
        if verdict is None:
            typer.echo("It was never judged.")
            raise typer.Exit(1)
        due = f", due {verdict.due:%Y-%m-%d}" if verdict.due else ""
        typer.echo(f"{verdict.priority.label} {verdict.decision.value}{due}, by {verdict.table}\n")
        for line in verdict.reasons:
            typer.echo(f"  {line.input:<17} {line.value:<16} {line.fact}")
            typer.echo(f"  {'':<17} {'':<16} source: {line.source}{_age(line.as_of, now)}")


def _age(moment: datetime | None, now: datetime) -> str:
    if moment is None:
        return ""
    days = (now - moment).days
    return f", of {moment:%Y-%m-%d} ({days} days old)" if days > 0 else f", of {moment:%Y-%m-%d}"


async def _finding(settings: Any, wanted: str) -> tuple[FindingView, datetime]:
    from bot.composition import build_engine

    engine = build_engine(settings)
    try:
        return await engine.board.finding(wanted), engine.clock.now()
    finally:
        await engine.db.close()


@app.command()
def tables(json: Json = False, config: Config = None) -> None:
    """The decision tables in force, and where each comes from."""
    with errors():
        from bot.triage.inputs import KINDS
        from bot.triage.tables import DEADLINE, DECISION, chosen

        found = chosen(read_settings(config).triage.tables)
        rows = [
            {"kind": kind, "role": role, "table": table.id, "rows": len(table.answers), "source": table.source}
            for kind in KINDS
            for role in (DECISION, DEADLINE)
            if (table := found.get((kind, role))) is not None
        ]
        if json:
            print_json(rows)
            return
        for row in rows:
            typer.echo(f"{row['kind']:<17} {row['role']:<9} {row['table']} ({row['rows']} rows)\n    {row['source']}")


@app.command()
def stats(json: Json = False, config: Config = None) -> None:
    """How often each rule of routing was wrong in the last 30 days: "not mine" over causes routed."""
    with errors():
        lines = asyncio.run(_routes(read_settings(config)))
        if json:
            print_json([{**line.model_dump(), "rate": line.rate} for line in lines])
            return
        if not lines:
            typer.echo("Nothing was routed in the last 30 days.")
        for line in lines:
            typer.echo(f"{line.rule:<11} {line.passed_on} of {line.routed} passed on ({line.rate:.1%})")


async def _routes(settings: Any) -> Any:
    from bot.composition import build_engine

    engine = build_engine(settings)
    try:
        return (await engine.board.status()).routes
    finally:
        await engine.db.close()
