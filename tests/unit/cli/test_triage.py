"""``gatehouse enrich`` and ``gatehouse triage`` as a person runs them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bot.cli.main import app

KEV = {"title": "ours", "catalogVersion": "2026.08.02", "dateReleased": "2026-08-02T10:00:00Z", "count": 1,
       "vulnerabilities": [{"cveID": "CVE-2026-0001", "dateAdded": "2026-08-01"}]}  # fmt: skip
EPSS = "#model_version:v1,score_date:2026-08-02T12:00:22Z\ncve,epss,percentile\nCVE-2026-0001,0.5,0.99\n"
OCSF = {
    "class_uid": 2002, "severity_id": 3, "status_id": 1, "time": 1_780_000_000_000,
    "metadata": {"product": {"name": "Ours", "uid": "ours"}, "version": "1.5.0"},
    "finding_info": {"uid": "one", "title": "Old library", "types": ["Vulnerability"]},
    "resources": [{"uid": "arn:aws:ec2:us-east-1:111111111111:instance/i-1", "type": "AwsEc2Instance"}],
    "vulnerabilities": [{"cve": {"uid": "CVE-2026-0001", "cvss": [{"base_score": 6.1, "version": "3.1"}]}}],
    "cloud": {"provider": "AWS", "account": {"uid": "111111111111"}, "region": "us-east-1"},
}  # fmt: skip


@pytest.fixture(autouse=True)
def _database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEHOUSE_DATABASE_URL", f"sqlite:///{tmp_path}/g.db")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "kev.json").write_text(json.dumps(KEV))
    (tmp_path / "epss.csv").write_text(EPSS)
    (tmp_path / "findings.json").write_text(json.dumps([OCSF]))


def run(*words: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, list(words))
    return done.exit_code, done.output


def test_lists_from_files_are_stored_and_explain_says_why() -> None:
    assert run("ingest", "ocsf", "findings.json")[0] == 0
    code, said = run("enrich", "update", "--kev", "kev.json", "--epss", "epss.csv")
    assert code == 0
    assert (
        "kev: edition 2026.08.02 of 2026-08-02: 1 entries written, 1 findings judged anew, 1 causes more urgent" in said
    )
    found = json.loads(run("findings", "--json")[1])[0]["id"]
    code, said = run("triage", "explain", found)
    assert code == 0
    assert "by cisa-coordinator/2.0.3 + cisa-bod-26-04/1.0.0" in said
    assert "added to KEV on 2026-08-01: known to be exploited" in said
    assert "source: CISA KEV, of 2026-08-02" in said
    verdict = json.loads(run("triage", "explain", found, "--json")[1])["verdict"]
    assert {"exploitation", "kev", "decision", "deadline"} <= {line["input"] for line in verdict["reasons"]}
    assert "fallback" in run("triage", "stats")[1]


def test_status_says_what_is_late_and_update_asks_nothing_while_it_is_off() -> None:
    code, said = run("enrich", "status")
    assert code == 1
    assert "never fetched (enrichment.enabled is off)" in said
    code, said = run("enrich", "update")
    assert code == 2
    assert "enrichment is off" in said


def test_a_file_that_is_no_list_fails_and_the_last_edition_stays() -> None:
    run("enrich", "update", "--kev", "kev.json")
    Path("kev.json").write_text("{}")
    code, said = run("enrich", "update", "--kev", "kev.json")
    assert code == 1
    assert "no KEV list" in said
    status = {feed["name"]: feed for feed in json.loads(run("enrich", "status", "--json")[1])}
    assert (status["kev"]["entries"], "no KEV list" in status["kev"]["said"]) == (1, True)


def test_the_tables_are_listed_with_their_sources() -> None:
    code, said = run("triage", "tables", "--json")
    assert code == 0
    rows = json.loads(said)
    assert {row["kind"] for row in rows} == {
        "vulnerability", "misconfiguration", "identity", "data", "secret", "detection"
    }  # fmt: skip
    assert all(row["source"] for row in rows)
