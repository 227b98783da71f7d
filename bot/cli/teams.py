"""``gatehouse teams``: the app package that an administrator uploads to Microsoft Teams."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bot import __version__
from bot.cli.common import Config, errors, read_settings
from bot.domain.errors import BadInput

app = typer.Typer(no_args_is_help=True, help="Microsoft Teams.")


@app.callback()
def _root() -> None:
    """Microsoft Teams."""


@app.command()
def package(
    company: Annotated[str, typer.Option(help="Your company, shown as the developer.")],
    website: Annotated[str, typer.Option(help="https address about Gatehouse at your company.")],
    privacy: Annotated[str, typer.Option(help="https address of the privacy notice (default: the website).")] = "",
    terms: Annotated[str, typer.Option(help="https address of the terms of use (default: the website).")] = "",
    name: Annotated[str, typer.Option(help="Name of the app in Teams, at most 30 characters.")] = "Gatehouse",
    out: Annotated[Path, typer.Option(help="File to write.")] = Path("gatehouse-teams.zip"),
    config: Config = None,
) -> None:
    """Write manifest.json and icons for the configured teams.app_id, checked, as a zip to upload."""
    with errors():
        from handlers.teams.package import manifest
        from handlers.teams.package import package as pack

        made = manifest(
            read_settings(config).teams.app_id, __version__, name=name, company=company, website=website,
            privacy=privacy, terms=terms,
        )  # fmt: skip
        try:
            out.write_bytes(pack(made))
        except OSError as error:
            raise BadInput(f"{out} cannot be written: {error.strerror}", mend="Name another file.") from error
        typer.echo(f"{out}: app {made.name.short} {made.version} for bot {made.id}")
