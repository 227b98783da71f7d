"""Wiz: issues, configuration and vulnerability findings, detections; polled, pushed or from files; and told."""

from collections.abc import Iterator
from typing import BinaryIO

from bot.ports import Page
from connectors import reading
from connectors.registry import Connector
from connectors.wiz.mapping import WizMapper
from connectors.wiz.shapes import understand

_LARGEST = 64 << 20  # a page of 5000 vulnerabilities is one object


def read(stream: BinaryIO, name: str = "") -> Iterator[Page]:
    """Whatever the API or a webhook sent, also wrapped by a SOAR or SIEM."""
    return reading.read(stream, name, understand, vendor="Wiz", limit=_LARGEST)


MANIFEST = Connector(
    name="wiz",
    title="Wiz",
    capabilities=frozenset({"file"}),
    mapper=WizMapper,
    read=read,
)
