"""AWS Security Hub: findings in ASFF (and OCSF of the new Security Hub), polled or from files and events."""

from collections.abc import Iterator
from typing import Any, BinaryIO

from bot.ports import Page
from connectors.jsonstream import pages
from connectors.registry import Connector
from connectors.security_hub.mapping import SecurityHubMapper, decided, looks
from connectors.security_hub.poller import OPTIONS, check, make_poller


def read(stream: BinaryIO, name: str = "") -> Iterator[Page]:
    """``aws securityhub get-findings`` output, EventBridge events, ASFF arrays or lines."""
    found = pages(stream, name, wrappers=("Findings", "findings"), looks=lambda raw: looks(raw) or _wraps(raw))
    return (decided(page) for page in found)


def _wraps(raw: Any) -> bool:
    return isinstance(raw.get("detail"), dict) or "Findings" in raw or "findings" in raw


MANIFEST = Connector(
    name="security_hub",
    title="AWS Security Hub",
    capabilities=frozenset({"file", "poll"}),
    mapper=SecurityHubMapper,
    read=read,
    poller=make_poller,
    check=check,
    options=OPTIONS,
)
