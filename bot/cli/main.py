"""``gatehouse``: demo, serve, worker, ingest, backfill, findings, check, db, ledger, policy, standing.

Exit codes: 0 done, 1 the answer is no (a check failed, something was lost), 2 wrong use or settings.
"""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import Annotated

import typer

from bot import __version__
from bot.cli import answers, enrich, ledger, model, policy, standing, suppression, teams, triage
from bot.cli.common import Config, Json, errors, print_json, read_settings
from bot.domain.errors import BadInput

app = typer.Typer(
    name="gatehouse",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Cloud-security findings to their owners, and fixes only after an authorised click.",
)
db_app = typer.Typer(no_args_is_help=True, help="The database.")
app.add_typer(db_app, name="db")
people_app = typer.Typer(no_args_is_help=True, help="Who the people are.")
app.add_typer(people_app, name="people")
app.add_typer(answers.app, name="answers")
app.add_typer(ledger.app, name="ledger")
app.add_typer(model.app, name="model")
app.add_typer(policy.app, name="policy")
app.add_typer(standing.app, name="standing")
app.add_typer(suppression.app, name="suppression")
app.add_typer(enrich.app, name="enrich")
app.add_typer(triage.app, name="triage")
app.add_typer(teams.app, name="teams")


def _version(value: bool) -> None:
    if value:
        typer.echo(f"gatehouse {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Common options."""


@app.command()
def demo(
    port: Annotated[int, typer.Option(help="Port of the local Slack in the browser.")] = 3010,
    scan: Annotated[
        bool, typer.Option("--scan", help="Run the real scanner live instead of its recorded run.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Seed of the simulated company.")] = 1,
    data: Annotated[Path | None, typer.Option(help="Folder to keep its data in (default: a temporary one).")] = None,
    teams: Annotated[bool, typer.Option("--teams", help="A local Microsoft Teams beside the Slack.")] = False,
    teams_port: Annotated[int, typer.Option(help="Port of that Teams in the browser.")] = 3011,
) -> None:
    """A whole company on this machine: simulated AWS, real findings, a Slack in the browser, the bot unchanged."""
    with errors():
        from bot.sandbox.demo import main as run

        code = run(port=port, scan=scan, seed=seed, data_dir=data, with_teams=teams, teams_port=teams_port)
        raise typer.Exit(code)


def _serve(config: Path | None, *, listen: bool) -> None:
    from bot.composition import serve as run

    settings = read_settings(config)

    async def main() -> None:
        stop = asyncio.Event()
        for name in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(name, stop.set)
        await run(settings, stop=stop, listen=listen)

    asyncio.run(main())


@app.command()
def ask(
    question: Annotated[str, typer.Argument(help="In plain language.")] = "",
    as_json: Json = False,
    as_of: Annotated[str | None, typer.Option("--as-of", help="The instant that is now: 2026-11-20T12:00:00Z.")] = None,
    principal: Annotated[str | None, typer.Option("--as", help="Who asks: a principal's id.")] = None,
    zone: Annotated[str, typer.Option("--tz", help="Whose days are meant: Europe/Berlin.")] = "UTC",
    file: Annotated[
        Path | None, typer.Option("--file", exists=True, dir_okay=False, help="Questions, one JSON a line.")
    ] = None,
    config: Config = None,
) -> None:
    """Answer a question about posture with numbers that can be checked. It only reads."""
    with errors():
        from bot.cli.ask import ask_all, habits_in, instant, questions

        if bool(question) == bool(file):
            raise BadInput(
                "ask one question, or --file with questions", mend='gatehouse ask "how many criticals are open?"'
            )
        asked = questions(file) if file else [{"id": None, "question": question}]
        done = ask_all(
            read_settings(config), asked, as_of=instant(as_of), principal=principal,
            as_json=as_json or file is not None, habits=habits_in(zone),
        )  # fmt: skip
        good = asyncio.run(done)
        raise typer.Exit(0 if good or as_json or file else 1)


@people_app.command("import")
def people_import(
    file: Annotated[
        Path, typer.Argument(exists=True, dir_okay=False, help="JSON array of principal, name, team, role.")
    ],
    config: Config = None,
) -> None:
    """Make people known: their team and role. Accounts of Slack or Teams are never bound by this."""
    with errors():
        from bot.cli.ask import import_people, read_people

        typer.echo(f"{asyncio.run(import_people(read_settings(config), read_people(file)))} people known")


@app.command()
def serve(config: Config = None) -> None:
    """Run the bot: clicks, polls, executions and messages."""
    with errors():
        _serve(config, listen=True)


@app.command()
def worker(config: Config = None) -> None:
    """Run a replica that polls, executes and sends, and takes no clicks."""
    with errors():
        _serve(config, listen=False)


@app.command()
def ingest(
    source: Annotated[str, typer.Argument(help="prowler, security_hub …")],
    files: Annotated[list[Path], typer.Argument(help="What the source's API, webhook or command line wrote.")],
    json: Json = False,
    config: Config = None,
) -> None:
    """Store findings from files and say what was understood. Exit 0: nothing was lost; 1: something was kept aside."""
    with errors():
        from bot.cli.ingest import ingest_files

        settings = read_settings(config)
        for file in files:
            if not file.is_file():
                raise BadInput(f"{file} is not a file", mend="Name the files to read.")
        reports = asyncio.run(ingest_files(settings, source, files, quiet=json))
        if json:
            print_json(reports)
        raise typer.Exit(1 if any(r["rejected"] for r in reports) else 0)


@app.command()
def backfill(
    source: Annotated[str, typer.Argument(help="Its name under sources in the settings.")],
    from_start: Annotated[
        bool, typer.Option("--from-start", help="Forget the stored cursor and read everything again.")
    ] = False,
    json: Json = False,
    config: Config = None,
) -> None:
    """Read a source to its end, page by page. Ctrl-C stops after a stored page; the same command goes on (exit 1)."""
    with errors():
        from bot.cli.backfill import backfill as run

        result = asyncio.run(run(read_settings(config), source, from_start=from_start, quiet=json))
        if json:
            print_json(result)
        raise typer.Exit(0 if result["done"] else 1)


@app.command()
def findings(
    filters: Annotated[
        list[str] | None, typer.Argument(help="critical, prod, owner:payments, account:…, free words.")
    ] = None,
    status: Annotated[str, typer.Option(help="open, all, or words such as resolved,suppressed.")] = "open",
    limit: Annotated[int, typer.Option(min=1, help="Rows of the table.")] = 30,
    json: Json = False,
    config: Config = None,
) -> None:
    """List findings, most urgent first. With --json: an array of every one that matches."""
    with errors():
        from bot.cli.findings import show_findings

        words = [*(filters or []), *([f"status:{status}"] if status != "open" else [])]
        result = asyncio.run(show_findings(read_settings(config), " ".join(words), limit=limit, as_json=json))
        if json:
            print_json(result)


@app.command()
def check(json: Json = False, config: Config = None) -> None:
    """The doctor: settings, database, tokens, scopes, policy, sources, cloud; each with how to mend it."""
    with errors():
        from bot.cli.doctor import run_checks

        results = asyncio.run(run_checks(config))
        if json:
            print_json([r.as_dict() for r in results])
        else:
            from bot.cli.doctor import print_results

            print_results(results)
        raise typer.Exit(0 if all(r.ok for r in results) else 1)


@db_app.command("upgrade")
def db_upgrade(config: Config = None) -> None:
    """Create or migrate the database."""
    with errors():
        from bot.store.migrate import upgrade

        upgrade(read_settings(config).database_url.get_secret_value())
        typer.echo("The database is up to date.")


def main() -> None:
    app()
