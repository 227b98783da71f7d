"""``gatehouse ledger``: verify, checkpoint, export."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bot.cli.common import Config, Json, errors, print_json, read_settings
from bot.domain.errors import BadInput

if TYPE_CHECKING:
    from bot.evidence.checkpoints import Checkpoint
    from bot.settings import Settings
    from bot.store.database import Database

app = typer.Typer(no_args_is_help=True, help="The append-only record of every input, verdict, decision and change.")

Against = Annotated[
    list[Path] | None,
    typer.Option("--against", help="File with checkpoints you hold: a witness file, or text copied from a channel."),
]
_TIMES = ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S%z"]


@contextmanager
def _open(settings: Settings) -> Iterator[Database]:
    from bot.store.database import Database
    from bot.store.migrate import upgrade

    url = settings.database_url.get_secret_value()
    upgrade(url)
    db = Database(url)
    try:
        yield db
    finally:
        db.close_sync()


def _witnesses(settings: Settings, against: list[Path] | None) -> list[tuple[Checkpoint, str]]:
    """The configured witness file's checkpoints and those of the files that were named, each with its place."""
    from bot.evidence.checkpoints import in_file, read_file

    found = [(each, str(settings.evidence.checkpoint_file)) for each in in_file(settings)]
    for path in against or []:
        if not (named := read_file(path)):
            raise BadInput(f"{path} holds no checkpoint", mend="It holds origin, size, root and time, one a line.")
        found += [(each, str(path)) for each in named]
    return found


@app.command()
def verify(against: Against = None, json: Json = False, config: Config = None) -> None:
    """Walk the whole chain and tree, and hold it against every witness. Exit 1 and the first bad record otherwise."""
    with errors():
        from dataclasses import asdict

        from bot.evidence import checkpoints

        settings = read_settings(config)
        with _open(settings) as db:
            report = db.read_sync(checkpoints.verify, _witnesses(settings, against))
        if json:
            print_json(asdict(report))
        elif report.ok:
            seen = f"{report.witnesses} checkpoints agree" if report.witnesses else "no checkpoint to compare with yet"
            typer.echo(f"The ledger holds: {report.records} records, head {report.head[:16]}; {seen}.")
        else:
            typer.secho(f"The ledger is broken at record {report.first_bad}: {report.why}.", err=True, fg="red")
        raise typer.Exit(0 if report.ok else 1)


@app.command()
def checkpoint(config: Config = None) -> None:
    """Note the ledger as it is now (database, witness file, channels) and print the checkpoint."""
    with errors():
        from bot.domain.ids import RandomIds, SystemClock
        from bot.evidence.checkpoints import Checkpoint, Checkpoints
        from bot.store import ledger

        settings = read_settings(config)
        with _open(settings) as db:
            made = asyncio.run(Checkpoints(db, settings, SystemClock(), RandomIds()).make())
            if made is None:  # nothing new since the last one
                last = db.read_sync(ledger.last_checkpoint)
                made = Checkpoint(last.origin, last.size, last.root, last.at) if last else None
        if made is None:
            raise BadInput("the ledger has no record yet", mend="There is nothing to note.")
        typer.echo(made.text, nl=False)


@app.command()
def export(
    out: Annotated[Path, typer.Argument(help="File to write; verifier.py is put beside it.")],
    finding: Annotated[str, typer.Option(help="Everything recorded of this finding and its cause.")] = "",
    cause: Annotated[str, typer.Option(help="Everything recorded of this cause.")] = "",
    decision: Annotated[str, typer.Option(help="A decision: request, votes, plan, execution, steps.")] = "",
    since: Annotated[datetime | None, typer.Option(formats=_TIMES, help="Start of a period, UTC.")] = None,
    until: Annotated[datetime | None, typer.Option(formats=_TIMES, help="End of a period, excluded, UTC.")] = None,
    against: Against = None,
    config: Config = None,
) -> None:
    """Write one evidence pack: records, proofs that they are in the ledger, and a verifier that needs only Python."""
    with errors():
        from bot import __version__
        from bot.domain.ids import SystemClock
        from bot.evidence import pack

        question = pack.Question(finding=finding, cause=cause, decision=decision, since=since, until=until)
        settings = read_settings(config)
        with _open(settings) as db:
            built = db.read_sync(
                pack.build,
                question,
                origin=settings.evidence.origin,
                now=SystemClock().now(),
                against=_witnesses(settings, against),
                made_by=f"gatehouse {__version__}",
            )
        beside = pack.write(built, out)
        typer.echo(f"{len(built['records'])} records with proofs in {out}. Check: python -I {beside} {out}")
