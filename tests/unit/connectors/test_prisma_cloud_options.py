"""The options of a Prisma Cloud source, and what its manifest promises."""

from __future__ import annotations

from typing import Any

import pytest

from bot.domain.errors import SettingsError
from bot.settings import Settings
from connectors.options import parse
from connectors.prisma_cloud.options import PrismaOptions
from connectors.registry import connector

KEY = {"access_key": "k-of-ours", "secret_key": "s-of-ours"}


def options(**more: Any) -> PrismaOptions:
    return parse("prisma_cloud", PrismaOptions, KEY | more)


@pytest.mark.parametrize(
    ("url", "console"),
    [
        ("https://api.prismacloud.io", "https://app.prismacloud.io"),
        ("https://api2.eu.prismacloud.io", "https://app2.eu.prismacloud.io"),
        ("https://api.gov.prismacloud.io/", "https://app.gov.prismacloud.io"),
    ],
)
def test_the_console_is_the_apis_name_with_app(url: str, console: str) -> None:
    assert options(url=url).console == console
    assert options(url=url, console_url="https://console.example/").console == "https://console.example"


def test_wrong_options_are_named_without_their_values() -> None:
    with pytest.raises(SettingsError, match="needs the option 'secret_key'"):
        parse("prisma_cloud", PrismaOptions, {"access_key": "k"})
    with pytest.raises(SettingsError, match="did you mean page_size"):
        options(page_sizes=5)
    with pytest.raises(SettingsError) as caught:
        options(severities=["very-s-of-ours"])
    assert "s-of-ours" not in str(caught.value)
    assert "s-of-ours" not in repr(options())


@pytest.mark.parametrize("narrow", [{"severities": ["high"]}, {"account_groups": ["a"]}, {"backfill_days": 3}])
def test_a_narrowed_reading_says_so(narrow: dict[str, Any]) -> None:
    assert options(**narrow).narrowed
    assert not options().narrowed


async def test_the_manifest_makes_what_it_promises_and_tokens_travel_by_https_only() -> None:
    found = connector("prisma_cloud")
    assert found.capabilities == {"file", "poll", "webhook", "write_back"}
    assert found.unverified
    assert found.webhook is not None
    assert found.write_back is not None
    settings = Settings()
    for made in (found.poller, found.webhook, found.write_back):
        thing = made(settings, dict(KEY))
        assert thing.source == "prisma_cloud"
        await thing.close()  # type: ignore[union-attr]
    with pytest.raises(SettingsError, match="https"):
        found.poller(settings, KEY | {"url": "http://api.prismacloud.io"})
