"""Settings: what is wrong is said with what to do, and every setting stands in the docs."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.domain.errors import SettingsError
from bot.settings import Settings, load_settings
from tests.tools import reference

ROOT = Path(__file__).parents[2]


def write(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "gatehouse.yml"
    file.write_text(text, "utf-8")
    return file


def test_the_example_file_loads() -> None:
    settings = load_settings(ROOT / "gatehouse.example.yml")
    assert settings.people["alice"].slack == "T01ACME/U02ALICE"
    assert settings.routing.rules[0].match.account == ("111122223333",)


def test_the_environment_wins_over_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEHOUSE_DATABASE_URL", "sqlite:///env.db")
    monkeypatch.setenv("GATEHOUSE_SLACK__MODE", "http")
    settings = load_settings(write(tmp_path, "database_url: sqlite:///file.db\nslack: {mode: socket, team: T1}\n"))
    assert settings.database_url.get_secret_value() == "sqlite:///env.db"
    assert (settings.slack.mode, settings.slack.team) == ("http", "T1")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("routing: {fallbck: []}", "did you mean 'fallback'"),
        ("routng: {}", "did you mean 'routing'"),
        ("people: {a: {nam: x}}", "did you mean 'name'"),
        ("governance: {rules: [{name: a, quorum: 0}]}", "greater than or equal to 1"),
        ("- a list", "must hold a mapping"),
        ("a: [", "not valid YAML"),
    ],
)
def test_a_wrong_file_is_refused_with_what_to_do(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(write(tmp_path, text))
    assert said in caught.value.reason
    assert caught.value.mend


def test_an_unknown_environment_variable_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GATEHOUSE_DATABSE_URL", "sqlite:///x.db")
    with pytest.raises(SettingsError, match="GATEHOUSE_DATABASE_URL"):
        load_settings(write(tmp_path, "{}"))


def test_a_named_file_that_is_missing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="does not exist"):
        load_settings(tmp_path / "none.yml")


def test_secrets_are_not_shown() -> None:
    settings = Settings(slack_bot_token="xoxb-secret")
    assert "xoxb-secret" not in repr(settings)


def test_every_setting_is_in_the_docs() -> None:
    assert reference.DOC.read_text("utf-8") == reference.document()


def test_every_setting_says_what_it_means() -> None:
    table = [line for line in reference.document().splitlines() if line.startswith("| `")]
    assert [line for line in table if line.endswith("|  |")] == []
