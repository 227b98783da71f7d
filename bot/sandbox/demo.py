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

from bot.sandbox import slack, teams
from bot.sandbox.aws import RECORDED_SEED
from bot.sandbox.world import World

FIRST_CARD_SECONDS = 60.0
ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main(
    *,
    port: int = 3010,
    scan: bool = False,
    seed: int = RECORDED_SEED,
    data_dir: Path | None = None,
    with_teams: bool = False,
    teams_port: int = 3011,
) -> int:
    """Run until Ctrl-C; the exit code."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    running = run_demo(port=port, scan=scan, seed=seed, data_dir=data_dir, with_teams=with_teams, teams_port=teams_port)
    return asyncio.run(running)


async def run_demo(
    *,
    port: int = 3010,
    scan: bool = False,
    seed: int = RECORDED_SEED,
    data_dir: Path | None = None,
    with_teams: bool = False,
    teams_port: int = 3011,
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

    for number in ENDS:
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
                with_teams=with_teams,
                teams_port=teams_port,
                progress=lambda said: progress.update(task, description=said),
            )
            await world.__aenter__()
            progress.update(task, description="Waiting for the first card")
        up = True
        try:
            first = await first_cards(world, stop, started)
            console.print(welcome(world, first))
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
        for number in ENDS:
            loop.remove_signal_handler(number)
    return 0


async def first_cards(world: World, stop: asyncio.Event, started: float) -> dict[str, float]:
    """Wait until the bot has posted everywhere; after how many seconds it had, by platform."""
    wanted = {"Slack"} | ({"Teams"} if world.teams is not None else set())
    found: dict[str, float] = {}
    until = time.monotonic() + FIRST_CARD_SECONDS
    while time.monotonic() < until and not stop.is_set() and wanted - found.keys():
        if any(call["ok"] and call["method"] == "chat.postMessage" for call in world.gate.calls):
            found.setdefault("Slack", time.monotonic() - started)
        if world.teams is not None and any(post["card"] for post in world.teams.posts):
            found.setdefault("Teams", time.monotonic() - started)
        await asyncio.sleep(0.1)
    return found


def welcome(world: World, first: dict[str, float]) -> Panel:
    def address(platform: str, url: str) -> str:
        state = f"first card after {first[platform]:.0f} s" if platform in first else "no card yet; the log says why"
        return f"[link={url}]{url}[/link]  ({state})"

    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(style="bold")
    table.add_column()
    table.add_row("Slack", address("Slack", world.slack_url))
    if world.teams is not None:
        table.add_row("Teams", address("Teams", world.teams.url))
    table.add_row("Settings", str(world.settings_path))
    table.add_row("AWS", f"{world.aws.endpoint}  (simulated, {len(world.company.ids)} resources in two accounts)")
    table.add_row("", "")
    table.add_row("In Slack", 'choose who you are with "Act as"')
    table.add_row(
        slack.OLIVIA.real_name, f"#{slack.PAYMENTS.name}: press Review fix on a card, read the plan, ask for approval"
    )
    table.add_row(slack.ALICE.real_name, "press Review fix on the same card, approve it, watch the card change")
    table.add_row(slack.BOB.real_name, "risky changes in production need two approvers: Bob is the second")
    table.add_row(slack.NORA.real_name, "is in no list: may look, cannot approve, is told who could")
    table.add_row(slack.OSCAR.real_name, "is a guest: refused although somebody put him in the approvers' group")
    table.add_row("Anyone", "/gatehouse help · /gatehouse findings critical · /gatehouse status · the bot's Home tab")
    if world.teams is not None:
        table.add_row("", "")
        table.add_row("In Teams", f"you are {teams.HERE.real_name}, the same person as in Slack")
        table.add_row(
            teams.PAYMENTS.name,
            "the same cards: let Olivia ask in Slack, press Review fix here, approve with a reason; both posts change",
        )
        table.add_row("Personal Chat", "type: how many criticals are open in prod? · findings critical · home · help")
    table.add_row("", "")
    table.add_row("Look", f"GATEHOUSE_CONFIG={world.settings_path} gatehouse findings  (or: ledger verify)")
    table.add_row("End", "Ctrl-C removes everything")
    return Panel(table, title="Acme, a company in a sandbox", title_align="left", expand=False)
