"""Orca Security: alerts of both generations of its API, CVE records, webhooks; told back by status and comment."""

from collections.abc import Iterator
from typing import BinaryIO

from bot.ports import Page
from connectors.options import described
from connectors.orca.envelopes import understand
from connectors.orca.mapping import OrcaMapper
from connectors.orca.options import OrcaOptions
from connectors.reading import read as read_objects
from connectors.registry import Connector

LARGEST = 64 << 20  # bytes: the older API answers with up to 1000 alerts, each with its asset's model, in one object


def read(stream: BinaryIO, name: str = "") -> Iterator[Page]:
    """Whatever Orca sent: pages of either API, single alerts, webhook bodies, SIEM events around them."""
    return read_objects(stream, name, understand, vendor="Orca", limit=LARGEST)


MANIFEST = Connector(
    name="orca",
    title="Orca Security",
    capabilities=frozenset({"file"}),
    mapper=OrcaMapper,
    read=read,
    options=described(OrcaOptions),
)
