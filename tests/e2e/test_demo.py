"""``gatehouse demo`` as a person starts it: a card soon, what to try, and nothing left after Ctrl-C."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
import time
from pathlib import Path

import pytest

from bot.sandbox.programs import free_port

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]
START = "from bot.cli.main import main; main()"


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def start(*arguments: str, port: int, **environment: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        START,
        "demo",
        "--port",
        str(port),
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        process_group=0,
        env={**os.environ, "COLUMNS": "200", **environment},
    )


def ctrl_c(demo: asyncio.subprocess.Process) -> None:
    """As a terminal does it: to the whole group, programs the demo started included."""
    os.killpg(demo.pid, signal.SIGINT)


async def test_the_demo_shows_a_card_says_what_to_try_and_cleans_up_on_ctrl_c(tmp_path: Path) -> None:
    port, teams_port, started = free_port(), free_port(), time.monotonic()
    # somebody's real settings in the shell: the demo must not use them
    demo = await start(
        "--teams",
        "--teams-port",
        str(teams_port),
        port=port,
        GATEHOUSE_DATABASE_URL="sqlite:////nowhere/real.db",
        TMPDIR=str(tmp_path),
    )
    assert demo.stdout is not None
    said = ""
    try:
        while "Ctrl-C removes everything" not in said:
            line = await asyncio.wait_for(demo.stdout.readline(), 90)
            assert line, f"the demo ended early:\n{said}"
            said += line.decode()
        assert time.monotonic() - started < 90
        for each in (port, teams_port):
            assert re.search(rf"http://localhost:{each}\s+\(first card after \d+ s\)", said), said
        for name in ("Olivia", "Alice", "Bob", "Nora", "Oscar"):
            assert name in said
        assert [name.startswith("gatehouse-") for name in left(tmp_path)] == [True]
    finally:
        ctrl_c(demo)
        rest = (await asyncio.wait_for(demo.stdout.read(), 30)).decode()
    assert await demo.wait() == 0, rest
    assert rest.strip().splitlines()[-1].strip() == "Cleaning up …", "nothing is said of what ends: no error, no retry"
    assert "Traceback" not in said + rest
    assert left(tmp_path) == []
    for each in (port, teams_port):
        with pytest.raises(OSError):
            await asyncio.open_connection("127.0.0.1", each)


async def test_ctrl_c_while_it_starts_leaves_nothing_either(tmp_path: Path) -> None:
    port = free_port()
    demo = await start(port=port, TMPDIR=str(tmp_path))
    until = time.monotonic() + 60
    while not left(tmp_path) and time.monotonic() < until:  # noqa: ASYNC110  another process makes it
        await asyncio.sleep(0.05)
    ctrl_c(demo)
    said, _ = await asyncio.wait_for(demo.communicate(), 30)
    assert demo.returncode == 130, said.decode()
    assert b"Stopped before it was up" in said
    assert b"Traceback" not in said
    assert left(tmp_path) == []


async def test_scan_without_the_scanner_says_how_to_get_it() -> None:
    demo = await start("--scan", port=free_port(), GATEHOUSE_PROWLER="/nowhere/prowler")
    said, _ = await asyncio.wait_for(demo.communicate(), 60)
    assert demo.returncode == 2, said.decode()
    assert b"/nowhere/prowler" in said
    assert b"Traceback" not in said
