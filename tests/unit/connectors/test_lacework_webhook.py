"""Deliveries: forged ones are refused, edited templates understood, the test message recognised."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from example_lacework import event, webhook

from bot.domain.errors import Refused, SettingsError
from connectors.lacework.client import LaceworkApi
from connectors.lacework.options import LaceworkOptions
from connectors.lacework.webhook import LaceworkWebhook
from connectors.options import parse

NOW = datetime(2026, 6, 1, tzinfo=UTC)
SECRET = "a-long-secret"


def hook(**more: Any) -> LaceworkWebhook:
    values = {"account": "acme", "key_id": "k", "secret": "s", "webhook_secret": SECRET, **more}
    return LaceworkWebhook(LaceworkApi(parse("lacework", LaceworkOptions, values)))


def basic(said: str) -> str:
    return "Basic " + base64.b64encode(said.encode()).decode()


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Gatehouse-Token": SECRET},
        {"x-gatehouse-token": SECRET},
        {"Authorization": f"Bearer {SECRET}"},
        {"authorization": basic(f"lacework:{SECRET}")},
    ],
)
def test_the_secret_is_taken_from_header_or_authorization(headers: dict[str, str]) -> None:
    hook().verify(headers, b"{}", NOW)


@pytest.mark.parametrize(
    "headers",
    [{}, {"X-Gatehouse-Token": ""}, {"X-Gatehouse-Token": SECRET + "x"}, {"Authorization": basic(SECRET)},
     {"Authorization": "Basic ***"}, {"Authorization": SECRET}, {"X-Other": SECRET}, {"X-Gatehouse-Token": "ä"}],
)  # fmt: skip
def test_a_forged_delivery_is_refused(headers: dict[str, str]) -> None:
    with pytest.raises(Refused, match="does not carry"):
        hook().verify(headers, b"{}", NOW)


def test_without_a_secret_every_delivery_is_refused() -> None:
    for secret in (None, ""):
        with pytest.raises(Refused, match="no webhook_secret"):
            hook(webhook_secret=secret).verify({"X-Gatehouse-Token": ""}, b"{}", NOW)


@pytest.mark.parametrize(
    ("body", "refs"),
    [
        (webhook(), ("4714",)),
        (event(), ("4713",)),
        ({"detail": event()}, ("4713",)),
        ({"text": "see", "attachments": [{"alert": {"alert_id": 9}}]}, ("9",)),
        ({"link": "https://acme.lacework.net/ui/investigation/monitor/AlertInbox/12/details"}, ("12",)),
        ({"text": "See <https://acme.lacework.net/ui/investigation/recents/EventDossier-31|here>"}, ("31",)),
        ([{"eventId": "1"}, {"eventId": "1"}, {"eventId": "2"}], ("1", "2")),
        ({"payload": json.dumps({"event_id": "5"})}, ("5",)),
    ],
)
def test_the_alerts_number_is_found_wherever_it_stands(body: Any, refs: tuple[str, ...]) -> None:
    said = hook().understand(json.dumps(body).encode())
    assert tuple(said.refs) == refs
    assert said.items == ()


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"event_title":"Test Event","event_type":"TestEvent","event_id":"0"}', "test message"),
        (b"not json", "no JSON"),
        (b'{"hello": "world"}', "names no alert"),
        (b"[]", "names no alert"),
        (b"[" * 100_000, "no JSON"),
    ],
)
def test_what_names_no_alert_is_said(body: bytes, said: str) -> None:
    found = hook().understand(body)
    assert found.refs == ()
    assert said in found.said


def test_the_same_body_has_the_same_key() -> None:
    assert hook().understand(b'{"event_id":"1"}').key == hook().understand(b'{"event_id":"1"}').key
    assert hook().understand(b'{"event_id":"1"}').key != hook().understand(b'{"event_id":"2"}').key


@pytest.mark.parametrize(
    ("account", "base"),
    [
        ("acme", "https://acme.lacework.net"),
        ("acme.fra", "https://acme.fra.lacework.net"),
        ("acme.lacework.net", "https://acme.lacework.net"),
        ("https://acme.lacework.net/", "https://acme.lacework.net"),
    ],
)
def test_the_account_may_be_written_in_every_usual_way(account: str, base: str) -> None:
    assert parse("lacework", LaceworkOptions, {"account": account, "key_id": "k", "secret": "s"}).base == base


def test_wrong_options_are_named_and_never_shown() -> None:
    with pytest.raises(SettingsError, match="account"):
        parse("lacework", LaceworkOptions, {"account": "a b/c", "key_id": "k", "secret": "s"})
    with pytest.raises(SettingsError, match="did you mean backfill_days"):
        parse("lacework", LaceworkOptions, {"account": "a", "key_id": "k", "secret": "s3cret", "backfil_days": 1})
    with pytest.raises(SettingsError) as error:
        parse("lacework", LaceworkOptions, {"account": "a", "key_id": "", "secret": "s3cret", "requests_per_hour": 1})
    assert "s3cret" not in str(error.value)
