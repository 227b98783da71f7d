"""Lacework / FortiCNAPP: alerts, vulnerabilities and compliance by API v2; alert channels; close and comment."""

from collections.abc import Iterator
from typing import BinaryIO

from bot.ports import Page
from connectors.lacework.check import check
from connectors.lacework.mapping import SOURCE, LaceworkMapper
from connectors.lacework.options import LaceworkOptions
from connectors.lacework.poller import make_poller
from connectors.lacework.shapes import understand
from connectors.lacework.webhook import make_webhook
from connectors.lacework.write_back import make_write_back
from connectors.options import described
from connectors.reading import read as read_objects
from connectors.registry import Connector

_WHOLE = 64 << 20  # a page of 5000 rows is one object


def read(stream: BinaryIO, name: str = "") -> Iterator[Page]:
    """Whole answers of the API, reports, bodies of alert channels, exports, lines."""
    return read_objects(stream, name, understand, vendor="Lacework", limit=_WHOLE)


MANIFEST = Connector(
    name=SOURCE,
    title="Lacework / FortiCNAPP",
    capabilities=frozenset({"file", "poll", "webhook", "write_back", "rescan"}),
    mapper=LaceworkMapper,
    read=read,
    poller=make_poller,
    check=check,
    options=described(LaceworkOptions),
    webhook=make_webhook,
    write_back=make_write_back,
    unverified=(
        "rate-limit headers (Retry-After and RateLimit-Reset are understood; else the wait is to the next full hour)",
        "the status In Progress of an alert",
        "the status words of ComplianceEvaluations/search beside NonCompliant and Compliant",
        "whether lastUserUpdatedTime is set when Lacework itself closes an alert (these are read again each sweep)",
        "whether the webhook channel sends a user and password that stand in its URL",
        "that every running host is evaluated at least once in 26 hours",
        "how often an image may be scanned at will",
        "where an alert says why it was closed (closeReason and similar members are understood)",
    ),
)
