"""``gatehouse backfill`` and what ``gatehouse check`` says of a source, as a person runs them."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bot.cli.backfill import backfill
from bot.cli.main import app
from bot.sandbox.vendors.company import World
from bot.sandbox.vendors.prowler import Prowler
from bot.settings import load_settings

runner = CliRunner()


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GATEHOUSE_DATABASE_URL", f"sqlite:///{tmp_path / 'gatehouse.db'}")
    assert Prowler(World(60, demo=False, kinds=("posture",)), tmp_path / "scans").scan() > 40
    written = tmp_path / "gatehouse.yml"
    options = {"folder": str(tmp_path / "scans"), "settle_seconds": 0}
    written.write_text(json.dumps({"sources": {"scans": {"kind": "prowler", "options": options}}}), "utf-8")
    return written


def run(*words: str) -> dict[str, object]:
    done = runner.invoke(app, [*words, "--json"])
    found: dict[str, object] = json.loads(done.stdout)
    return found | {"exit": done.exit_code}


def test_it_reads_to_the_end_and_then_finds_nothing_new(config: Path) -> None:
    first = run("backfill", "scans", "--config", str(config))
    assert (first["exit"], first["done"]) == (0, True)
    assert int(str(first["created"])) > 40
    assert int(str(first["pages"])) >= 10  # one an account at least
    again = run("backfill", "scans", "--config", str(config))
    assert (again.get("created", 0), again["done"]) == (0, True)
    everything = run("backfill", "scans", "--from-start", "--config", str(config))
    assert everything["unchanged"] == first["created"]


class AfterLooks(asyncio.Event):
    """Is set once it was looked at so many times: a Ctrl-C in the middle."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self._left = count

    def is_set(self) -> bool:
        self._left -= 1
        return self._left < 0


async def test_stopped_after_a_page_it_goes_on_with_the_next(config: Path) -> None:
    settings = load_settings(config)
    first = await backfill(settings, "scans", quiet=True, stop=AfterLooks(8))
    assert first["done"] is False
    assert first["pages"] == 8
    second = await backfill(settings, "scans", quiet=True)
    assert second["done"] is True
    assert first["created"] > 0
    assert second["created"] > 0
    assert second["unchanged"] == 0  # nothing twice: page 8 ended a file
    whole = await backfill(settings, "scans", quiet=True, from_start=True)
    assert whole["unchanged"] == first["created"] + second["created"]


def test_a_source_that_is_not_there_is_named(config: Path) -> None:
    done = runner.invoke(app, ["backfill", "wiz", "--config", str(config)])
    assert done.exit_code == 2
    assert "scans" in done.stderr


def test_the_doctor_says_how_fresh_a_source_is(config: Path) -> None:
    def said() -> str:
        results = json.loads(runner.invoke(app, ["check", "--json", "--config", str(config)]).stdout)
        return next(str(one["said"]) for one in results if one["name"] == "source scans")

    assert "nothing read yet" in said()
    run("backfill", "scans", "--config", str(config))
    assert "newest data of 20" in said()
    assert "last read 20" in said()
