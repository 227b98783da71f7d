"""Who may call Orca's webhook, and which alert an edited body is about. (Fetching: tests/contract.)"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from example_orca import CVE, LEGACY, SERVING

from bot.domain.errors import Refused, SettingsError
from connectors.options import parse
from connectors.orca.client import OrcaApi, http_of
from connectors.orca.options import OrcaOptions
from connectors.orca.webhook import OrcaWebhook

NOW = datetime(2026, 11, 25, tzinfo=UTC)
SECRET = "s3cret-of-the-hook"


def hook(**more: Any) -> OrcaWebhook:
    options = parse("orca", OrcaOptions, {"token": "a-token", "webhook_secret": SECRET, **more})
    return OrcaWebhook(OrcaApi(http_of(options)), options)


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Gatehouse-Token": SECRET},
        {"x-gatehouse-token": f" {SECRET} "},
        {"Authorization": f"Bearer {SECRET}"},
        {"authorization": f"Token {SECRET}"},
        {"authorization": SECRET},
    ],
)
def test_the_secret_is_taken_from_its_header_or_from_orcas_own_field(headers: dict[str, str]) -> None:
    hook().verify(headers, b"{}", NOW)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-Gatehouse-Token": ""},
        {"X-Gatehouse-Token": SECRET[:-1]},
        {"X-Gatehouse-Token": SECRET + "x"},
        {"X-Gatehouse-Token": "é" * 20},
        {"X-Gatehouse-Token": "wrong", "Authorization": SECRET},
        {"X-Other": SECRET},
    ],
)
def test_without_the_secret_it_is_refused(headers: dict[str, str]) -> None:
    with pytest.raises(Refused) as told:
        hook().verify(headers, b"{}", NOW)
    assert SECRET not in str(told.value)


@pytest.mark.parametrize("secret", [None, ""])
def test_a_source_without_a_secret_takes_no_webhook(secret: str | None) -> None:
    with pytest.raises(Refused, match="webhook_secret"):
        hook(webhook_secret=secret).verify({"X-Gatehouse-Token": ""}, b"{}", NOW)


def test_the_header_is_an_option() -> None:
    hook(webhook_header="X-Mine").verify({"x-mine": SECRET}, b"", NOW)
    with pytest.raises(Refused):
        hook(webhook_header="X-Mine").verify({"X-Gatehouse-Token": SECRET}, b"", NOW)


@pytest.mark.parametrize(
    ("body", "refs"),
    [
        (json.dumps({"version": "1.0", "data": SERVING["data"]}), ["orca-1002"]),
        (json.dumps(LEGACY), ["orca-1001"]),
        (json.dumps([{"alert_id": "orca-1"}, {"state": {"alert_id": "orca-2"}}]), ["orca-1", "orca-2"]),
        (json.dumps({"a": {"b": [{"alertId": {"value": "orca-3"}}]}}), ["orca-3"]),
        (json.dumps({"link": "https://app.eu.orcasecurity.io/alerts/orca-4"}), ["orca-4"]),
        ("id=orca-5&x=1", ["orca-5"]),
        (json.dumps({"type": "Alert", "name": "orca-6"}), ["orca-6"]),
        (json.dumps({"alert_id": "orca-7/../../user", "text": "see orca-security.com"}), ["orca-7"]),
    ],
)  # fmt: skip
def test_the_alert_is_found_in_edited_bodies(body: str, refs: list[str]) -> None:
    told = hook().understand(body.encode())
    assert list(told.refs) == refs
    assert told.items == ()


def test_a_body_without_an_alert_is_named() -> None:
    assert hook().understand(b'{"message": "This is a test message from Orca Security"}').said == "test message"
    assert "test message, or a template" in hook().understand(b'{"a": 1}').said
    assert hook().understand(b"<xml/>").said
    assert hook().understand(b"").refs == ()


def test_what_the_api_cannot_be_asked_for_comes_from_the_body() -> None:
    told = hook().understand(json.dumps(CVE).encode())
    assert told.refs == ()
    assert [item["cve_id"] for item in told.items] == ["CVE-2021-44228"]


def test_options_are_checked_without_showing_a_secret() -> None:
    for wrong in ({"url": "ftp://x", "token": "t0ken-abc"}, {"token": "t0ken-abc", "severities": "dire"},
                  {"token": "t0ken-abc", "tokn": 1}, {}):  # fmt: skip
        with pytest.raises(SettingsError) as told:
            http_of(parse("orca", OrcaOptions, dict(wrong)))
        assert "t0ken-abc" not in str(told.value)
