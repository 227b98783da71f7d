"""``gatehouse enrich``: fetch the lists now, and how fresh they are. ``gatehouse triage``: why, and how often wrong."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated, Any

import typer

from bot.cli.common import Config, Json, errors, print_json, read_settings
from bot.domain.errors import BadInput

app = typer.Typer(no_args_is_help=True, help="What others say of CVEs: CISA KEV, FIRST EPSS, NVD.")


@app.command()
def update(
    kev: Annotated[Path | None, typer.Option(exists=True, dir_okay=False, help="A file of the KEV feed.")] = None,
    epss: Annotated[Path | None, typer.Option(exists=True, dir_okay=False, help="A file of EPSS (CSV, gzip).")] = None,
    json: Json = False,
    config: Config = None,
) -> None:
    """Fetch the lists now (or read them from files) and judge again what they change. Exit 1: one could not be had."""
    with errors():
        done = asyncio.run(_update(read_settings(config), kev, epss))
        if json:
            print_json([{name: getattr(each, name) for name in each.__slots__} for each in done])
        else:
            for each in done:
                typer.echo(f"{'ok  ' if each.ok else 'FAIL'} {each.name}: {each.said}")
        raise typer.Exit(0 if all(each.ok for each in done) else 1)


async def _update(settings: Any, kev: Path | None, epss: Path | None) -> list[Any]:
    from bot.composition import build_engine, build_enrichment
    from connectors.epss import EpssFile
    from connectors.kev import KevFile

    engine = build_engine(settings)
    enrichment = build_enrichment(engine)
    try:
        if kev is not None or epss is not None:
            files = [("kev", KevFile(kev) if kev else None), ("epss", EpssFile(epss) if epss else None)]
            return [await enrichment.update(name, file) for name, file in files if file is not None]
        if not settings.enrichment.enabled:
            raise BadInput("enrichment is off", mend="Set enrichment.enabled, or give --kev or --epss a file.")
        done = [await enrichment.update(name) for name in enrichment.names]
        asked = await enrichment.look_up()
        return [*done, asked] if asked is not None else done
    finally:
        await enrichment.close()
        await engine.db.close()


@app.command()
def cmdb(
    out: Annotated[Path, typer.Argument(help="The CSV file that routing.cmdb names.")],
    config: Config = None,
) -> None:
    """Read ServiceNow's configuration items into a CSV file, whole or not at all."""
    with errors():
        count, total = asyncio.run(_cmdb(read_settings(config), out))
        hidden = f" of {total}: the others are hidden from this user" if total is not None and total > count else ""
        typer.echo(f"{count} configuration items written to {out}{hidden}")


async def _cmdb(settings: Any, out: Path) -> tuple[int, int | None]:
    from bot.domain.errors import SettingsError
    from connectors.servicenow import CmdbReader

    chosen = settings.enrichment
    if not (chosen.servicenow_url and chosen.servicenow_user and chosen.servicenow_password):
        raise SettingsError(
            "ServiceNow is not set up",
            mend="Set enrichment.servicenow_url and _user, and GATEHOUSE_ENRICHMENT__SERVICENOW_PASSWORD.",
        )
    reader = CmdbReader(
        chosen.servicenow_url, chosen.servicenow_user, chosen.servicenow_password, table=chosen.servicenow_table,
        query=chosen.servicenow_query,
    )  # fmt: skip
    try:
        return await reader.save(out), reader.total
    finally:
        await reader.close()


@app.command()
def status(json: Json = False, config: Config = None) -> None:
    """How fresh each list is. Exit 1: one is stale or cannot be had."""
    with errors():
        views = asyncio.run(_status(read_settings(config)))
        if json:
            print_json([view.model_dump(mode="json") for view in views])
        else:
            for view in views:
                typer.echo(f"{'ok  ' if view.ok else 'LATE'} {view.title}: {view.said}")
        raise typer.Exit(0 if all(view.ok for view in views if view.name in {"kev", "epss"}) else 1)


async def _status(settings: Any) -> Any:
    from bot.composition import build_engine, build_enrichment

    engine = build_engine(settings)
    try:
        return await build_enrichment(engine).status()
    finally:
        await engine.db.close()
