"""What ``policy check`` finds: unknown words with their line, rules that can never match, and nothing in good ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bot.governance import policy as module
from bot.governance.lint import Problem, examine, place_of, statements
from bot.settings import Settings

GROUPS: dict[str, Any] = {"cloud-approvers": {"members": ["ann", "abe"]}, "leads": {"slack": "S1"}}
PEOPLE: dict[str, Any] = {"ann": {"name": "Ann"}, "abe": {"name": "Abe", "groups": ["sre"]}}
DOCS = Path(module.__file__).parents[2] / "docs"


def found(tmp_path: Path, text: str = "", **governance: Any) -> list[Problem]:
    if text:
        (tmp_path / "own.cedar").write_text(text, "utf-8")
        governance["policies"] = tmp_path / "own.cedar"
    return examine(Settings(people=PEOPLE, groups=GROUPS, governance=governance), playbooks=["s3-block"])


def permit(condition: str, *, name: str = "x", head: str = 'principal, action == Action::"approve", resource') -> str:
    return f'@id("{name}")\npermit ({head})\nwhen {{ {condition} }};\n'


def test_the_built_in_policy_and_the_example_of_the_documentation_are_without_fault(tmp_path: Path) -> None:
    assert found(tmp_path) == []
    text = (DOCS / "policy.md").read_text("utf-8")
    for example in [part.split("```")[0] for part in text.split("```cedar\n")[1:]]:
        assert [p for p in found(tmp_path, example) if p.level == "error"] == []


@pytest.mark.parametrize(
    ("text", "line", "said", "mend"),
    [
        ('// first\n@id("x")\npermit (\n  principal,\n  action == Action::"aprove",\n  resource);', 5, "aprove",
         "Did you mean approve?"),
        (permit('true &&\n  resource.enviroment == "prod"'), 4, "enviroment", "Did you mean environment?"),
        (permit("principal.nown"), 3, "nown", "Did you mean known?"),
        (permit("context.frosen"), 3, "frosen", "Did you mean frozen?"),
        (permit("true", head='principal in Grup::"a", action, resource'), 2, "Grup", "Did you mean Group?"),
        (permit('resource.resources == "3"'), 1, "not compatible", "docs/policy.md"),
        ('@id("a") permit (principal, action, resource);\n\n@id("b")\npermit (principal, action', 3, "not Cedar", ""),
        ('@id("a") permit (principal, action, resource);\npermit (principal, action, resource);', 2, "no @id", "@id"),
        ('@id("a") permit (principal, action, resource);\n@id("a") permit (principal, action, resource);', 2,
         "line 1, too", "another"),
        ('@id("guard-bot") permit (principal, action, resource);', 1, "guards'", "another"),
        ("// nothing", 0, "no policy", "built-in"),
    ],
)  # fmt: skip
def test_an_error_has_its_line_and_what_to_do(tmp_path: Path, text: str, line: int, said: str, mend: str) -> None:
    wrong = [problem for problem in found(tmp_path, text) if problem.level == "error"]
    assert len(wrong) == 1, wrong
    assert (wrong[0].line, wrong[0].file) == (line, str(tmp_path / "own.cedar"))
    assert said in wrong[0].said
    assert mend in wrong[0].mend


@pytest.mark.parametrize(
    ("condition", "said"),
    [
        ("false", "can never match"),
        ('resource.environment == "prod" && resource.environment == "dev"', "can never match"),
        ("principal.known && !principal.known", "can never match"),
        ('resource.environment == "prd"', 'resource.environment is never "prd"'),
        ('["live", "prd"].contains(resource.environment)', 'never "live"'),
        ("resource.resources > 5 && resource.resources < 3", "can never match"),
        ('principal.team == "a" && principal.team == "b"', "can never match"),
        ("principal.guest", "guard-guest forbids"),
        ("context.frozen", "guard-frozen forbids"),
        ("!principal.known", "guard-stranger forbids"),
    ],
)
def test_a_policy_that_can_never_match_or_never_counts_is_a_warning(tmp_path: Path, condition: str, said: str) -> None:
    problems = found(tmp_path, permit(condition))
    assert [(problem.level, problem.where) for problem in problems] == [("warning", "x")]
    assert said in problems[0].said


@pytest.mark.parametrize(
    "condition",
    [
        "true",
        "principal.team == resource.owner",
        'principal.team == resource.owner && resource.owner != ""',
        'resource.playbook like "s3-*"',
        'resource.accounts.contains("123456789012") && resource.resources < 5',
        'resource.environment != "prod"',
        '["dev", "test"].contains(resource.environment) && resource.risk == "low" && !context.is_requester',
        'principal.role == "lead" || resource.kind == "undo"',
        'principal in Group::"sre" && context.platform == "teams"',
        'principal.team == "a" && principal.role == "b" && principal.name == "c" && resource.owner == "d" && '
        'resource.playbook == "e" && resource.account == "f" && resource.provider == "g" && resource.resources > 17 '
        '&& resource.environment == "dev" && resource.risk == "high" && context.platform == "teams"',
    ],
)
def test_a_policy_that_can_match_is_no_warning(tmp_path: Path, condition: str) -> None:
    assert found(tmp_path, permit(condition)) == []


def test_a_permit_that_another_policy_of_the_owner_always_forbids(tmp_path: Path) -> None:
    forbid = '@id("f")\nforbid (principal, action, resource) when { resource.environment == "prod" };'
    problems = found(tmp_path, permit('resource.environment == "prod"') + forbid)
    assert [problem.said for problem in problems] == ["it never has an effect: wherever it permits, f forbids"]
    assert found(tmp_path, permit("true") + forbid) == []  # outside of production it does


def test_a_group_that_gatehouse_yml_does_not_have(tmp_path: Path) -> None:
    problems = found(tmp_path, permit('principal in Group::"led"'))
    assert [(p.level, p.line, p.mend) for p in problems] == [("warning", 3, "Did you mean leads?")]


def test_a_semicolon_in_a_string_or_comment_ends_nothing() -> None:
    one = '// a; b\n@id("a;b") // c;\npermit (principal,\naction, resource); '
    text = one + '@id("c \\"; d") forbid (principal, action, resource);'
    assert [part.line for part in statements(text)] == [2, 4]


# --- the rules of gatehouse.yml --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rules", "level", "said"),
    [
        ([{"name": "a", "match": {"environment": "prd"}}], "warning", "matches nothing"),
        ([{"name": "a", "match": {"risk": "huge"}}], "warning", "matches nothing"),
        ([{"name": "a", "match": {"playbook": "s4-*"}}], "warning", "matches nothing"),
        ([{"name": "a", "groups": ["leed"]}], "error", "nobody is in group 'leed'"),
        ([{"name": "a", "quorum": 3}], "error", "its groups have 2 people"),
        ([{"name": "a", "quorum": 2, "groups": ["sre"]}], "error", "its groups have 1 people"),
        ([{"name": "a", "break_glass": True}], "warning", "nobody may"),
        ([{"name": "a"}, {"name": "b", "match": {"environment": "dev"}}], "warning", "'a' before it"),
        ([{"name": "a", "match": {"risk": ["low", "medium", "high"]}}, {"name": "b"}], "warning", "'a' before it"),
        ([{"name": "a", "match": {"account": "1*"}}, {"name": "b", "match": {"account": "1*", "kind": "fix"}}],
         "warning", "'a' before it"),
        ([{"name": "a", "match": {"kind": "fix"}}, {"name": "a", "match": {"kind": "undo"}}], "warning", "same name"),
    ],
)  # fmt: skip
def test_a_wrong_rule_is_named(tmp_path: Path, rules: Any, level: str, said: str) -> None:
    problems = found(tmp_path, rules=rules)
    assert len(problems) == 1, problems
    assert problems[0].level == level
    assert said in problems[0].said


@pytest.mark.parametrize(
    "rules",
    [
        [{"name": "a", "quorum": 9, "groups": ["leads"]}],  # Slack says who is in it
        [{"name": "a", "match": {"environment": "dev"}}, {"name": "b"}],
        [{"name": "a", "match": {"account": "1*"}}, {"name": "b", "match": {"account": "2*"}}],
        [{"name": "a", "match": {"environment": "p*"}}, {"name": "b", "match": {"environment": ["prod", "dev"]}}],
    ],
)
def test_a_good_rule_is_left_alone(tmp_path: Path, rules: Any) -> None:
    assert found(tmp_path, rules=rules) == []


def test_a_rule_is_found_in_its_file(tmp_path: Path) -> None:
    file = tmp_path / "gatehouse.yml"
    file.write_text(
        "governance:\n  rules:\n    - name: one\n      match: {kind: fix}\n    - name: two\n      quorum: 9\n"
    )
    rules = [{"name": "one", "match": {"kind": "fix"}}, {"name": "two", "quorum": 9}]
    settings = Settings(people=PEOPLE, groups=GROUPS, governance={"rules": rules})  # type: ignore[arg-type]
    assert [(p.where, p.line, p.file) for p in examine(settings, file)] == [("two", 5, str(file))]


def test_a_policy_is_found_by_its_id(tmp_path: Path) -> None:
    assert place_of(Settings(), "guard-bot")[1] > 1
    assert place_of(Settings(), "no such") == ("", 0)
