"""What every command shares: options, settings, errors as one sentence and an exit code."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bot.domain.errors import BadInput, GatehouseError, NotFound, SettingsError

if TYPE_CHECKING:
    from bot.settings import Settings

Json = Annotated[bool, typer.Option("--json", help="Machine-readable output.")]
Config = Annotated[
    Path | None, typer.Option("--config", help="Settings file (default: GATEHOUSE_CONFIG or gatehouse.yml).")
]


@contextmanager
def errors() -> Iterator[None]:
    """Our errors become one clear sentence on standard error and an exit code."""
    try:
        yield
    except GatehouseError as error:
        typer.secho(f"gatehouse: {error.reason}", err=True, fg="red")
        if error.mend:
            typer.secho(error.mend, err=True)
        code = 2 if isinstance(error, SettingsError | BadInput | NotFound) else 1
        raise typer.Exit(code) from error


def read_settings(config: Path | None) -> Settings:
    from bot.settings import load_settings

    settings = load_settings(config)
    logging.basicConfig(level=settings.log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("alembic").setLevel(logging.WARNING)
    return settings


def print_json(value: Any) -> None:
    import orjson

    data = orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_UTC_Z | orjson.OPT_APPEND_NEWLINE)
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()
