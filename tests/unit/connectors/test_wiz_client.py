"""What Wiz's options and GraphQL errors mean, and the texts that are asked."""

from __future__ import annotations

from typing import Any

import pytest

from bot.domain.errors import ConnectorError, Gone, OutcomeUnknown, Refused, RetryLater, SettingsError
from connectors.http import Answer
from connectors.options import parse
from connectors.wiz import MANIFEST
from connectors.wiz.client import Expired, Rejected, error_of, reading, writing
from connectors.wiz.options import WizOptions
from connectors.wiz.queries import listing

GOOD = {"api_url": "https://api.us1.app.wiz.io/graphql", "client_id": "c", "client_secret": "s3cret-of-wiz"}


@pytest.mark.parametrize(
    ("auth_url", "audience", "said"),
    [
        ("https://auth.app.wiz.io/oauth/token", "", "wiz-api"),
        ("https://auth.app.wiz.us/oauth/token", "", "wiz-api"),
        ("https://auth.gov.wiz.io/oauth/token", "", "wiz-api"),
        ("https://auth.wiz.io/oauth/token", "", "beyond-api"),
        ("https://auth0.gov.wiz.io/oauth/token", "", "beyond-api"),
        ("https://auth.wiz.io/oauth/token", "wiz-api", "wiz-api"),
    ],
)
def test_the_audience_is_told_by_the_host(auth_url: str, audience: str, said: str) -> None:
    assert parse("wiz", WizOptions, {**GOOD, "auth_url": auth_url, "audience": audience}).audience_said == said


def test_options_are_checked_and_secrets_hidden() -> None:
    found = parse("wiz", WizOptions, {**GOOD, "api_url": "https://api.eu1.app.wiz.io/"})
    assert found.api_url == "https://api.eu1.app.wiz.io/graphql"
    assert "s3cret-of-wiz" not in repr(found)
    for wrong in ({"kinds": ["isues"]}, {"page_size": 501}, {"overlap_minutes": 0}, {"severities": ["SEVERE"]}):
        with pytest.raises(SettingsError) as caught:
            parse("wiz", WizOptions, {**GOOD, **wrong})
        assert "s3cret-of-wiz" not in str(caught.value)


async def test_an_address_without_https_is_refused() -> None:
    with pytest.raises(SettingsError, match="https"):
        MANIFEST.poller(None, {**GOOD, "api_url": "http://api.us1.app.wiz.io/graphql"})  # type: ignore[arg-type]


def error(message: str, code: str = "") -> dict[str, Any]:
    return {"message": message, **({"extensions": {"code": code}} if code else {})}


@pytest.mark.parametrize(
    ("errors", "kind"),
    [
        ([error("no", "BAD_USER_INPUT")], Rejected),
        ([error("id must be a valid service issue id", "BAD_USER_INPUT")], Gone),
        ([error("Resource not found", "NOT_FOUND")], Gone),
        ([error("Cannot query field", "GRAPHQL_VALIDATION_FAILED")], Rejected),
        ([error("nope", "UNAUTHENTICATED")], Expired),
        ([error("access denied", "FORBIDDEN")], Refused),
        ([error("you lack permission to do this")], Refused),
        ([error("x", "INTERNAL")], RetryLater),
        ([error("x", "INTERNAL_SERVER_ERROR")], RetryLater),
        ([error("oops an internal error has occurred")], RetryLater),
        ([error("x", "RATE_LIMIT_EXCEEDED")], RetryLater),
        ([error("upstream request timeout")], RetryLater),
        ([error("something new", "SOMETHING_NEW")], Rejected),
        ([error("x", "INTERNAL"), error("access denied", "FORBIDDEN")], Refused),
        ([error("x", "INTERNAL"), error("x", "UNAUTHENTICATED")], Expired),
        ([], Refused),
        ("text", Refused),
        ([None, 7], Rejected),
    ],
)
def test_what_an_error_means(errors: Any, kind: type[ConnectorError]) -> None:
    assert type(error_of(errors)) is kind


def answer(body: bytes, status: int = 200) -> Answer:
    return Answer(status, {}, body)


@pytest.mark.parametrize(
    ("body", "read", "written"),
    [
        (b'{"data": {"a": 1}}', None, None),
        (b'{"data": {"a": 1}, "errors": []}', None, None),
        (b'{"data": {"a": 1}, "errors": [{"message": "x", "extensions": {"code": "INTERNAL"}}]}', RetryLater,
         OutcomeUnknown),
        (b'{"data": {"a": 1', RetryLater, OutcomeUnknown),
        (b"<html>", RetryLater, OutcomeUnknown),
        (b"[]", RetryLater, OutcomeUnknown),
        (b'{"data": null}', RetryLater, OutcomeUnknown),
        (b'{"errors": [{"message": "x", "extensions": {"code": "BAD_USER_INPUT"}}]}', Rejected, Rejected),
    ],
)  # fmt: skip
def test_a_write_of_unknown_outcome_is_never_worth_another_try(body: bytes, read: Any, written: Any) -> None:
    assert type(reading(answer(body))) is (read or type(None))
    assert type(writing(answer(body))) is (written or type(None))
    assert reading(answer(body, 500)) is None  # the status decides then


@pytest.mark.parametrize("kind", ["issues", "configuration", "vulnerabilities", "detections"])
def test_fields_can_be_left_out_whole(kind: str) -> None:
    words = listing(kind)
    assert words.count("{") == words.count("}")
    for name in (
        "projects",
        "securitySubCategories",
        "triggeringEvents",
        "ignoreRules",
        "risks",
        "description",
        "notes",
    ):
        less = listing(kind, without={name})
        assert less.count("{") == less.count("}")
        assert f" {name} " not in less.replace("\n", " ")
        assert f"{name}:" not in less
        assert " id " in less.replace("\n", " ")


def test_descriptions_of_the_rule_types_are_told_apart() -> None:
    words = listing("issues")
    for alias in ("controlDescription", "cloudEventRuleDescription", "cloudConfigurationRuleDescription"):
        assert f"{alias}: description" in words
    assert "sourceRules {" in listing("issues", source_rules=True)


def test_the_manifest_says_what_it_can_and_what_nobody_checked() -> None:
    assert MANIFEST.capabilities == {"file", "poll", "webhook", "write_back"}
    assert MANIFEST.webhook is not None
    assert MANIFEST.write_back is not None
    assert len(MANIFEST.unverified) >= 5
    assert {"api_url", "client_secret", "webhook_token"} <= dict(MANIFEST.options).keys()
