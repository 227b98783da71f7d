"""``gatehouse answers feedback``: what people thought, one JSON a line, without persons and secrets."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert
from typer.testing import CliRunner

from bot.cli.main import app
from bot.domain.posture import Is, Kind, PostureQuery
from bot.store.answers import FEEDBACK
from bot.store.database import Database
from bot.store.migrate import upgrade

AT = datetime(2026, 11, 20, 12, tzinfo=UTC)
QUERY = PostureQuery(kind=Kind.COUNT, where=(Is(field="open"),))
TOKEN = "xoxb-" + "1234567890-abcdefghij"


def judged(number: int, verdict: str = "down", **more: Any) -> dict[str, Any]:
    return {
        "answer_id": f"an-{number}", "principal_id": "maya@acme.example", "question": f"question {number}",
        "query": QUERY.model_dump_json(), "status": "answered", "verdict": verdict, "comment": "",
        "at": AT + timedelta(hours=number),
    } | more  # fmt: skip


@pytest.fixture
def ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    url = f"sqlite:///{tmp_path}/g.db"
    upgrade(url)
    db = Database(url)
    rows = [
        judged(1),
        judged(2, "up"),
        judged(3, comment=f"wrong, mail bob@acme.example, my token is {TOKEN}", question=f"how many of {TOKEN}?"),
        judged(4, query="", status="refused"),
    ]
    db.write_sync(lambda conn: conn.execute(insert(FEEDBACK), rows))
    db.close_sync()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GATEHOUSE_DATABASE_URL", url)

    def run(*given: str) -> list[dict[str, Any]]:
        said = CliRunner().invoke(app, ["answers", "feedback", *given])
        assert said.exit_code == 0, said.output
        assert "@acme.example" not in said.output
        assert TOKEN not in said.output
        return [json.loads(one) for one in said.stdout.splitlines()]

    return run


def test_each_is_a_line_the_newest_first(ask: Any) -> None:
    found = ask()
    assert [one["question"] for one in found] == ["question 4", "how many of [secret]?", "question 2", "question 1"]
    assert set(found[0]) == {"at", "verdict", "comment", "question", "status", "query"}
    assert found[0]["query"] is None
    assert PostureQuery.model_validate(found[3]["query"]) == QUERY
    assert found[3]["at"] == "2026-11-20T13:00:00Z"


def test_what_people_typed_is_kept_without_secrets(ask: Any) -> None:
    said = ask()[1]["comment"]
    assert said.startswith("wrong, mail [email], my ")
    assert "[secret]" in said


def test_only_some_of_it(ask: Any) -> None:
    assert [one["question"] for one in ask("--verdict", "up")] == ["question 2"]
    assert len(ask("--since", "2026-11-20T15:00:00Z")) == 2
    assert ask("--verdict", "up", "--since", "2026-11-20T15:00:00Z") == []


def test_an_odd_instant_is_said(ask: Any) -> None:
    said = CliRunner().invoke(app, ["answers", "feedback", "--since", "lately"])
    assert said.exit_code == 2
    assert "is no time" in said.output
