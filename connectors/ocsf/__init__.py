"""Findings of any tool that exports OCSF 1.x (https://schema.ocsf.io), from files."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from bot.ports import Page
from connectors.ocsf.mapping import OcsfMapper
from connectors.ocsf.shapes import understand
from connectors.reading import read as read_objects
from connectors.registry import Connector


def read(stream: BinaryIO, name: str = "") -> Iterator[Page]:
    """OCSF events: arrays, lines, single events, or wrapped in an envelope."""
    return read_objects(stream, name, understand, vendor="an OCSF exporter", wrappers=("events", "findings"))


MANIFEST = Connector(
    name="ocsf",
    title="OCSF",
    capabilities=frozenset({"file"}),
    mapper=OcsfMapper,
    read=read,
)
