"""``gatehouse demo``: starts the sandbox, says where to look and what to try, and cleans up on Ctrl-C."""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from pathlib import Path

from rich.console import Console
from rich.panel import Panel
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from bot.sandbox import slack
from bot.sandbox.aws import RECORDED_SEED
from bot.sandbox.world import World

FIRST_CARD_SECONDS = 60.0


def main(*, port: int = 3010, scan: bool = False, seed: int = RECORDED_SEED, data_dir: Path | None = None) -> int:
    """Run until Ctrl-C; the exit code."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    return asyncio.run(run_demo(port=port, scan=scan, seed=seed, data_dir=data_dir))


async def run_demo(
    *,
    port: int = 3010,
    scan: bool = False,
    seed: int = RECORDED_SEED,
    data_dir: Path | None = None,
    console: Console | None = None,
    stop: asyncio.Event | None = None,
) -> int:
    """The demo in a running loop; ``stop`` ends it as Ctrl-C does."""
    console = console or Console()
    stop = stop or asyncio.Event()
    loop = asyncio.get_running_loop()
    here = asyncio.current_task()
    assert here is not None
    started = time.monotonic()
    up = False

    def interrupted() -> None:
        stop.set()
        if not up:
            here.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, interrupted)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    try:
        with Progress(*columns, console=console, transient=True) as progress:
            task = progress.add_task("Starting", total=None)
            world = World(
                data_dir,
                seed=seed,
                port=port,
                live_scan=scan,
                vendors=True,
                progress=lambda said: progress.update(task, description=said),
            )
            await world.__aenter__()
            progress.update(task, description="Waiting for the first card")
        up = True
        try:
            cards = await first_cards(world, stop)
            console.print(welcome(world, cards, time.monotonic() - started))
            await world.wait(stop)
        finally:
            console.print("Cleaning up …")
            await world.close()
    except asyncio.CancelledError:
        if not stop.is_set():
            raise
        console.print("Stopped before it was up.")
        return 130
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
    return 0


async def first_cards(world: World, stop: asyncio.Event) -> int:
    """Wait until the bot has posted; the number of messages so far."""
    until = time.monotonic() + FIRST_CARD_SECONDS
    while time.monotonic() < until and not stop.is_set():
        posted = len([call for call in world.gate.calls if call["ok"] and call["method"] == "chat.postMessage"])
        if posted:
            return posted
        await asyncio.sleep(0.2)
    return 0


def welcome(world: World, cards: int, seconds: float) -> Panel:
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(style="bold")
    table.add_column()
    state = f"first card after {seconds:.0f} s" if cards else "no card yet; the log above says why"
    table.add_row("Slack", f"[link={world.slack_url}]{world.slack_url}[/link]  ({state})")
    table.add_row("Settings", str(world.settings_path))
    table.add_row("AWS", f"{world.aws.endpoint}  (simulated, {len(world.company.ids)} resources in two accounts)")
    table.add_row("", "")
    table.add_row("Try as", 'choose the user with "Act as" in the workspace')
    table.add_row(
        slack.OLIVIA.real_name, f"#{slack.PAYMENTS.name}: press Review fix on a card, read the plan, ask for approval"
    )
    table.add_row(slack.ALICE.real_name, "press Review fix on the same card, approve it, watch the card change")
    table.add_row(slack.BOB.real_name, "risky changes in production need two approvers: Bob is the second")
    table.add_row(slack.NORA.real_name, "is in no list: may look, cannot approve, is told who could")
    table.add_row(slack.OSCAR.real_name, "is a guest: refused although somebody put him in the approvers' group")
    table.add_row("Anyone", "/gatehouse help · /gatehouse findings critical · /gatehouse status · the bot's Home tab")
    table.add_row("Look", f"GATEHOUSE_CONFIG={world.settings_path} gatehouse findings  (or: ledger verify)")
    table.add_row("", "")
    table.add_row("End", "Ctrl-C removes everything")
    return Panel(table, title="Acme, a company in a sandbox", title_align="left", expand=False)
