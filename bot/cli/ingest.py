"""``gatehouse ingest``: files in, counts out, with a progress bar for a person."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from bot.composition import build_engine, ingest_file
from bot.intake.service import IngestReport
from bot.settings import Settings
from bot.store.sources import rejects_of


def counts(report: IngestReport) -> list[tuple[str, int]]:
    """The report's numbers with words a person understands, in the order of interest."""
    return [
        ("new", report.created),
        ("changed", report.changed),
        ("unchanged", report.unchanged),
        ("resolved", report.resolved),
        ("reopened", report.reopened),
        ("suppressed", report.suppressed),
        ("already resolved, not stored", report.ignored),
        ("not understood, kept aside", report.rejected),
        ("cards queued", report.cards),
        ("held for a digest", report.held),
    ]


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
                said = [f"{count} {word}" for word, count in counts(report) if count]
                console.print(
                    f"{file.name}: {report.received} received: {', '.join(said) or 'nothing new'}", markup=False
                )
                for note in report.notes:
                    console.print(f"  {note}", markup=False)
                reasons = await engine.db.read(rejects_of, report.poll_id) if report.rejected else []
                for place, why in reasons:
                    console.print(f"  kept aside, {place}: {why[:300]}", markup=False)
                if report.rejected > len(reasons) > 0:
                    console.print(
                        f"  and {report.rejected - len(reasons)} more; all are in the table rejects", markup=False
                    )
    finally:
        await engine.db.close()
    return reports
