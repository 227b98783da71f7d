"""``gatehouse standing list`` shows what was approved in advance, for a person and for a program."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bot.cli.main import app
from bot.store.migrate import upgrade
from tests.unit.remediation.standing_kit import StandingWorld


@pytest.fixture
async def granted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    """A database with one that is in force and one that was revoked; their ids."""
    url = f"sqlite:///{tmp_path}/g.db"
    upgrade(url)
    world = StandingWorld(url, tmp_path)
    ended = await world.grant(reason="[bold]not markup[/bold]")
    await world.standings.revoke(ended.standing.id, await world.actor("UANN"), "enough")
    live = await world.grant(reason="[bold]not markup[/bold]")
    await world.used()
    await world.db.close()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GATEHOUSE_DATABASE_URL", url)
    return live.standing.id, ended.standing.id


def test_a_program_gets_every_term(granted: tuple[str, str]) -> None:
    said = CliRunner().invoke(app, ["standing", "list", "--json"])
    assert said.exit_code == 0, said.output
    (shown,) = json.loads(said.stdout)
    assert (shown["id"], shown["state"], shown["intact"], shown["uses"]) == (granted[0], "active", True, 1)
    assert shown["scope"]["environment"] == "dev"
    every = json.loads(CliRunner().invoke(app, ["standing", "list", "--all", "--json"]).stdout)
    assert {each["id"] for each in every} == set(granted)


def test_a_person_gets_a_table(granted: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "240")
    said = CliRunner().invoke(app, ["standing", "list"])
    assert said.exit_code == 0, said.output
    assert granted[0] in said.stdout
    assert "env=dev" in said.stdout
    assert "[bold]not markup[/bold]" in said.stdout
    assert granted[1] not in said.stdout


def test_nothing_is_said_to_be_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GATEHOUSE_DATABASE_URL", f"sqlite:///{tmp_path}/empty.db")
    assert "There is no standing approval." in CliRunner().invoke(app, ["standing", "list"]).stdout
