"""``gatehouse policy`` as a person and a program use it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from bot.cli.main import app

ROOT = Path(__file__).parents[3]
EXAMPLE = ROOT / "docs" / "examples" / "policy-tests.yml"
runner = CliRunner()
SETTINGS = """
people:
  ann: {name: Ann, team: platform, slack: T1/UANN}
  olga: {name: Olga}
groups:
  cloud-approvers: {members: [ann], slack: S1}
governance:
  rules:
    - name: production
      match: {environment: prod}
      owner_apart: true
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GATEHOUSE_DATABASE_URL", f"sqlite:///{tmp_path}/gatehouse.db")
    (tmp_path / "gatehouse.yml").write_text(SETTINGS, "utf-8")
    return tmp_path


def ask(*words: str) -> tuple[int, dict[str, Any]]:
    done = runner.invoke(app, ["policy", "explain", *words, "--json"])
    return done.exit_code, json.loads(done.stdout)


def test_the_example_of_the_documentation_passes_and_every_case_is_listed() -> None:
    done = runner.invoke(app, ["policy", "test", str(EXAMPLE), "--json"])
    assert done.exit_code == 0, done.output
    outcomes = json.loads(done.stdout)["tests"]
    assert len(outcomes) > 40
    assert {outcome["came"] for outcome in outcomes} == {"allow", "deny"}


def test_the_cases_in_the_documentation_hold_for_the_policy_in_the_documentation(here: Path) -> None:
    text = (ROOT / "docs" / "policy.md").read_text("utf-8")
    cedar = text.split("```cedar\n")[1].split("```")[0]
    cases = next(part.split("```")[0] for part in text.split("```yaml\n")[1:] if "\ntests:" in part)
    (here / "policy.cedar").write_text(cedar, "utf-8")
    (here / "cases.yml").write_text(cases, "utf-8")
    (here / "gatehouse.yml").write_text("governance: {policies: policy.cedar}\n", "utf-8")
    done = runner.invoke(app, ["policy", "test", "cases.yml", "--json"])
    assert done.exit_code == 0, done.output
    assert len(json.loads(done.stdout)["tests"]) == 3


def test_a_case_that_comes_out_otherwise_is_named_and_exits_1(here: Path) -> None:
    cases = here / "cases.yml"
    cases.write_text(
        "tests:\n"
        "  - {name: wrong verdict, who: olga, action: approve, expect: allow}\n"
        "  - {name: wrong rule, who: olga, action: approve, expect: deny, rule: guard-bot}\n"
        "  - {name: wrong person, who: olgar, action: approve, expect: deny}\n"
        "  - {name: wrong action, who: olga, action: aprove, expect: deny}\n"
        "  - {name: wrong fact, who: olga, action: approve, facts: {enviroment: prod}, expect: deny}\n"
        "  - {name: right, who: ann, action: approve, expect: allow, rule: approvers-may-decide}\n"
    )
    done = runner.invoke(app, ["policy", "test", str(cases), "--json"])
    assert done.exit_code == 1
    outcomes = {each["name"]: each for each in json.loads(done.stdout)["tests"]}
    assert [name for name, each in outcomes.items() if each["ok"]] == ["right"]
    assert "the policy says deny" in outcomes["wrong verdict"]["why"]
    assert "not by 'guard-bot'" in outcomes["wrong rule"]["why"]
    for name, meant in (("wrong person", "olga"), ("wrong action", "approve"), ("wrong fact", "environment")):
        assert f"Did you mean {meant}?" in outcomes[name]["why"]
    table = runner.invoke(app, ["policy", "test", str(cases)])
    assert table.exit_code == 1
    assert "1 of 6 as expected" in table.output


@pytest.mark.parametrize("text", ["tests: []", "tests: 3", "nonsense: true", "tests:\n  - {who: ann}", "[", "\0"])
def test_a_file_that_is_no_test_file_is_said(here: Path, text: str) -> None:
    (here / "cases.yml").write_text(text)
    done = runner.invoke(app, ["policy", "test", "cases.yml"])
    assert done.exit_code == 2
    assert "cases.yml" in done.output


def test_explain_says_rule_place_facts_and_who_could() -> None:
    code, said = ask("--as", "olga", "--action", "approve", "--facts", "environment=prod", "risk=high", "resources=3")
    assert (code, said["allowed"], said["rule"]) == (1, False, "default deny")
    assert said["could"] == ["members of cloud-approvers", "Ann"]
    assert said["facts"]["resource"]["environment"] == "prod"
    assert said["facts"]["resource"]["resources"] == 3
    assert said["approval_rule"]["name"] == "production"
    assert "cloud-approvers" in said["notes"][0]
    code, said = ask("--as", "olga", "--group", "cloud-approvers", "--action", "approve", "env=dev")
    assert (code, said["rule"], said["notes"]) == (0, "approvers-may-decide", [])
    assert said["line"] > 1
    code, said = ask("--as", "ann", "--action", "approve", "guest=yes")
    assert (code, said["rule"], said["file"]) == (1, "guard-guest", "built in: guards.cedar")


@pytest.mark.parametrize(
    ("facts", "rule"),
    [("is_requester=true", "built-in rule: four eyes"), ("frozen=true", "guard-frozen"), ("bot=true", "guard-bot")],
)
def test_explain_decides_as_the_button_does(facts: str, rule: str) -> None:
    assert ask("--as", "ann", "--action", "approve", facts)[1]["rule"] == rule


def test_the_owners_team_is_kept_apart_where_the_rule_says_so() -> None:
    words = ("--as", "ann", "--action", "approve", "owner=platform")
    assert ask(*words, "environment=prod")[1]["rule"] == "production: owner apart"
    assert ask(*words, "environment=dev")[1]["allowed"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--as", "anna", "--action", "approve"], "Did you mean ann?"),
        (["--as", "ann", "--action", "aprove"], "Did you mean approve?"),
        (["--as", "ann", "--action", "approve", "enviroment=prod"], "Did you mean environment?"),
        (["--as", "ann", "--action", "approve", "environment=prd"], "there is no environment 'prd'"),
        (["--as", "ann", "--action", "approve", "risk"], "is no fact"),
        (["--as", "ann", "--action", "approve", "--plan", "plan-none"], "there is no plan plan-none"),
        (["--as", "ann", "--action", "approve", "--cause", "c-none"], "there is no cause c-none"),
        (["--as", "ann", "--action", "approve", "--cause", "c", "--plan", "p"], "name one of"),
        (["--as", "ann", "--action", "approve", "--cause", "c", "environment=prod"], "read from what you named"),
    ],
)
def test_wrong_use_exits_2_and_says_what_to_do(words: list[str], said: str) -> None:
    done = runner.invoke(app, ["policy", "explain", *words])
    assert done.exit_code == 2, done.output
    assert said in done.output


def test_check_exits_by_what_is_wrong(here: Path) -> None:
    assert runner.invoke(app, ["policy", "check"]).exit_code == 0
    (here / "own.cedar").write_text('@id("x")\npermit (principal, action == Action::"aprove", resource);')
    (here / "gatehouse.yml").write_text(SETTINGS + "  policies: own.cedar\n")
    done = runner.invoke(app, ["policy", "check", "--json"])
    assert done.exit_code == 1
    problems = json.loads(done.stdout)["problems"]
    assert [(p["file"], p["line"], p["where"]) for p in problems] == [("own.cedar", 2, "x")]
    assert "own.cedar:2: error: x: unrecognized action" in runner.invoke(app, ["policy", "check"]).output
