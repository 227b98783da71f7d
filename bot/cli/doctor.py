"""``gatehouse check``: what is set up, what is not, and how to mend it. Each check says one sentence."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from bot.domain.errors import GatehouseError
from bot.settings import Settings, load_settings

TIMEOUT_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Result:
    name: str
    ok: bool
    said: str
    mend: str = ""

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


async def run_checks(config: Path | None) -> list[Result]:
    """All checks; a broken setting ends the list, since nothing after it can be trusted."""
    try:
        settings = load_settings(config)
    except GatehouseError as error:
        return [Result("settings", False, error.reason, error.mend)]
    results = [Result("settings", True, "read")]
    checks: list[tuple[str, Callable[[Settings], Awaitable[str]]]] = [
        ("database", _database),
        ("ledger", _ledger),
        ("policy", _policy),
        ("people", _people),
        ("routing", _routing),
        ("triage", _triage),
        ("slack", _slack),
        ("aws", _aws),
        ("model", _model),
    ]
    for name, run in checks:
        results.append(await _one(name, run(settings)))
    for name in settings.sources:
        results.append(await _one(f"source {name}", _source(settings, name)))
    return results


async def _one(name: str, work: Awaitable[str]) -> Result:
    try:
        return Result(name, True, await asyncio.wait_for(work, TIMEOUT_SECONDS))
    except GatehouseError as error:
        return Result(name, False, error.reason, error.mend)
    except TimeoutError:
        return Result(name, False, f"no answer within {TIMEOUT_SECONDS:.0f} s", "Check the network and the address.")
    except Exception as error:
        return Result(name, False, f"{type(error).__name__}: {str(error)[:300]}", "See docs/settings.md.")


async def _database(settings: Settings) -> str:
    from bot.store.migrate import upgrade

    url = settings.database_url.get_secret_value()
    await asyncio.to_thread(upgrade, url)
    return f"{url.split(':', 1)[0]}, schema up to date"


async def _ledger(settings: Settings) -> str:
    from bot.evidence import checkpoints
    from bot.store.database import Database

    seen = [(each, str(settings.evidence.checkpoint_file)) for each in checkpoints.in_file(settings)]
    db = Database(settings.database_url.get_secret_value())
    try:
        report = await db.read(checkpoints.verify, seen)
    finally:
        await db.close()
    if not report.ok:
        raise GatehouseError(
            f"broken at record {report.first_bad}: {report.why}", mend="Restore it from a backup; keep this copy."
        )
    return f"{report.records} records hold"


async def _policy(settings: Settings) -> str:
    from bot.governance.policy import Policy

    policy = await asyncio.to_thread(Policy.load, settings.governance)
    return f"valid, version {policy.version[:12]}"


async def _people(settings: Settings) -> str:
    unknown = sorted({m for g in settings.groups.values() for m in g.members if m not in settings.people})
    if unknown:
        raise GatehouseError(
            f"groups name people who are not in `people`: {', '.join(unknown)}", mend="Add them or take them out."
        )
    bound = [p for p in settings.people.values() if p.slack or p.teams]
    if not bound:
        raise GatehouseError("nobody is bound to a chat account, so nobody can approve",
                             mend="Give people their immutable ids: `slack: T…/U…`.")  # fmt: skip
    return f"{len(bound)} of {len(settings.people)} people bound, {len(settings.groups)} groups"


async def _routing(settings: Settings) -> str:
    routing = settings.routing
    unknown = sorted({r.owner for r in routing.rules if r.owner not in routing.owners})
    if unknown:
        raise GatehouseError(
            f"rules name owners that do not exist: {', '.join(unknown)}", mend="Add them under routing.owners."
        )
    if not routing.fallback:
        raise GatehouseError(
            "no fallback channel: a finding nobody owns would go nowhere", mend="Set routing.fallback: [slack:C…]."
        )
    return f"{len(routing.owners)} owners, {len(routing.rules)} rules"


async def _triage(settings: Settings) -> str:
    """Tables are complete, registers can be read, and the lists of others are fresh where they are switched on."""
    from bot.domain.ids import SystemClock
    from bot.intake.ownership import load
    from bot.intake.triage import rules_of
    from bot.reports.ages import feeds
    from bot.store.database import Database

    routing = settings.routing
    rules_of(settings)
    load(routing.cmdb, routing.catalog, routing.codeowners)
    unknown = sorted({owner for owner in routing.account_owners.values() if owner not in routing.owners})
    if unknown:
        raise GatehouseError(
            f"account_owners name owners that do not exist: {', '.join(unknown)}", mend="Add them under routing.owners."
        )
    db = Database(settings.database_url.get_secret_value())
    try:
        found = await db.read(feeds, settings, SystemClock().now())
    finally:
        await db.close()
    late = [feed for feed in found if not feed.ok and settings.enrichment.enabled]
    if late:
        raise GatehouseError(
            "; ".join(f"{feed.title}: {feed.said}" for feed in late), mend="Run gatehouse enrich update; see its error."
        )
    own = f"{len(settings.triage.tables)} own tables" if settings.triage.tables else "the built-in tables"
    lists = ", ".join(feed.title for feed in found) or "no lists of others"
    return f"{own}, {lists}"


async def _slack(settings: Settings) -> str:
    if not settings.slack.enabled:
        return "not switched on"
    from handlers.slack.connection import check_slack

    return await check_slack(settings)


async def _aws(settings: Settings) -> str:
    from connectors.aws import check_aws

    return await check_aws(settings.aws)


async def _model(settings: Settings) -> str:
    """Nothing is asked: a call would cost and be no proof of the next one."""
    if not settings.model.on:
        return "none is set up: templates stand in the place of prose"
    from connectors.openai import OpenAIModel
    from connectors.openai.guard import permit

    model = OpenAIModel(settings.model)
    permit(settings.model.base_url)
    return f"{model.name} at {model.endpoint}, {settings.model.tokens_per_day:,} tokens a day (not asked now)"


async def _source(settings: Settings, name: str) -> str:
    from connectors.registry import connector

    each = settings.sources[name]
    said = await connector(each.kind).check(settings, dict(each.options))
    return f"{said}; {await newest(settings, name)}"


async def newest(settings: Settings, name: str) -> str:
    """How fresh what is stored of a source is."""
    from bot.store import sources
    from bot.store.database import Database

    db = Database(settings.database_url.get_secret_value())
    try:
        found = [row for row in await db.read(sources.all_sources) if row.name == name]
    finally:
        await db.close()
    row = found[0] if found else None
    if row is None or (row.last_ok_at is None and row.failing_since is None):
        return "nothing read yet"
    data = f"newest data of {row.newest_data_at:%Y-%m-%d %H:%M} UTC" if row.newest_data_at else "no data stored yet"
    read = f"last read {row.last_ok_at:%Y-%m-%d %H:%M} UTC" if row.last_ok_at else "never read to the end"
    failing = f", failing since {row.failing_since:%Y-%m-%d %H:%M} UTC" if row.failing_since else ""
    return f"{data}, {read}{failing}"


def print_results(results: list[Result]) -> None:
    table = Table("", "What", "Found", "How to mend it")
    for result in results:
        mark = Text("ok", style="green") if result.ok else Text("NO", style="bold red")
        table.add_row(mark, Text(result.name), Text(result.said), Text(result.mend))
    Console().print(table)
