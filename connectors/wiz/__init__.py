"""Wiz: issues, configuration and vulnerability findings, detections; polled, pushed or from files; and told."""

from collections.abc import Iterator
from typing import BinaryIO

from bot.ports import Page
from connectors import reading
from connectors.options import described
from connectors.registry import Connector
from connectors.wiz.export import rows
from connectors.wiz.mapping import WizMapper
from connectors.wiz.options import WizOptions
from connectors.wiz.poller import check, make_poller
from connectors.wiz.shapes import understand
from connectors.wiz.webhook import make_webhook
from connectors.wiz.write_back import make_write_back

_LARGEST = 64 << 20  # a page of 5000 vulnerabilities is one object


def read(stream: BinaryIO, name: str = "") -> Iterator[Page]:
    """Whatever the API or a webhook sent, also wrapped by a SOAR or SIEM; CSV reports of the console."""
    return reading.read(rows(stream), name, understand, vendor="Wiz", limit=_LARGEST)


MANIFEST = Connector(
    name="wiz",
    title="Wiz",
    capabilities=frozenset({"file", "poll", "webhook", "write_back"}),
    mapper=WizMapper,
    read=read,
    poller=make_poller,
    check=check,
    options=described(WizOptions),
    webhook=make_webhook,
    write_back=make_write_back,
    unverified=(
        "Exact names of the service account's scopes; read:issues and update:issues were seen.",
        "The rate limit: 3 calls a second is what other collectors keep.",
        "Filtering configuration findings by updatedAt (analyzedAt is used where Wiz refuses it) and by project.",
        "Status words of vulnerabilities beside OPEN and RESOLVED, and filtering them by IN_PROGRESS.",
        "Filters by id of configuration findings, vulnerabilities and detections (used for webhooks).",
        "The shape of the command line scanner's report, and the columns of the console's CSV reports.",
        "That there is no public call that asks for a rescan of an issue or carries out a remediation.",
    ),
)
