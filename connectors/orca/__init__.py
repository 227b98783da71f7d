"""Orca Security: alerts of both generations of its API, CVE records, webhooks; told back by status and comment."""

from collections.abc import Iterator
from typing import Any, BinaryIO

from bot.ports import Page, Poller, WebhookReader, WriteBack
from bot.settings import Settings
from connectors.options import described, parse
from connectors.orca.client import OrcaApi, http_of
from connectors.orca.envelopes import understand
from connectors.orca.mapping import SOURCE, OrcaMapper
from connectors.orca.options import OrcaOptions
from connectors.orca.poller import OrcaPoller, look
from connectors.orca.webhook import OrcaWebhook
from connectors.orca.write_back import OrcaWriteBack
from connectors.reading import read as read_objects
from connectors.registry import Connector

LARGEST = 64 << 20  # bytes: the older API answers with up to 1000 alerts, each with its asset's model, in one object


def read(stream: BinaryIO, name: str = "") -> Iterator[Page]:
    """Whatever Orca sent: pages of either API, single alerts, webhook bodies, SIEM events around them."""
    return read_objects(stream, name, understand, vendor="Orca", limit=LARGEST)


def _api(options: OrcaOptions) -> OrcaApi:
    return OrcaApi(http_of(options), options.page_size)


def _poller(settings: Settings, options: dict[str, Any]) -> Poller:
    parsed = parse(SOURCE, OrcaOptions, options)
    return OrcaPoller(_api(parsed), parsed)


def _write_back(settings: Settings, options: dict[str, Any]) -> WriteBack:
    return OrcaWriteBack(_api(parse(SOURCE, OrcaOptions, options)))


def _webhook(settings: Settings, options: dict[str, Any]) -> WebhookReader:
    parsed = parse(SOURCE, OrcaOptions, options)
    return OrcaWebhook(_api(parsed), parsed)


async def _check(settings: Settings, options: dict[str, Any]) -> str:
    parsed = parse(SOURCE, OrcaOptions, options)
    api = _api(parsed)
    try:
        return await look(api, parsed)
    finally:
        await api.close()


MANIFEST = Connector(
    name=SOURCE,
    title="Orca Security",
    capabilities=frozenset({"file", "poll", "webhook", "write_back", "rescan"}),
    mapper=OrcaMapper,
    read=read,
    poller=_poller,
    check=_check,
    options=described(OrcaOptions),
    webhook=_webhook,
    write_back=_write_back,
    unverified=(
        "rate limits: Orca publishes none; one call a second is asked for",
        "LastUpdated as a filter and order of the serving layer (other collectors use CreatedAt and last_sync)",
        "the header that carries the API key of Orca's webhook; a custom header of our own is used",
        "how a next_page_token that is a list goes back (sent as JSON), and the parameter grouping=false",
        "the member that tells how long an alert is snoozed",
        "hosts of regions other than those in the documentation of other collectors",
    ),
)
