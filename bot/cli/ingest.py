"""``gatehouse ingest``: files in, counts out, with a progress bar for a person."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from bot.composition import build_engine, ingest_file
from bot.settings import Settings


async def ingest_files(settings: Settings, source: str, files: list[Path], *, quiet: bool) -> list[dict[str, Any]]:
    """One report a file (counts as ``IngestReport`` has them, and the file's name)."""
    console = Console(stderr=True, quiet=quiet)
    engine = build_engine(settings)
    reports: list[dict[str, Any]] = []
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed} objects"),
        TimeElapsedColumn(),
    )
    try:
        with Progress(*columns, console=console, transient=True) as progress:
            for file in files:
                task = progress.add_task(file.name, total=None)
                report = await ingest_file(engine, source, file, lambda n, t=task: progress.advance(t, n))  # type: ignore[misc]
                progress.remove_task(task)
                reports.append({"file": file.name, **asdict(report)})
                console.print(f"{file.name}: {report}")
    finally:
        await engine.db.close()
    return reports
