"""Options as models: what is wrong is named, a secret never shown."""

from __future__ import annotations

import pytest
from pydantic import Field, SecretStr, ValidationError

from bot.domain.errors import SettingsError
from connectors.options import Options, described, parse


class Acme(Options):
    url: str = Field(description="Where it is")
    token: SecretStr = Field(description="Its key")
    kinds: tuple[str, ...] = Field(("issues", "alerts"), description="What is read")
    every: int = Field(5, ge=1, description="Minutes")
    quiet: bool = Field(False, description="Say less")


GOOD = {"url": "https://acme.example", "token": "t0p-s3cret"}


def test_good_options_become_a_model_that_stays_as_it_is() -> None:
    found = parse("acme", Acme, {**GOOD, "kinds": ["alerts"]})
    assert (found.url, found.kinds, found.every) == ("https://acme.example", ("alerts",), 5)
    assert "t0p-s3cret" not in repr(found)
    with pytest.raises(ValidationError):
        found.every = 7  # type: ignore[misc]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({**GOOD, "tokn": "x"}, "acme has no option 'tokn'; did you mean token?"),
        ({**GOOD, "colour": "x"}, "acme has no option 'colour'; there are: url, token, kinds, every, quiet."),
        ({"url": "u"}, r"acme needs the option 'token' \(Its key\)."),
        ({**GOOD, "every": 0}, "option every: Input should be greater than or equal to 1."),
        ({**GOOD, "kinds": ["a", 7]}, "option kinds.1: "),
    ],
)
def test_what_is_wrong_is_named_with_a_way_out(options: dict[str, object], says: str) -> None:
    with pytest.raises(SettingsError, match=says) as caught:
        parse("acme", Acme, options)
    assert "docs/sources.md" in caught.value.mend


def test_several_faults_are_said_at_once() -> None:
    with pytest.raises(SettingsError) as caught:
        parse("acme", Acme, {"every": "often", "urll": 1})
    assert all(word in caught.value.reason for word in ("url", "token", "every", "urll"))


def test_a_wrong_secret_is_not_quoted() -> None:
    with pytest.raises(SettingsError) as caught:
        parse("acme", Acme, {"url": "https://a.example", "token": {"t0p-s3cret": 1}, "every": "t0p-s3cret"})
    assert "t0p-s3cret" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_descriptions_name_defaults_and_what_is_required() -> None:
    said = dict(described(Acme))
    assert said["url"] == "Where it is (required)"
    assert said["kinds"] == "What is read; default issues, alerts"
    assert said["every"] == "Minutes; default 5"
    assert said["quiet"] == "Say less; default false"
    assert "**" not in said["token"]
