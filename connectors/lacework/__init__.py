"""Lacework / FortiCNAPP: alerts, vulnerabilities and compliance by API v2; alert channels; close and comment."""

from collections.abc import Iterator
from typing import BinaryIO

from bot.ports import Page
from connectors.lacework.mapping import SOURCE, LaceworkMapper
from connectors.lacework.shapes import understand
from connectors.reading import read as read_objects
from connectors.registry import Connector

_WHOLE = 64 << 20  # a page of 5000 rows is one object


def read(stream: BinaryIO, name: str = "") -> Iterator[Page]:
    """Whole answers of the API, reports, bodies of alert channels, exports, lines."""
    return read_objects(stream, name, understand, vendor="Lacework", limit=_WHOLE)


MANIFEST = Connector(
    name=SOURCE,
    title="Lacework / FortiCNAPP",
    capabilities=frozenset({"file"}),
    mapper=LaceworkMapper,
    read=read,
)
