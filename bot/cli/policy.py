"""``gatehouse policy``: check, explain, test."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bot.cli.common import Config, Json, errors, print_json, read_settings
from bot.domain.errors import BadInput

if TYPE_CHECKING:
    from bot.governance.cases import Explained, Judge
    from bot.governance.lint import Problem
    from bot.settings import Settings
    from bot.store.database import Database

app = typer.Typer(no_args_is_help=True, help="Who may do what: check the policy, explain a verdict, test it.")


@app.command()
def check(json: Json = False, config: Config = None) -> None:
    """Check the Cedar policies and the approval rules. Exit 1: something is wrong; warnings alone exit 0."""
    with errors():
        from bot.governance.lint import examine
        from bot.remediation.catalog import builtin_catalog

        settings = read_settings(config)
        playbooks = {book.info.id for book in builtin_catalog().all()}
        found = examine(settings, _config_file(config), playbooks)
        wrong = [problem for problem in found if problem.level == "error"]
        if json:
            print_json({"ok": not wrong, "problems": [asdict(problem) for problem in found]})
        else:
            _print_problems(found, str(settings.governance.policies or "the built-in policy"))
        raise typer.Exit(1 if wrong else 0)


@app.command()
def explain(
    who: Annotated[str, typer.Option("--as", help="Principal id of gatehouse.yml.")],
    action: Annotated[str, typer.Option(help="approve, reject, request, snooze, pass_on …")],
    plan: Annotated[str, typer.Option(help="Id of a stored plan.")] = "",
    cause: Annotated[str, typer.Option(help="Id of a cause.")] = "",
    finding: Annotated[str, typer.Option(help="Id of a finding.")] = "",
    facts: Annotated[list[str] | None, typer.Option(help="name=value, for example environment=prod.")] = None,
    more: Annotated[list[str] | None, typer.Argument(help="More facts.", metavar="[name=value]...")] = None,
    group: Annotated[list[str] | None, typer.Option(help="As if a member of this group of a chat platform.")] = None,
    json: Json = False,
    config: Config = None,
) -> None:
    """Say whether a person may, which rule decides, over which facts, and who could. Exit 0: may; 1: may not."""
    with errors():
        given = _pairs([*(facts or []), *(more or [])])
        if sum(map(bool, (plan, cause, finding))) > 1:
            raise BadInput("name one of --plan, --cause and --finding", mend="Leave the others out.")
        settings = read_settings(config)
        with _judge(settings) as (judge, db):
            found, about = _explained(judge, db, who, action, plan, cause, finding, given, group or [])
        file, line = _place(settings, found.verdict.rule)
        notes = _notes(settings, who, group or [])
        if json:
            print_json(
                {
                    "allowed": found.verdict.allowed, "who": found.who, "action": found.action, "about": about,
                    "rule": found.verdict.rule, "reason": found.verdict.reason, "file": file, "line": line,
                    "could": list(found.could), "facts": found.facts, "notes": notes,
                    "approval_rule": found.approval_rule.model_dump(mode="json") if found.approval_rule else None,
                }
            )  # fmt: skip
        else:
            _print_explained(found, about, file, line, notes)
        raise typer.Exit(0 if found.verdict.allowed else 1)


@app.command("test")
def run_tests(
    file: Annotated[Path, typer.Argument(help="Test cases in YAML; docs/policy.md shows the shape.")],
    json: Json = False,
    config: Config = None,
) -> None:
    """Run your own test cases against the policy. Exit 1: one came out otherwise than expected."""
    with errors():
        from bot.governance.cases import read_cases, run_cases

        settings = read_settings(config)
        cases = read_cases(file)
        with _judge(settings) as (judge, _):
            outcomes = run_cases(judge, cases)
        failed = [outcome for outcome in outcomes if not outcome.ok]
        if json:
            print_json({"ok": not failed, "tests": [asdict(outcome) for outcome in outcomes]})
        else:
            _print_outcomes(outcomes)
        raise typer.Exit(1 if failed else 0)


# --- asking ----------------------------------------------------------------------------------------------------------


@contextmanager
def _judge(settings: Settings) -> Iterator[tuple[Judge, Database]]:
    from bot.domain.ids import RandomIds, SystemClock
    from bot.governance.cases import Judge
    from bot.governance.people import People
    from bot.governance.policy import Policy
    from bot.store.database import Database

    db = Database(settings.database_url.get_secret_value())
    try:
        people = People(db, settings, {}, SystemClock(), RandomIds())
        yield Judge(settings, Policy.load(settings.governance), people), db
    finally:
        db.close_sync()


def _explained(
    judge: Judge, db: Database, who: str, action: str, plan: str, cause: str, finding: str, given: dict[str, str],
    groups: list[str],
) -> tuple[Explained, str]:  # fmt: skip
    from bot.governance.cases import read_facts

    if not (plan or cause or finding):
        facts = read_facts(given)
        return judge.ask(judge.somebody(who, groups, facts), action, facts), "the facts given"
    from bot.governance.asked import about
    from bot.remediation.catalog import builtin_catalog
    from bot.store.migrate import upgrade

    upgrade(db.url.render_as_string(hide_password=False))
    return db.read_sync(
        about, judge, builtin_catalog(), who=who, action=action, plan_id=plan, cause_id=cause, finding_id=finding,
        given=given, groups=groups,
    )  # fmt: skip


def _pairs(words: list[str]) -> dict[str, str]:
    given: dict[str, str] = {}
    for word in words:
        name, sign, value = word.partition("=")
        if not sign or not name:
            raise BadInput(f"{word!r} is no fact", mend="Write name=value, for example environment=prod.")
        given[name.strip()] = value.strip()
    return given


def _config_file(config: Path | None) -> Path:
    from bot.settings import CONFIG_ENV, DEFAULT_CONFIG

    return config or Path(os.environ.get(CONFIG_ENV) or DEFAULT_CONFIG)


def _place(settings: Settings, rule: str) -> tuple[str, int]:
    from bot.governance.lint import place_of

    return place_of(settings, rule)


def _notes(settings: Settings, who: str, groups: list[str]) -> list[str]:
    person = settings.people.get(who)
    unread = sorted(
        name
        for name, each in settings.groups.items()
        if each.slack and name not in groups and who not in each.members and not (person and name in person.groups)
    )
    if not unread:
        return []
    return [f"Slack is not asked here who is in {', '.join(unread)}: add --group NAME to suppose it."]


# --- showing ---------------------------------------------------------------------------------------------------------


def _print_problems(found: list[Problem], what: str) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console(soft_wrap=True, highlight=False)
    for problem in found:
        place = f"{problem.file}:{problem.line}" if problem.line else problem.file
        line = Text(f"{place}: ")
        line.append(problem.level, style="bold red" if problem.level == "error" else "yellow")
        line.append(f": {problem.where + ': ' if problem.where else ''}{problem.said}")
        console.print(line)
        if problem.mend:
            console.print(Text(f"    {problem.mend}", style="dim"))
    wrong = sum(problem.level == "error" for problem in found)
    console.print(Text(f"{what}: {wrong} errors, {len(found) - wrong} warnings"))


def _print_explained(found: Explained, about: str, file: str, line: int, notes: list[str]) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console(soft_wrap=True, highlight=False)
    verdict = found.verdict
    head = Text("yes" if verdict.allowed else "no", style="bold green" if verdict.allowed else "bold red")
    console.print(head, Text(f" {found.who} may{'' if verdict.allowed else ' not'} {found.action} ({about})"), sep="")
    place = f"  ({file}:{line})" if line else ""
    console.print(Text(f"Rule:      {verdict.rule}{place}"))
    if verdict.reason:
        console.print(Text(f"Reason:    {verdict.reason}"))
    if found.approval_rule:
        rule = found.approval_rule
        eyes = "who asks cannot approve" if rule.four_eyes else "who asks may approve"
        console.print(Text(f"Approvals: {rule.quorum} by rule {rule.name!r}; {eyes}"))
    console.print(Text(f"Could:     {', '.join(found.could) or 'nobody'}"))
    for part, facts in found.facts.items():
        console.print(Text(f"{part}:", style="bold"))
        for name, value in facts.items():
            console.print(Text(f"  {name} = {_shown(value)}"))
    for note in notes:
        console.print(Text(note, style="dim"))


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "none"
    return str(value) if value != "" else '""'


def _print_outcomes(outcomes: list[Any]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, expand=True)
    table.add_column("", no_wrap=True, min_width=2)
    for name, ratio in (("Test", 5), ("Who", 2), ("Action", 2), ("Verdict", 2), ("Decided by", 4)):
        table.add_column(name, ratio=ratio, overflow="fold")
    for each in outcomes:
        mark = Text("ok", style="green") if each.ok else Text("NO", style="bold red")
        came = each.came if each.came == each.expected else f"{each.came}, not {each.expected}"
        table.add_row(mark, *(Text(cell) for cell in (each.name, each.who, each.action, came, each.rule)))
    console = Console(highlight=False)
    console.print(table)
    failed = [each for each in outcomes if not each.ok]
    for each in failed:
        said = f"{each.name}: {each.who} {each.action}: {each.why}" + (f" ({each.reason})" if each.reason else "")
        console.print(Text(said, style="red"), soft_wrap=True)
    console.print(Text(f"{len(outcomes) - len(failed)} of {len(outcomes)} as expected"))
