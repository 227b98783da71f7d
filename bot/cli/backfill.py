"""``gatehouse backfill``: one source read to its end from where it stands, page by page, in sight of a person.

Every page is stored with its cursor, so Ctrl-C, a crash or a power cut loses nothing: the same command goes on with the
next page. The source's row is leased meanwhile; a running bot leaves that source alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections import Counter
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from bot.cli.ingest import counts
from bot.composition import build_engine, sources, worker_name
from bot.domain.errors import RetryLater, SettingsError
from bot.domain.ids import RandomIds, SystemClock
from bot.polling import Polling, Source
from bot.ports import Page
from bot.settings import Settings

LONGEST_WAIT = 900.0  # seconds; a source that asks for more ends the command


def configured(settings: Settings, name: str) -> Source:
    """The source called ``name`` in gatehouse.yml."""
    if name not in settings.sources:
        known = ", ".join(settings.sources) or "none"
        raise SettingsError(f"there is no source {name!r} in the settings", mend=f"There are: {known}.")
    only = settings.model_copy(update={"sources": {name: settings.sources[name]}})
    return sources(only)[0]


async def backfill(
    settings: Settings, name: str, *, from_start: bool = False, quiet: bool = False, stop: asyncio.Event | None = None
) -> dict[str, Any]:
    """The counts of all its runs together, ``pages``, and ``done``: whether the end was reached before ``stop``."""
    source = configured(settings, name)
    engine = build_engine(settings)
    stop = stop or asyncio.Event()
    polling = Polling(
        engine.db, engine.intake, settings.routing.fallback, SystemClock(), RandomIds(), worker_name(RandomIds())
    )
    total: Counter[str] = Counter()
    console = Console(stderr=True, quiet=quiet)
    done = False
    columns = (
        SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed:,.0f} objects"),
        TextColumn("{task.fields[pages]:,} pages"), TextColumn("{task.fields[rate]}"), TimeElapsedColumn(),
    )  # fmt: skip
    try:
        with _interrupts(stop), Progress(*columns, console=console, transient=True) as progress:
            task = progress.add_task(name, total=None, pages=0, rate="")

            def each(page: Page) -> None:
                total["pages"] += 1
                progress.update(task, advance=len(page.items), pages=total["pages"])
                speed = progress.tasks[0].speed
                if speed:
                    progress.update(task, rate=f"{speed:,.0f}/s")

            while not done and not stop.is_set():
                try:
                    report, done = await polling.read(source, from_start=from_start, each=each, stop=stop)
                except RetryLater as error:
                    if error.after is None or error.after > LONGEST_WAIT:
                        raise
                    progress.update(task, description=f"{name} asked to wait {error.after:.0f} s")
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(stop.wait(), error.after)
                    progress.update(task, description=name)
                else:
                    total.update({key: value for key, value in asdict(report).items() if isinstance(value, int)})
                    said = [f"{count:,} {word}" for word, count in counts(report) if count]
                    console.print(f"{name}: {report.received:,} received: {', '.join(said) or 'nothing new'}",
                                  markup=False)  # fmt: skip
                    for note in report.notes:
                        console.print(f"  {note}", markup=False)
                from_start = False
        if not done:
            console.print(f"Stopped. The same command goes on behind page {total['pages']:,}.", markup=False)
    finally:
        await source.close()
        await engine.db.close()
    return {"source": name, "done": done, **total}


@contextlib.contextmanager
def _interrupts(stop: asyncio.Event) -> Any:
    """The first Ctrl-C ends it after the page at hand; a second one at once."""
    loop = asyncio.get_running_loop()
    here = asyncio.current_task()
    assert here is not None

    def interrupted() -> None:
        if stop.is_set():
            here.cancel()
        stop.set()

    added = []
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):  # not the main thread
            loop.add_signal_handler(number, interrupted)
            added.append(number)
    try:
        yield
    finally:
        for number in added:
            loop.remove_signal_handler(number)
