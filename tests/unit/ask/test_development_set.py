"""The development set of posture questions stays right (../shared/eval/posture; its data are not ours to copy)."""

from __future__ import annotations

import importlib.util
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from bot.cli.main import app

FOLDER = Path(__file__).resolve().parents[4] / "shared" / "eval" / "posture"
AS_OF = datetime(2026, 11, 20, 12, tzinfo=UTC)

pytestmark = [pytest.mark.shared, pytest.mark.skipif(not FOLDER.exists(), reason="no ../shared/eval/posture")]


def _scorer() -> Any:
    spec = importlib.util.spec_from_file_location("posture_score", FOLDER / "score.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_development_set_is_answered_rightly(tmp_path: Path) -> None:
    env = {"GATEHOUSE_DATABASE_URL": f"sqlite:///{tmp_path}/eval.db"}
    for command in (["ingest", "ocsf", "findings.ocsf.jsonl"], ["people", "import", "people.json"]):
        done = CliRunner().invoke(app, [*command[:-1], str(FOLDER / command[-1])], env=env)
        assert done.exit_code == 0, done.output
    questions = FOLDER / "questions-dev.jsonl"
    asked = CliRunner().invoke(app, ["ask", "--json", "--as-of", AS_OF.isoformat(), "--file", str(questions)], env=env)
    answers = {one["id"]: one for one in map(json.loads, asked.stdout.splitlines())}
    score = _scorer()
    verdicts: dict[str, list[str]] = {"exact": [], "wrong": [], "silent": [], "error": []}
    unsafe = []
    for line in questions.read_text().splitlines():
        question = json.loads(line)
        verdict, danger, _ = score.judge(question, answers.get(question["id"]))
        verdicts[verdict].append(question["question"])
        if danger:
            unsafe.append(question["question"])
    total = sum(len(some) for some in verdicts.values())
    assert not unsafe
    assert not verdicts["wrong"]
    assert not verdicts["error"]
    assert len(verdicts["exact"]) >= 0.95 * total, verdicts["silent"]
