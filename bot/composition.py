"""The composition root: the one place that sees every room and chooses the real things.

Everything can be replaced by keyword, so that tests and the sandbox run what production runs.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, text

from bot.domain.errors import GatehouseError, SettingsError
from bot.domain.ids import Clock, IdSource, RandomIds, SystemClock
from bot.domain.principals import Platform
from bot.engine import Engine
from bot.ports import (
    ChatPoster,
    CloudFactory,
    Directory,
    EventSink,
    Model,
    PlaybookCatalog,
    QuestionReader,
    ThreatList,
    WriteBack,
)
from bot.settings import Settings

if TYPE_CHECKING:
    from bot.intake.enrichment import Enrichment
    from bot.intake.service import IngestReport
    from bot.intake.webhooks import Door
    from bot.narrative.asking import Asking
    from bot.polling import Source
    from bot.store.database import Database
    from handlers.slack.connection import SlackSide

log = logging.getLogger(__name__)
Progress = Callable[[int], None]
ATTEND_SECONDS = 1.0  # between two looks for webhooks and tellings


def worker_name(ids: IdSource) -> str:
    """A name no other replica has: host, process and a random part."""
    return f"{socket.gethostname()}-{os.getpid()}-{ids.new('w')}"


def build_engine(
    settings: Settings,
    *,
    clock: Clock | None = None,
    ids: IdSource | None = None,
    directories: Mapping[Platform, Directory] | None = None,
    clouds: CloudFactory | None = None,
    worker: str | None = None,
    confirm: Callable[[], Awaitable[None]] | None = None,
    catalog: PlaybookCatalog | None = None,
    call_timeout: float | None = None,
) -> Engine:
    """Open (and migrate) the database and wire the services. ``confirm`` is asked right before each change."""
    from bot.durable.guard import GuardedClouds
    from bot.governance.in_force import InForce
    from bot.governance.people import People
    from bot.governance.policy import Policy
    from bot.intake.service import Intake
    from bot.intake.stewardship import Stewardship
    from bot.remediation.approval import Approvals
    from bot.remediation.catalog import builtin_catalog, write_operations
    from bot.remediation.execution import CALL_TIMEOUT, Executor
    from bot.remediation.planning import Planner
    from bot.reports.board import Board
    from bot.store.database import Database
    from bot.store.migrate import upgrade
    from connectors.aws import AwsClouds

    clock, ids = clock or SystemClock(), ids or RandomIds()
    url = settings.database_url.get_secret_value()
    upgrade(url)
    db = Database(url)
    catalog = catalog or builtin_catalog()
    clouds = clouds or AwsClouds(settings.aws, write_operations=write_operations())
    if confirm is not None:
        clouds = GuardedClouds(clouds, confirm)
    policy = Policy.load(settings.governance)
    people = People(db, settings, dict(directories or {}), clock, ids)
    in_force = InForce(policy.version)
    planner = Planner(db, catalog, clouds, clock, ids, settings.governance)
    return Engine(
        db=db,
        settings=settings,
        clock=clock,
        ids=ids,
        board=Board(db, settings, catalog, clock, policy=policy, people=people),
        intake=Intake(db, settings, catalog, clock, ids),
        stewardship=Stewardship(db, settings, clock, ids, policy),
        people=people,
        policy=policy,
        planner=planner,
        approvals=Approvals(db, planner, policy, people, clock, ids, in_force),
        executor=Executor(
            db,
            catalog,
            clouds,
            policy,
            people,
            clock,
            ids,
            worker or worker_name(ids),
            call_timeout=call_timeout or CALL_TIMEOUT,
            in_force=in_force,
        ),
    )


def build_enrichment(engine: Engine) -> Enrichment:
    """The lists of others; none is configured, and nothing asked over the internet, unless ``enrichment.enabled``."""
    from bot.intake.enrichment import Enrichment
    from bot.store import intel
    from connectors.epss import EpssList
    from connectors.kev import KevList
    from connectors.nvd import Nvd

    chosen, lists = engine.settings.enrichment, list[ThreatList]()
    if chosen.enabled and chosen.kev_url:
        lists.append(KevList(chosen.kev_url))
    if chosen.enabled and (chosen.epss_url or chosen.epss_api):
        lists.append(EpssList(chosen.epss_url, chosen.epss_api, partial(engine.db.read, intel.our_cves)))
    records = Nvd(chosen.nvd_url, chosen.nvd_api_key) if chosen.enabled and chosen.nvd_url else None
    return Enrichment(engine.db, engine.settings, engine.clock, engine.ids, lists, records)


async def ingest_file(engine: Engine, source: str, path: Path, progress: Progress | None = None) -> IngestReport:
    """Read one file of ``source`` page by page; what cannot be understood is kept aside and counted."""
    from connectors.registry import connector

    found = connector(source)
    mapper = found.mapper()
    run = await engine.intake.begin(source)
    loop = asyncio.get_running_loop()
    with path.open("rb") as stream:
        pages = iter(found.read(stream, path.name))
        while (page := await loop.run_in_executor(None, next, pages, None)) is not None:
            await run.page(mapper, page)
            if progress:
                progress(len(page.items))
    return await run.finish(complete=True)


def sources(settings: Settings) -> list[Source]:
    """The configured sources; ``SettingsError`` names the one that is wrong."""
    from bot.polling import Source
    from connectors.registry import connector

    made = []
    for name, each in settings.sources.items():
        found = connector(each.kind)
        try:
            poller = found.poller(settings, dict(each.options))
        except SettingsError as error:
            raise SettingsError(f"source {name}: {error.reason}", mend=error.mend) from error
        made.append(Source(name=name, poller=poller, mapper=found.mapper(), every_minutes=each.every_minutes))
    return made


def doors(settings: Settings) -> dict[str, Door]:
    """The sources that may send webhooks."""
    from bot.intake.webhooks import Door
    from connectors.registry import connector

    found = {}
    for name, each in settings.sources.items():
        if not each.webhook:
            continue
        kind = connector(each.kind)
        if kind.webhook is None:
            raise SettingsError(f"source {name}: {kind.title} has no webhook here", mend="Set webhook: false.")
        try:
            reader = kind.webhook(settings, dict(each.options))
        except SettingsError as error:
            raise SettingsError(f"source {name}: {error.reason}", mend=error.mend) from error
        found[name] = Door(name, reader, kind.mapper())
    return found


def write_backs(settings: Settings) -> dict[str, WriteBack]:
    """How sources are told, by the name that their findings carry. One way a kind: findings do not say which of two."""
    from connectors.registry import connector

    found: dict[str, WriteBack] = {}
    for name, each in settings.sources.items():
        if not each.write_back:
            continue
        kind = connector(each.kind)
        if kind.write_back is None:
            raise SettingsError(f"source {name}: {kind.title} cannot be told anything", mend="Set write_back: false.")
        if kind.name in found:
            raise SettingsError(f"source {name}: a second {kind.title} with write_back", mend="Set it at one of them.")
        try:
            found[kind.name] = kind.write_back(settings, dict(each.options))
        except SettingsError as error:
            raise SettingsError(f"source {name}: {error.reason}", mend=error.mend) from error
    return found


def event_sinks(settings: Settings) -> list[EventSink]:
    """Where the ledger streams to; ``SettingsError`` where one is configured by half."""
    from bot.evidence.siem import JsonLines

    evidence, made = settings.evidence, list[EventSink]()
    if evidence.stream_file is not None:
        made.append(JsonLines(evidence.stream_file))
    if evidence.syslog.host:
        from connectors.syslog import SyslogSink

        made.append(SyslogSink(evidence.syslog))
    if evidence.splunk.url:
        from connectors.splunk import HecSink

        made.append(HecSink(evidence.splunk))
    return made


def model_of(settings: Settings) -> Model | None:
    """The language model, None where none is set up."""
    if not settings.model.on:
        return None
    from connectors.openai import OpenAIModel

    return OpenAIModel(settings.model)


def second_reader(settings: Settings, asking: Asking | None, db: Database) -> QuestionReader | None:
    """The model as a reader of questions beside the embedded one."""
    if asking is None or not settings.model.questions:
        return None
    from bot.narrative.questions import ModelQuestions

    return ModelQuestions(asking, db, settings)


async def serve(
    settings: Settings,
    *,
    stop: asyncio.Event,
    ready: asyncio.Event | None = None,
    listen: bool = True,
    clock: Clock | None = None,
    ids: IdSource | None = None,
    clouds: CloudFactory | None = None,
) -> None:
    """Run the bot until ``stop`` is set. ``listen=False`` is a worker: polls, executes and sends, takes no clicks."""
    from aiohttp import web

    from bot.delivery import Deliverer
    from bot.durable.service import Durable
    from bot.durable.work import Work
    from bot.evidence.checkpoints import Checkpoints
    from bot.evidence.siem import SiemStream
    from bot.intake.attention import Attention
    from bot.intake.context import AwsContext
    from bot.intake.telling import Telling
    from bot.intake.webhooks import Webhooks
    from bot.narrative.asking import Asking
    from bot.narrative.narrator import Narrator
    from bot.polling import Polling
    from bot.remediation.catalog import builtin_catalog
    from bot.scheduler import Scheduler
    from handlers.health import routes as health
    from handlers.webhooks import routes as hooks

    clock, ids = clock or SystemClock(), ids or RandomIds()
    posters: dict[str, ChatPoster] = {}
    directories: dict[Platform, Directory] = {}
    slack = None
    if settings.slack.enabled:
        from handlers.slack.connection import SlackSide

        slack = await SlackSide.open(settings, clock)
        posters["slack"], directories[Platform.SLACK] = slack.poster, slack.directory
    teams = None
    if settings.teams.enabled:
        from handlers.teams.connection import TeamsSide

        teams = await TeamsSide.open(settings, clock)
        directories[Platform.TEAMS] = teams.directory
    worker = worker_name(ids)

    async def confirm() -> None:
        await durable.membership.confirm()

    engine = build_engine(
        settings, directories=directories, clock=clock, ids=ids, clouds=clouds, worker=worker, confirm=confirm
    )
    if teams is not None:
        posters["teams"] = teams.attach(engine.db, engine)
    durable = Durable(engine.db, worker, clock)
    deliverer = Deliverer(engine.db, engine.board, posters, clock, worker, ids, fallback=settings.routing.fallback)
    polling = Polling(engine.db, engine.intake, settings.routing.fallback, clock, ids, worker)
    checkpoints = Checkpoints(engine.db, settings, clock, ids)
    siem = SiemStream(engine.db, event_sinks(settings), clock, ids, worker, tell=settings.routing.fallback)
    webhooks = Webhooks(engine.db, engine.intake, doors(settings), clock, ids, worker)
    telling = Telling(engine.db, write_backs(settings), clock, ids, worker, settings.routing.fallback)
    enrichment = build_enrichment(engine)
    context = AwsContext(engine.db, settings, engine.planner.clouds, clock, ids)
    housekeeping = (
        engine.stewardship.wake_due,
        engine.suppression.tick,
        Attention(engine.db, settings, clock, ids).tick,
        engine.approvals.expire_due,
        engine.standings.tick,
        engine.answers.tidy,
        checkpoints.tick,
        siem.tick,
        webhooks.tidy,
        enrichment.tick,
        context.tick,
    )
    model = model_of(settings)
    asking = Asking(engine.db, model, settings.model, clock, ids) if model is not None else None
    engine.second_reader = second_reader(settings, asking, engine.db)
    narrator = Narrator(engine.db, settings, asking, builtin_catalog(), clock, ids, worker)
    polled = sources(settings)
    work = Work(durable, engine.db, engine.executor, polling, polled, deliverer, housekeeping, clock)
    scheduler = Scheduler(durable, work.ticks(), clock)
    web_app = web.Application(client_max_size=1 << 20)
    checks: dict[str, health.Check] = {"database": lambda: engine.db.read(_answers)}
    if slack is not None and listen:
        checks["slack"] = partial(_connected, slack)
    web_app.add_routes(health.routes(checks))
    if listen and webhooks.names:
        web_app.add_routes(hooks.routes(webhooks))
    runner = web.AppRunner(web_app)
    tasks: list[asyncio.Task[None]] = []
    try:
        if slack is not None and listen:
            await slack.start(engine, web_app)  # its route must be there before the server is set up
        if teams is not None and listen:
            await teams.start(engine, web_app)
        await runner.setup()
        if listen:
            await web.TCPSite(runner, settings.host, settings.port).start()
        await engine.approvals.begin()  # before anything is decided or carried out
        await durable.start()
        scheduler.start()
        tasks = [
            asyncio.create_task(deliverer.run(stop), name="deliverer"),
            asyncio.create_task(durable.run(stop), name="durable"),
            asyncio.create_task(work.hand_over(stop), name="executions"),
            asyncio.create_task(_attend(stop, narrator.work_once), name="narratives"),
            asyncio.create_task(_attend(stop, webhooks.work_once, telling.work_once), name="sources"),
        ]
        if ready is not None:
            ready.set()
        waiter = asyncio.create_task(stop.wait(), name="stop")
        done, _ = await asyncio.wait({waiter, *tasks}, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()  # a loop that ended by itself ended in an error: raise it
    finally:
        # Whatever ends it: take nothing new, let what was begun end, then close what it used.
        stop.set()
        await scheduler.stop()
        for task in tasks:
            if task.get_name() == "narratives":
                task.cancel()  # nobody waits for prose: its lease runs out, another replica writes it
        await asyncio.gather(*tasks, return_exceptions=True)
        await durable.stop()
        if slack is not None:
            await slack.close()
        if teams is not None:
            await teams.close()
        await runner.cleanup()
        for closing in (*(source.close for source in polled), siem.close, webhooks.close, telling.close,
                        *((model.close,) if model is not None else ())):  # fmt: skip
            try:
                await closing()
            except Exception:
                log.exception("%s could not be closed", getattr(closing, "__qualname__", closing))
        await engine.db.close()


async def _attend(stop: asyncio.Event, *works: Callable[[], Awaitable[int]]) -> None:
    """Work off rows of ours as they come. The rows are leased, so any number of replicas may do it."""
    while not stop.is_set():
        taken = 0
        for work in works:
            try:
                taken += await work()
            except Exception:
                log.exception("%s failed; it is tried again", getattr(work, "__qualname__", work))
        if not taken:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), ATTEND_SECONDS)


def _answers(conn: Connection) -> None:
    conn.execute(text("SELECT 1"))


async def _connected(slack: SlackSide) -> None:
    if not slack.connected:
        raise GatehouseError("Slack's socket is not open")
