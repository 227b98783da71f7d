"""The command line as a person and a program use it: exit codes, JSON, nothing heavy at start."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bot.cli.main import app
from handlers.slack.connection import SCOPES

ROOT = Path(__file__).parents[3]
runner = CliRunner()


def ocsf(check: str, name: str, status: str = "FAIL") -> dict[str, object]:
    """One finding in the shape of Prowler 5, our own values."""
    arn = f"arn:aws:s3:::{name}"
    return {
        "message": f"{name}: {status}",
        "metadata": {"event_code": check, "product": {"name": "Prowler"}, "version": "1.5.0"},
        "severity_id": 4,
        "severity": "High",
        "status": "New",
        "status_code": status,
        "status_detail": f"{name}: {status}",
        "time": 1_790_000_000,
        "finding_info": {"uid": f"prowler-aws-{check}-1-us-east-1-{name}", "title": "Bucket is private", "types": []},
        "resources": [{"uid": arn, "name": name, "type": "AwsS3Bucket", "region": "us-east-1", "labels": ["env:prod"]}],
        "cloud": {"account": {"uid": "123456789012", "name": "acme"}, "provider": "aws", "region": "us-east-1"},
        "class_uid": 2004,
    }


@pytest.fixture(autouse=True)
def own_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    database = tmp_path / "gatehouse.db"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GATEHOUSE_DATABASE_URL", f"sqlite:///{database}")
    return database


def write(tmp_path: Path, *findings: dict[str, object]) -> str:
    file = tmp_path / "scan.ocsf.json"
    file.write_text(json.dumps(list(findings)), "utf-8")
    return str(file)


def test_ingest_then_findings_as_json(tmp_path: Path) -> None:
    file = write(tmp_path, ocsf("s3_check", "a"), ocsf("s3_check", "b"), ocsf("s3_check", "c", "PASS"))
    done = runner.invoke(app, ["ingest", "prowler", file])
    assert done.exit_code == 0, done.output
    listed = runner.invoke(app, ["findings", "--json"])
    rows = json.loads(listed.stdout)
    assert {row["resource_name"] for row in rows} == {"a", "b"}
    assert {row["environment"] for row in rows} == {"prod"}


def test_findings_filters_narrow_and_status_widens(tmp_path: Path) -> None:
    runner.invoke(app, ["ingest", "prowler", write(tmp_path, ocsf("s3_check", "a"), ocsf("s3_check", "b"))])
    runner.invoke(app, ["ingest", "prowler", write(tmp_path, ocsf("s3_check", "a"), ocsf("s3_check", "b", "PASS"))])
    assert [r["resource_name"] for r in json.loads(runner.invoke(app, ["findings", "--json"]).stdout)] == ["a"]
    widened = json.loads(runner.invoke(app, ["findings", "--json", "--status", "all"]).stdout)
    assert {r["resource_name"] for r in widened} == {"a", "b"}
    assert json.loads(runner.invoke(app, ["findings", "critical", "--json"]).stdout) == []


def test_a_broken_file_keeps_the_good_findings_and_exits_1(tmp_path: Path) -> None:
    file = tmp_path / "cut.ocsf.json"
    file.write_text(json.dumps([ocsf("s3_check", "a"), ocsf("s3_check", "b")])[:-200], "utf-8")
    done = runner.invoke(app, ["ingest", "prowler", str(file), "--json"])
    assert done.exit_code == 1
    report = json.loads(done.stdout)[0]
    assert (report["created"], report["rejected"]) == (1, 1)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["ingest", "prowlr", "x.json"], "x.json is not a file"),
        (["ingest", "prowler", "missing.json"], "missing.json is not a file"),
        (["findings", "severty:high"], "severty"),
    ],
)
def test_wrong_use_exits_2_and_says_what_to_do(arguments: list[str], said: str) -> None:
    done = runner.invoke(app, arguments)
    assert done.exit_code == 2
    assert said in done.output


def test_an_unknown_source_is_answered_with_a_suggestion(tmp_path: Path) -> None:
    done = runner.invoke(app, ["ingest", "prowlr", write(tmp_path, ocsf("s3_check", "a"))])
    assert done.exit_code == 2
    assert "prowler" in done.output


def test_ledger_verify_names_the_first_altered_record(tmp_path: Path, own_database: Path) -> None:
    import sqlite3

    runner.invoke(app, ["ingest", "prowler", write(tmp_path, ocsf("s3_check", "a"))])
    assert runner.invoke(app, ["ledger", "verify"]).exit_code == 0
    with sqlite3.connect(own_database) as database:
        database.execute("UPDATE ledger SET body = replace(body, 'prowler', 'someone') WHERE seq = 1")
    done = runner.invoke(app, ["ledger", "verify"])
    assert done.exit_code == 1
    assert "record 1" in done.output


def test_check_says_how_to_mend_and_exits_1(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    done = runner.invoke(app, ["check", "--json"])
    results = {each["name"]: each for each in json.loads(done.stdout)}
    assert done.exit_code == 1
    assert results["database"]["ok"]
    assert not results["routing"]["ok"]
    assert all(each["mend"] for each in results.values() if not each["ok"])


def test_the_doctor_wants_exactly_the_scopes_of_the_manifest() -> None:
    import yaml

    manifest = yaml.safe_load((ROOT / "manifest.yml").read_text("utf-8"))
    assert set(manifest["oauth_config"]["scopes"]["bot"]) == SCOPES


@pytest.mark.parametrize("arguments", [["--help"], ["--version"]])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import sys\nfrom bot.cli.main import app\n"
        f"try:\n    app({arguments!r})\nexcept SystemExit:\n    pass\n"
        "heavy = {'openai', 'boto3', 'botbuilder', 'slack_bolt', 'sqlalchemy', 'dbos'} & set(sys.modules)\n"
        "sys.exit(f'imported: {sorted(heavy)}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
