"""``gatehouse suppression``: what is hidden and by whom, and what a rule would hide; it never hides anything itself."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bot.cli.main import app
from bot.domain.findings import finding_id
from bot.store import findings
from bot.store.database import Database
from bot.store.migrate import upgrade
from tests.unit.intake.kit import Catalog, CountedIds, Mapper, StillClock, raw, settings
from tests.unit.intake.test_lifecycle import poll
from tests.unit.intake.test_suppression import URGENT

RULES = """
suppression:
  rules:
    - {name: "[bold]dev", match: {environment: dev}, until: 2999-01-01, reason: rebuilt daily, author: olivia}
"""


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A database with a P1 and two quiet findings of dev."""
    from bot.intake.service import Intake

    url = f"sqlite:///{tmp_path}/g.db"
    upgrade(url)
    db = Database(url)
    quiet = {"severity": "LOW", "exposed": False, "tags": {"env": "dev"}}
    intake = Intake(db, settings(), Catalog(), StillClock(), CountedIds())
    urgent = raw("u", **(URGENT | {"hints": []}))
    asyncio.run(poll(intake, Mapper(), [raw("a", rule="r", **quiet), raw("b", rule="r", **quiet), urgent]))
    db.close_sync()
    (tmp_path / "gatehouse.yml").write_text(RULES, "utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GATEHOUSE_DATABASE_URL", url)
    return url


def test_preview_counts_and_hides_nothing(url: str) -> None:
    said = CliRunner().invoke(app, ["suppression", "preview", "--json", "noise env:dev,prod until:14d because"])
    assert said.exit_code == 0, said.output
    shown = json.loads(said.stdout)
    assert shown["about"] == "environment dev or prod"
    found = shown["preview"]
    assert (found["matched"], found["hides"], found["causes"], found["of_open"]) == (3, 2, 1, 3)
    assert [line["id"] for line in found["urgent"]] == [finding_id("toy", "u")]
    db = Database(url)
    assert db.read_sync(findings.get, finding_id("toy", "a")).status == "open"
    db.close_sync()
    listed = json.loads(CliRunner().invoke(app, ["suppression", "list", "--json"]).stdout)
    assert [rule["origin"] for rule in listed] == ["settings"]  # the preview stored none


def test_list_shows_whose_rule_it_is_and_what_it_would_hide(url: str) -> None:
    said = CliRunner().invoke(app, ["suppression", "list"])
    assert said.exit_code == 0, said.output
    assert "olivia: rebuilt daily; activated by nobody yet" in said.stdout
    assert "[bold]dev" in said.stdout
    assert "would hide 2 of 3 open findings, cards with them: 1" in said.stdout


def test_a_wrong_rule_is_refused_with_how_to_write_one(url: str) -> None:
    said = CliRunner().invoke(app, ["suppression", "preview", "noise until:14d because"])
    assert said.exit_code == 2
    assert "needs a condition" in said.output
